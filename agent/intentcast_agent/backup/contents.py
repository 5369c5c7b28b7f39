"""What a backup carries, as one stream of bytes: which files, how long each is, and then the files themselves.

length of list, 4 bytes | list, a msgpack map {program, files: [[name, size], …]} | each file's bytes, in that order
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from intentcast_agent.backup.container import damaged
from intentcast_agent.home import Home
from intentcast_agent.settings import policy_path

LONGEST_LIST: Final = 4096
LARGEST_SMALL: Final = 1024 * 1024  # bytes of any file but the database
DATABASE: Final = "agent.db"
KEY_FILE: Final = "keystore.key"
# The order in which they are put back: the keystore last, because nothing can be signed before it is there.
NAMES: Final = ("config.toml", "policy.toml", DATABASE, KEY_FILE, "keystore")
_NEEDED = {DATABASE, "keystore"}


@dataclass(frozen=True, slots=True)
class Item:
    """One file to carry: its name in the backup, its size in bytes, and a way to read it piece by piece."""

    name: str
    size: int
    read: Callable[[], Iterable[bytes]]


def places(home: Home) -> dict[str, Path]:
    """Return where each file of a backup lies in a home, in the order in which they are put back."""
    key_file = home.keystore.with_name(home.keystore.name + ".key")
    return dict(zip(NAMES, (home.config, policy_path(home), home.database, key_file, home.keystore), strict=True))


def pack(program: str, items: Sequence[Item]) -> Iterator[bytes]:
    """Yield the stream of these files; raises ValueError if one is not of the size it was said to be."""
    import msgpack  # noqa: PLC0415

    listed: bytes = msgpack.packb({"program": program, "files": [[item.name, item.size] for item in items]})
    yield len(listed).to_bytes(4, "big") + listed
    for item in items:
        size = 0
        for piece in item.read():
            size += len(piece)
            yield piece
        if size != item.size:
            raise ValueError(f"{item.name} changed while it was read")


def unpack(chunks: Iterable[bytes], write: Callable[[str, Iterator[bytes]], None]) -> None:
    """Hand each file of a stream to `write`, which has to take all of it; holds one chunk at a time.

    Raises BackupDamaged for anything we could not have written: an unknown name, two of one, neither database nor
    keystore, a size that is not the stream's, over 1 MiB of anything but the database. What was written by then is
    worth nothing.
    """
    stream = _Stream(chunks)
    length = int.from_bytes(b"".join(stream.take(4)), "big")
    if length > LONGEST_LIST:
        raise damaged()
    files = _parse_list(b"".join(stream.take(length)))
    for name, size in files.items():
        write(name, stream.take(size))
    stream.end()


class _Stream:
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = b""

    def take(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self._left or next(self._chunks, None)
            if chunk is None:
                raise damaged()
            piece, self._left = chunk[:size], chunk[size:]
            size -= len(piece)
            yield piece

    def end(self) -> None:
        if self._left or any(self._chunks):
            raise damaged()


def _parse_list(listed: bytes) -> dict[str, int]:
    import msgpack  # noqa: PLC0415

    try:
        pairs = msgpack.unpackb(listed)["files"]
        files = {name: size for name, size in pairs if type(size) is int and size >= 0}
    except (msgpack.UnpackException, RecursionError, ValueError, TypeError, KeyError):
        raise damaged() from None
    if len(files) != len(pairs) or not _NEEDED <= files.keys() <= set(NAMES):
        raise damaged()
    if any(size > LARGEST_SMALL for name, size in files.items() if name != DATABASE):
        raise damaged()
    return files
