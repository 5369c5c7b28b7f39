"""Names for keys and records: raw 32 bytes on the wire, ``did:key`` and CID text where people meet them.

Writing is done by hand (the library takes a hundred times longer); reading what a person typed goes through
`multiformats`, which is strict once the length is capped. PROTOCOL §2
"""

import base64
import hashlib
from typing import NewType

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.signing import SigningKey

from intentcast_protocol.errors import InvalidMessage

Key = NewType("Key", bytes)  # 32 bytes, an Ed25519 public key
Id = NewType("Id", bytes)  # 32 bytes, the sha2-256 of a record's payload

_CID_PREFIX = bytes((0x01, 0x81, 0x04, 0x12, 0x20))  # CIDv1, messagepack 0x0201, sha2-256, 32 bytes
_CID_LENGTH = 61
_KEY_PREFIX = bytes((0xED, 0x01))  # multicodec ed25519-pub
_DID_LENGTH = 56
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def content_id(payload: bytes) -> Id:
    """Return the id of a record: the sha2-256 of its payload, which names its author. PROTOCOL §2.2"""
    return Id(hashlib.sha256(payload).digest())


def cid(record_id: bytes) -> str:
    """Write a record id as the 61 characters of its base32 CIDv1. PROTOCOL §2.2"""
    return "b" + base64.b32encode(_CID_PREFIX + record_id).decode().rstrip("=").lower()


def parse_cid(text: str) -> Id:
    """Read a record id from CID text; raises InvalidMessage for any other form, codec or hash. PROTOCOL §2.2"""
    if len(text) != _CID_LENGTH or not text.startswith("b") or text != text.lower() or not text.isascii():
        raise InvalidMessage("invalid.id.malformed", "a record id is 61 characters and starts with b")
    from multiformats import CID  # noqa: PLC0415 (0.24 s to import, and only where a person types an id)

    try:
        parsed = CID.decode(text)
    except (LookupError, ValueError) as error:
        raise InvalidMessage("invalid.id.malformed") from error
    if bytes(parsed)[:5] != _CID_PREFIX or cid(parsed.raw_digest) != text:
        raise InvalidMessage("invalid.id.malformed", "not the id of an intentcast record")
    return Id(parsed.raw_digest)


def did(key: bytes) -> str:
    """Write a public key as ``did:key:z6Mk…``, 56 characters. PROTOCOL §2.1"""
    number = int.from_bytes(_KEY_PREFIX + key, "big")
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    return "did:key:z" + "".join(reversed(digits))


def parse_did(text: str) -> Key:
    """Read an Ed25519 public key from ``did:key`` text; raises InvalidMessage. PROTOCOL §2.1"""
    if len(text) != _DID_LENGTH or not text.startswith("did:key:z6Mk"):
        raise InvalidMessage("invalid.id.malformed", "a key is 56 characters and starts with did:key:z6Mk")
    from multiformats import multibase  # noqa: PLC0415

    try:
        raw = bytes(multibase.decode(text.removeprefix("did:key:")))
    except (LookupError, ValueError) as error:
        raise InvalidMessage("invalid.id.malformed") from error
    if raw[:2] != _KEY_PREFIX or len(raw) != 34:
        raise InvalidMessage("invalid.id.malformed", "not an Ed25519 key")
    return check_key(raw[2:])


def check_key(key: bytes) -> Key:
    """Admit a public key of prime order; raises InvalidMessage for small- or mixed-order points. PROTOCOL §4.3"""
    if len(key) != 32 or not crypto_core_ed25519_is_valid_point(key):
        raise InvalidMessage("invalid.record.key")
    return Key(key)


def public_key(seed: bytes) -> Key:
    """Return the Ed25519 public key of a 32-byte seed."""
    return Key(bytes(SigningKey(seed).verify_key))
