"""The one door to the stock: a row's values become a stock row, or errors that name the row and the column."""

import re
from collections.abc import Iterable
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from typing import Any

from intentcast_agent.vendor.inventory.cell import (
    CellFault,
    clean,
    read_availability,
    read_count,
    read_moment,
    read_money,
)
from intentcast_agent.vendor.inventory.mapping import SALE, Column, Mapping
from intentcast_agent.vendor.inventory.stock import (
    MAX_ERRORS,
    MAX_NAME,
    MAX_ROWS,
    MAX_SKU,
    MAX_STRING,
    MAX_VALUE,
    Feed,
    FeedError,
    FeedUnreadable,
    StockItem,
)

_PLACE = re.compile(r"\{([A-Za-z@.]+)\}")


@dataclass(slots=True)
class Draft:
    """A row being read: the item so far, what is said of its sale, and what is wrong with it.

    `sale` holds (column as the file names it, what the column means, clean text) by path.
    """

    row: int
    item: dict[str, Any] = field(default_factory=dict)
    sale: dict[str, tuple[str, Column, str]] = field(default_factory=dict)
    faults: list[FeedError] = field(default_factory=list)

    def fault(self, column: str, value: str, reason: str) -> None:
        """Note why the row cannot be loaded."""
        self.faults.append(
            FeedError(self.row, clean(column)[:MAX_VALUE], clean(value[:MAX_STRING])[:MAX_VALUE], reason)
        )


class Intake:
    """Collects rows of one file into a Feed.

    The first row to use a sku, or a vehicle identification number, keeps it, sold out or not; a later one is an error.
    """

    __slots__ = ("broken", "errors", "headers", "mapping", "rows", "skipped", "skus", "stock", "vins")

    def __init__(self, mapping: Mapping, headers: Map[str, str]) -> None:
        """Open a file whose `headers` say, by path, how it writes the column."""
        self.mapping = mapping
        self.headers = headers
        self.stock: list[StockItem] = []
        self.errors: list[FeedError] = []
        self.skus: dict[str, int] = {}
        self.vins: dict[str, int] = {}
        self.rows = self.broken = self.skipped = 0

    def draft(self, row: int) -> Draft:
        """Open the next row; raises FeedUnreadable past 1,000,000."""
        self.rows += 1
        if self.rows > MAX_ROWS:
            raise FeedUnreadable(f"The file has more than {MAX_ROWS} rows.")
        return Draft(row)

    def fill(self, draft: Draft, cells: Iterable[tuple[str, Column, str]]) -> None:
        """Put clean, non-empty cells where their columns say; of two columns for one path the first wins."""
        decimal = self.mapping.decimal
        for header, column, text in cells:
            if column.path in SALE:
                draft.sale.setdefault(column.path, (header, column, text))
                continue
            path, meaning = column.path, None
            if column.values:
                meaning = column.values.get(text.casefold())
                if meaning == "":
                    continue
                if meaning is None and column.otherwise:
                    path = column.otherwise
            try:
                value = column.read(meaning or text, decimal)
            except CellFault as fault:
                draft.fault(header, text, str(fault))
            else:
                if value:
                    place(draft.item, path, value)

    def admit(self, draft: Draft) -> None:
        """Close a row: load it, skip it if it cannot be sold now, or keep its errors."""
        self._complete(draft)
        sku = self._sku(draft)
        price = self._price(draft)
        quantity, listed = self._quantity(draft), self._listed(draft)
        self._claim(draft, sku)
        if draft.faults:
            self.refuse(draft)
        elif quantity == 0:
            self.skipped += 1
        else:
            draft.item["sku"] = sku
            unit = draft.sale["price" if "price" in draft.sale else "sale_price"][1].unit
            self.stock.append(StockItem(sku, draft.item, *price, quantity=quantity, listed=listed, unit=unit))

    def refuse(self, draft: Draft) -> None:
        """Close a row that cannot be loaded, and keep its errors."""
        self.broken += 1
        self.errors += draft.faults[: max(0, MAX_ERRORS - len(self.errors))]

    def feed(self, unmapped: Iterable[str] = ()) -> Feed:
        """Return what was collected."""
        return Feed(
            stock=tuple(self.stock),
            errors=tuple(self.errors),
            rows=self.rows,
            mapping=self.mapping.name,
            broken=self.broken,
            skipped=self.skipped,
            unmapped=tuple(unmapped),
        )

    def _complete(self, draft: Draft) -> None:
        for key, template in self.mapping.defaults.items():
            if key == "sku":
                continue
            value = clean(_PLACE.sub(lambda found: look(draft.item, found[1]), template))
            if value:
                place(draft.item, f"item.{key}", value[: MAX_NAME if key == "name" else MAX_STRING])
        if "category" not in draft.item and not _blames(draft, self._header("item.category")):
            draft.fault(self._header("item.category"), "", "The row has no category, so that no demand can find it.")
        if "name" not in draft.item:
            draft.fault(self._header("item.name"), "", "The row has no name.")

    def _sku(self, draft: Draft) -> str:
        header, _, text = draft.sale.get("sku", (self._header("sku"), None, ""))
        if not text and "sku" in self.mapping.defaults:
            text = clean(_PLACE.sub(lambda found: look(draft.item, found[1]), self.mapping.defaults["sku"]))
        if not text:
            draft.fault(header, "", "The row has no sku, so that it cannot be told from the others.")
        elif len(text) > MAX_SKU:
            draft.fault(header, text, f"A sku has at most {MAX_SKU} characters.")
        return text

    def _price(self, draft: Draft) -> tuple[str, str]:
        # A sale with dates is left out: whether it runs is a question for a clock, and the full price is no loss.
        name = "sale_price" if "sale_price" in draft.sale and "sale_dates" not in draft.sale else "price"
        if name not in draft.sale:
            draft.fault(self._header("price"), "", "The row has no price.")
            return "", ""
        header, column, text = draft.sale[name]
        stated = draft.sale.get("currency")
        currency = stated[2][:8].upper() if stated else column.currency or self.mapping.currency
        try:
            return read_money(text, currency, self.mapping.decimal)
        except CellFault as fault:
            draft.fault(header, text, str(fault))
            return "", ""

    def _quantity(self, draft: Draft) -> int:
        quantity = 1
        for path in ("quantity", "availability"):
            if path in draft.sale:
                header, column, text = draft.sale[path]
                try:
                    if path == "quantity":
                        quantity = read_count(text)
                    elif not read_availability(column.values.get(text.casefold(), text)):
                        quantity = 0
                except CellFault as fault:
                    draft.fault(header, text, str(fault))
        return quantity

    def _listed(self, draft: Draft) -> int | None:
        if "listed" not in draft.sale:
            return None
        header, _, text = draft.sale["listed"]
        try:
            return read_moment(text)
        except CellFault as fault:
            draft.fault(header, text, str(fault))
            return None

    def _claim(self, draft: Draft, sku: str) -> None:
        claims = [(self.skus, sku, "sku"), (self.vins, draft.item.get("vehicleIdentificationNumber"), "VIN")]
        for taken, value, word in claims:
            if value and value in taken:
                path = "sku" if word == "sku" else "item.vehicleIdentificationNumber"
                draft.fault(self._header(path), value, f"This {word} is already taken by row {taken[value]}.")
        if not draft.faults:
            for taken, value, _ in claims:
                if value:
                    taken[value] = draft.row

    def _header(self, path: str) -> str:
        first = (name for name, column in self.mapping.columns.items() if column.path == path)
        return self.headers.get(path) or next(first, path.removeprefix("item."))


def _blames(draft: Draft, header: str) -> bool:
    return any(fault.column == header for fault in draft.faults)


def place(item: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at ``item.a.b`` unless something is there already."""
    *parents, leaf = path.split(".")[1:]
    inner: Any = item
    for name in parents:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            return
    inner.setdefault(leaf, value)


def look(item: dict[str, Any], path: str) -> str:
    """Return the text at ``a.b``, or nothing."""
    value: Any = item
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
