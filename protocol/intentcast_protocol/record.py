"""The one signed, content-addressed unit everything is made of.

    record  = [payload: bin, signature: bin64]
    payload = {author, body, created, expires, type, v [, nonce, prev, seen, seq, session, to]}

The bytes that were signed are the bytes that travel, are stored and are shown to a judge; nothing is ever serialised
again in order to verify it. Only a `Verified` value reaches storage or logic. PROTOCOL §4
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey

from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import InvalidMessage, Refused
from intentcast_protocol.identity import Id, Key, check_key, content_id
from intentcast_protocol.limits import MAX_LIFE, MAX_RECORD, MAX_SKEW, NONCE

VERSION: Final = 1
Purpose = Literal["record", "auth", "receipt", "domain", "invite"]

PUBLIC_TYPES: Final = frozenset({"profile", "demand", "demand-withdraw"})
SESSION_TYPES: Final = frozenset({
    "question", "answer", "offer", "counter", "decline", "withdraw", "accept", "confirm", "fulfil", "dispute",
    "ack", "resume", "disclose", "rights", "feedback", "notice", "problem",
})  # fmt: skip
TYPES: Final = PUBLIC_TYPES | SESSION_TYPES | {"sealed"}

_REQUIRED: Final[dict[str, type]] = {
    "author": bytes,
    "body": dict,
    "created": int,
    "expires": int,
    "type": str,
    "v": int,
}
_FIELDS: Final[dict[str, type]] = _REQUIRED | {
    "nonce": bytes, "prev": bytes, "seen": bytes, "seq": int, "session": bytes, "to": bytes,
}  # fmt: skip
_LENGTHS: Final[dict[str, int]] = {"author": 32, "nonce": NONCE, "prev": 32, "seen": 32, "session": 32, "to": 32}
_SIGNATURE = 64
# An array of two, the payload's longest header, the signature's header.
_OVERHEAD = 1 + 5 + 2 + _SIGNATURE


@dataclass(frozen=True, slots=True)
class Record:
    """Signed bytes whose signature nobody has checked yet."""

    payload: bytes
    signature: bytes

    @property
    def id(self) -> Id:
        """The content id, over the payload alone, so that a signature's form cannot change it."""
        return content_id(self.payload)

    def wire(self) -> list[bytes]:
        """Return the value that stands for this record inside a frame or a bundle."""
        return [self.payload, self.signature]

    def encode(self) -> bytes:
        """Return the canonical bytes of the record."""
        return encode(self.wire())


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields of a payload, well-formed but not yet proven to be its author's. PROTOCOL §4.1"""

    record: Record = field(repr=False)
    id: Id
    type: str
    author: Key
    created: int
    expires: int
    body: dict[str, Any] = field(repr=False)
    to: Key | None = None
    session: Key | None = None
    seq: int | None = None
    prev: Id | None = None
    seen: Id | None = None
    nonce: bytes | None = None


@dataclass(frozen=True, slots=True)
class Verified(Envelope):
    """An envelope whose signature was checked; made only by `verify`, `vouch` and `sign`."""


def from_wire(value: object) -> Record:
    """Read a record from its decoded form; raises InvalidMessage. PROTOCOL §4.1"""
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not isinstance(value[0], bytes)
        or not isinstance(value[1], bytes)
        or len(value[1]) != _SIGNATURE
    ):
        raise InvalidMessage("invalid.record.malformed", "a record is [payload, signature]")
    if len(value[0]) + _OVERHEAD > MAX_RECORD:
        raise InvalidMessage("invalid.encoding.too-large", f"a record has at most {MAX_RECORD} bytes")
    return Record(value[0], value[1])


def decode_record(data: bytes) -> Record:
    """Read a record from its canonical bytes; raises InvalidMessage. PROTOCOL §4.1"""
    return from_wire(decode(data))


def parse(record: Record) -> Envelope:
    """Read a payload's fields without checking the signature.

    Raises InvalidMessage: not canonical, a missing, unknown or ill-typed field, impossible dates. PROTOCOL §4.1
    """
    payload = decode(record.payload)
    if not isinstance(payload, dict):
        raise InvalidMessage("invalid.record.malformed", "the payload is not a map")
    _check_fields(payload)
    kind = payload["type"]
    _check_shape(kind, payload)
    created, expires = payload["created"], payload["expires"]
    if created < 0 or expires <= created:
        raise InvalidMessage("invalid.record.time", "it ends before it begins")
    if kind not in SESSION_TYPES and expires - created > MAX_LIFE:
        raise InvalidMessage("invalid.record.time", f"it lives longer than {MAX_LIFE // 86_400} days")
    fields = {name: payload[name] for name in payload if name != "v"}
    return Envelope(record=record, id=record.id, **fields)


def _check_fields(payload: Mapping[str, Any]) -> None:
    if not _REQUIRED.keys() <= payload.keys():
        missing = min(_REQUIRED.keys() - payload.keys())
        raise InvalidMessage("invalid.record.malformed", f"{missing} is missing")
    for name, value in payload.items():
        if type(value) is not _FIELDS.get(name):
            raise InvalidMessage("invalid.record.malformed", f"{name[:40]} is unknown or of the wrong type")
        if isinstance(value, bytes) and len(value) != _LENGTHS[name]:
            raise InvalidMessage("invalid.record.malformed", f"{name} has the wrong length")
    if payload["v"] != VERSION:
        raise InvalidMessage("invalid.record.malformed", f"version {payload['v']} is not spoken here")
    if payload["type"] not in TYPES:
        raise InvalidMessage("invalid.record.malformed", "unknown type")


def _check_shape(kind: str, payload: Mapping[str, Any]) -> None:
    chain = {"session", "seq", "prev", "seen"} & payload.keys()
    if kind in SESSION_TYPES:
        seq = payload.get("seq", -1)
        # A resume stands outside the chain, so that a restored agent cannot fork it.
        in_chain = seq == 0 if kind == "resume" else seq >= 1
        if not in_chain or "to" not in payload or "session" not in payload or ("prev" in payload) != (seq > 1):
            raise InvalidMessage("invalid.record.malformed", "a session message needs to, session, seq and prev")
    elif chain or ("to" in payload) != (kind == "sealed"):
        raise InvalidMessage("invalid.record.malformed", f"a {kind} record has no place for those fields")
    if "nonce" in payload and kind != "sealed":
        raise InvalidMessage("invalid.record.malformed", "only a sealed record bears a stamp")


def signed_bytes(purpose: Purpose, payload: bytes) -> bytes:
    """Return what is really signed: the purpose keeps a signature from being used for anything else. PROTOCOL §4.2"""
    return b"intentcast/1/" + purpose.encode() + b"\0" + payload


@lru_cache(maxsize=8_192)
def _admit_key(key: bytes) -> Key:
    return check_key(key)


def check_signature(purpose: Purpose, payload: bytes, signature: bytes, key: bytes) -> None:
    """Check an Ed25519 signature under one purpose, and that the key has prime order.

    Raises InvalidMessage. libsodium alone accepts mixed-order keys. PROTOCOL §4.3
    """
    _admit_key(key)
    try:
        crypto_sign_open(signature + signed_bytes(purpose, payload), key)
    except (CryptoError, ValueError) as error:
        raise InvalidMessage("invalid.record.signature") from error


def vouch(envelope: Envelope) -> Verified:
    """Check an envelope's signature and return it as verified; raises InvalidMessage. PROTOCOL §4.3"""
    check_signature("record", envelope.record.payload, envelope.record.signature, envelope.author)
    return Verified(**{name: getattr(envelope, name) for name in Envelope.__slots__})


def verify(record: Record) -> Verified:
    """Parse a record and check its signature; raises InvalidMessage. No clock is read. PROTOCOL §4.3"""
    return vouch(parse(record))


def check_time(envelope: Envelope, now: int) -> None:
    """Refuse a record that is expired or dated too far ahead; raises Refused or InvalidMessage. PROTOCOL §4.4"""
    if envelope.created > now + MAX_SKEW:
        raise InvalidMessage("invalid.record.future", f"{envelope.created - now} s ahead")
    if envelope.expires <= now:
        raise Refused("refused.record.expired", f"{now - envelope.expires} s ago")


def sign_bytes(purpose: Purpose, payload: bytes, seed: bytes) -> bytes:
    """Sign payload bytes under a purpose and return the 64-byte signature. PROTOCOL §4.2"""
    return bytes(SigningKey(seed).sign(signed_bytes(purpose, payload)).signature)


def payload_of(kind: str, seed: bytes, body: Mapping[str, Any], *, created: int, expires: int, **fields: Any) -> bytes:
    """Return the canonical payload that `sign` would sign, for a preview of the exact bytes. PROTOCOL §4.1"""
    payload = {
        "v": VERSION,
        "type": kind,
        "author": bytes(SigningKey(seed).verify_key),
        "created": created,
        "expires": expires,
        "body": dict(body),
        **{name: value for name, value in fields.items() if value is not None},
    }
    return encode(payload)


def sign_payload(payload: bytes, seed: bytes) -> Verified:
    """Sign a payload made by `payload_of`; raises InvalidMessage if it breaks a rule or names another author."""
    envelope = parse(Record(payload, sign_bytes("record", payload, seed)))
    if len(payload) + _OVERHEAD > MAX_RECORD:
        raise InvalidMessage("invalid.encoding.too-large", f"a record has at most {MAX_RECORD} bytes")
    return vouch(envelope)


def sign(kind: str, seed: bytes, body: Mapping[str, Any], *, created: int, expires: int, **fields: Any) -> Verified:
    """Make and sign a record.

    `fields` are the optional envelope fields (to, session, seq, prev, seen, nonce); None leaves one out.
    Raises InvalidMessage for whatever a reader would refuse, so that nothing bad is ever signed. PROTOCOL §4.2
    """
    return sign_payload(payload_of(kind, seed, body, created=created, expires=expires, **fields), seed)
