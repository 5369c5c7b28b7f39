"""The conditions a vendor lets people choose, and what each costs it: when it comes, its warranty, what comes with it.

What they cost is the vendor's own secret: it is kept out of `repr`, and people see only the names. PROTOCOL §6.4
"""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import combinations, product
from typing import Any, Final

from intentcast_protocol.conditions import MOST_DAYS, MOST_MONTHS, Choices, Conditions
from intentcast_protocol.limits import MAX_CHOICES
from intentcast_protocol.vocabulary import read_text

from intentcast_agent.vendor.entry import PolicyError, read_money, read_table, shared

MAX_BUNDLES: Final = 64  # ways to combine them, each of which is weighed in every answer
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,3}) (day|month)s?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Menu:
    """Every way to combine the choices, with its cost in the policy's currency; the first offer's, then the most alike.

    Without choices of a kind, offers state nothing of that kind.
    """

    costs: dict[Conditions, Decimal] = field(default_factory=lambda: {Conditions(): Decimal(0)}, repr=False)

    @property
    def first(self) -> Conditions:
        """The conditions of a first offer."""
        return next(iter(self.costs))

    @property
    def choices(self) -> Choices:
        """What a counter may ask for, where there is anything to choose."""
        days = sorted({way.delivery for way in self.costs if way.delivery is not None})
        months = sorted({way.warranty for way in self.costs if way.warranty is not None})
        names = sorted({name for way in self.costs for name in way.extras})
        return Choices(tuple(days) if len(days) > 1 else (), tuple(months) if len(months) > 1 else (), tuple(names))

    def nearest(self, asked: Conditions) -> Conditions:
        """Return the conditions of ours that come nearest to those asked for; where none are, the cheapest."""
        return min(
            self.costs,
            key=lambda way: (
                _distance(way.delivery, asked.delivery),
                _distance(way.warranty, asked.warranty),
                len(set(way.extras) ^ set(asked.extras)),
                self.costs[way],
            ),
        )


def _distance(ours: int | None, asked: int | None) -> int:
    return 0 if ours is None or asked is None else abs(ours - asked)


def read_menu(raw: dict[str, Any], currency: str) -> Menu:
    """Read ``delivery_in``, ``warranty`` and ``extras`` of a policy; raises PolicyError."""
    days, first_days = _numbers(raw, "delivery_in", "day", MOST_DAYS, currency)
    months, first_months = _numbers(raw, "warranty", "month", MOST_MONTHS, currency)
    extras, first_extras = _extras(raw, currency)
    if len(days) * len(months) * 2 ** len(extras) > MAX_BUNDLES:
        key = "extras" if extras else "warranty"
        raise PolicyError(key, f"choose fewer: they combine in more than {MAX_BUNDLES} ways with the other choices.")
    names = sorted(extras)
    bags = [bag for size in range(len(names) + 1) for bag in combinations(names, size)]
    costs = {
        Conditions(day, month, bag): sum((extras[name] for name in bag), days[day] + months[month])
        for day, month, bag in product(days, months, bags)
    }
    first = Conditions(first_days, first_months, first_extras)
    return Menu(dict(sorted(costs.items(), key=lambda way: (_unlike(way[0], first), way[1]))))


def _unlike(one: Conditions, other: Conditions) -> int:
    return sum((one.delivery != other.delivery, one.warranty != other.warranty, one.extras != other.extras))


def _numbers(
    raw: dict[str, Any], key: str, unit: str, most: int, currency: str
) -> tuple[dict[int | None, Decimal], int | None]:
    if key not in raw:
        return {None: Decimal(0)}, None

    def read(text: object) -> int:
        match = _NUMBER.fullmatch(text) if isinstance(text, str) else None
        if not match or match[2] != unit or int(match[1]) > most:
            raise PolicyError(key, f'write a time as "14 {unit}s", at most {most}.')
        return int(match[1])

    table = _table(raw[key], key, f"14 {unit}s")
    costs: dict[int | None, Decimal] = {
        read(text): read_money(f"{key}.costs", cost, currency) for text, cost in table["costs"].items()
    }
    if len(costs) < len(table["costs"]):
        raise PolicyError(f"{key}.costs", "two choices are the same.")
    first = read(table["first"]) if "first" in table else min(costs, key=lambda choice: costs[choice])
    if first not in costs:
        raise PolicyError(f"{key}.first", "choose one that has a cost.")
    return costs, first


def _extras(raw: dict[str, Any], currency: str) -> tuple[dict[str, Decimal], tuple[str, ...]]:
    if "extras" not in raw:
        return {}, ()
    table = _table(raw["extras"], "extras", "Winter tyres")
    costs = {}
    for name, cost in table["costs"].items():
        shared("extras.costs", partial(read_text, name, "an extra", "", 100))
        costs[name] = read_money("extras.costs", cost, currency)
    first = table.get("first", [])
    if not isinstance(first, list) or not all(isinstance(name, str) and name in costs for name in first):
        raise PolicyError("extras.first", "list those that have a cost.")
    return costs, tuple(sorted(set(first)))


def _table(value: object, key: str, name: str) -> dict[str, Any]:
    words = f'write {{costs = {{"{name}" = "95.00"}}}}, 1 to {MAX_CHOICES} choices with what each costs you'
    table = read_table(key, value, ("costs", "first"), words)
    if not isinstance(table.get("costs"), dict) or not 0 < len(table["costs"]) <= MAX_CHOICES:
        raise PolicyError(f"{key}.costs", f"{words}.")
    return table
