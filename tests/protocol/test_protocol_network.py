"""Two sides and a network that delays, repeats and reorders: whatever it does, they come to the same end.

The machine plays two honest agents: each asks its own rules before it signs, answers what had no effect with a problem,
and keeps what comes ahead of its turn, as PROTOCOL §8.2 prescribes. Where messages cross, the two may end in different
states: HARMLESS lists every such pair and why nobody is bound or blocked by it; any other pair fails the test.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from intentcast_protocol.agreement import bundle, verify_agreement
from intentcast_protocol.errors import IntentcastError, InvalidMessage, Refused
from intentcast_protocol.identity import Id, public_key
from intentcast_protocol.limits import MAX_AHEAD
from intentcast_protocol.negotiation import (
    ACTORS,
    Actor,
    Ahead,
    Applied,
    Duplicate,
    Session,
    State,
    begin,
    read_session,
    receive,
    tick,
    write_session,
)
from intentcast_protocol.record import Verified, sign
from intentcast_protocol.terms import DEFAULT
from intentcast_protocol.testing import CARS, NOW, make_demand, offer_body, price_body, seal_pair, seed

RECORD, DEMAND = make_demand()
SEEDS: dict[Actor, bytes] = {"person": seed("D"), "vendor": seed("V")}
PEER: dict[Actor, Actor] = {"person": "vendor", "vendor": "person"}
ENDED = (State.DECLINED, State.WITHDRAWN, State.EXPIRED)
AFTER = (State.AGREED, State.FULFILLED, State.CONFLICT, State.DISPUTED)

# (the person's state, the vendor's), once both have everything and the clock has acted, and why it harms nobody.
HARMLESS: dict[tuple[State, State], str] = {
    **{(one, other): "both are ended, under two names" for one in ENDED for other in ENDED if one is not other},
    (State.ASKING, State.SEEN): "an answer crossed a second question: the person owes one more, the vendor may offer",
    (State.COUNTERED, State.OFFERED): "the counter lapsed on its way: the same offer stands until the same moment",
    (State.OFFERED, State.COUNTERED): "an accept after a counter came too late: the same offer stands, or lapses",
    (State.WITHDRAWN, State.OFFERED): "the accept's withdrawal crossed what ended the accept: the offer lapses unused",
    (State.WITHDRAWN, State.COUNTERED): "the accept came too late and was withdrawn: the offer lapses unused",
    (State.WITHDRAWN, State.LAPSED): "the same, after the offer has lapsed: ends with the demand",
}


@dataclass
class Side:
    """One agent: its session, what it has processed of its peer, what waits for an earlier one, what it has sent."""

    session: Session
    log: dict[int, Id] = field(default_factory=dict)
    ahead: dict[int, Verified] = field(default_factory=dict)
    sent: list[Verified] = field(default_factory=list)


class Network(RuleBasedStateMachine):
    """Two honest sides over a bad network."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.sides: dict[Actor, Side] = {}
        self.trace: list[str] = []

    @initialize()
    def start(self) -> None:
        session = begin(DEMAND, key=public_key(seed("S")), vendor=public_key(seed("V")))
        self.sides = {actor: Side(session) for actor in ACTORS}

    def body(self, actor: Actor, kind: str, life: int, firm: bool) -> dict[str, Any] | None:
        """Return a body that fits a side's own session, or None where there is nothing to speak of."""
        session = self.sides[actor].session
        bodies: dict[str, dict[str, Any]] = {
            "offer": offer_body(DEMAND.id, self.now + life, commitment="firm" if firm else "indicative"),
            "counter": {"demand": DEMAND.id, "offer": session.offer, "itemOffered": {"category": CARS},
                        "priceSpecification": price_body("17000.00")},
            "accept": {"demand": DEMAND.id, "offer": session.offer}, "confirm": {"accept": session.accept},
            "withdraw": {"re": session.offer if actor == "vendor" else session.accept},
            "problem": {"code": "refused.stock.gone", "re": session.accept},
        }  # fmt: skip
        body = bodies.get(kind, {})
        if None in body.values():
            return None
        return body | {"reply": seal_pair("reply").public, "termsAccepted": DEFAULT.deal[0].wire()}

    def post(self, actor: Actor, kind: str, body: dict[str, Any], life: int) -> bool:
        """Sign and send a message, if the side's own rules take it and it leads into no conflict."""
        side = self.sides[actor]
        chain = side.session.chain(actor)
        message = sign(
            kind, SEEDS[actor], body, created=self.now, expires=self.now + life, seq=chain.seq + 1, prev=chain.last,
            session=side.session.key, to=side.session.vendor if actor == "person" else side.session.person,
        )  # fmt: skip
        outcome = receive(side.session, message, self.now)
        assert isinstance(outcome, Applied)
        if outcome.problem or (outcome.session.state is State.CONFLICT is not side.session.state):
            return False
        side.session = outcome.session
        side.sent.append(message)
        self.trace.append(f"{self.now - NOW:>7} {actor} sends {kind}: {side.session.state}")
        return True

    def deliver(self, to: Actor, message: Verified) -> None:
        """Process a message that arrives, and whatever waited for it."""
        side = self.sides[to]
        seq = message.seq or 0
        if seq > side.session.chain(PEER[to]).seq + MAX_AHEAD:
            # Left in the mailbox for later: nothing else that an honest peer has signed is ever invalid.
            with pytest.raises(InvalidMessage, match="missing"):
                receive(side.session, message, self.now)
            return
        outcome = receive(side.session, message, self.now, side.log.get(seq))
        if isinstance(outcome, Ahead):
            side.ahead[seq] = message
            return
        if isinstance(outcome, Duplicate):
            assert side.log[seq] == message.id
            return
        assert isinstance(outcome, Applied)
        assert seq not in side.log
        side.session, side.log[seq] = outcome.session, message.id
        self.trace.append(f"{self.now - NOW:>7} {to} gets {message.type}: {side.session.state} {outcome.problem or ''}")
        if outcome.problem:
            # Its author asked the same rules, so it is well-formed: it may come too late, never be wrong.
            assert isinstance(outcome.problem, Refused)
            if message.type != "problem":
                body = {"reply": seal_pair("reply").public, "code": outcome.problem.code, "re": message.id}
                assert self.post(to, "problem", body, 3_600)
        waiting = side.ahead.pop(seq + 1, None)
        if waiting:
            self.deliver(to, waiting)

    def missing(self, to: Actor) -> list[Verified]:
        """Return what a side's peer has sent and it has not processed."""
        return [message for message in self.sides[PEER[to]].sent if message.seq not in self.sides[to].log]

    @rule(
        actor=st.sampled_from(ACTORS),
        kind=st.sampled_from(["question", "answer", "notice", "disclose", "fulfil", "ack"]),
    )
    def chat(self, actor: Actor, kind: str) -> None:
        body = self.body(actor, kind, 3_600, firm=True)
        assert body is not None
        self.post(actor, kind, body, 3_600)

    @rule(life=st.sampled_from([30, 300, 3_600, 80_000, 400_000]), firm=st.sampled_from([True, True, True, False]))
    def offer(self, life: int, firm: bool) -> None:
        body = self.body("vendor", "offer", life, firm)
        assert body is not None
        self.post("vendor", "offer", body, life)

    @rule(
        kind=st.sampled_from(["counter", "accept", "accept", "withdraw"]),
        life=st.sampled_from([30, 300, 3_600, 80_000]),
    )
    def person_acts(self, kind: str, life: int) -> None:
        body = self.body("person", kind, life, firm=True)
        if body is not None:
            self.post("person", kind, body, life)

    @rule(kind=st.sampled_from(["confirm", "confirm", "confirm", "withdraw", "problem"]))
    def vendor_acts(self, kind: str) -> None:
        body = self.body("vendor", kind, 3_600, firm=True)
        if body is not None:
            self.post("vendor", kind, body, 3_600)

    @rule(actor=st.sampled_from(ACTORS), kind=st.sampled_from(["decline", "dispute"]), really=st.integers(0, 5))
    def give_up(self, actor: Actor, kind: str, really: int) -> None:
        if really == 0:
            body = self.body(actor, kind, 3_600, firm=True)
            assert body is not None
            self.post(actor, kind, body, 3_600)

    @precondition(lambda self: any(side.sent for side in self.sides.values()))
    @rule(to=st.sampled_from(ACTORS), pick=st.integers(0, 11), times=st.sampled_from([1, 1, 1, 2]))
    def arrive(self, to: Actor, pick: int, times: int) -> None:
        """Deliver one of the last messages, in any order, again or for the first time."""
        sent = self.sides[PEER[to]].sent
        if sent:
            for _ in range(times):
                self.deliver(to, sent[-1 - pick % len(sent)])

    @rule(to=st.sampled_from(ACTORS))
    def arrive_next(self, to: Actor) -> None:
        """Deliver what is due."""
        for message in self.missing(to)[:1]:
            self.deliver(to, message)

    @rule(
        seconds=st.sampled_from([1, 40, 400, 2_000, 40_000, 90_000, 250_000]),
        look=st.sampled_from([(), ("person",), ("vendor",), ACTORS]),
    )
    def wait(self, seconds: int, look: tuple[Actor, ...]) -> None:
        self.now += seconds
        for actor in look:
            self.sides[actor].session = tick(self.sides[actor].session, self.now)

    @rule(actor=st.sampled_from(ACTORS))
    def restart(self, actor: Actor) -> None:
        """A side stops and reads its session from storage."""
        self.sides[actor].session = read_session(write_session(self.sides[actor].session))

    @invariant()
    def a_persons_agreement_is_the_vendors_too(self) -> None:
        if not self.sides:
            return
        person, vendor = (self.sides[actor].session for actor in ACTORS)
        if person.state in (State.AGREED, State.FULFILLED):
            assert vendor.state in AFTER, self.told()
            assert (vendor.accepted_offer, vendor.accept) == (person.accepted_offer, person.accept), self.told()
            assert vendor.confirm == person.confirm, self.told()

    @invariant()
    def nobody_counts_more_than_he_has_processed(self) -> None:
        for actor, side in self.sides.items():
            assert side.session.chain(actor).seq == len(side.sent)
            assert side.session.chain(PEER[actor]).seq == len(side.log)
            assert side.session.rounds <= side.session.max_rounds

    def told(self) -> str:
        """Return what happened, for a person to read."""
        return "\n" + "\n".join(self.trace)

    def agreements(self) -> Iterator[bytes]:
        """Yield the confirm of every agreement that the signed records prove, whatever the states say."""
        sent = {message.id: message for side in self.sides.values() for message in side.sent}
        for confirm in sent.values():
            accept = sent.get(confirm.body["accept"]) if confirm.type == "confirm" else None
            offer = sent.get(accept.body["offer"]) if accept else None
            if accept and offer:
                try:
                    yield verify_agreement(bundle(RECORD.record, offer.record, accept.record, confirm.record)).id
                except IntentcastError:
                    continue

    def teardown(self) -> None:
        """Deliver all that is left, and compare."""
        if not self.sides:
            return
        while any(self.missing(actor) for actor in ACTORS):
            for actor in ACTORS:
                for message in self.missing(actor):
                    self.deliver(actor, message)
        for side in self.sides.values():
            side.session = tick(side.session, self.now)
            assert not side.ahead
        person, vendor = (self.sides[actor].session for actor in ACTORS)
        assert person.chains == vendor.chains, self.told()
        assert person.rounds >= vendor.rounds, self.told()
        pair = (person.state, vendor.state)
        assert person.state is vendor.state or pair in HARMLESS, f"{pair}{self.told()}"
        self.a_persons_agreement_is_the_vendors_too()
        proven = list(self.agreements())
        assert len(proven) <= 1, self.told()
        for one in (person, vendor):
            assert (one.state in AFTER) == bool(proven), self.told()
            assert not proven or one.confirm == proven[0], self.told()
        if {person.state, vendor.state} <= {State.OFFERED, State.COUNTERED, State.ACCEPTED}:
            assert person.offer == vendor.offer, self.told()


class TestNetwork(Network.TestCase):  # type: ignore[misc]
    """PROTOCOL §8.2"""

    settings = settings(
        max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )


@pytest.mark.long
class TestNetworkForLong(Network.TestCase):  # type: ignore[misc]
    """The same, for an hour's worth of sessions. PROTOCOL §8.2"""

    settings = settings(
        max_examples=4_000, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
    )
