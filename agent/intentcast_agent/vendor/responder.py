"""The vendor's bot: hears demands, answers from stock, haggles within the policy, confirms what it can deliver.

Every answer is one transaction: the match, the price, the signature and the queued message stand or fall together, and
a confirm stands or falls with the reservation of its item.
"""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Any, Final

from intentcast_protocol.conditions import write_choices, write_conditions
from intentcast_protocol.demand import Demand, read_demand
from intentcast_protocol.disclosure import read_disclosure
from intentcast_protocol.errors import IntentcastError, InvalidMessage
from intentcast_protocol.fact import told
from intentcast_protocol.frames import Cursor
from intentcast_protocol.identity import Key, public_key
from intentcast_protocol.limits import MAX_KEYS, MAX_LIFE
from intentcast_protocol.negotiation import State, begin, permits
from intentcast_protocol.record import Record, Verified, check_time, decode_record, sign, verify
from intentcast_protocol.sealing import SealKey, seal_key
from intentcast_protocol.subscription import Filter
from intentcast_protocol.vocabulary import write_price

from intentcast_agent import talk
from intentcast_agent.dialogue import (
    Dialogue,
    Heard,
    create,
    find_message,
    keep_agreement,
    new_seed,
    open_dialogue,
    queue,
    say,
)
from intentcast_agent.inbox import Side
from intentcast_agent.pool import Lane
from intentcast_agent.settings import policy_path
from intentcast_agent.store import Row, Transaction
from intentcast_agent.upkeep import LASTING
from intentcast_agent.vendor import concession, stockroom
from intentcast_agent.vendor.answers import facts_of, not_waived
from intentcast_agent.vendor.match import Stock
from intentcast_agent.vendor.policy import Policy, read_policy
from intentcast_agent.vendor.quote import Ask, Pass, Quote, best_quote, first_quote
from intentcast_agent.vendor.standing import Standing, attestations, lets_in, may_come
from intentcast_agent.vendor.thread import answer_in

if TYPE_CHECKING:
    from intentcast_agent.agent import Agent

log = logging.getLogger("intentcast.vendor")
PROFILE_LIFE = 30 * 86_400
_MAIL_LIFE = 2 * MAX_LIFE  # s without a word after which a session's mailbox is gone from its relays
_MAX_SESSIONS = MAX_KEYS - 1  # proven on one connection, beside V
_SPREAD: Final = 0.3  # s within which a bot that was idle takes up what it hears
_IDLE: Final = 0.5  # s without a demand; more than the spread, so that waiting never adds up
_OVER = "('declined', 'withdrawn', 'expired')"


class Responder:
    """A vendor at work; make one with `open_responder`. `delay` says how many seconds to wait when idle no more."""

    def __init__(
        self, agent: "Agent", seed: bytes, policy: Policy, stock: Stock, delay: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.agent = agent
        self.seed = seed
        self.key = public_key(seed)
        self.policy = policy
        self.stock = stock
        self.relays = agent.settings.relays
        self.standing = Standing(agent, seed, policy.domain)
        self._delay = delay
        self._heard_at = self._begin_at = float("-inf")
        self.side = Side(self._begin, self.react, self.recover, seed, _seal_pair(agent).secret)

    async def open(self) -> None:
        """Publish the profile and listen for demands and mail on every relay."""
        await self.publish_profile()
        categories = self.policy.categories or self.stock.categories
        wanted = Filter(("demand",), (), tuple(categories)[:64], self.policy.area)
        async with self.agent.store.transaction() as tx:
            await tx.run("DELETE FROM attestation WHERE domain IS NOT ?", self.policy.domain)
            mark = [list(wanted.categories), list(wanted.area.cells), list(wanted.area.countries)]
            if await tx.get_private("listening") != mark:
                # What passed by unasked for may lie before the place we have reached.
                await tx.run("DELETE FROM place")
                await tx.put_private("listening", mark)
        lane = Lane(
            b"", self._keys, self._on_mail, wanted, self._on_push, self._place, self._keep_place,
            self.standing.attend, self.policy.max_work,
        )  # fmt: skip
        self.agent.relay_keys.learn(self.relays)
        self.agent.pool.open_lane(lane, self.relays)

    async def publish_profile(self) -> None:
        """Publish the vendor's card again when it is new, changed, or half way through its life."""
        now = self.agent.now()
        area = {"cells": list(self.policy.area.cells), "countries": list(self.policy.area.countries)}
        mark = {**_seller(self.policy), "categories": sorted(self.policy.categories or self.stock.categories)[:64],
                "areaServed": area, "relays": list(self.relays)}  # fmt: skip
        async with self.agent.store.transaction() as tx:
            last = await tx.get_private("profile")
            if last and last["mark"] == mark and last["made"] > now - PROFILE_LIFE // 2:
                return
            # Of two of one second the larger id would stand, whichever that is.
            now = max(now, last["made"] + 1) if last else now
            body = {**mark, "sealKey": _seal_pair(self.agent).public}
            record = sign("profile", self.seed, body, created=now, expires=now + PROFILE_LIFE)
            await queue(tx, b"", self.relays, record=record.record.encode(), now=now)
            await tx.put_private("profile", {"mark": mark, "made": now})

    async def _keys(self, proven: Set[Key]) -> list[tuple[bytes, Key]]:
        async with self.agent.store.reading() as tx:
            # An agreement's mailbox is kept; another one ends with its admission.
            sql = f"state NOT IN {_OVER} AND (changed > ? OR state IN {LASTING}) ORDER BY changed DESC LIMIT ?"
            sql = f"SELECT key FROM session WHERE role = 'vendor' AND {sql}"  # noqa: S608 (our own states)
            rows = await tx.all(sql, self.agent.now() - _MAIL_LIFE, _MAX_SESSIONS)
            fresh = [Key(row["key"]) for row in rows if row["key"] not in proven][: _MAX_SESSIONS - len(proven)]
            found = [await tx.one("SELECT key, seed FROM session WHERE key = ?", key) for key in fresh]
            return [(tx.open("session", "seed", row["key"], row["seed"]), Key(row["key"])) for row in found if row]

    async def _on_mail(self, _relay: str, record: Record) -> None:
        await self.agent.take_in(record, self.side, b"")

    async def _on_push(self, relay: str, records: tuple[tuple[int, Record], ...]) -> None:
        """Hear public records, at a moment of this bot's own if it was idle.

        All bots are told of a demand at once: so relays meet them one after the other, the first offer need not wait
        for the work of all, and how soon it comes tells less of the stock and the policy behind it.
        """
        now = asyncio.get_running_loop().time()
        if now - self._heard_at > _IDLE:
            self._begin_at = now + self._delay()
        self._heard_at = now
        if now < self._begin_at:
            await asyncio.sleep(self._begin_at - now)
        await self._on_public(relay, records)

    async def _on_public(self, _relay: str, records: tuple[tuple[int, Record], ...]) -> None:
        """Hear public records; each demand is answered once, whichever relay brings it first."""
        for _, record in records:
            now = self.agent.now()
            try:
                demand = verify(record)
                check_time(demand, now)
            except IntentcastError as error:
                log.info("a relay sent a record that does not hold: %s", error.code)
                continue
            if demand.type == "demand":
                try:
                    async with self.agent.store.transaction() as tx:
                        await self._hear(tx, demand, now)
                except sqlite3.Error:
                    raise
                except Exception:
                    # Whatever one demand does to us, the next one is heard.
                    log.exception("a demand could not be answered")
                    async with self.agent.store.transaction() as tx:
                        await self._note(tx, demand, "passed", "it could not be answered; the log says why", now)
                self.agent.pool.poke(b"")

    async def _hear(self, tx: Transaction, demand: Verified, now: int) -> None:
        if await tx.one("SELECT 1 FROM answered WHERE demand = ?", demand.id):
            return
        if self.policy.delay:
            await self._note(tx, demand, "waiting", "the policy answers later", now)
            subject = demand.record.encode()
            await tx.run(
                "INSERT INTO errand (kind, subject, due) VALUES ('answer', ?, ?)", subject, now + self.policy.delay
            )
        else:
            await self.answer(tx, demand.record, now)

    async def answer(self, tx: Transaction, record: Record, now: int) -> None:
        """Answer one demand with the best item in stock, or note why not."""
        verified = verify(record)
        try:
            check_time(verified, now)
            demand = read_demand(verified)
            relays = tuple(relay for relay in demand.relays if relay in self.relays)
        except IntentcastError as error:
            await self._note(tx, verified, "passed", str(error), now)
            return
        if not relays:
            # A relay named by a stranger is never dialled: that would let anyone aim this bot at any address.
            await self._note(tx, verified, "passed", "it is answered at relays this vendor does not use", now)
            return
        domain = self.policy.domain
        if not await lets_in(tx, demand, relays, key=self.key, domain=domain, work=self.policy.max_work, now=now):
            await self._note(tx, verified, "passed", "it asks for a proof this vendor cannot or will not give", now)
            if may_come(demand, domain):
                sql = "UPDATE answered SET record = ? WHERE demand = ?"
                await tx.run(sql, verified.record.encode(), verified.id)
            return
        sql = (
            "SELECT count(*) FROM session WHERE role = 'vendor' AND state IN ('seen', 'asking', 'offered', 'countered')"
        )
        open_sessions = await tx.one(sql)
        if open_sessions and open_sessions[0] >= self.policy.max_open:
            await self._note(tx, verified, "passed", "too many open sessions", now)
            return
        spoken_for = await stockroom.reserved(tx)
        left = await concession.left(tx, self.policy, now)
        found = best_quote(self.policy, self.stock, demand, now, spoken_for, left)
        if isinstance(found, Pass):
            await self._note(tx, verified, "passed", found.reason, now)
            return
        match, quote = found
        dialogue = await self._open_session(tx, demand, verified, relays, now)
        if isinstance(quote, Ask):
            body = {"text": quote.text, "path": quote.path, "termsAccepted": quote.terms.wire()}
            await say(tx, dialogue, "question", body, now=now)
            await self._note(tx, verified, "asked", quote.text, now, match.item.sku, dialogue.session.key)
        else:
            await self._offer(tx, dialogue, match.item.item, quote, now)
            await self._note(tx, verified, "offered", "", now, match.item.sku, dialogue.session.key)

    async def _open_session(
        self, tx: Transaction, demand: Demand, verified: Verified, relays: tuple[str, ...], now: int
    ) -> Dialogue:
        session_seed = new_seed()
        session = begin(demand, key=public_key(session_seed), vendor=self.key)
        return await create(
            tx,
            session,
            "vendor",
            demand_record=verified.record.encode(),
            seed=self.seed,
            relays=relays,
            peer_key=demand.offer_key,
            session_seed=session_seed,
            now=now,
        )

    async def _offer(self, tx: Transaction, dialogue: Dialogue, item: dict[str, Any], quote: Quote, now: int) -> None:
        body = {
            "@type": "Offer",
            "demand": dialogue.session.demand,
            "itemOffered": item,
            "priceSpecification": write_price(quote.price),
            "deviations": list(quote.deviations),
            "validThrough": quote.expires,
            "termsAccepted": quote.terms.wire(),
            "offeredBy": _seller(self.policy),
            "commitment": "firm",
            **write_conditions(quote.conditions),
        }
        choices = write_choices(self.policy.menu.choices)
        if choices:
            body["negotiable"] = choices
        seen = await attestations(tx, dialogue.relays, key=self.key, domain=self.policy.domain, now=now)
        if seen:
            body["attestations"] = seen
        await say(tx, dialogue, "offer", body, now=now, expires=quote.expires)
        if quote.concession or dialogue.session.rounds:
            currency = quote.price.currency
            await concession.note_offer(tx, dialogue.session.key, quote.concession, currency, quote.expires)

    async def _note(
        self,
        tx: Transaction,
        demand: Verified,
        outcome: str,
        reason: str,
        now: int,
        sku: str | None = None,
        session: bytes | None = None,
    ) -> None:
        await tx.run(
            "INSERT INTO answered (demand, author, outcome, reason, sku, session, expires, at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (demand) DO UPDATE SET outcome = excluded.outcome, "
            "reason = excluded.reason, sku = excluded.sku, session = excluded.session, at = excluded.at",
            demand.id, demand.author, outcome, reason, sku, session, demand.expires, now,
        )  # fmt: skip
        self.agent.tell({"event": "demand", "demand": demand.id, "outcome": outcome, "reason": reason})

    async def _begin(self, _tx: Transaction, _envelope: Verified, _message: Verified, _now: int) -> Dialogue:
        raise InvalidMessage("invalid.record.recipient", "no such session")

    async def react(self, tx: Transaction, dialogue: Dialogue, heard: Heard, now: int) -> None:
        """Do what follows from a person's message."""
        if heard.problem:
            return
        match heard.message.type:
            case "counter" if dialogue.session.state is State.COUNTERED:
                await self._answer_counter(tx, dialogue, heard.message, now)
            case "answer":
                await self._answer_again(tx, dialogue, now)
            case "question":
                await self._answer_question(tx, dialogue, heard.message, now)
            case "accept" if dialogue.session.state is State.ACCEPTED:
                await self._confirm(tx, dialogue, now)
            case "accept" if dialogue.session.state is State.REACCEPTED:
                await say(tx, dialogue, "confirm", {"accept": dialogue.session.accept}, now=now)
                await self._keep_agreement(tx, dialogue, now)
            case "disclose":
                await self._keep_contact(tx, dialogue, heard.message)

    async def recover(self, tx: Transaction, dialogue: Dialogue, now: int) -> None:
        """Do what a restored session still waits for; stock that was promised is reserved again. PROTOCOL §8.8"""
        session = dialogue.session
        if session.state is State.ACCEPTED:
            await self._confirm(tx, dialogue, now)
        elif session.state is State.COUNTERED:
            row = await tx.one(
                "SELECT id FROM message WHERE session = ? AND type = 'counter' ORDER BY seq DESC", session.key
            )
            counter = await find_message(tx, row["id"]) if row else None
            if counter:
                await self._answer_counter(tx, dialogue, counter, now)
        elif session.state is State.AGREED and not await tx.one(
            "SELECT 1 FROM agreement WHERE session = ?", session.key
        ):
            item = await self._item(tx, session.key)
            if item:
                await stockroom.reserve(tx, session.key, item["sku"], now)
                await concession.note_deal(tx, session.key, now)
            await self._keep_agreement(tx, dialogue, now)

    async def _keep_agreement(self, tx: Transaction, dialogue: Dialogue, now: int) -> None:
        row = await tx.one("SELECT demand_record FROM session WHERE key = ?", dialogue.session.key)
        if row:
            await keep_agreement(tx, dialogue, row["demand_record"], now)

    async def _answer_counter(self, tx: Transaction, dialogue: Dialogue, message: Verified, now: int) -> None:
        session = dialogue.session
        item = await self._item(tx, session.key)
        if item is None:
            return
        answer = await answer_in(tx, self.policy, session, message, item, now)
        if isinstance(answer, Pass):
            await say(tx, dialogue, "decline", {"code": "refused.session.not-now"}, now=now)
            return
        last, again = answer
        await self._offer(tx, dialogue, last.item, again, now)

    async def _answer_question(self, tx: Transaction, dialogue: Dialogue, question: Verified, now: int) -> None:
        """Answer what the item itself states; of an offer that has lapsed, make a new one."""
        item = await self._item(tx, dialogue.session.key)
        facts = facts_of(item, question) if item else ()
        if facts and permits(dialogue.session, "vendor", "answer", now):
            await talk.answer(tx, dialogue, now, facts=facts)
        if dialogue.session.state is State.LAPSED:
            await self._answer_again(tx, dialogue, now)

    async def _answer_again(self, tx: Transaction, dialogue: Dialogue, now: int) -> None:
        """After a person's answer, offer the item the question was about, unless what stays unknown is not waived."""
        row = await tx.one("SELECT * FROM session WHERE key = ?", dialogue.session.key)
        item = await self._item(tx, dialogue.session.key)
        if row is None or item is None or dialogue.session.state not in (State.SEEN, State.LAPSED):
            return
        said = await talk.person_answers(tx, dialogue.session.key)
        demand = told(read_demand(verify(decode_record(row["demand_record"]))), said.facts)
        left = item["quantity"] > (await stockroom.reserved(tx)).get(item["sku"], 0)
        found = self.stock.find(item["sku"], demand) if left else None
        purse = await concession.left(tx, self.policy, now)
        quote = first_quote(self.policy, found, demand, now, answered=True, left=purse) if found else Pass("sold")
        if found and isinstance(quote, Quote):
            if not_waived(found, demand, said):
                await say(tx, dialogue, "decline", {"code": "refused.session.not-now"}, now=now)
            else:
                await self._offer(tx, dialogue, found.item.item, quote, now)
        else:
            await say(tx, dialogue, "decline", {"code": "refused.stock.gone"}, now=now)

    async def _confirm(self, tx: Transaction, dialogue: Dialogue, now: int) -> None:
        session = dialogue.session
        item = await self._item(tx, session.key)
        if item is None or not await stockroom.reserve(tx, session.key, item["sku"], now):
            await say(tx, dialogue, "withdraw", {"re": session.offer, "code": "refused.stock.gone"}, now=now)
            return
        await say(tx, dialogue, "confirm", {"accept": session.accept}, now=now)
        await concession.note_deal(tx, session.key, now)
        await self._keep_agreement(tx, dialogue, now)
        await self._withdraw_rivals(tx, item, session.key, now)

    async def _withdraw_rivals(self, tx: Transaction, item: Row, winner: Key, now: int) -> None:
        """When the last one is sold, take back what was offered of it to others."""
        free = item["quantity"] - (await stockroom.reserved(tx)).get(item["sku"], 0)
        if free > 0:
            return
        rows = await tx.all("SELECT session FROM answered WHERE sku = ? AND session IS NOT NULL AND session != ?",
                            item["sku"], winner)  # fmt: skip
        for row in rows:
            rival = await open_dialogue(tx, row["session"], self.seed)
            standing = rival and rival.session.state in (State.OFFERED, State.COUNTERED)
            if rival and standing and permits(rival.session, "vendor", "withdraw", now):
                body = {"re": rival.session.offer, "code": "refused.stock.gone"}
                await say(tx, rival, "withdraw", body, now=now)

    async def _keep_contact(self, tx: Transaction, dialogue: Dialogue, message: Verified) -> None:
        try:
            contact = read_disclosure(message.body)
        except InvalidMessage as error:
            await say(tx, dialogue, "problem", {"code": error.code, "re": message.id}, now=self.agent.now())
            return
        await tx.put_private(f"contact:{dialogue.session.key.hex()}", contact)

    async def _item(self, tx: Transaction, session: bytes) -> Row | None:
        return await tx.one("SELECT s.* FROM answered a JOIN stock s ON s.sku = a.sku WHERE a.session = ?", session)

    async def _place(self, relay: str) -> Cursor | None:
        async with self.agent.store.reading() as tx:
            row = await tx.one("SELECT * FROM place WHERE relay = ?", relay)
        return Cursor(row["epoch"], row["seq"]) if row else None

    async def _keep_place(self, relay: str, cursor: Cursor) -> None:
        async with self.agent.store.transaction() as tx:
            sql = "INSERT OR REPLACE INTO place (relay, epoch, seq) VALUES (?, ?, ?)"
            await tx.run(sql, relay, cursor.epoch, cursor.seq)


def _seal_pair(agent: "Agent") -> SealKey:
    """Return the profile's seal key, made anew from the kept secret."""
    kept = agent.keystore.get("profile-seal") or b""
    return seal_key(lambda _: kept)


def _seller(policy: Policy) -> dict[str, Any]:
    fields = {"name": policy.name, "domain": policy.domain, "jurisdiction": policy.jurisdiction}
    return {name: value for name, value in fields.items() if value}


async def open_responder(agent: "Agent") -> Responder | None:
    """Make the responder of a home that has a vendor with a policy; None where there is none. Raises PolicyError."""
    seed = agent.keystore.get("vendor")
    path = policy_path(agent.home)
    if seed is None or not path.exists():
        return None
    policy = read_policy(path.read_text())
    async with agent.store.reading() as tx:
        items = await stockroom.read_all(tx)
    return Responder(agent, seed, policy, Stock(items), lambda: random.SystemRandom().uniform(0.0, _SPREAD))
