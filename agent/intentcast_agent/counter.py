"""The terms of a counter, in full: from the offer it answers, and what is to change. Pure; PROTOCOL §6.4"""

from decimal import Decimal
from typing import Any

from intentcast_protocol.conditions import Conditions, write_conditions
from intentcast_protocol.errors import StateError
from intentcast_protocol.offer import Offer
from intentcast_protocol.vocabulary import Component, Price, write_price

_BARGAINED = ("price", "discount")


def counter_terms(offer: Offer, price: Price | None, conditions: Conditions | None) -> dict[str, Any]:
    """Return the fields of a counter's body that state its terms; what is None stays as offered."""
    return {
        "itemOffered": offer.item,
        "priceSpecification": write_price(price or offer.price),
        **write_conditions(conditions or offer.conditions),
    }


def least_total(price: Price) -> Decimal:
    """Return what cannot be bargained over: fees, delivery and tax."""
    return sum((part.amount for part in price.components if part.kind not in _BARGAINED), Decimal(0))


def with_total(price: Price, total: Decimal) -> Price:
    """Return a price with another total: the price and any discount become one line, the rest stays as offered.

    Raises StateError when the total does not even cover fees, delivery and tax.
    """
    kept = tuple(part for part in price.components if part.kind not in _BARGAINED)
    rest = total - least_total(price)
    if rest < 0:
        raise StateError("refused.session.not-now", "that is less than the fees, delivery and tax alone")
    first = next((part.name for part in price.components if part.kind == "price"), "Price")
    return Price(total, price.currency, price.unit, (Component("price", first, rest), *kept))
