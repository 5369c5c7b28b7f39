"""A relay that dies and comes back, and the agents who live through it: three publish, one listens, one collects."""

import asyncio
import random
import signal
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from intentcast_protocol.record import Verified

from rig.relay import Life, Nursery
from rig.traffic import Agent, Collector, Publisher, Subscriber, Supply, read_all, shares
from rig.witness import Witness

PUBLISHERS: Final = 3
FRESH: Final = 240  # records a life, at most


@dataclass(slots=True)
class Town:
    """One database, one relay at a time, and the same agents all along."""

    folder: Path
    nursery: Nursery
    dice: random.Random
    supply: Supply
    witness: Witness
    publishers: list[Publisher]
    subscriber: Subscriber
    collector: Collector
    life: Life | None = None

    async def live(self, end: int, delay: float) -> int:
        """Let a relay live for `delay` seconds of load, then send it a signal; return its exit status."""
        self.life = life = await self.nursery.start(self.folder / "home")
        await Publisher(self.witness, deque([self.supply.gate(life.url)])).run(life.url)
        self._replenish()
        agents: list[Agent] = [*self.publishers, self.subscriber, self.collector]
        tasks = [asyncio.create_task(agent.run(life.url)) for agent in agents]
        await asyncio.sleep(delay)
        life.kill(end)
        status = await life.ended()
        await asyncio.gather(*tasks)
        return status

    async def faults(self) -> list[str]:
        """Start a last relay, let everybody finish, and return every promise that was broken."""
        self.life = life = await self.nursery.start(self.folder / "home")
        await Publisher(self.witness, deque([self.supply.gate(life.url)])).run(life.url)
        await asyncio.gather(*(publisher.run(life.url) for publisher in self.publishers))
        await self.subscriber.run(life.url, once=True)
        told = self.witness.faults(await read_all(life.url, self.witness, self.supply.owner))
        told += self.subscriber.faults()
        told += [f"{len(left.flying)} records were never answered" for left in self.publishers if left.flying]
        life.kill(signal.SIGTERM)
        if status := await life.ended():
            told.append(f"exit {status}")
        return told

    def _replenish(self) -> None:
        for publisher, share in zip(self.publishers, shares(self._fresh(), PUBLISHERS), strict=True):
            publisher.waiting.extend(share)

    def _fresh(self) -> list[Verified]:
        some = [*self.supply.demands(FRESH // 2), *self.supply.mail(FRESH // 4)]
        self.dice.shuffle(some)
        # Profiles follow in their order: an older one would be refused.
        return [*some[: FRESH // 8], *self.supply.profiles(FRESH // 4), *some[FRESH // 8 :]]


@asynccontextmanager
async def found_town(folder: Path, dice: random.Random) -> AsyncIterator[Town]:
    """Open a town on an empty folder."""
    nursery = await Nursery.open(folder / "relay.log")
    supply, witness = Supply(dice), Witness()
    town = Town(
        folder, nursery, dice, supply, witness,
        [Publisher(witness, share) for share in shares([], PUBLISHERS)],
        Subscriber(witness), Collector(witness, supply.owner),
    )  # fmt: skip
    try:
        yield town
    finally:
        await nursery.close(town.life)
