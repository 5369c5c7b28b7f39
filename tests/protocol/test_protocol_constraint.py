"""Constraints: three values, each with its reason, and never an exception."""

import itertools
from decimal import Context, Decimal, getcontext, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_protocol.constraint import (
    MAX_FOUND,
    Constraint,
    Fit,
    Verdict,
    evaluate,
    judge,
    read_constraints,
)
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_CONSTRAINTS
from intentcast_protocol.quantity import convert

MET, UNMET, UNKNOWN = Verdict.MET, Verdict.UNMET, Verdict.UNKNOWN


def finding(found: Any, op: str, value: Any = None, **more: Any) -> tuple[Verdict, str]:
    """Judge one constraint on ``itemOffered.x``; Ellipsis means that nothing is stated."""
    (one,) = read_constraints([{"path": "itemOffered.x", "op": op, "value": value, **more}])
    result = evaluate(one, {"itemOffered": {} if found is ... else {"x": found}})
    return result.verdict, result.why


def verdict(found: Any, op: str, value: Any = None, **more: Any) -> Verdict:
    """Return the verdict alone."""
    return finding(found, op, value, **more)[0]


SUBJECT = {
    "itemOffered": {
        "@type": "Car",
        "manufacturer": {"name": "VW", "address": {"addressCountry": "DE"}},
        "colour": ["Red", None, {"name": "Blue"}],
        "engine": [{"power": {"value": "96", "unitCode": "KWT"}}, {"power": [{"value": "55", "unitCode": "KWT"}]}],
        "nothing": None, "empty": [], "nils": [None],
    },
    "priceSpecification": {"price": "17900.00", "priceCurrency": "EUR"},
}  # fmt: skip
GOOD = {"path": "itemOffered.x", "op": "eq", "value": "y"}
NAMES = st.sampled_from(["x", "value", "unitCode", "price", "priceCurrency", "name", "y"])
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4) | st.binary(max_size=4)
    | st.sampled_from(["5", "KMT", "EUR", "17.00", "\u202e"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


class TestBoundsAndUnits:
    """PROTOCOL §6.3"""

    @pytest.mark.parametrize(("found", "op", "value", "expected"), [
        ("5", "le", "5", MET), ("5.000000001", "le", "5", UNMET), ("4.999999999", "le", "5", MET),
        ("5", "ge", "5", MET), ("4.999999999", "ge", "5", UNMET), ("5.0", "ge", "5", MET),
        ("5", "between", ["5", "7"], MET), ("7", "between", ["5", "7"], MET), ("6", "between", ["5", "7"], MET),
        ("4.9", "between", ["5", "7"], UNMET), ("7.1", "between", ["5", "7"], UNMET), ("5", "between", ["5", "5"], MET),
        ("-3", "le", "-3", MET), ("-2.9", "le", "-3", UNMET), ("10", "ge", "9", MET), ("0", "le", "0", MET),
        ("5", "eq", "5.00", MET), ("5.1", "eq", "5", UNMET), ("5", "in", ["4", "5.0"], MET),
        ("6", "in", ["4", "5"], UNMET),
    ])  # fmt: skip
    def test_bounds_are_inclusive_and_exact(self, found: str, op: str, value: Any, expected: Verdict) -> None:
        assert verdict(found, op, value) is expected

    @pytest.mark.parametrize(("found", "unit", "op", "value", "wanted", "expected"), [
        ("90000", "KMT", "le", "90000", "KMT", MET),
        ("55923", "SMI", "le", "90000", "KMT", MET),  # 89,999.3 km
        ("55924", "SMI", "le", "90000", "KMT", UNMET),  # 90,000.9 km
        ("1", "SMI", "eq", "1609.344", "MTR", MET),
        ("144840.96", "KMT", "eq", "90000", "SMI", MET),
        ("100", "KWT", "ge", "134", "BHP", MET),  # 134.10 bhp
        ("100", "KWT", "ge", "135", "BHP", UNMET),
        ("136", "HJ", "ge", "100", "KWT", MET),  # 100.03 kW
        ("135", "HJ", "ge", "100", "KWT", UNMET),
        ("1.5", "LTR", "eq", "1500", "CMQ", MET),
        ("2", "ANN", "eq", "24", "MON", MET),
        ("24", "MON", "eq", "2", "ANN", MET),
        ("12", "INH", "eq", "1", "FOT", MET),
        ("2", "WEE", "eq", "14", "DAY", MET),
        ("25000", "4L", "ge", "25", "E34", MET),
        ("3.3", "KWH", "eq", "0.0033", "MWH", MET),
        ("30", "DAY", "le", "1", "MON", UNKNOWN),  # months are not days
        ("90000", "KMT", "le", "90000", "KGM", UNKNOWN),
        ("90000", "KMT", "le", "90000", None, UNKNOWN),
        ("90000", None, "le", "90000", "KMT", UNKNOWN),
        ("5", "XYZ", "le", "5", "XYZ", MET),  # an unknown unit compares with itself
        ("5", "XYZ", "le", "5", "KMT", UNKNOWN),
        ("5", "kmt", "le", "5", "KMT", UNKNOWN),
        ("5", 7, "le", "5", None, UNKNOWN),
        ("5", ["KMT"], "le", "5", "KMT", UNKNOWN),
        ("5", "KMT", "eq", "5", "KGM", UNKNOWN),
        ("5", None, "eq", "5", "KMT", UNKNOWN),
        ("5", None, "in", ["5", "6"], "KMT", UNKNOWN),
        ("5", "KMT", "eq", "5", None, UNKNOWN),
    ])  # fmt: skip
    def test_units_of_one_dimension_convert_and_others_are_unknown(
        self, found: str, unit: Any, op: str, value: Any, wanted: str | None, expected: Verdict
    ) -> None:
        stated = {"value": found} | ({"unitCode": unit} if unit is not None else {})
        more = {"unitCode": wanted} if wanted else {}
        assert verdict(stated, op, value, **more) is expected
        if unit is None:
            assert verdict(found, op, value, **more) is expected

    @given(
        st.decimals("0.001", "99999999", places=3, allow_nan=False, allow_infinity=False),
        st.sampled_from(["KMT", "SMI", "MTR", "FOT", "INH", "CMT", "MMT"]),
        st.sampled_from(["KMT", "SMI", "MTR", "FOT", "INH", "CMT", "MMT"]),
    )
    @settings(max_examples=100, deadline=None)
    def test_conversion_there_and_back_changes_nothing_that_counts(self, value: Decimal, unit: str, to: str) -> None:
        there = convert(value, unit, to)
        assert there is not None
        back = convert(there, to, unit)
        assert back is not None
        assert abs(back - value) <= value * Decimal("1e-26")

    def test_the_embedding_programs_arithmetic_changes_no_verdict(self) -> None:
        with localcontext(Context(prec=3)):
            assert getcontext().prec == 3
            assert verdict({"value": "55924", "unitCode": "SMI"}, "le", "90000", unitCode="KMT") is UNMET
            assert verdict({"value": "144840.96", "unitCode": "KMT"}, "eq", "90000", unitCode="SMI") is MET

    @pytest.mark.parametrize(("found", "op", "value", "currency", "unit", "expected"), [
        ({"price": "10.00", "priceCurrency": "EUR"}, "le", "10", "EUR", None, MET),
        ({"price": "10.01", "priceCurrency": "EUR"}, "le", "10", "EUR", None, UNMET),
        ({"price": "10.00", "priceCurrency": "USD"}, "le", "10", "EUR", None, UNKNOWN),
        ({"price": "10.00", "priceCurrency": "EUR"}, "le", "10", None, None, UNKNOWN),
        ({"price": "10.00", "priceCurrency": "EUR"}, "eq", "10", "USD", None, UNKNOWN),
        ({"price": "10.00"}, "le", "10", "EUR", None, UNKNOWN),
        ({"value": "10"}, "le", "10", "EUR", None, UNKNOWN),
        ("10", "le", "10", "EUR", None, UNKNOWN),
        ("10", "eq", "10", "EUR", None, UNKNOWN),
        ({"price": "10.00", "priceCurrency": "EUR", "unitCode": "MON"}, "le", "10", "EUR", "MON", MET),
        ({"price": "10.00", "priceCurrency": "EUR", "unitCode": "MON"}, "le", "10", "EUR", None, UNKNOWN),
        ({"price": "10.00", "priceCurrency": "EUR", "unitCode": "MON"}, "le", "10", "EUR", "ANN", UNKNOWN),
        ({"price": "10.00", "priceCurrency": "EUR"}, "le", "10", "EUR", "MON", UNKNOWN),
        ({"price": "ten", "priceCurrency": "EUR"}, "le", "10", "EUR", None, UNKNOWN),
        ({"price": 10, "priceCurrency": "EUR"}, "le", "10", "EUR", None, UNKNOWN),
        ({"price": "10.00", "priceCurrency": ["EUR"]}, "le", "10", "EUR", None, UNKNOWN),
    ])  # fmt: skip
    def test_money_compares_in_its_own_currency_only(
        self, found: Any, op: str, value: str, currency: str | None, unit: str | None, expected: Verdict
    ) -> None:
        more = {name: what for name, what in (("priceCurrency", currency), ("unitCode", unit)) if what}
        assert verdict(found, op, value, **more) is expected

    @pytest.mark.parametrize("found", [
        5, -1, True, "five", "5 km", "05", "+5", "5.", ".5", "5e1", "\uff15", "\u0665", "-0", " 5", "1234567890123456",
        "0.1234567890", b"5", {}, {"value": 5}, {"value": None}, {"name": "5"}, [[]], [["5"]], {"value": ["5"]},
    ], ids=repr)  # fmt: skip
    def test_what_is_no_decimal_text_is_unknown_to_a_bound(self, found: Any) -> None:
        for op, value in (("le", "5"), ("ge", "5"), ("between", ["1", "9"])):
            assert verdict(found, op, value) is UNKNOWN


class TestText:
    """PROTOCOL §6.3"""

    @pytest.mark.parametrize(("found", "wanted", "expected"), [
        ("Estate", "estate", MET), ("ESTATE", "eStAtE", MET), ("Estate", "estates", UNMET),
        ("Estate ", "estate", UNMET),
        ("ISTANBUL", "istanbul", MET), ("İstanbul", "istanbul", UNMET), ("ISTANBUL", "ıstanbul", UNMET),
        ("I", "i", MET), ("I", "ı", UNMET), ("İ", "i", UNMET), ("İ", "i̇", UNMET),
        ("STRASSE", "straße", UNMET), ("Straße", "straße", MET), ("STRAẞE", "straße", UNMET), ("ſ", "s", UNMET),
        ("\u212a", "k", UNMET), ("\u212b", "å", UNMET), ("Å", "å", UNMET), ("É", "é", UNMET), ("e\u0301", "é", UNMET),
        ("[", "{", UNMET), ("@", "`", UNMET), ("Z", "z", MET), ("A", "a", MET),
        ({"name": "Volkswagen"}, "volkswagen", MET), ({"name": "Volkswagen", "x": 1}, "audi", UNMET),
        ({"value": "x"}, "x", UNKNOWN), ({}, "x", UNKNOWN), ({"@type": "Brand"}, "x", UNKNOWN),
        ({"name": "Golf", "value": "7"}, "golf", UNKNOWN), ({"name": "VW", "price": "3"}, "vw", UNKNOWN),
        ({"name": None}, "None", UNMET), ({"name": ["VW"]}, "VW", UNMET), (["VW"], "vw", MET), ([["VW"]], "VW", UNMET),
        ([["VW"]], "['VW']", UNMET), (b"VW", "VW", UNMET), (b"VW", "b'VW'", UNMET), (7, "7", MET), (7, "7.0", UNMET),
        (True, "true", MET), (False, "FALSE", MET), (True, "1", UNMET), (None, "None", UNKNOWN), ("", "x", UNMET),
    ])  # fmt: skip
    def test_equality_folds_the_case_of_ascii_only(self, found: Any, wanted: str, expected: Verdict) -> None:
        assert verdict(found, "eq", wanted) is expected
        assert verdict(found, "in", ["no such thing", wanted]) is expected

    @pytest.mark.parametrize(("found", "wanted", "expected"), [
        (True, True, MET), (False, False, MET), (True, False, UNMET), (False, True, UNMET),
        ("true", True, UNKNOWN), (1, True, UNKNOWN), (0, False, UNKNOWN), ({"name": "x"}, True, UNKNOWN),
        (..., True, UNKNOWN),
        (["x", True], True, MET), (["x", False], True, UNMET),
    ])  # fmt: skip
    def test_a_boolean_equals_only_a_boolean(self, found: Any, wanted: bool, expected: Verdict) -> None:
        assert verdict(found, "eq", wanted) is expected

    @pytest.mark.parametrize(("found", "wanted", "expected"), [
        ("2019 VW Golf Estate, tow bar", "golf TOW", MET), ("tow-bar", "tow bar", MET), ("towbar", "tow bar", UNMET),
        ("a golf", "golf golf", MET), ("Golf", "golfer", UNMET), ("x", "!?", UNMET), ("STRASSE", "straße", UNMET),
        ({"name": "Golf Variant"}, "variant", MET), ({"value": "90", "unitCode": "KMT"}, "90 kmt", MET),
        (["VW", "Golf"], "vw golf", UNMET), (["VW", "a Golf, VW"], "vw golf", MET), (7, "7", MET), (..., "x", UNKNOWN),
        (b"golf", "golf", UNMET), ([["golf"]], "golf", UNMET), ("größer als", "größer", MET), ("a_b", "a", UNMET),
    ])  # fmt: skip
    def test_like_wants_every_token(self, found: Any, wanted: str, expected: Verdict) -> None:
        assert verdict(found, "like", wanted, strength="want") is expected

    def test_like_takes_a_boolean_as_its_text(self) -> None:
        assert verdict("is it True?", "like", True, strength="want") is MET
        assert verdict(False, "like", False, strength="want") is MET


class TestPaths:
    """PROTOCOL §6.3"""

    @pytest.mark.parametrize(("path", "op", "value", "more", "expected"), [
        ("itemOffered.manufacturer.name", "eq", "vw", {}, MET),
        ("itemOffered.manufacturer", "eq", "vw", {}, MET),
        ("itemOffered.manufacturer.address.addressCountry", "eq", "DE", {}, MET),
        ("itemOffered.@type", "eq", "car", {}, MET),
        ("itemOffered.colour", "eq", "red", {}, MET),
        ("itemOffered.colour", "eq", "blue", {}, MET),
        ("itemOffered.colour", "eq", "green", {}, UNMET),
        ("itemOffered.colour.name", "eq", "Blue", {}, MET),
        ("itemOffered.engine.power", "ge", "90", {"unitCode": "KWT"}, MET),
        ("itemOffered.engine.power", "le", "60", {"unitCode": "KWT"}, MET),
        ("itemOffered.engine.power", "ge", "100", {"unitCode": "KWT"}, UNMET),
        ("priceSpecification", "le", "18500", {"priceCurrency": "EUR"}, MET),
        ("priceSpecification", "le", "17000", {"priceCurrency": "EUR"}, UNMET),
        ("priceSpecification.price", "le", "18500", {}, MET),
        ("itemOffered.nothing", "eq", "x", {}, UNKNOWN),
        ("itemOffered.empty", "eq", "x", {}, UNKNOWN),
        ("itemOffered.nils", "eq", "x", {}, UNKNOWN),
        ("itemOffered.manufacturer.name.deeper", "eq", "x", {}, UNKNOWN),
        ("itemOffered.Manufacturer", "eq", "VW", {}, UNKNOWN),
        ("elsewhere", "eq", "x", {}, UNKNOWN),
        ("itemOffered.manufacturer", "exists", True, {}, MET),
        ("itemOffered.manufacturer", "exists", None, {}, MET),
        ("itemOffered.manufacturer", "exists", False, {}, UNMET),
        ("itemOffered.nothing", "exists", True, {}, UNMET),
        ("itemOffered.nils", "exists", None, {}, UNMET),
        ("itemOffered.empty", "exists", False, {}, MET),
        ("elsewhere.at.all", "exists", False, {}, MET),
    ])  # fmt: skip
    def test_a_path_leads_through_maps_and_lists(
        self, path: str, op: str, value: Any, more: dict[str, Any], expected: Verdict
    ) -> None:
        (one,) = read_constraints([{"path": path, "op": op, "value": value, **more}])
        assert evaluate(one, SUBJECT).verdict is expected

    def test_a_list_is_met_if_any_is_then_unmet_if_any_is_then_unknown(self) -> None:
        values = {MET: {"value": "1", "unitCode": "KMT"}, UNMET: {"value": "9", "unitCode": "KMT"}, UNKNOWN: "?"}
        for size in (1, 2, 3):
            for chosen in itertools.product(values, repeat=size):
                expected = MET if MET in chosen else UNMET if UNMET in chosen else UNKNOWN
                assert verdict([values[one] for one in chosen], "le", "5", unitCode="KMT") is expected

    def test_only_so_many_values_are_looked_at(self) -> None:
        assert verdict(["no"] * (MAX_FOUND - 1) + ["yes"], "eq", "yes") is MET
        assert verdict(["no"] * MAX_FOUND + ["yes"], "eq", "yes") is UNMET


class TestReasons:
    """Every verdict says why, in words."""

    @pytest.mark.parametrize(("found", "op", "value", "more", "why"), [
        ("Red", "eq", "red", {}, "x Red is red"),
        ("Red", "eq", "blue", {}, "x Red is not blue"),
        ("Red", "in", ["blue", "red"], {}, "x Red is one of blue, red"),
        (..., "eq", "red", {}, "x is not stated"),
        ("Red", "exists", None, {}, "x is stated"),
        (..., "exists", False, {}, "x is not stated"),
    ])  # fmt: skip
    def test_a_reason_names_what_was_found_and_what_was_asked(
        self, found: Any, op: str, value: Any, more: dict[str, Any], why: str
    ) -> None:
        assert finding(found, op, value, **more)[1] == why

    def test_the_reason_of_a_list_is_the_element_that_decided(self) -> None:
        assert "Blue" in finding(["Red", "Blue"], "eq", "blue")[1]
        assert "Red" in finding(["Red", "Blue"], "eq", "green")[1]

    def test_a_reason_tells_unknown_from_unmet(self) -> None:
        unknown = finding({"value": "5", "unitCode": "KGM"}, "le", "5", unitCode="KMT")[1]
        unmet = finding({"value": "6", "unitCode": "KMT"}, "le", "5", unitCode="KMT")[1]
        assert "cannot be compared" in unknown
        assert "is not" in unmet
        assert "cannot be compared" not in unmet

    @pytest.mark.parametrize("mark", ["\x1b", "\x07", "\x00", "\x9b", "\u202e", "\u2066", "\u200f", "\n", "\r"],
                             ids=lambda mark: f"U+{ord(mark):04X}")  # fmt: skip
    def test_a_reason_cannot_move_the_cursor_or_reorder_what_is_read(self, mark: str) -> None:
        """What an offer states is the vendor's word and may be hostile."""
        assert mark not in finding(f"a{mark}b", "eq", "x")[1]
        assert mark not in finding({"value": "5", "unitCode": f"K{mark}"}, "le", "5")[1]

    def test_a_long_value_is_cut(self) -> None:
        assert len(finding("x" * 10_000, "eq", "y")[1]) < 200


class TestJudgement:
    """PROTOCOL §6.3"""

    ALL = tuple(itertools.product(("must", "want"), ("ask", "reject", "allow"), Verdict))

    def one(self, strength: str, on_unknown: str, outcome: Verdict) -> dict[str, Any]:
        """Return a constraint that has this outcome on ``{"x": "5"}``."""
        path = "y" if outcome is UNKNOWN else "x"
        return {
            "path": path,
            "op": "eq",
            "value": "5" if outcome is MET else "6",
            "strength": strength,
            "onUnknown": on_unknown,
        }

    @pytest.mark.parametrize("size", [0, 1, 2])
    def test_the_must_haves_decide_and_the_wants_never_do(self, size: int) -> None:
        for chosen in itertools.product(self.ALL, repeat=size):
            judged = judge(read_constraints([self.one(*each) for each in chosen]), {"x": "5"})
            musts = [(on_unknown, outcome) for strength, on_unknown, outcome in chosen if strength == "must"]
            if any(outcome is UNMET or (outcome is UNKNOWN and rule == "reject") for rule, outcome in musts):
                expected = Fit.FAILS
            elif any(outcome is UNKNOWN and rule == "ask" for rule, outcome in musts):
                expected = Fit.ASKS
            else:
                expected = Fit.FITS
            assert judged.fit is expected
            assert judged.wants_met == sum(s == "want" and o is MET for s, _, o in chosen)
            assert [found.verdict for found in judged.findings] == [outcome for _, _, outcome in chosen]

    def test_the_line_of_reasons_holds_what_decides(self) -> None:
        subject = {"a": "1", "b": "2"}
        good = {"path": "a", "op": "eq", "value": "1"}
        bad = {"path": "b", "op": "eq", "value": "3"}
        want = {"path": "c", "op": "eq", "value": "4", "strength": "want"}
        assert judge(read_constraints([good, want]), subject).why == "a 1 is 1"
        assert judge(read_constraints([good, bad, want]), subject).why == "b 2 is not 3"
        assert judge(read_constraints([want]), subject).why == "no must-haves"

    @given(
        JSONISH,
        st.sampled_from(["eq", "in", "ge", "le", "between", "exists", "like"]),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["x", "x.y", "x.x.value"]),
    )
    @settings(max_examples=400, deadline=None)
    def test_judging_never_fails(self, found: Any, op: str, unit: bool, currency: bool, path: str) -> None:
        value: Any = {"in": ["5", "KMT", "17"], "between": ["1", "9"], "exists": True}.get(op, "5")
        one = Constraint(path, op, value, "KMT" if unit else None, "EUR" if currency else None)  # type: ignore[arg-type]
        result = evaluate(one, {"x": found})
        assert result.verdict in Verdict
        assert result.why
        assert not any(mark in result.why for mark in "\u202e\n\x00")


class TestReading:
    """PROTOCOL §6.3"""

    @pytest.mark.parametrize("change", [
        {"path": ""}, {"path": "a..b"}, {"path": ".a"}, {"path": "a."}, {"path": "a b"}, {"path": "1a"},
        {"path": "a-b"}, {"path": "é"}, {"path": "a" * 65}, {"path": ".".join("a" * 9)}, {"path": "a\n"},
        {"path": None},
        {"path": b"a"}, {"path": "@"}, {"path": "a[0]"}, {"path": "__class__"}, {"path": "a.@@b"},
        {"op": "gt"}, {"op": ""}, {"op": None}, {"op": ["eq"]}, {"op": {}}, {"op": "EQ"},
        {"strength": "may"}, {"strength": None}, {"strength": []}, {"onUnknown": "guess"}, {"onUnknown": True},
        {"value": None}, {"value": 5}, {"value": ["y"]}, {"value": {}}, {"value": b"y"}, {"value": ""},
        {"value": "y" * 201}, {"value": "a\x1bb"}, {"value": "a\u202eb"},
        {"op": "in", "value": []}, {"op": "in", "value": "y"}, {"op": "in", "value": [1]},
        {"op": "in", "value": [True]},
        {"op": "in", "value": ["y"] * 65}, {"op": "in", "value": ["y", "\x00"]},
        {"op": "in", "value": {"y": 1}},
        {"op": "ge", "value": 5}, {"op": "ge", "value": "five"}, {"op": "le", "value": "-0"},
        {"op": "le", "value": None},
        {"op": "le", "value": "1e5"}, {"op": "le", "value": ["5"]}, {"op": "le", "value": "1" * 16},
        {"op": "between", "value": "5"}, {"op": "between", "value": ["5"]}, {"op": "between", "value": ["5", "4"]},
        {"op": "between", "value": ["5", "6", "7"]}, {"op": "between", "value": ["5", 6]},
        {"op": "between", "value": {}},
        {"op": "exists", "value": "yes"}, {"op": "exists", "value": 1}, {"op": "exists", "value": []},
        {"op": "like", "value": "y"}, {"op": "like", "value": "y", "strength": "must"},
        {"unitCode": "km"}, {"unitCode": ""}, {"unitCode": "KMTX"}, {"unitCode": 5}, {"unitCode": ["KMT"]},
        {"priceCurrency": "eur"}, {"priceCurrency": "EURO"}, {"priceCurrency": 978}, {"priceCurrency": []},
        {"priceCurrency": "€"}, {"weight": 5}, {"reserve": "17000.00"}, {"": 1},
    ], ids=repr)  # fmt: skip
    def test_ill_formed_constraint_is_refused_by_number(self, change: dict[str, Any]) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_constraints([GOOD, GOOD | change])
        assert refused.value.code == "invalid.demand.malformed"

    def test_the_refusal_names_the_constraint(self) -> None:
        with pytest.raises(InvalidMessage, match="constraint 2"):
            read_constraints([GOOD, GOOD | {"op": "gt"}])

    @pytest.mark.parametrize("value", [None, "x", {}, [None], [[]], ["x"], [GOOD] * (MAX_CONSTRAINTS + 1)],
                             ids=lambda value: repr(value)[:20])  # fmt: skip
    def test_what_is_no_list_of_maps_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidMessage):
            read_constraints(value)

    def test_the_most_constraints_are_read(self) -> None:
        assert len(read_constraints([GOOD] * MAX_CONSTRAINTS)) == MAX_CONSTRAINTS
        assert read_constraints([]) == ()

    @pytest.mark.parametrize("item", [
        GOOD, GOOD | {"strength": "want", "onUnknown": "allow"}, {"path": "a", "op": "exists"},
        {"path": "@type.a.b.c.d.e.f.g", "op": "in", "value": ["a", "b"]}, GOOD | {"value": False},
        {"path": "a", "op": "between", "value": ["-5", "5.5"], "unitCode": "4L"}, GOOD | {"value": "two\nlines"},
        {"path": "a", "op": "le", "value": "5.00", "priceCurrency": "EUR", "unitCode": "MON", "onUnknown": "reject"},
        {"path": "a", "op": "like", "value": "tow bar", "strength": "want"},
    ], ids=repr)  # fmt: skip
    def test_what_was_read_is_written_the_same_with_its_defaults(self, item: dict[str, Any]) -> None:
        (one,) = read_constraints([item])
        assert one.wire() == {"strength": "must", "onUnknown": "ask"} | item
        assert read_constraints([one.wire()]) == (one,)
