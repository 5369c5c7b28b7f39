"""The operator's rules as rows, and what they do to records already stored; each function is one transaction's work.

A deletion or a shortening goes through the table a piece at a time, so that publishing never waits for long.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from intentcast_relay.rules import Rule, Subject

_OF_KEY: Final = (
    "SELECT seq, id FROM record WHERE author = ? AND recipient IS NULL AND type != 'demand-withdraw' LIMIT ?"
)
_OF_CATEGORY: Final = (
    "SELECT seq, id FROM (SELECT DISTINCT seq FROM topic WHERE category = ? OR (category > ? AND category < ?))"
    " CROSS JOIN record USING (seq) WHERE author NOT IN (SELECT subject FROM rule WHERE kind = 'allow') LIMIT ?"
)
_OF_TYPE: Final = (
    "SELECT seq, created, expires FROM record WHERE type = ? AND recipient IS NULL AND seq > ? ORDER BY seq LIMIT ?"
)


def read(connection: sqlite3.Connection) -> list[Rule]:
    """Return every stored rule, oldest first."""
    rows = connection.execute("SELECT kind, subject, since, until, value, note FROM rule ORDER BY since, kind, subject")
    return [Rule(*row) for row in rows]


def write(connection: sqlite3.Connection, put: Iterable[Rule], drop: Iterable[Rule]) -> None:
    """Take rules out and put others in."""
    connection.executemany("DELETE FROM rule WHERE kind = ? AND subject = ?", [(one.kind, one.subject) for one in drop])
    connection.executemany(
        "INSERT OR REPLACE INTO rule VALUES (?, ?, ?, ?, ?, ?)",
        [(one.kind, one.subject, one.since, one.until, one.value, one.note) for one in put],
    )


def purge(connection: sqlite3.Connection, subject: Subject, limit: int) -> list[bytes]:
    """Delete up to `limit` public records of a key, or of a category and all below it, and return their ids.

    Withdrawals stay, since they carry nothing but an id; so do records in a category by keys that are allowed.
    """
    if isinstance(subject, bytes):
        found = connection.execute(_OF_KEY, (subject, limit)).fetchall()
    else:
        # A range holds a category's descendants: "/" is followed by "0" in ASCII.
        found = connection.execute(_OF_CATEGORY, (subject, f"{subject}/", f"{subject}0", limit)).fetchall()
    gone = [(seq,) for seq, _ in found]
    connection.executemany("DELETE FROM topic WHERE seq = ?", gone)
    connection.executemany("DELETE FROM record WHERE seq = ?", gone)
    return [record_id for _, record_id in found]


def shorten(connection: sqlite3.Connection, kind: str, life: int, after: int, limit: int) -> int | None:
    """End the stored public records of a type at most `life` seconds after they were created.

    Goes over up to `limit` records after the place `after`; returns the last place, None once there are no more.
    """
    found = connection.execute(_OF_TYPE, (kind, after, limit)).fetchall()
    late = [(created + life, seq) for seq, created, expires in found if expires > created + life]
    connection.executemany("UPDATE record SET expires = ? WHERE seq = ?", late)
    return found[-1][0] if found else None
