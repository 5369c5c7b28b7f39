"""One transaction an effect, whatever interrupts it; numbered migrations that never go back. DESIGN §6"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from intentcast_agent import store as room
from intentcast_agent.cli.status import _at_rest
from intentcast_agent.columns import ColumnDamaged
from intentcast_agent.home import find_home
from intentcast_agent.store import Store, StoreNewer, Transaction, open_store

KEY = bytes(range(32))
ADD = "INSERT INTO errand (kind, subject, due) VALUES ('close', ?, 0)"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(tmp_path / "agent.db", KEY)
    yield opened
    await opened.close()


async def subjects(store: Store) -> list[bytes]:
    async with store.reading() as tx:
        return [row["subject"] for row in await tx.all("SELECT subject FROM errand ORDER BY number")]


async def test_block_that_raises_leaves_nothing_behind(store: Store) -> None:
    async def fail() -> None:
        async with store.transaction() as tx:
            await tx.run(ADD, b"one")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        await fail()
    assert await subjects(store) == []


@pytest.mark.parametrize("steps", range(1, 25))
async def test_task_cancelled_at_any_step_leaves_all_or_nothing_and_a_store_that_works(
    store: Store, steps: int
) -> None:
    async def write() -> None:
        async with store.transaction() as tx:
            await tx.run(ADD, b"one")
            await tx.run(ADD, b"two")

    task = asyncio.create_task(write())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with store.transaction() as tx:
        await tx.run(ADD, b"three")
    assert await subjects(store) in ([b"three"], [b"one", b"two", b"three"])


async def test_task_cancelled_while_it_begins_has_not_begun(store: Store, tmp_path: Path) -> None:
    """The database is held by another process, so that the cancelled statement is still under way."""
    holder = sqlite3.connect(tmp_path / "agent.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    async def write() -> None:
        async with store.transaction() as tx:
            await tx.run(ADD, b"one")

    task = asyncio.create_task(write())
    for _ in range(3):
        await asyncio.sleep(0)
    assert store._lock.locked(), "it waits for the other process"
    task.cancel()
    holder.execute("ROLLBACK")
    holder.close()
    await asyncio.gather(task, return_exceptions=True)
    async with store.transaction() as tx:
        await tx.run(ADD, b"two")
    assert await subjects(store) == [b"two"]


async def test_transactions_wait_for_each_other(store: Store) -> None:
    async def count_up() -> None:
        async with store.transaction() as tx:
            seen = int((await tx.get_private("count")) or 0)
            await asyncio.sleep(0)
            await tx.put_private("count", seen + 1)

    await asyncio.gather(*(count_up() for _ in range(20)))
    async with store.reading() as tx:
        assert await tx.get_private("count") == 20


async def test_numbers_people_use_are_never_given_out_twice(store: Store) -> None:
    async def draft(tx: Transaction) -> int:
        return await tx.run("INSERT INTO draft (payload, secrets, made) VALUES (x'', x'', 0)")

    async with store.transaction() as tx:
        first = await draft(tx)
        await tx.run("DELETE FROM draft")
        assert await draft(tx) == first + 1


async def test_private_value_is_bound_to_its_name_and_to_the_key(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    store = await open_store(path, KEY)
    async with store.transaction() as tx:
        await tx.put_private("contact", {"name": "A. Person"})
        await tx.run("INSERT INTO private SELECT 'elsewhere', value FROM private WHERE name = 'contact'")
    async with store.reading() as tx:
        assert await tx.get_private("contact") == {"name": "A. Person"}
        with pytest.raises(ColumnDamaged):
            await tx.get_private("elsewhere")
    await store.close()
    other = await open_store(path, bytes(32))
    async with other.reading() as tx:
        with pytest.raises(ColumnDamaged):
            await tx.get_private("contact")
    await other.close()


# Schema


def version(path: Path) -> int:
    db = sqlite3.connect(path)
    try:
        return int(db.execute("PRAGMA user_version").fetchone()[0])
    finally:
        db.close()


def set_version(path: Path, number: int) -> None:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {number}")
    db.close()


async def test_database_is_its_owner_s_alone_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    store = await open_store(path, KEY)
    async with store.transaction() as tx:
        await tx.run(ADD, b"one")
        settings = {
            name: (await tx.one(f"PRAGMA {name}"))[0] for name in ("journal_mode", "synchronous", "secure_delete")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}
    assert {file.stat().st_mode & 0o777 for file in tmp_path.glob("agent.db*")} == {0o600}
    await store.close()


async def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    for number in range(3):
        store = await open_store(path, KEY)
        async with store.transaction() as tx:
            await tx.run(ADD, b"%d" % number)
        assert await subjects(store) == [b"%d" % at for at in range(number + 1)]
        await store.close()
    assert version(path) == len(room._steps())


async def test_database_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    await (await open_store(path, KEY)).close()
    newer = len(room._steps()) + 1
    set_version(path, newer)
    with pytest.raises(StoreNewer, match="newer intentcast"):
        await open_store(path, KEY)
    assert version(path) == newer


async def test_later_migration_is_applied_once_to_an_older_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agent.db"
    store = await open_store(path, KEY)
    async with store.transaction() as tx:
        await tx.run(ADD, b"one")
    await store.close()
    steps = [*room._steps(), "ALTER TABLE errand ADD COLUMN note TEXT NOT NULL DEFAULT 'none';"]
    monkeypatch.setattr(room, "_steps", lambda: steps)
    for _ in range(2):
        store = await open_store(path, KEY)
        async with store.reading() as tx:
            assert [dict(row) for row in await tx.all("SELECT subject, note FROM errand")] == [
                {"subject": b"one", "note": "none"}
            ]
        await store.close()
    assert version(path) == len(steps)


async def test_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "agent.db"
    await (await open_store(path, KEY)).close()
    before, steps = version(path), room._steps()
    monkeypatch.setattr(room, "_steps", lambda: [*steps, "DROP TABLE errand; CREATE TABLE oops (x NOSUCHTYPE) STRICT;"])
    with pytest.raises(sqlite3.Error):
        await open_store(path, KEY)
    assert version(path) == before
    monkeypatch.setattr(room, "_steps", lambda: steps)
    store = await open_store(path, KEY)
    assert await subjects(store) == []
    await store.close()


async def test_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    path.write_bytes(b"my diary, not a database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        await open_store(path, KEY)
    assert path.read_bytes() == b"my diary, not a database" * 100


async def test_home_of_the_first_schema_is_looked_at_as_it_is_and_brought_up_to_date(tmp_path: Path) -> None:
    """A status reads an older database without changing it; opening it keeps what was there."""
    home = find_home({"INTENTCAST_HOME": str(tmp_path)})
    with sqlite3.connect(home.database) as old:
        old.executescript(room._steps()[0] + "PRAGMA user_version = 1;")
        old.execute("INSERT INTO answered VALUES (x'01', x'02', 'passed', 'why', NULL, NULL, 5, 4)")
    old.close()
    assert _at_rest(home)["domain"] is None
    store = await open_store(home.database, KEY)
    async with store.reading() as tx:
        row = await tx.one("SELECT * FROM answered")
        assert row is not None
        assert (row["reason"], row["record"]) == ("why", None)
        version = await tx.one("PRAGMA user_version")
        assert version is not None
        assert version[0] == len(room._steps())
    await store.close()
    assert _at_rest(home)["domain"] is None
