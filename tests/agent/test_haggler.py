"""Haggling at work over real stores and real bots: durable, within the mandate, handed back where a clause says so."""

from typing import Any

import pytest
from intentcast_agent.cli.haggle import news
from intentcast_agent.person import docket
from intentcast_agent.person.draft import DraftError
from intentcast_agent.service import Service
from intentcast_protocol.errors import StateError
from intentcast_protocol.limits import ACCEPT_GRACE

RELAY = "ws://127.0.0.1:1"
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
    _, sessions = await table.offered(person, *vendors)
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
    for _ in range(3):
        await table.carry(person, vendor)
        await table.carry(vendor, person)
    view = await service.haggle_view("d1")
    assert (view["state"], view["reason"]) == ("agreed", "")


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
    demand, _ = await table.offered(person, vendor)
    await begin(person)
    note = docket.note

    async def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("the power fails")

    monkeypatch.setattr(docket, "note", fails)
    before = await person.count("message")
    with pytest.raises(RuntimeError):
        await person.agent.haggler.take_turn(demand.id)
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


async def meet(table: Table, person: Any, *names: str) -> list[Any]:
    """Cast a demand; return vendors in the test's own hand."""
    demand = await person.cast()
    await person.sent()
    return [table.forger(demand, name) for name in names]


async def said(person: Any, session: bytes, kind: str) -> list[Any]:
    return [one for one in await person.messages(session) if one.type == kind]


async def test_an_offer_that_no_counter_fits_holds_up_nobody_else(table: Table) -> None:
    """A counter repeats the offer's item and spells its price out: one offer can be too large to be countered."""
    person = await table.person()
    odd, fine = await meet(table, person, "Odd", "Fine")
    parts = [{"kind": "price", "name": "Price", "price": "17869.00"}]
    parts += [{"kind": "fee", "name": f"Fee {at}", "price": "1.00"} for at in range(31)]
    price = {"price": "17900.00", "priceCurrency": "EUR", "priceComponent": parts}
    item = {**odd.offer_body()["itemOffered"], "additionalProperty": [1] * 1_759}
    await person.take(odd.seal(odd.offer(priceSpecification=price, itemOffered=item)))
    await person.take(fine.seal(fine.offer()))
    service = await begin(person)
    await person.agent.haggler.take_turns()
    assert len(await said(person, fine.session, "counter")) == 1
    (act,) = [one for one in (await service.haggle_view("d1"))["acts"] if one["offer"] == "o1"]
    assert (act["decision"], act["clause"]) == ("denied", "counter")
    assert "2048" in act["why"]


async def test_a_session_that_a_backup_left_incomplete_says_nothing_until_it_is_whole(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor)
    await begin(person)
    for restoring in (1, 0):
        async with person.store.transaction() as tx:
            await tx.run("UPDATE session SET restoring = ? WHERE key = ?", restoring, session)
        await person.agent.haggler.take_turns()
        assert len(await said(person, session, "counter")) == 1 - restoring


async def test_a_demand_that_cannot_be_read_holds_up_no_other(table: Table) -> None:
    person = await table.person()
    demands = []
    for number in (1, 2):
        (vendor,) = await meet(table, person, f"Shop {number}")
        await person.take(vendor.seal(vendor.offer()))
        demands.append(vendor)
    service = await begin(person)
    await service.haggle_begin("d2", AUTO.format(most=17_900))
    table.clock.now += 120
    first, second = sorted(demands, key=lambda one: one.demand.id)  # turns are taken in this order
    async with person.store.transaction() as tx:
        await tx.run("UPDATE message SET record = zeroblob(10) WHERE session = ?", first.session)
    with pytest.raises(ExceptionGroup, match="could not be haggled over"):
        await person.agent.haggler.take_turns()
    rows = await person.rows("SELECT type FROM message WHERE session = ?", second.session)
    assert "counter" in {row["type"] for row in rows}


async def test_a_clock_that_is_set_back_never_accepts_what_was_not_checked(table: Table) -> None:
    person = await table.person()
    (vendor,) = await meet(table, person, "Shop")
    await person.take(vendor.seal(vendor.offer("15000.00")))
    table.clock.now -= 60
    await person.take(vendor.seal(vendor.offer("19900.00")))
    service = await begin(person, most=16_000)
    table.clock.now += 600
    await person.agent.haggler.take_turns()
    assert not await said(person, vendor.session, "accept")
    assert (await service.haggle_view("d1"))["state"] == "ended"


async def test_offers_that_replace_each_other_unanswered_are_one(table: Table) -> None:
    person = await table.person()
    (vendor,) = await meet(table, person, "Shop")
    for total in (17_900, 17_800, 17_700):
        await person.take(vendor.seal(vendor.offer(f"{total}.00")))
    service = await begin(person)
    (thread,) = (await service.haggle_view("d1"))["threads"]
    assert [one["total"] for one in thread["said"]] == ["17700.00"]


LONG = AUTO.replace("10m", "4h").replace("rounds = 5", "rounds = 0")


async def test_an_accept_that_nobody_confirms_gives_way_to_the_next_best(table: Table) -> None:
    person = await table.person()
    best, next_best = await meet(table, person, "Best", "Next")
    await person.take(best.seal(best.offer("16000.00")))
    await person.take(next_best.seal(next_best.offer("16500.00")))
    service = await begin(person, LONG.format(most=17_900))
    await person.agent.haggler.take_turns()
    (accept,) = await said(person, best.session, "accept")
    person.agent.catch_up = nothing_unread
    for table.clock.now in (accept.expires, accept.expires + 60, accept.expires + ACCEPT_GRACE):
        await person.agent.haggler.take_turns()
        assert (await service.haggle_view("d1"))["state"] == "at work"
        assert not await said(person, next_best.session, "accept")
    table.clock.now += 1
    await person.agent.haggler.take_turns()
    assert await person.state(best.session) == "withdrawn"
    assert await person.state(next_best.session) == "accepted"


async def test_a_relay_that_cannot_be_read_hands_the_second_accept_to_the_person(table: Table) -> None:
    person = await table.person()
    best, next_best = await meet(table, person, "Best", "Next")
    await person.take(best.seal(best.offer("16000.00")))
    await person.take(next_best.seal(next_best.offer("16500.00")))
    service = await begin(person, LONG.format(most=17_900))
    await person.agent.haggler.take_turns()
    (accept,) = await said(person, best.session, "accept")
    person.agent.catch_up = first_relay_unread
    table.clock.now = accept.expires + ACCEPT_GRACE + 1
    await person.agent.haggler.take_turns()
    view = await service.haggle_view("d1")
    assert (view["state"], view["offer"]) == ("yours", "o2")
    assert "--anyway" in view["reason"]
    assert await person.state(next_best.session) == "offered"


async def test_work_that_ends_on_an_accept_never_confirmed_says_so(table: Table) -> None:
    person = await table.person()
    (vendor,) = await meet(table, person, "Autohof")
    await person.take(vendor.seal(vendor.offer("16000.00")))
    service = await begin(person)
    person.agent.catch_up = nothing_unread
    await person.agent.haggler.take_turns()
    table.clock.now += 4_000
    await person.agent.haggler.take_turns()
    table.clock.now += 4_000
    await person.agent.haggler.take_turns()
    view = await service.haggle_view("d1")
    assert view["state"] == "ended"
    assert "Autohof has not confirmed your accept" in view["reason"]


async def test_an_accept_that_the_vendor_withdraws_lets_the_work_go_on(table: Table) -> None:
    person = await table.person()
    best, next_best = await meet(table, person, "Best", "Next")
    offer = best.offer("16000.00")
    await person.take(best.seal(offer))
    await person.take(next_best.seal(next_best.offer("16500.00")))
    await begin(person, LONG.format(most=17_900))
    await person.agent.haggler.take_turns()
    best.to_key = (await said(person, best.session, "accept"))[0].body["reply"]
    await person.take(best.seal(best.say("withdraw", {"re": offer.id})))
    await person.agent.haggler.take_turns()
    assert await person.state(best.session) == "withdrawn"
    assert await person.state(next_best.session) == "accepted"


async def nothing_unread(_within: float = 3.0) -> tuple[str, ...]:
    return ()


async def first_relay_unread(_within: float = 3.0) -> tuple[str, ...]:
    return (RELAY,)


def test_news_tells_an_offer_that_replaced_one_unanswered() -> None:
    told = set[tuple[Any, ...]]()

    def tell(total: str) -> list[str]:
        one = {"from": "vendor", "total": total, "currency": "EUR", "conditions": {}}
        return list(news({"threads": [{"offer": "o1", "vendor": "Shop", "said": [one], "accepted": False}]}, told))

    assert [len(tell(total)) for total in ("17900.00", "17900.00", "17400.00", "17400.00")] == [1, 0, 1, 0]


async def test_a_vendor_that_answers_an_accept_with_a_dearer_offer_is_left_to_the_person(table: Table) -> None:
    person = await table.person()
    demand = await person.cast()
    await person.sent()
    shop = table.forger(demand)
    await person.take(shop.seal(shop.offer("15000.00")))
    service = await begin(person, AUTO.format(most=17_900).replace("rounds = 5", "rounds = 0"))
    await person.agent.haggler.take_turns()
    assert await person.state(shop.session) == "accepted"
    await person.take(shop.seal(shop.offer("15500.00")))
    await person.agent.haggler.take_turns()
    view = await service.haggle_view("d1")
    assert (view["state"], view["offer"]) == ("yours", "o1")
    assert "dearer" in view["reason"]
    assert await person.state(shop.session) == "offered"
