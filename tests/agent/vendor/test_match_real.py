"""15,000 real listings, matched over columns, against judging each of them.

The listings lie beside the repository (../shared/data/used_cars_de.csv) and are never part of it.
"""

import csv
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.match import Match, Stock, about_item
from intentcast_agent.vendor.policy import read_policy
from intentcast_agent.vendor.quote import Quote, best_quote
from intentcast_protocol.constraint import Fit, Verdict, evaluate, read_constraints
from intentcast_protocol.demand import Budget, Demand
from intentcast_protocol.testing import CARS, NOW, make_demand

LISTINGS = Path(__file__).parents[4] / "shared" / "data" / "used_cars_de.csv"
_, DEMAND = make_demand()
LIMIT = 25


def km(op: str, value: Any, unit: str = "KMT", **fields: Any) -> dict[str, Any]:
    return wish("mileageFromOdometer", op, value, unitCode=unit, **fields)


def power(op: str, value: Any, unit: str, **fields: Any) -> dict[str, Any]:
    return wish("vehicleEngine.enginePower", op, value, unitCode=unit, **fields)


def wish(path: str, op: str, value: Any, **fields: Any) -> dict[str, Any]:
    return {"path": f"itemOffered.{path}", "op": op, "value": value, **fields}


def want(path: str, op: str, value: Any, **fields: Any) -> dict[str, Any]:
    return wish(path, op, value, strength="want", **fields)


VW, GOLF = wish("manufacturer", "eq", "VOLKSWAGEN"), wish("model", "eq", "golf")
DEMANDS: dict[str, list[dict[str, Any]]] = {
    "anything": [],
    "a Golf": [VW, GOLF],
    "a Golf, up to 90,000 km": [VW, GOLF, km("le", "90000")],
    "a Golf, up to 50,000 miles": [VW, GOLF, km("le", "50000", "SMI")],
    "a Golf from 2017, if possible automatic": [
        VW, GOLF, wish("vehicleModelDate", "ge", "2017"), want("vehicleTransmission", "eq", "Automatic"),
    ],
    "between 90 and 110 kW": [power("between", ["90", "110"], "KWT")],
    "at least 300 bhp, power stated": [power("ge", "300", "BHP", onUnknown="reject")],
    "exactly 100 PS": [power("eq", "100", "HJ")],
    "100 or 110 PS": [power("in", ["100", "110"], "HJ")],
    "power without a unit": [power("ge", "100", "KGM"), VW],
    "power where it may be unknown": [power("le", "50", "KWT", onUnknown="allow")],
    "power not stated": [wish("vehicleEngine", "exists", False)],
    "gearbox not stated": [wish("vehicleTransmission", "exists", False)],
    "gearbox stated and manual": [
        wish("vehicleTransmission", "exists", True), wish("vehicleTransmission", "eq", "manual"),
    ],
    "electric or hybrid": [wish("fuelType", "in", ["electric", "Electric/Gasoline", "Electric/Diesel"])],
    "a small city car": [wish("model", "in", ["up!", "Aygo", "i10", "forTwo", "500"]), km("le", "40000")],
    "an estate by name": [want("name", "like", "octavia 2019"), wish("manufacturer", "eq", "Skoda")],
    "like an Audi A4 diesel": [want("name", "like", "audi a4"), want("fuelType", "eq", "Diesel"), km("le", "120000")],
    "nearly new": [km("le", "100"), wish("itemCondition", "in", ["New", "Demonstration", "Pre-registered"])],
    "between two mileages in metres": [km("between", ["49999000", "50001000"], "MTR")],
    "exactly 92,800 km": [km("eq", "92800")],
    "model 500, a number in words": [wish("model", "eq", "500")],
    "model stated, if asked": [wish("model", "ge", "100", onUnknown="ask"), wish("manufacturer", "eq", "Mazda")],
    "a colour nobody states": [wish("color", "eq", "blue"), VW],
    "a colour nobody states, or nothing": [wish("color", "eq", "blue", onUnknown="reject"), VW],
    "mileage in a unit of weight": [km("le", "90000", "KGM"), wish("manufacturer", "eq", "Fiat")],
    "one listing by its number": [wish("sku", "eq", "DE-42")],
    "no such make": [wish("manufacturer", "eq", "Trabant")],
}  # fmt: skip


@pytest.fixture(scope="module")
def items() -> list[StockItem]:
    if not LISTINGS.exists():
        pytest.skip(f"NOT CHECKED ON REAL LISTINGS: {LISTINGS} is not here")
    with LISTINGS.open(newline="", encoding="utf-8") as file:
        return [_item(row) for row in csv.DictReader(file)]


def _item(row: dict[str, str]) -> StockItem:
    item: dict[str, Any] = {
        "@type": "Car", "category": CARS, "sku": row["id"], "manufacturer": row["make"], "model": row["model"],
        "name": f"{row['year']} {row['make']} {row['model']}".strip(), "fuelType": row["fuel"],
        "vehicleTransmission": row["gear"], "itemCondition": row["offer_type"], "vehicleModelDate": row["year"],
        "mileageFromOdometer": {"value": row["mileage_km"], "unitCode": "KMT"},
    }  # fmt: skip
    if row["power_hp"]:
        item["vehicleEngine"] = {"enginePower": {"value": row["power_hp"], "unitCode": "HJ"}}
    item = {name: value for name, value in item.items() if value != ""}
    return StockItem(row["id"], item, f"{row['price_eur']}.00", "EUR")


@pytest.fixture(scope="module")
def stock(items: list[StockItem]) -> Stock:
    return Stock(items)


def asking(wishes: list[dict[str, Any]], **changes: Any) -> Demand:
    return replace(DEMAND, budget=None, constraints=read_constraints(wishes), **changes)


def judge_each(items: Iterable[StockItem], demand: Demand) -> list[Match]:
    """Judge every listing, leaving one at its first broken must-have, and sort what stays."""
    ranked = []
    for item in items:
        subject = {"itemOffered": item.item}
        for one in demand.constraints:
            verdict = evaluate(one, subject).verdict
            if one.strength == "must" and (
                verdict is Verdict.UNMET or (verdict is Verdict.UNKNOWN and one.on_unknown == "reject")
            ):
                break
        else:
            match = Match(item, demand.judge(subject))
            asks = match.judgement.fit is Fit.ASKS
            ranked.append(((asks, -match.judgement.wants_met, Decimal(item.price), item.sku), match))
    return [match for _, match in sorted(ranked, key=lambda pair: pair[0])]


@pytest.mark.parametrize("name", DEMANDS)
def test_real_listings_match_as_if_each_were_judged(name: str, items: list[StockItem], stock: Stock):
    demand = asking(DEMANDS[name])
    assert about_item(demand) == demand
    expected = judge_each(items, demand)
    assert stock.match(demand, limit=LIMIT) == expected[:LIMIT]
    everything = stock.match(demand, limit=len(items))
    assert [match.item.sku for match in everything] == [match.item.sku for match in expected]


def test_demands_are_neither_all_empty_nor_all_full(items: list[StockItem], stock: Stock):
    counts = [len(stock.match(asking(wishes), limit=len(items))) for wishes in DEMANDS.values()]
    assert len(DEMANDS) >= 20
    assert sum(0 < count < len(items) for count in counts) >= 20


@pytest.mark.parametrize(("most", "share"), [("15000.00", 0), ("9500.00", 6), ("2500.00", 6)])
def test_best_quote_is_the_first_real_match_that_can_be_had_within_the_budget(
    most: str, share: int, items: list[StockItem], stock: Stock
):
    policy = read_policy(f'name = "A"\ncurrency = "EUR"\nfloor = "80%"\nladder = ["0%", "{share}%"]')
    budget = Decimal(most)
    demand = replace(asking([VW, GOLF, want("vehicleModelDate", "ge", "2019")]), budget=Budget(budget, "EUR", None))
    affordable = [
        match for match in judge_each(items, demand) if Decimal(match.item.price) * (100 - share) / 100 <= budget
    ]
    found = best_quote(policy, stock, demand, NOW)
    if not affordable:
        assert not isinstance(found, tuple)
        return
    assert isinstance(found, tuple)
    assert found[0] == affordable[0]
    assert isinstance(found[1], Quote)
    assert found[1].price.total == min(Decimal(affordable[0].item.price), budget)
