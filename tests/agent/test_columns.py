"""A sealed cell opens in its own place, under its own key, and nowhere else."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.columns import NONCE_BYTES, TAG_BYTES, ColumnDamaged, ColumnSeal, _place

Place = tuple[str, str, bytes | str | int]
ROWS = st.binary(max_size=8) | st.text(max_size=4) | st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(max_size=4)


@pytest.fixture
def cells() -> ColumnSeal:
    return ColumnSeal(os.urandom(32))


@pytest.mark.parametrize("row", [b"\x01" * 32, "did:key:z6Mk", 7, -1, ""])
@pytest.mark.parametrize("plaintext", [b"", b"22 000", os.urandom(60_000)])
def test_cell_opens_where_it_was_sealed(cells: ColumnSeal, row: bytes | str | int, plaintext: bytes) -> None:
    sealed = cells.seal("demand", "reserve", row, plaintext)
    assert cells.open("demand", "reserve", row, sealed) == plaintext
    assert len(sealed) == len(plaintext) + NONCE_BYTES + TAG_BYTES


def test_cell_opens_with_the_same_data_key_after_a_restart() -> None:
    key = os.urandom(32)
    assert ColumnSeal(key).open("t", "c", 1, ColumnSeal(key).seal("t", "c", 1, b"kept")) == b"kept"


@pytest.mark.parametrize(
    "place",
    [
        ("demand", "reserve", 2),
        ("demand", "weights", 1),
        ("offer", "reserve", 1),
        ("demand", "reserve", "1"),
        ("demand", "reserve", b"1"),
        ("demandr", "eserve", 1),
    ],
)
def test_cell_moved_to_another_place_is_refused(cells: ColumnSeal, place: Place) -> None:
    sealed = cells.seal("demand", "reserve", 1, b"18500.00")
    with pytest.raises(ColumnDamaged):
        cells.open(*place, sealed)


@settings(max_examples=50)
@given(st.tuples(NAMES, NAMES, ROWS), st.tuples(NAMES, NAMES, ROWS))
def test_two_places_never_share_an_encoding(one: Place, other: Place) -> None:
    same = one == other and type(one[2]) is type(other[2])
    assert (_place(*one) == _place(*other)) == same


def test_every_flipped_byte_of_a_cell_is_refused(cells: ColumnSeal) -> None:
    sealed = cells.seal("demand", "reserve", 1, b"18500.00")
    for at in range(len(sealed)):
        altered = bytearray(sealed)
        altered[at] ^= 1
        with pytest.raises(ColumnDamaged):
            cells.open("demand", "reserve", 1, bytes(altered))


def test_every_truncated_cell_is_refused(cells: ColumnSeal) -> None:
    sealed = cells.seal("demand", "reserve", 1, b"18500.00")
    for length in range(len(sealed)):
        with pytest.raises(ColumnDamaged):
            cells.open("demand", "reserve", 1, sealed[:length])


def test_cell_sealed_under_another_data_key_is_refused(cells: ColumnSeal) -> None:
    with pytest.raises(ColumnDamaged):
        ColumnSeal(os.urandom(32)).open("t", "c", 1, cells.seal("t", "c", 1, b"x"))


def test_sealing_the_same_cell_twice_shows_no_likeness(cells: ColumnSeal) -> None:
    assert cells.seal("t", "c", 1, b"same") != cells.seal("t", "c", 1, b"same")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_column_seal_refuses_a_key_of_another_length(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ColumnSeal(bytes(length))


def test_neither_repr_nor_error_shows_a_secret(cells: ColumnSeal) -> None:
    sealed = cells.seal("demand", "reserve", 1, b"canary")
    with pytest.raises(ColumnDamaged) as refused:
        cells.open("demand", "reserve", 2, sealed)
    assert "canary" not in str(refused.value)
    assert repr(cells) == "ColumnSeal()"
