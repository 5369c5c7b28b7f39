"""JSON-LD: finds the things for sale in a shop's export and gives them our shape.

A file is one object, a list, an ``@graph``, an ItemList or an OfferCatalog. A thing for sale is an object with
``offers``, or an Offer with ``itemOffered``; organisations, breadcrumbs and the like are passed over. No context is
ever fetched: names are schema.org's, with or without its address in front. DESIGN §4.4
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from intentcast_agent.vendor.inventory.cell import CellFault, bare, clean, read_number
from intentcast_agent.vendor.inventory.intake import Draft, Intake, look, place
from intentcast_agent.vendor.inventory.mapping import Column, Mapping
from intentcast_agent.vendor.inventory.merchant import BODIES, CARS, FUELS
from intentcast_agent.vendor.inventory.stock import (
    MAX_ITEM_DEPTH,
    MAX_ITEM_NODES,
    MAX_NAME,
    MAX_STRING,
    Feed,
    FeedUnreadable,
)

_NAME = re.compile(r"@?[A-Za-z][A-Za-z0-9]{0,63}", re.ASCII)
_UNIT = re.compile(r"[A-Z0-9]{2,3}", re.ASCII)
_HOLDERS = ("@graph", "itemListElement", "item", "dataFeedElement", "hasOfferCatalog", "makesOffer")
_VEHICLES = frozenset({"Car", "Vehicle", "Motorcycle", "MotorizedBicycle", "BusOrCoach"})
# Of these people only want the name, whether the shop writes text or an object.
_NAMED = frozenset({"brand", "manufacturer", "model", "color", "provider"})
_DROPPED = frozenset({"", "@context", "@id", "offers", "review", "aggregateRating", "isRelatedTo", "isSimilarTo"})
# Text that has to be read rather than copied.
_COLUMNS = {
    column.path.removeprefix("item."): column
    for column in (
        Column("item.category", "category", values={"916": CARS}),
        Column("item.itemCondition", "condition"),
        Column("item.vehicleIdentificationNumber", "vin"),
        Column("item.vehicleModelDate", "year"),
        Column("item.mileageFromOdometer", "measure"),
        Column("item.fuelType", values=FUELS),
        Column("item.bodyType", values=BODIES),
    )
}
_VEHICLE_DEFAULTS = {
    "category": CARS,
    "manufacturer": "{brand}",
    "fuelType": "{vehicleEngine.fuelType}",
    "name": "{vehicleModelDate} {manufacturer} {model}",
}
_DEFAULTS = {"@type": "Product", "sku": "{vehicleIdentificationNumber}"}


class _Literal(str):
    """A number as the file writes it, which JSON tells from text."""

    __slots__ = ()


def read_jsonld(text: str, mapping: Mapping | None = None) -> Feed:
    """Read a JSON-LD document; of a mapping only its defaults and currency count.

    FeedError.row is the place among the things for sale, from 1, and its column a path such as ``offers.price``. Raises
    FeedUnreadable when the text is not JSON, is nested too deep, or holds nothing for sale.
    """
    try:
        document = json.loads(text, parse_float=_Literal, parse_int=_Literal, parse_constant=_refuse)
    except RecursionError as error:
        raise FeedUnreadable("The file nests too deep to be a stock file.") from error
    except ValueError as error:
        raise FeedUnreadable(f"The file is not JSON: {str(error)[:200]}.") from error
    base = Mapping("json-ld", {}, _DEFAULTS, "json")
    own = replace(mapping, columns={}, decimal="json", defaults={**_DEFAULTS, **mapping.defaults}) if mapping else base
    vehicles = replace(own, defaults={**_VEHICLE_DEFAULTS, **own.defaults})
    intake = Intake(own, {"sku": "sku", "price": "offers.price"})
    for row, (thing, offer) in enumerate(_sales(document), 1):
        draft = intake.draft(row)
        types = {bare(name) for name in _list(thing.get("@type")) if isinstance(name, str)}
        intake.mapping = vehicles if types & _VEHICLES else own
        _read_item(draft, thing)
        _read_offer(draft, thing, offer)
        intake.admit(draft)
    intake.mapping = own
    if not intake.rows:
        raise FeedUnreadable("The file holds no product, vehicle or service with offers.")
    return intake.feed()


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not a number in JSON")


def _sales(document: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Walk to every (thing, offer), in the order of the file, without recursion."""
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += reversed(node)
        elif isinstance(node, dict):
            thing = node.get("itemOffered")
            if isinstance(thing, dict):
                yield thing, node
            elif "offers" in node:
                yield from ((_variant(node, offer), offer) for offer in _offers(node["offers"]))
            else:
                waiting += reversed([node[name] for name in _HOLDERS if name in node])


def _offers(value: Any) -> list[dict[str, Any]]:
    """Return the offers of one thing; a lone AggregateOffer stands for those it lists."""
    offers: list[dict[str, Any]] = [offer for offer in _list(value) if isinstance(offer, dict)]
    if len(offers) == 1 and "price" not in offers[0] and "offers" in offers[0]:
        offers = [offer for offer in _list(offers[0]["offers"]) if isinstance(offer, dict)]
    return offers or [{}]


def _variant(thing: dict[str, Any], offer: dict[str, Any]) -> dict[str, Any]:
    return thing | {"sku": offer["sku"]} if "sku" in offer else thing


def _read_item(draft: Draft, thing: dict[str, Any]) -> None:
    budget = [MAX_ITEM_NODES]
    for key, value in thing.items():
        name = _key(key)
        if name in _DROPPED or name in ("sku", "additionalProperty"):
            continue
        try:
            shaped = _shape(name, value, 1, budget)
        except CellFault as fault:
            draft.fault(name, _show(value), str(fault))
            continue
        if shaped not in (None, "", [], {}):
            place(draft.item, f"item.{name}", shaped)
    for extra in _list(thing.get("additionalProperty")):
        _read_extra(draft, extra, budget)


def _read_extra(draft: Draft, extra: Any, budget: list[int]) -> None:
    """Turn a PropertyValue into a property, so that a constraint reaches it by name."""
    name = extra.get("name") if isinstance(extra, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return
    value = {key: extra[key] for key in ("value", "unitCode", "minValue", "maxValue") if key in extra}
    try:
        shaped = _shape(name, value if value.keys() - {"value"} else value.get("value"), 1, budget)
    except CellFault as fault:
        draft.fault(f"additionalProperty.{name}", _show(value), str(fault))
    else:
        if shaped not in (None, "", [], {}):
            place(draft.item, f"item.{name}", shaped)


def _shape(name: str, value: Any, depth: int, budget: list[int]) -> Any:
    """Give a JSON value our shape: text, lists and maps only, numbers as decimal strings; raises CellFault."""
    budget[0] -= 1
    if budget[0] < 0:
        raise CellFault(f"The thing has more than {MAX_ITEM_NODES} values.")
    if depth > MAX_ITEM_DEPTH:
        raise CellFault(f"The thing nests deeper than {MAX_ITEM_DEPTH} levels.")
    if isinstance(value, list):
        if name == "@type":
            value = value[:1]
        shaped = [_shape(name, one, depth + 1, budget) for one in value]
        return shaped[0] if len(shaped) == 1 else [one for one in shaped if one not in (None, "")]
    if isinstance(value, dict):
        if name in _NAMED and isinstance(value.get("name"), str):
            return _text(name, value["name"])
        if "value" in value and not isinstance(value["value"], dict | list):
            return _quantity(name, value)
        inner = {_key(key): _shape(_key(key), one, depth + 1, budget) for key, one in value.items()}
        return {key: one for key, one in inner.items() if key not in _DROPPED and one not in (None, "", [], {})}
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else _text(name, value)


def _text(name: str, value: str) -> Any:
    column = _COLUMNS.get(name)
    if isinstance(value, _Literal) and not column:
        return read_number(value, "json")
    text = bare(clean(value))
    if not text:
        return None
    if column:
        return column.read(column.values.get(text.casefold(), text), None)
    if name in ("name", "description"):
        return text[: MAX_NAME if name == "name" else MAX_STRING].rstrip()
    if len(text) > MAX_STRING:
        raise CellFault(f"This is longer than {MAX_STRING} characters.")
    return text


def _quantity(name: str, value: dict[str, Any]) -> Any:
    amount, unit = value["value"], value.get("unitCode")
    if amount is None:
        return None
    if not isinstance(amount, str):
        return "true" if amount else "false"
    if unit is None and not isinstance(value.get("unitText"), str):
        return _text(name, amount)
    if unit is None:
        return Column("", "measure").read(f"{read_number(clean(amount), 'json')} {clean(value['unitText'])}", ".")
    return {"value": read_number(clean(amount), "json"), "unitCode": _unit(unit)}


def _read_offer(draft: Draft, thing: dict[str, Any], offer: dict[str, Any]) -> None:
    listed = _list(offer.get("priceSpecification"))
    terms = listed[0] if len(listed) == 1 and isinstance(listed[0], dict) else {}
    try:
        price = Column("price", unit=_unit(terms["unitCode"]) if "unitCode" in terms else None)
    except CellFault as fault:
        draft.fault("offers.priceSpecification.unitCode", _show(terms["unitCode"]), str(fault))
        price = Column("price")
    level = offer.get("inventoryLevel")
    condition = offer.get("itemCondition")
    found = {
        "sku": ("sku", thing.get("sku", thing.get("productID"))),
        "price": ("offers.price", offer.get("price", terms.get("price"))),
        "currency": ("offers.priceCurrency", offer.get("priceCurrency", terms.get("priceCurrency"))),
        "availability": ("offers.availability", offer.get("availability")),
        "quantity": ("offers.inventoryLevel", level.get("value") if isinstance(level, dict) else level),
        "listed": ("offers.availabilityStarts", offer.get("availabilityStarts")),
    }
    for path, (name, value) in found.items():
        if isinstance(value, str) and (text := clean(value)):
            draft.sale[path] = (name, price if path == "price" else Column(path), text)
        elif value is not None and not isinstance(value, str):
            draft.fault(name, _show(value), "This is one text or number.")
    if isinstance(condition, str) and not look(draft.item, "itemCondition"):
        try:
            place(draft.item, "item.itemCondition", _text("itemCondition", condition))
        except CellFault as fault:
            draft.fault("offers.itemCondition", condition, str(fault))


def _key(key: str) -> str:
    """Return a property's name, or nothing for one that no constraint could reach."""
    name = key[:MAX_NAME].removeprefix("https://schema.org/").removeprefix("http://schema.org/")
    return name if _NAME.fullmatch(name) else ""


def _unit(value: Any) -> str:
    if not isinstance(value, str) or not _UNIT.fullmatch(value):
        raise CellFault("unitCode is a UN/ECE code such as KMT.")
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _show(value: Any) -> str:
    return value if isinstance(value, str) else type(value).__name__
