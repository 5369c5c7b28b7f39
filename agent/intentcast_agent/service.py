"""What an agent can be asked to do, as functions from JSON to JSON: the CLI, the socket and later the page call these.

Ids are CIDs and `did:key` text here; demands, offers and agreements also have the short names d1, o1, a1 that only this
home knows. Every method raises IntentcastError or NotFound, and nothing else a caller must mend.
"""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal, InvalidOperation
from time import perf_counter

from intentcast_protocol.conditions import Conditions
from intentcast_protocol.demand import Demand, read_demand
from intentcast_protocol.disclosure import STAGES
from intentcast_protocol.encoding import decode
from intentcast_protocol.errors import InvalidMessage, StateError
from intentcast_protocol.frames import Count
from intentcast_protocol.identity import Key, cid, did, parse_did
from intentcast_protocol.negotiation import State
from intentcast_protocol.quantity import money
from intentcast_protocol.record import decode_record, verify
from intentcast_protocol.vocabulary import read_text

from intentcast_agent import invitation, talk
from intentcast_agent.api import Failed
from intentcast_agent.backup.verbs import BackupVerbs
from intentcast_agent.counter import with_total
from intentcast_agent.dialogue import Dialogue, read_dialogue
from intentcast_agent.evidence import agreement_view, broken_view
from intentcast_agent.link import count_listeners
from intentcast_agent.names import find_named, read_number
from intentcast_agent.order import order_view
from intentcast_agent.person import desk, docket
from intentcast_agent.person.draft import read_template
from intentcast_agent.person.mandates import MandateVerbs
from intentcast_agent.person.offers import OfferVerbs
from intentcast_agent.person.relations import RelationVerbs
from intentcast_agent.setup import SetupVerbs
from intentcast_agent.store import Row, Transaction
from intentcast_agent.vendor.verbs import VendorVerbs
from intentcast_agent.view import Json, readable, told_to_winner


class Service(BackupVerbs, MandateVerbs, OfferVerbs, RelationVerbs, SetupVerbs, VendorVerbs):
    """The verbs of one home's agent."""

    # Demands

    async def demand_preview(self, text: str, relays: list[str] | None = None) -> Json:
        """Fix a draft's bytes and show what each audience would get; `demand_cast` signs exactly these."""
        draft = read_template(text)
        use = tuple(relays or draft.relays or self.agent.settings.relays)
        if not use:
            raise StateError("refused.session.not-now", "name a relay first: intentcast init --relay URL")
        async with self.agent.store.transaction() as tx:
            prepared = await desk.prepare(tx, draft, use, self.agent.now())
            contact = await tx.get_private("contact") or {}
        return {
            "draft": f"d{prepared.number}",
            "demand": cid(prepared.demand.id),
            "public": {
                "bytes": prepared.payload.hex(),
                "size": len(prepared.payload),
                "view": readable(decode(prepared.payload)["body"]),
            },
            "vendor": {
                "attributes": {},
                "note": "A vendor who offers under your terms is told nothing more than this.",
            },
            "winner": told_to_winner(contact),
            "listeners": await self._listeners(prepared.demand),
            "private": draft.private,
            "relays": list(prepared.demand.relays),
            "expires": prepared.demand.expires,
        }

    async def _listeners(self, demand: Demand) -> Json:
        """Ask each relay how many listen for such a demand, coarsely."""
        wanted = Count(0, demand.category, demand.area.cells, demand.area.countries)
        counts = await asyncio.gather(*(count_listeners(self.agent.http, relay, wanted) for relay in demand.relays))
        found = [{"least": count.least, "most": count.most} if count else None for count in counts]
        return dict(zip(demand.relays, found, strict=True))

    async def demand_cast(self, draft: str, within: float = 10.0) -> Json:
        """Sign a previewed draft and cast it; returns when a relay has it on its disk, or after `within` seconds."""
        number = read_number(draft, "d")
        async with self.agent.store.transaction() as tx:
            demand = await desk.cast(tx, number, self.agent.now())
        await self.agent.go_online()
        self.agent.open_demand(demand.author, demand.relays)

        async def everywhere() -> bool:
            return all(state != "queued" for state in (await self._carried(demand.author)).values())

        await self.agent.until(everywhere, within)
        return await self.demand_view(draft)

    async def _carried(self, author: Key) -> dict[str, str]:
        async with self.agent.store.reading() as tx:
            rows = await tx.all(
                "SELECT d.relay, d.state, d.code FROM delivery d JOIN outbox o ON o.number = d.outbox "
                "WHERE o.lane = ? AND o.message IS NULL AND o.number = "
                "(SELECT min(number) FROM outbox WHERE lane = ? AND message IS NULL)",
                author,
                author,
            )
        return {row["relay"]: row["code"] if row["state"] == "failed" else row["state"] for row in rows}

    async def demand_list(self) -> Json:
        """List demands and drafts, newest first."""
        async with self.agent.store.reading() as tx:
            rows = await tx.all("SELECT * FROM demand ORDER BY number DESC")
            drafts = await tx.all("SELECT number, made FROM draft ORDER BY number DESC")
            demands = [await self._demand(tx, row) for row in rows]
        waiting = [{"draft": f"d{row['number']}", "made": row["made"]} for row in drafts]
        return {"demands": demands, "drafts": waiting, "total": len(demands)}

    async def demand_view(self, demand: str) -> Json:
        """Show a demand, where it is, and its offers."""
        async with self.agent.store.reading() as tx:
            row = await find_named(tx, "demand", demand, "d")
            view = await self._demand(tx, row)
            view["invitations"] = await invitation.list_made(tx, row["author"])
            record = verify(decode_record(row["record"]))
        view["relays"] = await self._carried(Key(row["author"]))
        view["body"] = readable(record.body)
        view |= await self.offer_list(demand)
        return view

    async def _demand(self, tx: Transaction, row: Row) -> Json:
        demand = read_demand(verify(decode_record(row["record"])))
        count = await tx.one("SELECT count(*) FROM session WHERE demand = ?", row["id"])
        return {
            "name": f"d{row['number']}",
            "id": cid(row["id"]),
            "title": demand.name,
            "state": row["state"],
            "expires": row["expires"],
            "offers_count": int(count[0]) if count else 0,
            "author": did(row["author"]),
        }

    async def demand_withdraw(self, demand: str) -> Json:
        """Withdraw a demand everywhere and close its sessions."""
        async with self.agent.store.transaction() as tx:
            row = await find_named(tx, "demand", demand, "d")
            await desk.withdraw(tx, row, self.agent.now())
        await self._sent(Key(row["author"]))
        return await self.demand_view(demand)

    async def demand_invite(
        self, demand: str, to: str, uses: int = 1, until: int | None = None, onward: bool = False
    ) -> Json:
        """Sign an invitation to write to an open demand, for the holder of a key."""
        key = parse_did(to)
        async with self.agent.store.transaction() as tx:
            row = await find_named(tx, "demand", demand, "d")
            now = self.agent.now()
            return await desk.invite(tx, row, to=key, uses=uses, until=until, onward=onward, now=now)

    # Offers

    async def offer_decline(self, offer: str, text: str = "") -> Json:
        """Decline a vendor."""
        async with self.agent.store.transaction() as tx:
            dialogue = await self._dialogue(tx, offer)
            await desk.decline(tx, dialogue, text, self.agent.now())
        await self._sent(dialogue.lane)
        return await self.offer_view(offer)

    # Deals

    async def deal_counter(
        self,
        offer: str,
        total: str | None = None,
        text: str = "",
        delivery: int | None = None,
        warranty: int | None = None,
        extras: list[str] | None = None,
        expected: str | None = None,
    ) -> Json:
        """Counter an offer with another total or other conditions; what is left out stays as offered.

        `expected` is the id of the offer that the person was shown, so that no other is countered in its place.
        """
        async with self.agent.store.transaction() as tx:
            dialogue = await self._dialogue(tx, offer)
            _check_expected(dialogue, expected)
            standing = await desk.standing_offer(tx, dialogue)
            currency = standing.price.currency
            wanted = with_total(standing.price, _amount(total, currency)) if total is not None else None
            had = standing.conditions
            conditions = Conditions(
                had.delivery if delivery is None else delivery,
                had.warranty if warranty is None else warranty,
                had.extras if extras is None else tuple(sorted(set(extras))),
            )
            await desk.counter(tx, dialogue, wanted, conditions, text, self.agent.now())
        await self._sent(dialogue.lane)
        return await self.offer_view(offer)

    async def deal_answer(
        self, offer: str, text: str = "", facts: list[str] | None = None, all_the_same: bool = False
    ) -> Json:
        """Answer a vendor's question with words, facts, or that what is unknown may stay so."""
        stated = [talk.parse_fact(fact) for fact in facts or ()]
        async with self.agent.store.transaction() as tx:
            dialogue = await self._dialogue(tx, offer)
            await desk.answer(tx, dialogue, text, self.agent.now(), stated, all_the_same)
        await self._sent(dialogue.lane)
        return await self.offer_view(offer)

    async def deal_ask(self, offer: str, text: str, path: str | None = None) -> Json:
        """Ask a vendor, perhaps about one property of the item; a lapsed offer may be made again."""
        async with self.agent.store.transaction() as tx:
            dialogue = await self._dialogue(tx, offer)
            await talk.ask(tx, dialogue, text, self.agent.now(), path)
        await self._sent(dialogue.lane)
        return await self.offer_view(offer)

    async def deal_received(self, offer: str, text: str = "") -> Json:
        """Tell the vendor that what was agreed has come, and all is well."""
        return await self._of_deal(offer, "fulfil", text)

    async def deal_dispute(self, offer: str, text: str) -> Json:
        """Tell the vendor that something is wrong with the agreement."""
        return await self._of_deal(offer, "dispute", text)

    async def _of_deal(self, offer: str, kind: str, text: str) -> Json:
        async with self.agent.store.transaction() as tx:
            dialogue = await self._dialogue(tx, offer)
            await desk.say_of_deal(tx, dialogue, kind, text, self.agent.now())
        await self._sent(dialogue.lane)
        return await self.offer_view(offer)

    async def deal_accept(
        self, offer: str, anyway: bool = False, say_so: bool = False, expected: str | None = None
    ) -> Json:
        """Accept the standing offer; the vendor's confirm makes it an agreement.

        `say_so` is the person's word where fewer than two of their relays have seen the vendor's domain; `expected` the
        id of the offer they were shown, so that no other is accepted in its place.
        """
        missing = await self.agent.catch_up()
        async with self.agent.store.transaction() as tx:
            dialogue = await self._dialogue(tx, offer)
            _check_expected(dialogue, expected)
            unread = set(missing) & set(dialogue.relays)
            now = self.agent.now()
            await desk.accept(tx, dialogue, all_relays_read=not unread, anyway=anyway, say_so=say_so, now=now)
        await self._sent(dialogue.lane)
        return await self.offer_view(offer)

    async def deal_wait(self, offer: str, within: float = 60.0) -> Json:
        """Wait until it is no longer the vendor's turn, or `within` seconds."""
        await self.agent.go_online()

        async def moved() -> bool:
            async with self.agent.store.reading() as tx:
                row = await find_named(tx, "session", offer, "o")
                dialogue = await _read(tx, row)
            return dialogue.session.turn != "vendor" or dialogue.session.state is State.AGREED

        await self.agent.until(moved, within)
        return await self.offer_view(offer)

    async def _dialogue(self, tx: Transaction, offer: str) -> Dialogue:
        row = await find_named(tx, "session", offer, "o")
        if row["role"] != "person":
            raise StateError("refused.session.not-now", "this home is the vendor of that session")
        return await read_dialogue(tx, row)

    async def _sent(self, lane: bytes, within: float = 5.0) -> None:
        """Wait until a relay has what was queued; when none can be reached it stays in the outbox."""
        await self.agent.go_online()
        self.agent.pool.poke(lane)

        async def gone() -> bool:
            return await self.agent.outbox.waiting(lane) == 0

        await self.agent.until(gone, within)

    # Agreements

    async def agreement_list(self) -> Json:
        """List agreements, newest first; of one that no longer verifies it is said why, and nothing that it says."""
        listed: list[Json] = []
        async with self.agent.store.reading() as tx:
            for row in await tx.all("SELECT * FROM agreement ORDER BY number DESC"):
                try:
                    listed.append(self._agreement(tx, row))
                except InvalidMessage as error:
                    listed.append(broken_view(f"a{row['number']}", row["at"], str(error)))
        return {"agreements": listed, "total": len(listed)}

    async def agreement_view(self, agreement: str) -> Json:
        """Show an agreement, verified anew from its own bytes."""
        async with self.agent.store.reading() as tx:
            row = await find_named(tx, "agreement", agreement, "a")
            return self._agreement(tx, row)

    async def agreement_bundle(self, agreement: str) -> Json:
        """Return an agreement's bytes, in hex."""
        async with self.agent.store.reading() as tx:
            row = await find_named(tx, "agreement", agreement, "a")
            data = tx.open("agreement", "bundle", row["id"], row["bundle"])
        return {"name": f"a{row['number']}", "id": cid(row["id"]), "bundle": data.hex()}

    async def agreement_order(self, agreement: str) -> Json:
        """Return an agreement as schema.org's Order: a view for other programs, which proves nothing."""
        async with self.agent.store.reading() as tx:
            row = await find_named(tx, "agreement", agreement, "a")
            data = tx.open("agreement", "bundle", row["id"], row["bundle"])
        return {"name": f"a{row['number']}", "id": cid(row["id"]), "order": order_view(data)}

    def _agreement(self, tx: Transaction, row: Row) -> Json:
        data = tx.open("agreement", "bundle", row["id"], row["bundle"])
        return {"name": f"a{row['number']}", "at": row["at"], **agreement_view(data)}

    # The person

    async def contact_view(self) -> Json:
        """Show what the agent would tell the winner of an agreement."""
        async with self.agent.store.reading() as tx:
            return {"contact": await tx.get_private("contact") or {}}

    async def contact_set(self, contact: dict[str, str]) -> Json:
        """Change it; an empty value forgets an attribute. Raises InvalidMessage for one that could not be told."""
        if unknown := contact.keys() - STAGES.keys():
            raise InvalidMessage("invalid.session.malformed", f"{min(unknown)} is none of {', '.join(STAGES)}")
        for name, value in contact.items():
            if value:
                read_text(value, name, "invalid.session.malformed", 300)
        async with self.agent.store.transaction() as tx:
            kept = (await tx.get_private("contact") or {}) | contact
            await tx.put_private("contact", {name: value for name, value in kept.items() if value})
        return await self.contact_view()

    # The agent

    async def status(self) -> Json:
        """Say what runs, which relays are connected, and what waits for whom."""
        couriers = self.agent.pool.couriers()
        async with self.agent.store.reading() as tx:
            turns = await tx.all(
                "SELECT * FROM session WHERE role = 'person' AND (state IN ('asking', 'amending', 'conflict') OR "
                "state = 'offered' AND demand NOT IN (SELECT demand FROM mandate WHERE state = ?))",
                docket.AT_WORK,
            )
            waiting = await tx.one("SELECT count(DISTINCT outbox) FROM delivery WHERE state = 'queued'")
            counts = {name: await _count(tx, name) for name in ("demand", "session", "agreement", "stock")}
        return {
            "online": self.agent.online,
            "domain": await self.domain_state(),
            "backup": await self.backup_state(),
            "vendor": self.agent.responder is not None,
            "relays": {relay: any(one.connected for one in couriers if one.relay == relay)
                       for relay in {one.relay for one in couriers} | set(self.agent.settings.relays)},
            "needs_you": [f"o{row['number']}" for row in turns],
            "outbox": int(waiting[0]) if waiting else 0,
            **counts,
        }  # fmt: skip

    async def page_open(self, port: int = 0) -> Json:
        """Serve the page if it is not served yet, and return an address that lets one browser in, once, for a minute.

        Port 0 takes a free one. Raises Failed if it cannot be had, or the page is on another already.
        """
        if not 0 <= port <= 65_535:
            raise Failed("usage", "A port is a number from 1 to 65535; 0 takes a free one.", 2)
        page = await self.agent.open_page(self, port)
        if port not in (0, page.port):
            raise Failed("failure", f"The page is on port {page.port} already. Stop the agent to move it.", 1)
        return {**page.entry(), "port": page.port}

    async def catch_up(self, within: float = 3.0) -> Json:
        """Read all stored mail; name the relays that could not be read."""
        return {"unread": list(await self.agent.catch_up(within))}

    async def watch(self, demand: str, within: float) -> AsyncIterator[Json]:
        """Yield a demand's list of offers whenever it changes, for `within` seconds."""
        await self.agent.go_online()
        deadline = self.agent.now() + within
        listed = await self.offer_list(demand)
        yield listed
        took = 0.0

        async def changed() -> bool:
            nonlocal listed, took
            began = perf_counter()
            before, listed = listed, await self.offer_list(demand)
            took = perf_counter() - began
            return listed != before

        while self.agent.now() < deadline:
            if await self.agent.until(changed, min(1.0, max(deadline - self.agent.now(), 0))):
                yield listed
                # A look at many offers takes time that opening the next ones needs: at most half of it.
                await asyncio.sleep(took)


async def _read(tx: Transaction, row: Row) -> Dialogue:
    return await read_dialogue(tx, row)


async def _count(tx: Transaction, table: str) -> int:
    row = await tx.one(f"SELECT count(*) FROM {table}")  # noqa: S608
    return int(row[0]) if row else 0


def _check_expected(dialogue: Dialogue, expected: str | None) -> None:
    offer = dialogue.session.offer
    if expected is not None and (offer is None or cid(offer) != expected):
        raise StateError("refused.offer.not-standing", "the vendor has made another offer since you looked")


def _amount(text: str, currency: str) -> Decimal:
    try:
        amount = Decimal(text.strip().removesuffix(currency).strip())
        exact = Decimal(money(amount, currency))
        if exact != amount or amount < 0:
            raise ValueError(text)
        return exact
    except (InvalidOperation, ValueError) as error:
        raise InvalidMessage("invalid.offer.malformed", f"{text[:40]} is not an amount in {currency}") from error
