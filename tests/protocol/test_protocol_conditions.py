"""Conditions of offers and counters: bounded, one way to write each, nothing guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intentcast_protocol.conditions import (
    Choices,
    Conditions,
    read_choices,
    read_conditions,
    write_choices,
    write_conditions,
)
from intentcast_protocol.constraint import Constraint, Verdict, evaluate
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_CHOICES

CODE = "invalid.offer.malformed"
NAMES = (
    st.lists(st.text("abcdefgh ", min_size=1, max_size=20), unique=True, max_size=MAX_CHOICES).map(sorted).map(tuple)
)
DAYS = st.integers(0, 3_650)
MONTHS = st.integers(0, 1_200)


def rising(values: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(values, unique=True, max_size=MAX_CHOICES).map(sorted).map(tuple)


@given(st.builds(Conditions, st.none() | DAYS, st.none() | MONTHS, NAMES))
def test_conditions_survive_writing_and_reading(conditions: Conditions) -> None:
    assert read_conditions(write_conditions(conditions), CODE) == conditions


@given(st.builds(Choices, rising(DAYS), rising(MONTHS), NAMES))
def test_choices_survive_writing_and_reading(choices: Choices) -> None:
    assert read_choices(write_choices(choices), CODE) == choices


@pytest.mark.parametrize(
    "body",
    [
        {"deliveryLeadTime": {"value": "7", "unitCode": "WEE"}},
        {"deliveryLeadTime": {"value": "7.5", "unitCode": "DAY"}},
        {"deliveryLeadTime": {"value": "-1", "unitCode": "DAY"}},
        {"deliveryLeadTime": {"value": "3651", "unitCode": "DAY"}},
        {"deliveryLeadTime": {"value": 7, "unitCode": "DAY"}},
        {"deliveryLeadTime": "7"},
        {"warranty": {"value": "12", "unitCode": "MON"}},
        {"warranty": {"durationOfWarranty": {"value": "1201", "unitCode": "MON"}}},
        {"warranty": "12"},
        {"addOn": "Winter tyres"},
        {"addOn": [""]},
        {"addOn": ["x" * 101]},
        {"addOn": ["b", "a"]},
        {"addOn": ["a", "a"]},
        {"addOn": ["\x1b[31mred"]},
        {"addOn": [f"{at:02}" for at in range(MAX_CHOICES + 1)]},
    ],
)
def test_ill_formed_conditions_are_refused_by_name(body: dict[str, object]) -> None:
    with pytest.raises(InvalidMessage) as refused:
        read_conditions(body, CODE)
    assert refused.value.code == CODE
    assert next(iter(body)) in str(refused.value.detail)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"deliveryLeadTime": {"value": "7", "unitCode": "DAY"}},
        {"deliveryLeadTime": [{"value": "7", "unitCode": "DAY"}] * 2},
        {"warranty": [{"value": "24", "unitCode": "MON"}, {"value": "12", "unitCode": "MON"}]},
        {"addOn": ["b", "a"]},
    ],
)
def test_ill_formed_choices_are_refused(value: object) -> None:
    with pytest.raises(InvalidMessage):
        read_choices(value, CODE)


def test_a_constraint_can_ask_for_a_condition() -> None:
    body = write_conditions(Conditions(14, 12, ("Roof rack", "Winter tyres")))
    soon = Constraint("deliveryLeadTime", "le", "2", unit="WEE")
    long = Constraint("warranty.durationOfWarranty", "ge", "2", unit="ANN")
    tyres = Constraint("addOn", "eq", "winter tyres")
    assert [evaluate(wish, body).verdict for wish in (soon, long, tyres)] == [Verdict.MET, Verdict.UNMET, Verdict.MET]
