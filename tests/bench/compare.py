"""How long ranking a thousand offers takes: scores, order, who is dominated, medians. No agent, no network.

The offers come read and judged, as an agent has them. Beside it stands a bare loop over the same numbers, already
parsed: a weighted sum and a sort, which no comparison can do without. In `parts`:

    bare       ranking ÷ the bare loop
    judged     judging every must-have and want first, then ranking
    explained  what would make each of the best five win
    utility    20 000 hypothetical outcomes of one offer, scored
"""

import argparse
import random
import time
from collections.abc import Callable
from decimal import Decimal
from itertools import product
from typing import Any

from intentcast_agent.person.compare import Entry, compare
from intentcast_agent.person.criteriafile import read_criteria
from intentcast_agent.person.explain import changes
from intentcast_agent.person.presets import preset
from intentcast_agent.person.utility import scorer
from intentcast_protocol.conditions import Conditions, write_conditions
from intentcast_protocol.identity import public_key
from intentcast_protocol.negotiation import State
from intentcast_protocol.offer import read_offer
from intentcast_protocol.record import Verified, sign
from intentcast_protocol.testing import CARS, NOW, make_demand, offer_body, price_body, seed
from stand import Json, conditions, part, run

TARGET = 50.0  # ms
OUTCOMES = 20_000
WISHES = [
    {"path": "itemOffered.mileageFromOdometer", "op": "le", "value": "90000", "unitCode": "KMT", "strength": "must"},
    {"path": "itemOffered.vehicleModelDate", "op": "ge", "value": "2017", "strength": "must"},
    {"path": "itemOffered.bodyType", "op": "eq", "value": "Estate", "strength": "want"},
]


def stock(demand: bytes, count: int) -> list[Verified]:
    """Return so many signed offers, the same in every run; a third says nothing of delivery or of a warranty."""
    rng, found = random.Random(4), []
    for at in range(count):
        item = {"@type": "Car", "category": CARS, "vehicleModelDate": str(rng.randrange(2012, 2025)),
                "mileageFromOdometer": {"value": str(rng.randrange(5_000, 140_000)), "unitCode": "KMT"},
                "bodyType": rng.choice(("Estate", "Hatchback"))}  # fmt: skip
        said = Conditions(rng.choice((None, 3, 14)), rng.choice((None, 6, 24)))
        price = price_body(f"{rng.randrange(8_000, 19_500)}.{rng.randrange(100):02}")
        body = offer_body(demand, NOW + 3_600, itemOffered=item, priceSpecification=price, **write_conditions(said))
        found.append(sign("offer", seed(f"V{at % 50}"), body, created=NOW, expires=NOW + 3_600, seq=1,
                          to=public_key(seed("D")), session=public_key(seed("S"))))  # fmt: skip
    return found


def milliseconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long a piece of work takes, and its result."""
    began = time.perf_counter()
    result = work()
    return (time.perf_counter() - began) * 1_000, result


def measure(options: argparse.Namespace) -> Json:
    """Take turns over the parts."""
    demand = make_demand(constraints=WISHES)[1]
    criteria = read_criteria(preset(CARS)[1])
    read = [(read_offer(one), one.body) for one in stock(demand.id, options.offers)]

    def judge() -> list[Entry]:
        return [
            Entry(f"o{at}", offer, body, demand.judge(body), State.OFFERED) for at, (offer, body) in enumerate(read)
        ]

    entries = judge()
    ranked = compare(demand, entries, criteria, NOW)
    numbers = [(place.entry.name, [worth.value for worth in place.worths]) for place in ranked.places]
    shares = ranked.scales.shares

    def bare() -> list[tuple[float, str]]:
        return sorted((-sum(a * b for a, b in zip(shares, values, strict=True)), name) for name, values in numbers)

    def utility() -> float:
        score = scorer(demand, criteria, read[0][1])
        amounts, days, months = range(10_000, 10_000 + OUTCOMES // 100), range(10), range(5)
        issues = ("total", "deliveryLeadTime", "warranty.durationOfWarranty", "addOn")
        outcomes = product(map(Decimal, amounts), days, months, ((), ("Tow bar",)))
        return max(score(dict(zip(issues, outcome, strict=True))) for outcome in outcomes)

    samples: dict[str, list[float]] = {name: [] for name in ("rank", "bare", "judged", "explained", "utility")}
    for _ in range(options.repeat):
        loop, _ = milliseconds(bare)
        rank, found = milliseconds(lambda: compare(demand, entries, criteria, NOW))
        assert found == ranked
        samples["rank"].append(rank)
        samples["bare"].append(rank / loop)
        samples["judged"].append(milliseconds(lambda: compare(demand, judge(), criteria, NOW))[0])
        samples["explained"].append(milliseconds(lambda: [changes(ranked, place) for place in ranked.places[:5]])[0])
        samples["utility"].append(milliseconds(utility)[0])
    figure = part(samples.pop("rank"), 1)
    return {
        **figure,
        "unit": f"ms to rank {options.offers} offers",
        "target": TARGET,
        "ok": figure["value"] <= TARGET,
        "parts": {name: part(taken, 1) for name, taken in samples.items()},
        "conditions": conditions(offers=options.offers, criteria=len(criteria.criteria), outcomes=OUTCOMES),
    }


if __name__ == "__main__":
    count = {"type": int, "default": 1_000, "metavar": "N", "help": "offers to rank; 1000 by default"}
    run("compare", "ranking of offers, against a bare weighted sum", measure, repeat=9, offers=count)
