"""The person's rules: one deal at a time, no word too much, nothing private too early. PROTOCOL §7.3, §8.3, §8.6"""

from typing import Any

import pytest
from intentcast_agent.person import desk
from intentcast_agent.service import Service
from intentcast_protocol.agreement import verify_agreement
from intentcast_protocol.errors import InvalidMessage, StateError
from intentcast_protocol.limits import ACCEPT_GRACE
from intentcast_protocol.record import parse, verify

Table = Any  # the fixtures are conftest.py's
CONTACT = {"name": "A. Person", "email": "person@mail.example", "postalCode": "3511 LX"}


async def two_offers(table: Table) -> tuple[Any, Any, Any]:
    """Return a person and two vendors in the test's hand who have offered."""
    person = await table.person()
    demand = await person.cast()
    vendors = [table.forger(demand, name) for name in ("First", "Second")]
    for vendor in vendors:
        await person.take(vendor.seal(vendor.offer()))
    return person, *vendors


async def give_contact(person: Any, contact: dict[str, str]) -> None:
    async with person.store.transaction() as tx:
        await tx.put_private("contact", contact)


def confirm(vendor: Any, accept: Any) -> Any:
    return vendor.say("confirm", {"accept": accept.id, "reply": vendor.replies[-1].public})


# One deal at a time


@pytest.mark.parametrize("seconds", [0, desk.CONFIRM_WITHIN, desk.CONFIRM_WITHIN + ACCEPT_GRACE])
async def test_second_accept_is_refused_while_the_first_may_still_be_confirmed(table: Table, seconds: int) -> None:
    person, first, second = await two_offers(table)
    await person.accept(first.session)
    table.clock.now += seconds
    with pytest.raises(StateError, match="First may still confirm"):
        await person.accept(second.session, anyway=True)
    assert await person.state(first.session) == "accepted"
    assert await person.state(second.session) == "offered"


async def test_first_accept_is_withdrawn_and_the_other_signed_once_deadline_and_grace_have_passed(table: Table) -> None:
    person, first, second = await two_offers(table)
    accept = await person.accept(first.session)
    table.clock.now += desk.CONFIRM_WITHIN + ACCEPT_GRACE + 1
    await person.accept(second.session)
    assert await person.state(first.session) == "withdrawn"
    assert await person.state(second.session) == "accepted"
    sent = await person.sent()
    told = first.open(sent)
    assert [(message.type, message.body.get("re")) for message in told][1:] == [("withdraw", accept.id)]
    assert [message.type for message in second.open(sent)] == ["accept"]


async def test_relay_that_could_not_be_read_keeps_the_first_accept_in_force(table: Table) -> None:
    """A confirm may lie on the relay that does not answer, so the person has to say that they go on anyway."""
    person, first, second = await two_offers(table)
    await person.accept(first.session)
    table.clock.now += desk.CONFIRM_WITHIN + ACCEPT_GRACE + 1
    with pytest.raises(StateError, match="anyway"):
        await person.accept(second.session, all_relays_read=False)
    assert await person.state(first.session) == "accepted"
    await person.accept(second.session, all_relays_read=False, anyway=True)
    assert await person.state(first.session) == "withdrawn"


async def test_refused_accept_leaves_the_earlier_one_as_it_was(table: Table) -> None:
    """The withdrawal of the first and the accept of the second stand or fall together."""
    person, first, second = await two_offers(table)
    await person.accept(first.session)
    await person.take(second.seal(second.say("withdraw", {"re": second.last})))
    await person.sent()
    table.clock.now += desk.CONFIRM_WITHIN + ACCEPT_GRACE + 1
    with pytest.raises(StateError):
        await person.accept(second.session)
    assert await person.state(first.session) == "accepted"
    assert await person.sent() == []


async def test_vendor_that_says_no_to_an_accept_frees_the_person_at_once(table: Table) -> None:
    person, first, second = await two_offers(table)
    accept = await person.accept(first.session)
    await person.take(first.seal(first.say("problem", {"code": "refused.stock.gone", "re": accept.id})))
    await person.accept(second.session)
    assert await person.state(second.session) == "accepted"


async def test_late_confirm_of_a_withdrawn_accept_is_a_conflict_and_no_agreement(table: Table) -> None:
    person, first, second = await two_offers(table)
    await give_contact(person, CONTACT)
    accept = await person.accept(first.session)
    crossing = confirm(first, accept)
    table.clock.now += desk.CONFIRM_WITHIN + ACCEPT_GRACE + 1
    await person.accept(second.session)
    await person.take(first.seal(crossing))
    assert await person.state(first.session) == "conflict"
    assert await person.count("agreement") == 0
    assert await person.count("ledger") == 0
    kept = {message.id for message in await person.messages(first.session)}
    assert crossing.id in kept


async def test_confirm_that_crosses_the_withdrawal_is_a_conflict_on_both_sides_and_both_keep_both(table: Table) -> None:
    person, first, second = await table.person(), await table.vendor("First"), await table.vendor("Second")
    _, (one, other) = await table.offered(person, first, second)
    await person.accept(one)
    await table.carry(person, first)
    assert await first.state(one) == "agreed"
    table.clock.now += desk.CONFIRM_WITHIN + ACCEPT_GRACE + 1
    await person.accept(other)
    withdrawal = await person.sent()
    await table.carry(first, person)
    for record in withdrawal:
        if parse(record).to == one:
            await first.take(record)
    assert await person.state(one) == await first.state(one) == "conflict"
    for party in (person, first):
        types = [message.type for message in await party.messages(one)]
        assert {"accept", "confirm", "withdraw"} <= set(types)
    assert await person.state(other) == "accepted"
    assert await person.count("agreement") == 0


async def test_accept_of_an_offer_that_lapsed_is_refused(table: Table) -> None:
    person, first, _ = await two_offers(table)
    table.clock.now += 3 * 3_600 + 1
    with pytest.raises(StateError):
        await person.accept(first.session)
    assert first.open(await person.sent()) == []


async def test_nothing_is_accepted_after_an_agreement(table: Table) -> None:
    person, first, second = await two_offers(table)
    await person.take(first.seal(confirm(first, await person.accept(first.session))))
    assert await person.state(first.session) == "agreed"
    with pytest.raises(StateError, match="agreed"):
        await person.accept(second.session, anyway=True)


async def test_confirm_that_comes_twice_makes_one_agreement(table: Table) -> None:
    person, first, _ = await two_offers(table)
    await give_contact(person, CONTACT)
    said = confirm(first, await person.accept(first.session))
    for _ in range(2):
        await person.take(first.seal(said))
    (row,) = await person.rows("SELECT * FROM agreement")
    async with person.store.reading() as tx:
        assert verify_agreement(tx.open("agreement", "bundle", row["id"], row["bundle"])).id == said.id == row["id"]
    types = [message.type for message in first.open(await person.sent())]
    assert sorted(types) == ["accept", "ack", "disclose"]


async def test_ack_names_the_confirm(table: Table) -> None:
    person, first, _ = await two_offers(table)
    said = confirm(first, await person.accept(first.session))
    await person.take(first.seal(said))
    (ack,) = [message for message in first.open(await person.sent()) if message.type == "ack"]
    assert ack.body["re"] == said.id


# The end of a demand


def assert_neutral(message: Any) -> None:
    """A close says that it is over, in the one code that all get, and nothing else."""
    assert message.type == "decline"
    assert message.body.keys() <= {"code", "reply"}
    assert message.body["code"] == "refused.session.not-now"


async def test_losers_are_told_after_a_delay_that_it_is_over_and_nothing_else(table: Table) -> None:
    person, first, second = await two_offers(table)
    third = table.forger(first.demand, "Third")
    await person.take(third.seal(third.offer("16000.00")))
    await person.take(first.seal(confirm(first, await person.accept(first.session))))
    losers = (second, third)
    at_once = await person.sent()
    assert [vendor.open(at_once) for vendor in losers] == [[], []]
    dues = [row["due"] - table.clock.now for row in await person.rows("SELECT due FROM errand")]
    assert len(dues) == 2
    assert all(desk._CLOSE_WITHIN[0] <= due <= desk._CLOSE_WITHIN[1] for due in dues)
    table.clock.now += desk._CLOSE_WITHIN[1]
    await person.agent.turn_clock(table.clock.now)
    later = await person.sent()
    for vendor in losers:
        (close,) = vendor.open(later)
        assert_neutral(close)
        assert await person.state(vendor.session) == "declined"
    assert await person.state(first.session) == "agreed"
    await person.agent.turn_clock(table.clock.now)
    assert await person.sent() == [], "each is told once"


async def test_closing_of_losers_survives_one_that_cannot_be_closed(table: Table) -> None:
    person, first, second = await two_offers(table)
    third = table.forger(first.demand, "Third")
    await person.take(third.seal(third.offer()))
    await person.take(first.seal(confirm(first, await person.accept(first.session))))
    async with person.store.transaction() as tx:
        await tx.run("UPDATE session SET restoring = 1 WHERE key = ?", second.session)
    table.clock.now += desk._CLOSE_WITHIN[1]
    await person.agent.turn_clock(table.clock.now)
    assert await person.state(third.session) == "declined"
    async with person.store.transaction() as tx:
        await tx.run("UPDATE session SET restoring = 0")
    table.clock.now += 60
    await person.agent.turn_clock(table.clock.now)
    assert await person.state(second.session) == "declined"


async def test_withdrawn_demand_closes_its_sessions_in_neutral_words_and_erases_its_offer_key(table: Table) -> None:
    person, first, second = await two_offers(table)
    await person.sent()
    await person.withdraw(first.demand)
    sent = await person.sent()
    (notice,) = [verify(record) for record in sent if parse(record).type == "demand-withdraw"]
    assert (notice.author, notice.body) == (first.demand.author, {"demand": first.demand.id})
    assert notice.expires >= first.demand.expires
    for vendor in (first, second):
        (close,) = vendor.open(sent)
        assert_neutral(close)
    assert await person.rows("SELECT state, offer_secret FROM demand") == [{"state": "withdrawn", "offer_secret": None}]
    with pytest.raises(StateError):
        await person.withdraw(first.demand)


async def test_demand_is_not_withdrawn_while_an_accept_may_be_confirmed(table: Table) -> None:
    person, first, _ = await two_offers(table)
    await person.accept(first.session)
    await person.sent()
    with pytest.raises(StateError, match="accept"):
        await person.withdraw(first.demand)
    assert await person.sent() == []


async def test_offer_key_is_erased_with_the_agreement(table: Table) -> None:
    person, first, _ = await two_offers(table)
    await person.take(first.seal(confirm(first, await person.accept(first.session))))
    assert await person.rows("SELECT state, offer_secret FROM demand") == [{"state": "agreed", "offer_secret": None}]


async def test_demand_and_its_sessions_expire_and_the_offer_key_is_erased(table: Table) -> None:
    person, first, _ = await two_offers(table)
    table.clock.now = first.demand.expires + 1
    await person.agent.turn_clock(table.clock.now)
    assert await person.rows("SELECT state, offer_secret FROM demand") == [{"state": "expired", "offer_secret": None}]
    assert await person.state(first.session) == "expired"


async def test_demand_with_an_accept_under_way_does_not_expire_before_it_is_answered(table: Table) -> None:
    person, first, _ = await two_offers(table)
    demand = first.demand
    table.clock.now = demand.expires - 10
    await person.take(first.seal(first.offer()))
    accept = await person.accept(first.session)
    table.clock.now = demand.expires + 10
    await person.agent.turn_clock(table.clock.now)
    await person.take(first.seal(confirm(first, accept)))
    assert await person.state(first.session) == "agreed"
    assert await person.count("agreement") == 1


# What is told to whom


async def test_nothing_is_disclosed_before_an_agreement_and_each_refusal_is_written_down(table: Table) -> None:
    person, first, _ = await two_offers(table)
    await give_contact(person, CONTACT)
    for step in (None, person.accept):
        if step:
            await step(first.session)
        await person.sent()
        assert await person.act(first.session, desk.disclose) == ()
        assert first.open(await person.sent()) == []
    rows = await person.rows("SELECT attribute, decision, reason FROM ledger")
    assert {row["decision"] for row in rows} == {"refused"}
    assert sorted(row["attribute"] for row in rows) == sorted([*CONTACT, *CONTACT])
    assert all("waits for an agreement" in row["reason"] for row in rows)


async def test_winner_is_told_the_contact_and_nothing_that_is_no_contact_attribute(table: Table) -> None:
    person, first, second = await two_offers(table)
    await give_contact(person, CONTACT | {"birthDate": "1980-02-29", "telephone": "+31 \x1b[2J"})
    await person.take(first.seal(confirm(first, await person.accept(first.session))))
    sent = await person.sent()
    (told,) = [message for message in first.open(sent) if message.type == "disclose"]
    assert told.body == {"purpose": "ServiceDelivery", "attributes": CONTACT}
    assert second.open(sent) == []
    ledger = {row["attribute"]: row["decision"] for row in await person.rows("SELECT * FROM ledger")}
    assert ledger == dict.fromkeys(CONTACT, "released") | {"birthDate": "refused", "telephone": "refused"}
    reasons = "".join(row["reason"] for row in await person.rows("SELECT reason FROM ledger"))
    assert not any(value in reasons for value in (*CONTACT.values(), "1980"))


async def test_contact_that_cannot_be_told_does_not_undo_the_agreement(table: Table) -> None:
    person, first, _ = await two_offers(table)
    await give_contact(person, {"name": "x" * 301})
    await person.take(first.seal(confirm(first, await person.accept(first.session))))
    assert await person.state(first.session) == "agreed"
    assert await person.count("agreement") == 1
    assert [message.type for message in first.open(await person.sent())] == ["accept", "ack"]


@pytest.mark.parametrize("contact", [{"name": "x" * 301}, {"name": "A\x1b[2J"}, {"birthDate": "1980-02-29"}])
async def test_contact_that_could_not_be_told_is_not_kept(table: Table, contact: dict[str, str]) -> None:
    person = await table.person()
    service = Service(person.agent)
    await service.contact_set(CONTACT)
    with pytest.raises(InvalidMessage):
        await service.contact_set(contact)
    assert await service.contact_set({"email": ""}) == {
        "contact": {name: value for name, value in CONTACT.items() if name != "email"}
    }


async def test_each_attribute_is_told_once(table: Table) -> None:
    person, first, _ = await two_offers(table)
    await give_contact(person, {"name": "A. Person"})
    await person.take(first.seal(confirm(first, await person.accept(first.session))))
    await give_contact(person, CONTACT)
    assert set(await person.act(first.session, desk.disclose)) == {"email", "postalCode"}
    assert await person.act(first.session, desk.disclose) == ()
    released = [row["attribute"] for row in await person.rows("SELECT attribute FROM ledger")]
    assert sorted(released) == ["email", "name", "postalCode"]
