"""Who listens for what: the live subscriptions and the mailbox readers of one relay.

Today a publish is tried against every subscription; the index of DESIGN §5, keyed by category and cell, takes this
module's place behind the same verbs. No socket is known here: a listener is any value the caller put in. PROTOCOL §9.4
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from intentcast_protocol.area import Area
from intentcast_protocol.frames import Count
from intentcast_protocol.record import Envelope
from intentcast_protocol.subscription import Filter, within

L = TypeVar("L", bound=Hashable)
STEPS: Final = ((0, 0), (1, 4), (5, 19), (20, None))  # how many listen, as coarsely as it is told
COUNT_LIFE: Final = 60  # s an answer to `count` is given again
MAX_COUNTS: Final = 1_024  # answers remembered


def listens(wanted: Filter, category: str, area: Area) -> bool:
    """Say whether a filter would pass a stranger's demand of this category and area."""
    return (
        not wanted.authors
        and (not wanted.types or "demand" in wanted.types)
        and (not wanted.categories or any(within(category, path) for path in wanted.categories))
        and wanted.area.meets(area)
    )


def coarse(listeners: int) -> tuple[int, int | None]:
    """Return the step a number lies in: 0, 1 to 4, 5 to 19, 20 or more. PROTOCOL §9.8"""
    return next((least, most) for least, most in reversed(STEPS) if listeners >= least)


@dataclass(slots=True)
class Index(Generic[L]):
    """Live subscriptions by listener, and at most one reader for each mailbox."""

    _filters: dict[L, tuple[Filter, Hashable]] = field(default_factory=dict)  # with the connection they belong to
    _readers: dict[bytes, L] = field(default_factory=dict)
    _counts: dict[tuple[str, Area], tuple[int, tuple[int, int | None]]] = field(default_factory=dict)

    def add(self, listener: L, wanted: Filter, owner: Hashable) -> None:
        """Let a listener have what passes a filter; `owner` is what `count` counts."""
        self._filters[listener] = (wanted, owner)

    def read(self, listener: L, mailbox: bytes) -> L | None:
        """Make a listener the only reader of a mailbox; returns the one it displaces."""
        displaced = self._readers.get(mailbox)
        self._readers[mailbox] = listener
        return displaced

    def remove(self, listener: L, mailbox: bytes | None = None) -> None:
        """Forget a listener; one that was displaced from `mailbox` leaves its successor alone."""
        self._filters.pop(listener, None)
        if mailbox is not None and self._readers.get(mailbox) == listener:
            del self._readers[mailbox]

    def matching(self, envelope: Envelope) -> Iterator[L]:
        """Yield the listeners a new record goes to."""
        if envelope.to is not None:
            reader = self._readers.get(envelope.to)
            if reader is not None:
                yield reader
            return
        for listener, (wanted, _) in self._filters.items():
            if wanted.passes(envelope):
                yield listener

    def count(self, request: Count, now: int) -> tuple[int, int | None]:
        """Say coarsely how many connections listen for a category and area; told anew once a minute. PROTOCOL §9.8"""
        area = Area(request.cells, request.countries)
        key = (request.category, area)
        known = self._counts.get(key)
        if known is not None and known[0] <= now < known[0] + COUNT_LIFE:
            return known[1]
        owners = {owner for wanted, owner in self._filters.values() if listens(wanted, request.category, area)}
        told = coarse(len(owners))
        if len(self._counts) >= MAX_COUNTS:
            self._counts.clear()
        self._counts[key] = (now, told)
        return told

    def __len__(self) -> int:
        return len(self._filters) + len(self._readers)
