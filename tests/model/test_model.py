"""All runs of small sessions over a channel that loses, repeats and reorders: what the rules promise holds in each.

The explorer walks the very table and guards that agents use. Each mutant takes one rule away, and the walk must then
find a run that breaks a promise: a checker that cannot fail shows nothing. PROTOCOL §8
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from explorer import DEMAND_RECORD, STEP, Actor, Broken, Model, Sent, Walk, World, body_of, free, label, walk
from intentcast_protocol import negotiation
from intentcast_protocol.agreement import bundle, verify_agreement
from intentcast_protocol.errors import StateError
from intentcast_protocol.identity import Id, public_key
from intentcast_protocol.negotiation import TABLE, Session, State
from intentcast_protocol.record import Verified, sign
from intentcast_protocol.states import IN_FORCE
from intentcast_protocol.testing import seed

HELD = (*IN_FORCE, State.CONFLICT, State.DISPUTED)


def same_deal(world: World) -> str | None:
    """What the person holds as agreed the vendor has agreed to: the same confirm, accept and offer."""
    for line in world.lines:
        person, vendor = line.ends
        if person.state in IN_FORCE and vendor.state not in (*IN_FORCE, State.DISPUTED):
            return f"the person holds an agreement, the vendor is {vendor.state}"
        if person.confirm and (vendor.confirm is None or vendor.confirm < person.confirm):
            return "the person holds a confirm that the vendor does not"
        if person.confirm == vendor.confirm and person.confirmed != vendor.confirmed:
            return "the two hold another accept for confirmed"
        settled = all(end.confirm and end.accept == end.confirmed for end in line.ends)
        if settled and person.confirm == vendor.confirm and person.accepted_offer != vendor.accepted_offer:
            return "the two have agreed on different offers"
    return None


def never_lost(world: World) -> str | None:
    """A confirm is never undone: what follows it is an amendment, an end in deed, or people who talk."""
    if any(end.confirm and end.state not in HELD for line in world.lines for end in line.ends):
        return "an agreement was lost"
    return None


def in_step(world: World) -> str | None:
    """Where nothing crossed or waited, both hold the same session, and there is no conflict."""
    for line in world.lines:
        if line.straight and not any(line.ways) and line.ends[0] != line.ends[1]:
            return "both have processed the same, and hold different sessions"
        if line.straight and any(end.state is State.CONFLICT for end in line.ends):
            return "a conflict, and nothing has crossed"
    return None


def bounded(world: World) -> str | None:
    """A vendor reopens a lapsed session once, and once more for each time the person asked or countered."""
    if any(end.reopened > 1 + end.asked + end.rounds for line in world.lines for end in line.ends):
        return "a lapsed session was reopened again and again"
    return None


def bound_once(world: World) -> str | None:
    """The person has at most one agreement, whatever arrives how late."""
    held = sum(line.ends[0].state in IN_FORCE for line in world.lines)
    return f"the person is bound {held} times" if held > 1 else None


def confirmed_once(world: World) -> str | None:
    """At most one vendor has confirmed; or, of one vendor, at most one session has."""
    signed = sum(line.ends[1].confirm is not None for line in world.lines)
    return f"{signed} confirms were signed" if signed > 1 else None


def one_at_a_time(world: World, at: int, actor: Actor, kind: str) -> bool:
    """Keep a person from an accept while another may bind them. PROTOCOL §8.6"""
    others = (line for other, line in enumerate(world.lines) if other != at)
    return (actor, kind) != ("person", "accept") or not any(line.ends[0].binds for line in others)


def all_read(world: World, at: int, actor: Actor, kind: str) -> bool:
    """Keep a person, moreover, from letting go of an accept before all relays are read. PROTOCOL §8.6"""
    unread = (actor, kind) == ("person", "withdraw") and world.lines[at].ways[0]
    return one_at_a_time(world, at, actor, kind) and not unread


def reserved(world: World, _at: int, actor: Actor, kind: str) -> bool:
    """Keep a vendor from confirming what it has reserved for another. PROTOCOL §8.6"""
    return (actor, kind) != ("vendor", "confirm") or all(line.ends[1].confirm is None for line in world.lines)


PAIR = (same_deal, never_lost, in_step, bounded)
CROSSING = Model(
    {"vendor offer": 2, "person accept": 1, "vendor confirm": 1, "vendor withdraw": 1, "vendor problem": 1,
     "person decline": 1, "person withdraw": 1}, steps=4,
)  # fmt: skip
LAGGING = replace(CROSSING, lag=120, acts=CROSSING.acts | {"vendor offer": 1}, steps=6)
LAPSING = Model(
    {"vendor offer": 3, "person question": 1, "person accept": 1, "vendor confirm": 1}, steps=5,
    offer_life=STEP // 2,
)  # fmt: skip
TALKING = Model(
    {"vendor question": 1, "person answer": 1, "vendor offer-indicative": 1, "vendor offer": 1, "person counter": 1,
     "person accept": 1, "vendor confirm": 1}, steps=2,
)  # fmt: skip
AMENDING = Model(
    {"vendor offer": 1, "vendor offer-amendment": 1, "person accept": 2, "vendor confirm": 2, "person decline": 1,
     "vendor withdraw": 1, "vendor problem": 1, "person fulfil": 1, "person withdraw": 1}, steps=4,
)  # fmt: skip
DISPUTING = Model(
    {"vendor offer": 1, "vendor offer-amendment": 1, "person accept": 2, "vendor confirm": 2, "person dispute": 1,
     "vendor dispute": 1, "vendor fulfil": 1, "person withdraw": 1}, steps=4,
)  # fmt: skip
TWO = Model(
    {"vendor offer": 1, "person accept": 1, "vendor confirm": 1, "person withdraw": 1}, steps=5, lines=2,
    rule=one_at_a_time,
)  # fmt: skip
TIMELY = replace(TWO, rule=all_read, lag=120)
STOCK = replace(TWO, rule=reserved, steps=2)


def shown(name: str, found: Walk, began: float) -> None:
    """Print the figures of a walk; pytest shows them with -rP."""
    print(f"{name}: {len(found.seen)} states, {found.steps} steps, {time.monotonic() - began:.1f} s")


MODELS: dict[str, tuple[Model, tuple[Callable[[World], str | None], ...]]] = {
    "crossing": (CROSSING, PAIR), "lagging": (LAGGING, PAIR), "lapsing": (LAPSING, PAIR), "talking": (TALKING, PAIR),
    "amending": (AMENDING, PAIR), "disputing": (DISPUTING, PAIR), "two vendors": (TWO, (*PAIR, bound_once)),
    "two vendors, read in time": (TIMELY, (*PAIR, bound_once, confirmed_once)),
    "one item, two persons": (STOCK, (*PAIR, confirmed_once)),
}  # fmt: skip

QUICK = ("crossing", "two vendors", "one item, two persons")
DEEP = pytest.mark.reliability  # the other walks, and the mutants: .ci/run adds them


@cache
def walked(name: str) -> Walk:
    """Walk a model once, whatever looks at it."""
    began = time.monotonic()
    found = walk(*MODELS[name])
    shown(name, found, began)
    return found


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=DEEP) for name in MODELS])
def test_every_run_keeps_every_promise_and_ends(name: str) -> None:
    assert walked(name).seen


@DEEP
def test_the_walks_meet_every_state_and_the_crossings_that_matter() -> None:
    """What the walks do not reach they say nothing about."""
    walks = [walked(name) for name in ("crossing", "lagging", "talking", "amending", "disputing")]
    met = {(line.ends[0].state, line.ends[1].state) for found in walks for world in found.seen for line in world.lines}
    assert {state for pair in met for state in pair} == set(State)
    crossings = {
        (State.ACCEPTED, State.WITHDRAWN), (State.ACCEPTED, State.LAPSED), (State.WITHDRAWN, State.AGREED),
        (State.CONFLICT, State.AGREED), (State.ACCEPTED, State.AGREED), (State.DECLINED, State.OFFERED),
        (State.REACCEPTED, State.AMENDING), (State.REACCEPTED, State.AGREED), (State.FULFILLED, State.AMENDING),
        (State.FULFILLED, State.REACCEPTED), (State.DISPUTED, State.REACCEPTED), (State.CONFLICT, State.AMENDING),
    }  # fmt: skip
    assert crossings <= met


@DEEP
def test_every_agreement_of_the_walks_verifies_from_its_bytes() -> None:
    """Signed for real, record by record as the run signed them. PROTOCOL §8.7"""
    proven: set[tuple[Sent, ...]] = set()
    for name in ("lagging", "amending"):
        found = walked(name)
        for world in found.seen:
            person = world.lines[0].ends[0]
            if person.state in IN_FORCE and person.confirm == label("vendor", person.chain("vendor").seq):
                sent = found.messages(world)
                deals = deals_of(sent, person)
                if deals not in proven:
                    proven.add(deals)
                    prove(sent, deals)
    assert {len(deals) for deals in proven} == {3, 6}
    print(f"{len(proven)} agreements, {sum(len(deals) == 6 for deals in proven)} of them amended")


def deals_of(sent: list[Sent], person: Session) -> tuple[Sent, ...]:
    """Return offer, accept and confirm of the agreement that the person holds, and of those that it amends."""
    named = {label(one.actor, one.seq): one for one in sent}
    deals: list[Sent] = []
    confirm = person.confirm
    while confirm:
        accept = named[named[confirm].re]
        deals[:0] = [named[accept.re], accept, named[confirm]]
        confirm = named[accept.re].amends
    return tuple(deals)


def prove(sent: list[Sent], deals: tuple[Sent, ...]) -> None:
    """Sign a run's messages and verify the bundle of its agreement."""
    records: dict[Sent, Verified] = {}
    ids: dict[Id | None, Id | None] = {}
    for one in sent:
        name, to = ("D", "V") if one.actor == "person" else ("V", "D")
        records[one] = sign(
            one.kind, seed(name), body_of(one, lambda about: ids.get(about, about)), created=one.created,
            expires=one.expires, to=public_key(seed(to)), session=public_key(seed("S")), seq=one.seq,
            prev=ids.get(label(one.actor, one.seq - 1)),
        )  # fmt: skip
        ids[label(one.actor, one.seq)] = records[one].id
    first, *rest = [[records[one].record for one in deals[at : at + 3]] for at in range(0, len(deals), 3)]
    agreement = verify_agreement(bundle(DEMAND_RECORD.record, *first, amendments=rest))
    assert agreement.id == records[deals[-1]].id
    assert agreement.amended == tuple(records[one].id for one in deals[2:-1:3])


# Mutants


def in_table(state: State, actor: Actor, kind: str, target: State | None) -> Callable[[pytest.MonkeyPatch], None]:
    """Change one cell of the table."""
    return lambda patch: patch.setattr(negotiation, "TABLE", {**TABLE, (state, actor, kind): target})


def in_guard(kind: str, change: Callable[[Session, Verified], Session]) -> Callable[[pytest.MonkeyPatch], None]:
    """Show a guard another session than the one there is."""
    guard = negotiation._GUARDS[kind]
    return lambda patch: patch.setitem(
        negotiation._GUARDS, kind, lambda one, sent, now: guard(change(one, sent), sent, now)
    )


def without_own_check(patch: pytest.MonkeyPatch) -> None:
    """Sign whatever the other side would process."""
    patch.setattr(
        negotiation, "permits", lambda one, actor, kind, now: TABLE[negotiation.tick(one, now).state, actor, kind]
    )

    def send(session: Session, sent: Verified, now: int) -> Session:
        outcome = negotiation.receive(session, sent, now)
        if outcome.problem:
            raise StateError(outcome.problem.code)
        return outcome.session

    patch.setattr(negotiation, "send", send)


def without_last_tick(patch: pytest.MonkeyPatch) -> None:
    """Let the clock forget an amendment that was accepted and never confirmed."""
    kept = negotiation.wake
    patch.setattr(negotiation, "wake", lambda one: None if one.state is State.REACCEPTED else kept(one))


def without_asking(patch: pytest.MonkeyPatch) -> None:
    """Let a vendor reopen as if it had been asked."""
    guard: Any = negotiation._GUARDS["offer"]

    def offer(session: Session, sent: Verified, now: int) -> Session:
        return replace(guard(replace(session, asked=99), sent, now), asked=session.asked)

    patch.setitem(negotiation._GUARDS, "offer", offer)


MUTANTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str, str]] = {
    "no grace after the deadline to confirm": (
        lambda patch: patch.setattr(negotiation, "ACCEPT_GRACE", 0), "two vendors, read in time",
        "2 confirms were signed"),
    "a confirm after its deadline": (
        in_guard("confirm", lambda one, _: replace(one, accept_until=2**40)), "two vendors, read in time",
        "in the end it is conflict for the person"),
    "a confirm that follows the accept's withdrawal counts": (
        in_table(State.WITHDRAWN, "vendor", "confirm", State.AGREED), "two vendors",
        "in the end it is agreed for the person"),
    "a withdrawal that crosses the confirm is dropped": (
        in_table(State.AGREED, "person", "withdraw", None), "crossing", "in the end it is conflict for the person"),
    "an accept of an offer that was replaced": (
        in_guard("accept", lambda one, sent: replace(one, offer=sent.body["offer"])), "crossing",
        "the run never ends"),
    "a withdrawn offer can be accepted": (
        in_table(State.WITHDRAWN, "person", "accept", State.ACCEPTED), "crossing", "the run never ends"),
    "what breaks one's own agreement is signed": (without_own_check, "crossing", "a conflict, and nothing has crossed"),
    "an amendment that is withdrawn takes the agreement with it": (
        in_table(State.AMENDING, "vendor", "withdraw", State.WITHDRAWN), "amending", "an agreement was lost"),
    "an amendment's confirm comes too late for a fulfilled deal": (
        in_table(State.FULFILLED, "vendor", "confirm", None), "amending", "in the end it is fulfilled for the person"),
    "an accepted amendment waits for ever": (without_last_tick, "amending", "the run never ends"),
    "a confirm counts twice": (
        in_guard("confirm", lambda one, _: replace(one, confirmed=None)), "amending", "in the end it is agreed"),
    "a lapsed session is reopened at will": (without_asking, "lapsing", "reopened again and again"),
}  # fmt: skip
RULES = {
    "a person accepts while another accept waits": (TWO, bound_once, "the person is bound 2 times"),
    "a vendor sells its one item to each": (STOCK, confirmed_once, "2 confirms were signed"),
}  # fmt: skip


@DEEP
@pytest.mark.parametrize("name", MUTANTS)
def test_without_a_rule_a_run_breaks_a_promise(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate, model, why = MUTANTS[name]
    mutate(monkeypatch)
    with pytest.raises(Broken, match=why) as broken:
        walk(*MODELS[model])
    print(broken.value)


@DEEP
@pytest.mark.parametrize("name", RULES)
def test_without_a_rule_over_all_sessions_a_promise_breaks(name: str) -> None:
    model, check, why = RULES[name]
    with pytest.raises(Broken, match=why) as broken:
        walk(replace(model, rule=free), (check,))
    print(broken.value)


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_longer_runs_keep_every_promise_too(name: str) -> None:
    """The same models with a longer clock and, in the two that time makes, one act more of those that cross."""
    model, properties = MODELS[name]
    began = time.monotonic()
    more = {"vendor problem", "person question", "vendor decline"} if name in ("lagging", "lapsing") else set()
    acts = {**model.acts, **{act: model.acts.get(act, 0) + 1 for act in sorted(more)}}
    shown(name, walk(replace(model, acts=acts, steps=model.steps + 1), properties), began)
