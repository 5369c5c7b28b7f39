"""From a commit to everyone who listens: each record is encoded once, and what was committed together is sent together.

A listener is registered before its stored records are read, and what arrives meanwhile waits its turn, so that between
the last stored record and the first new one nothing is missing and nothing comes twice. PROTOCOL §9.5
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from intentcast_protocol.encoding import encode
from intentcast_protocol.limits import MAX_FRAME
from intentcast_protocol.record import Record, Verified

from intentcast_relay.index import Index
from intentcast_relay.outgoing import Outgoing

MAX_PENDING: Final = 1_024  # records kept for a listener that is still catching up
MAX_TOGETHER: Final = 512  # records in one frame
_ARRAY_OF_3: Final = b"\x93"
_VERB: Final = encode("record")
_HEADER: Final = 32  # bytes, at most, of all that stands before the records

Item = tuple[int, bytes]


class Owner(Protocol):
    """The connection a listener belongs to."""

    @property
    def outgoing(self) -> Outgoing:
        """Where its frames go."""


def item(seq: int, record: Record) -> bytes:
    """Return one record as it stands in a frame; the bytes serve every listener."""
    return encode([seq, record.wire()])


def record_frames(req: int, items: Iterable[Item]) -> Iterator[tuple[int, bytes]]:
    """Join encoded records into as few frames as their limit allows; yields each with the last seq in it.

    The bytes equal those of `encode_frame`: canonical values are simply concatenated. PROTOCOL §9.1
    """
    together: list[bytes] = []
    size = last = 0
    for seq, data in items:
        if together and (len(together) >= MAX_TOGETHER or size + len(data) > MAX_FRAME - _HEADER):
            yield last, _join(req, together)
            together, size = [], 0
        together.append(data)
        size += len(data)
        last = seq
    if together:
        yield last, _join(req, together)


def _join(req: int, items: list[bytes]) -> bytes:
    count = len(items)
    length = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return b"".join((_ARRAY_OF_3, _VERB, encode(req), length, *items))


@dataclass(slots=True, eq=False)
class Listener:
    """One live subscription, or the reader of one mailbox. `sent` is the place to resume from."""

    owner: Owner
    req: int
    mailbox: bytes | None = None
    sent: int = 0
    pending: list[Item] | None = field(default_factory=list)  # None once live
    missed: bool = False

    def push(self, items: list[Item]) -> None:
        """Send new records, or keep them until the stored ones are sent."""
        if self.pending is None:
            self.send(items)
        elif len(self.pending) + len(items) > MAX_PENDING:
            # They are stored: catching up goes on for longer instead.
            self.pending, self.missed = [], True
        elif not self.missed:
            self.pending += items

    def send(self, items: Iterable[Item], *, replayed: bool = False) -> None:
        """Queue records in as few frames as may be."""
        for last, frame in record_frames(self.req, items):
            self.owner.outgoing.push(frame, self, last, replayed=replayed)


class Feed:
    """The order of acceptance as listeners see it; `head` is the last place all live listeners have been told of."""

    def __init__(self, head: int) -> None:
        self.index: Index[Listener] = Index()
        self.head = head

    def deliver(self, committed: dict[int, Verified]) -> None:
        """Hand what one transaction stored to everyone who listens for it."""
        heard: dict[Listener, list[Item]] = {}
        for seq, record in committed.items():
            data = b""
            for listener in self.index.matching(record):
                data = data or item(seq, record.record)
                heard.setdefault(listener, []).append((seq, data))
            self.head = seq
        for listener, items in heard.items():
            listener.push(items)
