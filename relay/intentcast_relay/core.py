"""What one connection may do, as a machine without a socket: bytes and the time in, one effect out.

A connection says hello, is given a challenge, and may then prove keys, publish, subscribe and count. Publishing needs
no proof, because a record proves its own author; reading and emptying a mailbox needs a proof of its key. Checks run
from cheap to dear: size and form, type, dates; the signature comes last and elsewhere (`ingest`). PROTOCOL §9, §10
"""

from dataclasses import dataclass, field
from typing import Final

from intentcast_protocol.errors import IntentcastError, InvalidMessage, Refused
from intentcast_protocol.frames import (
    Ack,
    Answer,
    Auth,
    Challenge,
    Closed,
    Count,
    Cursor,
    Hello,
    Mailbox,
    Problem,
    Publish,
    Request,
    Subscribe,
    check_proof,
    read_request,
    request_number,
)
from intentcast_protocol.identity import Key
from intentcast_protocol.limits import MAX_KEYS
from intentcast_protocol.record import PUBLIC_TYPES, VERSION, Envelope, Record, check_time, parse
from intentcast_protocol.sealing import sealed_to
from intentcast_protocol.subscription import Filter

from intentcast_relay.ledger import Act

MAX_FAULTS: Final = 10  # malformed frames before a connection is closed
_SENTENCE: Final = 300  # characters
_FRAME: Final = "invalid.frame.malformed"


@dataclass(frozen=True, slots=True)
class Send:
    """Answer at once."""

    frame: Answer


@dataclass(frozen=True, slots=True)
class Hangup:
    """Answer and close: the peer does not speak this protocol."""

    frame: Answer


@dataclass(frozen=True, slots=True)
class Persist:
    """Check the signature, store the record, then ack."""

    req: int
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Replay:
    """Send what is stored after a place, then go live."""

    req: int
    filter: Filter
    cursor: Cursor | None
    once: bool


@dataclass(frozen=True, slots=True)
class Watch:
    """Send what lies in a mailbox, then go live, as its only reader."""

    req: int
    key: Key


@dataclass(frozen=True, slots=True)
class Perform:
    """Change a mailbox, then ack."""

    req: int
    act: Act


@dataclass(frozen=True, slots=True)
class Tally:
    """Say how many listen for a category and area."""

    request: Count


@dataclass(frozen=True, slots=True)
class Forget:
    """The agent ended a subscription or stopped reading a mailbox."""

    req: int


Effect = Send | Hangup | Persist | Replay | Watch | Perform | Tally | Forget


@dataclass(slots=True)
class Connection:
    """One peer's standing. `nonce` is 32 fresh random bytes; `hosts` are the names proofs may be made for."""

    nonce: bytes
    epoch: bytes
    hosts: frozenset[str]
    max_subscriptions: int
    greeted: bool = False
    stopping: bool = False
    faults: int = 0
    keys: set[bytes] = field(default_factory=set)
    subscriptions: set[int] = field(default_factory=set)
    mailboxes: dict[int, Key] = field(default_factory=dict)  # by request

    def receive(self, data: bytes, now: int) -> Effect:
        """Read one frame and say what to do about it; whatever the bytes are, nothing is raised. PROTOCOL §9.2"""
        try:
            request = read_request(data)
        except IntentcastError as error:
            return self.fault(error, request_number(data))
        try:
            return self._handle(request, now)
        except IntentcastError as error:
            req = getattr(request, "req", None)
            return self.fault(error, req) if error.code == _FRAME else Send(problem(req, error))

    def fault(self, error: IntentcastError, req: int | None = None) -> Effect:
        """Count a frame that is none; after MAX_FAULTS of them the connection ends. PROTOCOL §9.7"""
        self.faults += 1
        answer = problem(req, error)
        return Send(answer) if self.faults < MAX_FAULTS else Hangup(answer)

    def ended(self, req: int) -> None:
        """Free the number of a subscription or mailbox that is no longer live."""
        self.subscriptions.discard(req)
        self.mailboxes.pop(req, None)

    def _handle(self, request: Request, now: int) -> Effect:
        if isinstance(request, Publish) and self.greeted:
            if self.stopping:
                raise Refused("refused.relay.stopping")
            return Persist(request.req, inspect(request.record, now))
        if isinstance(request, Hello):
            return self._hello(request)
        if not self.greeted:
            raise InvalidMessage(_FRAME, "say hello first")
        match request:
            case Auth():
                return self._auth(request, now)
            case Subscribe():
                return self._subscribe(request)
            case Mailbox():
                return self._mailbox(request)
            case Count():
                return Tally(request)
            case Closed(req):
                self.ended(req)
                return Forget(req)
        raise InvalidMessage(_FRAME, "not a request of this protocol")

    def _hello(self, hello: Hello) -> Effect:
        if self.greeted or hello.version < VERSION:
            raise InvalidMessage(_FRAME, f"one hello a connection, of version {VERSION} or later")
        self.greeted = True
        return Send(Challenge(VERSION, self.nonce, self.epoch))

    def _auth(self, auth: Auth, now: int) -> Effect:
        if len(self.keys) >= MAX_KEYS:
            raise Refused("refused.limit.exceeded", f"{MAX_KEYS} keys on one connection")
        try:
            self.keys.add(check_proof(auth, nonce=self.nonce, hosts=self.hosts, now=now))
        except InvalidMessage as error:
            # Whatever is wrong with a proof, the agent's remedy is the same: prove again.
            raise Refused("refused.auth.failed", error.detail or str(error)) from error
        return Send(Ack(auth.req, None))

    def _subscribe(self, request: Subscribe) -> Effect:
        self._check_free(request.req)
        if len(self.subscriptions) >= self.max_subscriptions:
            raise Refused("refused.limit.exceeded", f"{self.max_subscriptions} subscriptions on one connection")
        self.subscriptions.add(request.req)
        return Replay(request.req, request.filter, request.cursor, request.once)

    def _mailbox(self, request: Mailbox) -> Effect:
        if request.key not in self.keys:
            raise Refused("refused.auth.required")
        if request.act == "read":
            self._check_free(request.req)
            self.mailboxes[request.req] = request.key
            return Watch(request.req, request.key)
        if self.stopping:
            raise Refused("refused.relay.stopping")
        act = Act(request.act, request.key, request.ids, request.session or b"", request.until or 0)
        return Perform(request.req, act)

    def _check_free(self, req: int) -> None:
        if req in self.subscriptions or req in self.mailboxes:
            raise InvalidMessage(_FRAME, "this request number is in use")


def inspect(record: Record, now: int) -> Envelope:
    """Check all of a published record but its signature, cheapest first.

    Raises InvalidMessage or Refused; session types are refused anywhere but inside a seal. PROTOCOL §4.4, §11.1
    """
    envelope = parse(record)
    if envelope.type == "sealed":
        sealed_to(envelope)
    elif envelope.type not in PUBLIC_TYPES:
        raise InvalidMessage("invalid.record.purpose", f"{envelope.type} travels only inside a sealed record")
    elif envelope.type == "demand-withdraw":
        withdrawn = envelope.body.get("demand")
        if not isinstance(withdrawn, bytes) or len(withdrawn) != 32:
            raise InvalidMessage("invalid.record.malformed", "a demand-withdraw names the demand's id")
    check_time(envelope, now)
    return envelope


def resume(cursor: Cursor | None, epoch: bytes, head: int) -> int:
    """Return the place to go on from: the cursor's, or the very start if it is not one of this store's order.

    `head` is the last place given out; a cursor beyond it comes from before a restored backup. Starting anew repeats
    records but never skips one. PROTOCOL §9.5
    """
    return cursor.seq if cursor is not None and cursor.epoch == epoch and cursor.seq <= head else 0


def problem(req: int | None, error: IntentcastError) -> Problem:
    """Return the frame that tells a peer what is wrong: a code for programs, a sentence for people. PROTOCOL §12"""
    return Problem(req, error.code, str(error)[:_SENTENCE])
