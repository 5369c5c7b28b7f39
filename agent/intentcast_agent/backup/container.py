"""The bytes of a backup file: a head in the clear, then chunks that open only whole, in order and to the very end.

    magic "intentcast backup\\n" | length of head, 2 bytes | head | SHA-256 of all before | chunks

The head is a msgpack map {version, made, passes, memory, salt, check}. The key is argon2id of the passphrase under its
salt, which is fresh for every backup, so that no key ever seals two. Each chunk is XChaCha20-Poly1305 of 64 KiB, the
last of up to as much, under a nonce that counts the chunks and marks the last, with the head as associated data: a
chunk that was moved, left out, doubled or added does not open. `check` is such a seal of nothing, and the sum tells a
failing disk from a mistyped passphrase. Integers are big-endian.

Nothing here touches the disk, reads a clock or holds more than two chunks. libsodium and msgpack are imported on first
use. DESIGN §4.3
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from intentcast_agent.backup.errors import BackupDamaged, BackupError, BackupLocked, BackupNewer
from intentcast_agent.passphrase import MEBIBYTE, SALT_BYTES, Cost, derive_key
from intentcast_agent.strongbox import NONCE_BYTES, TAG_BYTES

MAGIC: Final = b"intentcast backup\n"
VERSION: Final = 1
CHUNK: Final = 64 * 1024
LONGEST_HEAD: Final = 512

_PURPOSE = b"intentcast/backup/1\0"
_SUM_BYTES = 32
_MIDDLE, _LAST, _CHECK = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Head:
    """What stands in the clear: when the backup was made, in seconds, and what opens it."""

    made: int
    cost: Cost
    salt: bytes
    check: bytes = b""

    def pack(self) -> bytes:
        """Encode it."""
        import msgpack  # noqa: PLC0415

        packed: bytes = msgpack.packb(
            {
                "version": VERSION,
                "made": self.made,
                "passes": self.cost.passes,
                "memory": self.cost.memory,
                "salt": self.salt,
                "check": self.check,
            }
        )
        return packed


def seal(head: Head, passphrase: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a backup file that holds what `pieces` hold, one after the other.

    `head.salt` is 16 random bytes never used before. Raises BackupError if the machine lacks the memory for the key.
    """
    from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt  # noqa: PLC0415

    key = _derive(passphrase, head)
    raw = replace(head, check=encrypt(b"", _PURPOSE + _unchecked(head), _nonce(0, _CHECK), key)).pack()
    before = MAGIC + len(raw).to_bytes(2, "big") + raw
    yield before + hashlib.sha256(before).digest()
    held, index = bytearray(), 0
    for piece in pieces:
        held += piece
        # What may be the last chunk is kept back until there is more.
        while len(held) > CHUNK:
            yield encrypt(bytes(held[:CHUNK]), _PURPOSE + raw, _nonce(index, _MIDDLE), key)
            del held[:CHUNK]
            index += 1
    yield encrypt(bytes(held), _PURPOSE + raw, _nonce(index, _LAST), key)


def read_head(source: BinaryIO) -> tuple[Head, bytes]:
    """Read the head of a file and its exact bytes, leaving the source at the first chunk; needs no passphrase.

    Reads at most 564 bytes. Raises BackupDamaged for anything we could not have written, BackupNewer.
    """
    before = source.read(len(MAGIC) + 2)
    length = int.from_bytes(before[len(MAGIC) :], "big")
    if not before.startswith(MAGIC) or len(before) < len(MAGIC) + 2:
        raise BackupDamaged("This is not an intentcast backup. Look for the file that backup create wrote.")
    if length > LONGEST_HEAD:
        raise damaged()
    raw, digest = source.read(length), source.read(_SUM_BYTES)
    if hashlib.sha256(before + raw).digest() != digest:
        raise damaged()
    try:
        return _parse_head(raw), raw
    except ValueError:
        raise damaged() from None


def open_chunks(source: BinaryIO, passphrase: bytes) -> Iterator[bytes]:
    """Read a whole file and yield what it holds, each piece proven before it is given out.

    The source is buffered: `read` gives all it is asked for, or what is left. Every bound is checked before the key is
    derived. Raises as `read_head` does; BackupLocked for a wrong passphrase, BackupDamaged at the first chunk that is
    not in its place, BackupError if the machine lacks the memory for the key.
    """
    from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as decrypt  # noqa: PLC0415
    from nacl.exceptions import CryptoError  # noqa: PLC0415

    head, raw = read_head(source)
    key = _derive(passphrase, head)
    try:
        decrypt(head.check, _PURPOSE + _unchecked(head), _nonce(0, _CHECK), key)
    except CryptoError:
        raise BackupLocked("That is not the passphrase of this backup. Try again.") from None
    index, sealed = 0, source.read(CHUNK + TAG_BYTES)
    while sealed:
        following = source.read(CHUNK + TAG_BYTES)
        if len(sealed) < TAG_BYTES:
            break
        try:
            piece: bytes = decrypt(sealed, _PURPOSE + raw, _nonce(index, _MIDDLE if following else _LAST), key)
        except CryptoError:
            break
        yield piece
        if not following:
            return
        index, sealed = index + 1, following
    raise damaged()


def damaged() -> BackupDamaged:
    """Return the error of a file that is a backup, but not a whole one."""
    return BackupDamaged("This backup is damaged: it was cut short or altered. Use another copy of it.")


def _parse_head(raw: bytes) -> Head:
    import msgpack  # noqa: PLC0415

    try:
        found = msgpack.unpackb(raw)
    except (msgpack.UnpackException, RecursionError, TypeError) as error:
        raise ValueError("not msgpack") from error
    version = found.get("version") if isinstance(found, dict) else None
    # type() and not isinstance(): True is an int, and no number of ours.
    if type(version) is not int:
        raise ValueError("no version")
    if version > VERSION:
        raise BackupNewer("A newer intentcast made this backup. Install that version, then try again.")
    if found.keys() != {"version", "made", "passes", "memory", "salt", "check"}:
        raise ValueError("not the fields expected")
    made, passes, memory, salt, check = (found[name] for name in ("made", "passes", "memory", "salt", "check"))
    if not all(type(number) is int for number in (made, passes, memory)) or not 0 <= made < 1 << 40:
        raise ValueError("not a number")
    if not (isinstance(salt, bytes) and len(salt) == SALT_BYTES):
        raise ValueError("not a salt")
    if version < 1 or not (isinstance(check, bytes) and len(check) == TAG_BYTES):
        raise ValueError("not a check")
    return Head(made, Cost(passes, memory), salt, check)


def _unchecked(head: Head) -> bytes:
    return replace(head, check=b"").pack()


def _derive(passphrase: bytes, head: Head) -> bytes:
    try:
        return derive_key(passphrase, head.salt, head.cost)
    except MemoryError:
        need = head.cost.memory // MEBIBYTE
        raise BackupError(
            f"The passphrase of a backup needs {need} MiB of free memory. Close other programs."
        ) from None


def _nonce(index: int, kind: int) -> bytes:
    return bytes([kind]) + index.to_bytes(NONCE_BYTES - 1, "big")
