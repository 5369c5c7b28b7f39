"""A copy of the database while the relay runs, its examination, and its return.

A copy is made beside its final name, checked, synced and only then renamed, so that a file of that name is whole. It
holds the relay's own key, hence mode 0600. A restored database starts a new epoch: what was given out after the copy is
not in it, and cursors from then must begin anew. PROTOCOL §9.5
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from intentcast_relay.store.contract import StoreError
from intentcast_relay.store.migration import check_version, migrate

PAGES: Final = 512  # pages copied in one step
EPOCH: Final = 8  # bytes
_BESIDE: Final = ("-wal", "-shm")
_OWN: Final = ("", "-wal", "-shm", "-lock", "-admin")

_STEPS: Final = 100_000  # of SQLite's machine between two looks whether to go on

Alive = Callable[[], bool]
Progress = Callable[[int, int], None]  # pages done, pages in all


@dataclass(frozen=True, slots=True)
class Holding:
    """What a database holds. `newest` is the latest `created` of a record, None without any."""

    schema: int
    records: dict[str, int]  # by type
    rules: int
    seq: int
    newest: int | None  # s
    size: int  # bytes


def back_up(database: Path, target: Path, progress: Progress, alive: Alive = lambda: True) -> Holding:
    """Copy a database that may be in use to `target`; blocks no writer. Raises StoreError.

    An older backup of that name is replaced, any other file is not. The work ends once it is not `alive` any more.
    """
    _check_target(database, target)
    with _fresh(target) as fresh:
        source = _open(database)
        with contextlib.closing(source):
            # With the snapshot held open a step never begins anew because of what was written since the last.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            _copy(source, fresh, progress, alive)
        holding = examine(fresh, alive)
        _sync(fresh)
        fresh.replace(target)
    sync_folder(target.parent)
    return holding


def examine(path: Path, alive: Alive = lambda: True) -> Holding:
    """Check a database or a backup and say what it holds.

    Raises StoreError: not a relay's database, made by a newer relay, or damaged.
    """
    with contextlib.closing(_open(path)) as connection:
        connection.set_progress_handler(lambda: not alive(), _STEPS)
        try:
            schema = _check_ours(connection, path)
            verdict = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
            if verdict != ["ok"]:
                raise StoreError(f"{path} is damaged: {verdict[0]}.")
            kinds = connection.execute("SELECT type, count(*) FROM record GROUP BY type ORDER BY type").fetchall()
            seq = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'record'").fetchone()
            (newest,) = connection.execute("SELECT max(created) FROM record").fetchone()
            named = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'rule'").fetchone()
            rules = connection.execute("SELECT count(*) FROM rule").fetchone()[0] if named[0] else 0
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be read: {error}.") from error
        return Holding(schema, dict(kinds), rules, seq[0] if seq else 0, newest, path.stat().st_size)


def restore(backup: Path, database: Path, *, now: int, force: bool, progress: Progress) -> tuple[Holding, Path | None]:
    """Put a backup in a database's place; the caller holds the database's lock.

    Returns what it holds, and where the database that was there before is kept. Raises StoreError: the backup is no
    whole one, or there is a database and `force` is not set.
    """
    if database.exists() and not force:
        raise StoreError(f"{database} is there already. With --force it is kept aside and replaced.")
    if database.exists() and backup.exists() and database.samefile(backup):
        raise StoreError(f"{backup} is the database itself.")
    examine(backup)
    database.parent.mkdir(parents=True, exist_ok=True)
    with _fresh(database) as fresh:
        with contextlib.closing(_open(backup)) as source:
            _copy(source, fresh, progress)
        _renew(fresh)
        holding = examine(fresh)
        _sync(fresh)
        kept = _set_aside(database, now)
        fresh.replace(database)
    sync_folder(database.parent)
    return holding, kept


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk, so that a rename in it survives a power cut."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _check_target(database: Path, target: Path) -> None:
    own = {database.resolve().with_name(database.name + tail) for tail in _OWN}
    if target.resolve() in own:
        raise StoreError(f"{target} belongs to the database itself; name another file.")
    if not target.parent.is_dir():
        raise StoreError(f"{target.parent} is no folder.")
    if target.exists():
        try:
            with contextlib.closing(_open(target)) as connection:
                _check_ours(connection, target)
        except (StoreError, sqlite3.Error) as error:
            raise StoreError(f"{target} is there already and is no backup; it stays as it is.") from error


def _open(path: Path) -> sqlite3.Connection:
    """Open a database for reading only; raises StoreError."""
    if not path.is_file():
        raise StoreError(f"{path} does not exist.")
    try:
        # Not mode=ro: to read a database whose log was left behind, SQLite has to make the index of that log.
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}.") from error
    return connection


def _check_ours(connection: sqlite3.Connection, path: Path) -> int:
    schema = check_version(connection, str(path))
    if not schema:
        raise StoreError(f"{path} is not the database of an intentcast relay.")
    return schema


@contextlib.contextmanager
def _fresh(final: Path) -> Iterator[Path]:
    """Give the name of an empty file beside the final one, for this account alone; nothing of it is left behind."""
    fresh = final.with_name(f".{final.name}.{os.getpid()}.part")
    number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.close(number)
    try:
        yield fresh
    finally:
        for tail in ("", "-journal", *_BESIDE):
            fresh.with_name(fresh.name + tail).unlink(missing_ok=True)


def _copy(source: sqlite3.Connection, fresh: Path, progress: Progress, alive: Alive = lambda: True) -> None:
    def step(_: int, left: int, total: int) -> None:
        if not alive():
            raise StoreError("The copy was given up.")
        progress(total - left, total)

    try:
        with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as target:
            # Nobody reads the file before it is synced as a whole.
            target.execute("PRAGMA synchronous = OFF")
            source.backup(target, pages=PAGES, progress=step)
            # A backup is one file; the relay that opens it turns the log on again.
            target.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StoreError(f"{fresh} cannot be written: {error}.") from error


def _renew(fresh: Path) -> None:
    """Bring a restored copy to this program's schema, in an epoch of its own."""
    with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        migrate(connection, str(fresh))
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (os.urandom(EPOCH),))


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _set_aside(database: Path, now: int) -> Path | None:
    """Keep what there is of a database under another name, its log too; returns the name, None if there is nothing.

    A log that stays beside another database would be taken for that one's.
    """
    tails = [tail for tail in ("", *_BESIDE) if database.with_name(database.name + tail).exists()]
    if not tails:
        return None
    kept = database.with_name(f"{database.name}.before-{now}")
    number = 1
    while any(kept.with_name(kept.name + tail).exists() for tail in ("", *_BESIDE)):
        number += 1
        kept = database.with_name(f"{database.name}.before-{now}-{number}")
    # Linked first and removed last: whenever the power goes, one name or the other has all of it.
    for tail in tails:
        kept.with_name(kept.name + tail).hardlink_to(database.with_name(database.name + tail))
    sync_folder(database.parent)
    for tail in _BESIDE:
        database.with_name(database.name + tail).unlink(missing_ok=True)
    sync_folder(database.parent)
    return kept
