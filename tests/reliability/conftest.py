"""The rig of these tests, found by its path: the tests are no package. Every failure names the seed that repeats it."""

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("rig.traffic")


@pytest.fixture
def seed() -> int:
    """The seed of this run's random choices: a new one each time, or RELIABILITY_SEED to repeat a failure.

    It repeats the choices of a test, not the timing of a machine.
    """
    chosen = int(os.environ.get("RELIABILITY_SEED") or random.SystemRandom().randrange(2**32))
    # Shown by pytest when the test fails.
    print(f"RELIABILITY_SEED={chosen}")
    return chosen


@pytest.fixture
def dice(seed: int) -> random.Random:
    """The run's random choices."""
    return random.Random(seed)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one, since no test here needs a real disk to be slow."""
    place = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="intentcast-", dir=place if os.access(place, os.W_OK) else None))
    yield folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
