"""What one connection may do, as a machine without a socket: bytes and the time in, one effect out.

A connection says hello, is given a challenge, and may then prove keys, publish, subscribe and count. Publishing needs
no proof, because a record proves its own author; reading and emptying a mailbox needs a proof of its key. Checks run
from cheap to dear: a published record is only looked at for its size and form here, and checked elsewhere (`posting`).
PROTOCOL §9, §10
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
    Domain,
    Hello,
    Invite,
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
from intentcast_protocol.invitation import read_chain
from intentcast_protocol.limits import MAX_KEYS
from intentcast_protocol.record import VERSION, Record
from intentcast_protocol.subscription import Filter

from intentcast_relay.admission import MAX_KEEP
from intentcast_relay.ledger import Act
from intentcast_relay.quota import RateExceeded, Visit, unlimited
from intentcast_relay.rules import Rules
from intentcast_relay.standing import Standing

MAX_FAULTS: Final = 10  # malformed frames before a connection is closed
MAX_LOOKS: Final = 2  # domains looked at for one connection at once
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
    """Check the record, store it, then ack."""

    req: int
    record: Record


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


@dataclass(frozen=True, slots=True)
class Look:
    """See whether the domain of a key names it, call `looked`, and answer with an attestation."""

    req: int
    key: Key


@dataclass(frozen=True, slots=True)
class Slow:
    """Answer, and read nothing more from this peer for a while: it asks for too much."""

    frame: Answer


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer a ping of the WebSocket. RFC 6455 §5.5.3"""

    data: bytes


Effect = Send | Slow | Pong | Hangup | Persist | Replay | Watch | Perform | Tally | Forget | Look


@dataclass(slots=True)
class Connection:
    """One peer's standing. `nonce` is 32 fresh random bytes; `hosts` are the names proofs may be made for."""

    nonce: bytes
    epoch: bytes
    hosts: frozenset[str]
    max_subscriptions: int
    standing: Standing = field(default_factory=Standing)
    rules: Rules = field(default_factory=Rules)
    visit: Visit = field(default_factory=unlimited)
    greeted: bool = False
    stopping: bool = False
    faults: int = 0
    keys: set[bytes] = field(default_factory=set)
    subscriptions: set[int] = field(default_factory=set)
    mailboxes: dict[int, Key] = field(default_factory=dict)  # by request
    looks: int = 0

    def receive(self, data: bytes, now: int, at: float = 0.0) -> Effect:
        """Read one frame and say what to do about it; whatever the bytes are, nothing is raised. PROTOCOL §9.2

        `now` is the time of records, `at` that of rates, in seconds of any monotonic clock.
        """
        try:
            self.visit.charge(data, at)
            request = read_request(data)
        except RateExceeded as error:
            return Slow(problem(request_number(data), error))
        except IntentcastError as error:
            return self.fault(error, request_number(data))
        try:
            return self._handle(request, now, at)
        except RateExceeded as error:
            return Slow(problem(getattr(request, "req", None), error))
        except IntentcastError as error:
            req = getattr(request, "req", None)
            return self.fault(error, req) if error.code == _FRAME else Send(problem(req, error))

    def ping(self, data: bytes, at: float) -> Effect:
        """Answer a ping, or the lack of patience with them."""
        try:
            self.visit.charge(data, at)
        except RateExceeded as error:
            return Slow(problem(None, error))
        return Pong(data)

    def fault(self, error: IntentcastError, req: int | None = None) -> Effect:
        """Count a frame that is none; after MAX_FAULTS of them the connection ends. PROTOCOL §9.7"""
        self.faults += 1
        answer = problem(req, error)
        return Send(answer) if self.faults < MAX_FAULTS else Hangup(answer)

    def ended(self, req: int) -> None:
        """Free the number of a subscription or mailbox that is no longer live."""
        self.subscriptions.discard(req)
        self.mailboxes.pop(req, None)
        self.visit.ended(req)

    def looked(self, domain: str | None) -> None:
        """End a look; a domain that was proven counts from now on. Raises Refused past MAX_DOMAINS. PROTOCOL §9.10"""
        self.looks -= 1
        if domain is not None:
            self.standing = self.standing.of_domain(domain)

    def _handle(self, request: Request, now: int, at: float) -> Effect:
        if isinstance(request, Publish) and self.greeted:
            if self.stopping:
                raise Refused("refused.relay.stopping")
            self.visit.publish(request.record.payload, at)
            return Persist(request.req, request.record)
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
            case Domain():
                return self._domain(request)
            case Invite():
                return self._invite(request, now)
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
            key = check_proof(auth, nonce=self.nonce, hosts=self.hosts, now=now)
        except InvalidMessage as error:
            # Whatever is wrong with a proof, the agent's remedy is the same: prove again.
            raise Refused("refused.auth.failed", error.detail or str(error)) from error
        barred = self.rules.bars(key, now)
        if barred is not None:
            raise barred
        self.keys.add(key)
        return Send(Ack(auth.req, None))

    def _subscribe(self, request: Subscribe) -> Effect:
        self._check_free(request.req)
        if len(self.subscriptions) >= self.max_subscriptions:
            raise Refused("refused.limit.exceeded", f"{self.max_subscriptions} subscriptions on one connection")
        self.visit.subscribe(request.req, request.filter)
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

    def _domain(self, request: Domain) -> Effect:
        if request.key not in self.keys:
            raise Refused("refused.auth.required")
        if self.looks >= MAX_LOOKS:
            raise Refused("refused.rate.exceeded", f"{MAX_LOOKS} domains at once")
        self.looks += 1
        return Look(request.req, request.key)

    def _invite(self, request: Invite, now: int) -> Effect:
        invitation = read_chain([list(link) for link in request.chain])
        if invitation.to not in self.keys:
            raise Refused("refused.auth.required")
        if invitation.until <= now:
            raise Refused("refused.record.expired", "the invitation has ended")
        if invitation.links[0].until > now + MAX_KEEP:
            raise Refused("refused.limit.exceeded", f"an invitation ends at most {MAX_KEEP // 86_400} days ahead")
        self.standing = self.standing.invited(invitation)
        return Send(Ack(request.req, None))

    def _check_free(self, req: int) -> None:
        if req in self.subscriptions or req in self.mailboxes:
            raise InvalidMessage(_FRAME, "this request number is in use")


def resume(cursor: Cursor | None, epoch: bytes, head: int) -> int:
    """Return the place to go on from: the cursor's, or the very start if it is not one of this store's order.

    `head` is the last place given out; a cursor beyond it comes from before a restored backup. Starting anew repeats
    records but never skips one. PROTOCOL §9.5
    """
    return cursor.seq if cursor is not None and cursor.epoch == epoch and cursor.seq <= head else 0


def problem(req: int | None, error: IntentcastError) -> Problem:
    """Return the frame that tells a peer what is wrong: a code for programs, a sentence for people. PROTOCOL §12"""
    return Problem(req, error.code, str(error)[:_SENTENCE])
