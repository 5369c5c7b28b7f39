"""What the operator decided, as a book of rules that answers at once: bans, allowances, limits and lives of records.

    ban        a key or a category (and all below it), perhaps for a time; the note is told to whom it hits
    allow      a key: no category ban and no quota touches it
    limit      a number of the configuration's ``[limits]``, in place of the file's
    retention  days that public records of a type are kept at most, counted from `created`

A key has one rule: to allow it lifts its ban, and to ban it ends its allowance. A withdrawal is never refused, since it
takes something away. Nothing here reads a clock or a database. PROTOCOL §9.12; deploy/README.md, "Rules"
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from intentcast_protocol.errors import InvalidMessage, Refused
from intentcast_protocol.identity import Key, did, parse_did
from intentcast_protocol.limits import MAX_LIFE
from intentcast_protocol.subscription import CATEGORY

Kind = Literal["ban", "allow", "limit", "retention"]
Subject = bytes | str  # a key, or the name of a category, a limit or a type

DENIED: Final = "refused.policy.denied"
DAY: Final = 86_400
MAX_NOTE: Final = 200  # characters
MAX_TERM: Final = 3_650 * DAY  # s
MAX_RULES: Final = 100_000
# A withdrawal has to outlive its demand, so it is kept for as long as its author said.
RETAINED: Final = ("demand", "profile")
_TERM: Final = re.compile(r"([1-9][0-9]{0,8})([smhdw])", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": DAY, "w": 7 * DAY}
_OPPOSITE: Final[dict[Kind, Kind]] = {"ban": "allow", "allow": "ban"}


class RuleError(Exception):
    """An operator's words make no rule; the text says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One decision. `until` is None for one without an end; `value` is a limit's number or a retention's days."""

    kind: Kind
    subject: Subject
    since: int  # s
    until: int | None = None  # s
    value: int | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """The subject as people write it."""
        return did(self.subject) if isinstance(self.subject, bytes) else self.subject

    def stands(self, now: int) -> bool:
        """Say whether the rule has not ended yet."""
        return self.until is None or now < self.until


class Rules:
    """All rules that stand, changed in place, so that everyone who holds the book sees a change at once."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules: dict[tuple[Kind, Subject], Rule] = {}
        self._banned_categories = 0
        for rule in rules:
            self.put(rule)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules.values())

    def __len__(self) -> int:
        return len(self._rules)

    def find(self, kind: Kind, subject: Subject) -> Rule | None:
        """Return a rule, whether or not it has ended."""
        return self._rules.get((kind, subject))

    def put(self, rule: Rule) -> list[Rule]:
        """Add a rule, in place of one of the same kind and subject; returns the rules that it ends.

        Raises RuleError at MAX_RULES.
        """
        ends = []
        other = self.find(_OPPOSITE[rule.kind], rule.subject) if rule.kind in _OPPOSITE else None
        if other is not None:
            ends.append(other)
        elif self.find(rule.kind, rule.subject) is None and len(self) >= MAX_RULES:
            raise RuleError(f"There are {MAX_RULES} rules already; end some first.")
        for old in ends:
            self.drop(old.kind, old.subject)
        self.drop(rule.kind, rule.subject)
        self._rules[rule.kind, rule.subject] = rule
        self._banned_categories += rule.kind == "ban" and isinstance(rule.subject, str)
        return ends

    def drop(self, kind: Kind, subject: Subject) -> Rule | None:
        """Take a rule out and return it, None if there is none."""
        rule = self._rules.pop((kind, subject), None)
        if rule is not None:
            self._banned_categories -= kind == "ban" and isinstance(subject, str)
        return rule

    def allows(self, key: bytes, now: int) -> bool:
        """Say whether a key is free of quotas and category bans."""
        rule = self._rules.get(("allow", key))
        return rule is not None and rule.stands(now)

    def bars(self, key: bytes, now: int) -> Refused | None:
        """Return why a key may neither publish nor be proven, None if it may."""
        return self._denies(key, now)

    def refuses(self, kind: str, author: bytes, categories: Sequence[str], now: int) -> Refused | None:
        """Return why a record is not taken, None if no rule stands against it.

        `categories` are those of a public record's topic; a sealed one has none.
        """
        if kind == "demand-withdraw":
            return None
        barred = self._denies(author, now)
        if barred is not None or not self._banned_categories or self.allows(author, now):
            return barred
        for path in categories:
            for ancestor in _ancestors(path):
                barred = self._denies(ancestor, now)
                if barred is not None:
                    return barred
        return None

    def _denies(self, subject: Subject, now: int) -> Refused | None:
        rule = self._rules.get(("ban", subject))
        return Refused(DENIED, rule.note) if rule is not None and rule.stands(now) else None

    @property
    def limits(self) -> dict[str, int]:
        """Numbers of ``[limits]`` that stand in place of the file's, by name."""
        return self._values("limit")

    @property
    def retention(self) -> dict[str, int]:
        """Seconds that public records are kept at most after `created`, by type."""
        return {name: days * DAY for name, days in self._values("retention").items()}

    def _values(self, kind: Kind) -> dict[str, int]:
        return {rule.name: rule.value for rule in self if rule.kind == kind and rule.value is not None}


def _ancestors(path: str) -> Iterator[str]:
    """Yield a category path and all it lies below, shortest last."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def read_subject(text: str) -> Subject:
    """Read what a ban names: a ``did:key`` or a category path. Raises RuleError."""
    if text.startswith("did:"):
        return read_key(text)
    if not CATEGORY.fullmatch(text):
        raise RuleError(f'"{text[:80]}" is neither a did:key nor a category, like "vehicles/cars".')
    return text


def read_key(text: str) -> Key:
    """Read a ``did:key``; raises RuleError."""
    try:
        return parse_did(text)
    except InvalidMessage as error:
        raise RuleError(f'"{text[:80]}" is not a key: it has 56 characters and starts with did:key:z6Mk.') from error


def read_term(text: str) -> int:
    """Read how long a rule stands, like 90s, 15m, 12h, 30d or 8w, as seconds. Raises RuleError."""
    found = _TERM.fullmatch(text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= MAX_TERM:
        raise RuleError(f'"{text[:20]}" is no length of time: write a number and s, m, h, d or w, at most 3650d.')
    return seconds


def read_note(text: str) -> str:
    """Admit a note, which is told to senders: one line of at most MAX_NOTE characters. Raises RuleError."""
    if len(text) > MAX_NOTE or not text.isprintable():
        raise RuleError(f"A note is one line of at most {MAX_NOTE} characters.")
    return text


def check_retention(kind: str, days: int) -> None:
    """Refuse a type that is not retained or a number of days out of bounds; raises RuleError."""
    if kind not in RETAINED:
        raise RuleError(f"Retention is set for {' or '.join(RETAINED)}; withdrawals stay as long as their authors say.")
    if not 1 <= days <= MAX_LIFE // DAY:
        raise RuleError(f"Retention is 1 to {MAX_LIFE // DAY} days; no record lives longer.")
