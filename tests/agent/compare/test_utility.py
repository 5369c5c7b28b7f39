"""The utility that a haggler bargains by is the score that the person is shown. DESIGN §6"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.person.criteriafile import read_criteria
from intentcast_agent.person.presets import PRESETS, preset
from intentcast_agent.person.utility import ISSUES, scorer
from intentcast_protocol.conditions import Conditions, write_conditions
from intentcast_protocol.testing import CARS

Make = Callable[..., Any]
WANTS = [
    {"path": "deliveryLeadTime", "op": "le", "value": "2", "unitCode": "WEE", "strength": "want"},
    {"path": "addOn", "op": "eq", "value": "Tow bar", "strength": "want"},
    {"path": "itemOffered.color", "op": "eq", "value": "red", "strength": "want"},
]
EXTRAS = '\n[[criterion]]\nname = "extras"\npath = "addOn"\nweight = 2\ntable = {"tow bar" = 0.7, mats = 0.5}\n'
outcomes = st.tuples(
    st.integers(0, 25_000_00).map(lambda cents: Decimal(cents) / 100),
    st.sampled_from([None, 0, 3, 14, 15, 60, 3_650]),
    st.sampled_from([None, 0, 6, 24, 1_200]),
    st.sampled_from([(), ("Mats",), ("Tow bar",), ("Mats", "Tow bar"), ("Roof box",)]),
)


@pytest.mark.parametrize("category", PRESETS)
@settings(max_examples=60, deadline=None)
@given(outcome=outcomes, colour=st.sampled_from(["red", "blue", None]), low=st.sampled_from(["0", "0.5"]))
def test_changed_terms_score_as_the_offer_with_these_terms_would(
    market: Make, category: str, outcome: tuple[Any, ...], colour: str | None, low: str
) -> None:
    total, days, months, extras = outcome
    text = preset(category)[1].replace("unknown = 0 ", f"unknown = {low} ") + EXTRAS
    here = market(constraints=WANTS)
    item = {"color": colour} if colour else {}
    first = here.offer("15000.00", item=item, addOn=["Mats"])
    here.offer(f"{total:.2f}", item=item, **write_conditions(Conditions(days, months, extras)))
    score = scorer(here.demand, read_criteria(text), first.body)
    changes = dict(zip(ISSUES, outcome, strict=True))
    places = {place.entry.name: place for place in here.compare(text).places}
    assert score({}) == pytest.approx(places["o1"].score, abs=2e-9)
    for _ in range(2):  # worked out, then remembered
        assert score(changes) == pytest.approx(places["o2"].score, abs=2e-9)


def test_parts_of_the_utility_are_separable(market: Make) -> None:
    here = market(constraints=WANTS)
    score = scorer(here.demand, read_criteria(preset(CARS)[1] + EXTRAS), here.offer().body)
    one, other = {"total": Decimal(12_000)}, {"addOn": ("Tow bar",), "deliveryLeadTime": 3}
    assert score(one | other) - score(other) == pytest.approx(score(one) - score({}))


def test_no_scale_for_the_total_is_an_error_and_not_a_guess(market: Make) -> None:
    here = market(priceSpecification=None)
    body, criteria = here.offer().body, read_criteria(preset("")[1])
    with pytest.raises(ValueError, match="no budget"):
        scorer(here.demand, criteria, body)
    score = scorer(here.demand, criteria, body, reserve=(Decimal(20_000), "EUR"))
    assert score({"total": "11000.00"}) > score({}) > score({"total": "16000.00"})


def test_a_currency_that_cannot_be_compared_is_an_error(market: Make) -> None:
    here = market()
    with pytest.raises(ValueError, match="no rate into EUR"):
        scorer(here.demand, read_criteria(preset("")[1]), here.offer(currency="USD").body)
