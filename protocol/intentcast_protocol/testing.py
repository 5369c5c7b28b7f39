"""Builders for tests of anything that speaks the protocol: keys, bodies, and a session with both sides in one hand.

Public and stable like the rest; nothing here is used in production. PROTOCOL §14
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from intentcast_protocol.demand import Demand, read_demand
from intentcast_protocol.identity import Id, Key, public_key
from intentcast_protocol.negotiation import ACTORS, Actor, Applied, Outcome, Session, begin, receive
from intentcast_protocol.record import Record, Verified, sign
from intentcast_protocol.sealing import SealKey, seal_key
from intentcast_protocol.terms import DEFAULT

CARS = "vehicles-parts/vehicles/motor-vehicles/cars-trucks-vans"
NOW = 1_800_000_000


def seed(name: str) -> bytes:
    """Return a fixed 32-byte seed for a name."""
    return sha256(b"intentcast testing " + name.encode()).digest()


def seal_pair(name: str) -> SealKey:
    """Return a fixed X25519 pair for a name."""
    return seal_key(lambda length: seed(name)[:length])


def demand_body(**changes: Any) -> dict[str, Any]:
    """Return a demand for a used Golf estate near Utrecht, with `changes` on top."""
    return {
        "@type": "Demand",
        "name": "A Golf estate, 2017 or newer",
        "itemOffered": {"@type": "Car", "category": CARS},
        "areaServed": {"cells": ["u15", "u17"], "countries": ["NL"]},
        "priceSpecification": {"maxPrice": "18500.00", "priceCurrency": "EUR"},
        "constraints": [
            {"path": "itemOffered.mileageFromOdometer", "op": "le", "value": "90000", "unitCode": "KMT",
             "strength": "must", "onUnknown": "ask"},
        ],
        "negotiation": {"maxRounds": 5},
        "terms": DEFAULT.wire(),
        "admit": ["stamp:8"],
        "replyTo": {"offerKey": seal_pair("offer key").public, "relays": ["ws://127.0.0.1:7447"]},
        **changes,
    }  # fmt: skip


def price_body(total: str = "17900.00", currency: str = "EUR") -> dict[str, Any]:
    """Return a price of one component."""
    part = {"@type": "UnitPriceSpecification", "kind": "price", "name": "Car", "price": total}
    kind = "CompoundPriceSpecification"
    return {"@type": kind, "price": total, "priceCurrency": currency, "priceComponent": [part]}


def offer_body(demand: bytes, valid_through: int, **changes: Any) -> dict[str, Any]:
    """Return an offer of a Golf that fits `demand_body`, with `changes` on top."""
    return {
        "@type": "Offer",
        "demand": demand,
        "itemOffered": {
            "@type": "Car",
            "category": CARS,
            "name": "2018 Volkswagen Golf estate",
            "mileageFromOdometer": {"value": "64044", "unitCode": "KMT"},
        },
        "priceSpecification": price_body(),
        "deviations": [],
        "validThrough": valid_through,
        "termsAccepted": DEFAULT.deal[0].wire(),
        "offeredBy": {"name": "Autohof Noord", "domain": "autohof-noord.example", "jurisdiction": "NL"},
        "commitment": "firm",
        "reply": seal_pair("vendor reply").public,
        **changes,
    }


def make_demand(now: int = NOW, **changes: Any) -> tuple[Verified, Demand]:
    """Return a signed demand and its checked content."""
    record = sign("demand", seed("D"), demand_body(**changes), created=now, expires=now + 7 * 86_400)
    return record, read_demand(record)


@dataclass
class Pair:
    """A session seen from both sides, with a clock in hand: `send` signs as one side and delivers to both."""

    now: int = NOW
    demand_record: Verified = field(init=False)
    demand: Demand = field(init=False)
    sides: dict[Actor, Session] = field(init=False)
    log: list[Verified] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.demand_record, self.demand = make_demand(self.now)
        session = begin(self.demand, key=public_key(seed("S")), vendor=public_key(seed("V")))
        self.sides = dict.fromkeys(ACTORS, session)

    @property
    def key(self) -> Key:
        """The session's key S."""
        return self.sides["person"].key

    def message(self, actor: Actor, kind: str, body: Mapping[str, Any] | None = None, life: int = 3_600) -> Verified:
        """Sign the next message of one side, with a body that fits unless one is given."""
        own, session = seed("D" if actor == "person" else "V"), self.sides[actor]
        chain = session.chain(actor)
        return sign(
            kind,
            own,
            self.body(kind, life) if body is None else body,
            created=self.now,
            expires=self.now + life,
            to=session.vendor if actor == "person" else session.person,
            session=session.key,
            seq=chain.seq + 1,
            prev=chain.last,
        )

    def body(self, kind: str, life: int = 3_600) -> dict[str, Any]:
        """Return a body that fits a message of this type now."""
        session = self.sides["vendor"]
        reply = {"reply": seal_pair("reply").public}
        bodies: dict[str, Callable[[], dict[str, Any]]] = {
            "offer": lambda: offer_body(self.demand.id, self.now + life),
            "counter": lambda: {
                "demand": self.demand.id,
                "offer": session.offer,
                "itemOffered": {"category": CARS},
                "priceSpecification": price_body("17000.00"),
            },
            "accept": lambda: {"demand": self.demand.id, "offer": session.offer},
            "confirm": lambda: {"accept": session.accept},
            "withdraw": lambda: {"re": session.accept or session.offer},
            "problem": lambda: {"code": "internal.error", "re": session.accept},
        }
        return bodies.get(kind, dict)() | reply | {"termsAccepted": DEFAULT.deal[0].wire()}

    def send(self, actor: Actor, kind: str, body: Mapping[str, Any] | None = None, life: int = 3_600) -> Applied:
        """Sign, deliver to both sides in order, and return what the receiving side made of it."""
        message = self.message(actor, kind, body, life)
        peer: Actor = "vendor" if actor == "person" else "person"
        outcomes = {side: self.deliver(side, message) for side in (actor, peer)}
        outcome = outcomes[peer]
        assert isinstance(outcome, Applied)
        return outcome

    def deliver(self, side: Actor, message: Verified, logged: Id | None = None) -> Outcome:
        """Hand one message to one side."""
        outcome = receive(self.sides[side], message, self.now, logged)
        if not isinstance(outcome, Applied):
            return outcome
        self.sides[side] = outcome.session
        if message not in self.log:
            self.log.append(message)
        return outcome

    def find(self, kind: str) -> Record:
        """Return the last record of a type."""
        return next(message.record for message in reversed(self.log) if message.type == kind)
