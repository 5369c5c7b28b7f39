"""Told to stop at any moment, a relay ends well: exit code 0 in time, acked stays, and readers know where to resume.

Proven: from its announcement on, at any moment of a load; and before it, that the process ends at once and leaves
nothing behind. Not promised: exit code 0 in the first fraction of a second, in which Python is still importing and
SIGTERM ends the process as it ends any program.
"""

import asyncio
import random
import signal
from pathlib import Path

import pytest
from rig.relay import END, launch, left_behind, start
from rig.town import found_town
from rig.traffic import STOPPING, until

pytestmark = pytest.mark.reliability

LONGEST = 0.3  # s of load before the signal
STARTING = 1.0  # s within which a relay has announced itself, on a machine that is not too busy


async def stop_often(folder: Path, dice: random.Random, times: int) -> None:
    served = 0
    async with found_town(folder, dice) as town:
        for number in range(times):
            status = await town.live(signal.SIGTERM, dice.uniform(0, LONGEST))
            assert status == 0, f"life {number}: exit {status}"
            for reader in (town.subscriber, town.collector):
                assert not reader.served or reader.told == STOPPING, f"life {number}: a reader was told {reader.told!r}"
                served += reader.served
        faults = await town.faults()
        assert not faults, f"{len(faults)} broken promises, the first: {faults[0]}"
        assert served > times // 2, "too few readers were served for this to prove anything"
        assert len(town.witness.acked) > 20 * times
        assert town.subscriber.order


async def test_relay_told_to_stop_under_load_ends_with_zero_and_every_reader_can_resume(
    memory: Path, dice: random.Random
) -> None:
    """20 SIGTERMs; the readers go on from the cursor that `closed` gave them, and miss and repeat nothing."""
    await stop_often(memory, dice, 20)


async def test_relay_told_to_stop_while_it_starts_is_gone_at_once_with_all_it_began(
    memory: Path, dice: random.Random
) -> None:
    """Four starts, each interrupted somewhere in its first second; then the same databases serve."""

    async def interrupted(home: Path) -> int:
        process = await launch(home, "-m", "intentcast_relay")
        await asyncio.sleep(dice.uniform(0, STARTING))
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), END)
        await until(lambda: not left_behind(process.pid))
        assert process.returncode is not None
        return process.returncode

    homes = [memory / name / "home" for name in "abcd"]
    assert set(await asyncio.gather(*map(interrupted, homes))) <= {0, -signal.SIGTERM}
    assert "Traceback" not in "".join((home.parent / "relay.log").read_text(encoding="utf-8") for home in homes)
    life = await start(homes[0])
    life.kill(signal.SIGTERM)
    assert await life.ended() == 0


@pytest.mark.long
async def test_relay_told_to_stop_hundreds_of_times_always_ends_well(memory: Path, dice: random.Random) -> None:
    """200 SIGTERMs."""
    await stop_often(memory, dice, 200)
