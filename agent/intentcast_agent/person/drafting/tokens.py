"""Words cut into tokens with their places, and tables of phrases to find among them.

Linear in the text: no pattern can backtrack further than the few characters before it.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

T = TypeVar("T")
MOST = 4_000  # characters that are read; what is beyond stays text
SKIPPED = frozenset("-.'’‑‐")  # between the words of a phrase
_TOKEN = re.compile(
    r"\d{1,3}(?:[ \u00a0\u202f]\d{3}){1,3}(?![\d.,]?\d)(?! ?(?i:kw|ps|hp|gb)\b)|\d{1,15}(?:[.,'’]\d{1,15}){0,5}"
    r"|[^\W\d_](?:[^\W\d_]|[\u0300-\u036f])*|\S"
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_SHORTEST = 5  # letters a word needs before a slip of the finger is forgiven


@dataclass(frozen=True, slots=True)
class Token:
    """A word, number or sign, and where it stands; `key` is what tables know it by."""

    key: str
    text: str
    start: int
    end: int

    @property
    def is_number(self) -> bool:
        """Whether it begins with a digit."""
        return self.text[0].isdecimal()

    @property
    def is_word(self) -> bool:
        """Whether it begins with a letter."""
        return self.text[0].isalpha()


def listed(words: str) -> frozenset[str]:
    """Return words that are written with spaces between them."""
    return frozenset(words.split())


@lru_cache(4_096)
def fold(word: str) -> str:
    """Return a word without case and accents: ``Škoda`` is ``skoda``, ``Köln`` is ``koln``."""
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


def cut(text: str) -> list[Token]:
    """Cut the first MOST characters into tokens."""
    return [Token(fold(found[0]), found[0], found.start(), found.end()) for found in _TOKEN.finditer(text[:MOST])]


def spellings(phrase: str) -> Iterator[tuple[str, ...]]:
    """Yield the keys of a phrase: as written, and with ``ae`` for ``ä``."""
    lowered = unicodedata.normalize("NFC", phrase.casefold())
    for spelling in {lowered, lowered.translate(_UMLAUTS)}:
        found = tuple(token.key for token in cut(spelling) if token.key not in SKIPPED)
        if found:
            yield found


class Table(Generic[T]):
    """Phrases and what each means; at a token the longest phrase wins, and of equals the one named first."""

    __slots__ = ("_rows", "words")

    def __init__(self, rows: Iterable[tuple[str, T]]) -> None:
        self._rows: dict[str, list[tuple[tuple[str, ...], T]]] = {}
        for phrase, meaning in rows:
            for found in spellings(phrase):
                self._rows.setdefault(found[0], []).append((found, meaning))
        for row in self._rows.values():
            row.sort(key=lambda one: -len(one[0]))
        self.words = frozenset(word for row in self._rows.values() for found, _ in row for word in found)

    def find(self, tokens: Sequence[Token], at: int) -> tuple[int, T] | None:
        """Return where the longest phrase that begins at a token ends, and its meaning."""
        for phrase, meaning in self._rows.get(tokens[at].key, ()):
            end = _match(tokens, at, phrase)
            if end:
                return end, meaning
        return None

    def all(self, tokens: Sequence[Token], begin: int = 0, end: int | None = None) -> Iterator[tuple[int, int, T]]:
        """Yield every phrase between two tokens, left to right, none inside another: begin, end, meaning."""
        at, last = begin, len(tokens) if end is None else end
        while at < last:
            found = self.find(tokens, at)
            if found and found[0] <= last:
                yield at, *found
            at = found[0] if found else at + 1


def _match(tokens: Sequence[Token], at: int, phrase: tuple[str, ...]) -> int:
    for place, word in enumerate(phrase):
        while place and at < len(tokens) and tokens[at].key in SKIPPED and tokens[at].key != word:
            at += 1
        if at >= len(tokens) or tokens[at].key != word:
            return 0
        at += 1
    return at


class Vocabulary:
    """Known words, and which of them an unknown word is one slip of the finger away from."""

    __slots__ = ("_known", "_shelves")

    def __init__(self, words: Iterable[str], known: Iterable[str] = ()) -> None:
        self._shelves: dict[tuple[str, int], list[str]] = {}
        words = set(words)
        self._known = words | set(known)
        for word in sorted(words):
            if len(word) >= _SHORTEST and word.isalpha():
                self._shelves.setdefault((word[0], len(word)), []).append(word)

    def correct(self, word: str) -> str:
        """Return the one known word a slip away, with the same first letter; else the word as it is."""
        if len(word) < _SHORTEST or word in self._known or not word.isalpha():
            return word
        lengths = (len(word), len(word) + 1, len(word) - 1)
        found = [one for length in lengths for one in self._shelves.get((word[0], length), ()) if _slip(word, one)]
        return found[0] if found else word


def _slip(word: str, other: str) -> bool:
    """Whether one letter was left out, doubled, added, swapped with the next or, in six or more, mistyped."""
    if len(word) > len(other):
        return any(word[:at] + word[at + 1 :] == other for at in range(1, len(word)))
    if len(word) < len(other):
        return any(other[:at] + other[at + 1 :] == word for at in range(1, len(other)))
    wrong = [at for at in range(len(word)) if word[at] != other[at]]
    if len(wrong) == 1:
        return len(word) > _SHORTEST
    return (
        len(wrong) == 2
        and wrong[1] == wrong[0] + 1
        and word[wrong[0]] == other[wrong[1]]
        and word[wrong[1]] == other[wrong[0]]
    )
