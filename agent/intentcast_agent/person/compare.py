"""Comparing offers: must-haves first, then a weighted sum over fixed value functions, each offer by itself.

So no other offer, however good or bad, changes the order of two. What does look at the others, the median of their
prices and who is dominated, is shown and ranks nobody. Pure: `now` is an argument. DESIGN §6
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from statistics import median
from typing import Any, Final

from intentcast_protocol.constraint import Finding, Fit, Judgement, Verdict
from intentcast_protocol.demand import Demand
from intentcast_protocol.negotiation import State
from intentcast_protocol.offer import Offer
from intentcast_protocol.vocabulary import Price

from intentcast_agent.person.cost import Cost, cost_of
from intentcast_agent.person.criteria import TOTAL, Criteria, Scales, Worth, settle

FIT_ORDER: Final = {Fit.FITS: 0, Fit.ASKS: 1, Fit.FAILS: 2}
LEAST_PEERS: Final = 3  # prices a median is worth telling of
_OPEN = (State.OFFERED, State.COUNTERED)
_KEPT = (State.ACCEPTED, State.AGREED, State.FULFILLED)  # these stand whatever the clock says


@dataclass(frozen=True, slots=True)
class Entry:
    """One session's newest offer, as it comes to be compared."""

    name: str  # o1, as this home calls it
    offer: Offer
    body: dict[str, Any] = field(repr=False)
    judgement: Judgement
    state: State


@dataclass(frozen=True, slots=True)
class Peers:
    """A price against the median of all prices of its currency and unit that do not fail a must-have, its own too."""

    percent: int  # above the median; negative below
    count: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an offer stands among the others, and why."""

    entry: Entry
    rank: int  # from 1
    score: float
    cost: Cost
    worths: tuple[Worth, ...]  # by criterion
    dominated_by: str | None
    peers: Peers | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Aside:
    """An offer that is not ranked, and why."""

    entry: Entry
    why: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All offers on one demand: ranked, best first, and those put aside."""

    scales: Scales
    places: tuple[Place, ...]
    asides: tuple[Aside, ...]

    @property
    def winner(self) -> Place | None:
        """The first, if it fits every must-have."""
        best = self.places[0] if self.places else None
        return best if best and best.entry.judgement.fit is Fit.FITS else None


def compare(
    demand: Demand,
    entries: Sequence[Entry],
    criteria: Criteria,
    now: int,
    *,
    reserve: tuple[Decimal, str] | None = None,
) -> Comparison:
    """Rank a demand's offers by a person's criteria; `reserve` is the private most they would pay. Never raises."""
    standing = [one for one in entries if _standing(one, now)]
    scales = settle(criteria, demand, [one.offer.price for one in standing], reserve=reserve)
    asides = [Aside(one, _ended(one)) for one in entries if not _standing(one, now)]
    found: list[tuple[tuple[Any, ...], Entry, Cost, tuple[Worth, ...], float]] = []
    for heard in standing:
        cost = scales.cost(heard.offer.price)
        if cost.amount is None:
            asides.append(Aside(heard, f"not comparable: {cost.why}"))
            continue
        entry = _against_budget(scales, heard)
        worths = scales.worths(entry.body, cost, entry.judgement.findings)
        score = scales.score(worths)
        found.append((order(scales, entry, cost, score), entry, cost, worths, score))
    found.sort(key=lambda one: one[0])
    better = _dominators(scales, [one[3] for one in found])
    medians = _medians([one[1] for one in found])
    places = tuple(
        Place(entry, rank, score, cost, worths, found[above][1].name if above is not None else None,
              _peers(entry, medians), _warnings(entry, demand, reserve))
        for rank, ((_, entry, cost, worths, score), above) in enumerate(zip(found, better, strict=True), 1)
    )  # fmt: skip
    asides.sort(key=lambda one: (FIT_ORDER[one.entry.judgement.fit], one.entry.offer.price.currency,
                                 one.entry.offer.price.total, one.entry.offer.id))  # fmt: skip
    return Comparison(scales, places, tuple(asides))


def _standing(entry: Entry, now: int) -> bool:
    return entry.state in _KEPT or (entry.state in _OPEN and now < entry.offer.expires)


def _ended(entry: Entry) -> str:
    return str(State.LAPSED if entry.state in _OPEN else entry.state)


def _against_budget(scales: Scales, entry: Entry) -> Entry:
    """Return an entry whose budget is judged in the person's own way where the demand's words alone cannot tell.

    Another currency or unit fails a budget, unless the person gave the rate or the months that make it comparable.
    """
    budget, price = scales.demand.budget, entry.offer.price
    if budget is None or scales.basis is None or (price.currency, price.unit) == (budget.currency, budget.unit):
        return entry
    alone = replace(scales.criteria.costing, extra=Decimal(0))
    most = cost_of(Price(budget.amount, budget.currency, budget.unit, ()), alone, scales.basis).amount
    asked = cost_of(price, alone, scales.basis).amount
    if most is None or asked is None:
        return entry
    verdict, words = (Verdict.MET, "is at most") if asked <= most else (Verdict.UNMET, "is more than")
    why = f"price {asked} {scales.basis.currency}, counted your way, {words} {most} {scales.basis.currency}"
    mine = budget.constraint()
    findings = (Finding(mine, verdict, why) if one.constraint == mine else one for one in entry.judgement.findings)
    return replace(entry, judgement=Judgement(tuple(findings)))


def order(scales: Scales, entry: Entry, cost: Cost, score: float) -> tuple[Any, ...]:
    """Return what offers are ordered by: fit, score, cost, id; where the cheapest comes first, cost before score."""
    first = (cost.amount,) if scales.cheapest_first else ()
    return FIT_ORDER[entry.judgement.fit], *first, -score, cost.amount, entry.offer.id


def _dominators(scales: Scales, worths: Sequence[Sequence[Worth]]) -> list[int | None]:
    """Return for each offer, best first, the best one above it that is nowhere worse and somewhere better.

    On a criterion that only one of two states they cannot be told apart, and neither dominates. Sets of offers are
    bits of one number, so that a thousand offers cost a few thousand operations and not a million comparisons.
    """
    least = [(1 << len(worths)) - 1] * len(worths)  # who is at least as good in everything
    equal = list(least)
    for at, criterion in enumerate(scales.criteria.criteria):
        if not scales.shares[at] and not (criterion.path == TOTAL and scales.cheapest_first):
            continue
        levels = [_level(scales, criterion.path, row[at]) for row in worths]
        groups: dict[float | Decimal | None, int] = {}
        for place, level in enumerate(levels):
            groups[level] = groups.get(level, 0) | (1 << place)
        above: dict[float | Decimal | None, int] = {None: groups.get(None, 0)}
        running = 0
        for level in sorted((one for one in groups if one is not None), reverse=True):
            above[level] = running = running | groups[level]
        for place, level in enumerate(levels):
            least[place] &= above[level]
            equal[place] &= groups[level]
    # Only those before it: they rank higher, so that a dominated offer never wins.
    better = (least[place] & ~equal[place] & ((1 << place) - 1) for place in range(len(worths)))
    return [(one & -one).bit_length() - 1 if one else None for one in better]


def _level(scales: Scales, path: str, worth: Worth) -> float | Decimal | None:
    """Return what offers are told apart by on a criterion, more being better; None where it is not stated."""
    if path == TOTAL and scales.cheapest_first:
        return -Decimal(worth.found)
    return worth.value if worth.known else None


def _medians(entries: Sequence[Entry]) -> dict[tuple[str, str | None], tuple[Decimal, int]]:
    groups: dict[tuple[str, str | None], list[Decimal]] = {}
    for one in entries:
        if one.judgement.fit is not Fit.FAILS:
            groups.setdefault((one.offer.price.currency, one.offer.price.unit), []).append(one.offer.price.total)
    return {basis: (median(prices), len(prices)) for basis, prices in groups.items()}


def _peers(entry: Entry, medians: Mapping[tuple[str, str | None], tuple[Decimal, int]]) -> Peers | None:
    price = entry.offer.price
    middle, count = medians.get((price.currency, price.unit), (Decimal(0), 0))
    if count < LEAST_PEERS or not middle or entry.judgement.fit is Fit.FAILS:
        return None
    return Peers(round((price.total - middle) * 100 / middle), count)


def _warnings(entry: Entry, demand: Demand, reserve: tuple[Decimal, str] | None) -> tuple[str, ...]:
    price, found = entry.offer.price, []
    if not price.total:
        found.append("it is free: check what stands behind it")
    if not entry.offer.firm:
        found.append("it is indicative: it cannot be accepted before the vendor makes it firm")
    unit = demand.budget.unit if demand.budget else None
    if reserve and (price.currency, price.unit) == (reserve[1], unit) and price.total > reserve[0]:
        found.append("it is above your reserve")
    return tuple(found)
