"""What is learnt of the other side from its offers alone. DESIGN §6"""

import math
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.bargain.opponent import MANY, Opponent, Outcome

PRICES = range(10_000, 20_001, 500)
GRID: list[Outcome] = list(product(PRICES, ("red", "blue", "green"), (0, 12, 24)))


def worth(outcome: Outcome) -> float:
    price, colour, months = outcome
    assert isinstance(price, int | float)
    assert isinstance(months, int | float)
    return 0.6 * (20_000 - float(price)) / 10_000 + 0.2 * (colour == "red") + 0.2 * months / 24


def opponent(*offers: Outcome) -> Opponent:
    """Return what is known after offers spread evenly over the bargain."""
    one = Opponent(GRID, [worth(outcome) for outcome in GRID])
    for at, offer in enumerate(offers, 1):
        one.hear(offer, at / (len(offers) + 2))
    return one


def test_before_it_said_anything_it_likes_everything_alike() -> None:
    one = opponent()
    assert {one.liking(outcome) for outcome in GRID} == {1.0}
    assert one.asked == 1.0


def test_its_opening_offer_is_what_it_likes_best() -> None:
    opening = (20_000, "blue", 0)
    one = opponent(opening)
    assert max(GRID, key=one.liking) == opening
    assert one.liking(opening) == 1.0 == one.asked


def test_numbers_count_by_their_distance_within_the_range_and_may_lie_off_our_list() -> None:
    one = opponent((19_849.37, "blue", 0), (19_150.0, "blue", 0))
    likings = [one.liking((price, "blue", 0)) for price in (19_849.37, 19_849, 19_000, 15_000.5, 10_000)]
    assert likings == sorted(likings, reverse=True)
    assert likings[0] - likings[1] < 0.001
    assert likings[1] - likings[3] > 0.1


def test_what_it_gives_up_first_matters_least_to_it() -> None:
    keeps_price = opponent(*((20_000, "blue", months) for months in (0, 12, 12, 24)))
    keeps_months = opponent(*((20_000 - 1_500 * at, "blue", 0) for at in range(4)))
    cheaper, longer = (17_000, "blue", 0), (20_000, "blue", 12)
    assert keeps_price.liking(longer) > keeps_price.liking(cheaper)
    assert keeps_months.liking(cheaper) > keeps_months.liking(longer)


def test_a_value_that_it_turns_to_is_liked_better_than_one_it_never_named() -> None:
    one = opponent((20_000, "blue", 0), (20_000, "green", 0), (19_500, "green", 0))
    assert one.liking((20_000, "green", 0)) > one.liking((20_000, "red", 0))


def test_it_never_asks_for_more_than_it_did_and_its_least_demand_is_kept() -> None:
    one = opponent((20_000, "blue", 0), (16_000, "blue", 0), (20_000, "blue", 0))
    assert one.asked < 1.0
    assert math.isclose(one.asked, one.liking((16_000, "blue", 0)))


def test_an_issue_of_very_many_names_stays_small() -> None:
    grid: list[Outcome] = [(f"item {at}", price) for at in range(MANY * 20) for price in (1, 2, 3)]
    one = Opponent(grid, [float(price) for _, price in grid])  # type: ignore[arg-type]
    one.hear(("item 3", 3), 0.1)
    one.hear(("item 4", 3), 0.2)
    assert one.liking(("item 3", 3)) > one.liking(("item 5", 3)) == one.liking(("item 4", 3))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(st.floats(), st.integers(-(10**400), 10**400), st.text(max_size=3), st.booleans(), st.none()),
            max_size=4,
        ).map(tuple),
        max_size=10,
    )
)
def test_no_offer_however_absurd_breaks_it(offers: list[Outcome]) -> None:
    one = opponent(*offers)
    assert all(math.isfinite(one.liking(outcome)) for outcome in GRID)
    assert math.isfinite(one.asked)
