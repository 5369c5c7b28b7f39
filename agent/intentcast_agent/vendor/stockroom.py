"""The vendor's stock in the store: feeds loaded, items reserved, so that nothing is promised twice."""

import json

from intentcast_agent.store import Row, Transaction
from intentcast_agent.vendor.inventory.stock import StockItem


async def load(tx: Transaction, feed: str, items: tuple[StockItem, ...]) -> int:
    """Replace one feed's items; what is reserved stays reserved. Return how many items there are now in all."""
    await tx.run("DELETE FROM stock WHERE feed = ?", feed)
    for item in items:
        await tx.run(
            "INSERT OR REPLACE INTO stock (sku, feed, item, price, currency, quantity, listed, unit) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            item.sku,
            feed,
            json.dumps(item.item, ensure_ascii=False),
            item.price,
            item.currency,
            item.quantity,
            item.listed,
            item.unit,
        )
    row = await tx.one("SELECT count(*) FROM stock")
    return int(row[0]) if row else 0


async def read_all(tx: Transaction) -> list[StockItem]:
    """Return every item."""
    return [read_item(row) for row in await tx.all("SELECT * FROM stock ORDER BY sku")]


def read_item(row: Row) -> StockItem:
    """Return the item of a stock row."""
    return StockItem(
        row["sku"], json.loads(row["item"]), row["price"], row["currency"], row["quantity"], row["listed"], row["unit"]
    )


async def reserved(tx: Transaction) -> dict[str, int]:
    """Return how many of each item are spoken for."""
    rows = await tx.all("SELECT sku, count(*) AS n FROM reservation GROUP BY sku")
    return {row["sku"]: row["n"] for row in rows}


async def reserve(tx: Transaction, session: bytes, sku: str, now: int) -> bool:
    """Reserve one item for a session, in the transaction that confirms it; False when none is left."""
    row = await tx.one(
        "SELECT quantity - (SELECT count(*) FROM reservation r WHERE r.sku = s.sku) AS free FROM stock s WHERE sku = ?",
        sku,
    )
    if row is None or row["free"] < 1:
        return False
    await tx.run("INSERT INTO reservation (session, sku, at) VALUES (?, ?, ?)", session, sku, now)
    return True
