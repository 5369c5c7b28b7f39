"""Criteria: what counts for a person, how much, and how good each value is to them. Private; never sent.

`settle` fixes them for one demand, before any offer is looked at. DESIGN §6
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, NamedTuple

from intentcast_protocol.constraint import MAX_FOUND, Finding, Verdict
from intentcast_protocol.demand import Demand
from intentcast_protocol.quantity import convert, parse_decimal, symbol
from intentcast_protocol.vocabulary import Price, visible

from intentcast_agent.person.cost import Basis, Cost, Costing, adds, cost_of, find_basis
from intentcast_agent.person.value import Function, Linear, Table, lower

TOTAL: Final = "total"
WANTS: Final = "wants"
SHARE: Final = "%"  # unit of a total whose points are shares of the demand's budget
_STATED = 80  # characters of a stated value that are shown


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that counts: where an offer states it, its weight, and how good which value is."""

    name: str
    path: str  # of the offer's body, or TOTAL, or WANTS
    weight: Decimal = field(repr=False)
    function: Function | None = field(default=None, repr=False)  # None for WANTS alone
    unit: str | None = None
    unknown: float | None = None  # what "not stated" scores; None as all criteria say


class Worth(NamedTuple):
    """What a value is worth on one criterion; `found` is what was stated, `why` why it is not known."""

    value: float
    known: bool
    found: Any = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Criteria:
    """All that counts for a person in one category."""

    criteria: tuple[Criterion, ...]
    unknown: float = 0.0  # 0: what is not stated counts as the worst; 1: as the best
    costing: Costing = field(default_factory=Costing)

    def value(self, criterion: Criterion, found: list[Any]) -> Worth:
        """Return what the values found under a criterion's path are worth; the best of several numbers counts."""
        low = self.unknown if criterion.unknown is None else criterion.unknown
        if not found:
            return Worth(low, False, why="not stated")
        if isinstance(criterion.function, Table):
            names = names_in(found)
            if not names:
                return Worth(low, False, found[0], "cannot be looked up")
            return Worth(criterion.function.of(names), True, found[0] if len(found) == 1 else found)
        assert criterion.function is not None
        best: tuple[float, Any] | None = None
        for one in found:
            number = measure(one, criterion.unit)
            if number is not None and (best is None or criterion.function.of(number) > best[0]):
                best = criterion.function.of(number), one
        if best is None:
            unit = f" in {symbol(criterion.unit)}" if criterion.unit else " as a number"
            return Worth(low, False, found[0], f"cannot be compared{unit}")
        return Worth(best[0], True, best[1])


@dataclass(frozen=True, slots=True)
class Scales:
    """Criteria settled for one demand: what each weighs in it, and what a total is measured against.

    `cheapest_first` is set where nothing says how good a total is: then the lower total ranks first, and the score,
    which leaves it out, decides between equal ones.
    """

    demand: Demand
    criteria: Criteria
    weights: tuple[Decimal, ...] = field(repr=False)  # of each criterion, 0 where it cannot count here
    shares: tuple[float, ...] = field(repr=False)  # the same, adding up to 1, or all 0
    basis: Basis | None
    total: Criterion | None
    cheapest_first: bool
    notes: tuple[str, ...]

    def cost(self, price: Price) -> Cost:
        """Return what a price comes to for the person."""
        if self.basis is None:
            return Cost(None, "prices in more than one currency or unit, and nothing says which to use")
        return cost_of(price, self.criteria.costing, self.basis)

    def worths(self, body: Mapping[str, Any], cost: Cost, findings: Sequence[Finding]) -> tuple[Worth, ...]:
        """Return what an offer is worth on each criterion."""
        return tuple(self._worth(one, body, cost, findings) for one in self.criteria.criteria)

    def _worth(self, criterion: Criterion, body: Mapping[str, Any], cost: Cost, findings: Sequence[Finding]) -> Worth:
        if criterion.path == WANTS:
            met, unknown, asked = _wants(findings)
            low = self.criteria.unknown if criterion.unknown is None else criterion.unknown
            return Worth((met + low * unknown) / asked if asked else 0.0, True, f"{met} of {asked}")
        if criterion.path != TOTAL:
            return self.criteria.value(criterion, look(body, criterion.path))
        if cost.amount is None or self.total is None or self.total.function is None:
            return Worth(0.0, cost.amount is not None, cost.amount, cost.why)
        assert not isinstance(self.total.function, Table)
        return Worth(self.total.function.of(cost.amount), True, cost.amount)

    def score(self, worths: Sequence[Worth]) -> float:
        """Return the weighted sum, from 0 to 1; rounded, so that equal sums are equal whatever their parts."""
        return round(sum(share * worth.value for share, worth in zip(self.shares, worths, strict=True)), 9)


def settle(
    criteria: Criteria,
    demand: Demand,
    prices: Sequence[Price],
    *,
    reserve: tuple[Decimal, str] | None = None,
) -> Scales:
    """Fix criteria for a demand: shares of the budget become amounts, and what it does not ask about weighs nothing.

    The budget is the demand's public one, or, without it, `reserve`, the private most (amount, currency). `prices` only
    tell which one basis they have, where neither the demand nor the person names it.
    """
    costing, budget, notes = criteria.costing, demand.budget, list[str]()
    total = next((one for one in criteria.criteria if one.path == TOTAL), None)
    own = total.unit if total and total.unit != SHARE else None
    named = costing.currency or (budget.currency if budget else None) or own or (reserve[1] if reserve else None)
    unit_named = costing.months is not None or budget is not None
    unit = budget.unit if budget and costing.months is None else None
    basis = find_basis(named, unit, unit_named=unit_named, prices=prices)
    total = _fix_total(total, demand, costing, basis, reserve)
    wanted = _wants(demand.judge({}).findings)[2]
    idle = {WANTS: not wanted, TOTAL: total is None or total.function is None}
    weights = tuple(Decimal(0) if idle.get(one.path) else one.weight for one in criteria.criteria)
    if basis and costing.extra and not adds(costing, basis):
        notes.append("What you add yourself is not counted: it needs [cost] months, or a rate for its currency.")
    cheapest_first = total is not None and total.function is None and total.weight > 0
    if cheapest_first:
        notes.append(
            "Nothing says how good a total is: the demand names no budget that counts here. So the lower total ranks "
            "first, and the rest decides between equal ones. To weigh it, give total amounts in your criteria."
        )
    whole = sum(weights)
    shares = tuple(float(one / whole) if whole else 0.0 for one in weights)
    return Scales(demand, criteria, weights, shares, basis, total, cheapest_first, tuple(notes))


def _fix_total(
    total: Criterion | None,
    demand: Demand,
    costing: Costing,
    basis: Basis | None,
    reserve: tuple[Decimal, str] | None,
) -> Criterion | None:
    """Return the criterion of the total with its points as amounts, or without a function where none can be told."""
    if total is None or basis is None or total.unit not in (SHARE, basis.currency):
        return total and replace(total, function=None)
    if total.unit == basis.currency:
        return total
    budget = demand.budget
    most = Price(budget.amount, budget.currency, budget.unit, ()) if budget else None
    if most is None and reserve is not None:
        most = Price(*reserve, basis.unit, ())
    whole = cost_of(most, replace(costing, extra=Decimal(0)), basis).amount if most else None
    function = total.function
    if not whole or not isinstance(function, Linear):
        return replace(total, function=None)
    return replace(
        total, unit=basis.currency, function=Linear(function.worst * whole / 100, function.best * whole / 100)
    )


def _wants(findings: Sequence[Finding]) -> tuple[int, int, int]:
    """Return how many wants are met, how many are unknown, and how many there are."""
    verdicts = [one.verdict for one in findings if one.constraint.strength == "want"]
    return verdicts.count(Verdict.MET), verdicts.count(Verdict.UNKNOWN), len(verdicts)


def look(body: Mapping[str, Any], path: str) -> list[Any]:
    """Return what a body states under a path: each element of a list, at most MAX_FOUND."""
    level: Any = body
    for step in path.split("."):
        if isinstance(level, dict):
            level = level.get(step)
        elif isinstance(level, list):
            level = _flat([part[step] for part in _flat(level) if isinstance(part, dict) and step in part])
        else:
            return []
    return _flat([level])


def _flat(values: list[Any]) -> list[Any]:
    flat = [part for value in values for part in (value if isinstance(value, list) else [value]) if part is not None]
    return flat[:MAX_FOUND]


def measure(value: Any, unit: str | None) -> Decimal | None:
    """Return a stated value as a number in a unit or currency, or None where it cannot be compared. PROTOCOL §6.3"""
    have = None
    if isinstance(value, dict):
        money = "priceCurrency" in value
        have = value.get("priceCurrency" if money else "unitCode")
        if money and value.get("unitCode") is not None:
            return None
        value = value.get("price" if money else "value")
    try:
        number = parse_decimal(str(value) if type(value) is int else value)
    except ValueError:
        return None
    return convert(number, have, unit) if isinstance(have, str | None) else None


def stated(value: Any) -> str:
    """Return a found value as people write it, short and harmless on a screen."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(stated, value[:8])))[:_STATED]
    unit = None
    if isinstance(value, dict):
        unit = value.get("unitCode", value.get("priceCurrency"))
        value = next((value[key] for key in ("value", "price", "name") if key in value), None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = visible(str(value)[:_STATED]) if isinstance(value, str | int | Decimal) else ""
    return f"{text} {symbol(unit)}" if text and isinstance(unit, str) and len(unit) <= 3 else text


def names_in(found: Any) -> list[str]:
    """Return the names among found values, in lower case, as a table knows them."""
    return [name for name in map(_name, found if isinstance(found, list) else [found]) if name is not None]


def _name(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("value", value.get("name"))
    if isinstance(value, bool):
        return "true" if value else "false"
    return lower(value[:200]) if isinstance(value, str) and value else None
