"""Disclosure: nothing private leaves before its stage, and what is not listed never does."""

from dataclasses import replace
from typing import Any

import pytest
from intentcast_protocol.disclosure import (
    PURPOSES,
    STAGES,
    Stage,
    check_release,
    disclosure,
    read_disclosure,
    stage_of,
)
from intentcast_protocol.errors import InvalidMessage, Refused
from intentcast_protocol.negotiation import Session, State
from intentcast_protocol.states import IN_FORCE
from intentcast_protocol.testing import Pair

ADDRESS = {"name": "Ada", "streetAddress": "Oudegracht 1", "postalCode": "3511 AA"}


def at(state: State, offer: bytes | None = b"o" * 32) -> Session:
    """Return a session in a state, with or without an offer."""
    return replace(Pair().sides["person"], state=state, offer=offer)  # type: ignore[arg-type]


class TestStages:
    """PROTOCOL §7.3"""

    @pytest.mark.parametrize("state", State)
    def test_only_an_agreement_in_force_makes_a_winner(self, state: State) -> None:
        expected = Stage.WINNER if state in IN_FORCE else Stage.VENDOR
        if state in (State.DECLINED, State.WITHDRAWN, State.EXPIRED):
            expected = Stage.BROADCAST
        assert stage_of(at(state)) is expected

    @pytest.mark.parametrize("state", [State.SEEN, State.ASKING, State.DECLINED, State.EXPIRED])
    def test_without_an_offer_a_vendor_knows_what_everybody_knows(self, state: State) -> None:
        assert stage_of(at(state, None)) is Stage.BROADCAST

    @pytest.mark.parametrize("attribute", STAGES)
    @pytest.mark.parametrize("state", State)
    def test_an_attribute_leaves_at_its_stage_and_not_before(self, state: State, attribute: str) -> None:
        session = at(state)
        if state in IN_FORCE:
            check_release(session, attribute)
        else:
            with pytest.raises(Refused) as refused:
                check_release(session, attribute)
            assert refused.value.code == "refused.disclosure.denied"

    @pytest.mark.parametrize("attribute", [
        "reserve", "reservePrice", "weights", "rivals", "birthDate", "Name", "name ", "", "__class__", "email\0",
        "maxPrice",
    ])  # fmt: skip
    def test_what_is_not_listed_never_leaves(self, attribute: str) -> None:
        for state in State:
            with pytest.raises(Refused) as refused:
                check_release(at(state), attribute)
            assert refused.value.code == "refused.disclosure.denied"

    def test_a_session_reaches_the_stages_in_order(self) -> None:
        pair, stages = Pair(), []
        for actor, kind in (("vendor", "question"), ("person", "answer"), ("vendor", "offer"), ("person", "accept"),
                            ("vendor", "confirm"), ("person", "fulfil"), ("person", "dispute")):  # fmt: skip
            pair.send(actor, kind)  # type: ignore[arg-type]
            assert stage_of(pair.sides["person"]) is stage_of(pair.sides["vendor"])
            stages.append(stage_of(pair.sides["person"]).name)
        assert stages == ["BROADCAST", "BROADCAST", "VENDOR", "VENDOR", "WINNER", "WINNER", "VENDOR"]


class TestBody:
    """PROTOCOL §7.3"""

    def test_what_is_disclosed_reads_as_it_was_told(self) -> None:
        body = disclosure(at(State.AGREED), ADDRESS)
        assert read_disclosure(body) == ADDRESS
        assert body["purpose"] in PURPOSES

    def test_every_listed_attribute_can_be_told_at_once_and_at_full_length(self) -> None:
        attributes = dict.fromkeys(STAGES, "x" * 300)
        assert read_disclosure(disclosure(at(State.AGREED), attributes)) == attributes

    def test_one_attribute_too_many_stops_all(self) -> None:
        with pytest.raises(Refused):
            disclosure(at(State.AGREED), ADDRESS | {"reserve": "17000.00"})
        with pytest.raises(Refused):
            disclosure(at(State.ACCEPTED), ADDRESS)

    def test_another_purpose_is_not_signed(self) -> None:
        with pytest.raises(Refused):
            disclosure(at(State.AGREED), ADDRESS, "Marketing")

    @pytest.mark.parametrize("value", ["", "x" * 301, "a\x1bb", "a\u202eb", 5, None])
    def test_an_ill_formed_value_is_not_signed(self, value: Any) -> None:
        with pytest.raises(InvalidMessage):
            disclosure(at(State.AGREED), {"name": value})

    @pytest.mark.parametrize("change", [
        {"purpose": "Marketing"}, {"purpose": None}, {"purpose": []}, {"purpose": {}}, {"purpose": ["ServiceDelivery"]},
        {"attributes": None}, {"attributes": []}, {"attributes": "name"}, {"attributes": {"age": "40"}},
        {"attributes": ADDRESS | {"reserve": "1"}}, {"attributes": {"name": ""}}, {"attributes": {"name": 5}},
        {"attributes": {"name": "a\x9bb"}}, {"attributes": {"name": ["Ada"]}}, {"attributes": {"name": "x" * 301}},
    ], ids=lambda change: repr(change)[:40])  # fmt: skip
    def test_ill_formed_disclosure_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_disclosure(disclosure(at(State.AGREED), ADDRESS) | change)
        assert refused.value.code == "invalid.session.malformed"

    def test_a_body_without_its_fields_is_refused(self) -> None:
        for body in ({}, {"purpose": "ServiceDelivery"}, {"attributes": ADDRESS}):
            with pytest.raises(InvalidMessage):
                read_disclosure(body)

    def test_nothing_disclosed_is_nothing(self) -> None:
        assert read_disclosure(disclosure(at(State.AGREED), {})) == {}
