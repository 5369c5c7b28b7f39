"""A relay's signed word that a domain named a vendor's key when the relay looked.

    attestation = [payload, signature]
    payload     = {domain, expires, key, relay, seen, url, v}

The person's agent never looks itself, because that would tell the vendor's host who asks. PROTOCOL §8.9
"""

from dataclasses import dataclass, field
from typing import Any, Final

from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import IntentcastError, InvalidMessage
from intentcast_protocol.identity import Key, check_key, public_key
from intentcast_protocol.limits import ATTESTATION_LIFE, MAX_ATTESTATION, MAX_ATTESTATIONS, MAX_SKEW
from intentcast_protocol.record import VERSION, check_signature, sign_bytes
from intentcast_protocol.vocabulary import read_domain, read_relays

_CODE: Final = "invalid.attestation.malformed"
_OVERHEAD: Final = 1 + 3 + 2 + 64  # an array of two, the payload's header, the signature and its header
_NODES: Final = 16
_FIELDS: Final[dict[str, type]] = {
    "v": int, "relay": bytes, "url": str, "key": bytes, "domain": str, "seen": int, "expires": int,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attestation:
    """What one relay saw, with its signature checked; times are seconds and claims of the relay."""

    relay: Key
    url: str
    key: Key
    domain: str
    seen: int
    expires: int
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def wire(self) -> list[bytes]:
        """Return the value that stands for it inside a frame, an offer's body or a bundle."""
        return [self.payload, self.signature]

    def covers(self, *, key: bytes, domain: str | None, at: int) -> bool:
        """Say whether it speaks of this key and domain at this moment, give or take two clocks. PROTOCOL §8.9"""
        return (self.key, self.domain) == (key, domain) and self.seen - MAX_SKEW <= at <= self.expires


def attest(seed: bytes, *, url: str, key: bytes, domain: str, seen: int, expires: int) -> Attestation:
    """Sign, as the relay with this 32-byte seed and this address, that `domain` named `key` at `seen`.

    Raises InvalidMessage for whatever a reader would refuse, so that nothing bad is ever signed. PROTOCOL §8.9
    """
    payload = encode({
        "v": VERSION, "relay": public_key(seed), "url": url, "key": key, "domain": domain, "seen": seen,
        "expires": expires,
    })  # fmt: skip
    return read_attestation([payload, sign_bytes("domain", payload, seed)])


def read_attestation(value: object) -> Attestation:
    """Read an attestation from its decoded form and check its signature; no clock is read.

    Raises InvalidMessage, always ``invalid.attestation.malformed``: over MAX_ATTESTATION bytes, not canonical, other
    fields, a life over ATTESTATION_LIFE, a relay that speaks of its own key, a signature that is not the relay's.
    PROTOCOL §8.9
    """
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(part, bytes) for part in value):
        raise InvalidMessage(_CODE, "an attestation is [payload, signature]")
    payload, signature = value
    if len(payload) + _OVERHEAD > MAX_ATTESTATION or len(signature) != 64:
        raise InvalidMessage(_CODE, f"at most {MAX_ATTESTATION} bytes, and a signature of 64")
    try:
        fields = _fields(decode(payload, max_size=MAX_ATTESTATION, max_nodes=_NODES))
        check_signature("domain", payload, signature, fields["relay"])
        check_key(fields["key"])
        read_domain(fields["domain"], _CODE)
        read_relays([fields["url"]], _CODE)
    except IntentcastError as error:
        raise InvalidMessage(_CODE, error.detail or str(error)) from error
    return Attestation(payload=payload, signature=signature, **fields)


def _fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or {name: type(part) for name, part in value.items()} != _FIELDS:
        raise InvalidMessage(_CODE, f"its fields are {', '.join(sorted(_FIELDS))}")
    if value.pop("v") != VERSION or len(value["relay"]) != 32 or len(value["key"]) != 32:
        raise InvalidMessage(_CODE, "another version, or a key that is not 32 bytes")
    if value["relay"] == value["key"]:
        raise InvalidMessage(_CODE, "nobody is a witness to themselves")
    if not 0 <= value["seen"] < value["expires"] <= value["seen"] + ATTESTATION_LIFE:
        raise InvalidMessage(_CODE, f"it holds for at most {ATTESTATION_LIFE // 86_400} days")
    return value


def attestations_in(body: object, *, key: bytes, domain: str | None, at: int) -> tuple[Attestation, ...]:
    """Return those attestations of an offer's body that cover its vendor at a moment, one a relay, by relay key.

    What is ill-formed, is of another key, domain or time, or stands after the first MAX_ATTESTATIONS is as if absent:
    an offer is no worse for a word that proves nothing. PROTOCOL §6.4
    """
    listed = body.get("attestations") if isinstance(body, dict) else None
    found: dict[Key, Attestation] = {}
    for value in listed[:MAX_ATTESTATIONS] if isinstance(listed, list) else ():
        try:
            one = read_attestation(value)
        except InvalidMessage:
            continue
        if one.covers(key=key, domain=domain, at=at):
            found[one.relay] = one
    return tuple(found[relay] for relay in sorted(found))
