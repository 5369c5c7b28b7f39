"""Filters let through exactly the public records they name, checked against a plain re-statement of the rule."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_protocol.area import Area
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.identity import Id, Key
from intentcast_protocol.limits import MAX_CELLS, MAX_FILTER_VALUES
from intentcast_protocol.record import Envelope, Record
from intentcast_protocol.subscription import Filter, read_filter, topic, within
from intentcast_protocol.testing import CARS, make_demand

AUTHORS = [Key(bytes([at]) * 32) for at in range(4)]
PATHS = ["goods", "goods/cars", "goods/cars/vans", "goods/carsharing", "services/home", "services"]
CELLS = ["u", "u1", "u17", "u178", "u179", "gc", "gcpv"]
COUNTRIES = ["NL", "DE", "GB"]


def envelope(kind: str, author: bytes, body: dict[str, Any]) -> Envelope:
    """Return a public record that nobody signed."""
    return Envelope(Record(b"", b""), Id(bytes(32)), kind, Key(author), 0, 1, body)


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """Return public records of every kind, some with a broken topic."""
    kind = draw(st.sampled_from(["demand", "profile", "demand-withdraw"]))
    path = draw(st.sampled_from([*PATHS, None, 5, ["goods"]]))
    many = draw(st.lists(st.sampled_from([*PATHS, None, 5]), max_size=3))
    body: dict[str, Any] = {
        "itemOffered": draw(st.sampled_from([{"category": path}, {}, None, "x"])),
        "categories": many,
    }
    area = draw(st.one_of(
        st.none(), st.just("x"), st.just({"cells": ["?"]}), st.just({"cells": ["u1"], "towns": []}),
        st.fixed_dictionaries({}, optional={
            "cells": st.lists(st.sampled_from(CELLS), max_size=3),
            "countries": st.lists(st.sampled_from(COUNTRIES), max_size=2),
        }),
    ))  # fmt: skip
    return envelope(kind, draw(st.sampled_from(AUTHORS)), body | ({"areaServed": area} if area is not None else {}))


FILTERS = st.builds(
    Filter,
    st.lists(st.sampled_from(["demand", "profile", "demand-withdraw"]), max_size=2).map(tuple),
    st.lists(st.sampled_from(AUTHORS), max_size=2).map(tuple),
    st.lists(st.sampled_from(PATHS), max_size=3).map(tuple),
    st.builds(
        Area,
        st.lists(st.sampled_from(CELLS), max_size=3).map(tuple),
        st.lists(st.sampled_from(COUNTRIES), max_size=2).map(tuple),
    ),
)


def wanted(wish: Filter, record: Envelope) -> bool:
    """Re-state PROTOCOL §9.4 in the plainest way."""
    if record.type == "demand":
        item = record.body.get("itemOffered")
        paths = [item["category"]] if isinstance(item, dict) and isinstance(item.get("category"), str) else []
    else:
        paths = [path for path in record.body["categories"] if isinstance(path, str)]
    area = record.body.get("areaServed")
    broken = not isinstance(area, dict) or "towns" in area or "?" in area.get("cells", [])
    cells = [] if broken else area.get("cells", [])
    countries = [] if broken else area.get("countries", [])
    conditions = [
        not wish.types or any(record.type == kind for kind in wish.types),
        not wish.authors or any(record.author == author for author in wish.authors),
        not wish.categories
        or any(
            path.split("/")[: len(want.split("/"))] == want.split("/") for path in paths for want in wish.categories
        ),
    ]
    ours, theirs = (wish.area.cells, wish.area.countries), (cells, countries)
    if any(ours) and any(theirs):
        if ours[0] and theirs[0]:
            conditions.append(any(a[: len(b)] == b or b[: len(a)] == a for a in ours[0] for b in theirs[0]))
        elif ours[1] and theirs[1]:
            conditions.append(bool(set(ours[1]) & set(theirs[1])))
    return all(conditions)


class TestPasses:
    """PROTOCOL §9.4"""

    @given(FILTERS, envelopes())
    @settings(max_examples=600, deadline=None)
    def test_a_filter_passes_what_the_rule_says(self, wish: Filter, record: Envelope) -> None:
        assert wish.passes(record) is wanted(wish, record)

    def test_the_empty_filter_passes_everything(self) -> None:
        for kind in ("demand", "profile", "demand-withdraw"):
            assert Filter().passes(envelope(kind, AUTHORS[0], {}))

    @pytest.mark.parametrize(("path", "ancestor", "expected"), [
        ("a", "a", True), ("a/b", "a", True), ("a/b/c", "a/b", True), ("ab", "a", False), ("a", "a/b", False),
        ("a-b", "a", False), ("b/a", "a", False), ("a/bc", "a/b", False),
    ])  # fmt: skip
    def test_a_category_lies_within_its_ancestors_only(self, path: str, ancestor: str, expected: bool) -> None:
        assert within(path, ancestor) is expected

    def test_a_demand_is_found_by_its_category_and_place(self) -> None:
        record = make_demand()[0]
        assert topic(record) == ((CARS,), Area(("u15", "u17"), ("NL",)))
        assert Filter(("demand",), (), ("vehicles-parts",), Area(("u178",))).passes(record)
        assert not Filter(("demand",), (), ("vehicles-parts",), Area(("gc",))).passes(record)
        assert not Filter(("profile",)).passes(record)
        assert not Filter((), (), ("vehicles",)).passes(record)

    def test_a_withdrawal_has_no_category(self) -> None:
        record = envelope("demand-withdraw", AUTHORS[0], {"demand": bytes(32)})
        assert not Filter((), (), ("goods",)).passes(record)
        assert Filter(("demand-withdraw",)).passes(record)

    def test_only_so_many_categories_of_a_profile_are_looked_at(self) -> None:
        for count, found in ((MAX_FILTER_VALUES - 1, True), (MAX_FILTER_VALUES, False)):
            record = envelope("profile", AUTHORS[0], {"categories": ["x"] * count + ["goods"]})
            assert Filter((), (), ("goods",)).passes(record) is found

    @pytest.mark.parametrize("body", [
        {}, {"categories": None}, {"categories": "goods"}, {"categories": {"goods": 1}}, {"itemOffered": []},
        {"itemOffered": {"category": {}}}, {"areaServed": 5}, {"areaServed": {"cells": [[]]}},
        {"areaServed": {"cells": 5}},
    ], ids=repr)  # fmt: skip
    @pytest.mark.parametrize("kind", ["demand", "profile", "demand-withdraw"])
    def test_an_ill_formed_topic_is_no_topic(self, kind: str, body: dict[str, Any]) -> None:
        record = envelope(kind, AUTHORS[0], body)
        assert topic(record) == ((), Area())
        assert not Filter((), (), ("goods",)).passes(record)
        assert Filter((), (), (), Area(("u17",))).passes(record)


class TestReading:
    """PROTOCOL §9.4"""

    @given(FILTERS)
    @settings(max_examples=100, deadline=None)
    def test_a_filter_reads_back_as_written(self, wish: Filter) -> None:
        assert read_filter(wish.wire()) == wish

    @pytest.mark.parametrize("value", [
        None, [], "x", {"kinds": []}, {"types": "demand"}, {"types": ["offer"]}, {"types": ["sealed"]},
        {"types": [None]},
        {"types": [[]]}, {"types": [{}]}, {"types": [b"demand"]}, {"types": None}, {"types": ["demand"] * 65},
        {"authors": [b"short"]}, {"authors": ["x" * 32]}, {"authors": [bytes(32)] * 65}, {"authors": bytes(32)},
        {"authors": [[]]}, {"categories": ["Cars"]}, {"categories": [""]}, {"categories": ["a/"]}, {"categories": [5]},
        {"categories": ["/".join("a" * 9)]}, {"categories": ["a"] * 65}, {"cells": ["u"] * (MAX_CELLS + 1)},
        {"cells": ["?"]},
        {"cells": "u1"}, {"countries": ["nl"]}, {"countries": ["NL"] * 65}, {"countries": {}},
    ], ids=lambda value: repr(value)[:44])  # fmt: skip
    def test_ill_formed_filter_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_filter(value)
        assert refused.value.code == "invalid.frame.malformed"

    def test_empty_is_the_same_as_absent(self) -> None:
        assert read_filter({name: [] for name in ("types", "authors", "categories", "cells", "countries")}) == Filter()
        assert read_filter({}) == Filter()
        assert Filter().wire() == {}

    def test_the_most_values_are_read(self) -> None:
        wish = read_filter({"authors": [bytes(32)] * 64, "categories": ["a"] * 64, "types": ["demand"] * 64})
        assert (len(wish.authors), len(wish.categories), len(wish.types)) == (64, 64, 64)
