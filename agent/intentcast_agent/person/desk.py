"""The person's side of the store: demands cast and withdrawn, offers taken in, acts signed, agreements kept."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from intentcast_protocol.attestation import Attestation
from intentcast_protocol.conditions import Conditions
from intentcast_protocol.demand import Demand, read_demand, read_draft
from intentcast_protocol.disclosure import STAGES, disclosure
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import InvalidMessage, Refused, StateError
from intentcast_protocol.fact import Fact
from intentcast_protocol.identity import Key
from intentcast_protocol.invitation import invite as sign_invitation
from intentcast_protocol.limits import ACCEPT_GRACE
from intentcast_protocol.negotiation import State, begin, permits, tick
from intentcast_protocol.offer import Offer, read_offer
from intentcast_protocol.record import Record, Verified, decode_record, parse, payload_of, sign, sign_payload, verify
from intentcast_protocol.sealing import seal_key
from intentcast_protocol.vocabulary import Price, read_text

from intentcast_agent import invitation, talk
from intentcast_agent.counter import counter_terms
from intentcast_agent.dialogue import (
    Dialogue,
    Heard,
    create,
    find_message,
    keep_agreement,
    new_seed,
    open_dialogue,
    queue,
    read_dialogue,
    say,
)
from intentcast_agent.person.ask import ask_unknown
from intentcast_agent.person.draft import Draft
from intentcast_agent.rung import LOOKED_AT
from intentcast_agent.store import Row, Transaction
from intentcast_agent.witness import ENOUGH, describe, read_keys, witnesses

CONFIRM_WITHIN = 3_600  # s a vendor has to confirm an accept
COUNTER_LIFE = 86_400  # s a counter may wait
_CLOSE_WITHIN = (20, 240)  # s after which the losers of an agreement are told no more than that it is over
_SESSIONS = 500  # vendors heard for one demand; more than anyone compares
_UNSIGNED = bytes(64)
_MALFORMED = "invalid.session.malformed"
_TERMS = ("refused.terms.refused", "invalid.terms.unknown", "invalid.terms.malformed")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A draft whose bytes are fixed: casting signs exactly these."""

    number: int
    payload: bytes
    demand: Demand


async def prepare(tx: Transaction, draft: Draft, relays: tuple[str, ...], now: int) -> Prepared:
    """Fix the bytes of a demand: its keys, its dates, its reply address. Raises InvalidMessage naming the field."""
    seed, offer_key = new_seed(), seal_key()
    body = {**draft.body, "replyTo": {"offerKey": offer_key.public, "relays": list(relays)}}
    payload = payload_of("demand", seed, body, created=now, expires=now + draft.life)
    demand = read_draft(parse(Record(payload, _UNSIGNED)))
    secrets = encode({"seed": seed, "offer": offer_key.secret, "private": json.dumps(draft.private)})
    number = await tx.run("INSERT INTO draft (payload, secrets, made) VALUES (?, ?, ?)", payload, b"", now)
    cell = tx.seal("draft", "secrets", number, secrets)
    await tx.run("UPDATE draft SET secrets = ? WHERE number = ?", cell, number)
    return Prepared(number, payload, demand)


async def cast(tx: Transaction, number: int, now: int) -> Demand:
    """Sign a prepared draft and queue it for its relays; the draft becomes the demand of the same number.

    Casting again after a crash finds the demand already signed. Raises StateError for an unknown draft, Refused when
    the draft's end has come.
    """
    known = await tx.one("SELECT * FROM demand WHERE number = ?", number)
    if known:
        return read_demand(verify(decode_record(known["record"])))
    row = await tx.one("SELECT * FROM draft WHERE number = ?", number)
    if row is None:
        raise StateError("refused.record.unknown", f"there is no draft d{number}")
    secrets = decode(tx.open("draft", "secrets", number, row["secrets"]))
    record = sign_payload(row["payload"], secrets["seed"])
    demand = read_demand(record)
    if demand.expires <= now:
        raise Refused("refused.record.expired", "draft it again")
    await tx.run(
        "INSERT INTO demand (id, number, author, record, state, expires, seed, offer_secret, private) "
        "VALUES (?, ?, ?, ?, 'open', ?, ?, ?, ?)",
        record.id,
        number,
        record.author,
        record.record.encode(),
        demand.expires,
        tx.seal("demand", "seed", record.id, secrets["seed"]),
        tx.seal("demand", "offer_secret", record.id, secrets["offer"]),
        tx.seal("demand", "private", record.id, secrets["private"].encode()),
    )
    await tx.run("DELETE FROM draft WHERE number = ?", number)
    await queue(tx, record.author, demand.relays, record=record.record.encode(), now=now)
    return demand


async def withdraw(tx: Transaction, row: Row, now: int) -> None:
    """Withdraw a demand in public and close its open sessions.

    Raises StateError while an accept may still be confirmed, since that would leave a deal half made.
    """
    if row["state"] != "open":
        raise StateError("refused.session.not-now", f"the demand is {row['state']}")
    if await tx.one("SELECT 1 FROM session WHERE demand = ? AND state = 'accepted'", row["id"]):
        raise StateError("refused.session.not-now", "an accept still waits for its confirm")
    await _close(tx, row, "withdrawn", now)
    for session in await tx.all("SELECT * FROM session WHERE demand = ?", row["id"]):
        await _decline_quietly(tx, await read_dialogue(tx, session), now)


async def _close(tx: Transaction, row: Row, state: str, now: int) -> None:
    """Take a demand off the relays and erase what offers were sealed to."""
    seed = tx.open("demand", "seed", row["id"], row["seed"])
    notice = sign(
        "demand-withdraw", seed, {"demand": row["id"]}, created=now, expires=max(row["expires"], now + 86_400)
    )
    relays = read_demand(verify(decode_record(row["record"]))).relays
    await queue(tx, row["author"], relays, record=notice.record.encode(), now=now)
    await tx.run("UPDATE demand SET state = ?, offer_secret = NULL WHERE id = ?", state, row["id"])


async def _decline_quietly(tx: Transaction, dialogue: Dialogue, now: int) -> None:
    """End a session without a price, a rank or a reason."""
    if permits(dialogue.session, "person", "decline", now):
        await say(tx, dialogue, "decline", {"code": "refused.session.not-now"}, now=now)


async def begin_with(tx: Transaction, envelope: Verified, message: Verified, now: int) -> Dialogue:
    """Make the session of a vendor's first message; raises IntentcastError if it answers no open demand of ours."""
    row = await tx.one("SELECT * FROM demand WHERE author = ?", message.to)
    if row is None or envelope.to != message.to or message.session is None:
        raise InvalidMessage("invalid.record.recipient")
    if row["state"] != "open" or row["seed"] is None:
        raise Refused("refused.record.withdrawn", "the demand is closed")
    if message.author == message.to or message.session != envelope.author:
        raise InvalidMessage("invalid.record.recipient")
    demand = read_demand(verify(decode_record(row["record"])))
    sql = "SELECT count(*), coalesce(sum(vendor = ?), 0) FROM session WHERE demand = ?"
    sessions = await tx.one(sql, message.author, demand.id)
    if sessions and sessions[1]:
        raise Refused("refused.limit.exceeded", "one session for each vendor")
    if sessions and sessions[0] >= _SESSIONS:
        raise Refused("refused.limit.exceeded", f"{_SESSIONS} vendors have answered")
    return await create(
        tx,
        begin(demand, key=message.session, vendor=message.author),
        "person",
        demand_record=row["record"],
        seed=tx.open("demand", "seed", demand.id, row["seed"]),
        relays=demand.relays,
        peer_key=bytes(32),
        session_seed=None,
        now=now,
    )


async def react(tx: Transaction, dialogue: Dialogue, heard: Heard, now: int) -> None:
    """Do what follows from a vendor's message: drop those who refuse the terms, keep the agreement of a confirm."""
    if heard.problem and heard.problem.code in _TERMS:
        await _decline_quietly(tx, dialogue, now)
    elif heard.problem:
        return
    elif heard.message.id == dialogue.session.confirm and dialogue.session.state is not State.CONFLICT:
        await _agree(tx, dialogue, heard.message, now)
    elif heard.message.id == dialogue.session.offer and dialogue.session.state is State.OFFERED:
        await ask_unknown(tx, dialogue, heard.message, now)


async def _agree(tx: Transaction, dialogue: Dialogue, confirm: Verified, now: int) -> None:
    session = dialogue.session
    row = await tx.one("SELECT * FROM demand WHERE id = ?", session.demand)
    assert row is not None
    await keep_agreement(tx, dialogue, row["record"], now)
    await say(tx, dialogue, "ack", {"re": confirm.id}, now=now)
    if session.amendments:
        return
    await disclose(tx, dialogue, now)
    await _close(tx, row, "agreed", now)
    others = await tx.all("SELECT key FROM session WHERE demand = ? AND key != ?", session.demand, session.key)
    for other in others:
        due = now + random.randint(*_CLOSE_WITHIN)
        await tx.run("INSERT INTO errand (kind, subject, due) VALUES ('close', ?, ?)", other["key"], due)


async def recover(tx: Transaction, dialogue: Dialogue, now: int) -> None:
    """Keep an agreement that a backup did not have yet. PROTOCOL §8.8"""
    session = dialogue.session
    known = await tx.one("SELECT 1 FROM agreement WHERE session = ?", session.key)
    confirm = await find_message(tx, session.confirm or b"")
    if session.state is not State.AGREED or known or confirm is None:
        return
    told = await tx.one("SELECT 1 FROM message WHERE session = ? AND author = 'person' AND type = 'ack'", session.key)
    if not told:
        await _agree(tx, dialogue, confirm, now)
        return
    row = await tx.one("SELECT * FROM demand WHERE id = ?", session.demand)
    assert row is not None
    await keep_agreement(tx, dialogue, row["record"], now)
    await _close(tx, row, "agreed", now)


async def close_loser(tx: Transaction, key: bytes, now: int) -> None:
    """Tell a vendor who was not chosen that it is over, and nothing else."""
    dialogue = await open_dialogue(tx, key)
    if dialogue:
        await _decline_quietly(tx, dialogue, now)


async def releases(tx: Transaction, dialogue: Dialogue) -> tuple[dict[str, str], dict[str, str]]:
    """Return what this vendor would be told now, and why the rest is refused. PROTOCOL §7.3"""
    contact = await tx.get_private("contact") or {}
    told, refused = {}, {}
    for attribute, value in contact.items():
        try:
            disclosure(dialogue.session, {attribute: value})
        except (Refused, InvalidMessage) as error:
            refused[attribute] = str(error)
        else:
            told[attribute] = value
    return told, refused


async def disclose(tx: Transaction, dialogue: Dialogue, now: int) -> tuple[str, ...]:
    """Tell the winner how to reach the person, once, and write each release and refusal in the ledger."""
    told, refused = await releases(tx, dialogue)
    session = dialogue.session.key
    before = await tx.all("SELECT attribute FROM ledger WHERE session = ? AND decision = 'released'", session)
    told = {name: value for name, value in told.items() if name not in {row["attribute"] for row in before}}
    message = None
    if told:
        message = await say(tx, dialogue, "disclose", disclosure(dialogue.session, told), now=now)
    sql = "INSERT INTO ledger (session, attribute, decision, reason, message, at) VALUES (?, ?, ?, ?, ?, ?)"
    for name in told:
        reason = f"stage {STAGES[name]}: the winner of an agreement"
        await tx.run(sql, session, name, "released", reason, message.id if message else None, now)
    for name, reason in refused.items():
        await tx.run(sql, session, name, "refused", reason, None, now)
    return tuple(told)


async def counter(
    tx: Transaction, dialogue: Dialogue, price: Price | None, conditions: Conditions | None, text: str, now: int
) -> Verified:
    """Counter a vendor's offer with full terms; what is None stays as offered.

    Raises StateError where the rules do not allow it, where the vendor already asks no more for these conditions, or
    where the demand is closed, so that no offer that came of it could be accepted.
    """
    offer = await standing_offer(tx, dialogue)
    demand = await tx.one("SELECT state FROM demand WHERE id = ?", dialogue.session.demand)
    if demand is None or demand["state"] != "open":
        raise StateError("refused.session.not-now", f"the demand is {demand['state'] if demand else 'unknown'}")
    cheaper = price is not None and price.total < offer.price.total
    if not cheaper and conditions in (None, offer.conditions):
        raise StateError(
            "refused.session.not-now", "the vendor already asks no more than that; accept the offer instead"
        )
    return await say_counter(tx, dialogue, counter_terms(offer, price, conditions), text, now)


async def say_counter(tx: Transaction, dialogue: Dialogue, terms: dict[str, Any], text: str, now: int) -> Verified:
    """Sign a counter of these full terms to the newest offer; raises StateError where the rules do not allow it."""
    body = {"demand": dialogue.session.demand, "offer": dialogue.session.offer, **terms}
    if text:
        body["text"] = text
    return await say(tx, dialogue, "counter", body, now=now, expires=now + COUNTER_LIFE)


async def standing_offer(tx: Transaction, dialogue: Dialogue) -> Offer:
    """Return the newest offer of a session; raises StateError if there is none."""
    message = await find_message(tx, dialogue.session.offer or b"")
    if message is None:
        raise StateError("refused.offer.not-standing", "this vendor has not offered yet")
    return read_offer(message)


async def accept(
    tx: Transaction, dialogue: Dialogue, *, all_relays_read: bool, anyway: bool, say_so: bool, now: int
) -> Verified:
    """Accept the standing offer of a session.

    An earlier accept of this demand is withdrawn first, and only when its vendor can no longer confirm it. Raises
    StateError: an accept may still be confirmed, a relay could not be read (say so with `anyway`), the offer lapsed,
    fewer than two relays of the person's have seen the vendor's domain (`say_so`). PROTOCOL §8.3, §8.9
    """
    session = dialogue.session
    demand = await tx.one("SELECT * FROM demand WHERE id = ?", session.demand)
    session = dialogue.session = tick(session, now)
    amends = session.state is State.AMENDING
    if demand is None or (demand["state"] != "open" and not amends):
        raise StateError("refused.session.not-now", f"the demand is {demand['state'] if demand else 'unknown'}")
    sql = "SELECT key FROM session WHERE demand = ? AND state IN ('accepted', 'conflict', 'disputed') AND key != ?"
    for row in await tx.all(sql, session.demand, session.key):
        earlier = await open_dialogue(tx, row["key"])
        assert earlier is not None
        if earlier.session.state is not State.ACCEPTED:
            if earlier.session.binds and not anyway:
                detail = f"you may be bound to {earlier.session.vendor_name}; it takes your word for it (--anyway)"
                raise StateError("refused.session.not-now", detail)
            continue
        await _end_accept(tx, earlier, all_relays_read=all_relays_read, anyway=anyway, now=now)
    offer = await standing_offer(tx, dialogue)
    if session.state is State.LAPSED:
        raise StateError("refused.offer.late", "ask the vendor, and it may offer once more (intentcast deal ask)")
    seen = await find_witnesses(tx, dialogue, now)
    known = describe(offer.seller.domain, len(seen))
    if len(seen) < ENOUGH and not say_so:
        raise StateError("refused.session.not-now", f"{known}; it takes your word (--yes) to accept all the same")
    expires = min(now + CONFIRM_WITHIN, offer.expires + CONFIRM_WITHIN)
    body = {"demand": session.demand, "offer": offer.id}
    message = await say(tx, dialogue, "accept", body, now=now, expires=expires)
    decision, reason = ("witnessed", known) if len(seen) >= ENOUGH else ("said so", f"{known}, and you said so")
    sql = "INSERT INTO acceptance (message, session, decision, reason, at) VALUES (?, ?, ?, ?, ?)"
    await tx.run(sql, message.id, session.key, decision, reason, now)
    return message


async def find_witnesses(tx: Transaction, dialogue: Dialogue, now: int) -> tuple[tuple[str, Attestation], ...]:
    """Return which relays of this demand have seen the vendor's domain name its key, and hold by that now."""
    message = await find_message(tx, dialogue.session.offer or b"")
    if message is None:
        return ()
    return witnesses(message, read_offer(message), await read_keys(tx, dialogue.relays), at=now)


async def invite(
    tx: Transaction, row: Row, *, to: Key, uses: int, until: int | None, onward: bool, now: int
) -> dict[str, Any]:
    """Sign an invitation to an open demand's mailbox, as long as the demand lasts unless said; return its view.

    Raises StateError where it would open nothing, InvalidMessage for numbers out of range. PROTOCOL §10.5
    """
    demand = read_demand(verify(decode_record(row["record"])))
    if row["state"] != "open" or row["seed"] is None:
        raise StateError("refused.session.not-now", f"the demand is {row['state']}")
    if "invite" not in demand.admit[:LOOKED_AT]:
        raise StateError("refused.session.not-now", "its admit lists no invite, so nobody gets in by one")
    seed = tx.open("demand", "seed", row["id"], row["seed"])
    signed = sign_invitation(seed, to=to, uses=uses, until=until or demand.expires, onward=onward)
    return await invitation.keep(tx, signed, "made", now)


async def _end_accept(tx: Transaction, earlier: Dialogue, *, all_relays_read: bool, anyway: bool, now: int) -> None:
    until = earlier.session.accept_until + ACCEPT_GRACE
    name = earlier.session.vendor_name
    if now <= until:
        raise StateError("refused.session.not-now", f"{name} may still confirm, for {until - now} s more")
    if not (all_relays_read or anyway):
        detail = f"a relay of this demand cannot be read, and a confirm of {name} may lie there (--anyway)"
        raise StateError("refused.session.not-now", detail)
    await say(tx, earlier, "withdraw", {"re": earlier.session.accept}, now=now)


async def answer(
    tx: Transaction, dialogue: Dialogue, text: str, now: int, facts: Sequence[Fact] = (), all_the_same: bool = False
) -> None:
    """Answer the vendor's question; with `all_the_same`, what it cannot state of the must-haves may stay unknown.

    Raises StateError if nothing was asked.
    """
    row = await tx.one("SELECT demand_record FROM session WHERE key = ?", dialogue.session.key)
    assert row is not None
    wishes = read_demand(verify(decode_record(row["demand_record"]))).constraints
    waived = {wish.path for wish in wishes if wish.strength == "must" and wish.on_unknown == "ask"}
    await talk.answer(tx, dialogue, now, text, facts, waived if all_the_same else ())


async def say_of_deal(tx: Transaction, dialogue: Dialogue, kind: str, text: str, now: int) -> None:
    """Say of an agreement that what was agreed has come (`fulfil`), or that something is wrong (`dispute`)."""
    await say(tx, dialogue, kind, {"text": read_text(text, "text", _MALFORMED)} if text else {}, now=now)


async def decline(tx: Transaction, dialogue: Dialogue, text: str, now: int) -> None:
    """Decline a vendor, with words of the person's own choosing or none."""
    body = {"code": "refused.session.not-now"} | ({"text": text} if text else {})
    await say(tx, dialogue, "decline", body, now=now)


async def lane_keys(tx: Transaction, author: Key) -> list[tuple[bytes, Key]]:
    """Return the one key a demand's connection proves: D."""
    row = await tx.one("SELECT * FROM demand WHERE author = ?", author)
    return [(tx.open("demand", "seed", row["id"], row["seed"]), author)] if row and row["seed"] else []


async def expire(tx: Transaction, now: int) -> None:
    """Close demands whose time has come, and erase what offers were sealed to."""
    await tx.run(
        "UPDATE demand SET state = 'expired', offer_secret = NULL WHERE state = 'open' AND expires <= ? "
        "AND NOT EXISTS (SELECT 1 FROM session s WHERE s.demand = demand.id AND s.state = 'accepted')",
        now,
    )
