"""Questions that the agent asks a vendor by itself: about the must-haves that its offer leaves open. PROTOCOL §8.3"""

from typing import Final

from intentcast_protocol.constraint import Fit, Verdict
from intentcast_protocol.demand import read_demand
from intentcast_protocol.mandate import Act, check
from intentcast_protocol.offer import read_offer
from intentcast_protocol.record import Verified, decode_record, verify

from intentcast_agent import talk
from intentcast_agent.dialogue import Dialogue
from intentcast_agent.person import docket
from intentcast_agent.store import Transaction
from intentcast_agent.witness import read_keys, witnesses

MOST: Final = 4  # in one session
_SHOWN: Final = 500  # characters of a reason: it repeats the demand's values, which may be many


async def ask_unknown(tx: Transaction, dialogue: Dialogue, offer: Verified, now: int) -> None:
    """Ask about each must-have that an offer leaves open, once in a session.

    It tells no more than the demand does. Under a mandate it is an act like the others, held to it and logged.
    """
    row = await tx.one("SELECT record FROM demand WHERE id = ?", dialogue.session.demand)
    assert row is not None
    demand = read_demand(verify(decode_record(row["record"])))
    judgement = demand.judge(offer.body)
    if judgement.fit is not Fit.ASKS:
        return
    case = await docket.find(tx, demand.id)
    stated = read_offer(offer)
    seller, seen = stated.seller, witnesses(offer, stated, await read_keys(tx, dialogue.relays), at=now)
    before = await talk.asked_about(tx, dialogue)
    for found in judgement.findings:
        wish = found.constraint
        unknown = found.verdict is Verdict.UNKNOWN and (wish.strength, wish.on_unknown) == ("must", "ask")
        if not unknown or wish.path in before or len(before) >= MOST:
            continue
        words = f"{found.why[:_SHOWN]}. What is it?"
        if case is None or case.state != docket.AT_WORK:
            await talk.ask(tx, dialogue, words, now, wish.path, wish.unit)
        else:
            act = Act("ask", dialogue.session.vendor, seller.domain, len(seen), dialogue.session.rounds, offer.body)
            ruling, asked = check(case.instructions.mandate, act, demand, now), None
            if ruling.decision == "allowed":
                asked = await talk.ask(tx, dialogue, words, now, wish.path, wish.unit)
            await docket.note(
                tx, case, dialogue.session.key, "ask", ruling, message=asked.id if asked else None, now=now
            )
        before.add(wish.path)
