"""Who checks records: processes of the relay's own, each on a core and with an interpreter lock of its own.

Threads do not do: libsodium lets go of the lock for 47 µs a signature, and getting it back from a busy event loop takes
longer than that. A few records at a quiet moment are checked on the spot, since sending them away takes longer too.
What a process that died left unanswered is checked in a thread, and another process takes its place. DESIGN §5
"""

import asyncio
import contextlib
import fcntl
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from intentcast_protocol.record import Record

from intentcast_relay.check import LENGTH, Verdict, check, question, verdicts
from intentcast_relay.log import tell

FEW: Final = 3  # records checked on the event loop, for less than a millisecond of it
AHEAD: Final = 2  # batches a process is given before it has answered the first, so that it never waits
_COMMAND: Final = (sys.executable, "-P", "-m", "intentcast_relay.check")
_PIPE: Final = 1 << 20  # bytes; a batch goes out in one write
_AGAIN: Final = 1.0  # s before a process that died is replaced


@dataclass(slots=True, eq=False)
class _Checker:
    process: asyncio.subprocess.Process
    waiting: deque[asyncio.Future[bytes]] = field(default_factory=deque)
    alive: bool = True


class Checkers:
    """A number of checking processes; with none, a thread does the work."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._running: list[_Checker] = []
        self._checkers: list[_Checker] = []  # those that are ready
        self._tending: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self.ready = asyncio.Event()  # set while a process is ready

    @property
    def slots(self) -> int:
        """How many batches can usefully be under check at once."""
        return AHEAD * max(1, self._processes)

    async def start(self) -> None:
        """Begin to start the processes; until one answers, its work is done here."""
        self._tending = [asyncio.create_task(self._tend()) for _ in range(self._processes)]

    async def stop(self) -> None:
        """End the processes, which hold nothing, and wait for them."""
        self._stopping.set()
        for checker in self._running:
            _kill(checker.process)
        await asyncio.gather(*self._tending)

    async def check(self, records: Sequence[Record], now: int) -> list[Verdict]:
        """Check some records: each becomes a posting or an error of its own."""
        free = [checker for checker in self._checkers if checker.alive and len(checker.waiting) < AHEAD]
        if len(records) <= FEW and not any(checker.waiting for checker in free):
            return check(records, now)
        if free:
            checker = min(free, key=lambda one: len(one.waiting))
            with contextlib.suppress(ConnectionError):
                return verdicts(await self._ask(checker, question(records, now)), records)
        return await asyncio.to_thread(check, records, now)

    async def _ask(self, checker: _Checker, frame: bytes) -> bytes:
        assert checker.process.stdin is not None
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        checker.waiting.append(future)
        checker.process.stdin.write(frame)
        return await future

    async def _tend(self) -> None:
        """Keep one process running."""
        while not self._stopping.is_set():
            process = await asyncio.create_subprocess_exec(
                *_COMMAND, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_PIPE
            )
            checker = _Checker(process)
            self._running.append(checker)
            if not self._stopping.is_set():
                await self._listen(checker)
            await self._lose(checker)
            if not self._stopping.is_set():
                tell("checker-lost", code=process.returncode or 0)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _AGAIN)

    async def _listen(self, checker: _Checker) -> None:
        stdin, stdout = checker.process.stdin, checker.process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(AttributeError, OSError):  # not everywhere, and a user may have used up the room
            fcntl.fcntl(stdin.get_extra_info("pipe").fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
        stdin.write(question((), 0))  # answered once it has imported all it needs
        ready = False
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await stdout.readexactly(LENGTH)
                answer = await stdout.readexactly(int.from_bytes(head, "big"))
                if not ready:
                    ready = True
                    self._checkers.append(checker)
                    self.ready.set()
                    continue
                future = checker.waiting.popleft()
                if not future.done():
                    future.set_result(answer)

    async def _lose(self, checker: _Checker) -> None:
        checker.alive = False
        self._running.remove(checker)
        if checker in self._checkers:
            self._checkers.remove(checker)
            if not self._checkers:
                self.ready.clear()
        for future in checker.waiting:
            if not future.done():
                future.set_exception(ConnectionResetError())
        _kill(checker.process)
        await checker.process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
