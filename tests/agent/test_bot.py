"""The vendor's rules: what is sold is sold once, a demand is answered once, no stranger stops the bot. DESIGN §4.5"""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from intentcast_agent.link import open_link
from intentcast_agent.person import desk
from intentcast_agent.vendor import responder as room
from intentcast_agent.vendor import stockroom
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_protocol.demand import Demand, read_demand
from intentcast_protocol.record import Verified, sign, verify
from intentcast_protocol.sealing import SealKey, seal, seal_key, unseal
from intentcast_protocol.testing import CARS, demand_body, seed
from intentcast_relay.config import Config
from intentcast_relay.server import running

Table = Any  # the fixtures are conftest.py's
RELAY, OTHER = "ws://127.0.0.1:1", "ws://127.0.0.1:2"


# What is sold is sold once


@pytest.mark.parametrize("quantity", [1, 2])
async def test_of_many_accepts_as_many_are_confirmed_as_there_are_things(table: Table, quantity: int) -> None:
    vendor = await table.vendor(quantity=quantity)
    persons = [await table.person(f"person-{number}") for number in range(4)]
    sessions = [(await table.offered(person, vendor))[1][0] for person in persons]
    for person, session in zip(persons, sessions, strict=True):
        await person.accept(session)
    for person in persons:
        await table.carry(person, vendor)
    states = [await vendor.state(session) for session in sessions]
    assert states == ["agreed"] * quantity + ["withdrawn"] * (4 - quantity)
    assert (await vendor.count("reservation"), await vendor.count("agreement")) == (quantity, quantity)
    confirms = [message for message in await vendor.messages() if message.type == "confirm"]
    assert [message.session for message in confirms] == sessions[:quantity]
    for session in sessions[quantity:]:
        (withdraw,) = [message for message in await vendor.messages(session) if message.type == "withdraw"]
        assert withdraw.body["code"] == "refused.stock.gone"


@pytest.mark.parametrize("left", [(), (StockItem("golf", {}, "18000.00", "EUR", 0),)], ids=["no row", "none left"])
async def test_accept_of_what_the_feed_no_longer_has_is_answered_with_a_withdrawal(
    table: Table, left: tuple[StockItem, ...]
) -> None:
    vendor, person = await table.vendor(), await table.person()
    _, (session,) = await table.offered(person, vendor)
    await person.accept(session)
    async with vendor.store.transaction() as tx:
        await stockroom.load(tx, "cars", left)
    await table.carry(person, vendor)
    await table.carry(vendor, person)
    assert (await vendor.state(session), await person.state(session)) == ("withdrawn", "withdrawn")
    assert await vendor.count("reservation") == 0


async def test_loser_of_the_race_learns_that_the_thing_is_gone(table: Table) -> None:
    vendor = await table.vendor()
    quick, slow = await table.person("quick"), await table.person("slow")
    (_, (first,)), (_, (second,)) = await table.offered(quick, vendor), await table.offered(slow, vendor)
    await quick.accept(first)
    await slow.accept(second)
    await table.carry(quick, vendor)
    await table.carry(slow, vendor)
    for record in await vendor.sent():
        envelope = verify(record)
        for person in (quick, slow):
            if await person.rows("SELECT 1 FROM demand WHERE author = ?", envelope.to):
                await person.take(record)
    assert (await quick.state(first), await slow.state(second)) == ("agreed", "withdrawn")
    assert (await quick.count("agreement"), await slow.count("agreement")) == (1, 0)


async def test_offers_of_a_thing_are_taken_back_when_the_last_one_is_sold(table: Table) -> None:
    vendor = await table.vendor(quantity=2)
    persons = [await table.person(f"person-{number}") for number in range(4)]
    sessions = [(await table.offered(person, vendor))[1][0] for person in persons]
    await persons[3].counter(sessions[3], "17000.00")
    await table.carry(persons[3], vendor)
    for number in (0, 1):
        await persons[number].accept(sessions[number])
        await table.carry(persons[number], vendor)
        left = [await vendor.state(session) for session in sessions[2:]]
        assert left == (["offered", "offered"] if number == 0 else ["withdrawn", "withdrawn"])


async def test_thing_that_is_spoken_for_is_offered_to_nobody(table: Table) -> None:
    vendor = await table.vendor()
    person, late = await table.person("person"), await table.person("late")
    _, (session,) = await table.offered(person, vendor)
    await person.accept(session)
    await table.carry(person, vendor)
    await late.cast()
    await table.carry(late, vendor)
    outcomes = await vendor.rows("SELECT outcome FROM answered ORDER BY outcome")
    assert [row["outcome"] for row in outcomes] == ["offered", "passed"]


async def test_thing_sold_while_a_person_was_asked_about_it_is_not_offered_after_the_answer(table: Table) -> None:
    """The vendor asks about the mileage, which its feed does not state, and meanwhile sells the car to another."""
    vendor, person = await table.vendor(), await table.person()
    curious = Buyer(
        "curious",
        table.clock.now,
        constraints=[{"path": "itemOffered.mileageFromOdometer", "op": "le", "value": "90000", "unitCode": "KMT",
                      "strength": "must", "onUnknown": "ask"}],
    )  # fmt: skip
    await vendor.hear(curious.record)
    (question,) = await offers_to(vendor, curious)
    assert question.type == "question"
    _, (session,) = await table.offered(person, vendor)
    await person.accept(session)
    await table.carry(person, vendor)
    assert await vendor.state(session) == "agreed"
    await vendor.sent()
    await vendor.take(curious.say(question, "answer", {"re": question.id, "text": "never mind"}))
    (answer,) = await offers_to(vendor, curious)
    assert (answer.type, answer.body["code"]) == ("decline", "refused.stock.gone")


async def test_accept_that_comes_again_is_confirmed_once(table: Table) -> None:
    vendor, person = await table.vendor(quantity=5), await table.person()
    _, (session,) = await table.offered(person, vendor)
    await person.accept(session)
    (envelope,) = await person.sent()
    for _ in range(2):
        await vendor.take(envelope)
    assert (await vendor.count("reservation"), await vendor.count("agreement")) == (1, 1)


async def test_accept_after_its_deadline_is_not_confirmed(table: Table) -> None:
    vendor, person = await table.vendor(), await table.person()
    _, (session,) = await table.offered(person, vendor)
    accept = await person.accept(session)
    table.clock.now += desk.CONFIRM_WITHIN + 1
    await table.carry(person, vendor)
    assert (await vendor.count("reservation"), await vendor.count("agreement")) == (0, 0)
    last = (await vendor.messages(session))[-1]
    assert (last.type, last.body["code"], last.body["re"]) == ("problem", "refused.offer.late", accept.id)


# A person in the test's hand


class Buyer:
    """A person whose every message can be bent."""

    def __init__(self, name: str, now: int, **changes: Any) -> None:
        self.seed = seed(name)
        self.offer_key = seal_key()
        self.clock_now = now
        self.seq, self.last = 0, None
        self.keys: list[SealKey] = [self.offer_key]
        relays = changes.pop("relays", [RELAY])
        reply = {"offerKey": changes.pop("offer_key", self.offer_key.public), "relays": relays}
        body = demand_body(constraints=[], admit=["stamp:4"], replyTo=reply) | changes
        del body["areaServed"]
        self.record = sign("demand", self.seed, body, created=now, expires=now + 86_400)

    @property
    def demand(self) -> Demand:
        return read_demand(self.record)

    def open(self, records: list[Any]) -> list[Verified]:
        """Open what was sent to this person."""
        opened = []
        for envelope in map(verify, records):
            if envelope.type == "sealed" and envelope.to == self.record.author:
                (key,) = [key for key in self.keys if key.public == envelope.body["key"]]
                opened.append(verify(unseal(envelope, key)))
        return opened

    def say(self, to: Verified, kind: str, body: dict[str, Any], **fields: Any) -> Verified:
        """Sign the next message in the session of a vendor's message and seal it to that message's reply key."""
        now = self.clock_now
        self.keys.append(seal_key())
        usual = {"created": now, "expires": now + 3_600, "to": to.author, "session": to.session,
                 "seq": self.seq + 1, "prev": self.last}  # fmt: skip
        inner = sign(kind, self.seed, body | {"reply": self.keys[-1].public}, **(usual | fields))
        self.seq, self.last = inner.seq or 0, inner.id
        return seal(inner.record, seed=self.seed, to=to.session or b"", key=to.body["reply"], created=now,
                    expires=now + 86_400)  # fmt: skip


async def offers_to(vendor: Any, buyer: Buyer) -> list[Verified]:
    return buyer.open(await vendor.sent())


async def test_accept_withdrawn_before_it_was_read_is_not_confirmed(table: Table) -> None:
    """The withdrawal is dated ahead and arrives first; both are processed at once, and nothing is signed after it."""
    vendor, buyer = await table.vendor(), Buyer("buyer", table.clock.now)
    await vendor.hear(buyer.record)
    (offer,) = await offers_to(vendor, buyer)
    accept = buyer.say(offer, "accept", {"demand": buyer.demand.id, "offer": offer.id})
    ahead = table.clock.now + 3_600 + 121
    withdraw = buyer.say(offer, "withdraw", {"re": buyer.last}, created=ahead, expires=ahead + 60)
    await vendor.take(withdraw)
    await vendor.take(accept)
    assert await vendor.state(offer.session) == "withdrawn"
    assert (await vendor.count("reservation"), await vendor.count("agreement")) == (0, 0)
    assert "confirm" not in [message.type for message in await vendor.messages()]


async def test_vendor_s_mailbox_takes_no_first_message_from_a_stranger(table: Table) -> None:
    vendor, buyer = await table.vendor(), Buyer("buyer", table.clock.now)
    await vendor.hear(buyer.record)
    (offer,) = await offers_to(vendor, buyer)
    stranger = Buyer("stranger", table.clock.now)
    opened = await vendor.take(stranger.say(offer, "accept", {"demand": buyer.demand.id, "offer": offer.id}))
    assert opened.code == "invalid.record.recipient"
    assert await vendor.state(offer.session) == "offered"
    assert await vendor.count("reservation") == 0


# Each demand once


async def test_demand_seen_on_two_relays_is_answered_once_at_both(table: Table) -> None:
    vendor = await table.vendor(relays=(RELAY, OTHER))
    buyer = Buyer("buyer", table.clock.now, relays=[RELAY, OTHER])
    await vendor.hear(buyer.record, relay=RELAY)
    await vendor.hear(buyer.record, relay=OTHER)
    assert (await vendor.count("session"), await vendor.count("message")) == (1, 1)
    first, second = [[verify(one) for one in await vendor.sent(relay)] for relay in (RELAY, OTHER)]
    assert [one.id for one in first] == [one.id for one in second]
    assert len(buyer.open([one.record for one in first])) == 1


async def test_no_more_sessions_are_opened_than_the_policy_says(table: Table) -> None:
    vendor = await table.vendor(policy="max_open = 2\n")
    buyers = [Buyer(f"buyer-{number}", table.clock.now) for number in range(3)]
    for buyer in buyers:
        await vendor.hear(buyer.record)
    assert await vendor.count("session") == 2
    (row,) = await vendor.rows("SELECT * FROM answered WHERE outcome = 'passed'")
    assert (row["demand"], row["reason"]) == (buyers[2].demand.id, "too many open sessions")


async def test_ended_sessions_make_room_for_new_ones(table: Table) -> None:
    vendor = await table.vendor(policy="max_open = 1\n")
    first, second = Buyer("first", table.clock.now), Buyer("second", table.clock.now)
    await vendor.hear(first.record)
    (offer,) = await offers_to(vendor, first)
    await vendor.take(first.say(offer, "decline", {}))
    await vendor.hear(second.record)
    assert len(await offers_to(vendor, second)) == 1


async def test_delayed_answer_survives_a_restart_and_is_given_once(table: Table) -> None:
    buyer = Buyer("buyer", table.clock.now)
    async with AsyncExitStack() as life:
        vendor = await table.vendor(policy='delay = "10m"\n', stack=life)
        await vendor.hear(buyer.record)
        assert await offers_to(vendor, buyer) == []
    vendor = await table.vendor()
    await vendor.hear(buyer.record)
    table.clock.now += 599
    await vendor.agent.turn_clock(table.clock.now)
    assert await vendor.count("session") == 0
    table.clock.now += 1
    for _ in range(2):
        await vendor.agent.turn_clock(table.clock.now)
    assert [offer.type for offer in await offers_to(vendor, buyer)] == ["offer"]
    assert await vendor.rows("SELECT outcome FROM answered") == [{"outcome": "offered"}]


async def test_delayed_answer_waits_while_the_vendor_is_not_at_work(table: Table) -> None:
    buyer = Buyer("buyer", table.clock.now)
    vendor = await table.vendor(policy='delay = "10m"\n')
    await vendor.hear(buyer.record)
    bot, vendor.agent.responder = vendor.agent.responder, None
    table.clock.now += 600
    await vendor.agent.turn_clock(table.clock.now)
    vendor.agent.responder = bot
    table.clock.now += 60
    await vendor.agent.turn_clock(table.clock.now)
    assert [offer.type for offer in await offers_to(vendor, buyer)] == ["offer"]


# No stranger can stop the bot


HOSTILE: dict[str, dict[str, Any]] = {
    "offer-key-of-zeros": {"offer_key": bytes(32)},
    "low-order-offer-key": {"offer_key": b"\1" + bytes(31)},
    "stamp-of-a-day": {"admit": ["stamp:28"]},
    "no-way-in": {"admit": []},
    "relays-elsewhere": {"relays": ["ws://192.0.2.1:80"]},
    "no-item": {"itemOffered": None},
    "terms-unknown": {"terms": {"profile": "ieee-7012", "deal": []}},
}


@pytest.mark.parametrize("fault", HOSTILE)
async def test_hostile_demand_does_not_keep_the_next_one_from_its_answer(table: Table, fault: str) -> None:
    vendor = await table.vendor()
    hostile, honest = Buyer("hostile", table.clock.now, **HOSTILE[fault]), Buyer("honest", table.clock.now)
    await vendor.hear(hostile.record, honest.record)
    sent = await vendor.sent()
    assert [offer.type for offer in honest.open(sent)] == ["offer"]
    assert [verify(one) for one in sent if verify(one).to == hostile.record.author] == []
    assert await vendor.agent.outbox.next_due(b"", RELAY) is None


async def test_fault_of_ours_in_answering_one_demand_does_not_keep_the_next_from_its_answer(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = await table.vendor()
    odd, honest = Buyer("odd", table.clock.now), Buyer("honest", table.clock.now)
    quote = room.best_quote

    def stumble(policy: Any, stock: Any, demand: Demand, *rest: Any) -> Any:
        if demand.author == odd.demand.author:
            raise RuntimeError("a bug")
        return quote(policy, stock, demand, *rest)

    monkeypatch.setattr(room, "best_quote", stumble)
    await vendor.hear(odd.record, honest.record)
    assert [offer.type for offer in await offers_to(vendor, honest)] == ["offer"]
    (row,) = await vendor.rows("SELECT * FROM answered WHERE outcome = 'passed'")
    assert row["demand"] == odd.demand.id
    assert await vendor.count("session") == 1, "what it had begun for the odd one is undone"


async def test_spoilt_copy_of_a_demand_does_not_keep_the_good_one_from_its_answer(table: Table) -> None:
    vendor, buyer = await table.vendor(), Buyer("buyer", table.clock.now)
    spoilt = type(buyer.record.record)(buyer.record.record.payload, bytes(64))
    await vendor.hear(spoilt, buyer.record)
    assert len(await offers_to(vendor, buyer)) == 1


async def test_expired_demand_is_not_answered(table: Table) -> None:
    vendor, buyer = await table.vendor(), Buyer("buyer", table.clock.now)
    table.clock.now += 86_400
    await vendor.hear(buyer.record)
    assert await vendor.count("session") == 0


# Over real relays


async def publish(url: str, *records: Verified) -> None:
    async with aiohttp.ClientSession() as http:
        link = await open_link(http, url)
        try:
            for record in records:
                await link.publish(record.record)
        finally:
            await link.close()


@asynccontextmanager
async def at_work(table: Table, url: str, **named: Any) -> Any:
    """Let a vendor work online for the length of a block, by the real clock."""
    async with AsyncExitStack() as life:
        vendor = await table.vendor(relays=(url,), stack=life, **named)
        vendor.agent.responder = None
        del vendor.agent.now
        await vendor.agent.go_online()
        yield vendor


async def heard(vendor: Any, *buyers: Buyer) -> None:
    """Wait until each of these demands was heard, and the place of the last of them kept."""

    async def all_of_them() -> bool:
        known = {row["demand"] for row in await vendor.rows("SELECT demand FROM answered")}
        if not {buyer.record.id for buyer in buyers} <= known:
            return False
        return await vendor.rows("SELECT 1 FROM place WHERE seq >= ?", len(buyers)) != []

    assert await vendor.agent.until(all_of_them, 10)


async def test_restarted_vendor_reads_on_from_its_place_and_misses_nothing(
    table: Table, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear, told = room.Responder._on_public, set()

    async def listening(self: Any, relay: str, records: Any) -> None:
        told.update(record.id for _, record in records)
        await hear(self, relay, records)

    monkeypatch.setattr(room.Responder, "_on_public", listening)
    async with running(Config(listen="127.0.0.1:0", database=tmp_path / "relay.db")) as relay:
        url = relay.config.url
        now = relay._clock()
        buyers = [Buyer(f"buyer-{number}", now, relays=[url]) for number in range(4)]
        async with at_work(table, url, quantity=9) as vendor:
            await publish(url, buyers[0].record)
            await heard(vendor, buyers[0])
            (before,) = await vendor.rows("SELECT epoch, seq FROM place")
        assert told == {buyers[0].record.id}
        told.clear()
        await publish(url, buyers[1].record, buyers[2].record)
        async with at_work(table, url) as vendor:
            await heard(vendor, *buyers[1:3])
            await publish(url, buyers[3].record)
            await heard(vendor, *buyers)
            (after,) = await vendor.rows("SELECT epoch, seq FROM place")
            assert await vendor.count("session") == 4
            assert await vendor.count("message") == 4
        assert (after["epoch"], after["seq"] > before["seq"]) == (before["epoch"], True)
        assert told == {buyer.record.id for buyer in buyers[1:]}, "what was heard before is not sent again"


async def test_vendor_that_now_sells_something_else_reads_from_the_start_again(table: Table, tmp_path: Any) -> None:
    """The place was reached while listening for less; what was passed over then may be wanted now."""
    async with running(Config(listen="127.0.0.1:0", database=tmp_path / "relay.db")) as relay:
        url = relay.config.url
        buyer, other = [
            Buyer(name, relay._clock(), relays=[url], itemOffered={"@type": "Car", "category": category})
            for name, category in (("buyer", CARS), ("other", "services/telecom/mobile-plans"))
        ]
        await publish(url, other.record, buyer.record)
        async with at_work(table, url) as vendor:
            await heard(vendor, buyer)
            assert await vendor.agent.catch_up(5) == ()
            policy = vendor.home.config.with_name("policy.toml")
        policy.write_text(policy.read_text() + 'categories = ["services/telecom"]\n')
        async with at_work(table, url) as vendor:
            await heard(vendor, buyer, other)
            assert await vendor.count("session") == 1


async def test_relay_that_only_a_demand_names_is_never_dialled(table: Table, tmp_path: Any) -> None:
    """A demand is a stranger's word: were its relays dialled, anyone could aim this bot at any address."""
    dialled: list[object] = []

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    trap = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, running(Config(listen="127.0.0.1:0", database=tmp_path / "relay.db")) as relay:
        url = relay.config.url
        both = Buyer("both", relay._clock(), relays=[trap, url])
        elsewhere = Buyer("elsewhere", relay._clock(), relays=[trap])
        await publish(url, both.record, elsewhere.record)
        async with at_work(table, url) as vendor:
            await heard(vendor, both, elsewhere)

            async def delivered() -> bool:
                return await vendor.rows("SELECT 1 FROM delivery WHERE state = 'queued'") == []

            assert await vendor.agent.until(delivered, 10)
            assert {row["relay"] for row in await vendor.rows("SELECT relay FROM delivery")} == {url}
            assert {courier.relay for courier in vendor.agent.pool.couriers()} == {url}
            outcomes = {row["demand"]: row["outcome"] for row in await vendor.rows("SELECT * FROM answered")}
            assert outcomes == {both.record.id: "offered", elsewhere.record.id: "passed"}
    assert dialled == []
