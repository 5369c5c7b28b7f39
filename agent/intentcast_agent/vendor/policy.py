"""The vendor's pricing policy: about ten lines of TOML that say what its bot may offer, and nothing past them.

The floor, the ladder, the budget and the costs are the vendor's own secret: they are kept out of `repr`, and no text
made from them reaches a person. DESIGN §4.5, §6
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from intentcast_protocol.area import ANYWHERE, Area, read_area
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_ROUNDS, MAX_STAMP
from intentcast_protocol.offer import Seller
from intentcast_protocol.subscription import CATEGORY
from intentcast_protocol.terms import ROSTER, Term
from intentcast_protocol.vocabulary import read_domain, read_text, read_unit

from intentcast_agent.bargain.bidding import STRATEGIES as BIDDING
from intentcast_agent.vendor.entry import (
    DAY,
    HOUR,
    MINUTE,
    Percent,
    PolicyError,
    check_keys,
    meant,
    need,
    read_currency,
    read_duration,
    read_flag,
    read_floor,
    read_money,
    read_percent,
    read_table,
    read_whole,
    shared,
)
from intentcast_agent.vendor.menu import Menu, read_menu

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
# In place of the ladder: strategy = "measured" haggles by itself, at most down to the floor; "hold" never moves.
# floor_by_age = [{after = "60d", floor = "88%"}]              # stock listed longer ago may go for less
# concession_budget = {amount = "2000.00", within = "7d"}      # below list in all; once it is used up, prices hold
# delivery_in = {costs = {"3 days" = "120.00", "14 days" = "0.00"}, first = "14 days"}   # what each choice costs you,
# warranty = {costs = {"12 months" = "0.00", "24 months" = "180.00"}}                    # and which is offered first
# extras = {costs = {"Winter tyres" = "240.00"}}
# You may also set domain, jurisdiction, cells, categories, answers_alternatives, delay, max_open and max_work.
"""

VALIDITY: Final = (MINUTE, 7 * DAY)
MAX_DELAY: Final = DAY
MAX_OPEN: Final = 100_000
MAX_LADDER: Final = MAX_ROUNDS + 1  # the first offer, and one step a counter
MAX_FEES: Final = 20
MAX_AGES: Final = 20
AGE: Final = (DAY, 3_650 * DAY)
WINDOW: Final = (HOUR, 366 * DAY)
FIXED: Final = ("ladder", "hold")
STRATEGIES: Final = ("ladder", *BIDDING)
_FEE_KINDS = ("fee", "delivery", "tax")
_KEYS = (
    "name", "domain", "jurisdiction", "currency", "floor", "ladder", "validity", "sells_in", "cells", "categories",
    "fees", "delivery", "answers_alternatives", "delay", "accepts_terms", "rounds", "max_open", "max_work",
    "strategy", "floor_by_age", "concession_budget", "delivery_in", "warranty", "extras",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fee:
    """A line on top of the price, for items priced per the same `unit`; None is for those priced once."""

    kind: str
    name: str
    amount: Decimal
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class ConcessionBudget:
    """What may be given away below the list prices, in all deals of so many seconds; what recurs counts once."""

    amount: Decimal
    within: int


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
    strategy: str = field(default="ladder", repr=False)
    ages: tuple[tuple[int, Percent | Decimal], ...] = field(default=(), repr=False)  # since it was listed, and a floor
    budget: ConcessionBudget | None = field(default=None, repr=False)
    menu: Menu = field(default=Menu(), repr=False)

    @property
    def seller(self) -> Seller:
        """Who offers, as the vendor says itself."""
        return Seller(self.name, self.domain, self.jurisdiction)

    @property
    def fixed(self) -> bool:
        """Whether prices go by a ladder or hold, whatever the other side does."""
        return self.strategy in FIXED

    def least(self, list_price: Decimal, age: int | None = None) -> Decimal:
        """Return the floor for a list price and a stock age, without fees; it may lie above the list price."""
        floors = [self.floor, *(floor for after, floor in self.ages if age is not None and age >= after)]
        return min(floor.of(list_price, self.currency) if isinstance(floor, Percent) else floor for floor in floors)

    def step(self, list_price: Decimal, rounds: int) -> Decimal:
        """Return the ladder's price, without fees, after so many counters, wherever the floor is."""
        step = self.ladder[max(0, min(rounds, self.rounds, len(self.ladder) - 1))]
        return step.off(list_price, self.currency)


def read_policy(text: str) -> Policy:
    """Read a policy; raises PolicyError with a sentence that names the key. Unknown keys are refused.

    What is left out is the careful choice: never below the list price, no fees, everywhere.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError("", f"The policy is not valid TOML: {error}") from error
    check_keys(raw, _KEYS, "")
    currency = read_currency(need(raw, "currency"))
    given: dict[str, Any] = {
        "area": _area(raw),
        "fees": _fees(raw.get("fees", []), currency) + _delivery(raw, currency),
        "menu": read_menu(raw, currency),
        "strategy": _strategy(raw),
    }
    readers: dict[str, Callable[[object], object]] = {
        "floor": lambda value: read_floor("floor", value, currency),
        "ladder": _ladder,
        "validity": lambda value: read_duration("validity", value, VALIDITY, "1m to 7d"),
        "domain": lambda value: shared("domain", lambda: read_domain(value, "")),
        "jurisdiction": lambda value: shared("jurisdiction", lambda: read_text(value, "it", "", 100)),
        "categories": _categories,
        "answers_alternatives": lambda value: read_flag("answers_alternatives", value),
        "delay": lambda value: read_duration("delay", value, (0, MAX_DELAY), "0s to 1d"),
        "rounds": lambda value: read_whole("rounds", value, 0, MAX_ROUNDS),
        "max_open": lambda value: read_whole("max_open", value, 1, MAX_OPEN),
        "max_work": lambda value: read_whole("max_work", value, 0, MAX_STAMP),
    }
    for key, reader in readers.items():
        if key in raw:
            given[key] = reader(raw[key])
    if "accepts_terms" in raw:
        given["terms"] = _terms(raw["accepts_terms"])
    if "floor_by_age" in raw:
        given["ages"] = _ages(raw["floor_by_age"], given.get("floor"), currency)
    if "concession_budget" in raw:
        given["budget"] = _budget(raw["concession_budget"], currency)
    name = shared("name", lambda: read_text(need(raw, "name"), "it", "", 100))
    return Policy(name=name, currency=currency, **given)


def _ladder(value: object) -> tuple[Percent, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_LADDER:
        raise PolicyError("ladder", f'list 1 to {MAX_LADDER} discounts, such as ["0%", "2%", "4%"].')
    steps = tuple(read_percent("ladder", step) for step in value)
    if any(later.value < earlier.value for earlier, later in pairwise(steps)):
        raise PolicyError("ladder", "no step may be smaller than the one before it: an offer is never taken back.")
    return steps


def _strategy(raw: dict[str, Any]) -> str:
    strategy = raw.get("strategy", "ladder")
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        raise PolicyError("strategy", f"there is no such strategy.{meant(str(strategy), STRATEGIES)}")
    if "strategy" in raw and (strategy == "ladder") != ("ladder" in raw):
        raise PolicyError("strategy", 'a ladder goes with strategy = "ladder", or none, and with no other.')
    return strategy


def _ages(value: object, base: Percent | Decimal | None, currency: str) -> tuple[tuple[int, Percent | Decimal], ...]:
    example = 'list them as [{after = "60d", floor = "88%"}]'
    if not isinstance(value, list) or not 0 < len(value) <= MAX_AGES:
        raise PolicyError("floor_by_age", f"{example}, 1 to {MAX_AGES} of them.")
    ages: list[tuple[int, Percent | Decimal]] = []
    for one in value:
        row = read_table("floor_by_age", one, ("after", "floor"), example)
        after = read_duration("floor_by_age.after", need(row, "after", "floor_by_age."), AGE, "1d to 3650d")
        floor = read_floor("floor_by_age.floor", need(row, "floor", "floor_by_age."), currency)
        ages.append((after, floor))
    if any(later <= earlier for (earlier, _), (later, _) in pairwise(ages)):
        raise PolicyError("floor_by_age", "each line is of older stock than the one before it.")
    floors = [base or Percent(Decimal(100)), *(floor for _, floor in ages)]
    if any(_higher(later, earlier) for earlier, later in pairwise(floors)):
        raise PolicyError("floor_by_age", "a floor never rises with age.")
    return tuple(ages)


def _higher(one: Percent | Decimal, other: Percent | Decimal) -> bool:
    """Say whether a floor is higher whatever the price; a share and an amount compare in `Policy.least`."""
    if isinstance(one, Percent):
        return isinstance(other, Percent) and one.value > other.value
    return isinstance(other, Decimal) and one > other


def _budget(value: object, currency: str) -> ConcessionBudget:
    key = "concession_budget"
    table = read_table(key, value, ("amount", "within"), 'write {amount = "2000.00", within = "7d"}')
    amount = read_money(f"{key}.amount", need(table, "amount", f"{key}."), currency)
    within = read_duration(f"{key}.within", need(table, "within", f"{key}."), WINDOW, "1h to 366d")
    return ConcessionBudget(amount, within)


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
    check_keys(raw, ("name", "price", "kind", "unit"), "fees.")
    kind, unit = raw.get("kind", "fee"), raw.get("unit")
    if kind not in _FEE_KINDS:
        raise PolicyError("fees.kind", f"write {', '.join(_FEE_KINDS[:-1])} or {_FEE_KINDS[-1]}.")
    name = shared("fees.name", lambda: read_text(raw.get("name"), "it", "", 100))
    if unit is not None:
        shared("fees.unit", lambda: read_unit(unit, "it", "") or "")
    return Fee(kind, name, read_money("fees.price", raw.get("price"), currency), unit)


def _delivery(raw: dict[str, Any], currency: str) -> tuple[Fee, ...]:
    if "delivery" not in raw:
        return ()
    return (Fee("delivery", "Delivery", read_money("delivery", raw["delivery"], currency)),)


def _terms(value: object) -> tuple[Term, ...]:
    if not isinstance(value, list) or not value:
        raise PolicyError("accepts_terms", f"list names of the roster: {', '.join(ROSTER)}.")
    for name in value:
        if not isinstance(name, str) or name not in ROSTER:
            raise PolicyError("accepts_terms", f"{str(name)[:60]} is not in the roster.{meant(str(name), ROSTER)}")
    return tuple(ROSTER[name] for name in value)
