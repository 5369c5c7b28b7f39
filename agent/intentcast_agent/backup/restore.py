"""Putting a backup back: proven first, marked as restored while nobody can use it, then moved into the home."""

import contextlib
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from intentcast_agent.backup.contents import places
from intentcast_agent.backup.disk import read_pieces, staging, write_private
from intentcast_agent.backup.errors import BackupError, BackupRefused
from intentcast_agent.backup.examine import AskPassphrase, Holding, examine, unpack_into
from intentcast_agent.home import Home, sync_folder
from intentcast_agent.restore import note_restored
from intentcast_agent.store import open_store

_LOGS = ("-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back, and where the files lie that were there before."""

    holding: Holding
    aside: tuple[Path, ...]


async def verify(backup: Path, passphrase: bytes, ask: AskPassphrase, *, within: Path | None = None) -> Holding:
    """Prove that a backup would restore, in a folder that is gone afterwards; return what it holds.

    `within` is the folder to work in, the system's own for such things without it: 0700 on the way, either way.
    Raises BackupError as `unpack_into` and `examine` do.
    """
    with tempfile.TemporaryDirectory(prefix="verifying-", dir=within) as folder:
        staged, made = unpack_into(Path(folder), backup, passphrase)
        holding, _ = await examine(staged, made, ask)
        return holding


async def restore(
    home: Home, backup: Path, passphrase: bytes, ask: AskPassphrase, *, now: int, replace: bool = False
) -> Restored:
    """Put a backup into an empty home, or with `replace` in the place of what is there, which is kept aside.

    The caller holds the home's lock. Nothing in the home changes before the backup is proven. Afterwards the agent
    signs nothing but `resume` in a session until its peer has returned what is missing. Should the machine die on the
    way, the home does not open, and restoring again with `replace` mends it.
    Raises BackupRefused if the home is not empty, and BackupError as `verify` does. PROTOCOL §8.8
    """
    there = check_room(home, replace=replace)
    try:
        with staging(home.database.with_name("restoring")) as folder:
            staged, made = unpack_into(folder, backup, passphrase)
            holding, keystore = await examine(staged, made, ask)
            store = await open_store(staged.database, keystore.data_key)
            try:
                async with store.transaction() as tx:
                    await note_restored(tx, now, made)
            finally:
                await store.close()
            _fold_log(staged.database)
            aside = tuple(_set_aside(path, now) for path in there)
            for path, final in zip(places(staged).values(), places(home).values(), strict=True):
                if path.exists():
                    write_private(final, read_pieces(path))
    except OSError as error:
        raise BackupError(f"The home could not be written: {error.strerror}. Try again with --replace.") from error
    return Restored(holding, aside)


def check_room(home: Home, *, replace: bool) -> list[Path]:
    """Return the files of an agent that are in the way; raises BackupRefused if there are any and `replace` is not set.

    The keystore comes first, so that nothing can be signed over what is left. A database's log is one of them: it would
    be taken for that of the database to come.
    """
    paths = list(reversed(places(home).values()))
    paths += [home.database.with_name(home.database.name + tail) for tail in _LOGS]
    there = [path for path in paths if path.exists()]
    if there and not replace:
        raise BackupRefused(
            f"There is an agent in {home.database.parent} already. Name an empty folder with INTENTCAST_HOME, or "
            "put the backup in its place with --replace: what is there is kept aside."
        )
    return there


def _set_aside(path: Path, now: int) -> Path:
    # A log keeps the ending by which its database finds it.
    tail = next((tail for tail in _LOGS if path.name.endswith(tail)), "")
    aside = path.with_name(f"{path.name.removesuffix(tail)}.replaced-{now}{tail}")
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def _fold_log(database: Path) -> None:
    """Bring everything into the one file that is moved."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
