"""One WebSocket connection: it carries bytes to the core and performs the effects the core returns; it decides nothing.

PROTOCOL §9
"""

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from intentcast_protocol.errors import IntentcastError, InvalidMessage
from intentcast_protocol.frames import (
    Ack,
    Answer,
    Attested,
    Closed,
    Counted,
    Cursor,
    Live,
    Problem,
    encode_frame,
    request_number,
)
from intentcast_protocol.identity import Key

from intentcast_relay.config import Limits
from intentcast_relay.core import (
    Connection,
    Effect,
    Forget,
    Hangup,
    Look,
    Perform,
    Persist,
    Pong,
    Replay,
    Send,
    Slow,
    Tally,
    Watch,
    problem,
    resume,
)
from intentcast_relay.domain import Domains
from intentcast_relay.feed import Feed, Listener, item
from intentcast_relay.ingest import Ingest
from intentcast_relay.ledger import Answer as Outcome
from intentcast_relay.log import tell, tell_error
from intentcast_relay.metrics import Meter
from intentcast_relay.outgoing import Outgoing, SlowReader, header
from intentcast_relay.store.contract import Page, Store

_PONG: Final = 0x8A
_PAUSE: Final = (0.5, 1.0)  # s, from and to, that nothing is read from a peer who asked for too much
_LAST_WORD: Final = 1.0  # s a peer that is being closed has to take its last frames

Drain = Callable[[], Coroutine[None, None, None]]
Fetch = Callable[[int, int], Awaitable[Page]]


@dataclass(slots=True)
class Rooms:
    """The parts of the relay a connection works with; its limits may change while it does."""

    store: Store
    ingest: Ingest
    feed: Feed
    limits: Limits
    clock: Callable[[], int]
    domains: Domains
    meter: Meter = field(default_factory=Meter)


class Peer:
    """A connected agent; `run` lasts as long as its WebSocket."""

    def __init__(
        self,
        rooms: Rooms,
        connection: Connection,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        drain: Drain,
    ) -> None:
        self._rooms = rooms
        self._core = connection
        self._socket = socket
        self._transport = transport
        self._drain = drain
        self._number = transport.get_extra_info("socket").fileno()
        self.outgoing = Outgoing(rooms.limits, self._write_at_once)
        self._listeners: dict[int, Listener] = {}
        self._replays: dict[int, asyncio.Task[None]] = {}
        self._looks: set[asyncio.Task[None]] = set()
        self._page = asyncio.Lock()
        self._pause = False  # after a frame too many
        self._sender: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve the connection until either side closes it."""
        loop = asyncio.get_running_loop()
        self._sender = loop.create_task(self._send())
        self._reader = loop.create_task(self._read())
        greeting = loop.call_later(self._rooms.limits.auth_deadline, self._late)
        try:
            # A future of its own, because asyncio.wait keeps most of a kilobyte for as long as it waits.
            over = loop.create_future()
            self._reader.add_done_callback(lambda _: None if over.done() else over.set_result(None))
            await over
            if self._ending is not None:
                # Until its last words are answered, or it is too late: what is closed while a peer still sends is
                # reset, and takes with it what the peer has not read.
                await asyncio.wait({self._ending})
            elif not self._reader.cancelled():
                self._reader.result()
        finally:
            greeting.cancel()
            self._leave()
            tasks = [self._reader, self._sender, *self._replays.values(), *self._looks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        since = 0
        async for message in self._socket:
            self._receive(message)
            if self._pause:
                # Not for all the same time, or those who were refused together would come back together.
                await asyncio.sleep(random.uniform(*_PAUSE))
                self._pause = False
            if self.outgoing.crowded:
                await self.outgoing.heard()
            if self._rooms.ingest.full(self._core.standing):
                await self._rooms.ingest.room(self._core.standing)
            since += 1
            if since >= self._core.visit.stride:
                # What one connection sent at once is not worked off before the others have had a turn.
                await asyncio.sleep(0)
                since = 0

    async def stop(self) -> None:
        """Close the connection because the relay stops: every subscription is told where to resume. PROTOCOL §9.9"""
        self._core.stopping = True
        await self._end_soon("refused.relay.stopping", WSCloseCode.GOING_AWAY, flush=True)

    def bar(self, key: bytes, refusal: IntentcastError) -> None:
        """End the connection if it has proven a key that is banned now; the reason is told first."""
        if key in self._core.keys:
            self._core.stopping = True
            self._answer(problem(None, refusal))
            self._end_soon(refusal.code, WSCloseCode.POLICY_VIOLATION, flush=True)

    def adjust(self, limits: Limits, hosts: frozenset[str]) -> None:
        """Go on by these limits, and take proofs made for these hosts."""
        self.outgoing.limits = limits
        self._core.max_subscriptions, self._core.hosts = limits.subscriptions, hosts

    def refuse_writes(self) -> None:
        """Take no more records: the relay is about to stop."""
        self._core.stopping = True

    def _receive(self, message: WSMessage) -> None:
        try:
            if message.type is WSMsgType.BINARY:
                self._perform(self._core.receive(message.data, self._rooms.clock(), asyncio.get_running_loop().time()))
            elif message.type is WSMsgType.PING:
                self._perform(self._core.ping(message.data, asyncio.get_running_loop().time()))
            elif message.type is WSMsgType.TEXT:
                self._perform(self._core.fault(InvalidMessage("invalid.frame.malformed", "binary frames only")))
        except Exception as error:
            self._rooms.meter.faults += 1
            tell_error("internal-error", error)
            req = request_number(message.data) if message.type is WSMsgType.BINARY else None
            self._answer(problem(req, IntentcastError("internal.error")))

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Persist(req, record):
                self._rooms.ingest.offer(record, self._core.standing, self._outcome, req)
            case Send(frame):
                self._answer(frame)
            case Slow(frame):
                self._answer(frame)
                self._pause = True
            case Pong(data):
                self.outgoing.answer(data, bytes((_PONG, len(data))))
            case Perform(req, act):
                self._rooms.ingest.offer(act, self._core.standing, self._outcome, req)
            case Replay():
                self._replay(effect)
            case Watch():
                self._watch(effect)
            case Tally(request):
                least, most = self._rooms.feed.index.count(request, self._rooms.clock())
                self._answer(Counted(request.req, least, most))
            case Forget(req):
                self._forget(req)
            case Look(req, key):
                look = asyncio.get_running_loop().create_task(self._look(req, key))
                self._looks.add(look)
                look.add_done_callback(self._looks.discard)
            case Hangup(frame):
                self._answer(frame)
                self._end_soon("refused.limit.exceeded", WSCloseCode.POLICY_VIOLATION, flush=True)

    def _answer(self, frame: Answer) -> None:
        if isinstance(frame, Problem):
            self._rooms.meter.refused[frame.code] += 1
        self.outgoing.answer(encode_frame(frame))

    def _follow(self, frame: Answer) -> None:
        self.outgoing.follow(encode_frame(frame))

    def _outcome(self, req: int, outcome: Outcome) -> None:
        if isinstance(outcome, IntentcastError):
            self._core.visit.failed(outcome)
            self._answer(problem(req, outcome))
        else:
            self._answer(Ack(req, outcome))

    async def _look(self, req: int, key: Key) -> None:
        domain = None
        try:
            attestation = await self._rooms.domains.attest(key)
            domain = attestation.domain
        except IntentcastError as error:
            self._answer(problem(req, error))
        except Exception as error:
            self._rooms.meter.faults += 1
            tell_error("internal-error", error)
            self._answer(problem(req, IntentcastError("internal.error")))
        try:
            self._core.looked(domain)
        except IntentcastError as error:
            self._answer(problem(req, error))
        else:
            if domain is not None:
                self._answer(Attested(req, attestation.payload, attestation.signature))

    # Subscriptions and mailboxes

    def _replay(self, effect: Replay) -> None:
        store, feed, clock = self._rooms.store, self._rooms.feed, self._rooms.clock
        after = resume(effect.cursor, store.epoch, feed.head)
        listener = Listener(self, effect.req, sent=after)
        if not effect.once:
            feed.index.add(listener, effect.filter, self)

        async def fetch(at: int, upto: int) -> Page:
            return await store.public(effect.filter, at, upto, self._rooms.limits.page, clock())

        self._begin(listener, fetch, once=effect.once)

    def _watch(self, effect: Watch) -> None:
        store, feed, clock = self._rooms.store, self._rooms.feed, self._rooms.clock
        listener = Listener(self, effect.req, mailbox=effect.key)
        displaced = feed.index.read(listener, effect.key)
        if displaced is not None and isinstance(displaced.owner, Peer):
            displaced.owner.displace(displaced)

        async def fetch(at: int, upto: int) -> Page:
            return await store.mailbox(effect.key, at, upto, self._rooms.limits.page, clock())

        self._begin(listener, fetch, once=False)

    def _begin(self, listener: Listener, fetch: Fetch, *, once: bool) -> None:
        req = listener.req
        self._listeners[req] = listener
        self._rooms.meter.replays += 1
        # The head of this very moment: what is delivered before the task's first step already waits in `pending`.
        upto = self._rooms.feed.head
        task = asyncio.get_running_loop().create_task(self._catch_up(listener, fetch, upto, once=once))
        self._replays[req] = task
        task.add_done_callback(lambda done: self._caught_up(req, done))

    async def _catch_up(self, listener: Listener, fetch: Fetch, upto: int, *, once: bool) -> None:
        at = listener.sent
        while True:
            while at < upto:
                # One page at a time on a connection, however many subscriptions catch up.
                async with self._page:
                    await self.outgoing.room()
                    page = await fetch(at, upto)
                    listener.replay((seq, item(seq, record)) for seq, record in page.records)
                at = page.reached
            if not listener.missed:
                break
            listener.pending, listener.missed, upto = [], False, self._rooms.feed.head
        self._follow(Live(listener.req, Cursor(self._rooms.store.epoch, upto)))
        pending, listener.pending = listener.pending or [], None
        listener.sent = max(listener.sent, upto)
        if once:
            self._forget(listener.req)
            self._core.ended(listener.req)
        else:
            listener.replay(pending)

    def _caught_up(self, req: int, done: asyncio.Task[None]) -> None:
        if self._replays.get(req) is done:
            del self._replays[req]
        if not done.cancelled() and (error := done.exception()) is not None:
            self._rooms.meter.faults += 1
            tell_error("subscription-failed", error)
            self._close(req, "internal.error")

    def displace(self, listener: Listener) -> None:
        """End the reading of a mailbox that another connection reads from now on. PROTOCOL §10.4"""
        if self._listeners.get(listener.req) is listener:
            self._close(listener.req, "refused.limit.exceeded")

    def _close(self, req: int, code: str) -> None:
        listener = self._listeners.get(req)
        if listener is not None:
            self._forget(req)
            self._core.ended(req)
            self._follow(Closed(req, code, Cursor(self._rooms.store.epoch, listener.sent)))

    def _forget(self, req: int) -> None:
        listener = self._listeners.pop(req, None)
        if listener is not None:
            self._rooms.feed.index.remove(listener, listener.mailbox)
        task = self._replays.pop(req, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _leave(self) -> None:
        for req in list(self._listeners):
            self._forget(req)

    # The end

    async def _send(self) -> None:
        try:
            await self.outgoing.run(self._write)
        except SlowReader:
            self._rooms.meter.slow_readers += 1
            tell("slow-reader", subscriptions=len(self._listeners))
            self._end_soon("refused.limit.exceeded", WSCloseCode.TRY_AGAIN_LATER, flush=False)
        except ConnectionError:
            # The reading side notices it too, and ends the connection.
            return

    async def _write(self, data: bytes) -> None:
        # aiohttp's own send_bytes costs a system call for each message; these go out together.
        self._check_open()
        self._transport.write(data)
        del data  # what did not go out, the transport has copied
        if self._transport.get_write_buffer_size():
            # Shielded: all who drain share one future of aiohttp's, which a timeout must not cancel.
            draining = asyncio.ensure_future(self._drain())
            draining.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.shield(draining)

    def _write_at_once(self, data: bytes) -> bool | None:
        # Past the transport, which costs as much as the system call; only while it holds nothing itself. Its number
        # may be another connection's once it is closed, so that is asked first.
        if self._transport.is_closing() or self._transport.get_write_buffer_size():
            return None
        try:
            written = os.write(self._number, data)
        except OSError:
            return None  # full, or broken: either way the task that sends finds out
        if written < len(data):
            self._transport.write(data[written:])  # a message that has begun cannot be dropped any more
            return False
        return True

    def _check_open(self) -> None:
        if self._socket.closed or self._transport.is_closing():
            raise ConnectionResetError

    def _late(self) -> None:
        if not self._core.greeted:
            self._answer(problem(None, IntentcastError("refused.limit.exceeded", "no hello in time")))
            self._end_soon("refused.limit.exceeded", WSCloseCode.POLICY_VIOLATION, flush=True)

    def stalled(self) -> None:
        """End the connection: a message was begun and not finished in time. PROTOCOL §9.7"""
        self._answer(problem(None, IntentcastError("refused.limit.exceeded", "no whole message in time")))
        self._end_soon("refused.limit.exceeded", WSCloseCode.POLICY_VIOLATION, flush=True)

    def _end_soon(self, code: str, close: WSCloseCode, *, flush: bool) -> asyncio.Task[None]:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(code, close, flush=flush))
        return self._ending

    async def _end(self, code: str, close: WSCloseCode, *, flush: bool) -> None:
        if flush:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD):
                    await self.outgoing.flush()
        self.outgoing.clear()
        epoch = self._rooms.store.epoch
        words = [
            encode_frame(Closed(req, code, Cursor(epoch, listener.sent))) for req, listener in self._listeners.items()
        ]
        self._leave()
        with contextlib.suppress(TimeoutError, ConnectionError):
            self._check_open()
            self._transport.write(b"".join(header(len(word)) + word for word in words))
            if self._reader is not None:
                # aiohttp closes without waiting for the answer while anybody else reads.
                self._reader.cancel()
                await asyncio.wait({self._reader})
            async with asyncio.timeout(_LAST_WORD):
                await self._socket.close(code=close, message=code.encode(), drain=False)
        # What a stalled peer does not read by then would keep the socket open for good.
        asyncio.get_running_loop().call_later(max(_LAST_WORD, self._rooms.limits.send_deadline), self._transport.abort)
