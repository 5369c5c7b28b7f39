"""Stock files made to break the reader give rows, errors or FeedUnreadable, and nothing else."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intentcast_agent.vendor.inventory import feed as feed_module
from intentcast_agent.vendor.inventory import intake
from intentcast_agent.vendor.inventory.cell import clean
from intentcast_agent.vendor.inventory.feed import read_feed
from intentcast_agent.vendor.inventory.stock import Feed, FeedUnreadable
from intentcast_protocol.encoding import decode, encode

HEADER = "id,title,price,google_product_category"
GOOD = "A-1,Cup,9 EUR,Cups"


def read(tmp_path: Path, content: bytes | str, name: str = "stock.csv") -> Feed:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_feed(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n\n  \n", "empty"),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16"), "UTF-8"),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16-le"), "NUL bytes"),
        (f"{HEADER}\nA-1,Tasse in Grün,9 EUR,Cups\n".encode("latin-1"), "UTF-8"),
        (b"\x00\x01\x02\x03", "NUL bytes"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "UTF-8"),
        (b"<?xml version='1.0'?><rss/>", "XML"),
        (b"Handle,Title\na,b\n", "Handle, Title"),
        (b"a," * 600_000, "too long to be a header"),
        (b"id,price" + b",x" * 600, "more than 512 columns"),
        (b"[" * 100_000, "nests too deep"),
        (b'{"a":' * 100_000, "nests too deep"),
        (b'[{"offers": {}', "not JSON"),
    ],
)
def test_file_unreadable_as_a_whole_says_why(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(FeedUnreadable, match=reason):
        read(tmp_path, content)


def test_missing_file_and_folder_are_unreadable(tmp_path: Path) -> None:
    with pytest.raises(FeedUnreadable, match=r"none\.csv cannot be read"):
        read_feed(tmp_path / "none.csv")
    with pytest.raises(FeedUnreadable, match="not a file"):
        read_feed(tmp_path)


def test_file_past_256_mebibytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as stream:
        stream.truncate(256 * 1024 * 1024 + 1)
    with pytest.raises(FeedUnreadable, match="256 MiB"):
        read_feed(path)


def test_json_past_its_limit_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "MAX_JSON_BYTES", 10)
    with pytest.raises(FeedUnreadable, match="JSON"):
        read(tmp_path, '{"offers": {}}')


def test_file_past_its_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_ROWS", 2)
    with pytest.raises(FeedUnreadable, match="more than 2 rows"):
        read(tmp_path, f"{HEADER}\n" + "".join(f"A-{n},Cup,9 EUR,Cups\n" for n in range(3)))


def test_errors_past_their_limit_are_counted_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_ERRORS", 5)
    feed = read(tmp_path, f"{HEADER}\n" + "".join(f"A-{n},Cup,?,Cups\n" for n in range(9)))
    assert (len(feed.errors), feed.broken) == (5, 9)


def test_cell_of_a_megabyte_breaks_its_own_row_only(tmp_path: Path) -> None:
    feed = read(tmp_path, f"{HEADER}\nA-0,{'x' * 1_000_000},9 EUR,Cups\n{GOOD}\n")
    assert [(error.row, error.value) for error in feed.errors] == [(2, "")]
    assert [cup.sku for cup in feed.stock] == ["A-1"]


def test_line_past_its_limit_breaks_its_own_row_only(tmp_path: Path) -> None:
    feed = read(tmp_path, f"{HEADER}\n{'x,' * 1_500_000}\n{GOOD}\n")
    assert [error.row for error in feed.errors] == [2]
    assert [cup.sku for cup in feed.stock] == ["A-1"]


def test_quotation_mark_never_closed_is_reported_where_it_opens(tmp_path: Path) -> None:
    rows = "".join(f"B-{n},Cup,9 EUR,Cups\n" for n in range(20_000))
    feed = read(tmp_path, f'{HEADER}\n{GOOD}\nA-2,"Cup,9 EUR,Cups\n{rows}')
    assert feed.errors[0].row == 3
    assert feed.rows == len(feed.stock) + feed.broken
    assert len(feed.stock) > 10_000


def test_nul_bytes_and_controls_are_stripped(tmp_path: Path) -> None:
    (cup,) = read(tmp_path, f"{HEADER}\nA\x00-1,Cu\x00p\x1b[31m\x07,9 EUR,Cups\n").stock
    assert (cup.sku, cup.item["name"]) == ("A-1", "Cup[31m")


def test_skus_that_differ_only_in_what_cannot_be_seen_are_one(tmp_path: Path) -> None:
    feed = read(tmp_path, f"{HEADER}\n{GOOD}\nA\u200b-1,Cup,9 EUR,Cups\n")
    assert [(error.row, error.column) for error in feed.errors] == [(3, "id")]


def test_reordering_marks_do_not_reach_a_screen(tmp_path: Path) -> None:
    feed = read(tmp_path, f"{HEADER}\nA-1,\u202eCup \u2066for 1\u2069,9 EUR,Cups\nA-2,Cup,\u202e9 rue,Cups\n")
    assert feed.stock[0].item["name"] == "Cup for 1"
    assert feed.errors[0].value == "9 rue"


def test_formula_is_plain_text_in_a_name_and_no_number_in_a_price(tmp_path: Path) -> None:
    formula = '=HYPERLINK("https://evil.example")'
    quoted = formula.replace('"', '""')
    feed = read(tmp_path, f'{HEADER}\nA-1,"{quoted}",9 EUR,Cups\nA-2,Cup,=9+9 EUR,Cups\n')
    assert feed.stock[0].item["name"] == formula
    assert [(error.row, error.column) for error in feed.errors] == [(3, "price")]


def test_item_that_nests_or_swells_past_its_bounds_is_an_error(tmp_path: Path) -> None:
    deep: object = "x"
    for _ in range(50):
        deep = {"a": deep}
    wide = {f"k{n}": "v" for n in range(300)}
    offer = {"price": 9, "priceCurrency": "EUR"}
    things = [
        {"sku": f"{n}", "name": "n", "category": "cups", "a": a, "offers": offer} for n, a in enumerate((deep, wide))
    ]
    feed = read(tmp_path, json.dumps(things))
    assert ["nests deeper" in feed.errors[0].reason, "more than 256" in feed.errors[1].reason] == [True, True]


def test_half_a_surrogate_pair_never_reaches_the_wire(tmp_path: Path) -> None:
    text = '{"sku": "1\\ud800", "name": "a\\udfffb", "category": "cups", "\\ud800x": "y", "offers": {"price": "9 EUR"}}'
    (cup,) = read(tmp_path, text).stock
    assert (cup.sku, cup.item["name"]) == ("1", "ab")
    cup.item["name"].encode()


@given(st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_arbitrary_rows_are_loaded_or_reported(tmp_path: Path, tail: bytes) -> None:
    try:
        feed = read(tmp_path, f"{HEADER}\n{GOOD}\n".encode() + tail)
    except FeedUnreadable:
        return
    assert feed.rows == len(feed.stock) + feed.broken + feed.skipped
    assert feed.broken == len({error.row for error in feed.errors})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["sku", "name", "category", "@type", "brand", "weight", "mileageFromOdometer",
                                        "additionalProperty", "offers", "vehicleEngine"]), _JSON))  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_arbitrary_things_become_items_the_wire_can_carry(tmp_path: Path, thing: dict[str, object]) -> None:
    whole = {"sku": "1", "name": "n", "category": "cups", "offers": {"price": 9, "priceCurrency": "EUR"}}
    feed = read(tmp_path, json.dumps([whole | thing]), "stock.json") if "offers" not in thing else None
    for stock in feed.stock if feed else ():
        assert decode(encode(stock.item)) == stock.item
    with contextlib.suppress(FeedUnreadable):
        read(tmp_path, json.dumps([thing]), "stock.json")


@given(st.text(max_size=60))
def test_clean_text_is_clean_already(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert not any(ord(char) < 32 or 0xD800 <= ord(char) < 0xE000 or 0x202A <= ord(char) <= 0x202E for char in once)
