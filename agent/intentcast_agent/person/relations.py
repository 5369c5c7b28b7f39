"""Who knows what of the person, since when and why: from the ledger and from what was signed. DESIGN §4.6"""

import json
from typing import TYPE_CHECKING, Final

from intentcast_protocol.demand import read_demand
from intentcast_protocol.fact import read_answer
from intentcast_protocol.identity import cid, did
from intentcast_protocol.negotiation import Session
from intentcast_protocol.offer import read_offer
from intentcast_protocol.record import decode_record, verify

from intentcast_agent.dialogue import find_message, read_message, read_snapshot
from intentcast_agent.evidence import domain_view
from intentcast_agent.store import Row, Transaction
from intentcast_agent.view import Json
from intentcast_agent.witness import describe, read_keys, witnesses

if TYPE_CHECKING:
    from intentcast_agent.agent import Agent

MOST: Final = 200  # vendors shown


class RelationVerbs:
    """The person's verbs on whom they deal with."""

    agent: "Agent"

    async def relation_list(self) -> Json:
        """List the vendors that ever answered, those that were told something first, with what each was told and why.

        At most MOST of them, the newest; `total` counts all.
        """
        vendors: dict[bytes, Json] = {}
        now = self.agent.now()
        async with self.agent.store.reading() as tx:
            for row in await tx.all("SELECT * FROM session WHERE role = 'person' ORDER BY number DESC"):
                if row["vendor"] in vendors or len(vendors) < MOST:
                    found = vendors.setdefault(row["vendor"], {"vendor_key": did(row["vendor"]), "sessions": []})
                    await _add(tx, row, found, now)
            total = await tx.one("SELECT count(DISTINCT vendor) FROM session WHERE role = 'person'")
        listed = sorted(vendors.values(), key=lambda one: not (one["told"] or one["said"]))
        return {"relations": listed, "total": int(total[0]) if total else 0}


async def _add(tx: Transaction, row: Row, relation: Json, now: int) -> None:
    session, name = read_snapshot(tx, row), f"o{row['number']}"
    demand = read_demand(verify(decode_record(row["demand_record"])))
    first = await tx.one("SELECT min(processed) FROM message WHERE session = ?", row["key"])
    relation["sessions"].append(
        {"name": name, "title": demand.name, "state": str(session.state), "turn": session.turn,
         "since": first[0] if first else None, "terms": [one.id for one in demand.terms.deal],
         "demand": cid(demand.id)}
    )  # fmt: skip
    if "vendor" not in relation:
        relation |= {"vendor": session.vendor_name or "unknown", "told": [], "refused": [], "said": []}
        relation |= await _domain(tx, row, session, now)
    for one in await tx.all("SELECT * FROM ledger WHERE session = ? ORDER BY number", row["key"]):
        told = one["decision"] == "released"
        entry = {"attribute": one["attribute"], "reason": one["reason"], "at": one["at"], "session": name}
        if told:
            message = await find_message(tx, one["message"] or b"")
            entry["value"] = message.body["attributes"].get(one["attribute"]) if message else None
        relation["told" if told else "refused"].append(entry)
    sql = "SELECT * FROM message WHERE session = ? AND author = 'person' AND type = 'answer' ORDER BY seq"
    for one in await tx.all(sql, row["key"]):
        message = read_message(tx, one)
        facts = [fact.wire() for fact in read_answer(message.body).facts]
        text = message.body.get("text")
        relation["said"].append({"text": text, "facts": facts, "at": one["processed"], "session": name})


async def _domain(tx: Transaction, row: Row, session: Session, now: int) -> Json:
    message = await find_message(tx, session.offer or b"")
    if message is None:
        return {"domain": None, "witnessed": None}
    offer = read_offer(message)
    keys = await read_keys(tx, json.loads(row["relays"]))
    seen = [relay for relay, _ in witnesses(message, offer, keys, at=now)]
    return {"domain": domain_view(offer, seen), "witnessed": describe(offer.seller.domain, len(seen))}
