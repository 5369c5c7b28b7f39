"""The numbers as Prometheus reads them. Its library is imported here alone; its process-wide registry stays unused."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from intentcast_relay.metrics import METRICS, PREFIX, Facts, Histogram
from intentcast_relay.metrics import Metric as Row

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Numbers(Collector):
    """Turns the relay's facts into metric families whenever it is scraped; between scrapes it costs nothing."""

    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance, so that registering asks for no facts."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of the table."""
        facts = self._facts()
        for row in METRICS:
            yield family(row, facts)


def family(row: Row, facts: Facts) -> Metric:
    """Return one metric with its samples."""
    value = row.read(facts)
    samples = value if isinstance(value, Mapping) else {"": value}
    name, labels = PREFIX + row.name, [row.label] if row.label else []
    if row.kind == "histogram":
        histogram = HistogramMetricFamily(name, row.help, labels=labels)
        for label, sample in samples.items():
            assert isinstance(sample, Histogram)
            buckets = [(_bound(bound), float(count)) for bound, count in sample.cumulative()]
            histogram.add_metric([label] if labels else [], buckets=buckets, sum_value=sample.total)
        return histogram
    kind = CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily
    simple = kind(name, row.help, labels=labels)
    for label, sample in samples.items():
        assert not isinstance(sample, Histogram)
        simple.add_metric([label] if labels else [], float(sample))
    return simple


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(float(bound))


def registry(facts: Callable[[], Facts]) -> CollectorRegistry:
    """Return a registry of its own for one relay."""
    made = CollectorRegistry(auto_describe=False)
    made.register(Numbers(facts))
    return made


def exposition(registered: CollectorRegistry) -> bytes:
    """Return the text a scrape gets."""
    return generate_latest(registered)
