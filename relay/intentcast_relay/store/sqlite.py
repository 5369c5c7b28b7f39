# ruff: noqa: S608 (every statement is put together from this file's own words; values are always bound)
"""SQLite: one file, a write-ahead log, and a commit that returns once the disk has it.

One thread owns the writing connection and commits whole batches; reads go through their own connection and see every
commit that was acknowledged before they began. ``synchronous=FULL`` makes each commit an fsync of the log.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TypeVar

import aiosqlite
from intentcast_protocol.area import Area
from intentcast_protocol.identity import Id, Key
from intentcast_protocol.record import Record
from intentcast_protocol.subscription import Filter

from intentcast_relay.metrics import Census
from intentcast_relay.posting import Posting
from intentcast_relay.rules import Rule, Subject
from intentcast_relay.store import proof, rule, search
from intentcast_relay.store.census import count
from intentcast_relay.store.contract import (
    Admission,
    Changes,
    Held,
    InUse,
    Page,
    Proof,
    Shelf,
    StoreError,
    Used,
    Wanted,
)
from intentcast_relay.store.migration import migrate

T = TypeVar("T")
_EPOCH: Final = 8
_HELD: Final = "seq, id, type, author, recipient, created, expires, length(payload)"
_TOGETHER: Final = 64  # rows in one statement
_COMPILED: Final = 1_024  # statements kept compiled: some for each number of rows
_SEED: Final = 32
_BROAD: Final = 1_024  # filters remembered
_LOG_PAGES: Final = 4_000  # of 4 KiB, before the log is folded into the database: a page touched often goes once
_CACHE: Final = 16_384  # KiB of pages at hand; keys are random, so that every commit touches pages all over
_PAIR: Final = "person, session, until, stopped, domain"
_JOINED: Final = f") SELECT {_PAIR} FROM pair CROSS JOIN admission WHERE person = a AND session = b"
_FREE: Final = "UPDATE admission SET domain = NULL WHERE domain IS NOT NULL AND person"
_FREE_ENDED: Final = f"{_FREE} = (SELECT author FROM record WHERE seq = ? AND type = 'demand')"
_ADMIT: Final = f"INSERT OR REPLACE INTO admission ({_PAIR}) VALUES (?, ?, ?, ?, ?)"


class SqliteStore:
    """The contract's storage over one SQLite file; made by `open_store`."""

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: aiosqlite.Connection, lock: int) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._broad: set[Filter] = set()  # that pass too much to be searched; the next page need not find out again
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        (self._epoch,) = writer.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        (self._secret,) = writer.execute("SELECT value FROM meta WHERE name = 'seed'").fetchone()
        row = writer.execute("SELECT seq FROM sqlite_sequence WHERE name = 'record'").fetchone()
        self._seq = row[0] if row else 0
        self.synced = 0.0  # s the disk took for the last commit

    @property
    def epoch(self) -> bytes:
        """Eight random bytes made with the file."""
        return bytes(self._epoch)

    @property
    def seq(self) -> int:
        """The last sequence number given out."""
        return int(self._seq)

    @property
    def seed(self) -> bytes:
        """The seed of the relay's own key, made with the file."""
        return bytes(self._secret)

    async def write(self, wanted: Wanted, decide: Callable[[Shelf], Changes]) -> Changes:
        """Load a shelf, decide and commit; returns after the fsync. Raises StoreError."""
        return await self._run(self._write, wanted, decide)

    def _write(self, wanted: Wanted, decide: Callable[[Shelf], Changes]) -> Changes:
        with self._transaction():
            shelf = self._load(wanted)
            changes = decide(shelf)
            self._apply(changes)
        self._seq = shelf.seq
        return changes

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            began = perf_counter()
            self._writer.execute("COMMIT")
            self.synced = perf_counter() - began
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    def _load(self, wanted: Wanted) -> Shelf:
        shelf = Shelf(self.seq)
        for row in self._among(f"SELECT {_HELD} FROM record WHERE recipient IS NULL AND author IN", wanted.authors):
            held = Held(*row)
            shelf.newest[held.author, held.type] = held
        for row in self._among(f"SELECT {_HELD} FROM record WHERE id IN", wanted.ids):
            shelf.held[row[1]] = Held(*row)
        for row in self._together("WITH pair (a, b) AS (VALUES", "(?, ?)", tuple(wanted.pairs), _JOINED):
            shelf.admissions[row[0], row[1]] = _admission(row)
        for row in self._among(f"SELECT {_PAIR} FROM admission WHERE domain IN", wanted.domains, "ORDER BY until"):
            shelf.domains[row[4]] = _admission(row)
        for link, *used in self._among("SELECT id, used, until FROM invitation WHERE id IN", wanted.invitations):
            shelf.used[link] = Used(*used)
        strangers = {person for person, session in wanted.pairs if (person, session) not in shelf.admissions}
        demands = "SELECT author, payload FROM record WHERE recipient IS NULL AND type = 'demand' AND author IN"
        shelf.demands.update(self._among(demands, strangers))
        # Only of mailboxes that may take something: how much waits in one must not tell in the time a refusal takes.
        open_ones = wanted.mailboxes & {*shelf.demands, *(key for pair in shelf.admissions for key in pair)}
        sums = "SELECT recipient, count(*), sum(length(payload)) FROM record WHERE recipient NOT NULL AND recipient IN"
        for mailbox, items, size in self._among(sums, open_ones, "GROUP BY recipient"):
            shelf.items[mailbox], shelf.bytes[mailbox] = items, size
        return shelf

    def _among(self, select: str, keys: Collection[bytes], tail: str = "") -> list[Any]:
        if not keys:
            return []
        marks = ", ".join("?" * len(keys))
        return self._writer.execute(f"{select} ({marks}) {tail}", tuple(keys)).fetchall()

    def _apply(self, changes: Changes) -> None:
        write = self._writer
        if changes.delete:
            gone = [(seq,) for seq in changes.delete]
            self._together("DELETE FROM topic WHERE seq IN (", "?", gone, ")")
            self._together("DELETE FROM record WHERE seq IN (", "?", gone, ")")
        if changes.insert:
            rows = [_row(seq, posting) for seq, posting in changes.insert.items()]
            self._together("INSERT INTO record VALUES", f"({', '.join('?' * 11)})", rows)
            topics = [
                row
                for seq, posting in changes.insert.items()
                if posting.to is None
                for row in search.rows_of(seq, posting)
            ]
            self._together("INSERT INTO topic VALUES", "(?, ?, ?)", topics)
        if changes.free:
            write.executemany(f"{_FREE} = ?", [(person,) for person in changes.free])
        if changes.admit:
            write.executemany(
                _ADMIT, [(a.person, a.session, a.until, a.stopped, a.domain) for a in changes.admit.values()]
            )
        if changes.use:
            proof.use(write, changes.use)

    def _together(self, head: str, part: str, rows: Sequence[tuple[object, ...]], tail: str = "") -> list[Any]:
        """Execute for many rows in few statements: each one gives up the interpreter lock and asks for it again."""
        found = []
        for at in range(0, len(rows), _TOGETHER):
            some = rows[at : at + _TOGETHER]
            values = [value for row in some for value in row]
            found += self._writer.execute(_repeated(head, part, len(some), tail), values).fetchall()
        return found

    async def sweep(self, now: int, limit: int) -> int:
        """Delete up to `limit` ended records and admissions; raises StoreError."""
        return await self._run(self._sweep, now, limit)

    def _sweep(self, now: int, limit: int) -> int:
        write = self._writer
        ended = write.execute("SELECT seq FROM record WHERE expires <= ? LIMIT ?", (now, limit)).fetchall()
        lapsed = write.execute(
            "SELECT person, session FROM admission WHERE until <= ? LIMIT ?", (now, limit)
        ).fetchall()
        over = proof.over(write, now)
        if ended or lapsed or over:
            with self._transaction():
                # A demand that is cast again is a new one, to which a domain may come again.
                write.executemany(_FREE_ENDED, ended)
                write.executemany("DELETE FROM topic WHERE seq = ?", ended)
                write.executemany("DELETE FROM record WHERE seq = ?", ended)
                write.executemany("DELETE FROM admission WHERE person = ? AND session = ?", lapsed)
                over = proof.sweep(write, now, limit)
        return len(ended) + len(lapsed) + over

    async def public(self, wanted: Filter, after: int, upto: int, limit: int, now: int) -> Page:
        """Return live public records that pass a filter, by the most selective index the filter offers."""
        if not search.by_topic(wanted):
            rows = await self._rows(*search.direct(wanted, after, upto, limit, now))
            ended = len(rows) == limit or search.filled(rows)
            return Page(_passing(rows, wanted.area, {}), rows[-1][0] if ended else upto)
        hits: list[tuple[int, str]] | None = None
        if wanted.categories and upto - after > search.NEAR and wanted not in self._broad:
            hits = await self._rows(*search.narrow(wanted))
            if len(hits) > search.NARROW or search.MORE in hits:
                hits = None
                if len(self._broad) >= _BROAD:
                    self._broad.clear()
                self._broad.add(wanted)
        if hits is None:
            upto = min(upto, after + search.NEAR)
            hits = await self._rows(*search.walk(wanted, after, upto, limit))
        places = {seq: place for seq, place in hits if after < seq <= upto}
        chosen = sorted(places)[:limit]
        rows = await self._rows(*search.fetch(wanted, json.dumps(chosen), now))
        looked = chosen[-1] if len(chosen) == limit else upto
        return Page(_passing(rows, wanted.area, places), rows[-1][0] if search.filled(rows) else looked)

    async def mailbox(self, key: Key, after: int, upto: int, limit: int, now: int) -> Page:
        """Return the live sealed records addressed to one key."""
        rows = await self._rows(*search.sealed(key, after, upto, limit, now))
        reached = rows[-1][0] if len(rows) == limit or search.filled(rows) else upto
        return Page([(seq, Record(payload, signature)) for seq, payload, signature, _, _ in rows], reached)

    async def record(self, record_id: Id, now: int) -> tuple[Record, int] | None:
        """Return one live public record and when it expires."""
        query = "SELECT payload, signature, expires FROM record WHERE id = ? AND recipient IS NULL AND expires > ?"
        rows = await self._rows(query, (record_id, now))
        return (Record(rows[0][0], rows[0][1]), rows[0][2]) if rows else None

    async def _rows(self, query: str, values: Sequence[object]) -> list[Any]:
        try:
            return list(await self._reader.execute_fetchall(query, values))
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be read: {error}.") from error

    async def proof(self, key: bytes) -> Proof | None:
        """Return the kept proof of a vendor's domain; raises StoreError."""
        return await self._run(proof.read, self._writer, key)

    async def prove(self, proven: Proof) -> None:
        """Keep a proof; returns after the fsync. Raises StoreError."""
        await self._run(self._within, proof.write, proven)

    async def disprove(self, key: bytes) -> None:
        """Forget the proof of a key's domain; raises StoreError."""
        await self._run(self._within, proof.drop, key)

    async def rules(self) -> list[Rule]:
        """Return the operator's rules; raises StoreError."""
        return await self._run(rule.read, self._writer)

    async def rule(self, put: Sequence[Rule], drop: Sequence[Rule]) -> None:
        """Take rules out and put others in; raises StoreError."""
        await self._run(self._within, rule.write, put, drop)

    async def purge(self, subject: Subject, limit: int) -> list[bytes]:
        """Delete public records of a key or a category and return their ids; raises StoreError."""
        return await self._run(self._within, rule.purge, subject, limit)

    async def shorten(self, kind: str, life: int, after: int, limit: int) -> int | None:
        """End public records of a type earlier; raises StoreError."""
        return await self._run(self._within, rule.shorten, kind, life, after, limit)

    def _within(self, work: Callable[..., T], *arguments: object) -> T:
        with self._transaction():
            return work(self._writer, *arguments)

    async def census(self) -> Census:
        """Count what is stored, in a thread and through a connection of its own; raises StoreError."""
        try:
            return await asyncio.to_thread(count, self._path)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be read: {error}.") from error

    async def ping(self) -> None:
        """Prove that a write transaction can begin; raises StoreError."""
        await self._run(self._ping)

    def _ping(self) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        self._writer.execute("ROLLBACK")

    async def close(self) -> None:
        """Fold the log into the database and close both connections."""
        await self._reader.close()
        try:
            await self._run(self._close)
        finally:
            self._thread.shutdown()
            os.close(self._lock)

    def _close(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")
        self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._writer.close()

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be written: {error}.") from error


def _passing(rows: Iterable[tuple[Any, ...]], area: Area, places: Mapping[int, str]) -> list[tuple[int, Record]]:
    """Return the records of rows, without those that lie elsewhere; `places` are where a search found them."""
    return [
        (seq, Record(payload, signature))
        for seq, payload, signature, cells, countries in rows
        if not search.vague(area, places.get(seq, ""))
        or area.meets(Area(tuple(cells.split()), tuple(countries.split())))
    ]


def _admission(row: tuple[Any, ...]) -> Admission:
    person, session, until, stopped, domain = row
    return Admission(person, session, until, bool(stopped), domain)


def _row(seq: int, posting: Posting) -> tuple[object, ...]:
    return (
        seq, posting.id, posting.type, posting.author, posting.to, posting.created, posting.expires,
        " ".join(posting.cells), " ".join(posting.countries), posting.payload, posting.signature,
    )  # fmt: skip


@cache
def _repeated(head: str, part: str, times: int, tail: str) -> str:
    return f"{head} {', '.join([part] * times)} {tail}"


def create(path: Path) -> None:
    """Make the database file, or bring an older one up to date; raises StoreError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        _connect(path).close()


async def open_store(path: Path) -> SqliteStore:
    """Open a relay's database for this process alone, making or upgrading it first; raises StoreError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as opened:
        lock = _lock(path)
        opened.callback(os.close, lock)
        writer = _connect(path)
        opened.callback(writer.close)
        try:
            reader = await opened.enter_async_context(aiosqlite.connect(path, isolation_level=None))
            await reader.execute("PRAGMA query_only = ON")
            store = SqliteStore(path, writer, reader, lock)
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be opened: {error}.") from error
        opened.pop_all()
        return store


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other process from opening a database for the length of a block; raises InUse."""
    lock = _lock(path)
    try:
        yield
    finally:
        os.close(lock)


def _lock(path: Path) -> int:
    lock = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise InUse(f"{path} is in use by another relay.") from error
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    try:
        new = not path.exists()
        if new:
            # For nobody else to read: it holds the relay's own key. Its -wal and -shm take after it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=_COMPILED)
        try:
            _prepare(writer, path)
        except BaseException:
            writer.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be opened: {error}.") from error
    if new:
        # SQLite syncs the folder for its log, but not for the database file itself.
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    return writer


def _prepare(writer: sqlite3.Connection, path: Path) -> None:
    # First, because it leaves another program's file untouched.
    migrate(writer, str(path))
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA synchronous = FULL")
    writer.execute(f"PRAGMA cache_size = -{_CACHE}")
    writer.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    writer.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (os.urandom(_EPOCH),))
    writer.execute("INSERT OR IGNORE INTO meta VALUES ('seed', ?)", (os.urandom(_SEED),))
