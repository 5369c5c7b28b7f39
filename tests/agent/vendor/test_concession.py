"""Haggling through the store: a restarted bot goes on as before, and sessions side by side overdraw no budget."""

import shutil
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from intentcast_agent.dialogue import say
from intentcast_agent.vendor import concession
from intentcast_agent.vendor.policy import Policy, read_policy
from intentcast_protocol.conditions import Choices, Conditions
from intentcast_protocol.offer import Offer, read_offer

Table = Any  # the fixtures are conftest.py's
LIST = Decimal("18000.00")
POLICY = """
name = "vendor"
currency = "EUR"
floor = "80%"
strategy = "linear"
validity = "3h"
rounds = 5
"""
MENU = """
warranty = {costs = {"12 months" = "0.00", "24 months" = "180.00"}, first = "24 months"}
extras = {costs = {"Winter tyres" = "240.00"}}
"""
BUDGET = 'concession_budget = {amount = "2500.00", within = "7d"}'


async def seat(table: Table, policy: str = POLICY, name: str = "vendor", stack: AsyncExitStack | None = None) -> Any:
    vendor = await table.vendor(name, quantity=9, stack=stack)
    vendor.responder.policy = read_policy(policy)
    return vendor


async def last_offer(vendor: Any, session: bytes) -> Offer:
    return read_offer([one for one in await vendor.messages(session) if one.type == "offer"][-1])


async def haggle(table: Table, vendor: Any, person: Any, session: bytes, *totals: str) -> Offer:
    """Counter with each total, and return the vendor's last offer."""
    for total in totals:
        await person.counter(session, total)
        await table.carry(person, vendor)
        await table.carry(vendor, person)
    return await last_offer(vendor, session)


async def left(vendor: Any, policy: Policy, now: int, session: bytes = b"") -> Decimal | None:
    async with vendor.store.reading() as tx:
        return await concession.left(tx, policy, now, session)


async def test_offer_states_its_conditions_and_what_else_there_is_to_choose(table: Table) -> None:
    vendor, person = await seat(table, POLICY + MENU), await table.person()
    _, (session,) = await table.offered(person, vendor)
    offer = await last_offer(vendor, session)
    assert offer.conditions == Conditions(None, 24)
    assert offer.choices == Choices((), (12, 24), ("Winter tyres",))
    offer = await haggle(table, vendor, person, session, "16000.00")
    assert offer.conditions == Conditions(None, 24)
    assert offer.price.total < LIST


async def test_offer_without_choices_says_nothing_of_any(table: Table) -> None:
    vendor, person = await seat(table), await table.person()
    _, (session,) = await table.offered(person, vendor)
    (message,) = await vendor.messages(session)
    assert not {"negotiable", "deliveryLeadTime", "warranty", "addOn"} & set(message.body)


async def test_bot_answers_the_same_after_a_restart_as_without_one(table: Table, tmp_path: Path) -> None:
    """Two copies of one home, closed in the middle of a bargain, go on alike."""
    person = await table.person()
    async with AsyncExitStack() as life:
        vendor = await seat(table, stack=life)
        _, (session,) = await table.offered(person, vendor)
        before = await haggle(table, vendor, person, session, "15000.00", "15300.00")
    shutil.copytree(tmp_path / "vendor", tmp_path / "twin")
    twins = [await seat(table, name=name) for name in ("vendor", "twin")]
    await person.counter(session, "15301.00")
    (envelope,) = await person.sent()
    totals = []
    for twin in twins:
        await twin.take(envelope)
        totals.append((await last_offer(twin, session)).price.total)
    assert totals[0] == totals[1] < before.price.total


async def test_two_sessions_about_one_item_are_not_answered_alike(table: Table) -> None:
    vendor = await seat(table)
    totals = set()
    for name in ("one", "two", "three"):
        person = await table.person(name)
        _, (session,) = await table.offered(person, vendor)
        totals.add((await haggle(table, vendor, person, session, "15000.00")).price.total)
    assert len(totals) == 3


@pytest.mark.parametrize("budget", ["", BUDGET], ids=["no budget", "budget"])
async def test_sessions_side_by_side_overdraw_no_budget_there_is(table: Table, budget: str) -> None:
    policy = read_policy(POLICY + budget)
    vendor = await seat(table, POLICY + budget)
    given: dict[bytes, Decimal] = {}
    for number in range(4):
        person = await table.person(f"person-{number}")
        _, (session,) = await table.offered(person, vendor)
        for total in ("15000.00", "15100.00", "15200.00"):
            given[session] = LIST - (await haggle(table, vendor, person, session, total)).price.total
            if budget:
                assert await left(vendor, policy, table.clock.now) == 2_500 - sum(given.values())
    assert (sum(given.values()) <= 2_500) == bool(budget)
    assert min(given.values()) > 0


async def test_lapsed_offers_give_their_share_back_and_deals_do_so_after_the_window(table: Table) -> None:
    policy = read_policy(POLICY + BUDGET)
    vendor = await seat(table, POLICY + BUDGET)
    buyer, other = await table.person("buyer"), await table.person("other")
    _, (sold,) = await table.offered(buyer, vendor)
    deal = LIST - (await haggle(table, vendor, buyer, sold, "17000.00")).price.total
    _, (lapsed,) = await table.offered(other, vendor)
    offer = LIST - (await haggle(table, vendor, other, lapsed, "17000.00")).price.total
    assert deal > 0 < offer
    await buyer.accept(sold)
    await table.carry(buyer, vendor)
    assert await vendor.state(sold) == "agreed"
    now = table.clock.now
    assert await left(vendor, policy, now) == 2_500 - deal - offer
    assert await left(vendor, policy, now, lapsed) == 2_500 - deal
    assert await left(vendor, policy, now + 3 * 3_600) == 2_500 - deal - offer
    assert await left(vendor, policy, now + 3 * 3_600 + 1) == 2_500 - deal
    assert await left(vendor, policy, now + 7 * 86_400 - 1) == 2_500 - deal
    assert await left(vendor, policy, now + 7 * 86_400) == 2_500
    assert await left(vendor, read_policy(POLICY), now) is None


async def test_declined_session_gives_its_share_back(table: Table) -> None:
    policy = read_policy(POLICY + BUDGET)
    vendor, person = await seat(table, POLICY + BUDGET), await table.person()
    _, (session,) = await table.offered(person, vendor)
    await haggle(table, vendor, person, session, "17000.00")
    assert (await left(vendor, policy, table.clock.now) or 0) < 2_500
    async with person.store.transaction() as tx:
        await say(tx, await person.dialogue(tx, session), "decline", {}, now=table.clock.now)
    await table.carry(person, vendor)
    assert await left(vendor, policy, table.clock.now) == 2_500


async def test_secrets_of_the_policy_are_in_no_byte_that_leaves(table: Table) -> None:
    """Floor, budget, costs and strategy are searched for in every message of a whole session."""
    policy = (POLICY + MENU + BUDGET).replace("80%", "81.37%").replace("180.00", "187.31").replace("2500.00", "2543.21")
    vendor, person = await seat(table, policy), await table.person()
    _, (session,) = await table.offered(person, vendor)
    await haggle(table, vendor, person, session, "15000.00", "15500.00", "16000.00")
    texts = "\n".join(repr(one.body) for one in await vendor.messages(session))
    assert "17000" in texts or "Discount" in texts
    for secret in ("81.37", "14646", "187.31", "240.00", "2543.21", "15456.79", "linear"):
        assert secret not in texts
