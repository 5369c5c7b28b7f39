"""Criteria that come with us, in the very form a person edits: for anything, and for a few categories.

A category is data, never code: its longest prefix here wins. DESIGN §6
"""

from collections.abc import Collection
from typing import Final

_HEAD = """\
# What counts for you, how much, and how good which value is. It stays on this machine, encrypted; nobody is told.
# Every offer is scored by itself, 0 to 1 on each criterion, by the points written here. Weights are relative.
#
# linear = {worst = 200000, best = 0}      straight between two values, flat beyond them
# step = [[6, 0.4], [12, 0.8], [24, 1]]    the score from each threshold on; below the first 0
# target = {at = 110, reach = 60}          best at a value, 0 at that distance on either side
# table = {Diesel = 0.3, Electric = 1}     by name; several names in one offer add up
# path is where an offer states it; total is what it costs you in all, wants the share of your wants that it meets.

unknown = 0          # what an offer does not state scores this: 0 as the worst, 1 as the best; a criterion may differ

[cost]
# months = 24                # count a price per month over so many months
# extra = "120.00 EUR"       # what you pay on top yourself, once
# currency = "EUR"           # what to count in, where a demand names no budget

[rates]
# USD = "0.92"               # what 1 USD is worth in your currency; without a rate it is not compared

[[criterion]]
name = "total"
path = "total"
weight = WEIGHT
linear = {worst = 100, best = 50}    # all of the demand's budget is worst, half of it best
unit = "%"                           # or amounts: {worst = 18500, best = 12000} with unit = "EUR"

[[criterion]]
name = "wants met"
path = "wants"
weight = WANTS
"""
_GENERAL = """
[[criterion]]
name = "delivery"
path = "deliveryLeadTime"
weight = 1
linear = {worst = 60, best = 0}
unit = "DAY"

[[criterion]]
name = "warranty"
path = "warranty.durationOfWarranty"
weight = 1
linear = {worst = 0, best = 24}
unit = "MON"
"""
_CAR = """
[[criterion]]
name = "mileage"
path = "itemOffered.mileageFromOdometer"
weight = 3
linear = {worst = 200000, best = 0}
unit = "KMT"

[[criterion]]
name = "year"
path = "itemOffered.vehicleModelDate"
weight = 2
linear = {worst = 2010, best = 2030}
"""
_PLAN = """
[[criterion]]
name = "data"
path = "itemOffered.dataAllowance"
weight = 3
step = [[1, 0.1], [5, 0.4], [10, 0.6], [20, 0.8], [50, 1]]
unit = "E34"

[[criterion]]
name = "contract"
path = "itemOffered.contractLength"
weight = 1
linear = {worst = 24, best = 1}
unit = "MON"
"""
_WARRANTED = """
[[criterion]]
name = "delivery"
path = "deliveryLeadTime"
weight = 2
linear = {worst = 30, best = 0}
unit = "DAY"

[[criterion]]
name = "warranty"
path = "warranty.durationOfWarranty"
weight = 2
linear = {worst = 0, best = 60}
unit = "MON"
"""


def _written(weight: int, wants: int, *parts: str) -> str:
    return _HEAD.replace("WEIGHT", str(weight)).replace("WANTS", str(wants)) + "".join(parts)


PRESETS: Final = {
    "": _written(6, 2, _GENERAL),
    "vehicles-parts/vehicles/motor-vehicles/cars-trucks-vans": _written(6, 2, _CAR, _GENERAL),
    "services/telecom/mobile-plans": _written(5, 2, _PLAN),
    "services/home": _written(5, 2, _WARRANTED),
}


def longest(category: str, known: Collection[str]) -> str | None:
    """Return the longest of some categories that is, or stands above, this one; ``""`` stands above all."""
    steps = category.split("/") if category else []
    paths = ("/".join(steps[:end]) for end in range(len(steps), -1, -1))
    return next((path for path in paths if path in known), None)


def preset(category: str) -> tuple[str, str]:
    """Return the category whose criteria apply to this one, and their text."""
    found = longest(category, PRESETS)
    assert found is not None
    return found, PRESETS[found]
