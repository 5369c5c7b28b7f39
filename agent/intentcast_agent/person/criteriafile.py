"""Criteria as a person writes them: TOML, checked key by key.

Numbers may stand in quotes or bare; they are read exactly, never as floats. DESIGN §6
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.quantity import minor_digits, parse_decimal, parse_money
from intentcast_protocol.vocabulary import read_text

from intentcast_agent.person.cost import Costing
from intentcast_agent.person.criteria import SHARE, TOTAL, WANTS, Criteria, Criterion
from intentcast_agent.person.value import Function, Linear, Step, Table, Target, lower

MAX_FILE: Final = 32_768  # bytes
MAX_LINE: Final = 1_000  # characters: a key of thousands of dots costs a parser its square
MAX_CRITERIA: Final = 32
MAX_POINTS: Final = 64  # of one value function
MAX_MONTHS: Final = 600
_PATH = re.compile(r"@?[A-Za-z][A-Za-z0-9]{0,63}(?:\.@?[A-Za-z][A-Za-z0-9]{0,63}){0,7}", re.ASCII)
_UNIT = re.compile(r"[A-Z0-9]{2,3}|%", re.ASCII)
_HEADED = re.compile(r"(?m)^(?=[ \t]*\[\[?\w+\]\]?[ \t]*(?:#.*)?$)")
_WEIGHED = re.compile(r"(?m)^[ \t]*weight[ \t]*=[ \t]*[^#\s]+")
_FUNCTIONS = ("linear", "step", "target", "table")
_TOP = ("unknown", "cost", "rates", "criterion")
_ROW = ("name", "path", "weight", "unit", "unknown", *_FUNCTIONS)
_COST = ("extra", "months", "currency")


class CriteriaError(Exception):
    """The criteria cannot be used; the text begins with the key that is wrong."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(key, sentence)
        self.key = key
        self.sentence = sentence

    def __str__(self) -> str:
        return f"{self.key}: {self.sentence}" if self.key else self.sentence


@lru_cache(maxsize=64)
def read_criteria(text: str) -> Criteria:
    """Read criteria of at most MAX_FILE bytes; raises CriteriaError with a sentence that names the key."""
    if len(text) > MAX_FILE or len(text.encode("utf-8", "replace")) > MAX_FILE:
        raise CriteriaError("", f"Criteria are at most {MAX_FILE} bytes.")
    if any(len(line) > MAX_LINE for line in text.splitlines()):
        raise CriteriaError("", f"A line of criteria has at most {MAX_LINE} characters.")
    try:
        raw = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise CriteriaError("", f"The criteria are not valid TOML: {error}"[:300]) from error
    _check(raw, _TOP, "")
    rows = raw.get("criterion", [])
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_CRITERIA:
        raise CriteriaError("criterion", f"write 1 to {MAX_CRITERIA} of them, each under a line [[criterion]].")
    criteria = tuple(_criterion(row, f"criterion {at}") for at, row in enumerate(rows, 1))
    for kind, values in (("name", [one.name for one in criteria]), ("path", [one.path for one in criteria])):
        if twice := next((value for at, value in enumerate(values) if value in values[:at]), None):
            raise CriteriaError("criterion", f"two have the {kind} {twice}; each counts once.")
    if not any(one.weight for one in criteria):
        raise CriteriaError("weight", "at least one weight is above 0.")
    unknown = _unit_number(raw["unknown"], "unknown") if "unknown" in raw else 0.0
    return Criteria(criteria, unknown, _costing(raw))


def read_unknown(value: object) -> float:
    """Read how to count what is not stated: ``worst``, ``half``, ``best``, or 0 to 1; raises CriteriaError."""
    words = {"worst": "0", "half": "0.5", "best": "1"}
    return _unit_number(words.get(value, value) if isinstance(value, str) else value, "unknown")


def read_weights(text: object) -> dict[str, Decimal]:
    """Read weights for one look, such as ``total=6,mileage=3``; raises CriteriaError."""
    if not isinstance(text, str) or len(text) > MAX_LINE * 4:
        raise CriteriaError("weights", "write name=number, separated by commas.")
    pairs = (part.rpartition("=") for part in text.split(",") if part.strip())
    return {name.strip(): _weight(number.strip(), f"weights: {name.strip()[:60]}") for name, _, number in pairs}


def weigh(criteria: Criteria, weights: Mapping[str, Decimal]) -> Criteria:
    """Return criteria with other weights for those that are named; raises CriteriaError for a name there is not."""
    names = [one.name for one in criteria.criteria]
    if strange := [name for name in weights if name not in names]:
        raise CriteriaError("weights", f"there is no criterion {strange[0][:60]}. They are {', '.join(names)}.")
    weighed = tuple(replace(one, weight=weights.get(one.name, one.weight)) for one in criteria.criteria)
    if not any(one.weight for one in weighed):
        raise CriteriaError("weights", "at least one weight is above 0.")
    return replace(criteria, criteria=weighed)


def write_weights(text: str, weights: Mapping[str, Decimal]) -> str:
    """Return a person's criteria with other weights and not a character else changed; raises CriteriaError."""
    wanted = weigh(read_criteria(text), weights)
    parts = []
    for part in _HEADED.split(text):
        try:
            rows = tomllib.loads(part).get("criterion", [])
        except ValueError:
            rows = []
        if rows and rows[0].get("name") in weights:
            part = _WEIGHED.sub(f"weight = {weights[rows[0]['name']].normalize():f}", part, count=1)  # noqa: PLW2901
        parts.append(part)
    written = "".join(parts)
    if read_criteria(written) != wanted:
        raise CriteriaError("weights", "these criteria are written in a way only you can change: edit them as text.")
    return written


def _check(raw: Any, keys: Iterable[str], where: str) -> dict[str, Any]:
    known = tuple(keys)
    if not isinstance(raw, dict):
        raise CriteriaError(where.rstrip("."), f"is a table with {', '.join(known)}.")
    for key in raw:
        if key not in known:
            close = get_close_matches(key[:60], known, 1)
            meant = f"Did you mean {close[0]}?" if close else f"The keys are {', '.join(known)}."
            raise CriteriaError(f"{where}{key[:60]}", f"there is no such key. {meant}")
    return raw


def _criterion(raw: Any, where: str) -> Criterion:
    row = _check(raw, _ROW, f"{where}: ")
    name, path = _text(row.get("name"), f"{where}: name"), row.get("path")
    where = f"{where} ({name})"
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise CriteriaError(f"{where}: path", f'write {TOTAL}, {WANTS}, or a path such as "itemOffered.color".')
    weight = _weight(row.get("weight"), f"{where}: weight")
    unit = row.get("unit")
    if unit is not None and (not isinstance(unit, str) or not _UNIT.fullmatch(unit)):
        raise CriteriaError(f"{where}: unit", "write a UN/ECE code such as KMT, DAY, MON, or a currency.")
    if unit == SHARE and path != TOTAL:
        raise CriteriaError(f"{where}: unit", "% is a share of the budget; only the total is measured by it.")
    unknown = _unit_number(row["unknown"], f"{where}: unknown") if "unknown" in row else None
    return Criterion(name, path, weight, _function(row, path, unit, where), unit, unknown)


def _function(row: dict[str, Any], path: str, unit: str | None, where: str) -> Function | None:
    given = [key for key in _FUNCTIONS if key in row]
    if path == WANTS:
        if given:
            raise CriteriaError(f"{where}: {given[0]}", "wants need none: the score is the share of wants met.")
        return None
    if len(given) != 1:
        raise CriteriaError(where, f"write one of {', '.join(_FUNCTIONS)}: how good which value is.")
    if path == TOTAL and (given[0] != "linear" or unit is None):
        raise CriteriaError(
            where, 'the total has linear = {worst = 100, best = 50} with unit = "%" of the budget, or a currency.'
        )
    function = _READERS[given[0]](row[given[0]], f"{where}: {given[0]}")
    if path == TOTAL and isinstance(function, Linear) and not 0 <= function.best < function.worst:
        raise CriteriaError(f"{where}: linear", "the best total is below the worst, and neither is negative.")
    return function


def _weight(raw: Any, where: str) -> Decimal:
    weight = _number(raw, where)
    if not 0 <= weight <= 1_000_000:
        raise CriteriaError(where, "write a number from 0 to 1000000; 0 shows it without counting it.")
    return weight


def _linear(raw: Any, where: str) -> Function:
    table = _check(raw, ("worst", "best"), f"{where}.")
    worst, best = (_number(table.get(key), f"{where}.{key}") for key in ("worst", "best"))
    if worst == best:
        raise CriteriaError(where, "worst and best are two different values.")
    return Linear(worst, best)


def _step(raw: Any, where: str) -> Function:
    if not isinstance(raw, list) or not 0 < len(raw) <= MAX_POINTS:
        raise CriteriaError(where, "list thresholds and their scores, such as [[12, 0.5], [24, 1]].")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in raw):
        raise CriteriaError(where, "each step is a threshold and a score, such as [12, 0.5].")
    steps = tuple((_number(pair[0], where), _unit_number(pair[1], where)) for pair in raw)
    if any(later[0] <= earlier[0] for earlier, later in pairwise(steps)):
        raise CriteriaError(where, "the thresholds ascend.")
    return Step(steps)


def _target(raw: Any, where: str) -> Function:
    table = _check(raw, ("at", "reach"), f"{where}.")
    at, reach = (_number(table.get(key), f"{where}.{key}") for key in ("at", "reach"))
    if reach <= 0:
        raise CriteriaError(f"{where}.reach", "is above 0: so far from the target the score is 0.")
    return Target(at, reach)


def _table(raw: Any, where: str) -> Function:
    if not isinstance(raw, dict) or not 0 < len(raw) <= MAX_POINTS:
        raise CriteriaError(where, f'name 1 to {MAX_POINTS} values, such as {{"Tow bar" = 0.5, Navigation = 1}}.')
    scores = {lower(name): _unit_number(score, f"{where}.{name[:60]}") for name, score in raw.items()}
    if len(scores) < len(raw):
        raise CriteriaError(where, "two names differ in their capitals only, which is no difference here.")
    return Table(scores)


_READERS: Final[Mapping[str, Callable[[Any, str], Function]]] = {
    "linear": _linear,
    "step": _step,
    "target": _target,
    "table": _table,
}


def _costing(raw: dict[str, Any]) -> Costing:
    cost = _check(raw.get("cost", {}), _COST, "cost.")
    rates = raw.get("rates", {})
    if not isinstance(rates, dict) or len(rates) > MAX_POINTS:
        raise CriteriaError("rates", 'write what one unit of a currency is worth in yours, such as USD = "0.92".')
    months, extra, extra_currency = cost.get("months"), Decimal(0), None
    if months is not None and (type(months) is not int or not 0 < months <= MAX_MONTHS):
        raise CriteriaError("cost.months", f"write a whole number from 1 to {MAX_MONTHS}.")
    if "extra" in cost:
        amount, _, currency = cost["extra"].partition(" ") if isinstance(cost["extra"], str) else ("", "", "")
        try:
            extra, extra_currency = parse_money(amount, currency), currency
        except ValueError as error:
            raise CriteriaError("cost.extra", 'write an amount and its currency, such as "120.00 EUR".') from error
        if extra < 0:
            raise CriteriaError("cost.extra", "is what you pay on top; it is not negative.")
    named = _currency(cost["currency"], "cost.currency") if "currency" in cost else None
    exact = {_currency(name, f"rates.{name[:60]}"): _rate(value, f"rates.{name[:60]}") for name, value in rates.items()}
    return Costing(extra, extra_currency, months, named, exact)


def _rate(value: Any, where: str) -> Decimal:
    rate = _number(value, where)
    if rate <= 0:
        raise CriteriaError(where, "a rate is above 0.")
    return rate


def _currency(value: Any, where: str) -> str:
    try:
        minor_digits(value)
    except ValueError as error:
        raise CriteriaError(where, 'write three capitals, such as "EUR".') from error
    return str(value)


def _text(value: Any, where: str) -> str:
    try:
        return read_text(value, "it", "invalid.demand.malformed", 60)
    except InvalidMessage as error:
        raise CriteriaError(where, f"{error.detail}.") from error


def _number(value: Any, where: str) -> Decimal:
    """Read a number that the wire could carry: at most 15 digits before the point and 9 after it."""
    text = value
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < 20:
        text = format(value, "f")
    elif type(value) is int and abs(value) < 10**15:
        text = str(value)
    try:
        return parse_decimal(text)
    except ValueError as error:
        raise CriteriaError(where, "write a number, such as 2 or 0.5.") from error


def _unit_number(value: Any, where: str) -> float:
    number = _number(value, where)
    if not 0 <= number <= 1:
        raise CriteriaError(where, "write a number from 0 (worst) to 1 (best).")
    return float(number)
