"""A copy made while the relay writes, its check, and its return: whole, private, and never in anything's way."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from intentcast_protocol.frames import Ack, Publish
from intentcast_relay.backup import back_up, examine, restore
from intentcast_relay.store.contract import InUse, StoreError
from intentcast_relay.store.migration import scripts
from intentcast_relay.store.sqlite import create, locked, open_store

NOW = 1_800_000_000


def quiet(done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "relay.db"
    create(path)
    return path


@pytest.fixture
def fill(database: Path) -> Callable[[int], None]:
    """Write rows of a kilobyte straight into the table."""

    def filled(number: int) -> None:
        with closing(sqlite3.connect(database)) as connection, connection:
            for _ in range(number):
                connection.execute(
                    "INSERT INTO record (id, type, author, created, expires, cells, countries, payload, signature)"
                    " VALUES (?, 'demand', ?, ?, ?, '', '', ?, ?)",
                    (os.urandom(32), os.urandom(32), NOW, NOW + 9, os.urandom(1_000), bytes(64)),
                )

    return filled


def epoch(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        return bytes(connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class TestBackUp:
    def test_copy_is_one_whole_private_file(self, database: Path, fill: Any, tmp_path: Path) -> None:
        fill(20)
        target = tmp_path / "copies" / "relay.backup"
        target.parent.mkdir()
        holding = back_up(database, target, quiet)
        assert holding == examine(target)
        assert (holding.records, holding.seq, holding.newest) == ({"demand": 20}, 20, NOW)
        assert holding.size == target.stat().st_size
        assert holding.schema == len(scripts())
        assert names(target.parent) == {"relay.backup"}
        assert stat.S_IMODE(target.stat().st_mode) == 0o600

    def test_writes_go_on_between_its_steps_and_it_ends_all_the_same(
        self, database: Path, fill: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("intentcast_relay.backup.PAGES", 4)
        fill(60)
        seen: list[int] = []

        def progress(done: int, total: int) -> None:
            fill(1)
            seen.append(done)

        holding = back_up(database, tmp_path / "copy", progress)
        # What was written meanwhile is not in it, and sent it back to its beginning not once.
        assert holding.records == {"demand": 60}
        assert seen == sorted(set(seen))
        assert len(seen) > 5
        assert examine(database).records == {"demand": 60 + len(seen)}

    def test_older_backup_is_replaced_and_no_other_file(self, database: Path, fill: Any, tmp_path: Path) -> None:
        target = tmp_path / "copy"
        back_up(database, target, quiet)
        fill(1)
        assert back_up(database, target, quiet).records == {"demand": 1}
        for content in (b"", b"my letters", sqlite_of_another(tmp_path)):
            other = tmp_path / "other"
            other.write_bytes(content)
            with pytest.raises(StoreError, match="is no backup; it stays as it is"):
                back_up(database, other, quiet)
            assert other.read_bytes() == content

    @pytest.mark.parametrize("tail", ["", "-wal", "-shm", "-lock", "-admin"])
    def test_database_itself_is_no_target(self, database: Path, tmp_path: Path, tail: str) -> None:
        with pytest.raises(StoreError, match="belongs to the database itself"):
            back_up(database, tmp_path / "." / f"relay.db{tail}", quiet)
        link = tmp_path / "link"
        link.symlink_to(f"relay.db{tail}")
        with pytest.raises(StoreError, match="belongs to the database itself"):
            back_up(database, link, quiet)

    def test_copy_that_is_given_up_leaves_nothing(self, database: Path, fill: Any, tmp_path: Path) -> None:
        fill(5)
        before = names(tmp_path)
        with pytest.raises(StoreError, match="given up"):
            back_up(database, tmp_path / "copy", quiet, alive=lambda: False)
        with pytest.raises(StoreError, match="no folder"):
            back_up(database, tmp_path / "nowhere" / "copy", quiet)
        assert names(tmp_path) == before

    async def test_relay_publishes_while_it_is_copied(
        self, relay: Any, connect: Any, build: Any, tmp_path: Path
    ) -> None:
        client = await connect(relay)
        for _ in range(50):
            await client.stored(build.demand(build.seed()))
        copying = asyncio.create_task(
            relay.admin.perform("backup", {"file": str(tmp_path / "copy")}, lambda event: None)
        )
        acked = 0
        while not copying.done():
            await client.send(Publish(1_000 + acked, build.demand(build.seed()).record))
            assert isinstance(await client.receive(), Ack)
            acked += 1
        done = await copying
        assert done["records"]["demand"] >= 50
        assert relay.admin.backup_at == build.now


class TestExamine:
    def test_what_is_damaged_is_told(self, database: Path, fill: Any) -> None:
        fill(200)
        raw = bytearray(database.read_bytes())
        raw[len(raw) // 2 : len(raw) // 2 + 8_192] = os.urandom(8_192)
        database.write_bytes(raw)
        with pytest.raises(StoreError, match=r"damaged|cannot be read"):
            examine(database)

    @pytest.mark.parametrize("content", [b"", b"my letters" * 100])
    def test_what_is_no_database_of_ours_is_told(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(StoreError, match=r"not the database of|cannot be read"):
            examine(tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == content
        with pytest.raises(StoreError, match="does not exist"):
            examine(tmp_path / "none")
        assert names(tmp_path) == {"file"}

    def test_newer_schema_is_refused(self, database: Path) -> None:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA user_version = 99")
        with pytest.raises(StoreError, match=r"newer intentcast-relay \(schema 99"):
            examine(database)


class TestRestore:
    async def test_restored_relay_has_everything_in_an_epoch_of_its_own(
        self, database: Path, tmp_path: Path, fill: Any
    ) -> None:
        fill(3)
        back_up(database, tmp_path / "copy", quiet)
        target = tmp_path / "new" / "relay.db"
        holding, kept = restore(tmp_path / "copy", target, now=NOW, force=False, progress=quiet)
        assert (holding.records, kept) == ({"demand": 3}, None)
        assert epoch(target) != epoch(database) == epoch(tmp_path / "copy")
        store = await open_store(target)
        assert (store.seq, store.epoch) == (3, epoch(target))
        await store.close()
        assert stat.S_IMODE(target.stat().st_mode) == 0o600

    def test_database_that_is_there_stays_unless_forced_and_is_kept_with_its_log(
        self, database: Path, fill: Any, tmp_path: Path
    ) -> None:
        back_up(database, tmp_path / "copy", quiet)
        with closing(sqlite3.connect(database)) as open_connection:
            open_connection.execute("SELECT count(*) FROM record").fetchone()
            fill(2)  # what a killed relay leaves: it stands in the log alone
            assert (tmp_path / "relay.db-wal").stat().st_size
            with pytest.raises(StoreError, match="--force"):
                restore(tmp_path / "copy", database, now=NOW, force=False, progress=quiet)
            holding, kept = restore(tmp_path / "copy", database, now=NOW, force=True, progress=quiet)
        assert holding.records == {}
        assert kept == tmp_path / f"relay.db.before-{NOW}"
        assert kept is not None
        assert examine(kept).records == {"demand": 2}
        assert examine(database).records == {}
        _, again = restore(tmp_path / "copy", database, now=NOW, force=True, progress=quiet)
        assert again == tmp_path / f"relay.db.before-{NOW}-2"

    def test_log_left_without_its_database_is_not_taken_for_the_new_one(
        self, database: Path, fill: Any, tmp_path: Path
    ) -> None:
        back_up(database, tmp_path / "copy", quiet)
        with closing(sqlite3.connect(database)) as open_connection:
            open_connection.execute("SELECT count(*) FROM record").fetchone()
            fill(2)
            database.unlink()
            restore(tmp_path / "copy", database, now=NOW, force=False, progress=quiet)
            assert (tmp_path / f"relay.db.before-{NOW}-wal").exists()
        assert examine(database).records == {}

    def test_bad_backup_changes_nothing(self, database: Path, fill: Any, tmp_path: Path) -> None:
        fill(1)
        (tmp_path / "copy").write_bytes(b"my letters")
        before = names(tmp_path)
        for source in (tmp_path / "copy", tmp_path / "none", database):
            with pytest.raises(StoreError):
                restore(source, database, now=NOW, force=True, progress=quiet)
        assert names(tmp_path) == before
        assert examine(database).records == {"demand": 1}

    def test_older_schema_is_brought_up_to_date(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "old")) as connection:
            connection.executescript(scripts()[0])
            connection.execute("PRAGMA application_id = 0x69634153")
            connection.execute("PRAGMA user_version = 1")
        holding, _ = restore(tmp_path / "old", tmp_path / "relay.db", now=NOW, force=False, progress=quiet)
        assert holding.schema == len(scripts())
        assert examine(tmp_path / "old").schema == 1

    def test_database_in_use_is_locked_against_it(self, database: Path) -> None:
        with locked(database), pytest.raises(InUse), locked(database):
            pass


def sqlite_of_another(folder: Path) -> bytes:
    path = folder / "foreign.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE letters (text)")
    return path.read_bytes()
