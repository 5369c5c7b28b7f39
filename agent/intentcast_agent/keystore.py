"""The sealed file of an agent's root secrets: its data key and a few named, long-lived secrets.

Its key comes from a passphrase, or, where there is none, lies in a 0600 file `<keystore>.key` beside it. A process that
opens a keystore holds the home's lock. Importing this room loads neither libsodium nor msgpack. DESIGN §4.3
"""

import contextlib
import hashlib
import hmac
import os
import stat
import threading
from pathlib import Path
from typing import Literal

from intentcast_agent import strongbox
from intentcast_agent.home import sync_folder
from intentcast_agent.passphrase import (
    KEY_BYTES,
    LONGEST_PASSPHRASE,
    MEBIBYTE,
    MODERATE,
    SALT_BYTES,
    Cost,
    PassphraseRefused,
    derive_key,
)
from intentcast_agent.strongbox import Contents, Header, Strongbox

Status = Literal["missing", "keyfile", "passphrase"]

LARGEST_FILE = 256 * 1024
LARGEST_SECRET = 4096
LONGEST_NAME = 64


class KeystoreError(Exception):
    """The keystore cannot be used; the text is a sentence for the person, says what to do and holds no secret."""


class KeystoreMissing(KeystoreError):
    """There is no keystore at that path."""


class KeystoreExists(KeystoreError):
    """There is a keystore already, and creating one would lose it."""


class KeystoreExposed(KeystoreError):
    """A secret file, or a link to it, is within reach of another account."""


class KeystoreDamaged(KeystoreError):
    """The file is not what we wrote: cut short, altered, weakened, or parted from its key file."""


class KeystoreChanged(KeystoreError):
    """The file is no longer the one this keystore was opened from, so writing would lose the newer one."""


class MemoryShort(KeystoreError):
    """The machine cannot spare the memory that the passphrase's cost asks for."""


class Locked(KeystoreError):
    """The keystore stays closed until the right passphrase is given."""


class PassphraseNeeded(Locked):
    """The keystore has a passphrase and none was given."""


class WrongPassphrase(Locked):
    """The passphrase given is not this keystore's."""


class Keystore:
    """An opened keystore; every change is on the disk before the call returns.

    Safe to call from several threads of the one process that holds the home's lock. Writes block on fsync, and a new
    passphrase on argon2id (about a second), so an event loop calls them in a thread. What Python once held in memory
    cannot be wiped; closing is ending the process.
    """

    __slots__ = ("_contents", "_key", "_sealed", "_writing", "path")

    def __init__(self, path: Path, sealed: Strongbox, key: bytes, contents: Contents) -> None:
        self.path = path
        self._sealed = sealed
        self._key = key
        self._contents = contents
        self._writing = threading.Lock()

    def __repr__(self) -> str:
        return f"Keystore({str(self.path)!r}, names={self.names()!r})"

    def __reduce__(self) -> str:
        raise TypeError("a keystore is not to be pickled or copied: it holds secrets in the clear")

    @property
    def data_key(self) -> bytes:
        """The 32 bytes that seal the private columns of the database; they outlive every change of passphrase."""
        return self._contents.data_key

    @property
    def is_passphrase_protected(self) -> bool:
        """Whether a passphrase, and not a key file, opens it."""
        return self._sealed.header.cost is not None

    def names(self) -> tuple[str, ...]:
        """The names of the secrets it holds, sorted."""
        return tuple(sorted(self._contents.secrets))

    def get(self, name: str) -> bytes | None:
        """Return the secret of that name, or None if there is none."""
        return self._contents.secrets.get(name)

    def put(self, name: str, secret: bytes) -> None:
        """Keep a secret under a name of at most 64 characters, replacing the one it had; durable on return.

        Raises ValueError if the name, the secret (over 4096 bytes) or the whole file (over 256 KiB) is too long;
        KeystoreChanged or KeystoreMissing if the file is no longer the one opened; OSError if the disk refuses, after
        which the old file stands unless the folder itself could not be synced.
        """
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"the name of a secret has 1 to {LONGEST_NAME} characters")
        if len(secret) > LARGEST_SECRET:
            raise ValueError(f"a secret has at most {LARGEST_SECRET} bytes")
        with self._writing:
            secrets = {**self._contents.secrets, name: bytes(secret)}
            self._write(self._sealed.header, self._key, Contents(self.data_key, secrets))

    def remove(self, name: str) -> None:
        """Forget a secret, if it is there; durable on return. Old copies of the file still hold it.

        Raises as `put` does.
        """
        with self._writing:
            secrets = {other: secret for other, secret in self._contents.secrets.items() if other != name}
            if len(secrets) < len(self._contents.secrets):
                self._write(self._sealed.header, self._key, Contents(self.data_key, secrets))

    def set_passphrase(self, old: bytes | None, new: bytes | None, *, cost: Cost = MODERATE) -> None:
        """Lock the keystore with another passphrase, or with a key file if `new` is None; durable on return.

        `old` must be the present passphrase even though the keystore is open; it is ignored while a key file opens it.
        A key file that is no longer wanted is removed after the new keystore is safe, and a new one is safe before the
        keystore needs it, so at every instant what lies on the disk can be opened. Copies and backups made earlier
        still open with what opened them then, and give the same data key.
        Raises PassphraseNeeded, WrongPassphrase, PassphraseRefused (empty or too long), MemoryShort, and as
        `put` does.
        """
        with self._writing:
            self._prove(old)
            retired = self._sealed.header.retired
            if not self.is_passphrase_protected:
                retired = hashlib.sha256(self._key).digest()
            header = _header_for(new, cost, retired=retired)
            key = _keep_key_file(self.path) if new is None else _derive_key(new, header)
            self._write(header, key, self._contents)
            _remove_retired(self.path, header)

    def _prove(self, passphrase: bytes | None) -> None:
        if not self.is_passphrase_protected:
            return
        if not passphrase:
            raise PassphraseNeeded(f"The keystore {self.path} has a passphrase. Give the present one to change it.")
        if not hmac.compare_digest(_derive_key(passphrase, self._sealed.header), self._key):
            raise WrongPassphrase(
                "That is not the present passphrase of this keystore. Nothing was changed; try again."
            )

    def _write(self, header: Header, key: bytes, contents: Contents) -> None:
        if _load(self.path).sum != self._sealed.sum:
            raise KeystoreChanged(
                f"The keystore {self.path} was replaced while it was open; nothing was written. Start the agent again."
            )
        sealed = strongbox.seal(header, key, contents)
        packed = sealed.pack()
        if len(packed) > LARGEST_FILE:
            raise ValueError(f"a keystore has at most {LARGEST_FILE} bytes")
        _write_private(self.path, packed)
        self._sealed, self._key, self._contents = sealed, key, contents


def create(path: Path, passphrase: bytes | None, *, cost: Cost = MODERATE) -> Keystore:
    """Make a keystore with a fresh random data key and no secrets, in a folder that exists; durable on return.

    Without a passphrase its key lies in `<path>.key`, written first. A key file that is already there is used, not
    overwritten: it may be the only thing that opens a keystore somebody has moved aside.
    Raises KeystoreExists, PassphraseRefused, MemoryShort, KeystoreExposed or KeystoreDamaged for such a key file,
    OSError if the disk refuses.
    """
    path = _settle(path)
    if status(path) != "missing":
        raise KeystoreExists(f"There is a keystore at {path} already. Open that one, or move it away first.")
    header = _header_for(passphrase, cost)
    key = _keep_key_file(path) if passphrase is None else _derive_key(passphrase, header)
    contents = Contents(os.urandom(KEY_BYTES), {})
    sealed = strongbox.seal(header, key, contents)
    _write_private(path, sealed.pack())
    return Keystore(path, sealed, key, contents)


def open_keystore(path: Path, passphrase: bytes | None) -> Keystore:
    """Unlock a keystore; with a passphrase of the default cost this takes about a second and 256 MiB.

    A passphrase given for a keystore that has none is ignored. Removes the key file that a passphrase has replaced, if
    a crash left it. Every bound is checked before a key is derived.
    Raises KeystoreMissing, KeystoreExposed, KeystoreDamaged, PassphraseNeeded, WrongPassphrase or MemoryShort.
    """
    path = _settle(path)
    sealed = _load(path)
    if sealed.header.cost is None:
        key = _read_key_file(path)
    elif not passphrase:
        raise PassphraseNeeded(
            f"The keystore {path} has a passphrase. Type it when asked, or name a file that holds it "
            "with --passphrase-file."
        )
    else:
        key = _derive_key(passphrase, sealed.header)
    try:
        contents = strongbox.unseal(sealed, key)
    except strongbox.WrongKey:
        if sealed.header.cost is None:
            raise KeystoreDamaged(
                f"{_key_path(path)} does not open {path}. Put both back from the same backup."
            ) from None
        raise WrongPassphrase(f"That is not the passphrase of {path}. Try again.") from None
    except ValueError:
        raise _damaged(path) from None
    # A read-only disk must not keep a person from their own keys; the next opening tries again.
    with contextlib.suppress(OSError, KeystoreError):
        _remove_retired(path, sealed.header)
    return Keystore(path, sealed, key, contents)


def status(path: Path) -> Status:
    """Tell whether there is a keystore and what opens it, without opening it or loading libsodium.

    Raises KeystoreExposed or KeystoreDamaged.
    """
    try:
        sealed = _load(_settle(path))
    except KeystoreMissing:
        return "missing"
    return "passphrase" if sealed.header.cost else "keyfile"


def _header_for(passphrase: bytes | None, cost: Cost, *, retired: bytes = b"") -> Header:
    if passphrase is None:
        return Header()
    if not 0 < len(passphrase) <= LONGEST_PASSPHRASE:
        raise PassphraseRefused(f"A passphrase has 1 to {LONGEST_PASSPHRASE} bytes. Choose another one.")
    return Header(cost, os.urandom(SALT_BYTES), retired)


def _derive_key(passphrase: bytes, header: Header) -> bytes:
    assert header.cost is not None
    try:
        return derive_key(passphrase, header.salt, header.cost)
    except MemoryError:
        raise MemoryShort(
            f"Unlocking the keystore needs {header.cost.memory // MEBIBYTE} MiB of free memory. "
            "Close other programs, or raise the memory limit of this service, and try again."
        ) from None


def _load(path: Path) -> Strongbox:
    """Read the file and check all of it that needs no key."""
    try:
        packed = _read_private(path, LARGEST_FILE)
    except FileNotFoundError:
        raise KeystoreMissing(
            f"There is no keystore at {path}. Put it back from a backup, or make a new agent if you never had one."
        ) from None
    try:
        return strongbox.parse(packed)
    except ValueError:
        raise _damaged(path) from None


def _damaged(path: Path) -> KeystoreDamaged:
    return KeystoreDamaged(f"The keystore {path} is damaged or was altered. Put it back from a backup.")


def _key_path(path: Path) -> Path:
    return path.with_name(path.name + ".key")


def _read_key_file(path: Path) -> bytes:
    try:
        key = _read_private(_key_path(path), KEY_BYTES)
    except FileNotFoundError:
        raise KeystoreDamaged(
            f"{_key_path(path)}, which opens the keystore beside it, is missing. Put it back from a backup."
        ) from None
    if len(key) != KEY_BYTES:
        raise KeystoreDamaged(f"{_key_path(path)} is damaged. Put it back from a backup.")
    return key


def _keep_key_file(path: Path) -> bytes:
    """Return the key in the key file, which is made, durably, if it is not there."""
    if _key_path(path).exists():
        key = _read_key_file(path)
        sync_folder(path.parent)
        return key
    key = os.urandom(KEY_BYTES)
    _write_private(_key_path(path), key)
    return key


def _remove_retired(path: Path, header: Header) -> None:
    """Remove the key file that the keystore on the disk has replaced, and no other."""
    key_path = _settle(_key_path(path))
    if not (header.retired and key_path.exists()):
        return
    if hashlib.sha256(_read_private(key_path, KEY_BYTES)).digest() == header.retired:
        key_path.unlink()
        sync_folder(key_path.parent)


def _not_ours(path: Path) -> KeystoreExposed:
    return KeystoreExposed(f"{path} belongs to another account. Run intentcast as that account, not as this one.")


def _settle(path: Path) -> Path:
    """Follow a link of ours, so that a rename replaces the file and not the link; refuse anybody else's link."""
    if path.is_symlink() and path.lstat().st_uid != os.geteuid():
        raise KeystoreExposed(f"The link {path} was made by another account. Remove it, and see where it points.")
    return Path(os.path.realpath(path))


def _read_private(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes that is ours alone, as ssh does with keys.

    Raises FileNotFoundError, KeystoreExposed, KeystoreDamaged if it is longer or no file.
    """
    try:
        # Without O_NONBLOCK a named pipe in the file's place would hang us.
        fd = os.open(_settle(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        raise _not_ours(path) from None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise KeystoreDamaged(f"{path} is not a file. Move it away and put the file back from a backup.")
        if found.st_uid != os.geteuid():
            raise _not_ours(path)
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise KeystoreExposed(f"Other accounts can reach the secrets in {path}. Run: chmod 600 '{path}'")
        with os.fdopen(fd, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    finally:
        os.close(fd)
    if len(content) > limit:
        raise KeystoreDamaged(f"{path} is larger than it can be. Put it back from a backup.")
    return content


def _write_private(path: Path, content: bytes) -> None:
    """Replace a file so that after a crash at any instant the old or the new one is there whole, 0600."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
