"""The signed moves of one session as a person reads them: what each asks for, and how that differs from the one before.

Views only, in plain data: amounts as decimal strings, times in s, conditions as whole days and months. DESIGN §6
"""

from decimal import Decimal
from typing import Any, Final

from intentcast_protocol.conditions import Conditions
from intentcast_protocol.disclosure import read_disclosure
from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.fact import read_answer, read_question
from intentcast_protocol.identity import cid
from intentcast_protocol.negotiation import Session, permits
from intentcast_protocol.offer import Counter, Offer, read_counter, read_offer
from intentcast_protocol.quantity import money
from intentcast_protocol.record import Verified
from intentcast_protocol.states import OPEN, State

from intentcast_agent.dialogue import read_message
from intentcast_agent.outbox import carriage
from intentcast_agent.store import Row, Transaction
from intentcast_agent.view import Json, attributes_of, parts_of, text_of

ACTS: Final = ("counter", "accept", "decline", "question", "answer", "fulfil", "dispute")  # what a person may sign
_CHANGES: Final = 40  # shown of one move
_LONGEST: Final = 300  # characters of a changed text


async def list_moves(tx: Transaction, session: Row) -> list[Json]:
    """Return the messages of a session in the order they had their effect, ours with what became of them on the way."""
    sql = "SELECT * FROM message WHERE session = ? AND processed IS NOT NULL ORDER BY processed, rowid"
    rows = await tx.all(sql, session["key"])
    messages = [read_message(tx, row) for row in rows]
    numbers = {message.id: message.seq or 0 for message in messages}
    # A peer's message names the last of ours that it had processed when it was signed.
    seen = max((numbers.get(one.seen, 0) for row, one in zip(rows, messages, strict=True)
                if row["author"] != session["role"] and one.seen), default=0)  # fmt: skip
    moves: list[Json] = []
    before: Json | None = None
    last: dict[str, Json] = {}
    for row, message in zip(rows, messages, strict=True):
        move: Json = {
            "id": cid(message.id),
            "from": row["author"],
            "type": row["type"],
            "number": row["seq"],
            "at": row["processed"],
            "problem": row["problem"],
            "text": text_of(message),
            "on_relays": None,
            "carriage": [],
            "seen": None,
            "changes": [],
            "against": None,
            "step": None,
            **_said(message),
        }
        if row["author"] == session["role"]:
            move["carriage"] = await carriage(tx, message.id)
            move["on_relays"] = [sum(one["state"] == "done" for one in move["carriage"]), len(move["carriage"])]
            move["seen"] = 0 < (message.seq or 0) <= seen
        if move["terms"] and not move["problem"]:
            if before:
                move["changes"], move["against"] = changes(before["terms"], move["terms"]), before["from"]
            if own := last.get(move["from"]):
                move["step"] = _step(own["terms"], move["terms"])
            before = last[move["from"]] = move
        moves.append(move)
    for move in moves:
        # Said once, of the offer that stands; of the others what differs is enough.
        if move["terms"]:
            del move["terms"]["attributes"]
    return moves


def _said(message: Verified) -> Json:
    """Return what a message says for programs, by its type; nothing where it is ill-formed."""
    said: Json = {"terms": None, "path": None, "unit": None, "facts": [], "waived": [], "told": {}}
    try:
        if message.type in ("offer", "counter"):
            said["terms"] = terms_view(read_offer(message) if message.type == "offer" else read_counter(message))
        elif message.type == "question":
            said["path"], said["unit"] = read_question(message.body), message.body.get("unitCode")
        elif message.type == "answer":
            answer = read_answer(message.body)
            said["facts"], said["waived"] = [fact.wire() for fact in answer.facts], sorted(answer.waived)
        elif message.type == "disclose":
            said["told"] = read_disclosure(message.body)
    except IntentcastError:
        # It had no effect either, and its problem is shown.
        return said
    return said


def terms_view(terms: Offer | Counter) -> Json:
    """Return the full terms of an offer or a counter."""
    price = terms.price
    return {
        "total": money(price.total, price.currency),
        "currency": price.currency,
        "per": price.unit,
        "parts": parts_of(price),
        **conditions_numbers(terms.conditions),
        "until": terms.expires,
        "item": terms.item.get("name"),
        "attributes": attributes_of(terms.item),
        "firm": terms.firm if isinstance(terms, Offer) else None,
        "amends": isinstance(terms, Offer) and terms.amends is not None,
    }


def conditions_numbers(had: Conditions) -> Json:
    """Return conditions as numbers: days until delivery, months of warranty, names of extras."""
    return {"delivery": had.delivery, "warranty": had.warranty, "extras": list(had.extras)}


def changes(before: Json, after: Json) -> list[Json]:
    """Return what differs between two moves' terms, the total first: {name, kind, before, after}, None where unstated.

    `kind` says how to read the values: money, days, months, list, or text of the item's own.
    """
    pairs: list[tuple[str, str, Any, Any]] = [
        ("total", "money", _amount(before), _amount(after)),
        *((name, kind, before[name], after[name])
          for name, kind in (("delivery", "days"), ("warranty", "months"), ("extras", "list"))),
    ]  # fmt: skip
    names = [*before["attributes"], *(name for name in after["attributes"] if name not in before["attributes"])]
    pairs += [(name, "text", before["attributes"].get(name), after["attributes"].get(name)) for name in names]
    found = [{"name": name, "kind": kind, "before": had, "after": has} for name, kind, had, has in pairs if had != has]
    for one in found:
        if one["kind"] == "text":
            one |= {side: one[side] and one[side][:_LONGEST] for side in ("before", "after")}
    return found[:_CHANGES]


def _amount(terms: Json) -> tuple[str, str]:
    return terms["total"], terms["currency"]


def _step(before: Json, after: Json) -> str | None:
    """Return by how much one side moved its total, signed; None in another currency or where it stayed."""
    if before["currency"] != after["currency"] or before["total"] == after["total"]:
        return None
    return money(Decimal(after["total"]) - Decimal(before["total"]), after["currency"])


def standing_view(session: Session, offer: Offer | None, now: int) -> Json:
    """Return what the person may sign now, until when each side may act, and what the vendor would talk about."""
    accepts = session.firm and permits(session, "person", "accept", now)
    deadlines = {
        "accept": session.offer_until if accepts else None,
        "confirm": session.accept_until if session.state in (State.ACCEPTED, State.REACCEPTED) else None,
        "demand": session.demand_expires if session.state in OPEN else None,
    }
    view: Json = {
        "can": {kind: permits(session, "person", kind, now) for kind in ACTS} | {"accept": accepts},
        "deadlines": deadlines,
        "most_rounds": session.max_rounds,
        "frozen": session.frozen,
        "offer_id": cid(session.offer) if session.offer else None,
        "stated": None,
        "choices": None,
    }
    if offer:
        other = offer.choices
        view["stated"] = conditions_numbers(offer.conditions)
        view["choices"] = {
            "delivery": list(other.delivery),
            "warranty": list(other.warranty),
            "extras": list(other.extras),
        }
    return view
