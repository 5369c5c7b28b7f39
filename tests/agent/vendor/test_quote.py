"""No first offer goes below the floor or past the budget; no text tells the policy."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.vendor.entry import Percent
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.match import Match, Stock
from intentcast_agent.vendor.policy import Fee, Policy, read_policy
from intentcast_agent.vendor.quote import (
    MAX_DEVIATIONS,
    MAX_SENTENCE,
    Ask,
    Pass,
    Quote,
    best_quote,
    first_quote,
    restate,
)
from intentcast_protocol.area import Area
from intentcast_protocol.conditions import Conditions
from intentcast_protocol.constraint import Fit, read_constraints
from intentcast_protocol.demand import Budget, Demand
from intentcast_protocol.offer import read_offer
from intentcast_protocol.record import sign
from intentcast_protocol.terms import ROSTER
from intentcast_protocol.testing import CARS, NOW, make_demand, offer_body, seed
from intentcast_protocol.vocabulary import Component, Price, write_price

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
        lowest = POLICY.step(LIST, 99) + EXTRAS
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


class TestConditions:
    MENU = read_policy("""
name = "Autohof Noord"
currency = "EUR"
floor = "90%"
strategy = "linear"
delivery_in = {costs = {"3 days" = "120.00", "14 days" = "20.00"}, first = "14 days"}
warranty = {costs = {"12 months" = "0.00", "24 months" = "180.00"}, first = "24 months"}
extras = {costs = {"Winter tyres" = "240.00"}}
""")

    def test_first_offer_is_the_list_price_with_the_conditions_that_come_first(self):
        quote = quoted(self.MENU)
        assert quote.conditions == Conditions(14, 24)
        assert (quote.price.total, quote.concession) == (LIST, 0)

    def test_must_have_about_a_condition_is_met_from_the_menu_at_its_cost(self):
        soon = {"path": "deliveryLeadTime", "op": "le", "value": "5", "unitCode": "DAY"}
        quote = quoted(self.MENU, demand=asking(soon))
        assert (quote.conditions, quote.deviations) == (Conditions(3, 24), ())
        assert quote.price.components == (Component("price", "Price", LIST + 100),)
        assert quote.concession == 0
        today = {"path": "deliveryLeadTime", "op": "le", "value": "1", "unitCode": "DAY"}
        assert isinstance(first(self.MENU, golf(), asking(today)), Pass)
        alternative = quoted(replace(self.MENU, answers_alternatives=True), demand=asking(today))
        assert alternative.conditions == Conditions(14, 24)
        assert len(alternative.deviations) == 1

    def test_deviations_follow_the_price_and_the_conditions_and_keep_the_rest(self):
        soon = {"path": "deliveryLeadTime", "op": "le", "value": "1", "unitCode": "DAY"}
        cheap = {"path": "priceSpecification", "op": "le", "value": "17000.00", "priceCurrency": "EUR"}
        blue = {"path": "itemOffered.color", "op": "eq", "value": "blue"}
        demand = replace(asking(blue, soon, cheap), budget=None)
        quote = quoted(replace(self.MENU, answers_alternatives=True), golf(color="red"), demand)
        assert len(quote.deviations) == 3
        terms = quote.price, quote.conditions
        assert restate(quote.deviations, demand, terms, terms) == quote.deviations
        better = replace(quote.price, total=Decimal("17000.00")), Conditions(1, 24)
        assert restate(quote.deviations, demand, terms, better) == quote.deviations[:1]
        assert restate(quote.deviations[:1], demand, better, terms) == quote.deviations
        assert "3 days" in restate(quote.deviations, demand, terms, (quote.price, Conditions(3, 24)))[1]

    def test_budget_too_small_for_the_first_conditions_is_met_with_the_cheapest(self):
        net = LIST - 200
        floor = Decimal("16110.00")
        quote = quoted(self.MENU, demand=budget(str(floor + 200)))
        assert (quote.conditions, quote.price.total) == (Conditions(14, 24), floor + 200)
        quote = quoted(self.MENU, demand=budget(str(floor + 199)))
        assert (quote.conditions, quote.price.total) == (Conditions(14, 12), floor + 199)
        assert quote.concession == net - (floor + 179)
        assert first(self.MENU, golf(), budget(str(floor + 19))) == Pass("the price is above the budget")

    def test_old_stock_goes_for_less_and_an_overdrawn_budget_for_no_less(self):
        policy = replace(self.MENU, ages=((60 * 86_400, Percent(Decimal(80))),))
        old = replace(golf(), listed=NOW - 60 * 86_400)
        low = budget("15000.00")
        assert isinstance(first(policy, golf(), low), Pass)
        assert isinstance(first(policy, replace(golf(), listed=NOW - 60 * 86_400 + 1), low), Pass)
        assert quoted(policy, old, low).price.total == Decimal("15000.00")
        match = Stock([old]).find("golf", low)
        assert match
        assert isinstance(first_quote(policy, match, low, NOW, left=Decimal("2000.00")), Pass)
        cheap = budget("16000.00")
        found = first_quote(policy, match, cheap, NOW, left=Decimal("2000.00"))
        assert isinstance(found, Quote)
        assert found.concession <= 2_000


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


@settings(max_examples=200, deadline=None)
@given(st.decimals("0.01", 20_000, places=2), st.booleans())
def test_no_text_tells_the_floor_or_the_ladder(limit: Decimal, answered: bool):
    policy = replace(POLICY, answers_alternatives=answered)
    demand = replace(
        asking({"path": "itemOffered.color", "op": "eq", "value": "blue"}), budget=Budget(limit, "EUR", None)
    )
    texts: list[str] = []
    match first(policy, golf(color="red" if answered else None), demand, answered=answered):
        case Pass(reason):
            texts.append(reason)
        case Ask(_, text, _):
            texts.append(text)
        case Quote(price, deviations):
            texts += [*deviations, *(part.name for part in price.components)]
    steps = [policy.step(LIST, at) for at in range(9)]
    secrets = [str(policy.least(LIST)), "92.37", "2.41", "4.43", "6.47", *map(str, steps[1:])]
    assert not [text for text in texts if any(secret in text for secret in secrets)]
    assert not [text for text in texts if re.search(r"floor|ladder|minimum|lowest|%", text)]


def test_match_and_offer_agree_on_the_fit():
    item = golf()
    match = Stock([item]).find("golf", DEMAND)
    assert isinstance(match, Match)
    assert match.judgement.fit is Fit.FITS
