"""The last hours as a ring of per-minute numbers, and the last minute in steps: what the operator's page draws.

Counters only ever grow, so a rate is the difference of two marks over the seconds between them. Pure: time comes in.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from intentcast_relay.metrics import SECONDS, Facts, quantile

MINUTES: Final = 360
STEP: Final = 5  # s between marks
_STEPS: Final = 60 // STEP


class Mark(NamedTuple):
    """The counters at one moment. `at` is monotonic seconds."""

    at: float
    acked: int
    refused: int
    delivered: int
    answering: tuple[int, ...]  # the counts of the histogram, as is the next
    syncing: tuple[int, ...]
    connections: int


class Minute(NamedTuple):
    """What one minute was like: numbers a second, and seconds to an ack and to the disk, None if there was none."""

    acked: float
    refused: float
    delivered: float
    connections: int
    ack_p50: float | None
    ack_p99: float | None
    sync_p50: float | None
    sync_p99: float | None


EMPTY: Final = Minute(0, 0, 0, 0, None, None, None, None)


def mark(facts: Facts, at: float) -> Mark:
    """Note what `span` compares."""
    meter = facts.meter
    return Mark(
        at, meter.acked, meter.refused.total(), meter.delivered,
        tuple(meter.answering.counts), tuple(meter.syncing.counts), facts.connections,
    )  # fmt: skip


def span(first: Mark, last: Mark) -> Minute:
    """Return what the time between two marks was like."""
    seconds = max(last.at - first.at, 0.001)
    acks = _between(first.answering, last.answering)
    syncs = _between(first.syncing, last.syncing)
    return Minute(
        (last.acked - first.acked) / seconds,
        (last.refused - first.refused) / seconds,
        (last.delivered - first.delivered) / seconds,
        last.connections,
        quantile(SECONDS, acks, 0.5),
        quantile(SECONDS, acks, 0.99),
        quantile(SECONDS, syncs, 0.5),
        quantile(SECONDS, syncs, 0.99),
    )


def _between(before: tuple[int, ...], after: tuple[int, ...]) -> list[int]:
    return [late - early for early, late in zip(before, after, strict=True)]


@dataclass(slots=True)
class History:
    """Keeps the steps of the last minute and the last MINUTES minutes; `add` wants a mark every STEP seconds."""

    minutes: deque[Minute] = field(default_factory=lambda: deque(maxlen=MINUTES))
    _steps: deque[Mark] = field(default_factory=lambda: deque(maxlen=_STEPS + 1))
    _minute: Mark | None = None

    def add(self, last: Mark) -> None:
        """Take a mark; every sixty seconds a minute is finished."""
        self._steps.append(last)
        self._minute = self._minute or last
        if last.at - self._minute.at >= 60:
            self.minutes.append(span(self._minute, last))
            self._minute = last

    def latest(self, last: Mark) -> Minute:
        """Return what the last minute was like, as far as it was seen."""
        return span(self._steps[0], last) if self._steps else EMPTY._replace(connections=last.connections)
