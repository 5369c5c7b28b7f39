"""What waits to be sent to one peer: bounded, and given up when the peer does not read.

Two queues: answers, and records with what must keep its place among them. Answers go first, so that an agent behind a
full feed still hears at once that what it asked for is done. They always find a place, because a peer is not read from
while they are `crowded`; records pushed to it do not, and nothing may wait longer than the deadline. A record's bytes
are the same object in every queue, so that many who do not read cost little more than one. PROTOCOL §9.9
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from intentcast_relay.config import Limits

_BINARY: Final = 0x82
_SMALL: Final = 8_192  # bytes of a frame that may be sent without waiting
_WRITE: Final = 32_768  # bytes handed to the socket at once, unless one frame is larger


class SlowReader(Exception):
    """The peer left too much unread for too long."""


class Mark(Protocol):
    """Something that remembers the last place that was really sent."""

    sent: int


class Frame(NamedTuple):
    """One WebSocket message of records with its header, in pieces to be kept, and whole to be sent at once."""

    parts: tuple[bytes, ...]
    whole: bytes
    last: int  # the place of the last record


class Entry(NamedTuple):
    """One frame that waits."""

    parts: tuple[bytes, ...]
    size: int
    mark: Mark | None = None
    seq: int = 0


@dataclass(slots=True)
class Lane:
    """Frames in their order, and how much they are; a list, because an empty deque takes most of a kilobyte."""

    frames: list[Entry] = field(default_factory=list)
    size: int = 0

    def put(self, entry: Entry) -> None:
        """Let a frame wait."""
        self.frames.append(entry)
        self.size += entry.size

    def full(self, limits: Limits) -> bool:
        """Whether it holds what it may."""
        return len(self.frames) >= limits.queue_frames or self.size >= limits.queue_bytes

    def clear(self) -> None:
        """Drop what waits."""
        self.frames.clear()
        self.size = 0


@dataclass(slots=True)
class Outgoing:
    """The queues of frames and the loop that sends them."""

    limits: Limits
    at_once: Callable[[bytes], bool | None] | None = None  # writes if it can: whether all is gone, None for nothing
    _answers: Lane = field(default_factory=Lane)
    _records: Lane = field(default_factory=Lane)
    _overflown: bool = False
    _over: bool = False
    _sleep: asyncio.Future[None] | None = None  # of the loop that sends, while nothing waits
    _emptied: asyncio.Event | None = None  # made when somebody first waits for it

    @property
    def crowded(self) -> bool:
        """Whether to read nothing more from this peer for now: it leaves its answers unread."""
        return not self._over and self._answers.full(self.limits)

    def answer(self, frame: bytes, head: bytes = b"") -> None:
        """Queue an answer, which may overtake records; forgotten once sending has ended.

        `head` is the message's header where it is not that of a binary one.
        """
        self._put(self._answers, Entry((head or header(len(frame)), frame), len(frame)))

    def follow(self, frame: bytes) -> None:
        """Queue what has to come after the records that wait."""
        self._put(self._records, Entry((header(len(frame)), frame), len(frame)))

    def push(self, frame: Frame, mark: Mark, *, replayed: bool = False) -> None:
        """Send a frame of records, or queue it behind what waits; `mark.sent` becomes its `last` once they are sent.

        To send is cheaper than to wake the loop, which matters where a record goes to a thousand. Past the bounds the
        peer is given up, unless it is catching up: then the sender waits for `room` instead.
        """
        if not replayed and not self._over and self._records.full(self.limits):
            self._overflown = True
            return
        parts, whole, last = frame
        idle = self._sleep is not None and not self._sleep.done()
        # Of a large frame, the part that does not go at once would be kept as a copy.
        gone = self.at_once(whole) if idle and self.at_once is not None and len(whole) <= _SMALL else None
        if gone is None:
            self._put(self._records, Entry(parts, len(whole), mark, last))
        elif gone:
            mark.sent = last
        else:
            self._put(self._records, Entry((), 0, mark, last))  # the loop sees off what has begun, by its deadline

    def _put(self, lane: Lane, entry: Entry) -> None:
        if not self._over:
            lane.put(entry)
            if self._sleep is not None and not self._sleep.done():
                self._sleep.set_result(None)

    def clear(self) -> None:
        """Drop what waits, so that a last word can be sent."""
        self._answers.clear()
        self._records.clear()
        self._wake()

    async def heard(self) -> None:
        """Wait until answers are crowded no more."""
        while self.crowded:
            await self._next_write()

    async def room(self) -> None:
        """Wait until few enough records wait that stored ones may be read: each reader holds a page at most."""
        while self._records.size >= _WRITE:
            await self._next_write()

    async def flush(self) -> None:
        """Wait until nothing waits."""
        while self._answers.frames or self._records.frames:
            await self._next_write()

    async def _next_write(self) -> None:
        self._emptied = self._emptied or asyncio.Event()
        self._emptied.clear()
        await self._emptied.wait()

    def _wake(self) -> None:
        if self._emptied is not None:
            self._emptied.set()

    async def run(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send until cancelled, what waits together in one write; `send` gets the bytes of whole WebSocket messages.

        Raises SlowReader.
        """
        try:
            while True:
                while self._answers.frames or self._records.frames:
                    if self._overflown:
                        raise SlowReader
                    await self._send_together(send)
                self._sleep = asyncio.get_running_loop().create_future()
                await self._sleep
        except TimeoutError as error:
            raise SlowReader from error
        finally:
            # Nobody may wait for room that will never come.
            self._over = True
            self.clear()

    async def _send_together(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        parts: list[bytes] = []
        marks: list[tuple[Mark, int]] = []
        size = 0
        for lane in (self._answers, self._records):
            while lane.frames and (not size or size + lane.frames[0].size <= _WRITE):
                entry = lane.frames.pop(0)
                lane.size -= entry.size
                size += entry.size
                parts += entry.parts
                if entry.mark is not None:
                    marks.append((entry.mark, entry.seq))
        data = b"".join(parts)
        del parts
        sending = send(data)
        del data  # or each reader that stalls would keep a second copy
        async with asyncio.timeout(self.limits.send_deadline):
            await sending
        for mark, seq in marks:
            mark.sent = seq
        self._wake()


def header(length: int) -> bytes:
    """Return what precedes a final, unmasked, binary WebSocket message of this length. RFC 6455 §5.2"""
    if length < 126:
        return bytes((_BINARY, length))
    if length < 65_536:
        return bytes((_BINARY, 126)) + length.to_bytes(2, "big")
    return bytes((_BINARY, 127)) + length.to_bytes(8, "big")
