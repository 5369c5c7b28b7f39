"""Constraints: what an item must be, judged exactly, in three values, with the reason in words.

A missing path, or a unit or currency that cannot be compared, is *unknown*, never a guess. PROTOCOL §6.3
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_CONSTRAINTS
from intentcast_protocol.quantity import convert, minor_digits, parse_decimal, symbol
from intentcast_protocol.vocabulary import read_amount, read_text, read_unit, visible

_PATH = re.compile(r"@?[A-Za-z][A-Za-z0-9]{0,63}(?:\.@?[A-Za-z][A-Za-z0-9]{0,63}){0,7}", re.ASCII)
_TOKEN = re.compile(r"\w+")
_CODE = "invalid.demand.malformed"
_FIELDS = frozenset({"path", "op", "value", "unitCode", "priceCurrency", "strength", "onUnknown"})
MAX_FOUND = 64  # values looked at under one path
UNSAID: Final[Mapping[str, Any]] = MappingProxyType({})
Op = Literal["eq", "in", "ge", "le", "between", "exists", "like"]


class Verdict(StrEnum):
    """Whether one constraint holds."""

    MET = "met"
    UNMET = "unmet"
    UNKNOWN = "unknown"


class Fit(StrEnum):
    """Whether the whole demand does: it fits, something must be asked first, or it fails."""

    FITS = "fits"
    ASKS = "asks"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Constraint:
    """One wish: `must` decides, `want` only ranks; `on_unknown` says what an unknown must does."""

    path: str
    op: Op
    value: Any
    unit: str | None = None
    currency: str | None = None
    strength: Literal["must", "want"] = "must"
    on_unknown: Literal["ask", "reject", "allow"] = "ask"

    def wire(self) -> dict[str, Any]:
        """Return the constraint's form in a demand."""
        fields = {"path": self.path, "op": self.op, "value": self.value, "unitCode": self.unit,
                  "priceCurrency": self.currency, "strength": self.strength, "onUnknown": self.on_unknown}  # fmt: skip
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Finding:
    """A constraint's verdict on one item, and why, for a person to read."""

    constraint: Constraint
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """All findings on one item."""

    findings: tuple[Finding, ...]

    @property
    def fit(self) -> Fit:
        """The must-haves decide. PROTOCOL §6.3"""
        musts = [found for found in self.findings if found.constraint.strength == "must"]
        unknown = {found.constraint.on_unknown for found in musts if found.verdict is Verdict.UNKNOWN}
        if any(found.verdict is Verdict.UNMET for found in musts) or "reject" in unknown:
            return Fit.FAILS
        return Fit.ASKS if "ask" in unknown else Fit.FITS

    @property
    def wants_met(self) -> int:
        """How many wants are met."""
        return sum(found.constraint.strength == "want" and found.verdict is Verdict.MET for found in self.findings)

    @property
    def why(self) -> str:
        """The reasons that decide, in one line."""
        fit = self.fit
        decisive = [
            found.why
            for found in self.findings
            if found.constraint.strength == "must" and (fit is Fit.FITS or found.verdict is not Verdict.MET)
        ]
        return "; ".join(decisive) or "no must-haves"


def read_constraints(value: object) -> tuple[Constraint, ...]:
    """Read a demand's constraints; raises InvalidMessage naming the one that is wrong. PROTOCOL §6.3"""
    if not isinstance(value, list) or len(value) > MAX_CONSTRAINTS:
        raise InvalidMessage(_CODE, f"constraints are a list of at most {MAX_CONSTRAINTS}")
    return tuple(_read(item, f"constraint {at}") for at, item in enumerate(value, 1))


def read_path(value: object, name: str, code: str) -> str:
    """Read schema.org property names joined by dots; raises InvalidMessage."""
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise InvalidMessage(code, f"{name} is schema.org property names joined by dots")
    return value


def _read(item: object, name: str) -> Constraint:
    if not isinstance(item, dict) or not item.keys() <= _FIELDS:
        raise InvalidMessage(_CODE, f"{name} has unknown fields")
    path, op, value = read_path(item.get("path"), f"{name}: path", _CODE), item.get("op"), item.get("value")
    strength, unknown = item.get("strength", "must"), item.get("onUnknown", "ask")
    if op not in ("eq", "in", "ge", "le", "between", "exists", "like"):
        raise InvalidMessage(_CODE, f"{name}: op is eq, in, ge, le, between, exists or like")
    if strength not in ("must", "want") or unknown not in ("ask", "reject", "allow"):
        raise InvalidMessage(_CODE, f"{name}: strength is must or want, onUnknown is ask, reject or allow")
    if op == "like" and strength != "want":
        raise InvalidMessage(_CODE, f"{name}: like is a want, it cannot decide")
    unit, currency = read_unit(item.get("unitCode"), f"{name}: unitCode", _CODE), item.get("priceCurrency")
    if currency is not None:
        try:
            minor_digits(currency)
        except ValueError as error:
            raise InvalidMessage(_CODE, f"{name}: {error}") from error
    _check_value(op, value, unit, name)
    return Constraint(path, op, value, unit, currency, strength, unknown)


def _check_value(op: str, value: object, unit: str | None, name: str) -> None:
    if op == "exists":
        good = value is None or isinstance(value, bool)
    elif op in ("ge", "le"):
        read_amount(value, unit, _CODE)
        good = True
    elif op == "between":
        good = isinstance(value, list) and len(value) == 2
        if isinstance(value, list) and good:
            good = read_amount(value[0], unit, _CODE) <= read_amount(value[1], unit, _CODE)
    elif op == "in":
        good = isinstance(value, list) and 0 < len(value) <= MAX_CONSTRAINTS
        for one in value if isinstance(value, list) else ():
            read_text(one, name, _CODE, 200)
    else:
        good = isinstance(value, bool | str)
        if isinstance(value, str):
            read_text(value, name, _CODE, 200)
    if not good:
        raise InvalidMessage(_CODE, f"{name}: {op} cannot take this value")


def judge(constraints: Iterable[Constraint], subject: Mapping[str, Any], said: Mapping[str, Any] = UNSAID) -> Judgement:
    """Judge an item against constraints.

    `subject` is an offer's body, or any map with the same paths (``itemOffered.…``, ``priceSpecification``). Bounds are
    inclusive; text compares without ASCII case; a list is met if any element is. `said` are values by path from an
    answer, which count only where the subject states nothing there. Never raises. PROTOCOL §6.3, §8.3
    """
    return Judgement(tuple(evaluate(one, subject, said) for one in constraints))


def evaluate(constraint: Constraint, subject: Mapping[str, Any], said: Mapping[str, Any] = UNSAID) -> Finding:
    """Judge one constraint. PROTOCOL §6.3"""
    found = find(subject, constraint.path)
    name = _spoken(constraint.path)
    if not found and constraint.path in said:
        found, name = [said[constraint.path]], f"{name}, by an answer,"
    if constraint.op == "exists":
        verdict = Verdict.MET if bool(found) == (constraint.value is not False) else Verdict.UNMET
        return Finding(constraint, verdict, f"{name} is {'stated' if found else 'not stated'}")
    if not found:
        return Finding(constraint, Verdict.UNKNOWN, f"{name} is not stated")
    verdicts = [_compare(constraint, value) for value in found]
    verdict = next((v for v in (Verdict.MET, Verdict.UNMET) if v in verdicts), Verdict.UNKNOWN)
    return Finding(constraint, verdict, _why(constraint, name, found[verdicts.index(verdict)], verdict))


def find(subject: Mapping[str, Any], path: str) -> list[Any]:
    """Return the values that a body states under a path, as a constraint finds them. PROTOCOL §6.3"""
    return list(_at(subject, path.split(".")))


def _at(value: Any, path: list[str]) -> Iterable[Any]:
    level = [value]
    for step in path:
        inner = [part[step] for part in _flat(level) if isinstance(part, dict) and step in part]
        level = inner[:MAX_FOUND]
    return _flat(level)[:MAX_FOUND]


def _flat(values: list[Any]) -> list[Any]:
    return [part for value in values for part in (value if isinstance(value, list) else [value]) if part is not None]


def _compare(constraint: Constraint, found: Any) -> Verdict:
    op, value = constraint.op, constraint.value
    if op == "like":
        have = set(_TOKEN.findall(_lower(_as_text(found))))
        wanted = _TOKEN.findall(_lower(str(value)))
        return Verdict.MET if wanted and have.issuperset(wanted) else Verdict.UNMET
    if isinstance(value, bool):
        return Verdict.UNKNOWN if not isinstance(found, bool) else _verdict(found is value)
    number = _number(constraint, found)
    if op in ("ge", "le", "between"):
        if number is None:
            return Verdict.UNKNOWN
        low, high = (value[0], value[1]) if op == "between" else (value, value)
        above, below = number >= Decimal(low), number <= Decimal(high)
        return _verdict(above if op == "ge" else below if op == "le" else above and below)
    choices = value if op == "in" else [value]
    if number is not None:
        wanted_numbers = [_decimal(choice) for choice in choices]
        if any(choice is not None for choice in wanted_numbers):
            return _verdict(number in wanted_numbers)
    if number is None and (constraint.unit or constraint.currency):
        return Verdict.UNKNOWN
    if isinstance(found, dict):
        stated = _decimal(found.get("value", found.get("price")))
        if stated is not None or "name" not in found:
            return Verdict.UNKNOWN
    return _verdict(_lower(_as_text(found)) in [_lower(choice) for choice in choices])


def _number(constraint: Constraint, found: Any) -> Decimal | None:
    """Return what was found as a number in the constraint's own unit and currency, or None."""
    if isinstance(found, dict) and "priceCurrency" in found:
        same = found["priceCurrency"] == constraint.currency and found.get("unitCode") == constraint.unit
        return _decimal(found.get("price")) if same else None
    if constraint.currency is not None:
        return None
    value, unit = (found.get("value"), found.get("unitCode")) if isinstance(found, dict) else (found, None)
    number = _decimal(value)
    if number is None or not isinstance(unit, str | None):
        return None
    return convert(number, unit, constraint.unit)


def _decimal(value: Any) -> Decimal | None:
    try:
        return parse_decimal(value)
    except ValueError:
        return None


def _verdict(holds: bool) -> Verdict:
    return Verdict.MET if holds else Verdict.UNMET


def _lower(text: str) -> str:
    return "".join(chr(ord(char) | 0x20) if "A" <= char <= "Z" else char for char in text)


def _as_text(value: Any) -> str:
    """Return the text that a value compares and is shown as; empty, which equals none, where it has none."""
    if isinstance(value, dict):
        unit = value.get("unitCode") or value.get("priceCurrency")
        text = _plain(next((value[key] for key in ("value", "price", "name") if key in value), None))
        return f"{text} {unit}" if text and isinstance(unit, str) else text
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ""


def _shown(value: Any) -> str:
    """Return a found value as people write it, with the sign of its unit."""
    text, unit = _as_text(value), value.get("unitCode") if isinstance(value, dict) else None
    return text.removesuffix(unit) + symbol(unit) if isinstance(unit, str) and unit else text


def _spoken(path: str) -> str:
    """Return a path's last property as words: ``mileageFromOdometer`` as "mileage from odometer"."""
    name = path.rpartition(".")[2].removesuffix("Specification")
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: " " + found[1].lower(), name)


def _why(constraint: Constraint, name: str, found: Any, verdict: Verdict) -> str:
    unit = constraint.currency or constraint.unit
    value = constraint.value
    wanted = " to ".join(value) if constraint.op == "between" else ", ".join(value) if constraint.op == "in" else value
    words = {"eq": "", "in": "one of ", "ge": "at least ", "le": "at most ", "between": "", "like": "like "}
    asked = f"{words[constraint.op]}{wanted}{f' {symbol(unit)}' if unit else ''}"
    asked, have = visible(asked), visible(_shown(found)[:80]) or "?"
    if verdict is Verdict.UNKNOWN:
        return f"{name} {have} cannot be compared with {asked}"
    return f"{name} {have} {'is' if verdict is Verdict.MET else 'is not'} {asked}"
