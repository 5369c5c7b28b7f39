"""The session: one set of rules for both sides.

Every session message goes through `receive` on the side that gets it, and through `send` on the side that signs it, so
that nothing is ever signed which the other side would refuse, and both hold the same state once both have seen the same
messages. The table (`states`) lists every (state, actor, type); the guards below it say what the table alone cannot.
The clock is an actor too: `tick`. A signed message that the state does not allow is still *processed*: it uses up its
number, changes nothing, and is answered with a coded problem. PROTOCOL §8
"""

from dataclasses import dataclass, field, replace
from typing import Any, Final

from intentcast_protocol.demand import Demand
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import IntentcastError, InvalidMessage, Refused, StateError
from intentcast_protocol.fact import read_answer, read_question
from intentcast_protocol.identity import Id, Key
from intentcast_protocol.limits import ACCEPT_GRACE, ACCEPT_LIFE, MAX_AHEAD, MAX_AMENDMENTS, MAX_SKEW
from intentcast_protocol.offer import read_counter, read_offer
from intentcast_protocol.record import SESSION_TYPES, Verified
from intentcast_protocol.states import ACTORS, FROZEN, IN_FORCE, OPEN, TABLE, TURN, Actor, State
from intentcast_protocol.terms import ROSTER, Proffer, check_acceptance
from intentcast_protocol.vocabulary import read_bytes, read_text

__all__ = [
    "ACTORS", "TABLE", "TURN", "Actor", "Ahead", "Applied", "Chain", "Duplicate", "Equivocation", "Outcome", "Session",
    "State", "begin", "permits", "read_session", "receive", "send", "tick", "wake", "write_session",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chain:
    """One author's messages so far: how many, and the id of the last."""

    seq: int = 0
    last: Id | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """All that the rules know of one session; a value that both sides can store, compare and replay."""

    key: Key
    demand: Id
    person: Key
    vendor: Key
    demand_expires: int
    max_rounds: int
    proffer: Proffer = field(repr=False)
    state: State = State.SEEN
    chains: tuple[Chain, Chain] = (Chain(), Chain())  # the person's, the vendor's
    rounds: int = 0
    asked: int = 0  # questions of the person
    reopened: int = 0  # offers made after the one before had lapsed
    offer: Id | None = None  # the newest, standing or not
    offer_created: int = 0
    offer_until: int = 0
    firm: bool = False
    accept: Id | None = None  # the newest, in force or not
    accept_created: int = 0
    accept_until: int = 0
    accepted_offer: Id | None = None
    confirm: Id | None = None  # the newest: the agreement in force
    confirmed: Id | None = None  # the accept that it confirms
    amendments: int = 0
    frozen: bool = False  # somebody signed two messages under one number
    terms_accepted: bool = False
    vendor_name: str = ""

    def chain(self, actor: Actor) -> Chain:
        """Return one side's chain."""
        return self.chains[ACTORS.index(actor)]

    def actor(self, key: bytes) -> Actor | None:
        """Say which side a key is, if it is one."""
        return "person" if key == self.person else "vendor" if key == self.vendor else None

    @property
    def turn(self) -> Actor | None:
        """Who acts next, or None when nobody need."""
        return TURN[self.state][0]

    @property
    def deadline(self) -> int | None:
        """Until when they can, or None when there is no limit."""
        limits = {"offer": self.offer_until, "accept": self.accept_until, "demand": self.demand_expires, None: None}
        return limits[TURN[self.state][1]]

    @property
    def ended(self) -> bool:
        """Whether no deal can come of it any more."""
        return self.state in (State.DECLINED, State.WITHDRAWN, State.EXPIRED)

    @property
    def binds(self) -> bool:
        """Whether the person is or may be bound by it, so that no other offer on the need is accepted. PROTOCOL §8.6"""
        may = self.state in (State.ACCEPTED, *IN_FORCE, State.CONFLICT, State.DISPUTED)
        return may and (self.accept or self.confirm) is not None


@dataclass(frozen=True, slots=True)
class Applied:
    """The message was processed; `problem` is the coded error owed to its author if it had no effect."""

    session: Session
    problem: IntentcastError | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """This very message was processed before."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """An earlier message is missing; keep this one and process it later."""


@dataclass(frozen=True, slots=True)
class Equivocation:
    """The author signed two messages under one number: the session is frozen and both are evidence."""

    session: Session


Outcome = Applied | Duplicate | Ahead | Equivocation


def begin(demand: Demand, *, key: Key, vendor: Key) -> Session:
    """Return the session of a demand with one vendor, before any message. PROTOCOL §8.1"""
    return Session(
        key=key,
        demand=demand.id,
        person=demand.author,
        vendor=vendor,
        demand_expires=demand.expires,
        max_rounds=demand.max_rounds,
        proffer=demand.terms,
    )


def tick(session: Session, now: int) -> Session:
    """Let the clock act: an offer lapses, an open session ends with its demand, an amendment is off. PROTOCOL §8.5"""
    due = wake(session)
    if due is None or now < due:
        return session
    if session.state in OPEN:
        return replace(session, state=State.EXPIRED if now >= session.demand_expires else State.LAPSED)
    return replace(session, state=State.AGREED)


def wake(session: Session) -> int | None:
    """Return the first moment at which `tick` changes the session, or None if none does. PROTOCOL §8.5"""
    match session.state:
        case State.OFFERED | State.COUNTERED:
            return min(session.offer_until + 1, session.demand_expires)
        case State.SEEN | State.ASKING | State.LAPSED:
            return session.demand_expires
        case State.AMENDING:
            return session.offer_until + 1
        case State.REACCEPTED:
            return session.accept_until + ACCEPT_GRACE + 1
    return None


def receive(session: Session, message: Verified, now: int, logged: Id | None = None) -> Outcome:
    """Process one session message of either side.

    `logged` is the id already processed under this author and number, if any. Raises InvalidMessage when the message
    does not belong to the session or does not follow its author's previous one; such a message is not processed at
    all. PROTOCOL §8.2
    """
    actor = session.actor(message.author)
    if message.type not in SESSION_TYPES:
        raise InvalidMessage("invalid.record.purpose", message.type)
    peer = session.vendor if actor == "person" else session.person
    if actor is None or message.session != session.key or message.to != peer or message.seq is None:
        raise InvalidMessage("invalid.record.recipient")
    if message.seq == 0:
        return Duplicate() if logged == message.id else Applied(session)
    chain = session.chain(actor)
    if message.seq <= chain.seq:
        if logged == message.id:
            return Duplicate()
        return Equivocation(session if session.frozen else replace(session, state=State.CONFLICT, frozen=True))
    if message.seq > chain.seq + 1:
        if message.seq > chain.seq + MAX_AHEAD:
            raise InvalidMessage("invalid.session.gap", f"number {message.seq} after {chain.seq}")
        return Ahead()
    if message.prev != chain.last:
        raise InvalidMessage("invalid.session.previous")
    return _apply(tick(session, now), actor, message, now)


def send(session: Session, message: Verified, now: int) -> Session:
    """Process a message of our own before it leaves.

    Raises StateError when the rules refuse it, or when it would leave its own author in conflict: only messages that
    cross may lead there. PROTOCOL §8.2
    """
    outcome = receive(session, message, now)
    if not isinstance(outcome, Applied):
        raise StateError("refused.session.not-now", "it is not the next message of this side")
    if outcome.problem:
        raise StateError(outcome.problem.code, outcome.problem.detail)
    if outcome.session.state is State.CONFLICT is not session.state:
        raise StateError("refused.session.not-now", f"a {message.type} now would break an agreement")
    return outcome.session


def _apply(session: Session, actor: Actor, message: Verified, now: int) -> Applied:
    at = ACTORS.index(actor)
    moved = (Chain(message.seq or 0, message.id), session.chains[1 - at])
    session = replace(session, chains=moved if at == 0 else moved[::-1])
    target = TABLE[session.state, actor, message.type]
    try:
        if target is None or (session.frozen and message.type not in FROZEN):
            standing = "frozen" if session.frozen else session.state
            raise Refused("refused.session.not-now", f"{message.type} by the {actor} while {standing}")
        opened = _check_opening(session, message)
        guard = _GUARDS.get(message.type)
        after = guard(opened, message, now) if guard else opened
        if after is None:
            return Applied(session)
    except (InvalidMessage, Refused) as error:
        return Applied(session, error)
    if session.state is State.REACCEPTED and target in (State.AMENDING, State.AGREED) and message.type != "confirm":
        after = replace(after, accept=None)  # the vendor has ended it, and will not confirm it
    return Applied(tick(replace(after, state=target), now))


def _check_opening(session: Session, message: Verified) -> Session:
    """A side's first message, an accept and a confirm bring a fresh reply key.

    Until a vendor has accepted the terms, each question or offer of theirs must. PROTOCOL §7.2
    """
    if message.seq == 1 or message.type in ("accept", "confirm"):
        read_bytes(message.body.get("reply"), "reply", "invalid.session.malformed")
    if session.terms_accepted or message.author == session.person or message.type not in ("question", "offer"):
        return session
    check_acceptance(session.proffer, message.body.get("termsAccepted"))
    return replace(session, terms_accepted=True)


# Each guard returns the session with what the message states, None if it changes nothing, or raises.


def _question(session: Session, message: Verified, _now: int) -> Session:
    read_question(message.body)
    return replace(session, asked=session.asked + 1) if message.author == session.person else session


def _answer(session: Session, message: Verified, _now: int) -> Session:
    read_answer(message.body)
    return session


def _offer(session: Session, message: Verified, _now: int) -> Session:
    offer = read_offer(message)
    check_acceptance(session.proffer, message.body.get("termsAccepted"))
    if offer.demand != session.demand:
        raise Refused("refused.record.replaced", "the offer answers another version of the demand")
    reopened = session.reopened
    if session.state not in OPEN and session.state is not State.ACCEPTED:
        if offer.amends != session.confirm:
            raise Refused("refused.session.not-now", "it does not name the agreement that it would amend")
        if session.amendments >= MAX_AMENDMENTS:
            raise Refused("refused.session.not-now", f"it was amended {MAX_AMENDMENTS} times")
    elif offer.amends is not None:
        raise Refused("refused.session.not-now", "there is no agreement to amend yet")
    elif session.offer is not None and offer.created > session.offer_until:
        # By the offers' own dates, so that both sides count alike.
        if reopened > session.asked + session.rounds:
            raise Refused("refused.session.not-now", "it was reopened before, and the person has not asked since")
        reopened += 1
    # An offer that lapsed on its way still ends the one before it, as it did for the vendor: `_apply` lets it lapse.
    return replace(
        session,
        reopened=reopened,
        offer=message.id,
        offer_created=offer.created,
        offer_until=offer.expires,
        firm=offer.firm,
        vendor_name=offer.seller.name,
    )


def _counter(session: Session, message: Verified, now: int) -> Session:
    counter = read_counter(message)
    if counter.demand != session.demand or counter.offer != session.offer:
        raise Refused("refused.offer.not-standing", "the counter answers another offer")
    if session.rounds >= session.max_rounds:
        raise Refused("refused.session.rounds", f"{session.max_rounds} rounds")
    if now > counter.expires:
        raise Refused("refused.offer.late", "the counter lapsed on its way")
    return replace(session, rounds=session.rounds + 1)


def _accept(session: Session, message: Verified, now: int) -> Session:
    code = "invalid.session.malformed"
    if read_bytes(message.body.get("demand"), "demand", code) != session.demand:
        raise Refused("refused.record.replaced")
    if read_bytes(message.body.get("offer"), "offer", code) != session.offer:
        raise Refused("refused.offer.not-standing")
    if not session.firm:
        raise Refused("refused.session.not-now", "the offer is indicative")
    if message.expires - message.created > ACCEPT_LIFE:
        raise InvalidMessage(code, f"an accept waits at most {ACCEPT_LIFE // 3600} hours")
    if now > min(session.offer_until, message.expires) or message.created > session.offer_until:
        raise Refused("refused.offer.late")
    # What `verify_agreement` would refuse must never be confirmed.
    if session.state is not State.AMENDING and message.created >= session.demand_expires:
        raise Refused("refused.offer.late", "the demand has ended")
    if message.created < session.offer_created - MAX_SKEW:
        raise InvalidMessage("invalid.record.time", "the accept is dated before its offer")
    return replace(
        session,
        accept=message.id,
        accept_created=message.created,
        accept_until=message.expires,
        accepted_offer=session.offer,
    )


def _confirm(session: Session, message: Verified, _now: int) -> Session:
    accept = read_bytes(message.body.get("accept"), "accept", "invalid.session.malformed")
    if accept != session.accept or accept == session.confirmed:
        raise Refused("refused.session.not-now", "no such accept")
    if message.created > session.accept_until:
        raise Refused("refused.offer.late", "the deadline to confirm has passed")
    if message.created < session.accept_created - MAX_SKEW:
        raise InvalidMessage("invalid.record.time", "the confirm is dated before its accept")
    amendments = session.amendments + (session.confirm is not None)
    return replace(session, confirm=message.id, confirmed=session.accept, amendments=amendments)


def _withdraw(session: Session, message: Verified, _now: int) -> Session:
    about = read_bytes(message.body.get("re"), "re", "invalid.session.malformed")
    if message.author == session.vendor:
        if about != session.offer:
            raise Refused("refused.offer.not-standing")
    elif about != session.accept:
        raise Refused("refused.session.not-now", "no such accept")
    elif message.created <= session.accept_until + ACCEPT_GRACE:
        raise Refused("refused.session.not-now", "the vendor may still confirm")
    return session


def _problem(session: Session, message: Verified, _now: int) -> Session | None:
    read_text(message.body.get("code"), "code", "invalid.session.malformed", 60)
    waits = session.state in (State.ACCEPTED, State.REACCEPTED) and message.author == session.vendor
    return session if waits and message.body.get("re") == session.accept else None


_GUARDS: Final = {
    "question": _question,
    "answer": _answer,
    "offer": _offer,
    "counter": _counter,
    "accept": _accept,
    "confirm": _confirm,
    "withdraw": _withdraw,
    "problem": _problem,
}


def permits(session: Session, actor: Actor, kind: str, now: int) -> bool:
    """Say whether the table lets a side sign a type now; `send` may still refuse its content. PROTOCOL §8.2"""
    session = tick(session, now)
    target = TABLE[session.state, actor, kind]
    breaks = target is State.CONFLICT is not session.state
    return target is not None and not breaks and (kind in FROZEN or not session.frozen)


def write_session(session: Session) -> bytes:
    """Return a session as canonical bytes, to be stored."""
    value: dict[str, Any] = {name: getattr(session, name) for name in Session.__slots__}
    value["state"] = str(session.state)
    value["chains"] = [[chain.seq, chain.last] for chain in session.chains]
    value["proffer"] = [term.id for term in (session.proffer.broadcast, *session.proffer.deal)]
    return encode(value)


def read_session(data: bytes) -> Session:
    """Read what `write_session` wrote."""
    value = decode(data)
    roster = {term.id: term for term in ROSTER.values()}
    broadcast, *deal = (roster[name] for name in value["proffer"])
    value["proffer"] = Proffer(broadcast, tuple(deal))
    value["state"] = State(value["state"])
    value["chains"] = tuple(Chain(seq, last) for seq, last in value["chains"])
    return Session(**value)
