"""Numbers, money, prices and text of bodies: exact, in one form each, and free of what a reader cannot see."""

import itertools
from decimal import Context, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_COMPONENTS, MAX_RELAYS, MAX_TEXT
from intentcast_protocol.quantity import add, convert, minor_digits, money, parse_decimal, parse_money
from intentcast_protocol.testing import price_body
from intentcast_protocol.vocabulary import (
    KINDS,
    read_bytes,
    read_domain,
    read_item,
    read_price,
    read_relays,
    read_text,
    read_unit,
    visible,
    write_price,
)

CODE = "invalid.offer.malformed"
UNSEEN = [*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F,
          *range(0x202A, 0x202F), *range(0x2066, 0x206A)]  # fmt: skip
AMOUNTS = st.integers(0, 10**14).map(lambda cents: Decimal(cents).scaleb(-2))


class TestDecimals:
    """PROTOCOL §3.3"""

    @pytest.mark.parametrize("text", ["0", "1", "10", "-1", "0.5", "-0.5", "999999999999999.999999999", "0.000000001",
                                      "100.00", "-999999999999999", "0.0", "5.0"])  # fmt: skip
    def test_a_decimal_text_reads_as_its_number(self, text: str) -> None:
        assert parse_decimal(text) == Decimal(text)
        assert str(parse_decimal(text)).upper().replace("E-9", "") in (text, "1")

    @pytest.mark.parametrize("text", [
        "", "-", ".", "00", "01", "-01", "1.", ".1", "-.1", "+1", "1e3", "1E3", "1_000", "1,5", "1 000", " 1", "1 ",
        "1\n",
        "-0", "-0.0", "-0.000000000", "0x1", "NaN", "Infinity", "1000000000000000", "0.0000000001", "1.1.1", "--1",
        "\u0661", "\uff11", "\u00b2", "1\u0660", "1" * 27, "1" * 100_000, 1, 1.0, None, True, b"1", ["1"], Decimal(1),
    ], ids=lambda text: repr(text)[:20])  # fmt: skip
    def test_everything_else_is_no_decimal(self, text: Any) -> None:
        with pytest.raises(ValueError):
            parse_decimal(text)

    @given(st.decimals(-(10**14), 10**14, places=9, allow_nan=False, allow_infinity=False))
    @settings(max_examples=80, deadline=None)
    def test_every_plain_form_in_range_reads_back(self, value: Decimal) -> None:
        text = format(value, "f")
        if not (text.startswith("-") and value == 0):
            assert parse_decimal(text) == value


class TestMoney:
    """PROTOCOL §3.3"""

    @pytest.mark.parametrize(("text", "currency", "good"), [
        ("17900.00", "EUR", True), ("17900", "EUR", False), ("17900.0", "EUR", False), ("17900.000", "EUR", False),
        ("2500000", "JPY", True), ("2500000.0", "JPY", False), ("2500000.00", "JPY", False),
        ("1.500", "KWD", True), ("1.50", "KWD", False), ("1.5000", "KWD", False), ("3", "ISK", True),
        ("-5.00", "USD", True),
        ("1.00", "XYZ", True), ("1.00", "eur", False), ("1.00", "EURO", False), ("1.00", "EU", False),
        ("1.00", "", False),
        ("1.00", None, False), ("1.00", 978, False), ("1.00", ["EUR"], False), (None, "EUR", False), (1, "EUR", False),
        ("1.00", "E\u00dcR", False), ("1.00", "EUR\n", False),
    ])  # fmt: skip
    def test_an_amount_has_exactly_its_currencys_digits(self, text: Any, currency: Any, good: bool) -> None:
        if good:
            assert parse_money(text, currency) == Decimal(text)
        else:
            with pytest.raises(ValueError):
                parse_money(text, currency)

    @pytest.mark.parametrize(("value", "currency", "text"), [
        ("0.005", "EUR", "0.01"), ("0.004", "EUR", "0.00"), ("-0.004", "EUR", "0.00"), ("-0.005", "EUR", "-0.01"),
        ("1.115", "EUR", "1.12"), ("1.125", "EUR", "1.13"), ("2.5", "JPY", "3"), ("3.5", "JPY", "4"),
        ("1", "KWD", "1.000"),
        ("1E3", "EUR", "1000.00"), ("999999999999999", "EUR", "999999999999999.00"),
    ])  # fmt: skip
    def test_money_is_written_rounded_half_up(self, value: str, currency: str, text: str) -> None:
        assert money(Decimal(value), currency) == text
        assert parse_money(text, currency) == Decimal(text)

    @pytest.mark.parametrize("value", ["1E15", "1E25", "1E26", "1E40", "-1E15", "NaN", "Infinity", "-Infinity", "sNaN"])
    def test_an_amount_that_cannot_be_written_is_a_value_error(self, value: str) -> None:
        with pytest.raises(ValueError):
            money(Decimal(value), "EUR")

    @given(AMOUNTS, st.sampled_from(["EUR", "JPY", "KWD", "CHF"]))
    @settings(max_examples=60, deadline=None)
    def test_money_written_reads_as_the_nearest_amount(self, amount: Decimal, currency: str) -> None:
        back = parse_money(money(amount, currency), currency)
        assert abs(back - amount) <= Decimal("0.5").scaleb(-minor_digits(currency))

    def test_adding_is_exact_whatever_the_embedding_programs_arithmetic(self) -> None:
        with localcontext(Context(prec=3)):
            assert add([Decimal("999999999999999.99"), Decimal("0.01")]) == Decimal("1000000000000000.00")
            assert add([]) == 0


class TestUnits:
    """PROTOCOL §6.3"""

    def test_a_unit_equals_itself_even_if_unknown(self) -> None:
        assert convert(Decimal(3), "ZZZ", "ZZZ") == 3
        assert convert(Decimal(3), None, None) == 3

    def test_units_of_two_dimensions_never_convert(self) -> None:
        one_each = ["KMT", "KWT", "KGM", "LTR", "MTK", "DAY", "MON", "KWH", "E34", "C62", "P1", None, "ZZZ"]
        for unit, to in itertools.permutations(one_each, 2):
            assert convert(Decimal(1), unit, to) is None

    @pytest.mark.parametrize(("unit", "to", "factor"), [
        ("SMI", "KMT", "1.609344"), ("FOT", "INH", "12"), ("MTR", "CMT", "100"), ("MTR", "MMT", "1000"),
        ("KWT", "WTT", "1000"), ("BHP", "WTT", "745.69987158227022"), ("HJ", "WTT", "735.49875"),
        ("LBR", "GRM", "453.59237"),
        ("TNE", "KGM", "1000"), ("LTR", "MLT", "1000"), ("MLT", "CMQ", "1"), ("MTQ", "LTR", "1000"),
        ("HAR", "MTK", "10000"),
        ("FTK", "MTK", "0.09290304"), ("WEE", "HUR", "168"), ("DAY", "MIN", "1440"), ("MIN", "SEC", "60"),
        ("ANN", "MON", "12"), ("MWH", "KWH", "1000"), ("E35", "E34", "1000"), ("E34", "4L", "1000"),
        ("H87", "C62", "1"),
    ])  # fmt: skip
    def test_conversions_are_those_of_the_standards(self, unit: str, to: str, factor: str) -> None:
        assert convert(Decimal(1), unit, to) == Decimal(factor)
        assert convert(Decimal(factor), to, unit) == 1


def price(total: str, *parts: tuple[str, str], currency: str = "EUR", **more: Any) -> dict[str, Any]:
    """Return a price of these parts."""
    listed = [{"kind": kind, "name": kind.title(), "price": amount} for kind, amount in parts]
    return {"price": total, "priceCurrency": currency, "priceComponent": listed, **more}


class TestPrices:
    """PROTOCOL §6.4"""

    def test_a_price_is_the_sum_of_its_parts(self) -> None:
        value = price("17900.00", ("price", "17950.00"), ("discount", "-300.00"), ("fee", "250.00"), unitCode="MON")
        read = read_price(value, CODE)
        assert (read.total, read.currency, read.unit) == (Decimal("17900.00"), "EUR", "MON")
        assert [part.amount for part in read.components] == [17950, -300, 250]

    @pytest.mark.parametrize("total", ["17900.01", "17899.99", "0.00", "-17900.00", "17950.00", "18500.00"])
    def test_a_total_that_does_not_add_up_is_refused(self, total: str) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_price(price(total, ("price", "17950.00"), ("discount", "-50.00")), CODE)
        assert refused.value.code == "invalid.offer.total"

    def test_a_total_that_adds_up_below_zero_is_refused(self) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_price(price("-1.00", ("price", "1.00"), ("discount", "-2.00")), CODE)
        assert refused.value.code == "invalid.offer.total"
        assert read_price(price("0.00", ("price", "2.00"), ("discount", "-2.00")), CODE).total == 0

    @given(st.lists(AMOUNTS, min_size=1, max_size=8), st.integers(-3, 3))
    @settings(max_examples=60, deadline=None)
    def test_a_cent_more_or_less_is_refused(self, amounts: list[Decimal], cents: int) -> None:
        parts = [("fee", format(amount, ".2f")) for amount in amounts]
        total = sum(amounts) + Decimal(cents).scaleb(-2)
        value = price(format(total, ".2f"), *parts)
        if cents == 0:
            assert read_price(value, CODE).total == total
        else:
            with pytest.raises(InvalidMessage):
                read_price(value, CODE)

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "discount"])
    def test_only_a_discount_is_negative(self, kind: str) -> None:
        assert read_price(price("5.00", ("price", "5.00"), (kind, "0.00")), CODE).total == 5
        with pytest.raises(InvalidMessage) as refused:
            read_price(price("4.00", ("price", "5.00"), (kind, "-1.00")), CODE)
        assert refused.value.code == CODE

    def test_a_discount_is_not_positive(self) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_price(price("6.00", ("price", "5.00"), ("discount", "1.00")), CODE)
        assert refused.value.code == CODE
        assert read_price(price("5.00", ("price", "5.00"), ("discount", "0.00")), CODE).total == 5

    @pytest.mark.parametrize(("total", "part", "currency", "good"), [
        ("5.00", "5.00", "EUR", True), ("5", "5", "EUR", False), ("5.0", "5.0", "EUR", False),
        ("5.00", "5.0", "EUR", False),
        ("5.0", "5.00", "EUR", False), ("5", "5", "JPY", True), ("5.00", "5.00", "JPY", False),
        ("5.000", "5.000", "KWD", True),
        ("5.00", "5.00", "KWD", False), ("5.00", "5.00", "euro", False), ("5.00", "5.00", None, False),
        ("-0.00", "0.00", "EUR", False), ("05.00", "5.00", "EUR", False),
    ])  # fmt: skip
    def test_amounts_with_other_digits_are_refused(self, total: str, part: str, currency: Any, good: bool) -> None:
        value = price(total, ("price", part), currency=currency)
        if good:
            assert read_price(value, CODE).total == 5
        else:
            with pytest.raises(InvalidMessage) as refused:
                read_price(value, CODE)
            assert refused.value.code == CODE

    @pytest.mark.parametrize("change", [
        {"price": None}, {"price": 17900}, {"priceCurrency": 1}, {"priceComponent": None}, {"priceComponent": []},
        {"priceComponent": {}}, {"priceComponent": ["x"]}, {"priceComponent": [None]}, {"priceComponent": [{}]},
        {"priceComponent": [{"kind": "price", "name": "x"}]},
        {"priceComponent": [{"kind": "price", "price": "17900.00"}]},
        {"priceComponent": [{"kind": "gift", "name": "x", "price": "17900.00"}]},
        {"priceComponent": [{"kind": ["price"], "name": "x", "price": "17900.00"}]},
        {"priceComponent": [{"kind": "price", "name": "", "price": "17900.00"}]},
        {"priceComponent": [{"kind": "price", "name": "x" * 101, "price": "17900.00"}]},
        {"priceComponent": [{"kind": "price", "name": "a\u202eb", "price": "17900.00"}]},
        {"priceComponent": [{"kind": "price", "name": 5, "price": "17900.00"}]},
        {"unitCode": "month"}, {"unitCode": 5}, {"unitCode": ""},
    ], ids=repr)  # fmt: skip
    def test_ill_formed_price_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_price(price_body() | change, CODE)
        assert refused.value.code == CODE

    @pytest.mark.parametrize("value", [None, "17900.00", 17900, [], b""])
    def test_what_is_no_map_is_no_price(self, value: Any) -> None:
        with pytest.raises(InvalidMessage):
            read_price(value, CODE)

    def test_the_most_parts_are_read_and_one_more_is_not(self) -> None:
        most = price(f"{MAX_COMPONENTS}.00", *[("fee", "1.00")] * MAX_COMPONENTS)
        assert len(read_price(most, CODE).components) == MAX_COMPONENTS
        with pytest.raises(InvalidMessage):
            read_price(price(f"{MAX_COMPONENTS + 1}.00", *[("fee", "1.00")] * (MAX_COMPONENTS + 1)), CODE)

    @pytest.mark.parametrize("value", [
        price_body(), price("12", ("price", "12"), currency="JPY"), price("1.500", ("tax", "1.500"), currency="KWD"),
        price("14.99", ("price", "12.60"), ("tax", "2.39"), unitCode="MON"),
    ], ids=lambda value: value["priceCurrency"] + value.get("unitCode", ""))  # fmt: skip
    def test_what_was_read_is_written_the_same(self, value: dict[str, Any]) -> None:
        read = read_price(value, CODE)
        assert read_price(write_price(read), CODE) == read


class TestText:
    """PROTOCOL §6.1"""

    def test_exactly_the_unseen_characters_are_refused(self) -> None:
        for number in range(0x3000):
            text = f"a{chr(number)}b"
            if number in UNSEEN:
                with pytest.raises(InvalidMessage):
                    read_text(text, "name", CODE)
                assert chr(number) not in visible(text)
            else:
                assert read_text(text, "name", CODE) == text

    @pytest.mark.parametrize(
        "value", [None, "", 5, b"x", ["x"], True, "x" * (MAX_TEXT + 1)], ids=lambda v: repr(v)[:12]
    )
    def test_what_is_no_text_of_a_right_length_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidMessage, match="name"):
            read_text(value, "name", CODE)

    def test_length_counts_characters_not_bytes(self) -> None:
        assert len(read_text("\U0001f600" * MAX_TEXT, "name", CODE)) == MAX_TEXT
        assert read_text("ab", "name", CODE, 2) == "ab"
        with pytest.raises(InvalidMessage):
            read_text("abc", "name", CODE, 2)

    def test_visible_text_is_one_line(self) -> None:
        assert visible("a\nb\x1b[2J\u202ec") == "a b\ufffd[2J\ufffdc"


class TestFields:
    """PROTOCOL §6.1"""

    @pytest.mark.parametrize(("value", "good"), [
        ("a.example", True), ("a-b.c1.example", True), ("xn--bcher-kva.example", True), ("a" * 63 + ".example", True),
        ("1.2.example", True), ("example", False), ("A.example", False), ("a..example", False), (".example", False),
        ("a.example.", False), ("-a.example", False), ("a-.example", False), ("a" * 64 + ".example", False),
        ("127.0.0.1", False), ("a.example:80", False), ("a.example/x", False), ("a b.example", False),
        ("b\u00fccher.example", False),
        ("a.example\n", False), ("a." * 126 + "example", False), (None, False), (5, False), (b"a.example", False),
        ("a.1e", False),
    ])  # fmt: skip
    def test_a_domain_is_a_lower_case_host_name(self, value: Any, good: bool) -> None:
        if good:
            assert read_domain(value, CODE) == value
        else:
            with pytest.raises(InvalidMessage):
                read_domain(value, CODE)

    @pytest.mark.parametrize("value", [
        [], None, "wss://a.example", ["wss://a.example"] * 2, [f"wss://a{at}.example" for at in range(MAX_RELAYS + 1)],
        ["http://a.example"], ["wss://A.example"], ["wss://"], ["wss://a.example/x?y"], ["wss://a.example/#x"],
        ["wss://user@a.example"], ["wss://a.example\n"], ["wss://a.example/" + "x" * 101], [5], [None],
        [["wss://a.example"]],
        [b"wss://a.example"], ["wss://" + "a" * 254], ["wss://b\u00fccher.example"], [{}],
        ["wss://a.example", {"a": []}],
    ], ids=lambda value: repr(value)[:40])  # fmt: skip
    def test_ill_formed_relays_are_refused(self, value: Any) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_relays(value, CODE)
        assert refused.value.code == CODE

    def test_relays_keep_their_order(self) -> None:
        listed = ["wss://b.example/cast", "ws://127.0.0.1:7447", "ws://[::1]:7447/", "wss://a.example"]
        assert read_relays(listed, CODE) == tuple(listed)
        assert len(read_relays([f"wss://a{at}.example" for at in range(MAX_RELAYS)], CODE)) == MAX_RELAYS

    @pytest.mark.parametrize("category", [
        None, "", "/", "a/", "/a", "a//b", "A", "a b", "a_b", "\u00e9", "a\n", "a" * 65, "/".join("a" * 9), 5,
        ["a"], b"a",
    ], ids=repr)  # fmt: skip
    def test_ill_formed_category_is_refused(self, category: Any) -> None:
        with pytest.raises(InvalidMessage):
            read_item({"category": category}, CODE)

    @pytest.mark.parametrize("item", [
        None, [], "x", {}, {"name": "x"}, {"category": "a", "name": ""}, {"category": "a", "name": 5},
        {"category": "a", "name": "a\x1bb"}, {"category": "a", "name": "x" * 201},
    ], ids=lambda item: repr(item)[:40])  # fmt: skip
    def test_ill_formed_item_is_refused(self, item: Any) -> None:
        with pytest.raises(InvalidMessage):
            read_item(item, CODE)

    def test_other_properties_of_an_item_are_kept(self) -> None:
        item = {"category": "/".join(["a" * 64] * 8), "name": "x", "anything": [1, {"b": b""}]}
        assert read_item(item, CODE) == item

    @pytest.mark.parametrize(("value", "good"), [
        (None, True), ("KMT", True), ("4L", True), ("P1", True), ("K", False), ("KMTX", False), ("km", False),
        ("", False),
        (5, False), ("K\n", False), ("K\u00c4", False),
    ])  # fmt: skip
    def test_a_unit_is_two_or_three_capitals_or_digits(self, value: Any, good: bool) -> None:
        if good:
            assert read_unit(value, "unitCode", CODE) == value
        else:
            with pytest.raises(InvalidMessage):
                read_unit(value, "unitCode", CODE)

    @pytest.mark.parametrize("value", [None, "x" * 32, b"", b"x" * 31, b"x" * 33, ["x"]], ids=lambda v: repr(v)[:12])
    def test_a_key_is_thirty_two_bytes(self, value: Any) -> None:
        assert read_bytes(b"x" * 32, "key", CODE) == b"x" * 32
        with pytest.raises(InvalidMessage, match="key"):
            read_bytes(value, "key", CODE)
