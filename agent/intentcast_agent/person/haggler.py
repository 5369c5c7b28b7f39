"""Haggling at work: takes the turns of every demand that is under a mandate, one durable act at a time.

What to say is `haggle`'s to decide. Each act is held to the mandate in the transaction that signs it, and logged with
the clause that allowed it; what no clause allows waits for the person. DESIGN §6
"""

import asyncio
import logging
import sqlite3
from typing import TYPE_CHECKING

from intentcast_protocol.demand import Demand, read_demand
from intentcast_protocol.errors import StateError
from intentcast_protocol.identity import Key
from intentcast_protocol.mandate import Ruling, check
from intentcast_protocol.negotiation import State
from intentcast_protocol.offer import Counter, Offer, read_counter, read_offer
from intentcast_protocol.record import Verified, decode_record, verify

from intentcast_agent.dialogue import Dialogue, read_dialogue, read_message
from intentcast_agent.person import desk, docket
from intentcast_agent.person.docket import Case
from intentcast_agent.person.haggle import Plan, Say, Take, Talk, plan
from intentcast_agent.person.offers import criteria_for
from intentcast_agent.store import Row, Transaction

if TYPE_CHECKING:
    from intentcast_agent.agent import Agent

log = logging.getLogger("intentcast.haggler")
_PAUSE = 1.0  # s between looks at the clock
_STANDING = (State.OFFERED, State.COUNTERED)


class Haggler:
    """The person's side at work without the person; make one for each agent, and `run` it."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent

    async def run(self) -> None:
        """Take turns whenever something came in, and as time passes, until cancelled."""
        with self._agent.listen() as events:
            while True:
                try:
                    async with asyncio.timeout(_PAUSE):
                        await events.get()
                except TimeoutError:
                    pass
                while not events.empty():
                    events.get_nowait()
                try:
                    await self.take_turns()
                except sqlite3.Error:
                    raise
                except Exception:
                    log.exception("a turn of haggling ended badly")

    async def take_turns(self) -> None:
        """Take one turn of every demand that is under a mandate."""
        async with self._agent.store.reading() as tx:
            demands = await docket.at_work(tx)
        for demand in demands:
            await self.take_turn(demand)

    async def take_turn(self, demand: bytes) -> bool:
        """Do what is to be done now for one demand; return whether anything was."""
        unread = await self._unread(demand)
        async with self._agent.store.transaction() as tx:
            case = await docket.find(tx, demand)
            row = await tx.one("SELECT * FROM demand WHERE id = ?", demand)
            if case is None or row is None or case.state != docket.AT_WORK:
                return False
            now = self._agent.now()
            if row["state"] != "open":
                state = docket.AGREED if row["state"] == "agreed" else docket.ENDED
                await docket.close(tx, case.demand, state, f"the demand is {row['state']}", now)
            elif not await self._act(tx, case, read_demand(verify(decode_record(row["record"]))), unread, now):
                return False
        self._agent.pool.poke(row["author"])
        self._agent.tell({"event": "haggle", "demand": demand})
        return True

    async def _unread(self, demand: bytes) -> set[str]:
        """Return the relays that could not be read, where an earlier accept's confirm may lie there."""
        async with self._agent.store.reading() as tx:
            waits = await tx.one("SELECT 1 FROM session WHERE demand = ? AND state = 'accepted'", demand)
        return set(await self._agent.catch_up()) if waits and self._agent.online else set()

    async def _act(self, tx: Transaction, case: Case, demand: Demand, unread: set[str], now: int) -> bool:
        rows = await tx.all("SELECT * FROM session WHERE role = 'person' AND demand = ?", case.demand)
        dialogues = {Key(row["key"]): await read_dialogue(tx, row) for row in rows}
        if any(one.session.state is State.ACCEPTED and now <= one.session.accept_until for one in dialogues.values()):
            return False
        found = await look(tx, case, demand, rows, now)
        if found.over:
            why = "the time to haggle is over, and no offer came within your mandate"
            await docket.close(tx, case.demand, docket.ENDED, why, now)
            return True
        done = False
        for say in found.says:
            done |= await self._say(tx, case, demand, dialogues[say.key], say, now)
        if found.take:
            await self._take(tx, case, demand, dialogues[found.take.key], found.take, unread, now)
            return True
        return done

    async def _say(self, tx: Transaction, case: Case, demand: Demand, dialogue: Dialogue, say: Say, now: int) -> bool:
        ruling, message = check(case.instructions.mandate, say.act, demand, now), None
        if ruling.decision == "allowed":
            message = await desk.say_counter(tx, dialogue, say.terms, "", now)
        await docket.note(tx, case, say.key, "counter", ruling, message=message.id if message else None, now=now)
        return message is not None

    async def _take(
        self, tx: Transaction, case: Case, demand: Demand, dialogue: Dialogue, take: Take, unread: set[str], now: int
    ) -> None:
        """Accept, or hand the offer to the person where the mandate or the rules of accepting say so."""
        ruling = check(case.instructions.mandate, take.act, demand, now)
        message = None
        if ruling.decision == "allowed":
            try:
                # That fewer witnesses than usual are enough is the mandate's word, which is the person's.
                read = not unread & set(dialogue.relays)
                message = await desk.accept(
                    tx, dialogue, all_relays_read=read, anyway=False, say_so=True, now=now
                )  # fmt: skip
            except StateError as error:
                ruling = Ruling("person", "accept", str(error))
        await docket.note(tx, case, take.key, "accept", ruling, message=message.id if message else None, now=now)
        if message is None:
            state = docket.YOURS if ruling.decision == "person" else docket.ENDED
            await docket.close(tx, case.demand, state, ruling.why, now, take.key)


async def look(tx: Transaction, case: Case, demand: Demand, rows: list[Row], now: int) -> Plan:
    """Return what would be done now for a case, and what each standing offer is worth."""
    criteria = (await criteria_for(tx, demand.category)).criteria
    return plan(
        [await talk_of(tx, await read_dialogue(tx, row), now) for row in rows],
        demand,
        criteria,
        case.instructions,
        strategy=case.strategy,
        secret=case.secret,
        started=case.started,
        now=now,
    )


async def talk_of(tx: Transaction, dialogue: Dialogue, now: int) -> Talk:
    """Return a session as a bargain sees it."""
    session = dialogue.session
    sql = (
        "SELECT * FROM message WHERE session = ? AND type IN ('offer', 'counter') AND processed IS NOT NULL "
        "AND problem IS NULL ORDER BY processed, rowid"
    )
    said = [_read(read_message(tx, one)) for one in await tx.all(sql, session.key)]
    live = session.state in _STANDING and now <= session.offer_until and session.firm
    return Talk(
        key=session.key,
        said=tuple(said),
        live=live,
        turn=live and session.state is State.OFFERED,
        rounds=session.rounds,
        witnesses=len(await desk.find_witnesses(tx, dialogue, now)),
    )


def _read(message: Verified) -> tuple[Offer, Verified] | Counter:
    return (read_offer(message), message) if message.type == "offer" else read_counter(message)
