"""One session's messages in and out, for either side: sign, process, remember and queue in one transaction.

`say` signs the next message only if the session's rules allow it, and by the time it returns the number, the signature,
the new state and the outbox row stand or fall together. `hear` does the same for what comes in. PROTOCOL §8
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from intentcast_protocol.agreement import bundle, verify_agreement
from intentcast_protocol.errors import IntentcastError, InvalidMessage, StateError
from intentcast_protocol.identity import Key
from intentcast_protocol.negotiation import (
    Actor,
    Ahead,
    Applied,
    Duplicate,
    Equivocation,
    Session,
    read_session,
    receive,
    send,
    tick,
    wake,
    write_session,
)
from intentcast_protocol.offer import read_offer
from intentcast_protocol.record import Verified, decode_record, sign, verify
from intentcast_protocol.sealing import SealKey, seal_key
from nacl.utils import random as random_bytes

from intentcast_agent.store import Row, Transaction
from intentcast_agent.witness import read_keys, witnesses

MESSAGE_LIFE = 30 * 86_400
_KEYED = ("accept", "confirm")  # and the first; a notice brings one when the last has aged


@dataclass(slots=True)
class Dialogue:
    """A session with the keys to speak in it."""

    session: Session
    role: Actor
    seed: bytes  # of D or of V: what signs our messages
    relays: tuple[str, ...]
    peer_key: bytes
    restoring: bool = False  # our own log may lack what we signed

    @property
    def peer(self) -> Actor:
        """The other side's role."""
        return "vendor" if self.role == "person" else "person"

    @property
    def lane(self) -> bytes:
        """Whose connection carries our messages: D's own, or the vendor's one."""
        return self.session.person if self.role == "person" else b""


async def open_dialogue(tx: Transaction, key: bytes, vendor_seed: bytes | None = None) -> Dialogue | None:
    """Load a session by its key S, or return None. A vendor passes the seed of V; a person's D is in the store."""
    row = await tx.one("SELECT * FROM session WHERE key = ?", key)
    return None if row is None else await read_dialogue(tx, row, vendor_seed)


async def read_dialogue(tx: Transaction, row: Row, vendor_seed: bytes | None = None) -> Dialogue:
    """Make a dialogue of a session row."""
    session = read_snapshot(tx, row)
    if row["role"] == "vendor":
        if vendor_seed is None:
            raise StateError("refused.auth.required", "this home's vendor key is not unlocked")
        seed = vendor_seed
    else:
        demand = await tx.one("SELECT * FROM demand WHERE id = ?", row["demand"])
        if demand is None or demand["seed"] is None:
            raise StateError("refused.record.unknown", "the demand's key has been erased")
        seed = tx.open("demand", "seed", demand["id"], demand["seed"])
    relays = tuple(json.loads(row["relays"]))
    return Dialogue(session, row["role"], seed, relays, row["peer_key"], bool(row["restoring"]))


def read_snapshot(tx: Transaction, row: Row) -> Session:
    """Return the state of a session row; unlike a dialogue it needs no key that may be erased."""
    return read_session(tx.open("session", "snapshot", row["key"], row["snapshot"]))


async def create(
    tx: Transaction,
    session: Session,
    role: Actor,
    *,
    demand_record: bytes,
    seed: bytes,
    relays: Sequence[str],
    peer_key: bytes,
    session_seed: bytes | None,
    now: int,
) -> Dialogue:
    """Begin a session in the store."""
    dialogue = Dialogue(session, role, seed, tuple(relays), peer_key)
    await tx.run(
        "INSERT INTO session (key, role, demand, vendor, demand_record, state, snapshot, seed, peer_key, relays, wake, "
        "changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        session.key,
        role,
        session.demand,
        session.vendor,
        demand_record,
        str(session.state),
        tx.seal("session", "snapshot", session.key, write_session(session)),
        None if session_seed is None else tx.seal("session", "seed", session.key, session_seed),
        peer_key,
        json.dumps(list(relays)),
        session.demand_expires,
        now,
    )
    return dialogue


async def _save(tx: Transaction, dialogue: Dialogue, now: int) -> None:
    session = dialogue.session
    await tx.run(
        "UPDATE session SET state = ?, snapshot = ?, peer_key = ?, wake = ?, changed = ? WHERE key = ?",
        str(session.state),
        tx.seal("session", "snapshot", session.key, write_session(session)),
        dialogue.peer_key,
        wake(session),
        now,
        session.key,
    )


async def _log(
    tx: Transaction, message: Verified, actor: Actor, now: int | None, sealed_to: bytes | None, problem: str | None
) -> None:
    await tx.run(
        "INSERT INTO message (id, session, author, seq, type, record, sealed_to, problem, processed) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET processed = excluded.processed, "
        "problem = excluded.problem",
        message.id,
        message.session,
        actor,
        message.seq,
        message.type,
        tx.seal("message", "record", message.id, message.record.encode()),
        sealed_to,
        problem,
        now,
    )


async def say(
    tx: Transaction,
    dialogue: Dialogue,
    kind: str,
    body: Mapping[str, Any],
    *,
    now: int,
    expires: int | None = None,
    rekey: bool = False,
) -> Verified:
    """Sign the next message of our side, apply it, and queue it for the session's relays.

    Adds a fresh reply key where the rules ask for one. Raises StateError, and signs nothing that is kept, when the
    session does not allow the message. PROTOCOL §8.3
    """
    if dialogue.restoring:
        detail = "restored from a backup, and the other side has not yet returned what is missing"
        raise StateError("refused.session.not-now", detail)
    session = dialogue.session
    chain, peer = session.chain(dialogue.role), session.chain("vendor" if dialogue.role == "person" else "person")
    fresh = seal_key() if chain.seq == 0 or kind in _KEYED or rekey else None
    message = sign(
        kind,
        dialogue.seed,
        {**body, "reply": fresh.public} if fresh else body,
        created=now,
        expires=now + MESSAGE_LIFE if expires is None else expires,
        to=session.vendor if dialogue.role == "person" else session.person,
        session=session.key,
        seq=chain.seq + 1,
        prev=chain.last,
        seen=peer.last,
    )
    dialogue.session = send(session, message, now)
    if fresh:
        await _keep_reply_key(tx, session.key, fresh, now)
    await _log(tx, message, dialogue.role, now, None, None)
    await _save(tx, dialogue, now)
    await queue(tx, dialogue.lane, dialogue.relays, message=message.id, now=now)
    return message


async def say_outside_chain(
    tx: Transaction,
    dialogue: Dialogue,
    body: Mapping[str, Any],
    *,
    now: int,
    rekey: bool = False,
    also_to: Sequence[bytes] = (),
) -> Verified:
    """Sign and queue a `resume`, which has no number and changes no state.

    `also_to` are longer-lived keys of the peer that it is sealed to as well: the reply key a backup knows may have been
    erased since. PROTOCOL §8.8
    """
    session = dialogue.session
    fresh = seal_key() if rekey else None
    message = sign(
        "resume",
        dialogue.seed,
        {**body, "reply": fresh.public} if fresh else body,
        created=now,
        expires=now + MESSAGE_LIFE,
        to=session.vendor if dialogue.role == "person" else session.person,
        session=session.key,
        seq=0,
    )
    if fresh:
        await _keep_reply_key(tx, session.key, fresh, now)
    await _log(tx, message, dialogue.role, now, None, None)
    for key in (None, *also_to):
        await queue(tx, dialogue.lane, dialogue.relays, message=message.id, key=key, now=now)
    return message


async def _keep_reply_key(tx: Transaction, session: bytes, key: SealKey, now: int) -> None:
    """Keep the secret of a reply key before its public half goes out."""
    cell = tx.seal("reply_key", "secret", key.public, key.secret)
    sql = "INSERT INTO reply_key (public, session, secret, made) VALUES (?, ?, ?, ?)"
    await tx.run(sql, key.public, session, cell, now)


async def queue(
    tx: Transaction,
    lane: bytes,
    relays: Sequence[str],
    *,
    now: int,
    message: bytes | None = None,
    record: bytes | None = None,
    key: bytes | None = None,
) -> int:
    """Queue a session message, to be sealed, or a ready record for delivery to relays; return its outbox number."""
    number = await tx.run(
        "INSERT INTO outbox (lane, message, key, record, made) VALUES (?, ?, ?, ?, ?)", lane, message, key, record, now
    )
    for relay in relays:
        await tx.run("INSERT INTO delivery (outbox, relay) VALUES (?, ?)", number, relay)
    return number


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that was processed, and the coded problem if it had no effect."""

    message: Verified
    problem: IntentcastError | None


async def hear(
    tx: Transaction, dialogue: Dialogue, message: Verified, *, sealed_to: bytes | None, now: int
) -> list[Heard]:
    """Process a message of the peer, and any buffered ones it was holding up, in order.

    Raises InvalidMessage when it does not belong here; an equivocation freezes the session and is kept. PROTOCOL §8.2
    """
    first = await _hear_one(tx, dialogue, message, sealed_to=sealed_to, now=now)
    heard = [first] if first else []
    while heard and (buffered := await _take_buffered(tx, dialogue, message.author)):
        one, key = buffered
        # One that does not follow after all was never processed; it must not undo those before it.
        with contextlib.suppress(InvalidMessage):
            found = await _hear_one(tx, dialogue, one, sealed_to=key, now=now)
            heard += [found] if found else []
    return heard


async def _hear_one(
    tx: Transaction, dialogue: Dialogue, message: Verified, *, sealed_to: bytes | None, now: int
) -> Heard | None:
    session = dialogue.session
    actor = session.actor(message.author)
    known = await tx.one(
        "SELECT id FROM message WHERE session = ? AND author = ? AND seq = ? AND processed IS NOT NULL "
        "ORDER BY id = ? DESC",
        session.key,
        actor,
        message.seq,
        message.id,
    )
    outcome = receive(session, message, now, known["id"] if known else None)
    match outcome:
        case Duplicate():
            return None
        case Ahead():
            await _log(tx, message, actor or "person", None, sealed_to, None)
            return None
        case Equivocation(frozen):
            dialogue.session = frozen
            cell = tx.seal("evidence", "record", message.id, message.record.encode())
            await tx.run("INSERT OR IGNORE INTO evidence (id, session, record) VALUES (?, ?, ?)",
                         message.id, session.key, cell)  # fmt: skip
            await _save(tx, dialogue, now)
            return None
        case Applied(after, problem):
            dialogue.session = after
            reply = message.body.get("reply")
            if isinstance(reply, bytes) and len(reply) == 32 and actor != dialogue.role:
                dialogue.peer_key = reply
            if sealed_to:
                await _erase_older(tx, session.key, sealed_to)
            await _log(tx, message, actor or "person", now, sealed_to, problem.code if problem else None)
            await _save(tx, dialogue, now)
            return Heard(message, problem)


async def _erase_older(tx: Transaction, session: bytes, used: bytes) -> None:
    """Erase our reply keys older than the one a processed message was sealed to. PROTOCOL §5.6"""
    await tx.run(
        "DELETE FROM reply_key WHERE session = ? AND number < (SELECT number FROM reply_key WHERE public = ?)",
        session,
        used,
    )


async def _take_buffered(tx: Transaction, dialogue: Dialogue, author: Key) -> tuple[Verified, bytes | None] | None:
    """Take out the next message of an author whose turn has come; a second one under the same number comes too."""
    actor = dialogue.session.actor(author)
    row = actor and await tx.one(
        "SELECT * FROM message WHERE session = ? AND author = ? AND seq BETWEEN 1 AND ? AND processed IS NULL "
        "ORDER BY seq, rowid",
        dialogue.session.key,
        actor,
        dialogue.session.chain(actor).seq + 1,
    )
    if not row:
        return None
    await tx.run("DELETE FROM message WHERE id = ?", row["id"])
    return read_message(tx, row), row["sealed_to"]


def read_message(tx: Transaction, row: Row) -> Verified:
    """Return the verified record of a message row."""
    return verify(decode_record(tx.open("message", "record", row["id"], row["record"])))


async def find_message(tx: Transaction, message_id: bytes) -> Verified | None:
    """Return a message by its id, or None."""
    row = await tx.one("SELECT * FROM message WHERE id = ?", message_id)
    return read_message(tx, row) if row else None


async def object_to(tx: Transaction, dialogue: Dialogue, heard: Heard, *, now: int) -> None:
    """Answer a message that had no effect with its coded problem; problems are never answered. PROTOCOL §8.3"""
    if heard.problem and heard.message.type != "problem":
        body = {"code": heard.problem.code, "re": heard.message.id}
        await say(tx, dialogue, "problem", body, now=now)


async def let_time_pass(tx: Transaction, dialogue: Dialogue, now: int) -> bool:
    """Let the clock act on a session; return whether its state changed. PROTOCOL §8.5"""
    after = tick(dialogue.session, now)
    changed = after.state is not dialogue.session.state
    dialogue.session = after
    await _save(tx, dialogue, now)
    return changed


def new_seed() -> bytes:
    """Return 32 fresh random bytes for a signing key."""
    return random_bytes(32)


async def keep_agreement(tx: Transaction, dialogue: Dialogue, demand_record: bytes, now: int) -> None:
    """Bundle an agreement's records and what relays attest of the vendor, and keep it, on either side.

    What an amendment replaces is in its bundle. Raises InvalidMessage, so that nothing comes of it, when the bundle
    does not prove itself. PROTOCOL §8.6
    """
    session = dialogue.session
    deals: list[tuple[Verified, Verified, Verified]] = []
    named = session.confirm
    while named:
        confirm = await _message(tx, named)
        accept = await _message(tx, confirm.body["accept"])
        offer = await _message(tx, accept.body["offer"])
        deals.insert(0, (offer, accept, confirm))
        named = offer.body.get("amends")
    (offer, accept, confirm), *more = deals
    seen = witnesses(offer, read_offer(offer), await read_keys(tx, dialogue.relays), at=accept.created)
    amendments = [(one.record, two.record, three.record) for one, two, three in more]
    records = (decode_record(demand_record), offer.record, accept.record, confirm.record)
    data = bundle(*records, attestations=[word for _, word in seen], amendments=amendments)
    found = verify_agreement(data)
    cell = tx.seal("agreement", "bundle", found.id, data)
    if await tx.one("SELECT 1 FROM agreement WHERE session = ?", session.key):
        await tx.run("UPDATE agreement SET id = ?, bundle = ?, at = ? WHERE session = ? AND id != ?",
                     found.id, cell, now, session.key, found.id)  # fmt: skip
    else:
        sql = "INSERT INTO agreement (id, number, session, bundle, at) VALUES (?, ?, ?, ?, ?)"
        await tx.run(sql, found.id, await tx.number("agreement"), session.key, cell, now)


async def _message(tx: Transaction, message_id: bytes) -> Verified:
    found = await find_message(tx, message_id)
    assert found is not None  # the session's rules have processed it
    return found
