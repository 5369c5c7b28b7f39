"""Which demands are haggled over under which mandate, and what was done under it: all that is kept of it."""

from dataclasses import dataclass, field
from typing import Final

from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.identity import Id, Key
from intentcast_protocol.mandate import Ruling

from intentcast_agent.person.mandate import Instructions, restore_instructions, write_instructions
from intentcast_agent.store import Row, Transaction

AT_WORK: Final = "at work"
YOURS: Final = "yours"  # an offer waits for the person
AGREED: Final = "agreed"
ENDED: Final = "ended"  # without a deal
STOPPED: Final = "stopped"  # by the person


@dataclass(frozen=True, slots=True)
class Case:
    """One demand under one mandate."""

    demand: Id
    instructions: Instructions = field(repr=False)
    strategy: str = field(repr=False)
    secret: bytes = field(repr=False)  # 32 random bytes that the private pace of each thread is drawn from
    state: str
    reason: str = field(repr=False)
    session: bytes | None  # the offer that waits for the person
    started: int
    changed: int
    digest: bytes


async def give(
    tx: Transaction, demand: Id, instructions: Instructions, strategy: str, *, secret: bytes, now: int
) -> None:
    """Put a demand under a mandate; an earlier one of the same demand is replaced."""
    cell = encode({"given": write_instructions(instructions), "strategy": strategy, "secret": secret})
    await tx.run(
        "INSERT OR REPLACE INTO mandate (demand, instructions, digest, state, reason, started, changed) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        demand,
        tx.seal("mandate", "instructions", demand, cell),
        instructions.mandate.digest,
        AT_WORK,
        tx.seal("mandate", "reason", demand, b""),
        now,
        now,
    )


async def find(tx: Transaction, demand: bytes) -> Case | None:
    """Return the case of a demand, or None."""
    row = await tx.one("SELECT * FROM mandate WHERE demand = ?", demand)
    return _case(tx, row) if row else None


def end_of(demand_state: str) -> str:
    """Return the state of a case whose demand is no longer open."""
    return AGREED if demand_state == "agreed" else ENDED


async def at_work(tx: Transaction) -> list[bytes]:
    """Return the demands that are being haggled over."""
    return [row["demand"] for row in await tx.all("SELECT demand FROM mandate WHERE state = ?", AT_WORK)]


def _case(tx: Transaction, row: Row) -> Case:
    kept = decode(tx.open("mandate", "instructions", row["demand"], row["instructions"]))
    return Case(
        demand=Id(row["demand"]),
        instructions=restore_instructions(kept["given"]),
        strategy=kept["strategy"],
        secret=kept["secret"],
        state=row["state"],
        reason=tx.open("mandate", "reason", row["demand"], row["reason"]).decode(),
        session=row["session"],
        started=row["started"],
        changed=row["changed"],
        digest=row["digest"],
    )


async def close(tx: Transaction, demand: Id, state: str, reason: str, now: int, session: Key | None = None) -> None:
    """End the work on a demand: nothing is done under its mandate any more."""
    cell = tx.seal("mandate", "reason", demand, reason.encode())
    sql = "UPDATE mandate SET state = ?, reason = ?, session = ?, changed = ? WHERE demand = ?"
    await tx.run(sql, state, cell, session, now, demand)


async def note(
    tx: Transaction, case: Case, session: Key, kind: str, ruling: Ruling, *, message: Id | None, now: int
) -> None:
    """Log what a mandate said of an act, with the clause; a refusal that repeats the last one is logged once."""
    sql = "SELECT * FROM act WHERE demand = ? AND session = ? ORDER BY number DESC LIMIT 1"
    last = await tx.one(sql, case.demand, session)
    if last and message is None and (last["kind"], last["clause"]) == (kind, ruling.clause):
        return
    number = await tx.run(
        "INSERT INTO act (demand, session, kind, decision, clause, why, message, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        case.demand, session, kind, ruling.decision, ruling.clause, b"", message, now,
    )  # fmt: skip
    await tx.run("UPDATE act SET why = ? WHERE number = ?", tx.seal("act", "why", number, ruling.why.encode()), number)


async def acts(tx: Transaction, demand: bytes) -> list[dict[str, object]]:
    """Return what was done under a demand's mandates, oldest first."""
    rows = await tx.all(
        "SELECT a.*, s.number AS offer FROM act a LEFT JOIN session s ON s.key = a.session WHERE a.demand = ? "
        "ORDER BY a.number",
        demand,
    )
    return [
        {
            "offer": f"o{row['offer']}",
            "kind": row["kind"],
            "decision": row["decision"],
            "clause": row["clause"],
            "why": tx.open("act", "why", row["number"], row["why"]).decode(),
            "at": row["at"],
        }
        for row in rows
    ]
