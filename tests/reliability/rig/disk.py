"""A simulated disk: from the log that disk.c writes, what a power cut at any moment would have left behind.

The model is harsh, and honest about what POSIX promises:

- What a file held when a sync of it *began* is durable once that sync has *ended*. Nothing else is.
- A name (made, removed, renamed) is durable once a sync of the folder that began after it has ended.
- All later writes may be kept, lost, or kept in part: a prefix of them, any of their 4,096-byte pages, any of their
  512-byte sectors, each on its own, in any combination over all files. A lost write inside a longer file reads as it
  was before, or as zeros. Truncations may be lost like writes.
- A sector is written whole or not at all. SQLite relies on that much ("powersafe overwrite"), and so do disks.

Not modelled: disks that lie about a sync, bits that rot, and a sync that fails.

Why no FUSE: /dev/fuse needs root and a kernel that has it, which a CI container often lacks. Replaying a log needs a C
compiler and nothing else, and one run of a relay can be cut at every one of its moments instead of at one.
"""

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import pytest

PAGE: Final = 4_096
SECTOR: Final = 512
MODES: Final = ("nothing", "everything", "prefix", "pages", "sectors")
_HEAD: Final = struct.Struct("<IBQQ")
_SOURCE: Final = Path(__file__).with_name("disk.c")


def build(folder: Path) -> Path:
    """Compile disk.c for this machine; without a C compiler that is a failure in CI and a named skip elsewhere."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None or os.uname().sysname != "Linux":
        reason = "The simulated disk needs Linux and a C compiler (cc); without it no power cut is tested."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    library = folder / "disk.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", library, _SOURCE, "-ldl", "-lpthread"], check=True)
    return library


def environ(library: Path, watch: Path, **settings: object) -> dict[str, str]:
    """Return the variables that put a process's folder on the simulated disk; the settings are those of disk.c."""
    named = {f"DISK_{name.upper()}": str(value) for name, value in settings.items()}
    return {"LD_PRELOAD": str(library), "DISK_WATCH": str(watch.resolve()), **named}


class Entry(NamedTuple):
    """One line of the log; `end` is its place in the log, in bytes."""

    end: int
    kind: str
    object: int
    number: int
    data: bytes


def read_log(log: Path) -> Iterator[Entry]:
    """Yield the entries of a log; one that the kill cut off at the end is left out."""
    data = log.read_bytes()
    at = 0
    while at + _HEAD.size <= len(data):
        length, kind, number, value = _HEAD.unpack_from(data, at)
        end = at + 4 + length
        if end > len(data):
            return
        yield Entry(end, chr(kind), number, value, data[at + _HEAD.size : end])
        at = end


@dataclass(slots=True, eq=False)
class File:
    """What is durable of one file, and what was done to it since: (offset, bytes) written, (size, None) cut."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    mapped: bool = False

    def settle(self, count: int) -> None:
        """Make the first `count` changes durable."""
        for change in self.pending[:count]:
            _change(self.durable, *change)
        del self.pending[:count]

    def now(self) -> bytes:
        """Return what a reader of the running machine sees."""
        content = bytearray(self.durable)
        for change in self.pending:
            _change(content, *change)
        return bytes(content)

    def survivor(self, mode: str, dice: random.Random) -> bytes:
        """Return what a power cut leaves of it."""
        content = bytearray(self.durable)
        for offset, data in self._kept(mode, dice):
            _change(content, offset, data)
        return bytes(content)

    def _kept(self, mode: str, dice: random.Random) -> Iterator[tuple[int, bytes | None]]:
        if mode == "nothing" or not self.pending:
            return
        if mode == "everything":
            yield from self.pending
        elif mode == "prefix":
            *whole, (offset, data) = self.pending[: dice.randint(1, len(self.pending))]
            yield from whole
            # The last one is torn at the edge of a sector.
            yield offset, data if data is None else data[: SECTOR * dice.randint(0, len(data) // SECTOR)]
        else:
            size, luck = PAGE if mode == "pages" else SECTOR, dice.random()
            for offset, data in self.pending:
                for start, part in [(offset, data)] if data is None else _split(offset, data, size):
                    if dice.random() < luck:
                        yield start, part


def _split(offset: int, data: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    """Cut a write at the edges of the disk's pages or sectors."""
    at = 0
    while at < len(data):
        upto = min(len(data), at + size - (offset + at) % size)
        yield offset + at, data[at:upto]
        at = upto


def _change(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
    content.extend(bytes(max(0, offset - len(content))))
    if data is not None:
        content[offset : offset + len(data)] = data


@dataclass(slots=True)
class Disk:
    """One folder on the simulated disk, moved on entry by entry."""

    names: dict[str, File]  # as the running machine sees them
    durable: dict[str, File]
    moved: list[tuple[str, File | None]] = field(default_factory=list)  # names since the last sync; None is removed
    _objects: dict[int, str | File] = field(default_factory=dict)  # "" is the folder
    _syncs: dict[tuple[int, int], int] = field(default_factory=dict)  # object, thread -> how much its sync covers

    @classmethod
    def holding(cls, files: dict[str, bytes]) -> "Disk":
        """Return a disk that has stood still for long with these files on it."""
        found = {name: File(bytearray(content)) for name, content in files.items()}
        return cls(dict(found), dict(found))

    def perform(self, entry: Entry) -> None:
        """Do what one entry of the log says was done."""
        name = entry.data.decode() if entry.kind in "COUR" else ""
        match entry.kind:
            case "C":
                file = self._objects[entry.object] = self.names[name] = File()
                self.moved.append((name, file))
            case "O":
                self._objects[entry.object] = self.names[name] if name else ""
            case "U":
                # A socket was never opened, so the log does not know it; nothing of it outlives the power anyway.
                if self.names.pop(name, None) is not None:
                    self.moved.append((name, None))
            case "R":
                old, new = name.split("\n")
                self.names[new] = self.names.pop(old)
                self.moved += [(new, self.names[new]), (old, None)]
            case "W" | "T":
                self._file(entry).pending.append((entry.number, entry.data if entry.kind == "W" else None))
            case "M":
                self._file(entry).mapped = True
            case "B":
                self._syncs[entry.object, entry.number] = len(self._waiting(entry.object))
            case "F":
                self._settle(entry.object, self._syncs.pop((entry.object, entry.number)))
            case other:
                raise AssertionError(other)

    def image(self, mode: str, dice: random.Random) -> dict[str, bytes]:
        """Return the files that a power cut at this moment leaves; what was written through a mapping is garbage."""
        names: dict[str, File | None] = dict(self.durable)
        luck = {"nothing": 0.0, "everything": 1.0}.get(mode, 0.5)
        names.update((name, file) for name, file in self.moved if dice.random() < luck)
        left = {}
        for name, file in names.items():
            if file is not None:
                left[name] = dice.randbytes(dice.choice((0, 3, 32_768))) if file.mapped else file.survivor(mode, dice)
        return left

    def _file(self, entry: Entry) -> File:
        file = self._objects[entry.object]
        assert isinstance(file, File), "a folder is not written to"
        return file

    def _waiting(self, number: int) -> list[tuple[str, File | None]] | list[tuple[int, bytes | None]]:
        found = self._objects[number]
        return found.pending if isinstance(found, File) else self.moved

    def _settle(self, number: int, count: int) -> None:
        # Another thread's sync may have settled a part of it meanwhile; what it covered is then gone from the front.
        found = self._objects[number]
        before = len(self._waiting(number))
        if isinstance(found, File):
            found.settle(count)
        else:
            for name, file in self.moved[:count]:
                if file is None:
                    self.durable.pop(name, None)
                else:
                    self.durable[name] = file
            del self.moved[:count]
        done = before - len(self._waiting(number))
        for other in self._syncs:
            if other[0] == number:
                self._syncs[other] = max(0, self._syncs[other] - done)
