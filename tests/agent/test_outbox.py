"""What waits to go out: in order, tried again with patience, sealed anew when it has aged, and given up in the end."""

from typing import Any

import pytest
from intentcast_agent import outbox as room
from intentcast_agent.dialogue import queue
from intentcast_agent.outbox import Outbox, Parcel, carriage
from intentcast_protocol.limits import STAMP_AGE
from intentcast_protocol.record import parse, verify
from intentcast_protocol.sealing import check_stamp, unseal
from intentcast_protocol.testing import CARS

Table = Any  # the fixtures are conftest.py's
DOMAIN_OR_STAMP = f"""\
name = "A small car"
category = "{CARS}"
max_price = "20000 EUR"
admit = ["domain", "stamp:4"]
"""
RELAY, OTHER = "ws://127.0.0.1:1", "ws://127.0.0.1:2"


async def one_parcel(party: Any, relay: str = RELAY, lane: bytes | None = None) -> Parcel:
    """Return the only parcel that is due."""
    if lane is None:
        ((lane,),) = [tuple(row.values()) for row in await party.rows("SELECT DISTINCT lane FROM outbox")]
    (parcel,) = await party.agent.outbox.due(lane, relay, party.clock.now)
    return parcel


async def delivery(party: Any, number: int, relay: str = RELAY) -> dict[str, Any]:
    (row,) = await party.rows("SELECT * FROM delivery WHERE outbox = ? AND relay = ?", number, relay)
    return dict(row)


async def test_attempts_at_a_relay_that_refuses_for_a_while_come_further_and_further_apart(table: Table) -> None:
    person = await table.person()
    demand = await person.cast()
    waits = []
    for _ in range(9):
        parcel = await one_parcel(person)
        began = table.clock.now
        await person.agent.outbox.refused(parcel, RELAY, "refused.rate.exceeded", began)
        assert await person.agent.outbox.due(demand.author, RELAY, began) == []
        due = await person.agent.outbox.next_due(demand.author, RELAY)
        assert due is not None
        assert await person.agent.outbox.due(demand.author, RELAY, due - 1) == []
        waits.append(due - began)
        table.clock.now = due
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1, 900)


PASSING = sorted(room._PASSING)
FINAL = [
    "invalid.record.malformed", "invalid.record.signature", "refused.record.expired", "refused.record.withdrawn",
    "refused.record.replaced",
]  # fmt: skip


@pytest.mark.parametrize("code", PASSING)
async def test_refusal_that_may_pass_is_tried_again(table: Table, code: str) -> None:
    person = await table.person()
    await person.cast()
    parcel = await one_parcel(person)
    await person.agent.outbox.refused(parcel, RELAY, code, table.clock.now)
    assert (await delivery(person, parcel.outbox))["state"] == "queued"
    table.clock.now += 1
    assert (await one_parcel(person)).record == parcel.record


@pytest.mark.parametrize("code", FINAL)
async def test_refusal_for_good_is_not_tried_again_and_keeps_its_code(table: Table, code: str) -> None:
    person = await table.person()
    demand = await person.cast()
    parcel = await one_parcel(person)
    await person.agent.outbox.refused(parcel, RELAY, code, table.clock.now)
    row = await delivery(person, parcel.outbox)
    assert (row["state"], row["code"]) == ("failed", code)
    assert await person.agent.outbox.next_due(demand.author, RELAY) is None


async def test_refusal_by_one_relay_says_nothing_about_the_other(table: Table) -> None:
    person = await table.person()
    demand = await person.cast(relays=(RELAY, OTHER))
    parcel = await one_parcel(person)
    await person.agent.outbox.refused(parcel, RELAY, "refused.record.expired", table.clock.now)
    await person.agent.outbox.delivered((await one_parcel(person, OTHER)).outbox, OTHER)
    states = [(await delivery(person, parcel.outbox, relay))["state"] for relay in (RELAY, OTHER)]
    assert states == ["failed", "done"]
    assert await person.agent.outbox.waiting(demand.author) == 0


async def test_what_no_relay_takes_for_a_week_is_given_up(table: Table) -> None:
    person = await table.person()
    await person.cast()
    parcel = await one_parcel(person)
    last = table.clock.now + room.CARRIAGE
    await person.agent.outbox.refused(parcel, RELAY, "refused.mailbox.not-admitted", last - 1)
    assert (await delivery(person, parcel.outbox))["state"] == "queued"
    await person.agent.outbox.refused(parcel, RELAY, "refused.mailbox.not-admitted", last)
    row = await delivery(person, parcel.outbox)
    assert (row["state"], row["code"]) == ("failed", "refused.mailbox.not-admitted")


async def test_records_leave_in_the_order_they_were_queued_and_each_lane_apart(table: Table) -> None:
    person = await table.person()
    first, second = await person.cast(), await person.cast()
    await person.withdraw(first)
    types = {
        demand.author: [
            parse(parcel.record).type for parcel in await person.agent.outbox.due(demand.author, RELAY, table.clock.now)
        ]
        for demand in (first, second)
    }
    assert types == {first.author: ["demand", "demand-withdraw"], second.author: ["demand"]}


async def test_more_than_a_page_is_delivered_page_by_page(table: Table) -> None:
    person = await table.person()
    demand = await person.cast()
    record = (await one_parcel(person)).record
    async with person.store.transaction() as tx:
        for _ in range(2 * room._PAGE):
            await queue(tx, demand.author, (RELAY,), record=record.encode(), now=table.clock.now)
    outbox, sizes = person.agent.outbox, []
    while parcels := await outbox.due(demand.author, RELAY, table.clock.now):
        sizes.append(len(parcels))
        for parcel in parcels:
            await outbox.delivered(parcel.outbox, RELAY)
    assert sizes == [room._PAGE, room._PAGE, 1]


async def test_message_is_sealed_once_for_all_relays(table: Table) -> None:
    vendor, person = await table.vendor(relays=(RELAY, OTHER)), await table.person()
    demand = await person.cast(relays=(RELAY, OTHER))
    (record,) = await person.sent()
    await vendor.hear(record)
    first, second = [await one_parcel(vendor, relay, b"") for relay in (RELAY, OTHER)]
    assert first == second
    async with vendor.store.reading() as tx:
        row = await tx.one("SELECT id FROM message")
        assert row is not None
        assert [one["state"] for one in await carriage(tx, row["id"])] == ["queued", "queued"]
    await vendor.agent.outbox.delivered(first.outbox, RELAY)
    async with vendor.store.reading() as tx:
        assert sorted(str(one["state"]) for one in await carriage(tx, row["id"])) == ["done", "queued"]
    assert verify(first.record).to == demand.author


async def test_envelope_gets_a_stamp_for_the_relay_that_wants_one_and_serves_the_others_with_it(table: Table) -> None:
    """The domain is proven at one relay only; what it got without a stamp is the same message all the same."""
    vendor, person = await table.vendor(relays=(RELAY, OTHER)), await table.person()
    await person.cast(DOMAIN_OR_STAMP, relays=(RELAY, OTHER))
    (record,) = await person.sent()
    await vendor.hear(record)
    outbox, now = vendor.agent.outbox, table.clock.now
    (plain,) = await outbox.due(b"", RELAY, now, domain=True)
    assert parse(plain.record).nonce is None
    (stamped,) = await outbox.due(b"", OTHER, now)
    assert check_stamp(parse(stamped.record), 4, now)
    (again,) = await outbox.due(b"", RELAY, now, domain=True)
    assert again.record == stamped.record
    assert [opened.types for opened in [await person.take(one.record) for one in (plain, stamped)] if opened] == [
        ("offer",), ()
    ]  # fmt: skip


async def test_stamp_is_made_anew_before_it_is_too_old_to_be_taken(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    await person.cast()
    (record,) = await person.sent()
    await vendor.hear(record)
    early = verify((await one_parcel(vendor)).record)
    assert check_stamp(early, 4, table.clock.now)
    table.clock.now += STAMP_AGE - 301
    assert (await one_parcel(vendor)).record == early.record
    table.clock.now += 1
    late = verify((await one_parcel(vendor)).record)
    assert late.id != early.id
    assert check_stamp(late, 4, table.clock.now)
    assert await vendor.count("message") == 1


async def test_only_the_first_message_of_a_session_is_stamped(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor)
    await person.counter(session, "17000.00")
    await table.carry(person, vendor)
    again = verify((await one_parcel(vendor)).record)
    assert again.nonce is None
    table.clock.now += STAMP_AGE
    assert (await one_parcel(vendor)).record == again.record


async def test_envelope_that_ended_on_its_way_is_sealed_anew_around_the_same_message(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer(life=9 * 86_400, expires=table.clock.now + 9 * 86_400)))
    await person.sent()
    counter = await person.counter(vendor.session, "17000.00")
    early = verify((await one_parcel(person)).record)
    table.clock.now = early.expires - 1
    assert (await one_parcel(person)).record == early.record
    table.clock.now += 1
    late = verify((await one_parcel(person)).record)
    assert late.id != early.id
    inside = [verify(unseal(envelope, vendor.replies[0])) for envelope in (early, late)]
    assert [message.id for message in inside] == [counter.id, counter.id]


async def test_restarted_outbox_sends_the_very_bytes_it_had_sealed(table: Table) -> None:
    """A relay that has them already knows them again; a new envelope would be stored beside the first."""
    person, vendor = await table.person(), await table.vendor()
    await person.cast()
    (record,) = await person.sent()
    await vendor.hear(record)
    before = await one_parcel(vendor)
    again = Outbox(vendor.store)
    assert await again.due(b"", RELAY, table.clock.now) == [before]


async def test_message_whose_demand_key_was_erased_is_given_up(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    await person.sent()
    await person.counter(vendor.session, "17000.00")
    async with person.store.transaction() as tx:
        await tx.run("UPDATE demand SET seed = NULL")
    lane = vendor.demand.author
    assert await person.agent.outbox.due(lane, RELAY, table.clock.now) == []
    assert await person.agent.outbox.next_due(lane, RELAY) is None
