"""What a person can ask about haggling under a mandate: draft one, give it, watch the work, stop it."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from intentcast_protocol.demand import read_demand
from intentcast_protocol.errors import StateError
from intentcast_protocol.negotiation import State
from intentcast_protocol.quantity import money
from intentcast_protocol.record import decode_record, verify
from nacl.utils import random as random_bytes

from intentcast_agent.bargain.bidding import DEFAULT, STRATEGIES
from intentcast_agent.dialogue import read_dialogue
from intentcast_agent.names import find_named
from intentcast_agent.person import docket
from intentcast_agent.person.draft import DraftError
from intentcast_agent.person.haggler import look, talk_of
from intentcast_agent.person.mandate import read_instructions, write_template
from intentcast_agent.person.offers import reserve_of
from intentcast_agent.store import Row, Transaction
from intentcast_agent.view import Json, conditions_view

if TYPE_CHECKING:
    from intentcast_agent.agent import Agent

_SALT = 16


class MandateVerbs:
    """The verbs of haggling of one home's agent."""

    agent: "Agent"

    async def mandate_draft(self, demand: str) -> Json:
        """Return a mandate file for a demand, to look over: at most its reserve, or else its public budget."""
        async with self.agent.store.reading() as tx:
            row = await find_named(tx, "demand", demand, "d")
            wanted = read_demand(verify(decode_record(row["record"])))
            reserve = await reserve_of(tx, wanted)
        return {"demand": demand, "text": write_template(wanted, reserve)}

    async def haggle_begin(self, demand: str, mandate: str, strategy: str = DEFAULT) -> Json:
        """Put a demand under a mandate, the text of its file, and let the agent haggle."""
        if strategy not in STRATEGIES:
            raise DraftError(f"strategy is one of {', '.join(STRATEGIES)}.")
        async with self.agent.store.transaction() as tx:
            row = await find_named(tx, "demand", demand, "d")
            if row["state"] != "open":
                raise StateError("refused.session.not-now", f"the demand is {row['state']}")
            now = self.agent.now()
            wanted = read_demand(verify(decode_record(row["record"])))
            given = read_instructions(mandate, wanted, now, random_bytes(_SALT))
            await docket.give(tx, wanted.id, given, strategy, secret=random_bytes(32), now=now)
        await self.agent.go_online()
        return await self.haggle_view(demand)

    async def haggle_view(self, demand: str) -> Json:
        """Show how the haggling over a demand stands: each thread, each act with the clause that allowed it."""
        async with self.agent.store.reading() as tx:
            row = await find_named(tx, "demand", demand, "d")
            case = await docket.find(tx, row["id"])
            if case is None:
                raise StateError("refused.mandate.denied", f"{demand} is under no mandate")
            wanted = read_demand(verify(decode_record(row["record"])))
            rows = await tx.all("SELECT * FROM session WHERE role = 'person' AND demand = ? ORDER BY number", row["id"])
            now = self.agent.now()
            found = await look(tx, case, wanted, rows, now)
            threads = [await _thread(tx, one, now) for one in rows]
            acts = await docket.acts(tx, row["id"])
        for thread, one in zip(threads, rows, strict=True):
            worth = found.worths.get(one["key"])
            thread["score"] = None if worth is None else round(worth, 3)
        # What waited for the person waits no more once they have dealt with it.
        over = case.state == docket.YOURS and row["state"] != "open"
        waits = next((f"o{one['number']}" for one in rows if one["key"] == case.session), None)
        return {
            "demand": demand,
            "state": docket.end_of(row["state"]) if over else case.state,
            "reason": "" if over else case.reason,
            "offer": waits,
            "strategy": case.strategy,
            "digest": case.digest.hex(),
            "started": case.started,
            "deadline": case.instructions.mandate.deadline,
            "expires": case.instructions.mandate.expires,
            "threads": threads,
            "acts": acts,
        }

    async def haggle_watch(self, demand: str, within: float) -> AsyncIterator[Json]:
        """Yield the view whenever it changes, until the work is done or `within` seconds are over."""
        await self.agent.go_online()
        end = self.agent.now() + within
        view = await self.haggle_view(demand)
        yield view

        async def changed() -> bool:
            nonlocal view
            before, view = view, await self.haggle_view(demand)
            return view != before

        while _working(view) and self.agent.now() < end:
            if await self.agent.until(changed, min(1.0, max(end - self.agent.now(), 0))):
                yield view

    async def haggle_stop(self, demand: str) -> Json:
        """Take the mandate back: nothing more is done under it. What was signed stays signed."""
        async with self.agent.store.transaction() as tx:
            row = await find_named(tx, "demand", demand, "d")
            case = await docket.find(tx, row["id"])
            if case is None:
                raise StateError("refused.mandate.denied", f"{demand} is under no mandate")
            if case.state == docket.AT_WORK:
                await docket.close(tx, case.demand, docket.STOPPED, "you stopped it", self.agent.now())
        return await self.haggle_view(demand)


def _working(view: Json) -> bool:
    return bool(view["state"] == docket.AT_WORK)


async def _thread(tx: Transaction, row: Row, now: int) -> dict[str, Any]:
    dialogue = await read_dialogue(tx, row)
    session = dialogue.session
    talk = await talk_of(tx, dialogue, now)
    said = [
        {
            "from": "vendor" if isinstance(one, tuple) else "you",
            "total": money(terms.price.total, terms.price.currency),
            "currency": terms.price.currency,
            "conditions": conditions_view(terms.conditions),
        }
        for one in talk.said
        for terms in (one[0] if isinstance(one, tuple) else one,)
    ]
    return {
        "offer": f"o{row['number']}",
        "vendor": session.vendor_name or "unknown",
        "state": str(session.state),
        "turn": session.turn,
        "deadline": session.deadline,
        "rounds": session.rounds,
        "said": said,
        "accepted": session.state in (State.ACCEPTED, State.AGREED),
    }
