"""A relay as its operator has it: a process, its address, its files, and what is found in them."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from intentcast_protocol.identity import Key
from intentcast_protocol.record import Record
from intentcast_protocol.subscription import Filter
from intentcast_relay.store.contract import Page
from intentcast_relay.store.sqlite import open_store

from rig.witness import Found

ROOT: Final = Path(__file__).parents[3]
RIG: Final = Path(__file__).parent
PATH: Final = os.pathsep.join(str(ROOT / name) for name in ("protocol", "relay"))
DATABASE: Final = "relay.db"
PAGE: Final = 4_096  # records asked for at once
READY: Final = 20  # s to announce itself, on a busy machine
END: Final = 10  # s in which a relay that was told to stop is gone
# The load of a test comes from one machine and one mailbox: more of both than one agent has.
SETTINGS: Final = "[limits]\nmailbox_items = 100_000\nmailbox_bytes = 1_000_000_000\n"


@dataclass(slots=True)
class Life:
    """A relay process from its announcement to its end."""

    url: str
    pid: int
    status: asyncio.Task[int]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, if it still lives."""
        if not self.status.done():
            os.kill(self.pid, number)

    async def ended(self, within: float = END) -> int:
        """Wait for its exit status, negative for a signal."""
        return await asyncio.wait_for(asyncio.shield(self.status), within)


def arguments(home: Path) -> list[str]:
    """Return the words that serve the database of a folder; settings lie beside the folder, not in it."""
    settings = home.parent / "relay.toml"
    settings.write_text(SETTINGS, encoding="utf-8")
    home.mkdir(exist_ok=True)
    return [
        "serve", "--config", str(settings), "--listen", "127.0.0.1:0", "--database", str(home / DATABASE),
        "--announce", "-",
    ]  # fmt: skip


async def launch(home: Path, *program: object, **environ: str) -> asyncio.subprocess.Process:
    """Start a process that serves the database of a folder; what it writes goes to relay.log beside the folder."""
    home.parent.mkdir(exist_ok=True)
    with (home.parent / "relay.log").open("ab") as words:
        return await asyncio.create_subprocess_exec(
            sys.executable, *map(str, program), *arguments(home), env={**os.environ, "PYTHONPATH": PATH, **environ},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=words, start_new_session=True,
        )  # fmt: skip


async def start(home: Path, program: Sequence[object] = ("-m", "intentcast_relay"), **environ: str) -> Life:
    """Start a relay in a process of its own; raises RuntimeError with its last words if it does not come up."""
    process = await launch(home, *program, **environ)
    assert process.stdout is not None
    status = asyncio.create_task(process.wait())
    line = await asyncio.wait_for(process.stdout.readline(), READY)
    if not line:
        raise RuntimeError(f"exit {await status}: {last_words(home.parent / 'relay.log')}")
    announced = json.loads(line)
    return Life(announced["url"], announced["pid"], status)


def last_words(log: Path) -> str:
    """Return the last line a relay wrote."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return lines[-1] if lines else ""


@dataclass(slots=True)
class Nursery:
    """The test's end of nursery.py: one relay at a time, started in a few milliseconds."""

    process: asyncio.subprocess.Process
    log: Path

    @classmethod
    async def open(cls, log: Path, **environ: str) -> "Nursery":
        """Start it; what its relays write goes to `log`."""
        with log.open("ab") as words:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(RIG / "nursery.py"), env={**os.environ, "PYTHONPATH": PATH, **environ},
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=words,
            )  # fmt: skip
        return cls(process, log)

    async def start(self, home: Path) -> Life:
        """Fork a relay and wait until it has announced itself."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(arguments(home)).encode() + b"\n")
        announced = await asyncio.wait_for(self._line(), READY)
        if isinstance(announced, int):
            raise RuntimeError(f"exit {announced}: {last_words(self.log)}")
        return Life(announced["url"], announced["pid"], asyncio.create_task(self._line()))

    async def close(self, life: Life | None) -> None:
        """End the life that may still be, then the nursery."""
        if life is not None:
            life.kill()
            await asyncio.wait([life.status])
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()

    def _line(self) -> Coroutine[Any, Any, Any]:
        assert self.process.stdout is not None
        stdout = self.process.stdout

        async def read() -> Any:
            return json.loads(await stdout.readline())

        return read()


def left_behind(group: int) -> list[int]:
    """Return the processes of a relay's group that still run: what it started and did not end."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may hold anything; after it: state, parent, group.
            state, _, its_group, *_ = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if int(its_group) == group and state not in "ZX":
            found.append(int(entry.parent.name))
    return found


async def open_files(home: Path, mailbox: Key, now: int) -> Found:
    """Open a database as a starting relay does and return all that is in it; sqlite3.DatabaseError if it is corrupt."""
    store = await open_store(home / DATABASE)
    try:
        public = await _pages(lambda at: store.public(Filter(), at, store.seq, PAGE, now), store.seq)
        some = Filter(categories=("vehicles",))
        listed = await _pages(lambda at: store.public(some, at, store.seq, PAGE, now), store.seq)
        mail = await _pages(lambda at: store.mailbox(mailbox, at, store.seq, PAGE, now), store.seq)
        found = Found(store.epoch, store.seq, public, mail, [place for place, _ in listed])
    finally:
        await store.close()
    with closing(sqlite3.connect(home / DATABASE)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    return found


async def _pages(fetch: Callable[[int], Awaitable[Page]], upto: int) -> list[tuple[int, Record]]:
    found: list[tuple[int, Record]] = []
    at = 0
    while at < upto:
        page = await fetch(at)
        found += page.records
        at = page.reached
    return found
