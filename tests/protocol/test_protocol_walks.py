"""Whole sessions seen from both sides: the happy ways, and what becomes of messages that cross."""

from collections.abc import Mapping
from typing import Any

import pytest
from intentcast_protocol.agreement import bundle, verify_agreement
from intentcast_protocol.errors import InvalidMessage, StateError
from intentcast_protocol.limits import ACCEPT_GRACE, MAX_AHEAD
from intentcast_protocol.negotiation import (
    Actor,
    Ahead,
    Applied,
    Duplicate,
    Equivocation,
    State,
    read_session,
    send,
    tick,
    write_session,
)
from intentcast_protocol.record import Verified, sign
from intentcast_protocol.terms import DEFAULT
from intentcast_protocol.testing import CARS, NOW, Pair, offer_body, price_body, seal_pair, seed

REPLY = {"reply": seal_pair("r").public, "termsAccepted": DEFAULT.deal[0].wire()}


def say(pair: Pair, actor: Actor, kind: str, body: Mapping[str, Any] | None = None, life: int = 3_600) -> Verified:
    """Sign a message and process it on its author's side only: it is on its way."""
    message = pair.message(actor, kind, REPLY | body if body is not None else None, life)
    outcome = pair.deliver(actor, message)
    assert isinstance(outcome, Applied)
    assert outcome.problem is None
    return message


def hear(pair: Pair, side: Actor, message: Verified) -> str | None:
    """Process a message where it arrives, and return the code of the problem it met."""
    outcome = pair.deliver(side, message)
    assert isinstance(outcome, Applied)
    return outcome.problem and outcome.problem.code


def states(pair: Pair) -> tuple[State, State]:
    """Return the person's and the vendor's state now."""
    for side in ("person", "vendor"):
        pair.sides[side] = tick(pair.sides[side], pair.now)
    return pair.sides["person"].state, pair.sides["vendor"].state


def both(pair: Pair, state: State) -> bool:
    """Say whether both sides hold this state, and the same session altogether."""
    assert states(pair) == (state, state)
    return pair.sides["person"] == pair.sides["vendor"]


def proof(pair: Pair) -> bytes:
    """Bundle the agreement that the person's side has come to."""
    person = pair.sides["person"]
    found = {message.id: message.record for message in pair.log}
    assert person.accepted_offer
    assert person.accept
    assert person.confirm
    records = (found[person.accepted_offer], found[person.accept], found[person.confirm])
    return bundle(pair.demand_record.record, *records)


class TestHappyWays:
    """PROTOCOL §8"""

    def test_offer_accept_confirm_is_an_agreement(self) -> None:
        pair = Pair()
        for actor, kind, state in (
            ("vendor", "offer", State.OFFERED), ("person", "accept", State.ACCEPTED),
            ("vendor", "confirm", State.AGREED),
            ("person", "disclose", State.AGREED), ("vendor", "fulfil", State.AGREED),
            ("person", "fulfil", State.FULFILLED),
        ):  # fmt: skip
            assert pair.send(actor, kind).problem is None  # type: ignore[arg-type]
            assert both(pair, state)
        agreement = verify_agreement(proof(pair))
        assert agreement.id == pair.sides["vendor"].confirm

    def test_a_question_is_answered_before_the_offer(self) -> None:
        pair = Pair()
        for actor, kind, state in (
            ("vendor", "question", State.ASKING), ("vendor", "question", State.ASKING),
            ("person", "answer", State.SEEN),
            ("vendor", "offer", State.OFFERED), ("person", "question", State.OFFERED),
            ("vendor", "answer", State.OFFERED),
        ):  # fmt: skip
            assert pair.send(actor, kind).problem is None  # type: ignore[arg-type]
            assert both(pair, state)

    def test_a_counter_is_agreed_to_by_offering_its_terms(self) -> None:
        pair = Pair()
        pair.send("vendor", "offer")
        first = pair.sides["person"].offer
        pair.send("person", "counter")
        assert both(pair, State.COUNTERED)
        assert pair.sides["person"].offer == first
        pair.send("vendor", "offer", offer_body(pair.demand.id, NOW + 3_600, priceSpecification=price_body("17000.00")))
        pair.send("person", "accept")
        pair.send("vendor", "confirm")
        assert both(pair, State.AGREED)
        assert verify_agreement(proof(pair)).offer.price.total == 17_000

    def test_an_offer_stands_after_a_counter_and_can_be_accepted(self) -> None:
        pair = Pair()
        pair.send("vendor", "offer")
        pair.send("person", "counter")
        assert pair.send("person", "accept").problem is None
        assert both(pair, State.ACCEPTED)

    def test_rounds_are_counted_up_to_the_most_and_no_further(self) -> None:
        pair = Pair()
        pair.send("vendor", "offer")
        for round_ in range(1, pair.demand.max_rounds + 1):
            assert pair.send("person", "counter").problem is None
            assert pair.sides["vendor"].rounds == round_
            assert pair.send("vendor", "offer").problem is None
        outcome = pair.send("person", "counter")
        assert outcome.problem is not None
        assert outcome.problem.code == "refused.session.rounds"
        assert both(pair, State.OFFERED)
        assert pair.send("person", "accept").problem is None

    @pytest.mark.parametrize("ways", [
        [("vendor", "decline", State.DECLINED)],
        [("vendor", "question", State.ASKING), ("person", "decline", State.DECLINED)],
        [("vendor", "offer", State.OFFERED), ("person", "decline", State.DECLINED)],
        [("vendor", "offer", State.OFFERED), ("vendor", "withdraw", State.WITHDRAWN)],
        [("vendor", "offer", State.OFFERED), ("person", "counter", State.COUNTERED),
         ("vendor", "decline", State.DECLINED)],
        [("vendor", "offer", State.OFFERED), ("person", "accept", State.ACCEPTED),
         ("vendor", "decline", State.DECLINED)],
        [("vendor", "offer", State.OFFERED), ("person", "accept", State.ACCEPTED), ("vendor", "problem", State.OFFERED),
         ("person", "accept", State.ACCEPTED), ("vendor", "confirm", State.AGREED),
         ("person", "dispute", State.DISPUTED)],
        [("vendor", "offer", State.OFFERED), ("person", "accept", State.ACCEPTED), ("vendor", "offer", State.OFFERED),
         ("person", "accept", State.ACCEPTED), ("vendor", "confirm", State.AGREED),
         ("vendor", "dispute", State.DISPUTED)],
    ], ids=lambda ways: "-".join(kind for _, kind, _ in ways))  # fmt: skip
    def test_both_sides_go_every_way_together(self, ways: list[tuple[Actor, str, State]]) -> None:
        pair = Pair()
        for actor, kind, state in ways:
            assert pair.send(actor, kind).problem is None
            assert both(pair, state)
            for side in pair.sides.values():
                assert read_session(write_session(side)) == side

    def test_a_lapsed_session_is_reopened_by_a_new_offer(self) -> None:
        pair = Pair()
        pair.send("vendor", "offer")
        pair.now += 3_601
        assert both(pair, State.LAPSED)
        assert pair.send("person", "accept").problem is not None
        assert pair.send("vendor", "offer").problem is None
        assert both(pair, State.OFFERED)
        pair.send("person", "accept")
        pair.send("vendor", "confirm")
        assert both(pair, State.AGREED)
        assert verify_agreement(proof(pair))

    def test_an_indicative_offer_is_countered_and_asked_about_and_then_made_firm(self) -> None:
        pair = Pair()
        pair.send("vendor", "offer", offer_body(pair.demand.id, NOW + 3_600, commitment="indicative"))
        for actor, kind, state in (
            ("person", "question", State.OFFERED), ("vendor", "answer", State.OFFERED),
            ("person", "counter", State.COUNTERED),
        ):  # fmt: skip
            assert pair.send(actor, kind).problem is None  # type: ignore[arg-type]
            assert both(pair, state)
        outcome = pair.send("person", "accept")
        assert outcome.problem is not None
        assert outcome.problem.code == "refused.session.not-now"
        assert both(pair, State.COUNTERED)
        for actor, kind in (("vendor", "offer"), ("person", "accept"), ("vendor", "confirm")):
            assert pair.send(actor, kind).problem is None  # type: ignore[arg-type]
        assert both(pair, State.AGREED)
        assert verify_agreement(proof(pair)).offer.firm

    def test_an_agreement_is_amended_and_the_first_stands_until_then(self) -> None:
        pair = Pair()
        for actor, kind in (("vendor", "offer"), ("person", "accept"), ("vendor", "confirm")):
            pair.send(actor, kind)  # type: ignore[arg-type]
        first = pair.sides["person"].confirm
        amendment = offer_body(pair.demand.id, NOW + 3_600, priceSpecification=price_body("17000.00"), amends=first)
        for ending in (("person", "decline"), ("vendor", "withdraw")):
            pair.send("vendor", "offer", amendment)
            assert both(pair, State.AMENDING)
            body = {"re": pair.sides["vendor"].offer} if ending[1] == "withdraw" else None
            assert pair.send(*ending, body).problem is None  # type: ignore[arg-type]
            assert both(pair, State.AGREED)
            assert pair.sides["person"].confirm == first
        pair.send("vendor", "offer", amendment)
        pair.send("person", "accept")
        assert both(pair, State.REACCEPTED)
        assert pair.sides["person"].confirm == first
        pair.send("vendor", "confirm")
        assert both(pair, State.AGREED)
        assert pair.sides["person"].confirm != first
        assert pair.sides["person"].amendments == 1

    def test_an_amendment_that_nobody_accepts_or_confirms_is_off_by_the_clock(self) -> None:
        pair = Pair()
        for actor, kind in (("vendor", "offer"), ("person", "accept"), ("vendor", "confirm")):
            pair.send(actor, kind)  # type: ignore[arg-type]
        first = pair.sides["person"].confirm
        for accepted in (False, True):
            pair.send("vendor", "offer", offer_body(pair.demand.id, pair.now + 3_600, amends=first))
            if accepted:
                pair.send("person", "accept")
            pair.now += 3_601 + ACCEPT_GRACE
            assert both(pair, State.AGREED)
            assert pair.sides["person"].confirm == first

    def test_nothing_comes_of_a_session_after_its_demand_has_ended(self) -> None:
        pair = Pair()
        pair.send("vendor", "offer", life=10**7)
        pair.now = pair.demand.expires
        assert both(pair, State.EXPIRED)
        for actor, kind in (("person", "accept"), ("vendor", "offer"), ("person", "counter")):
            outcome = pair.send(actor, kind)  # type: ignore[arg-type]
            assert outcome.problem is not None
            assert outcome.problem.code == "refused.session.not-now"
        assert both(pair, State.EXPIRED)

    def test_an_accept_in_time_can_be_confirmed_after_the_demand_has_ended(self) -> None:
        pair = Pair()
        pair.now = pair.demand.expires - 10
        pair.send("vendor", "offer")
        pair.send("person", "accept")
        pair.now += 60
        pair.send("vendor", "confirm")
        assert both(pair, State.AGREED)
        assert verify_agreement(proof(pair))

    def test_an_accept_that_is_never_confirmed_is_withdrawn_after_the_grace(self) -> None:
        pair = Pair()
        pair.send("vendor", "offer")
        pair.send("person", "accept", life=600)
        pair.now += 600 + ACCEPT_GRACE
        assert pair.send("person", "withdraw").problem is not None
        pair.now += 1
        assert pair.send("person", "withdraw").problem is None
        assert both(pair, State.WITHDRAWN)


class TestCrossing:
    """Messages that pass each other on the way. PROTOCOL §8.2"""

    def offered(self) -> Pair:
        pair = Pair()
        pair.send("vendor", "offer")
        return pair

    def accepted(self, life: int = 600) -> Pair:
        pair = self.offered()
        pair.send("person", "accept", life=life)
        return pair

    def test_a_new_offer_crosses_an_accept(self) -> None:
        """The accept named the old offer: nobody is bound, and the person may accept the new one."""
        pair = self.offered()
        accept, offer = (
            say(pair, "person", "accept"),
            say(pair, "vendor", "offer", offer_body(pair.demand.id, NOW + 3_600)),
        )
        assert hear(pair, "person", offer) is None
        assert hear(pair, "vendor", accept) == "refused.offer.not-standing"
        assert states(pair) == (State.OFFERED, State.OFFERED)
        assert pair.sides["person"].offer == pair.sides["vendor"].offer == offer.id
        accept = say(pair, "person", "accept", {"demand": pair.demand.id, "offer": offer.id})
        assert hear(pair, "vendor", accept) is None
        pair.send("vendor", "confirm")
        assert states(pair) == (State.AGREED, State.AGREED)
        assert verify_agreement(proof(pair)).offer.id == offer.id

    def test_a_new_offer_crosses_a_counter(self) -> None:
        """Only the person counts the round: who counts more stops sooner."""
        pair = self.offered()
        counter = say(pair, "person", "counter")
        offer = say(pair, "vendor", "offer", offer_body(pair.demand.id, NOW + 3_600))
        assert hear(pair, "vendor", counter) == "refused.offer.not-standing"
        assert hear(pair, "person", offer) is None
        assert states(pair) == (State.OFFERED, State.OFFERED)
        assert (pair.sides["person"].rounds, pair.sides["vendor"].rounds) == (1, 0)

    def test_a_counter_on_an_older_offer_is_refused(self) -> None:
        pair = self.offered()
        old = pair.sides["person"].offer
        pair.send("vendor", "offer")
        body = {"demand": pair.demand.id, "offer": old, "itemOffered": {"category": CARS},
                "priceSpecification": price_body("17000.00")}  # fmt: skip
        outcome = pair.send("person", "counter", REPLY | body)
        assert outcome.problem is not None
        assert outcome.problem.code == "refused.offer.not-standing"

    def test_a_decline_crosses_an_accept(self) -> None:
        pair = self.offered()
        accept, decline = say(pair, "person", "accept"), say(pair, "vendor", "decline", {})
        assert hear(pair, "vendor", accept) == "refused.session.not-now"
        assert hear(pair, "person", decline) is None
        assert states(pair) == (State.DECLINED, State.DECLINED)

    def test_a_withdrawn_offer_crosses_an_accept(self) -> None:
        pair = self.offered()
        accept = say(pair, "person", "accept")
        withdraw = say(pair, "vendor", "withdraw", {"re": pair.sides["vendor"].offer})
        assert hear(pair, "vendor", accept) == "refused.session.not-now"
        assert hear(pair, "person", withdraw) is None
        assert states(pair) == (State.WITHDRAWN, State.WITHDRAWN)

    def test_a_withdraw_of_the_accept_crosses_its_confirm(self) -> None:
        """Both sides keep both, and both know that people must talk; the bundle still verifies."""
        pair = self.accepted()
        pair.now += 600
        confirm = say(pair, "vendor", "confirm")
        pair.now += ACCEPT_GRACE + 1
        withdraw = say(pair, "person", "withdraw")
        assert hear(pair, "person", confirm) is None
        assert hear(pair, "vendor", withdraw) is None
        assert states(pair) == (State.CONFLICT, State.CONFLICT)
        assert pair.sides["person"].confirm == pair.sides["vendor"].confirm == confirm.id
        assert verify_agreement(proof(pair))
        for side in ("person", "vendor"):
            pair.send(side, "dispute")  # type: ignore[arg-type]
        assert states(pair) == (State.DISPUTED, State.DISPUTED)

    def test_a_late_accept_meets_a_problem_that_frees_the_person(self) -> None:
        pair = self.offered()
        accept = say(pair, "person", "accept", life=9_000)
        pair.now += 3_601
        assert hear(pair, "vendor", accept) == "refused.session.not-now"
        assert states(pair) == (State.ACCEPTED, State.LAPSED)
        problem = say(pair, "vendor", "problem", {"code": "refused.session.not-now", "re": accept.id})
        assert hear(pair, "person", problem) is None
        assert states(pair) == (State.LAPSED, State.LAPSED)

    def test_an_offer_that_lapsed_on_its_way_frees_the_person_from_the_accept_it_ended(self) -> None:
        """Without this the person would wait a day for a confirm that the vendor can no longer give."""
        pair = self.accepted(life=80_000)
        offer = say(pair, "vendor", "offer", offer_body(pair.demand.id, NOW + 60), life=60)
        pair.now += 61
        assert hear(pair, "person", offer) is None
        assert states(pair) == (State.LAPSED, State.LAPSED)
        assert pair.sides["person"].offer == pair.sides["vendor"].offer == offer.id

    def test_a_withdrawal_follows_an_offer_that_lapsed_on_its_way(self) -> None:
        pair = self.accepted(life=80_000)
        offer = say(pair, "vendor", "offer", offer_body(pair.demand.id, NOW + 60), life=60)
        withdraw = say(pair, "vendor", "withdraw", {"re": offer.id})
        pair.now += 61
        assert hear(pair, "person", offer) is None
        assert hear(pair, "person", withdraw) is None
        assert states(pair) == (State.WITHDRAWN, State.WITHDRAWN)

    def test_a_problem_crosses_the_withdraw_of_the_accept(self) -> None:
        """A difference without harm: the vendor's offer is open for a person who has gone, until it lapses."""
        pair = self.accepted()
        pair.now += 601 + ACCEPT_GRACE
        problem = say(pair, "vendor", "problem", {"code": "refused.stock.gone", "re": pair.sides["vendor"].accept})
        withdraw = say(pair, "person", "withdraw")
        assert hear(pair, "person", problem) is None
        assert hear(pair, "vendor", withdraw) == "refused.session.not-now"
        assert states(pair) == (State.WITHDRAWN, State.OFFERED)

    def test_two_questions_cross_an_answer(self) -> None:
        """A difference without harm: the person owes one more answer."""
        pair = Pair()
        pair.send("vendor", "question")
        second, answer = say(pair, "vendor", "question", {}), say(pair, "person", "answer", {})
        assert hear(pair, "person", second) is None
        assert hear(pair, "vendor", answer) is None
        assert states(pair) == (State.ASKING, State.SEEN)
        pair.send("person", "answer")
        assert both(pair, State.SEEN)

    def test_a_counter_that_lapsed_on_its_way_leaves_the_offer_standing(self) -> None:
        """A difference without harm: the same offer stands on both sides until the same moment."""
        pair = self.offered()
        counter = say(pair, "person", "counter", life=60)
        pair.now += 61
        assert hear(pair, "vendor", counter) == "refused.offer.late"
        assert states(pair) == (State.COUNTERED, State.OFFERED)
        assert pair.sides["person"].offer == pair.sides["vendor"].offer
        assert pair.send("person", "accept").problem is None
        assert states(pair) == (State.ACCEPTED, State.ACCEPTED)

    def test_one_declines_what_the_other_has_withdrawn(self) -> None:
        """A difference without harm: both are ended."""
        pair = self.offered()
        decline = say(pair, "person", "decline", {})
        withdraw = say(pair, "vendor", "withdraw", {"re": pair.sides["vendor"].offer})
        assert hear(pair, "vendor", decline) == "refused.session.not-now"
        assert hear(pair, "person", withdraw) == "refused.session.not-now"
        assert all(side.ended for side in pair.sides.values())

    def test_a_vendor_that_confirms_what_its_own_offer_ended_is_in_conflict(self) -> None:
        """Its own rules refuse to sign it."""
        pair = self.accepted()
        accept = pair.sides["vendor"].accept
        pair.send("vendor", "offer")
        confirm = pair.message("vendor", "confirm", REPLY | {"accept": accept})
        with pytest.raises(StateError):
            send(pair.sides["vendor"], confirm, pair.now)
        assert hear(pair, "vendor", confirm) is None
        assert hear(pair, "person", confirm) is None
        assert states(pair) == (State.CONFLICT, State.CONFLICT)


class TestDelivery:
    """Early, late, twice and forged. PROTOCOL §8.2"""

    def test_messages_ahead_wait_for_the_missing_one(self) -> None:
        pair = Pair()
        sent = [say(pair, "vendor", "offer")] + [say(pair, "vendor", "notice", {}) for _ in range(MAX_AHEAD)]
        with pytest.raises(InvalidMessage) as refused:
            pair.deliver("person", sent[MAX_AHEAD])
        assert refused.value.code == "invalid.session.gap"
        for message in sent[MAX_AHEAD - 1 : 0 : -1]:
            assert pair.deliver("person", message) == Ahead()
        for message in sent:
            assert hear(pair, "person", message) is None
        assert both(pair, State.OFFERED)

    def test_every_message_again_is_a_duplicate(self) -> None:
        pair = Pair()
        for actor, kind in (("vendor", "offer"), ("person", "accept"), ("vendor", "confirm")):
            pair.send(actor, kind)  # type: ignore[arg-type]
        before = dict(pair.sides)
        for message in pair.log:
            for side in ("person", "vendor"):
                assert pair.deliver(side, message, message.id) == Duplicate()  # type: ignore[arg-type]
        assert pair.sides == before

    def test_a_second_message_under_one_number_is_kept_as_evidence(self) -> None:
        pair = Pair()
        pair.send("vendor", "offer")
        first = pair.log[0]
        twin = sign("offer", seed("V"), offer_body(pair.demand.id, NOW + 3_600, deviations=["cheaper"]), created=NOW,
                    expires=NOW + 3_600, to=first.to, session=first.session, seq=1)  # fmt: skip
        outcome = pair.deliver("person", twin, first.id)
        assert isinstance(outcome, Equivocation)
        assert outcome.session.state is State.CONFLICT
        assert outcome.session.chains == pair.sides["person"].chains

    def test_a_fork_after_the_first_number_is_seen_by_its_previous_id(self) -> None:
        pair, other = Pair(), Pair()
        pair.send("vendor", "offer")
        other.send("vendor", "question")
        follow = other.message("vendor", "notice", REPLY)
        with pytest.raises(InvalidMessage) as refused:
            pair.deliver("person", follow)
        assert refused.value.code == "invalid.session.previous"

    def test_a_refused_message_uses_up_its_number_on_both_sides(self) -> None:
        pair = Pair()
        outcome = pair.send("vendor", "fulfil")
        assert outcome.problem is not None
        assert both(pair, State.SEEN)
        assert pair.sides["person"].chain("vendor").seq == 1
        assert pair.send("vendor", "offer").problem is None
