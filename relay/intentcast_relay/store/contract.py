"""What a relay needs of its storage. Backends keep and find; no rule of the protocol is decided in one.

A write is one durable transaction: the store loads what the batch names onto a `Shelf`, the caller's pure function
turns the shelf into `Changes`, and the store carries them out. When `write` returns, they survive a power cut.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from intentcast_protocol.identity import Id, Key
from intentcast_protocol.record import Record
from intentcast_protocol.subscription import Filter

from intentcast_relay.metrics import Census
from intentcast_relay.posting import Posting
from intentcast_relay.rules import Rule, Subject


class StoreError(Exception):
    """The store cannot be opened or written; the text is for the operator."""


class InUse(StoreError):
    """Another process holds the store."""


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
    """Session key S may write to mailbox D, and D to S, until a moment; a stopped S may not.

    `domain` is sha256(D ‖ domain) where a domain was the rung: of the vendor nothing else is kept.
    """

    person: bytes
    session: bytes
    until: int
    stopped: bool = False
    domain: bytes | None = None


class Used(NamedTuple):
    """How many sessions an invitation has admitted here, and when it ends (s)."""

    times: int
    until: int


class Proof(NamedTuple):
    """A domain named a vendor's key when this relay looked; times are seconds."""

    key: bytes
    domain: str
    seen: int
    expires: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The keys and ids whose stored state a batch depends on."""

    authors: set[bytes] = field(default_factory=set)  # of public records
    ids: set[bytes] = field(default_factory=set)  # of sealed records
    pairs: set[tuple[bytes, bytes]] = field(default_factory=set)  # (person, session)
    mailboxes: set[bytes] = field(default_factory=set)  # whose room counts, where they are open to the writer
    domains: set[bytes] = field(default_factory=set)  # as in an admission
    invitations: set[bytes] = field(default_factory=set)  # ids


@dataclass(slots=True)
class Shelf:
    """The stored state a batch depends on; rules update it as they go, so that a batch sees its own effects."""

    seq: int  # the last one given out, ever
    newest: dict[tuple[bytes, str], Held] = field(default_factory=dict)  # public, by author and type
    held: dict[bytes, Held] = field(default_factory=dict)  # sealed, by id
    admissions: dict[tuple[bytes, bytes], Admission] = field(default_factory=dict)
    demands: dict[bytes, bytes] = field(default_factory=dict)  # payload, by author
    domains: dict[bytes, Admission] = field(default_factory=dict)  # the longest of each
    used: dict[bytes, Used] = field(default_factory=dict)  # by invitation
    items: dict[bytes, int] = field(default_factory=dict)  # by mailbox
    bytes: dict[bytes, int] = field(default_factory=dict)


@dataclass(slots=True)
class Changes:
    """What one transaction does."""

    insert: dict[int, Posting] = field(default_factory=dict)  # by seq
    delete: dict[int, bytes] = field(default_factory=dict)  # seq -> id
    admit: dict[tuple[bytes, bytes], Admission] = field(default_factory=dict)
    use: dict[bytes, Used] = field(default_factory=dict)  # by invitation
    free: set[bytes] = field(default_factory=set)  # persons; before `admit`, their admissions lose their domains


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

    @property
    def synced(self) -> float:
        """How many seconds the disk took for the last commit."""

    @property
    def seed(self) -> bytes:
        """The 32-byte Ed25519 seed of the relay's own key, made with the store."""

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

    async def proof(self, key: bytes) -> Proof | None:
        """Return the kept proof of a vendor's domain."""

    async def prove(self, proven: Proof) -> None:
        """Keep a proof, durably, in the place of the key's last one."""

    async def disprove(self, key: bytes) -> None:
        """Forget the proof of a key's domain."""

    async def rules(self) -> list[Rule]:
        """Return the operator's rules, oldest first."""

    async def rule(self, put: Sequence[Rule], drop: Sequence[Rule]) -> None:
        """Take rules out and put others in, durably."""

    async def purge(self, subject: Subject, limit: int) -> list[bytes]:
        """Delete up to `limit` public records of a key, or at and below a category; return their ids.

        Withdrawals stay, and so do records in a category by keys that are allowed.
        """

    async def shorten(self, kind: str, life: int, after: int, limit: int) -> int | None:
        """End up to `limit` public records of a type, with seq > after, at most `life` seconds after `created`.

        Returns the place to go on after, None at the end.
        """

    async def census(self) -> Census:
        """Count what is stored, without holding up reads or writes. Raises StoreError."""

    async def ping(self) -> None:
        """Prove that the store still takes writes."""

    async def close(self) -> None:
        """Finish what was begun, fold the log into the database and let go of it."""
