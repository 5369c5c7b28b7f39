"""The benchmarks still run and say what they promise to say; how fast anything was is no test's business."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.reliability

HERE = Path(__file__).parent
SCRIPTS = {
    "ingest": ("--records", "400", "--repeat", "1"),
    "offers": ("--bots", "1", "--repeat", "1", "--quick"),
    "matching": ("--repeat", "1", "--subscriptions", "1000", "--listeners", "200", "--publishes", "20"),
    "market": ("--bots", "2", "--processes", "1", "--repeat", "1"),
    "latency": ("--seconds", "0.5", "--full", "200", "--repeat", "1"),
    "fanout": ("--subscribers", "3,5", "--deliveries", "60", "--singles", "2", "--repeat", "1"),
    "idle": ("--connections", "20", "--repeat", "1"),
    "query": ("--stored", "4000", "--repeat", "2"),
    "coldstart": ("--repeat", "1"),
    "demo": ("--repeat", "1"),
    "compare": ("--offers", "20", "--repeat", "1"),
    "drafting": ("--repeat", "1"),
}
WITHIN = 120  # s
FIELDS = {"name", "value", "unit", "target", "ok", "spread", "samples", "conditions"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_prints_one_object_and_no_path_of_this_machine(name: str) -> None:
    command = [sys.executable, str(HERE / f"{name}.py"), "--json", *SCRIPTS[name]]
    done = subprocess.run(command, capture_output=True, timeout=WITHIN, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout)
    assert told.keys() >= FIELDS
    assert told["name"] == name
    assert isinstance(told["ok"], bool)
    assert told["spread"] == [min(told["samples"]), max(told["samples"])]
    for path in (str(HERE.parents[1]), "/tmp/", sys.prefix):
        assert path not in done.stdout.decode()


def test_the_readme_names_the_command_of_every_benchmark() -> None:
    text = (HERE / "README.md").read_text(encoding="utf-8")
    programs = {"stand", "load", "pace", "drain", "bare", "stall", "test_bench_objects"}
    scripts = {path.stem for path in HERE.glob("*.py")} - programs
    assert scripts == SCRIPTS.keys()
    for name in scripts:
        assert f"python tests/bench/{name}.py" in text
