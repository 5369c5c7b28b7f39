"""A person's signed, public request: what is wanted, where, under which price, on whose terms. PROTOCOL §6"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from intentcast_protocol.area import Area, read_area
from intentcast_protocol.constraint import UNSAID, Constraint, Judgement, judge, read_constraints
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.identity import Id, Key
from intentcast_protocol.limits import MAX_ROUNDS, MAX_STAMP
from intentcast_protocol.quantity import parse_money
from intentcast_protocol.record import Envelope, Verified
from intentcast_protocol.terms import Proffer, read_proffer
from intentcast_protocol.vocabulary import read_bytes, read_item, read_relays, read_text, read_unit

_CODE = "invalid.demand.malformed"


@dataclass(frozen=True, slots=True)
class Budget:
    """The most a person says in public to pay: a total, once or per `unit`."""

    amount: Decimal
    currency: str
    unit: str | None

    def constraint(self) -> Constraint:
        """Return the budget as the must-have it is; a price in another currency fails it."""
        return Constraint(
            "priceSpecification", "le", format(self.amount, "f"), self.unit, self.currency, "must", "reject"
        )


@dataclass(frozen=True, slots=True)
class Demand:
    """A demand's checked content."""

    id: Id
    author: Key
    created: int
    expires: int
    name: str
    item: dict[str, Any] = field(repr=False)
    category: str
    area: Area
    budget: Budget | None
    constraints: tuple[Constraint, ...]
    max_rounds: int
    terms: Proffer
    admit: tuple[str, ...]
    offer_key: bytes
    relays: tuple[str, ...]

    def judge(self, subject: Mapping[str, Any], said: Mapping[str, Any] = UNSAID) -> Judgement:
        """Judge an offer's body: the budget where a price is stated, every constraint, and the likeness as wants.

        `said` are values by path that the vendor gave in an answer and the offer does not state. PROTOCOL §8.3
        """
        wishes = list(self.constraints)
        if self.budget and "priceSpecification" in subject:
            wishes.insert(0, self.budget.constraint())
        like = self.item.get("isSimilarTo")
        for name, value in like.items() if isinstance(like, dict) else ():
            if isinstance(value, str) and 0 < len(value) <= 200 and name.isalnum():
                wishes.append(Constraint(f"itemOffered.{name}", "eq", value, strength="want"))
        return judge(wishes, subject, said)

    @property
    def stamp_bits(self) -> int | None:
        """The fewest zero bits of a stamp that admits a vendor, or None if no stamp does. PROTOCOL §10.2"""
        return stamp_bits(self.admit)


def stamp_bits(admit: object) -> int | None:
    """Read the easiest stamp rung of an ``admit`` list; anything ill-formed admits nobody. PROTOCOL §10.2"""
    rungs = [rung.removeprefix("stamp:") for rung in admit if isinstance(rung, str) and rung.startswith("stamp:")] \
        if isinstance(admit, list | tuple) else []  # fmt: skip
    bits = [int(text) for text in rungs if text.isascii() and text.isdecimal() and len(text) <= 2]
    return min((number for number in bits if number <= MAX_STAMP), default=None)


def read_demand(record: Verified) -> Demand:
    """Read a verified demand; raises InvalidMessage naming the field. Unknown fields are kept. PROTOCOL §6"""
    if record.type != "demand":
        raise InvalidMessage("invalid.record.purpose", f"a {record.type} is not a demand")
    return read_draft(record)


def read_draft(record: Envelope) -> Demand:
    """Read a demand that need not be signed yet, for its preview; raises InvalidMessage. PROTOCOL §6"""
    body = record.body
    if body.get("@type") != "Demand":
        raise InvalidMessage(_CODE, "@type is Demand")
    item = read_item(body.get("itemOffered"), _CODE)
    if "description" in body:
        read_text(body["description"], "description", _CODE)
    reply = body.get("replyTo")
    if not isinstance(reply, dict):
        raise InvalidMessage(_CODE, "replyTo is missing")
    admit = body.get("admit", [])
    if not isinstance(admit, list) or not all(isinstance(rung, str) and len(rung) <= 32 for rung in admit):
        raise InvalidMessage(_CODE, "admit is a list of rungs such as stamp:18")
    return Demand(
        id=record.id,
        author=record.author,
        created=record.created,
        expires=record.expires,
        name=read_text(body.get("name"), "name", _CODE, 200),
        item=item,
        category=item["category"],
        area=read_area(body.get("areaServed")),
        budget=_budget(body.get("priceSpecification")),
        constraints=read_constraints(body.get("constraints", [])),
        max_rounds=_rounds(body.get("negotiation")),
        terms=read_proffer(body.get("terms")),
        admit=tuple(admit),
        offer_key=read_bytes(reply.get("offerKey"), "replyTo.offerKey", _CODE),
        relays=read_relays(reply.get("relays"), _CODE),
    )


def _budget(value: object) -> Budget | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidMessage(_CODE, "priceSpecification has maxPrice and priceCurrency")
    currency = value.get("priceCurrency")
    try:
        amount = parse_money(value.get("maxPrice"), currency)
    except ValueError as error:
        raise InvalidMessage(_CODE, f"maxPrice: {error}") from error
    if amount < 0:
        raise InvalidMessage(_CODE, "maxPrice is not negative")
    return Budget(amount, str(currency), read_unit(value.get("unitCode"), "priceSpecification.unitCode", _CODE))


def _rounds(value: object) -> int:
    rounds = value.get("maxRounds", 0) if isinstance(value, dict) else None if value is not None else 0
    if type(rounds) is not int or not 0 <= rounds <= MAX_ROUNDS:
        raise InvalidMessage(_CODE, f"negotiation.maxRounds is 0 to {MAX_ROUNDS}")
    return rounds
