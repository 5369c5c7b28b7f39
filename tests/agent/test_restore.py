"""A restored agent asks before it signs: the acts of PROTOCOL §8.8 between two stores, without a network."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from intentcast_agent import restore
from intentcast_agent.agent import _PERSON, Agent
from intentcast_agent.counter import with_total
from intentcast_agent.dialogue import find_message, open_dialogue, read_dialogue, say, say_outside_chain
from intentcast_agent.home import Home, find_home
from intentcast_agent.inbox import Side, open_envelope
from intentcast_agent.keystore import Keystore, create, open_keystore
from intentcast_agent.passphrase import INTERACTIVE
from intentcast_agent.person import desk
from intentcast_agent.person.draft import TEMPLATE, read_template
from intentcast_agent.settings import Settings, write_settings
from intentcast_agent.store import Store, open_store
from intentcast_agent.vendor import stockroom
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.responder import Responder, open_responder
from intentcast_protocol.agreement import verify_agreement
from intentcast_protocol.errors import StateError
from intentcast_protocol.negotiation import State
from intentcast_protocol.record import Record, decode_record, parse
from intentcast_protocol.sealing import seal_key
from intentcast_protocol.testing import CARS

OFFERS = "SELECT id FROM message WHERE type = 'offer' ORDER BY seq"
TWICE = "SELECT 1 FROM message WHERE seq > 0 GROUP BY session, author, seq HAVING count(*) > 1"
RELAY = "ws://127.0.0.1:1"
POLICY = 'name = "Autohof Noord"\ncurrency = "EUR"\nfloor = "90%"\nladder = ["0%", "5%"]\nvalidity = "1h"\n'
GOLF = {
    "@type": "Car", "category": CARS, "name": "2018 Golf", "manufacturer": "Volkswagen", "model": "Golf",
    "vehicleModelDate": "2018", "mileageFromOdometer": {"value": "64044", "unitCode": "KMT"},
}  # fmt: skip


@dataclass
class Party:
    """One home whose agent stays offline; its outbox is carried by hand."""

    folder: Path
    agent: Agent
    side: Side

    @property
    def store(self) -> Store:
        return self.agent.store

    async def sent(self, after: int = 0) -> list[tuple[int, Record]]:
        """Return what this party has queued since, sealed, in order."""
        lanes = {b""}
        async with self.store.reading() as tx:
            lanes |= {bytes(row["author"]) for row in await tx.all("SELECT author FROM demand")}
        now = self.agent.now()
        parcels = [parcel for lane in lanes for parcel in await self.agent.outbox.due(lane, RELAY, now)]
        return sorted((parcel.outbox, parcel.record) for parcel in parcels if parcel.outbox > after)

    async def take(self, record: Record) -> None:
        await open_envelope(self.store, record, self.side, self.agent.now())


@asynccontextmanager
async def open_party(folder: Path, *, vendor: bool) -> AsyncIterator[Party]:
    home = find_home({"INTENTCAST_HOME": str(folder)})
    home.prepare()
    fresh = not home.keystore.exists()
    keystore = create(home.keystore, None, cost=INTERACTIVE) if fresh else open_keystore(home.keystore, None)
    write_settings(home, Settings((RELAY,)))
    if vendor and fresh:
        keystore.put("vendor", bytes(range(32)))
        keystore.put("profile-seal", bytes(range(1, 33)))
        home.config.with_name("policy.toml").write_text(POLICY)
    store = await open_store(home.database, keystore.data_key)
    try:
        async with aiohttp.ClientSession() as http:
            yield await _party(folder, home, keystore, store, http, vendor=vendor, fresh=fresh)
    finally:
        await store.close()


async def _party(
    folder: Path,
    home: Home,
    keystore: Keystore,
    store: Store,
    http: aiohttp.ClientSession,
    *,
    vendor: bool,
    fresh: bool,
) -> Party:
    if vendor and fresh:
        async with store.transaction() as tx:
            await stockroom.load(tx, "f", (StockItem("G1", GOLF, "17000.00", "EUR"),))
    agent = Agent(home, keystore, store, http)
    responder = await open_responder(agent) if vendor else None
    return Party(folder, agent, responder.side if responder else _PERSON)


async def carry(source: Party, target: Party, after: int) -> int:
    """Hand everything a party queued to the other; return the place reached."""
    for number, record in await source.sent(after):
        if decode_kind(record) == "sealed":
            await target.take(record)
        after = number
    return after


async def converse(asker: Party, asked: int, peer: Party, answered: int) -> None:
    """Carry requests and answers to and fro until neither has more to say."""
    moved = True
    while moved:
        before = asked, answered
        asked = await carry(asker, peer, asked)
        answered = await carry(peer, asker, answered)
        moved = before != (asked, answered)


def decode_kind(record: Record) -> str:
    return parse(decode_record(record.encode())).type


@asynccontextmanager
async def market(tmp_path: Path) -> AsyncIterator[tuple[Party, Party, bytes]]:
    """A person and a vendor with one offer between them."""
    async with open_party(tmp_path / "p", vendor=False) as person, open_party(tmp_path / "v", vendor=True) as vendor:
        text = TEMPLATE.replace("stamp:18", "stamp:1")
        now = person.agent.now()
        async with person.store.transaction() as tx:
            await tx.put_private("contact", {"name": "Robin Example"})
            prepared = await desk.prepare(tx, read_template(text), (RELAY,), now)
            await desk.cast(tx, prepared.number, now)
        (_, demand), *_ = await person.sent()
        responder: Responder | None = await open_responder(vendor.agent)
        assert responder is not None
        async with vendor.store.transaction() as tx:
            await responder.answer(tx, demand, now)
        await carry(vendor, person, 0)
        async with person.store.reading() as tx:
            row = await tx.one("SELECT key FROM session")
        assert row is not None
        yield person, vendor, bytes(row["key"])


async def state_of(party: Party, key: bytes) -> State:
    async with party.store.reading() as tx:
        row = await tx.one("SELECT * FROM session WHERE key = ?", key)
        assert row is not None
        return (await read_dialogue(tx, row, party.agent.keystore.get("vendor"))).session.state


def back_up(party: Party, name: str) -> Path:
    copy = party.folder.with_name(name)
    shutil.copytree(party.folder, copy)
    return copy


SEAL_KEY = seal_key(lambda _: bytes(range(1, 33))).public


async def resume(party: Party) -> None:
    """Do what `serve --restored` does, with the vendor's profile in hand."""
    seed = party.agent.keystore.get("vendor")
    async with party.store.transaction() as tx:
        keys = await restore.mark_restored(tx)
        vendors = await restore.vendors_of(tx, keys) if seed is None else []
        await restore.ask_all(tx, keys, seed, {vendor: SEAL_KEY for vendor, _ in vendors}, party.agent.now())
    assert len(keys) == 1


async def test_restored_person_gets_back_the_agreement_they_had_signed(tmp_path: Path) -> None:
    """Backed up after the offer, lost after the agreement: nothing is signed twice, the agreement is there again."""
    async with market(tmp_path) as (person, vendor, key):
        backup = back_up(person, "backup")
        async with person.store.transaction() as tx:
            dialogue = await open_dialogue(tx, key)
            assert dialogue is not None
            accept = await desk.accept(
                tx, dialogue, all_relays_read=True, anyway=False, say_so=True, now=person.agent.now()
            )
        at_person = await carry(person, vendor, 0)
        await carry(vendor, person, 0)
        at_person = await carry(person, vendor, at_person)
        assert await state_of(person, key) is State.AGREED
        at_vendor = max(number for number, _ in await vendor.sent())

        async with open_party(backup, vendor=False) as again:
            assert await state_of(again, key) is State.OFFERED
            marks = [number for number, _ in await again.sent()]
            await resume(again)
            async with again.store.transaction() as tx:
                dialogue = await open_dialogue(tx, key)
                assert dialogue is not None
                with pytest.raises(StateError):
                    await say(tx, dialogue, "decline", {}, now=again.agent.now())
            await converse(again, max(marks, default=0), vendor, at_vendor)
            assert await state_of(again, key) is State.AGREED
            async with again.store.reading() as tx:
                row = await tx.one("SELECT * FROM agreement")
                assert row is not None
                bundle = verify_agreement(tx.open("agreement", "bundle", row["id"], row["bundle"]))
                assert bundle.id == row["id"]
                assert await find_message(tx, accept.id) is not None
                twice = await tx.all(
                    "SELECT 1 FROM message WHERE seq > 0 GROUP BY session, author, seq HAVING count(*) > 1"
                )
                assert twice == []
        async with vendor.store.reading() as tx:
            assert await tx.all("SELECT * FROM evidence") == []


async def test_restored_vendor_gets_back_the_offer_it_had_made_since(tmp_path: Path) -> None:
    """Backed up after its first offer: the counter and its own second offer come back, under the key of the demand."""
    async with market(tmp_path) as (person, vendor, key):
        backup = back_up(vendor, "backup")
        async with person.store.transaction() as tx:
            dialogue = await open_dialogue(tx, key)
            assert dialogue is not None
            price = (await desk.standing_offer(tx, dialogue)).price
            await desk.counter(tx, dialogue, with_total(price, Decimal("16500.00")), None, "", person.agent.now())
        await carry(person, vendor, 0)
        await carry(vendor, person, 0)
        at_person = max(number for number, _ in await person.sent())
        async with vendor.store.reading() as tx:
            rows = await tx.all(OFFERS)
        assert len(rows) == 2

        async with open_party(backup, vendor=True) as again:
            marks = [number for number, _ in await again.sent()]
            await resume(again)
            await converse(again, max(marks), person, at_person)
            assert await state_of(again, key) is State.OFFERED
            async with again.store.reading() as tx:
                assert [
                    row["id"] for row in await tx.all("SELECT id FROM message WHERE type = 'offer' ORDER BY seq")
                ] == [row["id"] for row in rows]
                assert await tx.all(TWICE) == []


async def test_resume_with_an_ill_formed_have_is_refused(tmp_path: Path) -> None:
    async with market(tmp_path) as (person, vendor, key):
        async with person.store.transaction() as tx:
            dialogue = await open_dialogue(tx, key)
            assert dialogue is not None
            await say_outside_chain(tx, dialogue, {"have": [-1, "x"]}, now=person.agent.now())
        before = len(await vendor.sent())
        await carry(person, vendor, 0)
        async with vendor.store.reading() as tx:
            rows = await tx.all("SELECT code FROM rejected")
        assert [row["code"] for row in rows] == ["invalid.session.malformed"]
        assert len(await vendor.sent()) == before
