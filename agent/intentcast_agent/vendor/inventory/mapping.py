"""What each column of a stock file means: its schema.org path, unit, currency and words.

A mapping is data, so that no trade needs code of its own. The built-in ones are in `merchant`; `mappingfile` reads a
vendor's own. DESIGN §4.4
"""

import re
from collections.abc import Callable
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from typing import Any, Literal

from intentcast_agent.vendor.inventory.cell import (
    CellFault,
    Notation,
    read_category,
    read_condition,
    read_date,
    read_flag,
    read_link,
    read_measure,
    read_number,
    read_vin,
    read_year,
)
from intentcast_agent.vendor.inventory.stock import MAX_NAME, MAX_STRING

Kind = Literal[
    "text", "prose", "words", "number", "measure", "category", "condition", "vin", "year", "date", "flag", "link"
]

# Paths that describe the sale rather than the thing, read once the whole row is known.
SALE = frozenset({"sku", "price", "sale_price", "sale_dates", "currency", "quantity", "availability", "listed"})
# What these item paths hold is known, so that nobody needs to say it in a mapping.
KINDS: dict[str, Kind] = {
    "item.category": "category",
    "item.itemCondition": "condition",
    "item.vehicleIdentificationNumber": "vin",
    "item.vehicleModelDate": "year",
    "item.dateVehicleFirstRegistered": "date",
    "item.url": "link",
    "item.image": "link",
    "item.name": "prose",
    "item.description": "prose",
}
_MARK = re.compile(r"[\s_-]+")
MAX_WORDS = 64  # entries of one cell that holds a list


@dataclass(frozen=True, slots=True)
class Column:
    """What one column means.

    `values` replaces the file's words, whatever their case, an empty one by nothing; where they do not list a cell's
    word it goes to `otherwise`, or without that is kept. `needed` means the file must have this column.
    """

    path: str
    kind: Kind = "text"
    currency: str | None = None
    unit: str | None = None
    separator: str = ","
    values: Map[str, str] = field(default_factory=dict)
    otherwise: str | None = None
    needed: bool = False

    def read(self, text: str, decimal: Notation) -> Any:
        """Return a clean, non-empty cell's value for the item; raises CellFault."""
        match self.kind:
            case "text":
                return bounded(text)
            case "prose":
                return text[: MAX_NAME if self.path == "item.name" else MAX_STRING].rstrip()
            case "words":
                words = [bounded(word.strip()) for word in text.split(self.separator) if word.strip()]
                if len(words) > MAX_WORDS:
                    raise CellFault(f"This lists more than {MAX_WORDS} words.")
                return words
            case "number":
                return read_number(text, decimal)
            case "measure":
                return read_measure(text, self.unit, decimal)
            case _:
                return READERS[self.kind](text if self.kind == "link" else bounded(text))


READERS: dict[str, Callable[[str], str]] = {
    "category": read_category,
    "condition": read_condition,
    "vin": read_vin,
    "year": read_year,
    "date": read_date,
    "flag": read_flag,
    "link": read_link,
}


def bounded(text: str) -> str:
    """Return text of at most 500 characters; raises CellFault."""
    if len(text) > MAX_STRING:
        raise CellFault(f"This is longer than {MAX_STRING} characters.")
    return text


@dataclass(frozen=True, slots=True)
class Mapping:
    """A named set of columns, by their headers as `plain` writes them, and what holds where the file is silent."""

    name: str
    columns: Map[str, Column]
    defaults: Map[str, str] = field(default_factory=dict)
    decimal: Notation = None
    currency: str | None = None


def plain(header: str) -> str:
    """Return a header in the one spelling mappings are looked up by: ``g:Image Link`` is ``image_link``."""
    return _MARK.sub("_", header.strip().casefold()).removeprefix("g:")
