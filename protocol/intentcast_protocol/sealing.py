"""Sealing: a signed record travels inside another that only its recipient can open.

    sealed.body = {box, ek, key}
    k   = tx of crypto_kx_client_session_keys(ek, secret of ek, key)      ek is fresh for every record
    box = 24 nonce bytes || XChaCha20-Poly1305(k, padded inner record, aad = payload without box and nonce)

The relay sees who may fetch it, when it ends, and one of four sizes. PROTOCOL §5
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_kx_client_session_keys,
    crypto_kx_seed_keypair,
    crypto_kx_server_session_keys,
    sodium_pad,
    sodium_unpad,
)
from nacl.exceptions import CryptoError
from nacl.utils import random as random_bytes

from intentcast_protocol.encoding import encode
from intentcast_protocol.errors import IntentcastError, InvalidMessage, SealError
from intentcast_protocol.identity import public_key
from intentcast_protocol.limits import BUCKETS, NONCE, STAMP_AGE
from intentcast_protocol.record import VERSION, Envelope, Record, Verified, decode_record, sign_payload

_NONCE = 24
_TAG = 16
Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class SealKey:
    """An X25519 pair that others seal to; erase `secret` and what was sealed to it stays closed for good."""

    public: bytes
    secret: bytes


def seal_key(random: Random = random_bytes) -> SealKey:
    """Make a fresh pair from 32 random bytes. PROTOCOL §5.1"""
    public, secret = crypto_kx_seed_keypair(random(32))
    return SealKey(public, secret)


def seal(
    inner: Record,
    *,
    seed: bytes,
    to: bytes,
    key: bytes,
    created: int,
    expires: int,
    bits: int = 0,
    random: Random = random_bytes,
) -> Verified:
    """Seal a record to `key` inside an envelope signed by `seed` and addressed to `to`.

    `bits` > 0 also stamps the envelope, which costs about 2^bits hashes. Raises InvalidMessage for a record over
    the largest bucket or a `key` that is no usable X25519 point. PROTOCOL §5.2
    """
    plain = inner.encode()
    bucket = next((size for size in BUCKETS if size > len(plain)), None)
    if bucket is None:
        raise InvalidMessage("invalid.encoding.too-large", f"at most {BUCKETS[-1] - 1} bytes fit inside a seal")
    fresh = seal_key(random)
    nonce = random(_NONCE)
    header = {
        "v": VERSION,
        "type": "sealed",
        "author": public_key(seed),
        "to": to,
        "created": created,
        "expires": expires,
        "body": {"ek": fresh.public, "key": key},
    }
    try:
        _, tx = crypto_kx_client_session_keys(fresh.public, fresh.secret, key)
    except (CryptoError, ValueError, TypeError) as error:
        raise InvalidMessage("invalid.id.malformed", "not a key one can seal to") from error
    box = nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(sodium_pad(plain, bucket), encode(header), nonce, tx)
    header["body"] = {"ek": fresh.public, "key": key, "box": box}
    return sign_payload(stamp(header, bits) if bits else encode(header), seed)


def sealed_to(envelope: Envelope) -> bytes:
    """Return the X25519 key an envelope is sealed to; raises InvalidMessage for an ill-formed body. PROTOCOL §5.2"""
    body = envelope.body
    if envelope.type != "sealed" or body.keys() != {"key", "ek", "box"}:
        raise InvalidMessage("invalid.record.malformed", "not a sealed record")
    key, ek, box = body["key"], body["ek"], body["box"]
    if not isinstance(key, bytes) or not isinstance(ek, bytes) or not isinstance(box, bytes):
        raise InvalidMessage("invalid.record.malformed", "a seal is made of bytes")
    if len(key) != 32 or len(ek) != 32 or len(box) - _NONCE - _TAG not in BUCKETS:
        raise InvalidMessage("invalid.record.malformed", "a seal has one of four sizes")
    return key


def unseal(envelope: Verified, key: SealKey) -> Record:
    """Open an envelope and return the record inside, whose own signature is still unchecked.

    Raises SealError, always the same, when it does not open. PROTOCOL §5.3
    """
    if sealed_to(envelope) != key.public:
        raise SealError
    body, nonce = envelope.body, envelope.body["box"][:_NONCE]
    header = {
        "v": VERSION,
        "type": "sealed",
        "author": envelope.author,
        "to": envelope.to,
        "created": envelope.created,
        "expires": envelope.expires,
        "body": {"ek": body["ek"], "key": body["key"]},
    }
    try:
        rx, _ = crypto_kx_server_session_keys(key.public, key.secret, body["ek"])
        padded = crypto_aead_xchacha20poly1305_ietf_decrypt(body["box"][_NONCE:], encode(header), nonce, rx)
        return decode_record(sodium_unpad(padded, len(padded)))
    except (CryptoError, ValueError, TypeError, IntentcastError) as error:
        raise SealError from error


def check_inside(inner: Verified, envelope: Verified, *, person: bytes, session: bytes) -> None:
    """Check that an opened record belongs in its envelope.

    `person` is the demand's key D and `session` the key S. A vendor's envelope is from S to D, a person's from D to S;
    inside, `session` is S and the person's key is the author or the recipient. Raises InvalidMessage. PROTOCOL §5.4
    """
    from_vendor = envelope.author == session and envelope.to == person and inner.to == person
    from_person = envelope.author == person and envelope.to == session and inner.author == person
    if inner.session != session or not (from_vendor or from_person):
        raise InvalidMessage("invalid.record.recipient")
    if from_vendor and inner.author == person:
        raise InvalidMessage("invalid.record.recipient", "a vendor's envelope holds the person's own record")


def stamp(header: dict[str, object], bits: int, tries: Iterator[int] | None = None) -> bytes:
    """Vary a payload's nonce until its id begins with `bits` zero bits, and return the payload.

    The nonce sorts after the body, so all before it is hashed once and only the state is copied for each try.
    PROTOCOL §5.5
    """
    payload = encode({**header, "nonce": bytes(NONCE)})
    # Where the nonce stands is counted, not searched for: a key somebody else chose may look like one.
    at = len(encode({name: value for name, value in header.items() if name < "nonce"})) + 8
    head, tail = hashlib.sha256(payload[:at]), payload[at + NONCE :]
    limit = 1 << (256 - bits)
    for attempt in tries or iter(range(1 << 64)):
        nonce = attempt.to_bytes(NONCE, "big")
        digest = head.copy()
        digest.update(nonce + tail)
        if int.from_bytes(digest.digest(), "big") < limit:
            return payload[:at] + nonce + tail
    raise InvalidMessage("invalid.record.malformed", "no stamp found")


class Stamped(Protocol):
    """What a stamp is read from: an envelope, or what a relay keeps of one."""

    @property
    def id(self) -> bytes:
        """The content id, whose leading zero bits are the work."""

    @property
    def created(self) -> int:
        """When the record was made, in seconds."""

    @property
    def nonce(self) -> bytes | None:
        """The bytes that were varied."""


def check_stamp(envelope: Stamped, bits: int, now: int) -> bool:
    """Say whether a record's id bears a stamp of at least `bits` that is still fresh; 0 asks for none. PROTOCOL §5.5"""
    fresh = envelope.created > now - STAMP_AGE
    return bits == 0 or (
        fresh and envelope.nonce is not None and int.from_bytes(envelope.id, "big") < 1 << (256 - bits)
    )
