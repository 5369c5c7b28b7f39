"""Making a backup: a copy of the database at one moment, the keystore and the settings, sealed into one file."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from intentcast_agent.backup.container import MAGIC, Head, seal
from intentcast_agent.backup.contents import DATABASE, KEY_FILE, LARGEST_SMALL, Item, pack, places
from intentcast_agent.backup.disk import copy_database, read_pieces, staging, write_private
from intentcast_agent.backup.errors import BackupError, BackupRefused
from intentcast_agent.home import Home
from intentcast_agent.keystore import KeystoreError, status
from intentcast_agent.passphrase import LONGEST_PASSPHRASE, MODERATE, SALT_BYTES, Cost

_ONE = threading.Lock()  # the copy has one place, and the home one process


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that is on the disk. `fingerprint` is the SHA-256 of the file in hex, `made` in seconds."""

    path: Path
    made: int
    size: int
    fingerprint: str


def create(
    home: Home, target: Path, passphrase: bytes, *, now: int, replace: bool = False, cost: Cost = MODERATE
) -> Made:
    """Write a backup of a home, which may be at work, to `target`; it is durable on return, and 0600.

    The caller's process holds the home's lock. Blocks on the disk and on argon2id, so an event loop calls it in a
    thread. Raises BackupRefused: no usable passphrase, a target that is there already, unless `replace` is set and it
    is a backup; BackupError if the disk or the database refuses, after which nothing has changed.
    """
    if not 0 < len(passphrase) <= LONGEST_PASSPHRASE:
        raise BackupRefused(f"A backup needs a passphrase of 1 to {LONGEST_PASSPHRASE} bytes.")
    _check_target(home, target, replace=replace)
    head = Head(now, cost, os.urandom(SALT_BYTES))
    try:
        with _ONE, staging(home.database.with_name("backing-up")) as folder:
            copy = folder / DATABASE
            copy_database(home.database, copy)
            # After the database, so that every key it speaks of is there.
            items = [Item(DATABASE, copy.stat().st_size, lambda: read_pieces(copy)), *_small(home)]
            size, digest = write_private(target, seal(head, passphrase, pack(version("intentcast"), items)))
    except OSError as error:
        raise BackupError(f"The backup could not be written to {target}: {error.strerror}.") from error
    except KeystoreError as error:
        raise BackupError(str(error)) from error
    except sqlite3.Error as error:
        raise BackupError(f"The agent's database could not be copied: {error}. See: intentcast doctor") from error
    return Made(target, now, size, digest)


def _check_target(home: Home, target: Path, *, replace: bool) -> None:
    if not target.is_absolute():
        raise BackupRefused(f"{target} is not a whole path.")
    if not target.parent.is_dir():
        raise BackupRefused(f"There is no folder {target.parent}. Make it first, or name another file.")
    if target in places(home).values():
        raise BackupRefused(f"{target} belongs to the agent itself. Name another file.")
    if not target.exists():
        return
    if not replace:
        raise BackupRefused(f"{target} exists already. Name another file, or replace that backup with --replace.")
    start = b""
    with contextlib.suppress(OSError):
        start = _start_of(target)
    if start != MAGIC:
        raise BackupRefused(f"{target} is there already and is no backup; it stays as it is. Name another file.")


def _start_of(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(len(MAGIC))


def _small(home: Home) -> Iterator[Item]:
    """Read the keystore, the key file that opens it, and the settings, as far as there are any."""
    for name, path in places(home).items():
        if name == DATABASE or (name == KEY_FILE and status(home.keystore) != "keyfile") or not path.exists():
            continue
        with path.open("rb") as file:
            content = file.read(LARGEST_SMALL + 1)
        if len(content) > LARGEST_SMALL:
            raise BackupError(f"{path} is larger than it can be. See: intentcast doctor")
        yield _item(name, content)


def _item(name: str, content: bytes) -> Item:
    return Item(name, len(content), lambda: [content])
