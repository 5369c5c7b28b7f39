"""A vendor's own mapping, written in TOML.

base = "merchant-product"         # optional: start from a built-in mapping
decimal = ","                     # optional: the decimal mark; without it 12.500 is refused as doubtful
[columns.mileage_km]
path = "item.mileageFromOdometer" # or sku, price, sale_price, currency, quantity, availability, listed
unit = "KMT"                      # makes it a quantity; on price: the price is once per this unit
[columns.fuel]
path = "item.fuelType"
values = { Gasoline = "Petrol" }  # what the file's words mean; "" for nothing
optional = true                   # the file may lack this column
[defaults]                        # for what a row leaves empty; {path} stands for another value of the item
"@type" = "Car"
name = "{manufacturer} {model}"
"""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from intentcast_protocol.quantity import minor_digits

from intentcast_agent.vendor.inventory.cell import CellFault, Notation
from intentcast_agent.vendor.inventory.mapping import KINDS, READERS, SALE, Column, Kind, Mapping, plain
from intentcast_agent.vendor.inventory.merchant import BUILT_IN

_PATH = re.compile(r"item(?:\.@?[A-Za-z][A-Za-z0-9]{0,63}){1,5}", re.ASCII)
_UNIT = re.compile(r"[A-Z0-9]{2,3}", re.ASCII)
MAX_MAPPING_BYTES = 262_144


class MappingInvalid(Exception):
    """A mapping contradicts itself; the text is a sentence for the vendor."""


def load_mapping(path: Path) -> Mapping:
    """Read a vendor's mapping from a TOML file of at most 256 KiB; raises MappingInvalid with a sentence."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_MAPPING_BYTES + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise MappingInvalid(f"The mapping {path.name} cannot be read: {error}.") from error
    if len(content) > MAX_MAPPING_BYTES:
        raise MappingInvalid(f"The mapping {path.name} is larger than {MAX_MAPPING_BYTES // 1024} KiB.")
    return parse_mapping(text, path.stem)


def parse_mapping(text: str, name: str = "own") -> Mapping:
    """Read a vendor's mapping from TOML text; raises MappingInvalid with a sentence that names the faulty key."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MappingInvalid(f"The mapping is not TOML: {error}.") from error
    _only(table, {"name", "base", "decimal", "currency", "columns", "defaults"}, "The mapping")
    base = Mapping(name, {})
    if "base" in table:
        if table["base"] not in BUILT_IN:
            raise MappingInvalid(f"base is one of {', '.join(BUILT_IN)}.")
        base = BUILT_IN[table["base"]]
    columns, defaults = table.get("columns", {}), table.get("defaults", {})
    if not isinstance(columns, dict) or not isinstance(defaults, dict):
        raise MappingInvalid("columns and defaults are tables.")
    own = {plain(header): _column(header, entry, table.get("currency")) for header, entry in columns.items()}
    mapping = replace(
        base,
        name=_text(table, "name") or name,
        columns={**base.columns, **own},
        defaults={**base.defaults, **{key: _default(key, value) for key, value in defaults.items()}},
        decimal=_decimal(table.get("decimal", base.decimal)),
        currency=_currency(_text(table, "currency")) or base.currency,
    )
    _check(mapping)
    return mapping


def _column(header: str, entry: object, currency: object) -> Column:
    if not isinstance(entry, dict):
        raise MappingInvalid(f"columns.{header} is a table with a path.")
    _only(entry, {"path", "kind", "currency", "unit", "separator", "values", "optional"}, f"columns.{header}")
    path, unit = _text(entry, "path") or "", _text(entry, "unit")
    kind = entry.get("kind") or ("measure" if unit and path not in SALE else KINDS.get(path, "text"))
    values, separator = entry.get("values", {}), entry.get("separator", ",")
    if path not in SALE and not _PATH.fullmatch(path):
        raise MappingInvalid(f"columns.{header}.path is {', '.join(sorted(SALE))}, or a property such as item.model.")
    if kind not in get_args(Kind):
        raise MappingInvalid(f"columns.{header}.kind is one of {', '.join(get_args(Kind))}.")
    if unit and not _UNIT.fullmatch(unit):
        raise MappingInvalid(f"columns.{header}.unit is a UN/ECE code such as KMT.")
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise MappingInvalid(f"columns.{header}.values is a table of text.")
    if not isinstance(separator, str) or not separator:
        raise MappingInvalid(f"columns.{header}.separator is text.")
    return Column(
        path,
        kind,
        _currency(_text(entry, "currency") or currency),
        unit,
        separator,
        {word.casefold(): value for word, value in values.items()},
        needed=entry.get("optional") is not True,
    )


def _default(key: str, value: object) -> str:
    if not isinstance(value, str) or not (key == "sku" or _PATH.fullmatch(f"item.{key}")):
        raise MappingInvalid(f"defaults.{key} is text for a property of the item.")
    reader = READERS.get(KINDS.get(f"item.{key}", "text"))
    try:
        return reader(value) if reader and "{" not in value else value
    except CellFault as fault:
        raise MappingInvalid(f"defaults.{key}: {fault}") from fault


def _check(mapping: Mapping) -> None:
    paths = {column.path for column in mapping.columns.values()}
    if "price" not in paths or ("sku" not in paths and "sku" not in mapping.defaults):
        raise MappingInvalid("A mapping needs a column for price and one for sku.")
    item = {path for path in paths if path not in SALE} | {f"item.{key}" for key in mapping.defaults if key != "sku"}
    for path in item:
        if any(other.startswith(f"{path}.") for other in item):
            raise MappingInvalid(f"{path} holds a value and cannot also hold properties.")


def _only(table: dict[str, Any], known: set[str], name: str) -> None:
    for key in table:
        if key not in known:
            raise MappingInvalid(f"{name} has no key {key}; it has {', '.join(sorted(known))}.")


def _text(table: dict[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise MappingInvalid(f"{key} is text.")
    return value


def _decimal(value: object) -> Notation:
    if value is not None and value not in (".", ","):
        raise MappingInvalid('decimal is "." or ",".')
    return "." if value == "." else "," if value == "," else None


def _currency(value: object) -> str | None:
    if value is None:
        return None
    try:
        minor_digits(value)
    except ValueError as error:
        raise MappingInvalid(f"currency is an ISO 4217 code such as EUR: {error}.") from error
    return str(value)
