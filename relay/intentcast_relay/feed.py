"""From a commit to everyone who listens: each record is encoded once, and what was committed together is sent together.

A listener is registered before its stored records are read, and what arrives meanwhile waits its turn, so that between
the last stored record and the first new one nothing is missing and nothing comes twice. PROTOCOL §9.5
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import msgpack
from intentcast_protocol.encoding import encode
from intentcast_protocol.record import Record

from intentcast_relay.index import Index
from intentcast_relay.metrics import Meter
from intentcast_relay.outgoing import Outgoing
from intentcast_relay.posting import Posting

MAX_PENDING: Final = 1_024  # records kept for a listener that is still catching up
MAX_PENDING_BYTES: Final = 1024 * 1024
MAX_TOGETHER: Final = 512  # records in one frame
MAX_FRAME_BYTES: Final = 32_768  # of records in one frame; a larger record has a frame of its own
_OPENING: Final = b"\x93" + encode("record")
_SHARED: Final = 8  # listeners for whom records are joined once; for fewer, each queue holds the records themselves

Item = tuple[int, bytes]


class Owner(Protocol):
    """The connection a listener belongs to."""

    @property
    def outgoing(self) -> Outgoing:
        """Where its frames go."""


def item(seq: int, record: Record) -> bytes:
    """Return one record as it stands in a frame; the bytes serve every listener.

    What it is made of has one form each, so that writing it in order is all that being canonical takes.
    """
    data: bytes = msgpack.packb((seq, (record.payload, record.signature)))
    return data


class Parcel(NamedTuple):
    """The records of one frame as bytes, in one piece or several; whoever gets the same records shares them."""

    last: int  # the place of the last record
    parts: tuple[bytes, ...]
    size: int


def parcels(items: Iterable[Item], *, joined: bool = False) -> list[Parcel]:
    """Put encoded records into as few frames as their limits allow; `joined` ones are a single piece each.

    After the opening the bytes equal those of `encode_frame`: canonical values are simply concatenated. PROTOCOL §9.1
    """
    packed: list[Parcel] = []
    together: list[bytes] = []
    size = last = 0
    for seq, data in items:
        if together and (len(together) >= MAX_TOGETHER or size + len(data) > MAX_FRAME_BYTES):
            packed.append(_parcel(last, together, joined=joined))
            together, size = [], 0
        together.append(data)
        size += len(data)
        last = seq
    if together:
        packed.append(_parcel(last, together, joined=joined))
    return packed


def _parcel(last: int, items: list[bytes], *, joined: bool) -> Parcel:
    count = len(items)
    length = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    parts = (b"".join((length, *items)),) if joined else (length, *items)
    return Parcel(last, parts, sum(map(len, parts)))


def opening(req: int) -> bytes:
    """Return what stands before the records in a frame for a request."""
    return _OPENING + encode(req)


@dataclass(slots=True, eq=False)
class Listener:
    """One live subscription, or the reader of one mailbox. `sent` is the place to resume from."""

    owner: Owner
    req: int
    mailbox: bytes | None = None
    sent: int = 0
    opening: bytes = b""  # what stands before the records in its frames
    pending: list[Item] | None = field(default_factory=list)  # None once live
    kept: int = 0  # bytes of them
    missed: bool = False

    def __post_init__(self) -> None:
        self.opening = opening(self.req)

    def push(self, items: Sequence[Item], packed: Sequence[Parcel]) -> None:
        """Send new records, which come packed as well, or keep them until the stored ones are sent."""
        if self.pending is None:
            self.send(packed)
        elif not self.missed:
            self.pending += items
            self.kept += sum(len(data) for _, data in items)
            if len(self.pending) > MAX_PENDING or self.kept > MAX_PENDING_BYTES:
                # They are stored: catching up goes on for longer instead.
                self.pending, self.kept, self.missed = [], 0, True

    def send(self, packed: Iterable[Parcel], *, replayed: bool = False) -> None:
        """Queue records, a frame for each parcel."""
        for parcel in packed:
            self.owner.outgoing.push(self.opening, parcel.parts, self, parcel.last, replayed=replayed)


class Feed:
    """The order of acceptance as listeners see it; `head` is the last place all live listeners have been told of."""

    def __init__(self, head: int, meter: Meter | None = None) -> None:
        self.index: Index[Listener] = Index()
        self.head = head
        self._meter = meter or Meter()

    def deliver(self, committed: dict[int, Posting]) -> None:
        """Hand what one transaction stored to everyone who listens for it."""
        items: dict[int, Item] = {}
        heard: dict[Listener, list[int]] = {}
        for seq, posting in committed.items():
            for listener in self.index.matching(posting):
                if seq not in items:
                    items[seq] = (seq, item(seq, posting.record))
                heard.setdefault(listener, []).append(seq)
            self.head = seq
        alike: dict[tuple[int, ...], list[Listener]] = {}
        for listener, places in heard.items():
            alike.setdefault(tuple(places), []).append(listener)
        for shared, listeners in alike.items():
            chosen = [items[seq] for seq in shared]
            packed = parcels(chosen, joined=len(listeners) >= _SHARED)
            self._meter.delivered += len(chosen) * len(listeners)
            for listener in listeners:
                listener.push(chosen, packed)
