"""A commented draft to start from for each kind of demand, so that nobody begins with an empty page."""

from typing import Final

from intentcast_agent.person.draft import TEMPLATE

_HEAD = (
    "# A demand: what you want, in your words. Everything above [private] is published; nothing below it ever leaves.\n"
)
_COMMON = """\
rounds = 5                                          # how often you may counter
admit = ["domain", "invite", "stamp:18"]            # who may write first: a proven domain, whom you invite, or work
"""
_PLAN = f"""\
{_HEAD}name = "A mobile plan with 20 GB, no long contract"
category = "services/telecom/mobile-plans"
type = "Service"
max_price = "18.00 EUR"
per = "MON"                                         # what the price is per: MON a month, ANN a year, HUR an hour
countries = ["DE"]                                  # where it has to work
expires = "7d"
{_COMMON}
[[must]]
path = "itemOffered.dataAllowance"
op = "ge"                                           # eq, in, ge, le, between, exists
value = "20"
unit = "E34"                                        # gigabytes; 4L are megabytes
unknown = "reject"                                  # or ask, allow: when an offer does not say

[[must]]
path = "itemOffered.contractLength"
op = "le"
value = "3"
unit = "MON"

[[want]]
path = "itemOffered.network"
op = "like"
value = "5G"

[private]
reserve = "15.00 EUR"                               # the most you would pay; no vendor and no relay learns it
"""
_REPAIR = f"""\
{_HEAD}name = "A dripping mixer tap to be replaced"
description = "Kitchen, second floor, no lift. The shut-off valve works."   # no name, address or telephone number here
category = "services/home/plumbing"                 # or electrical, painting, roofing, heating, tiling, carpentry
type = "Service"
max_price = "220.00 GBP"
near = {{ lat = 53.80, lon = -1.55, radius_km = 30 }} # a town's middle is enough; published as cells of 20 km or more
expires = "2d"                                      # until when offers may come
{_COMMON}
[[must]]
path = "deliveryLeadTime"                           # by when it is done
op = "le"
value = "3"
unit = "DAY"
unknown = "ask"

[[want]]
path = "warranty.durationOfWarranty"
op = "ge"
value = "12"
unit = "MON"

[private]
reserve = "200.00 GBP"                              # the most you would pay; no vendor and no relay learns it
"""
_INSURANCE = f"""\
{_HEAD}name = "Liability and partial cover for a small car"
category = "services/finance/insurance/vehicle"     # or home, liability, travel, health, legal, pet
type = "FinancialProduct"
max_price = "600.00 EUR"
per = "ANN"                                         # a year; MON a month
countries = ["AT", "DE"]
expires = "14d"
{_COMMON}
[[must]]
path = "itemOffered.coverageType"
op = "eq"
value = "partial"

[[must]]
path = "itemOffered.deductible"
op = "le"
value = "300.00"
currency = "EUR"

[[must]]
path = "itemOffered.coveredAmount"
op = "ge"
value = "50000000.00"
currency = "EUR"
unknown = "reject"                                  # or ask, allow: when an offer does not say

[private]
reserve = "550.00 EUR"                              # the most you would pay; no vendor and no relay learns it
"""
TEACHING: Final = {"car": TEMPLATE, "phone-plan": _PLAN, "home-repair": _REPAIR, "insurance": _INSURANCE}
