"""What a person reads in the terminal: tables, local times, and text from strangers made harmless."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime


def plain(text: object, most: int = 60) -> str:
    """Return text from outside without control or reordering characters, cut to `most` columns."""
    kept = "".join(char for char in str(text) if unicodedata.category(char)[0] != "C")
    return kept if len(kept) <= most else kept[: most - 1] + "…"


def when(seconds: int | None) -> str:
    """Return a moment as local time."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%d %b %H:%M") if seconds else "–"


def rows(header: Sequence[str], lines: Iterable[Sequence[object]], most: int = 60) -> Iterable[str]:
    """Yield a table; yields nothing for no lines."""
    cells = [[plain(cell, most) for cell in line] for line in lines]
    if not cells:
        return
    widths = [max(len(row[at]) for row in [list(header), *cells]) for at in range(len(header))]
    for row in [list(header), *cells]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def amount(total: str | None, currency: str | None, per: str | None = None) -> str:
    """Return a price, or that none was stated."""
    unit = {"MON": " a month", "ANN": " a year"}.get(per or "", f" per {per}" if per else "")
    return f"{total} {currency}{unit}" if total else "not stated"


def turn(offer: dict[str, object]) -> str:
    """Say who acts next and by when."""
    who = {"person": "you", "vendor": "vendor", None: "nobody"}[offer["turn"]]  # type: ignore[index]
    deadline = offer["deadline"]
    return f"{who}, by {when(deadline)}" if isinstance(deadline, int) and who != "nobody" else who
