"""Who listens for what: the live subscriptions and the mailbox readers of one relay.

A publish costs what its matches cost, however many others listen. A subscription is filed under each pair of a topic
(a wanted category, else a wanted author, else none) and a place (a wanted cell or country, else none) that it has; a
record looks up its own topics, with all that lie above them, and its own places. Topics and places are met by set
intersection, so a record with many of either costs no more than the shorter side.

Cells meet both ways. The cell u178 is filed as `u178`, and at `u*`, `u1*` and `u17*`, for records that are told no
finer than that; a record in u178 looks at `u`, `u1`, `u17` and `u178`, and at `u178*` for what lies below it.

No socket is known here: a listener is any value the caller put in. PROTOCOL §9.4, §6.2
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, chain
from sys import intern
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from intentcast_protocol.area import ANYWHERE, Area
from intentcast_protocol.frames import Count
from intentcast_protocol.limits import MAX_CATEGORY_LEVELS, MAX_CELL
from intentcast_protocol.record import PUBLIC_TYPES
from intentcast_protocol.subscription import Filter

L = TypeVar("L", bound=Hashable)
STEPS: Final = ((0, 0), (1, 4), (5, 19), (20, None))  # how many listen, as coarsely as it is told
COUNT_LIFE: Final = 60  # s an answer to `count` is given again
MAX_COUNTS: Final = 1_024  # answers remembered
MAX_ENTRIES: Final = 256  # pairs one subscription is filed under, of each of its types: about the size of its filter

ANY: Final = ""  # the topic or place of a filter that does not mind
_BELOW: Final = "*"  # after a cell: finer cells in it; after a country: of a filter that has cells as well
_KINDS: Final = {(False, False): ANY, (True, False): "cells", (False, True): "countries", (True, True): "both"}
_MANY: Final = STEPS[-1][0]
_LONGEST: Final = MAX_CATEGORY_LEVELS * 65 - 1  # characters of a category

_Node = dict[str, set[L] | tuple[L, ...]]  # listeners by place; one alone is a tuple, since a set of it has 200 bytes
_Topics = dict[str | bytes, _Node[L]]


class Public(Protocol):
    """What the index reads of a record; `to` is None for a public one, and the topic is that of PROTOCOL §9.4."""

    @property
    def to(self) -> bytes | None:
        """The mailbox of a sealed one, None for a public one."""

    @property
    def type(self) -> str:
        """Its type."""

    @property
    def author(self) -> bytes:
        """Its author's key."""

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories it is about."""

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells it is about."""

    @property
    def countries(self) -> tuple[str, ...]:
        """The countries it is about."""


class Filing(NamedTuple):
    """Where a filter is kept: under each of its types, topics and places.

    `rest` is what is left to be met by a record found there: one of these topics, and one of these places.
    """

    types: frozenset[str]
    topics: set[str | bytes]
    places: set[str]
    rest: tuple[tuple[str, ...], tuple[str, ...]] | None


def file(wanted: Filter) -> Filing:
    """Say where to keep a filter: at most MAX_ENTRIES pairs a type.

    One too wide for that is kept under coarser cells, at the end under none. Testing it when it is found costs about
    as much as sending it the record, so that nobody slows a relay by it more than by wanting everything.
    """
    types = frozenset(wanted.types) or PUBLIC_TYPES
    topics = wanted.categories or (ANY,)
    exact = _filed(wanted.area, MAX_CELL)
    if wanted.authors:
        free = not wanted.categories and wanted.area == ANYWHERE
        return Filing(types, set(wanted.authors), {ANY}, None if free else (topics, _kept(exact)))
    for length in range(MAX_CELL, 0, -1):
        places = _filed(wanted.area, length)
        if len(topics) * len(places) <= MAX_ENTRIES:
            return Filing(types, set(topics), places, None if places == exact else ((ANY,), _kept(exact)))
    return Filing(types, set(topics), {ANY}, ((ANY,), _kept(exact)))


def _kept(places: set[str]) -> tuple[str, ...]:
    return tuple(map(intern, places))


def _filed(area: Area, length: int) -> set[str]:
    """Return the places of a wanted area; its own kind is one, for records that it cannot be compared with."""
    cells = {cell[:length] for cell in area.cells}
    below = {cell[:end] + _BELOW for cell in cells for end in range(1, len(cell))}
    countries = {country + _BELOW for country in area.countries} if cells else set(area.countries)
    return {_KINDS[bool(cells), bool(countries)]} | cells | below | countries


def _sought(cells: tuple[str, ...], countries: tuple[str, ...]) -> set[str]:
    """Return the places that a record of this area looks at: it finds the areas it meets, and no others."""
    if not cells and not countries:
        return set(_KINDS.values())
    if not cells:
        return {ANY, "cells", *countries, *(country + _BELOW for country in countries)}
    found = {ANY, *(countries or ("countries",))}
    found.update(cell + _BELOW for cell in cells if len(cell) < MAX_CELL)
    for cell in cells:
        prefix = cell
        while prefix not in found:  # the empty one always is
            found.add(prefix)
            prefix = prefix[:-1]
    return found


def _above(categories: Iterable[str]) -> set[str | bytes]:
    """Return the categories that these lie within, themselves included, as far as a filter can name them."""
    found: set[str | bytes] = {ANY}
    for category in categories:
        levels = category[: _LONGEST + 1].split("/", MAX_CATEGORY_LEVELS)[:MAX_CATEGORY_LEVELS]
        found.update(accumulate(levels, "{}/{}".format))
    return found


def coarse(listeners: int) -> tuple[int, int | None]:
    """Return the step a number lies in: 0, 1 to 4, 5 to 19, 20 or more. PROTOCOL §9.8"""
    return next((least, most) for least, most in reversed(STEPS) if listeners >= least)


@dataclass(slots=True)
class Index(Generic[L]):
    """Live subscriptions by listener, and at most one reader for each mailbox."""

    _filters: dict[L, tuple[Filter, Hashable]] = field(default_factory=dict)  # with the connection they belong to
    _types: dict[str, _Topics[L]] = field(default_factory=dict)
    _rest: dict[L, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)  # of some filings
    _readers: dict[bytes, L] = field(default_factory=dict)
    _counts: dict[tuple[str, tuple[str, ...], tuple[str, ...]], tuple[int, tuple[int, int | None]]] = field(
        default_factory=dict
    )

    def add(self, listener: L, wanted: Filter, owner: Hashable) -> None:
        """Let a listener have what passes a filter, instead of what it had; `owner` is what `count` counts."""
        self._withdraw(listener)
        types, topics, places, rest = file(wanted)
        alone = (listener,)
        for kind in types:
            by_topic = self._types.setdefault(kind, {})
            for topic in topics:
                node = by_topic.setdefault(topic, {})
                for place in places:
                    # Shared by all nodes; there are a million cells at most, so nobody fills the memory with them.
                    _put(node, intern(place), alone)
        if rest is not None:
            self._rest[listener] = rest
        self._filters[listener] = (wanted, owner)

    def read(self, listener: L, mailbox: bytes) -> L | None:
        """Make a listener the only reader of a mailbox; returns the one it displaces."""
        displaced = self._readers.get(mailbox)
        self._readers[mailbox] = listener
        return displaced

    def remove(self, listener: L, mailbox: bytes | None = None) -> None:
        """Forget a listener; one that was displaced from `mailbox` leaves its successor alone."""
        self._withdraw(listener)
        if mailbox is not None and self._readers.get(mailbox) == listener:
            del self._readers[mailbox]

    def matching(self, record: Public) -> set[L]:
        """Return the listeners a new record goes to."""
        if record.to is not None:
            return {self._readers[record.to]} if record.to in self._readers else set()
        if not self._types.get(record.type):
            return set()
        places, topics = _sought(record.cells, record.countries), _above(record.categories)
        topics.add(record.author)
        found = set(chain.from_iterable(self._buckets(record.type, topics, places)))
        tested = self._rest.keys() & found
        found.difference_update([listener for listener in tested if not self._meets(listener, topics, places)])
        return found

    def count(self, request: Count, now: int) -> tuple[int, int | None]:
        """Say coarsely how many connections listen for a category and area; told anew once a minute. PROTOCOL §9.8"""
        key = (request.category, request.cells, request.countries)
        known = self._counts.get(key)
        if known is not None and known[0] <= now < known[0] + COUNT_LIFE:
            return known[1]
        told = coarse(self._owners(request))
        if len(self._counts) >= MAX_COUNTS:
            self._counts.clear()
        self._counts[key] = (now, told)
        return told

    def __len__(self) -> int:
        return len(self._filters) + len(self._readers)

    def _owners(self, request: Count) -> int:
        """Count connections that listen, up to as many as make no difference any more; followers of authors do not."""
        places, topics = _sought(request.cells, request.countries), _above((request.category,))
        owners: set[Hashable] = set()
        for bucket in self._buckets("demand", topics, places):
            for listener in bucket:
                _, owner = self._filters[listener]
                if owner not in owners and self._meets(listener, topics, places):
                    owners.add(owner)
                    if len(owners) >= _MANY:
                        return _MANY
        return len(owners)

    def _buckets(self, kind: str, topics: set[str | bytes], places: set[str]) -> Iterator[Iterable[L]]:
        by_topic = self._types.get(kind, {})
        for topic in by_topic.keys() & topics:
            node = by_topic[topic]
            for place in node.keys() & places:
                yield node[place]

    def _meets(self, listener: L, topics: set[str | bytes], places: set[str]) -> bool:
        rest = self._rest.get(listener)
        return rest is None or not (topics.isdisjoint(rest[0]) or places.isdisjoint(rest[1]))

    def _withdraw(self, listener: L) -> None:
        wanted, _ = self._filters.pop(listener, (None, None))
        if wanted is None:
            return
        self._rest.pop(listener, None)
        types, topics, places, _ = file(wanted)
        for kind in types:
            by_topic = self._types[kind]
            for topic in topics:
                node = by_topic[topic]
                for place in places:
                    _take(node, place, listener)
                if not node:
                    del by_topic[topic]


def _put(node: _Node[L], place: str, alone: tuple[L]) -> None:
    there = node.get(place)
    if there is None:
        node[place] = alone
    elif isinstance(there, set):
        there.update(alone)
    else:
        node[place] = {*there, *alone}


def _take(node: _Node[L], place: str, listener: L) -> None:
    there = node[place]
    if isinstance(there, set):
        there.remove(listener)
        if len(there) == 1:
            node[place] = tuple(there)
    else:
        del node[place]
