"""How much of what a database holds: counted over indexes, through a connection of its own, so that nobody waits."""

import sqlite3
from contextlib import closing
from pathlib import Path

from intentcast_relay.metrics import Census


def count(path: Path) -> Census:
    """Count records by type, and mailboxes that hold something; raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as reader:
        records = dict(reader.execute("SELECT type, count(*) FROM record WHERE recipient IS NULL GROUP BY type"))
        sealed, mailboxes = reader.execute(
            "SELECT count(*), count(DISTINCT recipient) FROM record WHERE recipient IS NOT NULL"
        ).fetchone()
    return Census({**records, "sealed": sealed}, mailboxes)
