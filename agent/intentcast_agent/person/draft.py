"""Drafting: a template file becomes the body of a demand and what stays private; `drafting` writes one from words.

Pure. The exact place never enters a body: a circle becomes coarse cells here. PROTOCOL §6
"""

import difflib
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from intentcast_protocol.area import circle
from intentcast_protocol.limits import MAX_LIFE, MAX_STAMP
from intentcast_protocol.quantity import minor_digits, money
from intentcast_protocol.terms import DEFAULT

ADMIT = ("domain", "invite", "stamp:18")
_MOST_RUNGS = 16  # as many as a relay looks at
_FARTHEST = 5_000  # km; whoever means farther leaves near out
_LIFE = {"m": 60, "h": 3_600, "d": 86_400}
_KEYS = frozenset({
    "name", "description", "category", "type", "max_price", "per", "countries", "cells", "near", "expires", "rounds",
    "admit", "relays", "like", "must", "want", "private",
})  # fmt: skip
_ROW = frozenset({"path", "op", "value", "unit", "currency", "unknown"})

TEMPLATE = """\
# A demand: what you want, in your words. Everything above [private] is published; nothing below it ever leaves.
name = "A Golf estate, 2017 or newer"
category = "vehicles-parts/vehicles/motor-vehicles/cars-trucks-vans"
type = "Car"
max_price = "18500 EUR"
countries = ["NL"]
near = { lat = 52.09, lon = 5.12, radius_km = 50 }  # published only as cells of 20 km or more
expires = "7d"
rounds = 5                                          # how often you may counter
admit = ["domain", "invite", "stamp:18"]            # who may write first: a proven domain, whom you invite, or work
like = { manufacturer = "Volkswagen", model = "Golf" }

[[must]]
path = "itemOffered.mileageFromOdometer"
op = "le"                                           # eq, in, ge, le, between, exists
value = "90000"
unit = "KMT"
unknown = "ask"                                     # or reject, allow: when an offer does not say

[[must]]
path = "itemOffered.vehicleModelDate"
op = "ge"
value = "2017"

[[want]]
path = "itemOffered.bodyType"
op = "like"
value = "estate"

[private]
reserve = "17900 EUR"                               # the most you would pay; no vendor and no relay learns it
"""


class DraftError(Exception):
    """The draft cannot be a demand; the sentence names the key and what to do."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A demand's body but for its reply address, how long it lives, and what stays private."""

    body: dict[str, Any] = field(repr=False)
    life: int
    relays: tuple[str, ...]
    private: dict[str, Any] = field(repr=False)


def read_template(text: str) -> Draft:
    """Read a template; raises DraftError naming the key."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DraftError(f"This is not valid TOML: {error}") from error
    for key in data.keys() - _KEYS:
        near = difflib.get_close_matches(key, _KEYS, 1)
        raise DraftError(f"{key} is not a key of a demand" + (f"; did you mean {near[0]}?" if near else "."))
    item: dict[str, Any] = {"@type": _text(data, "type", "Product"), "category": _text(data, "category")}
    like = data.get("like")
    if like is not None:
        if not isinstance(like, dict):
            raise DraftError('like is a table, e.g. like = { model = "Golf" }')
        item["isSimilarTo"] = {"@type": item["@type"], **{name: str(value) for name, value in like.items()}}
    body: dict[str, Any] = {"@type": "Demand", "name": _text(data, "name"), "itemOffered": item}
    if "description" in data:
        body["description"] = _text(data, "description")
    body |= _area(data) | _price(data)
    body["constraints"] = [
        _constraint(row, strength, f"{strength} {at}")
        for strength in ("must", "want")
        for at, row in enumerate(_rows(data, strength), 1)
    ]
    body["negotiation"] = {"maxRounds": data.get("rounds", 5)}
    body["terms"] = DEFAULT.wire()
    body["admit"] = _admit(data.get("admit", list(ADMIT)))
    relays = data.get("relays", [])
    if not isinstance(relays, list) or not all(isinstance(relay, str) for relay in relays):
        raise DraftError("relays is a list of addresses.")
    return Draft(body, read_life(data.get("expires", "7d")), tuple(relays), _private(data))


def _admit(rungs: Any) -> list[str]:
    # Here and not at the top: it brings the cryptography, which writing a draft has no use for.
    from intentcast_protocol.demand import stamp_bits  # noqa: PLC0415

    known = f"domain, invite, stamp:0 to stamp:{MAX_STAMP}"
    if not isinstance(rungs, list) or not all(isinstance(rung, str) for rung in rungs):
        raise DraftError('admit is a list, e.g. ["domain", "invite", "stamp:18"].')
    for rung in rungs:
        if rung not in ("domain", "invite") and stamp_bits([rung]) is None:
            raise DraftError(f"admit: {rung[:40]} is none of {known}.")
    if not 0 < len(rungs) <= _MOST_RUNGS:
        raise DraftError(f"admit lists 1 to {_MOST_RUNGS} of {known}; with none no vendor could answer.")
    return rungs


def _text(data: dict[str, Any], key: str, default: str | None = None) -> str:
    value = data.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise DraftError(f"{key} is missing: a demand needs it as text.")
    return value.strip()


def _rows(data: dict[str, Any], key: str) -> list[Any]:
    rows = data.get(key, [])
    if not isinstance(rows, list):
        raise DraftError(f"{key} is a list of tables: write [[{key}]].")
    return rows


def _area(data: dict[str, Any]) -> dict[str, Any]:
    area: dict[str, Any] = {}
    if "near" in data:
        near = data["near"]
        try:
            lat, lon, radius = (float(near[name]) for name in ("lat", "lon", "radius_km"))
        except (KeyError, TypeError, ValueError) as error:
            raise DraftError("near has lat, lon and radius_km, all numbers.") from error
        # A comparison with nan is false, so that it is refused here too.
        if not (-90 <= lat <= 90 and -180 <= lon <= 180 and 0 < radius <= _FARTHEST):
            raise DraftError(f"near: lat is -90 to 90, lon -180 to 180, radius_km up to {_FARTHEST}.")
        cells = circle(lat, lon, radius)
        area["cells"] = list(cells)
    elif "cells" in data:
        area["cells"] = data["cells"]
    if "countries" in data:
        area["countries"] = data["countries"]
    return {"areaServed": area} if area else {}


def _price(data: dict[str, Any]) -> dict[str, Any]:
    if "max_price" not in data:
        return {}
    amount, currency = read_amount(data["max_price"], "max_price")
    price = {"maxPrice": money(amount, currency), "priceCurrency": currency}
    return {"priceSpecification": price | ({"unitCode": data["per"]} if "per" in data else {})}


def _constraint(row: Any, strength: str, name: str) -> dict[str, Any]:
    if not isinstance(row, dict) or not row.keys() <= _ROW or not {"path", "op"} <= row.keys():
        raise DraftError(f"{name} has path, op, value and, if need be, unit, currency, unknown.")
    wish = {
        "path": row["path"],
        "op": row["op"],
        "value": row.get("value"),
        "unitCode": row.get("unit"),
        "priceCurrency": row.get("currency"),
        "strength": strength,
        "onUnknown": row.get("unknown", "ask"),
    }
    return {key: value for key, value in wish.items() if value is not None}


def _private(data: dict[str, Any]) -> dict[str, Any]:
    private = data.get("private", {})
    if not isinstance(private, dict) or not private.keys() <= {"reserve"}:
        raise DraftError("private knows only reserve, the most you would pay.")
    if "reserve" not in private:
        return {}
    amount, currency = read_amount(private["reserve"], "private.reserve")
    return {"reserve": money(amount, currency), "currency": currency}


def read_amount(value: Any, name: str) -> tuple[Decimal, str]:
    """Read an amount such as ``18500 EUR``; raises DraftError."""
    amount, _, currency = value.strip().partition(" ") if isinstance(value, str) else ("", "", "")
    try:
        number = Decimal(amount)
        digits = minor_digits(currency)
        exact = number.is_finite() and number == round(number, digits) and 0 <= number < 10**13
    except (InvalidOperation, ValueError) as error:
        raise DraftError(f'{name} is an amount and a currency, e.g. "18500 EUR".') from error
    if not exact:
        raise DraftError(f"{name}: {currency} has {digits} digits after the point.")
    return number, currency


def read_life(value: Any) -> int:
    """Read a length of time such as ``90m``, ``12h`` or ``7d``, in seconds; raises DraftError."""
    found = re.fullmatch(r"(\d{1,5})([mhd])", value) if isinstance(value, str) else None
    life = int(found[1]) * _LIFE[found[2]] if found else 0
    if not 60 <= life <= MAX_LIFE:
        raise DraftError('expires is a time such as "12h" or "7d", at most 30 days.')
    return life


def with_admit(draft: str, rungs: Sequence[str]) -> str:
    """Return a draft's text with another list of who may write first."""
    return re.sub(r"(?m)^admit = \[[^\]\n]*\]", lambda _: _admit_line(rungs), draft, count=1)


def _admit_line(rungs: Sequence[str]) -> str:
    return f"admit = [{', '.join(_quote(rung) for rung in rungs)}]"


def _quote(text: str) -> str:
    return json.dumps(" ".join(text.split()), ensure_ascii=False)
