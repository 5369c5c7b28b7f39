"""No quote goes below the floor, back on its word, or past the budget; no text tells the policy."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.match import Match, Stock
from intentcast_agent.vendor.policy import Fee, Percent, Policy, read_policy
from intentcast_agent.vendor.quote import (
    MAX_DEVIATIONS,
    MAX_SENTENCE,
    Ask,
    Hold,
    Move,
    Pass,
    Quote,
    answer_counter,
    best_quote,
    first_quote,
)
from intentcast_protocol.area import Area
from intentcast_protocol.constraint import Fit, read_constraints
from intentcast_protocol.demand import Budget, Demand
from intentcast_protocol.offer import read_offer
from intentcast_protocol.quantity import minor_digits
from intentcast_protocol.record import sign
from intentcast_protocol.terms import ROSTER
from intentcast_protocol.testing import CARS, NOW, make_demand, offer_body, seed
from intentcast_protocol.vocabulary import Component, Price, read_price, write_price

_, DEMAND = make_demand()
LIST = Decimal("17900.00")
POLICY = read_policy("""
name = "Autohof Noord"
currency = "EUR"
floor = "92.37%"
ladder = ["0%", "2.41%", "4.43%", "6.47%"]
validity = "10m"
sells_in = ["NL", "DE"]
delivery = "150.00"
fees = [{name = "Registration", price = "95.00"}]
""")
EXTRAS = Decimal("245.00")


def golf(price: str = "17900.00", currency: str = "EUR", unit: str | None = None, **item: Any) -> StockItem:
    body = {"@type": "Car", "name": "2018 Volkswagen Golf", "category": CARS,
            "mileageFromOdometer": {"value": "64044", "unitCode": "KMT"}, **item}  # fmt: skip
    return StockItem(
        "golf", {key: value for key, value in body.items() if value is not None}, price, currency, unit=unit
    )


def first(policy: Policy, item: StockItem, demand: Demand, *, answered: bool = False) -> Quote | Ask | Pass:
    match = Stock([item]).find(item.sku, demand)
    assert match
    return first_quote(policy, match, demand, NOW, answered=answered)


def quoted(
    policy: Policy = POLICY, item: StockItem | None = None, demand: Demand = DEMAND, answered: bool = False
) -> Quote:
    quote = first(policy, item or golf(), demand, answered=answered)
    assert isinstance(quote, Quote), quote
    return quote


def budget(amount: str, currency: str = "EUR", unit: str | None = None) -> Demand:
    return replace(DEMAND, budget=Budget(Decimal(amount), currency, unit))


def asking(*wishes: dict[str, Any]) -> Demand:
    return replace(DEMAND, constraints=read_constraints(list(wishes)))


def whys(demand: Demand, item: StockItem) -> list[str]:
    return [found.why for found in demand.judge({"itemOffered": item.item}).findings]


def price_of(total: str, currency: str = "EUR", unit: str | None = None) -> Price:
    return Price(Decimal(total), currency, unit, (Component("price", "Car", Decimal(total)),))


def counter(last: Price, total: str, rounds: int, policy: Policy = POLICY) -> Move | Hold | Pass:
    return answer_counter(policy, LIST, last, price_of(total), rounds, NOW, DEMAND.expires)


class TestFirstQuote:
    def test_price_is_itemised_and_adds_up(self):
        quote = quoted(demand=budget("20000.00"))
        assert quote.price == Price(
            Decimal("18145.00"), "EUR", None,
            (Component("price", "List price", LIST), Component("fee", "Registration", Decimal("95.00")),
             Component("delivery", "Delivery", Decimal("150.00"))),
        )  # fmt: skip
        assert (quote.deviations, quote.terms) == ((), ROSTER["SD-BASE-DP"])

    def test_first_step_of_the_ladder_is_a_discount(self):
        policy = replace(POLICY, ladder=(Percent(Decimal(2)),))
        assert Component("discount", "Discount", Decimal("-358.00")) in quoted(policy).price.components

    def test_quote_stands_for_the_validity_and_no_longer_than_the_demand(self):
        assert quoted().expires == NOW + 600
        assert quoted(demand=replace(DEMAND, expires=NOW + 5)).expires == NOW + 5

    def test_quote_makes_an_offer_that_the_protocol_reads(self):
        quote, demand = quoted(), DEMAND
        body = offer_body(demand.id, quote.expires, priceSpecification=write_price(quote.price),
                          deviations=list(quote.deviations), termsAccepted=quote.terms.wire())  # fmt: skip
        offer = read_offer(sign("offer", seed("V"), body, created=NOW, expires=quote.expires, to=demand.author,
                                session=demand.author, seq=1))  # fmt: skip
        assert offer.price == quote.price

    def test_quote_above_the_budget_comes_down_to_exactly_the_budget(self):
        quote = quoted(demand=budget("17500.00"))
        assert quote.price.total == Decimal("17500.00")
        assert sum(part.amount for part in quote.price.components) == Decimal("17500.00")

    def test_budget_below_the_ladders_last_step_is_passed_over_though_the_floor_would_allow_it(self):
        lowest = POLICY.allowed(LIST, 99) + EXTRAS
        assert quoted(demand=budget(str(lowest))).price.total == lowest
        assert POLICY.least(LIST) + EXTRAS < lowest - Decimal("0.01")
        assert first(POLICY, golf(), budget(str(lowest - Decimal("0.01")))) == Pass("the price is above the budget")

    def test_without_a_budget_the_list_price_is_quoted(self):
        assert quoted(demand=replace(DEMAND, budget=None)).price.total == LIST + EXTRAS

    def test_fees_for_what_is_priced_once_stay_out_of_a_monthly_price(self):
        policy = replace(POLICY, fees=(*POLICY.fees, Fee("fee", "SIM", Decimal("1.00"), "MON")))
        quote = quoted(policy, golf("9.90", unit="MON"), budget("12.00", unit="MON"))
        assert (quote.price.total, quote.price.unit) == (Decimal("10.90"), "MON")

    @pytest.mark.parametrize(
        ("policy", "item", "demand", "reason"),
        [
            (POLICY, golf(currency="USD"), DEMAND, "the item is not listed in our currency"),
            (POLICY, golf(), budget("20000.00", "USD"), "the budget is in another currency"),
            (POLICY, golf(unit="MON"), DEMAND, "the budget and the price are not per the same unit"),
            (POLICY, golf(), budget("900.00", unit="MON"), "the budget and the price are not per the same unit"),
            (POLICY, golf(), replace(DEMAND, area=Area((), ("FR",))), "the demand lies outside the area we serve"),
            (replace(POLICY, area=Area(("gcp",))), golf(), DEMAND, "the demand lies outside the area we serve"),
            (replace(POLICY, terms=(ROSTER["PDC-INTENT"],)), golf(), DEMAND,
             "we accept none of the terms the demand proffers"),
            (replace(POLICY, categories=("services",)), golf(), DEMAND,
             "the item lies outside the categories we offer"),
            (POLICY, golf(), replace(DEMAND, expires=NOW), "the demand has ended"),
            (POLICY, golf("17900"), DEMAND, "the item's list price is not an amount in its currency"),
            (replace(POLICY, floor=Decimal("18000.00")), golf(), DEMAND, "the policy does not sell at this list price"),
            (POLICY, golf("999999999999999.00"), replace(DEMAND, budget=None), "the total is too large to be written"),
        ],
    )  # fmt: skip
    def test_what_the_policy_does_not_serve_is_passed_over(
        self, policy: Policy, item: StockItem, demand: Demand, reason: str
    ):
        assert first(policy, item, demand) == Pass(reason)

    def test_persons_preference_among_the_accepted_terms_decides(self):
        demand = replace(DEMAND, terms=replace(DEMAND.terms, deal=(ROSTER["SD-BASE"], ROSTER["SD-BASE-DP"])))
        assert quoted(demand=demand).terms == ROSTER["SD-BASE"]
        assert quoted(replace(POLICY, terms=(ROSTER["SD-BASE-DP"],)), demand=demand).terms == ROSTER["SD-BASE-DP"]


class TestWhatIsUnknownOrUnmet:
    def test_unknown_must_have_is_asked_about_first(self):
        item = golf(mileageFromOdometer=None)
        ask = first(POLICY, item, DEMAND)
        assert ask == Ask(
            "itemOffered.mileageFromOdometer",
            f"2018 Volkswagen Golf: {whys(DEMAND, item)[0]}. These are must-haves of yours: "
            "shall we offer it all the same?",
            ROSTER["SD-BASE-DP"],
        )

    def test_once_answered_the_unknown_is_listed_as_a_deviation(self):
        item = golf(mileageFromOdometer=None)
        assert quoted(item=item, answered=True).deviations == tuple(whys(DEMAND, item))

    def test_unknown_that_is_allowed_is_neither_asked_nor_listed(self):
        quote = quoted(demand=asking({"path": "itemOffered.color", "op": "eq", "value": "blue", "onUnknown": "allow"}))
        assert quote.deviations == ()

    def test_unmet_must_have_is_passed_over_unless_the_policy_answers_with_alternatives(self):
        item = golf(mileageFromOdometer={"value": "128000", "unitCode": "KMT"}, color="red")
        demand = asking(
            {"path": "itemOffered.mileageFromOdometer", "op": "le", "value": "90000", "unitCode": "KMT"},
            {"path": "itemOffered.color", "op": "eq", "value": "blue"},
            {"path": "itemOffered.vin", "op": "exists", "value": True, "onUnknown": "reject"},
            {"path": "itemOffered.name", "op": "like", "value": "estate", "strength": "want"},
        )
        assert isinstance(first(POLICY, item, demand), Pass)
        quote = quoted(replace(POLICY, answers_alternatives=True), item, demand)
        assert quote.deviations == tuple(whys(demand, item)[:3])
        assert "128000" in quote.deviations[0]

    def test_alternative_still_keeps_the_budget(self):
        policy = replace(POLICY, answers_alternatives=True)
        assert first(policy, golf(), budget("9000.00")) == Pass("the price is above the budget")

    def test_wish_about_the_price_or_the_seller_is_judged_with_the_offer(self):
        price = {"path": "priceSpecification", "op": "le", "value": "18000.00", "priceCurrency": "EUR"}
        home = {"path": "offeredBy.jurisdiction", "op": "eq", "value": "NL"}
        assert isinstance(first(POLICY, golf(), replace(asking(price), budget=None)), Pass)
        assert isinstance(first(POLICY, golf(), asking(home)), Ask)
        assert quoted(replace(POLICY, jurisdiction="NL"), demand=asking(home)).deviations == ()

    def test_deviations_fit_into_an_offer_whatever_the_demand_says(self):
        long = [f"{at:03}\n" + "x" * 190 for at in range(60)]
        wishes = [{"path": f"itemOffered.a{at}", "op": "in", "value": long} for at in range(60)]
        item = golf(**{f"a{at}": "red\u202e" for at in range(60)})
        quote = quoted(replace(POLICY, answers_alternatives=True), item, asking(*wishes))
        body = offer_body(DEMAND.id, NOW + 9, deviations=list(quote.deviations))
        record = sign(
            "offer", seed("V"), body, created=NOW, expires=NOW + 9, to=DEMAND.author, session=DEMAND.author, seq=1
        )
        assert read_offer(record).deviations == quote.deviations
        assert len(quote.deviations) == MAX_DEVIATIONS
        assert quote.deviations[-1] == "29 more must-haves are not met"
        assert max(map(len, quote.deviations)) == MAX_SENTENCE
        ask = first(POLICY, golf(name=None), asking(*wishes))
        assert isinstance(ask, Ask)
        assert len(ask.text) <= 1_000
        assert ask.text.startswith("golf: a0 ")


class TestBestQuote:
    def test_item_above_the_budget_gives_way_to_one_within_it(self):
        rich = replace(golf("30000.00", color="blue"), sku="rich")
        stock = Stock([rich, golf()])
        demand = asking({"path": "itemOffered.color", "op": "eq", "value": "blue", "strength": "want"})
        assert [match.item.sku for match in stock.match(demand)] == ["rich", "golf"]
        found = best_quote(POLICY, stock, demand, NOW)
        assert isinstance(found, tuple)
        assert found[0].item.sku == "golf"
        assert found[1] == first(POLICY, golf(), demand)

    def test_fifty_items_above_the_budget_do_not_hide_the_one_within_it(self):
        rich = [replace(golf("30000.00", color="blue"), sku=f"rich{at}") for at in range(50)]
        demand = asking({"path": "itemOffered.color", "op": "eq", "value": "blue", "strength": "want"})
        found = best_quote(POLICY, Stock([*rich, golf()]), demand, NOW)
        assert isinstance(found, tuple)
        assert found[0].item.sku == "golf"

    def test_item_whose_offer_would_fail_gives_way_to_the_next(self):
        stock = Stock([golf(), replace(golf("17000.00", mileageFromOdometer=None), sku="unknown")])
        cheap = {"path": "priceSpecification", "op": "ge", "value": "18000.00", "priceCurrency": "EUR"}
        found = best_quote(POLICY, stock, replace(asking(cheap), budget=None), NOW)
        assert isinstance(found, tuple)
        assert found[0].item.sku == "golf"

    def test_nothing_is_quoted_beyond_stock(self):
        assert isinstance(best_quote(POLICY, Stock([golf()]), DEMAND, NOW), tuple)
        assert isinstance(best_quote(POLICY, Stock([golf()]), DEMAND, NOW, {"golf": 1}), Pass)
        assert isinstance(best_quote(POLICY, Stock([]), DEMAND, NOW), Pass)
        assert isinstance(best_quote(POLICY, Stock([golf()]), replace(DEMAND, expires=NOW), NOW), Pass)


class TestAnswerCounter:
    LAST = Price(
        LIST + EXTRAS, "EUR", None,
        (Component("price", "List price", LIST), Component("fee", "Registration", Decimal("95.00")),
         Component("delivery", "Delivery", Decimal("150.00"))),
    )  # fmt: skip

    def test_low_counters_walk_down_the_ladder_and_then_meet_a_final_price(self):
        last, totals = self.LAST, []
        for rounds in (1, 2, 3):
            answer = counter(last, "1.00", rounds)
            assert isinstance(answer, Move)
            last = answer.price
            totals.append(str(last.total))
        assert totals == ["17713.61", "17352.03", "16986.87"]
        assert counter(last, "1.00", 4) == Hold(last, NOW + 600)

    def test_counter_the_ladder_allows_is_agreed_to_exactly(self):
        answer = counter(self.LAST, "17713.62", 1)
        assert isinstance(answer, Move)
        assert answer.price.total == Decimal("17713.62")
        assert answer.price.components[1:] == (
            Component("discount", "Discount", Decimal("-431.38")), *self.LAST.components[1:],
        )  # fmt: skip

    @pytest.mark.parametrize("total", ["18145.00", "18145.01", "99999.00"])
    def test_counter_at_or_above_the_last_offer_gets_the_last_offer(self, total: str):
        assert counter(self.LAST, total, 1) == Move(self.LAST, NOW + 600)

    def test_quote_that_met_the_budget_is_not_taken_back(self):
        last = quoted(demand=budget("17200.00")).price
        assert counter(last, "1.00", 1) == Hold(last, NOW + 600)
        assert counter(last, "17300.00", 1) == Move(last, NOW + 600)
        assert isinstance(counter(last, "1.00", 3), Move)

    def test_counter_in_another_currency_or_unit_is_no_reason_to_agree(self):
        for other in (price_of("18000.00", "USD"), price_of("18000.00", unit="MON")):
            answer = answer_counter(POLICY, LIST, self.LAST, other, 1, NOW, DEMAND.expires)
            assert isinstance(answer, Move)
            assert answer.price.total == Decimal("17713.61")

    def test_rounds_cap_ends_the_concessions(self):
        policy = replace(POLICY, rounds=1)
        last = counter(self.LAST, "1.00", 1, policy)
        assert isinstance(last, Move)
        assert counter(last.price, "17700.00", 2, policy) == Hold(last.price, NOW + 600)

    def test_no_answer_after_the_demand_or_below_a_floor_raised_since(self):
        low = price_of("10000.00")
        assert answer_counter(POLICY, LIST, self.LAST, low, 1, NOW, NOW) == Pass("the demand has ended")
        assert counter(low, "9999.00", 1) == Pass("we no longer sell at the last price")
        dollars = price_of("18000.00", "USD")
        assert counter(dollars, "1.00", 1) == Pass("the price is not in our currency")

    def test_list_price_that_fell_since_never_shows_a_negative_discount(self):
        answer = answer_counter(POLICY, Decimal("17000.00"), self.LAST, price_of("18000.00"), 1, NOW, DEMAND.expires)
        assert isinstance(answer, Move)
        assert read_price(write_price(answer.price), "invalid.offer.malformed") == answer.price
        assert answer.price.total == Decimal("18000.00")


PERCENTS = st.decimals(0, 100, places=2).map(Percent)


@st.composite
def bargains(draw: st.DrawFn) -> tuple[Policy, Decimal, Demand, list[Decimal]]:
    """A policy, a list price, a demand and the totals a person counters with, in one currency."""
    currency = draw(st.sampled_from(["EUR", "JPY", "KWD"]))
    amounts = st.decimals(0, 20_000, places=minor_digits(currency))
    policy = Policy(
        name="A",
        currency=currency,
        floor=draw(PERCENTS | amounts),
        ladder=tuple(sorted(draw(st.lists(PERCENTS, min_size=1, max_size=5)), key=lambda step: step.value)),
        fees=tuple(
            Fee(kind, kind, draw(amounts)) for kind in draw(st.sets(st.sampled_from(["fee", "delivery", "tax"])))
        ),
        rounds=draw(st.integers(0, 6)),
        validity=draw(st.integers(60, 9_999)),
    )
    list_price = draw(amounts.filter(lambda amount: amount > 0))
    limit = draw(st.none() | st.decimals(0, 60_000, places=minor_digits(currency)))
    demand = replace(DEMAND, budget=None if limit is None else Budget(limit, currency, None))
    return policy, list_price, demand, draw(st.lists(st.decimals(0, 60_000, places=minor_digits(currency)), max_size=8))


@settings(max_examples=500, deadline=None)
@given(bargains())
def test_no_bargain_goes_below_the_floor_above_the_last_total_or_past_the_budget(
    bargain: tuple[Policy, Decimal, Demand, list[Decimal]],
):
    policy, list_price, demand, counters = bargain
    digits = minor_digits(policy.currency)
    item = golf(f"{list_price:f}", policy.currency)
    quote = first(policy, item, demand)
    if isinstance(quote, Pass):
        assert demand.budget or policy.least(list_price) > list_price
        return
    assert isinstance(quote, Quote)
    assert demand.budget is None or quote.price.total <= demand.budget.amount
    extras = sum((fee.amount for fee in policy.fees), Decimal(0))
    last, held = quote.price, False
    for rounds, total in enumerate([None, *counters]):
        if total is not None:
            asked = price_of(f"{total:f}", policy.currency)
            answer = answer_counter(policy, list_price, last, asked, rounds, NOW, demand.expires)
            assert isinstance(answer, Move | Hold)
            assert answer.price.total <= last.total
            assert NOW < answer.expires <= min(NOW + policy.validity, demand.expires)
            held = isinstance(answer, Hold)
            assert not held or (answer.price == last and total < last.total)
            agreed = total >= policy.allowed(list_price, rounds) + extras
            assert not agreed or answer.price.total == min(total, last.total)
            last = answer.price
        assert last.total - extras >= policy.least(list_price)
        assert last.total >= policy.allowed(list_price, policy.rounds) + extras
        assert last.total == sum(part.amount for part in last.components)
        assert read_price(write_price(last), "invalid.offer.malformed") == last
        assert all(-int(part.amount.as_tuple().exponent) == digits for part in last.components)


@settings(max_examples=200, deadline=None)
@given(st.decimals("0.01", 20_000, places=2), st.decimals(0, 20_000, places=2), st.integers(0, 9), st.booleans())
def test_no_text_tells_the_floor_or_the_ladder(limit: Decimal, total: Decimal, rounds: int, answered: bool):
    policy = replace(POLICY, answers_alternatives=answered)
    demand = replace(
        asking({"path": "itemOffered.color", "op": "eq", "value": "blue"}), budget=Budget(limit, "EUR", None)
    )
    first_answer = first(policy, golf(color="red" if answered else None), demand, answered=answered)
    answer = answer_counter(policy, LIST, TestAnswerCounter.LAST, price_of(f"{total:f}"), rounds, NOW, DEMAND.expires)
    texts: list[str] = []
    for outcome in (first_answer, answer):
        match outcome:
            case Pass(reason):
                texts.append(reason)
            case Ask(_, text, _):
                texts.append(text)
            case Quote(price, deviations, _, _):
                texts += [*deviations, *(part.name for part in price.components)]
            case Move(price, _) | Hold(price, _):
                texts += [part.name for part in price.components]
    steps = [policy.allowed(LIST, at) for at in range(9)]
    secrets = [str(policy.least(LIST)), "92.37", "2.41", "4.43", "6.47", *map(str, steps[1:])]
    assert not [text for text in texts if any(secret in text for secret in secrets)]
    assert not [text for text in texts if re.search(r"floor|ladder|minimum|lowest|%", text)]


def test_match_and_offer_agree_on_the_fit():
    item = golf()
    match = Stock([item]).find("golf", DEMAND)
    assert isinstance(match, Match)
    assert match.judgement.fit is Fit.FITS
