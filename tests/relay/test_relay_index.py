"""Who listens for what. PROTOCOL §9.4, §9.8"""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_protocol.area import Area
from intentcast_protocol.frames import Count
from intentcast_protocol.limits import MAX_CELLS, MAX_FILTER_VALUES
from intentcast_protocol.record import Record, parse, payload_of
from intentcast_protocol.subscription import Filter, within
from intentcast_protocol.testing import NOW
from intentcast_relay.index import COUNT_LIFE, MAX_ENTRIES, Index, coarse, file
from intentcast_relay.posting import flatten

ANN, BEN, STRANGER = b"a" * 32, b"b" * 32, b"s" * 32
EVERY_TYPE = ("demand", "demand-withdraw", "profile")


@dataclass(frozen=True)
class Notice:
    """What the index reads of a record, and nothing else."""

    type: str = "demand"
    author: bytes = ANN
    categories: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    to: bytes | None = None

    def passes(self, wanted: Filter) -> bool:
        """PROTOCOL §9.4, word for word."""
        return (
            (not wanted.types or self.type in wanted.types)
            and (not wanted.authors or self.author in wanted.authors)
            and (not wanted.categories or any(within(a, b) for a in self.categories for b in wanted.categories))
            and wanted.area.meets(Area(self.cells, self.countries))
        )


def some(values: Any, most: int = 3) -> Any:
    return st.lists(values, max_size=most).map(tuple)


# Few values that lie within one another, and some that only look as if they did.
CELLS = some(st.text("u1", min_size=1, max_size=4))
COUNTRIES = some(st.sampled_from(("DE", "NL", "UU")))
SLUGS = st.sampled_from(("u", "cars", "car", "used"))
PATHS = st.lists(SLUGS, min_size=1, max_size=8).map("/".join)
STRANGE = st.text("u/1*", max_size=6) | st.lists(SLUGS, min_size=9, max_size=12).map("/".join) | PATHS.map("/{}".format)
FILTERS = st.builds(
    Filter, some(st.sampled_from(EVERY_TYPE)), st.one_of(st.just(()), some(st.sampled_from((ANN, BEN)))), some(PATHS),
    st.builds(Area, CELLS, COUNTRIES),
)  # fmt: skip
WIDE = st.builds(
    Filter, some(st.sampled_from(EVERY_TYPE)), st.just(()), st.lists(PATHS, min_size=20, max_size=64).map(tuple),
    st.builds(Area, st.lists(st.text("u1v", min_size=3, max_size=4), min_size=4, max_size=16).map(tuple), COUNTRIES),
)  # fmt: skip
NOTICES = st.builds(
    Notice, st.sampled_from(EVERY_TYPE), st.sampled_from((ANN, BEN)), some(PATHS | STRANGE), CELLS, COUNTRIES
)


def count(
    index: Index[Any], category: str = "cars", cells: tuple[str, ...] = (), now: int = 0
) -> tuple[int, int | None]:
    return index.count(Count(1, category, cells, ()), now)


def test_a_new_record_goes_to_those_whose_filter_passes() -> None:
    index: Index[str] = Index()
    index.add("cars", Filter(categories=("vehicles",)), "a")
    index.add("phones", Filter(categories=("phones",)), "a")
    index.add("all", Filter(), "b")
    assert index.matching(Notice(categories=("vehicles/cars",))) == {"all", "cars"}
    index.remove("all")
    assert index.matching(Notice(categories=("food",))) == set()


def test_a_withdrawal_reaches_those_who_follow_types_or_areas() -> None:
    index: Index[str] = Index()
    index.add("type", Filter(types=("demand-withdraw",)), "a")
    index.add("area", Filter(area=Area(cells=("u1",))), "a")
    index.add("category", Filter(categories=("cars",)), "a")
    assert index.matching(Notice("demand-withdraw")) == {"area", "type"}


def test_a_sealed_record_goes_to_the_reader_of_its_mailbox_alone() -> None:
    index: Index[str] = Index()
    index.add("all", Filter(), "a")
    assert index.read("first", ANN) is None
    assert index.read("second", ANN) == "first"
    index.remove("first", ANN)
    assert index.matching(Notice("sealed", BEN, to=ANN)) == {"second"}
    index.remove("second", ANN)
    assert index.matching(Notice("sealed", BEN, to=ANN)) == set()
    assert len(index) == 1


@pytest.mark.parametrize(
    ("listeners", "told"),
    [(0, (0, 0)), (1, (1, 4)), (4, (1, 4)), (5, (5, 19)), (19, (5, 19)), (20, (20, None)), (999, (20, None))],
)
def test_a_count_is_coarse(listeners: int, told: tuple[int, int | None]) -> None:
    assert coarse(listeners) == told


def test_connections_are_counted_not_subscriptions() -> None:
    index: Index[int] = Index()
    for at in range(12):
        index.add(at, Filter(categories=("cars",)), owner=at % 4)
    assert count(index) == (1, 4)


def test_a_count_is_told_anew_once_a_minute() -> None:
    index: Index[int] = Index()
    assert count(index, now=100) == (0, 0)
    index.add(1, Filter(), owner=1)
    assert count(index, now=100 + COUNT_LIFE - 1) == (0, 0)
    assert count(index, now=100 + COUNT_LIFE) == (1, 4)
    assert count(index, "bikes", now=100) == (1, 4)


@pytest.mark.parametrize(
    ("wanted", "counted"),
    [
        (Filter(), True),
        (Filter(types=("demand",), categories=("cars",), area=Area(cells=("u1",))), True),
        (Filter(types=("profile",)), False),
        (Filter(authors=(ANN,)), False),
        (Filter(categories=("cars/used/old",)), False),
        (Filter(area=Area(cells=("u2",))), False),
    ],
)
def test_only_those_who_would_get_a_strangers_demand_are_counted(wanted: Filter, counted: bool) -> None:
    index: Index[int] = Index()
    index.add(1, wanted, owner=1)
    assert count(index, "cars/used", ("u178",)) == ((1, 4) if counted else (0, 0))


def test_remembered_counts_are_bounded() -> None:
    index: Index[int] = Index()
    for at in range(3_000):
        count(index, f"c-{at}")
    assert len(index._counts) <= 1_024


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 5), st.none() | FILTERS), max_size=14),
    notices=st.lists(NOTICES, min_size=1, max_size=6),
)
def test_the_index_finds_exactly_what_trying_every_filter_finds(
    steps: list[tuple[int, Filter | None]], notices: list[Notice]
) -> None:
    index: Index[int] = Index()
    live: dict[int, Filter] = {}
    for listener, wanted in steps:
        if wanted is None:
            index.remove(listener)
            live.pop(listener, None)
        else:
            index.add(listener, wanted, owner=listener)
            live[listener] = wanted
        for notice in notices:
            assert index.matching(notice) == {at for at, one in live.items() if notice.passes(one)}
    for listener in live:
        index.remove(listener)
    assert not any(index._types.values())
    assert not index._rest


@settings(max_examples=60, deadline=None)
@given(wide=st.lists(WIDE, min_size=1, max_size=3), notices=st.lists(NOTICES, min_size=1, max_size=6))
def test_a_filter_too_wide_for_its_entries_is_still_found_exactly(wide: list[Filter], notices: list[Notice]) -> None:
    index: Index[int] = Index()
    for at, wanted in enumerate(wide):
        index.add(at, wanted, owner=at)
        _, topics, places, _ = file(wanted)
        assert len(topics) * len(places) <= MAX_ENTRIES
    for notice in notices:
        assert index.matching(notice) == {at for at, one in enumerate(wide) if notice.passes(one)}


@settings(max_examples=200, deadline=None)
@given(
    filters=st.lists(st.tuples(FILTERS, st.integers(0, 29)), max_size=40),
    category=PATHS,
    area=st.builds(Area, CELLS, COUNTRIES),
)
def test_the_index_counts_the_connections_that_trying_every_filter_counts(
    filters: list[tuple[Filter, int]], category: str, area: Area
) -> None:
    index: Index[int] = Index()
    for at, (wanted, owner) in enumerate(filters):
        index.add(at, wanted, owner)
    demand = Notice("demand", STRANGER, (category,), area.cells, area.countries)
    owners = {owner for wanted, owner in filters if demand.passes(wanted)}
    assert index.count(Count(1, category, area.cells, area.countries), 0) == coarse(len(owners))


BODIES = st.fixed_dictionaries(
    {
        "itemOffered": st.fixed_dictionaries({"category": PATHS | STRANGE | st.none()}) | st.none(),
        "categories": st.lists(PATHS | STRANGE | st.none(), max_size=3) | st.none(),
        "areaServed": st.fixed_dictionaries({"cells": CELLS | st.just(("l",)), "countries": COUNTRIES}) | st.none(),
    }
)


@settings(max_examples=200, deadline=None)
@given(wanted=FILTERS, kind=st.sampled_from(EVERY_TYPE), body=BODIES)
def test_a_record_however_ill_formed_its_topic_goes_where_the_protocol_says(
    wanted: Filter, kind: str, body: dict[str, Any]
) -> None:
    payload = payload_of(kind, bytes(32), body, created=NOW, expires=NOW + 1)
    envelope = parse(Record(payload, bytes(64)))
    posting = flatten(envelope)
    index: Index[str] = Index()
    index.add("one", wanted, "a")
    assert index.matching(posting) == ({"one"} if wanted.passes(envelope) else set())
    notice = Notice(kind, posting.author, posting.categories, posting.cells, posting.countries)
    assert notice.passes(wanted) == wanted.passes(envelope)


def test_cells_meet_whichever_of_them_is_the_finer() -> None:
    index: Index[str] = Index()
    for cell in ("u", "u1", "u178", "u179", "v1"):
        index.add(cell, Filter(area=Area(cells=(cell,))), cell)
    assert index.matching(Notice(cells=("u178",))) == {"u", "u1", "u178"}
    assert index.matching(Notice(cells=("u17",))) == {"u", "u1", "u178", "u179"}
    assert index.matching(Notice(cells=("v", "u179"))) == {"u", "u1", "u179", "v1"}
    assert index.matching(Notice()) == {"u", "u1", "u178", "u179", "v1"}


def test_areas_that_share_no_kind_of_place_meet() -> None:
    index: Index[str] = Index()
    index.add("cells", Filter(area=Area(cells=("u1",))), "a")
    index.add("countries", Filter(area=Area(countries=("NL",))), "a")
    index.add("both", Filter(area=Area(("u1",), ("NL",))), "a")
    assert index.matching(Notice(countries=("DE",))) == {"cells"}
    assert index.matching(Notice(cells=("v1",))) == {"countries"}
    assert index.matching(Notice(cells=("v1",), countries=("NL",))) == {"countries"}
    assert index.matching(Notice(countries=("NL",))) == {"cells", "countries", "both"}


def test_the_widest_filter_and_the_widest_record_stay_within_bounds() -> None:
    cells = tuple(f"{first}{second}78" for first in "0123" for second in "4567")
    countries = tuple(f"{first}{second}" for first in "ABCDEFGH" for second in "ABCDEFGH")
    paths = tuple("/".join([f"c{at}", *"abcdefg"]) for at in range(MAX_FILTER_VALUES))
    wanted = Filter(EVERY_TYPE, (), paths, Area(cells[:MAX_CELLS], countries))
    index: Index[str] = Index()
    index.add("wide", wanted, "a")
    entries = sum(len(node) for by_topic in index._types.values() for node in by_topic.values())
    assert entries <= 3 * 256
    assert index.matching(Notice(categories=paths, cells=cells, countries=countries)) == {"wide"}
    assert index.matching(Notice(categories=paths, cells=("zzzz",))) == set()
    assert index.matching(Notice(categories=("/" * 60_000, "c0/" + "a" * 60_000))) == set()


def test_a_filter_named_anew_replaces_the_old_one() -> None:
    index: Index[str] = Index()
    index.add("one", Filter(categories=("cars",)), "a")
    index.add("one", Filter(categories=("bikes",)), "a")
    assert index.matching(Notice(categories=("cars",))) == set()
    assert index.matching(Notice(categories=("bikes",))) == {"one"}
    assert len(index) == 1


def test_counting_stops_where_more_make_no_difference() -> None:
    index: Index[int] = Index()
    for at in range(1_000):
        index.add(at, Filter(), owner=at)
    assert index._owners(Count(1, "cars", (), ())) == 20
