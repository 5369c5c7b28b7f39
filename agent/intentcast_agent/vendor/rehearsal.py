"""What a policy would do with a stock item and a made-up person, before any real one meets it. Pure; DESIGN §6

The person is simple: it knows a first and a last price, goes from one to the other in even steps, and takes what it
would have offered next. Real people are not so, and the bot's private dice fall anew in every session.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from intentcast_protocol.conditions import write_conditions
from intentcast_protocol.quantity import money
from intentcast_protocol.vocabulary import Price

from intentcast_agent.vendor.entry import Percent
from intentcast_agent.vendor.haggle import Hold, Move, Said, answer_counter
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.margin import Margin, find_margin
from intentcast_agent.vendor.policy import Policy
from intentcast_agent.vendor.quote import Pass, first_price

MOST_ITEMS: Final = 50  # rehearsed at once
_FOREVER = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Sitter:
    """A made-up person: what it first offers and what it would pay at most, as shares of the first offer's total."""

    opens: Percent
    pays: Percent

    def asks(self, first: Price, turn: int, turns: int) -> Decimal:
        """Return the total of its counter at a turn, the first being 0."""
        share = self.opens.value + (self.pays.value - self.opens.value) * min(turn, turns - 1) / max(turns - 1, 1)
        return Percent(share).of(first.total, first.currency)


def rehearse(
    policy: Policy, item: StockItem, sitter: Sitter, *, now: int, left: Decimal | None = None
) -> dict[str, Any]:
    """Return as JSON what the bot would offer and answer, the lowest net a person could reach, and what was agreed.

    `left` is what remains of the concession budget. An item that would not be offered has only a `reason`.
    """
    view: dict[str, Any] = {"sku": item.sku, "name": item.item.get("name", item.sku), "list": item.price}
    try:
        margin = find_margin(policy, item, now, left)
    except ValueError:
        return {**view, "reason": "the item's list price is not an amount in the policy's currency"}
    first = first_price(margin, None, policy.menu.first)
    if isinstance(first, Pass):
        return {**view, "reason": first.reason}
    said, rounds, total = [Said("vendor", first, policy.menu.first)], [], None
    turns = max(policy.rounds, 1)
    for turn in range(turns):
        asks = sitter.asks(first, turn, turns)
        if said[-1].price.total <= asks:
            total = said[-1].price.total
            break
        said.append(Said("person", Price(asks, first.currency, first.unit, ()), said[-1].conditions))
        answer = answer_counter(
            margin, said, rounds=turn + 1, now=now, demand_expires=_FOREVER, secret=item.sku.encode()
        )
        assert not isinstance(answer, Pass)
        said.append(Said("vendor", answer.price, answer.conditions))
        rounds.append({"counter": money(asks, first.currency), **_offer(margin, answer), "answer": _word(answer, asks)})
    last = said[-1]
    if total is None and last.price.total <= sitter.asks(first, turns, turns):
        total = last.price.total
    net = None if total is None else margin.net(last.price, last.conditions)
    return {
        **view,
        "unit": item.unit,
        "floor": money(margin.floor, first.currency),
        "lowest": money(margin.reach, first.currency),
        "first": _offer(margin, Move(first, now, policy.menu.first)),
        "rounds": rounds,
        "deal": None if total is None else money(total, first.currency),
        "net": None if net is None else money(net, first.currency),
        "margin": None if net is None else money(net - margin.floor, first.currency),
    }


def _offer(margin: Margin, answer: Move | Hold) -> dict[str, Any]:
    net = margin.net(answer.price, answer.conditions)
    currency = answer.price.currency
    return {
        "total": money(answer.price.total, currency),
        "net": money(net, currency),
        "conditions": write_conditions(answer.conditions),
    }


def _word(answer: Move | Hold, asks: Decimal) -> str:
    return "holds" if isinstance(answer, Hold) else "agrees" if answer.price.total <= asks else "moves"
