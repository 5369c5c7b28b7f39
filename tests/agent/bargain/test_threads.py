"""Several vendors at once: the best standing offer is what each other thread must beat, for as long as it stands."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.bargain.negotiator import Accept, End, Negotiator, Propose
from intentcast_agent.bargain.opponent import Outcome
from intentcast_agent.bargain.threads import Threads, Wait

GRID: list[Outcome] = [(price,) for price in range(0, 101, 2)]


def worth(outcome: Outcome) -> float:
    assert isinstance(outcome[0], int | float)
    return 1 - float(outcome[0]) / 100


def negotiator(rounds: int = 6, reserve: float = 0.1) -> Negotiator:
    return Negotiator(GRID, worth, reserve, rounds, rng=random.Random(3))


def threads(*names: str, rounds: int = 6, kept: bool = False) -> Threads:
    made = Threads(kept=kept)
    for name in names:
        made.open(name, negotiator(rounds))
    return made


def test_the_best_offer_elsewhere_is_what_a_thread_must_beat() -> None:
    two = threads("a", "b", rounds=1)
    two.observe("a", (40,))
    two.observe("b", (60,))
    assert two.decide("b", 0.0) != Accept()
    fallback = two.fallback("b")
    assert fallback is not None
    assert fallback.outcome == (40,)
    move = two.decide("b", 0.0)
    assert isinstance(move, Propose)
    assert worth(move.outcome) > worth((40,))


def test_an_offer_that_lapsed_holds_nothing_up() -> None:
    two = threads("a", "b", rounds=1)
    two.observe("a", (40,))
    two.observe("b", (60,))
    two.lapse("a", (40,))
    assert two.fallback("b") is None
    two.decide("a", 0.0)
    assert two.decide("b", 1.0) == Accept()


def test_a_new_offer_replaces_the_old_unless_offers_are_kept() -> None:
    for kept, best in ((False, (60,)), (True, (40,))):
        one = threads("a", kept=kept)
        one.observe("a", (40,))
        one.observe("a", (60,))
        standing = one.best()
        assert standing is not None
        assert standing.outcome == best


def test_where_offers_are_kept_a_thread_must_beat_its_own() -> None:
    one = threads("a", rounds=3, kept=True)
    one.observe("a", (50,))
    for at in range(3):
        move = one.decide("a", at / 3)
        assert isinstance(move, Propose)
        assert worth(move.outcome) > 0.5
        one.proposed("a", move.outcome)
        one.observe("a", (50,))


def test_a_good_offer_waits_while_another_thread_may_bring_better() -> None:
    two = threads("a", "b", rounds=4)
    two.observe("a", (4,))
    two.observe("b", (90,))
    for _ in range(4):
        move = two.decide("a", 0.0)
        if isinstance(move, Wait):
            break
        assert isinstance(move, Propose)
        two.proposed("a", move.outcome)
        two.observe("a", (4,))
    assert isinstance(move, Wait)
    assert two.closing(0.0) is None
    taken = two.closing(1.0)
    assert taken is not None
    assert taken.thread == "a"


def test_when_every_thread_rests_the_best_is_taken() -> None:
    two = threads("a", "b", rounds=1)
    two.observe("a", (40,))
    two.observe("b", (30,))
    for name in ("a", "b"):
        move = two.decide(name, 0.0)
        if isinstance(move, Propose):
            two.proposed(name, move.outcome)
    two.decide("a", 0.0)
    assert two.decide("b", 0.0) == Accept()
    taken = two.closing(0.0)
    assert taken is not None
    assert (taken.thread, taken.outcome) == ("b", (30,))


def test_threads_come_and_go() -> None:
    group = threads("a")
    group.observe("a", (40,))
    group.open("b", negotiator(2))
    with pytest.raises(ValueError):
        group.open("b", negotiator())
    group.observe("b", (20,))
    group.close("b")
    group.close("b")
    group.lapse("b")
    assert "b" not in group
    standing = group.best()
    assert standing is not None
    assert standing.thread == "a"
    with pytest.raises(KeyError):
        group.decide("b", 0.0)


def test_each_thread_has_its_own_rounds() -> None:
    group = Threads()
    group.open("short", negotiator(1))
    group.open("long", negotiator(5))
    said = dict.fromkeys(("short", "long"), 0)
    for _ in range(8):
        for name in said:
            group.observe(name, (95,))
            move = group.decide(name, 0.0)
            if isinstance(move, Propose):
                said[name] += 1
                group.proposed(name, move.outcome)
    assert said["short"] <= 1
    assert said["long"] <= 5
    assert isinstance(group.decide("short", 0.0), End)


def test_what_is_not_worth_taking_is_no_standing_offer() -> None:
    one = threads("a")
    one.observe("a", (95,))
    assert one.best() is None
    assert one.closing(1.0) is None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["offer", "lapse", "decide", "close", "open"]),
            st.sampled_from(["a", "b", "c"]),
            st.integers(0, 100),
            st.floats(0, 1),
        ),
        max_size=40,
    ),
    st.booleans(),
)
def test_no_thread_ever_takes_or_asks_for_less_than_what_stands_elsewhere(
    events: list[tuple[str, str, int, float]], kept: bool
) -> None:
    group = threads("a", "b", "c", kept=kept)
    latest: dict[str, float] = {}
    for kind, name, price, share in events:
        if kind == "open" and name not in group:
            group.open(name, negotiator())
        if name not in group:
            continue
        if kind == "close":
            group.close(name)
        elif kind == "offer":
            group.observe(name, (price,))
            latest[name] = worth((price,))
        elif kind == "lapse":
            group.lapse(name)
        elif kind == "decide":
            elsewhere = group.fallback(name)
            least = max(0.1, elsewhere.worth if elsewhere else 0.0)
            move = group.decide(name, share)
            if isinstance(move, Propose):
                assert worth(move.outcome) > least
                group.proposed(name, move.outcome)
            elif isinstance(move, Accept | Wait):
                assert latest[name] > least


def test_rivals_bring_the_price_down() -> None:
    def seller(least: float, said: float, price: float) -> float:
        return max(least, price - 0.3 * max(0.0, price - said))

    paid = []
    for count in (1, 2, 5):
        group, prices = Threads(kept=True), dict.fromkeys(map(str, range(count)), 100.0)
        for name in prices:
            group.open(name, Negotiator(GRID, worth, 0.0, 10, rng=random.Random(name)))
            group.observe(name, (100.0,))
        for at in range(10):
            for name in prices:
                move = group.decide(name, at / 10)
                if isinstance(move, Propose):
                    group.proposed(name, move.outcome)
                    said = move.outcome[0]
                    assert isinstance(said, int | float)
                    prices[name] = seller(20 + 7 * ((int(name) + 2) % 5), float(said), prices[name])
                    group.observe(name, (prices[name],))
        best = group.best()
        assert best is not None
        paid.append(best.outcome[0])
    assert paid == sorted(paid, reverse=True)
    assert paid[-1] < paid[0]
