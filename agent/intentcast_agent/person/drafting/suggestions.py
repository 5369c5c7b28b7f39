"""Slots that an assistant proposes: read as hostile text, held to the same schema, and always marked as suggested.

Pure; whoever asks the assistant brings its answer here. Nothing it says counts until the person takes it over.
"""

import json
import re
from decimal import Decimal
from typing import Any, Final

from intentcast_protocol.quantity import parse_decimal
from intentcast_protocol.subscription import CATEGORY

from intentcast_agent.person.draft import DraftError
from intentcast_agent.person.drafting.cities import CODES, city
from intentcast_agent.person.drafting.sheet import Op, Slot, Strength

MOST_BYTES: Final = 16_384
MOST_SLOTS: Final = 32
_WORDS = frozenset({"make", "model", "body", "fuel", "gearbox", "colour", "condition", "coverage"})
_MONEY = frozenset({"price", "deductible", "covered"})
# The units each number may have; the first stands where none is said.
_UNITS: Final[dict[str, tuple[str, ...]]] = {
    "mileage": ("KMT", "SMI"), "radius": ("KMT", "SMI"), "power": ("KWT", "BHP", "HJ"), "data": ("E34", "4L", "E35"),
    "contract": ("MON",), "warranty": ("MON",), "delivery": ("DAY",), "year": (),
}  # fmt: skip
_PER = ("MON", "ANN", "HUR")
_KEYS = frozenset({"name", "value", "op", "unit", "currency", "strength"})
_LIFE = re.compile(r"[1-9]\d{0,2}[hd]", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


def check_suggestions(text: str | bytes) -> tuple[Slot, ...]:
    """Read ``{"slots": [{name, value, op?, unit?, currency?, strength?}, …]}``, at most MOST_BYTES and MOST_SLOTS.

    Values are text, decimals as text, or two of them for ``between``. Raises DraftError for anything else; all
    of a proposal is taken or none.
    """
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if len(raw) > MOST_BYTES:
        raise DraftError(f"A proposal has at most {MOST_BYTES} bytes.")
    try:
        data = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DraftError("A proposal is JSON.") from error
    rows = data.get("slots") if isinstance(data, dict) and data.keys() == {"slots"} else None
    if not isinstance(rows, list) or len(rows) > MOST_SLOTS:
        raise DraftError(f"A proposal has slots, a list of at most {MOST_SLOTS}.")
    return tuple(_slot(row, at) for at, row in enumerate(rows, 1))


def _slot(row: Any, at: int) -> Slot:
    if not isinstance(row, dict) or not row.keys() <= _KEYS or not {"name", "value"} <= row.keys():
        raise DraftError(f"Suggested slot {at} has name, value and, if need be, op, unit, currency, strength.")
    name, op, strength = row["name"], row.get("op", "eq"), row.get("strength", "want")
    if op not in ("eq", "le", "ge", "between") or strength not in ("must", "want"):
        raise DraftError(f"Suggested slot {at}: op is eq, le, ge or between, strength must or want.")
    if isinstance(name, str) and (name in _UNITS or name in _MONEY):
        return _number(row, name, op, strength, at)
    value = row["value"]
    if (
        not isinstance(name, str)
        or not isinstance(value, str)
        or op not in ("eq", "le")
        or "currency" in row
        or "unit" in row
    ):
        raise DraftError(f"Suggested slot {at}: this name has text for a value, and no unit.")
    fits = (
        (name in _WORDS and 0 < len(value) <= 60 and value.isprintable() and value.strip() == value)
        or (name == "category" and CATEGORY.fullmatch(value))
        or (name == "near" and city(value))
        or (name == "country" and value in CODES)
        or (name == "expires" and _LIFE.fullmatch(value))
    )
    if not fits:
        raise DraftError(f"Suggested slot {at}: no such name, or not a value that it can have.")
    return Slot(name, value, "le" if name == "expires" else "eq", strength=strength, suggested=True)


def _number(row: dict[str, Any], name: str, op: Op, strength: Strength, at: int) -> Slot:
    value, unit, currency = row["value"], row.get("unit"), row.get("currency")
    both = value if op == "between" and isinstance(value, list) and len(value) == 2 else [value]
    try:
        numbers = [parse_decimal(one) for one in both]
    except ValueError as error:
        raise DraftError(f"Suggested slot {at}: a number is decimal text, two of them for between.") from error
    if (op == "between") != (len(numbers) == 2) or min(numbers) < Decimal(0) or numbers != sorted(numbers):
        raise DraftError(f"Suggested slot {at}: not a number or range that makes sense.")
    units = _PER if name == "price" else _UNITS.get(name, ())
    if unit is not None and unit not in units:
        raise DraftError(f"Suggested slot {at}: its unit is none of {', '.join(units) or 'any'}.")
    if (name in _MONEY) != (isinstance(currency, str) and _CURRENCY.fullmatch(currency) is not None):
        raise DraftError(f"Suggested slot {at}: an amount of money has a currency, and nothing else has.")
    if unit is None and name in _UNITS and _UNITS[name]:
        unit = _UNITS[name][0]
    found = (both[0], both[1]) if op == "between" else both[0]
    return Slot(name, found, op, unit, currency, strength, suggested=True)
