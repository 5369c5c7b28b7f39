"""The form of a draft: a template's text as fields to fill in, and the fields as a template's text again.

Nothing is judged here: what is wrong with a draft, `demand_preview` says when it reads the text.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from intentcast_protocol.quantity import symbol

from intentcast_agent.person.draft import ADMIT
from intentcast_agent.person.drafting.reading import Reading
from intentcast_agent.person.drafting.template import PATHS
from intentcast_agent.web.form import Form

MOST_ROWS: Final = 60
LEFT_OUT: Final = "out"
_LISTS: Final = ("in", "between")
_PLAIN: Final = (
    "name", "description", "category", "price", "currency", "per", "countries", "cells", "expires", "rounds", "reserve",
    "words",
)  # fmt: skip
_FIELDS: Final = {"country": "countries", "make": "like.manufacturer", "model": "like.model"}
_PLACE: Final = ("lat", "lon", "radius_km")


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement as text; `said` are the words of the person's it came from."""

    path: str = ""
    op: str = "eq"
    value: str = ""
    unit: str = ""
    currency: str = ""
    strength: str = "must"
    unknown: str = "ask"
    said: str = ""

    @property
    def symbol(self) -> str:
        """Return the unit as people write it."""
        return symbol(self.unit) if self.unit else self.currency


@dataclass(frozen=True, slots=True)
class Sheet:
    """A draft as its fields; all are text, as they were typed."""

    name: str = ""
    description: str = ""
    category: str = ""
    type: str = "Product"
    price: str = ""
    currency: str = "EUR"
    per: str = ""
    countries: str = ""
    place: Mapping[str, str] = field(default_factory=dict)
    cells: str = ""
    expires: str = "7d"
    rounds: str = "5"
    admit: Sequence[str] = ADMIT
    like: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[Row] = ()
    reserve: str = ""
    words: str = ""  # what the person wrote
    said: Mapping[str, str] = field(default_factory=dict)  # field -> the words it came from
    rest: str = ""  # what was not understood
    withheld: Sequence[str] = ()  # what is nobody's business, and was kept out


def from_template(text: str) -> Sheet:
    """Read a template's text that this program wrote."""
    data = tomllib.loads(text)
    price, _, currency = str(data.get("max_price", "")).partition(" ")
    near = data.get("near") or {}
    reserve = str(data.get("private", {}).get("reserve", ""))
    return Sheet(
        name=str(data.get("name", "")),
        description=str(data.get("description", "")),
        category=str(data.get("category", "")),
        type=str(data.get("type", "Product")),
        price=price,
        currency=currency or "EUR",
        per=str(data.get("per", "")),
        countries=", ".join(data.get("countries", ())),
        place={name: str(near[name]) for name in _PLACE if name in near},
        cells=", ".join(data.get("cells", ())),
        expires=str(data.get("expires", "7d")),
        rounds=str(data.get("rounds", 5)),
        admit=tuple(data.get("admit", ADMIT)),
        like={str(name): str(value) for name, value in (data.get("like") or {}).items()},
        rows=tuple(_row(one, strength) for strength in ("must", "want") for one in data.get(strength, ())),
        reserve=reserve.partition(" ")[0],
    )


def _row(data: Mapping[str, Any], strength: str) -> Row:
    value = data.get("value", "")
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    words = {name: str(data.get(name, "")) for name in ("unit", "currency")}
    unknown = str(data.get("unknown", "ask"))
    return Row(str(data["path"]), str(data["op"]), str(value), strength=strength, unknown=unknown, **words)


def from_form(form: Form) -> Sheet:
    """Read the fields as they were sent; rows that were left out or left empty are gone."""
    numbers = sorted({int(name.partition(".")[0]) for name, _ in form.below("row") if name.partition(".")[0].isdecimal()
                      and len(name) < 40})  # fmt: skip
    rows = []
    for at in numbers[:MOST_ROWS]:
        given = {name: form[f"row{at}.{name}"] for name in Row.__slots__}
        if given["path"] and given["strength"] != LEFT_OUT:
            rows.append(Row(**given | {"strength": given["strength"] or "must", "unknown": given["unknown"] or "ask"}))
    plain: dict[str, Any] = {name: form[name] for name in _PLAIN}
    return Sheet(
        **plain,
        type=form["type"] or "Product",
        place={name: form[f"place.{name}"] for name in _PLACE if form[f"place.{name}"]},
        admit=tuple(form.all("admit")),
        like={name: text for name, text in form.below("like.") if text},
        rows=tuple(rows),
    )


def with_words(sheet: Sheet, reading: Reading) -> Sheet:
    """Say which of a person's words each field came from, and what of them has no field."""
    said: dict[str, str] = {}
    for slot in reading.slots:
        if slot.words:
            said.setdefault(_FIELDS.get(slot.name, slot.name), slot.words)
    rows = tuple(replace(row, said=_said_of(row.path, said)) for row in sheet.rows)
    return replace(sheet, words=reading.text, rows=rows, said=said, rest=reading.rest, withheld=reading.withheld)


def _said_of(path: str, said: Mapping[str, str]) -> str:
    names = (_FIELDS.get(name, name) for name, known in PATHS.items() if known == path)
    return next((said[name] for name in names if name in said), "")


def to_template(sheet: Sheet) -> str:
    """Write the fields as a template's text."""
    return "\n".join(_lines(sheet)) + "\n"


def _lines(sheet: Sheet) -> Iterator[str]:
    yield f"name = {_text(sheet.name)}"
    if sheet.description:
        yield f"description = {_text(sheet.description)}"
    yield f"category = {_text(sheet.category)}"
    yield f"type = {_text(sheet.type)}"
    if sheet.price:
        yield f"max_price = {_text(_amount(sheet.price, sheet.currency))}"
        if sheet.per:
            yield f"per = {_text(sheet.per)}"
    if sheet.countries:
        yield f"countries = {_list(sheet.countries.upper())}"
    if sheet.place:
        numbers = ", ".join(f"{_text(name)} = {_text(value)}" for name, value in sheet.place.items())
        yield f"near = {{ {numbers} }}"
    elif sheet.cells:
        yield f"cells = {_list(sheet.cells)}"
    yield f"expires = {_text(sheet.expires)}"
    yield f"rounds = {sheet.rounds if sheet.rounds.isascii() and sheet.rounds.isdecimal() else _text(sheet.rounds)}"
    yield f"admit = [{', '.join(map(_text, sheet.admit))}]"
    if sheet.like:
        yield f"like = {{ {', '.join(f'{_text(name)} = {_text(value)}' for name, value in sheet.like.items())} }}"
    for row in sheet.rows:
        yield from _row_lines(row)
    if sheet.reserve:
        yield f"\n[private]\nreserve = {_text(_amount(sheet.reserve, sheet.currency))}"


def _row_lines(row: Row) -> Iterator[str]:
    # Likeness only ranks: the protocol has no must for it.
    strength = "want" if row.strength == "want" or row.op == "like" else "must"
    yield f"\n[[{strength}]]"
    yield f"path = {_text(row.path)}"
    yield f"op = {_text(row.op)}"
    if row.op in _LISTS:
        yield f"value = {_list(row.value)}"
    elif row.value.lower() in ("yes", "no"):
        yield f"value = {'true' if row.value.lower() == 'yes' else 'false'}"
    elif row.value:
        yield f"value = {_text(row.value)}"
    for name, text in (("unit", row.unit), ("currency", row.currency), ("unknown", row.unknown)):
        if text:
            yield f"{name} = {_text(text)}"


def _amount(text: str, currency: str) -> str:
    """Return an amount as a template has it; digits may have been typed in groups of three by spaces."""
    return f"{''.join(text.split())} {currency}".strip()


def _list(text: str) -> str:
    return f"[{', '.join(_text(part.strip()) for part in text.split(',') if part.strip())}]"


def _text(text: str) -> str:
    # JSON's strings are TOML's, but for one control character that JSON leaves bare.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
