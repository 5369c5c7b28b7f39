"""How long reading a sentence takes: the slowest in a hundred of the tables of sentences. No agent, no network.

In `parts`:

    median   the sentence in the middle
    draft    reading and writing the draft, slowest in a hundred
    longest  100 000 characters, of which the first 4 000 are read
    first    the import with its tables, in a process of its own, and one sentence
"""

import argparse
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intentcast_agent.person.drafting.reading import read_words
from intentcast_agent.person.drafting.template import from_words
from stand import Json, conditions, part, percentile, run

TARGET = 20.0  # ms
NOW = 1_795_348_800
TABLES = Path(__file__).parents[1] / "agent/drafting"
FIRST = f"""
import time
began = time.perf_counter()
from intentcast_agent.person.drafting.reading import read_words
read_words("car under 18500 EUR near Utrecht", {NOW})
print((time.perf_counter() - began) * 1000)
"""


def sentences() -> list[str]:
    """Return the sentences of both tables."""
    tables = (TABLES / "sentences.toml", TABLES / "sentences_unseen.toml")
    groups = [group for table in tables for group in tomllib.loads(table.read_text(encoding="utf-8")).values()]
    return [text for group in groups for text in group]


def milliseconds(work: Callable[[], Any]) -> float:
    """Return how long a piece of work takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1_000


def measure(options: argparse.Namespace) -> Json:
    """Read every sentence once a turn."""
    texts = sentences()
    kinds = [text for text in texts if read_words(text, NOW).slot("category")]
    longest = ("used VW Golf under 18.5k near Utrecht, " * 3_000)[:100_000]
    samples: dict[str, list[float]] = {name: [] for name in ("read", "median", "draft", "longest", "first")}
    for _ in range(options.repeat):
        read = [milliseconds(lambda text=text: read_words(text, NOW)) for text in texts]  # type: ignore[misc]
        drafted = [milliseconds(lambda text=text: from_words(text, NOW)) for text in kinds]  # type: ignore[misc]
        samples["read"].append(percentile(read, 0.99))
        samples["median"].append(percentile(read, 0.5))
        samples["draft"].append(percentile(drafted, 0.99))
        samples["longest"].append(milliseconds(lambda: read_words(longest, NOW)))
        done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True)
        samples["first"].append(float(done.stdout))
    figure = part(samples.pop("read"), 2)
    return {
        **figure,
        "unit": "ms to read a sentence, p99",
        "target": TARGET,
        "ok": figure["value"] <= TARGET,
        "parts": {name: part(taken, 2) for name, taken in samples.items()},
        "conditions": conditions(sentences=len(texts)),
    }


if __name__ == "__main__":
    run("drafting", "reading what somebody wants from plain words", measure, repeat=9)
