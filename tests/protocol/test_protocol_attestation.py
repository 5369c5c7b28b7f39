"""An attestation is one relay's word about one key, one domain and one span of time, or it is nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intentcast_protocol.attestation import Attestation, attest, attestations_in, read_attestation
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.identity import public_key
from intentcast_protocol.limits import ATTESTATION_LIFE, MAX_ATTESTATION, MAX_ATTESTATIONS, MAX_SKEW
from intentcast_protocol.record import sign_bytes
from intentcast_protocol.testing import NOW, seed

RELAY, V = public_key(seed("relay")), public_key(seed("V"))
FIELDS: dict[str, Any] = {
    "url": "wss://relay.example", "key": V, "domain": "shop.example", "seen": NOW, "expires": NOW + ATTESTATION_LIFE,
}  # fmt: skip
GOOD = attest(seed("relay"), **FIELDS)
CODE = "invalid.attestation.malformed"


def signed(changes: dict[str, Any], name: str = "relay") -> list[bytes]:
    """Sign the good payload with changes; `...` leaves a field out."""
    fields = {field: value for field, value in (decode(GOOD.payload) | changes).items() if value is not ...}
    payload = encode(fields)
    return [payload, sign_bytes("domain", payload, seed(name))]


def refusal(value: object) -> str:
    with pytest.raises(InvalidMessage) as refused:
        read_attestation(value)
    return refused.value.code


class TestForm:
    """PROTOCOL §8.9"""

    def test_it_reads_back_as_written(self) -> None:
        assert read_attestation(GOOD.wire()) == GOOD
        assert {name: getattr(GOOD, name) for name in FIELDS} == FIELDS
        assert GOOD.relay == RELAY

    def test_the_longest_names_fit(self) -> None:
        label = "a" * 63
        domain = f"{label}.{label}.{label}.{'b' * 61}"
        url = f"wss://{'r' * 253}/{'p' * 100}"
        longest = attest(seed("relay"), **(FIELDS | {"url": url, "domain": domain}))
        assert len(encode(longest.wire())) <= MAX_ATTESTATION
        assert read_attestation(longest.wire()).domain == domain

    @pytest.mark.parametrize("changes", [
        {"v": 2}, {"v": True}, {"v": ...}, {"relay": V}, {"relay": ...}, {"relay": b"short"}, {"relay": bytes(32)},
        {"key": RELAY}, {"key": bytes(32)}, {"key": V[:31]}, {"key": "V"}, {"domain": "Shop.example"},
        {"domain": "10.0.0.1"}, {"domain": "localhost"}, {"domain": "shop.example."}, {"domain": "a" * 254},
        {"domain": None}, {"url": "https://relay.example"}, {"url": "wss://RELAY.example"}, {"url": ""},
        {"seen": -1}, {"seen": True}, {"seen": NOW + ATTESTATION_LIFE}, {"expires": NOW}, {"expires": ...},
        {"expires": NOW + ATTESTATION_LIFE + 1}, {"more": 1}, {"url": "wss://r/" + "p" * 1_024},
    ], ids=repr)  # fmt: skip
    def test_other_fields_are_refused(self, changes: dict[str, Any]) -> None:
        assert refusal(signed(changes)) == CODE

    @pytest.mark.parametrize("value", [
        None, [], "x", {}, [GOOD.payload], [GOOD.payload, None], [GOOD.payload, GOOD.signature[:63]],
        [GOOD.payload, GOOD.signature, b""], [b"", GOOD.signature], [b"\xc1", GOOD.signature],
        [bytes(70_000), GOOD.signature], [encode([]), GOOD.signature], (GOOD.payload, GOOD.signature),
        [GOOD.payload + b"\xc0", GOOD.signature],
    ], ids=lambda value: repr(value)[:20])  # fmt: skip
    def test_what_is_no_attestation_is_refused(self, value: object) -> None:
        assert refusal(value) == CODE

    def test_only_the_relay_it_names_can_sign_it(self) -> None:
        assert refusal(signed({}, "another")) == CODE
        for purpose in ("record", "auth", "receipt", "invite"):
            assert refusal([GOOD.payload, sign_bytes(purpose, GOOD.payload, seed("relay"))]) == CODE  # type: ignore[arg-type]

    def test_nothing_that_would_be_refused_is_signed(self) -> None:
        for changes in ({"expires": NOW}, {"domain": "X"}, {"url": "x"}, {"key": RELAY}):
            with pytest.raises(InvalidMessage):
                attest(seed("relay"), **(FIELDS | changes))

    @given(st.binary(max_size=200), st.binary(min_size=64, max_size=64))
    def test_any_bytes_are_refused_by_its_one_code(self, payload: bytes, signature: bytes) -> None:
        assert refusal([payload, signature]) == CODE


class TestCover:
    """PROTOCOL §6.4, §8.9"""

    def test_it_covers_its_key_and_domain_while_it_holds(self) -> None:
        assert GOOD.covers(key=V, domain="shop.example", at=NOW)
        assert GOOD.covers(key=V, domain="shop.example", at=NOW - MAX_SKEW)
        assert GOOD.covers(key=V, domain="shop.example", at=GOOD.expires)
        assert not GOOD.covers(key=V, domain="shop.example", at=NOW - MAX_SKEW - 1)
        assert not GOOD.covers(key=V, domain="shop.example", at=GOOD.expires + 1)
        assert not GOOD.covers(key=RELAY, domain="shop.example", at=NOW)
        assert not GOOD.covers(key=V, domain="other.example", at=NOW)
        assert not GOOD.covers(key=V, domain=None, at=NOW)

    def take(self, listed: object) -> tuple[Attestation, ...]:
        return attestations_in({"attestations": listed}, key=V, domain="shop.example", at=NOW)

    def test_an_offer_is_no_worse_for_attestations_that_do_not_hold(self) -> None:
        bad = [None, [], signed({"key": RELAY}), signed({}, "x"), signed({"domain": "other.example"})]
        assert self.take([*bad, GOOD.wire()]) == (GOOD,)
        assert self.take(bad) == self.take(None) == self.take({}) == ()
        assert attestations_in(None, key=V, domain="shop.example", at=NOW) == ()

    def test_one_counts_for_each_relay_in_the_order_of_their_keys(self) -> None:
        several = [attest(seed(name), **FIELDS) for name in ("a", "b", "c", "d")]
        listed = [one.wire() for one in (*several, *several)]
        assert self.take(listed) == tuple(sorted(several, key=lambda one: one.relay))

    def test_only_the_first_few_are_looked_at(self) -> None:
        assert self.take([None] * MAX_ATTESTATIONS + [GOOD.wire()]) == ()
        assert self.take([None] * (MAX_ATTESTATIONS - 1) + [GOOD.wire()]) == (GOOD,)
