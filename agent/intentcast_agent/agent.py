"""The running agent: its store, its couriers, its clock, for the person and the vendor of one home.

It owns the loop's tasks and nothing else; what to do with a message is the person's desk's or the vendor's responder's
to say.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from intentcast_protocol.demand import read_demand
from intentcast_protocol.errors import StateError
from intentcast_protocol.identity import Key
from intentcast_protocol.record import Record, decode_record, verify

from intentcast_agent import restore, upkeep
from intentcast_agent.dialogue import let_time_pass, open_dialogue, say
from intentcast_agent.home import Home
from intentcast_agent.inbox import Opened, Side, open_envelope
from intentcast_agent.keystore import Keystore
from intentcast_agent.link import Link, find_seal_key
from intentcast_agent.outbox import Outbox
from intentcast_agent.person import desk
from intentcast_agent.person.haggler import Haggler
from intentcast_agent.pool import Lane, Pool
from intentcast_agent.relaykey import RelayKeys
from intentcast_agent.settings import Settings, read_settings
from intentcast_agent.store import Row, Store, Transaction, open_store
from intentcast_agent.vendor.responder import Responder, open_responder

if TYPE_CHECKING:
    from intentcast_agent.service import Service
    from intentcast_agent.web.server import Page

log = logging.getLogger("intentcast.agent")
_AGAIN = 60  # s until an errand that could not be done is tried again
_TIDY = 3_600  # s between rounds of tidying
_TICK = 1.0  # s between looks at the clock; offers live minutes, so a second late is soon enough
_PERSON = Side(desk.begin_with, desk.react, desk.recover)

Event = dict[str, Any]


class Agent:
    """One home at work; make one with `run_agent`."""

    def __init__(self, home: Home, keystore: Keystore, store: Store, http: aiohttp.ClientSession) -> None:
        self.home = home
        self.keystore = keystore
        self.store = store
        self.settings: Settings = read_settings(home)
        self.outbox = Outbox(store)
        self.pool = Pool(http, self.outbox)
        self.relay_keys = RelayKeys(http, store, self.now)
        self.http = http
        self.responder: Responder | None = None
        self.haggler = Haggler(self)
        self.online = False
        self.page: Page | None = None
        self._page_lock = asyncio.Lock()
        self._served = contextlib.AsyncExitStack()
        self._listeners: set[asyncio.Queue[Event]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    @staticmethod
    def now() -> int:
        """Return the agent's clock, in whole seconds."""
        return int(time.time())

    async def go_online(self, *, vendor: bool = True) -> None:
        """Start the clock, open the lanes of every demand that may still get mail, and the vendor's.

        A home put back from a backup first asks every peer for what is missing.
        """
        if self.online:
            return
        self.online = True
        async with self.store.reading() as tx:
            rows = await tx.all("SELECT * FROM demand WHERE seed IS NOT NULL")
            noted = await restore.restored(tx)
        if noted and not noted["asked"]:
            log.info("put back from a backup: asking in %d sessions for what is missing", await self.resume_all())
        for row in rows:
            self.open_demand(Key(row["author"]), read_demand(verify(decode_record(row["record"]))).relays)
        if vendor:
            self.responder = await open_responder(self)
            if self.responder:
                await self.responder.open()
        self._tasks += [asyncio.create_task(self._watch_clock()), asyncio.create_task(self.haggler.run())]

    async def restart_vendor(self) -> None:
        """Let the vendor's bot, if it is at work, begin anew with the stock and policy that are there now."""
        if self.responder:
            await self.pool.close_lane(b"")
            self.responder = await open_responder(self)
            if self.responder:
                await self.responder.open()

    async def resume_all(self) -> int:
        """Say that this home came from a backup: every open session asks its peer for what is missing, first."""
        seed = self.keystore.get("vendor")
        async with self.store.transaction() as tx:
            keys = await restore.mark_restored(tx)
            roles = {row["key"]: row["role"] for row in await tx.all("SELECT key, role FROM session")}
            vendors = await restore.vendors_of(tx, [key for key in keys if roles[key] == "person"])
        found = {vendor: await find_seal_key(self.http, relays, vendor) for vendor, relays in vendors}
        seal_keys = {vendor: key for vendor, key in found.items() if key}
        async with self.store.transaction() as tx:
            await restore.ask_all(tx, keys, seed, seal_keys, self.now())
            await restore.note_asked(tx)
        return len(keys)

    def open_demand(self, author: Key, relays: tuple[str, ...]) -> None:
        """See that a demand's mail is carried, over connections of its own."""

        async def keys(proven: Set[Key]) -> list[tuple[bytes, Key]]:
            if author in proven:
                return []
            async with self.store.reading() as tx:
                return await desk.lane_keys(tx, author)

        async def on_mail(_relay: str, record: Record) -> None:
            await self.take_in(record, _PERSON, author)

        async def attend(relay: str, link: Link) -> int | None:
            return await upkeep.keep_mailboxes(self.store, author, relay, link, self.now())

        if self.online:
            self.relay_keys.learn(relays)
            self.pool.open_lane(Lane(author, keys, on_mail, attend=attend), relays)

    async def take_in(self, record: Record, side: Side, lane: bytes) -> Opened | None:
        """Give an envelope its effect and tell whoever listens."""
        opened = await open_envelope(self.store, record, side, self.now())
        if opened:
            self.pool.poke(lane)
            self.tell({"event": "mail", "session": opened.session, "types": opened.types,
                       "code": opened.code, "claimed": opened.claimed})  # fmt: skip
        return opened

    def tell(self, event: Event) -> None:
        """Tell every listener that something changed."""
        for queue in self._listeners:
            queue.put_nowait(event)

    @contextlib.contextmanager
    def listen(self) -> Any:
        """Give a queue of events for the length of a block."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    async def until(self, holds: Callable[[], Any], within: float) -> bool:
        """Wait until an awaitable condition holds, looking again at each event; return whether it did."""
        with self.listen() as events:
            try:
                async with asyncio.timeout(within):
                    while not await holds():
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(0.25):
                                await events.get()
                        # However much has happened, one look sees it all.
                        while not events.empty():
                            events.get_nowait()
            except TimeoutError:
                return bool(await holds())
        return True

    async def catch_up(self, within: float = 3.0) -> tuple[str, ...]:
        """Wait until every relay's stored mail was read; return the relays that could not be."""
        await self.go_online()
        waits = [asyncio.create_task(courier.ready.wait()) for courier in self.pool.couriers()]
        self.relay_keys.learn({courier.relay for courier in self.pool.couriers()})
        if waits:
            await asyncio.gather(asyncio.wait(waits, timeout=within), self.relay_keys.settle(within))
        for wait in waits:
            wait.cancel()
        return tuple(sorted({courier.relay for courier in self.pool.couriers() if not courier.ready.is_set()}))

    async def _watch_clock(self) -> None:
        tidied = 0
        while True:
            try:
                await self.turn_clock(self.now())
                if self.now() >= tidied + _TIDY:
                    tidied = self.now()
                    await self.tidy(tidied)
            except Exception:
                log.exception("the clock's round ended badly")
            await asyncio.sleep(_TICK)

    async def turn_clock(self, now: int) -> None:
        """Let offers lapse, demands end, and errands that are due be done."""
        async with self.store.reading() as tx:
            sessions = await tx.all("SELECT key FROM session WHERE wake IS NOT NULL AND wake <= ?", now)
            errands = await tx.all("SELECT * FROM errand WHERE due <= ? ORDER BY number LIMIT 64", now)
            ended = await tx.one("SELECT 1 FROM demand WHERE state = 'open' AND expires <= ?", now)
        for row in sessions:
            # A session whose key is erased or locked away has no clock, and stops nobody else's.
            with contextlib.suppress(StateError):
                async with self.store.transaction() as tx:
                    dialogue = await open_dialogue(tx, row["key"], self.keystore.get("vendor"))
                    if dialogue and await let_time_pass(tx, dialogue, now):
                        state = str(dialogue.session.state)
                        self.tell({"event": "clock", "session": dialogue.session.key, "state": state})
        for errand in errands:
            try:
                async with self.store.transaction() as tx:
                    lane = await self._run_errand(tx, errand, now)
            except sqlite3.Error:
                raise
            except Exception:
                log.exception("an errand could not be done yet")
                async with self.store.transaction() as tx:
                    await tx.run("UPDATE errand SET due = ? WHERE number = ?", now + _AGAIN, errand["number"])
            else:
                self.pool.poke(lane)
        if ended:
            async with self.store.transaction() as tx:
                await desk.expire(tx, now)

    async def _run_errand(self, tx: Transaction, errand: Row, now: int) -> bytes:
        """Do one errand and forget it; return whose couriers to wake. One for a vendor that is not at work waits."""
        if errand["kind"] == "answer" and self.responder is None:
            await tx.run("UPDATE errand SET due = ? WHERE number = ?", now + _AGAIN, errand["number"])
            return b""
        await tx.run("DELETE FROM errand WHERE number = ?", errand["number"])
        if errand["kind"] == "close":
            await desk.close_loser(tx, errand["subject"], now)
            sql = "SELECT d.author FROM demand d JOIN session s ON s.demand = d.id WHERE s.key = ?"
            found = await tx.one(sql, errand["subject"])
            return found["author"] if found else b""
        if self.responder:
            await self.responder.answer(tx, decode_record(errand["subject"]), now)
        return b""

    async def tidy(self, now: int) -> None:
        """Erase what has no more use: keys of closed demands, what was delivered, what can no longer be replayed."""
        if self.responder:
            await self.responder.publish_profile()
        self.relay_keys.learn({courier.relay for courier in self.pool.couriers()})
        async with self.store.transaction() as tx:
            await upkeep.erase_closed(tx, now)
            await upkeep.prune(tx, now)
            aged = await upkeep.aged_sessions(tx, now)
        for key in aged:
            async with self.store.transaction() as tx:
                dialogue = await open_dialogue(tx, key, self.keystore.get("vendor"))
                if dialogue:
                    await say(tx, dialogue, "notice", {}, now=now, rekey=True)
                    self.pool.poke(dialogue.lane)

    async def open_page(self, service: "Service", port: int) -> "Page":
        """Serve the page until the agent stops, or go on serving the one there is; raises Failed."""
        from intentcast_agent.web.server import serve_page  # noqa: PLC0415 (its templates are slow to load)

        async with self._page_lock:
            if self.page is None:
                self.page = await self._served.enter_async_context(serve_page(self, service, port))
        return self.page

    async def stop(self) -> None:
        """Stop the tasks; what was not delivered stays in the outbox."""
        await self._served.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pool.close()
        await self.relay_keys.close()


@asynccontextmanager
async def run_agent(home: Home, keystore: Keystore) -> AsyncIterator[Agent]:
    """Open a home's store and give its agent for the length of a block. The caller holds the home's lock."""
    store = await open_store(home.database, keystore.data_key)
    try:
        # A cookie would tell a relay which demands are of one agent.
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            agent = Agent(home, keystore, store, http)
            try:
                yield agent
            finally:
                await agent.stop()
    finally:
        await store.close()
