"""What people and programs are shown, as plain JSON. Views only; nothing is ever verified from them."""

import json
from collections.abc import Mapping
from typing import Any

from intentcast_protocol.conditions import Conditions
from intentcast_protocol.constraint import UNSAID, Fit, Judgement
from intentcast_protocol.demand import Demand
from intentcast_protocol.disclosure import STAGES
from intentcast_protocol.encoding import encode
from intentcast_protocol.limits import MAX_TEXT
from intentcast_protocol.offer import Offer
from intentcast_protocol.quantity import money, symbol
from intentcast_protocol.record import Verified
from intentcast_protocol.vocabulary import Price

from intentcast_agent.vendor.inventory.stock import Feed

Json = dict[str, Any]
_ERRORS = 1_000


def told_to_winner(contact: dict[str, str]) -> Json:
    """Return what the winner of an agreement is told, as the exact body that will be sealed to them."""
    told = {name: value for name, value in contact.items() if name in STAGES}
    body = {"purpose": "ServiceDelivery", "attributes": told}
    return {"attributes": told, "bytes": encode(body).hex() if told else ""}


def feed_view(feed: Feed) -> Json:
    """Return what a feed holds, with its first errors by row and column."""
    errors = [
        {"row": one.row, "column": one.column, "value": one.value, "reason": one.reason}
        for one in feed.errors[:_ERRORS]
    ]
    return {
        "rows": feed.rows,
        "loaded": len(feed.stock),
        "broken": feed.broken,
        "skipped": feed.skipped,
        "mapping": feed.mapping,
        "unmapped": list(feed.unmapped),
        "errors": errors,
        "truncated": len(feed.errors) > len(errors),
    }


def terms_of(offer: Offer | None, judgement: Judgement | None) -> Json:
    """Return what a list shows of an offer: its total, its item, and how it fits."""
    if offer is None or judgement is None:
        return {"total": None, "currency": None, "fit": None, "why": None, "item": None}
    total = money(offer.price.total, offer.price.currency)
    return {
        "total": total,
        "currency": offer.price.currency,
        "per": offer.price.unit,
        "item": offer.item.get("name"),
        **fit_of(judgement),
    }


def fit_of(judgement: Judgement) -> Json:
    """Return whether an offer fits, and why."""
    return {"fit": str(judgement.fit), "why": judgement.why, "recommended": judgement.fit is Fit.FITS}


def details(offer: Offer, demand: Demand, body: Json, said: Mapping[str, Any] = UNSAID) -> Json:
    """Return each part of an offer's price, each finding on it, and all that its item states."""
    return {
        "price": parts_of(offer.price),
        "deviations": list(offer.deviations),
        "conditions": conditions_view(offer.conditions),
        "negotiable": _negotiable(offer),
        "terms": offer.terms.id,
        "valid_through": offer.expires,
        "findings": findings_of(demand.judge(body, said)),
        "attributes": attributes_of(offer.item),
    }


def parts_of(price: Price) -> list[Json]:
    """Return the parts of a price."""
    return [
        {"kind": part.kind, "name": part.name, "amount": money(part.amount, price.currency)}
        for part in price.components
    ]


def findings_of(judgement: Judgement) -> list[Json]:
    """Return what was found of each wish."""
    return [
        {"path": found.constraint.path, "strength": found.constraint.strength, "verdict": str(found.verdict),
         "why": found.why}
        for found in judgement.findings
    ]  # fmt: skip


def attributes_of(item: Json) -> dict[str, str]:
    """Return all that an item states, by path."""
    return dict(_flatten(item, ""))


def conditions_view(had: Conditions) -> dict[str, str]:
    """Return an offer's or counter's conditions in words."""
    return {
        "delivery": "not stated" if had.delivery is None else f"{had.delivery} days",
        "warranty": "not stated" if had.warranty is None else f"{had.warranty} months",
        "extras": ", ".join(had.extras) or "none",
    }


def _negotiable(offer: Offer) -> dict[str, str]:
    other = offer.choices
    lists = {
        "delivery": [f"{days} days" for days in other.delivery],
        "warranty": [f"{months} months" for months in other.warranty],
        "extras": list(other.extras),
    }
    return {name: ", ".join(values) for name, values in lists.items() if values}


def _flatten(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        if "value" in value:
            return [(path, f"{value['value']} {symbol(str(value.get('unitCode', '')))}".strip())]
        inner = [(f"{path}.{name}" if path else name, one) for name, one in value.items() if not name.startswith("@")]
        return [pair for name, one in inner for pair in _flatten(one, name)]
    if isinstance(value, list):
        return [(path, ", ".join(str(one) for one in value))]
    return [(path, str(value))]


def readable(value: Any) -> Any:
    """Return a decoded body as JSON can show it: bytes as hex. A view only; nothing is ever verified from it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: readable(one) for name, one in value.items()}
    return [readable(one) for one in value] if isinstance(value, list) else value


def write_json(value: Any) -> str:
    """Return a result as one line of JSON; keys that stand as bytes are shown as did:key or hex."""
    return json.dumps(readable(value), ensure_ascii=False)


def text_of(message: Verified) -> str | None:
    """Return the words a message carries for a person, if any; they are shown, never acted on."""
    text = message.body.get("text")
    return text[:MAX_TEXT] if isinstance(text, str) else None
