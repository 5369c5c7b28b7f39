"""From a record's bytes to a durable record: checked in batches, one group commit, and only then the answer.

    offer → [id dedupe] → queue → check, in processes → gate, judge → one transaction, in the store's thread
          → fan-out and ack

All stages run at once, and each takes what the one before has ready: while one batch commits, the next are being
checked. An answer leaves strictly after the commit that it speaks of. A failed commit ends `run` with its error:
nothing of it was acknowledged, and a store that failed once is trusted no more. DESIGN §5
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.record import Record

from intentcast_relay.check import Verdict
from intentcast_relay.checkers import Checkers
from intentcast_relay.config import Batch
from intentcast_relay.ledger import Act, Answer, Arrival, House, Job, settle, wanted
from intentcast_relay.metrics import Meter
from intentcast_relay.posting import Posting
from intentcast_relay.standing import Standing
from intentcast_relay.store.contract import Changes, Shelf, Store
from intentcast_relay.turns import Turns

MAX_QUEUED: Final = 4_096  # jobs; a connection that would add more is not read from until there is room
MAX_RECENT: Final = 16_384  # stored records whose exact copies are answered without a look at the store
_CHUNK: Final = 64  # records checked together
_WORTH: Final = 16  # records worth a batch of their own while another is under check: each costs a quarter millisecond

Reply = Callable[[int, Answer], None]
Publish = Callable[[dict[int, Posting]], None]
Gate = Callable[[Posting, Standing, int], IntentcastError | None]
Judge = Callable[[Sequence[Posting]], Awaitable[Sequence[IntentcastError | None]]]


@dataclass(slots=True, eq=False)
class Ticket:
    """One job under way and all who wait for its answer, each by its own request number."""

    work: Record | Act
    standing: Standing
    key: tuple[bytes, bytes] | None = None  # id and signature of a record
    waiting: list[tuple[Reply, int]] = field(default_factory=list)
    since: float = field(default_factory=perf_counter)

    def answer(self, answer: Answer) -> None:
        """Tell everyone who waits."""
        for reply, req in self.waiting:
            reply(req, answer)


class Ingest:
    """The one way into the store. `publish` is called with what was committed, in order of seq.

    `gate` may refuse a checked record at once; `judge` may take its time over public ones, which holds up nothing else.
    `house`, `batch` and `judge` may be replaced while it runs.
    """

    def __init__(
        self,
        store: Store,
        house: House,
        batch: Batch,
        publish: Publish,
        clock: Callable[[], int],
        *,
        gate: Gate | None = None,
        judge: Judge | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._store = store
        self.house = house
        self.batch = batch
        self._publish = publish
        self._clock = clock
        self._gate = gate
        self.judge = judge
        self._meter = meter or Meter()
        self._checkers = Checkers(batch.processes)
        self._queue: Turns[Ticket] = Turns()
        self._checking: deque[tuple[list[Ticket], asyncio.Task[list[Verdict]]]] = deque()
        self._judging: set[asyncio.Task[None]] = set()
        self._passed: Turns[tuple[Ticket, Job]] = Turns()
        self._flight: dict[tuple[bytes, bytes], Ticket] = {}
        self._recent: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()  # id -> signature, seq
        self._committing = False
        self._arrived = asyncio.Event()
        self._sent = asyncio.Event()  # something is under check
        self._ready = asyncio.Event()  # something has passed
        self._moved = asyncio.Event()  # a stage handed on or finished something

    def full(self, standing: Standing) -> bool:
        """Say whether offering more should wait for `room`: never for one of whom nothing waits."""
        return len(self._queue) >= MAX_QUEUED and self._queue.waiting(standing.address)

    @property
    def queued(self) -> int:
        """How many jobs wait to be checked."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self._queue or self._checking or self._judging or self._passed or self._committing)

    def offer(self, work: Record | Act, standing: Standing, reply: Reply, req: int) -> None:
        """Take a job; `reply` is called once, with the ack's value or the reason against it."""
        self._meter.received += 1
        ticket = Ticket(work, standing)
        if isinstance(work, Record):
            ticket.key = key = (work.id, work.signature)
            known = self._recent.get(key[0])
            if known is not None and known[0] == key[1]:
                self._meter.acked += 1
                reply(req, known[1])
                return
            # Whole records are compared: a copy with a bad signature must not stand for the good one; nor may one that
            # somebody without a proof sends ahead stand for that of a connection with one.
            waiting = self._flight.get(key)
            if waiting is not None and (standing.plain or standing is waiting.standing):
                waiting.waiting.append((reply, req))
                return
            self._flight[key] = ticket
        ticket.waiting.append((reply, req))
        self._queue.put(standing.address, ticket)
        self._arrived.set()
        if len(self._queue) == _WORTH:
            self._move()

    async def room(self, standing: Standing) -> None:
        """Wait until the queue takes more of somebody."""
        while self.full(standing):
            await self._next_move()

    async def drain(self) -> None:
        """Wait until all that was offered is answered."""
        while not self.idle:
            await self._next_move()

    async def flush(self) -> None:
        """Wait until every record offered so far is answered; what comes meanwhile is not waited for."""
        waiting = dict(self._flight)
        while waiting := {key: ticket for key, ticket in waiting.items() if self._flight.get(key) is ticket}:
            await self._next_move()

    def forget(self, ids: Iterable[bytes]) -> None:
        """Answer copies of these records from the store again: they were deleted."""
        for record_id in ids:
            self._recent.pop(record_id, None)

    async def run(self) -> None:
        """Work until cancelled; raises what the store raised, after which the process has to stop."""
        await self._checkers.start()
        stages = [asyncio.create_task(stage()) for stage in (self._check_batches, self._collect, self._commit_batches)]
        try:
            await asyncio.gather(*stages)
        finally:
            under_way = [*stages, *self._judging, *(task for _, task in self._checking)]
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            await self._checkers.stop()

    def _move(self) -> None:
        self._moved.set()

    async def _next_move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    async def _check_batches(self) -> None:
        while True:
            await self._arrived.wait()
            while len(self._passed) >= 2 * self.batch.items or (
                self._checking and (len(self._queue) < _WORTH or len(self._checking) >= self._checkers.slots)
            ):
                await self._next_move()
            tickets = self._queue.take(_CHUNK)
            if not self._queue:
                self._arrived.clear()
            records = [ticket.work for ticket in tickets if isinstance(ticket.work, Record)]
            self._meter.waiting.add(perf_counter() - tickets[0].since)
            task = asyncio.create_task(self._check(records))
            self._checking.append((tickets, task))
            self._sent.set()
            self._move()

    async def _check(self, records: Sequence[Record]) -> list[Verdict]:
        began = perf_counter()
        verdicts = await self._checkers.check(records, self._clock())
        self._meter.checking.add(perf_counter() - began)
        return verdicts

    async def _collect(self) -> None:
        """Hand on what was checked, in the order it was taken up."""
        while True:
            await self._sent.wait()
            tickets, task = self._checking[0]
            verdicts = iter(await task)
            self._checking.popleft()
            if not self._checking:
                self._sent.clear()
            now = self._clock()
            judged: list[tuple[Ticket, Posting]] = []
            for ticket in tickets:
                if isinstance(ticket.work, Act):
                    self._passed.put(ticket.standing.address, (ticket, ticket.work))
                    continue
                verdict = next(verdicts)
                if isinstance(verdict, Posting) and self._gate is not None:
                    verdict = self._gate(verdict, ticket.standing, now) or verdict
                if isinstance(verdict, IntentcastError):
                    self._finish(ticket, verdict)
                elif self.judge is not None and verdict.to is None:
                    judged.append((ticket, verdict))
                else:
                    self._passed.put(ticket.standing.address, (ticket, Arrival(verdict, ticket.standing)))
            if judged and self.judge is not None:
                judging = asyncio.create_task(self._hear(self.judge, judged))
                self._judging.add(judging)
                judging.add_done_callback(self._judging.discard)
            if self._passed:
                self._ready.set()
            self._move()

    async def _hear(self, judge: Judge, judged: Sequence[tuple[Ticket, Posting]]) -> None:
        told = await judge([posting for _, posting in judged])
        for (ticket, posting), error in zip(judged, told, strict=True):
            if error is not None:
                self._finish(ticket, error)
            else:
                self._passed.put(ticket.standing.address, (ticket, Arrival(posting, ticket.standing)))
        self._ready.set()
        asyncio.get_running_loop().call_soon(self._move)  # once this task counts no more

    async def _commit_batches(self) -> None:
        while True:
            await self._ready.wait()
            await self._gather()
            batch = self._passed.take(self.batch.items)
            if not self._passed:
                self._ready.clear()
            if batch:
                self._committing = True
                await self._commit(batch)
                self._committing = False
            self._move()

    async def _gather(self) -> None:
        """Let a batch grow while more is being checked, but not for long; a lone job never waits."""
        if not self._checking or len(self._passed) >= self.batch.items:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.batch.milliseconds / 1000):
                while self._checking and len(self._passed) < self.batch.items:
                    await self._next_move()

    async def _commit(self, batch: Sequence[tuple[Ticket, Job]]) -> None:
        jobs = [job for _, job in batch]
        now = self._clock()
        answers: list[Answer] = []

        def decide(shelf: Shelf) -> Changes:
            changes, told = settle(jobs, shelf, self.house, now)
            answers.extend(told)
            return changes

        began = perf_counter()
        changes = await self._store.write(wanted(jobs), decide)
        self._meter.committing.add(perf_counter() - began)
        self._meter.syncing.add(self._store.synced)
        self._meter.batches.add(len(batch))
        self.forget(changes.delete.values())
        for seq, posting in changes.insert.items():
            self._recent[posting.id] = (posting.signature, seq)
        while len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)
        self._publish(changes.insert)
        for (ticket, _), answer in zip(batch, answers, strict=True):
            self._finish(ticket, answer)

    def _finish(self, ticket: Ticket, answer: Answer) -> None:
        if ticket.key is not None:
            self._flight.pop(ticket.key, None)
        if not isinstance(answer, IntentcastError):
            self._meter.acked += len(ticket.waiting)
            self._meter.answering.add(perf_counter() - ticket.since)
        ticket.answer(answer)
