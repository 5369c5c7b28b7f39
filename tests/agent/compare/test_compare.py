"""What an offer is worth to a person, and which is best: by fixed points, each offer by itself. DESIGN §6"""

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.person.compare import Comparison, compare
from intentcast_agent.person.criteriafile import read_criteria
from intentcast_agent.person.presets import preset
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.negotiation import State
from intentcast_protocol.testing import CARS, NOW, price_body

Market = Any
Make = Callable[..., Market]

KM = "itemOffered.mileageFromOdometer"
MUST = {"path": KM, "op": "le", "value": "90000", "unitCode": "KMT", "strength": "must"}
WANT = {"path": "itemOffered.color", "op": "eq", "value": "red", "strength": "want"}


def names(comparison: Comparison) -> list[str]:
    return [place.entry.name for place in comparison.places]


def asides(comparison: Comparison) -> dict[str, str]:
    return {one.entry.name: one.why for one in comparison.asides}


def criterion(path: str, function: str, **more: str) -> str:
    """Return criteria of the total and one more, each weighing one."""
    rest = "\n".join(f"{key} = {value}" for key, value in more.items())
    total = '[[criterion]]\nname = "total"\npath = "total"\nweight = 1\nlinear = {worst = 100, best = 50}\nunit = "%"\n'
    return f'{total}[[criterion]]\nname = "it"\npath = "{path}"\nweight = 1\n{function}\n{rest}\n'


class TestScore:
    def test_score_is_the_weighted_sum_of_fixed_points(self, market: Make) -> None:
        here = market()
        here.offer("15000.00", "50000")
        (place,) = here.compare().places
        assert [worth.value for worth in place.worths] == [0.5, 0.5]
        assert place.score == 0.5

    def test_values_beyond_the_points_count_as_the_points(self, market: Make) -> None:
        here = market()
        here.offer("1.00", "99999999999999")
        here.offer("20000.00", "0")
        values = [[worth.value for worth in place.worths] for place in here.compare().places]
        assert values == [[1.0, 0.0], [0.0, 1.0]]

    def test_what_is_not_stated_counts_as_the_worst_unless_the_person_says_otherwise(self, market: Make) -> None:
        for unknown, score in (("0", 0.25), ("0.5", 0.5), ("1", 0.75)):
            here = market()
            here.offer("15000.00", None)
            text = f"unknown = {unknown}\n" + criterion(KM, "linear = {worst = 100000, best = 0}", unit='"KMT"')
            (place,) = here.compare(text).places
            assert place.score == score
            assert not place.worths[1].known
            assert place.worths[1].why == "not stated"
            assert place.worths[1].found is None, "never shown as a zero"

    def test_units_are_converted_and_what_cannot_be_is_unknown_with_a_reason(self, market: Make) -> None:
        here = market()
        here.offer(km=None, item={"mileageFromOdometer": {"value": "50", "unitCode": "SMI"}})
        here.offer(km=None, item={"mileageFromOdometer": {"value": "50", "unitCode": "KGM"}})
        here.offer(km=None, item={"mileageFromOdometer": "fifty"})
        function = "linear = {worst = 160.9344, best = 0}"
        places = {one.entry.name: one for one in here.compare(criterion(KM, function, unit='"KMT"')).places}
        assert places["o1"].worths[1].value == 0.5
        for name in ("o2", "o3"):
            assert not places[name].worths[1].known
            assert places[name].worths[1].why == "cannot be compared in km"

    @pytest.mark.parametrize(
        ("function", "scores"),
        [
            ("step = [[12, 0.5], [24, 1]]", {"0": 0.0, "12": 0.5, "23": 0.5, "24": 1.0, "99": 1.0}),
            ("target = {at = 100, reach = 50}", {"100": 1.0, "75": 0.5, "125": 0.5, "40": 0.0, "900": 0.0}),
            ("linear = {worst = 10, best = 30}", {"5": 0.0, "15": 0.25, "30": 1.0, "31": 1.0}),
        ],
    )
    def test_functions_score_as_their_points_say(
        self, market: Make, function: str, scores: dict[str, float]
    ) -> None:  # fmt: skip
        for stated, score in scores.items():
            here = market()
            here.offer(item={"width": stated})
            (place,) = here.compare(criterion("itemOffered.width", function)).places
            assert place.worths[1].value == score

    def test_a_table_ignores_capitals_adds_up_names_and_scores_the_rest_nothing(self, market: Make) -> None:
        here = market()
        for extras in (["Roof box", "Tow bar"], ["tow bar".upper()], ["Tow bar", "Winter tyres"], []):
            here.offer(addOn=sorted(extras))
        text = criterion("addOn", 'table = {"Tow Bar" = 0.5, "winter tyres" = 0.7}')
        values = {one.entry.name: one.worths[1].value for one in here.compare(text).places}
        assert values == {"o1": 0.5, "o2": 0.5, "o3": 1.0, "o4": 0.0}

    def test_wants_count_by_the_share_that_is_met(self, market: Make) -> None:
        here = market(constraints=[WANT, WANT | {"path": "itemOffered.doors", "value": "5"}])
        here.offer(item={"color": "Red", "doors": "3"})
        text = criterion(KM, "linear = {worst = 1, best = 0}", unit='"KMT"') + (
            '[[criterion]]\nname = "wants"\npath = "wants"\nweight = 2\n'
        )
        (place,) = here.compare(text).places
        assert place.worths[2].value == 0.5
        assert here.compare(text).scales.shares == (0.25, 0.25, 0.5)

    def test_a_name_said_twice_counts_once(self, market: Make) -> None:
        here = market()
        here.offer(item={"feature": ["Radio", "radio", "RADIO"]})
        (place,) = here.compare(criterion("itemOffered.feature", "table = {radio = 0.4}")).places
        assert place.worths[1].value == 0.4

    def test_a_price_within_an_item_is_compared_in_its_own_currency_and_only_where_paid_once(
        self, market: Make
    ) -> None:
        excess = {"price": "250.00", "priceCurrency": "EUR"}
        for stated, known in ((excess, True), (excess | {"unitCode": "MON"}, False), ({"value": "250"}, False)):
            here = market()
            here.offer(item={"excess": stated})
            text = criterion("itemOffered.excess", "linear = {worst = 500, best = 0}", unit='"EUR"')
            (place,) = here.compare(text).places
            assert (place.worths[1].known, place.worths[1].value) == (known, 0.5 if known else 0.0)

    def test_a_want_nothing_is_said_of_counts_as_what_is_not_stated(self, market: Make) -> None:
        here = market(constraints=[WANT, WANT | {"path": "itemOffered.doors", "value": "5"}])
        here.offer(item={"color": "Red"})
        for unknown, value in (("0", 0.5), ("0.5", 0.75), ("1", 1.0)):
            text = f'unknown = {unknown}\n[[criterion]]\nname = "wants"\npath = "wants"\nweight = 1\n'
            assert here.compare(text).places[0].worths[0].value == value

    def test_wants_weigh_nothing_where_the_demand_has_none(self, market: Make) -> None:
        here = market()
        here.offer()
        text = criterion(KM, "linear = {worst = 1, best = 0}", unit='"KMT"') + (
            '[[criterion]]\nname = "wants"\npath = "wants"\nweight = 2\n'
        )
        assert here.compare(text).scales.shares == (0.5, 0.5, 0.0)


class TestOrder:
    def test_what_fits_ranks_before_what_asks_before_what_fails(self, market: Make) -> None:
        here = market(constraints=[MUST])
        here.offer("10000.00", "95000")
        here.offer("12000.00", None)
        here.offer("19900.00", "89000")
        compared = here.compare()
        assert names(compared) == ["o3", "o2", "o1"]
        assert compared.winner is not None
        assert "is not at most 90000 km" in compared.places[2].entry.judgement.why

    def test_nobody_wins_where_nothing_fits(self, market: Make) -> None:
        here = market(constraints=[MUST])
        here.offer("10000.00", "95000")
        assert here.compare().winner is None

    def test_equal_scores_are_decided_by_the_cost_and_then_by_the_id(self, market: Make) -> None:
        here = market()
        here.offer("9000.00", "50000")
        here.offer("8000.00", "50000")
        here.offer("8000.00", "50000")
        places = here.compare().places
        assert len({place.score for place in places}) == 1
        assert places[2].entry.name == "o1"
        assert places[0].entry.offer.id < places[1].entry.offer.id

    def test_order_does_not_depend_on_the_order_of_arrival(self, market: Make) -> None:
        here, rng = market(), random.Random(5)
        for _ in range(40):
            here.offer(f"{rng.randrange(9000, 12000, 500)}.00", str(rng.randrange(0, 90000, 10000)))
        expected = names(here.compare())
        for _ in range(5):
            rng.shuffle(here.entries)
            assert names(here.compare()) == expected

    @pytest.mark.parametrize(
        "state", [State.LAPSED, State.DECLINED, State.WITHDRAWN, State.EXPIRED, State.CONFLICT, State.DISPUTED]
    )
    def test_what_no_longer_stands_is_shown_apart_and_never_ranked(self, market: Make, state: State) -> None:
        here = market()
        here.offer("1.00", "0", state=state)
        here.offer()
        compared = here.compare()
        assert names(compared) == ["o2"]
        assert asides(compared) == {"o1": str(state)}

    def test_an_offer_past_its_time_is_apart_even_before_the_clock_told_its_session(self, market: Make) -> None:
        here = market()
        here.offer("1.00", "0", life=60)
        here.offer("1.00", "0", life=60, state=State.ACCEPTED)
        here.offer()
        compared = here.compare(now=NOW + 60)
        assert names(compared) == ["o2", "o3"]
        assert asides(compared) == {"o1": "lapsed"}

    def test_nothing_at_all_compares_to_nothing(self, market: Make) -> None:
        compared = market().compare()
        assert compared.places == compared.asides == ()
        assert compared.winner is None


offers = st.lists(
    st.tuples(
        st.integers(0, 21_000),
        st.one_of(st.none(), st.integers(0, 120_000)),
        st.sampled_from([None, 0, 12, 24]),
        st.sampled_from(["EUR", "EUR", "EUR", "USD"]),
        st.sampled_from([State.OFFERED, State.OFFERED, State.COUNTERED, State.LAPSED]),
        st.sampled_from([None, "red", "blue"]),
    ),
    min_size=2,
    max_size=9,
)
GENERAL = preset(CARS)[1]


@pytest.mark.parametrize("budget", [True, False], ids=["budget", "no budget"])
class TestIndependence:
    """No other offer changes how two stand to each other."""

    @settings(max_examples=120, deadline=None)
    @given(drawn=offers, low=st.sampled_from([0.0, 0.4, 1.0]))
    def test_removing_any_offer_keeps_the_order_of_the_others(
        self, market: Make, budget: bool, drawn: list[Any], low: float
    ) -> None:
        here = _drawn(market, drawn, budget)
        criteria = replace(_criteria(budget), unknown=low)
        full = compare(here.demand, here.entries, criteria, NOW)
        for gone in here.entries:
            rest = [entry for entry in here.entries if entry is not gone]
            left = compare(here.demand, rest, criteria, NOW)
            assert names(left) == [name for name in names(full) if name != gone.name]
            if full.winner and full.winner.entry is not gone:
                assert left.winner is not None
                assert left.winner.entry is full.winner.entry

    @settings(max_examples=120, deadline=None)
    @given(drawn=offers)
    def test_a_dominated_offer_never_wins_and_leaves_the_winner_where_it_is(
        self, market: Make, budget: bool, drawn: list[Any]
    ) -> None:
        here = _drawn(market, drawn, budget)
        full = compare(here.demand, here.entries, _criteria(budget), NOW)
        for place in full.places:
            if place.dominated_by:
                assert place.rank > 1
                (by,) = [one for one in full.places if one.entry.name == place.dominated_by]
                assert by.rank < place.rank
                for at, (mine, theirs) in enumerate(zip(place.worths, by.worths, strict=True)):
                    if full.scales.shares[at]:
                        assert mine.known == theirs.known
                        assert not mine.known or mine.value <= theirs.value


def _criteria(budget: bool) -> Any:
    # Without a budget the person names a currency; else two of them in one market could not be told apart.
    return read_criteria(GENERAL if budget else GENERAL.replace('# currency = "EUR"', 'currency = "EUR"'))


def _drawn(market: Make, drawn: list[Any], budget: bool) -> Market:
    here = market(constraints=[MUST | {"onUnknown": "ask"}, WANT], **({} if budget else {"priceSpecification": None}))
    for total, km, months, currency, state, color in drawn:
        warranty = {"durationOfWarranty": {"value": str(months), "unitCode": "MON"}}
        more = {} if months is None else {"warranty": warranty}
        item = {"color": color} if color else {}
        here.offer(f"{total}.00", None if km is None else str(km), currency=currency, state=state, item=item, **more)
    return here


class TestBeside:
    """What looks at the others: shown, and ranks nobody."""

    def test_dominated_means_nowhere_better_and_somewhere_worse(self, market: Make) -> None:
        here = market()
        here.offer("15000.00", "50000")
        here.offer("15000.00", "60000")
        here.offer("16000.00", "40000")
        here.offer("15000.00", "50000")
        marks = {place.entry.name: place.dominated_by for place in here.compare().places}
        assert marks["o2"] in ("o1", "o4")
        assert (marks["o1"], marks["o3"], marks["o4"]) == (None, None, None)

    def test_one_who_does_not_say_is_not_dominated_for_it(self, market: Make) -> None:
        here = market()
        here.offer("15000.00", "50000")
        here.offer("16000.00", None)
        here.offer("17000.00", None)
        marks = {place.entry.name: place.dominated_by for place in here.compare().places}
        assert marks == {"o1": None, "o2": None, "o3": "o2"}

    def test_price_is_told_against_the_median_of_three_or_more_alike(self, market: Make) -> None:
        here = market(constraints=[MUST])
        for total, km in (("9200.00", "1"), ("10000.00", "1"), ("11000.00", "1"), ("100.00", "99999")):
            here.offer(total, km)
        here.offer("9000.00", "1", currency="USD")
        peers = {place.entry.name: place.peers for place in here.compare().places}
        assert peers["o1"] is not None
        assert (peers["o1"].percent, peers["o1"].count) == (-8, 3)
        assert peers["o4"] is None, "what fails a must is no peer"
        del here.entries[2]
        assert all(place.peers is None for place in here.compare().places)


class TestHostile:
    def test_an_offer_that_does_not_add_up_never_comes_to_be_compared(self, market: Make) -> None:
        price = price_body("15000.00")
        price["price"] = "14000.00"
        here = market()
        with pytest.raises(InvalidMessage) as caught:
            here.offer(priceSpecification=price)
        assert caught.value.code == "invalid.offer.total"

    def test_a_free_offer_is_ranked_by_the_rule_and_pointed_out(self, market: Make) -> None:
        here = market()
        here.offer("0.00", "50000")
        here.offer("10000.00", "40000")
        compared = here.compare()
        assert names(compared) == ["o2", "o1"], "below the best point, cheaper counts no more"
        assert "free" in compared.places[1].warnings[0]

    def test_the_reserve_is_pointed_out_and_an_indicative_offer_too(self, market: Make) -> None:
        here = market()
        here.offer("15000.01", commitment="indicative")
        (place,) = here.compare(reserve=(Decimal("15000.00"), "EUR")).places
        assert ["indicative" in place.warnings[0], "reserve" in place.warnings[1]] == [True, True]

    @pytest.mark.parametrize(
        "stated",
        [
            {"value": "9" * 15, "unitCode": "KMT"}, {"value": "9" * 5000, "unitCode": "KMT"}, {"value": 5}, True, "",
            {"value": {"value": "1"}}, [[["1"]]], {"unitCode": ["KMT"], "value": "1"}, "x" * 9_000, ["1"] * 500, {},
            {"value": "NaN", "unitCode": "KMT"}, {"value": "-0", "unitCode": "KMT"}, b"\x00", -5, [],
        ],
    )  # fmt: skip
    def test_no_stated_value_breaks_or_leaves_the_scale(self, market: Make, stated: Any) -> None:
        for function in ("linear = {worst = 9, best = 0}", "step = [[1, 1]]", "table = {a = 1}"):
            here = market()
            here.offer(km=None, item={"mileageFromOdometer": stated})
            (place,) = here.compare(criterion(KM, function)).places
            assert 0 <= place.score <= 1
