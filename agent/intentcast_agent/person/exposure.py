"""What of a public demand might give its person away, in sentences to read before it is signed.

A demand is signed with a key of its own, so it points at nobody by itself; words, a small place and many exact wishes
still may. These are hints, not a measure: nobody can count the people who might want the same. Pure. DESIGN §4.3
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["email", "telephone", "address", "place", "exact", "wording"]
_EXACT: Final = 6  # wishes from which on a demand is like few others
_WORDS: Final = 12  # of free text, from which on a way of writing shows
_FEW: Final = 4  # squares of the finest kind
_FINEST: Final = 4  # characters of such a square
_PATTERNS: Final[Mapping[Kind, re.Pattern[str]]] = {
    "email": re.compile(r"[^\s@]{1,64}@[^\s@]{1,64}"),
    "telephone": re.compile(r"(?<!\d)(?:\+|00|0)\d(?:[ /().-]{0,2}\d){6,13}(?!\d)"),
    "address": re.compile(
        r"(?:https?://|www\.)\S|\b\w{3,40}(?:straat|weg|laan|strasse|straße|gasse)\s+\d"
        r"|\b\d{1,4}\s+\w{2,30}\s+(?:street|road|avenue|lane)\b",
        re.IGNORECASE,
    ),
}


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing that may tell who it is; `sure` where it almost certainly does."""

    kind: Kind
    sure: bool
    count: int = 0


def hints(body: Mapping[str, Any]) -> tuple[Hint, ...]:
    """Return what in a demand's body, in its form on the wire or as a view, may point at a person."""
    return tuple(_find(body))


def _find(body: Mapping[str, Any]) -> Iterator[Hint]:
    text = " ".join(str(body.get(name, "")) for name in ("name", "description"))[:10_000]
    for kind, pattern in _PATTERNS.items():
        if pattern.search(text):
            yield Hint(kind, True)
    area = body.get("areaServed")
    cells = area.get("cells", []) if isinstance(area, Mapping) else []
    if cells and len(cells) <= _FEW and all(len(str(cell)) >= _FINEST for cell in cells):
        yield Hint("place", False, len(cells))
    exact = len(body.get("constraints", ()))
    if exact >= _EXACT:
        yield Hint("exact", False, exact)
    words = len(text.split())
    if words >= _WORDS:
        yield Hint("wording", False, words)
