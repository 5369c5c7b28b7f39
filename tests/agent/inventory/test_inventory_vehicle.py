"""The merchant vehicle feed, headers unchanged. DESIGN §6"""

from pathlib import Path

import pytest
from intentcast_agent.vendor.inventory.feed import read_feed
from intentcast_agent.vendor.inventory.merchant import CARS, detect_mapping
from intentcast_agent.vendor.inventory.stock import Feed, FeedError

HEADER = "VIN\tstore_code\tid\tmake\tmodel\tyear\tmileage\tprice\tcondition\tengine\tbody_style\tdate_in_stock"
GOLF = "WVWZZZAUZKW000001\tS1\tG-1\tVolkswagen\tGolf\t2019\t64044 km\t17900.00 EUR\tused\tdiesel\tstation_wagon"
GOLF += "\t2024-05-13"


def read(tmp_path: Path, *lines: str, name: str = "stock.tsv") -> Feed:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_feed(path)


def with_cell(row: str, column: str, value: str) -> str:
    cells = row.split("\t")
    cells[HEADER.split("\t").index(column)] = value
    return "\t".join(cells)


def test_vehicle_row_becomes_a_car_in_our_shape(tmp_path: Path) -> None:
    feed = read(tmp_path, HEADER, GOLF)
    (car,) = feed.stock
    assert (feed.mapping, feed.rows, feed.errors) == ("merchant-vehicle", 1, ())
    assert (car.sku, car.price, car.currency, car.quantity, car.listed) == ("G-1", "17900.00", "EUR", 1, 1715558400)
    assert car.item == {
        "@type": "Car",
        "name": "2019 Volkswagen Golf",
        "category": CARS,
        "sku": "G-1",
        "manufacturer": "Volkswagen",
        "model": "Golf",
        "vehicleModelDate": "2019",
        "mileageFromOdometer": {"value": "64044", "unitCode": "KMT"},
        "fuelType": "Diesel",
        "bodyType": "Estate",
        "vehicleIdentificationNumber": "WVWZZZAUZKW000001",
        "itemCondition": "UsedCondition",
    }


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("2333 Miles", "2333", "SMI"),
        ("52,777 miles", "52777", "SMI"),
        ("64044 km", "64044", "KMT"),
        ("64 044 KM", "64044", "KMT"),
        ("64044.5km", "64044.5", "KMT"),
    ],
)
def test_vehicle_mileage_keeps_its_own_unit(tmp_path: Path, text: str, value: str, unit: str) -> None:
    (car,) = read(tmp_path, HEADER, with_cell(GOLF, "mileage", text)).stock
    assert car.item["mileageFromOdometer"] == {"value": value, "unitCode": unit}


@pytest.mark.parametrize(
    ("text", "price", "currency"),
    [
        ("17900 EUR", "17900.00", "EUR"),
        ("10,499.00 USD", "10499.00", "USD"),
        ("EUR 17900.5", "17900.50", "EUR"),
        ("€17900", "17900.00", "EUR"),
        ("2500000 JPY", "2500000", "JPY"),
        ("0017900 EUR", "17900.00", "EUR"),
    ],
)
def test_vehicle_price_has_exactly_its_currencys_digits(tmp_path: Path, text: str, price: str, currency: str) -> None:
    (car,) = read(tmp_path, HEADER, with_cell(GOLF, "price", text)).stock
    assert (car.price, car.currency) == (price, currency)


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("price", "17900", "names no currency"),
        ("price", "0.00 EUR", "more than zero"),
        ("price", "-5 EUR", "more than zero"),
        ("price", "17.900 EUR", "at most 2 digits"),
        ("price", "17.900,00 EUR", "not a number"),
        ("price", "2500.5 JPY", "at most 0 digits"),
        ("price", "1234567890123456 EUR", "too long"),
        ("price", "USD 17900 EUR", "two currencies"),
        ("price", "on request", "not a price"),
        ("mileage", "64044", "unit is missing"),
        ("mileage", "12.500 km", "thousands or decimals"),
        ("mileage", "64044 parsecs", "not one we know"),
        ("mileage", "-5 km", "not negative"),
        ("mileage", "few", "not a number"),
        ("year", "19", "four digits"),
        ("year", "2190", "four digits"),
        ("VIN", "WVWZZZAUZKW00000O", "never I, O or Q"),
        ("VIN", "SHORT", "17 letters"),
        ("condition", "pristine", "new, used"),
        ("date_in_stock", "13/05/2024", "2019-05-31"),
        ("model", "x" * 501, "longer than 500"),
    ],
)
def test_feed_reports_broken_row_by_row_and_column(tmp_path: Path, column: str, text: str, reason: str) -> None:
    other = with_cell(with_cell(GOLF, "id", "G-2"), "VIN", "WVWZZZAUZKW000002")
    feed = read(tmp_path, HEADER, GOLF, with_cell(other, column, text))
    (error,) = feed.errors
    assert (error.row, error.column, error.value) == (3, column, text[:80])
    assert reason in error.reason
    assert [car.sku for car in feed.stock] == ["G-1"]
    assert (feed.rows, feed.broken, feed.skipped) == (2, 1, 0)


def test_feed_reports_every_broken_cell_of_a_row(tmp_path: Path) -> None:
    feed = read(tmp_path, HEADER, with_cell(with_cell(GOLF, "price", "?"), "year", "?"))
    assert [(error.row, error.column) for error in feed.errors] == [(2, "year"), (2, "price")]
    assert feed.broken == 1


def test_feed_names_the_missing_price_by_the_files_own_header(tmp_path: Path) -> None:
    feed = read(tmp_path, HEADER.replace("price", "Price"), with_cell(GOLF, "price", ""))
    assert feed.errors == (FeedError(2, "Price", "", "The row has no price."),)


def test_feed_counts_lines_not_records_after_a_cell_with_a_line_break(tmp_path: Path) -> None:
    broken = with_cell(with_cell(GOLF, "id", "G-2"), "price", "?")
    feed = read(tmp_path, HEADER, with_cell(GOLF, "model", '"Golf\nVariant"'), "", broken)
    assert feed.stock[0].item["model"] == "Golf Variant"
    assert feed.errors[0].row == 5


def test_later_row_with_the_same_sku_is_an_error(tmp_path: Path) -> None:
    feed = read(tmp_path, HEADER, GOLF, with_cell(GOLF, "VIN", "WVWZZZAUZKW000002"))
    assert feed.errors == (FeedError(3, "id", "G-1", "This sku is already taken by row 2."),)
    assert len(feed.stock) == 1


def test_one_vehicle_cannot_be_sold_under_two_skus(tmp_path: Path) -> None:
    feed = read(tmp_path, HEADER, GOLF, with_cell(GOLF, "id", "G-2"))
    assert [(error.row, error.column) for error in feed.errors] == [(3, "VIN")]


def test_broken_row_leaves_its_sku_to_the_row_that_repairs_it(tmp_path: Path) -> None:
    feed = read(tmp_path, HEADER, with_cell(GOLF, "price", "?"), GOLF)
    assert [car.sku for car in feed.stock] == ["G-1"]
    assert feed.broken == 1


def test_vehicle_without_id_is_known_by_its_vin(tmp_path: Path) -> None:
    (car,) = read(tmp_path, HEADER, with_cell(GOLF, "id", "")).stock
    assert car.sku == "WVWZZZAUZKW000001"


def test_motors_name_in_the_fuel_column_is_no_fuel(tmp_path: Path) -> None:
    (car,) = read(tmp_path, HEADER, with_cell(GOLF, "engine", "2.0 TDI")).stock
    assert "fuelType" not in car.item
    assert car.item["vehicleEngine"] == {"name": "2.0 TDI"}


def test_category_number_of_cars_is_known_and_others_are_asked_for(tmp_path: Path) -> None:
    header = f"{HEADER}\tgoogle_product_category"
    feed = read(tmp_path, header, f"{GOLF}\t916", f"{with_cell(GOLF, 'id', 'G-2')}\t3237")
    assert feed.stock[0].item["category"] == CARS
    assert (feed.errors[0].column, feed.errors[0].value) == ("google_product_category", "3237")


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_delimiter_is_found_in_the_header(tmp_path: Path, delimiter: str) -> None:
    lines = [line.replace("\t", delimiter) for line in (HEADER, GOLF)]
    assert len(read(tmp_path, *lines, name="stock.txt").stock) == 1


def test_row_longer_than_the_header_is_an_error_and_a_shorter_one_is_not(tmp_path: Path) -> None:
    short = with_cell(with_cell(GOLF, "id", "G-2"), "VIN", "").rpartition("\t")[0]
    feed = read(tmp_path, HEADER, f"{GOLF}\tmore", short)
    assert [(error.row, error.value) for error in feed.errors] == [(2, "more")]
    assert [car.sku for car in feed.stock] == ["G-2"]


def test_columns_nobody_reads_are_named(tmp_path: Path) -> None:
    feed = read(tmp_path, f"{HEADER}\tlucky_number", f"{GOLF}\t7")
    assert feed.unmapped == ("store_code", "lucky_number")


def test_built_in_mapping_is_picked_by_its_headers() -> None:
    def picked(*headers: str) -> str | None:
        mapping = detect_mapping(headers)
        return mapping.name if mapping else None

    assert picked(*HEADER.split("\t")) == "merchant-vehicle"
    assert picked("id", "title", "price", "model", "year", "mileage") == "merchant-vehicle"
    assert picked("id", "title", "description", "link", "price", "brand", "gtin") == "merchant-product"
    assert picked("g:ID", "Title", "Image Link", "Price") == "merchant-product"
    assert picked("id", "title") is None
    assert picked("Handle", "Title", "Variant Price") is None
