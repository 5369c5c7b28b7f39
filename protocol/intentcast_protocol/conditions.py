"""What a deal says beside its item and its price: when it comes, how long it is guaranteed, and what comes with it.

They stand in offers and counters as schema.org names them, so that a constraint can ask for them by path. PROTOCOL §6.4
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_CHOICES
from intentcast_protocol.quantity import parse_decimal
from intentcast_protocol.vocabulary import read_text

FIELDS = ("deliveryLeadTime", "warranty", "addOn")
MOST_DAYS = 3_650
MOST_MONTHS = 1_200


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of one offer or counter; None and () where it states none."""

    delivery: int | None = None  # days until it is delivered
    warranty: int | None = None  # months
    extras: tuple[str, ...] = ()  # names, ascending


@dataclass(frozen=True, slots=True)
class Choices:
    """Other conditions a vendor is willing to talk about; nothing is said of what they cost."""

    delivery: tuple[int, ...] = ()
    warranty: tuple[int, ...] = ()
    extras: tuple[str, ...] = ()


def read_conditions(body: Mapping[str, Any], code: str) -> Conditions:
    """Read the conditions in an offer's or counter's body; raises InvalidMessage. PROTOCOL §6.4"""
    delivery, warranty = body.get("deliveryLeadTime"), body.get("warranty")
    if warranty is not None and not isinstance(warranty, dict):
        raise InvalidMessage(code, "warranty has durationOfWarranty")
    return Conditions(
        None if delivery is None else _days(delivery, code),
        None if warranty is None else _months(warranty.get("durationOfWarranty"), code),
        _extras(body.get("addOn", []), code),
    )


def write_conditions(conditions: Conditions) -> dict[str, Any]:
    """Return the fields of a body that state these conditions; the inverse of `read_conditions`."""
    body: dict[str, Any] = {}
    if conditions.delivery is not None:
        body["deliveryLeadTime"] = _quantity(conditions.delivery, "DAY")
    if conditions.warranty is not None:
        body["warranty"] = {"durationOfWarranty": _quantity(conditions.warranty, "MON")}
    if conditions.extras:
        body["addOn"] = list(conditions.extras)
    return body


def read_choices(value: object, code: str) -> Choices:
    """Read an offer's ``negotiable``; raises InvalidMessage. PROTOCOL §6.4"""
    if not isinstance(value, dict):
        raise InvalidMessage(code, "negotiable is a map")
    return Choices(
        _rising(value.get("deliveryLeadTime", []), _days, "negotiable.deliveryLeadTime", code),
        _rising(value.get("warranty", []), _months, "negotiable.warranty", code),
        _extras(value.get("addOn", []), code),
    )


def write_choices(choices: Choices) -> dict[str, Any]:
    """Return the form of ``negotiable``; the inverse of `read_choices`."""
    fields = {
        "deliveryLeadTime": [_quantity(days, "DAY") for days in choices.delivery],
        "warranty": [_quantity(months, "MON") for months in choices.warranty],
        "addOn": list(choices.extras),
    }
    return {name: value for name, value in fields.items() if value}


def _quantity(value: int, unit: str) -> dict[str, str]:
    return {"value": str(value), "unitCode": unit}


def _days(value: object, code: str) -> int:
    return _whole(value, "DAY", MOST_DAYS, "deliveryLeadTime", code)


def _months(value: object, code: str) -> int:
    return _whole(value, "MON", MOST_MONTHS, "warranty.durationOfWarranty", code)


def _whole(value: object, unit: str, most: int, name: str, code: str) -> int:
    try:
        number = parse_decimal(value.get("value")) if isinstance(value, dict) and value.get("unitCode") == unit else -1
    except ValueError as error:
        raise InvalidMessage(code, f"{name}: {error}") from error
    if number != int(number) or not 0 <= number <= most:
        raise InvalidMessage(code, f"{name} is 0 to {most} {unit}, a whole number")
    return int(number)


def _rising(values: object, read: Callable[[object, str], int], name: str, code: str) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) > MAX_CHOICES:
        raise InvalidMessage(code, f"{name} lists at most {MAX_CHOICES}")
    found = tuple(read(value, code) for value in values)
    if any(later <= earlier for earlier, later in pairwise(found)):
        raise InvalidMessage(code, f"{name} ascends without a repetition")
    return found


def _extras(values: object, code: str) -> tuple[str, ...]:
    if not isinstance(values, list) or len(values) > MAX_CHOICES:
        raise InvalidMessage(code, f"addOn lists at most {MAX_CHOICES}")
    found = tuple(read_text(value, "addOn", code, 100) for value in values)
    # In one order only, so that two sides who mean the same terms write the same.
    if any(later <= earlier for earlier, later in pairwise(found)):
        raise InvalidMessage(code, "addOn ascends without a repetition")
    return found
