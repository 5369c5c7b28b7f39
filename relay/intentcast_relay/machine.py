"""What the operating system says of the relay: its files, the room on their disk, processor time and memory.

Linux tells everything through /proc; elsewhere the relay's own figures are there, and its children's are left out.
"""

import contextlib
import os
import resource
import shutil
import sys
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
_STAT_CPU: Final = slice(11, 13)  # utime and stime, counted after the name in brackets; proc(5)
_STAT_PAGES: Final = 21


class Disk(NamedTuple):
    """Sizes in bytes; 0 for what is not there."""

    database: int
    wal: int
    free: int
    total: int


class Usage(NamedTuple):
    """Seconds of processor time and bytes of resident memory, by kind of process: relay, children."""

    cpu: dict[str, float]
    memory: dict[str, int]


def disk(database: Path) -> Disk:
    """Return how much room the database takes and has."""
    free = total = 0
    with contextlib.suppress(OSError):
        total, _, free = shutil.disk_usage(database.parent)
    return Disk(_size(database), _size(database.with_name(f"{database.name}-wal")), free, total)


def usage() -> Usage:
    """Return what this process and those it started have used so far."""
    own = _process(os.getpid())
    if own is None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        # macOS counts bytes where the others count KiB; it is the peak, as nothing better is portable.
        peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return Usage({"relay": used.ru_utime + used.ru_stime}, {"relay": peak})
    children = [found for found in map(_process, _children()) if found is not None]
    cpu = {"relay": own[0], "children": sum(found[0] for found in children)}
    return Usage(cpu, {"relay": own[1], "children": sum(found[1] for found in children)})


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _children() -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for task in (_PROC / "self" / "task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _process(pid: int) -> tuple[float, int] | None:
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ticks = sum(map(int, fields[_STAT_CPU]))
        return ticks / os.sysconf("SC_CLK_TCK"), int(fields[_STAT_PAGES]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
