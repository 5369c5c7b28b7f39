"""Numbered SQL files bring a database to this program's schema, one transaction each.

``PRAGMA user_version`` counts the files that were applied; a database that is ahead is left alone.
"""

import sqlite3
from importlib.resources import files
from typing import Final

from intentcast_relay.store.contract import StoreError

APPLICATION: Final = 0x69634153  # marks the file as a relay's, so that another program's database is never altered


def scripts() -> list[str]:
    """Return the SQL of every migration in order; the first one makes version 1."""
    folder = files("intentcast_relay.store").joinpath("migrations")
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return [entry.read_text(encoding="utf-8") for entry in found]


def check_version(connection: sqlite3.Connection, path: str) -> int:
    """Return a database's schema, 0 for an empty one; raises StoreError if a newer relay or another program made it."""
    known = len(scripts())
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION and (application or version or tables):
        raise StoreError(f"{path} is not the database of an intentcast relay.")
    if version > known:
        raise StoreError(
            f"{path} was written by a newer intentcast-relay (schema {version}; this one knows {known}). "
            "Upgrade this program, or restore a backup made with it."
        )
    return int(version)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Apply the migrations a database lacks; `connection` is in autocommit mode.

    Raises StoreError for a database made by a newer relay or by another program.
    """
    steps = scripts()
    version = check_version(connection, path)
    for number, step in enumerate(steps[version:], start=version + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{step}\nPRAGMA application_id = {APPLICATION};\n"
                f"PRAGMA user_version = {number};\nCOMMIT;"
            )
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise StoreError(f"{path} cannot be brought to schema {number}: {error}.") from error
