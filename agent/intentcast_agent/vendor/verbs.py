"""What a vendor's agent can be asked to do, as functions from JSON to JSON; `Service` is these and the person's."""

import asyncio
from pathlib import Path

from intentcast_protocol.identity import cid

from intentcast_agent.agent import Agent
from intentcast_agent.settings import write_policy
from intentcast_agent.vendor import stockroom
from intentcast_agent.vendor.inventory.feed import read_feed
from intentcast_agent.vendor.inventory.mappingfile import load_mapping
from intentcast_agent.vendor.policy import read_policy
from intentcast_agent.view import Json, feed_view


class VendorVerbs:
    """The vendor's verbs of one home's agent."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    async def vendor_deals(self) -> Json:
        """List what became of each demand this vendor saw, newest first."""
        async with self.agent.store.reading() as tx:
            rows = await tx.all("SELECT * FROM answered ORDER BY at DESC LIMIT 500")
            stock = await tx.one("SELECT count(*) FROM stock")
            deals = []
            for row in rows:
                state = await tx.one("SELECT state FROM session WHERE key = ?", row["session"] or b"")
                contact = await tx.get_private(f"contact:{bytes(row['session']).hex()}") if row["session"] else None
                deals.append({
                    "demand": cid(row["demand"]),
                    "outcome": row["outcome"],
                    "reason": row["reason"],
                    "sku": row["sku"],
                    "state": state["state"] if state else None,
                    "contact": contact,
                    "at": row["at"],
                })  # fmt: skip
        return {"deals": deals, "total": len(deals), "stock": int(stock[0]) if stock else 0}

    async def vendor_load(self, file: str, name: str, mapping: str | None = None) -> Json:
        """Load a feed into stock, and let the bot at work use it from now on."""
        use = await asyncio.to_thread(load_mapping, Path(mapping)) if mapping else None
        feed = await asyncio.to_thread(read_feed, Path(file), use)
        async with self.agent.store.transaction() as tx:
            total = await stockroom.load(tx, name, feed.stock)
        await self.agent.restart_vendor()
        return {**feed_view(feed), "stock": total}

    async def vendor_policy(self, text: str) -> Json:
        """Check a policy, keep it, and let the bot at work use it from now on."""
        policy = read_policy(text)
        write_policy(self.agent.home, text)
        await self.agent.restart_vendor()
        return {"name": policy.name, "currency": policy.currency}
