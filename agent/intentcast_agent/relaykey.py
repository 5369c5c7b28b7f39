"""The keys of the relays an agent uses, read from their info documents and kept: whose attestations it can believe."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

import aiohttp

from intentcast_agent.link import fetch_key
from intentcast_agent.store import Store

log = logging.getLogger("intentcast.relaykey")
FRESH: Final = 86_400  # s until a key is read again


class RelayKeys:
    """The keys in the store, and the reading of those that are missing or old."""

    def __init__(self, http: aiohttp.ClientSession, store: Store, clock: Callable[[], int]) -> None:
        self._http = http
        self._store = store
        self._clock = clock
        self._reading: dict[str, asyncio.Task[None]] = {}

    def learn(self, relays: Iterable[str], *, anew: bool = False) -> None:
        """See that the keys of these relays are known, in the background: once a day a relay, unless `anew`."""
        for relay in relays:
            if relay not in self._reading:
                task = self._reading[relay] = asyncio.create_task(self._learn(relay, 0 if anew else FRESH))
                task.add_done_callback(lambda _, relay=relay: self._reading.pop(relay, None))  # type: ignore[misc]

    async def find(self, relay: str, *, anew: bool = False) -> str | None:
        """Return a relay's key as did:key text, read now if it is not known; None where it cannot be read."""
        self.learn([relay], anew=anew)
        await asyncio.wait([self._reading[relay]])
        async with self._store.reading() as tx:
            row = await tx.one("SELECT key FROM relay_key WHERE relay = ?", relay)
        return str(row["key"]) if row else None

    async def settle(self, within: float) -> None:
        """Wait until nothing is being read, or `within` seconds."""
        if self._reading:
            await asyncio.wait(list(self._reading.values()), timeout=within)

    async def close(self) -> None:
        """Give up what is being read."""
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _learn(self, relay: str, fresh: int) -> None:
        try:
            async with self._store.reading() as tx:
                known = await tx.one("SELECT * FROM relay_key WHERE relay = ?", relay)
            if known and known["seen"] > self._clock() - fresh:
                return
            key = await fetch_key(self._http, relay)
            if key is None:
                return
            if known and known["key"] != key:
                log.warning("%s has another key than before", relay)
            async with self._store.transaction() as tx:
                sql = "INSERT OR REPLACE INTO relay_key (relay, key, seen) VALUES (?, ?, ?)"
                await tx.run(sql, relay, key, self._clock())
        except Exception:
            log.exception("%s: its key could not be kept", relay)
