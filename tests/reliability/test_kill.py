"""Killed at any moment, again and again, a relay keeps what it acknowledged, and its readers miss and repeat nothing.

Proven: the process may die between any two of its steps, its workers included. Not proven: what a power cut adds, since
the kernel keeps what was written (test_power_cut.py).
"""

import random
import signal
from pathlib import Path

import pytest
from rig.relay import left_behind, start
from rig.town import found_town
from rig.traffic import until

pytestmark = pytest.mark.reliability

LONGEST = 0.2  # s of load before a kill
REAPED = 5  # s until the workers of a killed relay are gone


async def kill_often(folder: Path, dice: random.Random, times: int) -> None:
    async with found_town(folder, dice) as town:
        for number in range(times):
            status = await town.live(signal.SIGKILL, dice.uniform(0, LONGEST))
            assert status == -signal.SIGKILL, f"life {number} ended by itself: {status}"
            assert not town.witness.contradictions, f"life {number}"
        faults = await town.faults()
        assert not faults, f"{len(faults)} broken promises, the first: {faults[0]}"
        assert len(town.witness.acked) > 20 * times, "too little was acknowledged for this to prove anything"
        assert town.witness.taken
        assert town.subscriber.order


async def test_relay_killed_under_load_keeps_what_it_acked_and_every_cursor_resumes(
    memory: Path, dice: random.Random
) -> None:
    """20 kills: acked stays at its place; the subscriber got each acked demand once, in order, over all lives."""
    await kill_often(memory, dice, 20)


@pytest.mark.long
async def test_relay_killed_hundreds_of_times_breaks_no_promise(memory: Path, dice: random.Random) -> None:
    """200 kills."""
    await kill_often(memory, dice, 200)


async def test_killed_relay_leaves_no_process_behind(memory: Path) -> None:
    """Its workers notice that it is gone, and end."""
    life = await start(memory / "home")
    life.kill()
    await life.ended()
    await until(lambda: not left_behind(life.pid), REAPED)
