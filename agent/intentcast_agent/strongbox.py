"""The bytes of a keystore file: what its header says, what its box holds, and how a key opens it.

A file is a msgpack map {header, box, sum}. `header` is itself a msgpack map, kept as the bytes that were read, and is
the associated data of `box`: 24 random nonce bytes, then XChaCha20-Poly1305 of {data_key, secrets}. `sum` is the
SHA-256 of both; it proves nothing, but tells a failing disk from a mistyped passphrase.

Nothing here touches the disk. libsodium and msgpack are imported on first use, since they cost more than all the rest
of a CLI verb; reading a file without opening it needs msgpack only. DESIGN §4.3
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from intentcast_agent.passphrase import KEY_BYTES, SALT_BYTES, Cost

NONCE_BYTES = 24
TAG_BYTES = 16

_VERSION = 1
_PURPOSE = b"intentcast/keystore/1\0"


class WrongKey(Exception):
    """The key does not open the box, or the file was altered; the two cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Header:
    """How the box is locked; `cost` is None and `salt` empty when a key file opens it.

    `retired` is the SHA-256 of the key file that a passphrase has replaced, so that a crash before its removal is made
    good at the next opening, and no other key file is ever removed.
    """

    cost: Cost | None = None
    salt: bytes = b""
    retired: bytes = b""

    def pack(self) -> bytes:
        """Encode it; both kinds have the same fields, so that there is one shape to check."""
        return _pack(
            {
                "version": _VERSION,
                "mode": "passphrase" if self.cost else "keyfile",
                "passes": self.cost.passes if self.cost else 0,
                "memory": self.cost.memory if self.cost else 0,
                "salt": self.salt,
                "retired": self.retired,
            }
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """What the box holds: the 32-byte data key and the named secrets."""

    data_key: bytes = field(repr=False)
    secrets: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Strongbox:
    """A keystore file, still shut: the header's exact bytes, what they mean, and the box."""

    raw: bytes
    header: Header
    box: bytes

    @property
    def sum(self) -> bytes:
        """The SHA-256 of header and box; two files with the same sum are the same file."""
        return hashlib.sha256(self.raw + self.box).digest()

    def pack(self) -> bytes:
        """Encode the whole file."""
        return _pack({"header": self.raw, "box": self.box, "sum": self.sum})


def parse(packed: bytes) -> Strongbox:
    """Read a file and check all of it that needs no key, the bounds of its cost included.

    Takes memory in proportion to `packed`. Raises ValueError for anything we could not have written.
    """
    outer = _unpack(packed, {"header", "box", "sum"})
    raw, box = outer["header"], outer["box"]
    if not (isinstance(raw, bytes) and isinstance(box, bytes) and len(box) >= NONCE_BYTES + TAG_BYTES):
        raise ValueError("not a keystore")
    strongbox = Strongbox(raw, _parse_header(raw), box)
    if outer["sum"] != strongbox.sum:
        raise ValueError("the sum does not match")
    return strongbox


def seal(header: Header, key: bytes, contents: Contents) -> Strongbox:
    """Seal contents under a key of 32 bytes."""
    from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt  # noqa: PLC0415

    raw, nonce = header.pack(), os.urandom(NONCE_BYTES)
    plaintext = _pack({"data_key": contents.data_key, "secrets": dict(contents.secrets)})
    return Strongbox(raw, header, nonce + encrypt(plaintext, _PURPOSE + raw, nonce, key))


def unseal(strongbox: Strongbox, key: bytes) -> Contents:
    """Open the box; raises WrongKey, or ValueError for contents we could not have written."""
    from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as decrypt  # noqa: PLC0415
    from nacl.exceptions import CryptoError  # noqa: PLC0415

    nonce, ciphertext = strongbox.box[:NONCE_BYTES], strongbox.box[NONCE_BYTES:]
    try:
        plaintext = decrypt(ciphertext, _PURPOSE + strongbox.raw, nonce, key)
    except CryptoError:
        raise WrongKey from None
    found = _unpack(plaintext, {"data_key", "secrets"})
    data_key, secrets = found["data_key"], found["secrets"]
    if not (isinstance(data_key, bytes) and len(data_key) == KEY_BYTES and isinstance(secrets, dict)):
        raise ValueError("not the contents of a keystore")
    if not all(isinstance(name, str) and isinstance(secret, bytes) for name, secret in secrets.items()):
        raise ValueError("not the contents of a keystore")
    return Contents(data_key, secrets)


def _parse_header(raw: bytes) -> Header:
    found = _unpack(raw, {"version", "mode", "passes", "memory", "salt", "retired"})
    passes, memory, salt, retired = found["passes"], found["memory"], found["salt"], found["retired"]
    # type() and not isinstance(): True is an int, and no number of ours.
    if type(found["version"]) is not int or type(passes) is not int or type(memory) is not int:
        raise ValueError("not a number")
    if not isinstance(salt, bytes) or not isinstance(retired, bytes):
        raise ValueError("not bytes")
    if found["version"] != _VERSION:
        raise ValueError("unknown version")
    if found["mode"] == "keyfile" and passes == memory == 0 and salt == retired == b"":
        return Header()
    if found["mode"] != "passphrase" or len(salt) != SALT_BYTES or len(retired) not in {0, KEY_BYTES}:
        raise ValueError("unknown mode")
    return Header(Cost(passes, memory), salt, retired)


def _pack(value: dict[str, object]) -> bytes:
    import msgpack  # noqa: PLC0415

    packed: bytes = msgpack.packb(value)
    return packed


def _unpack(packed: bytes, fields: set[str]) -> dict[str, object]:
    """Raises ValueError unless it is one msgpack map with exactly these keys."""
    import msgpack  # noqa: PLC0415

    try:
        value = msgpack.unpackb(packed)
    except (msgpack.UnpackException, RecursionError, TypeError) as error:
        raise ValueError("not msgpack") from error
    if not isinstance(value, dict) or value.keys() != fields:
        raise ValueError("not the fields expected")
    return value
