"""What may be told to whom, and when: fixed stages, default deny. PROTOCOL §7.3

0 vault       nobody, ever: the reserve price, weights, what rivals offer
1 broadcast   everyone, inside the signed demand
2 vendor      one vendor under terms, generalised
3 winner      the vendor of an agreement: name, contact, address
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

from intentcast_protocol.errors import InvalidMessage, Refused
from intentcast_protocol.negotiation import Session
from intentcast_protocol.states import IN_FORCE
from intentcast_protocol.vocabulary import read_text


class Stage(IntEnum):
    """How far two parties have come."""

    VAULT = 0
    BROADCAST = 1
    VENDOR = 2
    WINNER = 3


# attribute -> the first stage at which it may leave; what is not listed never does.
STAGES: Final = {
    "name": Stage.WINNER,
    "email": Stage.WINNER,
    "telephone": Stage.WINNER,
    "streetAddress": Stage.WINNER,
    "postalCode": Stage.WINNER,
    "addressLocality": Stage.WINNER,
    "addressCountry": Stage.WINNER,
}
PURPOSES: Final = frozenset({"ServiceDelivery"})
_CODE = "invalid.session.malformed"


def stage_of(session: Session) -> Stage:
    """Return how far a session has come. Nothing private moves before the terms are accepted."""
    if session.state in IN_FORCE:
        return Stage.WINNER
    if session.offer is not None and not session.ended:
        return Stage.VENDOR
    return Stage.BROADCAST


def check_release(session: Session, attribute: str) -> None:
    """Refuse to release an attribute before its stage; raises Refused naming it. PROTOCOL §7.3"""
    least = STAGES.get(attribute)
    if least is None:
        raise Refused("refused.disclosure.denied", f"{attribute[:60]} never leaves")
    if stage_of(session) < least:
        raise Refused("refused.disclosure.denied", f"{attribute} waits for an agreement")


def disclosure(session: Session, attributes: Mapping[str, str], purpose: str = "ServiceDelivery") -> dict[str, Any]:
    """Return the body of a disclose message; raises Refused for the first attribute that may not go. PROTOCOL §7.3"""
    if purpose not in PURPOSES:
        raise Refused("refused.disclosure.denied", f"{purpose[:60]} is no purpose of this protocol")
    for attribute, value in attributes.items():
        check_release(session, attribute)
        read_text(value, attribute, _CODE, 300)
    return {"purpose": purpose, "attributes": dict(attributes)}


def read_disclosure(body: Mapping[str, Any]) -> dict[str, str]:
    """Read a disclose message's attributes; raises InvalidMessage. PROTOCOL §7.3"""
    purpose, attributes = body.get("purpose"), body.get("attributes")
    if (
        not isinstance(purpose, str)
        or purpose not in PURPOSES
        or not isinstance(attributes, dict)
        or not attributes.keys() <= STAGES.keys()
    ):
        raise InvalidMessage(_CODE, "a disclosure names its purpose and known attributes")
    return {name: read_text(value, name, _CODE, 300) for name, value in attributes.items()}
