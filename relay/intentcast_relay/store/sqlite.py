# ruff: noqa: S608 (every statement is put together from this file's own words; values are always bound)
"""SQLite: one file, a write-ahead log, and a commit that returns once the disk has it.

One thread owns the writing connection and commits whole batches; reads go through their own connection and see every
commit that was acknowledged before they began. ``synchronous=FULL`` makes each commit an fsync of the log.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
from intentcast_protocol.area import Area
from intentcast_protocol.encoding import decode
from intentcast_protocol.identity import Id, Key
from intentcast_protocol.record import Record, Verified
from intentcast_protocol.subscription import CATEGORY, Filter, topic

from intentcast_relay.store.contract import Admission, Changes, Held, Page, Shelf, StoreError, Wanted
from intentcast_relay.store.migration import migrate

T = TypeVar("T")
_EPOCH: Final = 8
_HELD: Final = "seq, id, type, author, recipient, created, expires, length(payload)"
_INSERT: Final = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADMIT: Final = "INSERT OR REPLACE INTO admission VALUES (?, ?, ?, ?)"


class SqliteStore:
    """The contract's storage over one SQLite file; made by `open_store`."""

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: aiosqlite.Connection, lock: int) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        (self._epoch,) = writer.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        row = writer.execute("SELECT seq FROM sqlite_sequence WHERE name = 'record'").fetchone()
        self._seq = row[0] if row else 0

    @property
    def epoch(self) -> bytes:
        """Eight random bytes made with the file."""
        return bytes(self._epoch)

    @property
    def seq(self) -> int:
        """The last sequence number given out."""
        return int(self._seq)

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
            self._writer.execute("COMMIT")
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
        for pair in wanted.pairs:
            found = self._writer.execute("SELECT * FROM admission WHERE person = ? AND session = ?", pair).fetchone()
            if found:
                shelf.admissions[pair] = Admission(found[0], found[1], found[2], bool(found[3]))
        sums = "SELECT recipient, count(*), sum(length(payload)) FROM record WHERE recipient IN"
        for mailbox, items, size in self._among(sums, wanted.mailboxes, "GROUP BY recipient"):
            shelf.items[mailbox], shelf.bytes[mailbox] = items, size
        strangers = {person for person, session in wanted.pairs if (person, session) not in shelf.admissions}
        demands = "SELECT author, payload FROM record WHERE recipient IS NULL AND type = 'demand' AND author IN"
        for author, payload in self._among(demands, strangers):
            shelf.demands[author] = decode(payload)["body"]
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
            write.executemany("DELETE FROM topic WHERE seq = ?", gone)
            write.executemany("DELETE FROM record WHERE seq = ?", gone)
        if changes.insert:
            topics: list[tuple[str, int]] = []
            rows = [_row(seq, record, topics) for seq, record in changes.insert.items()]
            write.executemany(_INSERT, rows)
            if topics:
                write.executemany("INSERT OR IGNORE INTO topic VALUES (?, ?)", topics)
        if changes.admit:
            write.executemany(_ADMIT, [(a.person, a.session, a.until, a.stopped) for a in changes.admit.values()])

    async def sweep(self, now: int, limit: int) -> int:
        """Delete up to `limit` ended records and admissions; raises StoreError."""
        return await self._run(self._sweep, now, limit)

    def _sweep(self, now: int, limit: int) -> int:
        write = self._writer
        ended = write.execute("SELECT seq FROM record WHERE expires <= ? LIMIT ?", (now, limit)).fetchall()
        lapsed = write.execute(
            "SELECT person, session FROM admission WHERE until <= ? LIMIT ?", (now, limit)
        ).fetchall()
        if ended or lapsed:
            with self._transaction():
                write.executemany("DELETE FROM topic WHERE seq = ?", ended)
                write.executemany("DELETE FROM record WHERE seq = ?", ended)
                write.executemany("DELETE FROM admission WHERE person = ? AND session = ?", lapsed)
        return len(ended) + len(lapsed)

    async def public(self, wanted: Filter, after: int, upto: int, limit: int, now: int) -> Page:
        """Return live public records that pass a filter, by the most selective index the filter offers."""
        query, values = public_query(wanted, after, upto, limit, now)
        rows = await self._rows(query, *values)
        reached = rows[-1][0] if len(rows) == limit else upto
        return Page(
            [
                (seq, Record(payload, signature))
                for seq, payload, signature, cells, countries in rows
                if wanted.area.meets(Area(tuple(cells.split()), tuple(countries.split())))
            ],
            reached,
        )

    async def mailbox(self, key: Key, after: int, upto: int, limit: int, now: int) -> Page:
        """Return the live sealed records addressed to one key."""
        query = (
            "SELECT seq, payload, signature FROM record"
            " WHERE recipient = ? AND seq > ? AND seq <= ? AND expires > ? ORDER BY seq LIMIT ?"
        )
        rows = await self._rows(query, key, after, upto, now, limit)
        reached = rows[-1][0] if len(rows) == limit else upto
        return Page([(seq, Record(payload, signature)) for seq, payload, signature in rows], reached)

    async def record(self, record_id: Id, now: int) -> tuple[Record, int] | None:
        """Return one live public record and when it expires."""
        query = "SELECT payload, signature, expires FROM record WHERE id = ? AND recipient IS NULL AND expires > ?"
        rows = await self._rows(query, record_id, now)
        return (Record(rows[0][0], rows[0][1]), rows[0][2]) if rows else None

    async def _rows(self, query: str, *values: object) -> list[Any]:
        try:
            return list(await self._reader.execute_fetchall(query, values))
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


def public_query(wanted: Filter, after: int, upto: int, limit: int, now: int) -> tuple[str, tuple[object, ...]]:
    """Return the statement and values that find what a filter may pass; its area is left to the reader of the rows."""
    where = ["record.recipient IS NULL", "record.seq > ?", "record.seq <= ?", "record.expires > ?"]
    values: list[object] = [after, upto, now]
    source = "record"
    if wanted.authors:
        where.append(f"record.author IN ({', '.join('?' * len(wanted.authors))})")
        values += wanted.authors
    if wanted.types:
        where.append(f"record.type IN ({', '.join('?' * len(wanted.types))})")
        values += wanted.types
    if wanted.categories:
        # The plus signs keep the planner from walking all places instead of the categories.
        # A range holds a category's descendants: "/" is followed by "0" in ASCII.
        below = " OR ".join(["category = ? OR (category > ? AND category < ?)"] * len(wanted.categories))
        source = f"(SELECT DISTINCT seq FROM topic WHERE ({below}) AND +seq > ? AND +seq <= ?) AS hit CROSS JOIN record"
        where.append("record.seq = hit.seq")
        ranges = [bound for path in wanted.categories for bound in (path, f"{path}/", f"{path}0")]
        values = [*ranges, after, upto, *values]
    select = f"SELECT record.seq, payload, signature, cells, countries FROM {source}"
    return f"{select} WHERE {' AND '.join(where)} ORDER BY record.seq LIMIT ?", (*values, limit)


def _row(seq: int, record: Verified, topics: list[tuple[str, int]]) -> tuple[object, ...]:
    cells = countries = ""
    if record.to is None:
        categories, area = topic(record)
        cells, countries = " ".join(area.cells), " ".join(area.countries)
        # What is no path of slugs can be asked for by no filter.
        topics += [(path, seq) for path in categories if CATEGORY.fullmatch(path)]
    raw = record.record
    return (
        seq, record.id, record.type, record.author, record.to, record.created, record.expires,
        cells, countries, raw.payload, raw.signature,
    )  # fmt: skip


def create(path: Path) -> None:
    """Make the database file, or bring an older one up to date; raises StoreError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        _connect(path).close()
    finally:
        os.close(lock)


async def open_store(path: Path) -> SqliteStore:
    """Open a relay's database for this process alone, making or upgrading it first; raises StoreError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        writer = _connect(path)
        reader = await aiosqlite.connect(path, isolation_level=None)
        await reader.execute("PRAGMA query_only = ON")
    except BaseException:
        os.close(lock)
        raise
    return SqliteStore(path, writer, reader, lock)


def _lock(path: Path) -> int:
    lock = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreError(f"{path} is in use by another relay.") from error
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    try:
        new = not path.exists()
        writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(writer, path)
        except BaseException:
            writer.close()
            raise
    except sqlite3.Error as error:
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
    writer.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (os.urandom(_EPOCH),))
