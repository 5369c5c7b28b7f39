"""What comes in: each envelope opened, proven, and given its effect once, in one transaction.

Only after that does the relay get to delete it. What cannot be opened or proven is kept as a coded refusal, with the
name its sender claims.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from intentcast_protocol.errors import IntentcastError, InvalidMessage, SealError
from intentcast_protocol.identity import Key
from intentcast_protocol.record import Record, Verified, check_time, parse, verify
from intentcast_protocol.sealing import SealKey, check_inside, sealed_to, unseal
from intentcast_protocol.vocabulary import visible

from intentcast_agent.dialogue import Dialogue, Heard, hear, object_to, open_dialogue
from intentcast_agent.restore import Recover, on_resume
from intentcast_agent.store import Store, Transaction

React = Callable[[Transaction, Dialogue, Heard, int], Awaitable[None]]
Admit = Callable[[Transaction, Verified, Verified, int], Awaitable[Dialogue]]


@dataclass(frozen=True, slots=True)
class Side:
    """How one role takes part.

    `begin` makes the dialogue of a first message, `react` answers a processed one, `recover` does what was left undone
    once a restored session is whole again.
    """

    begin: Admit
    react: React
    recover: Recover
    vendor_seed: bytes | None = None
    seal_secret: bytes | None = None  # of the vendor's profile: what opens a message sealed outside a session


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of an envelope: the session and types that were processed, or the code of the refusal."""

    session: Key | None = None
    types: tuple[str, ...] = ()
    code: str | None = None
    claimed: str = ""


async def open_envelope(store: Store, record: Record, side: Side, now: int) -> Opened | None:
    """Give one envelope its effect, or refuse it; None when that was done before."""
    try:
        envelope = verify(record)
    except IntentcastError as error:
        # Nobody's word, under an id that may be a good record's: noting it would suppress the good one. PROTOCOL §4.3
        return Opened(code=error.code)
    try:
        check_time(envelope, now)
        key = sealed_to(envelope)
    except IntentcastError as error:
        return await _refuse(store, record, None, error, now)
    try:
        async with store.transaction() as tx:
            if await tx.one("SELECT 1 FROM inbox WHERE id = ?", envelope.id):
                return None
            await _note(tx, envelope)
            inner = await _open(tx, envelope, key, side)
            return await _process(tx, envelope, inner, side, key, now)
    except _Unproven as failure:
        return await _refuse(store, record, failure.inner, failure.error, now)
    except IntentcastError as error:
        return await _refuse(store, record, None, error, now)


class _Unproven(Exception):
    """The envelope opened, but what is inside is not what it says."""

    def __init__(self, inner: Record, error: IntentcastError) -> None:
        super().__init__(error.code)
        self.inner = inner
        self.error = error


async def _open(tx: Transaction, envelope: Verified, key: bytes, side: Side) -> Record:
    row = await tx.one("SELECT * FROM reply_key WHERE public = ?", key)
    if row:
        return unseal(envelope, SealKey(key, tx.open("reply_key", "secret", key, row["secret"])))
    if side.seal_secret:
        return unseal(envelope, SealKey(key, side.seal_secret))
    demand = await tx.one("SELECT * FROM demand WHERE author = ? AND offer_secret IS NOT NULL", envelope.to)
    if demand is None:
        raise SealError
    return unseal(envelope, SealKey(key, tx.open("demand", "offer_secret", demand["id"], demand["offer_secret"])))


async def _process(
    tx: Transaction, envelope: Verified, inner: Record, side: Side, key: bytes, now: int
) -> Opened:  # fmt: skip
    try:
        message = verify(inner)
        dialogue = await open_dialogue(tx, message.session or b"", side.vendor_seed)
        if dialogue is None:
            dialogue = await side.begin(tx, envelope, message, now)
        check_inside(message, envelope, person=dialogue.session.person, session=dialogue.session.key)
    except IntentcastError as error:
        raise _Unproven(inner, error) from error
    processed = await hear(tx, dialogue, message, sealed_to=key, now=now)
    for heard in processed:
        if heard.message.type == "resume":
            await on_resume(tx, dialogue, heard.message, side.recover, now)
        elif not dialogue.restoring:
            await object_to(tx, dialogue, heard, now=now)
            await side.react(tx, dialogue, heard, now)
    return Opened(dialogue.session.key, tuple(heard.message.type for heard in processed))


async def _note(tx: Transaction, envelope: Verified) -> None:
    await tx.run("INSERT OR IGNORE INTO inbox (id, expires) VALUES (?, ?)", envelope.id, envelope.expires)


async def _refuse(store: Store, record: Record, inner: Record | None, error: IntentcastError, now: int) -> Opened:
    """Keep a refusal with its code; what is inside is read only for the name it claims."""
    envelope = parse(record)
    claimed = _claimed_name(inner)
    async with store.transaction() as tx:
        await tx.run("INSERT OR IGNORE INTO inbox (id, expires) VALUES (?, ?)", envelope.id, envelope.expires)
        demand = await tx.one("SELECT id FROM demand WHERE author = ?", envelope.to)
        await tx.run(
            "INSERT OR IGNORE INTO rejected (id, demand, claimed, code, detail, at) VALUES (?, ?, ?, ?, ?, ?)",
            envelope.id, demand["id"] if demand else None, claimed, error.code, visible(error.detail)[:300], now,
        )  # fmt: skip
    return Opened(code=error.code, claimed=claimed)


def _claimed_name(inner: Record | None) -> str:
    if inner is None:
        return ""
    try:
        seller = parse(inner).body.get("offeredBy")
    except InvalidMessage:
        return ""
    name = seller.get("name") if isinstance(seller, dict) else None
    return "".join(char for char in name if char.isprintable())[:100] if isinstance(name, str) else ""
