"""Erasing what has no more use: the less an agent holds, the less there is to lose."""

from typing import Final

from intentcast_protocol.errors import InvalidMessage, Refused
from intentcast_protocol.identity import Key
from intentcast_protocol.limits import MAX_LIFE, MAX_SKEW, REKEY_AFTER

from intentcast_agent.link import Link
from intentcast_agent.store import Store, Transaction

# States in which the two may yet have to talk.
LASTING: Final = "('agreed', 'amending', 'reaccepted', 'fulfilled', 'conflict', 'disputed')"
KEEP: Final = 390 * 86_400  # s ahead that a relay is told to keep a mailbox; each allows 400 days
_KEEP_AGAIN: Final = 180 * 86_400  # s after which it is told anew
_KEEP_RETRY: Final = 86_400  # s after the answer that the vendor never wrote there
_KEEP_SOON: Final = 600  # s after any other refusal


async def erase_closed(tx: Transaction, now: int) -> None:
    """Erase a demand's key D once it is closed without an agreement and its last words have left. PROTOCOL §5.1"""
    await tx.run(
        "UPDATE demand SET seed = NULL "  # noqa: S608 (our own states)
        "WHERE seed IS NOT NULL AND state IN ('withdrawn', 'expired') AND expires < ? "
        "AND NOT EXISTS (SELECT 1 FROM session s WHERE s.demand = demand.id "
        f"AND (s.state = 'accepted' OR s.state IN {LASTING})) "
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
    await tx.run("DELETE FROM invitation WHERE until < ?", now - MAX_LIFE)


async def aged_sessions(tx: Transaction, now: int) -> list[Key]:
    """Return the sessions with an agreement whose newest reply key of ours is due for a fresh one. PROTOCOL §5.6"""
    rows = await tx.all(
        "SELECT s.key FROM session s JOIN reply_key r ON r.session = s.key "
        "WHERE s.state IN ('agreed', 'amending', 'reaccepted', 'disputed') "
        "GROUP BY s.key HAVING max(r.made) < ?",
        now - REKEY_AFTER,
    )
    return [Key(row["key"]) for row in rows]


async def keep_mailboxes(store: Store, author: Key, relay: str, link: Link, now: int) -> int | None:
    """Have a relay keep the mailboxes of a demand's agreement, which outlive the demand; return when to again.

    Without it they end 30 days after the demand does. None where there is no agreement yet. PROTOCOL §10.4
    """
    async with store.reading() as tx:
        rows = await tx.all(
            "SELECT s.key, k.due FROM session s JOIN demand d ON d.id = s.demand "  # noqa: S608 (our own states)
            "LEFT JOIN kept k ON k.session = s.key AND k.relay = ? "
            f"WHERE s.role = 'person' AND d.author = ? AND s.state IN {LASTING}",
            relay,
            author,
        )
    soonest = None
    for row in rows:
        due = row["due"] or 0
        if due <= now:
            try:
                await link.keep(author, Key(row["key"]), now + KEEP)
            except (Refused, InvalidMessage) as error:
                due = now + (_KEEP_RETRY if error.code == "refused.mailbox.not-admitted" else _KEEP_SOON)
            else:
                due = now + _KEEP_AGAIN
            async with store.transaction() as tx:
                sql = "INSERT OR REPLACE INTO kept (session, relay, due) VALUES (?, ?, ?)"
                await tx.run(sql, row["key"], relay, due)
        soonest = due if soonest is None else min(soonest, due)
    return soonest
