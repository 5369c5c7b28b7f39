"""What a backup does to the disk: whole files written at once, and a copy of a database that is in use."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from intentcast_agent.home import sync_folder

PAGES: Final = 512  # pages copied in one step
_PIECE: Final = 64 * 1024


def write_private(path: Path, pieces: Iterable[bytes]) -> tuple[int, str]:
    """Write a file so that after a crash at any instant the old or the new one is there whole, 0600, and durable.

    Returns its size in bytes and its SHA-256 in hex. Raises OSError, and whatever making a piece raises, after which
    nothing has changed.
    """
    fresh = path.with_name(f".{path.name}.part")
    fresh.unlink(missing_ok=True)
    size, digest = 0, hashlib.sha256()
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
            file.flush()
            os.fsync(fd)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return size, digest.hexdigest()


def read_pieces(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes in pieces of 64 KiB."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give an empty folder, 0700, for the length of a block; what a crash left in it is removed first."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_database(database: Path, target: Path) -> None:
    """Copy a database that may be in use, as it is at one moment; blocks no writer. Raises sqlite3.Error."""
    with (
        contextlib.closing(sqlite3.connect(database, isolation_level=None)) as source,
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        # With the snapshot held open a step never begins anew because of what was written since the last.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        # Nobody reads the copy before it is sealed, and it is thrown away then.
        copy.execute("PRAGMA synchronous = OFF")
        source.backup(copy, pages=PAGES)
        # One file, without a log beside it; the agent that opens it turns the log on again.
        copy.execute("PRAGMA journal_mode = DELETE")
