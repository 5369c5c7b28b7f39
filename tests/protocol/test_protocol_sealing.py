"""Seals open for their recipient only, as sent and nowhere else, and show a relay one of four sizes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_protocol.encoding import encode
from intentcast_protocol.errors import InvalidMessage, SealError
from intentcast_protocol.identity import public_key
from intentcast_protocol.limits import BUCKETS, MAX_LIFE, STAMP_AGE
from intentcast_protocol.record import Record, Verified, decode_record, sign, sign_bytes, verify
from intentcast_protocol.sealing import (
    SealKey,
    check_inside,
    check_stamp,
    seal,
    seal_key,
    sealed_to,
    stamp,
    unseal,
)
from intentcast_protocol.testing import NOW, make_demand, seal_pair, seed
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt, crypto_kx_client_session_keys, sodium_pad

D, V, S = public_key(seed("D")), public_key(seed("V")), public_key(seed("S"))
OTHER = public_key(seed("another session"))
KEY = seal_pair("offer key")
LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
]


def question(body: dict[str, Any] | None = None, **changes: Any) -> Verified:
    """Return the vendor's message number 1."""
    fields: dict[str, Any] = {"to": D, "session": S, "seq": 1, **changes}
    return sign("question", seed("V"), body or {}, created=NOW, expires=NOW + 60, **fields)


def wrapped(inner: Record | None = None, **changes: Any) -> Verified:
    """Return an envelope from S to D, sealed to the offer key."""
    options: dict[str, Any] = {
        "seed": seed("S"), "to": D, "key": KEY.public, "created": NOW, "expires": NOW + 600, **changes,
    }  # fmt: skip
    return seal(question().record if inner is None else inner, **options)


def reworked(envelope: Verified, **changes: Any) -> Verified:
    """Sign an envelope's content anew with other fields, as only S itself could."""
    fields: dict[str, Any] = {"to": envelope.to, "created": envelope.created, "expires": envelope.expires,
                              "body": envelope.body, "nonce": envelope.nonce, **changes}  # fmt: skip
    name = fields.pop("by", "S")
    return sign("sealed", seed(name), fields.pop("body"), **fields)


class TestOpen:
    """PROTOCOL §5.2, §5.3"""

    def test_what_was_sealed_comes_out_byte_for_byte(self) -> None:
        inner = question({"text": "Which colour?"}).record
        assert unseal(verify(wrapped(inner).record), KEY) == inner

    def test_the_sealed_body_names_its_key_and_nothing_of_the_inner_record(self) -> None:
        envelope = wrapped(question({"text": "Which colour?"}).record)
        assert sealed_to(envelope) == KEY.public
        assert envelope.body.keys() == {"key", "ek", "box"}
        assert V not in envelope.record.payload
        assert b"question" not in envelope.record.payload
        assert envelope.session is envelope.seq is envelope.prev is envelope.seen is None

    def test_every_seal_has_a_fresh_key_and_nonce(self) -> None:
        one, other = wrapped(), wrapped()
        assert one.body["ek"] != other.body["ek"]
        assert one.body["box"][:24] != other.body["box"][:24]

    def test_given_the_same_random_bytes_a_seal_is_the_same(self) -> None:
        def fixed(length: int) -> bytes:
            return bytes(range(length))

        assert wrapped(random=fixed).record == wrapped(random=fixed).record

    @pytest.mark.parametrize("part", ["box", "ek", "key"])
    def test_every_byte_of_the_body_flipped_does_not_open(self, part: str) -> None:
        """Even signed anew by S, so that only the seal itself stands in the way."""
        envelope = wrapped()
        value = envelope.body[part]
        for at in range(len(value)):
            for change in (0x01, 0x80):
                changed = bytearray(value)
                changed[at] ^= change
                other = replace(envelope, body={**envelope.body, part: bytes(changed)})
                with pytest.raises(SealError):
                    unseal(other, KEY)

    def test_a_seal_cannot_be_moved_to_another_envelope(self) -> None:
        """Author, recipient and both dates are bound to the box, as associated data."""
        envelope = wrapped()
        assert unseal(reworked(envelope), KEY) == question().record
        assert unseal(reworked(envelope, nonce=b"anything"), KEY) == question().record
        for changes in ({"by": "S2"}, {"to": V}, {"created": NOW + 1}, {"expires": NOW + 601}):
            with pytest.raises(SealError):
                unseal(reworked(envelope, **changes), KEY)

    def test_the_wrong_key_does_not_open(self) -> None:
        envelope, other = wrapped(), seal_pair("other")
        for key in (other, SealKey(KEY.public, other.secret), SealKey(other.public, KEY.secret)):
            with pytest.raises(SealError):
                unseal(envelope, key)

    def test_a_seal_redirected_to_another_key_does_not_open(self) -> None:
        envelope, other = wrapped(), seal_pair("other")
        moved = reworked(envelope, body={**envelope.body, "key": other.public})
        with pytest.raises(SealError):
            unseal(moved, other)

    def test_all_failures_look_the_same(self) -> None:
        envelope = wrapped()
        broken = reworked(envelope, body={**envelope.body, "box": bytes(len(envelope.body["box"]))})
        low = reworked(envelope, body={**envelope.body, "ek": bytes(32)})
        said = set()
        for one, key in ((envelope, seal_pair("other")), (broken, KEY), (low, KEY), (boxed(b"no record"), KEY)):
            with pytest.raises(SealError) as refused:
                unseal(one, key)
            said.add((str(refused.value), refused.value.code, refused.value.detail))
        assert len(said) == 1

    @pytest.mark.parametrize("make", [
        lambda: b"",
        lambda: b"no record",
        lambda: encode([b"payload", b"short"]),
        lambda: question().record.encode() + b"\0",
        lambda: question().record.encode()[:-1],
        lambda: encode({"payload": b"", "signature": b""}),
    ])  # fmt: skip
    def test_a_box_that_holds_no_single_record_does_not_open(self, make: Callable[[], bytes]) -> None:
        with pytest.raises(SealError):
            unseal(boxed(make()), KEY)

    def test_a_box_without_padding_does_not_open(self) -> None:
        with pytest.raises(SealError):
            unseal(boxed(question().record.encode(), lambda plain, size: plain + bytes(size - len(plain))), KEY)

    def test_the_inner_signature_is_left_to_the_reader(self) -> None:
        """What comes out is a Record, which nothing takes for verified."""
        broken = Record(question().record.payload, bytes(64))
        opened = unseal(wrapped(broken), KEY)
        assert type(opened) is Record
        with pytest.raises(InvalidMessage):
            verify(opened)

    @pytest.mark.parametrize("body", [
        {}, {"key": KEY.public, "ek": KEY.public}, {"key": KEY.public, "ek": KEY.public, "box": bytes(1_064), "x": 1},
        {"key": "k" * 32, "ek": KEY.public, "box": bytes(1_064)}, {"key": KEY.public, "ek": 1, "box": bytes(1_064)},
        {"key": KEY.public, "ek": KEY.public, "box": "b" * 1_064},
        {"key": KEY.public[:31], "ek": KEY.public, "box": bytes(1_064)},
        {"key": KEY.public, "ek": KEY.public + b"x", "box": bytes(1_064)},
        *({"key": KEY.public, "ek": KEY.public, "box": bytes(size)} for size in (0, 24, 40, 1_024, 1_063, 1_065)),
    ], ids=lambda body: "-".join(body) + f"-{len(body.get('box', ''))}")  # fmt: skip
    def test_a_body_of_another_form_is_refused(self, body: dict[str, Any]) -> None:
        envelope = sign("sealed", seed("S"), body, created=NOW, expires=NOW + 60, to=D)
        for read in (sealed_to, lambda one: unseal(one, KEY)):
            with pytest.raises(InvalidMessage) as refused:
                read(envelope)
            assert refused.value.code == "invalid.record.malformed"

    def test_another_type_with_a_sealed_body_is_refused(self) -> None:
        record = sign("demand", seed("S"), dict(wrapped().body), created=NOW, expires=NOW + 60)
        with pytest.raises(InvalidMessage):
            sealed_to(record)


def boxed(plain: bytes, pad: Callable[[bytes, int], bytes] = sodium_pad) -> Verified:
    """Seal any bytes at all, as a hostile sender might."""
    fresh = seal_pair("ek")
    header = {"v": 1, "type": "sealed", "author": S, "to": D, "created": NOW, "expires": NOW + 600,
              "body": {"ek": fresh.public, "key": KEY.public}}  # fmt: skip
    _, tx = crypto_kx_client_session_keys(fresh.public, fresh.secret, KEY.public)
    nonce = bytes(24)
    box = nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(pad(plain, BUCKETS[0]), encode(header), nonce, tx)
    payload = encode({**header, "body": {"ek": fresh.public, "key": KEY.public, "box": box}})
    return verify(Record(payload, sign_bytes("record", payload, seed("S"))))


def record_of(length: int) -> Record:
    """Return a record whose canonical form has exactly so many bytes."""
    for guess in range(length - 300, length):
        record = Record(b"p" * max(guess, 0), bytes(64))
        if len(record.encode()) == length:
            return record
    raise AssertionError(f"no record of {length} bytes")


class TestSizes:
    """PROTOCOL §5.2"""

    @pytest.mark.parametrize("bucket", BUCKETS)
    def test_padding_goes_to_the_smallest_size_strictly_above(self, bucket: int) -> None:
        larger = next((size for size in BUCKETS if size > bucket), None)
        just = wrapped(record_of(bucket - 1))
        assert len(just.body["box"]) == bucket + 40
        assert unseal(just, KEY) == record_of(bucket - 1)
        if larger:
            over = wrapped(record_of(bucket))
            assert len(over.body["box"]) == larger + 40
            assert unseal(over, KEY) == record_of(bucket)
        else:
            with pytest.raises(InvalidMessage) as refused:
                wrapped(record_of(bucket))
            assert refused.value.code == "invalid.encoding.too-large"

    @given(st.integers(80, BUCKETS[-1] - 1))
    @settings(max_examples=60, deadline=None)
    def test_there_are_only_four_sizes_on_the_wire(self, length: int) -> None:
        try:
            record = record_of(length)
        except AssertionError:
            return  # the step in the header of a payload leaves two lengths out
        lengths = {len(wrapped(record_of(size - 1)).record.encode()) for size in BUCKETS}
        assert len(lengths) == 4
        assert len(wrapped(record).record.encode()) in lengths

    def test_the_largest_seal_is_still_a_record(self) -> None:
        envelope = wrapped(record_of(BUCKETS[-1] - 1), bits=1)
        assert verify(decode_record(envelope.record.encode())).id == envelope.id


class TestKeys:
    """PROTOCOL §5.1, §5.2"""

    @pytest.mark.parametrize("key", LOW_ORDER)
    def test_low_order_key_is_refused(self, key: str) -> None:
        with pytest.raises(InvalidMessage) as refused:
            wrapped(key=bytes.fromhex(key))
        assert refused.value.code == "invalid.id.malformed"

    @pytest.mark.parametrize("ek", LOW_ORDER)
    def test_low_order_ephemeral_key_does_not_open(self, ek: str) -> None:
        envelope = wrapped()
        with pytest.raises(SealError):
            unseal(reworked(envelope, body={**envelope.body, "ek": bytes.fromhex(ek)}), KEY)

    @pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33])
    def test_a_key_of_another_length_is_refused(self, key: bytes) -> None:
        with pytest.raises(InvalidMessage):
            wrapped(key=key)

    def test_two_pairs_differ_and_a_pair_is_made_of_the_bytes_given(self) -> None:
        assert seal_key() != seal_key()
        assert seal_key(lambda length: b"r" * length) == seal_key(lambda length: b"r" * length)

    @pytest.mark.parametrize("changes", [
        {"to": b"short"}, {"expires": NOW}, {"expires": NOW + MAX_LIFE + 1}, {"created": -1},
    ], ids=repr)  # fmt: skip
    def test_an_envelope_that_breaks_a_rule_is_not_made(self, changes: dict[str, Any]) -> None:
        with pytest.raises(InvalidMessage):
            wrapped(**changes)


class TestInside:
    """What belongs inside. PROTOCOL §5.4"""

    def answer(self, **changes: Any) -> Verified:
        """Return the person's message number 1."""
        fields: dict[str, Any] = {"to": V, "session": S, "seq": 1, **changes}
        return sign("answer", seed("D"), {}, created=NOW, expires=NOW + 60, **fields)

    def from_vendor(self, by: str = "S", to: bytes = D) -> Verified:
        return wrapped(seed=seed(by), to=to)

    def from_person(self, by: str = "D", to: bytes = S) -> Verified:
        return wrapped(seed=seed(by), to=to)

    def test_both_directions_are_good(self) -> None:
        check_inside(question(), self.from_vendor(), person=D, session=S)
        check_inside(self.answer(), self.from_person(), person=D, session=S)

    @pytest.mark.parametrize("case", [
        "vendor's session swapped", "vendor's recipient swapped", "vendor's envelope from V",
        "vendor's envelope from another session", "vendor's envelope to S", "vendor's envelope to V",
        "vendor's message in the person's envelope", "person's session swapped", "person's envelope to V",
        "person's envelope by another", "person's envelope to another session",
        "person's message in the vendor's envelope", "person's message to himself in the vendor's envelope",
        "no session inside", "sealed inside",
    ])  # fmt: skip
    def test_any_swap_is_refused(self, case: str) -> None:
        inner, envelope = {
            "vendor's session swapped": lambda: (question(session=OTHER), self.from_vendor()),
            "vendor's recipient swapped": lambda: (question(to=OTHER), self.from_vendor()),
            "vendor's envelope from V": lambda: (question(), self.from_vendor("V")),
            "vendor's envelope from another session": lambda: (question(), self.from_vendor("another session")),
            "vendor's envelope to S": lambda: (question(), self.from_vendor(to=S)),
            "vendor's envelope to V": lambda: (question(), self.from_vendor(to=V)),
            "vendor's message in the person's envelope": lambda: (question(), self.from_person()),
            "person's session swapped": lambda: (self.answer(session=OTHER), self.from_person()),
            "person's envelope to V": lambda: (self.answer(), self.from_person(to=V)),
            "person's envelope by another": lambda: (self.answer(), self.from_person("another session")),
            "person's envelope to another session": lambda: (self.answer(), self.from_person(to=OTHER)),
            "person's message in the vendor's envelope": lambda: (self.answer(), self.from_vendor()),
            "person's message to himself in the vendor's envelope": lambda: (self.answer(to=D), self.from_vendor()),
            "no session inside": lambda: (make_demand()[0], self.from_person()),
            "sealed inside": lambda: (wrapped(), self.from_vendor()),
        }[case]()
        with pytest.raises(InvalidMessage) as refused:
            check_inside(inner, envelope, person=D, session=S)
        assert refused.value.code == "invalid.record.recipient"


class TestStamps:
    """PROTOCOL §5.5"""

    def test_a_stamp_is_found_and_checked(self) -> None:
        for bits in (1, 4, 8, 11):
            envelope = wrapped(bits=bits)
            assert int.from_bytes(envelope.id, "big") >> (256 - bits) == 0
            assert check_stamp(envelope, bits, NOW)
            assert unseal(envelope, KEY) == question().record

    def test_a_stamp_of_n_bits_is_worth_no_more_than_its_zeros(self) -> None:
        envelope = wrapped(bits=6)
        zeros = 256 - int.from_bytes(envelope.id, "big").bit_length()
        assert zeros >= 6
        assert check_stamp(envelope, zeros, NOW)
        assert not check_stamp(envelope, zeros + 1, NOW)

    def test_without_a_nonce_there_is_no_stamp_and_nought_bits_ask_for_none(self) -> None:
        unstamped = next(one for one in iter(wrapped, None) if one.id[0] < 0x80)
        assert unstamped.nonce is None
        assert not check_stamp(unstamped, 1, NOW)
        assert check_stamp(unstamped, 0, NOW)
        assert check_stamp(unstamped, 0, NOW + STAMP_AGE)

    def test_a_stale_stamp_is_none(self) -> None:
        envelope = wrapped(bits=4, expires=NOW + 10 * STAMP_AGE)
        assert check_stamp(envelope, 4, NOW + STAMP_AGE - 1)
        assert not check_stamp(envelope, 4, NOW + STAMP_AGE)
        assert check_stamp(envelope, 4, NOW - 60)

    @pytest.mark.parametrize("changes", [{"to": V}, {"created": NOW + 1}, {"by": "S2"}, {"expires": NOW + 601}],
                             ids=repr)  # fmt: skip
    def test_a_stamp_does_not_carry_over(self, changes: dict[str, Any]) -> None:
        """The same nonce under another recipient, author or date gives another id."""
        envelope = wrapped(bits=12, random=lambda length: b"r" * length)
        moved = reworked(envelope, **changes)
        assert moved.nonce == envelope.nonce
        assert not check_stamp(moved, 12, NOW)

    def test_a_key_that_looks_like_a_nonce_is_not_worked_on(self) -> None:
        """The person chooses the key; the bytes of a nonce's head inside it must not mislead the vendor's stamp."""
        lure = b"A" * 8 + b"\xa5nonce\xc4\x08" + bytes(8) + b"B" * 8
        envelope = wrapped(key=lure, bits=8)
        assert envelope.body["key"] == lure
        assert check_stamp(envelope, 8, NOW)
        person = wrapped(seed=seed("D"), to=lure, bits=8)
        assert person.to == lure

    def test_tries_that_find_nothing_say_so(self) -> None:
        header = {"v": 1, "type": "sealed", "author": S, "to": D, "created": NOW, "expires": NOW + 1, "body": {}}
        with pytest.raises(InvalidMessage):
            stamp(header, 28, iter([1, 2, 3]))
        assert bytes.fromhex("00" * 7 + "05") in stamp(header, 0, iter([5]))
