"""What waits to be sent to one peer: bounded, and given up when the peer does not read.

Answers to a peer's own requests always find a place, because it is not read from while it is `crowded`; records pushed
to it do not, and neither may wait longer than the deadline. PROTOCOL §9.9
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from intentcast_relay.config import Limits

_BINARY: Final = 0x82
_WRITE: Final = 65_536  # bytes handed to the socket at once


class SlowReader(Exception):
    """The peer left too much unread for too long."""


class Mark(Protocol):
    """Something that remembers the last place that was really sent."""

    sent: int


@dataclass(slots=True)
class Outgoing:
    """A queue of frames and the loop that sends them."""

    limits: Limits
    _queue: deque[tuple[bytes, Mark | None, int]] = field(default_factory=deque)
    _size: int = 0
    _overflown: bool = False
    _over: bool = False
    _filled: asyncio.Event = field(default_factory=asyncio.Event)
    _emptied: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def crowded(self) -> bool:
        """Whether to read nothing more from this peer for now."""
        return not self._over and (
            len(self._queue) >= self.limits.queue_frames or self._size >= self.limits.queue_bytes
        )

    def answer(self, frame: bytes) -> None:
        """Queue an answer; forgotten once sending has ended."""
        if self._over:
            return
        self._queue.append((frame, None, 0))
        self._size += len(frame)
        self._filled.set()

    def push(self, frame: bytes, mark: Mark, seq: int, *, replayed: bool = False) -> None:
        """Queue records; `mark.sent` becomes `seq` once they are sent.

        Past the bounds the peer is given up, unless it is catching up: then the sender waits for `room` instead.
        """
        if self._over:
            return
        if self.crowded and not replayed:
            self._overflown = True
            self._filled.set()
            return
        self._queue.append((frame, mark, seq))
        self._size += len(frame)
        self._filled.set()

    def clear(self) -> None:
        """Drop what waits, so that a last word can be sent."""
        self._queue.clear()
        self._size = 0
        self._emptied.set()

    async def room(self) -> None:
        """Wait until the queue is no longer crowded."""
        while self.crowded:
            self._emptied.clear()
            await self._emptied.wait()

    async def flush(self) -> None:
        """Wait until nothing waits."""
        while self._queue:
            self._emptied.clear()
            await self._emptied.wait()

    async def run(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send until cancelled, what waits together in one write; `send` gets the bytes of whole WebSocket messages.

        Raises SlowReader.
        """
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._queue:
                    if self._overflown:
                        raise SlowReader
                    await self._send_together(send)
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
        while self._queue and size < _WRITE:
            frame, mark, seq = self._queue.popleft()
            parts += (header(len(frame)), frame)
            size += len(frame)
            if mark is not None:
                marks.append((mark, seq))
        self._size -= size
        async with asyncio.timeout(self.limits.send_deadline):
            await send(b"".join(parts))
        for mark, seq in marks:
            mark.sent = seq
        self._emptied.set()


def header(length: int) -> bytes:
    """Return what precedes a final, unmasked, binary WebSocket message of this length. RFC 6455 §5.2"""
    if length < 126:
        return bytes((_BINARY, length))
    if length < 65_536:
        return bytes((_BINARY, 126)) + length.to_bytes(2, "big")
    return bytes((_BINARY, 127)) + length.to_bytes(8, "big")
