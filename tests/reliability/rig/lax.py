"""A relay whose database waits for the disk less than it should: ``python lax.py NORMAL serve …``.

SQLite's ``synchronous`` is NORMAL or OFF, whatever the relay asks for. The tests of durability must turn red on it:
this is the test of the tests, and lives outside the product, which has no such switch.
"""

import sqlite3
import sys
from typing import Any

_level = sys.argv[1] if len(sys.argv) > 1 else "NORMAL"
_connect = sqlite3.connect


class Lax(sqlite3.Connection):
    """A connection that cannot be made safe."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        super().execute(f"PRAGMA synchronous = {_level}")

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Run a statement, unless it would raise the level again."""
        return super().execute("SELECT 1" if "synchronous" in sql.lower() else sql, *values)


def connect(*arguments: Any, **named: Any) -> sqlite3.Connection:
    """Open a database laxly."""
    opened: sqlite3.Connection = _connect(*arguments, **{**named, "factory": Lax})
    return opened


if __name__ == "__main__":
    sqlite3.connect = sqlite3.dbapi2.connect = connect  # type: ignore[assignment]
    from intentcast_relay import cli

    cli.main(sys.argv[2:])
