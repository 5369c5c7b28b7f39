"""Why one offer is best for a person, and what would make another win: closed forms, each tried before it is told.

Sentences name offers by the short names of this home; what vendors wrote is shown apart. DESIGN §6
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, DecimalException
from typing import Any, Literal

from intentcast_protocol.constraint import Fit, Verdict
from intentcast_protocol.quantity import minor_digits, money, symbol

from intentcast_agent.person.compare import Comparison, Place, order
from intentcast_agent.person.criteria import TOTAL, Worth, measure, names_in, stated
from intentcast_agent.person.value import Linear, Table

Json = dict[str, Any]
_CENT = Decimal("0.01")  # the fineness of a weight that is told
_MOST_WEIGHT = 1_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one thing alone by which an offer would come first; `to` is None where no such change would do."""

    kind: Literal["must", "value", "weight"]
    criterion: str
    to: str | None


def changes(comparison: Comparison, place: Place) -> tuple[Change, ...]:
    """Return what would make an offer win: of its own values, and of the person's weights. Empty for the winner.

    Of an offer that does not fit, the must-haves that stand in the way are returned, since no score outweighs them.
    """
    scales = comparison.scales
    if place is comparison.winner:
        return ()
    if place.entry.judgement.fit is not Fit.FITS:
        musts = (one for one in place.entry.judgement.findings if one.constraint.strength == "must")
        return tuple(Change("must", one.constraint.path, one.why) for one in musts if one.verdict is not Verdict.MET)
    found: list[Change] = []
    rivals = _rivals(comparison, place)
    margins = [_margin(comparison, place, rival) for rival in rivals]
    for at, criterion in enumerate(scales.criteria.criteria):
        cheapest_first = criterion.path == TOTAL and scales.cheapest_first
        if scales.weights[at] or cheapest_first:
            to = _total(comparison, place, at) if criterion.path == TOTAL else _value(comparison, place, at)
            found.append(Change("value", criterion.name, to))
        if not scales.cheapest_first and (scales.weights[at] or not criterion.weight):
            found.append(Change("weight", criterion.name, _weight(comparison, place, at, rivals, margins)))
    return tuple(found)


def _needed(comparison: Comparison, place: Place, at: int) -> float:
    """Return the score on one criterion by which an offer would draw level with the first."""
    gap = comparison.places[0].score - place.score
    return place.worths[at].value + gap / comparison.scales.shares[at]


def _passes(comparison: Comparison, place: Place) -> bool:
    """Say whether an offer, as changed, would come first."""
    first = comparison.places[0]
    return _key(comparison, place) < _key(comparison, first)


def _key(comparison: Comparison, place: Place) -> tuple[object, ...]:
    return order(comparison.scales, place.entry, place.cost, comparison.scales.score(place.worths))


def _value(comparison: Comparison, place: Place, at: int) -> str | None:
    """Return the value by which an offer would pass the first, if it stated that and all else stayed."""
    for worth, text in _tries(comparison, place, at):
        if _passes(comparison, replace(place, worths=(*place.worths[:at], worth, *place.worths[at + 1 :]))):
            return text
    return None


def _tries(comparison: Comparison, place: Place, at: int) -> Iterator[tuple[Worth, str]]:
    """Yield worths that may suffice, the least demanding first, and the values that have them."""
    criterion, worth = comparison.scales.criteria.criteria[at], place.worths[at]
    function, needed = criterion.function, _needed(comparison, place, at)
    if function is None:
        asked = sum(one.constraint.strength == "want" for one in place.entry.judgement.findings)
        yield from ((Worth(met / asked, True), f"{met} of {asked}") for met in range(1, asked + 1))
    elif isinstance(function, Table):
        # Several names add up; a single one, the colour say, would have to be another.
        have = names_in(worth.found) if isinstance(worth.found, list) or criterion.path == "addOn" else []
        for name in function.enough(needed - function.of(have) - 1e-9):
            if name not in have:
                yield Worth(function.of([*have, name]), True), name
    else:
        now = measure(worth.found, criterion.unit) if worth.known else None
        words = "" if not isinstance(function, Linear) else "or more" if function.best > function.worst else "or less"
        unit = symbol(criterion.unit) if criterion.unit else ""
        for value in function.enough(needed, now):
            yield Worth(function.of(value), True), " ".join(filter(None, (f"{value:f}", unit, words)))


def _total(comparison: Comparison, place: Place, at: int) -> str | None:
    """Return the vendor's total by which an offer would pass the first."""
    scales, price = comparison.scales, place.entry.offer.price
    free = scales.cost(replace(price, total=Decimal(0))).amount
    assert place.cost.amount is not None
    if free is None or not price.total:
        return None
    # Just below the first one's own cost too, which decides where the scores are equal.
    goals = [comparison.places[0].cost.amount or free]
    if not scales.cheapest_first:
        assert scales.total is not None
        assert isinstance(scales.total.function, Linear)
        line, needed = scales.total.function, _needed(comparison, place, at)
        goals += [line.worst + Decimal(needed) * (line.best - line.worst)] if needed <= 1 else []
    cent = Decimal(1).scaleb(-minor_digits(price.currency))
    for goal in sorted(goals, reverse=True):
        try:
            # The cost is a straight line of the total: what is added once, and so much for each unit of it.
            level = ((goal - free) / (place.cost.amount - free) * price.total).quantize(cent, ROUND_FLOOR)
        except DecimalException:
            continue
        for total in (level, level - cent):
            cost = scales.cost(replace(price, total=total))
            if total < 0 or cost.amount is None:
                continue
            worths = scales.worths(place.entry.body, cost, place.entry.judgement.findings)
            if _passes(comparison, replace(place, cost=cost, worths=worths)):
                return f"{money(total, price.currency)} {price.currency} or less"
    return None


def _rivals(comparison: Comparison, place: Place) -> list[Place]:
    fit = place.entry.judgement.fit
    return [one for one in comparison.places if one.entry.judgement.fit is fit and one.rank != place.rank]


def _margin(comparison: Comparison, place: Place, rival: Place) -> tuple[Decimal, list[Decimal]]:
    """Return by how much an offer leads a rival: in all, weighted, and on each criterion."""
    pairs = zip(place.worths, rival.worths, strict=True)
    leads = [Decimal(mine.value) - Decimal(theirs.value) for mine, theirs in pairs]
    weighted = (weight * lead for weight, lead in zip(comparison.scales.weights, leads, strict=True))
    return sum(weighted, Decimal(0)), leads


def _weight(
    comparison: Comparison,
    place: Place,
    at: int,
    rivals: Sequence[Place],
    margins: Sequence[tuple[Decimal, list[Decimal]]],
) -> str | None:
    """Return the weight nearest the present one by which an offer would leave every rival behind.

    The score is a weighted sum, so each rival bounds the weight on one side.
    """
    scales = comparison.scales
    least, most = Decimal(0), Decimal(_MOST_WEIGHT)
    for whole, leads in margins:
        rest, lead = whole - scales.weights[at] * leads[at], leads[at]
        if lead > 0:
            least = max(least, -rest / lead)
        elif lead < 0:
            most = min(most, rest / -lead)
    now = scales.weights[at]
    up = now < least
    level = (least if up else most).quantize(_CENT, ROUND_CEILING if up else ROUND_FLOOR)
    # At the bound itself both score the same; just past it the lead may be too small to count.
    past = (level + _CENT, level * Decimal("1.01")) if up else (level - _CENT, level * Decimal("0.99"))
    for weight in (level, *(one.quantize(_CENT) for one in past)):
        if 0 <= weight <= _MOST_WEIGHT and _wins_with(comparison, place, at, weight, rivals):
            return f"{weight.normalize():f} instead of {now.normalize():f}"
    return None


def _wins_with(comparison: Comparison, place: Place, at: int, weight: Decimal, rivals: Sequence[Place]) -> bool:
    scales = comparison.scales
    weights = (*scales.weights[:at], weight, *scales.weights[at + 1 :])
    whole = sum(weights)
    if not whole:
        return False
    changed = replace(comparison, scales=replace(scales, shares=tuple(float(one / whole) for one in weights)))
    mine = _key(changed, place)
    return all(mine < _key(changed, rival) for rival in rivals)


def reason(comparison: Comparison) -> str:
    """Return in one sentence why the first offer is best for this person, or why none is."""
    if not comparison.places:
        return ""
    first, *others = comparison.places
    name = first.entry.name
    if comparison.winner is None:
        return f"No offer fits every must-have; {name} comes closest: {first.entry.judgement.why}."
    second = next((one for one in others if one.entry.judgement.fit is first.entry.judgement.fit), None)
    if second is None:
        return f"{name} is the only one that fits every must-have."
    other = second.entry.name
    if comparison.scales.cheapest_first and first.cost.amount != second.cost.amount:
        return f"{name} costs you least of those that fit every must-have; {other} comes next."
    if first.score == second.score:
        level = f"{name} and {other} come to the same score"
        return f"{level}; {name} costs less." if first.cost.amount != second.cost.amount else f"{level} and cost."
    leads = [
        (share * (mine.value - theirs.value), criterion.name)
        for share, mine, theirs, criterion in zip(
            comparison.scales.shares, first.worths, second.worths, comparison.scales.criteria.criteria, strict=True
        )
    ]
    ahead = [f"{criterion} (+{lead:.2f})" for lead, criterion in sorted(leads, reverse=True) if lead >= 0.005]
    behind = [f"{criterion} (−{-lead:.2f})" for lead, criterion in sorted(leads) if lead <= -0.005]
    though = f", though behind on {' and '.join(behind[:2])}" if behind else ""
    by = f", by {' and '.join(ahead[:2])}" if ahead else ""
    return f"{name} is best for you: {first.score:.3f} against {second.score:.3f} for {other}{by}{though}."


def comparison_view(comparison: Comparison) -> Json:
    """Return a comparison as a whole: the winner and why, the criteria with their weights, what costs are told in."""
    scales, winner = comparison.scales, comparison.winner
    return {
        "winner": winner.entry.name if winner else None,
        "why": reason(comparison),
        "notes": list(scales.notes),
        "unknown": scales.criteria.unknown,
        "criteria": [
            {"name": one.name, "path": one.path, "unit": one.unit, "weight": f"{one.weight.normalize():f}",
             "share": round(share, 4)}
            for one, share in zip(scales.criteria.criteria, scales.shares, strict=True)
        ],
        "currency": scales.basis.currency if scales.basis else None,
        "per": scales.basis.unit if scales.basis else None,
    }  # fmt: skip


def place_view(comparison: Comparison, place: Place, *, explained: bool) -> Json:
    """Return one offer's place: its cost, each criterion's value and contribution, each must, and what would help."""
    scales = comparison.scales
    rows = zip(scales.criteria.criteria, scales.shares, place.worths, strict=True)
    assert place.cost.amount is not None
    assert scales.basis is not None
    return {
        "cost": money(place.cost.amount, scales.basis.currency),
        "criteria": {
            one.name: {
                "stated": _stated(one.path, worth, comparison),
                "known": worth.known,
                "why": worth.why,
                "value": round(worth.value, 4),
                "contribution": round(share * worth.value, 4),
            }
            for one, share, worth in rows
        },
        "musts": [
            {"path": one.constraint.path, "verdict": str(one.verdict), "why": one.why}
            for one in place.entry.judgement.findings
            if one.constraint.strength == "must"
        ],
        "dominated_by": place.dominated_by,
        "peers": {"percent": place.peers.percent, "count": place.peers.count} if place.peers else None,
        "warnings": list(place.warnings),
        "wins": [{"kind": one.kind, "criterion": one.criterion, "to": one.to} for one in changes(comparison, place)]
        if explained
        else None,
    }


def _stated(path: str, worth: Worth, comparison: Comparison) -> str | None:
    """Return what an offer states, as people write it; None where it states nothing."""
    if path == TOTAL:
        basis = comparison.scales.basis
        return f"{money(worth.found, basis.currency)} {basis.currency}" if basis and worth.found is not None else None
    return None if worth.found is None else stated(worth.found)
