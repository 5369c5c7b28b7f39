"""Questions and answers with typed facts, so that what was unknown can be met or unmet without reading anybody's prose.

    question = {text, path?, unitCode?}
    answer   = {re, text?, facts?: [fact, …], waived?: [path, …]}
    fact     = {path, value, unitCode?, priceCurrency?}

A fact never stands against what a signed offer or demand states: it counts only where that says nothing. PROTOCOL §8.3
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from intentcast_protocol.constraint import read_path
from intentcast_protocol.demand import Demand
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_CONSTRAINTS, MAX_FACTS
from intentcast_protocol.quantity import parse_money
from intentcast_protocol.vocabulary import read_amount, read_text, read_unit

_CODE: Final = "invalid.session.malformed"
_FIELDS: Final = frozenset({"path", "value", "unitCode", "priceCurrency"})


@dataclass(frozen=True, slots=True)
class Fact:
    """One value that a side states of the item: a decimal, perhaps with a unit or currency, a text, or yes or no."""

    path: str
    value: str | bool
    unit: str | None = None
    currency: str | None = None

    def wire(self) -> dict[str, Any]:
        """Return the fact's form in an answer."""
        fields = {"path": self.path, "value": self.value, "unitCode": self.unit, "priceCurrency": self.currency}
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def stated(self) -> Any:
        """The value as an item would state it. PROTOCOL §6.1"""
        if self.currency is None:
            return {"value": self.value, "unitCode": self.unit} if self.unit else self.value
        return {"price": self.value, "priceCurrency": self.currency} | ({"unitCode": self.unit} if self.unit else {})


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer says for programs: facts, and the must-haves that may stay unknown all the same."""

    facts: tuple[Fact, ...]
    waived: frozenset[str]


def read_question(body: Mapping[str, Any]) -> str | None:
    """Read the path a question is about, if it names one; raises InvalidMessage. PROTOCOL §8.3"""
    read_unit(body.get("unitCode"), "unitCode", _CODE)
    return None if body.get("path") is None else read_path(body["path"], "path", _CODE)


def read_answer(body: Mapping[str, Any]) -> Answer:
    """Read an answer's facts and waivers: at most MAX_FACTS and MAX_CONSTRAINTS, each path once.

    Raises InvalidMessage naming what is wrong. PROTOCOL §8.3
    """
    facts = tuple(read_fact(one) for one in _listed(body, "facts", MAX_FACTS))
    waived = [read_path(one, "waived", _CODE) for one in _listed(body, "waived", MAX_CONSTRAINTS)]
    for paths in ([fact.path for fact in facts], waived):
        if len(set(paths)) != len(paths):
            raise InvalidMessage(_CODE, "an answer names a path once")
    return Answer(facts, frozenset(waived))


def _listed(body: Mapping[str, Any], name: str, most: int) -> list[Any]:
    value = body.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise InvalidMessage(_CODE, f"{name} are a list of at most {most}")
    return value


def read_fact(value: object) -> Fact:
    """Read one fact; raises InvalidMessage. PROTOCOL §8.3"""
    if not isinstance(value, dict) or not value.keys() <= _FIELDS:
        raise InvalidMessage(_CODE, "a fact has a path, a value, and perhaps unitCode or priceCurrency")
    path = read_path(value.get("path"), "a fact's path", _CODE)
    said, currency = value.get("value"), value.get("priceCurrency")
    unit = read_unit(value.get("unitCode"), f"{path}: unitCode", _CODE)
    if currency is not None:
        try:
            parse_money(said, currency)
        except ValueError as error:
            raise InvalidMessage(_CODE, f"{path}: {error}") from error
    elif unit is not None:
        read_amount(said, unit, _CODE)
    elif not isinstance(said, bool):
        read_text(said, f"{path}: value", _CODE, 200)
    return Fact(path, said, unit, currency)  # type: ignore[arg-type]


def fact_of(path: str, value: object) -> Fact | None:
    """Return a value that an item states as a fact, or None where it is none that an answer can carry."""
    fields = value if isinstance(value, dict) else {"value": value}
    said = fields.get("price") if "priceCurrency" in fields else fields.get("value", fields.get("name"))
    wire = {
        "path": path,
        "value": said,
        **{name: fields[name] for name in ("unitCode", "priceCurrency") if name in fields},
    }
    try:
        return read_fact(wire)
    except InvalidMessage:
        return None


def stated(facts: Iterable[Fact]) -> dict[str, Any]:
    """Return facts by path as an item would state them, for `judge`; of two on one path the later one counts."""
    return {fact.path: fact.stated for fact in facts}


def told(demand: Demand, facts: Iterable[Fact]) -> Demand:
    """Return a demand with what the person has said since about the item; what it states itself stays. PROTOCOL §8.3"""
    return replace(demand, item=fill(demand.item, facts))


def fill(item: dict[str, Any], facts: Iterable[Fact]) -> dict[str, Any]:
    """Return an item with the facts about it that it does not state itself."""
    for path, value in stated(facts).items():
        root, _, rest = path.partition(".")
        if root == "itemOffered" and rest:
            item = _fill(item, rest.split("."), value)
    return item


def _fill(item: dict[str, Any], names: list[str], value: Any) -> dict[str, Any]:
    name, *rest = names
    inner = item.get(name)
    if rest and (inner is None or isinstance(inner, dict)):
        return {**item, name: _fill(inner or {}, rest, value)}
    return item if rest or inner is not None else {**item, name: value}


def waive(demand: Demand, waived: Collection[str]) -> Demand:
    """Return a demand whose person was asked: an unknown must-have passes if waived, or else fails. PROTOCOL §8.3"""
    wishes = tuple(
        replace(wish, on_unknown="allow" if wish.path in waived else "reject") if wish.on_unknown == "ask" else wish
        for wish in demand.constraints
    )
    return replace(demand, constraints=wishes)
