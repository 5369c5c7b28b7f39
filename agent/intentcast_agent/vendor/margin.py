"""What one item may be sold for at a moment: the net the list price brings, and how low it may go. Pure; DESIGN §6

A net is a price without fees and less what its conditions cost the vendor, so that one number compares every trade-off.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from intentcast_protocol.conditions import Conditions
from intentcast_protocol.quantity import money, parse_money
from intentcast_protocol.vocabulary import Component, Price

from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.policy import Policy

EXTRAS = ("fee", "delivery", "tax")


@dataclass(frozen=True, slots=True)
class Margin:
    """The bounds on an item's net, which are the vendor's own secret."""

    policy: Policy
    list_price: Decimal
    unit: str | None
    top: Decimal  # what the list price brings with the first offer's conditions
    floor: Decimal = field(repr=False)  # by the stock's age
    lowest: Decimal = field(repr=False)  # the floor, or higher where the concession budget leaves less

    def step(self, rounds: int) -> Decimal:
        """Return the net that a ladder allows after so many counters; without one, what the list price brings."""
        return max(self.policy.step(self.list_price, rounds) - (self.list_price - self.top), self.lowest)

    @property
    def reach(self) -> Decimal:
        """The lowest net that a person could haggle for."""
        return self.step(self.policy.rounds) if self.policy.fixed else self.lowest

    def concession(self, net: Decimal) -> Decimal:
        """Return what a net gives away."""
        return max(self.top - net, Decimal(0))

    def net(self, price: Price, conditions: Conditions) -> Decimal:
        """Return what a price brings under conditions; raises KeyError for conditions not on the menu."""
        return price.total - fees_of(price) - self.policy.menu.costs[conditions]

    def price(self, net: Decimal, conditions: Conditions, extras: tuple[Component, ...]) -> Price:
        """Return the price that brings a net under conditions; raises ValueError if it is too large to be written.

        Its first line is the list price, or where the conditions cost more than any discount, the price itself.
        """
        amount = net + self.policy.menu.costs[conditions]
        parts = [Component("price", "List price", self.list_price)]
        if amount < self.list_price:
            parts.append(Component("discount", "Discount", amount - self.list_price))
        elif amount > self.list_price:
            parts = [Component("price", "Price", amount)]
        components = (*parts, *extras)
        total = sum((part.amount for part in components), Decimal(0))
        money(total, self.policy.currency)
        return Price(total, self.policy.currency, self.unit, components)


def find_margin(policy: Policy, item: StockItem, now: int, left: Decimal | None = None) -> Margin:
    """Return an item's bounds at a moment; `left` is what remains of the concession budget, None without one.

    Raises ValueError when the list price is not an amount in the policy's currency.
    """
    if item.currency != policy.currency:
        raise ValueError(f"not in {policy.currency}")
    list_price = parse_money(item.price, item.currency)
    age = None if item.listed is None else now - item.listed
    floor = policy.least(list_price, age)
    top = list_price - policy.menu.costs[policy.menu.first]
    lowest = floor if left is None else max(floor, top - left)
    return Margin(policy, list_price, item.unit, top, floor, lowest)


def fees_of(price: Price) -> Decimal:
    """Return what stands on top of a price: fees, delivery and tax, which are never bargained over."""
    return sum((part.amount for part in price.components if part.kind in EXTRAS), Decimal(0))
