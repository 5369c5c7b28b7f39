"""Invitations in the store: those a person made, those a vendor holds, and those it passed on.

What was signed is kept until it has ended, sealed: it says who was invited to what. PROTOCOL §10.5
"""

from typing import Any, Literal

from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import Refused, StateError
from intentcast_protocol.identity import did
from intentcast_protocol.invitation import Invitation, encode_chain, read_chain

from intentcast_agent.store import Row, Transaction

AHEAD = 400 * 86_400  # s that an invitation may reach; every relay allows as much


async def keep(
    tx: Transaction, invitation: Invitation, role: Literal["made", "held", "passed"], now: int
) -> dict[str, Any]:
    """Keep an invitation, once; return its view. Raises Refused for one that has ended or reaches too far."""
    if invitation.until <= now:
        raise Refused("refused.record.expired", "the invitation has ended")
    if invitation.until > now + AHEAD:
        raise Refused("refused.limit.exceeded", f"an invitation lasts at most {AHEAD // 86_400} days")
    name = invitation.links[-1].id
    if not await tx.one("SELECT 1 FROM invitation WHERE id = ?", name):
        await tx.run(
            "INSERT INTO invitation (id, role, demand, chain, until, at) VALUES (?, ?, ?, ?, ?, ?)",
            name,
            role,
            invitation.demand,
            tx.seal("invitation", "chain", name, encode(invitation.wire())),
            invitation.until,
            now,
        )
    row = await tx.one("SELECT * FROM invitation WHERE id = ?", name)
    assert row is not None
    return view(tx, row)


def check_held(invitation: Invitation, key: bytes) -> None:
    """Raise StateError unless the invitation is for this vendor's key."""
    if invitation.to != key:
        raise StateError("refused.session.not-now", f"this invitation is for {did(invitation.to)}, not for this vendor")


async def find_held(tx: Transaction, demand: bytes, now: int) -> Invitation | None:
    """Return the invitation to a demand's mailbox that this vendor holds and that lasts longest, if there is one."""
    sql = "SELECT * FROM invitation WHERE demand = ? AND role = 'held' AND until > ? ORDER BY until DESC, number DESC"
    row = await tx.one(sql, demand, now)
    return read(tx, row) if row else None


async def list_held(tx: Transaction) -> list[dict[str, Any]]:
    """Return the views of what a vendor holds and has passed on, newest first."""
    return [view(tx, row) for row in await tx.all("SELECT * FROM invitation WHERE role != 'made' ORDER BY number DESC")]


async def list_made(tx: Transaction, demand: bytes) -> list[dict[str, Any]]:
    """Return the views of the invitations a person signed for a demand, newest first."""
    sql = "SELECT * FROM invitation WHERE role = 'made' AND demand = ? ORDER BY number DESC"
    return [view(tx, row) for row in await tx.all(sql, demand)]


def view(tx: Transaction, row: Row) -> dict[str, Any]:
    """Return what people and programs are shown of a kept invitation, its text among it."""
    invitation = read(tx, row)
    return {
        "name": f"i{row['number']}",
        "role": row["role"],
        "demand": did(invitation.demand),
        "to": did(invitation.to),
        "uses": invitation.links[-1].uses,
        "until": invitation.until,
        "onward": invitation.links[-1].onward,
        "text": encode_chain(invitation),
        "at": row["at"],
    }


def read(tx: Transaction, row: Row) -> Invitation:
    """Return the invitation of a row."""
    return read_chain(decode(tx.open("invitation", "chain", row["id"], row["chain"])))
