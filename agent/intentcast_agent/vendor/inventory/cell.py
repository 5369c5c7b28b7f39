"""One cell: reads the text of a number, a price, a date or a category as a shop writes it.

Every reader takes text that `clean` has gone over and raises CellFault with a sentence for the vendor.
"""

import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal

from intentcast_protocol.limits import MAX_CATEGORY_LEVELS
from intentcast_protocol.quantity import minor_digits, money, parse_decimal
from intentcast_protocol.subscription import CATEGORY

from intentcast_agent.vendor.inventory.stock import MAX_QUANTITY, MAX_STRING

# "," and "." say which mark the file uses for decimals; None is "." with a doubt about 12.500; "json" allows 1e3.
Notation = Literal[".", ",", "json"] | None

_SPACE = re.compile(r"\s+")
# Controls, zero-width and reordering marks, tags, and halves of surrogate pairs, which JSON can smuggle in.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_POINT = re.compile(r"[-+]?(?:[0-9]{1,3}(?:[ ,'][0-9]{3})+|[0-9]+)(?:\.[0-9]+)?", re.ASCII)
_COMMA = re.compile(r"[-+]?(?:[0-9]{1,3}(?:[ .'][0-9]{3})+|[0-9]+)(?:,[0-9]+)?", re.ASCII)
_DOUBTFUL = re.compile(r"[-+]?[1-9][0-9]{0,2}\.[0-9]{3}", re.ASCII)
_MEASURE = re.compile(r"([-+]?[0-9](?:[0-9., ']*[0-9])?)\s*(\D\S{0,20})?", re.ASCII)
_AMOUNT = re.compile(r"(?:([A-Z]{3}|€|£)\s?)?([-+]?[0-9][0-9., ']*)(?:([A-Z]{3}|€|£))?", re.ASCII)
_SIGNS = {"€": "EUR", "£": "GBP"}
_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}", re.ASCII)
_YEAR = re.compile(r"(?:18|19|20)[0-9]{2}", re.ASCII)
_NUMBERED = re.compile(r"\A[0-9]+\s*(?:>|-\s)\s*")
_APOSTROPHE = re.compile("['\u2019]")
_GAP = re.compile(r"[^a-z0-9]+")
MAX_NUMBER = 64  # characters of a number with its unit or currency

UNIT_WORDS = {
    word: code
    for code, words in {
        "KMT": "km kms kilometer kilometers kilometre kilometres kmt",
        "SMI": "mi mile miles smi",
        "KWT": "kw kwt kilowatt kilowatts",
        "BHP": "hp bhp",
        "HJ": "ps cv ch pk hj",
        "CMQ": "cm3 cm³ cc ccm cmq",
        "LTR": "l ltr liter litre liters litres",
        "MLT": "ml mlt",
        "KGM": "kg kgm",
        "GRM": "g grm",
        "MTR": "m mtr",
        "CMT": "cm cmt",
        "MMT": "mm mmt",
        "KWH": "kwh",
        "E34": "gb e34",
        "4L": "mb 4l",
        "MON": "mon month months",
        "ANN": "ann year years",
        "DAY": "day days",
        "HUR": "h hour hours hur",
    }.items()
    for word in words.split()
}
CONDITIONS = {
    "new": "NewCondition",
    "used": "UsedCondition",
    "refurbished": "RefurbishedCondition",
    "damaged": "DamagedCondition",
    "newcondition": "NewCondition",
    "usedcondition": "UsedCondition",
    "refurbishedcondition": "RefurbishedCondition",
    "damagedcondition": "DamagedCondition",
    "n": "NewCondition",
    "u": "UsedCondition",
}
_AVAILABLE = frozenset({"instock", "limitedavailability", "instoreonly", "onlineonly", "available"})
_ABSENT = frozenset(
    {
        "outofstock",
        "soldout",
        "discontinued",
        "preorder",
        "presale",
        "backorder",
        "reserved",
        "madetoorder",
        "unavailable",
    }
)


class CellFault(ValueError):
    """A cell does not say what its column needs; the text is a sentence for the vendor."""


def clean(text: str) -> str:
    """Return text on one line, without surrounding space and without control, invisible or reordering characters."""
    if text.isascii() and text.isprintable():
        return text.strip()
    return _SPACE.sub(" ", _UNSEEN.sub("", _SPACE.sub(" ", text))).strip()


def bare(text: str) -> str:
    """Return a word of schema.org without the vocabulary's address."""
    for prefix in ("https://schema.org/", "http://schema.org/", "schema:"):
        if text.startswith(prefix) and text[len(prefix) :].isalnum():
            return text[len(prefix) :]
    return text


def read_number(text: str, notation: Notation = None) -> str:
    """Return a number as a decimal string; raises CellFault.

    Thousands may be set apart in groups of three. Without a stated notation ``12.500`` is refused, for it is twelve
    and a half in one country and twelve thousand five hundred in the next.
    """
    if len(text) > MAX_NUMBER:
        raise CellFault("This is not a number.")
    if notation == "json":
        return _read_exact(text)
    if notation is None and _DOUBTFUL.fullmatch(text):
        raise CellFault("This may be thousands or decimals: write it without a mark between the thousands.")
    if not (_COMMA if notation == "," else _POINT).fullmatch(text):
        raise CellFault("This is not a number.")
    thousands, point = (".", ",") if notation == "," else (",", ".")
    whole, _, fraction = text.replace(thousands, "").replace(" ", "").replace("'", "").partition(point)
    sign, digits = ("-" if whole[0] == "-" else ""), whole.lstrip("+-").lstrip("0") or "0"
    number = sign + digits + (f".{fraction}" if fraction else "")
    try:
        parse_decimal(number)
    except ValueError as error:
        raise CellFault("This number is too long, or a negative zero.") from error
    return number


def _read_exact(text: str) -> str:
    try:
        value = Decimal(text)
        if not value.is_finite() or not -10 < value.adjusted() < 15:
            raise CellFault("This number is too large or too small.")
        number = format(value, "f")
        parse_decimal(number)
    except (InvalidOperation, ValueError) as error:
        raise CellFault("This is not a number of at most 15 digits before the point and 9 after.") from error
    return number


def read_money(text: str, currency: str | None, notation: Notation = None) -> tuple[str, str]:
    """Return a price as (decimal string with exactly its currency's digits, ISO 4217 code); raises CellFault.

    `currency` stands in where the text names none, and must agree where it does. The price is above zero.
    """
    match = _AMOUNT.fullmatch(text[:MAX_NUMBER])
    if not match or len(text) > MAX_NUMBER:
        raise CellFault("This is not a price such as 17900.00 EUR.")
    named = [_SIGNS.get(code, code) for code in (match[1], match[3]) if code]
    code = named[0] if named else currency
    if code is None:
        raise CellFault("The price names no currency: write it as 17900.00 EUR.")
    if any(other != code for other in (*named, currency or code)):
        raise CellFault(f"The price is in two currencies, {code} and {currency if len(named) < 2 else named[1]}.")
    number = read_number(match[2].strip(), "." if notation is None else notation)
    fraction = number.partition(".")[2]
    try:
        if len(fraction) > minor_digits(code):
            raise CellFault(f"A price in {code} has at most {minor_digits(code)} digits after the point.")
        if Decimal(number) <= 0:
            raise CellFault("A price is more than zero.")
        return money(Decimal(number), code), code
    except CellFault:
        raise
    except ValueError as error:
        raise CellFault(f"{code} is not a currency code such as EUR.") from error


def read_measure(text: str, unit: str | None, notation: Notation = None) -> dict[str, str]:
    """Return a quantity as ``{"value", "unitCode"}``; raises CellFault.

    A unit in the text goes before `unit`, which stands in where the text names none. Quantities are not negative.
    """
    match = _MEASURE.fullmatch(text[:MAX_NUMBER])
    if not match or len(text) > MAX_NUMBER:
        raise CellFault("This is not a number with its unit, such as 64044 km.")
    code = unit
    if match[2]:
        code = UNIT_WORDS.get(match[2].rstrip(".").lower())
        if code is None:
            raise CellFault("The unit is not one we know: write it as in 64044 km or 39795 Miles.")
    if code is None:
        raise CellFault("The unit is missing: write it as in 64044 km or 39795 Miles.")
    number = read_number(match[1], notation)
    if number[0] == "-":
        raise CellFault("A quantity is not negative.")
    return {"value": number, "unitCode": code}


def read_count(text: str) -> int:
    """Return how many are in stock, 0 to 1,000,000; raises CellFault."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 7 or int(text) > MAX_QUANTITY:
        raise CellFault("A number in stock is a whole number from 0 to 1000000.")
    return int(text)


def read_category(text: str) -> str:
    """Return a path of slugs from the merchant taxonomy's English path, or from a path of slugs; raises CellFault.

    ``469 > Health & Beauty > Personal Care`` is ``health-beauty/personal-care``. DESIGN §4.4
    """
    if CATEGORY.fullmatch(text) and not text.isdecimal():
        return text
    if text.isdecimal():
        raise CellFault("Write the category's English path, not its number.")
    levels = [_slug(level) for level in _NUMBERED.sub("", text, count=1).split(">")]
    path = "/".join(levels)
    if not all(levels) or not CATEGORY.fullmatch(path):
        raise CellFault(f"A category is an English path of 1 to {MAX_CATEGORY_LEVELS} levels joined by >.")
    return path


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", _APOSTROPHE.sub("", text)).encode("ascii", "ignore").decode().lower()
    return _GAP.sub("-", plain).strip("-")


def read_vin(text: str) -> str:
    """Return a vehicle identification number in capitals; raises CellFault."""
    vin = text.upper()
    if not _VIN.fullmatch(vin):
        raise CellFault("A VIN has 17 letters and digits and never I, O or Q.")
    return vin


def read_year(text: str) -> str:
    """Return a model year of four digits; raises CellFault."""
    if not _YEAR.fullmatch(text[:4]) or (len(text) > 4 and not _is_date(text)):
        raise CellFault("A year has four digits, such as 2019.")
    return text[:4]


def read_date(text: str) -> str:
    """Return an ISO 8601 date, or a year and month, as written; raises CellFault."""
    if not _is_date(text if len(text) != 7 else f"{text}-01"):
        raise CellFault("A date is written as 2019-05-31.")
    return text


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return text[4:5] == "-" and text[7:8] == "-"


def read_moment(text: str) -> int:
    """Return unix seconds from an ISO 8601 date or time, in UTC where it names no zone; raises CellFault."""
    try:
        moment = datetime.fromisoformat(text)
        seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise CellFault("A date is written as 2019-05-31.") from error
    if seconds < 0:
        raise CellFault("The date lies before 1970.")
    return seconds


def read_condition(text: str) -> str:
    """Return schema.org's word for new, used, refurbished or damaged; raises CellFault."""
    condition = CONDITIONS.get(bare(text).lower())
    if condition is None:
        raise CellFault("A condition is new, used, refurbished or damaged.")
    return condition


def read_availability(text: str) -> bool:
    """Return whether the feed says it can be sold now; raises CellFault for a word nobody agreed on."""
    word = _GAP.sub("", bare(text).lower())
    if word not in _AVAILABLE and word not in _ABSENT:
        raise CellFault("Availability is in stock, out of stock, preorder or backorder.")
    return word in _AVAILABLE


def read_flag(text: str) -> str:
    """Return "true" or "false" from yes and no; raises CellFault."""
    word = text.lower()
    if word not in ("yes", "no", "true", "false", "1", "0"):
        raise CellFault("This is yes or no.")
    return "true" if word in ("yes", "true", "1") else "false"


def read_link(text: str) -> str:
    """Return a web address, or nothing where it is longer than 500 characters; raises CellFault for another scheme."""
    if not text.startswith(("https://", "http://")):
        raise CellFault("A link starts with https://.")
    link = text.replace(" ", "%20")  # shops do write file names with spaces
    return link if len(link) <= MAX_STRING else ""
