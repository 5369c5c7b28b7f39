"""What an agreement proves, for people and programs: from its bytes alone."""

from collections.abc import Sequence
from typing import Any

from intentcast_protocol.agreement import verify_agreement
from intentcast_protocol.identity import cid, did
from intentcast_protocol.offer import Offer
from intentcast_protocol.quantity import money
from intentcast_protocol.terms import text_of

from intentcast_agent.view import attributes_of, conditions_view, findings_of, parts_of


def agreement_view(data: bytes) -> dict[str, Any]:
    """Verify a bundle and say what it proves; raises InvalidMessage. Needs no agent, no network and no clock."""
    found = verify_agreement(data)
    offer = found.offer
    return {
        "id": cid(found.id),
        "verified": True,
        "witnessed": "not witnessed" if not found.witnesses else [did(one.relay) for one in found.witnesses],
        "witnesses": [{"relay": did(one.relay), "url": one.url, "seen": one.seen} for one in found.witnesses],
        "demand": cid(found.demand.id),
        "title": found.demand.name,
        "person": did(found.demand.author),
        "vendor": offer.seller.name,
        "vendor_key": did(offer.author),
        "domain": domain_view(offer, [one.url for one in found.witnesses]),
        "item": offer.item.get("name", offer.item["category"]),
        "price": money(offer.price.total, offer.price.currency),
        "currency": offer.price.currency,
        "per": offer.price.unit,
        "parts": parts_of(offer.price),
        "conditions": conditions_view(offer.conditions),
        "deviations": list(offer.deviations),
        "attributes": attributes_of(offer.item),
        "findings": findings_of(found.judgement),
        "jurisdiction": offer.seller.jurisdiction,
        "terms": found.terms.id,
        "terms_text": text_of(found.terms),
        "amended": [cid(one) for one in found.amended],
        "fit": str(found.judgement.fit),
        "claimed_times": {"offered": offer.created, "accepted": found.accepted, "confirmed": found.confirmed},
    }


def broken_view(name: str, at: int, why: str) -> dict[str, Any]:
    """Return what a list shows of an agreement that does not verify: nothing it says is believed."""
    nothing = dict.fromkeys(("id", "price", "currency", "per"))
    return {**nothing, "name": name, "at": at, "verified": False, "why": why, "amended": [],
            "vendor": "unknown", "item": "does not verify"}  # fmt: skip


def domain_view(offer: Offer | None, witnesses: Sequence[str]) -> dict[str, Any] | None:
    """Return the domain a vendor claims, and the addresses of the relays that saw it; without any it is a claim."""
    if offer is None or offer.seller.domain is None:
        return None
    return {"name": offer.seller.domain, "checked": bool(witnesses), "witnesses": list(witnesses)}
