"""The agent's database: one transaction an effect, private columns sealed, numbered migrations.

A commit is on the disk when `transaction` ends (WAL, synchronous=FULL). One task at a time has a transaction, so what a
function reads in it is still true when it writes.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import aiosqlite

from intentcast_agent.columns import ColumnSeal

# What is erased is overwritten too, whatever SQLite was built with: an erased key must not be found in a free page.
_PRAGMAS = (
    "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 5000", "secure_delete = ON",
)  # fmt: skip
Row = sqlite3.Row
Value = bytes | str | int | None


class StoreNewer(Exception):
    """The database was written by a newer intentcast."""

    def __str__(self) -> str:
        return "This agent's database was written by a newer intentcast. Install that version, or restore a backup."


class Transaction:
    """Statements that become durable together, or not at all.

    Each is one visit to the database's thread, since going there and back is what a small statement costs.
    """

    def __init__(self, db: aiosqlite.Connection, columns: ColumnSeal) -> None:
        self._db = db
        self._columns = columns

    async def run(self, sql: str, *values: Value) -> int:
        """Run one statement and return the rowid it inserted, or the number of rows it changed."""
        # The statement is done once it was executed: closing its cursor would be a visit for nothing.
        cursor = await self._db.execute(sql, values)
        return (cursor.lastrowid or 0) if sql.startswith("INSERT") else cursor.rowcount

    async def one(self, sql: str, *values: Value) -> Row | None:
        """Return the first row, or None."""
        rows = await self.all(sql, *values)
        return rows[0] if rows else None

    async def all(self, sql: str, *values: Value) -> list[Row]:
        """Return all rows."""
        return list(await self._db.execute_fetchall(sql, values))

    @property
    def changes(self) -> int:
        """Return how many rows were ever changed over this connection: while it stays, so does what was read."""
        return int(self._db.total_changes)

    async def number(self, table: str) -> int:
        """Return the next number people call a row of `table` by; numbers are never used twice."""
        row = await self.one(f"SELECT coalesce(max(number), 0) + 1 FROM {table}")  # noqa: S608 (our own names)
        return int(row[0]) if row else 1

    def seal(self, table: str, column: str, row: bytes | str | int, plain: bytes) -> bytes:
        """Encrypt a private cell. Raises nothing a caller could mend."""
        return self._columns.seal(table, column, row, plain)

    def open(self, table: str, column: str, row: bytes | str | int, cell: bytes) -> bytes:
        """Decrypt a private cell; raises ColumnDamaged."""
        return self._columns.open(table, column, row, cell)

    async def get_private(self, name: str) -> Any:
        """Return a private JSON value, or None."""
        row = await self.one("SELECT value FROM private WHERE name = ?", name)
        return json.loads(self.open("private", "value", name, row["value"])) if row else None

    async def put_private(self, name: str, value: Any) -> None:
        """Keep a private JSON value."""
        cell = self.seal("private", "value", name, json.dumps(value).encode())
        await self.run("INSERT OR REPLACE INTO private (name, value) VALUES (?, ?)", name, cell)


class Store:
    """The open database; make one with `open_store`."""

    def __init__(self, db: aiosqlite.Connection, columns: ColumnSeal) -> None:
        self._db = db
        self._columns = columns
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Run a block as one durable transaction; an exception undoes all of it."""
        async with self._lock:
            try:
                # Within `try`: a task that is cancelled while it begins has begun all the same.
                await self._db.execute("BEGIN IMMEDIATE")
                yield Transaction(self._db, self._columns)
                await self._db.commit()
            except BaseException:
                await self._db.rollback()
                raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """Run a block that only reads, on one consistent state."""
        async with self._lock:
            yield Transaction(self._db, self._columns)

    async def close(self) -> None:
        """Close the database after whatever runs now."""
        async with self._lock:
            await self._db.close()


async def open_store(path: Path, data_key: bytes) -> Store:
    """Open or create the database and bring its schema up to date; raises StoreNewer or sqlite3.Error."""
    opening = asyncio.ensure_future(_open(path, data_key))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        # The database's thread must not outlive the loop it answers to.
        await (await opening).close()
        raise


async def _open(path: Path, data_key: bytes) -> Store:
    path.touch(mode=0o600)
    db = await aiosqlite.connect(path, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        for pragma in _PRAGMAS:
            await db.execute(f"PRAGMA {pragma}")
        await _migrate(db, _steps())
    except BaseException:
        await db.close()
        raise
    return Store(db, ColumnSeal(data_key))


def _steps() -> list[str]:
    folder = resources.files("intentcast_agent") / "migrations"
    return [
        item.read_text() for item in sorted(folder.iterdir(), key=lambda item: item.name) if item.name.endswith(".sql")
    ]


async def _migrate(db: aiosqlite.Connection, steps: Iterable[str]) -> None:
    steps = list(steps)
    async with db.execute("PRAGMA user_version") as cursor:
        row = await cursor.fetchone()
    version = int(row[0]) if row else 0
    if version > len(steps):
        raise StoreNewer
    for number, step in enumerate(steps[version:], version + 1):
        await db.executescript(f"BEGIN IMMEDIATE;\n{step}\nPRAGMA user_version = {number};\nCOMMIT;")
