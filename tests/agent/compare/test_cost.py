"""What an offer costs in all: over the months a person gives, at the rates they gave, never by a guess. DESIGN §6"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from intentcast_agent.person.compare import Comparison

Make = Callable[..., Any]
TOTAL = '[[criterion]]\nname = "total"\npath = "total"\nweight = 1\nlinear = {worst = 100, best = 50}\nunit = "%"\n'
MONTHLY = {"maxPrice": "40.00", "priceCurrency": "EUR", "unitCode": "MON"}


def costs(comparison: Comparison) -> dict[str, str]:
    return {place.entry.name: str(place.cost.amount) for place in comparison.places}


def asides(comparison: Comparison) -> dict[str, str]:
    return {one.entry.name: one.why for one in comparison.asides}


def test_another_currency_is_not_compared_without_a_rate(market: Make) -> None:
    here = market()
    here.offer("15000.00")
    here.offer("1.00", currency="USD")
    compared = here.compare(TOTAL)
    assert costs(compared) == {"o1": "15000.00"}
    assert asides(compared) == {"o2": "not comparable: USD, and you gave no rate into EUR"}


def test_another_currency_is_compared_at_the_rate_the_person_gave(market: Make) -> None:
    here = market()
    here.offer("15000.00")
    here.offer("16000.00", currency="USD")
    here.offer("30000.00", currency="USD")
    compared = here.compare(TOTAL + '[rates]\nUSD = "0.925"\n')
    assert costs(compared) == {"o2": "14800.00", "o1": "15000.00", "o3": "27750.00"}
    assert [place.entry.judgement.fit for place in compared.places] == ["fits", "fits", "fails"]
    assert "27750.00 EUR, counted your way, is more than 20000.00 EUR" in compared.places[2].entry.judgement.why


def test_a_monthly_price_is_counted_over_the_months_given_with_what_is_paid_once(market: Make) -> None:
    here = market(priceSpecification=MONTHLY)
    here.offer("20.00", unit="MON")
    here.offer("300.00", unit="ANN")
    here.offer("450.00")
    here.offer("1.00", unit="DAY")
    compared = here.compare('[cost]\nmonths = 24\nextra = "25.00 EUR"\n' + TOTAL)
    assert costs(compared) == {"o1": "505.00", "o2": "625.00", "o3": "475.00"}
    assert asides(compared) == {"o4": "not comparable: priced per DAY"}
    first = next(place for place in compared.places if place.entry.name == "o1")
    assert first.worths[0].value == (960 - 505) / 480, "the budget counts over the same months"


def test_without_months_a_price_per_month_and_one_paid_once_are_not_mixed(market: Make) -> None:
    here = market(priceSpecification=MONTHLY)
    here.offer("20.00", unit="MON")
    here.offer("300.00", unit="ANN")
    here.offer("450.00")
    compared = here.compare('[cost]\nextra = "25.00 EUR"\n' + TOTAL)
    assert costs(compared) == {"o1": "20.00", "o2": "25.00"}
    assert "for how many months" in asides(compared)["o3"]
    assert "not counted" in compared.scales.notes[0]


def test_a_budget_paid_once_is_not_mixed_with_a_price_per_month(market: Make) -> None:
    here = market()
    here.offer("700.00", unit="MON")
    assert "for how many months" in asides(here.compare(TOTAL))["o1"]
    assert costs(here.compare("[cost]\nmonths = 24\n" + TOTAL)) == {"o1": "16800.00"}


def test_without_a_budget_the_lower_total_ranks_first_and_the_page_says_so(market: Make) -> None:
    here = market(priceSpecification=None)
    here.offer("15000.00", "0")
    here.offer("14999.99", "90000")
    compared = here.compare()
    assert list(costs(compared)) == ["o2", "o1"]
    assert "names no budget" in compared.scales.notes[0]
    assert compared.scales.shares == (0.0, 1.0)


def test_the_private_reserve_scales_the_total_where_no_budget_is_published(market: Make) -> None:
    here = market(priceSpecification=None)
    here.offer("15000.00")
    (place,) = here.compare(reserve=(Decimal(20_000), "EUR")).places
    assert place.worths[0].value == 0.5


def test_amounts_of_the_person_scale_the_total_whatever_the_budget(market: Make) -> None:
    text = TOTAL.replace("worst = 100, best = 50", "worst = 16000, best = 14000").replace('"%"', '"EUR"')
    for budget in (None, {"maxPrice": "99999.00", "priceCurrency": "EUR"}):
        here = market(priceSpecification=budget)
        here.offer("15000.00")
        (place,) = here.compare(text).places
        assert place.worths[0].value == 0.5


def test_two_currencies_and_nothing_that_names_one_rank_nobody(market: Make) -> None:
    here = market(priceSpecification=None)
    here.offer("15000.00")
    here.offer("15000.00", currency="USD")
    compared = here.compare(TOTAL)
    assert compared.places == ()
    assert set(asides(compared)) == {"o1", "o2"}
    assert costs(here.compare('[cost]\ncurrency = "USD"\n' + TOTAL)) == {"o2": "15000.00"}


def test_a_cost_too_large_to_be_written_is_not_compared(market: Make) -> None:
    here = market(priceSpecification=None)
    here.offer("999999999999999.99", unit="MON")
    here.offer("1.00", unit="MON")
    compared = here.compare('[cost]\nmonths = 600\ncurrency = "EUR"\n' + TOTAL)
    assert asides(compared) == {"o1": "not comparable: the amount is too large to be counted with"}
    assert costs(compared) == {"o2": "600.00"}
