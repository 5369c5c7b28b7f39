"""The encoding: one form for every value, everything else refused, and hostile bytes cost no more than their length."""

import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from types import SimpleNamespace
from typing import Any

import msgpack
import msgpack._cmsgpack
import msgpack.fallback
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from intentcast_protocol import encoding
from intentcast_protocol.encoding import MALFORMED, NOT_CANONICAL, TOO_LARGE, decode, encode, scan
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_DEPTH, MAX_INT, MAX_NODES, MAX_RECORD

TEXT = st.text(max_size=40)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-MAX_INT, MAX_INT), TEXT, st.text(min_size=200, max_size=300),
    st.binary(max_size=300),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(TEXT, inner, max_size=20),
    max_leaves=40,
)


def backend(unpacker: Any, packer: Any) -> SimpleNamespace:
    """Return what `encoding` uses of msgpack, made of one of its two implementations."""

    def packb(value: Any, **options: Any) -> bytes:
        packed: bytes = packer(**options).pack(value)
        return packed

    return SimpleNamespace(packb=packb, unpackb=unpacker, Packer=packer)


BACKENDS = {
    "c": backend(msgpack._cmsgpack.unpackb, msgpack._cmsgpack.Packer),
    "python": backend(msgpack.fallback.unpackb, msgpack.fallback.Packer),
}


WAYS = ("short", *BACKENDS)


@contextmanager
def using(way: str) -> Iterator[None]:
    """Read the short way, which only small values take, or walk all bytes first, on either msgpack."""
    before = encoding.msgpack, encoding._SMALL
    if way != "short":
        encoding.msgpack, encoding._SMALL = BACKENDS[way], 0  # type: ignore[misc]
    try:
        yield
    finally:
        encoding.msgpack, encoding._SMALL = before  # type: ignore[misc]


def refusal(data: bytes, **bounds: int) -> str:
    """Return the code with which bytes are refused, whichever way they are read."""
    codes = set()
    for name in WAYS:
        with using(name), pytest.raises(InvalidMessage) as refused:
            decode(data, **bounds)
        codes.add(refused.value.code)
    (code,) = codes
    return code


def outcome(data: bytes) -> tuple[str, Any]:
    """Return the value, or the code of the refusal."""
    try:
        return "value", decode(data)
    except InvalidMessage as error:
        return "refused", error.code


def exact(value: Any) -> Any:
    """Return a value in which True and 1 differ, and so do list and tuple."""
    if isinstance(value, dict):
        return {key: exact(inner) for key, inner in value.items()}
    return [exact(inner) for inner in value] if isinstance(value, list) else (type(value).__name__, value)


class Level(IntEnum):
    """A number that is more than a number."""

    HIGH = 7


class TestRoundTrip:
    """PROTOCOL §3.1"""

    @given(VALUES)
    @settings(max_examples=150, deadline=None)
    def test_every_value_of_the_subset_comes_back(self, value: Any) -> None:
        assert exact(decode(encode(value))) == exact(value)

    @given(VALUES)
    @settings(max_examples=100, deadline=None)
    def test_both_msgpacks_write_and_read_the_same(self, value: Any) -> None:
        written = set()
        for name in BACKENDS:
            with using(name):
                data = encode(value)
                assert exact(decode(data)) == exact(value)
                written.add(data)
        assert len(written) == 1

    @given(st.dictionaries(TEXT, SCALARS, min_size=2, max_size=20))
    @settings(max_examples=80, deadline=None)
    def test_the_order_a_map_was_made_in_does_not_matter(self, value: dict[str, Any]) -> None:
        backwards = dict(reversed(value.items()))
        assert encode(backwards) == encode(value)

    @given(st.dictionaries(TEXT, st.none(), min_size=2, max_size=20))
    @settings(max_examples=80, deadline=None)
    def test_map_keys_ascend_by_their_utf8_bytes(self, value: dict[str, Any]) -> None:
        keys = [key.encode() for key in decode(encode(value))]
        assert keys == sorted(keys)

    @pytest.mark.parametrize("value", [
        0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, MAX_INT,
        -1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -MAX_INT,
        "", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 65_000, b"", b"x" * 255, b"x" * 256, b"x" * 65_000,
        [], [0] * 15, [0] * 16, {}, {chr(97 + at): at for at in range(15)}, {chr(97 + at): at for at in range(16)},
        "\x00", "\ud7ff", "\uffff", "\U0010ffff", {"\uffff": 1, "\U00010000": 2},
    ], ids=lambda value: repr(value)[:24])  # fmt: skip
    def test_edges_of_every_form_come_back(self, value: Any) -> None:
        data = encode(value)
        assert exact(decode(data)) == exact(value)
        assert data == msgpack.packb(value)

    def test_a_tuple_is_written_as_an_array(self) -> None:
        assert decode(encode((1, (2,)))) == [1, [2]]

    def test_text_is_never_normalised(self) -> None:
        assert encode("é") != encode("e\u0301")
        assert decode(encode("e\u0301")) == "e\u0301"

    def test_an_integer_enum_is_written_as_its_number(self) -> None:
        assert encode(Level.HIGH) == encode(7)


class Colour(StrEnum):
    """A text that is more than a text."""

    RED = "red"


class TestWhatCannotBeWritten:
    """PROTOCOL §3.1"""

    @pytest.mark.parametrize("value", [
        1.0, float("nan"), 1j, object(), {1, 2}, bytearray(b"x"), memoryview(b"x"), range(3), Colour.RED,
        {1: 2}, {b"k": 1}, {None: 1}, {Colour.RED: 1}, [{"deep": [3.5]}], msgpack.Timestamp(1),
        MAX_INT + 1, -MAX_INT - 1, "\ud800", {"\udfff": 1},
    ], ids=lambda value: repr(value)[:24])  # fmt: skip
    def test_a_type_outside_the_subset_is_refused(self, value: Any) -> None:
        for name in BACKENDS:
            with using(name), pytest.raises(InvalidMessage) as refused:
                encode(value)
            assert refused.value.code == MALFORMED

    @pytest.mark.parametrize("innermost", [{}, [], {"a": 1}, [1]], ids=repr)
    def test_too_deep_is_refused_on_both_ways_alike(self, innermost: Any) -> None:
        value = innermost
        for at in range(MAX_DEPTH - 1):
            value = [value] if at % 2 else {"a": value}
        assert decode(encode(value)) == value
        with pytest.raises(InvalidMessage, match="deep"):
            encode([value])
        assert refusal(b"\x91" + encode(value)) == TOO_LARGE


class TestRefusal:
    """Every other form of the same value, and every other type, is refused. PROTOCOL §3.2"""

    @pytest.mark.parametrize(("data", "code"), [
        # integers not in their shortest form
        ("cc7f", NOT_CANONICAL), ("cd00ff", NOT_CANONICAL), ("ce0000ffff", NOT_CANONICAL),
        ("cf00000000ffffffff", NOT_CANONICAL), ("d000", NOT_CANONICAL), ("d07f", NOT_CANONICAL),
        ("d0e0", NOT_CANONICAL), ("d1ff80", NOT_CANONICAL), ("d10080", NOT_CANONICAL),
        ("d2ffff8000", NOT_CANONICAL), ("d200010000", NOT_CANONICAL),
        ("d3ffffffff80000000", NOT_CANONICAL), ("d30000000100000000", NOT_CANONICAL),
        # lengths and counts not in their shortest form
        ("d90161", NOT_CANONICAL), ("da000161", NOT_CANONICAL), ("db0000000161", NOT_CANONICAL),
        ("d900", NOT_CANONICAL),
        ("c5000161", NOT_CANONICAL), ("c60000000161", NOT_CANONICAL),
        ("dc000101", NOT_CANONICAL), ("dd0000000101", NOT_CANONICAL), ("dc0000", NOT_CANONICAL),
        ("de0001a16101", NOT_CANONICAL), ("df00000001a16101", NOT_CANONICAL), ("df00000000", NOT_CANONICAL),
        # keys
        ("82a16201a16102", NOT_CANONICAL), ("82a16101a16102", NOT_CANONICAL), ("82a2616101a16202", "sorted"),
        ("82a1c3a901a17a02", MALFORMED), ("82a2c3a901a17a02", NOT_CANONICAL),
        ("810102", MALFORMED), ("81c4016101", MALFORMED), ("81c001", MALFORMED), ("818001", MALFORMED),
        ("819001", MALFORMED), ("81c301", MALFORMED), ("81c101", MALFORMED),
        # types outside the subset
        ("ca3f800000", MALFORMED), ("cb3ff0000000000000", MALFORMED), ("cb7ff8000000000000", MALFORMED),
        ("cb7ff0000000000000", MALFORMED), ("d4ff00", MALFORMED), ("d6ff00000000", MALFORMED),
        ("d7ff0000000000000000", MALFORMED), ("d8ff" + "00" * 16, MALFORMED), ("c70cff" + "00" * 12, MALFORMED),
        ("c70000", MALFORMED), ("c8000100ff", MALFORMED), ("c90000000100ff", MALFORMED), ("c1", MALFORMED),
        # numbers out of range
        ("cf0020000000000000", MALFORMED), ("cfffffffffffffffff", MALFORMED), ("d3ffe0000000000000", MALFORMED),
        ("d38000000000000000", MALFORMED),
        # bytes after the end, and none
        ("c0c0", MALFORMED), ("9000", MALFORMED), ("a161a0", MALFORMED), ("", MALFORMED),
        # text that is not UTF-8: lone continuation, overlong, surrogate, past the end of Unicode, cut short
        ("a180", MALFORMED), ("a2c080", MALFORMED), ("a3e08080", MALFORMED), ("a3eda080", MALFORMED),
        ("a4f4908080", MALFORMED), ("a1c3", MALFORMED), ("a2e282", MALFORMED), ("a1ff", MALFORMED),
        ("81a180c0", MALFORMED),
        # what ends too early
        ("91", MALFORMED), ("81", MALFORMED), ("81a161", MALFORMED), ("a161"[:2], MALFORMED), ("cc", MALFORMED),
        ("cd01", MALFORMED), ("ce010000", MALFORMED), ("cf01000000000000", MALFORMED), ("d0", MALFORMED),
        ("d1ff", MALFORMED), ("d2ff0000", MALFORMED), ("d3ff000000000000", MALFORMED), ("d9", MALFORMED),
        ("c4", MALFORMED), ("c401", MALFORMED), ("c4ff00", MALFORMED), ("d92061", MALFORMED), ("929192", MALFORMED),
        # claims far past the end
        ("c6ffffffff", MALFORMED), ("dbffffffff61", MALFORMED), ("ddffffffff", MALFORMED), ("dfffffffff", MALFORMED),
        ("deffff", MALFORMED), ("dcffff00", MALFORMED), ("8f", MALFORMED), ("9f00", MALFORMED),
    ])  # fmt: skip
    def test_a_form_that_is_not_canonical_is_refused(self, data: str, code: str) -> None:
        if code == "sorted":
            assert decode(bytes.fromhex(data)) == {"aa": 1, "b": 2}
        else:
            assert refusal(bytes.fromhex(data)) == code

    @given(VALUES, st.data())
    @settings(max_examples=150, deadline=None)
    def test_a_longer_head_anywhere_is_refused(self, value: Any, data: st.DataObject) -> None:
        """Every head of a valid value, rewritten in each longer form."""
        plain = encode(value)
        heads = list(walk_heads(plain))
        at, longer = data.draw(st.sampled_from(heads))
        for form in longer:
            assert outcome(plain[:at] + form) == ("refused", NOT_CANONICAL)

    @given(VALUES, st.binary(min_size=1, max_size=9))
    @settings(max_examples=60, deadline=None)
    def test_bytes_after_the_end_are_refused(self, value: Any, tail: bytes) -> None:
        assert refusal(encode(value) + tail) == MALFORMED

    @given(VALUES)
    @settings(max_examples=60, deadline=None)
    def test_every_shorter_piece_is_refused(self, value: Any) -> None:
        data = encode(value)
        for end in range(len(data)):
            with pytest.raises(InvalidMessage):
                decode(data[:end])

    @given(st.dictionaries(TEXT, st.integers(0, 9), min_size=2, max_size=8), st.randoms(use_true_random=False))
    @settings(max_examples=80, deadline=None)
    def test_a_map_in_any_other_order_is_refused(self, value: dict[str, int], random: Any) -> None:
        items = sorted(value.items())
        shuffled = list(items)
        random.shuffle(shuffled)
        data = bytes([0x80 + len(items)]) + b"".join(encode(key) + encode(number) for key, number in shuffled)
        if shuffled == items:
            assert decode(data) == value
        else:
            assert refusal(data) == NOT_CANONICAL


# Short heads, their mask for the length, the longer heads with the width of theirs, and whether content follows.
FORMS: list[tuple[range, int, list[tuple[int, str]], bool]] = [
    (range(0xA0, 0xC0), 0x1F, [(0xD9, ">B"), (0xDA, ">H"), (0xDB, ">I")], True),
    (range(0), 0, [(0xC4, ">B"), (0xC5, ">H"), (0xC6, ">I")], True),
    (range(0x90, 0xA0), 0x0F, [(0xDC, ">H"), (0xDD, ">I")], False),
    (range(0x80, 0x90), 0x0F, [(0xDE, ">H"), (0xDF, ">I")], False),
]


def walk_heads(data: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Yield each place where a value begins, with what follows from there in every longer form."""
    at = 0
    while at < len(data):
        first = data[at]
        if first < 0x80 or first >= 0xE0 or 0xCC <= first <= 0xD3:
            number, end = integer_at(data, at)
            yield at, [form + data[end:] for form in longer_integers(number, end - at)]
            at = end
            continue
        for short, mask, forms, has_content in FORMS:
            if first in short or first in dict(forms):
                widths = {code: struct.calcsize(width) for code, width in forms}
                width = widths.get(first, 0)
                size = int.from_bytes(data[at + 1 : at + 1 + width], "big") if width else first & mask
                rest = at + 1 + width
                longer = [
                    bytes([code]) + struct.pack(fmt, size) + data[rest:]
                    for code, fmt in forms
                    if widths[code] > width and size < 1 << 8 * widths[code]
                ]
                yield at, longer
                at = rest + (size if has_content else 0)
                break
        else:
            at += 1  # nil and booleans have no other form
            yield at - 1, []


def integer_at(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer that begins here and where it ends."""
    first = data[at]
    if first < 0x80:
        return first, at + 1
    if first >= 0xE0:
        return first - 256, at + 1
    width = 1 << (first & 3)
    return int.from_bytes(data[at + 1 : at + 1 + width], "big", signed=first >= 0xD0), at + 1 + width


def longer_integers(number: int, length: int) -> list[bytes]:
    """Return every longer form of an integer, and the signed forms of one that is not negative."""
    forms = []
    for code, form in ((0xCC, ">B"), (0xCD, ">H"), (0xCE, ">I"), (0xCF, ">Q")):
        if 0 <= number < 1 << 8 * struct.calcsize(form) and struct.calcsize(form) + 1 > length:
            forms.append(bytes([code]) + struct.pack(form, number))
    for code, form in ((0xD0, ">b"), (0xD1, ">h"), (0xD2, ">i"), (0xD3, ">q")):
        room = 1 << 8 * struct.calcsize(form) - 1
        if -room <= number < room and (number >= 0 or struct.calcsize(form) + 1 > length):
            forms.append(bytes([code]) + struct.pack(form, number))
    return forms


class TestBounds:
    """PROTOCOL §3.2"""

    def test_more_bytes_than_the_bound_are_refused_unread(self) -> None:
        assert refusal(b"\xc1" * (MAX_RECORD + 1)) == TOO_LARGE
        assert refusal(b"\xc0\xc0", max_size=1) == TOO_LARGE
        assert decode(b"\xc0", max_size=1) is None

    def test_the_node_bound_counts_keys_values_and_the_outermost(self) -> None:
        assert len(decode(encode([None] * (MAX_NODES - 1)))) == MAX_NODES - 1
        assert refusal(encode([None] * MAX_NODES)) == TOO_LARGE
        half = {f"{at:04}": 0 for at in range(MAX_NODES // 2 - 1)}
        assert decode(encode(half)) == half
        assert refusal(encode({**half, "x": 0})) == TOO_LARGE
        assert refusal(encode([1, 2]), max_nodes=2) == TOO_LARGE
        assert decode(encode([1, 2]), max_nodes=3) == [1, 2]

    @pytest.mark.parametrize("bomb", [
        b"\xdd\x00\x00\xff\xf0" + b"\x80" * 65_520,  # a flat array of empty maps
        b"\xdc\xff\xf0" + b"\x90" * 65_520,
        b"\x91" * 65_535 + b"\xc0",  # a tower of arrays
        b"\x81\xa0" * 32_767 + b"\xc0",  # a tower of maps
        b"\xdd\xff\xff\xff\xff" + b"\xc0" * 65_000,  # a claim of four thousand million elements
        b"\xdf\xff\xff\xff\xff" + b"\xa0\xc0" * 32_000,
        b"\xdc\xff\xf0" + b"\xdc\xff\xf0" * 21_000,
    ], ids=["maps", "arrays", "tower", "map-tower", "array-claim", "map-claim", "nested-claims"])  # fmt: skip
    def test_a_bomb_is_refused_before_it_costs_memory(self, bomb: bytes) -> None:
        assert len(bomb) <= MAX_RECORD

        def refuse() -> None:
            with pytest.raises(InvalidMessage):
                decode(bomb)

        assert peak(refuse) < 16_384

    @pytest.mark.parametrize("value", [
        b"x" * 65_530, "x" * 65_530,
        ["x" * 29] * (MAX_NODES - 1),
        [f"{at:029}" for at in range(MAX_NODES - 1)],
        [b"x" * 30] * (MAX_NODES - 1),
        [b"x" * 62_700, *[{"a": None}] * 680],
        [b"x" * 62_700, *[{}] * 2_040],
        [b"x" * 62_700, *[[]] * 2_040],
        [b"x" * 62_700, *[[0]] * 1_020],
        {f"{at:055}": None for at in range(MAX_NODES // 2 - 1)},
        [{f"{at:027}": {}} for at in range(MAX_NODES // 3 - 1)],
    ], ids=["bytes", "text", "texts", "distinct", "binaries", "maps", "empty-maps", "empty-arrays", "arrays", "keys",
            "pairs"])  # fmt: skip
    def test_reading_the_largest_input_takes_at_most_four_times_its_size(self, value: Any) -> None:
        data = encode(value)
        assert len(data) <= MAX_RECORD
        assert peak(lambda: decode(data)) <= 4 * MAX_RECORD

    def test_one_wide_character_in_a_long_text_takes_at_most_six_times_its_size(self) -> None:
        """CPython keeps such a text at four bytes a character, and needs room to widen it: our code adds nothing."""
        data = encode(["x" * 60_000 + "\U0001f600", *[{"a": None}] * 680])
        assert 5 * MAX_RECORD < peak(lambda: decode(data)) <= 6 * MAX_RECORD


def peak(act: Callable[[], object]) -> int:
    """Return the most memory an act held beyond its input, once warm."""
    act()
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestArbitraryBytes:
    """Arbitrary bytes give a value or an InvalidMessage; a value's bytes are its only form. PROTOCOL §14"""

    @given(st.binary(max_size=200))
    @settings(max_examples=400, deadline=None)
    @example(b"\xc1")
    @example(b"\x81\x80\xc0")
    def test_bytes_give_a_value_or_an_invalid_message(self, data: bytes) -> None:
        kind, value = outcome(data)
        if kind == "value":
            assert encode(value) == data
        else:
            assert value in (MALFORMED, NOT_CANONICAL, TOO_LARGE)

    @given(VALUES, st.integers(0, 10_000), st.integers(1, 255))
    @settings(max_examples=300, deadline=None)
    def test_a_changed_byte_gives_another_value_or_none(self, value: Any, place: int, change: int) -> None:
        data = bytearray(encode(value))
        data[place % len(data)] ^= change
        kind, other = outcome(bytes(data))
        if kind == "value":
            assert exact(other) != exact(value)
            assert encode(other) == bytes(data)

    @given(st.binary(max_size=60) | VALUES.map(encode))
    @settings(max_examples=300, deadline=None)
    def test_the_scan_alone_refuses_whatever_writing_again_would_change(self, data: bytes) -> None:
        """Writing a value again and comparing would refuse nothing that the scan lets through."""
        try:
            scan(data)
            value = msgpack.unpackb(data, raw=False, strict_map_key=True)
        except (InvalidMessage, ValueError):
            return
        assert msgpack.packb(value) == data

    @given(st.binary(max_size=60) | VALUES.map(encode), st.integers(0, 10_000), st.integers(0, 255))
    @settings(max_examples=500, deadline=None)
    @example(b"\xc0\xcb" + bytes(8), 0, 0)  # a float
    @example(b"\x00\xcf\x00\x20" + bytes(6), 0, 0)  # 2^53
    @example(b"\x00\xd6\xff" + bytes(4), 0, 0)  # a timestamp
    @example(b"\x00\x81\x01\x02", 0, 0)  # a key that is no text
    @example(b"\x00\x81\xc4\x01a\x02", 0, 0)
    def test_the_short_way_and_the_walk_agree(self, data: bytes, place: int, change: int) -> None:
        """Small values are judged after they are made; what that lets through and the walk does not is nothing."""
        changed = bytearray(data)
        if changed:
            changed[place % len(changed)] ^= change
        for candidate in (data, data[1:], bytes(changed)):
            with using("short"):
                short = outcome(candidate)
            with using("c"):
                assert outcome(candidate) == short

    @given(st.binary(max_size=60))
    @settings(max_examples=200, deadline=None)
    def test_both_msgpacks_refuse_the_same(self, data: bytes) -> None:
        outcomes = []
        for name in BACKENDS:
            with using(name):
                outcomes.append(outcome(data))
        assert outcomes[0] == outcomes[1]
