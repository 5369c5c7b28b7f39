"""Records: every field checked, every signature good for one purpose, one author and these bytes only."""

import hashlib
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import InvalidMessage, Refused
from intentcast_protocol.identity import public_key
from intentcast_protocol.limits import MAX_LIFE, MAX_RECORD, MAX_SKEW
from intentcast_protocol.record import (
    PUBLIC_TYPES,
    SESSION_TYPES,
    TYPES,
    Envelope,
    Purpose,
    Record,
    Verified,
    check_signature,
    check_time,
    decode_record,
    from_wire,
    parse,
    payload_of,
    sign,
    sign_bytes,
    sign_payload,
    signed_bytes,
    verify,
    vouch,
)
from intentcast_protocol.testing import NOW, make_demand, seed
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_sign_open,
)
from nacl.exceptions import BadSignatureError

D, V, S = public_key(seed("D")), public_key(seed("V")), public_key(seed("S"))
L = 2**252 + 27742317777372353535851937790883648493
CHAIN = {"to": D, "session": S, "seq": 2, "prev": b"p" * 32}
MALFORMED = "invalid.record.malformed"


def fields_of(kind: str) -> dict[str, Any]:
    """Return a payload of a type, with every field it may have."""
    fields: dict[str, Any] = {
        "v": 1, "type": kind, "author": V, "created": NOW, "expires": NOW + 60, "body": {"x": 1},
    }  # fmt: skip
    if kind == "sealed":
        fields |= {"to": D, "nonce": b"n" * 8}
    if kind in SESSION_TYPES:
        fields |= CHAIN | {"seen": b"s" * 32}
    if kind == "resume":
        del fields["prev"]
        fields["seq"] = 0
    return fields


def signed(fields: dict[str, Any], name: str = "V") -> Record:
    """Sign whatever these fields are: what our own `sign` would not."""
    payload = encode(fields)
    return Record(payload, sign_bytes("record", payload, seed(name)))


def refusal(record: Record) -> str:
    """Return the code with which a record is refused, whether it is only parsed or verified."""
    with pytest.raises(InvalidMessage) as parsed:
        parse(record)
    with pytest.raises(InvalidMessage) as verified:
        verify(record)
    assert verified.value.code == parsed.value.code
    return parsed.value.code


class TestFields:
    """PROTOCOL §4.1, §4.6"""

    @pytest.mark.parametrize("kind", sorted(TYPES))
    def test_every_type_verifies_with_all_its_fields(self, kind: str) -> None:
        fields = fields_of(kind)
        verified = verify(signed(fields))
        assert isinstance(verified, Verified)
        read = {name: getattr(verified, name) for name in Envelope.__slots__ if name not in ("record", "id")}
        assert {"v": 1} | {name: value for name, value in read.items() if value is not None} == fields

    @pytest.mark.parametrize("kind", sorted(TYPES))
    @pytest.mark.parametrize("name", ["author", "body", "created", "expires", "type", "v"])
    def test_required_field_removed_is_refused(self, kind: str, name: str) -> None:
        fields = fields_of(kind)
        del fields[name]
        assert refusal(signed(fields)) == MALFORMED

    @pytest.mark.parametrize("wrong", [
        None, True, False, 0, -1, 1, "x", "", b"", b"x" * 31, b"x" * 33, [], {}, {"a": 1},
    ], ids=repr)  # fmt: skip
    @pytest.mark.parametrize("name", [
        "author", "body", "created", "expires", "type", "v", "nonce", "prev", "seen", "seq", "session", "to",
    ])  # fmt: skip
    def test_mistyped_field_is_refused(self, name: str, wrong: Any) -> None:
        fields = fields_of("sealed" if name == "nonce" else "question") | {name: wrong}
        allowed = {"body": (dict,), "created": (int,), "v": (int,)}.get(name, ())
        if type(wrong) in allowed and (name, wrong) not in [("created", -1), ("v", 0), ("v", -1)]:
            assert verify(signed(fields)).author == V
        else:
            expected = {("created", -1): "invalid.record.time", ("expires", 0): "invalid.record.time",
                        ("expires", -1): "invalid.record.time", ("expires", 1): "invalid.record.time"}  # fmt: skip
            assert refusal(signed(fields)) == (
                expected.get((name, wrong), MALFORMED) if type(wrong) is int else MALFORMED
            )

    @pytest.mark.parametrize("swap", [("prev", "seq"), ("to", "seq"), ("author", "created"), ("body", "type")])
    def test_two_fields_swapped_are_refused(self, swap: tuple[str, str]) -> None:
        one, other = swap
        fields = fields_of("question")
        fields[one], fields[other] = fields[other], fields[one]
        assert refusal(signed(fields)) == MALFORMED

    @pytest.mark.parametrize("name", ["id", "sig", "V", "Author", "author ", "", "zz", "relays"])
    def test_unknown_envelope_field_is_refused(self, name: str) -> None:
        assert refusal(signed(fields_of("demand") | {name: 1})) == MALFORMED

    def test_unknown_body_field_is_kept(self) -> None:
        record = signed(fields_of("demand") | {"body": {"later": [1, {"b": b"x"}]}})
        assert verify(record).body == {"later": [1, {"b": b"x"}]}

    @pytest.mark.parametrize("kind", ["Demand", "demand ", "", "receipt", "agreement", "tell", "offer\0"])
    def test_unknown_type_is_refused(self, kind: str) -> None:
        assert refusal(signed(fields_of("demand") | {"type": kind})) == MALFORMED

    @pytest.mark.parametrize("version", [0, 2, -1, 2**53 - 1])
    def test_another_version_is_refused(self, version: int) -> None:
        assert refusal(signed(fields_of("demand") | {"v": version})) == MALFORMED

    @pytest.mark.parametrize("payload", [[], 1, "x", None, b"x", True], ids=repr)
    def test_payload_that_is_no_map_is_refused(self, payload: Any) -> None:
        data = encode(payload)
        assert refusal(Record(data, sign_bytes("record", data, seed("V")))) == MALFORMED

    def test_payload_that_is_not_canonical_is_refused(self) -> None:
        good = encode(fields_of("demand"))
        long = good.replace(b"\xa1v\x01", b"\xa1v\xcc\x01")
        assert refusal(Record(long, sign_bytes("record", long, seed("V")))) == "invalid.encoding.not-canonical"
        tail = good + b"\xc0"
        assert refusal(Record(tail, sign_bytes("record", tail, seed("V")))) == "invalid.encoding.malformed"


class TestShape:
    """Which fields a type has. PROTOCOL §4.6"""

    @pytest.mark.parametrize("kind", sorted(TYPES))
    @pytest.mark.parametrize("name", ["nonce", "prev", "seen", "seq", "session", "to"])
    def test_field_foreign_to_the_type_is_refused(self, kind: str, name: str) -> None:
        values = {"nonce": b"n" * 8, "prev": b"p" * 32, "seen": b"s" * 32, "seq": 2, "session": S, "to": D}
        fields = fields_of(kind)
        if name in fields:
            assert verify(signed(fields)).type == kind
        else:
            assert refusal(signed(fields | {name: values[name]})) == MALFORMED

    @pytest.mark.parametrize("kind", sorted(SESSION_TYPES))
    @pytest.mark.parametrize("name", ["to", "session", "seq"])
    def test_session_type_without_its_session_is_refused(self, kind: str, name: str) -> None:
        fields = fields_of(kind)
        del fields[name]
        assert refusal(signed(fields)) == MALFORMED

    @pytest.mark.parametrize("kind", sorted(SESSION_TYPES - {"resume"}))
    @pytest.mark.parametrize(("seq", "prev", "good"), [
        (1, False, True), (2, True, True), (2**53 - 1, True, True),
        (1, True, False), (2, False, False), (0, False, False), (0, True, False), (-1, False, False), (-1, True, False),
    ])  # fmt: skip
    def test_previous_id_goes_with_every_number_but_the_first(
        self, kind: str, seq: int, prev: bool, good: bool
    ) -> None:
        fields = fields_of(kind) | {"seq": seq}
        if not prev:
            del fields["prev"]
        if good:
            assert verify(signed(fields)).seq == seq
        else:
            assert refusal(signed(fields)) == MALFORMED

    def test_resume_stands_outside_the_chain(self) -> None:
        assert verify(signed(fields_of("resume"))).seq == 0
        assert refusal(signed(fields_of("resume") | {"seq": 1})) == MALFORMED
        assert refusal(signed(fields_of("resume") | {"seq": 2, "prev": b"p" * 32})) == MALFORMED
        assert refusal(signed(fields_of("resume") | {"prev": b"p" * 32})) == MALFORMED

    def test_sealed_record_needs_a_recipient(self) -> None:
        fields = fields_of("sealed")
        del fields["to"]
        assert refusal(signed(fields)) == MALFORMED

    def test_seen_may_be_absent(self) -> None:
        fields = fields_of("offer")
        del fields["seen"]
        assert verify(signed(fields)).seen is None


class TestTimes:
    """PROTOCOL §4.1, §4.4"""

    @pytest.mark.parametrize("kind", [*sorted(PUBLIC_TYPES), "sealed"])
    def test_public_and_sealed_records_live_at_most_thirty_days(self, kind: str) -> None:
        assert verify(signed(fields_of(kind) | {"expires": NOW + MAX_LIFE})).expires == NOW + MAX_LIFE
        assert refusal(signed(fields_of(kind) | {"expires": NOW + MAX_LIFE + 1})) == "invalid.record.time"

    def test_session_messages_may_stay_open_for_longer(self) -> None:
        assert verify(signed(fields_of("offer") | {"expires": NOW + 10 * MAX_LIFE})).type == "offer"

    @pytest.mark.parametrize("kind", sorted(TYPES))
    @pytest.mark.parametrize(("created", "expires"), [(NOW, NOW), (NOW, NOW - 1), (-1, NOW), (0, 0), (-5, -1)])
    def test_impossible_dates_are_refused(self, kind: str, created: int, expires: int) -> None:
        assert refusal(signed(fields_of(kind) | {"created": created, "expires": expires})) == "invalid.record.time"

    def test_the_shortest_and_the_earliest_life_are_good(self) -> None:
        assert verify(signed(fields_of("demand") | {"created": 0, "expires": 1})).created == 0

    def test_a_record_may_be_dated_ahead_by_the_skew_and_no_more(self) -> None:
        record = verify(signed(fields_of("demand") | {"expires": NOW + 5_000}))
        check_time(record, NOW - MAX_SKEW)
        with pytest.raises(InvalidMessage) as early:
            check_time(record, NOW - MAX_SKEW - 1)
        assert early.value.code == "invalid.record.future"

    def test_a_record_is_expired_from_its_last_second_on(self) -> None:
        record = verify(signed(fields_of("demand")))
        check_time(record, NOW + 59)
        for late in (60, 61, 10**9):
            with pytest.raises(Refused) as refused:
                check_time(record, NOW + late)
            assert refused.value.code == "refused.record.expired"

    def test_verifying_reads_no_clock(self) -> None:
        assert verify(signed(fields_of("demand") | {"created": 1, "expires": 2})).expires == 2


class TestSize:
    """PROTOCOL §4.1"""

    ROOM = MAX_RECORD - 72  # what PROTOCOL §4.1 leaves for the payload

    def record(self, length: int) -> Record:
        """Return a demand whose payload has exactly so many bytes."""
        empty = len(encode(fields_of("demand") | {"body": {"x": b"y" * 1_000}})) - 1_000
        record = signed(fields_of("demand") | {"body": {"x": b"y" * (length - empty)}})
        assert len(record.payload) == length
        return record

    def test_the_largest_payload_is_read_and_one_byte_more_is_not(self) -> None:
        largest = self.record(self.ROOM)
        assert decode_record(largest.encode()) == largest
        assert len(largest.encode()) <= MAX_RECORD
        verify(from_wire(largest.wire()))
        with pytest.raises(InvalidMessage) as refused:
            from_wire(self.record(self.ROOM + 1).wire())
        assert refused.value.code == "invalid.encoding.too-large"

    def test_nothing_too_large_is_ever_signed(self) -> None:
        with pytest.raises(InvalidMessage) as refused:
            sign_payload(self.record(self.ROOM + 1).payload, seed("V"))
        assert refused.value.code == "invalid.encoding.too-large"
        assert sign_payload(self.record(self.ROOM).payload, seed("V")).type == "demand"

    @pytest.mark.parametrize("value", [
        None, b"", {}, [], [b"p"], [b"p", b"s" * 64, b"x"], ["p", b"s" * 64], [b"p", "s" * 64], [b"p", b"s" * 63],
        [b"p", b"s" * 65], [b"p", None], [None, b"s" * 64], (b"p", b"s" * 64),
    ], ids=lambda value: repr(value)[:20])  # fmt: skip
    def test_what_is_no_pair_of_payload_and_signature_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidMessage) as refused:
            from_wire(value)
        assert refused.value.code == MALFORMED


class TestSignature:
    """PROTOCOL §4.2, §4.3"""

    @pytest.mark.parametrize("made", get_args(Purpose))
    @pytest.mark.parametrize("checked", get_args(Purpose))
    def test_a_signature_is_good_for_its_own_purpose_only(self, made: Purpose, checked: Purpose) -> None:
        payload = encode(fields_of("demand"))
        signature = sign_bytes(made, payload, seed("V"))
        if made == checked:
            check_signature(checked, payload, signature, V)
        else:
            with pytest.raises(InvalidMessage) as refused:
                check_signature(checked, payload, signature, V)
            assert refused.value.code == "invalid.record.signature"

    @pytest.mark.parametrize("purpose", [purpose for purpose in get_args(Purpose) if purpose != "record"])
    def test_a_record_signed_under_another_purpose_does_not_verify(self, purpose: Purpose) -> None:
        payload = encode(fields_of("demand"))
        with pytest.raises(InvalidMessage) as refused:
            verify(Record(payload, sign_bytes(purpose, payload, seed("V"))))
        assert refused.value.code == "invalid.record.signature"

    def test_no_purpose_and_payload_can_be_read_as_another(self) -> None:
        """The zero byte ends the purpose, so that no payload can lengthen it."""
        assert signed_bytes("record", b"x") == b"intentcast/1/record\0x"
        assert not any("\0" in purpose for purpose in get_args(Purpose))

    def test_a_bare_signature_of_the_payload_does_not_verify(self) -> None:
        from nacl.signing import SigningKey  # noqa: PLC0415

        payload = encode(fields_of("demand"))
        with pytest.raises(InvalidMessage):
            verify(Record(payload, SigningKey(seed("V")).sign(payload).signature))

    def test_anothers_signature_does_not_verify(self) -> None:
        with pytest.raises(InvalidMessage) as refused:
            verify(signed(fields_of("demand"), "D"))
        assert refused.value.code == "invalid.record.signature"

    def test_the_id_is_that_of_the_payload_whatever_the_signature(self) -> None:
        record = signed(fields_of("demand"))
        other = Record(record.payload, bytes(64))
        assert record.id == other.id == hashlib.sha256(record.payload).digest()
        assert record != other

    def test_a_signature_with_s_plus_l_is_refused(self) -> None:
        """The same point, another number: what a checker without the bound would take for a second signature."""
        record = verify(signed(fields_of("demand"))).record
        s = int.from_bytes(record.signature[32:], "little")
        for factor in range(1, 15):
            if s + factor * L < 2**256:
                twin = record.signature[:32] + (s + factor * L).to_bytes(32, "little")
                with pytest.raises(InvalidMessage) as refused:
                    verify(Record(record.payload, twin))
                assert refused.value.code == "invalid.record.signature"

    @pytest.mark.parametrize("signature", [bytes(64), b"\x01" + bytes(63), b"\xff" * 64, b"", b"s" * 63, b"s" * 65],
                             ids=lambda raw: f"{len(raw)}-{raw[:2].hex()}")  # fmt: skip
    def test_a_made_up_signature_is_refused(self, signature: bytes) -> None:
        with pytest.raises(InvalidMessage):
            verify(Record(encode(fields_of("demand")), signature))

    def test_mixed_order_key_is_refused(self) -> None:
        """libsodium alone takes this signature: the hash was searched for that hides the key's small part."""
        secret = crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"mixed").digest())
        order8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
        key = crypto_core_ed25519_add(crypto_scalarmult_ed25519_base_noclamp(secret), order8)
        payload = encode(fields_of("demand") | {"author": key})
        signature = mixed_signature(payload, key, secret)
        assert crypto_sign_open(signature + signed_bytes("record", payload), key)
        with pytest.raises(InvalidMessage) as refused:
            verify(Record(payload, signature))
        assert refused.value.code == "invalid.record.key"

    def test_small_order_key_is_refused(self) -> None:
        """With the neutral point as key, any signature (sB, s) would hold for any message."""
        key = b"\x01" + bytes(31)
        payload = encode(fields_of("demand") | {"author": key})
        s = crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"small").digest())
        with pytest.raises(InvalidMessage) as refused:
            verify(Record(payload, crypto_scalarmult_ed25519_base_noclamp(s) + s))
        assert refused.value.code == "invalid.record.key"

    def test_author_who_is_no_point_is_refused(self) -> None:
        payload = encode(fields_of("demand") | {"author": b"\x02" + bytes(31)})
        with pytest.raises(InvalidMessage) as refused:
            verify(Record(payload, bytes(64)))
        assert refused.value.code == "invalid.record.key"

    @pytest.mark.parametrize("kind", ["demand", "sealed", "question"])
    def test_every_byte_flipped_is_refused(self, kind: str) -> None:
        record = signed(fields_of(kind))
        data = record.encode()
        verify(decode_record(data))
        for at in range(len(data)):
            for change in (0x01, 0x80, 0xFF):
                changed = bytearray(data)
                changed[at] ^= change
                with pytest.raises(InvalidMessage):
                    verify(decode_record(bytes(changed)))

    @given(st.data())
    @settings(max_examples=150, deadline=None)
    def test_no_other_bytes_verify_as_this_author(self, data: st.DataObject) -> None:
        record = make_demand()[0].record
        at = data.draw(st.integers(0, len(record.payload) - 1))
        size = data.draw(st.integers(0, 4))
        other = record.payload[:at] + data.draw(st.binary(max_size=4)) + record.payload[at + size :]
        if other != record.payload:
            with pytest.raises(InvalidMessage):
                verify(Record(other, record.signature))


def mixed_signature(payload: bytes, key: bytes, secret: bytes) -> bytes:
    """Sign with a key that has a part of order 8, trying nonces until eight divides the hash."""
    message = signed_bytes("record", payload)
    for attempt in range(1_000):
        r = crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"nonce %d" % attempt).digest())
        point = crypto_scalarmult_ed25519_base_noclamp(r)
        h = crypto_core_ed25519_scalar_reduce(hashlib.sha512(point + key + message).digest())
        if h[0] % 8 == 0:
            signature = point + crypto_core_ed25519_scalar_add(r, crypto_core_ed25519_scalar_mul(h, secret))
            try:
                crypto_sign_open(signature + message, key)
            except BadSignatureError:
                continue
            return signature
    raise AssertionError("one hash in eight should do")


class TestSigning:
    """Nothing is signed that a reader would refuse. PROTOCOL §4.2"""

    def test_what_is_signed_verifies_and_is_what_was_previewed(self) -> None:
        payload = payload_of("demand", seed("V"), {"x": 1}, created=NOW, expires=NOW + 60)
        record = sign("demand", seed("V"), {"x": 1}, created=NOW, expires=NOW + 60)
        assert record.record.payload == payload
        assert verify(record.record) == record
        assert sign_payload(payload, seed("V")) == record

    @pytest.mark.parametrize(("kind", "fields", "dates"), [
        ("tell", {}, {}), ("demand", {"to": D}, {}), ("demand", {"nonce": b"n" * 8}, {}), ("offer", {}, {}),
        ("offer", CHAIN | {"seq": 1}, {}), ("offer", CHAIN | {"to": b"short"}, {}), ("demand", {"later": 1}, {}),
        ("demand", {}, {"expires": NOW}), ("demand", {}, {"created": -1}), ("demand", {}, {"created": True}),
        ("demand", {}, {"expires": NOW + MAX_LIFE + 1}), ("demand", {}, {"created": 1.5}), ("sealed", {}, {}),
    ], ids=repr)  # fmt: skip
    def test_a_record_that_breaks_a_rule_is_not_signed(
        self, kind: str, fields: dict[str, Any], dates: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidMessage):
            sign(kind, seed("V"), {}, **({"created": NOW, "expires": NOW + 60} | dates), **fields)

    def test_a_payload_is_not_signed_by_another_than_its_author(self) -> None:
        with pytest.raises(InvalidMessage) as refused:
            sign_payload(payload_of("demand", seed("V"), {}, created=NOW, expires=NOW + 60), seed("D"))
        assert refused.value.code == "invalid.record.signature"

    def test_none_leaves_a_field_out(self) -> None:
        message = sign("notice", seed("V"), {}, created=NOW, expires=NOW + 1, to=D, session=S, seq=1, prev=None)
        assert "prev" not in decode(message.record.payload)

    def test_a_parsed_envelope_becomes_verified_by_its_signature_only(self) -> None:
        record = signed(fields_of("demand"))
        envelope = parse(Record(record.payload, bytes(64)))
        assert not isinstance(envelope, Verified)
        with pytest.raises(InvalidMessage):
            vouch(envelope)
        assert vouch(parse(record)) == verify(record)
