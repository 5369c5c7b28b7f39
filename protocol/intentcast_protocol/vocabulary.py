"""Fields that demands, offers and profiles share: text, prices, relays, items.

Readers return typed values and raise InvalidMessage with the caller's code, naming the field. PROTOCOL §6.1
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_COMPONENTS, MAX_RELAYS, MAX_TEXT
from intentcast_protocol.quantity import add, minor_digits, parse_decimal, parse_money
from intentcast_protocol.subscription import CATEGORY

# C0 and C1 controls but the newline, and the marks that reorder what a person reads.
_UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_RELAY = re.compile(r"wss?://[a-z0-9.\-\[\]:]{1,253}(?:/[A-Za-z0-9._~/-]{0,100})?", re.ASCII)
_UNIT = re.compile(r"[A-Z0-9]{2,3}", re.ASCII)
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,62}", re.ASCII)
KINDS = ("price", "discount", "fee", "delivery", "tax")


@dataclass(frozen=True, slots=True)
class Component:
    """One line of a price; only a discount is negative."""

    kind: str
    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """A total that is the sum of its components, in one currency, once or per `unit` (e.g. MON)."""

    total: Decimal
    currency: str
    unit: str | None
    components: tuple[Component, ...]


def read_text(value: object, name: str, code: str, most: int = MAX_TEXT) -> str:
    """Read text without control or reordering characters; raises InvalidMessage."""
    if not isinstance(value, str) or not value or len(value) > most:
        raise InvalidMessage(code, f"{name} is text of 1 to {most} characters")
    if _UNSEEN.search(value):
        raise InvalidMessage(code, f"{name} holds control or reordering characters")
    return value


def visible(text: str) -> str:
    """Return foreign text as one line that cannot move a cursor or reorder what stands around it."""
    return _UNSEEN.sub("\ufffd", text).replace("\n", " ")


def read_bytes(value: object, name: str, code: str, length: int = 32) -> bytes:
    """Read a key or id; raises InvalidMessage."""
    if not isinstance(value, bytes) or len(value) != length:
        raise InvalidMessage(code, f"{name} is {length} bytes")
    return value


def read_unit(value: object, name: str, code: str) -> str | None:
    """Read a UN/ECE Rec 20 code or nothing; raises InvalidMessage."""
    if value is not None and (not isinstance(value, str) or not _UNIT.fullmatch(value)):
        raise InvalidMessage(code, f"{name} is a UN/ECE unit code")
    return value


def read_domain(value: object, code: str) -> str:
    """Read a lower-case DNS name; raises InvalidMessage."""
    if not isinstance(value, str) or len(value) > 253 or not _DOMAIN.fullmatch(value):
        raise InvalidMessage(code, "domain is a lower-case host name")
    return value


def read_relays(value: object, code: str) -> tuple[str, ...]:
    """Read 1 to MAX_RELAYS relay addresses; raises InvalidMessage."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_RELAYS or len(set(map(str, value))) != len(value):
        raise InvalidMessage(code, f"relays are 1 to {MAX_RELAYS} different addresses")
    if not all(isinstance(item, str) and _RELAY.fullmatch(item) for item in value):
        raise InvalidMessage(code, "a relay is a ws:// or wss:// address in lower case")
    return tuple(value)


def read_item(value: object, code: str) -> dict[str, Any]:
    """Read ``itemOffered``: a map with a category; raises InvalidMessage. Its other properties are schema.org's own."""
    if not isinstance(value, dict):
        raise InvalidMessage(code, "itemOffered is missing")
    category = value.get("category")
    if not isinstance(category, str) or not CATEGORY.fullmatch(category):
        raise InvalidMessage(code, "itemOffered.category is a path of slugs such as services/home/plumbing")
    if "name" in value:
        read_text(value["name"], "itemOffered.name", code, 200)
    return value


def read_price(value: object, code: str) -> Price:
    """Read ``priceSpecification`` of an offer or counter.

    Raises InvalidMessage with `code`, or ``invalid.offer.total`` when the parts do not add up. PROTOCOL §6.4
    """
    if not isinstance(value, dict):
        raise InvalidMessage(code, "priceSpecification is missing")
    currency = value.get("priceCurrency")
    listed = value.get("priceComponent")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_COMPONENTS:
        raise InvalidMessage(code, f"priceComponent lists 1 to {MAX_COMPONENTS} parts")
    try:
        total = parse_money(value.get("price"), currency)
        components = tuple(_component(item, currency, code) for item in listed)
    except ValueError as error:
        raise InvalidMessage(code, f"price: {error}") from error
    if total < 0 or total != add(item.amount for item in components):
        raise InvalidMessage("invalid.offer.total", f"{total} is not the sum of its {len(components)} parts")
    return Price(total, str(currency), read_unit(value.get("unitCode"), "unitCode", code), components)


def _component(value: object, currency: object, code: str) -> Component:
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        raise InvalidMessage(code, f"a priceComponent is a {', '.join(KINDS)}")
    amount = parse_money(value.get("price"), currency)
    if (amount < 0) != (value["kind"] == "discount") and amount != 0:
        raise InvalidMessage(code, "only a discount is negative")
    return Component(value["kind"], read_text(value.get("name"), "priceComponent.name", code, 100), amount)


def write_price(price: Price) -> dict[str, Any]:
    """Return a price's form in a body; the inverse of `read_price`."""

    def text(amount: Decimal) -> str:
        return format(amount.quantize(Decimal(1).scaleb(-minor_digits(price.currency))), "f")

    value = {
        "@type": "CompoundPriceSpecification",
        "price": text(price.total),
        "priceCurrency": price.currency,
        "priceComponent": [
            {"@type": "UnitPriceSpecification", "kind": part.kind, "name": part.name, "price": text(part.amount)}
            for part in price.components
        ],
    }
    return value | ({"unitCode": price.unit} if price.unit else {})


def read_amount(value: object, unit: str | None, code: str) -> Decimal:
    """Read a decimal string of a constraint; raises InvalidMessage."""
    try:
        return parse_decimal(value)
    except ValueError as error:
        raise InvalidMessage(code, f"{value!r:.40} {unit or ''}: {error}") from error
