"""Places, coarsely: geohash cells of at most four characters (about 20 × 39 km), and ISO 3166 countries.

PROTOCOL §6.2
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import asin, cos, degrees, radians, sin

from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_CELL, MAX_CELLS

_BASE32 = "0123456789bcdefghjkmnpqrstuvwxyz"
_CELL = re.compile(rf"[{_BASE32}]{{1,{MAX_CELL}}}", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_EARTH = 110.5  # km a degree of latitude, where it is shortest, so that a circle is never covered too tightly


@dataclass(frozen=True, slots=True)
class Area:
    """Cells and countries; both empty means anywhere."""

    cells: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()

    def meets(self, other: "Area") -> bool:
        """Say whether two areas may overlap.

        Anywhere meets everything. Cells are compared where both have them (a longer cell lies in a shorter one),
        otherwise countries where both have them; areas that share no kind of place are taken to meet. PROTOCOL §6.2
        """
        if self.cells and other.cells:
            return any(a.startswith(b) or b.startswith(a) for a in self.cells for b in other.cells)
        if self.countries and other.countries:
            return not set(self.countries).isdisjoint(other.countries)
        return True


ANYWHERE = Area()


def read_area(value: object, code: str = "invalid.demand.malformed") -> Area:
    """Read ``{cells, countries}``; raises InvalidMessage with `code`. None means anywhere. PROTOCOL §6.2"""
    if value is None:
        return ANYWHERE
    if not isinstance(value, dict) or not value.keys() <= {"cells", "countries"}:
        raise InvalidMessage(code, "an area has cells and countries")
    cells, countries = value.get("cells", []), value.get("countries", [])
    for name, items, pattern, most in (("cells", cells, _CELL, MAX_CELLS), ("countries", countries, _COUNTRY, 64)):
        if not isinstance(items, list) or len(items) > most:
            raise InvalidMessage(code, f"{name} is a list of at most {most}")
        if not all(isinstance(item, str) and pattern.fullmatch(item) for item in items):
            raise InvalidMessage(code, f"{name} holds something else")
    return Area(tuple(cells), tuple(countries))


def geohash(latitude: float, longitude: float, length: int = MAX_CELL) -> str:
    """Return the geohash cell of a point, `length` characters long. PROTOCOL §6.2"""
    lows, highs, point = [-180.0, -90.0], [180.0, 90.0], (longitude, latitude)
    bits = 0
    for step in range(length * 5):
        axis = step % 2
        middle = (lows[axis] + highs[axis]) / 2
        upper = point[axis] >= middle
        bits = bits * 2 + upper
        if upper:
            lows[axis] = middle
        else:
            highs[axis] = middle
    return "".join(_BASE32[bits >> 5 * (length - 1 - at) & 31] for at in range(length))


def circle(latitude: float, longitude: float, radius: float) -> tuple[str, ...]:
    """Cover a circle of `radius` km with the finest cells of which at most MAX_CELLS are needed. PROTOCOL §6.2"""
    for length in range(MAX_CELL, 0, -1):
        cells = tuple(sorted(set(_cover(latitude, longitude, radius, length))))
        if len(cells) <= MAX_CELLS:
            return cells
    return ()


def _cover(latitude: float, longitude: float, radius: float, length: int) -> Iterable[str]:
    bits = length * 5
    height, width = 180 / 2 ** (bits // 2), 360 / 2 ** ((bits + 1) // 2)
    tall = radius / _EARTH
    # A circle is widest a little poleward of its centre; one that holds a pole has every longitude.
    ratio = sin(radians(min(tall, 90.0))) / max(cos(radians(latitude)), 1e-9)
    wide = degrees(asin(ratio)) if ratio < 1 and abs(latitude) + tall < 90 else 180.0
    rows, columns = int(2 * tall / height) + 2, int(2 * wide / width) + 2
    if rows * columns > 1_024:
        # Far more than fit anyway; one cell too many says so.
        yield from (str(at) for at in range(MAX_CELLS + 1))
        return
    for row in range(rows + 1):
        north = min(max(latitude - tall + 2 * tall * row / rows, -90.0), 90.0)
        for column in range(columns + 1):
            east = longitude - wide + 2 * wide * column / columns
            yield geohash(north, (east + 180) % 360 - 180, length)
