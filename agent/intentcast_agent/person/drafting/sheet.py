"""The sheet a sentence is read on: its tokens, which of them are explained already, and what was found.

A slot keeps the words it came from, so that a person sees why it is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from intentcast_agent.person.drafting.lexicon import ABBREVIATIONS, CORRECT, GERMAN, TURN
from intentcast_agent.person.drafting.tokens import Token, cut

Strength = Literal["must", "want"]
Op = Literal["eq", "le", "ge", "between"]
Value = str | tuple[str, str]
_NEARBY = 40  # tokens
MOST_SLOTS = 64
_ENDS = frozenset(",;!?()[]|\n•·")


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing a demand says: `value` is text, a decimal as text, or two of them where `op` is ``between``.

    `unit` is a UN/ECE code (of a price: per what), `currency` an ISO 4217 code; `words` are text[start:end]. What
    somebody else proposed is `suggested` and has no words.
    """

    name: str
    value: Value
    op: Op = "eq"
    unit: str | None = None
    currency: str | None = None
    strength: Strength = "must"
    words: str = ""
    start: int = 0
    end: int = 0
    suggested: bool = False


@dataclass(slots=True)
class Found:
    """A slot in the making: the tokens it spans, and a strength if its own words settle it."""

    name: str
    value: Value
    begin: int
    end: int
    op: Op = "eq"
    unit: str | None = None
    currency: str | None = None
    strength: Strength | None = None


@dataclass(slots=True)
class Sheet:
    """A sentence being read; `category` is known before the rest is."""

    text: str
    tokens: list[Token]
    taken: list[bool]
    clauses: list[int]
    german: bool
    found: list[Found] = field(default_factory=list)
    category: str = ""

    @classmethod
    def of(cls, text: str) -> "Sheet":
        """Cut a text, forgive slips of the finger, and part it into clauses."""
        raw = cut(text)
        tokens = [Token(CORRECT.correct(one.key), one.text, one.start, one.end) for one in raw]
        german = sum(one.key in GERMAN for one in tokens) * 2 > sum(one.is_word for one in tokens) / 2
        return cls(text, tokens, [False] * len(tokens), _clauses(tokens), german)

    def is_free(self, begin: int, end: int) -> bool:
        """Whether nothing has explained these tokens yet."""
        return not any(self.taken[begin:end])

    def take(self, begin: int, end: int) -> None:
        """Mark tokens as explained."""
        self.taken[begin:end] = [True] * (end - begin)

    def add(self, found: Found) -> None:
        """Keep a find, unless the same one is there already, and mark its tokens."""
        self.take(found.begin, found.end)
        if len(self.found) < MOST_SLOTS and not any(
            (one.name, one.value, one.op) == (found.name, found.value, found.op) for one in self.found
        ):
            self.found.append(found)

    def has(self, name: str) -> bool:
        """Whether a slot of this name was found."""
        return any(one.name == name for one in self.found)

    def clause(self, at: int) -> tuple[int, int]:
        """Return where the clause of a token begins and ends, as far as it is near enough to matter."""
        begin = end = at
        while begin and at - begin < _NEARBY and self.clauses[begin - 1] == self.clauses[at]:
            begin -= 1
        while end < len(self.tokens) and end - at < _NEARBY and self.clauses[end] == self.clauses[at]:
            end += 1
        return begin, end

    def key(self, at: int) -> str:
        """Return the key of a token, or nothing outside the text."""
        return self.tokens[at].key if 0 <= at < len(self.tokens) else ""

    def clause_keys(self, at: int) -> Iterator[str]:
        """Yield the keys of a token's clause."""
        begin, end = self.clause(at)
        yield from (token.key for token in self.tokens[begin:end])


def _clauses(tokens: list[Token]) -> list[int]:
    numbers, clause = [], 0
    for at, token in enumerate(tokens):
        turned = TURN.find(tokens, at) is not None
        numbers.append(clause := clause + turned)
        following = tokens[at + 1] if at + 1 < len(tokens) else None
        # "max." and "25.000,- EUR" end nothing; nor does a point inside "p.m."
        if token.text in _ENDS:
            clause += following is None or following.text != "-"
        elif token.text == "." and at:
            short = tokens[at - 1].key in ABBREVIATIONS or len(tokens[at - 1].key) == 1 or tokens[at - 1].is_number
            clause += not short and not (following is not None and following.start == token.end)
    return numbers
