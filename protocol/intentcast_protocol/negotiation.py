"""The session: one table for both sides.

Every session message goes through `receive`, on the side that signs it and on the side that gets it, so that nothing is
ever signed which the other side would refuse, and both hold the same state once both have seen the same messages.
`TABLE` lists every (state, actor, type); the guards below it say what the table alone cannot. The clock is an actor
too, with two acts: `tick`. A signed message that the state does not allow is still *processed*: it uses up its number,
changes nothing, and is answered with a coded problem. PROTOCOL §8
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from intentcast_protocol.demand import Demand
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import IntentcastError, InvalidMessage, Refused
from intentcast_protocol.identity import Id, Key
from intentcast_protocol.limits import ACCEPT_GRACE, ACCEPT_LIFE, MAX_AHEAD, MAX_SKEW
from intentcast_protocol.offer import read_counter, read_offer
from intentcast_protocol.record import SESSION_TYPES, Verified
from intentcast_protocol.terms import ROSTER, Proffer, check_acceptance
from intentcast_protocol.vocabulary import read_bytes, read_text

Actor = Literal["person", "vendor"]
ACTORS: Final[tuple[Actor, Actor]] = ("person", "vendor")


class State(StrEnum):
    """Where a session stands."""

    SEEN = "seen"
    ASKING = "asking"
    OFFERED = "offered"
    COUNTERED = "countered"
    ACCEPTED = "accepted"
    AGREED = "agreed"
    FULFILLED = "fulfilled"
    LAPSED = "lapsed"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    CONFLICT = "conflict"
    DISPUTED = "disputed"


# What changes the state. (state, actor) -> {type: next state}
_MOVES: Final[dict[tuple[State, Actor], dict[str, State]]] = {
    (State.SEEN, "vendor"): {"question": State.ASKING, "offer": State.OFFERED, "decline": State.DECLINED},
    (State.SEEN, "person"): {"decline": State.DECLINED},
    (State.ASKING, "vendor"): {"offer": State.OFFERED, "decline": State.DECLINED},
    (State.ASKING, "person"): {"answer": State.SEEN, "decline": State.DECLINED},
    (State.OFFERED, "vendor"): {"offer": State.OFFERED, "withdraw": State.WITHDRAWN, "decline": State.DECLINED},
    (State.OFFERED, "person"): {"counter": State.COUNTERED, "accept": State.ACCEPTED, "decline": State.DECLINED},
    (State.COUNTERED, "vendor"): {"offer": State.OFFERED, "withdraw": State.WITHDRAWN, "decline": State.DECLINED},
    (State.COUNTERED, "person"): {"counter": State.COUNTERED, "accept": State.ACCEPTED, "decline": State.DECLINED},
    # A new offer, a withdrawal, a refusal or a problem about the accept all say: this accept will not be confirmed.
    (State.ACCEPTED, "vendor"): {
        "confirm": State.AGREED, "offer": State.OFFERED, "withdraw": State.WITHDRAWN, "decline": State.DECLINED,
        "problem": State.OFFERED,
    },
    (State.ACCEPTED, "person"): {"withdraw": State.WITHDRAWN},
    # The accept's withdrawal crossed its confirm: each side keeps both, and people must talk.
    (State.AGREED, "person"): {"withdraw": State.CONFLICT, "fulfil": State.FULFILLED, "dispute": State.DISPUTED},
    (State.AGREED, "vendor"): {"dispute": State.DISPUTED},
    (State.FULFILLED, "person"): {"dispute": State.DISPUTED},
    (State.FULFILLED, "vendor"): {"dispute": State.DISPUTED},
    (State.LAPSED, "vendor"): {"offer": State.OFFERED, "decline": State.DECLINED, "withdraw": State.WITHDRAWN},
    (State.LAPSED, "person"): {"decline": State.DECLINED},
    (State.CONFLICT, "person"): {"dispute": State.DISPUTED},
    (State.CONFLICT, "vendor"): {"dispute": State.DISPUTED},
}  # fmt: skip
# A confirm of an accept that the vendor or the person had already ended.
for _state in (State.OFFERED, State.COUNTERED, State.LAPSED, State.DECLINED, State.WITHDRAWN, State.EXPIRED):
    _MOVES.setdefault((_state, "vendor"), {})["confirm"] = State.CONFLICT

_OPEN: Final = (State.SEEN, State.ASKING, State.OFFERED, State.COUNTERED, State.LAPSED)
_AFTER: Final = (State.AGREED, State.FULFILLED, State.CONFLICT, State.DISPUTED)
# What leaves the state alone. type -> (states, actors)
_STAYS: Final[dict[str, tuple[tuple[State, ...], tuple[Actor, ...]]]] = {
    **{kind: (tuple(State), ACTORS) for kind in ("ack", "resume", "notice", "problem", "rights", "feedback")},
    "question": ((*_OPEN, State.ACCEPTED, *_AFTER), ACTORS),
    "answer": ((*_OPEN, State.ACCEPTED, *_AFTER), ACTORS),
    "disclose": ((State.OFFERED, State.COUNTERED, State.ACCEPTED, *_AFTER), ("person",)),
    "fulfil": ((State.AGREED,), ("vendor",)),
}


def _table() -> Mapping[tuple[State, Actor, str], State | None]:
    table: dict[tuple[State, Actor, str], State | None] = {}
    for state in State:
        for actor in ACTORS:
            for kind in sorted(SESSION_TYPES):
                states, actors = _STAYS.get(kind, ((), ()))
                stays = state if state in states and actor in actors else None
                table[state, actor, kind] = _MOVES.get((state, actor), {}).get(kind, stays)
    return MappingProxyType(table)


# (state, actor, type) -> the next state, or None where the act is refused.
TABLE: Final = _table()

# Whose move a state waits for, and until when: the offer's end, the deadline to confirm, or the demand's end.
TURN: Final[dict[State, tuple[Actor | None, Literal["offer", "accept", "demand"] | None]]] = {
    State.SEEN: ("vendor", "demand"),
    State.ASKING: ("person", "demand"),
    State.OFFERED: ("person", "offer"),
    State.COUNTERED: ("vendor", "offer"),
    State.ACCEPTED: ("vendor", "accept"),
    State.AGREED: ("vendor", None),
    State.LAPSED: ("vendor", "demand"),
    **dict.fromkeys((State.FULFILLED, State.DECLINED, State.WITHDRAWN, State.EXPIRED), (None, None)),
    State.CONFLICT: ("person", None),
    State.DISPUTED: (None, None),
}


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
    offer: Id | None = None  # the newest, standing or not
    offer_created: int = 0
    offer_until: int = 0
    firm: bool = False
    accept: Id | None = None  # the newest, in force or not
    accept_created: int = 0
    accept_until: int = 0
    accepted_offer: Id | None = None
    confirm: Id | None = None
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
    """Let the clock act: an offer lapses after its last moment, an open session ends with its demand. PROTOCOL §8.5"""
    if session.state in _OPEN and now >= session.demand_expires:
        return replace(session, state=State.EXPIRED)
    if session.state in (State.OFFERED, State.COUNTERED) and now > session.offer_until:
        return replace(session, state=State.LAPSED)
    return session


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
        return Equivocation(replace(session, state=State.CONFLICT))
    if message.seq > chain.seq + 1:
        if message.seq > chain.seq + MAX_AHEAD:
            raise InvalidMessage("invalid.session.gap", f"number {message.seq} after {chain.seq}")
        return Ahead()
    if message.prev != chain.last:
        raise InvalidMessage("invalid.session.previous")
    return _apply(tick(session, now), actor, message, now)


def _apply(session: Session, actor: Actor, message: Verified, now: int) -> Applied:
    at = ACTORS.index(actor)
    moved = (Chain(message.seq or 0, message.id), session.chains[1 - at])
    session = replace(session, chains=moved if at == 0 else moved[::-1])
    target = TABLE[session.state, actor, message.type]
    try:
        if target is None:
            raise Refused("refused.session.not-now", f"{message.type} by the {actor} while {session.state}")
        opened = _check_opening(session, message)
        guard = _GUARDS.get(message.type)
        after = guard(opened, message, now) if guard else opened
        if after is None:
            return Applied(session)
    except (InvalidMessage, Refused) as error:
        return Applied(session, error)
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


def _offer(session: Session, message: Verified, _now: int) -> Session:
    offer = read_offer(message)
    check_acceptance(session.proffer, message.body.get("termsAccepted"))
    if offer.demand != session.demand:
        raise Refused("refused.record.replaced", "the offer answers another version of the demand")
    # An offer that lapsed on its way still ends the one before it, as it did for the vendor: `_apply` lets it lapse.
    return replace(
        session,
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
    if message.created >= session.demand_expires:
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
    if read_bytes(message.body.get("accept"), "accept", "invalid.session.malformed") != session.accept:
        raise Refused("refused.session.not-now", "no such accept")
    if message.created > session.accept_until:
        raise Refused("refused.offer.late", "the deadline to confirm has passed")
    if message.created < session.accept_created - MAX_SKEW:
        raise InvalidMessage("invalid.record.time", "the confirm is dated before its accept")
    return replace(session, confirm=message.id)


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
    about_accept = session.state is State.ACCEPTED and message.author == session.vendor
    return session if about_accept and message.body.get("re") == session.accept else None


_GUARDS: Final = {
    "offer": _offer,
    "counter": _counter,
    "accept": _accept,
    "confirm": _confirm,
    "withdraw": _withdraw,
    "problem": _problem,
}


def permits(session: Session, actor: Actor, kind: str, now: int) -> bool:
    """Say whether the table lets a side send a type now; the guards may still refuse its content. PROTOCOL §8.3"""
    return TABLE[tick(session, now).state, actor, kind] is not None


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


def write_table() -> str:
    """Draw TABLE as Markdown for PROTOCOL §8.4: what each side may send in each state, and what it leads to."""
    lines = ["| state | person may send | vendor may send | acts next |", "|---|---|---|---|"]
    for state in State:
        cells = []
        for actor in ACTORS:
            moves = {kind: TABLE[state, actor, kind] for kind in sorted(SESSION_TYPES)}
            changes = [f"{kind} → {target}" for kind, target in moves.items() if target not in (None, state)]
            stays = [kind for kind, target in moves.items() if target is state]
            cells.append("; ".join([*changes, ", ".join(stays)]) if changes else ", ".join(stays))
        lines.append(f"| {state} | {cells[0]} | {cells[1]} | {TURN[state][0] or 'nobody'} |")
    return "\n".join(lines)
