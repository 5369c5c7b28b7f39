"""The numbers: counted right, told under the names that deploy/README.md lists, and read back as they were."""

import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intentcast_relay.exposition import exposition, registry
from intentcast_relay.history import EMPTY, MINUTES, STEP, History, mark, span
from intentcast_relay.machine import disk, usage
from intentcast_relay.metrics import METRICS, PREFIX, SECONDS, Census, Facts, Histogram, Meter, quantile
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
FACTS = Facts(
    meter=Meter(), census=Census({"demand": 3, "sealed": 2}, 1), version="1.2.3", started=1_800_000_000,
    connections=5, turned_away=1, subscriptions=7, queued=2, database_bytes=4_096, wal_bytes=512,
    disk_free=2**33, disk_total=2**34, config_ok=True, backup_at=0, cpu={"relay": 1.5, "children": 0.5},
    memory={"relay": 2**20, "children": 2**10},
)  # fmt: skip


def facts(meter: Meter) -> Facts:
    return replace(FACTS, meter=meter)


def scraped(found: Facts) -> dict[tuple[str, str], float]:
    """What a scrape yields: (name, its labels' values in order of their names) -> value."""
    text = exposition(registry(lambda: found)).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        (one.name.removeprefix(PREFIX), " ".join(value for _, value in sorted(one.labels.items()))): one.value
        for one in samples
    }


class TestHistogram:
    def test_value_on_a_bound_counts_below_it(self) -> None:
        histogram = Histogram((1, 2))
        for value in (0.5, 1, 1.5, 2, 99):
            histogram.add(value)
        assert histogram.counts == [2, 2, 1]
        assert list(histogram.cumulative()) == [(1, 2), (2, 4), (math.inf, 5)]
        assert (histogram.count, histogram.total) == (5, 104)

    def test_nothing_counted_has_no_quantile(self) -> None:
        assert quantile(SECONDS, Histogram(SECONDS).counts, 0.5) is None

    @given(st.lists(st.floats(0, 20), min_size=1, max_size=60), st.sampled_from((0.5, 0.9, 0.99, 1.0)))
    def test_quantile_lies_in_the_bucket_of_the_true_one(self, values: list[float], share: float) -> None:
        histogram = Histogram(SECONDS)
        for value in values:
            histogram.add(value)
        true = sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
        found = quantile(SECONDS, histogram.counts, share)
        assert found is not None
        upper = next((bound for bound in SECONDS if true <= bound), SECONDS[-1])
        lower = max((bound for bound in SECONDS if bound < true), default=0)
        assert lower <= found <= upper or true > SECONDS[-1] == found


class TestExposition:
    def test_every_metric_of_the_table_is_scraped_by_its_name(self) -> None:
        names = {name for name, _ in scraped(FACTS)}
        for row in METRICS:
            if row.name not in {"refused_total", "reloads_total"}:  # these have no sample before the first
                assert row.name in names or f"{row.name}_count" in names, row.name

    def test_counts_are_told_as_they_were_counted(self) -> None:
        meter = Meter(received=9, acked=7)
        meter.refused["refused.rate.exceeded"] += 2
        meter.reloads["applied"] += 1
        meter.checking.add(0.004)
        meter.batches.add(3)
        found = scraped(facts(meter))
        assert found["received_total", ""] == 9
        assert found["refused_total", "refused.rate.exceeded"] == 2
        assert found["reloads_total", "applied"] == 1
        assert found["commits_total", ""] == 1
        assert found["records", "sealed"] == 2
        assert found["info", "1.2.3"] == 1
        assert found["cpu_seconds_total", "children"] == 0.5
        assert found["stage_seconds_count", "checking"] == 1
        assert found["stage_seconds_sum", "checking"] == 0.004
        assert found["stage_seconds_bucket", "0.003 checking"] == 0
        assert found["stage_seconds_bucket", "0.005 checking"] == 1
        assert found["stage_seconds_bucket", "+Inf checking"] == 1

    def test_two_relays_in_one_process_share_nothing(self) -> None:
        first, second = scraped(facts(Meter(acked=1))), scraped(facts(Meter(acked=2)))
        assert (first["acked_total", ""], second["acked_total", ""]) == (1, 2)

    def test_readme_lists_the_metrics_of_the_code(self) -> None:
        text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| `intentcast_relay_(\w+)` \| (\w+) \| (?:`(\w+)`)? ?\| (.+) \|$", text, re.MULTILINE)
        assert rows == [(row.name, row.kind, row.label, row.help) for row in METRICS]

    def test_names_follow_the_rules_of_prometheus(self) -> None:
        for row in METRICS:
            assert re.fullmatch(r"[a-z][a-z_]*", row.name)
            assert row.name.endswith("_total") == (row.kind == "counter")
            assert row.help.endswith(".")
            assert not row.name.endswith(("_ms", "_kb", "_milliseconds"))

    def test_relay_without_a_metrics_port_never_imports_prometheus(self) -> None:
        code = "import sys, intentcast_relay.server; print('prometheus_client' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False"


class TestHistory:
    def test_rate_is_the_difference_over_the_seconds_between(self) -> None:
        meter = Meter()
        first = mark(facts(meter), 100.0)
        meter.acked, meter.delivered = 50, 500
        meter.refused["refused.rate.exceeded"] = 5
        for _ in range(50):
            meter.answering.add(0.0015)
        found = span(first, mark(facts(meter), 110.0))
        assert (found.acked, found.refused, found.delivered, found.connections) == (5, 0.5, 50, 5)
        assert found.ack_p50 is not None
        assert 0.001 < found.ack_p50 < 0.002
        assert found.sync_p99 is None

    def test_minutes_are_finished_as_time_passes_and_the_oldest_go(self) -> None:
        history, meter = History(), Meter()
        for step in range((MINUTES + 10) * 60 // STEP + 1):
            history.add(mark(facts(meter), float(step * STEP)))
            meter.acked += 10 * STEP
        assert len(history.minutes) == MINUTES
        assert {minute.acked for minute in history.minutes} == {10.0}

    def test_latest_looks_back_one_minute_and_no_further(self) -> None:
        history, meter = History(), Meter()
        for step in range(41):
            history.add(mark(facts(meter), float(step * STEP)))
            meter.acked += 100 if step < 20 else 0
        assert history.latest(mark(facts(meter), 40.0 * STEP)).acked == 0

    def test_latest_of_nothing_is_nothing(self) -> None:
        assert History().latest(mark(FACTS, 0.0)) == EMPTY._replace(connections=5)


class TestMachine:
    def test_usage_of_this_process_is_told(self) -> None:
        found = usage()
        assert found.cpu["relay"] > 0
        assert 2**20 < found.memory["relay"] < 2**36

    @pytest.mark.skipif(sys.platform != "linux", reason="children are known through /proc alone")
    def test_children_count(self) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            found = usage().memory["children"]
            child.communicate()
        assert found > 0

    def test_sizes_are_those_of_the_files_and_missing_ones_are_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "relay.db").write_bytes(b"x" * 100)
        found = disk(tmp_path / "relay.db")
        assert (found.database, found.wal) == (100, 0)
        assert 0 < found.free <= found.total
        assert disk(tmp_path / "none" / "relay.db") == (0, 0, 0, 0)
