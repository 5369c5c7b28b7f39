"""Erasing what has no more use: the less an agent holds, the less there is to lose."""

from intentcast_protocol.identity import Key
from intentcast_protocol.limits import MAX_LIFE, MAX_SKEW, REKEY_AFTER

from intentcast_agent.store import Transaction


async def erase_closed(tx: Transaction, now: int) -> None:
    """Erase a demand's key D once it is closed without an agreement and its last words have left. PROTOCOL §5.1"""
    await tx.run(
        "UPDATE demand SET seed = NULL WHERE seed IS NOT NULL AND state IN ('withdrawn', 'expired') AND expires < ? "
        "AND NOT EXISTS (SELECT 1 FROM session s WHERE s.demand = demand.id AND s.state IN "
        "('accepted', 'agreed', 'fulfilled', 'conflict', 'disputed')) "
        "AND NOT EXISTS (SELECT 1 FROM delivery d JOIN outbox o ON o.number = d.outbox "
        "WHERE o.lane = demand.author AND d.state = 'queued')",
        now,
    )


async def prune(tx: Transaction, now: int) -> None:
    """Forget envelopes that can no longer be replayed, deliveries nobody waits for, and drafts nobody cast."""
    await tx.run("DELETE FROM inbox WHERE expires < ?", now - MAX_SKEW)
    await tx.run(
        "DELETE FROM outbox WHERE made < ? AND NOT EXISTS "
        "(SELECT 1 FROM delivery d WHERE d.outbox = outbox.number AND d.state = 'queued')",
        now - MAX_LIFE,
    )
    await tx.run("DELETE FROM answered WHERE expires < ? AND session IS NULL", now - MAX_SKEW)
    await tx.run("DELETE FROM draft WHERE made < ?", now - MAX_LIFE)


async def aged_sessions(tx: Transaction, now: int) -> list[Key]:
    """Return the sessions with an agreement whose newest reply key of ours is due for a fresh one. PROTOCOL §5.6"""
    rows = await tx.all(
        "SELECT s.key FROM session s JOIN reply_key r ON r.session = s.key WHERE s.state IN ('agreed', 'disputed') "
        "GROUP BY s.key HAVING max(r.made) < ?",
        now - REKEY_AFTER,
    )
    return [Key(row["key"]) for row in rows]
