"""No answer goes below the floor or back on its word; no person gains by repeating, and no text tells the policy."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.vendor.entry import Percent
from intentcast_agent.vendor.haggle import Hold, Move, Said, answer_counter
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.margin import Margin, fees_of, find_margin
from intentcast_agent.vendor.menu import read_menu
from intentcast_agent.vendor.policy import FIXED, STRATEGIES, Fee, Policy, read_policy
from intentcast_agent.vendor.quote import Pass, first_price
from intentcast_protocol.conditions import Conditions
from intentcast_protocol.quantity import minor_digits
from intentcast_protocol.testing import NOW
from intentcast_protocol.vocabulary import Component, Price, read_price, write_price

LIST = Decimal("17900.00")
END = NOW + 86_400
DAY = 86_400
HEAD = """
name = "Autohof Noord"
currency = "EUR"
floor = "92.37%"
validity = "10m"
delivery = "150.00"
fees = [{name = "Registration", price = "95.00"}]
"""
POLICY = read_policy(HEAD + 'ladder = ["0%", "2.41%", "4.43%", "6.47%"]')
MENU = """
delivery_in = {costs = {"3 days" = "120.00", "14 days" = "0.00"}, first = "14 days"}
warranty = {costs = {"12 months" = "0.00", "24 months" = "180.00"}}
extras = {costs = {"Tow bar" = "300.00", "Winter tyres" = "240.00"}}
"""
EXTRAS = Decimal("245.00")
PLAIN = Conditions(14, 12)


def golf(price: str = "17900.00", currency: str = "EUR", **fields: Any) -> StockItem:
    return StockItem("golf", {"name": "2018 Volkswagen Golf"}, price, currency, **fields)


def price_of(total: str, currency: str = "EUR", unit: str | None = None) -> Price:
    return Price(Decimal(total), currency, unit, (Component("price", "Car", Decimal(total)),))


def answer(
    margin: Margin, *said: Said, rounds: int | None = None, now: int = NOW, secret: bytes = b"secret"
) -> Move | Hold | Pass:
    counters = sum(one.by == "person" for one in said)
    return answer_counter(
        margin, said, rounds=counters if rounds is None else rounds, now=now, demand_expires=END, secret=secret
    )


def counter(last: Price, total: str, rounds: int, policy: Policy = POLICY) -> Move | Hold | Pass:
    return answer(
        find_margin(policy, golf(), NOW), Said("vendor", last), Said("person", price_of(total)), rounds=rounds
    )


def opening(margin: Margin) -> Said:
    price = first_price(margin, None, margin.policy.menu.first)
    assert isinstance(price, Price)
    return Said("vendor", price, margin.policy.menu.first)


class Haggle:
    """A person who counters one offer after the other."""

    def __init__(self, policy: Policy, item: StockItem | None = None, **named: Any) -> None:
        self.margin = find_margin(policy, item or golf(), NOW, **named)
        self.said = [opening(self.margin)]

    def counter(self, total: str, conditions: Conditions | None = None, secret: bytes = b"secret") -> Move | Hold:
        asked = Said("person", price_of(total), self.said[-1].conditions if conditions is None else conditions)
        self.said.append(asked)
        found = answer(self.margin, *self.said, secret=secret)
        assert not isinstance(found, Pass)
        self.said.append(Said("vendor", found.price, found.conditions))
        return found


class TestLadder:
    LAST = Price(
        LIST + EXTRAS, "EUR", None,
        (Component("price", "List price", LIST), Component("fee", "Registration", Decimal("95.00")),
         Component("delivery", "Delivery", Decimal("150.00"))),
    )  # fmt: skip

    def test_low_counters_walk_down_the_ladder_and_then_meet_a_final_price(self):
        last, totals = self.LAST, []
        for rounds in (1, 2, 3):
            found = counter(last, "1.00", rounds)
            assert isinstance(found, Move)
            last = found.price
            totals.append(str(last.total))
        assert totals == ["17713.61", "17352.03", "16986.87"]
        assert counter(last, "1.00", 4) == Hold(last, NOW + 600)

    def test_counter_the_ladder_allows_is_agreed_to_exactly(self):
        found = counter(self.LAST, "17713.62", 1)
        assert isinstance(found, Move)
        assert found.price.total == Decimal("17713.62")
        assert found.price.components[1:] == (
            Component("discount", "Discount", Decimal("-431.38")), *self.LAST.components[1:],
        )  # fmt: skip

    @pytest.mark.parametrize("total", ["18145.00", "18145.01", "99999.00"])
    def test_counter_at_or_above_the_last_offer_gets_the_last_offer(self, total: str):
        assert counter(self.LAST, total, 1) == Move(self.LAST, NOW + 600)

    def test_quote_that_met_the_budget_is_not_taken_back(self):
        last = find_margin(POLICY, golf(), NOW).price(Decimal("16955.00"), Conditions(), self.LAST.components[1:])
        assert counter(last, "1.00", 1) == Hold(last, NOW + 600)
        assert counter(last, "17300.00", 1) == Move(last, NOW + 600)
        assert isinstance(counter(last, "1.00", 3), Move)

    def test_counter_in_another_currency_or_unit_is_no_reason_to_agree(self):
        for other in (price_of("18000.00", "USD"), price_of("18000.00", unit="MON")):
            found = answer(find_margin(POLICY, golf(), NOW), Said("vendor", self.LAST), Said("person", other))
            assert isinstance(found, Move)
            assert found.price.total == Decimal("17713.61")

    def test_rounds_cap_ends_the_concessions(self):
        policy = replace(POLICY, rounds=1)
        last = counter(self.LAST, "1.00", 1, policy)
        assert isinstance(last, Move)
        assert counter(last.price, "17700.00", 2, policy) == Hold(last.price, NOW + 600)

    def test_no_answer_after_the_demand_or_below_a_floor_raised_since(self):
        low, margin = price_of("10000.00"), find_margin(POLICY, golf(), NOW)
        assert answer(margin, Said("vendor", low), Said("person", low), now=END) == Pass("the demand has ended")
        assert counter(low, "9999.00", 1) == Pass("we no longer sell at the last price")
        dollars = price_of("18000.00", "USD")
        assert counter(dollars, "1.00", 1) == Pass("the price is not in our currency and unit")
        gone = Said("vendor", self.LAST, Conditions(7))
        assert answer(margin, gone, Said("person", low)) == Pass("we no longer offer the last conditions")

    def test_list_price_that_fell_since_never_shows_a_negative_discount(self):
        margin = find_margin(POLICY, golf("17000.00"), NOW)
        found = answer(margin, Said("vendor", self.LAST), Said("person", price_of("18000.00")))
        assert isinstance(found, Move)
        assert read_price(write_price(found.price), "invalid.offer.malformed") == found.price
        assert found.price.total == Decimal("18000.00")

    def test_other_conditions_are_priced_at_the_ladders_step(self):
        haggle = Haggle(read_policy(HEAD + MENU + 'ladder = ["0%", "2%"]'))
        found = haggle.counter("1.00", Conditions(3, 24, ("Winter tyres",)))
        assert found.conditions == Conditions(3, 24, ("Winter tyres",))
        assert found.price.total == Decimal("17542.00") + 120 + 180 + 240 + EXTRAS
        again = haggle.counter("1.00", PLAIN)
        assert (again.conditions, again.price.total) == (PLAIN, Decimal("17542.00") + EXTRAS)


class TestHold:
    def test_posted_price_moves_only_by_what_the_conditions_cost(self):
        haggle = Haggle(read_policy(HEAD + MENU + 'strategy = "hold"'))
        for total in ("1.00", "17000.00"):
            assert isinstance(haggle.counter(total), Hold)
        found = haggle.counter("17000.00", Conditions(14, 24))
        assert found.price.total == LIST + 180 + EXTRAS
        assert found.price.components[0].name == "Price"
        found = haggle.counter("18350.00", Conditions(14, 24))
        assert (type(found), found.price.total) == (Move, LIST + 180 + EXTRAS)


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name not in FIXED])
class TestStrategies:
    def policy(self, strategy: str, more: str = "") -> Policy:
        return read_policy(f'{HEAD}{MENU}strategy = "{strategy}"\n{more}'.replace("92.37%", "88%"))

    def test_rising_counters_bring_the_price_down_and_the_last_answers_hold(self, strategy: str):
        haggle = Haggle(self.policy(strategy))
        totals = [haggle.counter(f"{total}.00").price.total for total in range(14_000, 15_000, 100)]
        assert totals == sorted(totals, reverse=True)
        assert totals[0] > totals[4]
        assert len(set(totals[4:])) == 1

    def test_repeated_or_falling_counters_gain_nothing(self, strategy: str):
        haggle = Haggle(self.policy(strategy))
        first = haggle.counter("14000.00")
        for total in ("14000.00", "13999.99", "1.00", "14000.00"):
            assert haggle.counter(total) == Hold(first.price, NOW + 600, first.conditions)

    def test_person_who_stays_at_a_price_within_reach_is_met_there(self, strategy: str):
        haggle = Haggle(self.policy(strategy, "rounds = 8"))
        totals = [haggle.counter("17200.00").price.total for _ in range(8)]
        assert totals[-1] == Decimal("17200.00")

    def test_counter_that_is_good_enough_is_agreed_to_exactly(self, strategy: str):
        asked = Conditions(3, 24, ("Tow bar",))
        haggle = Haggle(self.policy(strategy))
        found = haggle.counter("18730.00", asked)
        assert (type(found), found.price.total, found.conditions) == (Move, Decimal("18730.00"), asked)

    def test_conditions_not_on_the_menu_are_met_with_the_nearest(self, strategy: str):
        haggle = Haggle(self.policy(strategy))
        found = haggle.counter("18440.00", Conditions(2, 36, ("Champagne",)))
        assert (found.price.total, found.conditions) == (Decimal("18440.00"), Conditions(3, 24))
        assert haggle.counter("18100.00", Conditions()).conditions == PLAIN

    def test_demand_that_allows_few_rounds_hurries_nobody(self, strategy: str):
        haggle = Haggle(self.policy(strategy, "rounds = 10"))
        margin = haggle.margin
        assert margin.net(haggle.counter("1.00").price, PLAIN) > (margin.top + margin.floor) / 2

    def test_same_session_answers_the_same_and_another_one_otherwise(self, strategy: str):
        runs = []
        for secret in (b"one", b"one", b"two"):
            haggle = Haggle(self.policy(strategy))
            runs.append(
                [haggle.counter(f"{total}.00", secret=secret).price.total for total in (14_000, 14_500, 15_000)]
            )
        assert runs[0] == runs[1] != runs[2]

    def test_person_who_gives_way_on_conditions_is_offered_those_for_the_same_net(self, strategy: str):
        """Whoever asks for dear conditions first and keeps to them is not sent others."""
        haggle = Haggle(self.policy(strategy))
        asked = Conditions(3, 12, ("Winter tyres",))
        found = [haggle.counter(f"{total}.00", asked) for total in (15_000, 15_200, 15_400)]
        assert {one.conditions for one in found} == {asked}

    def test_used_up_budget_holds_the_price(self, strategy: str):
        haggle = Haggle(self.policy(strategy), left=Decimal(0))
        for total in ("15000.00", "16000.00", "18144.99"):
            assert isinstance(haggle.counter(total), Hold)
        assert haggle.counter("18145.00").price.total == Decimal("18145.00")

    @pytest.mark.parametrize("price", ["16000.00", "15752.00", "10000.00", "30000.00", "999999999999999.00"])
    def test_list_price_that_changed_since_takes_nothing_back(self, strategy: str, price: str):
        haggle = Haggle(Policy(name="A", currency="EUR", floor=Decimal("15752.00"), strategy=strategy))
        standing = haggle.counter("15800.00").price.total
        haggle.margin = find_margin(haggle.margin.policy, golf(price), NOW)
        for total in ("15900.00", "15950.00"):
            found = haggle.counter(total).price.total
            assert Decimal("15752.00") <= found <= standing
            standing = found

    def test_budget_that_is_overdrawn_meanwhile_takes_nothing_back(self, strategy: str):
        haggle = Haggle(self.policy(strategy))
        found = haggle.counter("15000.00")
        haggle.margin = find_margin(self.policy(strategy), golf(), NOW, Decimal(0))
        assert haggle.counter("15500.00") == Hold(found.price, NOW + 600, found.conditions)


CHOICES = {
    "delivery_in": {"costs": {"3 days": "120", "14 days": "0"}},
    "warranty": {"costs": {"12 months": "40", "24 months": "180", "0 months": "0"}},
    "extras": {"costs": {"Tow bar": "300", "Winter tyres": "240"}},
}
PERCENTS = st.decimals(0, 100, places=2).map(Percent)
ASKED = st.builds(
    Conditions,
    st.none() | st.integers(0, 20),
    st.none() | st.integers(0, 40),
    st.sets(st.sampled_from(["Champagne", "Tow bar", "Winter tyres"])).map(lambda names: tuple(sorted(names))),
)


@st.composite
def bargains(draw: st.DrawFn) -> tuple[Policy, StockItem, Decimal | None, list[Said], bytes]:
    """A policy, an item, what is left of a budget, and the counters of a person who knows no shame."""
    currency = draw(st.sampled_from(["EUR", "JPY", "KWD"]))
    digits = minor_digits(currency)
    amounts = st.decimals(0, 20_000, places=digits)
    chosen = draw(st.sets(st.sampled_from(sorted(CHOICES))))
    zeros = f".{'0' * digits}" if digits else ""
    raw = {
        key: {"costs": {name: cost + zeros for name, cost in CHOICES[key]["costs"].items()}} for key in sorted(chosen)
    }
    kinds = draw(st.sets(st.sampled_from(["fee", "delivery", "tax"])))
    policy = Policy(
        name="A",
        currency=currency,
        floor=draw(PERCENTS | amounts),
        ladder=tuple(sorted(draw(st.lists(PERCENTS, min_size=1, max_size=5)), key=lambda step: step.value)),
        fees=tuple(Fee(kind, kind, draw(amounts)) for kind in sorted(kinds)),
        rounds=draw(st.integers(0, 6)),
        validity=draw(st.integers(60, 9_999)),
        strategy=draw(st.sampled_from(STRATEGIES)),
        ages=tuple(draw(st.lists(st.tuples(st.integers(DAY, 90 * DAY), PERCENTS), max_size=2))),
        menu=read_menu(raw, currency),
    )
    list_price = draw(amounts.filter(lambda amount: amount > 0))
    item = golf(f"{list_price:f}", currency, listed=draw(st.none() | st.integers(NOW - 100 * DAY, NOW + DAY)))
    totals = st.decimals(0, 60_000, places=digits)
    near = st.decimals(list_price / 2, list_price * 2, places=digits)
    prices = st.builds(
        lambda total, elsewhere: price_of(f"{total:f}", "USD" if elsewhere == 9 else currency),
        totals | near, st.integers(0, 9),
    )  # fmt: skip
    counters = draw(st.lists(st.builds(Said, st.just("person"), prices, ASKED), max_size=9))
    return policy, item, draw(st.none() | amounts), counters, draw(st.binary(max_size=4))


@settings(max_examples=400, deadline=None)
@given(bargains())
def test_no_bargain_goes_below_the_floor_takes_an_offer_back_or_rewards_a_repetition(
    bargain: tuple[Policy, StockItem, Decimal | None, list[Said], bytes],
):
    policy, item, left, counters, secret = bargain
    margin = find_margin(policy, item, NOW, left)
    age = None if item.listed is None else NOW - item.listed
    assert margin.floor == policy.least(Decimal(item.price), age) <= policy.least(Decimal(item.price))
    first = first_price(margin, None, policy.menu.first)
    if isinstance(first, Pass):
        assert margin.lowest > margin.top
        return
    said, fees = [Said("vendor", first, policy.menu.first)], fees_of(first)
    asked_before: list[Decimal] = []
    for rounds, one in enumerate(counters, 1):
        last = said[-1]
        standing = margin.net(last.price, last.conditions)
        said.append(one)
        found = answer(margin, *said, rounds=rounds, secret=secret)
        assert found == answer(margin, *said, rounds=rounds, secret=secret)
        assert isinstance(found, Move | Hold)
        net = margin.net(found.price, found.conditions)
        # Never under the floor or past the budget, never back on its word.
        assert net >= margin.floor
        assert net >= margin.lowest or net == standing
        assert margin.lowest <= net <= standing <= margin.top
        assert all(found.price.total <= offer.price.total for offer in said if offer.conditions == found.conditions
                   and offer.by == "vendor")  # fmt: skip
        assert found.conditions in policy.menu.costs
        assert NOW < found.expires <= min(NOW + policy.validity, END)
        assert fees_of(found.price) == fees
        assert read_price(write_price(found.price), "invalid.offer.malformed") == found.price
        assert isinstance(found, Move) or (found.price, found.conditions) == (last.price, last.conditions)
        # What is agreed to is agreed to exactly, and nothing but a better counter moves a bargaining bot.
        comparable = one.price.currency == policy.currency
        nearest = policy.menu.nearest(one.conditions)
        asked = one.price.total - fees - policy.menu.costs[nearest] if comparable else None
        if asked is not None and net < standing and net <= asked:
            assert (found.price.total, found.conditions) == (one.price.total, nearest)
        if not policy.fixed and (asked is None or any(asked <= earlier for earlier in asked_before)):
            assert net in (standing, asked)
        if rounds > policy.rounds:
            # A ladder still agrees to what its last step allows.
            assert net in (standing, margin.step(rounds), asked) if policy.fixed else net == standing
        if asked is not None:
            asked_before.append(asked)
        said.append(Said("vendor", found.price, found.conditions))


@settings(max_examples=150, deadline=None)
@given(bargains(), bargains())
def test_policy_that_changes_meanwhile_takes_nothing_back_and_keeps_its_new_floor(
    before: tuple[Policy, StockItem, Decimal | None, list[Said], bytes],
    after: tuple[Policy, StockItem, Decimal | None, list[Said], bytes],
):
    first = first_price(find_margin(*before[:2], NOW, before[2]), None, before[0].menu.first)
    if isinstance(first, Pass):
        return
    said = [Said("vendor", first, before[0].menu.first)]
    margin = find_margin(*after[:2], NOW, after[2])
    for one in after[3]:
        said.append(one)
        found = answer(margin, *said, secret=after[4])
        if isinstance(found, Pass):
            return
        assert margin.net(found.price, found.conditions) >= margin.floor
        assert fees_of(found.price) == fees_of(first)
        assert all(found.price.total <= offer.price.total for offer in said if offer.by == "vendor"
                   and offer.conditions == found.conditions)  # fmt: skip
        said.append(Said("vendor", found.price, found.conditions))


@settings(max_examples=100, deadline=None)
@given(st.decimals(0, 20_000, places=2), st.integers(0, 9), st.sampled_from(STRATEGIES), ASKED)
def test_no_text_tells_the_floor_the_ladder_or_the_costs(total: Decimal, rounds: int, strategy: str, asked: Conditions):
    policy = replace(read_policy(HEAD + MENU + 'ladder = ["0%", "2.41%", "4.43%", "6.47%"]'), strategy=strategy)
    margin = find_margin(policy, golf(), NOW)
    found = answer(margin, opening(margin), Said("person", price_of(f"{total:f}"), asked), rounds=rounds)
    texts = [found.reason] if isinstance(found, Pass) else [part.name for part in found.price.components]
    assert not [text for text in texts if re.search(r"floor|ladder|minimum|lowest|cost|%|\d", text)]
    assert str(margin.floor) not in repr(margin)
