"""From a commit to everyone who listens: each record is encoded once, and what was committed together is sent together.

A listener is registered before its stored records are read, and what arrives meanwhile waits its turn, so that between
the last stored record and the first new one nothing is missing and nothing comes twice. PROTOCOL §9.5
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import msgpack
from intentcast_protocol.encoding import encode
from intentcast_protocol.record import Record

from intentcast_relay.index import Index
from intentcast_relay.metrics import Meter
from intentcast_relay.outgoing import Frame, Outgoing, header
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


def frames(before: bytes, packed: Iterable[Parcel]) -> list[Frame]:
    """Return the messages that bring some parcels to those whose records have this opening."""
    made = []
    for parcel in packed:
        parts = (header(len(before) + parcel.size) + before, *parcel.parts)
        made.append(Frame(parts, b"".join(parts), parcel.last))
    return made


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

    def push(self, items: Sequence[Item], framed: Iterable[Frame]) -> None:
        """Send new records, which come framed as well, or keep them until the stored ones are sent."""
        if self.pending is None:
            for frame in framed:
                self.owner.outgoing.push(frame, self)
        elif not self.missed:
            self.pending += items
            self.kept += sum(len(data) for _, data in items)
            if len(self.pending) > MAX_PENDING or self.kept > MAX_PENDING_BYTES:
                # They are stored: catching up goes on for longer instead.
                self.pending, self.kept, self.missed = [], 0, True

    def replay(self, items: Iterable[Item]) -> None:
        """Queue records that were stored before, however many wait already."""
        for frame in frames(self.opening, parcels(items)):
            self.owner.outgoing.push(frame, self, replayed=True)


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
            self.head = seq
            listeners = self.index.matching(posting)
            if not listeners:
                continue
            items[seq] = (seq, item(seq, posting.record))
            if len(committed) == 1:
                self._send([items[seq]], listeners)
                return
            for listener in listeners:
                heard.setdefault(listener, []).append(seq)
        alike: dict[tuple[int, ...], list[Listener]] = {}
        for listener, places in heard.items():
            alike.setdefault(tuple(places), []).append(listener)
        for shared, same in alike.items():
            self._send([items[seq] for seq in shared], same)

    def _send(self, items: list[Item], listeners: Collection[Listener]) -> None:
        """Send the same records to some listeners, encoded once."""
        packed = parcels(items, joined=len(listeners) >= _SHARED)
        self._meter.delivered += len(items) * len(listeners)
        framed: dict[bytes, list[Frame]] = {}
        for listener in listeners:
            known = framed.get(listener.opening)
            if known is None:
                known = framed[listener.opening] = frames(listener.opening, packed)
            listener.push(items, known)
