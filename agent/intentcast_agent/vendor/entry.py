"""One entry of the policy file: read strictly, and every mistake named by its key.

Amounts and shares are text, never TOML floats, so that 0.1 stays 0.1.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from difflib import get_close_matches
from typing import Any, Final

from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.quantity import minor_digits, parse_money

MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400
_DURATION = re.compile(r"(0|[1-9][0-9]{0,6})([smhd])", re.ASCII)
_PERCENT = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.[0-9]{1,4})?%", re.ASCII)
_SECONDS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY}


class PolicyError(Exception):
    """The policy cannot be used; the text is a sentence for the vendor that begins with the key."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(key, sentence)
        self.key = key
        self.sentence = sentence

    def __str__(self) -> str:
        return f"{self.key}: {self.sentence}" if self.key else self.sentence


@dataclass(frozen=True, slots=True)
class Percent:
    """A share from 0 to 100."""

    value: Decimal

    def of(self, amount: Decimal, currency: str) -> Decimal:
        """Return this share of an amount, rounded up to the currency's digits: rounding never costs the vendor."""
        return round_up(amount * self.value / 100, currency)

    def off(self, amount: Decimal, currency: str) -> Decimal:
        """Return what is left of an amount after this discount, rounded up likewise."""
        return Percent(100 - self.value).of(amount, currency)


def round_up(amount: Decimal, currency: str) -> Decimal:
    """Return an amount with the currency's digits, rounded up."""
    return amount.quantize(Decimal(1).scaleb(-minor_digits(currency)), ROUND_CEILING)


def parse_duration(text: object) -> int:
    """Return seconds from text such as ``30s``, ``15m``, ``2h`` or ``7d``; raises ValueError."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise ValueError('write a duration in quotes, such as "30s", "15m", "2h" or "7d"')
    return int(match[1]) * _SECONDS[match[2]]


def check_keys(raw: dict[str, Any], keys: Iterable[str], where: str) -> None:
    """Refuse keys that do not exist, and say which was meant. Raises PolicyError."""
    known = tuple(keys)
    for key in raw:
        if key not in known:
            raise PolicyError(f"{where}{key[:60]}", f"there is no such key.{meant(key, known)}")


def meant(word: str, known: Iterable[str]) -> str:
    """Say which known word is closest, or all of them."""
    close = get_close_matches(word[:60], list(known), 1)
    return f" Did you mean {close[0]}?" if close else f" The keys are {', '.join(known)}."


def need(raw: dict[str, Any], key: str, where: str = "") -> object:
    """Return the value of a key that must be there. Raises PolicyError."""
    if key not in raw:
        raise PolicyError(f"{where}{key}", "this line is missing.")
    return raw[key]


def shared(key: str, read: Callable[[], str]) -> str:
    """Read a field of the protocol's own vocabulary, so that no offer made from it is ever refused."""
    try:
        return read()
    except InvalidMessage as error:
        raise PolicyError(key, f"{error.detail}.") from error


def read_currency(value: object) -> str:
    """Read an ISO 4217 code. Raises PolicyError, as every reader here does."""
    try:
        minor_digits(value)
    except ValueError as error:
        raise PolicyError("currency", 'write three capitals, such as "EUR".') from error
    return str(value)


def read_money(key: str, value: object, currency: str) -> Decimal:
    """Read an amount that is not negative."""
    try:
        amount = parse_money(value, currency)
    except ValueError as error:
        example = format(Decimal(95).quantize(Decimal(1).scaleb(-minor_digits(currency))), "f")
        raise PolicyError(key, f'write an amount in {currency} in quotes, such as "{example}".') from error
    if amount < 0:
        raise PolicyError(key, "an amount is not negative.")
    return amount


def read_percent(key: str, value: object) -> Percent:
    """Read a share."""
    if not isinstance(value, str) or not _PERCENT.fullmatch(value) or Decimal(value[:-1]) > 100:
        raise PolicyError(key, 'write a share in quotes, such as "92%", from 0% to 100%.')
    return Percent(Decimal(value[:-1]))


def read_floor(key: str, value: object, currency: str) -> Percent | Decimal:
    """Read a share of the list price, or an amount."""
    if isinstance(value, str) and not value.endswith("%"):
        return read_money(key, value, currency)
    return read_percent(key, value)


def read_duration(key: str, value: object, limits: tuple[int, int], words: str) -> int:
    """Read seconds within limits, which `words` names."""
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise PolicyError(key, f"{error}.") from error
    if not limits[0] <= seconds <= limits[1]:
        raise PolicyError(key, f"choose {words}.")
    return seconds


def read_whole(key: str, value: object, least: int, most: int) -> int:
    """Read a whole number within limits."""
    if type(value) is not int or not least <= value <= most:
        raise PolicyError(key, f"write a whole number from {least} to {most}, without quotes.")
    return value


def read_flag(key: str, value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise PolicyError(key, "write true or false, without quotes.")
    return value


def read_table(key: str, value: object, keys: Iterable[str], words: str) -> dict[str, Any]:
    """Read a table with some of these keys; `words` say how it is written."""
    if not isinstance(value, dict):
        raise PolicyError(key, f"{words}.")
    check_keys(value, keys, f"{key}.")
    return value
