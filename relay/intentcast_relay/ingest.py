"""From a checked envelope to a durable record: signatures in batches, one group commit, and only then the answer.

    offer → queue → [id dedupe] → signatures, in a small thread pool → one transaction, in the store's thread
          → fan-out and ack

Two stages run at once: while one batch commits, the next is being checked. libsodium releases the interpreter lock,
so checking takes a core of its own. An answer leaves strictly after the commit that it speaks of. A failed commit ends
`run` with its error: nothing of it was acknowledged, and a store that failed once is trusted no more. DESIGN §5
"""

import asyncio
import contextlib
import logging
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.record import Envelope, Verified, vouch

from intentcast_relay.config import Batch
from intentcast_relay.ledger import Act, Answer, House, Job, settle, wanted
from intentcast_relay.store.contract import Changes, Shelf, Store

MAX_QUEUED: Final = 4_096  # jobs; a connection that would add more is not read from until there is room
MAX_RECENT: Final = 16_384  # stored records whose exact copies are answered without a look at the store
_CHUNK: Final = 16  # signatures worth a thread of their own
_log = logging.getLogger("intentcast_relay")

Reply = Callable[[int, Answer], None]
Publish = Callable[[dict[int, Verified]], None]


@dataclass(slots=True)
class Ticket:
    """One job under way and all who wait for its answer, each by its own request number."""

    work: Envelope | Act
    waiting: list[tuple[Reply, int]] = field(default_factory=list)

    def answer(self, answer: Answer) -> None:
        """Tell everyone who waits."""
        for reply, req in self.waiting:
            reply(req, answer)


def check(envelopes: Sequence[Envelope]) -> list[Verified | IntentcastError]:
    """Check the signatures of some envelopes; each becomes verified or an error of its own."""
    checked: list[Verified | IntentcastError] = []
    for envelope in envelopes:
        try:
            checked.append(vouch(envelope))
        except IntentcastError as error:
            checked.append(error)
    return checked


class Ingest:
    """The one way into the store. `publish` is called with what was committed, in order of seq."""

    def __init__(
        self, store: Store, house: House, batch: Batch, publish: Publish, clock: Callable[[], int], threads: int = 0
    ) -> None:
        self._store = store
        self._house = house
        self._batch = batch
        self._publish = publish
        self._clock = clock
        self._threads = threads or max(1, min(4, os.cpu_count() or 1))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="verify")
        self._queue: deque[Ticket] = deque()
        self._checked: deque[tuple[Ticket, Job]] = deque()
        self._flight: dict[tuple[bytes, bytes], Ticket] = {}  # by id and signature
        self._recent: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()  # id -> signature, seq
        self._checking = False
        self._committing = False
        self._arrived = asyncio.Event()
        self._ready = asyncio.Event()
        self._moved = asyncio.Event()  # set whenever a stage hands on or finishes something

    @property
    def full(self) -> bool:
        """Whether offering more should wait for `room`."""
        return len(self._queue) >= MAX_QUEUED

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self._queue or self._checked or self._checking or self._committing)

    def offer(self, work: Envelope | Act, reply: Reply, req: int) -> None:
        """Take a job; `reply` is called once, with the ack's value or the reason against it."""
        if isinstance(work, Act):
            ticket = Ticket(work)
        else:
            signature = work.record.signature
            known = self._recent.get(work.id)
            if known is not None and known[0] == signature:
                reply(req, known[1])
                return
            # Whole records are compared: a copy with a bad signature must not stand for the good one.
            waiting = self._flight.get((work.id, signature))
            if waiting is not None:
                waiting.waiting.append((reply, req))
                return
            ticket = self._flight[work.id, signature] = Ticket(work)
        ticket.waiting.append((reply, req))
        self._queue.append(ticket)
        self._arrived.set()

    async def room(self) -> None:
        """Wait until the queue takes more."""
        while self.full:
            await self._next_move()

    async def drain(self) -> None:
        """Wait until all that was offered is answered."""
        while not self.idle:
            await self._next_move()

    async def run(self) -> None:
        """Work until cancelled; raises what the store raised, after which the process has to stop."""
        stages = [asyncio.create_task(self._check_batches()), asyncio.create_task(self._commit_batches())]
        try:
            await asyncio.gather(*stages)
        finally:
            for stage in stages:
                stage.cancel()
            await asyncio.gather(*stages, return_exceptions=True)
            self._pool.shutdown()

    async def _next_move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    async def _check_batches(self) -> None:
        most = self._batch.items
        while True:
            await self._arrived.wait()
            while len(self._checked) >= 2 * most:
                await self._next_move()
            tickets = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            if not self._queue:
                self._arrived.clear()
            self._checking = True
            await self._check_signatures(tickets)
            self._checking = bool(self._queue)
            self._ready.set()
            self._moved.set()

    async def _check_signatures(self, tickets: Sequence[Ticket]) -> None:
        envelopes = [ticket.work for ticket in tickets if not isinstance(ticket.work, Act)]
        size = max(_CHUNK, -(-len(envelopes) // self._threads))
        chunks = [envelopes[at : at + size] for at in range(0, len(envelopes), size)]
        loop = asyncio.get_running_loop()
        results = await asyncio.gather(*(loop.run_in_executor(self._pool, check, chunk) for chunk in chunks))
        checked = iter([result for chunk in results for result in chunk])
        for ticket in tickets:
            job = ticket.work if isinstance(ticket.work, Act) else next(checked)
            if isinstance(job, IntentcastError):
                self._finish(ticket, job)
            else:
                self._checked.append((ticket, job))

    async def _commit_batches(self) -> None:
        while True:
            await self._ready.wait()
            await self._gather()
            batch = [self._checked.popleft() for _ in range(min(self._batch.items, len(self._checked)))]
            if not self._checked:
                self._ready.clear()
            if batch:
                self._committing = True
                await self._commit(batch)
                self._committing = False
            self._moved.set()

    async def _gather(self) -> None:
        """Let a batch grow while more is being checked, but not for long; a lone job never waits."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._batch.milliseconds / 1000):
                while self._checking and len(self._checked) < self._batch.items:
                    await self._next_move()

    async def _commit(self, batch: Sequence[tuple[Ticket, Job]]) -> None:
        jobs = [job for _, job in batch]
        now = self._clock()
        answers: list[Answer] = []

        def decide(shelf: Shelf) -> Changes:
            changes, told = settle(jobs, shelf, self._house, now)
            answers.extend(told)
            return changes

        changes = await self._store.write(wanted(jobs), decide)
        for record_id in changes.delete.values():
            self._recent.pop(record_id, None)
        for seq, record in changes.insert.items():
            self._recent[record.id] = (record.record.signature, seq)
        while len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)
        self._publish(changes.insert)
        for (ticket, _), answer in zip(batch, answers, strict=True):
            self._finish(ticket, answer)

    def _finish(self, ticket: Ticket, answer: Answer) -> None:
        if not isinstance(ticket.work, Act):
            self._flight.pop((ticket.work.id, ticket.work.record.signature), None)
        ticket.answer(answer)
