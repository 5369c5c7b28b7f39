"""An invitation is D's word, passed on once at most, and never for more than was given."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.identity import content_id, public_key
from intentcast_protocol.invitation import MAX_TEXT, PREFIX, encode_chain, invite, parse_chain, pass_on, read_chain
from intentcast_protocol.limits import MAX_INT, MAX_INVITATION, MAX_USES
from intentcast_protocol.record import sign_bytes
from intentcast_protocol.testing import NOW, seed

D, V, W = (public_key(seed(name)) for name in ("D", "V", "W"))
UNTIL = NOW + 86_400
FIRST = invite(seed("D"), to=V, uses=5, until=UNTIL, onward=True)
BOTH = pass_on(seed("V"), FIRST, to=W, uses=2, until=UNTIL - 10)
CODE = "invalid.invitation.malformed"


def signed(base: bytes, changes: dict[str, Any], name: str) -> list[bytes]:
    """Sign a payload with changes; `...` leaves a field out."""
    payload = encode({field: value for field, value in (decode(base) | changes).items() if value is not ...})
    return [payload, sign_bytes("invite", payload, seed(name))]


def first(changes: dict[str, Any], name: str = "D") -> list[list[bytes]]:
    return [signed(FIRST.links[0].payload, changes, name)]


def second(changes: dict[str, Any], name: str = "V", parent: list[bytes] | None = None) -> list[list[bytes]]:
    return [parent or FIRST.wire()[0], signed(BOTH.links[1].payload, changes, name)]


def refusal(value: object) -> str:
    with pytest.raises(InvalidMessage) as refused:
        read_chain(value)
    return refused.value.code


class TestChain:
    """PROTOCOL §10.5"""

    def test_it_reads_back_as_written(self) -> None:
        assert read_chain(FIRST.wire()) == FIRST
        assert read_chain(BOTH.wire()) == BOTH
        assert (FIRST.demand, FIRST.to, FIRST.until) == (D, V, UNTIL)
        assert (BOTH.demand, BOTH.to, BOTH.until) == (D, W, UNTIL - 10)

    def test_each_level_is_known_by_the_id_of_its_payload(self) -> None:
        assert [link.id for link in BOTH.links] == [content_id(link.payload) for link in BOTH.links]
        assert BOTH.links[1].parent == FIRST.links[0].id
        assert [link.uses for link in BOTH.links] == [5, 2]

    def test_what_was_passed_on_cannot_be_passed_on(self) -> None:
        with pytest.raises(InvalidMessage):
            pass_on(seed("W"), BOTH, to=V, uses=1, until=UNTIL - 10)
        assert refusal([*BOTH.wire(), BOTH.wire()[1]]) == CODE

    def test_one_that_may_not_be_passed_on_is_not(self) -> None:
        kept = invite(seed("D"), to=V, uses=5, until=UNTIL)
        with pytest.raises(InvalidMessage):
            pass_on(seed("V"), kept, to=W, uses=1, until=UNTIL)
        assert refusal(second({"parent": kept.links[0].id}, parent=kept.wire()[0])) == CODE

    @pytest.mark.parametrize("changes", [
        {"v": 2}, {"v": True}, {"v": ...}, {"demand": V}, {"demand": b"D"}, {"demand": ...}, {"to": "V"},
        {"to": bytes(32)}, {"uses": 0}, {"uses": -1}, {"uses": MAX_USES + 1}, {"uses": True}, {"uses": None},
        {"until": -1}, {"until": "soon"}, {"until": ...}, {"onward": 2}, {"onward": True}, {"onward": -1},
        {"onward": ...}, {"parent": bytes(32)}, {"more": 1},
    ], ids=repr)  # fmt: skip
    def test_a_first_of_another_form_is_refused(self, changes: dict[str, Any]) -> None:
        assert refusal(first(changes)) == CODE

    @pytest.mark.parametrize("changes", [
        {"uses": 6}, {"until": UNTIL + 1}, {"onward": 1}, {"parent": bytes(32)}, {"parent": ...}, {"parent": None},
        {"demand": V}, {"demand": W}, {"uses": 0}, {"more": b""},
    ], ids=repr)  # fmt: skip
    def test_a_second_that_the_first_does_not_allow_is_refused(self, changes: dict[str, Any]) -> None:
        assert refusal(second(changes)) == CODE

    def test_a_second_may_give_as_much_as_it_got(self) -> None:
        assert read_chain(second({"uses": 5, "until": UNTIL})).links[1].uses == 5

    def test_each_is_signed_by_the_right_key_only(self) -> None:
        for name in ("V", "W", "another"):
            assert refusal(first({}, name)) == CODE
        for name in ("D", "W", "another"):
            assert refusal(second({}, name)) == CODE
        payload = FIRST.links[0].payload
        for purpose in ("record", "auth", "receipt", "domain"):
            assert refusal([[payload, sign_bytes(purpose, payload, seed("D"))]]) == CODE  # type: ignore[arg-type]

    def test_a_second_alone_or_first_is_refused(self) -> None:
        assert refusal([BOTH.wire()[1]]) == CODE
        assert refusal(BOTH.wire()[::-1]) == CODE
        assert refusal([FIRST.wire()[0]] * 2) == CODE

    @pytest.mark.parametrize("value", [
        None, [], "x", {}, [None], [[]], [[b""]], [[b"", b""]], [[bytes(70_000), bytes(64)]],
        [[FIRST.links[0].payload, bytes(64)]], [[FIRST.links[0].payload, FIRST.links[0].signature * 2]],
        FIRST.wire() * 3, [*FIRST.wire(), None],
    ], ids=lambda value: repr(value)[:20])  # fmt: skip
    def test_what_is_no_chain_is_refused(self, value: object) -> None:
        assert refusal(value) == CODE

    def test_nothing_that_would_be_refused_is_signed(self) -> None:
        for changes in ({"uses": 0}, {"uses": MAX_USES + 1}, {"until": -1}, {"to": b"x"}):
            with pytest.raises(InvalidMessage):
                invite(seed("D"), **({"to": V, "uses": 1, "until": UNTIL} | changes))
        for more in ({"uses": 6, "until": UNTIL}, {"uses": 1, "until": UNTIL + 1}):
            with pytest.raises(InvalidMessage):
                pass_on(seed("V"), FIRST, to=W, **more)
        with pytest.raises(InvalidMessage):
            pass_on(seed("W"), FIRST, to=W, uses=1, until=UNTIL)


class TestText:
    """PROTOCOL §10.5"""

    def test_its_text_reads_back_as_written(self) -> None:
        for one in (FIRST, BOTH):
            text = encode_chain(one)
            assert text.startswith(PREFIX)
            assert "=" not in text
            assert parse_chain(text) == one

    def test_the_longest_chain_fits(self) -> None:
        long = invite(seed("D"), to=V, uses=MAX_USES, until=MAX_INT, onward=True)
        longest = pass_on(seed("V"), long, to=W, uses=MAX_USES, until=MAX_INT)
        assert len(encode(longest.wire())) <= MAX_INVITATION
        assert parse_chain(encode_chain(longest)) == longest

    @pytest.mark.parametrize("text", [
        "", "intentcast-invite", PREFIX, PREFIX + "=", PREFIX + "a", PREFIX + "é", PREFIX + "AA AA",
        encode_chain(FIRST).upper(), encode_chain(FIRST) + "=", encode_chain(FIRST) + "AAAA", encode_chain(FIRST)[:-4],
        encode_chain(FIRST).replace("-", "+").replace("intentcast+", "intentcast-") + "/", " " + encode_chain(FIRST),
        PREFIX + "A" * MAX_TEXT, PREFIX + "A" * 10_000_000,
        PREFIX + base64.urlsafe_b64encode(encode([[b"", bytes(64)]])).decode().rstrip("="),
    ], ids=lambda text: text[:24])  # fmt: skip
    def test_damaged_text_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidMessage) as refused:
            parse_chain(text)
        assert refused.value.code == CODE

    def test_text_has_one_form(self) -> None:
        """The last character's unused bits may not vary."""
        text = encode_chain(FIRST)
        for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=":
            if last != text[-1]:
                with pytest.raises(InvalidMessage):
                    parse_chain(text[:-1] + last)

    @given(st.text(max_size=200))
    def test_any_text_is_refused_by_its_one_code(self, text: str) -> None:
        for one in (text, PREFIX + text):
            with pytest.raises(InvalidMessage) as refused:
                parse_chain(one)
            assert refused.value.code == CODE
