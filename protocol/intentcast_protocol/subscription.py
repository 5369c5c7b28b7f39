"""Which public records a listener wants: a conjunction of fields, each a list of alternatives.

    filter = {types, authors, categories, cells, countries}      every field optional

PROTOCOL §9.4
"""

import re
from dataclasses import dataclass
from typing import Any

from intentcast_protocol.area import ANYWHERE, Area, read_area
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_CATEGORY_LEVELS, MAX_FILTER_VALUES
from intentcast_protocol.record import PUBLIC_TYPES, Envelope

CATEGORY = re.compile(rf"[a-z0-9-]{{1,64}}(?:/[a-z0-9-]{{1,64}}){{0,{MAX_CATEGORY_LEVELS - 1}}}", re.ASCII)
_FIELDS = frozenset({"types", "authors", "categories", "cells", "countries"})


@dataclass(frozen=True, slots=True)
class Filter:
    """A checked filter; an empty field lets everything through."""

    types: tuple[str, ...] = ()
    authors: tuple[bytes, ...] = ()
    categories: tuple[str, ...] = ()
    area: Area = ANYWHERE

    def passes(self, envelope: Envelope) -> bool:
        """Say whether a public record is wanted. PROTOCOL §9.4"""
        if self.types and envelope.type not in self.types:
            return False
        if self.authors and envelope.author not in self.authors:
            return False
        if not self.categories and self.area == ANYWHERE:
            return True
        categories, area = topic(envelope)
        if self.categories and not any(within(have, want) for have in categories for want in self.categories):
            return False
        return self.area.meets(area)

    def wire(self) -> dict[str, Any]:
        """Return the filter's form on the wire."""
        fields: dict[str, tuple[Any, ...]] = {
            "types": self.types,
            "authors": self.authors,
            "categories": self.categories,
            "cells": self.area.cells,
            "countries": self.area.countries,
        }
        return {name: list(values) for name, values in fields.items() if values}


def within(category: str, ancestor: str) -> bool:
    """Say whether a category path is `ancestor` or lies below it. PROTOCOL §6.1"""
    return category == ancestor or category.startswith(ancestor + "/")


def topic(envelope: Envelope) -> tuple[tuple[str, ...], Area]:
    """Return what a public record is about: its categories and area. PROTOCOL §9.4

    A relay carries demands it does not fully check, so an ill-formed topic is simply no topic.
    """
    body = envelope.body
    if envelope.type == "demand":
        item = body.get("itemOffered")
        named = [item.get("category")] if isinstance(item, dict) else []
    else:
        listed = body.get("categories")
        named = listed if isinstance(listed, list) else []
    try:
        area = read_area(body.get("areaServed"))
    except InvalidMessage:
        area = ANYWHERE
    return tuple(name for name in named[:MAX_FILTER_VALUES] if isinstance(name, str)), area


def read_filter(value: object) -> Filter:
    """Read a filter from a frame; raises InvalidMessage for unknown fields or too many values. PROTOCOL §9.4"""
    code = "invalid.frame.malformed"
    if not isinstance(value, dict) or not value.keys() <= _FIELDS:
        raise InvalidMessage(code, "a filter has types, authors, categories, cells and countries")
    for name, items in value.items():
        if not isinstance(items, list) or len(items) > MAX_FILTER_VALUES:
            raise InvalidMessage(code, f"{name} is a list of at most {MAX_FILTER_VALUES}")
    types, authors, categories = (value.get(name, []) for name in ("types", "authors", "categories"))
    if not all(isinstance(kind, str) and kind in PUBLIC_TYPES for kind in types):
        raise InvalidMessage(code, "only public types can be subscribed to")
    if not all(isinstance(author, bytes) and len(author) == 32 for author in authors):
        raise InvalidMessage(code, "an author is a 32-byte key")
    if not all(isinstance(path, str) and CATEGORY.fullmatch(path) for path in categories):
        raise InvalidMessage(code, "a category is a path of slugs")
    area = read_area({name: value[name] for name in ("cells", "countries") if name in value}, code)
    return Filter(tuple(types), tuple(authors), tuple(categories), area)
