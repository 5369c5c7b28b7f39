"""What the vendor answers: the first offer for a matched item, and the answer to each counter. Pure; PROTOCOL §6.4

Three promises hold whatever a person asks: no price lies under the floor, no total lies above the one before it, and no
text says more of the policy than the price itself. Fees are never bargained away: a counter is met in the discount.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from intentcast_protocol.constraint import Finding, Fit, Verdict, judge
from intentcast_protocol.demand import Demand
from intentcast_protocol.quantity import money, parse_money
from intentcast_protocol.subscription import within
from intentcast_protocol.terms import Term
from intentcast_protocol.vocabulary import Component, Price, visible, write_price

from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.match import NOTHING, Match, Stock, is_about_item
from intentcast_agent.vendor.policy import Policy

MAX_DEVIATIONS: Final = 32  # as many, and as long, as an offer may carry. PROTOCOL §6.4
MAX_SENTENCE: Final = 300
MAX_QUESTION: Final = 1_000
_EXTRAS = ("fee", "delivery", "tax")


@dataclass(frozen=True, slots=True)
class Quote:
    """A first offer: its price, in words each must-have it does not meet, its last moment, and the terms it accepts."""

    price: Price
    deviations: tuple[str, ...]
    expires: int
    terms: Term


@dataclass(frozen=True, slots=True)
class Move:
    """A new price for the offer that was countered, and its last moment; all else stays as it was."""

    price: Price
    expires: int


@dataclass(frozen=True, slots=True)
class Hold:
    """The last price once more, as a fresh offer: it is final."""

    price: Price
    expires: int


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
    policy: Policy, stock: Stock, demand: Demand, now: int, reserved: Mapping[str, int] = NOTHING
) -> tuple[Match, Quote | Ask] | Pass:
    """Return the best item the policy can offer and what to say of it; an item above the budget gives way to the next.

    `reserved` says how many of a SKU are spoken for.
    """

    # What the item alone does not decide: a must-have about the price, or about who offers.
    others = [wish for wish in demand.constraints if wish.strength == "must" and not is_about_item(wish)]

    def sellable(item: StockItem) -> bool:
        price = None if _misfit(policy, item, demand) else _open(policy, item, demand)
        if not isinstance(price, Price):
            return False
        if not others or policy.answers_alternatives:
            return True
        return judge(others, _body(policy, item, price)).fit is not Fit.FAILS

    reason = _unserved(policy, demand, now)
    if reason:
        return Pass(reason)
    matches = stock.match(demand, alternatives=policy.answers_alternatives, reserved=reserved, sellable=sellable)
    for match in matches:
        outcome = first_quote(policy, match, demand, now)
        if not isinstance(outcome, Pass):
            return match, outcome
        reason = outcome.reason
    return Pass(reason or "nothing in stock matches within the budget")


def first_quote(
    policy: Policy, match: Match, demand: Demand, now: int, *, answered: bool = False
) -> Quote | Ask | Pass:
    """Return the first offer for a match, a question to ask before it, or why there is none.

    Where the ladder's first step is above the public budget, the quote is exactly the budget if the ladder's last
    step, which any haggler could reach, allows it; otherwise there is none. So a demand's budget reveals no more of the
    policy than haggling does. An alternative may break a must-have about the item, never the budget. `answered` says
    that the person answered, or need not be asked; what stays unknown is then listed as a deviation.
    """
    item = match.item
    reason = _unserved(policy, demand, now) or _misfit(policy, item, demand)
    if reason:
        return Pass(reason)
    price = _open(policy, item, demand)
    if isinstance(price, Pass):
        return price
    judgement = demand.judge(_body(policy, item, price))
    if judgement.fit is Fit.FAILS and not policy.answers_alternatives:
        return Pass(_sentence(judgement.why))
    terms = next(term for term in demand.terms.deal if term in policy.terms)
    amiss = [found for found in judgement.findings if _amiss(found)]
    if judgement.fit is Fit.ASKS and not answered:
        return _ask(item, [found for found in amiss if found.constraint.on_unknown == "ask"], terms)
    return Quote(price, _deviations(amiss), _until(policy, now, demand.expires), terms)


def answer_counter(
    policy: Policy, list_price: Decimal, last: Price, counter: Price, rounds: int, now: int, demand_expires: int
) -> Move | Hold | Pass:
    """Return the answer to a person's counter, the `rounds`-th of the session (the first is 1).

    A counter at or above what the ladder allows in this round is agreed to: the new total is exactly the counter's, or
    the last offer's where the counter is higher still. Otherwise the total goes down to the ladder's step, and where
    that is no lower than the last offer, it holds. Only totals are bargained over, fees stay as they were.
    Passes when the demand has ended, or when by now the last price itself lies outside the policy.
    """
    if now >= demand_expires:
        return Pass("the demand has ended")
    if last.currency != policy.currency:
        return Pass("the price is not in our currency")
    expires = _until(policy, now, demand_expires)
    extras = tuple(part for part in last.components if part.kind in _EXTRAS)
    added = sum((part.amount for part in extras), Decimal(0))
    if last.total - added < policy.least(list_price):
        return Pass("we no longer sell at the last price")
    lowest = min(policy.allowed(list_price, rounds) + added, last.total)
    comparable = (counter.currency, counter.unit) == (last.currency, last.unit)
    if comparable and counter.total >= lowest:
        lowest = min(counter.total, last.total)
    elif lowest == last.total:
        return Hold(last, expires)
    return Move(_price(list_price, lowest - added, extras, last.currency, last.unit), expires)


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


def _open(policy: Policy, item: StockItem, demand: Demand) -> Price | Pass:
    try:
        list_price = parse_money(item.price, item.currency)
    except ValueError:
        return Pass("the item's list price is not an amount in its currency")
    extras = tuple(Component(fee.kind, fee.name, fee.amount) for fee in policy.fees if fee.unit == item.unit)
    added = sum((part.amount for part in extras), Decimal(0))
    net = policy.allowed(list_price, 0)
    if demand.budget and net + added > demand.budget.amount:
        net = demand.budget.amount - added
        if net < policy.allowed(list_price, policy.rounds):
            return Pass("the price is above the budget")
    if net > list_price:
        return Pass("the policy does not sell at this list price")
    try:
        money(net + added, item.currency)
    except ValueError:
        return Pass("the total is too large to be written")
    return _price(list_price, net, extras, item.currency, item.unit)


def _price(list_price: Decimal, net: Decimal, extras: tuple[Component, ...], currency: str, unit: str | None) -> Price:
    """Return a price whose total is the sum of its parts; a list price that fell below `net` is shown as `net`."""
    parts = [Component("price", "List price", max(list_price, net))]
    if net < list_price:
        parts.append(Component("discount", "Discount", net - list_price))
    components = (*parts, *extras)
    return Price(sum((part.amount for part in components), Decimal(0)), currency, unit, components)


def _body(policy: Policy, item: StockItem, price: Price) -> dict[str, Any]:
    """Return what a demand can judge of the offer to be made."""
    seller = policy.seller
    named = {"name": seller.name, "domain": seller.domain, "jurisdiction": seller.jurisdiction}
    return {
        "@type": "Offer",
        "itemOffered": item.item,
        "priceSpecification": write_price(price),
        "offeredBy": {name: value for name, value in named.items() if value is not None},
        "commitment": "firm",
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


def _until(policy: Policy, now: int, demand_expires: int) -> int:
    return min(now + policy.validity, demand_expires)
