"""What a vendor's agent can be asked to do, as functions from JSON to JSON; `Service` is these and the person's."""

import asyncio
from pathlib import Path

from intentcast_protocol.errors import IntentcastError, StateError
from intentcast_protocol.identity import cid, did, parse_did, public_key
from intentcast_protocol.invitation import PREFIX, Invitation, parse_chain, pass_on
from intentcast_protocol.quantity import money

from intentcast_agent import invitation
from intentcast_agent.agent import Agent
from intentcast_agent.link import LinkDown, open_link
from intentcast_agent.names import find_named
from intentcast_agent.settings import policy_path, write_policy
from intentcast_agent.store import Transaction
from intentcast_agent.vendor import concession, standing, stockroom
from intentcast_agent.vendor.answers import AnswerVerbs
from intentcast_agent.vendor.entry import PolicyError, read_percent
from intentcast_agent.vendor.inventory.feed import read_feed
from intentcast_agent.vendor.inventory.mappingfile import load_mapping
from intentcast_agent.vendor.policy import read_policy
from intentcast_agent.vendor.rehearsal import MOST_ITEMS, Sitter, rehearse
from intentcast_agent.vendor.responder import open_responder
from intentcast_agent.view import Json, feed_view


class VendorVerbs(AnswerVerbs):
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
                session = await tx.one("SELECT number, state FROM session WHERE key = ?", row["session"] or b"")
                contact = await tx.get_private(f"contact:{bytes(row['session']).hex()}") if row["session"] else None
                deals.append({
                    "demand": cid(row["demand"]),
                    "outcome": row["outcome"],
                    "reason": row["reason"],
                    "sku": row["sku"],
                    "session": f"o{session['number']}" if session else None,
                    "state": session["state"] if session else None,
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

    async def vendor_policy_view(self) -> Json:
        """Show the policy in use, as text to edit; None where there is none yet."""
        path = policy_path(self.agent.home)
        try:
            return {"text": path.read_text(encoding="utf-8") if path.exists() else None}
        except UnicodeDecodeError as error:
            raise StateError("refused.session.not-now", f"the policy cannot be read: {error}") from error

    async def vendor_policy_test(self, text: str, opens: str, pays: str, sku: str | None = None) -> Json:
        """Rehearse a policy with a made-up person and the stock, or one item of it; changes nothing."""
        policy = read_policy(text)
        sitter = Sitter(read_percent("opens", opens), read_percent("pays", pays))
        now = self.agent.now()
        async with self.agent.store.reading() as tx:
            items = [item for item in await stockroom.read_all(tx) if sku in (None, item.sku)]
            left = await concession.left(tx, policy, now)
        if not items:
            raise StateError("refused.record.unknown", "no such item is in stock")
        shown = [rehearse(policy, item, sitter, now=now, left=left) for item in items[:MOST_ITEMS]]
        return {
            "simulation": True,
            "person": {"opens": opens, "pays": pays},
            "strategy": policy.strategy,
            "currency": policy.currency,
            "budget_left": None if left is None else money(left, policy.currency),
            "items": shown,
            "total": len(items),
        }

    # The domain

    async def vendor_domain(self) -> Json:
        """Return what to publish at the policy's domain so that it names this vendor's key."""
        domain = self._domain()
        if domain is None:
            raise StateError("refused.session.not-now", 'the policy names no domain; add domain = "shop.example" to it')
        return {
            "domain": domain,
            "url": f"https://{domain}/.well-known/intentcast.json",
            "document": {"keys": [{"key": did(public_key(self._seed()))}]},
        }

    async def vendor_domain_check(self) -> Json:
        """Have each relay look at the domain now; nothing is dialled but the relays."""
        found = await self.vendor_domain()
        bot = self.agent.responder or await open_responder(self.agent)
        if bot is None or not (bot.policy.categories or bot.stock.categories):
            raise StateError("refused.session.not-now", "relays look at the profile, which needs a policy and stock")
        await bot.publish_profile()
        trouble: dict[str, str] = {}
        for relay in self.agent.settings.relays:
            try:
                link = await open_link(self.agent.http, relay)
                try:
                    await bot.standing.ask(relay, link)
                finally:
                    await link.close()
            except (LinkDown, IntentcastError) as error:
                trouble[relay] = str(error)
        # Its connections count as the domain's only once they have asked themselves.
        await self.agent.restart_vendor()
        async with self.agent.store.reading() as tx:
            views = await standing.domain_views(tx, self.agent.settings.relays, self.agent.now())
        for relay, reason in trouble.items():
            views[relay]["reason"] = reason
        return {**found, "relays": views}

    async def domain_state(self) -> Json | None:
        """Say by relay whether it has seen the domain of the bot at work, and why not; None without one."""
        if self.agent.responder is None or self.agent.responder.policy.domain is None:
            return None
        async with self.agent.store.reading() as tx:
            return await standing.domain_views(tx, self.agent.responder.relays, self.agent.now())

    def _domain(self) -> str | None:
        if self.agent.responder:
            return self.agent.responder.policy.domain
        path = policy_path(self.agent.home)
        try:
            return read_policy(path.read_text(encoding="utf-8")).domain if path.exists() else None
        except (PolicyError, UnicodeDecodeError) as error:
            raise StateError("refused.session.not-now", f"the policy cannot be used: {error}") from error

    def _seed(self) -> bytes:
        seed = self.agent.keystore.get("vendor")
        if seed is None:
            raise StateError("refused.session.not-now", "this home is no vendor's; start with: intentcast vendor init")
        return seed

    # Invitations

    async def vendor_invitation_add(self, text: str) -> Json:
        """Keep an invitation to this vendor, and answer its demand if it was passed by for want of one."""
        held = parse_chain(text)
        invitation.check_held(held, public_key(self._seed()))
        async with self.agent.store.transaction() as tx:
            now = self.agent.now()
            view = await invitation.keep(tx, held, "held", now)
            await standing.answer_again(tx, now, held.demand)
        return view

    async def vendor_invitation_list(self) -> Json:
        """List the invitations this vendor holds and has passed on, newest first."""
        async with self.agent.store.reading() as tx:
            listed = await invitation.list_held(tx)
        return {"invitations": listed, "total": len(listed), "now": self.agent.now()}

    async def vendor_invitation_pass_on(self, text: str, to: str, uses: int = 1) -> Json:
        """Pass an invitation on to the holder of a key; what is signed is kept."""
        seed, key = self._seed(), parse_did(to)
        async with self.agent.store.transaction() as tx:
            held = await self._invitation(tx, text)
            invitation.check_held(held, public_key(seed))
            if not held.links[-1].onward:
                raise StateError("refused.session.not-now", "its maker did not allow to pass it on")
            passed = pass_on(seed, held, to=key, uses=uses, until=held.until)
            return await invitation.keep(tx, passed, "passed", self.agent.now())

    async def _invitation(self, tx: Transaction, text: str) -> Invitation:
        """Read an invitation from its text, or find the one called i1."""
        if text.startswith(PREFIX) or not text.startswith("i"):
            return parse_chain(text)
        return invitation.read(tx, await find_named(tx, "invitation", text, "i"))
