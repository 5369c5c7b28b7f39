"""Order, gaps, double numbers and keys of one session, through a real store. PROTOCOL §5.6, §8.2"""

from typing import Any

import pytest
from intentcast_agent.inbox import Opened
from intentcast_agent.person import desk
from intentcast_protocol.errors import StateError
from intentcast_protocol.limits import MAX_AHEAD
from intentcast_protocol.record import verify
from intentcast_protocol.sealing import SealKey, seal_key

Table = Any  # the fixtures are conftest.py's


async def test_messages_that_arrive_in_the_wrong_order_are_processed_in_the_right_one(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    envelopes = [vendor.seal(vendor.offer(total)) for total in ("17900.00", "17800.00", "17700.00")]
    assert await person.take(envelopes[2]) == Opened(vendor.session, ())
    assert await person.take(envelopes[1]) == Opened(vendor.session, ())
    assert await person.state(vendor.session) == "seen"
    assert await person.take(envelopes[0]) == Opened(vendor.session, ("offer", "offer", "offer"))
    rows = await person.rows("SELECT seq FROM message ORDER BY rowid")
    assert [row["seq"] for row in rows] == [1, 2, 3]
    async with person.store.reading() as tx:
        offer = await desk.standing_offer(tx, await person.dialogue(tx, vendor.session))
    assert offer.id == vendor.last


async def test_two_of_three_are_processed_while_the_last_waits_for_the_missing_one(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    first, _missing, third = [vendor.seal(vendor.offer()) for _ in range(3)]
    await person.take(third)
    assert await person.take(first) == Opened(vendor.session, ("offer",))
    assert await person.rows("SELECT seq FROM message WHERE processed IS NULL") == [{"seq": 3}]


async def test_message_too_far_ahead_is_refused_and_its_number_stays_free(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    chain = vendor.seq, vendor.last
    vendor.seq += MAX_AHEAD
    opened = await person.take(vendor.seal(vendor.sign("notice", {}, prev=bytes(32))))
    assert opened is not None
    assert opened.code == "invalid.session.gap"
    vendor.seq, vendor.last = chain
    assert await person.take(vendor.seal(vendor.offer())) == Opened(vendor.session, ("offer",))


async def test_message_that_does_not_follow_the_one_before_is_refused_and_its_number_stays_free(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    opened = await person.take(vendor.seal(vendor.sign("notice", {}, prev=bytes(32))))
    assert opened is not None
    assert opened.code == "invalid.session.previous"
    assert await person.take(vendor.seal(vendor.offer())) == Opened(vendor.session, ("offer",))
    assert await person.count("evidence") == 0


async def test_buffered_message_that_does_not_follow_undoes_none_before_it(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    first, second = vendor.offer(), vendor.offer()
    stray = vendor.sign("notice", {}, seq=3, prev=bytes(32))
    third = vendor.offer()
    for message in (stray, second, third):
        await person.take(vendor.seal(message))
    assert await person.take(vendor.seal(first)) == Opened(vendor.session, ("offer", "offer", "offer"))
    assert await person.rows("SELECT 1 FROM message WHERE processed IS NULL") == []
    assert await person.count("evidence") == 0


async def test_two_messages_under_one_number_freeze_the_session_and_both_are_kept(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    one, other = vendor.sign("offer", vendor.offer_body()), vendor.sign("offer", vendor.offer_body("1.00"))
    assert one.id != other.id
    await person.take(vendor.seal(one))
    assert await person.take(vendor.seal(other)) == Opened(vendor.session, ())
    assert await person.state(vendor.session) == "conflict"
    kept = {row["id"] for row in await person.rows("SELECT id FROM message UNION SELECT id FROM evidence")}
    assert kept == {one.id, other.id}
    for act in (lambda: person.accept(vendor.session), lambda: person.counter(vendor.session, "17000.00")):
        with pytest.raises(StateError):
            await act()
    assert vendor.open(await person.sent()) == []


async def test_second_message_under_one_number_is_noticed_though_both_came_too_early(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    first = vendor.offer()
    one, other = vendor.sign("offer", vendor.offer_body()), vendor.sign("offer", vendor.offer_body("1.00"))
    for message in (one, other):
        await person.take(vendor.seal(message))
    await person.take(vendor.seal(first))
    assert await person.state(vendor.session) == "conflict"
    assert await person.rows("SELECT id FROM evidence") == [{"id": other.id}]
    assert await person.rows("SELECT 1 FROM message WHERE processed IS NULL") == []


async def test_same_message_twice_is_no_equivocation_after_later_ones(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    first = vendor.offer()
    for message in (first, vendor.offer(), first):
        await person.take(vendor.seal(message))
    assert (await person.state(vendor.session), await person.count("evidence")) == ("offered", 0)


async def test_message_that_the_state_does_not_allow_is_answered_with_a_problem_and_uses_up_its_number(
    table: Table,
) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    fulfil = vendor.say("fulfil", {})
    await person.take(vendor.seal(fulfil))
    (problem,) = vendor.open(await person.sent())
    assert problem.body["code"] == "refused.session.not-now"
    assert problem.body["re"] == fulfil.id
    assert await person.take(vendor.seal(vendor.offer())) == Opened(vendor.session, ("offer",))


async def test_problem_is_never_answered_with_a_problem(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    await person.take(vendor.seal(vendor.say("problem", {"code": 17})))
    assert vendor.open(await person.sent()) == []


# Keys


async def reply_keys(person: Any) -> int:
    return int(await person.count("reply_key"))


def newest_key(vendor: Any, sent: list[Any]) -> None:
    """Let the vendor seal to the newest reply key in what the person sent."""
    for message in vendor.open(sent):
        vendor.to_key = message.body.get("reply", vendor.to_key)


async def test_replaced_reply_key_opens_crossing_messages_and_is_erased_after_one_to_the_newer(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    await person.counter(vendor.session, "17000.00")
    newest_key(vendor, await person.sent())
    older = vendor.to_key
    await person.take(vendor.seal(vendor.offer("17500.00")))
    await person.accept(vendor.session)
    assert await reply_keys(person) == 2

    # This one leaves before the vendor has seen the accept.
    crossing = vendor.offer("17400.00")
    assert await person.take(vendor.seal(crossing)) == Opened(vendor.session, ("offer",))
    assert await reply_keys(person) == 2, "what was sealed to the older key says nothing about the newer"

    newest_key(vendor, await person.sent())
    assert vendor.to_key != older
    await person.take(vendor.seal(vendor.offer("17300.00")))
    assert await person.rows("SELECT public FROM reply_key") == [{"public": vendor.to_key}]
    late = await person.take(vendor.seal(crossing, key=older))
    assert late is not None
    assert late.code == "sealed.open.failed"


async def test_key_is_not_erased_by_a_message_that_still_waits_for_an_earlier_one(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    await person.counter(vendor.session, "17000.00")
    newest_key(vendor, await person.sent())
    slow = vendor.seal(vendor.offer("17500.00"))
    await person.accept(vendor.session)
    newest_key(vendor, await person.sent())
    await person.take(vendor.seal(vendor.offer("17400.00")))
    assert await reply_keys(person) == 2, "the message to the newer key is buffered, not processed"
    assert await person.take(slow) == Opened(vendor.session, ("offer", "offer"))
    assert await reply_keys(person) == 1


async def test_offer_key_opens_what_a_vendor_sent_before_it_had_a_reply_key(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    await person.counter(vendor.session, "17000.00")
    assert await person.take(vendor.seal(vendor.offer("17500.00"))) == Opened(vendor.session, ("offer",))


async def test_resealed_message_goes_to_the_newest_key(table: Table) -> None:
    """What no relay has taken when its envelope ends is sealed anew, and the words inside stay the same."""
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    await person.sent()
    counter = await person.counter(vendor.session, "17000.00")
    lane = vendor.demand.author
    (early,) = await person.agent.outbox.due(lane, "ws://127.0.0.1:1", table.clock.now)
    fresh = seal_key()
    await person.take(vendor.seal(vendor.say("notice", {"reply": fresh.public})))
    table.clock.now += 7 * 86_400
    (late,) = await person.agent.outbox.due(lane, "ws://127.0.0.1:1", table.clock.now)
    assert verify(early.record).body["key"] == vendor.replies[0].public
    assert verify(late.record).body["key"] == fresh.public
    vendor.replies.append(SealKey(fresh.public, fresh.secret))
    assert vendor.open([early.record])[0].id == vendor.open([late.record])[0].id == counter.id
