"""A mandate allows what its clauses say and nothing else: checked against a second reading of the rules, by hand."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_protocol.conditions import Conditions, write_conditions
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.identity import did, public_key
from intentcast_protocol.mandate import Act, Mandate, check, read_mandate
from intentcast_protocol.testing import CARS, NOW, make_demand, offer_body, price_body, seed

VENDOR = public_key(seed("V"))
DOMAIN = "autohof-noord.example"
_, DEMAND = make_demand()


def bound(path: str, op: str, value: str, **more: str) -> dict[str, str]:
    return {"path": path, "op": op, "value": value, **more}


PRICE = bound("priceSpecification", "le", "17900.00", priceCurrency="EUR")


def clauses(**changes: Any) -> dict[str, Any]:
    return {
        "acts": {"ask": "auto", "counter": "auto", "accept": "auto", "decline": "auto"},
        "bounds": [PRICE, bound("deliveryLeadTime", "le", "14", unitCode="DAY")],
        "person": [bound("priceSpecification", "ge", "17500.00", priceCurrency="EUR")],
        "categories": ["vehicles-parts"],
        "vendors": ["*"],
        "witnesses": 2,
        "rounds": 3,
        "deadline": NOW + 3_600,
        "expires": NOW + 7_200,
        "salt": bytes(16),
        **changes,
    }


def act(kind: str = "accept", *, total: str = "17000.00", days: int | None = 7, **changes: Any) -> Act:
    body = offer_body(DEMAND.id, NOW + 600, priceSpecification=price_body(total))
    body |= write_conditions(Conditions(days)) | changes.pop("body", {})
    given: dict[str, Any] = {"vendor": VENDOR, "domain": DOMAIN, "witnesses": 2, "rounds": 0, **changes}
    return Act(kind=kind, body=body, **given)  # type: ignore[arg-type]


def ruling(one: Act, now: int = NOW, **changes: Any) -> tuple[str, str]:
    found = check(read_mandate(clauses(**changes)), one, DEMAND, now)
    return found.decision, found.clause


def test_an_act_within_every_clause_is_allowed_and_names_its_clause() -> None:
    assert ruling(act()) == ("allowed", "acts.accept")
    assert ruling(act("counter")) == ("allowed", "acts.counter")
    assert "17000.00" in check(read_mandate(clauses()), act(), DEMAND, NOW).why


@pytest.mark.parametrize(
    ("one", "changes", "clause"),
    [
        (act(total="17900.01"), {}, "bounds.1"),
        (act("counter", total="17900.01"), {}, "bounds.1"),
        (act(days=15), {}, "bounds.2"),
        (act(), {"categories": ["services"]}, "categories"),
        (act(), {"vendors": ["other.example"]}, "vendors"),
        (act(domain="other.example"), {"vendors": [DOMAIN]}, "vendors"),
        (act(witnesses=0), {"vendors": [DOMAIN]}, "vendors"),
        (act("counter", rounds=3), {}, "rounds"),
        (act(), {"acts": {}}, "acts.accept"),
        (act(), {"acts": {"accept": "never"}}, "acts.accept"),
        (act(), {"spend": "all"}, "spend"),
        (act(), {"acts": {"accept": "always"}}, "acts.accept"),
        (act(), {"acts": {"accept": "auto", "acept": "auto"}}, "acts.acept"),
        (act("decline"), {"unheard": True}, "unheard"),
        (act(body={"itemOffered": {"category": CARS, "mileageFromOdometer": {"value": "90001", "unitCode": "KMT"}}}),
         {}, "demand"),
    ],
)  # fmt: skip
def test_what_a_clause_forbids_is_denied_by_name(one: Act, changes: dict[str, Any], clause: str) -> None:
    assert ruling(one, **changes) == ("denied", clause)


@pytest.mark.parametrize(
    ("one", "changes", "clause"),
    [
        (act(total="17500.00"), {}, "person.1"),
        (act(days=None), {}, "bounds.2"),
        (act(), {"acts": {"accept": "person"}}, "acts.accept"),
        (act(witnesses=1), {}, "witnesses"),
        (act(body={"itemOffered": {"category": CARS}}), {}, "demand"),
        (act(body={"deviations": ["no spare key"]}), {"person": [{"path": "deviations", "op": "exists"}]}, "person.1"),
    ],
)
def test_what_is_unsure_or_above_a_threshold_needs_the_person(one: Act, changes: dict[str, Any], clause: str) -> None:
    assert ruling(one, **changes) == ("person", clause)


def test_a_price_in_another_currency_is_never_taken_for_one_within_the_bound() -> None:
    _, open_demand = make_demand(priceSpecification=None)
    dollars = act(body={"priceSpecification": price_body("100.00", "USD")})
    found = check(read_mandate(clauses(person=[])), dollars, open_demand, NOW)
    assert (found.decision, found.clause) == ("person", "bounds.1")


def test_denial_goes_before_asking_the_person() -> None:
    assert ruling(act(total="18000.00")) == ("denied", "bounds.1")


def test_a_deadline_ends_haggling_but_not_accepting() -> None:
    late = NOW + 3_601
    assert ruling(act("counter"), late) == ("denied", "deadline")
    assert ruling(act("ask"), late) == ("denied", "deadline")
    assert ruling(act(), late) == ("allowed", "acts.accept")
    assert ruling(act(), NOW + 7_201) == ("denied", "expires")


def test_a_vendor_can_be_named_by_its_key() -> None:
    assert ruling(act(witnesses=0), vendors=[did(VENDOR)], witnesses=0) == ("allowed", "acts.accept")


KINDS = st.sampled_from(["ask", "counter", "accept", "decline"])
AMOUNTS = st.integers(0, 2_000_000).map(lambda cents: f"{Decimal(cents) / 100:.2f}")


@settings(max_examples=400, deadline=None)
@given(
    KINDS, AMOUNTS, st.none() | st.integers(0, 40),
    st.integers(0, 3), st.integers(0, 4), st.integers(0, 8_000),
    st.dictionaries(KINDS, st.sampled_from(["auto", "person", "never"])),
    AMOUNTS, st.integers(0, 30), st.integers(0, 3), st.integers(0, 4),
)  # fmt: skip
def test_no_act_ever_exceeds_its_mandate(
    kind: str, total: str, days: int | None, seen: int, rounds: int, later: int,
    acts: dict[str, str], most: str, longest: int, witnesses: int, most_rounds: int,
) -> None:  # fmt: skip
    mandate = read_mandate(clauses(
        acts=acts, witnesses=witnesses, rounds=most_rounds, person=[],
        bounds=[bound("priceSpecification", "le", most, priceCurrency="EUR"),
                bound("deliveryLeadTime", "le", str(longest), unitCode="DAY")],
    ))  # fmt: skip
    one = act(kind, total=total, days=days, witnesses=seen, rounds=rounds)
    found = check(mandate, one, DEMAND, NOW + later)
    binds = kind in ("counter", "accept")
    inside = (
        acts.get(kind) == "auto"
        and later <= (3_600 if kind in ("ask", "counter") else 7_200)
        and not (kind == "counter" and rounds >= most_rounds)
        and not (binds and (Decimal(total) > Decimal(most) or days is None or days > longest))
        and not (binds and Decimal(total) > Decimal("18500.00"))
        and not (kind == "accept" and seen < witnesses)
    )
    assert (found.decision == "allowed") == inside


@pytest.mark.parametrize(
    "changes",
    [
        {"acts": "all"}, {"bounds": "none"}, {"bounds": [{"path": "x", "op": "is"}]}, {"person": None},
        {"categories": []}, {"categories": ["Cars!"]}, {"vendors": []}, {"vendors": ["not a domain"]},
        {"vendors": ["did:key:zzz"]}, {"vendors": ["*"] * 257}, {"witnesses": -1}, {"witnesses": True},
        {"rounds": 31}, {"rounds": "3"}, {"deadline": NOW + 7_201}, {"expires": None}, {"expires": 1.5},
        {"salt": b"short"},
    ],
)  # fmt: skip
def test_an_ill_formed_clause_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        read_mandate(clauses(**changes))


@pytest.mark.parametrize("value", [None, [], "mandate", 7])
def test_what_is_no_map_is_refused(value: object) -> None:
    with pytest.raises(InvalidMessage):
        read_mandate(value)


def test_a_mandate_survives_writing_and_reading() -> None:
    mandate = read_mandate(clauses())
    assert read_mandate(mandate.wire()) == mandate


def test_the_digest_changes_with_every_clause_and_with_the_salt() -> None:
    digests = {
        read_mandate(clauses(**change)).digest
        for change in ({}, {"salt": bytes(15) + b"\1"}, {"rounds": 2}, {"bounds": []}, {"acts": {}})
    }
    assert len(digests) == 5


def test_what_a_mandate_allows_is_not_in_its_repr() -> None:
    mandate: Mandate = read_mandate(clauses())
    assert "17900" not in repr(mandate)
    assert "17500" not in repr(mandate)
