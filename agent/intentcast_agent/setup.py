"""What a home is set up with: its keys and its relays, as verbs from JSON to JSON; `Service` has them too."""

from dataclasses import replace
from typing import TYPE_CHECKING

from intentcast_protocol.identity import did, public_key
from intentcast_protocol.vocabulary import read_relays

from intentcast_agent.link import LinkDown, fetch_key, open_link
from intentcast_agent.settings import write_settings
from intentcast_agent.view import Json

if TYPE_CHECKING:
    from intentcast_agent.agent import Agent

_CODE = "invalid.demand.malformed"


class SetupVerbs:
    """The verbs on a home's keys and relays."""

    agent: "Agent"

    async def identity_view(self) -> Json:
        """Say which keys there are, what protects them, and which of them anybody else can see; shows no secret."""
        vendor = self.agent.keystore.get("vendor")
        async with self.agent.store.reading() as tx:
            held = await tx.one("SELECT count(*), count(seed) FROM demand")
        return {
            "folder": str(self.agent.home.config.parent),
            "protected": "passphrase" if self.agent.keystore.is_passphrase_protected else "keyfile",
            "vendor": did(public_key(vendor)) if vendor else None,
            "demand_keys": int(held[1]) if held else 0,
            "erased_keys": int(held[0] - held[1]) if held else 0,
        }

    async def relay_list(self) -> Json:
        """List the relays of this home's settings, and those that earlier demands still use, with how they are."""
        couriers = self.agent.pool.couriers()
        use = self.agent.settings.relays
        async with self.agent.store.reading() as tx:
            keys = {row["relay"]: row for row in await tx.all("SELECT * FROM relay_key")}
            counts = await tx.all(
                "SELECT relay, sum(state = 'queued') AS queued, sum(state = 'failed') AS failed FROM delivery "
                "GROUP BY relay"
            )
        moved = {row["relay"]: row for row in counts}
        relays = []
        for url in (*use, *sorted({one.relay for one in couriers} - set(use))):
            known, sent = keys.get(url), moved.get(url)
            relays.append(
                {
                    "url": url,
                    "in_use": url in use,
                    "connected": any(one.connected for one in couriers if one.relay == url),
                    "key": known["key"] if known else None,
                    "seen": known["seen"] if known else None,
                    "queued": int(sent["queued"]) if sent else 0,
                    "failed": int(sent["failed"]) if sent else 0,
                }
            )
        return {"relays": relays, "online": self.agent.online, "total": len(relays)}

    async def relay_check(self, relay: str) -> Json:
        """Dial a relay now, on a connection that proves nothing, and read its key; raises InvalidMessage."""
        (url,) = read_relays([relay], _CODE)
        try:
            link = await open_link(self.agent.http, url)
        except LinkDown as error:
            return {"url": url, "up": False, "key": None, "found": str(error)}
        await link.close()
        key = await fetch_key(self.agent.http, url)
        found = "it answers, and speaks this protocol" if key else "it answers, but its own key cannot be read"
        return {"url": url, "up": True, "key": key, "found": found}

    async def relay_add(self, relay: str, anyway: bool = False) -> Json:
        """Use a relay for demands to come, if it answers now or `anyway`; `why` says why nothing changed.

        Raises InvalidMessage for an address that is none.
        """
        use = self.agent.settings.relays
        if relay in use:
            return await self._relays(None, f"{relay} is in use already")
        read_relays([*use, relay], _CODE)
        checked = await self.relay_check(relay)
        if not checked["up"] and not anyway:
            return await self._relays(None, checked["found"])
        return await self._relays((*use, relay), None)

    async def relay_remove(self, relay: str) -> Json:
        """Stop using a relay for demands to come; those that are cast keep theirs. The last one stays."""
        use = self.agent.settings.relays
        if relay not in use:
            return await self._relays(None, f"{relay[:100]} is not in use")
        if len(use) == 1:
            return await self._relays(None, "without a relay nothing can be cast; add another one first")
        return await self._relays(tuple(one for one in use if one != relay), None)

    async def _relays(self, relays: tuple[str, ...] | None, why: str | None) -> Json:
        if relays is not None:
            settings = replace(self.agent.settings, relays=relays)
            write_settings(self.agent.home, settings)
            self.agent.settings = settings
            await self.agent.restart_vendor()
        return {"changed": relays is not None, "why": why, **await self.relay_list()}
