"""What the relay counts while it works, and the one table that says what each number is called outside.

The write path bumps plain integers of a `Meter`: an addition, where a counter of prometheus-client costs a lock and a
dictionary. Everything else is looked up when somebody asks, as `Facts`. `METRICS` is what Prometheus, the operator's
page and deploy/README.md agree on; a test compares them.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

# s; the finest are below what a disk needs, so that memory and a real fsync can be told apart.
SECONDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075,
    0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
)  # fmt: skip
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)  # records
PREFIX: Final = "intentcast_relay_"
DISK_LOW: Final = 2**30  # bytes; below this the operator is told


@dataclass(slots=True, eq=False)
class Histogram:
    """How often a value fell at or below each bound but above the one before; the last place is beyond all bounds."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.counts)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Yield each bound, then infinity, with how many values are not above it."""
        running = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            yield bound, running


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return the value below which a share of all lies, straight between two bounds; None if there are none.

    What lies beyond the last bound counts as that bound, as PromQL's ``histogram_quantile`` has it.
    """
    rank, running, below = share * sum(counts), 0, 0.0
    if not rank:
        return None
    for bound, count in zip(bounds, counts, strict=False):
        if count and running + count >= rank:
            return below + (bound - below) * (rank - running) / count
        running += count
        below = bound
    return below


def _seconds() -> Histogram:
    return Histogram(SECONDS)


@dataclass(slots=True, eq=False)
class Meter:
    """The numbers that only the work itself knows; all begin at 0 with the process."""

    received: int = 0  # records and acts on mailboxes
    acked: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by code; every answer that is a problem
    answering: Histogram = field(default_factory=_seconds)  # s a record, from its frame to its ack
    waiting: Histogram = field(default_factory=_seconds)  # s a batch: its oldest record until it is taken up
    checking: Histogram = field(default_factory=_seconds)  # s a batch
    committing: Histogram = field(default_factory=_seconds)  # s a batch, the fsync with it
    syncing: Histogram = field(default_factory=_seconds)  # s a commit takes until the disk has it
    batches: Histogram = field(default_factory=lambda: Histogram(SIZES))  # records and acts in one commit
    connected: int = 0  # connections ever taken
    delivered: int = 0  # records put into a listener's queue
    replays: int = 0  # subscriptions and mailboxes that began to catch up
    slow_readers: int = 0  # connections given up because they did not read
    faults: int = 0  # internal errors
    swept: int = 0  # ended records and admissions deleted
    swept_at: int = 0  # s since 1970
    sweep_seconds: float = 0.0
    reloads: Counter[str] = field(default_factory=Counter)  # "applied" or "refused"


@dataclass(frozen=True, slots=True)
class Census:
    """What the store holds, counted every so often because counting reads all of it."""

    records: Mapping[str, int] = field(default_factory=dict)  # by type
    mailboxes: int = 0  # that hold something


@dataclass(frozen=True, slots=True)
class Facts:
    """How the relay stands at one moment. Times are whole seconds since 1970, 0 for never; sizes bytes."""

    meter: Meter
    census: Census
    version: str
    started: int
    connections: int
    turned_away: int
    subscriptions: int
    queued: int
    database_bytes: int
    wal_bytes: int
    disk_free: int
    disk_total: int
    config_ok: bool
    backup_at: int
    cpu: Mapping[str, float]  # s of processor time by kind of process
    memory: Mapping[str, int]  # bytes resident by kind of process


Value = float | Histogram | Mapping[str, float] | Mapping[str, Histogram]


class Metric(NamedTuple):
    """One line of the table: name after the prefix, kind and label as Prometheus has them, where it is read."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    label: str
    help: str
    read: Callable[[Facts], Value]


def _stages(facts: Facts) -> Mapping[str, Histogram]:
    meter = facts.meter
    return {"waiting": meter.waiting, "checking": meter.checking, "committing": meter.committing}


METRICS: Final = (
    Metric("received_total", "counter", "", "Records and acts on mailboxes that came in.", lambda f: f.meter.received),
    Metric("acked_total", "counter", "", "Answered with an ack, which follows the fsync.", lambda f: f.meter.acked),
    Metric("refused_total", "counter", "code", "Answered with a problem, by its code.", lambda f: f.meter.refused),
    Metric("ack_seconds", "histogram", "", "From a record's frame to its ack.", lambda f: f.meter.answering),
    Metric("stage_seconds", "histogram", "stage", "Time a batch spends waiting, checking and committing.", _stages),
    Metric("fsync_seconds", "histogram", "", "Time of the commit alone, with its fsync.", lambda f: f.meter.syncing),
    Metric("batch_size", "histogram", "", "Records and acts in one commit.", lambda f: f.meter.batches),
    Metric("commits_total", "counter", "", "Transactions committed.", lambda f: f.meter.batches.count),
    Metric("queue_depth", "gauge", "", "Records that wait to be checked.", lambda f: f.queued),
    Metric("connections", "gauge", "", "WebSocket connections open now.", lambda f: f.connections),
    Metric("connections_total", "counter", "", "WebSocket connections ever taken.", lambda f: f.meter.connected),
    Metric("turned_away_total", "counter", "", "Connections not taken, as there were enough.",
           lambda f: f.turned_away),
    Metric("subscriptions", "gauge", "", "Live subscriptions and read mailboxes.", lambda f: f.subscriptions),
    Metric("delivered_total", "counter", "", "Records queued for a listener.", lambda f: f.meter.delivered),
    Metric("replays_total", "counter", "", "Subscriptions that caught up from the store.", lambda f: f.meter.replays),
    Metric("slow_readers_total", "counter", "", "Connections closed for not reading.", lambda f: f.meter.slow_readers),
    Metric("internal_errors_total", "counter", "", "Faults of this program; the log names the place.",
           lambda f: f.meter.faults),
    Metric("records", "gauge", "type", "Records stored, by type; counted once a minute.", lambda f: f.census.records),
    Metric("mailboxes", "gauge", "", "Mailboxes that hold something.", lambda f: f.census.mailboxes),
    Metric("database_bytes", "gauge", "", "Size of the database file.", lambda f: f.database_bytes),
    Metric("wal_bytes", "gauge", "", "Size of its write-ahead log.", lambda f: f.wal_bytes),
    Metric("disk_free_bytes", "gauge", "", "Room left on the database's disk.", lambda f: f.disk_free),
    Metric("swept_total", "counter", "", "Ended records and admissions deleted.", lambda f: f.meter.swept),
    Metric("sweep_seconds", "gauge", "", "How long the last sweep took.", lambda f: f.meter.sweep_seconds),
    Metric("sweep_timestamp_seconds", "gauge", "", "When the last sweep was; 0 for never.", lambda f: f.meter.swept_at),
    Metric("backup_timestamp_seconds", "gauge", "", "When the last backup ended; 0 for never.", lambda f: f.backup_at),
    Metric("config_ok", "gauge", "", "1 if the settings file is in force, 0 if it was refused.",
           lambda f: int(f.config_ok)),
    Metric("reloads_total", "counter", "result", "Settings read anew: applied or refused.", lambda f: f.meter.reloads),
    Metric("start_timestamp_seconds", "gauge", "", "When this process began.", lambda f: f.started),
    Metric("info", "gauge", "version", "Always 1; the label is what matters.", lambda f: {f.version: 1}),
    Metric("cpu_seconds_total", "counter", "process", "Processor time of the relay and its workers.", lambda f: f.cpu),
    Metric("memory_bytes", "gauge", "process", "Resident memory of the relay and its workers.", lambda f: f.memory),
)  # fmt: skip
