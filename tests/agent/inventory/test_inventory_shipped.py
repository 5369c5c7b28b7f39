"""The stock the demo ships, and real files where they are at hand."""

import re
import time
from decimal import Decimal
from pathlib import Path

import intentcast_agent
import pytest
from intentcast_agent.vendor.inventory.feed import read_feed
from intentcast_agent.vendor.inventory.mappingfile import parse_mapping
from intentcast_agent.vendor.inventory.stock import Feed, FeedUnreadable
from intentcast_protocol.constraint import Constraint, Fit, judge
from intentcast_protocol.encoding import encode
from intentcast_protocol.vocabulary import read_item

SHIPPED = Path(intentcast_agent.__file__).parent / "demo" / "stock"
DEALERS = ("autohof-noord", "greywater-motors", "kastanjehof", "lindenring", "polderwagen")
SHARED = Path(__file__).parents[3].parent / "shared" / "data"

GOLF_ESTATE = [
    Constraint("itemOffered.manufacturer", "eq", "Volkswagen"),
    Constraint("itemOffered.model", "eq", "Golf"),
    Constraint("itemOffered.bodyType", "eq", "estate"),
    Constraint("itemOffered.vehicleModelDate", "ge", "2017"),
]
MILEAGE = Constraint("itemOffered.mileageFromOdometer", "le", "90000", "KMT")

USED_CARS = """
name = "used-cars-de"
[columns.id]
path = "sku"
[columns.make]
path = "item.manufacturer"
[columns.model]
path = "item.model"
[columns.fuel]
path = "item.fuelType"
[columns.fuel.values]
Gasoline = "Petrol"
"Electric/Gasoline" = "Hybrid"
"Electric/Diesel" = "Hybrid"
"-/- (Fuel)" = ""
Others = ""
[columns.gear]
path = "item.vehicleTransmission"
[columns.offer_type]
path = "item.itemCondition"
values = { Pre-registered = "used", Demonstration = "used", "Employee's car" = "used" }
[columns.price_eur]
path = "price"
currency = "EUR"
[columns.mileage_km]
path = "item.mileageFromOdometer"
unit = "KMT"
[columns.power_hp]
path = "item.vehicleEngine.enginePower"
unit = "BHP"
[columns.year]
path = "item.vehicleModelDate"
[defaults]
"@type" = "Car"
category = "Vehicles & Parts > Vehicles > Motor Vehicles > Cars, Trucks & Vans"
name = "{vehicleModelDate} {manufacturer} {model}"
"""


def dealer(name: str) -> Feed:
    return read_feed(SHIPPED / f"{name}.tsv")


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not on this machine: real data is for local runs and never committed")
    return path


@pytest.mark.parametrize("path", sorted(SHIPPED.iterdir()), ids=lambda path: path.name)
def test_shipped_stock_loads_without_errors(path: Path) -> None:
    feed = read_feed(path)
    assert feed.errors == ()
    assert len(feed.stock) == feed.rows > 0
    for stock in feed.stock:
        read_item(stock.item, "invalid.offer.malformed")
        assert len(encode(stock.item)) < 4_096
        assert Decimal(stock.price) > 0


def test_shipped_dealers_have_at_least_65_different_used_cars() -> None:
    cars = [stock for name in DEALERS for stock in dealer(name).stock]
    assert len(cars) >= 65
    assert len({car.item["vehicleIdentificationNumber"] for car in cars}) == len(cars)
    assert len({car.sku for car in cars}) == len(cars)
    assert {2014, 2023} <= {int(car.item["vehicleModelDate"]) for car in cars} <= set(range(2014, 2024))
    assert len({car.item["manufacturer"] for car in cars}) >= 20
    assert {car.item["itemCondition"] for car in cars} == {"UsedCondition"}
    assert {car.currency for car in cars} == {"EUR"}
    assert all(car.listed for car in cars)


def test_golf_estate_is_found_at_four_dealers_and_fails_on_mileage_at_the_fifth() -> None:
    fitting: set[str] = set()
    failing: set[str] = set()
    for name in DEALERS:
        for car in dealer(name).stock:
            subject = {"itemOffered": car.item}
            if judge(GOLF_ESTATE, subject).fit is Fit.FITS and Decimal(car.price) <= 18_500:
                (fitting if judge([MILEAGE], subject).fit is Fit.FITS else failing).add(name)
    assert fitting == set(DEALERS) - {"lindenring"}
    assert "lindenring" in failing


def test_one_shipped_dealer_counts_in_miles() -> None:
    units = {name: {car.item["mileageFromOdometer"]["unitCode"] for car in dealer(name).stock} for name in DEALERS}
    assert units == {name: {"KMT"} for name in DEALERS} | {"greywater-motors": {"SMI"}}


def test_shipped_stock_names_no_real_address() -> None:
    for path in SHIPPED.iterdir():
        hosts = set(re.findall(r"https?://([^/\"\s]+)", path.read_text(encoding="utf-8")))
        assert all(host.endswith(".example") or host == "schema.org" for host in hosts)


def test_phone_plans_are_stock_like_any_other() -> None:
    feed = read_feed(SHIPPED / "phone-plans.jsonld")
    assert (feed.mapping, len(feed.stock)) == ("json-ld", 12)
    assert {plan.item["category"] for plan in feed.stock} == {"services/telecom/mobile-plans"}
    assert {plan.unit for plan in feed.stock} == {"MON"}
    wishes = [
        Constraint("itemOffered.dataAllowance", "ge", "20", "E34"),
        Constraint("itemOffered.contractLength", "le", "1", "ANN"),
    ]
    fits = [plan.sku for plan in feed.stock if judge(wishes, {"itemOffered": plan.item}).fit is Fit.FITS]
    assert fits == ["PLAN-M20-1", "PLAN-L40-1", "PLAN-L40-12", "PLAN-X100-1"]


def test_used_cars_of_a_real_market_load_whole() -> None:
    path = shared("used_cars_de.csv")
    started = time.perf_counter()
    feed = read_feed(path, parse_mapping(USED_CARS))
    elapsed = time.perf_counter() - started
    assert (feed.rows, len(feed.stock), feed.errors, feed.unmapped) == (15_000, 15_000, (), ())
    items = [stock.item for stock in feed.stock]
    assert sum("vehicleTransmission" not in item for item in items) == 60
    assert sum("model" not in item for item in items) == 46
    assert sum("vehicleEngine" not in item for item in items) == 7
    assert sum("fuelType" not in item for item in items) == 29
    assert sum(item["itemCondition"] == "NewCondition" for item in items) == 4
    assert feed.stock[0].item["name"] == "2011 Volkswagen Golf"
    assert elapsed < 20  # a hang, not a benchmark; about 0.6 s on two cores


def test_real_merchant_feed_loads_whole() -> None:
    feed = read_feed(shared("merchant_feed.csv"))
    assert (feed.mapping, feed.rows, len(feed.stock), feed.errors) == ("merchant-product", 107, 107, ())
    assert feed.stock[0].price == "195.60"
    assert {stock.item["category"] for stock in feed.stock} == {
        "health-beauty/personal-care",
        "health-beauty/personal-care/hair-care/hair-treatments",
    }


def test_real_files_of_other_formats_are_declined_with_a_sentence() -> None:
    with pytest.raises(FeedUnreadable, match="XML"):
        read_feed(shared("merchant_feed.xml"))
    with pytest.raises(FeedUnreadable, match="Write a mapping"):
        read_feed(shared("shopify_products.csv"))
