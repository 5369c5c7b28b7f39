"""Offers and demands made in a line, to be compared without an agent."""

from collections.abc import Callable
from typing import Any

import pytest
from intentcast_agent.person.compare import Comparison, Entry, compare
from intentcast_agent.person.criteriafile import read_criteria
from intentcast_protocol.demand import Demand
from intentcast_protocol.identity import public_key
from intentcast_protocol.negotiation import State
from intentcast_protocol.offer import read_offer
from intentcast_protocol.record import sign
from intentcast_protocol.testing import CARS, NOW, make_demand, offer_body, price_body, seed

HOUR = 3_600
BUDGET = {"maxPrice": "20000.00", "priceCurrency": "EUR"}
# Round numbers: 10000 EUR of budget to score over, 100000 km, half each.
TWO = """
[[criterion]]
name = "total"
path = "total"
weight = 1
linear = {worst = 100, best = 50}
unit = "%"

[[criterion]]
name = "mileage"
path = "itemOffered.mileageFromOdometer"
weight = 1
linear = {worst = 100000, best = 0}
unit = "KMT"
"""


class Market:
    """One demand and the offers on it."""

    def __init__(self, **changes: Any) -> None:
        fields = {"constraints": [], "priceSpecification": BUDGET} | changes
        self.demand: Demand = make_demand(**fields)[1]
        self.entries: list[Entry] = []

    def offer(
        self,
        total: str = "15000.00",
        km: str | None = "50000",
        *,
        currency: str = "EUR",
        unit: str | None = None,
        state: State = State.OFFERED,
        life: int = HOUR,
        item: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Entry:
        """Add an offer; raises what reading it raises."""
        what: dict[str, Any] = {"@type": "Car", "category": CARS, "name": "A car", **(item or {})}
        if km is not None:
            what["mileageFromOdometer"] = {"value": km, "unitCode": "KMT"}
        price = price_body(total, currency) | ({"unitCode": unit} if unit else {})
        name = f"o{len(self.entries) + 1}"
        terms = {"priceSpecification": price, "itemOffered": what} | changes
        body = offer_body(self.demand.id, NOW + life, **terms)
        record = sign("offer", seed(name), body, created=NOW, expires=NOW + life, to=self.demand.author,
                      session=public_key(seed(f"{name} S")), seq=1)  # fmt: skip
        entry = Entry(name, read_offer(record), record.body, self.demand.judge(record.body), state)
        self.entries.append(entry)
        return entry

    def compare(self, text: str = TWO, now: int = NOW, **options: Any) -> Comparison:
        """Compare all offers by criteria in TOML."""
        return compare(self.demand, self.entries, read_criteria(text), now, **options)


@pytest.fixture(scope="session")
def market() -> Callable[..., Market]:
    return Market
