"""The short names that only one home knows: d1 is a demand, o1 an offer, a1 an agreement, i1 an invitation."""

from typing import Final

from intentcast_protocol.identity import cid

from intentcast_agent.store import Row, Transaction

_KINDS: Final = {"d": "demand", "o": "offer", "a": "agreement", "i": "invitation"}
_LISTS: Final = {"i": "intentcast vendor invitation list"}


class NotFound(Exception):
    """There is no such demand, offer, agreement or invitation in this home."""

    def __init__(self, name: str, letter: str) -> None:
        kind = _KINDS[letter]
        hint = _LISTS.get(letter, f"intentcast {kind} list")
        super().__init__(f"There is no {kind} called {name[:80]} here. See: {hint}")


def read_number(name: str, letter: str) -> int:
    """Return the number in a short name; raises NotFound for one that cannot be."""
    digits = name.removeprefix(letter)
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 9:
        raise NotFound(name, letter)
    return int(digits)


async def find_named(tx: Transaction, table: str, name: str, letter: str) -> Row:
    """Return the row of a short name, or of a CID where the table has ids; raises NotFound."""
    if name.startswith("b") and len(name) > 20:
        rows = [row for row in await tx.all(f"SELECT * FROM {table}") if "id" in row.keys() and cid(row["id"]) == name]  # noqa: S608, SIM118
        row = rows[0] if rows else None
    else:
        row = await tx.one(f"SELECT * FROM {table} WHERE number = ?", read_number(name, letter))  # noqa: S608
    if row is None:
        raise NotFound(name, letter)
    return row
