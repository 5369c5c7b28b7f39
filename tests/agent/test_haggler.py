"""Haggling at work over real stores and real bots: durable, within the mandate, handed back where a clause says so."""

from typing import Any

import pytest
from intentcast_agent.person import docket
from intentcast_agent.person.draft import DraftError
from intentcast_agent.service import Service
from intentcast_protocol.errors import StateError

Table = Any  # the fixtures are conftest.py's
AUTO = """\
most = "{most} EUR"
rounds = 5
within = "10m"
witnesses = 0
[acts]
accept = "auto"
"""


async def begin(person: Any, mandate: str = "", most: int = 17_900) -> Any:
    """Give the mandate and let the listening time pass."""
    person.agent.online = True  # the table carries; nothing here dials
    service = Service(person.agent)
    await service.haggle_begin("d1", mandate or AUTO.format(most=most))
    person.clock.now += 120
    return service


async def haggle(table: Table, person: Any, *vendors: Any) -> None:
    """Let the person's agent take turns and carry what is said, until nobody has anything to say."""
    for _ in range(60):
        await person.agent.haggler.take_turns()
        before = [await one.count("message") for one in (person, *vendors)]
        for vendor in vendors:
            await table.carry(vendor, person)
        for record in await person.sent():
            for vendor in vendors:
                if await vendor.rows("SELECT 1 FROM session"):
                    await vendor.take(record)
        for vendor in vendors:
            await table.carry(vendor, person)
        if before == [await one.count("message") for one in (person, *vendors)]:
            return
        table.clock.now += 1
    raise AssertionError("it never came to rest")


async def test_it_haggles_with_all_vendors_and_agrees_with_the_best(table: Table) -> None:
    person = await table.person()
    vendors = [await table.vendor("Nordwind", price="18000.00"), await table.vendor("Südwind", price="17000.00")]
    demand, sessions = await table.offered(person, *vendors)
    service = await begin(person)
    await haggle(table, person, *vendors)
    assert [await person.state(one) for one in sessions][1] == "agreed"
    view = await service.haggle_view("d1")
    assert view["state"] == "agreed"
    accepts = [one for one in view["acts"] if one["kind"] == "accept"]
    assert [(one["decision"], one["clause"]) for one in accepts] == [("allowed", "acts.accept")]
    assert all(one["clause"] == "acts.counter" for one in view["acts"] if one["kind"] == "counter")
    agreed = float(view["threads"][1]["said"][-1]["total"])
    assert agreed < 17_000
    assert demand.id


async def test_what_the_mandate_leaves_to_the_person_is_handed_back(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor)
    service = await begin(person, AUTO.format(most=17_900).replace('accept = "auto"', 'accept = "person"'))
    await haggle(table, person, vendor)
    view = await service.haggle_view("d1")
    assert (view["state"], view["offer"]) == ("yours", "o1")
    assert await person.state(session) == "offered"
    assert "o1" in (await service.status())["needs_you"]
    await person.accept(session)


async def test_no_offer_within_the_mandate_ends_the_work_without_a_deal(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor)
    service = await begin(person, most=9_000)
    await haggle(table, person, vendor)
    table.clock.now += 600
    await person.agent.haggler.take_turns()
    view = await service.haggle_view("d1")
    assert view["state"] == "ended"
    assert not [one for one in view["acts"] if one["kind"] == "accept"]
    assert await person.state(session) in ("offered", "countered")


async def test_a_stopped_mandate_allows_nothing_more(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    await table.offered(person, vendor)
    service = await begin(person)
    await service.haggle_stop("d1")
    before = await person.count("message")
    await person.agent.haggler.take_turns()
    assert await person.count("message") == before
    assert (await service.haggle_view("d1"))["state"] == "stopped"


async def test_an_act_and_its_log_are_one_transaction(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the log cannot be written nothing was signed; the next turn signs it once."""
    person, vendor = await table.person(), await table.vendor()
    await table.offered(person, vendor)
    await begin(person)
    note = docket.note

    async def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("the power fails")

    monkeypatch.setattr(docket, "note", fails)
    before = await person.count("message")
    with pytest.raises(RuntimeError):
        await person.agent.haggler.take_turns()
    assert await person.count("message") == before
    monkeypatch.setattr(docket, "note", note)
    await person.agent.haggler.take_turns()
    assert await person.count("message") == before + 1
    assert await person.count("act") == 1


async def test_a_turn_is_not_taken_twice(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    await table.offered(person, vendor)
    await begin(person)
    for _ in range(3):
        await person.agent.haggler.take_turns()
    assert [one.type for one in await person.messages()].count("counter") == 1


async def test_the_mandate_is_sealed_in_the_store(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    await table.offered(person, vendor)
    await begin(person, most=17_321)
    await haggle(table, person, vendor)
    rows = await person.rows("SELECT * FROM mandate") + await person.rows("SELECT * FROM act")
    cells = [value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row.values()]
    assert not any(b"17321" in cell or b"17 321" in cell for cell in cells)


async def test_a_mandate_with_a_typo_is_refused_and_nothing_is_kept(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    await table.offered(person, vendor)
    service = Service(person.agent)
    with pytest.raises(DraftError, match="most"):
        await service.haggle_begin("d1", 'mots = "17900 EUR"')
    with pytest.raises(DraftError, match="strategy"):
        await service.haggle_begin("d1", AUTO.format(most=17_900), strategy="clever")
    with pytest.raises(StateError):
        await service.haggle_view("d1")
    assert await person.count("mandate") == 0


async def test_a_closed_demand_is_not_haggled_over(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    demand, _ = await table.offered(person, vendor)
    service = await begin(person)
    await person.withdraw(demand)
    await person.agent.haggler.take_turns()
    assert (await service.haggle_view("d1"))["state"] == "ended"
    with pytest.raises(StateError):
        await service.haggle_begin("d1", AUTO.format(most=17_900))


async def test_a_draft_of_a_mandate_is_one(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    await table.offered(person, vendor)
    service = Service(person.agent)
    person.agent.online = True
    text = (await service.mandate_draft("d1"))["text"]
    assert "20000.00 EUR" in text
    assert (await service.haggle_begin("d1", text))["state"] == "at work"
