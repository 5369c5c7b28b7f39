"""One bargain: limits that no offer moves, the same decision after a restart, and an end in any company. DESIGN §6"""

import math
import random
from collections.abc import Callable, Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.bargain.bidding import DEFAULT, STRATEGIES
from intentcast_agent.bargain.negotiator import Accept, End, Negotiator, Propose
from intentcast_agent.bargain.opponent import Outcome, Value

PRICES = range(0, 1001, 25)
GRID: list[Outcome] = list(product(PRICES, ("soon", "late"), (0, 12, 24)))


def buyer(outcome: Outcome) -> float:
    """Return what any terms are worth to somebody who pays; nonsense is worth nothing that can be counted."""
    if len(outcome) != 3 or not isinstance(outcome[0], int | float):
        return math.nan
    price, delivery, warranty = outcome
    months = warranty if isinstance(warranty, int | float) else 0
    return 0.7 * (1 - float(price) / 1000) + 0.15 * (delivery == "soon") + 0.15 * months / 24  # type: ignore[arg-type]


def vendor(outcome: Outcome) -> float:
    """Return what terms are worth to somebody who is paid, and minds warranty more than the day."""
    price, delivery, warranty = outcome
    assert isinstance(price, int | float)
    assert isinstance(warranty, int | float)
    return 0.6 * float(price) / 1000 + 0.1 * (delivery == "late") + 0.3 * (1 - warranty / 24)


def negotiator(reserve: float = 0.2, rounds: int = 12, *, name: str = DEFAULT, seed: int = 1) -> Negotiator:
    return Negotiator(GRID, buyer, reserve, rounds, bidding=name, rng=random.Random(seed))


def proposals(one: Negotiator, offers: Iterator[Outcome | None]) -> list[Outcome]:
    """Return what is proposed until it accepts or ends."""
    said = []
    for offer in offers:
        move = one.step(0.0, offer)
        if not isinstance(move, Propose):
            break
        said.append(move.outcome)
    return said


def meet(first: Negotiator, second: Negotiator, rounds: int) -> Outcome | None:
    """Let two negotiators speak in turn; return what they agree on."""
    offer: Outcome | None = None
    for at in range(rounds):
        for one in (first, second):
            move = one.step(at / rounds, offer)
            if isinstance(move, Accept):
                return offer
            if isinstance(move, End):
                return None
            offer = move.outcome
    return None


values: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from(PRICES),
    st.floats(),
    st.integers(-(10**30), 10**30),
    st.sampled_from(["soon", "late", "never", ""]),
    st.booleans(),
    st.none(),
)
sane = st.sampled_from(GRID)
absurd = st.lists(values, max_size=4).map(tuple)
anything = st.one_of(st.none(), sane, sane, absurd)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(STRATEGIES)),
    reserve=st.floats(-0.5, 1.5),
    rounds=st.integers(1, 15),
    steps=st.lists(st.tuples(anything, st.floats(0, 1), st.none() | st.floats(0, 1.2)), max_size=20),
    seed=st.integers(0, 5),
)
def test_nothing_at_or_below_the_reservation_is_proposed_or_accepted_and_no_round_is_exceeded(
    name: str,
    reserve: float,
    rounds: int,
    steps: list[tuple[Outcome | None, float, float | None]],
    seed: int,
) -> None:
    one = negotiator(reserve, rounds, name=name, seed=seed)
    said, standing = 0, None
    for offer, share, fallback in steps:
        one.observe(offer)
        standing = standing if offer is None else offer
        move = one.decide(share, fallback)
        limit = reserve if fallback is None else max(reserve, fallback)
        if isinstance(move, Accept):
            assert standing is not None
            assert buyer(standing) > limit
        elif isinstance(move, Propose):
            said += 1
            assert buyer(move.outcome) > limit
            one.proposed(move.outcome)
    assert said <= rounds


@settings(max_examples=80, deadline=None)
@given(name=st.sampled_from(sorted(STRATEGIES)), offers=st.lists(anything, max_size=12), seed=st.integers(0, 9))
def test_a_restart_decides_the_same(name: str, offers: list[Outcome | None], seed: int) -> None:
    one = negotiator(name=name, seed=seed)
    history: list[tuple[Outcome | None, Outcome | None]] = []
    for offer in offers:
        again = negotiator(name=name, seed=seed)
        for heard, said in history:
            again.observe(heard)
            if said is not None:
                again.proposed(said)
        again.observe(offer)
        one.observe(offer)
        move = one.decide(0.0)
        assert again.decide(0.0) == move == one.decide(0.0)
        said = move.outcome if isinstance(move, Propose) else None
        if said is not None:
            one.proposed(said)
        history.append((offer, said))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_peer_that_counters_forever_repeats_regresses_or_raves_meets_the_end(name: str) -> None:
    dear: Outcome = (1000, "late", 0)
    peers: list[Callable[[int], Outcome]] = [
        lambda at: dear,
        lambda at: (900 + at, "late", 0),
        lambda at: (10.0**at, "late", 0),
        lambda at: (math.nan, None, "x"),
        lambda at: (),
    ]
    for peer in peers:
        one = negotiator(rounds=8, name=name)
        moves = [one.step(at / 8, peer(at)) for at in range(30)]
        assert sum(isinstance(move, Propose) for move in moves) <= 8
        assert isinstance(moves[-1], End)


def test_the_clock_can_only_hurry() -> None:
    offer: Outcome = (700, "late", 0)
    assert buyer(offer) > 0.2
    slow, late, quick = (negotiator(rounds=12) for _ in range(3))
    assert isinstance(slow.step(0.0, offer), Propose)
    assert isinstance(late.step(1.0, offer), Accept)
    for _ in range(11):
        quick.observe(offer)
        quick.proposed((0, "soon", 24))
    assert isinstance(quick.step(0.0, offer), Accept)


def test_a_responder_takes_at_its_last_turn_what_beats_its_reservation() -> None:
    for name in sorted(set(STRATEGIES) - {"hold"}):
        one = negotiator(rounds=3, name=name)
        moves = [one.step(0.0, (700, "late", 0)) for _ in range(3)]
        assert isinstance(moves[-1], Accept), name


def test_a_posted_price_never_moves() -> None:
    one = negotiator(rounds=6, name="hold")
    said = proposals(one, iter([(900 - 50 * at, "late", 0) for at in range(6)]))
    assert said == [(0, "soon", 24)] * 6


def test_a_boulware_gives_way_later_than_a_linear() -> None:
    offers: list[Outcome] = [(1000, "late", 0)] * 7
    asked = {
        name: [buyer(said) for said in proposals(negotiator(name=name), iter(offers))]
        for name in ("boulware", "linear")
    }
    assert all(b >= li for b, li in zip(*asked.values(), strict=True))
    assert asked["boulware"][5] > asked["linear"][5] + 0.2


def test_the_reservation_is_raised_and_never_lowered() -> None:
    one = negotiator(reserve=0.2)
    one.raise_reserve(0.6)
    one.raise_reserve(0.3)
    assert one.reserve == 0.6
    assert all(buyer(said) > 0.6 for said in proposals(one, iter([(1000, "late", 0)] * 12)))


def test_with_nothing_better_to_say_it_ends() -> None:
    assert isinstance(negotiator(reserve=1.0).step(0.0, (500, "soon", 12)), End)


def test_a_fallback_binds_one_decision_only() -> None:
    one = negotiator(reserve=0.2, rounds=1)
    offer: Outcome = (600, "late", 0)
    one.observe(offer)
    assert one.decide(1.0, fallback=0.9) != Accept()
    assert one.decide(1.0) == Accept()


def test_an_offer_that_lapsed_is_not_accepted() -> None:
    one = negotiator(rounds=1)
    one.observe((100, "soon", 24))
    assert one.decide(0.0) == Accept()
    one.lapsed((100, "soon", 24))
    assert one.decide(0.0) != Accept()


def test_two_agents_do_not_come_down_alike() -> None:
    offers: list[Outcome] = [(1000, "late", 0)] * 11
    paths = {tuple(proposals(negotiator(seed=seed), iter(offers))) for seed in range(6)}
    assert len(paths) >= 4


def test_a_vendor_who_gives_way_is_answered_sooner_than_one_who_stands() -> None:
    firm = proposals(negotiator(), iter([(1000, "late", 0)] * 4))
    kind = proposals(negotiator(), iter([(1000 - 150 * at, "late", 0) for at in range(4)]))
    assert buyer(kind[-1]) < buyer(firm[-1]) - 0.05


def test_what_the_other_side_insists_on_is_traded_for_what_it_gives_up() -> None:
    keeps_months: list[Outcome] = [(1000 - 60 * at, "late", 0) for at in range(8)]
    keeps_price: list[Outcome] = [(1000 - 10 * at, "late", (0, 12, 24)[at // 3]) for at in range(8)]
    asked = [proposals(negotiator(), iter(offers))[3:] for offers in (keeps_months, keeps_price)]
    months, prices = ([sum(float(said[at]) for said in some) / len(some) for some in asked] for at in (2, 0))  # type: ignore[arg-type]
    assert months[0] < months[1] - 6
    assert prices[0] < prices[1]


@pytest.mark.parametrize("rounds", [4, 8, 12, 30])
def test_two_of_the_default_agree_wherever_they_can_and_near_the_best_for_both(rounds: int) -> None:
    draw = random.Random(7)
    shares = []
    for seed in range(12):
        ours, theirs = draw.uniform(0.1, 0.5), draw.uniform(0.1, 0.45)
        pair = (
            Negotiator(GRID, buyer, ours, rounds, rng=random.Random(seed)),
            Negotiator(GRID, vendor, theirs, rounds, rng=random.Random(seed + 100)),
        )
        deal = meet(*pair, rounds) if seed % 2 else meet(*reversed(pair), rounds)
        assert deal is not None, (seed, ours, theirs)
        most = max(max(0.0, buyer(one) - ours) * max(0.0, vendor(one) - theirs) for one in GRID)
        shares.append((buyer(deal) - ours) * (vendor(deal) - theirs) / most)
    assert sum(shares) / len(shares) > (0.6 if rounds > 4 else 0.4)


def haggling(seed: int) -> Iterator[tuple[float, float]]:
    """Yield the least a seller takes and how much of the gap it splits, as people differ."""
    draw = random.Random(seed)
    for _ in range(60):
        yield draw.betavariate(1.6, 2.6) * 0.7, draw.uniform(0.25, 0.6)


def test_a_seller_who_splits_the_difference_comes_down_to_less_than_halfway() -> None:
    grid: list[Outcome] = [(price,) for price in range(0, 1001, 25)]
    deals = []
    for least, split in haggling(3):
        one = Negotiator(grid, lambda outcome: 1 - float(outcome[0]) / 1000, 0.0, 8, rng=random.Random(5))  # type: ignore[arg-type]
        price: float = 1000
        for at in range(8):
            move = one.step(at / 8, (price,))
            if not isinstance(move, Propose):
                deals.append(price)
                break
            asked = move.outcome[0]
            assert isinstance(asked, int)
            price = max(1000 * least, price - split * max(0.0, price - asked))
    assert len(deals) == 60
    assert sum(deals) / 60 < 400


def test_a_negotiator_needs_an_outcome_a_round_and_a_strategy_there_is() -> None:
    for outcomes, rounds, name in (([], 3, DEFAULT), (GRID, 0, DEFAULT), (GRID, 3, "ruthless"), ([("x",)], 3, DEFAULT)):
        with pytest.raises(ValueError):
            Negotiator(outcomes, buyer, 0.0, rounds, bidding=name, rng=random.Random(1))
