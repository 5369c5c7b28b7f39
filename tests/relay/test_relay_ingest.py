"""The way in: signatures, then one commit, and an answer strictly after it. DESIGN §5"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.record import Record, Verified
from intentcast_relay.config import Batch
from intentcast_relay.ingest import MAX_QUEUED, Ingest
from intentcast_relay.ledger import Act, House
from intentcast_relay.posting import Posting
from intentcast_relay.standing import Standing
from intentcast_relay.store.contract import Changes, Shelf, StoreError, Wanted

NOW = 1_800_000_000


class Memory:
    """A store whose disk is as slow, or as broken, as a test wants."""

    epoch = bytes(8)
    synced = 0.0

    def __init__(self) -> None:
        self.shelf = Shelf(0)
        self.disk = asyncio.Event()
        self.disk.set()
        self.asked = asyncio.Event()
        self.broken = False
        self.commits: list[list[bytes]] = []

    async def write(self, wanted: Wanted, decide: Callable[[Shelf], Changes]) -> Changes:
        self.asked.set()
        await self.disk.wait()
        if self.broken:
            raise StoreError("the disk is gone.")
        changes = decide(self.shelf)
        self.commits.append([record.id for record in changes.insert.values()])
        return changes


class Bench:
    """An ingest with its answers and deliveries laid open."""

    def __init__(self, batch: Batch) -> None:
        self.store = Memory()
        self.told: list[tuple[int, Any]] = []
        self.delivered: list[int] = []
        house = House("ws://relay.example", 10, 100_000)
        self.ingest = Ingest(self.store, house, batch, self.deliver, lambda: NOW)  # type: ignore[arg-type]

    def deliver(self, committed: dict[int, Posting]) -> None:
        self.delivered += committed

    def offer(self, work: Verified | Record | Act, req: int) -> None:
        self.ingest.offer(work.record if isinstance(work, Verified) else work, Standing(), self.answer, req)

    def answer(self, req: int, answer: Any) -> None:
        self.told.append((req, answer.code if isinstance(answer, IntentcastError) else answer))


@asynccontextmanager
async def working(batch: Batch | None = None) -> AsyncIterator[Bench]:
    bench = Bench(batch or Batch(processes=0))
    work = asyncio.create_task(bench.ingest.run())
    yield bench
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_relay_acks_only_after_commit(build: Any) -> None:
    async with working() as bench:
        bench.store.disk.clear()
        bench.offer(build.demand(build.seed()), 1)
        await bench.store.asked.wait()
        assert (bench.told, bench.delivered) == ([], [])
        bench.store.disk.set()
        await bench.ingest.drain()
        assert (bench.told, bench.delivered) == ([(1, 1)], [1])


async def test_nothing_is_acked_when_the_commit_fails(build: Any) -> None:
    bench = Bench(Batch(processes=0))
    bench.store.broken = True
    bench.offer(build.demand(build.seed()), 1)
    with pytest.raises(StoreError):
        await asyncio.wait_for(bench.ingest.run(), 5)
    assert (bench.told, bench.delivered) == ([], [])


async def test_a_bad_signature_is_refused_and_the_rest_of_its_batch_is_not(build: Any) -> None:
    async with working() as bench:
        good = [build.demand(build.seed()) for _ in range(3)]
        bench.offer(good[0], 1)
        bench.offer(build.forged(good[1]), 2)
        bench.offer(good[2], 3)
        await bench.ingest.drain()
        assert sorted(bench.told) == [(1, 1), (2, "invalid.record.signature"), (3, 2)]


@pytest.mark.parametrize("bad_first", [True, False])
async def test_a_bad_copy_never_stands_for_the_good_one(build: Any, bad_first: bool) -> None:
    record = build.demand(build.seed())
    copies = [(build.forged(record), 1), (record.record, 2)]
    async with working() as bench:
        for envelope, req in copies if bad_first else copies[::-1]:
            bench.offer(envelope, req)
        await bench.ingest.drain()
        assert sorted(bench.told) == [(1, "invalid.record.signature"), (2, 1)]
        bench.offer(build.forged(record), 3)
        await bench.ingest.drain()
        assert bench.told[-1] == (3, "invalid.record.signature")


async def test_the_same_record_twice_in_flight_is_stored_once_and_answered_twice(build: Any) -> None:
    record = build.demand(build.seed())
    async with working() as bench:
        bench.store.disk.clear()
        bench.offer(record.record, 1)
        await bench.store.asked.wait()
        bench.offer(record.record, 2)
        bench.store.disk.set()
        await bench.ingest.drain()
        bench.offer(record.record, 3)
        await bench.ingest.drain()
        assert bench.told == [(1, 1), (2, 1), (3, 1)]
        assert bench.store.commits == [[record.id]]


async def test_a_replaced_record_is_no_longer_a_duplicate(build: Any) -> None:
    seed = build.seed()
    old, new = build.demand(seed), build.demand(seed, created=build.now + 1)
    async with working() as bench:
        for req, record in enumerate((old, new, old)):
            bench.offer(record, req)
            await bench.ingest.drain()
        assert bench.told == [(0, 1), (1, 2), (2, "refused.record.replaced")]


async def test_acts_keep_their_place_among_records(build: Any) -> None:
    session = build.seed()
    demand = build.demand(build.seed(), relays=("ws://relay.example",))
    letter = build.sealed(session, demand.author)
    async with working() as bench:
        bench.offer(demand, 1)
        bench.offer(letter, 2)
        bench.offer(Act("stop", demand.author, session=letter.author), 3)
        bench.offer(build.sealed(session, demand.author, 0), 4)
        await bench.ingest.drain()
        assert bench.told == [(1, 1), (2, 2), (3, None), (4, "refused.mailbox.not-admitted")]


async def test_a_commit_is_bounded_in_items(build: Any) -> None:
    async with working(Batch(items=4, milliseconds=50, processes=0)) as bench:
        for req in range(10):
            bench.offer(build.demand(build.seed()), req)
        await bench.ingest.drain()
        assert [req for req, _ in bench.told] == list(range(10))
        assert bench.delivered == list(range(1, 11))
        assert max(len(commit) for commit in bench.store.commits) <= 4


async def test_records_that_come_while_another_commits_share_a_commit(build: Any) -> None:
    async with working() as bench:
        bench.store.disk.clear()
        bench.offer(build.demand(build.seed()), 0)
        await bench.store.asked.wait()
        for req in range(1, 20):
            bench.offer(build.demand(build.seed()), req)
        while len(bench.ingest._passed) < 19:
            await bench.ingest._next_move()
        bench.store.disk.set()
        await bench.ingest.drain()
        assert [len(commit) for commit in bench.store.commits] == [1, 19]


async def test_a_full_queue_asks_to_wait(build: Any) -> None:
    payload = build.demand(build.seed()).record.payload
    bench = Bench(Batch(processes=0))
    for req in range(MAX_QUEUED):
        bench.offer(Record(payload, req.to_bytes(64, "big")), req)
    assert bench.ingest.full(Standing())
    assert not bench.ingest.full(Standing("somebody else"))
    work = asyncio.create_task(bench.ingest.run())
    await asyncio.wait_for(bench.ingest.room(Standing()), 10)
    assert not bench.ingest.full(Standing())
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
