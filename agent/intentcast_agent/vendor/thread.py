"""One session as haggling needs it, read from the store: what was said, what the budget leaves, the session's secret.

All of it is read anew for each answer, so a bot that was restarted answers as it would have.
"""

from hashlib import blake2b

from intentcast_protocol.demand import read_demand
from intentcast_protocol.negotiation import Session
from intentcast_protocol.offer import Offer, read_counter, read_offer
from intentcast_protocol.record import Verified, decode_record, verify

from intentcast_agent.dialogue import read_message
from intentcast_agent.store import Row, Transaction
from intentcast_agent.vendor import concession
from intentcast_agent.vendor.haggle import Said, answer_counter
from intentcast_agent.vendor.margin import find_margin
from intentcast_agent.vendor.policy import Policy
from intentcast_agent.vendor.quote import Pass, Quote, restate
from intentcast_agent.vendor.stockroom import read_item


async def answer_in(
    tx: Transaction, policy: Policy, session: Session, counter: Verified, item: Row, now: int
) -> tuple[Offer, Quote] | Pass:
    """Return the session's last offer and the one to make after a counter, or why there is none."""
    try:
        margin = find_margin(policy, read_item(item), now, await concession.left(tx, policy, now, session.key))
    except ValueError:
        return Pass("the item's list price is not an amount in our currency")
    row = await tx.one("SELECT seed, demand_record FROM session WHERE key = ?", session.key)
    assert row is not None
    offers, said = await _read(tx, session, counter)
    answer = answer_counter(
        margin,
        said,
        rounds=session.rounds,
        now=now,
        demand_expires=session.demand_expires,
        secret=_secret(tx.open("session", "seed", session.key, row["seed"])),
    )
    if isinstance(answer, Pass):
        return answer
    last = offers[-1]
    terms = answer.price, answer.conditions
    demand = read_demand(verify(decode_record(row["demand_record"])))
    deviations = restate(last.deviations, demand, (last.price, last.conditions), terms)
    given = margin.concession(margin.net(*terms))
    return last, Quote(answer.price, deviations, answer.expires, last.terms, answer.conditions, given)


async def _read(tx: Transaction, session: Session, counter: Verified) -> tuple[list[Offer], list[Said]]:
    """Return our offers, and what was said up to a counter: each offer with the counters to it, oldest first."""
    rows = await tx.all(
        "SELECT * FROM message WHERE session = ? AND type IN ('offer', 'counter') AND processed IS NOT NULL "
        "AND problem IS NULL ORDER BY seq",
        session.key,
    )
    messages = [read_message(tx, row) for row in rows]
    offers = [read_offer(one) for one in messages if one.type == "offer"]
    counters = [read_counter(one) for one in messages if one.type == "counter" and (one.seq or 0) <= (counter.seq or 0)]
    said = []
    for offer in offers:
        said.append(Said("vendor", offer.price, offer.conditions))
        said += [Said("person", one.price, one.conditions) for one in counters if one.offer == offer.id]
    return offers, said


def _secret(seed: bytes) -> bytes:
    """Return what a session's random choices are made from: known to nobody else, and the same after a restart."""
    return blake2b(b"intentcast haggle", key=seed, digest_size=32).digest()
