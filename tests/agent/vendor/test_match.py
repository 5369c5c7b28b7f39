"""Matching over columns says, item for item, what judging every item says."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.match import FAR, Match, Stock, about_item
from intentcast_protocol.constraint import Constraint, Finding, Fit, Verdict, read_constraints
from intentcast_protocol.demand import Demand
from intentcast_protocol.quantity import convert, parse_decimal
from intentcast_protocol.subscription import within
from intentcast_protocol.testing import CARS, make_demand

_, DEMAND = make_demand()
CATEGORIES = (CARS, f"{CARS}/estates", "vehicles-parts/vehicles", "vehicles-parts/vehicles-not", "services/home")


def car(sku: str, price: str = "17900.00", category: str = CARS, quantity: int = 1, **item: Any) -> StockItem:
    return StockItem(sku, {"@type": "Car", "category": category, "sku": sku, **item}, price, "EUR", quantity)


def km(value: str) -> dict[str, str]:
    return {"value": value, "unitCode": "KMT"}


def wish(path: str, op: str, value: Any, unit: str | None = None, **fields: Any) -> dict[str, Any]:
    unit_field = {} if unit is None else {"unitCode": unit}
    return {"path": f"itemOffered.{path}", "op": op, "value": value, **unit_field, **fields}


def asking(*wishes: dict[str, Any], category: str = CARS, like: dict[str, Any] | None = None) -> Demand:
    item: dict[str, Any] = {"@type": "Car", "category": category} | ({"isSimilarTo": like} if like else {})
    return replace(DEMAND, constraints=read_constraints(list(wishes)), category=category, item=item)


def skus(matches: list[Match]) -> list[str]:
    return [match.item.sku for match in matches]


# The oracle: every item judged by the protocol's rule, and sorted by what the docstring of `match` says.


def _far(found: Finding, item: Mapping[str, Any]) -> int:
    one: Constraint = found.constraint
    value: Any = item
    for step in one.path.split(".")[1:]:
        value = value.get(step) if isinstance(value, dict) else None if not isinstance(value, list) else value
    unit = None
    if isinstance(value, dict) and "priceCurrency" not in value:
        unit, value = value.get("unitCode"), value.get("value")
    number = None
    if one.op in ("ge", "le", "between") and one.currency is None and isinstance(unit, str | None):
        with suppress(ValueError):
            number = convert(parse_decimal(value), unit, one.unit)
    if number is None:
        return FAR
    bounds = [Decimal(bound) for bound in (one.value if isinstance(one.value, list) else [one.value])]
    bound = min(bounds) if number < min(bounds) else max(bounds)
    return min(FAR, 1 + int(abs(number - bound) * FAR / abs(bound))) if bound else FAR


def oracle(items: list[StockItem], demand: Demand, alternatives: bool = False, limit: int = 10) -> list[Match]:
    own = about_item(demand)
    ranked = []
    for item in items:
        if not within(item.item["category"], demand.category) or item.quantity < 1:
            continue
        judgement = own.judge({"itemOffered": item.item})
        if judgement.fit is Fit.FAILS and not alternatives:
            continue
        broken = [
            _far(found, item.item)
            for found in judgement.findings
            if found.constraint.strength == "must"
            and (
                found.verdict is Verdict.UNMET
                or (found.verdict is Verdict.UNKNOWN and found.constraint.on_unknown == "reject")
            )
        ]
        place = [Fit.FITS, Fit.ASKS, Fit.FAILS].index(judgement.fit)
        key = (place, sum(broken), -judgement.wants_met, Decimal(item.price), item.sku)
        ranked.append((key, Match(item, judgement)))
    return [match for _, match in sorted(ranked, key=lambda pair: pair[0])][:limit]


# Random stock full of what real feeds hold: gaps, units, lists, nested and named things, near-numbers.

NUMBERS = st.sampled_from(
    ["0", "1", "1.0", "2", "10", "62.137119", "89999.999", "90000", "90000.0", "100000", "-5", "007", "1e3", ""]
)
UNITS = st.sampled_from(["KMT", "SMI", "KWT", "HJ", "BHP", "MTR", "XYZ", None])
TEXTS = st.sampled_from(
    ["Golf", "golf", "GOLF Estate", "Passat", "90000", "90000 KMT", "1", "ÄLF", "älf", "a_b c", "", " "]
)
QUANTITIES = st.builds(
    lambda value, unit, more: {"value": value} | ({} if unit is None else {"unitCode": unit}) | more,
    NUMBERS | TEXTS | st.just(None) | st.just(5),
    UNITS | st.just("") | st.just(7),
    st.sampled_from([{}, {}, {}, {"@type": "QuantitativeValue"}, {"name": "Golf"}, {"minValue": "1"}]),
)
PRICES = st.builds(
    lambda price, code: {"price": price, "priceCurrency": code}, NUMBERS, st.sampled_from(["EUR", "JPY"])
)
LEAVES: st.SearchStrategy[Any] = (
    NUMBERS | TEXTS | QUANTITIES | PRICES | st.sampled_from([None, True, False, 5, [], {}, {"name": "Golf"}])
)
VALUES = LEAVES | st.lists(LEAVES, max_size=3) | st.lists(st.lists(LEAVES, max_size=2), max_size=2)
NESTED = st.dictionaries(st.sampled_from(["p", "q"]), VALUES, max_size=2)
ITEMS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), VALUES | NESTED | st.lists(NESTED | LEAVES, max_size=3), max_size=3
)
STOCK = st.lists(
    st.tuples(
        ITEMS,
        st.sampled_from(["100.00", "200.00", "300.50"]),
        st.sampled_from(CATEGORIES),
        st.sampled_from([1, 1, 2, 0]),
    ),
    max_size=12,
).map(
    lambda rows: [car(f"s{at}", price, category, left, **item) for at, (item, price, category, left) in enumerate(rows)]
)

PATHS = st.sampled_from(
    ["a", "b", "c", "a.p", "b.q", "c.p.value", "a.value", "b.unitCode", "a.name", "zzz", "a.zzz", "sku"]
)
BOUNDS = st.sampled_from(["0", "1", "2", "10", "55923.407", "90000", "-5", "100"])
WORDS = st.sampled_from(
    ["Golf", "golf", "1", "1.0", "90000", "90000 kmt", "älf", "Älf", "a_b", "estate golf", "s1", "007"]
)


@st.composite
def wishes(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from(["eq", "in", "ge", "le", "between", "exists", "like"]))
    value: Any
    if op == "exists":
        value = draw(st.sampled_from([True, False, None]))
    elif op in ("ge", "le"):
        value = draw(BOUNDS)
    elif op == "between":
        value = sorted([draw(BOUNDS), draw(BOUNDS)], key=Decimal)
    elif op == "in":
        value = draw(st.lists(WORDS, min_size=1, max_size=3))
    else:
        value = draw(WORDS | st.booleans())
    fields = {"path": f"itemOffered.{draw(PATHS)}", "op": op, "value": value,
              "unitCode": draw(UNITS), "priceCurrency": draw(st.sampled_from([None, None, None, "EUR"])),
              "strength": "want" if op == "like" else draw(st.sampled_from(["must", "must", "want"])),
              "onUnknown": draw(st.sampled_from(["ask", "reject", "allow"]))}  # fmt: skip
    return {name: value for name, value in fields.items() if value is not None}


@settings(max_examples=200, deadline=None)
@given(
    STOCK,
    st.lists(wishes(), max_size=4),
    st.sampled_from([*CATEGORIES, "vehicles-parts"]),
    st.dictionaries(st.sampled_from(["a", "b", "sku", "@type"]), WORDS, max_size=2),
    st.booleans(),
    st.integers(0, 12),
)
def test_columns_find_exactly_what_judging_every_item_finds(
    items: list[StockItem],
    asked: list[dict[str, Any]],
    category: str,
    like: dict[str, Any],
    alternatives: bool,
    limit: int,
):
    demand = asking(*asked, category=category, like=like)
    stock = Stock(items)
    for _ in range(2):  # the second time from the columns kept
        assert stock.match(demand, alternatives=alternatives, limit=limit) == oracle(items, demand, alternatives, limit)


# Every shape against every kind of wish: the columns' own reading of the rule must never drift from it.

SHAPES: list[Any] = [
    *(plain := ["0", "1", "1.0", "2", "-5", "007", "1e3", "90000", "90000.0", "89999.999", "", "Golf", "GOLF Estate",
                "90000 KMT", "1 KMT", "ÄLF", "älf", "a_b c", " golf "]),
    *({"value": value} | unit for value in [*plain, None, 5, ["1"]] for unit in (
        {}, {"unitCode": "KMT"}, {"unitCode": "SMI"}, {"unitCode": "HJ"}, {"unitCode": "XYZ"}, {"unitCode": ""},
        {"unitCode": 7}, {"name": "Golf"}, {"price": "1"}, {"priceCurrency": "EUR", "price": "1"},
    )),
    *({"price": price, "priceCurrency": code} for price in ("1", "90000", "x") for code in ("EUR", "JPY")),
    {"name": "Golf"}, {"name": "1"}, {"name": ["Golf"]}, {}, [], None, True, False, 5, 1.5,
    ["Golf", "1"], [["Golf"]], [None, {"value": "1", "unitCode": "KMT"}], [{"p": "1"}, {"p": "Golf"}],
]  # fmt: skip
WISHES: list[dict[str, Any]] = [
    {"op": op, "value": value} | unit
    for op, values in {
        "eq": ["Golf", "golf", "1", "90000", "90000 kmt", "älf", "Älf", True, False],
        "in": [["Golf", "1"], ["1", "2.0"], ["x", "90000 kmt"]],
        "ge": ["1", "0", "90000", "55923.407", "-5"],
        "le": ["1", "0", "90000", "55923.407", "-5"],
        "between": [["1", "2"], ["1", "1"], ["-5", "90000"]],
        "exists": [True, False, None],
        "like": ["golf", "1", "estate golf", "älf", "a_b", "90000 kmt", "-"],
    }.items()
    for value in values
    for unit in ({}, {"unitCode": "KMT"}, {"unitCode": "SMI"}, {"unitCode": "BHP"}, {"priceCurrency": "EUR"})
]


@pytest.mark.parametrize(
    ("path", "wrap"),
    [("a", lambda shape: shape), ("a.p", lambda shape: {"p": shape}), ("a.p", lambda shape: [{"p": shape}, "Golf"])],
    ids=["top", "nested", "listed"],
)
def test_every_shape_gets_the_protocols_verdict_on_every_wish(path: str, wrap: Callable[[Any], Any]):
    items = [car(f"s{at}", a=wrap(shape)) for at, shape in enumerate(SHAPES)]
    stock = Stock(items)
    for fields in WISHES:
        strength = "want" if fields["op"] == "like" else "must"
        demand = asking(wish(path, strength=strength, **fields))
        found = stock.match(demand, limit=len(items))
        ranks = [(match.judgement.fit is Fit.ASKS, -match.judgement.wants_met) for match in found]
        judged = {item.sku: about_item(demand).judge({"itemOffered": item.item}) for item in items}
        kept = {sku: judgement for sku, judgement in judged.items() if judgement.fit is not Fit.FAILS}
        assert {match.item.sku: match.judgement for match in found} == kept, fields
        assert ranks == sorted(ranks), fields


class TestOrder:
    def test_fitting_items_come_before_those_to_ask_about(self):
        stock = Stock([car("cheap", "1.00"), car("known", "9.00", mileageFromOdometer=km("10"))])
        assert skus(stock.match(asking(wish("mileageFromOdometer", "le", "90000", "KMT")))) == ["known", "cheap"]

    def test_more_wants_met_comes_before_cheaper_and_cheaper_before_sku(self):
        stock = Stock([car("d", "2.00"), car("c", "10.00"), car("b", "2.00"), car("a", "20.00", color="blue")])
        demand = asking(wish("color", "eq", "Blue", strength="want"))
        assert skus(stock.match(demand)) == ["a", "b", "d", "c"]

    def test_likeness_counts_as_wants(self):
        stock = Stock([car("a", "1.00", model="Polo"), car("b", "2.00", model="GOLF")])
        assert skus(stock.match(asking(like={"model": "Golf"}))) == ["b", "a"]

    def test_nearest_alternative_comes_first(self):
        stock = Stock([
            car("polo", "1.00", model="Polo", mileageFromOdometer=km("50000")),
            car("far", "2.00", model="Golf", mileageFromOdometer=km("141500")),
            car("near", "3.00", model="Golf", mileageFromOdometer=km("128000")),
        ])  # fmt: skip
        demand = asking(wish("model", "eq", "Golf"), wish("mileageFromOdometer", "le", "90000", "KMT"))
        assert stock.match(demand) == []
        matches = stock.match(demand, alternatives=True)
        assert skus(matches) == ["near", "far", "polo"]
        assert {match.judgement.fit for match in matches} == {Fit.FAILS}

    def test_limit_is_obeyed(self):
        stock = Stock([car(f"{at:03}") for at in range(50)])
        assert skus(stock.match(asking(), limit=3)) == ["000", "001", "002"]
        assert len(stock.match(asking())) == 10


class TestWhatIsThere:
    def test_nothing_beyond_stock_is_matched(self):
        stock = Stock([car("none", quantity=0), car("two", quantity=2), car("one")])
        assert skus(stock.match(asking())) == ["one", "two"]
        assert skus(stock.match(asking(), reserved={"one": 1, "two": 1})) == ["two"]
        assert stock.match(asking(), reserved={"one": 1, "two": 2}, limit=1) == []

    def test_what_is_turned_down_gives_way_to_the_next(self):
        stock = Stock([car("a", "1.00"), car("b", "2.00")])
        assert skus(stock.match(asking(), limit=1, sellable=lambda item: item.sku != "a")) == ["b"]

    def test_category_is_the_demands_or_below(self):
        stock = Stock(
            [car("estate", category=f"{CARS}/estates"), car("car"), car("boat", category="vehicles-parts/boats")]
        )
        assert skus(stock.match(asking())) == ["car", "estate"]
        assert skus(stock.match(asking(category="vehicles-parts"))) == ["boat", "car", "estate"]
        assert stock.match(asking(category="vehicles")) == []
        assert stock.categories == ("vehicles-parts/boats", CARS, f"{CARS}/estates")

    def test_item_without_a_category_matches_nothing(self):
        assert Stock([StockItem("x", {"name": "?"}, "1.00", "EUR")]).match(asking()) == []

    def test_empty_stock_matches_nothing(self):
        assert Stock([]).match(asking(wish("color", "eq", "blue"))) == []

    def test_one_item_is_found_by_sku_whatever_its_fit(self):
        stock = Stock([car("a", color="red")])
        match = stock.find("a", asking(wish("color", "eq", "blue")))
        assert match is not None
        assert match.judgement.fit is Fit.FAILS
        assert stock.find("b", asking()) is None
        assert len(stock) == 1

    @pytest.mark.parametrize("items", [[car("a"), car("a")], [car("a", "1,00")]])
    def test_stock_that_cannot_be_told_apart_or_ranked_is_refused(self, items: list[StockItem]):
        with pytest.raises(ValueError):
            Stock(items)


def test_wishes_about_the_price_wait_for_the_offer():
    price = {"path": "priceSpecification", "op": "le", "value": "1.00", "priceCurrency": "EUR", "onUnknown": "reject"}
    demand = asking(price, wish("color", "eq", "blue"))
    assert [one.path for one in about_item(demand).constraints] == ["itemOffered.color"]
    assert skus(Stock([car("a", color="blue")]).match(demand)) == ["a"]


def test_units_are_converted_before_they_are_compared():
    stock = Stock([
        car("miles", mileageFromOdometer={"value": "54600", "unitCode": "SMI"}),  # 87,870 km
        car("more", mileageFromOdometer={"value": "56000", "unitCode": "SMI"}),  # 90,123 km
        car("bare", mileageFromOdometer="54600"),
    ])  # fmt: skip
    demand = asking(wish("mileageFromOdometer", "le", "90000", "KMT"))
    assert [(match.item.sku, match.judgement.fit) for match in stock.match(demand)] == [
        ("miles", Fit.FITS), ("bare", Fit.ASKS),
    ]  # fmt: skip
