"""A vendor's own mapping in TOML. DESIGN §6"""

from pathlib import Path

import pytest
from intentcast_agent.vendor.inventory.feed import read_feed
from intentcast_agent.vendor.inventory.mappingfile import MappingInvalid, load_mapping, parse_mapping
from intentcast_agent.vendor.inventory.stock import FeedUnreadable

BOATS = """
name = "boats"
decimal = ","
currency = "EUR"
[columns.Nummer]
path = "sku"
[columns.Preis]
path = "price"
[columns."Länge"]
path = "item.depth.hull"
unit = "MTR"
[columns.Zustand]
path = "item.itemCondition"
values = { gebraucht = "used", neu = "new" }
[columns.Extras]
path = "item.extras"
kind = "words"
separator = "/"
optional = true
[columns.Rumpf]
path = "item.hull"
values = { "k. A." = "" }
optional = true
[defaults]
"@type" = "Vehicle"
category = "Vehicles & Parts > Vehicles > Watercraft"
name = "Boat {sku}{hull}"
"""


def write(tmp_path: Path, text: str, name: str = "boats.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_own_mapping_reads_foreign_headers_words_and_decimals(tmp_path: Path) -> None:
    path = write(tmp_path, "Nummer;Preis;Länge;Zustand;Extras;Rumpf\n7;12.500,50;6,40;Gebraucht;Anker / Plane;k. A.\n")
    feed = read_feed(path, parse_mapping(BOATS))
    (boat,) = feed.stock
    assert (feed.mapping, feed.errors) == ("boats", ())
    assert (boat.sku, boat.price, boat.currency) == ("7", "12500.50", "EUR")
    assert boat.item == {
        "@type": "Vehicle",
        "name": "Boat",
        "sku": "7",
        "category": "vehicles-parts/vehicles/watercraft",
        "depth": {"hull": {"value": "6.40", "unitCode": "MTR"}},
        "itemCondition": "UsedCondition",
        "extras": ["Anker", "Plane"],
    }


def test_column_the_mapping_reads_must_be_there_unless_optional(tmp_path: Path) -> None:
    with pytest.raises(FeedUnreadable, match="zustand"):
        read_feed(write(tmp_path, "Nummer;Preis;Länge\n7;1;1\n"), parse_mapping(BOATS))


def test_price_in_another_currency_than_its_column_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, "Nummer;Preis;Länge;Zustand\n7;500 CHF;6;neu\n")
    (error,) = read_feed(path, parse_mapping(BOATS)).errors
    assert (error.row, error.column) == (2, "Preis")
    assert "two currencies" in error.reason


def test_price_may_be_once_per_unit(tmp_path: Path) -> None:
    mapping = parse_mapping(
        '[columns.id]\npath = "sku"\n[columns.rent]\npath = "price"\ncurrency = "EUR"\nunit = "MON"\n'
        '[defaults]\ncategory = "services/storage"\nname = "Storage room"\n'
    )
    (room,) = read_feed(write(tmp_path, "id,rent\n1,80\n"), mapping).stock
    assert (room.price, room.unit) == ("80.00", "MON")


def test_base_takes_over_a_built_in_mapping(tmp_path: Path) -> None:
    mapping = parse_mapping(
        'base = "merchant-vehicle"\n[columns.ps]\npath = "item.vehicleEngine.enginePower"\nunit = "HJ"\n'
    )
    path = write(tmp_path, "id,make,model,year,mileage,price,ps\n1,Opel,Astra,2019,9000 km,9000 EUR,110\n")
    (car,) = read_feed(path, mapping).stock
    assert car.item["vehicleEngine"] == {"enginePower": {"value": "110", "unitCode": "HJ"}}
    assert car.item["name"] == "2019 Opel Astra"


def test_currency_may_have_its_own_column(tmp_path: Path) -> None:
    mapping = parse_mapping('base = "merchant-product"\n[columns.cur]\npath = "currency"\n')
    path = write(tmp_path, "id,title,price,cur,google_product_category\n1,Cup,900,jpy,Cups\n2,Cup,900,yens,Cups\n")
    feed = read_feed(path, mapping)
    assert (feed.stock[0].price, feed.stock[0].currency) == ("900", "JPY")
    assert [(error.row, error.column) for error in feed.errors] == [(3, "price")]
    assert "not a currency code" in feed.errors[0].reason


def test_mapping_is_named_after_its_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'base = "merchant-product"\n', "cups.toml")
    assert load_mapping(path).name == "cups"


MINIMAL = '[columns.id]\npath = "sku"\n[columns.p]\npath = "price"\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("columns = ", "not TOML"),
        ("a = " + "[" * 5_000, "not TOML"),
        ('colums = "x"', "no key colums"),
        ('base = "boats"', "base is one of merchant-vehicle, merchant-product"),
        ("columns = 3", "tables"),
        ('[columns.id]\npath = "sku"', "needs a column for price"),
        (MINIMAL + '[columns.x]\npath = "colour"', "columns.x.path"),
        (MINIMAL + '[columns.x]\npath = "item.a b"', "columns.x.path"),
        (MINIMAL + '[columns.x]\npath = "item.a"\nunits = "KMT"', "no key units"),
        (MINIMAL + '[columns.x]\npath = "item.a"\nunit = "km"', "UN/ECE"),
        (MINIMAL + '[columns.x]\npath = "item.a"\nkind = "guess"', "kind is one of"),
        (MINIMAL + '[columns.x]\npath = "item.a"\nvalues = { a = 1 }', "values"),
        (MINIMAL + '[columns.x]\npath = "item.a"\nseparator = ""', "separator"),
        (MINIMAL + '[columns.x]\npath = "item.a"\n[defaults]\n"a.b" = "c"', "cannot also hold"),
        (MINIMAL + "[defaults]\nname = 3", "defaults.name"),
        (MINIMAL + '[defaults]\ncategory = "469"', "defaults.category"),
        ('currency = "euro"\n' + MINIMAL, "ISO 4217"),
        ('decimal = "_"\n' + MINIMAL, "decimal is"),
    ],
)
def test_mapping_that_contradicts_itself_names_the_key(text: str, reason: str) -> None:
    with pytest.raises(MappingInvalid, match=reason):
        parse_mapping(text)


def test_mapping_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MappingInvalid, match=r"none\.toml"):
        load_mapping(tmp_path / "none.toml")
    with pytest.raises(MappingInvalid, match="256 KiB"):
        load_mapping(write(tmp_path, "#" * 300_000, "large.toml"))
