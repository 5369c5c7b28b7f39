"""Places: the geohash everybody uses, circles that cover what they say, and areas that meet where they may overlap."""

from math import asin, atan2, cos, degrees, radians, sin

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from intentcast_protocol.area import ANYWHERE, Area, circle, geohash, read_area
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_CELL, MAX_CELLS

BASE32 = "0123456789bcdefghjkmnpqrstuvwxyz"
CELLS = st.text(BASE32, min_size=1, max_size=MAX_CELL)


class TestGeohash:
    """PROTOCOL §6.2"""

    @pytest.mark.parametrize(("latitude", "longitude", "cell"), [
        (57.64911, 10.40744, "u4pruydqqvj"),  # the example of the scheme's author
        (42.6, -5.6, "ezs42"),
        (51.5007, -0.1246, "gcpuvp"),  # London
        (48.8584, 2.2945, "u09tunq"),  # Paris
        (52.0907, 5.1214, "u178k"),  # Utrecht
        (52.3676, 4.9041, "u173z"),  # Amsterdam
        (40.6892, -74.0445, "dr5r7p"),  # New York
        (-33.8568, 151.2153, "r3gx2u"),  # Sydney
        (35.6586, 139.7454, "xn76gg"),  # Tokyo
        (0.0, 0.0, "s0000"), (-90.0, -180.0, "00000"), (90.0, 180.0, "zzzzz"), (-0.0001, -0.0001, "7zzzz"),
    ])  # fmt: skip
    def test_reference_points_lie_in_their_known_cells(self, latitude: float, longitude: float, cell: str) -> None:
        assert geohash(latitude, longitude, len(cell)) == cell
        assert geohash(latitude, longitude) == cell[:4]

    @given(st.floats(-90, 90), st.floats(-180, 180))
    @settings(max_examples=80, deadline=None)
    def test_a_longer_cell_lies_in_the_shorter_one(self, latitude: float, longitude: float) -> None:
        full = geohash(latitude, longitude, 8)
        for length in range(1, 8):
            assert geohash(latitude, longitude, length) == full[:length]

    @given(st.floats(-89.999, 89.999), st.floats(-179.999, 179.999))
    @settings(max_examples=80, deadline=None)
    def test_the_cell_read_back_holds_the_point(self, latitude: float, longitude: float) -> None:
        south, north, west, east = bounds(geohash(latitude, longitude, 6))
        assert south <= latitude < north
        assert west <= longitude < east


def bounds(cell: str) -> tuple[float, float, float, float]:
    """Return a cell's south, north, west and east, read letter by letter."""
    south, north, west, east = -90.0, 90.0, -180.0, 180.0
    even = True
    for letter in cell:
        for bit in (16, 8, 4, 2, 1):
            upper = bool(BASE32.index(letter) & bit)
            if even:
                middle = (west + east) / 2
                west, east = (middle, east) if upper else (west, middle)
            else:
                middle = (south + north) / 2
                south, north = (middle, north) if upper else (south, middle)
            even = not even
    return south, north, west, east


def there(latitude: float, longitude: float, bearing: float, distance: float) -> tuple[float, float]:
    """Return the point so many kilometres away on a sphere of the earth's mean radius."""
    a, start, b = distance / 6_371.0, radians(latitude), radians(bearing)
    end = asin(max(-1.0, min(1.0, sin(start) * cos(a) + cos(start) * sin(a) * cos(b))))
    turn = atan2(sin(b) * sin(a) * cos(start), cos(a) - sin(start) * sin(end))
    return degrees(end), (longitude + degrees(turn) + 180) % 360 - 180


class TestCircle:
    """PROTOCOL §6.2"""

    @given(st.floats(-89, 89), st.floats(-180, 180), st.floats(0.1, 2_500))
    @settings(max_examples=250, deadline=None)
    @example(52.09, 5.12, 50.0)
    @example(60.0, 10.0, 500.0)
    @example(66.0, 22.5, 900.0)  # where the widest parallel is far from the centre's
    @example(-16.9, 179.99, 60.0)  # across the date line
    @example(89.0, 0.0, 300.0)  # over the pole
    @example(-88.9, 10.0, 1_000.0)
    @example(45.0, 0.0, 0.1)
    def test_the_cells_cover_the_whole_circle(self, latitude: float, longitude: float, radius: float) -> None:
        cells = circle(latitude, longitude, radius)
        assert len(cells) <= MAX_CELLS
        assert len(set(cells)) == len(cells)
        if not cells:  # anywhere
            return
        (length,) = {len(cell) for cell in cells}
        for distance in (0.0, radius / 2, radius * 0.99, radius):
            for bearing in range(0, 360, 5):
                assert geohash(*there(latitude, longitude, bearing, distance), length) in cells

    @pytest.mark.parametrize(("latitude", "longitude", "radius", "length"), [
        (52.09, 5.12, 5, 4), (52.09, 5.12, 20, 4), (52.09, 5.12, 100, 3), (52.09, 5.12, 500, 2), (0, 0, 1, 4),
        (0.0, 0.0, 1_500, 1),
    ])  # fmt: skip
    def test_the_finest_length_that_fits_is_used(
        self, latitude: float, longitude: float, radius: float, length: int
    ) -> None:
        cells = circle(latitude, longitude, radius)
        assert {len(cell) for cell in cells} == {length}
        assert list(cells) == sorted(cells)

    def test_a_circle_around_utrecht_is_the_cells_on_the_map(self) -> None:
        assert circle(52.0907, 5.1214, 10) == ("u15x", "u178")

    def test_a_circle_too_large_for_any_cells_is_anywhere(self) -> None:
        assert circle(52.09, 5.12, 20_000) == ()
        assert read_area({"cells": list(circle(52.09, 5.12, 20_000))}) == ANYWHERE

    def test_no_finer_place_than_allowed_is_given(self) -> None:
        assert max(len(cell) for cell in circle(52.09, 5.12, 0.001)) == MAX_CELL

    def test_every_cell_of_a_circle_can_be_written_in_a_demand(self) -> None:
        cells = circle(52.09, 5.12, 20)
        assert read_area({"cells": list(cells)}).cells == cells


class TestMeets:
    """PROTOCOL §6.2"""

    @pytest.mark.parametrize(("one", "other", "expected"), [
        (Area(), Area(), True), (Area(), Area(("u1",)), True), (Area(), Area((), ("NL",)), True),
        (Area(("u178",)), Area(("u178",)), True), (Area(("u178",)), Area(("u17",)), True),
        (Area(("u",)), Area(("u178",)), True),
        (Area(("u178",)), Area(("u179",)), False), (Area(("u1", "u9")), Area(("u2", "u9x")), True),
        (Area(("u1",)), Area(("u2", "gc")), False), (Area((), ("NL",)), Area((), ("NL", "BE")), True),
        (Area((), ("NL",)), Area((), ("BE",)), False), (Area(("u1",)), Area((), ("NL",)), True),
        (Area(("u1",), ("NL",)), Area(("u2",), ("NL",)), False), (Area(("u1",), ("NL",)), Area(("u1",), ("BE",)), True),
        (Area(("u1",), ("NL",)), Area((), ("BE",)), False), (Area(("u1",), ("NL",)), Area(("u2",)), False),
    ])  # fmt: skip
    def test_areas_meet_where_they_may_overlap(self, one: Area, other: Area, expected: bool) -> None:
        assert one.meets(other) is expected
        assert other.meets(one) is expected

    @given(st.lists(CELLS, min_size=1, max_size=4), st.lists(CELLS, min_size=1, max_size=4))
    @settings(max_examples=150, deadline=None)
    def test_cells_meet_exactly_where_their_rectangles_do(self, ours: list[str], theirs: list[str]) -> None:
        def overlap(a: str, b: str) -> bool:
            one, other = bounds(a), bounds(b)
            return (
                max(one[0], other[0]) < min(one[1], other[1]) and max(one[2], other[2]) < min(one[3], other[3])
            )  # fmt: skip

        expected = any(overlap(a, b) for a in ours for b in theirs)
        assert Area(tuple(ours)).meets(Area(tuple(theirs))) is expected

    @given(CELLS, CELLS)
    @settings(max_examples=60, deadline=None)
    def test_a_cell_meets_its_own_beginnings_only(self, cell: str, other: str) -> None:
        assume(not cell.startswith(other) and not other.startswith(cell))
        assert not Area((cell,)).meets(Area((other,)))
        assert Area((cell,)).meets(Area((cell[:1],)))


class TestReading:
    """PROTOCOL §6.2"""

    @pytest.mark.parametrize("value", [
        "u178", [], 5, {"cells": "u178"}, {"cells": [5]}, {"cells": [""]}, {"cells": ["u178x"]}, {"cells": ["U17"]},
        {"cells": ["a"]}, {"cells": ["i"]}, {"cells": ["l"]}, {"cells": ["o"]}, {"cells": ["u1\n"]}, {"cells": [["u"]]},
        {"cells": ["u"] * (MAX_CELLS + 1)}, {"countries": ["nl"]}, {"countries": ["NLD"]}, {"countries": ["N"]},
        {"countries": "NL"}, {"countries": ["NL"] * 65}, {"countries": [None]}, {"cities": ["Utrecht"]},
        {"cells": None}, {"cells": {}}, {"cells": [b"u1"]}, {"countries": ["N\u00dc"]},
    ], ids=lambda value: repr(value)[:40])  # fmt: skip
    def test_ill_formed_area_is_refused(self, value: object) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_area(value, "invalid.profile.malformed")
        assert refused.value.code == "invalid.profile.malformed"

    def test_nothing_means_anywhere(self) -> None:
        assert read_area(None) == read_area({}) == read_area({"cells": [], "countries": []}) == ANYWHERE

    def test_the_most_cells_and_countries_are_read(self) -> None:
        area = read_area({"cells": ["u178"] * MAX_CELLS, "countries": ["NL"] * 64})
        assert (len(area.cells), len(area.countries)) == (MAX_CELLS, 64)
