"""Coming back from a backup: ask each peer for what is missing before signing anything else.

A restored agent may have signed messages it no longer knows of; signing the next number again would be equivocation. So
it sends `resume`, which stands outside the chain, and says nothing else in that session until the peer has returned the
lost messages of both sides. PROTOCOL §8.8
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from intentcast_protocol.demand import read_demand
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.identity import Key
from intentcast_protocol.negotiation import ACTORS
from intentcast_protocol.record import Verified, decode_record, from_wire, verify

from intentcast_agent.dialogue import Dialogue, hear, open_dialogue, read_message, say_outside_chain
from intentcast_agent.store import Transaction

_PAGE = 40_000  # bytes of records in one answer, so that it fits the largest seal with its envelope
_MOST = 256  # records in one answer that are looked at
_NOTE = "restored"
Recover = Callable[[Transaction, Dialogue, int], Awaitable[None]]

# Sessions in which something may still be said.
UNENDED: Final = "state NOT IN ('declined', 'withdrawn', 'expired')"


async def mark_restored(tx: Transaction) -> list[Key]:
    """Note that this store came from a backup: no session signs anything until it was resumed. Return the sessions."""
    await tx.run(f"UPDATE session SET restoring = 1 WHERE {UNENDED}")  # noqa: S608 (our own states)
    return [Key(row["key"]) for row in await tx.all("SELECT key FROM session WHERE restoring = 1")]


async def note_restored(tx: Transaction, now: int, made: int) -> None:
    """Mark a store that is being put back from a backup made then, so that its next start asks its peers first."""
    await mark_restored(tx)
    await tx.put_private(_NOTE, {"at": now, "made": made, "asked": False})
    # What it was put back from is a backup of it, and the newest it can know of.
    await tx.put_private("backup", {"at": made})


async def restored(tx: Transaction) -> dict[str, Any] | None:
    """Return when this store was put back, from a backup made when, and whether its peers were asked; None if never."""
    noted: dict[str, Any] | None = await tx.get_private(_NOTE)
    return noted


async def note_asked(tx: Transaction) -> None:
    """Note that every peer was asked."""
    if noted := await restored(tx):
        await tx.put_private(_NOTE, noted | {"asked": True})


async def ask(tx: Transaction, dialogue: Dialogue, now: int, also_to: Sequence[bytes] = ()) -> None:
    """Ask the peer for what we lack, sealed to the reply key we know and to longer-lived keys. PROTOCOL §8.8"""
    have = [dialogue.session.chain(actor).seq for actor in ACTORS]
    await say_outside_chain(tx, dialogue, {"have": have}, now=now, rekey=True, also_to=also_to)


async def on_resume(tx: Transaction, dialogue: Dialogue, message: Verified, recover: Recover, now: int) -> None:
    """Answer a peer's question, or take in the answer to ours. Raises InvalidMessage for an ill-formed one."""
    if "have" in message.body:
        await _answer(tx, dialogue, message, now)
    elif dialogue.restoring:
        await _take_in(tx, dialogue, message, recover, now)


async def _answer(tx: Transaction, dialogue: Dialogue, message: Verified, now: int) -> None:
    have = message.body["have"]
    if not isinstance(have, list) or len(have) != 2 or not all(type(seq) is int and seq >= 0 for seq in have):
        raise InvalidMessage("invalid.session.malformed", "have is how many messages of each side are known")
    rows = await tx.all(
        "SELECT * FROM message WHERE session = ? AND processed IS NOT NULL AND seq > 0 "
        "AND seq > CASE author WHEN 'person' THEN ? ELSE ? END ORDER BY processed, rowid",
        dialogue.session.key,
        *have,
    )
    records: list[list[bytes]] = []
    size = 0
    for row in rows:
        record = read_message(tx, row).record
        size += len(record.payload)
        if records and size > _PAGE:
            break
        records.append(record.wire())
    await say_outside_chain(tx, dialogue, {"re": message.id, "records": records}, now=now)


async def _take_in(tx: Transaction, dialogue: Dialogue, message: Verified, recover: Recover, now: int) -> None:
    records = message.body.get("records")
    if not isinstance(records, list) or len(records) > _MOST:
        raise InvalidMessage("invalid.session.malformed", "records are what the asker lacks")
    for wire in records:
        # Ours or the peer's, each proves itself; the session's rules see that each follows its author's previous one.
        await hear(tx, dialogue, verify(from_wire(wire)), sealed_to=None, now=now)
    if records:
        await ask(tx, dialogue, now)
        return
    dialogue.restoring = False
    await tx.run("UPDATE session SET restoring = 0 WHERE key = ?", dialogue.session.key)
    await recover(tx, dialogue, now)


async def ask_all(
    tx: Transaction, keys: Sequence[Key], vendor_seed: bytes | None, seal_keys: Mapping[Key, bytes], now: int
) -> None:
    """Ask in sessions; `seal_keys` are those of vendors' profiles, the demand's offer key serves the other way."""
    for key in keys:
        dialogue = await open_dialogue(tx, key, vendor_seed)
        if dialogue is None:
            continue
        if dialogue.role == "person":
            longer = seal_keys.get(dialogue.session.vendor)
        else:
            row = await tx.one("SELECT demand_record FROM session WHERE key = ?", key)
            longer = read_demand(verify(decode_record(row["demand_record"]))).offer_key if row else None
        await ask(tx, dialogue, now, (longer,) if longer and longer != dialogue.peer_key else ())


async def vendors_of(tx: Transaction, keys: Sequence[Key]) -> list[tuple[Key, tuple[str, ...]]]:
    """Return the vendors of a person's sessions and the relays to find their profiles at."""
    found = [await open_dialogue(tx, key) for key in keys]
    return [(one.session.vendor, one.relays) for one in found if one and one.role == "person"]
