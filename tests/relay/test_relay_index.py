"""Who listens for what. PROTOCOL §9.4, §9.8"""

from typing import Any

import pytest
from intentcast_protocol.area import Area
from intentcast_protocol.frames import Count
from intentcast_protocol.subscription import Filter
from intentcast_relay.index import COUNT_LIFE, Index, coarse, listens


def count(
    index: Index[Any], category: str = "cars", cells: tuple[str, ...] = (), now: int = 0
) -> tuple[int, int | None]:
    return index.count(Count(1, category, cells, ()), now)


def test_a_new_record_goes_to_those_whose_filter_passes(build: Any) -> None:
    index: Index[str] = Index()
    index.add("cars", Filter(categories=("vehicles",)), "a")
    index.add("phones", Filter(categories=("phones",)), "a")
    index.add("all", Filter(), "b")
    assert sorted(index.matching(build.demand(build.seed(), "vehicles/cars"))) == ["all", "cars"]
    index.remove("all")
    assert list(index.matching(build.demand(build.seed(), "food"))) == []


def test_a_withdrawal_reaches_those_who_follow_types_or_areas(build: Any) -> None:
    index: Index[str] = Index()
    index.add("type", Filter(types=("demand-withdraw",)), "a")
    index.add("area", Filter(area=Area(cells=("u1",))), "a")
    index.add("category", Filter(categories=("cars",)), "a")
    assert sorted(index.matching(build.withdraw(build.seed()))) == ["area", "type"]


def test_a_sealed_record_goes_to_the_reader_of_its_mailbox_alone(build: Any) -> None:
    index: Index[str] = Index()
    index.add("all", Filter(), "a")
    key = build.key(build.seed())
    assert index.read("first", key) is None
    assert index.read("second", key) == "first"
    index.remove("first", key)
    letter = build.sealed(build.seed(), key, 0)
    assert list(index.matching(letter)) == ["second"]
    index.remove("second", key)
    assert list(index.matching(letter)) == []
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


def test_only_those_who_would_get_a_strangers_demand_are_listeners() -> None:
    place = Area(cells=("u178",))
    assert listens(Filter(), "cars/used", place)
    assert listens(Filter(types=("demand",), categories=("cars",), area=Area(cells=("u1",))), "cars/used", place)
    assert not listens(Filter(types=("profile",)), "cars/used", place)
    assert not listens(Filter(authors=(bytes(32),)), "cars/used", place)
    assert not listens(Filter(categories=("cars/used/old",)), "cars/used", place)
    assert not listens(Filter(area=Area(cells=("u2",))), "cars/used", place)


def test_remembered_counts_are_bounded() -> None:
    index: Index[int] = Index()
    for at in range(3_000):
        count(index, f"c-{at}")
    assert len(index._counts) <= 1_024
