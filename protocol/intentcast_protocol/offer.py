"""Offers and counters: the full terms of a deal, never a delta. PROTOCOL §6.4"""

from dataclasses import dataclass, field
from typing import Any

from intentcast_protocol.conditions import Choices, Conditions, read_choices, read_conditions
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.identity import Id, Key
from intentcast_protocol.record import Envelope
from intentcast_protocol.terms import Term, read_term
from intentcast_protocol.vocabulary import Price, read_bytes, read_domain, read_item, read_price, read_text

_CODE = "invalid.offer.malformed"
_DEVIATIONS = 32


@dataclass(frozen=True, slots=True)
class Seller:
    """Who offers, as they say themselves; only an attestation makes the domain more than a claim."""

    name: str
    domain: str | None
    jurisdiction: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A vendor's checked offer."""

    id: Id
    author: Key
    created: int
    expires: int
    demand: bytes
    item: dict[str, Any] = field(repr=False)
    price: Price
    conditions: Conditions
    choices: Choices
    deviations: tuple[str, ...]
    terms: Term
    seller: Seller
    firm: bool
    amends: bytes | None = None  # the confirm of the agreement that it would amend


@dataclass(frozen=True, slots=True)
class Counter:
    """A person's checked counter to one offer: terms they would accept, if the vendor offered them."""

    id: Id
    author: Key
    expires: int
    demand: bytes
    offer: bytes
    item: dict[str, Any] = field(repr=False)
    price: Price
    conditions: Conditions


def read_offer(record: Envelope) -> Offer:
    """Read an offer; raises InvalidMessage naming the field, or that the total does not add up. PROTOCOL §6.4"""
    body = record.body
    if record.type != "offer" or body.get("@type") != "Offer":
        raise InvalidMessage(_CODE, "@type is Offer")
    if body.get("validThrough") != record.expires:
        raise InvalidMessage(_CODE, "validThrough is not the record's expires")
    if body.get("commitment") not in ("firm", "indicative"):
        raise InvalidMessage(_CODE, "commitment is firm or indicative")
    deviations = body.get("deviations", [])
    if not isinstance(deviations, list) or len(deviations) > _DEVIATIONS:
        raise InvalidMessage(_CODE, f"deviations are at most {_DEVIATIONS} sentences")
    return Offer(
        id=record.id,
        author=record.author,
        created=record.created,
        expires=record.expires,
        demand=read_bytes(body.get("demand"), "demand", _CODE),
        item=read_item(body.get("itemOffered"), _CODE),
        price=read_price(body.get("priceSpecification"), _CODE),
        conditions=read_conditions(body, _CODE),
        choices=read_choices(body.get("negotiable", {}), _CODE),
        deviations=tuple(read_text(line, "deviation", _CODE, 300) for line in deviations),
        terms=read_term(body.get("termsAccepted")),
        seller=read_seller(body.get("offeredBy")),
        firm=body["commitment"] == "firm",
        amends=None if body.get("amends") is None else read_bytes(body["amends"], "amends", _CODE),
    )


def read_seller(value: object, code: str = _CODE) -> Seller:
    """Read ``offeredBy``; raises InvalidMessage. PROTOCOL §6.4"""
    if not isinstance(value, dict):
        raise InvalidMessage(code, "offeredBy is missing")
    domain, place = value.get("domain"), value.get("jurisdiction")
    return Seller(
        read_text(value.get("name"), "offeredBy.name", code, 100),
        None if domain is None else read_domain(domain, code),
        None if place is None else read_text(place, "offeredBy.jurisdiction", code, 100),
    )


def read_counter(record: Envelope) -> Counter:
    """Read a counter; raises InvalidMessage. PROTOCOL §6.4"""
    body = record.body
    if record.type != "counter":
        raise InvalidMessage(_CODE, "not a counter")
    return Counter(
        id=record.id,
        author=record.author,
        expires=record.expires,
        demand=read_bytes(body.get("demand"), "demand", _CODE),
        offer=read_bytes(body.get("offer"), "offer", _CODE),
        item=read_item(body.get("itemOffered"), _CODE),
        price=read_price(body.get("priceSpecification"), _CODE),
        conditions=read_conditions(body, _CODE),
    )
