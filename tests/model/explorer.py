"""Every run of small sessions, walked by the protocol's own rules: `receive`, `send`, `tick` and `permits`.

A world is one demand's clock and its sessions, each seen from both ends. A step is an act that a side may sign, a
message that arrives, or the clock. The channel is hostile: what was signed may arrive late, never, twice or before its
turn; which of them happens is the walk's choice, so all of it is walked. The parties are honest: they sign what their
own rules let them, whenever they like. Messages are the real ones but for ids and signatures: an id is the side and
number that name a message within one run, so that runs which come to the same thing are one state.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from intentcast_protocol import negotiation
from intentcast_protocol.demand import read_demand
from intentcast_protocol.errors import StateError
from intentcast_protocol.identity import Id, Key, public_key
from intentcast_protocol.negotiation import ACTORS, Actor, Ahead, Applied, Duplicate, Session, State
from intentcast_protocol.record import Record, Verified, sign
from intentcast_protocol.states import IN_FORCE
from intentcast_protocol.terms import DEFAULT
from intentcast_protocol.testing import CARS, NOW, demand_body, offer_body, price_body, seal_pair, seed

STEP = 61  # s of one step of the clock: two are an accept's life, and two more its grace
ACCEPT_LIFE, DEMAND_LIFE = 2 * STEP, 6 * STEP
HORIZON = 20 * STEP  # by which every clock has done what it does
LONGEST = 60  # steps that a settling world takes at most
D, V = public_key(seed("D")), public_key(seed("V"))
KEYS = (public_key(seed("S")), public_key(seed("S2")))
REPLY = {"reply": seal_pair("r").public, "termsAccepted": DEFAULT.deal[0].wire()}
DEMAND_RECORD = sign("demand", seed("D"), demand_body(), created=NOW, expires=NOW + DEMAND_LIFE)
DEMAND = read_demand(DEMAND_RECORD)
DATED = ("offer", "accept", "confirm")
REST = (*IN_FORCE[:1], State.FULFILLED, State.CONFLICT, State.DISPUTED)
PARTING = (State.DECLINED, State.WITHDRAWN, State.EXPIRED)


class Sent(NamedTuple):
    """A signed message: `re` is the id it names, `amends` the agreement an offer would amend."""

    actor: Actor
    seq: int
    kind: str
    created: int
    expires: int
    re: Id | None = None
    firm: bool = True
    amends: Id | None = None

    def __str__(self) -> str:
        about = f" about {name_of(self.re)}" if self.re else ""
        about += f", amending {name_of(self.amends)}" if self.amends else ""
        return f"{self.kind} {name_of(label(self.actor, self.seq))}{'' if self.firm else ' (indicative)'}{about}"


def label(actor: Actor, seq: int) -> Id:
    """Return the id of a side's message number `seq`."""
    return Id(f"{actor[0]}{seq:02}".encode().ljust(32, b"."))


def name_of(message: Id | None) -> str:
    """Return a label as people read it: p02 is the person's second message."""
    return message.rstrip(b".").decode() if message else "-"


def body_of(sent: Sent, named: Callable[[Id | None], Id | None]) -> dict[str, Any]:
    """Return the body of a message; `named` gives the id that a label stands for."""
    re = named(sent.re)
    match sent.kind:
        case "offer":
            firm = "firm" if sent.firm else "indicative"
            amends = {"amends": named(sent.amends)} if sent.amends else {}
            return offer_body(DEMAND.id, sent.expires, commitment=firm, **amends)
        case "counter":
            price = price_body("17000.00")
            body = {"demand": DEMAND.id, "offer": re, "itemOffered": {"category": CARS}, "priceSpecification": price}
        case "accept":
            body = {"demand": DEMAND.id, "offer": re}
        case "confirm":
            body = {"accept": re}
        case "problem":
            body = {"code": "refused.stock.gone", "re": re}
        case _:
            body = {"re": re} if re else {}
    return body | REPLY


@cache
def message(sent: Sent, key: Key) -> Verified:
    """Return what a signed message is to the rules."""
    author, to = (D, V) if sent.actor == "person" else (V, D)
    return Verified(
        record=Record(b"", b""), id=label(sent.actor, sent.seq), type=sent.kind, author=author, created=sent.created,
        expires=sent.expires, body=body_of(sent, lambda one: one), to=to, session=key, seq=sent.seq,
        prev=label(sent.actor, sent.seq - 1) if sent.seq > 1 else None,
    )  # fmt: skip


class End:
    """One side's session, of which a walk has one object for each value, so that comparing them costs nothing."""

    __slots__ = ("session",)

    def __init__(self, session: Session) -> None:
        self.session = session


class Line(NamedTuple):
    """One session from both ends, what is on its way to each, and how often each act may still be done."""

    held: tuple[End, End]  # the person's, the vendor's
    ways: tuple[tuple[Sent, ...], tuple[Sent, ...]]  # to the person, to the vendor
    left: tuple[int, ...]
    straight: bool  # nothing has crossed or waited so far

    @property
    def ends(self) -> tuple[Session, Session]:
        """The session as the person holds it, and as the vendor does."""
        return self.held[0].session, self.held[1].session


class World(NamedTuple):
    """All there is: the person's clock and the sessions."""

    now: int
    lines: tuple[Line, ...]


Rule = Callable[[World, int, Actor, str], bool]


def free(_world: World, _at: int, _actor: Actor, _kind: str) -> bool:
    """Let every act be done that the session's own rules allow."""
    return True


@dataclass(frozen=True, slots=True)
class Model:
    """What to walk: acts and how often each may be done in a session, steps of the clock, and how clocks differ."""

    acts: Mapping[str, int]  # "vendor offer": 2
    steps: int
    lines: int = 1
    lag: int = 0  # s that vendors' clocks are behind
    offer_life: int = 3 * STEP
    rule: Rule = free  # what a party does not do, looking at all of its sessions
    most: int = 2 * 10**6  # states after which the walk fails

    def clock(self, world: World, actor: Actor) -> int:
        """Return what a side's clock says."""
        return world.now - (self.lag if actor == "vendor" else 0)


Step = tuple[str, World]


class Rules:
    """The protocol's rules as they are when a walk begins, each asked once for each question."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._ends: dict[Session, End] = {}
        self.tick = cache(self._tick)
        self.get = cache(self._get)
        self.may = cache(self._may)
        self.say = cache(self._say)

    def end(self, session: Session) -> End:
        """Return the one object for a session."""
        return self._ends.setdefault(session, End(session))

    def begin(self) -> World:
        """Return the world before anything was said."""
        left = tuple(self.model.acts.values())
        ends = [self.end(negotiation.begin(DEMAND, key=key, vendor=V)) for key in KEYS[: self.model.lines]]
        return World(NOW, tuple(Line((end, end), ((), ()), left, self.model.lag == 0) for end in ends))

    def _tick(self, end: End, now: int) -> End:
        return self.end(negotiation.tick(end.session, now))

    def _get(self, end: End, sent: Sent, now: int) -> tuple[End, str | None]:
        """Process the next message of the peer; return also the code of the problem it met."""
        outcome = negotiation.receive(end.session, message(sent, end.session.key), now)
        assert isinstance(outcome, Applied), outcome
        return self.end(outcome.session), outcome.problem and outcome.problem.code

    def _may(self, end: End, actor: Actor, kind: str, now: int) -> bool:
        return negotiation.permits(end.session, actor, kind, now)

    def _say(
        self, end: End, actor: Actor, kind: str, about: Id | None, firm: bool, now: int
    ) -> tuple[End, Sent] | None:
        """Sign a message by the rules of who signs it; None if they do not let it."""
        session = end.session
        life = {"offer": self.model.offer_life, "accept": ACCEPT_LIFE}.get(kind, HORIZON)
        amends = session.confirm if kind == "offer" and session.state in IN_FORCE else None
        # Where the rules read no date, runs that differ in it alone are the same.
        dated = now if kind in DATED or (kind, actor) == ("withdraw", "person") else NOW
        sent = Sent(actor, session.chain(actor).seq + 1, kind, dated, dated + life, about, firm, amends)
        try:
            return self.end(negotiation.send(session, message(sent, session.key), now)), sent
        except StateError:
            return None


def steps(rules: Rules, world: World) -> Iterator[Step]:
    """Return all that may happen next."""
    for at in range(len(world.lines)):
        for actor in ACTORS:
            yield from arrivals(rules, world, at, actor)
            yield from acts(rules, world, at, actor)
    if world.now < NOW + rules.model.steps * STEP:
        yield pass_time(rules, world)


def pass_time(rules: Rules, world: World) -> Step:
    """Let the clock go on by a step, and act."""
    later = World(world.now + STEP, world.lines)
    lines = []
    for line in world.lines:
        person, vendor = line.held
        held = (rules.tick(person, later.now), rules.tick(vendor, rules.model.clock(later, "vendor")))
        lines.append(line._replace(held=held, straight=line.straight and not any(line.ways)))
    return "time passes", later._replace(lines=tuple(lines))


def arrivals(rules: Rules, world: World, at: int, actor: Actor) -> Iterator[Step]:
    """Let a side get the next message; a vendor answers an accept that it refuses with a problem.

    Other problems change nothing, so they are left out. PROTOCOL §8.3
    """
    line, side = world.lines[at], ACTORS.index(actor)
    if not line.ways[side]:
        return
    sent, *rest = line.ways[side]
    now = rules.model.clock(world, actor)
    end, problem = rules.get(line.held[side], sent, now)
    line = line._replace(held=put(line.held, side, end), ways=put(line.ways, side, tuple(rest)))
    if problem and sent.kind == "accept":
        line = signed(rules, world, line, actor, "problem", label(sent.actor, sent.seq)) or line
    what = f"the {actor} gets {sent}" + (f": {problem}" if problem else "")
    yield told(world, at, what), world._replace(lines=put(world.lines, at, line))


def acts(rules: Rules, world: World, at: int, actor: Actor) -> Iterator[Step]:
    """Let a side sign what its rules let it."""
    line, side = world.lines[at], ACTORS.index(actor)
    end, now = line.held[side], rules.model.clock(world, actor)
    session = end.session
    about = {
        "counter": session.offer, "accept": session.offer, "confirm": session.accept, "problem": session.accept,
        "withdraw": session.offer if actor == "vendor" else session.accept,
    }  # fmt: skip
    for number, (name, left) in enumerate(zip(rules.model.acts, line.left, strict=True)):
        who, _, act = name.partition(" ")
        kind, _, variant = act.partition("-")
        if who != actor or not left or not rules.may(end, actor, kind, now):
            continue
        if (variant == "amendment") != (kind == "offer" and session.state in IN_FORCE):
            continue
        if rules.model.rule(world, at, actor, kind):
            after = signed(rules, world, line, actor, kind, about.get(kind), firm=variant != "indicative")
            if after:
                after = after._replace(left=put(line.left, number, left - 1))
                sent = after.ways[1 - side][-1]
                yield told(world, at, f"the {actor} signs {sent}"), world._replace(lines=put(world.lines, at, after))


def signed(
    rules: Rules, world: World, line: Line, actor: Actor, kind: str, about: Id | None, *, firm: bool = True
) -> Line | None:
    """Sign one message and send it on its way; None if the rules of who signs it do not let it."""
    side = ACTORS.index(actor)
    said = rules.say(line.held[side], actor, kind, about, firm, rules.model.clock(world, actor))
    if said is None:
        return None
    ways = put(line.ways, 1 - side, (*line.ways[1 - side], said[1]))
    straight = line.straight and not line.ways[side]
    return line._replace(held=put(line.held, side, said[0]), ways=ways, straight=straight)


def put(values: tuple[Any, ...], at: int, value: Any) -> Any:
    """Return a tuple with one value replaced."""
    return (*values[:at], value, *values[at + 1 :])


def told(world: World, at: int, what: str) -> str:
    """Say in which session something happens, where there are several."""
    return what if len(world.lines) == 1 else f"session {at + 1}: {what}"


class Broken(AssertionError):
    """A property does not hold; the message is the run that shows it."""


Property = Callable[[World], str | None]


@dataclass(slots=True)
class Walk:
    """What a walk saw: each state with the step that first led to it, and how many steps there were."""

    rules: Rules
    seen: dict[World, tuple[World | None, str]]
    steps: int = 0

    def trace(self, world: World) -> list[Step]:
        """Return the shortest run to a state."""
        run: list[Step] = []
        at: World | None = world
        while at is not None:
            before, what = self.seen[at]
            run.append((what, at))
            at = before
        return run[::-1]

    def messages(self, world: World, at: int = 0) -> list[Sent]:
        """Return what was signed in one session on the way to a state, in the order of signing."""
        run = [one.lines[at].ways for _, one in self.trace(world)]
        return [
            sent
            for before, after in pairwise(run)
            for side in (0, 1)
            for sent in after[side]
            if not before[side] or sent.seq > before[side][-1].seq
            if sent not in before[side]
        ]

    def fail(self, world: World, why: str, then: tuple[Step, ...] = ()) -> Broken:
        """Return the counterexample as people read it."""
        lines = [why]
        for what, one in (*self.trace(world), *then):
            ends = " | ".join(f"{line.ends[0].state} / {line.ends[1].state}" for line in one.lines)
            lines.append(f"  t+{one.now - NOW:<5}{what:<66}{ends}")
        return Broken("\n".join(lines))


def walk(model: Model, properties: tuple[Property, ...], settles: bool = True) -> Walk:
    """Walk all runs of a model breadth first; raises Broken with the shortest run to what must not be.

    With `settles`, every state must also come to rest, with both ends in accord, once nobody acts any more, all that
    was signed arrives, and the clock runs.
    """
    rules = Rules(model)
    begun = rules.begin()
    found = Walk(rules, {begun: (None, "begin")})
    rested: set[World] = set()
    fresh = deque([begun])
    held: set[End] = set()
    while fresh:
        world = fresh.popleft()
        for check in properties:
            why = check(world)
            if why:
                raise found.fail(world, why)
        _check_channel(found, world, held)
        if settles:
            _settle(found, world, rested)
        for what, after in steps(rules, world):
            found.steps += 1
            if after not in found.seen:
                found.seen[after] = (world, what)
                fresh.append(after)
        if len(found.seen) > model.most:
            raise Broken(f"more than {model.most} states")
    return found


def _check_channel(found: Walk, world: World, held: set[End]) -> None:
    """Repeat what arrived, bring what is not due yet, and restart: none of it may change anything."""
    for line in world.lines:
        for side, actor in enumerate(ACTORS):
            if len(line.ways[side]) > 1:
                early = message(line.ways[side][1], line.ends[side].key)
                if negotiation.receive(line.ends[side], early, world.now) != Ahead():
                    raise found.fail(world, "a message was processed before its turn")
            if line.held[side] in held:
                continue
            held.add(line.held[side])
            end, peer = line.ends[side], ACTORS[1 - side]
            if last := end.chain(peer).seq:
                again = message(Sent(peer, last, "notice", NOW, NOW + 1), end.key)
                if negotiation.receive(end, again, world.now, again.id) != Duplicate():
                    raise found.fail(world, "a message had an effect twice")
            if negotiation.read_session(negotiation.write_session(end)) != end:
                raise found.fail(world, f"the {actor} comes back from a restart with another session")


def _settle(found: Walk, world: World, rested: set[World]) -> None:
    """Let all that is on its way arrive and the clock run out; the person lets go of an accept as its rules say."""
    run: list[Step] = []
    at = world
    while at not in rested:
        step = _closing(found.rules, at)
        if step is None:
            why = _discord(at)
            if why:
                raise found.fail(world, why, tuple(run))
            break
        run.append(step)
        at = step[1]
        if len(run) > LONGEST:
            raise found.fail(world, "the run never ends", tuple(run[:LONGEST]))
    rested.update((world, *(one for _, one in run)))


def _closing(rules: Rules, world: World) -> Step | None:
    for at, line in enumerate(world.lines):
        for actor in ACTORS:
            for step in arrivals(rules, world, at, actor):
                return step
        person = line.ends[0]
        if person.state is State.ACCEPTED:
            after = signed(rules, world, line, "person", "withdraw", person.accept)
            if after:
                return told(world, at, "the person lets go"), world._replace(lines=put(world.lines, at, after))
    return pass_time(rules, world) if world.now < NOW + HORIZON else None


def _discord(world: World) -> str | None:
    """Say what is wrong with a world in which nothing will happen any more, or None."""
    for line in world.lines:
        person, vendor = line.ends
        if person.state in PARTING and vendor.state in PARTING:
            continue
        if person.state not in REST:
            return f"the run never ends: it stays {person.state} for the person and {vendor.state} for the vendor"
        if (person.state, person.confirm, person.confirmed) != (vendor.state, vendor.confirm, vendor.confirmed):
            return f"in the end it is {person.state} for the person and {vendor.state} for the vendor"
    return None
