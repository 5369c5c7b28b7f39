"""Facts said in an answer: they count where nothing is stated, and never against what is signed. PROTOCOL §8.3"""

from typing import Any

import pytest
from intentcast_protocol.constraint import Fit, Verdict
from intentcast_protocol.demand import Demand
from intentcast_protocol.fact import Answer, Fact, read_answer, read_fact, stated, told, waive
from intentcast_protocol.testing import CARS, make_demand, offer_body

KM = "itemOffered.mileageFromOdometer"


def demand(**changes: Any) -> Demand:
    return make_demand(**changes)[1]


def silent() -> dict[str, Any]:
    """Return an offer that does not state its mileage."""
    return offer_body(b"d" * 32, 9, itemOffered={"category": CARS, "color": ["red"], "brand": {"name": "VW"}})


@pytest.mark.parametrize(("value", "fit"), [("64044", Fit.FITS), ("90001", Fit.FAILS)])
def test_a_fact_makes_an_unknown_must_have_met_or_unmet(value: str, fit: Fit) -> None:
    judgement = demand().judge(silent(), stated([Fact(KM, value, "KMT")]))
    assert demand().judge(silent()).fit is Fit.ASKS
    assert judgement.fit is fit
    assert "by an answer" in judgement.why


def test_a_fact_in_another_unit_is_converted_or_stays_unknown() -> None:
    assert demand().judge(silent(), stated([Fact(KM, "40000", "SMI")])).fit is Fit.FITS
    assert demand().judge(silent(), stated([Fact(KM, "40000")])).fit is Fit.ASKS


def test_of_two_facts_the_later_counts() -> None:
    facts = [Fact(KM, "64044", "KMT"), Fact(KM, "99999", "KMT")]
    assert demand().judge(silent(), stated(facts)).fit is Fit.FAILS


@pytest.mark.parametrize("path", [KM, f"{KM}.value", f"{KM}.unitCode", "itemOffered", f"{KM}.name"])
def test_a_fact_never_counts_against_what_is_stated(path: str) -> None:
    body = offer_body(b"d" * 32, 9)
    body["itemOffered"]["mileageFromOdometer"]["value"] = "90001"
    assert demand().judge(body, stated([Fact(path, "10")])).fit is Fit.FAILS


@pytest.mark.parametrize(("path", "wanted"), [("itemOffered.brand", "Opel"), ("itemOffered.color", "blue")])
@pytest.mark.parametrize("longer", [".name", ".value", ".price"])
def test_a_fact_on_a_longer_path_changes_nothing(path: str, wanted: str, longer: str) -> None:
    wish = demand(constraints=[{"path": path, "op": "eq", "value": wanted}])
    found = wish.judge(silent(), stated([Fact(path + longer, wanted), Fact(path, wanted)]))
    assert found.findings[-1].verdict is Verdict.UNMET


def test_the_budget_is_judged_by_the_offer_alone() -> None:
    body = silent() | {"priceSpecification": offer_body(b"d" * 32, 9)["priceSpecification"] | {"price": "99999.00"}}
    assert demand().judge(body, stated([Fact("priceSpecification", "1.00", None, "EUR")])).fit is Fit.FAILS


def test_what_the_person_said_fills_the_demand_and_changes_nothing_of_it() -> None:
    said = [
        Fact("itemOffered.numberOfRooms", "4"), Fact("itemOffered.category", "x"), Fact("name", "x"),
        Fact("itemOffered.address.floor", "2", "C62"), Fact("itemOffered.category.name", "x"), Fact("itemOffered", "x"),
        Fact("itemOffered.price", "9.00", None, "EUR"),
    ]  # fmt: skip
    before = demand()
    after = told(before, said)
    assert after.item == before.item | {
        "numberOfRooms": "4", "address": {"floor": {"value": "2", "unitCode": "C62"}},
        "price": {"price": "9.00", "priceCurrency": "EUR"},
    }  # fmt: skip
    assert before == demand()
    assert told(after, [Fact("itemOffered.numberOfRooms", "5")]) == after


def test_an_unknown_must_have_passes_if_it_is_waived_and_fails_if_not() -> None:
    assert waive(demand(), {KM}).judge(silent()).fit is Fit.FITS
    assert waive(demand(), set()).judge(silent()).fit is Fit.FAILS
    assert waive(demand(), {KM}).judge(offer_body(b"d" * 32, 9)).fit is Fit.FITS


def test_facts_come_back_as_they_were_written() -> None:
    for fact in (Fact("a", "x"), Fact("a", True), Fact("a", "5", "KMT"), Fact("a", "5.00", "MON", "EUR")):
        assert read_fact(fact.wire()) == fact
    assert read_answer({"text": "no facts"}) == Answer((), frozenset())
