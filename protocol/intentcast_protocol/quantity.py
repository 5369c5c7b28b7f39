"""Numbers with meaning: decimal strings, money and units, without floats.

A number on the wire is text, so that 0.1 stays 0.1 and every language reads the same value. PROTOCOL §3.3
"""

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,9})?", re.ASCII)

# ISO 4217 currencies whose minor unit is not two digits; every other three-letter code has two.
_DIGITS = dict.fromkeys(
    (
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ),
    0,
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)
# Our own, so that the context of a program that embeds us changes no verdict and no total.
_ARITHMETIC = Context(prec=28, rounding=ROUND_HALF_EVEN)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)

# UN/ECE Rec 20 code -> (dimension, factor to the dimension's base unit).
_UNITS: dict[str, tuple[str, Decimal]] = {
    code: (dimension, Decimal(factor))
    for dimension, table in {
        "length": {
            "MMT": "0.001",
            "CMT": "0.01",
            "MTR": "1",
            "KMT": "1000",
            "INH": "0.0254",
            "FOT": "0.3048",
            "SMI": "1609.344",
        },
        "power": {"WTT": "1", "KWT": "1000", "BHP": "745.69987158227022", "HJ": "735.49875"},
        "mass": {"GRM": "0.001", "KGM": "1", "TNE": "1000", "LBR": "0.45359237"},
        "volume": {"CMQ": "0.000001", "MLT": "0.000001", "LTR": "0.001", "MTQ": "1"},
        "area": {"MTK": "1", "FTK": "0.09290304", "HAR": "10000"},
        "time": {"SEC": "1", "MIN": "60", "HUR": "3600", "DAY": "86400", "WEE": "604800"},
        "calendar": {"MON": "1", "ANN": "12"},
        "energy": {"KWH": "1", "MWH": "1000"},
        "data": {"4L": "1", "E34": "1000", "E35": "1000000"},
        "count": {"C62": "1", "H87": "1"},
        "share": {"P1": "1"},
    }.items()
    for code, factor in table.items()
}
UNITS = frozenset(_UNITS)


# How people write the units they meet most.
_SYMBOLS = {
    "CMQ": "cm³", "CMT": "cm", "DAY": "days", "E34": "GB", "E35": "TB", "BHP": "bhp", "HJ": "PS", "HUR": "h",
    "INH": "in", "KGM": "kg", "KMT": "km", "KWH": "kWh", "KWT": "kW", "LTR": "l", "MON": "months", "ANN": "years",
    "MTK": "m²",    "MTR": "m", "P1": "%", "SMI": "mi", "4L": "MB", "WEE": "weeks",
}  # fmt: skip


def symbol(unit: str) -> str:
    """Return how people write a unit; a code without a usual sign, and a currency, stays as it is."""
    return _SYMBOLS.get(unit, unit)


def parse_decimal(text: object) -> Decimal:
    """Read a decimal string.

    Raises ValueError for anything but ``-?(0|[1-9]\\d{0,14})(\\.\\d{1,9})?`` or for a negative zero.
    PROTOCOL §3.3
    """
    if not isinstance(text, str) or len(text) > 26 or not DECIMAL.fullmatch(text):
        raise ValueError("not a decimal string")
    value = Decimal(text)
    if text[0] == "-" and value == 0:
        raise ValueError("negative zero")
    return value


def minor_digits(currency: object) -> int:
    """Return how many digits a currency has after the point; raises ValueError if it is not three capitals.

    PROTOCOL §3.3
    """
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise ValueError("not an ISO 4217 code")
    return _DIGITS.get(currency, 2)


def parse_money(text: object, currency: object) -> Decimal:
    """Read an amount written with exactly its currency's digits, e.g. ``17900.00`` EUR or ``2500000`` JPY.

    Raises ValueError. PROTOCOL §3.3
    """
    value = parse_decimal(text)
    digits = minor_digits(currency)
    if -int(value.as_tuple().exponent) != digits:
        raise ValueError(f"an amount in {currency} has {digits} digits after the point")
    return value


def money(value: Decimal, currency: str) -> str:
    """Write an amount with exactly its currency's digits, rounding half up.

    Raises ValueError when the amount is too large to be written. PROTOCOL §3.3
    """
    try:
        step = Decimal(1).scaleb(-minor_digits(currency))
        text = format(value.quantize(step, "ROUND_HALF_UP", _ARITHMETIC), "f")
    except InvalidOperation as error:
        raise ValueError("not an amount that can be written") from error
    if Decimal(text) == 0:
        text = text.removeprefix("-")
    parse_decimal(text)
    return text


def add(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum of at most a thousand amounts that `parse_decimal` read."""
    total = Decimal(0)
    for amount in amounts:
        total = _ARITHMETIC.add(total, amount)
    return total


def convert(value: Decimal, unit: str | None, to: str | None) -> Decimal | None:
    """Convert between units of one dimension, or return None where they cannot be compared.

    A number without a unit compares only with a number without a unit. PROTOCOL §6.3
    """
    if unit == to:
        return value
    if unit is None or to is None or unit not in _UNITS or to not in _UNITS:
        return None
    (dimension, factor), (target, divisor) = _UNITS[unit], _UNITS[to]
    return _ARITHMETIC.divide(_ARITHMETIC.multiply(value, factor), divisor) if dimension == target else None
