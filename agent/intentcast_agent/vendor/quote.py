"""The vendor's first offer for a matched item, a question before it, or why there is none. Pure; PROTOCOL §6.4

No price lies under the floor, and no text says more of the policy than the price itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from intentcast_protocol.conditions import Conditions, write_conditions
from intentcast_protocol.constraint import Constraint, Finding, Fit, Verdict, judge
from intentcast_protocol.demand import Budget, Demand
from intentcast_protocol.subscription import within
from intentcast_protocol.terms import Term
from intentcast_protocol.vocabulary import Component, Price, visible, write_price

from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.margin import Margin, find_margin
from intentcast_agent.vendor.match import NOTHING, Match, Stock, is_about_item
from intentcast_agent.vendor.policy import Policy

MAX_DEVIATIONS: Final = 32  # as many, and as long, as an offer may carry. PROTOCOL §6.4
MAX_SENTENCE: Final = 300
MAX_QUESTION: Final = 1_000
_CONDITIONS = ("deliveryLeadTime", "warranty", "addOn")
_BARGAINED = ("priceSpecification", *_CONDITIONS)


@dataclass(frozen=True, slots=True)
class Quote:
    """An offer: its price, in words each must-have it does not meet, its last moment, the terms it accepts, its
    conditions, and for the vendor's own books what it gives away below the list price.
    """

    price: Price
    deviations: tuple[str, ...]
    expires: int
    terms: Term
    conditions: Conditions = Conditions()  # noqa: RUF009 (frozen)
    concession: Decimal = field(default=Decimal(0), repr=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to the person before any offer: must-haves the stock says nothing comparable about.

    `path` is the first of them, `text` names them all. It comes with the terms, as every vendor's first message does.
    """

    path: str
    text: str
    terms: Term


@dataclass(frozen=True, slots=True)
class Pass:
    """No offer, and why, for the vendor's own log; it names no limit of the policy."""

    reason: str


def best_quote(
    policy: Policy,
    stock: Stock,
    demand: Demand,
    now: int,
    reserved: Mapping[str, int] = NOTHING,
    left: Decimal | None = None,
) -> tuple[Match, Quote | Ask] | Pass:
    """Return the best item the policy can offer and what to say of it; an item above the budget gives way to the next.

    `reserved` says how many of a SKU are spoken for, `left` how much of the concession budget is.
    """

    # What the item alone does not decide: a must-have about the price, the conditions, or about who offers.
    others = [wish for wish in demand.constraints if wish.strength == "must" and not is_about_item(wish)]
    ways = _ways(policy, demand)

    def sellable(item: StockItem) -> bool:
        opened = _misfit(policy, item, demand) or _open(policy, item, demand, ways, now, left)
        if isinstance(opened, str | Pass):
            return False
        if not others or policy.answers_alternatives:
            return True
        return judge(others, _body(policy, item, *opened[:2])).fit is not Fit.FAILS

    reason = _unserved(policy, demand, now)
    if reason:
        return Pass(reason)
    matches = stock.match(demand, alternatives=policy.answers_alternatives, reserved=reserved, sellable=sellable)
    for match in matches:
        outcome = first_quote(policy, match, demand, now, left=left)
        if not isinstance(outcome, Pass):
            return match, outcome
        reason = outcome.reason
    return Pass(reason or "nothing in stock matches within the budget")


def first_quote(
    policy: Policy, match: Match, demand: Demand, now: int, *, answered: bool = False, left: Decimal | None = None
) -> Quote | Ask | Pass:
    """Return the first offer for a match, a question to ask before it, or why there is none.

    Where the first price is above the public budget, the quote is exactly the budget if what any haggler could reach
    (a ladder's last step, say) allows it; otherwise there is none. So a demand's budget reveals no more of the
    policy than haggling does. An alternative may break a must-have about the item, never the budget. `answered` says
    that the person answered, or need not be asked; what stays unknown is then listed as a deviation. `left` is what
    remains of the concession budget, None without one.
    """
    item = match.item
    reason = _unserved(policy, demand, now) or _misfit(policy, item, demand)
    if reason:
        return Pass(reason)
    opened = _open(policy, item, demand, _ways(policy, demand), now, left)
    if isinstance(opened, Pass):
        return opened
    price, conditions, given = opened
    judgement = demand.judge(_body(policy, item, price, conditions))
    if judgement.fit is Fit.FAILS and not policy.answers_alternatives:
        return Pass(_sentence(judgement.why))
    terms = next(term for term in demand.terms.deal if term in policy.terms)
    amiss = [found for found in judgement.findings if _amiss(found)]
    if judgement.fit is Fit.ASKS and not answered:
        return _ask(item, [found for found in amiss if found.constraint.on_unknown == "ask"], terms)
    return Quote(price, _deviations(amiss), last_moment(policy, now, demand.expires), terms, conditions, given)


def _unserved(policy: Policy, demand: Demand, now: int) -> str | None:
    """Say why the policy does not answer the demand at all, or None."""
    if now >= demand.expires:
        return "the demand has ended"
    if not policy.area.meets(demand.area):
        return "the demand lies outside the area we serve"
    if not any(term in policy.terms for term in demand.terms.deal):
        return "we accept none of the terms the demand proffers"
    if demand.budget and demand.budget.currency != policy.currency:
        return "the budget is in another currency"
    return None


def _misfit(policy: Policy, item: StockItem, demand: Demand) -> str | None:
    """Say why the policy does not answer the demand with this item, whatever its price, or None."""
    category = item.item.get("category", "")
    if policy.categories and not any(within(category, own) for own in policy.categories):
        return "the item lies outside the categories we offer"
    if item.currency != policy.currency:
        return "the item is not listed in our currency"
    if demand.budget and demand.budget.unit != item.unit:
        return "the budget and the price are not per the same unit"
    return None


def _ways(policy: Policy, demand: Demand) -> tuple[Conditions, ...]:
    """Return the conditions to offer first, and the cheapest to fall back on, that break no must-have if any do not."""
    musts = _musts(demand, _CONDITIONS)
    costs = policy.menu.costs
    ways = [way for way in costs if judge(musts, write_conditions(way)).fit is not Fit.FAILS] if musts else [*costs]
    first = ways[0] if ways else policy.menu.first
    cheapest = min(ways, key=lambda way: costs[way], default=first)
    return (first, cheapest) if costs[cheapest] < costs[first] else (first,)


def _musts(demand: Demand, fields: tuple[str, ...]) -> list[Constraint]:
    """Return the must-haves about these fields of an offer."""
    return [wish for wish in demand.constraints if wish.strength == "must" and wish.path.split(".")[0] in fields]


def restate(
    deviations: tuple[str, ...],
    demand: Demand,
    before: tuple[Price, Conditions],
    after: tuple[Price, Conditions],
) -> tuple[str, ...]:
    """Return an offer's deviations once its price and conditions have changed; those about anything else stay."""
    musts = _musts(demand, _BARGAINED)

    def amiss(price: Price, conditions: Conditions) -> list[str]:
        judgement = judge(musts, {"priceSpecification": write_price(price), **write_conditions(conditions)})
        return [_sentence(found.why) for found in judgement.findings if _amiss(found)]

    old = amiss(*before)
    return (*(line for line in deviations if line not in old), *amiss(*after))[:MAX_DEVIATIONS]


def _open(
    policy: Policy, item: StockItem, demand: Demand, ways: tuple[Conditions, ...], now: int, left: Decimal | None
) -> tuple[Price, Conditions, Decimal] | Pass:
    """Return a first offer's price, its conditions and what it gives away, or why there is none."""
    try:
        margin = find_margin(policy, item, now, left)
    except ValueError:
        return Pass("the item's list price is not an amount in its currency")
    for way in ways:
        price = first_price(margin, demand.budget, way)
        if isinstance(price, Price):
            return price, way, margin.concession(margin.net(price, way))
    assert isinstance(price, Pass)
    return price


def first_price(margin: Margin, budget: Budget | None, conditions: Conditions) -> Price | Pass:
    """Return the price of a first offer under conditions, within a person's budget; or why there is none."""
    policy = margin.policy
    fees = tuple(Component(fee.kind, fee.name, fee.amount) for fee in policy.fees if fee.unit == margin.unit)
    added = sum((part.amount for part in fees), policy.menu.costs[conditions])
    net = margin.step(0)
    if budget and net + added > budget.amount:
        net = budget.amount - added
        if net < margin.reach:
            return Pass("the price is above the budget")
    if net > margin.top:
        return Pass("the policy does not sell at this list price")
    try:
        return margin.price(net, conditions, fees)
    except ValueError:
        return Pass("the total is too large to be written")


def _body(policy: Policy, item: StockItem, price: Price, conditions: Conditions) -> dict[str, Any]:
    """Return what a demand can judge of the offer to be made."""
    seller = policy.seller
    named = {"name": seller.name, "domain": seller.domain, "jurisdiction": seller.jurisdiction}
    return {
        "@type": "Offer",
        "itemOffered": item.item,
        "priceSpecification": write_price(price),
        "offeredBy": {name: value for name, value in named.items() if value is not None},
        "commitment": "firm",
        **write_conditions(conditions),
    }


def _amiss(found: Finding) -> bool:
    """Say whether a must-have is not met, and may not simply be unknown."""
    wish = found.constraint
    allowed = found.verdict is Verdict.UNKNOWN and wish.on_unknown == "allow"
    return wish.strength == "must" and found.verdict is not Verdict.MET and not allowed


def _deviations(amiss: list[Finding]) -> tuple[str, ...]:
    lines = tuple(_sentence(found.why) for found in amiss)
    if len(lines) > MAX_DEVIATIONS:
        left = len(lines) - MAX_DEVIATIONS + 1
        lines = (*lines[: MAX_DEVIATIONS - 1], f"{left} more must-haves are not met")
    return lines


def _ask(item: StockItem, unknown: list[Finding], terms: Term) -> Ask:
    name = item.item.get("name")
    whys = "; ".join(found.why for found in unknown)
    end = " These are must-haves of yours: shall we offer it all the same?"
    start = _sentence(f"{name if isinstance(name, str) else item.sku}: {whys}", MAX_QUESTION - len(end) - 1)
    return Ask(unknown[0].constraint.path, f"{start}.{end}", terms)


def _sentence(text: str, most: int = MAX_SENTENCE) -> str:
    """Return text as one line that an offer may carry; it may quote a demand or a feed."""
    line = visible(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def last_moment(policy: Policy, now: int, demand_expires: int) -> int:
    """Return until when an offer made now stands."""
    return min(now + policy.validity, demand_expires)
