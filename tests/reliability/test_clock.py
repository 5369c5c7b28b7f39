"""The relay's clock jumps by up to an hour, both ways, while everything that looks at it is in use.

The relay runs in this process and is handed a clock that jumps; the agents' clocks are right throughout. Proven:
nothing acked is lost before its own expiry as long as that lies past the widest jump, live readers and cursors are not
disturbed, and what the relay refuses while its clock is wrong it takes again once the clock is right. Not proven, since
a relay knows no other clock: records that live for less than the jump. They end when the relay believes they end.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from intentcast_protocol.frames import Ack, Count, Counted, Mailbox, Problem, Publish, Records, Subscribe
from intentcast_protocol.identity import public_key
from intentcast_protocol.record import Verified
from intentcast_protocol.subscription import Filter
from intentcast_relay.config import Config
from intentcast_relay.server import Relay, running
from rig.traffic import Link, Publisher, Subscriber, Supply, dial, read_all, shares, until
from rig.witness import Witness

pytestmark = pytest.mark.reliability

HOUR = 3_600
JUMPS = 24
PATIENCE = 10  # s
HONEST = {"invalid.record.future", "refused.auth.failed"}  # what a relay may say whose clock is an hour slow or fast


@dataclass
class Clock:
    """The relay's clock: the true time and an error."""

    true: int
    error: int = 0

    def __call__(self) -> int:
        return self.true + self.error


@dataclass
class Stage:
    """A relay with a bad clock, and agents with good ones."""

    relay: Relay
    clock: Clock
    supply: Supply
    witness: Witness = field(default_factory=Witness)

    async def publish(self, records: list[Verified]) -> list[str]:
        """Publish some records, one by one; return the codes of those that were refused."""
        refused = []
        async with dial(self.relay.config.url, self.witness) as link:
            for record in records:
                self.witness.send(record)
                match await link.call(Publish(link.number(), record.record)):
                    case Ack(_, int(place)):
                        self.witness.acknowledge(record, place)
                    case Problem(_, code):
                        refused.append(code)
                    case other:
                        raise AssertionError(other)
        return refused

    async def faults(self) -> list[str]:
        """Set the clock right, and return every promise that was broken."""
        self.clock.error = 0
        owner, url = self.supply.owner, self.relay.config.url
        return self.witness.faults(await read_all(url, self.witness, owner, self.clock.true))


@pytest.fixture
async def stage(memory: Path, dice: random.Random) -> AsyncIterator[Stage]:
    supply = Supply(dice)
    clock = Clock(supply.now)
    async with running(Config(listen="127.0.0.1:0", database=memory / "relay.db"), clock) as relay:
        yield Stage(relay, clock, supply)


async def test_no_jump_of_the_clock_loses_or_repeats_a_record(stage: Stage, dice: random.Random) -> None:
    """Records, mail, a live subscription and sweeps, through two dozen jumps anywhere within an hour of the truth."""
    subscriber, url = Subscriber(stage.witness), stage.relay.config.url
    assert await stage.publish([stage.supply.gate(url)]) == []
    listening = asyncio.create_task(subscriber.run(url))
    refused: list[str] = []
    for _ in range(JUMPS):
        stage.clock.true += dice.choice((0, 1, 30))
        stage.clock.error = dice.choice((-HOUR, HOUR, dice.randint(-HOUR, HOUR)))
        again = [*stage.supply.demands(3), *stage.supply.mail(2), *stage.supply.profiles(2)]
        told = await stage.publish(again)
        refused += told
        await stage.relay.sweep(stage.clock())
        if told:
            # What a slow clock made the relay refuse, it takes as soon as the clock is right.
            stage.clock.error = 0
            assert set(await stage.publish(again)) <= {"refused.record.replaced"}
    assert set(refused) <= HONEST
    assert not await stage.faults()
    await until(lambda: not subscriber.faults())  # what was committed last is still on its way
    assert not listening.done()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert not subscriber.told


@pytest.mark.parametrize("error", [-HOUR, HOUR])
async def test_mailbox_and_cursor_are_used_as_ever_while_the_clock_is_wrong(stage: Stage, error: int) -> None:
    """What was begun before the jump goes on: a mailbox is read and emptied, an admission kept, a cursor resumed."""
    owner, url = stage.supply.owner, stage.relay.config.url
    mail = stage.supply.mail(4)
    assert await stage.publish([stage.supply.gate(url), *stage.supply.demands(3), *mail]) == []
    subscriber = Subscriber(stage.witness)
    await subscriber.run(url, once=True)
    async with dial(url, stage.witness, owner) as link:
        stage.clock.error = error
        await stage.relay.sweep(stage.clock())
        key = public_key(owner)
        taken = Mailbox(link.number(), "take", key, ids=(mail[0].id,))
        assert await link.call(taken) == Ack(taken.req, 1)
        kept = Mailbox(link.number(), "keep", key, session=mail[1].author, until=stage.clock.true + 100 * 86_400)
        assert await link.call(kept) == Ack(kept.req, None)
        stopped = Mailbox(link.number(), "stop", key, session=mail[2].author)
        assert await link.call(stopped) == Ack(stopped.req, None)
        waiting = await link.call(Mailbox(link.number(), "read", key))
        assert isinstance(waiting, Records)
        assert [record for _, record in waiting.records] == [one.record for one in mail[1:]]
    stage.witness.asked[mail[0].id] = stage.witness.taken[mail[0].id] = 0
    before = len(subscriber.order)
    await subscriber.run(url, once=True)
    assert len(subscriber.order) == before, "a cursor is a place, and no clock moves it"
    assert not await stage.faults()
    assert not subscriber.faults()


@pytest.mark.parametrize("error", [-HOUR, HOUR])
async def test_key_proven_before_the_jump_stays_proven_and_one_after_it_waits_for_the_clock(
    stage: Stage, error: int
) -> None:
    owner, other = stage.supply.owner, bytes(32)
    async with dial(stage.relay.config.url, stage.witness, owner) as link:
        stage.clock.error = error
        take = Mailbox(link.number(), "take", public_key(owner), ids=(bytes(32),))
        assert await link.call(take) == Ack(take.req, 0)
        answer = await link.prove(other, stage.clock.true)
        assert isinstance(answer, Problem)
        assert answer.code == "refused.auth.failed"
        stage.clock.error = 0
        assert isinstance(await link.prove(other, stage.clock.true), Ack)


@pytest.mark.parametrize("error", [-HOUR, HOUR])
async def test_count_is_a_minute_old_at_most_whichever_way_the_clock_jumped(stage: Stage, error: int) -> None:
    """An answer remembered under the old time is not given for an hour."""
    url = stage.relay.config.url
    async with dial(url, stage.witness) as asking, dial(url, stage.witness) as listening:
        assert (await count(asking)).least == 0
        await listening.send(Subscribe(listening.number(), Filter(), None, False))
        await listening.receive()
        stage.clock.error = error
        assert (await count(asking)).least == 1
        await listening.socket.close()
        stage.clock.error = 0
        stage.clock.true += 60
        async with asyncio.timeout(PATIENCE):
            while (await count(asking)).least:
                stage.clock.true += 60  # until the relay has noticed the close, and the minute is over


async def count(link: Link) -> Counted:
    answer = await link.call(Count(link.number(), "vehicles/cars", (), ()))
    assert isinstance(answer, Counted), answer
    return answer


async def test_publisher_loses_nothing_to_jumps_under_load(stage: Stage, dice: random.Random) -> None:
    """The clock jumps a thousand times while a window of records is in flight."""
    url = stage.relay.config.url
    assert await stage.publish([stage.supply.gate(url)]) == []
    publishers = [
        Publisher(stage.witness, share) for share in shares([*stage.supply.demands(300), *stage.supply.mail(100)], 3)
    ]

    async def jump() -> None:
        while True:
            stage.clock.error = dice.choice((-HOUR, 0, HOUR))
            await asyncio.sleep(0)

    jumping = asyncio.create_task(jump())
    await asyncio.gather(*(publisher.run(url) for publisher in publishers))
    jumping.cancel()
    await asyncio.gather(jumping, return_exceptions=True)
    assert set(stage.witness.refused) <= HONEST
    assert len(stage.witness.acked) > 50
    assert not any(publisher.waiting or publisher.flying for publisher in publishers)
    assert not await stage.faults()
