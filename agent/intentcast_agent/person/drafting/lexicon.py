"""The word lists of all languages as tables to look phrases up in."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from intentcast_agent.person.drafting import english, german
from intentcast_agent.person.drafting.cities import CITY_WORDS, COUNTRY_WORDS
from intentcast_agent.person.drafting.gazetteer import CAR_WORDS
from intentcast_agent.person.drafting.kinds import KIND_WORDS
from intentcast_agent.person.drafting.tokens import Table, Vocabulary, listed, spellings

_LANGUAGES: tuple[Any, ...] = (english, german)


def _phrases(name: str, meaning: str = "") -> Iterator[tuple[str, str]]:
    for language in _LANGUAGES:
        yield from ((phrase, meaning or name) for phrase in getattr(language, name).split("|"))


def _mapped(name: str) -> Iterator[tuple[str, Any]]:
    for language in _LANGUAGES:
        yield from getattr(language, name).items()


def _listed(name: str) -> Iterator[tuple[str, str]]:
    for language in _LANGUAGES:
        for meaning, phrases in getattr(language, name).items():
            yield from ((phrase, meaning) for phrase in phrases.split("|"))


def _words(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(word for text in texts for phrase in text.split("|") for key in spellings(phrase) for word in key)


_SIGNS: Mapping[str, str] = {
    "<": "le",
    "≤": "le",
    "<=": "le",
    ">": "ge",
    "≥": "ge",
    ">=": "ge",
    "~": "about",
    "≈": "about",
}
# What stands before a number. The first language to name a phrase wins, so what both know means the same in both.
BEFORE = Table[str](
    [
        *_SIGNS.items(),
        *_phrases("AT_MOST", "le"),
        *_phrases("BETWEEN", "between"),
        *_phrases("NO_OLDER", "new"),
        *_phrases("AFTER", "gt"),
        *_phrases("BEFORE", "lt"),
        *_phrases("AT_LEAST", "ge"),
        *_phrases("ABOUT", "about"),
    ]
)
BEHIND = Table[str]([("+", "ge"), *_phrases("AT_MOST_AFTER", "le"), *_phrases("AT_LEAST_AFTER", "ge")])
TO = Table[str]([("–", "-"), ("—", "-"), *_phrases("TO")])
NUMBERS = Table[int](_mapped("NUMBERS"))
MULTIPLES = Table[int](_mapped("MULTIPLES"))
UNITS = Table[str](_listed("UNITS"))
CURRENCIES = Table[str]([("€", "EUR"), ("$", "USD"), ("£", "GBP"), ("us$", "USD"), *_listed("CURRENCIES")])
PER = Table[str](_listed("PER"))
HINTS = Table[str](_listed("HINTS"))
WITHIN = Table[str](_phrases("WITHIN"))
UNTIL = Table[str](_phrases("UNTIL"))
NEAR = Table[str](_phrases("NEAR"))
MONTHS = Table[int](_mapped("MONTHS"))
WEEKDAYS = Table[int](_mapped("WEEKDAYS"))
DAYS = Table[int](_mapped("DAYS"))
WEEK_AHEAD = Table[str](_phrases("WEEK_AHEAD"))
STRENGTH = Table[str]([*_phrases("WANT_AFTER", "want after"), *_phrases("WANT", "want"), *_phrases("MUST", "must")])
TURN = Table[str](_phrases("TURN"))
NOT = Table[str](_phrases("NOT"))
LIKE = Table[str](_phrases("LIKE"))
_FREE = (
    "monthly rolling|30 day rolling|30 days rolling|1 month rolling|one month rolling|monthly cancellation|"
    "cancel monthly|30 day|monatliche kündigung|monatliche laufzeit|no contract|cancel any time|"
    "cancel anytime|cancel at any time|monatlich kündbar|jederzeit kündbar|"
    "rolling monthly|ohne mindestlaufzeit|ohne laufzeit|ohne vertragslaufzeit|rolling contract|"
    "without contract|keine laufzeit|"
    "ohne vertragsbindung|month to month|kündbar|no commitment|no minimum term|keine mindestlaufzeit|"
    "no tie in|cancellable|"
    "cancel monthly|ohne vertrag|ohne bindung|no lock in|without commitment|rolling|ohne lange laufzeit|"
    "no long contract"
)
CONTRACT_FREE = Table[str]((phrase, "") for phrase in _FREE.split("|"))
_COVERAGE = {
    "comprehensive": (
        "vk|comprehensive|fully comprehensive|fully comp|vollkasko|full cover|full coverage|vollkaskoversicherung"
    ),
    "partial": "tk|partial|partial cover|partial coverage|teilkasko|teilkaskoversicherung|partially comprehensive",
    "third party": "third party|third party only|haftpflicht|liability only|nur haftpflicht|tpo|kfz haftpflicht",
}
COVERAGE = Table[str]((phrase, kind) for kind, phrases in _COVERAGE.items() for phrase in phrases.split("|"))
FILLERS = _words((english.FILLERS, german.FILLERS))
GERMAN = _words((german.FILLERS, german.AT_MOST, german.NEAR)) - _words(
    (english.FILLERS, english.AT_MOST, english.NEAR)
)
ABBREVIATIONS = listed(
    "zw u vb max min mind ca bj ez mtl tsd mio evtl approx inkl jan feb aug sep okt oct nov dez dec monatl std"
)
_TABLES: tuple[Table[Any], ...] = (
    BEFORE,
    BEHIND,
    NUMBERS,
    MULTIPLES,
    UNITS,
    CURRENCIES,
    PER,
    HINTS,
    WITHIN,
    UNTIL,
    NEAR,
    MONTHS,
    WEEKDAYS,
    DAYS,
    WEEK_AHEAD,
    STRENGTH,
    TURN,
    NOT,
    LIKE,
)
CORRECT = Vocabulary(
    (word for words in (*(table.words for table in _TABLES), KIND_WORDS, CAR_WORDS) for word in words),
    FILLERS | CITY_WORDS | COUNTRY_WORDS,
)
