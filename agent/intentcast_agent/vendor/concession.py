"""The concession budget in the store: what deals have given away, and what standing offers still may.

It is read and written in the transaction that signs an offer, so that sessions side by side cannot overdraw it.
"""

from decimal import Decimal

from intentcast_protocol.quantity import minor_digits

from intentcast_agent.store import Transaction
from intentcast_agent.vendor.entry import DAY
from intentcast_agent.vendor.policy import WINDOW, Policy


async def left(tx: Transaction, policy: Policy, now: int, session: bytes = b"") -> Decimal | None:
    """Return what is left of the policy's budget for one session, 0 when it is overdrawn; None without a budget.

    Deals of the last window count, and what is on offer in every other session.
    """
    if policy.budget is None:
        return None
    rows = await tx.all(
        "SELECT c.amount FROM concession c JOIN session s ON s.key = c.session WHERE c.currency = ? AND "
        "(c.dealt > ? OR c.dealt IS NULL AND c.session != ? AND "
        "(s.state = 'accepted' OR s.state IN ('offered', 'countered') AND c.until >= ?))",
        policy.currency, now - policy.budget.within, session, now,
    )  # fmt: skip
    used = Decimal(sum(row["amount"] for row in rows)).scaleb(-minor_digits(policy.currency))
    return max(policy.budget.amount - used, Decimal(0))


async def note_offer(tx: Transaction, session: bytes, amount: Decimal, currency: str, until: int) -> None:
    """Note what a session's standing offer gives away, in place of the offer before it."""
    await tx.run(
        "INSERT INTO concession (session, currency, amount, until) VALUES (?, ?, ?, ?) ON CONFLICT (session) DO UPDATE "
        "SET currency = excluded.currency, amount = excluded.amount, until = excluded.until",
        session, currency, int(amount.scaleb(minor_digits(currency))), until,
    )  # fmt: skip


async def note_deal(tx: Transaction, session: bytes, now: int) -> None:
    """Note that what a session gave away is sold, and forget what no budget counts any more."""
    await tx.run("UPDATE concession SET dealt = ? WHERE session = ?", now, session)
    # An accept may wait for a day after its offer.
    await tx.run(
        "DELETE FROM concession WHERE dealt < ? OR dealt IS NULL AND until < ?", now - WINDOW[1], now - 2 * DAY
    )
