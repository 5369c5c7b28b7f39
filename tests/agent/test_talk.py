"""Questions, typed answers, a lapsed offer made again, an agreement amended and delivered. PROTOCOL §8.3, §8.6"""

from typing import Any

import pytest
from intentcast_agent import talk
from intentcast_agent.dialogue import let_time_pass
from intentcast_agent.person import desk
from intentcast_agent.service import Service
from intentcast_protocol.agreement import verify_agreement
from intentcast_protocol.errors import InvalidMessage, StateError
from intentcast_protocol.fact import Fact
from intentcast_protocol.testing import CARS

Table = Any  # the fixtures are conftest.py's
KM = "itemOffered.mileageFromOdometer"
DEMAND = f"""\
name = "A small car"
category = "{CARS}"
max_price = "20000 EUR"
expires = "7d"
rounds = 5
admit = ["stamp:4"]
"""
MUST = f"""
[[must]]
path = "{KM}"
op = "le"
value = "90000"
unit = "KMT"
unknown = "ask"
"""
BARE = {"category": CARS, "name": "2018 Volkswagen Golf estate"}


async def service(party: Any, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Return a party's verbs, with no network behind them."""

    async def offline(*_: Any, **__: Any) -> None:
        return None

    monkeypatch.setattr(party.agent, "go_online", offline)
    monkeypatch.setattr(party.agent, "until", offline)
    return Service(party.agent)


async def exchange(table: Any, one: Any, other: Any) -> None:
    """Carry what each has sent, until nothing is left."""
    for _ in range(3):
        await table.carry(one, other)
        await table.carry(other, one)


# The person's agent


async def test_agent_asks_once_about_a_must_have_that_an_offer_leaves_open(table: Table) -> None:
    person = await table.person()
    demand = await person.cast(DEMAND + MUST)
    vendor = table.forger(demand)
    await person.take(vendor.seal(vendor.offer(itemOffered=BARE)))
    await person.take(vendor.seal(vendor.offer("17800.00", itemOffered=BARE)))
    questions = [one for one in vendor.open(await person.sent()) if one.type == "question"]
    assert [(one.body["path"], one.body["unitCode"]) for one in questions] == [(KM, "KMT")]


async def test_fact_in_an_answer_decides_what_the_offer_left_open_until_the_next_offer(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await table.person()
    verbs = await service(person, monkeypatch)
    demand = await person.cast(DEMAND + MUST)
    vendor = table.forger(demand)
    await person.take(vendor.seal(vendor.offer(itemOffered=BARE)))
    (asked,) = [one for one in vendor.open(await person.sent()) if one.type == "question"]
    assert (await verbs.offer_view("o1"))["fit"] == "asks"
    fact = {"path": KM, "value": "64044", "unitCode": "KMT"}
    await person.take(vendor.seal(vendor.say("answer", {"re": asked.id, "facts": [fact]})))
    view = await verbs.offer_view("o1")
    assert (view["fit"], view["said"]) == ("fits", [fact])
    assert "by an answer" in view["why"]
    assert "mileageFromOdometer" not in view["attributes"]
    await person.take(vendor.seal(vendor.offer(itemOffered=BARE)))
    view = await verbs.offer_view("o1")
    assert (view["fit"], view["said"]) == ("asks", [])


async def test_answer_with_ill_formed_facts_changes_nothing(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await table.person()
    verbs = await service(person, monkeypatch)
    vendor = table.forger(await person.cast(DEMAND + MUST))
    await person.take(vendor.seal(vendor.offer(itemOffered=BARE)))
    await person.take(vendor.seal(vendor.say("answer", {"facts": [{"path": KM, "value": 5}]})))
    view = await verbs.offer_view("o1")
    assert (view["fit"], view["said"]) == ("asks", [])
    assert view["messages"][-2]["problem"] == "invalid.session.malformed"


async def test_nobody_is_accepted_while_another_confirm_stands_in_conflict(table: Table) -> None:
    person = await table.person()
    demand = await person.cast(DEMAND)
    first, second, third = (table.forger(demand, name) for name in ("First", "Second", "Third"))
    for vendor in (first, second, third):
        await person.take(vendor.seal(vendor.offer()))
    accept = await person.accept(first.session)
    crossing = first.say("confirm", {"accept": accept.id, "reply": first.replies[-1].public})
    table.clock.now += desk.CONFIRM_WITHIN + 121
    await person.accept(second.session)
    await person.take(first.seal(crossing))
    assert await person.state(first.session) == "conflict"
    await person.take(second.seal(second.say("decline", {})))
    with pytest.raises(StateError, match="may be bound to First"):
        await person.accept(third.session)
    await person.accept(third.session, anyway=True)


async def test_offer_that_has_lapsed_is_not_accepted_and_can_be_asked_for(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor, text=DEMAND)
    table.clock.now += 4 * 3_600
    with pytest.raises(StateError, match="deal ask"):
        await person.accept(session)


# The vendor's bot


@pytest.mark.parametrize(("all_the_same", "outcome"), [(True, "offer"), (False, "decline")])
async def test_bot_offers_what_stays_unknown_only_if_it_is_waived(
    table: Table, all_the_same: bool, outcome: str
) -> None:
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor, text=DEMAND + MUST)
    assert await person.state(session) == "asking"

    async def act(tx: Any, dialogue: Any, now: int) -> None:
        await desk.answer(tx, dialogue, "Please do.", now, all_the_same=all_the_same)

    await person.act(session, act)
    await exchange(table, person, vendor)
    said = [one.type for one in await vendor.messages(session) if one.author == vendor.responder.key]
    assert said[:2] == ["question", outcome]
    assert await person.state(session) == ("offered" if all_the_same else "declined")


async def test_bot_answers_by_itself_what_its_stock_states(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor, text=DEMAND)

    async def ask(tx: Any, dialogue: Any, path: str, now: int) -> None:
        await talk.ask(tx, dialogue, "Which?", now, path)

    await person.act(session, ask, "itemOffered.sku")
    await person.act(session, ask, "itemOffered.color")
    await exchange(table, person, vendor)
    answers = [one.body for one in await person.messages(session) if one.type == "answer"]
    assert [one["facts"] for one in answers] == [[{"path": "itemOffered.sku", "value": "golf"}]]


async def test_question_about_a_lapsed_offer_brings_a_new_one(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor, text=DEMAND)
    table.clock.now += 4 * 3_600

    async def ask(tx: Any, dialogue: Any, now: int) -> None:
        await talk.ask(tx, dialogue, "Do you still have it?", now)

    await person.act(session, ask)
    await exchange(table, person, vendor)
    assert (await person.state(session), await vendor.state(session)) == ("offered", "offered")


async def test_vendor_answers_by_hand_and_the_new_offer_states_the_fact(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor, text=DEMAND)
    verbs, own = await service(vendor, monkeypatch), await service(person, monkeypatch)
    await own.deal_ask("o1", "How far has it run?", KM)
    await exchange(table, person, vendor)
    (question,) = (await verbs.vendor_question_list())["questions"]
    assert (question["session"], question["path"], question["text"]) == ("o1", KM, "How far has it run?")
    await verbs.vendor_answer("o1", "Not far.", [f"{KM}=64044 KMT"])
    assert (await verbs.vendor_question_list())["total"] == 0
    await exchange(table, person, vendor)
    view = await own.offer_view("o1")
    assert (view["attributes"]["mileageFromOdometer"], view["said"]) == ("64044 km", [])
    assert await person.state(session) == "offered"
    with pytest.raises(StateError, match="asked nothing"):
        await verbs.vendor_answer("o1", "Again.")


@pytest.mark.parametrize(("text", "fact"), [
    ("a.b=4", Fact("a.b", "4")), ("a=80 MTK", Fact("a", "80", "MTK")), ("a=9.99 EUR", Fact("a", "9.99", None, "EUR")),
    ("a=yes", Fact("a", True)), ("a=no", Fact("a", False)), ("a=24 MON", Fact("a", "24", "MON")),
    ("a=deep red", Fact("a", "deep red")), ("a=80 X1", Fact("a", "80", "X1")),
])  # fmt: skip
def test_facts_are_read_as_people_write_them(text: str, fact: Fact) -> None:
    assert talk.parse_fact(text) == fact


@pytest.mark.parametrize("text", ["a", "=5", "a b=5", "a=", "a=1.5 EUR", "a=" + "x" * 201])
def test_facts_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(InvalidMessage):
        talk.parse_fact(text)


# After the agreement


async def test_agreement_is_amended_delivered_and_received(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor, text=DEMAND)
    verbs, own = await service(vendor, monkeypatch), await service(person, monkeypatch)
    await person.accept(session)
    await exchange(table, person, vendor)
    (before,) = (await own.agreement_list())["agreements"]
    told = await person.count("ledger")
    await verbs.vendor_amend("o1", "15000.00")
    await exchange(table, person, vendor)
    assert await person.state(session) == "amending"
    assert (await own.agreement_list())["agreements"] == [before]
    await person.accept(session)
    await exchange(table, person, vendor)
    assert (await person.state(session), await vendor.state(session)) == ("agreed", "agreed")
    for side in (own, verbs):
        data = bytes.fromhex((await side.agreement_bundle("a1"))["bundle"])
        found = verify_agreement(data)
        assert (found.offer.price.total, len(found.amended)) == (15_000, 1)
    assert (await own.agreement_list())["total"] == 1
    assert await person.count("ledger") == told
    assert await vendor.count("reservation") == 1
    await verbs.vendor_deliver("o1", "On your doorstep.")
    await exchange(table, person, vendor)
    await own.deal_received("o1")
    await exchange(table, person, vendor)
    assert (await person.state(session), await vendor.state(session)) == ("fulfilled", "fulfilled")
    await own.deal_dispute("o1", "It is another car.")
    await exchange(table, person, vendor)
    assert (await person.state(session), await vendor.state(session)) == ("disputed", "disputed")


async def test_amendment_that_is_declined_or_lapses_leaves_the_agreement(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, vendor = await table.person(), await table.vendor()
    _, (session,) = await table.offered(person, vendor, text=DEMAND)
    verbs, own = await service(vendor, monkeypatch), await service(person, monkeypatch)
    await person.accept(session)
    await exchange(table, person, vendor)
    before = await own.agreement_bundle("a1")
    await verbs.vendor_amend("o1", "19000.00")
    await exchange(table, person, vendor)
    await own.offer_decline("o1")
    await exchange(table, person, vendor)
    await verbs.vendor_amend("o1", "19000.00")
    await exchange(table, person, vendor)
    assert await person.state(session) == "amending"
    table.clock.now += 4 * 3_600
    with pytest.raises(StateError, match="agreed"):
        await person.accept(session)
    for party in (person, vendor):
        await party.act(session, let_time_pass)
        assert await party.state(session) == "agreed"
    assert await own.agreement_bundle("a1") == before


async def test_nothing_is_amended_before_an_agreement(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    person, vendor = await table.person(), await table.vendor()
    await table.offered(person, vendor, text=DEMAND)
    verbs = await service(vendor, monkeypatch)
    with pytest.raises(StateError, match="no agreement"):
        await verbs.vendor_amend("o1", "15000.00")
    with pytest.raises(StateError):
        await verbs.vendor_deliver("o1")
