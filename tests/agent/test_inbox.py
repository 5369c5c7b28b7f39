"""What a hostile vendor or relay can put into a person's mailbox, and what becomes of it. PROTOCOL §5.3, §5.4, §8.2"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from intentcast_agent.inbox import Opened
from intentcast_protocol.errors import CODES
from intentcast_protocol.record import Record, Verified, sign
from intentcast_protocol.sealing import seal_key
from intentcast_protocol.terms import ROSTER
from intentcast_protocol.testing import seed

# The table's types; pytest finds the fixtures of conftest.py by name.
Table = Any
Forger = Any


async def test_envelope_that_comes_again_has_no_second_effect(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    envelope = vendor.seal(vendor.offer())
    first = await person.take(envelope)
    assert first == Opened(vendor.session, ("offer",))
    assert await person.take(envelope) is None
    assert (await person.count("message"), await person.count("session")) == (1, 1)


async def test_message_that_comes_again_in_a_new_envelope_has_no_second_effect(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    offer = vendor.offer()
    await person.take(vendor.seal(offer))
    assert await person.take(vendor.seal(offer)) == Opened(vendor.session, ())
    assert await person.state(vendor.session) == "offered"
    assert (await person.count("message"), await person.count("evidence"), await person.count("rejected")) == (1, 0, 0)


async def test_copy_with_a_broken_outer_signature_does_not_suppress_the_good_one(table: Table) -> None:
    """One relay that hands out spoilt copies cannot keep the answer from arriving by the other. PROTOCOL §4.3"""
    person = await table.person()
    vendor = table.forger(await person.cast())
    envelope = vendor.seal(vendor.offer())
    spoilt = replace(envelope.record, signature=bytes(64))
    opened = await person.take(spoilt)
    assert opened is not None
    assert opened.code == "invalid.record.signature"
    assert await person.take(envelope) == Opened(vendor.session, ("offer",))
    assert await person.count("rejected") == 0


async def refusal(person: Any, envelope: Verified | Record) -> tuple[str, str]:
    """Take an envelope that must be refused; return its code and the name its sender claims."""
    before = [await person.count(name) for name in ("session", "message", "outbox", "reply_key", "evidence")]
    opened = await person.take(envelope)
    assert opened is not None
    assert opened.code in CODES
    assert opened.types == ()
    raw = envelope.record if isinstance(envelope, Verified) else envelope
    (row,) = await person.rows("SELECT * FROM rejected WHERE id = ?", raw.id)
    assert (row["code"], row["claimed"]) == (opened.code, opened.claimed)
    after = [await person.count(name) for name in ("session", "message", "outbox", "reply_key", "evidence")]
    assert after == before, "a refusal leaves nothing else behind"
    assert await person.take(envelope) in (None, opened), "and is final"
    assert len(await person.rows("SELECT 1 FROM rejected WHERE id = ?", raw.id)) == 1
    return opened.code, opened.claimed


async def test_inner_record_with_a_broken_signature_is_rejected_under_the_name_it_claims(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast(), "Honest Cars")
    broken = replace(vendor.offer().record, signature=bytes(64))
    assert await refusal(person, vendor.seal(broken)) == ("invalid.record.signature", "Honest Cars")


async def test_signature_of_another_session_key_does_not_pass(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    stolen = vendor.offer()
    spoilt = replace(vendor.seal(stolen).record, payload=vendor.seal(stolen, seed=seed("thief")).record.payload)
    opened = await person.take(spoilt)
    assert opened is not None
    assert opened.code == "invalid.record.signature"
    assert await person.count("session") == 0


MISFITS: dict[str, Callable[[Forger], Verified]] = {
    "addressed-to-another-person": lambda v: v.seal(v.sign("offer", v.offer_body(), to=seal_key().public)),
    "of-another-session": lambda v: v.seal(v.sign("offer", v.offer_body(), session=seal_key().public)),
    "in-an-envelope-of-another-session": lambda v: v.seal(v.sign("offer", v.offer_body()), seed=seed("other session")),
    "a-profile": lambda v: v.seal(sign("profile", v.seed, {"name": "x"}, created=v.clock.now, expires=v.clock.now + 9)),
    "another-sealed-record": lambda v: v.seal(v.seal(v.sign("offer", v.offer_body()))),
}  # fmt: skip


@pytest.mark.parametrize("misfit", MISFITS)
async def test_inner_record_that_does_not_belong_in_its_envelope_is_refused(table: Table, misfit: str) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    code, _ = await refusal(person, MISFITS[misfit](vendor))
    assert code == "invalid.record.recipient"


@pytest.mark.parametrize("misfit", MISFITS)
async def test_misfit_in_a_running_session_changes_nothing_in_it(table: Table, misfit: str) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    code, _ = await refusal(person, MISFITS[misfit](vendor))
    assert code == "invalid.record.recipient"
    assert await person.state(vendor.session) == "offered"
    assert await person.take(vendor.seal(vendor.offer())) == Opened(vendor.session, ("offer",))


async def test_another_vendor_cannot_speak_in_a_session(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    intruder = vendor.sign("offer", vendor.offer_body("1.00"), by=seed("intruder"))
    assert (await refusal(person, vendor.seal(intruder)))[0] == "invalid.record.recipient"


async def test_person_s_own_message_sent_back_by_the_vendor_is_refused(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    counter = await person.counter(vendor.session, "17000.00")
    assert (await refusal(person, vendor.seal(counter)))[0] == "invalid.record.recipient"
    assert await person.count("evidence") == 0


async def test_envelope_sealed_to_a_key_nobody_holds_does_not_open(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    envelope = vendor.seal(vendor.offer(), key=seal_key().public)
    assert (await refusal(person, envelope))[0] == "sealed.open.failed"


async def test_envelope_to_a_key_that_is_not_ours_does_not_open(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    assert (await refusal(person, vendor.seal(vendor.offer(), to=vendor.key)))[0] == "sealed.open.failed"
    (row,) = await person.rows("SELECT demand FROM rejected")
    assert row["demand"] is None


async def test_envelope_sealed_to_the_erased_key_of_a_withdrawn_demand_does_not_open(table: Table) -> None:
    person = await table.person()
    demand = await person.cast()
    await person.withdraw(demand)
    vendor = table.forger(demand)
    assert (await refusal(person, vendor.seal(vendor.offer())))[0] == "sealed.open.failed"


async def test_offer_key_of_one_demand_does_not_open_what_is_sent_to_another(table: Table) -> None:
    person = await table.person()
    one, other = await person.cast(), await person.cast()
    vendor = table.forger(one)
    envelope = vendor.seal(vendor.offer(), to=other.author)
    assert (await refusal(person, envelope))[0] == "sealed.open.failed"


async def test_expired_envelope_is_refused(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    envelope = vendor.seal(vendor.offer(), expires=table.clock.now + 60)
    table.clock.now += 60
    assert (await refusal(person, envelope))[0] == "refused.record.expired"


async def test_envelope_from_the_future_is_refused(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    envelope = vendor.seal(vendor.offer(), created=table.clock.now + 901)
    assert (await refusal(person, envelope))[0] == "invalid.record.future"


async def test_public_record_in_a_mailbox_is_refused(table: Table) -> None:
    person = await table.person()
    await person.cast()
    (demand,) = await person.sent()
    assert (await refusal(person, demand))[0] == "invalid.record.malformed"


HOSTILE = {
    "terminal": ("\x1b[2J\x1b[31mTrusted\x07 Cars\r\n", "[2J[31mTrusted Cars"),
    "reordering": ("Cars \u202emoc.live\u2066", "Cars moc.live"),
    "long": ("x" * 5_000, "x" * 100),
    "nothing-to-see": ("\x00\x01\u200b", ""),
    "no-text": (17, ""),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_claimed_name_can_do_nothing_to_a_terminal(table: Table, name: str) -> None:
    given, kept = HOSTILE[name]
    person = await table.person()
    vendor = table.forger(await person.cast())
    broken = replace(vendor.offer(offeredBy={"name": given}).record, signature=bytes(64))
    assert await refusal(person, vendor.seal(broken)) == ("invalid.record.signature", kept)


async def test_detail_of_a_refusal_can_do_nothing_to_a_terminal(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    payload = vendor.sign("offer", vendor.offer_body()).record.payload.replace(b"\xa7created", b"\xa7\x1b[2Jtd!")
    await refusal(person, vendor.seal(Record(payload, bytes(64))))
    (row,) = await person.rows("SELECT detail FROM rejected")
    assert row["detail"]
    assert row["detail"].isprintable()


async def test_second_session_of_a_vendor_is_refused(table: Table) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer()))
    again = table.forger(vendor.demand)
    again.session_seed = seed("another session")
    again.session = sign("profile", again.session_seed, {}, created=1, expires=2).author
    assert (await refusal(person, again.seal(again.offer())))[0] == "refused.limit.exceeded"


async def test_first_message_to_a_closed_demand_is_refused(table: Table) -> None:
    person = await table.person()
    demand = await person.cast()
    vendor = table.forger(demand)
    async with person.store.transaction() as tx:
        await tx.run("UPDATE demand SET state = 'withdrawn'")
    assert (await refusal(person, vendor.seal(vendor.offer())))[0] == "refused.record.withdrawn"


TERMS: dict[str, object] = {
    "refused.terms.refused": ROSTER["PDC-INTENT"].wire(),
    "invalid.terms.unknown": {"id": ROSTER["SD-BASE"].id, "text": bytes(32)},
    "invalid.terms.malformed": "whatever you like",
}


@pytest.mark.parametrize("code", TERMS)
async def test_vendor_that_does_not_take_the_terms_is_told_why_and_dropped(table: Table, code: str) -> None:
    person = await table.person()
    vendor = table.forger(await person.cast())
    await person.take(vendor.seal(vendor.offer(termsAccepted=TERMS[code])))
    assert await person.state(vendor.session) == "declined"
    problem, decline = vendor.open(await person.sent())
    assert (problem.type, problem.body["code"], problem.body["re"]) == ("problem", code, vendor.last)
    assert decline.type == "decline"
    await person.take(vendor.seal(vendor.offer()))
    assert await person.state(vendor.session) == "declined"


async def test_offer_without_a_reply_key_has_no_effect_and_holds_up_no_other_vendor(table: Table) -> None:
    """There is no key to seal the answer to; only that answer is given up. PROTOCOL §5.6"""
    person = await table.person()
    mute = table.forger(await person.cast(), "Mute")
    body = mute.offer_body()
    del body["reply"]
    await person.take(mute.seal(mute.say("offer", body)))
    assert await person.state(mute.session) == "seen"
    other = table.forger(mute.demand, "Other")
    await person.take(other.seal(other.offer(termsAccepted=None)))
    assert [message.type for message in other.open(await person.sent())] == ["problem", "decline"]
    (row,) = await person.rows(
        "SELECT d.* FROM delivery d JOIN outbox o ON o.number = d.outbox JOIN message m ON m.id = o.message "
        "WHERE m.session = ?",
        mute.session,
    )
    assert (row["state"], row["code"]) == ("failed", "invalid.id.malformed")


@pytest.mark.parametrize("key", [bytes(32), b"\1" + bytes(31)], ids=["zero", "low-order"])
async def test_reply_key_nobody_can_seal_to_holds_up_no_other_vendor(table: Table, key: bytes) -> None:
    person = await table.person()
    hostile = table.forger(await person.cast(), "Hostile")
    await person.take(hostile.seal(hostile.offer(reply=key)))
    await person.counter(hostile.session, "17000.00")
    other = table.forger(hostile.demand, "Other")
    await person.take(other.seal(other.offer()))
    await person.counter(other.session, "17000.00")
    assert [message.type for message in other.open(await person.sent())] == ["counter"]
    assert await person.agent.outbox.next_due(hostile.demand.author, "ws://127.0.0.1:1") is None
