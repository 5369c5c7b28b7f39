"""An agreement as schema.org's Order, for programs that know nothing of ours: a view, made from a verified bundle.

It is not signed and proves nothing, and says so of itself; the bundle is the proof. Nothing in it is fetched. DESIGN §6
"""

from datetime import UTC, datetime
from typing import Any, Final

from intentcast_protocol.agreement import verify_agreement
from intentcast_protocol.identity import cid, did
from intentcast_protocol.offer import Offer
from intentcast_protocol.vocabulary import Price, write_price

from intentcast_agent.view import Json, readable

_NOTE: Final = "A view of a signed agreement. It proves nothing by itself: verify the bundle of the same id."
_CONTEXT: Final = "https://schema.org"


def order_view(data: bytes) -> Json:
    """Verify a bundle and return it as a JSON-LD Order with its accepted Offer; raises InvalidMessage."""
    found = verify_agreement(data)
    offer = found.offer
    seller: Json = {"@type": "Organization", "name": offer.seller.name, "identifier": did(offer.author)}
    if offer.seller.domain:
        seller["url"] = f"https://{offer.seller.domain}/"
    return {
        "@context": _CONTEXT,
        "@type": "Order",
        "description": _NOTE,
        "identifier": cid(found.id),
        "orderDate": _moment(found.confirmed),
        "customer": {"@type": "Person", "identifier": did(found.demand.author)},
        "seller": seller,
        "acceptedOffer": _offer(offer),
        "termsOfService": found.terms.id,
    }


def _offer(offer: Offer) -> Json:
    had = offer.conditions
    view: Json = {
        "@type": "Offer",
        "identifier": cid(offer.id),
        "itemOffered": _item(readable(offer.item)),
        "priceSpecification": _price(offer.price),
        "validThrough": _moment(offer.expires),
    }
    if had.delivery is not None:
        view["deliveryLeadTime"] = _quantity(had.delivery, "DAY")
    if had.warranty is not None:
        promise = {"@type": "WarrantyPromise", "durationOfWarranty": _quantity(had.warranty, "MON")}
        view["warranty"] = promise
    if had.extras:
        view["addOn"] = [{"@type": "Offer", "name": name} for name in had.extras]
    return view


def _price(price: Price) -> Json:
    """Return a price without the one property that schema.org does not know."""
    written = write_price(price)
    for part in written["priceComponent"]:
        del part["kind"]
        part["priceCurrency"] = price.currency
    return written


def _quantity(value: int, unit: str) -> Json:
    return {"@type": "QuantitativeValue", "value": value, "unitCode": unit}


def _item(value: Any) -> Any:
    """Return a vendor's item without JSON-LD keywords but its type: no context of its own, no ids."""
    if isinstance(value, dict):
        return {name: _item(one) for name, one in value.items() if not name.startswith("@") or name == "@type"}
    return [_item(one) for one in value] if isinstance(value, list) else value


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
