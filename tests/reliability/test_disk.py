"""A disk that is full, and a database that is damaged: the operator is told in a sentence, and nothing acked is lost.

The full disk is a small tmpfs where this process may mount one; the simulated disk (rig/disk.py), which answers ENOSPC
past a size, always runs and stands in for it elsewhere. Proven: running out of room at any write of the database. Not
proven: quotas of a file system, and I/O errors other than ENOSPC.
"""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from intentcast_relay.store.contract import StoreError
from intentcast_relay.store.sqlite import open_store
from rig import disk
from rig.relay import DATABASE, last_words, start
from rig.traffic import Agent, Collector, Publisher, Supply, read_all, shares
from rig.witness import Witness

pytestmark = pytest.mark.reliability

SMALL = 1_500_000  # bytes: enough to start, and full after some hundred records
LARGE = 64_000_000
PATIENCE = 30  # s until a disk that is being filled is full


@dataclass
class Volume:
    """A file system of a size that can be changed."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)
    room: Path | None = None  # None for a tmpfs

    def resize(self, size: int) -> None:
        if self.room is not None:
            self.room.write_text(str(size), encoding="ascii")
        else:
            subprocess.run(["mount", "-o", f"remount,size={size}", self.home], check=True)


@contextlib.contextmanager
def mounted(home: Path) -> Iterator[Volume]:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", home], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"No right to mount a tmpfs ({done.stderr.strip()}); the simulated disk stands in for it.")
    try:
        yield Volume(home)
    finally:
        subprocess.run(["umount", "--lazy", home], check=True)


@pytest.fixture(params=["simulated", "tmpfs"])
def volume(request: pytest.FixtureRequest, memory: Path) -> Iterator[Volume]:
    home = memory / "home"
    home.mkdir()
    if request.param == "tmpfs":
        if os.uname().sysname != "Linux" or os.geteuid():
            pytest.skip("No right to mount a tmpfs; the simulated disk stands in for it.")
        with mounted(home) as small:
            yield small
    else:
        room = memory / "room"
        small = Volume(home, disk.environ(disk.build(memory), home, room=room), room)
        small.resize(SMALL)
        yield small


async def test_relay_on_a_full_disk_says_so_loses_nothing_and_works_again_with_room(
    volume: Volume, memory: Path, dice: random.Random
) -> None:
    """It is filled under load until the relay ends; then started once more while full, and at last with room."""
    supply, witness = Supply(dice), Witness()
    life = await start(volume.home, **volume.environ)
    await Publisher(witness, deque([supply.gate(life.url)])).run(life.url)
    some = [*supply.demands(1_200), *supply.mail(600)]
    dice.shuffle(some)
    publishers = [Publisher(witness, share) for share in shares(some, 3)]
    agents: list[Agent] = [*publishers, Collector(witness, supply.owner)]
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(agent.run(life.url) for agent in agents))
    assert await life.ended() == 1
    assert any(publisher.waiting for publisher in publishers), "the disk was never full"
    assert len(witness.acked) > 100
    check_words(memory, "full")

    # Still full. It may start and read, or refuse to; it must not do harm.
    try:
        life = await start(volume.home, **volume.environ)
    except RuntimeError:
        check_words(memory, "full")
    else:
        await publishers[0].run(life.url)
        if publishers[0].waiting or publishers[0].flying:
            assert await life.ended() == 1  # it found the disk full again, by itself
        else:
            life.kill(signal.SIGTERM)
            assert await life.ended() == 0

    volume.resize(LARGE)
    life = await start(volume.home, **volume.environ)
    try:
        await Publisher(witness, deque([supply.gate(life.url)])).run(life.url)
        await asyncio.gather(*(publisher.run(life.url) for publisher in publishers))
        assert not any(publisher.waiting or publisher.flying for publisher in publishers)
        faults = witness.faults(await read_all(life.url, witness, supply.owner))
        assert not faults, f"{len(faults)} broken promises, the first: {faults[0]}"
    finally:
        life.kill(signal.SIGTERM)
        assert await life.ended() == 0


async def test_relay_names_a_database_that_is_damaged(memory: Path, dice: random.Random) -> None:
    """All pages after the first, which still looks like a relay's, are overwritten: a sentence and exit code 1.

    Then each page alone: a store opens in spite of it or says StoreError, and leaves nothing open.
    """
    life = await start(memory / "home")
    await Publisher(Witness(), deque(Supply(dice).demands(50))).run(life.url)
    life.kill(signal.SIGTERM)
    assert await life.ended() == 0
    database = memory / "home" / DATABASE
    content = database.read_bytes()
    database.write_bytes(content[: disk.PAGE] + dice.randbytes(len(content) - disk.PAGE))
    with pytest.raises(RuntimeError, match="exit 1"):
        await start(memory / "home")
    check_words(memory, DATABASE)
    for at in range(0, len(content), disk.PAGE):
        database.write_bytes(content[:at] + dice.randbytes(disk.PAGE) + content[at + disk.PAGE :])
        with contextlib.suppress(StoreError):
            store = await open_store(database)
            await store.close()


def check_words(folder: Path, word: str) -> None:
    """The relay's last line is a sentence with this word in it; nowhere is a stack."""
    log = folder / "relay.log"
    assert word in last_words(log), last_words(log)
    assert last_words(log).endswith(".")
    assert "Traceback" not in log.read_text(encoding="utf-8")
