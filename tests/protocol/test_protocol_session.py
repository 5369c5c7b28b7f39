"""The session table and its guards: every cell, every check, and each of the ways a message can fail to follow."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from intentcast_protocol.errors import CODES, InvalidMessage, Refused, StateError
from intentcast_protocol.identity import Id, public_key
from intentcast_protocol.limits import ACCEPT_GRACE, ACCEPT_LIFE, MAX_AHEAD, MAX_AMENDMENTS, MAX_FACTS, MAX_SKEW
from intentcast_protocol.negotiation import (
    ACTORS,
    TABLE,
    TURN,
    Actor,
    Ahead,
    Applied,
    Chain,
    Duplicate,
    Equivocation,
    Session,
    State,
    begin,
    permits,
    read_session,
    receive,
    send,
    tick,
    wake,
    write_session,
)
from intentcast_protocol.record import SESSION_TYPES, Verified, sign
from intentcast_protocol.states import FROZEN, IN_FORCE
from intentcast_protocol.terms import DEFAULT, ROSTER, Proffer
from intentcast_protocol.testing import CARS, NOW, make_demand, offer_body, price_body, seal_pair, seed

RECORD, DEMAND = make_demand()
D, V, S = public_key(seed("D")), public_key(seed("V")), public_key(seed("S"))
OFFER, ACCEPT, CONFIRM, FIRST = Id(b"o" * 32), Id(b"a" * 32), Id(b"c" * 32), Id(b"1" * 32)
BEGUN = begin(DEMAND, key=S, vendor=V)
ENDED = (State.DECLINED, State.WITHDRAWN, State.EXPIRED)


def session(state: State = State.OFFERED, **changes: Any) -> Session:
    """Return a session in a state, one message by each side behind it, with an offer and an accept that are recent."""
    fields: dict[str, Any] = {
        "state": state, "chains": (Chain(1, FIRST), Chain(1, FIRST)), "offer": OFFER, "offer_created": NOW - 900,
        "offer_until": NOW + 3_600, "firm": True, "accept": ACCEPT, "accept_created": NOW - 600,
        "accept_until": NOW + 600, "accepted_offer": OFFER, "terms_accepted": True,
    }  # fmt: skip
    if state in (State.AGREED, State.AMENDING):
        fields |= {"confirm": CONFIRM, "confirmed": ACCEPT}
    elif state in (State.REACCEPTED, State.FULFILLED, State.DISPUTED):
        fields |= {"confirm": CONFIRM, "confirmed": FIRST}
    return replace(BEGUN, **(fields | changes))


def good_body(kind: str, actor: Actor, life: int = 3_600) -> dict[str, Any]:
    """Return a body that passes every check on `session()`."""
    bodies: dict[str, dict[str, Any]] = {
        "offer": offer_body(DEMAND.id, NOW + life),
        "counter": {"demand": DEMAND.id, "offer": OFFER, "itemOffered": {"category": CARS},
                    "priceSpecification": price_body("17000.00")},
        "accept": {"demand": DEMAND.id, "offer": OFFER}, "confirm": {"accept": ACCEPT},
        "withdraw": {"re": OFFER if actor == "vendor" else ACCEPT}, "problem": {"code": "internal.error", "re": ACCEPT},
    }  # fmt: skip
    return bodies.get(kind, {}) | {"reply": seal_pair("r").public, "termsAccepted": DEFAULT.deal[0].wire()}


def message(actor: Actor, kind: str, body: dict[str, Any] | None = None, **changes: Any) -> Verified:
    """Sign message number 2 of a side, with a body that fits changed as told; Ellipsis takes a field away."""
    life = changes.pop("life", 3_600)
    merged = {name: value for name, value in (good_body(kind, actor, life) | (body or {})).items() if value is not ...}
    fields: dict[str, Any] = {
        "created": NOW, "to": V if actor == "person" else D, "session": S, "seq": 2, "prev": FIRST,
    }  # fmt: skip
    if kind == "resume":
        fields |= {"seq": 0, "prev": None}
    fields |= changes
    fields.setdefault("expires", fields["created"] + life)
    return sign(kind, seed(fields.pop("by", "D" if actor == "person" else "V")), merged, **fields)


def applied(before: Session, sent: Verified, now: int = NOW) -> Applied:
    """Process a message that is next in its chain."""
    outcome = receive(before, sent, now)
    assert isinstance(outcome, Applied)
    return outcome


def problem(before: Session, sent: Verified, now: int = NOW) -> str:
    """Process a message that must have no effect but to use up its number, and return the code owed for it."""
    outcome = applied(before, sent, now)
    assert outcome.problem is not None
    assert outcome.problem.code in CODES
    assert isinstance(outcome.problem, InvalidMessage | Refused)
    settled = tick(before, now)
    at = ACTORS.index(before.actor(sent.author) or "person")
    assert outcome.session.chains[at] == Chain(sent.seq or 0, sent.id)
    assert outcome.session == replace(settled, chains=outcome.session.chains)
    assert outcome.session.chains[1 - at] == before.chains[1 - at]
    return outcome.problem.code


class TestTable:
    """PROTOCOL §8.4"""

    def test_the_table_is_total(self) -> None:
        cells = {(state, actor, kind) for state in State for actor in ACTORS for kind in SESSION_TYPES}
        assert len(cells) == 15 * 2 * 17
        assert TABLE.keys() == cells
        assert all(target is None or isinstance(target, State) for target in TABLE.values())

    @pytest.mark.parametrize("kind", sorted(SESSION_TYPES))
    @pytest.mark.parametrize("actor", ACTORS)
    @pytest.mark.parametrize("state", State)
    def test_every_cell_is_what_a_message_does(self, state: State, actor: Actor, kind: str) -> None:
        target = TABLE[state, actor, kind]
        over = {"accept_until": NOW - ACCEPT_GRACE - 1} if target and (actor, kind) == ("person", "withdraw") else {}
        before = session(state, **over)
        amends = {"amends": before.confirm} if kind == "offer" and state in IN_FORCE else {}
        if kind == "confirm" and state is State.AGREED:
            before = replace(before, confirmed=FIRST)
        sent = message(actor, kind, amends)
        if target is None:
            assert problem(before, sent) == "refused.session.not-now"
            assert not permits(before, actor, kind, NOW)
            with pytest.raises(StateError):
                send(before, sent, NOW)
            return
        assert permits(before, actor, kind, NOW) is (target is not State.CONFLICT or state is State.CONFLICT)
        after = applied(before, sent)
        assert after.problem is None
        assert after.session.state is target
        if kind != "resume":
            assert after.session.chain(actor) == Chain(2, sent.id)

    def test_the_person_never_offers_and_the_vendor_never_accepts_or_counters(self) -> None:
        for state in State:
            assert {TABLE[state, "person", kind] for kind in ("offer", "confirm")} == {None}
            assert {TABLE[state, "vendor", kind] for kind in ("accept", "counter", "disclose")} == {None}

    def test_only_a_confirm_of_an_accept_in_force_makes_an_agreement(self) -> None:
        into = [cell for cell, target in TABLE.items() if target in IN_FORCE and cell[0] not in IN_FORCE]
        assert into == [(State.ACCEPTED, "vendor", "confirm")]
        into = [cell for cell, target in TABLE.items() if target is State.ACCEPTED and cell[0] is not State.ACCEPTED]
        assert into == [(state, "person", "accept") for state in (State.OFFERED, State.COUNTERED)]

    def test_nothing_leads_out_of_an_ended_session_but_a_crossing_confirm(self) -> None:
        for (state, actor, kind), target in TABLE.items():
            if state in ENDED and target not in (None, state):
                assert (actor, kind, target) == ("vendor", "confirm", State.CONFLICT)

    def test_an_agreement_is_never_simply_undone(self) -> None:
        """From agreed and after, no act leads back before it: only to fulfilled, conflict or disputed."""
        after = (*IN_FORCE, State.CONFLICT, State.DISPUTED)
        assert all(target in (None, *after) for (state, _, _), target in TABLE.items() if state in after)

    def test_every_state_can_be_reached(self) -> None:
        reached, fresh = {State.SEEN}, [State.SEEN]
        clock = {State.OFFERED: [State.LAPSED], State.SEEN: [State.EXPIRED]}
        while fresh:
            state = fresh.pop()
            ways = [TABLE[state, actor, kind] for actor in ACTORS for kind in SESSION_TYPES] + clock.get(state, [])
            new = {target for target in ways if target is not None} - reached
            reached |= new
            fresh += new
        assert reached == set(State)

    def test_the_table_cannot_be_changed(self) -> None:
        with pytest.raises(TypeError):
            TABLE[State.SEEN, "person", "offer"] = State.AGREED  # type: ignore[index]


class TestWhoActsNext:
    """PROTOCOL §8.4"""

    @pytest.mark.parametrize("state", State)
    def test_whoever_acts_next_can_change_the_state(self, state: State) -> None:
        before = session(state)
        assert before.turn == TURN[state][0]
        if before.turn is not None:
            moves = {TABLE[state, before.turn, kind] for kind in SESSION_TYPES} - {None, state}
            assert moves
        assert before.ended is (state in ENDED)

    def test_a_state_waits_until_its_deadline(self) -> None:
        before = session()
        assert {state: replace(before, state=state).deadline for state in State} == {
            State.SEEN: DEMAND.expires, State.ASKING: DEMAND.expires, State.LAPSED: DEMAND.expires,
            State.OFFERED: before.offer_until, State.COUNTERED: before.offer_until, State.ACCEPTED: before.accept_until,
            State.AMENDING: before.offer_until, State.REACCEPTED: before.accept_until,
            **dict.fromkeys((State.AGREED, State.FULFILLED, State.CONFLICT, State.DISPUTED, *ENDED), None),
        }  # fmt: skip


class TestBelonging:
    """PROTOCOL §8.2"""

    @pytest.mark.parametrize("actor", ACTORS)
    @pytest.mark.parametrize("change", [
        {"by": "somebody"}, {"by": "S"}, {"session": D}, {"session": public_key(seed("S2"))},
        {"to": public_key(seed("somebody"))}, {"to": S},
    ], ids=repr)  # fmt: skip
    def test_a_message_of_others_is_not_processed(self, actor: Actor, change: dict[str, Any]) -> None:
        with pytest.raises(InvalidMessage) as refused:
            receive(session(), message(actor, "notice", **change), NOW)
        assert refused.value.code == "invalid.record.recipient"

    @pytest.mark.parametrize(("actor", "to"), [("person", D), ("vendor", V)])
    def test_a_message_to_oneself_is_not_processed(self, actor: Actor, to: bytes) -> None:
        with pytest.raises(InvalidMessage) as refused:
            receive(session(), message(actor, "notice", to=to), NOW)
        assert refused.value.code == "invalid.record.recipient"

    def test_a_message_for_another_session_is_refused_before_its_number_is_looked_at(self) -> None:
        with pytest.raises(InvalidMessage) as refused:
            receive(session(), message("vendor", "notice", seq=99, to=V), NOW)
        assert refused.value.code == "invalid.record.recipient"

    def test_a_record_that_is_no_session_message_is_refused(self) -> None:
        for record in (RECORD, sign("sealed", seed("V"), {}, created=NOW, expires=NOW + 60, to=D)):
            with pytest.raises(InvalidMessage) as refused:
                receive(session(), record, NOW)
            assert refused.value.code == "invalid.record.purpose"

    def test_begin_takes_all_from_the_demand(self) -> None:
        assert (BEGUN.state, BEGUN.chains, BEGUN.rounds) == (State.SEEN, (Chain(), Chain()), 0)
        assert (BEGUN.key, BEGUN.demand, BEGUN.person, BEGUN.vendor) == (S, DEMAND.id, D, V)
        assert (BEGUN.demand_expires, BEGUN.max_rounds, BEGUN.proffer) == (DEMAND.expires, 5, DEFAULT)
        assert (BEGUN.actor(D), BEGUN.actor(V), BEGUN.actor(S)) == ("person", "vendor", None)


class TestChain:
    """PROTOCOL §8.2"""

    @pytest.mark.parametrize("actor", ACTORS)
    def test_the_next_number_follows_its_previous_id(self, actor: Actor) -> None:
        before = session()
        assert applied(before, message(actor, "notice")).session.chain(actor).seq == 2
        with pytest.raises(InvalidMessage) as refused:
            receive(before, message(actor, "notice", prev=b"x" * 32), NOW)
        assert refused.value.code == "invalid.session.previous"

    def test_a_wrong_previous_id_leaves_the_number_free(self) -> None:
        before = session()
        with pytest.raises(InvalidMessage):
            receive(before, message("vendor", "decline", prev=b"x" * 32), NOW)
        assert applied(before, message("vendor", "notice")).session.state is State.OFFERED

    def test_the_two_chains_count_apart(self) -> None:
        after = applied(session(), message("person", "notice")).session
        assert (after.chain("person").seq, after.chain("vendor").seq) == (2, 1)

    @pytest.mark.parametrize("ahead", range(2, MAX_AHEAD + 1))
    def test_a_message_ahead_is_kept_for_later(self, ahead: int) -> None:
        assert receive(session(), message("vendor", "notice", seq=1 + ahead, prev=b"x" * 32), NOW) == Ahead()

    @pytest.mark.parametrize("ahead", [MAX_AHEAD + 1, MAX_AHEAD + 2, 10**15])
    def test_a_message_too_far_ahead_is_a_gap(self, ahead: int) -> None:
        with pytest.raises(InvalidMessage) as refused:
            receive(session(), message("vendor", "notice", seq=1 + ahead, prev=b"x" * 32), NOW)
        assert refused.value.code == "invalid.session.gap"

    @pytest.mark.parametrize("state", State)
    def test_the_same_message_again_has_no_second_effect(self, state: State) -> None:
        before = session(state, chains=(Chain(2, FIRST), Chain(2, FIRST)))
        for actor in ACTORS:
            sent = message(actor, "notice")
            assert receive(before, sent, NOW, sent.id) == Duplicate()

    @pytest.mark.parametrize("state", State)
    @pytest.mark.parametrize("actor", ACTORS)
    def test_two_messages_under_one_number_freeze_the_session(self, state: State, actor: Actor) -> None:
        before = session(state, chains=(Chain(3, FIRST), Chain(3, FIRST)))
        one, other = message(actor, "notice"), message(actor, "notice", {"text": "other"})
        assert receive(before, one, NOW, one.id) == Duplicate()
        frozen = receive(before, other, NOW, one.id)
        assert frozen == Equivocation(replace(before, state=State.CONFLICT, frozen=True))
        disputed = replace(before, state=State.DISPUTED, frozen=True)
        assert receive(disputed, other, NOW, one.id) == Equivocation(disputed)

    def test_the_same_body_signed_anew_is_an_equivocation_too(self) -> None:
        before = session(chains=(Chain(1, FIRST), Chain(2, FIRST)))
        one, other = message("vendor", "notice"), message("vendor", "notice", created=NOW + 1)
        assert isinstance(receive(before, other, NOW, one.id), Equivocation)

    def test_a_resume_uses_up_no_number_and_changes_nothing(self) -> None:
        for state in State:
            before = session(state)
            for actor in ACTORS:
                sent = message(actor, "resume")
                assert receive(before, sent, NOW) == Applied(before)
                assert receive(before, sent, NOW, sent.id) == Duplicate()

    def test_a_number_is_used_up_even_by_what_is_refused(self) -> None:
        before = session(State.SEEN, offer=None)
        outcome = applied(before, message("vendor", "fulfil"))
        assert outcome.problem is not None
        assert outcome.session.chain("vendor").seq == 2


class TestOpening:
    """A side's first words: a reply key, and the vendor's acceptance of the terms. PROTOCOL §7.2, §8.3"""

    @pytest.mark.parametrize("reply", [..., None, b"", b"x" * 31, "x" * 32, 5])
    @pytest.mark.parametrize(("actor", "kind"), [
        ("vendor", "question"), ("vendor", "offer"), ("vendor", "decline"), ("vendor", "notice"), ("person", "decline"),
        ("person", "notice"), ("person", "problem"),
    ])  # fmt: skip
    def test_a_first_message_without_a_reply_key_has_no_effect(self, actor: Actor, kind: str, reply: Any) -> None:
        sent = message(actor, kind, {"reply": reply}, seq=1, prev=None)
        assert problem(BEGUN, sent) == "invalid.session.malformed"
        assert applied(BEGUN, message(actor, kind, seq=1, prev=None)).problem is None

    @pytest.mark.parametrize("kind", ["accept", "confirm"])
    @pytest.mark.parametrize("reply", [..., b"x" * 33])
    def test_accept_and_confirm_bring_a_fresh_reply_key(self, kind: str, reply: Any) -> None:
        actor: Actor = "person" if kind == "accept" else "vendor"
        before = session(State.OFFERED if kind == "accept" else State.ACCEPTED)
        assert problem(before, message(actor, kind, {"reply": reply})) == "invalid.session.malformed"

    def test_later_messages_need_no_reply_key(self) -> None:
        for kind in ("offer", "question", "decline", "withdraw"):
            assert applied(session(), message("vendor", kind, {"reply": ...})).problem is None

    TERMS = (
        (..., "invalid.terms.malformed"), ({}, "invalid.terms.malformed"), ("SD-BASE", "invalid.terms.malformed"),
        (DEFAULT.deal[0].wire() | {"text": bytes(32)}, "invalid.terms.unknown"),
        (ROSTER["PDC-INTENT"].wire(), "refused.terms.refused"),
    )  # fmt: skip

    @pytest.mark.parametrize("kind", ["question", "offer"])
    @pytest.mark.parametrize(("terms", "code"), TERMS, ids=lambda value: str(value)[:20])
    def test_no_question_or_offer_passes_before_the_terms_are_accepted(self, kind: str, terms: Any, code: str) -> None:
        opened = replace(BEGUN, chains=(Chain(), Chain(1, FIRST)))
        for before, place in ((BEGUN, {"seq": 1, "prev": None}), (opened, {})):
            expected = "invalid.terms.malformed" if code.endswith("malformed") else code
            assert problem(before, message("vendor", kind, {"termsAccepted": terms}, **place)) == expected
            after = applied(before, message("vendor", kind, **place))
            assert after.problem is None
            assert after.session.terms_accepted

    @pytest.mark.parametrize(("terms", "code"), TERMS, ids=lambda value: str(value)[:20])
    def test_every_offer_accepts_the_terms(self, terms: Any, code: str) -> None:
        assert problem(session(), message("vendor", "offer", {"termsAccepted": terms})) == code

    def test_once_accepted_a_question_need_not_repeat_the_terms(self) -> None:
        assert applied(session(), message("vendor", "question", {"termsAccepted": ...})).problem is None

    def test_a_person_has_no_terms_to_accept(self) -> None:
        sent = message("person", "question", {"termsAccepted": ...}, seq=1, prev=None)
        outcome = applied(BEGUN, sent)
        assert outcome.problem is None
        assert not outcome.session.terms_accepted

    def test_an_offer_without_effect_accepts_nothing(self) -> None:
        """What has no effect has none: the next question must accept the terms itself."""
        wrong = message("vendor", "offer", {"priceSpecification": None}, seq=1, prev=None)
        outcome = applied(BEGUN, wrong)
        assert outcome.problem is not None
        assert not outcome.session.terms_accepted
        question = message("vendor", "question", {"termsAccepted": ...}, prev=wrong.id)
        assert applied(outcome.session, question).problem is not None

    def test_a_vendor_may_decline_without_accepting_anything(self) -> None:
        sent = message("vendor", "decline", {"termsAccepted": ...}, seq=1, prev=None)
        assert applied(BEGUN, sent).session.state is State.DECLINED


class TestOffer:
    """PROTOCOL §8.3"""

    def test_an_offer_becomes_the_one_that_stands(self) -> None:
        sent = message("vendor", "offer", {"commitment": "indicative"})
        after = applied(session(State.COUNTERED), sent).session
        assert (after.state, after.offer, after.offer_created, after.offer_until, after.firm) == (
            State.OFFERED, sent.id, NOW, NOW + 3_600, False,
        )  # fmt: skip
        assert after.vendor_name == "Autohof Noord"

    def test_an_offer_on_another_version_of_the_demand_is_refused(self) -> None:
        assert problem(session(), message("vendor", "offer", {"demand": b"x" * 32})) == "refused.record.replaced"

    @pytest.mark.parametrize("body", [
        {"validThrough": NOW + 5}, {"priceSpecification": price_body() | {"price": "1.00"}}, {"offeredBy": {}},
    ], ids=lambda body: next(iter(body)))  # fmt: skip
    def test_an_ill_formed_offer_has_no_effect(self, body: dict[str, Any]) -> None:
        assert problem(session(), message("vendor", "offer", body)).startswith("invalid.offer.")

    @pytest.mark.parametrize("state", [State.SEEN, State.ASKING, State.OFFERED, State.COUNTERED, State.LAPSED,
                                       State.ACCEPTED])  # fmt: skip
    def test_an_offer_that_lapsed_on_its_way_replaces_the_one_before_and_lapses(self, state: State) -> None:
        """As it did for the vendor, who may have ended an accept with it."""
        sent = message("vendor", "offer", life=60)
        outcome = applied(session(state), sent, NOW + 61)
        assert outcome.problem is None
        assert (outcome.session.state, outcome.session.offer) == (State.LAPSED, sent.id)
        assert applied(session(state), sent, NOW + 60).session.state is State.OFFERED

    def test_a_new_offer_ends_the_accept(self) -> None:
        after = applied(session(State.ACCEPTED), message("vendor", "offer")).session
        late = message("vendor", "confirm", seq=3, prev=after.chain("vendor").last)
        assert after.state is State.OFFERED
        assert applied(after, late).session.state is State.CONFLICT


class TestCounter:
    """PROTOCOL §8.3"""

    def test_a_counter_uses_up_a_round_and_leaves_the_offer(self) -> None:
        before = session(rounds=2)
        after = applied(before, message("person", "counter")).session
        assert (after.state, after.rounds, after.offer, after.offer_until) == (
            State.COUNTERED, 3, before.offer, before.offer_until,
        )  # fmt: skip

    def test_no_more_counters_than_the_demand_says(self) -> None:
        assert applied(session(rounds=4), message("person", "counter")).problem is None
        assert problem(session(rounds=5), message("person", "counter")) == "refused.session.rounds"
        assert problem(session(rounds=0, max_rounds=0), message("person", "counter")) == "refused.session.rounds"

    @pytest.mark.parametrize("body", [{"offer": b"x" * 32}, {"demand": b"x" * 32}], ids=lambda body: next(iter(body)))
    def test_a_counter_on_anything_but_the_newest_offer_is_refused(self, body: dict[str, Any]) -> None:
        assert problem(session(), message("person", "counter", body)) == "refused.offer.not-standing"

    def test_a_counter_that_lapsed_on_its_way_is_refused(self) -> None:
        sent = message("person", "counter", life=60)
        assert applied(session(), sent, NOW + 60).problem is None
        assert problem(session(), sent, NOW + 61) == "refused.offer.late"

    @pytest.mark.parametrize("body", [{"priceSpecification": ...}, {"itemOffered": {}}, {"offer": "x"}], ids=repr)
    def test_an_ill_formed_counter_has_no_effect(self, body: dict[str, Any]) -> None:
        assert problem(session(), message("person", "counter", body)) == "invalid.offer.malformed"


class TestAccept:
    """PROTOCOL §8.3"""

    @pytest.mark.parametrize("state", [State.OFFERED, State.COUNTERED])
    def test_an_accept_of_the_standing_offer_waits_for_its_confirm(self, state: State) -> None:
        sent = message("person", "accept", life=500)
        after = applied(session(state, accepted_offer=None), sent).session
        assert (after.state, after.accept, after.accept_created, after.accept_until, after.accepted_offer) == (
            State.ACCEPTED, sent.id, NOW, NOW + 500, OFFER,
        )  # fmt: skip

    @pytest.mark.parametrize(("body", "code"), [
        ({"offer": b"x" * 32}, "refused.offer.not-standing"), ({"offer": ...}, "invalid.session.malformed"),
        ({"offer": "o" * 32}, "invalid.session.malformed"), ({"demand": b"x" * 32}, "refused.record.replaced"),
        ({"demand": ...}, "invalid.session.malformed"), ({"demand": None}, "invalid.session.malformed"),
    ], ids=repr)  # fmt: skip
    def test_an_accept_of_anything_else_is_refused(self, body: dict[str, Any], code: str) -> None:
        assert problem(session(), message("person", "accept", body)) == code

    def test_an_indicative_offer_cannot_be_accepted(self) -> None:
        assert problem(session(firm=False), message("person", "accept")) == "refused.session.not-now"

    def test_an_accept_waits_at_most_a_day(self) -> None:
        assert applied(session(), message("person", "accept", life=ACCEPT_LIFE)).problem is None
        sent = message("person", "accept", life=ACCEPT_LIFE + 1)
        assert problem(session(), sent) == "invalid.session.malformed"

    def test_an_accept_that_arrives_after_its_own_deadline_is_refused(self) -> None:
        sent = message("person", "accept", life=60)
        assert applied(session(), sent, NOW + 60).problem is None
        assert problem(session(), sent, NOW + 61) == "refused.offer.late"

    def test_an_accept_that_arrives_after_the_offers_last_moment_is_refused(self) -> None:
        sent = message("person", "accept", life=9_000)
        assert applied(session(), sent, NOW + 3_600).problem is None
        assert problem(session(), sent, NOW + 3_601) == "refused.session.not-now"

    @pytest.mark.parametrize(("until", "created", "code"), [
        ("offer_until", 0, None), ("offer_until", 1, "refused.offer.late"),
        ("demand_expires", -1, None), ("demand_expires", 0, "refused.offer.late"),
    ])  # fmt: skip
    def test_an_accept_dated_past_the_offer_or_the_demand_is_refused(
        self, until: str, created: int, code: str | None
    ) -> None:
        """A date ahead, within the skew that readers allow, must not make an agreement that nobody can verify."""
        before = session(**({"offer_until": NOW + 9_000, "demand_expires": NOW + 5_000} | {until: NOW + 100}))
        sent = message("person", "accept", created=NOW + 100 + created)
        if code is None:
            assert applied(before, sent).problem is None
        else:
            assert problem(before, sent) == code

    def test_an_accept_dated_before_its_offer_is_refused(self) -> None:
        earliest = NOW - 900 - MAX_SKEW
        assert applied(session(), message("person", "accept", created=earliest, expires=NOW + 60)).problem is None
        sent = message("person", "accept", created=earliest - 1, expires=NOW + 60)
        assert problem(session(), sent) == "invalid.record.time"


class TestConfirm:
    """PROTOCOL §8.3"""

    def test_a_confirm_makes_the_agreement(self) -> None:
        sent = message("vendor", "confirm")
        after = applied(session(State.ACCEPTED), sent).session
        assert (after.state, after.confirm, after.accepted_offer) == (State.AGREED, sent.id, OFFER)

    @pytest.mark.parametrize(("body", "code"), [
        ({"accept": b"x" * 32}, "refused.session.not-now"), ({"accept": OFFER}, "refused.session.not-now"),
        ({"accept": ...}, "invalid.session.malformed"), ({"accept": "a" * 32}, "invalid.session.malformed"),
    ], ids=repr)  # fmt: skip
    def test_a_confirm_of_anything_else_is_refused(self, body: dict[str, Any], code: str) -> None:
        assert problem(session(State.ACCEPTED), message("vendor", "confirm", body)) == code

    def test_a_confirm_without_an_accept_is_refused(self) -> None:
        for body in ({}, {"accept": ...}):
            before = session(State.OFFERED, accept=None, accept_until=0)
            assert problem(before, message("vendor", "confirm", body))

    def test_a_confirm_signed_by_the_deadline_is_good_whenever_it_arrives(self) -> None:
        sent = message("vendor", "confirm", created=NOW + 600)
        assert applied(session(State.ACCEPTED), sent, NOW + 86_400).session.state is State.AGREED

    def test_a_confirm_signed_after_the_deadline_is_refused(self) -> None:
        sent = message("vendor", "confirm", created=NOW + 601)
        assert problem(session(State.ACCEPTED), sent) == "refused.offer.late"

    def test_a_confirm_dated_before_its_accept_is_refused(self) -> None:
        earliest = NOW - 600 - MAX_SKEW
        good = message("vendor", "confirm", created=earliest, expires=NOW + 60)
        assert applied(session(State.ACCEPTED), good).session.state is State.AGREED
        sent = message("vendor", "confirm", created=earliest - 1, expires=NOW + 60)
        assert problem(session(State.ACCEPTED), sent) == "invalid.record.time"

    @pytest.mark.parametrize("state", [State.OFFERED, State.COUNTERED, State.LAPSED, *ENDED])
    def test_a_confirm_of_an_accept_no_longer_in_force_is_a_conflict(self, state: State) -> None:
        assert applied(session(state), message("vendor", "confirm")).session.state is State.CONFLICT


class TestWithdraw:
    """PROTOCOL §8.3"""

    def test_a_vendor_withdraws_its_newest_offer_only(self) -> None:
        for state in (State.OFFERED, State.COUNTERED, State.ACCEPTED, State.LAPSED):
            assert applied(session(state), message("vendor", "withdraw")).session.state is State.WITHDRAWN
            sent = message("vendor", "withdraw", {"re": b"x" * 32})
            assert problem(session(state), sent) == "refused.offer.not-standing"

    @pytest.mark.parametrize("actor", ACTORS)
    @pytest.mark.parametrize("about", [..., None, "x" * 32, b"x"])
    def test_a_withdrawal_of_nothing_is_malformed(self, actor: Actor, about: Any) -> None:
        sent = message(actor, "withdraw", {"re": about})
        assert problem(session(State.ACCEPTED), sent) == "invalid.session.malformed"

    @pytest.mark.parametrize("state", [State.ACCEPTED, State.AGREED])
    def test_a_person_withdraws_an_accept_after_deadline_and_grace(self, state: State) -> None:
        early = message("person", "withdraw", created=NOW + 600 + ACCEPT_GRACE)
        assert problem(session(state), early) == "refused.session.not-now"
        late = message("person", "withdraw", created=NOW + 601 + ACCEPT_GRACE)
        expected = State.WITHDRAWN if state is State.ACCEPTED else State.CONFLICT
        assert applied(session(state), late).session.state is expected

    def test_a_person_withdraws_the_newest_accept_only(self) -> None:
        sent = message("person", "withdraw", {"re": OFFER}, created=NOW + 10_000)
        assert problem(session(State.ACCEPTED), sent) == "refused.session.not-now"


class TestProblem:
    """PROTOCOL §8.3"""

    def test_a_vendors_problem_with_the_accept_ends_it(self) -> None:
        after = applied(session(State.ACCEPTED), message("vendor", "problem"))
        assert (after.session.state, after.problem) == (State.OFFERED, None)

    def test_a_problem_that_ends_the_accept_of_a_lapsed_offer_leaves_it_lapsed(self) -> None:
        before = session(State.ACCEPTED, offer_until=NOW - 1)
        assert applied(before, message("vendor", "problem")).session.state is State.LAPSED

    @pytest.mark.parametrize(("actor", "state", "body"), [
        ("vendor", State.ACCEPTED, {"re": OFFER}), ("vendor", State.ACCEPTED, {"re": ...}),
        ("vendor", State.ACCEPTED, {"re": None}), ("person", State.ACCEPTED, {}), ("vendor", State.OFFERED, {}),
        ("vendor", State.AGREED, {}), ("person", State.SEEN, {}), ("vendor", State.DECLINED, {}),
    ], ids=str)  # fmt: skip
    def test_any_other_problem_changes_nothing(self, actor: Actor, state: State, body: dict[str, Any]) -> None:
        outcome = applied(session(state), message(actor, "problem", body))
        assert (outcome.session.state, outcome.problem) == (state, None)

    @pytest.mark.parametrize("code", [..., None, "", 5, "x" * 61, "a\x1bb"])
    def test_a_problem_without_a_code_has_no_effect(self, code: Any) -> None:
        sent = message("vendor", "problem", {"code": code})
        assert problem(session(State.ACCEPTED), sent) == "invalid.session.malformed"

    def test_an_unknown_code_is_a_problem_like_any(self) -> None:
        sent = message("vendor", "problem", {"code": "refused.stock.sold-yesterday"})
        assert applied(session(State.ACCEPTED), sent).session.state is State.OFFERED


class TestClock:
    """PROTOCOL §8.5"""

    @pytest.mark.parametrize("state", State)
    def test_an_open_session_ends_with_its_demand(self, state: State) -> None:
        before = session(state, offer_until=NOW + 10**7)
        is_open = state in (State.SEEN, State.ASKING, State.OFFERED, State.COUNTERED, State.LAPSED)
        before = replace(before, accept_until=NOW + 10**7)
        assert tick(before, DEMAND.expires - 1) == before
        for late in (0, 1, 10**6):
            assert tick(before, DEMAND.expires + late).state is (State.EXPIRED if is_open else state)

    @pytest.mark.parametrize("state", State)
    def test_an_offer_lapses_after_its_last_moment(self, state: State) -> None:
        before = session(state, accept_until=NOW + 10_000)
        assert tick(before, before.offer_until) == before
        after = {State.OFFERED: State.LAPSED, State.COUNTERED: State.LAPSED, State.AMENDING: State.AGREED}
        assert tick(before, before.offer_until + 1).state is after.get(state, state)

    def test_an_amendment_that_is_not_confirmed_in_time_is_off(self) -> None:
        before = session(State.REACCEPTED)
        assert tick(before, before.accept_until + ACCEPT_GRACE) == before
        assert tick(before, before.accept_until + ACCEPT_GRACE + 1).state is State.AGREED

    @pytest.mark.parametrize("state", State)
    def test_the_clock_says_when_it_acts_next(self, state: State) -> None:
        before = session(state)
        due = wake(before)
        if due is None:
            assert tick(before, 2**40) == before
        else:
            assert tick(before, due - 1) == before
            assert tick(before, due) != before

    def test_the_end_of_the_demand_goes_first(self) -> None:
        before = session(offer_until=DEMAND.expires - 1)
        assert tick(before, DEMAND.expires).state is State.EXPIRED

    @pytest.mark.parametrize("state", State)
    def test_the_clock_acts_once_and_changes_only_the_state(self, state: State) -> None:
        before = session(state)
        for now in (NOW, before.offer_until + 1, DEMAND.expires):
            after = tick(before, now)
            assert tick(after, now) == after
            assert replace(after, state=state) == before

    def test_the_clock_acts_before_a_message(self) -> None:
        before = session()
        late = message("person", "accept", created=before.offer_until + 1)
        assert problem(before, late, before.offer_until + 1) == "refused.session.not-now"
        offer = message("vendor", "offer", created=DEMAND.expires, body={"validThrough": DEMAND.expires + 3_600})
        outcome = applied(before, offer, DEMAND.expires)
        assert outcome.session.state is State.EXPIRED
        assert not permits(before, "person", "accept", before.offer_until + 1)
        assert permits(before, "person", "accept", before.offer_until)


class TestSending:
    """PROTOCOL §8.2"""

    @pytest.mark.parametrize("cell", [cell for cell, to in TABLE.items() if to is State.CONFLICT is not cell[0]])
    def test_nobody_signs_what_leads_into_conflict(self, cell: tuple[State, Actor, str]) -> None:
        state, actor, kind = cell
        if state is not State.CONFLICT:
            before = session(state, accept_until=NOW - ACCEPT_GRACE - 1 if actor == "person" else NOW + 600)
            sent = message(actor, kind)
            assert applied(before, sent).session.state is State.CONFLICT
            with pytest.raises(StateError) as refused:
                send(before, sent, NOW)
            assert refused.value.code == "refused.session.not-now"
            assert not permits(before, actor, kind, NOW)

    def test_what_the_rules_refuse_is_not_signed(self) -> None:
        with pytest.raises(StateError) as refused:
            send(session(firm=False), message("person", "accept"), NOW)
        assert refused.value.code == "refused.session.not-now"
        with pytest.raises(StateError):
            send(session(), message("person", "notice", seq=3), NOW)
        assert send(session(), message("person", "accept"), NOW).state is State.ACCEPTED

    @pytest.mark.parametrize("kind", sorted(SESSION_TYPES))
    @pytest.mark.parametrize("actor", ACTORS)
    @pytest.mark.parametrize("state", [State.CONFLICT, State.DISPUTED])
    def test_a_frozen_session_takes_little_more(self, state: State, actor: Actor, kind: str) -> None:
        before = session(state, frozen=True)
        may = kind in FROZEN and TABLE[state, actor, kind] is not None
        assert permits(before, actor, kind, NOW) is may
        if kind != "resume":
            assert (applied(before, message(actor, kind)).problem is None) is may

    @pytest.mark.parametrize("state", State)
    def test_an_accept_binds_until_it_is_over(self, state: State) -> None:
        bound = (State.ACCEPTED, *IN_FORCE, State.CONFLICT, State.DISPUTED)
        assert session(state).binds is (state in bound)
        assert not session(state, accept=None, confirm=None).binds


class TestFacts:
    """PROTOCOL §8.3"""

    def test_questions_of_the_person_are_counted(self) -> None:
        assert applied(session(), message("person", "question", {"path": "itemOffered.color"})).session.asked == 1
        assert applied(session(), message("vendor", "question")).session.asked == 0

    @pytest.mark.parametrize("body", [
        {"path": "a b"}, {"path": 5}, {"path": ".".join("a" * 9)}, {"unitCode": "kilometre"},
    ], ids=repr)  # fmt: skip
    @pytest.mark.parametrize("actor", ACTORS)
    def test_an_ill_formed_question_has_no_effect(self, actor: Actor, body: dict[str, Any]) -> None:
        assert problem(session(), message(actor, "question", body)) == "invalid.session.malformed"

    @pytest.mark.parametrize("body", [
        {"facts": {}}, {"facts": None}, {"facts": [{"path": "a"}] * 1}, {"facts": [{"path": "a", "value": 5}]},
        {"facts": [{"path": "a", "value": "x"}] * 2}, {"facts": [{"path": "a", "value": "x", "more": 1}]},
        {"facts": [{"path": "a", "value": "x" * 201}]}, {"facts": [{"path": "a", "value": "many", "unitCode": "KMT"}]},
        {"facts": [{"path": "a", "value": True, "unitCode": "KMT"}]}, {"facts": [{"path": "a", "value": "a\x1bb"}]},
        {"facts": [{"path": "a", "value": "9.9", "priceCurrency": "EUR"}]},
        {"facts": [{"path": f"a{at}", "value": "x"} for at in range(MAX_FACTS + 1)]},
        {"waived": "a"}, {"waived": ["a", "a"]}, {"waived": [""]}, {"waived": ["a"] * 65}, {"waived": [5]},
    ], ids=lambda body: repr(body)[:40])  # fmt: skip
    @pytest.mark.parametrize("actor", ACTORS)
    def test_an_ill_formed_answer_has_no_effect(self, actor: Actor, body: dict[str, Any]) -> None:
        assert problem(session(), message(actor, "answer", body)) == "invalid.session.malformed"

    def test_an_answer_with_every_kind_of_fact_is_taken(self) -> None:
        body = {
            "facts": [
                {"path": "itemOffered.numberOfRooms", "value": "4", "unitCode": "C62"},
                {"path": "itemOffered.color", "value": "red"}, {"path": "itemOffered.esim", "value": False},
                {"path": "itemOffered.deductible", "value": "300.00", "priceCurrency": "EUR", "unitCode": "ANN"},
            ],
            "waived": ["itemOffered.mileageFromOdometer"],
        }  # fmt: skip
        assert applied(session(State.ASKING), message("person", "answer", body)).session.state is State.SEEN


class TestReopening:
    """PROTOCOL §8.3"""

    LATE = NOW + 5_000  # after the first offer has lapsed

    def offer(self, **changes: Any) -> Verified:
        return message("vendor", "offer", {"validThrough": self.LATE + 60}, created=self.LATE, life=60, **changes)

    def test_a_lapsed_session_is_reopened_once(self) -> None:
        first = applied(session(), self.offer(), self.LATE).session
        assert (first.state, first.reopened) == (State.OFFERED, 1)
        assert problem(session(reopened=1), self.offer(), self.LATE) == "refused.session.not-now"

    @pytest.mark.parametrize("heard", [{"asked": 1}, {"rounds": 1}])
    def test_and_once_more_for_each_question_and_counter(self, heard: dict[str, int]) -> None:
        assert applied(session(reopened=1, **heard), self.offer(), self.LATE).session.reopened == 2
        assert problem(session(reopened=2, **heard), self.offer(), self.LATE) == "refused.session.not-now"

    def test_it_is_counted_by_the_offers_dates_and_not_by_when_they_arrive(self) -> None:
        in_time = message(
            "vendor", "offer", {"validThrough": self.LATE + 60}, created=NOW + 3_600, expires=self.LATE + 60
        )
        before = session(reopened=1)
        assert tick(before, self.LATE).state is State.LAPSED
        assert applied(before, in_time, self.LATE).session.state is State.OFFERED


class TestAmendment:
    """PROTOCOL §8.6"""

    def test_an_amendment_names_the_agreement_in_force(self) -> None:
        for amends in (..., b"x" * 32, ACCEPT):
            assert problem(session(State.AGREED), message("vendor", "offer", {"amends": amends})) == (
                "refused.session.not-now"
            )
        after = applied(session(State.AGREED), message("vendor", "offer", {"amends": CONFIRM})).session
        assert (after.state, after.confirm, after.turn, after.deadline) == (
            State.AMENDING, CONFIRM, "person", NOW + 3_600,
        )  # fmt: skip

    def test_before_an_agreement_there_is_nothing_to_amend(self) -> None:
        for state in (State.OFFERED, State.ACCEPTED, State.LAPSED):
            sent = message("vendor", "offer", {"amends": CONFIRM})
            assert problem(session(state), sent) == "refused.session.not-now"
        assert problem(session(), message("vendor", "offer", {"amends": "c"})) == "invalid.offer.malformed"

    def test_an_agreement_is_amended_so_often_and_no_more(self) -> None:
        sent = message("vendor", "offer", {"amends": CONFIRM})
        assert applied(session(State.AGREED, amendments=MAX_AMENDMENTS - 1), sent).problem is None
        assert problem(session(State.AGREED, amendments=MAX_AMENDMENTS), sent) == "refused.session.not-now"

    def test_an_amendment_may_be_accepted_after_the_demand_has_ended(self) -> None:
        late = DEMAND.expires + 10
        before = session(State.AMENDING, offer_until=late + 60, offer_created=late)
        after = applied(before, message("person", "accept", created=late), late).session
        assert (after.state, after.confirm) == (State.REACCEPTED, CONFIRM)

    def test_its_confirm_replaces_the_agreement(self) -> None:
        sent = message("vendor", "confirm")
        after = applied(session(State.REACCEPTED), sent).session
        assert (after.state, after.confirm, after.confirmed, after.amendments) == (State.AGREED, sent.id, ACCEPT, 1)

    @pytest.mark.parametrize("state", [State.AGREED, State.FULFILLED, State.DISPUTED])
    def test_a_confirm_signed_in_time_amends_whenever_it_arrives(self, state: State) -> None:
        before = session(state, confirm=CONFIRM, confirmed=FIRST)
        sent = message("vendor", "confirm", created=NOW + 600)
        after = applied(before, sent, NOW + 86_400).session
        assert (after.state, after.confirm, after.amendments) == (state, sent.id, 1)
        assert problem(before, message("vendor", "confirm", created=NOW + 601)) == "refused.offer.late"

    @pytest.mark.parametrize("state", [State.AGREED, State.FULFILLED, State.DISPUTED])
    def test_one_accept_is_confirmed_once(self, state: State) -> None:
        before = session(state, confirm=CONFIRM, confirmed=ACCEPT)
        assert problem(before, message("vendor", "confirm")) == "refused.session.not-now"

    @pytest.mark.parametrize("kind", ["offer", "withdraw", "problem"])
    def test_the_vendor_ends_its_accept_for_good(self, kind: str) -> None:
        sent = message("vendor", kind, {"amends": CONFIRM} if kind == "offer" else {})
        after = applied(session(State.REACCEPTED), sent).session
        assert (after.state, after.confirm, after.accept) == (TABLE[State.REACCEPTED, "vendor", kind], CONFIRM, None)
        late = message("vendor", "confirm", seq=3, prev=sent.id)
        assert problem(after, late) == "refused.session.not-now"


class TestStorage:
    """A session is a value that comes back from storage as it was."""

    @pytest.mark.parametrize("state", State)
    def test_a_session_comes_back_as_it_was(self, state: State) -> None:
        proffer = Proffer(ROSTER["PDC-INTENT"], (ROSTER["SD-BASE"], ROSTER["SD-BASE-DP"]))
        for one in (
            session(state),
            replace(BEGUN, state=state),
            session(state, rounds=3, confirm=Id(b"c" * 32), vendor_name="Ünïcode ☃", firm=False, proffer=proffer),
        ):
            back = read_session(write_session(one))
            assert back == one
            assert write_session(back) == write_session(one)
            assert back.state is state

    def test_what_was_read_behaves_the_same(self) -> None:
        before = session(State.ACCEPTED)
        sent = message("vendor", "confirm")
        assert receive(read_session(write_session(before)), sent, NOW) == receive(before, sent, NOW)

    def test_every_field_is_written(self) -> None:
        changes: dict[str, Callable[[Any], Any]] = {
            "key": lambda _: D, "demand": lambda _: b"x" * 32, "person": lambda _: S, "vendor": lambda _: S,
            "state": lambda _: State.DISPUTED, "chains": lambda _: (Chain(7, FIRST), Chain()),
            "proffer": lambda _: Proffer(ROSTER["SD-BASE"], (ROSTER["SD-BASE"],)), "firm": lambda value: not value,
            "terms_accepted": lambda value: not value, "vendor_name": lambda _: "other",
        }  # fmt: skip
        for name in Session.__slots__:
            before = session()
            change = changes.get(name, lambda value: value + 1 if isinstance(value, int) else b"y" * 32)
            after = replace(before, **{name: change(getattr(before, name))})
            assert after != before
            assert read_session(write_session(after)) == after
