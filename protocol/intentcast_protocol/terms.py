"""The person's own privacy terms: proffered inside the signed demand, accepted inside the signed offer.

Terms are picked from a roster, never written by hand: a name of IEEE 7012 and the hash of the text that ships here. A
text nobody shipped is refused, never fetched and trusted. The two signatures together are the agreement. PROTOCOL §7
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from intentcast_protocol.errors import InvalidMessage, Refused

NAMESPACE: Final = "https://w3id.org/dpv/standards/ieee/7012#"
PROFILE: Final = "ieee-7012"
_MOST = 8

# Our own plain summaries; each names the original. A text never changes: a better one gets a new hash beside it.
TEXTS: Final = {
    "PDC-INTENT": """PDC-INTENT: my published request

You may read this request, match it with what you offer, and answer it.
You may keep it for as long as it is open, and for seven days after if we did not agree.
You may not track me across services, build a profile of me, or pass it to anyone else.
You may not use it for anything but answering it.
You give me, when I ask, what you hold about me, in a form I can use elsewhere.

A plain summary by the intentcast project. The original is a personal data contract of IEEE 7012-2025,
named https://w3id.org/dpv/standards/ieee/7012#PDC-INTENT.
""",
    "SD-BASE-DP": """SD-BASE-DP: service delivery only, with data portability

You use what I tell you to deliver what we agree on, and for nothing else.
You do not track me, profile me, or share what I tell you with third parties, unless the law makes you.
You keep it no longer than the delivery and the law require, and delete the rest when I ask.
You give me, when I ask, all that you hold about me, in a form I can use elsewhere.

A plain summary by the intentcast project. The original is an agreement of IEEE 7012-2025,
named https://w3id.org/dpv/standards/ieee/7012#SD-BASE-DP.
""",
    "SD-BASE": """SD-BASE: service delivery only

You use what I tell you to deliver what we agree on, and for nothing else.
You do not track me, profile me, or share what I tell you with third parties, unless the law makes you.
You keep it no longer than the delivery and the law require, and delete the rest when I ask.

A plain summary by the intentcast project. The original is an agreement of IEEE 7012-2025,
named https://w3id.org/dpv/standards/ieee/7012#SD-BASE.
""",
}


@dataclass(frozen=True, slots=True)
class Term:
    """One agreement of the roster: its IEEE 7012 identifier and the sha2-256 of our text."""

    id: str
    text: bytes

    def wire(self) -> dict[str, Any]:
        """Return the term's form in a body."""
        return {"id": self.id, "text": self.text}


@dataclass(frozen=True, slots=True)
class Proffer:
    """What a person proffers: a term for the broadcast and, in order of preference, terms for the deal."""

    broadcast: Term
    deal: tuple[Term, ...]

    def wire(self) -> dict[str, Any]:
        """Return the terms block of a demand."""
        return {"profile": PROFILE, "broadcast": self.broadcast.wire(), "deal": [term.wire() for term in self.deal]}


ROSTER: Final = {name: Term(NAMESPACE + name, hashlib.sha256(text.encode()).digest()) for name, text in TEXTS.items()}
DEFAULT: Final = Proffer(ROSTER["PDC-INTENT"], (ROSTER["SD-BASE-DP"], ROSTER["SD-BASE"]))


def text_of(term: Term) -> str:
    """Return the text a term stands for."""
    return TEXTS[term.id.removeprefix(NAMESPACE)]


def read_term(value: object) -> Term:
    """Read one term; raises InvalidMessage if it is ill-formed or its text is not in the roster. PROTOCOL §7.1"""
    if not isinstance(value, dict) or value.keys() != {"id", "text"}:
        raise InvalidMessage("invalid.terms.malformed", "a term has an id and the hash of its text")
    term = ROSTER.get(str(value["id"]).removeprefix(NAMESPACE))
    if term is None or value != term.wire():
        raise InvalidMessage("invalid.terms.unknown", str(value["id"])[:100])
    return term


def read_proffer(value: object) -> Proffer:
    """Read a demand's terms block; raises InvalidMessage. PROTOCOL §7.1"""
    if not isinstance(value, dict) or value.get("profile") != PROFILE:
        raise InvalidMessage("invalid.terms.malformed", f"profile is {PROFILE}")
    deal = value.get("deal")
    if not isinstance(deal, list) or not 0 < len(deal) <= _MOST:
        raise InvalidMessage("invalid.terms.malformed", f"deal lists 1 to {_MOST} terms")
    return Proffer(read_term(value.get("broadcast")), tuple(read_term(term) for term in deal))


def check_acceptance(proffer: Proffer, value: object) -> Term:
    """Return the term a vendor accepts.

    Raises InvalidMessage if it is ill-formed or unknown, Refused if the person did not proffer it. PROTOCOL §7.2
    """
    term = read_term(value)
    if term not in proffer.deal:
        raise Refused("refused.terms.refused", term.id.removeprefix(NAMESPACE))
    return term
