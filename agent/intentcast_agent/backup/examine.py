"""Proving that a backup would restore: by restoring it where nobody looks, and reading all of it.

The keystore is opened, the database brought to this version's schema and checked page by page, every private cell
unsealed, every session read, every agreement verified from its own bytes.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from intentcast_protocol.agreement import verify_agreement
from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.negotiation import read_session

from intentcast_agent.backup.container import open_chunks, read_head
from intentcast_agent.backup.contents import places, unpack
from intentcast_agent.backup.disk import write_private
from intentcast_agent.backup.errors import BackupDamaged, BackupError, BackupLocked, BackupNewer
from intentcast_agent.columns import ColumnDamaged, ColumnSeal
from intentcast_agent.home import Home, find_home
from intentcast_agent.keystore import Keystore, KeystoreError, MemoryShort, PassphraseNeeded, WrongPassphrase
from intentcast_agent.keystore import open_keystore as unlock
from intentcast_agent.restore import UNENDED
from intentcast_agent.settings import SettingsError, policy_path, read_settings
from intentcast_agent.store import StoreNewer, open_store
from intentcast_agent.vendor.entry import PolicyError
from intentcast_agent.vendor.policy import read_policy

# Every sealed column, with the primary key it is bound to: table, column, key.
CELLS: Final = (
    ("draft", "secrets", "number"),
    ("demand", "seed", "id"),
    ("demand", "offer_secret", "id"),
    ("demand", "private", "id"),
    ("session", "snapshot", "key"),
    ("session", "seed", "key"),
    ("message", "record", "id"),
    ("evidence", "record", "id"),
    ("reply_key", "secret", "public"),
    ("agreement", "bundle", "id"),
    ("private", "value", "name"),
    ("invitation", "chain", "id"),
    ("mandate", "instructions", "demand"),
    ("mandate", "reason", "demand"),
    ("act", "why", "number"),
    ("idempotency", "request", "key"),
    ("idempotency", "answer", "key"),
)
_CHECKS: Final[dict[tuple[str, str], Callable[[bytes], object]]] = {
    ("session", "snapshot"): read_session,
    ("agreement", "bundle"): verify_agreement,
}
AskPassphrase = Callable[[], bytes | None]


@dataclass(frozen=True, slots=True)
class Holding:
    """What a backup holds. `made` is when it was made, `since` the oldest thing in it, both in seconds.

    `notes` are sentences on settings that this version cannot use, which stop no restoring.
    """

    made: int
    since: int | None
    schema: int
    demands: int
    open_demands: int
    sessions: int
    open_sessions: int
    agreements: int
    disclosures: int
    stock: int
    cells: int
    relays: tuple[str, ...]
    protected: bool
    notes: tuple[str, ...]


def unpack_into(folder: Path, backup: Path, passphrase: bytes) -> tuple[Home, int]:
    """Put the files of a backup into an empty folder, each 0600; return the home it makes, and when it was made.

    Raises BackupError as `container.open_chunks` and `contents.unpack` do, and if the disk refuses.
    """
    staged = find_home({"INTENTCAST_HOME": str(folder)})
    paths = places(staged)

    def write(name: str, pieces: Iterator[bytes]) -> None:
        write_private(paths[name], pieces)

    try:
        with backup.open("rb") as source:
            made = read_head(source)[0].made
            source.seek(0)
            unpack(open_chunks(source, passphrase), write)
    except OSError as error:
        raise BackupError(f"The backup {backup} could not be unpacked: {error.strerror}.") from error
    return staged, made


async def examine(staged: Home, made: int, ask: AskPassphrase) -> tuple[Holding, Keystore]:
    """Prove an unpacked backup, whose database is brought to this schema; return what it holds and its keystore.

    `ask` is called for the passphrase of the keystore in it, if that has one. Raises BackupLocked, BackupDamaged,
    BackupNewer.
    """
    keystore = _open_keystore(staged, ask)
    try:
        store = await open_store(staged.database, keystore.data_key)
        await store.close()
        holding = await asyncio.to_thread(_read_all, staged, made, keystore)
    except StoreNewer:
        raise BackupNewer(
            "The database in this backup was written by a newer intentcast. Install that version, then try again."
        ) from None
    except sqlite3.Error as error:
        raise BackupDamaged(f"The database in this backup is damaged: {error}. Use another copy of it.") from error
    return holding, keystore


def _open_keystore(staged: Home, ask: AskPassphrase) -> Keystore:
    try:
        try:
            return unlock(staged.keystore, None)
        except PassphraseNeeded:
            return unlock(staged.keystore, ask())
    except PassphraseNeeded:
        raise BackupLocked(
            "The keystore in this backup has a passphrase of its own. Type it when asked, or name a file that holds it "
            "with --keystore-passphrase-file."
        ) from None
    except WrongPassphrase:
        raise BackupLocked("The backup opens, but that is not the passphrase of the keystore in it.") from None
    except MemoryShort as error:
        raise BackupError(str(error)) from None
    except KeystoreError:
        raise BackupDamaged("The keystore in this backup is damaged. Use another copy of it.") from None


def _read_all(staged: Home, made: int, keystore: Keystore) -> Holding:
    with contextlib.closing(sqlite3.connect(staged.database, isolation_level=None)) as db:
        (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        cells = sum(_read_cells(db, ColumnSeal(keystore.data_key), *place) for place in CELLS)
        (since,) = db.execute(
            "SELECT min(at) FROM (SELECT min(made) AS at FROM reply_key UNION SELECT min(made) FROM outbox "
            "UNION SELECT min(processed) FROM message UNION SELECT min(at) FROM agreement UNION "
            "SELECT min(made) FROM draft UNION SELECT min(at) FROM answered)"
        ).fetchone()
        relays, notes = _read_settings(staged)
        return Holding(
            made=made,
            since=since,
            schema=db.execute("PRAGMA user_version").fetchone()[0],
            demands=_count(db, "demand"),
            open_demands=_count(db, "demand WHERE state = 'open'"),
            sessions=_count(db, "session"),
            open_sessions=_count(db, f"session WHERE {UNENDED}"),
            agreements=_count(db, "agreement"),
            disclosures=_count(db, "ledger"),
            stock=_count(db, "stock"),
            cells=cells,
            relays=relays,
            protected=keystore.is_passphrase_protected,
            notes=notes,
        )


def _read_cells(db: sqlite3.Connection, seal: ColumnSeal, table: str, column: str, key: str) -> int:
    """Unseal a column row by row, and read what is in it where that proves more; return how many there were."""
    number, check = 0, _CHECKS.get((table, column), bytes)
    sql = f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608 (our own names)
    for row, cell in db.execute(sql):
        try:
            check(seal.open(table, column, row, cell))
        except (ColumnDamaged, IntentcastError) as error:
            raise BackupDamaged(f"{error} A backup of it cannot be trusted: use an older one.") from error
        number += 1
    return number


def _count(db: sqlite3.Connection, what: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {what}").fetchone()[0])  # noqa: S608 (our own names)


def _read_settings(staged: Home) -> tuple[tuple[str, ...], tuple[str, ...]]:
    relays: tuple[str, ...] = ()
    notes = []
    try:
        relays = read_settings(staged).relays
    except SettingsError:
        notes.append("Its config.toml cannot be used by this version; correct it after restoring.")
    if policy_path(staged).exists():
        try:
            read_policy(policy_path(staged).read_text(encoding="utf-8"))
        except (PolicyError, UnicodeDecodeError) as error:
            notes.append(f"Its policy.toml cannot be used by this version; correct it after restoring: {error}")
    return relays, tuple(notes)
