"""Offers side by side as rows and cells: what a template needs to draw them, best cells marked, nothing decided anew.

Best means: by the person's own fixed points, as `offer_compare` scored them, among the offers that are shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from intentcast_agent.view import Json

PINNED: Final = 5  # columns that a person can take in
_TOLD: Final = ("category", "sku")
_DOT_WIDTH: Final = 560
_EDGE: Final = 26


@dataclass(frozen=True, slots=True)
class Cell:
    """One offer's cell: what it says, whether it is the best of its row, and its bar."""

    text: str | None  # None: not stated
    best: bool = False
    given: float | None = None  # points it contributes to the score, of 1
    verdict: str = ""  # met, unmet, unknown
    doubt: bool = False  # stated, but it cannot be compared


@dataclass(frozen=True, slots=True)
class Line:
    """One row; `kind` says how its cells are drawn."""

    kind: Literal["criterion", "must", "attribute"]
    label: str
    cells: tuple[Cell, ...]
    share: float = 0.0  # of the whole score

    @property
    def differs(self) -> bool:
        """Whether its offers say different things."""
        return len({(cell.text, cell.verdict) for cell in self.cells}) > 1


@dataclass(frozen=True, slots=True)
class Matrix:
    """The chosen offers, best first, and the rows about them."""

    offers: tuple[Json, ...]
    cheapest: frozenset[str]
    musts: tuple[Line, ...]
    criteria: tuple[Line, ...]
    attributes: tuple[Line, ...]


def choose(result: Json, pins: Sequence[str]) -> list[Json]:
    """Return the offers to put side by side: those pinned, and else the best; PINNED at most."""
    ranked = [one for one in result["offers"] if one.get("comparison")]
    pinned = [one for one in ranked if one["name"] in pins]
    return (pinned or ranked)[:PINNED]


def lay_out(result: Json, offers: Sequence[Json], *, differences: bool) -> Matrix:
    """Return the rows about some offers; with `differences`, only those in which they differ."""
    told = [one["comparison"] for one in offers]
    costs = [Decimal(one["cost"]) for one in told]
    least = min(costs, default=Decimal(0))
    cheapest = {one["name"] for one, cost in zip(offers, costs, strict=True) if cost == least}
    names = [one["name"] for one in offers]
    said = {*_TOLD, *(one["path"].removeprefix("itemOffered.") for one in result["criteria"])}
    attributes = (
        Line(
            "attribute",
            path,
            tuple(Cell(None if (text := values.get(name)) == "not stated" else text) for name in names),
        )
        for path, values in result["attributes"].items()
        if path not in said
    )

    def kept(lines: Iterable[Line]) -> tuple[Line, ...]:
        return tuple(one for one in lines if one.differs or not differences or len(offers) < 2)

    return Matrix(
        tuple(offers),
        frozenset(cheapest if len(set(costs)) > 1 else ()),
        kept(_musts(told)),
        kept(_criterion(one, [place["criteria"][one["name"]] for place in told]) for one in result["criteria"]
             if one["path"] != "total" and (one["share"] or one["path"] != "wants")),
        kept(line for line in attributes if any(cell.text is not None for cell in line.cells)),
    )  # fmt: skip


def _stated(text: str | None) -> str | None:
    return None if text == "not stated" else text


def _criterion(criterion: Json, found: Sequence[Json]) -> Line:
    known = [one["value"] for one in found if one["known"]]
    best = max(known) if len(set(known)) > 1 else None
    counts = criterion["share"] > 0
    cells = tuple(
        Cell(
            one["stated"],
            best=counts and one["known"] and one["value"] == best,
            given=one["contribution"] if counts else None,
            doubt=one["stated"] is not None and not one["known"],
        )
        for one in found
    )
    return Line("criterion", criterion["name"], cells, criterion["share"])


def _musts(told: Sequence[Json]) -> Iterable[Line]:
    """Yield a line for each must-have; every offer of a demand is judged by the same, in the same order."""
    for at in range(max((len(one["musts"]) for one in told), default=0)):
        found = [one["musts"][at] if at < len(one["musts"]) else None for one in told]
        path = next(one["path"] for one in found if one)
        yield Line(
            "must", path, tuple(Cell(one["why"], verdict=one["verdict"]) if one else Cell(None) for one in found)
        )


@dataclass(frozen=True, slots=True)
class Dot:
    """One price in the plot: where it stands, and the name of a shown offer."""

    x: float
    name: str = ""
    up: bool = True


@dataclass(frozen=True, slots=True)
class Plot:
    """All totals on one line, from the lowest to the highest, with their median and the person's limit."""

    width: int
    dots: tuple[Dot, ...]
    low: str
    high: str
    middle: float
    median: str


def plot(result: Json, shown: Sequence[Json]) -> Plot | None:
    """Return the plot of what all comparable offers cost; None for fewer than three, or where all cost the same."""
    costs = {one["name"]: Decimal(one["comparison"]["cost"]) for one in result["offers"] if one.get("comparison")}
    if len(costs) < 3 or len(set(costs.values())) == 1:
        return None
    low, high = min(costs.values()), max(costs.values())
    room = _DOT_WIDTH - 2 * _EDGE

    def place(cost: Decimal) -> float:
        return round(_EDGE + float((cost - low) / (high - low)) * room, 1)

    ordered = sorted(costs.values())
    half = len(ordered) // 2
    median = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
    named = {one["name"] for one in shown}
    dots = [Dot(place(cost)) for name, cost in costs.items() if name not in named]
    labelled = sorted((place(costs[name]), name) for name in named)
    # Labels above and below by turns, so that neighbours do not cover each other.
    dots += [Dot(x, name, up=at % 2 == 0) for at, (x, name) in enumerate(labelled)]
    cents = Decimal("0.01")
    return Plot(_DOT_WIDTH, tuple(dots), str(low), str(high), place(median), str(median.quantize(cents)))


def spark(said: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the two lines of a haggle, theirs and mine, as points of a drawing 120 wide and 30 high."""
    totals = [Decimal(one["total"]) for one in said]
    if len(totals) < 2 or len({one["currency"] for one in said}) > 1:
        return {}
    low, high = min(totals), max(totals)
    lines: dict[str, list[str]] = {"vendor": [], "you": []}
    for at, (one, total) in enumerate(zip(said, totals, strict=True)):
        y = 26 - float((total - low) / (high - low)) * 22 if high > low else 15
        lines[one["from"]].append(f"{2 + at * 116 / (len(totals) - 1):.1f},{y:.1f}")
    return {who: " ".join(points) for who, points in lines.items()}
