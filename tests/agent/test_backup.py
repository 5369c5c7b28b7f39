"""A backup of a real home is proven by restoring it, put back without losing anything, and asks before it signs."""

import errno
import hashlib
import os
import re
import shutil
import sqlite3
import stat
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from intentcast_agent import agent as agent_room
from intentcast_agent import store as store_room
from intentcast_agent.api import Failed, perform
from intentcast_agent.backup.container import open_chunks
from intentcast_agent.backup.create import Made, create
from intentcast_agent.backup.errors import BackupDamaged, BackupError, BackupLocked, BackupNewer, BackupRefused
from intentcast_agent.backup.examine import CELLS, Holding
from intentcast_agent.backup.restore import restore, verify
from intentcast_agent.backup.sheet import write_sheet
from intentcast_agent.dialogue import say
from intentcast_agent.home import Home, find_home
from intentcast_agent.keystore import create as create_keystore
from intentcast_agent.keystore import open_keystore, status
from intentcast_agent.passphrase import INTERACTIVE
from intentcast_agent.person import docket
from intentcast_agent.service import Service
from intentcast_agent.settings import Settings, write_settings
from intentcast_agent.store import open_store
from intentcast_protocol.agreement import verify_agreement
from intentcast_protocol.errors import StateError
from intentcast_protocol.sealing import seal_key
from intentcast_protocol.testing import NOW, seed

SECRET = b"correct horse"
KEYS = b"battery staple"
DAY = 86_400
Table = Any  # the fixtures are conftest.py's


def never() -> bytes | None:
    raise AssertionError("nobody is to be asked for the keystore's passphrase")


def make(home: Home, target: Path, *, replace: bool = False) -> Made:
    return create(home, target, SECRET, now=NOW, replace=replace, cost=INTERACTIVE)


def empty(folder: Path) -> Home:
    home = find_home({"INTENTCAST_HOME": str(folder)})
    home.prepare()
    return home


async def small_home(folder: Path, passphrase: bytes | None = None) -> Home:
    """Make a home with one private value, and nobody at work in it."""
    home = empty(folder)
    keystore = create_keystore(home.keystore, passphrase, cost=INTERACTIVE)
    write_settings(home, Settings(("ws://127.0.0.1:1",)))
    store = await open_store(home.database, keystore.data_key)
    async with store.transaction() as tx:
        await tx.put_private("contact", {"name": "Robin Example"})
    await store.close()
    return home


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def agreed(table: Table) -> tuple[Any, Any, Any]:
    """Seat a person and a vendor with an agreement between them."""
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor)
    await person.accept(session)
    await settle(table, person, vendor)
    assert await person.state(session) == "agreed"
    return person, vendor, session


async def settle(table: Table, person: Any, vendor: Any) -> None:
    """Carry what both say until neither has more."""
    for _ in range(12):
        before = [await one.count("message") for one in (person, vendor)]
        await table.carry(person, vendor)
        await table.carry(vendor, person)
        if before == [await one.count("message") for one in (person, vendor)]:
            return
    raise AssertionError("it never came to rest")


class TestCreate:
    async def test_backup_of_a_home_at_work_holds_what_was_committed_and_proves_itself(
        self, table: Table, tmp_path: Path
    ) -> None:
        person, _, _ = await agreed(table)
        target = tmp_path / "p.backup"
        # In the middle of a transaction: what is not committed is not in it, and nobody waits for anybody.
        async with person.store.transaction() as tx:
            await tx.put_private("contact", {"name": "Not Yet"})
            made = make(person.home, target)
        assert made.size == target.stat().st_size
        assert made.fingerprint == hashlib.sha256(target.read_bytes()).hexdigest()
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        held = await verify(target, SECRET, never, within=tmp_path)
        assert (held.demands, held.open_demands, held.sessions, held.open_sessions, held.agreements) == (1, 0, 1, 1, 1)
        assert (held.made, held.since, held.protected, held.notes) == (NOW, NOW, False, ())
        assert held.relays == ("ws://127.0.0.1:1",)
        assert held.cells > 6
        again = empty(tmp_path / "again")
        await restore(again, target, SECRET, never, now=NOW)
        store = await open_store(again.database, open_keystore(again.keystore, None).data_key)
        async with store.reading() as tx:
            assert await tx.get_private("contact") is None
        await store.close()

    async def test_nothing_in_the_clear_is_in_the_file_nor_left_on_the_disk(self, table: Table, tmp_path: Path) -> None:
        person, _, _ = await agreed(table)
        before = set(person.home.database.parent.iterdir())
        target = tmp_path / "p.backup"
        make(person.home, target)
        key = open_keystore(person.home.keystore, None).data_key
        for secret in (key, (person.home.keystore.parent / "keystore.key").read_bytes(), b"ws://", b"SQLite"):
            assert secret not in target.read_bytes()
        with target.open("rb") as source:
            plain = b"".join(open_chunks(source, SECRET))
        assert b"ws://" in plain
        assert b"SQLite" in plain
        assert set(person.home.database.parent.iterdir()) == before
        assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"p.backup"}

    async def test_file_that_is_there_stays_unless_it_is_a_backup_to_be_replaced(self, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home")
        target = tmp_path / "b"
        target.write_bytes(b"holiday photos")
        for allowed in (False, True):
            with pytest.raises(BackupRefused):
                make(home, target, replace=allowed)
        assert target.read_bytes() == b"holiday photos"
        target.unlink()
        first = make(home, target)
        with pytest.raises(BackupRefused):
            make(home, target)
        assert make(home, target, replace=True).fingerprint != first.fingerprint

    @pytest.mark.parametrize("name", ["no/such/folder/b", "home/agent.db", "home/keystore"])
    async def test_target_that_would_do_harm_is_refused(self, name: str, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home")
        before = snapshot(tmp_path)
        with pytest.raises(BackupRefused):
            make(home, tmp_path / name, replace=True)
        with pytest.raises(BackupRefused):
            make(home, Path("relative"))
        assert snapshot(tmp_path) == before

    async def test_full_disk_leaves_the_older_backup_whole_and_nothing_beside_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = await small_home(tmp_path / "home")
        make(home, tmp_path / "b")
        before = snapshot(tmp_path)

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(BackupError, match="No space left"):
            make(home, tmp_path / "b", replace=True)
        assert snapshot(tmp_path) == before

    @pytest.mark.parametrize("passphrase", [b"", b"x" * 1025])
    async def test_no_passphrase_or_one_too_long_makes_no_backup(self, passphrase: bytes, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home")
        with pytest.raises(BackupRefused):
            create(home, tmp_path / "b", passphrase, now=NOW)
        assert not (tmp_path / "b").exists()

    async def test_what_a_crash_left_behind_is_removed(self, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home")
        left = home.database.with_name("backing-up")
        left.mkdir()
        (left / "agent.db").write_bytes(b"half")
        (tmp_path / ".b.part").write_bytes(b"half")
        make(home, tmp_path / "b")
        assert not left.exists()
        assert not (tmp_path / ".b.part").exists()
        assert isinstance(await verify(tmp_path / "b", SECRET, never), Holding)


class TestVerify:
    def test_every_sealed_column_is_among_those_it_opens(self) -> None:
        sealed = set()
        for step in (resources.files("intentcast_agent") / "migrations").iterdir():
            for table, columns in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", step.read_text(), re.DOTALL):
                found = re.findall(r"^\s*(\w+) BLOB.*\(sealed\)", columns, re.MULTILINE)
                sealed |= {(table, column) for column in found}
        assert {(table, column) for table, column, _ in CELLS} == sealed

    async def test_wrong_passphrase_and_damage_are_told_apart_and_leave_nothing(self, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home")
        target, work = tmp_path / "b", tmp_path / "work"
        work.mkdir()
        make(home, target)
        with pytest.raises(BackupLocked):
            await verify(target, b"wrong", never, within=work)
        data = bytearray(target.read_bytes())
        data[-40] ^= 1
        (tmp_path / "flipped").write_bytes(data)
        (tmp_path / "cut").write_bytes(data[:-70_000])
        (tmp_path / "nothing").write_bytes(b"")
        for name in ("flipped", "cut", "nothing"):
            with pytest.raises(BackupDamaged):
                await verify(tmp_path / name, SECRET, never, within=work)
        assert list(work.iterdir()) == []

    async def test_private_cell_that_does_not_open_fails_it(self, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home")
        with closing(sqlite3.connect(home.database)) as db, db:
            db.execute("UPDATE private SET value = zeroblob(80)")
        make(home, tmp_path / "b")
        with pytest.raises(BackupDamaged, match=r"private\.value"):
            await verify(tmp_path / "b", SECRET, never)

    async def test_agreement_that_does_not_verify_fails_it(self, table: Table, tmp_path: Path) -> None:
        person, _, _ = await agreed(table)
        async with person.store.transaction() as tx:
            row = await tx.one("SELECT * FROM agreement")
            data = bytearray(tx.open("agreement", "bundle", row["id"], row["bundle"]))
            data[-10] ^= 1
            await tx.run("UPDATE agreement SET bundle = ?", tx.seal("agreement", "bundle", row["id"], bytes(data)))
        make(person.home, tmp_path / "b")
        with pytest.raises(BackupDamaged):
            await verify(tmp_path / "b", SECRET, never)

    async def test_database_with_a_broken_page_fails_it(self, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home")
        with closing(sqlite3.connect(home.database)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            page = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'session_by_vendor'").fetchone()[0]
            size = db.execute("PRAGMA page_size").fetchone()[0]
        with home.database.open("r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xff" * 64)
        make(home, tmp_path / "b")
        with pytest.raises(BackupDamaged):
            await verify(tmp_path / "b", SECRET, never)

    async def test_older_schema_restores_and_a_newer_one_is_refused_as_such(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps = store_room._steps()
        with monkeypatch.context() as old:
            old.setattr(store_room, "_steps", lambda: steps[:1])
            home = await small_home(tmp_path / "home")
        make(home, tmp_path / "old")
        held = await verify(tmp_path / "old", SECRET, never)
        assert held.schema == len(steps)
        again = empty(tmp_path / "again")
        await restore(again, tmp_path / "old", SECRET, never, now=NOW)
        with closing(sqlite3.connect(again.database)) as db:
            assert db.execute("PRAGMA user_version").fetchone()[0] == len(steps)
        with closing(sqlite3.connect(home.database)) as db, db:
            db.execute(f"PRAGMA user_version = {len(steps) + 1}")
        make(home, tmp_path / "new")
        with pytest.raises(BackupNewer, match="newer"):
            await verify(tmp_path / "new", SECRET, never)

    async def test_settings_this_version_cannot_use_are_told_and_stop_nothing(self, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home")
        home.config.write_text("colour = 1\n")
        home.config.with_name("policy.toml").write_text("name = 1\n")
        make(home, tmp_path / "b")
        held = await verify(tmp_path / "b", SECRET, never)
        assert ["config.toml" in held.notes[0], "policy.toml" in held.notes[1]] == [True, True]

    async def test_keystore_with_a_passphrase_is_proven_with_it_alone(self, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home", KEYS)
        make(home, tmp_path / "b")
        assert (await verify(tmp_path / "b", SECRET, lambda: KEYS)).protected
        for wrong in (None, b"", SECRET):
            with pytest.raises(BackupLocked, match="keystore"):
                await verify(tmp_path / "b", SECRET, lambda wrong=wrong: wrong)


class TestRestore:
    async def test_restored_home_is_the_same_and_signs_nothing_before_its_peer_has_answered(
        self, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Backed up after the offer; the accept and the confirm come back from the vendor."""
        person, vendor = await table.person(), await table.vendor()
        _, (session,) = await table.offered(person, vendor)
        make(person.home, tmp_path / "b")
        accept = await person.accept(session)
        await settle(table, person, vendor)

        place = empty(tmp_path / "again")
        done = await restore(place, tmp_path / "b", SECRET, never, now=NOW + 9)
        assert (done.holding.open_sessions, done.aside) == (1, ())
        assert place.config.read_text() == person.home.config.read_text()
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("again/*") if path.is_file()} == {0o600}
        again = await table.person("again")
        service = Service(again.agent)
        state = await service.backup_state()
        assert state["restored"] == {"at": NOW + 9, "made": NOW, "asked": False, "waiting": 1}
        assert state["last"] == {"at": NOW}
        with pytest.raises(StateError):
            await again.act(session, say, "decline", {})

        profile = seal_key(lambda _: seed("vendor profile-seal")).public

        async def find(*_: object) -> bytes:
            return profile

        monkeypatch.setattr(agent_room, "find_seal_key", find)
        assert await again.agent.resume_all() == 1
        assert (await service.backup_state())["restored"]["asked"]
        await settle(table, again, vendor)
        assert await again.state(session) == "agreed"
        assert accept.id in [message.id for message in await again.messages(session)]
        assert (await service.backup_state())["restored"]["waiting"] == 0
        async with again.store.reading() as tx:
            row = await tx.one("SELECT * FROM agreement")
            assert verify_agreement(tx.open("agreement", "bundle", row["id"], row["bundle"])).id == row["id"]
        assert await vendor.count("evidence") == 0

    async def test_next_start_asks_once_without_being_told(self, table: Table, tmp_path: Path) -> None:
        person, vendor = await table.person(), await table.vendor()
        _, (session,) = await table.offered(person, vendor)
        make(person.home, tmp_path / "b")
        await restore(empty(tmp_path / "again"), tmp_path / "b", SECRET, never, now=NOW)
        again = await table.person("again")
        await again.agent.go_online()
        resumes = "SELECT 1 FROM message WHERE type = 'resume'"
        assert len(await again.rows(resumes)) == 1
        await again.agent.stop()
        again.agent.online = False
        await again.agent.go_online()
        assert len(await again.rows(resumes)) == 1
        assert await again.state(session) == "offered"

    async def test_no_haggling_goes_on_while_a_vendor_may_return_an_accept(self, table: Table, tmp_path: Path) -> None:
        person, vendor = await table.person(), await table.vendor()
        await table.offered(person, vendor)
        person.agent.online = True  # the table carries; nothing here dials
        mandate = 'most = "17900 EUR"\nrounds = 5\nwithin = "10m"\nwitnesses = 0\n[acts]\naccept = "auto"\n'
        await Service(person.agent).haggle_begin("d1", mandate)
        make(person.home, tmp_path / "b")
        await restore(empty(tmp_path / "again"), tmp_path / "b", SECRET, never, now=NOW)
        again = await table.person("again")
        table.clock.now += 120
        (row,) = await again.rows("SELECT id FROM demand")
        assert not await again.agent.haggler.take_turn(row["id"])
        assert await again.rows("SELECT 1 FROM message WHERE author = 'person'") == []
        async with again.store.reading() as tx:
            case = await docket.find(tx, row["id"])
        assert case is not None
        assert case.state == docket.AT_WORK
        # The same home that lost nothing goes on at this very moment.
        assert await person.agent.haggler.take_turn(row["id"])

    async def test_keystore_keeps_its_own_passphrase(self, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home", KEYS)
        make(home, tmp_path / "b")
        place = empty(tmp_path / "again")
        with pytest.raises(BackupLocked):
            await restore(place, tmp_path / "b", SECRET, lambda: None, now=NOW)
        await restore(place, tmp_path / "b", SECRET, lambda: KEYS, now=NOW)
        assert status(place.keystore) == "passphrase"
        assert open_keystore(place.keystore, KEYS).data_key == open_keystore(home.keystore, KEYS).data_key
        assert not place.keystore.with_name("keystore.key").exists()

    async def test_home_that_is_not_empty_stays_as_it_is_unless_told(self, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home")
        make(home, tmp_path / "b")
        other = await small_home(tmp_path / "other")
        other.database.with_name("agent.db-wal").write_bytes(b"a log that belongs to the database that goes")
        before = snapshot(tmp_path / "other")
        with pytest.raises(BackupRefused, match="--replace"):
            await restore(other, tmp_path / "b", SECRET, never, now=NOW)
        with pytest.raises(BackupLocked):
            await restore(other, tmp_path / "b", b"wrong", never, now=NOW, replace=True)
        assert snapshot(tmp_path / "other") == before

        done = await restore(other, tmp_path / "b", SECRET, never, now=NOW, replace=True)
        assert open_keystore(other.keystore, None).data_key == open_keystore(home.keystore, None).data_key
        kept = {path.name: path.read_bytes() for path in done.aside}
        assert kept == {_aside(name): data for name, data in before.items() if name != "lock"}
        assert not other.database.with_name("agent.db-wal").exists()
        store = await open_store(other.database, open_keystore(other.keystore, None).data_key)
        async with store.reading() as tx:
            assert await tx.get_private("contact") == {"name": "Robin Example"}
        await store.close()

    async def test_restore_that_fails_leaves_an_empty_home_empty(self, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home")
        make(home, tmp_path / "b")
        (tmp_path / "cut").write_bytes((tmp_path / "b").read_bytes()[:-1])
        place = empty(tmp_path / "again")
        for name, passphrase in (("cut", SECRET), ("b", b"wrong")):
            with pytest.raises(BackupError):
                await restore(place, tmp_path / name, passphrase, never, now=NOW)
        assert snapshot(tmp_path / "again") == {}
        assert not (tmp_path / "again" / "restoring").exists()

    async def test_restore_cut_short_anywhere_leaves_nothing_that_could_sign_and_is_mended_by_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(await small_home(tmp_path / "home"), tmp_path / "b")
        other = await small_home(tmp_path / "other")
        both = {path.read_bytes() for path in (tmp_path / "home" / "keystore", other.keystore)}
        old = other.database.read_bytes()
        for stop in range(1, 60):
            place = find_home({"INTENTCAST_HOME": str(tmp_path / f"at {stop}")})
            shutil.copytree(tmp_path / "other", place.database.parent)
            if await self._restore_until(stop, place, tmp_path / "b", monkeypatch):
                break
            if place.keystore.exists():
                # Either nothing has changed yet, or all of the marked database is there.
                assert place.keystore.read_bytes() in both
                fresh = place.keystore.read_bytes() != other.keystore.read_bytes()
                assert (place.database.read_bytes() != old) is fresh
        assert stop > 12
        last = find_home({"INTENTCAST_HOME": str(tmp_path / f"at {stop - 3}")})
        await restore(last, tmp_path / "b", SECRET, never, now=NOW + 1, replace=True)
        assert open_keystore(last.keystore, None).data_key == open_keystore(place.keystore, None).data_key

    async def _restore_until(self, stop: int, place: Home, backup: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
        """Restore on a disk that refuses from the given sync on; return whether that was never reached."""
        real, left = os.fsync, stop

        def fail_at(fd: int) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real(fd)

        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fail_at)
            try:
                await restore(place, backup, SECRET, never, now=NOW, replace=True)
            except BackupError:
                return False
        return True


def _aside(name: str) -> str:
    tail = "-wal" if name.endswith("-wal") else ""
    return f"{name.removesuffix(tail)}.replaced-{NOW}{tail}"


class TestVerbs:
    async def test_running_agent_makes_a_backup_and_remembers_when(self, table: Table) -> None:
        person, _, _ = await agreed(table)
        service = Service(person.agent)
        state = await service.backup_state()
        assert (state["last"], state["due"], state["restored"]) == (None, True, None)
        assert "No backup yet" in state["advice"]
        async for part in perform(service, "backup_create", {"passphrase": "correct horse"}):
            made = part["result"]
        path = Path(made["path"])
        assert path.parent == person.home.exports
        assert (await verify(path, SECRET, never)).agreements == 1
        state = await service.backup_state()
        assert (state["last"], state["age_days"], state["due"]) == (made, 0, False)
        assert (await service.status())["backup"] == state
        table.clock.now += 40 * DAY
        state = await service.backup_state()
        assert (state["age_days"], state["due"]) == (40, True)
        assert "40 days ago" in state["advice"]

    async def test_what_cannot_be_done_is_a_coded_error_with_its_exit_code(self, table: Table, tmp_path: Path) -> None:
        person = await table.person()
        asked = {"passphrase": "", "path": str(tmp_path / "b")}
        with pytest.raises(Failed) as caught:
            async for _ in perform(Service(person.agent), "backup_create", asked):
                pass
        assert (caught.value.code, caught.value.exit_code) == ("usage", 2)
        assert await person.rows("SELECT 1 FROM private WHERE name = 'backup'") == []

    async def test_nobody_without_anything_to_lose_is_reminded(self, table: Table) -> None:
        person = await table.person()
        assert not (await Service(person.agent).backup_state())["due"]


class TestSheet:
    async def test_sheet_names_the_file_and_its_fingerprint_and_no_secret(self, tmp_path: Path) -> None:
        home = await small_home(tmp_path / "home")
        target = tmp_path / "my\x1b[31m backup\u202e.b"
        made = make(home, target)
        text, fingerprint = write_sheet(target)
        assert fingerprint == made.fingerprint
        assert fingerprint in text.replace(" ", "").replace("\n", "")
        assert str(tmp_path) in text
        assert "'my[31m backup.b'" in text
        assert all(char.isprintable() or char == "\n" for char in text)
        assert SECRET.decode() not in text
        assert max(len(line) for line in text.splitlines() if str(tmp_path) not in line) <= 80

    async def test_sheet_of_anything_else_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"holiday photos")
        with pytest.raises(BackupDamaged):
            write_sheet(tmp_path / "x")
