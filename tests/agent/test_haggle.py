"""What to say next, decided without a loop: within the mandate, from all threads at once, the same after a restart."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.bargain.bidding import DEFAULT, STRATEGIES
from intentcast_agent.bargain.negotiator import Negotiator
from intentcast_agent.person import haggle
from intentcast_agent.person.criteriafile import read_criteria
from intentcast_agent.person.haggle import MOST_OUTCOMES, MOST_THREADS, Plan, Talk, plan
from intentcast_agent.person.mandate import Instructions, read_instructions
from intentcast_agent.person.presets import preset
from intentcast_protocol.conditions import Choices, Conditions, read_conditions, write_choices, write_conditions
from intentcast_protocol.demand import Demand
from intentcast_protocol.identity import Key, public_key
from intentcast_protocol.limits import MAX_CHOICES
from intentcast_protocol.offer import read_counter, read_offer
from intentcast_protocol.record import sign
from intentcast_protocol.testing import NOW, make_demand, offer_body, price_body, seed
from intentcast_protocol.vocabulary import read_price

_, DEMAND = make_demand()
CRITERIA = read_criteria(preset(DEMAND.category)[1])
MANDATE = """\
most = "17500 EUR"
rounds = 5
within = "1h"
witnesses = 0
[acts]
counter = "auto"
accept = "auto"
"""


def instructions(text: str = MANDATE, demand: Demand = DEMAND) -> Instructions:
    return read_instructions(text, demand, NOW, bytes(16))


@dataclass
class Shop:
    """A vendor in the test's hand: lists a price, comes down a step for each counter, never under its floor."""

    name: str
    price: int = 17_900
    floor: int = 16_500
    step: int = 300
    conditions: Conditions = field(default_factory=Conditions)
    choices: Choices = field(default_factory=Choices)
    changes: dict[str, Any] = field(default_factory=dict)
    life: int = 7_200
    said: list[Any] = field(default_factory=list)
    rounds: int = 0
    silent: bool = False

    @property
    def key(self) -> Key:
        return public_key(seed(f"{self.name} session"))

    def chain(self) -> dict[str, Any]:
        """Return a place in the session; what is bargained looks at none."""
        return {"seq": len(self.said) + 1} | ({"prev": bytes(32)} if self.said else {})

    def offer(self, total: int, conditions: Conditions, now: int = NOW) -> None:
        body = offer_body(DEMAND.id, now + self.life, priceSpecification=price_body(f"{total}.00"))
        body |= {**write_conditions(conditions), "negotiable": write_choices(self.choices), **self.changes}
        record = sign("offer", seed(self.name), body, created=now, expires=now + self.life,
                      to=DEMAND.author, session=self.key, **self.chain())  # fmt: skip
        self.said.append((read_offer(record), record))

    def hear(self, terms: dict[str, Any], now: int = NOW) -> None:
        """Take in a counter, and answer it."""
        body = {"demand": DEMAND.id, "offer": self.said[-1][1].id, **terms}
        record = sign("counter", seed("D"), body, created=now, expires=now + 600,
                      to=public_key(seed(self.name)), session=self.key, **self.chain())  # fmt: skip
        self.rounds += 1
        self.said.append(read_counter(record))
        if self.silent:
            return
        asked = int(read_price(terms["priceSpecification"], "invalid.offer.malformed").total)
        self.price = max(self.floor, min(self.price - self.step, max(asked, self.floor)), 0)
        self.offer(
            max(self.price, asked if asked >= self.price else 0), read_conditions(terms, "invalid.offer.malformed"), now
        )

    def talk(self, now: int = NOW) -> Talk:
        newest = next(one for one in reversed(self.said) if isinstance(one, tuple))[0]
        live = now <= newest.expires
        return Talk(self.key, tuple(self.said), live, live and isinstance(self.said[-1], tuple), self.rounds, 0)


def look(*shops: Shop, now: int = NOW + 400, given: Instructions | None = None, strategy: str = DEFAULT,
         secret: bytes = b"secret") -> Plan:  # fmt: skip
    return plan([shop.talk(now) for shop in shops], DEMAND, CRITERIA, given or instructions(),
                strategy=strategy, secret=secret, started=NOW, now=now)  # fmt: skip


def bargain(*shops: Shop, given: Instructions | None = None, strategy: str = DEFAULT) -> Plan:
    """Let it run, a second a turn, until it takes an offer, ends, or has nothing to say."""
    for shop in shops:
        if not shop.said:
            shop.offer(shop.price, shop.conditions)
    for at in range(40):
        found = look(*shops, now=NOW + 400 + at, given=given, strategy=strategy)
        if found.take or found.over or not found.says:
            return found
        for say in found.says:
            next(shop for shop in shops if shop.key == say.key).hear(say.terms, NOW + 400 + at)
    raise AssertionError("it never ended")


def counters(shop: Shop) -> list[Decimal]:
    return [one.price.total for one in shop.said if not isinstance(one, tuple)]


def taken(found: Plan, *shops: Shop) -> Decimal:
    assert found.take
    shop = next(one for one in shops if one.key == found.take.key)
    total: Decimal = shop.said[-1][0].price.total
    return total


def test_it_haggles_and_takes_a_better_offer_than_the_first() -> None:
    shop = Shop("A")
    found = bargain(shop)
    assert taken(found, shop) < 17_500
    assert found.take
    assert found.take.ruling.decision == "allowed"
    assert 1 <= len(counters(shop)) <= 5


def test_counters_never_go_over_the_most_nor_back() -> None:
    shop = Shop("A", price=19_000, floor=18_400)
    found = bargain(shop)
    assert all(total <= 17_500 for total in counters(shop))
    assert counters(shop) == sorted(counters(shop))
    assert found.take is None


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("price", [17_900, 21_000, 40_000, 10**9])
@pytest.mark.parametrize("late", [400, 3_590])
def test_no_counter_tells_the_most(strategy: str, price: int, late: int) -> None:
    """Neither to a vendor that opens absurdly high, nor to one that answers at the last moment, nor to a stubborn."""
    shop = Shop("A", price=price, floor=price, step=0)
    shop.offer(price, shop.conditions)
    for at in range(5):
        for say in look(shop, now=NOW + late + at, given=instructions(MANDATE), strategy=strategy).says:
            shop.hear(say.terms, NOW + late + at)
    assert counters(shop)
    assert max(counters(shop)) <= 17_500 * Decimal("0.995")
    assert counters(shop)[0] <= 17_500 * Decimal("0.97") or late > 400


def test_an_offer_between_the_last_word_and_the_most_is_still_taken() -> None:
    shop = Shop("A", price=17_500, floor=17_500, step=0)
    found = bargain(shop)
    assert counters(shop)
    assert taken(found, shop) == 17_500


def test_of_too_many_vendors_those_that_ask_least_are_bargained_with() -> None:
    shops = [Shop(f"v{at}", price=17_000 + at) for at in range(MOST_THREADS + 20)]
    for shop in shops:
        shop.offer(shop.price, shop.conditions)
    found = look(*reversed(shops))
    assert {say.key for say in found.says} == {shop.key for shop in shops[:MOST_THREADS]}


def test_offers_that_fail_the_demand_crowd_nobody_out() -> None:
    item = {"category": DEMAND.category, "mileageFromOdometer": {"value": "120000", "unitCode": "KMT"}}
    odd = [Shop(f"v{at}", price=1, changes={"itemOffered": item}) for at in range(MOST_THREADS)]
    fine = Shop("A")
    for shop in (*odd, fine):
        shop.offer(shop.price, shop.conditions)
    assert [say.key for say in look(*odd, fine).says] == [fine.key]


def test_however_many_choices_there_are_few_terms_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    weighed = []

    def weigh(outcomes: Any, *args: Any, **named: Any) -> Negotiator:
        weighed.extend(outcomes)
        return Negotiator(outcomes, *args, **named)

    monkeypatch.setattr(haggle, "Negotiator", weigh)
    eight = tuple(range(1, 9))
    had = Conditions(30, 60, tuple("uvwxyz"))
    shop = Shop("A", conditions=had, choices=Choices(eight, eight, tuple("abcdefgh")))
    shop.offer(17_900, shop.conditions)
    assert look(shop).says
    assert 0 < len(weighed) <= MOST_OUTCOMES
    assert max(sum(extras) for _, _, _, *extras in weighed) <= MAX_CHOICES  # more would be no counter


def test_several_vendors_bring_more_than_one() -> None:
    alone, *rivals = (Shop(name, floor=15_600, step=350) for name in "ABCD")
    single = taken(bargain(alone), alone)
    first = Shop("A", floor=15_600, step=350)
    assert taken(bargain(first, *rivals), first, *rivals) <= single


def test_what_a_rival_offers_ends_a_thread_and_never_takes_a_counter_back() -> None:
    slow, quick = Shop("A", floor=17_000, step=100), Shop("B", floor=14_000, step=1_200)
    bargain(slow, quick)
    assert counters(slow)
    assert counters(slow) == sorted(counters(slow))


def test_the_best_standing_offer_is_taken_when_all_have_come_to_rest() -> None:
    dear, cheap = Shop("A", floor=17_000), Shop("B", floor=15_200)
    found = bargain(dear, cheap)
    assert found.take
    assert found.take.key == cheap.key


def test_it_asks_for_the_conditions_that_count_for_the_person() -> None:
    choices = Choices((3, 7, 30), (6, 24), ("Winter tyres",))
    shop = Shop("A", conditions=Conditions(30, 6), choices=choices)
    shop.offer(17_900, shop.conditions)
    (say,) = look(shop).says
    asked = read_conditions(say.terms, "invalid.offer.malformed")
    assert asked.delivery in (3, 7, 30)
    assert asked.warranty in (6, 24)
    assert asked != shop.conditions


def test_a_bound_on_a_condition_is_kept_by_every_counter() -> None:
    shop = Shop("A", conditions=Conditions(30), choices=Choices((7, 14, 30)))
    given = instructions(MANDATE + '[[bound]]\npath = "deliveryLeadTime"\nop = "le"\nvalue = "14"\nunit = "DAY"\n')
    found = bargain(shop, given=given)
    asked = [one.conditions.delivery for one in shop.said if not isinstance(one, tuple)]
    assert asked
    assert all(days is not None and days <= 14 for days in asked)
    assert found.take is None or shop.said[-1][0].conditions.delivery <= 14


def test_a_least_price_is_a_bound_like_another() -> None:
    shop = Shop("A")
    least = '[[bound]]\npath = "priceSpecification"\nop = "ge"\nvalue = "16000.00"\ncurrency = "EUR"\n'
    found = bargain(shop, given=instructions(MANDATE + least))
    assert min(counters(shop)) >= 16_000
    assert found.take


def test_an_indicative_offer_is_countered_and_never_taken() -> None:
    shop = Shop("A", price=15_000)
    shop.offer(15_000, shop.conditions)
    vague = replace(shop.talk(NOW + 400), firm=False)

    def planned(now: int) -> Plan:
        return plan([vague], DEMAND, CRITERIA, instructions(), strategy=DEFAULT, secret=b"s", started=NOW, now=now)

    assert planned(NOW + 400).says
    assert planned(NOW + 3_600).take is None


def test_a_restarted_agent_decides_the_same() -> None:
    shop = Shop("A")
    shop.offer(17_900, shop.conditions)
    for at in range(3):
        first, again = (look(shop, now=NOW + 400 + at) for _ in range(2))
        assert [say.terms for say in first.says] == [say.terms for say in again.says]
        shop.hear(first.says[0].terms, NOW + 400 + at)


def test_another_secret_keeps_another_pace() -> None:
    paces = set()
    for at in range(6):
        shop = Shop("A", step=0, floor=17_900)
        shop.offer(17_900, shop.conditions)
        for turn in range(3):
            shop.hear(look(shop, now=NOW + 400 + turn, secret=bytes([at])).says[0].terms, NOW + 400 + turn)
        paces.add(tuple(counters(shop)))
    assert len(paces) > 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_ends(strategy: str) -> None:
    quick, silent = Shop("A"), Shop("B", silent=True)
    found = bargain(quick, silent, strategy=strategy)
    assert found.take or not found.says
    assert look(quick, silent, now=NOW + 3_600, strategy=strategy).take


def test_it_waits_for_a_vendor_that_may_still_answer_and_takes_the_best_at_the_deadline() -> None:
    quick, silent = Shop("A"), Shop("B", silent=True)
    found = bargain(quick, silent)
    assert found == Plan(worths=found.worths)
    assert look(quick, silent, now=NOW + 3_600).take


def test_nothing_is_taken_while_later_vendors_may_still_come() -> None:
    shop = Shop("A", floor=10_000, step=9_000)
    shop.offer(10_000, shop.conditions)
    assert look(shop, now=NOW + 5).take is None


def test_an_offer_about_to_end_is_taken_rather_than_lost() -> None:
    shop, slow = Shop("A", life=420, price=16_000), Shop("B", silent=True)
    for one in (shop, slow):
        one.offer(one.price, one.conditions)
    assert look(shop, slow, now=NOW + 400).take


def test_an_offer_that_lives_for_seconds_is_countered_first() -> None:
    shop = Shop("A", price=17_400, life=50)
    shop.offer(17_400, shop.conditions)
    found = look(shop, now=NOW + 1)
    assert found.says
    assert found.take is None


def test_what_lapsed_is_never_taken() -> None:
    shop = Shop("A", life=300, price=16_000)
    shop.offer(16_000, shop.conditions)
    found = look(shop, now=NOW + 3_600)
    assert (found.take, found.over) == (None, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"priceSpecification": price_body("12000.00", "USD")},
        {"priceSpecification": {**price_body("120.00"), "unitCode": "MON"}},
        {"itemOffered": {"category": DEMAND.category, "mileageFromOdometer": {"value": "120000", "unitCode": "KMT"}}},
    ],
)
def test_what_cannot_be_compared_or_fails_is_left_out(changes: dict[str, Any]) -> None:
    odd, fine = Shop("A", changes=changes), Shop("B")
    found = bargain(odd, fine)
    assert not counters(odd)
    assert found.take
    assert found.take.key == fine.key


def test_fees_alone_over_the_most_leave_a_vendor_out() -> None:
    price = price_body("18100.00")
    price["priceComponent"] = [
        {"kind": kind, "name": "A part", "price": amount} for kind, amount in (("price", "100.00"), ("fee", "18000.00"))
    ]
    shop = Shop("A", changes={"priceSpecification": price})
    shop.offer(18_100, shop.conditions)
    assert not look(shop).says


def test_fees_that_rise_over_the_last_counter_break_nothing() -> None:
    """A vendor answers a counter with better conditions, and with fees over all that was said."""
    shop = Shop("A", conditions=Conditions(30), silent=True)
    shop.offer(17_900, shop.conditions)
    shop.hear(look(shop).says[0].terms)
    price = price_body("19000.00")
    price["priceComponent"] = [
        {"kind": kind, "name": "A part", "price": amount}
        for kind, amount in (("price", "3000.00"), ("fee", "16000.00"))
    ]
    shop.changes = {"priceSpecification": price}
    shop.offer(19_000, Conditions(0, 120))
    fine = Shop("B")
    fine.offer(17_900, fine.conditions)
    assert fine.key in {say.key for say in look(shop, fine).says}


def test_another_item_begins_another_bargain() -> None:
    shop = Shop("A")
    shop.offer(17_900, shop.conditions)
    shop.hear(look(shop).says[0].terms)
    shop.changes = {"itemOffered": {**offer_body(DEMAND.id, 0)["itemOffered"], "name": "2019 Golf estate"}}
    shop.offer(18_200, shop.conditions)
    (say,) = look(shop).says
    assert say.terms["itemOffered"]["name"] == "2019 Golf estate"


def test_a_price_that_needs_the_person_is_still_countered_below_it() -> None:
    shop = Shop("A", price=17_400, floor=17_200, step=50)
    found = bargain(shop, given=instructions('ask_above = "17000 EUR"\n' + MANDATE))
    assert found.take
    assert (found.take.ruling.decision, found.take.ruling.clause) == ("person", "person.1")


def test_a_counter_to_another_item_binds_nothing() -> None:
    """A vendor that answers a counter with another item is countered as if it had just come."""
    shop = Shop("A", silent=True)
    shop.offer(17_900, shop.conditions)
    shop.hear(look(shop).says[0].terms)
    shop.changes = {"itemOffered": {**offer_body(DEMAND.id, 0)["itemOffered"], "name": "2019 Golf estate"}}
    shop.offer(12_000, shop.conditions)
    (say,) = look(shop).says
    assert read_price(say.terms["priceSpecification"], "invalid.offer.malformed").total < 12_000


TOTALS = st.integers(1, 40_000)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(TOTALS, TOTALS, st.integers(-2_000, 2_000)), min_size=1, max_size=4),
    st.integers(1_000, 30_000), st.integers(0, 6), st.binary(min_size=4, max_size=4),
)  # fmt: skip
def test_no_vendor_moves_it_past_its_mandate(
    prices: list[tuple[int, int, int]], most: int, rounds: int, secret: bytes
) -> None:
    """Vendors that repeat, regress or jump: no counter and no accept lies over the most, and no round over the cap."""
    given = instructions(
        f'most = "{most} EUR"\nrounds = {rounds}\nwithin = "1h"\nwitnesses = 0\n[acts]\naccept = "auto"'
    )
    shops = [Shop(f"v{at}", price=price, floor=floor, step=step) for at, (price, floor, step) in enumerate(prices)]
    for shop in shops:
        shop.offer(shop.price, shop.conditions)
    for at in range(12):
        found = look(*shops, now=NOW + 400 + at, given=given, secret=secret)
        for say in found.says:
            assert say.ruling.decision == "allowed"
            assert read_price(say.terms["priceSpecification"], "invalid.offer.malformed").total <= most
            next(shop for shop in shops if shop.key == say.key).hear(say.terms, NOW + 400 + at)
        if found.take:
            assert taken(found, *shops) <= most
            break
        if not found.says:
            break
    assert all(shop.rounds <= min(rounds, DEMAND.max_rounds) for shop in shops)
