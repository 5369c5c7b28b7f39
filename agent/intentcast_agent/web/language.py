"""The language a person reads: its words, from a gettext catalog, and how it writes figures, money and moments.

A language counts only where its catalog ships, so that words and figures always go together. English needs none.
"""

import gettext
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from typing import Final

DOMAIN: Final = "intentcast"
_MOST_ACCEPTED: Final = 500  # characters of an Accept-Language header that are looked at
_TAG = re.compile(r"([A-Za-z]{2,3})(?:-[A-Za-z0-9-]{1,20})?(?:\s*;\s*q=([01](?:\.\d{1,3})?))?", re.ASCII)
_SIGNS: Final = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NARROW: Final = "\u202f"
_NO_BREAK: Final = "\u00a0"


@dataclass(frozen=True, slots=True)
class Language:
    """One language: its tag, its direction, how it groups digits and where a currency's sign goes."""

    tag: str
    direction: str = "ltr"
    group: str = ","
    point: str = "."
    sign_first: bool = True

    def number(self, value: object) -> str:
        """Return a plain decimal number with its digits in groups; anything else as it is."""
        text = str(value)
        try:
            if not Decimal(text).is_finite() or len(text) > 40:
                return text
        except InvalidOperation:
            return text
        whole, _, part = text.lstrip("-").partition(".")
        if not whole.isdecimal() or not whole.isascii():
            return text
        whole = f"{int(whole):,}".replace(",", self.group) if len(whole) > 4 or self.group == "," else whole
        return ("−" if text.startswith("-") else "") + whole + (self.point + part if part else "")

    def money(self, amount: str, currency: str, *, exact: bool = False) -> str:
        """Return an amount with its currency's sign or code; whole amounts lose their zeros unless `exact`."""
        whole, point, part = amount.partition(".")
        figures = self.number(amount if exact or part.strip("0") else whole + point * 0)
        sign = _SIGNS.get(currency)
        if sign is None:
            return f"{figures}{_NO_BREAK}{currency}"
        if not self.sign_first:
            return f"{figures}{_NO_BREAK}{sign}"
        return f"−{sign}{figures[1:]}" if figures.startswith("−") else f"{sign}{figures}"

    def moment(self, at: datetime, now: datetime) -> str:
        """Return a moment as this language writes it, the shorter the nearer it is."""
        clock = f"{at:%H:%M}"
        if at.date() == now.date():
            return clock
        day = f"{at.day} {self.months[at.month - 1]}" if self.sign_first else f"{at.day}. {self.months[at.month - 1]}"
        return f"{day}, {clock}" if at.year == now.year else f"{day} {at.year}, {clock}"

    @property
    def months(self) -> tuple[str, ...]:
        """Return the short names of the months."""
        words = translations(self.tag)
        return tuple(words.gettext(name) for name in _MONTHS)


_KNOWN: Final = {
    "en": Language("en"),
    "de": Language("de", group=".", point=",", sign_first=False),
    "ar": Language("ar", direction="rtl"),
}
ENGLISH: Final = _KNOWN["en"]


@cache
def translations(tag: str) -> gettext.NullTranslations:
    """Return a language's words; English is what the page is written in."""
    return gettext.translation(DOMAIN, _folder(), [tag], fallback=True)


@cache
def _has_words(tag: str) -> bool:
    return tag == "en" or gettext.find(DOMAIN, _folder(), [tag]) is not None


def _folder() -> str:
    return str(files("intentcast_agent.web").joinpath("locale"))


def choose(accepted: str) -> Language:
    """Return the language a browser asks for first, of those whose words ship; English where there is none."""
    wishes: Iterable[tuple[float, str]] = (
        (-float(found[2] or 1), found[1].lower())
        for part in accepted[:_MOST_ACCEPTED].split(",")
        if (found := _TAG.fullmatch(part.strip()))
    )
    for weight, tag in sorted(wishes, key=lambda wish: wish[0]):
        if weight and tag in _KNOWN and _has_words(tag):
            return _KNOWN[tag]
    return ENGLISH
