"""A power cut at any moment loses nothing that was acknowledged, corrupts nothing, and gives no place twice.

A relay process runs on the simulated disk (rig/disk.py) under a real WebSocket load. From the log of its disk come the
files that a cut at each of many moments would have left, and each set is opened as a starting relay opens it. One of
them is where the next relay starts, so that recovery is cut as well. DESIGN §5

Proven: the order of writes and syncs that the relay and SQLite really issue keeps every promise on a disk as harsh as
POSIX allows, at the moments tried. Not proven: the moments not tried (each run tries others), a disk that lies about a
sync, and the kernel. The tests of the tests show that the same harness sees both ways in which a relay could fail.
"""

import asyncio
import random
import signal
import sqlite3
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import pytest
from intentcast_protocol.identity import public_key
from intentcast_relay.store.contract import StoreError
from rig import disk
from rig.relay import RIG, Life, open_files, start
from rig.traffic import Agent, Collector, Publisher, Subscriber, Supply, read_all, shares, until
from rig.witness import Witness

pytestmark = pytest.mark.reliability

SYNC_US = 2_000  # a middling SSD; a queue of a few hundred records builds up behind it
CUTS = 50  # in each generation
GENERATIONS = 4


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disk.build(tmp_path_factory.mktemp("disk"))


@dataclass
class Run:
    """One relay after another on one simulated disk, and the witness of all of them."""

    folder: Path
    library: Path
    dice: random.Random
    supply: Supply
    witness: Witness

    async def generation(self, records: int, end: int, *program: object) -> list[disk.Entry]:
        """Let a relay live on what is in `home` until it acked so many records; return the log of its disk."""
        log, home = self.folder / "disk.log", self.folder / "home"
        log.unlink(missing_ok=True)
        home.mkdir(exist_ok=True)
        self.witness.mark = lambda: log.stat().st_size
        loaded = disk.environ(self.library, home, log=log, sync_us=SYNC_US)
        life = await start(home, *([program] if program else []), **loaded)
        try:
            await self.load(life, records)
        finally:
            life.kill(end)
            status = await life.ended()
        assert status == (-end if end == signal.SIGKILL else 0)
        return list(disk.read_log(log))

    async def load(self, life: Life, records: int) -> None:
        """Publish of every kind, listen and collect, until so many more records are acked."""
        gate = Publisher(self.witness, deque([self.supply.gate(life.url)]))
        await gate.run(life.url)
        some = [*self.supply.demands(records), *self.supply.profiles(records // 2), *self.supply.mail(records // 4)]
        self.dice.shuffle(some)
        enough = len(self.witness.acked) + records
        clients: list[Agent] = [
            *(Publisher(self.witness, share) for share in shares(sorted(some, key=lambda one: one.created), 3)),
            Subscriber(self.witness),
            Collector(self.witness, self.supply.owner),
        ]
        tasks = [asyncio.create_task(client.run(life.url)) for client in clients]
        try:
            await until(lambda: len(self.witness.acked) >= enough, 30)
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    async def cut(self, entries: list[disk.Entry], cuts: int) -> tuple[list[str], int]:
        """Cut the power at many moments; return the faults, and one moment whose image was put into `home`."""
        faults = list[str]()
        before = {path.name: path.read_bytes() for path in (self.folder / "before").glob("*")}
        running = disk.Disk.holding(before)
        moments = sorted(self.moments(entries, cuts))
        last = self.dice.choice(moments[len(moments) // 2 :])
        at = chosen = 0
        for moment in moments:
            for entry in entries[at:moment]:
                running.perform(entry)
            at, mode = moment, self.dice.choice(disk.MODES)
            image = running.image(mode, self.dice)
            mark = entries[moment - 1].end
            try:
                found = await open_files(self.lay(image, "image"), public_key(self.supply.owner), self.supply.now)
                told = self.witness.faults(found, mark)
            except (sqlite3.Error, StoreError) as error:
                told = [f"corrupt: {error}"]
            faults += [f"{one} (entry {moment} of {len(entries)}, {mode})" for one in told]
            if moment == last:
                self.lay(image, "before")
                self.lay(image, "home")
                chosen = mark
        return faults, chosen

    def moments(self, entries: list[disk.Entry], count: int) -> set[int]:
        """Choose moments: half of them anywhere, half right after a sync, where least time was left to be wrong."""
        anywhere = range(1, len(entries) + 1)
        synced = [at + 1 for at, entry in enumerate(entries) if entry.kind == "F"]
        chosen = set(self.dice.sample(synced, min(len(synced), count // 2)))
        return chosen | set(self.dice.sample([at for at in anywhere if at not in chosen], count - len(chosen)))

    def lay(self, files: dict[str, bytes], name: str) -> Path:
        """Write files into a folder that then holds nothing else."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        return folder


@pytest.fixture
def run(memory: Path, library: Path, dice: random.Random) -> Run:
    return Run(memory, library, dice, Supply(dice), Witness())


async def cut_often(run: Run, generations: int, cuts: int, records: int) -> None:
    for number in range(generations):
        # Every other relay is killed; the others stop, so that the end of a log is cut too.
        end = signal.SIGTERM if number % 2 else signal.SIGKILL
        entries = await run.generation(records, end)
        faults, chosen = await run.cut(entries, cuts)
        assert not faults, f"generation {number}: {len(faults)} broken promises, the first: {faults[0]}"
        run.witness.cut(chosen)
    assert len(run.witness.acked) >= records, "too little was acknowledged for this to prove anything"


async def test_no_power_cut_loses_corrupts_or_renumbers_what_was_acked(run: Run) -> None:
    """200 cuts over four lives of a relay, each of which starts where the last was cut; then all of it is served."""
    await cut_often(run, GENERATIONS, CUTS, 500)
    life = await start(run.folder / "home")
    try:
        found = await read_all(life.url, run.witness, run.supply.owner)
        assert not run.witness.faults(found)
        late = Publisher(run.witness, deque(run.supply.demands(20)))
        await late.run(life.url)
        assert not run.witness.contradictions
        assert not late.flying
    finally:
        life.kill()
        await life.ended()


async def test_first_start_of_a_relay_may_be_cut_at_any_write(run: Run) -> None:
    """A cut at every single entry of the log, from no file at all to the first record that was acked."""
    entries = await run.generation(0, signal.SIGKILL)
    faults, _ = await run.cut(entries, len(entries))
    assert not faults, f"{len(faults)} broken promises, the first: {faults[0]}"


@pytest.mark.long
async def test_no_power_cut_of_thousands_breaks_a_promise(run: Run) -> None:
    """2,000 cuts over 20 lives."""
    await cut_often(run, 20, 100, 500)


async def test_log_of_the_disk_misses_no_write(run: Run) -> None:
    """The test of the harness: the log, replayed, gives the very bytes that are on the real disk."""
    entries = await run.generation(300, signal.SIGTERM)
    replayed = disk.Disk.holding({})
    for entry in entries:
        replayed.perform(entry)
    real = {path.name: path.read_bytes() for path in (run.folder / "home").iterdir()}
    assert replayed.names.keys() == real.keys()
    for name, file in replayed.names.items():
        assert file.mapped or file.now() == real[name], name
    assert len(real["relay.db"]) > 300 * 300


@pytest.mark.parametrize(("level", "sign"), [("NORMAL", "lost"), ("OFF", "corrupt")])
async def test_a_relay_that_waits_less_for_its_disk_turns_these_tests_red(run: Run, level: str, sign: str) -> None:
    """The test of the tests: synchronous=NORMAL loses acked records, OFF corrupts the file, and both are noticed."""
    entries = await run.generation(500, signal.SIGKILL, RIG / "lax.py", level)
    faults, _ = await run.cut(entries, 40)
    assert any(fault.startswith(sign) for fault in faults), f"{len(faults)} faults: {faults[:3]}"
