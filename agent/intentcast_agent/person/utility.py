"""The utility of hypothetical terms, for a haggler: what an offer would score with another total or other conditions.

It is the score by which offers are compared, split into one part for each issue; must-haves are no part of it, since
they bind and do not weigh. DESIGN §6
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from intentcast_protocol.conditions import Conditions, write_conditions
from intentcast_protocol.constraint import judge
from intentcast_protocol.demand import Demand
from intentcast_protocol.quantity import money
from intentcast_protocol.vocabulary import read_price

from intentcast_agent.person.cost import Cost
from intentcast_agent.person.criteria import TOTAL, WANTS, Criteria, Scales, settle

# issue -> the field of a body it is stated in
ISSUES: Final = {
    TOTAL: "priceSpecification",
    "deliveryLeadTime": "deliveryLeadTime",
    "warranty.durationOfWarranty": "warranty",
    "addOn": "addOn",
}
Outcome = Mapping[str, Any]


def scorer(
    demand: Demand, criteria: Criteria, body: Mapping[str, Any], *, reserve: tuple[Decimal, str] | None = None
) -> Callable[[Outcome], float]:
    """Return a function from changes of an offer to the score, 0 to 1, that the offer would then have.

    Changes are by ISSUES: `total` an amount in the offer's currency, `deliveryLeadTime` days,
    `warranty.durationOfWarranty` months, `addOn` names; None takes a condition away, and what is left out stays as the
    body has it. Each part is worked out once a value. Raises ValueError where nothing says how good a total is (a
    demand without a budget, and no `reserve`), or where the offer's currency or unit cannot be compared.
    """
    price = read_price(body["priceSpecification"], "invalid.offer.malformed")
    scales = settle(criteria, demand, [price], reserve=reserve)
    if scales.cheapest_first:
        raise ValueError("nothing says how good a total is: the demand has no budget, and the criteria no amounts")
    if scales.cost(price).amount is None:
        raise ValueError(scales.cost(price).why)
    fields = set(ISSUES.values())
    rest = {name: value for name, value in body.items() if name not in fields}
    known: dict[str, dict[Any, float]] = {issue: {} for issue in ISSUES}
    now = {issue: _part(scales, issue, {ISSUES[issue]: body.get(ISSUES[issue])}) for issue in ISSUES}
    base = _part(scales, None, rest)

    def score(changes: Outcome) -> float:
        found = base
        for issue, part in now.items():
            if issue not in changes:
                found += part
                continue
            value = changes[issue]
            try:
                found += known[issue][value]
            except KeyError:
                known[issue][value] = _part(scales, issue, _body(issue, value, body))
                found += known[issue][value]
        return found

    return score


def _part(scales: Scales, issue: str | None, body: Mapping[str, Any]) -> float:
    """Return what an issue, or with None all else, adds to the score."""
    cost = Cost(None)
    if issue == TOTAL:
        cost = scales.cost(read_price(body[ISSUES[TOTAL]], "invalid.offer.malformed"))
    wants = [one for one in scales.demand.judge({}).findings if one.constraint.strength == "want"]
    mine = judge([one.constraint for one in wants if _issue(one.constraint) == issue], body).findings
    worths = scales.worths(body, cost, mine)
    found = 0.0
    for criterion, share, worth in zip(scales.criteria.criteria, scales.shares, worths, strict=True):
        if criterion.path == WANTS:
            # The share of these wants alone, put beside all there are.
            found += share * worth.value * (len(mine) / len(wants) if wants else 0)
        elif _issue(criterion) == issue:
            found += share * worth.value
    return found


def _issue(one: Any) -> str | None:
    path = ISSUES[TOTAL] if one.path == TOTAL else one.path
    return next((issue for issue, name in ISSUES.items() if path.split(".")[0] == name), None)


def _body(issue: str, value: Any, body: Mapping[str, Any]) -> dict[str, Any]:
    if issue == TOTAL:
        price = body[ISSUES[TOTAL]]
        text = money(Decimal(value), price["priceCurrency"])
        part = {"kind": "price", "name": "Price", "price": text}
        return {ISSUES[TOTAL]: {**price, "price": text, "priceComponent": [part]}}
    if value is None:
        return {}
    names = {"deliveryLeadTime": "delivery", "warranty.durationOfWarranty": "warranty", "addOn": "extras"}
    return write_conditions(Conditions(**{names[issue]: value}))
