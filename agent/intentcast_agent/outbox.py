"""What waits to go out: sealed when its turn comes, delivered to each relay, tried again until it is there.

A row is made in the transaction of its effect. The same signed message may travel in a new envelope; it is never signed
again.
"""

import asyncio
from dataclasses import dataclass

from intentcast_protocol.errors import IntentcastError, StateError
from intentcast_protocol.identity import Key
from intentcast_protocol.invitation import Invitation
from intentcast_protocol.limits import MAX_STAMP, STAMP_AGE
from intentcast_protocol.record import Record, Verified, decode_record, parse
from intentcast_protocol.sealing import seal

from intentcast_agent.dialogue import find_message
from intentcast_agent.invitation import find_held
from intentcast_agent.rung import climbable, rung_after
from intentcast_agent.store import Row, Store, Transaction

CARRIAGE = 7 * 86_400  # s an envelope may wait on a relay
_RETRY = (1, 2, 5, 15, 60, 300, 900)  # s between attempts at one relay
_PAGE = 32
_NOT_ADMITTED = "refused.mailbox.not-admitted"
# A relay may say so for a while: the mailbox opens when the vendor's own message arrives there.
_PASSING = frozenset({
    _NOT_ADMITTED, "refused.mailbox.full", "refused.rate.exceeded", "refused.relay.stopping",
    "refused.limit.exceeded", "internal.error",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parcel:
    """A record ready to be handed to one relay, after the invitation that opens its mailbox, if it takes one."""

    outbox: int
    record: Record
    attempts: int
    made: int
    invitation: Invitation | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    """What sealing a message needs, read in one transaction so that the slow part runs outside it."""

    outbox: int
    message: Verified
    seed: bytes
    to: Key
    key: bytes
    bits: int


class Outbox:
    """The queue in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sealing = asyncio.Lock()

    async def due(
        self, lane: bytes, relay: str, now: int, *, domain: bool = False, work: int = MAX_STAMP
    ) -> list[Parcel]:
        """Return the next of what a relay should get now, in the order queued, sealing what is not sealed yet.

        `domain` says that the connection has proven the vendor's domain, `work` how many bits a stamp may have.
        """
        async with self._store.reading() as tx:
            rows = await tx.all(
                "SELECT o.*, d.attempts, d.code, iif(m.seq = 1 AND s.role = 'vendor', s.demand_record, NULL) AS knocks "
                "FROM delivery d JOIN outbox o ON o.number = d.outbox LEFT JOIN message m ON m.id = o.message "
                "LEFT JOIN session s ON s.key = m.session "
                "WHERE d.relay = ? AND d.state = 'queued' AND d.due <= ? AND o.lane = ? ORDER BY o.number LIMIT ?",
                relay, now, lane, _PAGE,
            )  # fmt: skip
        parcels = []
        for row in rows:
            try:
                bits, invitation = await self._way_in(row, now, domain=domain, work=work)
                record, stamped = await self._ready(row["number"], now, bits)
            except IntentcastError as error:
                # Such as a reply key nobody can seal to: the peer's fault, and no reason to hold up what comes after.
                await self._give_up(row["number"], error.code)
            else:
                parcels.append(Parcel(row["number"], decode_record(record), row["attempts"], row["made"], invitation))
                if stamped:
                    # A stamp takes a second: what is ready leaves before the next one is made.
                    break
        return parcels

    async def next_due(self, lane: bytes, relay: str) -> int | None:
        """Return when the next attempt at a relay is due, or None if nothing waits for it."""
        async with self._store.reading() as tx:
            row = await tx.one(
                "SELECT min(d.due) FROM delivery d JOIN outbox o ON o.number = d.outbox "
                "WHERE d.relay = ? AND d.state = 'queued' AND o.lane = ?",
                relay,
                lane,
            )
        return row[0] if row else None

    async def delivered(self, number: int, relay: str) -> None:
        """Note that a relay has it on its disk."""
        async with self._store.transaction() as tx:
            await tx.run(
                "UPDATE delivery SET state = 'done', code = NULL WHERE outbox = ? AND relay = ?", number, relay
            )

    async def refused(self, parcel: Parcel, relay: str, code: str, now: int) -> None:
        """Note a relay's refusal: for good, or to be tried again later, but not for longer than it would be kept."""
        passing = code in _PASSING and now < parcel.made + CARRIAGE
        wait = _RETRY[min(parcel.attempts, len(_RETRY) - 1)]
        async with self._store.transaction() as tx:
            await tx.run(
                "UPDATE delivery SET state = ?, attempts = attempts + 1, due = ?, code = ? "
                "WHERE outbox = ? AND relay = ?",
                "queued" if passing else "failed", now + wait, code, parcel.outbox, relay,
            )  # fmt: skip

    async def waiting(self, lane: bytes) -> int:
        """Return how many records no relay has yet."""
        async with self._store.reading() as tx:
            row = await tx.one(
                "SELECT count(*) FROM outbox o WHERE o.lane = ? "
                "AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.outbox = o.number AND d.state != 'queued')",
                lane,
            )
        return int(row[0]) if row else 0

    async def _give_up(self, number: int, code: str) -> None:
        async with self._store.transaction() as tx:
            sql = "UPDATE delivery SET state = 'failed', code = ? WHERE outbox = ? AND state = 'queued'"
            await tx.run(sql, code, number)

    async def _way_in(self, row: Row, now: int, *, domain: bool, work: int) -> tuple[int, Invitation | None]:
        """Return the bits of the stamp, or the invitation, that takes a record into its mailbox at one relay.

        Only a vendor's first message needs either: it opens the way for the others. PROTOCOL §10.2
        """
        if row["knocks"] is None:
            return 0, None
        demand, held = parse(decode_record(row["knocks"])), None
        admit = demand.body.get("admit")
        if isinstance(admit, list) and "invite" in admit:
            async with self._store.reading() as tx:
                held = await find_held(tx, demand.author, now)
        rungs = climbable(admit, domain=domain, invited=held is not None, work=work)
        rung = rung_after(rungs, row["attempts"] if row["code"] == _NOT_ADMITTED else 0)
        return (rung.bits, held if rung.kind == "invite" else None) if rung else (0, None)

    async def _ready(self, number: int, now: int, bits: int) -> tuple[bytes, bool]:
        """Return a row's record, sealed now if it is not, if it lacks a stamp of `bits`, or if it has aged.

        Says too if a stamp was made. Relays share one envelope, and one with a stamp serves those that want none.
        Raises IntentcastError when it can never be sealed: a key is erased, or the peer's is no key.
        """
        async with self._sealing:
            async with self._store.reading() as tx:
                current = await tx.one("SELECT * FROM outbox WHERE number = ?", number)
                if current is None:
                    raise StateError("refused.record.unknown")
                record = current["record"]
                if record is not None and (
                    current["message"] is None
                    or (current["stamped"] >= (bits > 0) and not _aged(record, current["stamped"], now))
                ):
                    return bytes(record), False
                order = await _read_order(tx, current, bits)
            envelope = await asyncio.to_thread(_seal, order, now)
            async with self._store.transaction() as tx:
                sql = "UPDATE outbox SET record = ?, stamped = ? WHERE number = ?"
                await tx.run(sql, envelope, int(order.bits > 0), order.outbox)
            return envelope, order.bits > 0


def _aged(record: bytes, stamped: int, now: int) -> bool:
    envelope = parse(decode_record(record))
    return envelope.expires <= now or (bool(stamped) and envelope.created <= now - STAMP_AGE + 300)


def _seal(order: _Order, now: int) -> bytes:
    envelope = seal(
        order.message.record,
        seed=order.seed,
        to=order.to,
        key=order.key,
        created=now,
        expires=now + CARRIAGE,
        bits=order.bits,
    )
    return envelope.record.encode()


async def _read_order(tx: Transaction, row: Row, bits: int) -> _Order:
    message = await find_message(tx, row["message"])
    session = await tx.one("SELECT * FROM session WHERE key = ?", message.session if message else None)
    if message is None or session is None:
        raise StateError("refused.record.unknown")
    key = bytes(row["key"] or session["peer_key"])
    if session["role"] == "vendor":
        demand = parse(decode_record(session["demand_record"]))
        seed = tx.open("session", "seed", session["key"], session["seed"])
        return _Order(row["number"], message, seed, demand.author, key, bits)
    demand_row = await tx.one("SELECT * FROM demand WHERE id = ?", session["demand"])
    if demand_row is None or demand_row["seed"] is None:
        raise StateError("refused.record.unknown", "the demand's key has been erased")
    seed = tx.open("demand", "seed", demand_row["id"], demand_row["seed"])
    return _Order(row["number"], message, seed, Key(session["key"]), key, 0)


async def carriage(tx: Transaction, message: bytes) -> list[dict[str, object]]:
    """Return how far a message has come at each of its relays: queued, done or failed, tries, and the last refusal."""
    rows = await tx.all(
        "SELECT d.relay, d.state, d.attempts, d.code FROM delivery d JOIN outbox o ON o.number = d.outbox "
        "WHERE o.message = ? ORDER BY d.relay",
        message,
    )
    return [dict(row) for row in rows]
