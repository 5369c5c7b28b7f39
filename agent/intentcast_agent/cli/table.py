"""What goes to the terminal: tables, local times, JSON, and text from strangers made harmless."""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

# What json.dumps leaves as it is and a terminal may obey: C1 controls, reordering and invisible marks, line ends.
_UNSEEN = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def plain(text: object, most: int = 60) -> str:
    """Return text from outside on one line, without control or reordering characters, cut to `most` columns."""
    spaced = " ".join(str(text).split())
    kept = "".join(char for char in spaced if unicodedata.category(char)[0] != "C")
    if _width(kept) <= most:
        return kept
    room, end = most - 1, 0
    for end, char in enumerate(kept):  # noqa: B007
        room -= _width(char)
        if room < 0:
            break
    return kept[:end] + "…"


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, on one line unless indented, that no terminal takes for a command."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def when(seconds: int | None) -> str:
    """Return a moment as local time."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%d %b %H:%M") if seconds else "–"


def rows(header: Sequence[str], lines: Iterable[Sequence[object]], most: int = 60) -> Iterable[str]:
    """Yield a table; yields nothing for no lines."""
    cells = [[plain(cell, most) for cell in line] for line in lines]
    if not cells:
        return
    widths = [max(_width(row[at]) for row in [list(header), *cells]) for at in range(len(header))]
    for row in [list(header), *cells]:
        yield "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()


def amount(total: str | None, currency: str | None, per: str | None = None) -> str:
    """Return a price, or that none was stated."""
    unit = {"MON": " a month", "ANN": " a year"}.get(per or "", f" per {per}" if per else "")
    return f"{total} {currency}{unit}" if total else "not stated"


def domain(offer: dict[str, object]) -> str:
    """Say how many relays have seen a vendor's domain; one without any is a claim, and shown as such."""
    return "–" if offer["domain"] is None else str(offer["witnessed"]).removeprefix("domain ")


def turn(offer: dict[str, object]) -> str:
    """Say who acts next and by when."""
    who = {"person": "you", "vendor": "vendor", None: "nobody"}[offer["turn"]]  # type: ignore[index]
    deadline = offer["deadline"]
    return f"{who}, by {when(deadline)}" if isinstance(deadline, int) and who != "nobody" else who
