"""Haggling at work: takes the turns of every demand that is under a mandate, one durable act at a time.

What to say is `haggle`'s to decide. Each act is held to the mandate in the transaction that signs it, and logged with
the clause that allowed it; what no clause allows waits for the person. DESIGN §6
"""

import asyncio
import logging
import time
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from intentcast_protocol.demand import Demand, read_demand
from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.identity import Key
from intentcast_protocol.limits import ACCEPT_GRACE
from intentcast_protocol.mandate import Ruling, check
from intentcast_protocol.negotiation import Session, State
from intentcast_protocol.offer import Counter, Offer, read_counter, read_offer
from intentcast_protocol.record import Verified, decode_record, verify

from intentcast_agent.dialogue import Dialogue, find_message, read_dialogue, read_message
from intentcast_agent.person import desk, docket
from intentcast_agent.person.docket import Case
from intentcast_agent.person.haggle import Plan, Say, Talk, plan
from intentcast_agent.person.offers import criteria_for
from intentcast_agent.store import Row, Transaction

if TYPE_CHECKING:
    from intentcast_agent.agent import Agent

log = logging.getLogger("intentcast.haggler")
_PAUSE = 1.0  # s between looks at the clock
_REST = 4.0  # times as long as a turn kept the processor, in which no other begins
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
                begun = time.thread_time()
                try:
                    await self.take_turns()
                except Exception:
                    log.exception("a turn of haggling ended badly")
                # However many vendors talk at once, most of the time is left to everything else.
                await asyncio.sleep(_REST * (time.thread_time() - begun))

    async def take_turns(self) -> None:
        """Take one turn of every demand that is under a mandate; raises ExceptionGroup once each had its turn."""
        async with self._agent.store.reading() as tx:
            demands = await docket.at_work(tx)
        errors = []
        for demand in demands:
            try:
                await self.take_turn(demand)
            except Exception as error:
                errors.append(error)
        if errors:
            raise ExceptionGroup("some demands could not be haggled over", errors)

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
                await docket.close(tx, case.demand, docket.end_of(row["state"]), f"the demand is {row['state']}", now)
            elif not await self._act(tx, case, read_demand(verify(decode_record(row["record"]))), unread, now):
                return False
        self._agent.pool.poke(row["author"])
        self._agent.tell({"event": "haggle", "demand": demand})
        return True

    async def _unread(self, demand: bytes) -> set[str]:
        """Return the relays that could not be read, where an earlier accept's confirm may lie there."""
        async with self._agent.store.reading() as tx:
            rows = await tx.all("SELECT * FROM session WHERE demand = ? AND state = 'accepted'", demand)
            sessions = [(await read_dialogue(tx, row)).session for row in rows]
        waits = any(not _may_confirm(one, self._agent.now()) for one in sessions)
        return set(await self._agent.catch_up()) if waits and self._agent.online else set()

    async def _act(self, tx: Transaction, case: Case, demand: Demand, unread: set[str], now: int) -> bool:
        rows = await tx.all("SELECT * FROM session WHERE role = 'person' AND demand = ?", case.demand)
        dialogues = {Key(row["key"]): await read_dialogue(tx, row) for row in rows}
        accepted = [one.session for one in dialogues.values() if one.session.state is State.ACCEPTED]
        if any(_may_confirm(one, now) for one in accepted):
            return False
        found = await look(tx, case, demand, rows, now)
        if found.over:
            why = "the time to haggle is over, and no offer within your mandate stands"
            why += "".join(f"; {one.vendor_name} has not confirmed your accept" for one in accepted)
            await docket.close(tx, case.demand, docket.ENDED, why, now)
            return True
        done = False
        for say in found.says:
            done |= await self._say(tx, case, demand, dialogues[say.key], say, now)
        # After a backup a vendor may still return an accept that we no longer know of.
        if found.take and not any(one.restoring for one in dialogues.values()):
            if dearer := await _dearer(tx, dialogues[found.take.key]):
                await docket.close(tx, case.demand, docket.YOURS, dearer, now, found.take.key)
                return True
            await self._take(tx, case, demand, dialogues, found, unread, now)
            return True
        return done

    async def _say(self, tx: Transaction, case: Case, demand: Demand, dialogue: Dialogue, say: Say, now: int) -> bool:
        ruling, message = check(case.instructions.mandate, say.act, demand, now), None
        if ruling.decision == "allowed":
            try:
                message = await desk.say_counter(tx, dialogue, say.terms, "", now)
            except IntentcastError as error:  # such as terms that fill the vendor's offer, and burst a counter
                ruling = Ruling("denied", "counter", str(error))
        await docket.note(tx, case, say.key, "counter", ruling, message=message.id if message else None, now=now)
        return message is not None

    async def _take(
        self,
        tx: Transaction,
        case: Case,
        demand: Demand,
        dialogues: dict[Key, Dialogue],
        found: Plan,
        unread: set[str],
        now: int,
    ) -> None:
        """Accept, or hand the offer to the person where the mandate or the rules of accepting say so."""
        take = found.take
        assert take is not None
        dialogue = dialogues[take.key]
        ruling = check(case.instructions.mandate, take.act, demand, now)
        message = None
        if ruling.decision == "allowed":
            ruling = replace(ruling, why=f"{_best(found, dialogues)}; {ruling.why}")
            try:
                # That fewer witnesses than usual are enough is the mandate's word, which is the person's.
                read = not unread & set(dialogue.relays)
                message = await desk.accept(
                    tx, dialogue, all_relays_read=read, anyway=False, say_so=True, now=now
                )  # fmt: skip
            except IntentcastError as error:
                ruling = Ruling("person", "accept", str(error))
        await docket.note(tx, case, take.key, "accept", ruling, message=message.id if message else None, now=now)
        if message is None:
            state = docket.YOURS if ruling.decision == "person" else docket.ENDED
            why = f"{_best(found, dialogues)}; {ruling.why}"
            await docket.close(tx, case.demand, state, why, now, take.key)


def _best(found: Plan, dialogues: dict[Key, Dialogue]) -> str:
    """Say by how much the offer to take is the best that stands, by the person's own criteria."""
    assert found.take is not None
    mine = found.worths.get(found.take.key, 0.0)
    rivals = {key: worth for key, worth in found.worths.items() if key != found.take.key}
    said = f"best by your criteria with a score of {mine:.3f}"
    if not rivals:
        return said
    next_best = max(rivals, key=lambda key: rivals[key])
    return f"{said}, against {rivals[next_best]:.3f} of {dialogues[next_best].session.vendor_name}"


async def _dearer(tx: Transaction, dialogue: Dialogue) -> str | None:
    """Say so if a vendor has answered our accept with an offer that asks for more: it could go on like that."""
    session = dialogue.session
    before, now = await find_message(tx, session.accepted_offer or b""), await find_message(tx, session.offer or b"")
    if before is None or now is None or read_offer(now).price.total <= read_offer(before).price.total:
        return None
    return f"{session.vendor_name} answered your accept with a dearer offer"


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
    # In the order they were given their effect: a clock that is set back changes nothing of it.
    sql = (
        "SELECT * FROM message WHERE session = ? AND seq > 0 AND type IN ('offer', 'counter') "
        "AND processed IS NOT NULL AND problem IS NULL ORDER BY rowid"
    )
    rows = await tx.all(sql, session.key)
    # What a vendor replaced before it was answered is no part of it, so that no vendor can make it long.
    kept = [one for one, after in zip_longest(rows, rows[1:]) if not after or {one["type"], after["type"]} != {"offer"}]
    said = [_read(read_message(tx, one)) for one in kept]
    newest = next((one[0].id for one in reversed(said) if isinstance(one, tuple)), None)
    stands = session.state in _STANDING and now <= session.offer_until and newest == session.offer
    live = stands and not dialogue.restoring
    return Talk(
        key=session.key,
        said=tuple(said),
        live=live,
        turn=live and session.state is State.OFFERED,
        rounds=session.rounds,
        witnesses=len(await desk.find_witnesses(tx, dialogue, now)),
        firm=session.firm,
    )


def _may_confirm(session: Session, now: int) -> bool:
    """Say whether an accept may still be confirmed; until then nothing else is accepted. PROTOCOL §8.6"""
    return now <= session.accept_until + ACCEPT_GRACE


def _read(message: Verified) -> tuple[Offer, Verified] | Counter:
    return (read_offer(message), message) if message.type == "offer" else read_counter(message)
