"""What a vendor has to sell, and what its stock file got wrong.

Numbers with meaning are decimal strings, money has exactly its currency's digits, quantities are
``{"value": "64044", "unitCode": "KMT"}`` with UN/ECE Rec 20 codes, times are unix seconds. DESIGN §4.1, §4.4
"""

from dataclasses import dataclass
from typing import Any

MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_JSON_BYTES = 64 * 1024 * 1024  # JSON is held whole, at about ten times its size
MAX_ROWS = 1_000_000
MAX_LINE = 1_048_576  # characters of one line of a delimited file
MAX_ERRORS = 10_000  # kept with their evidence; further broken rows are only counted
MAX_NAME = 200  # characters
MAX_SKU = 100
MAX_STRING = 500
MAX_VALUE = 80  # characters of evidence in one error
MAX_QUANTITY = 1_000_000
MAX_ITEM_NODES = 256
MAX_ITEM_DEPTH = 6


class FeedUnreadable(Exception):
    """The stock file cannot be read at all; the text is a sentence for the vendor."""


@dataclass(frozen=True, slots=True)
class StockItem:
    """One thing for sale.

    `item` is schema.org shaped: its values are str, list and dict, it has ``@type``, ``name``, ``category`` (a path of
    slugs) and ``sku``. `price` is the list price in `currency` (ISO 4217), once or per `unit` (e.g. MON); `listed` is
    when the feed says it was first listed. DESIGN §4.4
    """

    sku: str
    item: dict[str, Any]
    price: str
    currency: str
    quantity: int = 1
    listed: int | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class FeedError:
    """One broken cell: why its row was left out.

    `row` is the line the data row starts on, the header being line 1; of a JSON-LD file it is the entry's place, from
    1. `column` is the header as the file writes it, or a JSON path; `value` is clipped to 80 characters and holds no
    control characters.
    """

    row: int
    column: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Feed:
    """What was read from one stock file.

    ``rows == len(stock) + broken + skipped``: every row is loaded, broken (at least one entry in `errors`, of which
    the first 10,000 are kept) or skipped, because the feed says it cannot be sold now. `unmapped` are the columns no
    mapping reads.
    """

    stock: tuple[StockItem, ...]
    errors: tuple[FeedError, ...]
    rows: int
    mapping: str
    broken: int = 0
    skipped: int = 0
    unmapped: tuple[str, ...] = ()
