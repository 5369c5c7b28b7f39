"""Proven domains and used invitations as rows; each function is a part of one transaction's work."""

import sqlite3
from collections.abc import Mapping

from intentcast_relay.store.contract import Proof, Used


def read(connection: sqlite3.Connection, key: bytes) -> Proof | None:
    """Return the kept proof of a key's domain."""
    row = connection.execute("SELECT key, domain, seen, expires FROM domain_proof WHERE key = ?", (key,)).fetchone()
    return Proof(*row) if row else None


def write(connection: sqlite3.Connection, proof: Proof) -> None:
    """Keep a proof in the place of the key's last one."""
    connection.execute("INSERT OR REPLACE INTO domain_proof VALUES (?, ?, ?, ?)", proof)


def drop(connection: sqlite3.Connection, key: bytes) -> None:
    """Forget the proof of a key's domain."""
    connection.execute("DELETE FROM domain_proof WHERE key = ?", (key,))


def use(connection: sqlite3.Connection, used: Mapping[bytes, Used]) -> None:
    """Write down how often invitations were used, by their ids."""
    rows = [(link, *count) for link, count in used.items()]
    connection.executemany("INSERT OR REPLACE INTO invitation VALUES (?, ?, ?)", rows)


def over(connection: sqlite3.Connection, now: int) -> int:
    """Return 1 if any invitation or proof has ended by `now`, so that an idle sweep writes nothing."""
    (found,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM invitation WHERE until <= ?1)"
        " OR EXISTS (SELECT 1 FROM domain_proof WHERE expires <= ?1)",
        (now,),
    ).fetchone()
    return int(found)


def sweep(connection: sqlite3.Connection, now: int, limit: int) -> int:
    """Delete up to `limit` each of invitations and proofs that ended by `now`; return how many."""
    swept = 0
    for table, name, end in (("invitation", "id", "until"), ("domain_proof", "key", "expires")):
        ended = f"SELECT {name} FROM {table} WHERE {end} <= ? LIMIT ?"  # noqa: S608 (the words above)
        swept += connection.execute(f"DELETE FROM {table} WHERE {name} IN ({ended})", (now, limit)).rowcount  # noqa: S608
    return swept
