"""A table in one process: persons and vendors with real stores, a vendor in the test's own hand, one clock for all.

Nothing here dials: what waits in an outbox is carried by hand, so that a test says what arrives when, in which order.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from intentcast_agent.agent import Agent, run_agent
from intentcast_agent.counter import with_total
from intentcast_agent.dialogue import Dialogue, open_dialogue
from intentcast_agent.home import Home, find_home
from intentcast_agent.inbox import Opened, Side, open_envelope
from intentcast_agent.keystore import create, open_keystore
from intentcast_agent.person import desk
from intentcast_agent.person.draft import read_template
from intentcast_agent.settings import Settings, write_settings
from intentcast_agent.store import Store, Transaction
from intentcast_agent.vendor import stockroom
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.responder import Responder, open_responder
from intentcast_protocol.demand import Demand, read_demand
from intentcast_protocol.identity import Id, Key, public_key
from intentcast_protocol.record import Record, Verified, decode_record, sign, verify
from intentcast_protocol.sealing import SealKey, seal, seal_key, unseal
from intentcast_protocol.terms import DEFAULT
from intentcast_protocol.testing import CARS, NOW, offer_body, price_body, seed

RELAY = "ws://127.0.0.1:1"
OTHER = "ws://127.0.0.1:2"
HOUR = 3_600
POLICY = """\
name = "{name}"
currency = "EUR"
floor = "90%"
ladder = ["0%", "2%", "4%"]
validity = "3h"
"""
DEMAND = f"""\
name = "A small car"
category = "{CARS}"
max_price = "20000 EUR"
expires = "7d"
rounds = 5
admit = ["stamp:4"]
"""
GOLF = {"@type": "Car", "name": "2018 VW Golf", "category": CARS, "sku": "golf"}


@dataclass
class Clock:
    """What everybody at the table takes the time from."""

    now: int = NOW

    def read(self) -> int:
        return self.now


@dataclass(eq=False)
class Party:
    """One home whose agent stays offline."""

    home: Home
    agent: Agent
    side: Side
    clock: Clock

    @property
    def store(self) -> Store:
        return self.agent.store

    async def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        async with self.store.reading() as tx:
            return [dict(row) for row in await tx.all(sql, *values)]

    async def count(self, table: str) -> int:
        return len(await self.rows(f"SELECT 1 FROM {table}"))

    async def state(self, session: bytes) -> str:
        (row,) = await self.rows("SELECT state FROM session WHERE key = ?", session)
        return str(row["state"])

    async def sent(self, relay: str = RELAY) -> list[Record]:
        """Return what is due at one relay now, oldest first, and let the relay have it."""
        lanes = [row["lane"] for row in await self.rows("SELECT DISTINCT lane FROM outbox")]
        found = [parcel for lane in lanes for parcel in await self.agent.outbox.due(lane, relay, self.clock.now)]
        for parcel in found:
            await self.agent.outbox.delivered(parcel.outbox, relay)
        return [parcel.record for parcel in sorted(found, key=lambda parcel: parcel.outbox)]

    async def take(self, record: Record | Verified) -> Opened | None:
        raw = record.record if isinstance(record, Verified) else record
        return await open_envelope(self.store, raw, self.side, self.clock.now)

    async def act(self, session: bytes, act: Callable[..., Awaitable[Any]], *args: Any, **named: Any) -> Any:
        """Do one of this party's acts in a session, in a transaction of its own."""
        async with self.store.transaction() as tx:
            dialogue = await self.dialogue(tx, session)
            return await act(tx, dialogue, *args, **named, now=self.clock.now)

    async def dialogue(self, tx: Transaction, session: bytes) -> Dialogue:
        found = await open_dialogue(tx, session, self.agent.keystore.get("vendor"))
        assert found is not None
        return found

    async def messages(self, session: bytes | None = None) -> list[Verified]:
        """Return all messages this party keeps, in the order of their processing."""
        where = "" if session is None else "WHERE session = ?"
        async with self.store.reading() as tx:
            rows = await tx.all(f"SELECT * FROM message {where} ORDER BY rowid", *([session] if session else []))
            return [verify(decode_record(tx.open("message", "record", row["id"], row["record"]))) for row in rows]


class Person(Party):
    """A person's home."""

    async def cast(self, text: str = DEMAND, relays: Sequence[str] = (RELAY,)) -> Demand:
        async with self.store.transaction() as tx:
            prepared = await desk.prepare(tx, read_template(text), tuple(relays), self.clock.now)
            return await desk.cast(tx, prepared.number, self.clock.now)

    async def accept(
        self, session: bytes, *, all_relays_read: bool = True, anyway: bool = False, say_so: bool = True
    ) -> Verified:
        """Accept; nobody at this table has a domain that was witnessed, unless the test says otherwise."""
        named = {"all_relays_read": all_relays_read, "anyway": anyway, "say_so": say_so}
        found: Verified = await self.act(session, desk.accept, **named)
        return found

    async def counter(self, session: bytes, total: str) -> Verified:
        async with self.store.transaction() as tx:
            dialogue = await self.dialogue(tx, session)
            price = (await desk.standing_offer(tx, dialogue)).price
            return await desk.counter(tx, dialogue, with_total(price, Decimal(total)), None, "", self.clock.now)

    async def withdraw(self, demand: Demand) -> None:
        async with self.store.transaction() as tx:
            row = await tx.one("SELECT * FROM demand WHERE id = ?", demand.id)
            assert row is not None
            await desk.withdraw(tx, row, self.clock.now)


class Vendor(Party):
    """A vendor's home with its bot."""

    @property
    def responder(self) -> Responder:
        assert self.agent.responder is not None
        return self.agent.responder

    async def hear(self, *demands: Record | Verified, relay: str = RELAY) -> None:
        raw = [one.record if isinstance(one, Verified) else one for one in demands]
        await self.responder._on_public(relay, tuple(enumerate(raw, 1)))


@dataclass
class Forger:
    """A vendor in the test's own hand: every message can be bent before it is sealed."""

    name: str
    demand: Demand
    clock: Clock
    seq: int = 0
    last: Id | None = None
    to_key: bytes = b""
    replies: list[SealKey] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seed, self.session_seed = seed(self.name), seed(f"{self.name} session")
        self.key, self.session = public_key(self.seed), public_key(self.session_seed)
        self.to_key = self.demand.offer_key

    def sign(self, kind: str, body: dict[str, Any], *, by: bytes | None = None, **fields: Any) -> Verified:
        """Sign a message with the next number, without using it up."""
        now = self.clock.now
        usual = {
            "created": now, "expires": now + 3 * HOUR, "to": self.demand.author, "session": self.session,
            "seq": self.seq + 1, "prev": self.last,
        }  # fmt: skip
        return sign(kind, by or self.seed, body, **(usual | fields))

    def say(self, kind: str, body: dict[str, Any], **fields: Any) -> Verified:
        """Sign the next message."""
        message = self.sign(kind, body, **fields)
        self.seq, self.last = message.seq or 0, message.id
        return message

    def offer_body(self, total: str = "17900.00", life: int = 3 * HOUR, **changes: Any) -> dict[str, Any]:
        self.replies.append(seal_key())
        own = {
            "priceSpecification": price_body(total),
            "offeredBy": {"name": self.name},
            "termsAccepted": DEFAULT.deal[0].wire(),
            "reply": self.replies[-1].public,
        }
        return offer_body(self.demand.id, self.clock.now + life, **(own | changes))

    def offer(self, total: str = "17900.00", life: int = 3 * HOUR, **changes: Any) -> Verified:
        """Sign an offer as the next message."""
        return self.say("offer", self.offer_body(total, life, **changes), expires=self.clock.now + life)

    def seal(self, inner: Verified | Record, **changes: Any) -> Verified:
        """Put a record into an envelope of this vendor's session."""
        raw = inner.record if isinstance(inner, Verified) else inner
        now = self.clock.now
        usual = {
            "seed": self.session_seed, "to": self.demand.author, "key": self.to_key, "created": now,
            "expires": now + 7 * 86_400,
        }  # fmt: skip
        return seal(raw, **(usual | changes))

    def open(self, records: Sequence[Record]) -> list[Verified]:
        """Open what the person sent to this session."""
        opened = []
        for envelope in map(verify, records):
            if envelope.type == "sealed" and envelope.to == self.session:
                key = next(key for key in self.replies if key.public == envelope.body["key"])
                opened.append(verify(unseal(envelope, key)))
        return opened


class Table:
    """Whoever sits at it, and the clock on the wall."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.clock = Clock()
        self.parties: list[Party] = []
        self._folder = folder
        self._stack = stack

    def _home(self, name: str, relays: Sequence[str]) -> Home:
        home = find_home({"INTENTCAST_HOME": str(self._folder / name)})
        if not home.keystore.exists():
            home.prepare()
            create(home.keystore, None)
            write_settings(home, Settings(tuple(relays)))
        return home

    async def _agent(self, home: Home, stack: AsyncExitStack | None = None) -> Agent:
        agent = await (stack or self._stack).enter_async_context(run_agent(home, open_keystore(home.keystore, None)))
        agent.now = self.clock.read  # type: ignore[method-assign]
        return agent

    async def person(self, name: str = "person", relays: Sequence[str] = (RELAY,)) -> Person:
        home = self._home(name, relays)
        person = Person(home, await self._agent(home), Side(desk.begin_with, desk.react, desk.recover), self.clock)
        self.parties.append(person)
        return person

    async def vendor(
        self,
        name: str = "vendor",
        *,
        policy: str = "",
        price: str = "18000.00",
        quantity: int = 1,
        relays: Sequence[str] = (RELAY,),
        stack: AsyncExitStack | None = None,
    ) -> Vendor:
        """Seat a vendor; one of the same name again is the same home, opened anew."""
        home = self._home(name, relays)
        keystore = open_keystore(home.keystore, None)
        new = keystore.get("vendor") is None
        if new:
            for secret in ("vendor", "profile-seal"):
                keystore.put(secret, seed(f"{name} {secret}"))
            home.config.with_name("policy.toml").write_text(POLICY.format(name=name) + policy)
        agent = await self._agent(home, stack)
        if new:
            async with agent.store.transaction() as tx:
                await stockroom.load(tx, "cars", (StockItem("golf", GOLF, price, "EUR", quantity),))
        agent.responder = await open_responder(agent)
        assert agent.responder is not None
        vendor = Vendor(home, agent, agent.responder.side, self.clock)
        self.parties.append(vendor)
        return vendor

    def forger(self, demand: Demand, name: str = "Autohof Noord") -> Forger:
        return Forger(name, demand, self.clock)

    async def carry(self, source: Party, target: Party) -> list[Opened | None]:
        """Carry what one party has sent to another; public demands are heard by a vendor."""
        taken = []
        for record in await source.sent():
            verified = verify(record)
            if verified.type == "sealed":
                mine = await target.rows(
                    "SELECT 1 FROM session WHERE key = ? UNION SELECT 1 FROM demand WHERE author = ?",
                    verified.to,
                    verified.to,
                )
                if mine:
                    taken.append(await target.take(record))
            elif verified.type == "demand" and isinstance(target, Vendor):
                await target.hear(record)
        return taken

    async def offered(self, person: Person, *vendors: Vendor, text: str = DEMAND) -> tuple[Demand, list[Key]]:
        """Cast a demand and let each vendor's offer arrive; return the demand and the sessions in their order."""
        demand = await person.cast(text)
        (record, *_) = await person.sent()
        sessions = []
        for vendor in vendors:
            await vendor.hear(record)
            await self.carry(vendor, person)
            rows = await vendor.rows("SELECT key FROM session WHERE demand = ?", demand.id)
            sessions.append(Key(rows[0]["key"]))
        return read_demand(verify(record)), sessions


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    async with AsyncExitStack() as stack:
        yield Table(tmp_path, stack)
