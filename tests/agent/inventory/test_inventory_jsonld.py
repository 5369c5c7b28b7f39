"""JSON-LD: a list, a graph, one object, an ItemList. DESIGN §4.4"""

import json
from pathlib import Path
from typing import Any

import pytest
from intentcast_agent.vendor.inventory.feed import read_feed
from intentcast_agent.vendor.inventory.mappingfile import parse_mapping
from intentcast_agent.vendor.inventory.merchant import CARS
from intentcast_agent.vendor.inventory.stock import Feed, FeedUnreadable

OFFER = {"@type": "Offer", "price": 17900, "priceCurrency": "EUR", "availability": "https://schema.org/InStock"}
CAR = {
    "@context": "https://schema.org",
    "@type": "Car",
    "sku": "G-1",
    "brand": {"@type": "Brand", "name": "Volkswagen"},
    "model": "Golf",
    "vehicleModelDate": "2019-03-01",
    "mileageFromOdometer": {"@type": "QuantitativeValue", "value": 64044, "unitCode": "KMT"},
    "vehicleEngine": {
        "@type": "EngineSpecification",
        "fuelType": "Diesel",
        "enginePower": {"value": 110, "unitText": "hp"},
    },
    "bodyType": "estate",
    "vehicleIdentificationNumber": "WVWZZZAUZKW000001",
    "offers": OFFER | {"itemCondition": "https://schema.org/UsedCondition", "availabilityStarts": "2024-05-13"},
}
CUP = {"@type": "Product", "sku": "C-1", "name": "Cup", "category": "Home & Garden > Cups", "offers": OFFER}


def read(tmp_path: Path, document: Any) -> Feed:
    path = tmp_path / "stock.jsonld"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return read_feed(path)


def test_car_of_json_ld_has_our_shape(tmp_path: Path) -> None:
    feed = read(tmp_path, CAR)
    (car,) = feed.stock
    assert (feed.mapping, feed.errors, feed.rows) == ("json-ld", (), 1)
    assert (car.sku, car.price, car.currency, car.listed) == ("G-1", "17900.00", "EUR", 1715558400)
    assert car.item == {
        "@type": "Car",
        "name": "2019 Volkswagen Golf",
        "sku": "G-1",
        "category": CARS,
        "brand": "Volkswagen",
        "manufacturer": "Volkswagen",
        "model": "Golf",
        "vehicleModelDate": "2019",
        "mileageFromOdometer": {"value": "64044", "unitCode": "KMT"},
        "vehicleEngine": {
            "@type": "EngineSpecification",
            "fuelType": "Diesel",
            "enginePower": {"value": "110", "unitCode": "BHP"},
        },
        "fuelType": "Diesel",
        "bodyType": "Estate",
        "vehicleIdentificationNumber": "WVWZZZAUZKW000001",
        "itemCondition": "UsedCondition",
    }


@pytest.mark.parametrize(
    "document",
    [
        CUP,
        [CUP],
        {"@graph": [{"@type": "Organization", "name": "Cups"}, CUP, {"@type": "BreadcrumbList"}]},
        {"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "position": 1, "item": CUP}]},
        {"@type": "OfferCatalog", "itemListElement": [OFFER | {"itemOffered": {**CUP, "offers": None}}]},
        CUP | {"offers": [OFFER]},
        CUP | {"offers": {"@type": "AggregateOffer", "lowPrice": 1, "offers": [OFFER]}},
        CUP | {"offers": {"priceSpecification": {"price": "17900.00", "priceCurrency": "EUR"}}},
    ],
)
def test_things_for_sale_are_found_wherever_shops_put_them(tmp_path: Path, document: Any) -> None:
    feed = read(tmp_path, document)
    assert [(cup.sku, cup.price, cup.item["category"]) for cup in feed.stock] == [
        ("C-1", "17900.00", "home-garden/cups")
    ]
    assert feed.errors == ()


def test_offers_with_their_own_sku_are_rows_of_their_own(tmp_path: Path) -> None:
    feed = read(tmp_path, CUP | {"offers": [OFFER | {"sku": "C-1-red"}, OFFER | {"sku": "C-1-blue", "price": "9.90"}]})
    assert [(cup.sku, cup.price) for cup in feed.stock] == [("C-1-red", "17900.00"), ("C-1-blue", "9.90")]


def test_offers_without_their_own_sku_are_not_guessed_between(tmp_path: Path) -> None:
    feed = read(tmp_path, CUP | {"offers": [OFFER, OFFER | {"price": 9}]})
    assert [(error.row, error.column, error.value) for error in feed.errors] == [(2, "sku", "C-1")]


def test_broken_entry_is_reported_by_place_and_path(tmp_path: Path) -> None:
    cups = [
        CUP,
        CUP | {"sku": "C-2", "offers": OFFER | {"price": "dear"}},
        CUP | {"sku": "C-3", "weight": {"value": 1e30, "unitCode": "KGM"}},
        CUP | {"sku": "C-4", "weight": {"value": 1, "unitCode": "kilo"}},
        CUP | {"sku": "C-5", "offers": OFFER | {"price": [1, 2]}},
        CUP | {"sku": "C-6", "offers": {}},
        CAR | {"mileageFromOdometer": {"value": 64044}},
    ]
    feed = read(tmp_path, cups)
    assert [(error.row, error.column) for error in feed.errors] == [
        (2, "offers.price"),
        (3, "weight"),
        (4, "weight"),
        (5, "offers.price"),
        (5, "offers.price"),
        (6, "offers.price"),
        (7, "mileageFromOdometer"),
    ]
    assert [cup.sku for cup in feed.stock] == ["C-1"]


def test_numbers_stay_exact_and_values_are_text_lists_and_maps(tmp_path: Path) -> None:
    text = (
        json.dumps(CUP)[:-1]
        + ', "weight": {"value": 0.30, "unitCode": "KGM"}, "depth": 1e2, "isFamilyFriendly": true, '
    )
    (cup,) = read(tmp_path, text + '"award": null, "keywords": ["a", ""], "a.b": "c", "width": [7]}').stock
    assert cup.item["weight"] == {"value": "0.30", "unitCode": "KGM"}
    assert (cup.item["depth"], cup.item["isFamilyFriendly"], cup.item["keywords"]) == ("100", "true", ["a"])
    assert cup.item["width"] == "7"
    assert not {"award", "a.b", "a", "offers"} & cup.item.keys()


def test_property_values_become_properties_a_constraint_can_reach(tmp_path: Path) -> None:
    extras = [
        {"@type": "PropertyValue", "name": "dataAllowance", "value": 20, "unitCode": "E34"},
        {"@type": "PropertyValue", "name": "network", "value": "5G"},
        {"@type": "PropertyValue", "name": "not a name", "value": "x"},
        "stray",
    ]
    (plan,) = read(tmp_path, CUP | {"additionalProperty": extras}).stock
    assert plan.item["dataAllowance"] == {"value": "20", "unitCode": "E34"}
    assert plan.item["network"] == "5G"
    assert "additionalProperty" not in plan.item


def test_monthly_price_says_so(tmp_path: Path) -> None:
    terms = {"@type": "UnitPriceSpecification", "price": 9.9, "priceCurrency": "EUR", "unitCode": "MON"}
    (plan,) = read(tmp_path, CUP | {"offers": {"priceSpecification": terms}}).stock
    assert (plan.price, plan.unit) == ("9.90", "MON")


def test_stock_level_and_availability_count(tmp_path: Path) -> None:
    feed = read(
        tmp_path,
        [
            CUP | {"offers": OFFER | {"inventoryLevel": {"value": 12}}},
            CUP | {"sku": "C-2", "offers": OFFER | {"availability": "http://schema.org/SoldOut"}},
        ],
    )
    assert [cup.quantity for cup in feed.stock] == [12]
    assert feed.skipped == 1


def test_mapping_gives_json_ld_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "stock.json"
    path.write_text(json.dumps({"sku": "1", "name": "Visit", "offers": {"price": 80}}), encoding="utf-8")
    mapping = parse_mapping(
        'base = "merchant-product"\ncurrency = "EUR"\n[defaults]\ncategory = "services/home/plumbing"\n'
    )
    (visit,) = read_feed(path, mapping).stock
    assert (visit.currency, visit.item["category"]) == ("EUR", "services/home/plumbing")


@pytest.mark.parametrize("document", ["{", "[]", '[{"@type": "Organization"}]', '{"offers": NaN}', '[1, "a", null]'])
def test_json_without_anything_for_sale_is_unreadable(tmp_path: Path, document: str) -> None:
    with pytest.raises(FeedUnreadable):
        read(tmp_path, document)
