"""The vendor's pricing policy: about ten lines of TOML that say what its bot may offer, and nothing past them.

Amounts and shares are text, never TOML floats, so that 0.1 stays 0.1. The floor and the ladder are the vendor's own
secret: they are kept out of `repr`, and no text made from them reaches a person. DESIGN §4.5, §6
"""

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, Final

from intentcast_protocol.area import ANYWHERE, Area, read_area
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_ROUNDS, MAX_STAMP
from intentcast_protocol.offer import Seller
from intentcast_protocol.quantity import minor_digits, parse_money
from intentcast_protocol.subscription import CATEGORY
from intentcast_protocol.terms import ROSTER, Term
from intentcast_protocol.vocabulary import read_domain, read_text, read_unit

POLICY_TEMPLATE: Final = """\
# What your bot may offer. Amounts are in quotes, with exactly your currency's digits; # starts a comment.
name = "My Shop"                     # who offers, as people will see it
currency = "EUR"                     # stock listed in another currency is not offered
floor = "92%"                        # never below this share of the list price; or an amount, "15000.00"
ladder = ["0%", "2%", "4%", "6%"]    # off the list price: in the first offer, after the 1st counter, the 2nd, ...
validity = "30m"                     # how long an offer stands, 1m to 7d
sells_in = ["NL", "DE"]              # countries you serve; leave it out for everywhere
delivery = "150.00"                  # added to what is priced once; leave it out for none
fees = [{name = "Registration", price = "95.00", kind = "fee"}]
rounds = 5                           # how many counters are answered with a better price
accepts_terms = ["SD-BASE-DP", "SD-BASE"]    # the person's privacy terms you agree to
# You may also set domain, jurisdiction, cells, categories, answers_alternatives, delay, max_open and max_work.
"""

MINUTE, HOUR, DAY = 60, 3_600, 86_400
VALIDITY: Final = (MINUTE, 7 * DAY)
MAX_DELAY: Final = DAY
MAX_OPEN: Final = 100_000
MAX_LADDER: Final = MAX_ROUNDS + 1  # the first offer, and one step a counter
MAX_FEES: Final = 20
_DURATION = re.compile(r"(0|[1-9][0-9]{0,6})([smhd])", re.ASCII)
_PERCENT = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.[0-9]{1,4})?%", re.ASCII)
_SECONDS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY}
_FEE_KINDS = ("fee", "delivery", "tax")
_KEYS = (
    "name", "domain", "jurisdiction", "currency", "floor", "ladder", "validity", "sells_in", "cells", "categories",
    "fees", "delivery", "answers_alternatives", "delay", "accepts_terms", "rounds", "max_open",
    "max_work",
)  # fmt: skip


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
        return (amount * self.value / 100).quantize(Decimal(1).scaleb(-minor_digits(currency)), ROUND_CEILING)

    def off(self, amount: Decimal, currency: str) -> Decimal:
        """Return what is left of an amount after this discount, rounded up likewise."""
        return Percent(100 - self.value).of(amount, currency)


@dataclass(frozen=True, slots=True)
class Fee:
    """A line on top of the price, for items priced per the same `unit`; None is for those priced once."""

    kind: str
    name: str
    amount: Decimal
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A checked policy; times are in seconds, `fees` include the delivery, no `categories` means the stock's own."""

    name: str
    currency: str
    floor: Percent | Decimal = field(default=Percent(Decimal(100)), repr=False)
    ladder: tuple[Percent, ...] = field(default=(Percent(Decimal(0)),), repr=False)
    validity: int = 30 * MINUTE
    domain: str | None = None
    jurisdiction: str | None = None
    area: Area = ANYWHERE
    categories: tuple[str, ...] = ()
    fees: tuple[Fee, ...] = ()
    answers_alternatives: bool = False
    delay: int = 0
    terms: tuple[Term, ...] = (ROSTER["SD-BASE-DP"], ROSTER["SD-BASE"])
    rounds: int = 5
    max_open: int = 1_000
    max_work: int = 20  # bits of a stamp, about 3 s of a core: a stranger's demand may not ask for more

    @property
    def seller(self) -> Seller:
        """Who offers, as the vendor says itself."""
        return Seller(self.name, self.domain, self.jurisdiction)

    def least(self, list_price: Decimal) -> Decimal:
        """Return the floor for a list price, without fees; it may lie above the list price."""
        if isinstance(self.floor, Percent):
            return self.floor.of(list_price, self.currency)
        return self.floor

    def allowed(self, list_price: Decimal, rounds: int) -> Decimal:
        """Return the lowest price, without fees, after so many counters: the ladder's step, never below the floor."""
        step = self.ladder[max(0, min(rounds, self.rounds, len(self.ladder) - 1))]
        return max(step.off(list_price, self.currency), self.least(list_price))


def parse_duration(text: object) -> int:
    """Return seconds from text such as ``30s``, ``15m``, ``2h`` or ``7d``; raises ValueError."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise ValueError('write a duration in quotes, such as "30s", "15m", "2h" or "7d"')
    return int(match[1]) * _SECONDS[match[2]]


def read_policy(text: str) -> Policy:
    """Read a policy; raises PolicyError with a sentence that names the key. Unknown keys are refused.

    What is left out is the careful choice: never below the list price, no fees, everywhere.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError("", f"The policy is not valid TOML: {error}") from error
    _check_keys(raw, _KEYS, "")
    currency = _currency(_need(raw, "currency"))
    given: dict[str, Any] = {
        "area": _area(raw),
        "fees": _fees(raw.get("fees", []), currency) + _delivery(raw, currency),
    }
    readers: dict[str, Callable[[object], object]] = {
        "floor": lambda value: _floor(value, currency),
        "ladder": _ladder,
        "validity": lambda value: _duration("validity", value, VALIDITY, "1m to 7d"),
        "domain": lambda value: _shared("domain", lambda: read_domain(value, "")),
        "jurisdiction": lambda value: _shared("jurisdiction", lambda: read_text(value, "it", "", 100)),
        "categories": _categories,
        "answers_alternatives": _flag,
        "delay": lambda value: _duration("delay", value, (0, MAX_DELAY), "0s to 1d"),
        "rounds": lambda value: _whole("rounds", value, 0, MAX_ROUNDS),
        "max_open": lambda value: _whole("max_open", value, 1, MAX_OPEN),
        "max_work": lambda value: _whole("max_work", value, 0, MAX_STAMP),
    }
    for key, reader in readers.items():
        if key in raw:
            given[key] = reader(raw[key])
    if "accepts_terms" in raw:
        given["terms"] = _terms(raw["accepts_terms"])
    name = _shared("name", lambda: read_text(_need(raw, "name"), "it", "", 100))
    return Policy(name=name, currency=currency, **given)


def _check_keys(raw: dict[str, Any], keys: Iterable[str], where: str) -> None:
    known = tuple(keys)
    for key in raw:
        if key not in known:
            raise PolicyError(f"{where}{key[:60]}", f"there is no such key.{_meant(key, known)}")


def _meant(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word[:60], list(known), 1)
    return f" Did you mean {close[0]}?" if close else f" The keys are {', '.join(known)}."


def _need(raw: dict[str, Any], key: str) -> object:
    if key not in raw:
        raise PolicyError(key, "this line is missing.")
    return raw[key]


def _shared(key: str, read: Callable[[], str]) -> str:
    """Read a field of the protocol's own vocabulary, so that no offer made from it is ever refused."""
    try:
        return read()
    except InvalidMessage as error:
        raise PolicyError(key, f"{error.detail}.") from error


def _currency(value: object) -> str:
    try:
        minor_digits(value)
    except ValueError as error:
        raise PolicyError("currency", 'write three capitals, such as "EUR".') from error
    return str(value)


def _money(key: str, value: object, currency: str) -> Decimal:
    try:
        amount = parse_money(value, currency)
    except ValueError as error:
        example = format(Decimal(95).quantize(Decimal(1).scaleb(-minor_digits(currency))), "f")
        raise PolicyError(key, f'write an amount in {currency} in quotes, such as "{example}".') from error
    if amount < 0:
        raise PolicyError(key, "an amount is not negative.")
    return amount


def _percent(key: str, value: object) -> Percent:
    if not isinstance(value, str) or not _PERCENT.fullmatch(value) or Decimal(value[:-1]) > 100:
        raise PolicyError(key, 'write a share in quotes, such as "92%", from 0% to 100%.')
    return Percent(Decimal(value[:-1]))


def _floor(value: object, currency: str) -> Percent | Decimal:
    if isinstance(value, str) and not value.endswith("%"):
        return _money("floor", value, currency)
    return _percent("floor", value)


def _ladder(value: object) -> tuple[Percent, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_LADDER:
        raise PolicyError("ladder", f'list 1 to {MAX_LADDER} discounts, such as ["0%", "2%", "4%"].')
    steps = tuple(_percent("ladder", step) for step in value)
    if any(later.value < earlier.value for earlier, later in pairwise(steps)):
        raise PolicyError("ladder", "no step may be smaller than the one before it: an offer is never taken back.")
    return steps


def _duration(key: str, value: object, limits: tuple[int, int], words: str) -> int:
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise PolicyError(key, f"{error}.") from error
    if not limits[0] <= seconds <= limits[1]:
        raise PolicyError(key, f"choose {words}.")
    return seconds


def _whole(key: str, value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise PolicyError(key, f"write a whole number from {least} to {most}, without quotes.")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise PolicyError("answers_alternatives", "write true or false, without quotes.")
    return value


def _area(raw: dict[str, Any]) -> Area:
    fields = {"sells_in": ("countries", 'country codes, such as ["NL", "DE"]')} | {
        "cells": ("cells", 'at most 16 geohash cells of up to 4 characters, such as ["u15", "u17"]')
    }
    area: dict[str, Any] = {}
    for key, (name, words) in fields.items():
        try:
            read_area({name: raw.get(key, [])})
        except InvalidMessage as error:
            raise PolicyError(key, f"list {words}.") from error
        area[name] = raw.get(key, [])
    return read_area(area)


def _categories(value: object) -> tuple[str, ...]:
    paths = value if isinstance(value, list) and len(value) <= 64 else [None]
    if not all(isinstance(path, str) and CATEGORY.fullmatch(path) for path in paths):
        raise PolicyError("categories", 'list paths of slugs, such as ["services/home/plumbing"].')
    return tuple(paths)


def _fees(value: object, currency: str) -> tuple[Fee, ...]:
    if not isinstance(value, list) or len(value) > MAX_FEES or not all(isinstance(fee, dict) for fee in value):
        raise PolicyError("fees", 'list them as [{name = "Registration", price = "95.00", kind = "fee"}], at most 20.')
    return tuple(_fee(fee, currency) for fee in value)


def _fee(raw: dict[str, Any], currency: str) -> Fee:
    _check_keys(raw, ("name", "price", "kind", "unit"), "fees.")
    kind, unit = raw.get("kind", "fee"), raw.get("unit")
    if kind not in _FEE_KINDS:
        raise PolicyError("fees.kind", f"write {', '.join(_FEE_KINDS[:-1])} or {_FEE_KINDS[-1]}.")
    name = _shared("fees.name", lambda: read_text(raw.get("name"), "it", "", 100))
    if unit is not None:
        _shared("fees.unit", lambda: read_unit(unit, "it", "") or "")
    return Fee(kind, name, _money("fees.price", raw.get("price"), currency), unit)


def _delivery(raw: dict[str, Any], currency: str) -> tuple[Fee, ...]:
    if "delivery" not in raw:
        return ()
    return (Fee("delivery", "Delivery", _money("delivery", raw["delivery"], currency)),)


def _terms(value: object) -> tuple[Term, ...]:
    if not isinstance(value, list) or not value:
        raise PolicyError("accepts_terms", f"list names of the roster: {', '.join(ROSTER)}.")
    for name in value:
        if not isinstance(name, str) or name not in ROSTER:
            raise PolicyError("accepts_terms", f"{str(name)[:60]} is not in the roster.{_meant(str(name), ROSTER)}")
    return tuple(ROSTER[name] for name in value)
