"""What a relay needs of its storage. Backends keep and find; no rule of the protocol is decided in one.

A write is one durable transaction: the store loads what the batch names onto a `Shelf`, the caller's pure function
turns the shelf into `Changes`, and the store carries them out. When `write` returns, they survive a power cut.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from intentcast_protocol.identity import Id, Key
from intentcast_protocol.record import Record, Verified
from intentcast_protocol.subscription import Filter


class StoreError(Exception):
    """The store cannot be opened or written; the text is for the operator."""


class Held(NamedTuple):
    """A stored record as the rules see it."""

    seq: int
    id: bytes
    type: str
    author: bytes
    recipient: bytes | None
    created: int
    expires: int
    size: int  # bytes of its payload


@dataclass(frozen=True, slots=True)
class Admission:
    """Session key S may write to mailbox D, and D to S, until a moment; a stopped S may not."""

    person: bytes
    session: bytes
    until: int
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """The keys and ids whose stored state a batch depends on."""

    authors: set[bytes] = field(default_factory=set)  # of public records
    ids: set[bytes] = field(default_factory=set)  # of sealed records
    pairs: set[tuple[bytes, bytes]] = field(default_factory=set)  # (person, session)
    mailboxes: set[bytes] = field(default_factory=set)


@dataclass(slots=True)
class Shelf:
    """The stored state a batch depends on; rules update it as they go, so that a batch sees its own effects."""

    seq: int  # the last one given out, ever
    newest: dict[tuple[bytes, str], Held] = field(default_factory=dict)  # public, by author and type
    held: dict[bytes, Held] = field(default_factory=dict)  # sealed, by id
    admissions: dict[tuple[bytes, bytes], Admission] = field(default_factory=dict)
    demands: dict[bytes, Mapping[str, object]] = field(default_factory=dict)  # body, by author
    items: dict[bytes, int] = field(default_factory=dict)  # by mailbox
    bytes: dict[bytes, int] = field(default_factory=dict)


@dataclass(slots=True)
class Changes:
    """What one transaction does."""

    insert: dict[int, Verified] = field(default_factory=dict)  # by seq
    delete: dict[int, bytes] = field(default_factory=dict)  # seq -> id
    admit: dict[tuple[bytes, bytes], Admission] = field(default_factory=dict)


class Page(NamedTuple):
    """Stored records in order of seq; everything up to `reached` has been looked at."""

    records: list[tuple[int, Record]]
    reached: int


class Store(Protocol):
    """Durable storage of one relay. Raises StoreError when it cannot be trusted any more."""

    @property
    def epoch(self) -> bytes:
        """Eight random bytes made with the store: cursors of another epoch mean nothing here."""

    @property
    def seq(self) -> int:
        """The last sequence number given out, 0 for none."""

    async def write(self, wanted: Wanted, decide: Callable[[Shelf], Changes]) -> Changes:
        """Load a shelf, decide, and commit durably, as one transaction. One call at a time."""

    async def sweep(self, now: int, limit: int) -> int:
        """Delete up to `limit` records and admissions that ended by `now`; return how many."""

    async def public(self, wanted: Filter, after: int, upto: int, limit: int, now: int) -> Page:
        """Return live public records that pass a filter, with after < seq ≤ upto."""

    async def mailbox(self, key: Key, after: int, upto: int, limit: int, now: int) -> Page:
        """Return the live sealed records of one mailbox, with after < seq ≤ upto."""

    async def record(self, record_id: Id, now: int) -> tuple[Record, int] | None:
        """Return one live public record and when it expires."""

    async def ping(self) -> None:
        """Prove that the store still takes writes."""

    async def close(self) -> None:
        """Finish what was begun, fold the log into the database and let go of it."""
