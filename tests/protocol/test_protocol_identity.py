"""Ids and keys: their text forms are those of `multiformats`, one form each, and bad points are refused."""

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.identity import check_key, cid, content_id, did, parse_cid, parse_did, public_key
from multiformats import CID, multibase, multicodec, multihash
from nacl.bindings import crypto_core_ed25519_add, crypto_core_ed25519_is_valid_point

IDS = st.binary(min_size=32, max_size=32)
SEEDS = st.binary(min_size=32, max_size=32)
P = 2**255 - 19
# One point of each small order: 1, 2, 4, 4, 8, 8, 8, 8; then the forms of them that are not canonical.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
ORDER_8 = bytes.fromhex(SMALL_ORDER[4])


def random_ids(count: int) -> list[bytes]:
    """Return the same random ids on every run."""
    draw = random.Random(7)
    return [draw.randbytes(32) for _ in range(count)]


def attempt(parse: Callable[[str], Any], text: str) -> Any:
    """Return what a text is read as, or the code with which it is refused."""
    try:
        return parse(text)
    except InvalidMessage as error:
        return error.code


class TestRecordIds:
    """PROTOCOL §2.2"""

    @pytest.mark.parametrize("raw", [*random_ids(40), bytes(32), b"\xff" * 32], ids=lambda raw: raw[:3].hex())
    def test_text_is_the_cid_that_multiformats_writes(self, raw: bytes) -> None:
        expected = CID("base32", 1, multicodec.get("messagepack"), multihash.wrap(raw, "sha2-256"))
        assert cid(raw) == str(expected)
        assert len(cid(raw)) == 61

    @given(IDS)
    @settings(max_examples=60, deadline=None)
    def test_text_comes_back(self, raw: bytes) -> None:
        assert parse_cid(cid(raw)) == raw

    def test_an_id_is_the_sha2_256_of_the_payload(self) -> None:
        assert content_id(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    RAW = random_ids(1)[0]

    @pytest.mark.parametrize("text", [
        cid(RAW).upper(),
        cid(RAW)[:-1] + cid(RAW)[-1].upper(),
        "B" + cid(RAW)[1:].upper(),
        str(CID("base58btc", 1, "messagepack", multihash.wrap(RAW, "sha2-256"))),
        str(CID("base16", 1, "messagepack", multihash.wrap(RAW, "sha2-256"))),
        str(CID("base64", 1, "messagepack", multihash.wrap(RAW, "sha2-256"))),
        str(CID("base32hex", 1, "messagepack", multihash.wrap(RAW, "sha2-256"))),
        str(CID("base58btc", 0, "dag-pb", multihash.wrap(RAW, "sha2-256"))),
        str(CID("base32", 1, "dag-pb", multihash.wrap(RAW, "sha2-256"))),
        str(CID("base32", 1, "raw", multihash.wrap(RAW, "sha2-256"))),
        str(CID("base32", 1, "json", multihash.wrap(RAW, "sha2-256"))),
        str(CID("base32", 1, "messagepack", multihash.wrap(RAW, "sha3-256"))),
        str(CID("base32", 1, "messagepack", multihash.wrap(RAW, "blake2s-256"))),
        str(CID("base32", 1, "messagepack", multihash.wrap(RAW + RAW, "sha2-512"))),
        cid(RAW)[:-1], cid(RAW) + "a", cid(RAW) + "=", " " + cid(RAW), cid(RAW) + "\n", "b" + "=" * 60, "b" * 61, "",
        "b" + "1" * 60, "b" + "é" * 60, cid(RAW)[:-1] + "ſ", "ipfs://" + cid(RAW), RAW.hex(), did(public_key(RAW)),
    ], ids=lambda text: text[:12] or "empty")  # fmt: skip
    def test_every_other_text_form_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidMessage) as refused:
            parse_cid(text)
        assert refused.value.code == "invalid.id.malformed"

    @pytest.mark.parametrize("raw", random_ids(8), ids=lambda raw: raw[:3].hex())
    def test_bits_of_the_last_letter_that_say_nothing_must_be_zero(self, raw: bytes) -> None:
        """60 letters carry 300 bits, a CID has 296: fifteen other last letters would decode to the same bytes."""
        text, letters = cid(raw), "abcdefghijklmnopqrstuvwxyz234567"
        at = letters.index(text[-1])
        for last in letters[at + 1 : at + 16]:
            with pytest.raises(InvalidMessage):
                parse_cid(text[:-1] + last)

    @pytest.mark.parametrize("raw", random_ids(3), ids=lambda raw: raw[:3].hex())
    def test_any_changed_letter_gives_another_id_or_none(self, raw: bytes) -> None:
        text = cid(raw)
        for at in range(len(text)):
            for letter in "a7z8=é":
                changed = text[:at] + letter + text[at + 1 :]
                if changed == text:
                    continue
                other = attempt(parse_cid, changed)
                assert other == "invalid.id.malformed" or (other != raw and cid(other) == changed)


class TestKeys:
    """PROTOCOL §2.1"""

    @given(st.text("abz267=A1é", min_size=60, max_size=60))
    @settings(max_examples=100, deadline=None)
    def test_any_text_gives_an_id_or_a_refusal(self, text: str) -> None:
        read = attempt(parse_cid, "b" + text)
        assert read == "invalid.id.malformed" or cid(read) == "b" + text

    @given(SEEDS)
    @settings(max_examples=60, deadline=None)
    def test_text_is_what_multiformats_writes_and_comes_back(self, seed: bytes) -> None:
        key = public_key(seed)
        assert did(key) == "did:key:" + multibase.encode(multicodec.wrap("ed25519-pub", key), "base58btc")
        assert did(key).startswith("did:key:z6Mk")
        assert len(did(key)) == 56
        assert parse_did(did(key)) == key

    KEY = public_key(b"k" * 32)

    @pytest.mark.parametrize("text", [
        did(KEY).upper(), did(KEY).lower(), did(KEY)[:-1], did(KEY) + "1", did(KEY) + "#" + did(KEY)[8:], did(KEY)[8:],
        "did:web:" + did(KEY)[8:], "did:key:" + multibase.encode(multicodec.wrap("ed25519-pub", KEY), "base32"),
        "did:key:" + multibase.encode(multicodec.wrap("x25519-pub", KEY), "base58btc"),
        "did:key:" + multibase.encode(multicodec.wrap("secp256k1-pub", KEY + b"0"), "base58btc"),
        "did:key:z6Mk" + "0" * 44, "did:key:z6Mk" + "l" * 44, "did:key:z6Mk" + "z" * 44, "did:key:z6Mk" + "é" * 44,
        "did:key:z6Mk" + "1" * 43 + "\n", " " + did(KEY)[:-1], "", cid(KEY),
    ], ids=lambda text: text[:16] or "empty")  # fmt: skip
    def test_every_other_text_form_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidMessage) as refused:
            parse_did(text)
        assert refused.value.code == "invalid.id.malformed"

    def test_any_changed_letter_gives_another_key_or_none(self) -> None:
        text = did(self.KEY)
        for at in range(12, len(text)):
            for letter in "1zA0é":
                changed = text[:at] + letter + text[at + 1 :]
                if changed == text:
                    continue
                other = attempt(parse_did, changed)
                assert other in ("invalid.id.malformed", "invalid.record.key") or (
                    other != self.KEY and did(other) == changed
                )

    @pytest.mark.parametrize("parse", [parse_cid, parse_did])
    @pytest.mark.parametrize("text", ["z" * 200_000, "b" * 200_000, "did:key:z6Mk" + "z" * 200_000, "é" * 200_000])
    def test_a_text_of_200_kb_is_refused_before_it_is_decoded(self, parse: Callable[[str], Any], text: str) -> None:
        """Decoding it would take half a minute, as measured; the bound is generous for a busy machine."""
        began = time.process_time()
        with pytest.raises(InvalidMessage):
            parse(text)
        assert time.process_time() - began < 0.1


class TestPoints:
    """PROTOCOL §4.3"""

    @pytest.mark.parametrize("point", SMALL_ORDER)
    def test_small_order_point_is_refused(self, point: str) -> None:
        key = bytes.fromhex(point)
        with pytest.raises(InvalidMessage) as refused:
            check_key(key)
        assert refused.value.code == "invalid.record.key"
        with pytest.raises(InvalidMessage):
            parse_did(did(key))

    @pytest.mark.parametrize("seed", random_ids(12), ids=lambda raw: raw[:3].hex())
    def test_mixed_order_point_is_refused(self, seed: bytes) -> None:
        """A good key plus a point of order 8 is on the curve, and generates the large group times eight."""
        key = public_key(seed)
        assert check_key(key) == key
        mixed = crypto_core_ed25519_add(key, ORDER_8)
        for _ in range(7):
            with pytest.raises(InvalidMessage) as refused:
                check_key(mixed)
            assert refused.value.code == "invalid.record.key"
            mixed = crypto_core_ed25519_add(mixed, ORDER_8)
        assert mixed == key

    @pytest.mark.parametrize("number", [P, P + 1, P + 3, P + 4, 2**255 - 1, 2])
    def test_a_number_that_is_no_point_in_canonical_form_is_refused(self, number: int) -> None:
        with pytest.raises(InvalidMessage):
            check_key(number.to_bytes(32, "little"))

    @pytest.mark.parametrize("key", [b"", b"k", bytes(31), bytes(33), public_key(b"k" * 32) + b"\0"])
    def test_another_length_is_refused(self, key: bytes) -> None:
        with pytest.raises(InvalidMessage):
            check_key(key)

    def test_most_random_bytes_are_no_key(self) -> None:
        """Half are on the curve, one in eight of these in the right group."""
        good = sum(crypto_core_ed25519_is_valid_point(raw) for raw in random_ids(1_000))
        refused = 0
        for raw in random_ids(1_000):
            try:
                check_key(raw)
            except InvalidMessage:
                refused += 1
        assert refused == 1_000 - good
        assert 30 < good < 100
