"""A vendor's public card: who they say they are, what they sell, where, and how to reach them. PROTOCOL §6.5"""

from dataclasses import dataclass

from intentcast_protocol.area import Area, read_area
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.identity import Key
from intentcast_protocol.limits import MAX_FILTER_VALUES
from intentcast_protocol.offer import Seller, read_seller
from intentcast_protocol.record import Verified
from intentcast_protocol.subscription import CATEGORY
from intentcast_protocol.vocabulary import read_bytes, read_relays

_CODE = "invalid.profile.malformed"


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile's checked content."""

    vendor: Key
    seller: Seller
    categories: tuple[str, ...]
    area: Area
    relays: tuple[str, ...]
    seal_key: bytes


def read_profile(record: Verified) -> Profile:
    """Read a vendor's profile; raises InvalidMessage naming the field. PROTOCOL §6.5"""
    body = record.body
    if record.type != "profile":
        raise InvalidMessage("invalid.record.purpose", f"a {record.type} is not a profile")
    listed = body.get("categories")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_FILTER_VALUES:
        raise InvalidMessage(_CODE, f"categories are 1 to {MAX_FILTER_VALUES} paths")
    if not all(isinstance(path, str) and CATEGORY.fullmatch(path) for path in listed):
        raise InvalidMessage(_CODE, "a category is a path of slugs")
    return Profile(
        vendor=record.author,
        seller=read_seller(body, _CODE),
        categories=tuple(listed),
        area=read_area(body.get("areaServed"), _CODE),
        relays=read_relays(body.get("relays"), _CODE),
        seal_key=read_bytes(body.get("sealKey"), "sealKey", _CODE),
    )
