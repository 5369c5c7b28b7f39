"""The relay as a running thing: one port, one store, one way in; its start, its stop, and what HTTP may ask.

PROTOCOL §11
"""

import asyncio
import base64
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from intentcast_protocol.errors import IntentcastError, Refused
from intentcast_protocol.identity import Id, cid, public_key
from intentcast_protocol.limits import MAX_FRAME

from intentcast_relay.address import Visitors
from intentcast_relay.admin import Admin
from intentcast_relay.config import Config, ConfigError, Metrics
from intentcast_relay.control import serving
from intentcast_relay.core import Connection
from intentcast_relay.domain import Domains
from intentcast_relay.door import Door, Guest
from intentcast_relay.feed import Feed
from intentcast_relay.info import document
from intentcast_relay.ingest import Ingest
from intentcast_relay.ledger import House
from intentcast_relay.log import adjust, tell
from intentcast_relay.metrics import Facts, Meter
from intentcast_relay.peer import Peer, Rooms
from intentcast_relay.policy import Hook, check_command
from intentcast_relay.posting import Posting
from intentcast_relay.quota import Quota, Visit
from intentcast_relay.reload import frozen
from intentcast_relay.rules import Rules
from intentcast_relay.standing import Standing
from intentcast_relay.store.contract import Store, StoreError
from intentcast_relay.store.sqlite import open_store
from intentcast_relay.survey import Survey
from intentcast_relay.wellknown import WellKnown

if TYPE_CHECKING:
    from intentcast_relay.console import Console

SWEEP_EVERY: Final = 60  # s
SWEEP_BATCH: Final = 1_000  # records
DRAIN: Final = 5.0  # s that a stopping relay gives to what is under way
_HEARTBEAT: Final = 55.0  # s between pings, so that dead connections are noticed
_LINGER: Final = 1.0  # s an HTTP request may go on once the relay stops
_BACKLOG: Final = 1_024  # connections that the kernel keeps until they are accepted
_CID_LENGTH: Final = 61
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def read_clock() -> int:
    """Return the time as the protocol counts it: whole seconds since 1970."""
    return int(time.time())


class Relay:
    """One relay in this process. `config` names the real port once `start` has returned."""

    def __init__(self, config: Config, clock: Callable[[], int] = read_clock) -> None:
        self.config = config
        self.meter = Meter()
        self.complaint = ""
        self._clock = clock
        self._peers: set[Peer] = set()
        self._stopping = False

    async def start(self) -> None:
        """Open the store and the port. Raises StoreError or ConfigError, both with a sentence for the operator."""
        check_command(self.config.policy)
        self._store: Store = await open_store(self.config.database)
        self._hook = Hook()
        self._doors = contextlib.AsyncExitStack()
        self._survey = Survey(self.meter, self._store, self.config.database, self._clock())
        self._console: Console | None = None
        self._rules = Rules(await self._store.rules())
        self._visitors = Visitors(os.urandom(16), self.config.proxies)
        self._quota = Quota(self.config.limits)
        self._listener: asyncio.Server | None = None
        self._runner = web.AppRunner(
            self._application(), access_log=None, handle_signals=False, shutdown_timeout=_LINGER
        )
        try:
            await self._runner.setup()
            assert self._runner.server is not None
            self._door = Door(self._runner.server, self._visitors, self.config.limits)
            host, port = self.config.address
            try:
                self._listener = await asyncio.get_running_loop().create_server(
                    self._door, host, port, backlog=_BACKLOG, start_serving=False
                )
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
                raise ConfigError(f"It is not possible to listen on {self.config.listen}: {reason}.") from error
            await self._move_in()
            await self._listener.start_serving()
        except BaseException:
            if self._listener is not None:
                self._listener.close()
            await self._doors.aclose()
            await self._hook.close()
            await self._runner.cleanup()
            await self._store.close()
            raise
        self._work = asyncio.create_task(self._labour())
        if self.config.metrics.listen:
            await self._open_console()

    async def _move_in(self) -> None:
        """Furnish the relay; until its first pause everything a visitor needs is there."""
        assert self._listener is not None
        self._settings = config = self.config.bound(self._listener.sockets[0].getsockname()[1])
        self._feed = Feed(self._store.seq, self.meter)
        house = House(config.url, config.limits.mailbox_items, config.limits.mailbox_bytes)
        self._ingest = Ingest(
            self._store, house, config.batch, self._deliver, self._clock, gate=self._gate, meter=self.meter
        )
        self._key = public_key(self._store.seed)
        self._wellknown = WellKnown(config.domains)
        domains = Domains(self._store, self._wellknown.read, self._clock, config.url)
        self._doors.push_async_callback(domains.close)
        self._rooms = Rooms(self._store, self._ingest, self._feed, config.limits, self._clock, domains, self.meter)
        self.settle()
        self.admin = Admin(self._store, self._rules, config.database, self._clock, self)
        await self._doors.enter_async_context(serving(self.admin.perform, config.database))

    def apply(self, config: Config) -> None:
        """Go on with these settings; what only a start decides stays. Raises ConfigError and then changes nothing."""
        check_command(config.policy)
        self._settings = frozen(self._settings, config)
        self.settle()
        self.complaint = ""
        self.meter.reloads["applied"] += 1

    def complain(self, why: str) -> None:
        """Remember, for the operator, that the settings file is wrong; the settings stay."""
        self.complaint = why
        self.meter.reloads["refused"] += 1

    def settle(self) -> None:
        """Put the settings in force, with the operator's rules on top of them: the one place where either takes effect.

        Connections that are open go by them as well, and keep what they have beyond them.
        """
        self.config = config = self._settings.limited(self._rules.limits)
        self._hosts = config.authorities
        self._visitors.proxies = config.proxies
        limits = self._rooms.limits = self._quota.limits = self._door.limits = config.limits
        self._ingest.house = House(config.url, limits.mailbox_items, limits.mailbox_bytes, self._rules.retention)
        self._hook.apply(config.policy)
        self._ingest.judge = self._hook.judge if config.policy.command else None
        self._ingest.batch = config.batch
        self._wellknown.mapped = config.domains
        for peer in self._peers:
            peer.adjust(limits, self._hosts)
        adjust(config.log)

    # What the operator sees

    @property
    def state(self) -> str:
        """Return "open", "stopping" or "failed"."""
        if self._stopping:
            return "stopping"
        return "failed" if self._work.done() else "open"

    def facts(self) -> Facts:
        """Return how the relay stands now."""
        return self._survey.facts(
            connections=len(self._peers),
            turned_away=self._door.turned_away,
            subscriptions=len(self._feed.index),
            queued=self._ingest.queued,
            config_ok=not self.complaint,
            backup_at=self.admin.backup_at,
        )

    def info(self) -> dict[str, Any]:
        """Return the info document."""
        return document(self.config, self._key, self._store.epoch, self._clock(), self._rules.retention)

    async def _open_console(self) -> None:
        from intentcast_relay.console import Console  # noqa: PLC0415 (it brings Prometheus' library with it)

        console = Console(self, self.config.metrics.listen)
        try:
            await console.start()
        except BaseException:
            await self.stop()
            raise
        self._console = console
        self._settings = replace(self._settings, metrics=Metrics(console.address))
        self.config = replace(self.config, metrics=self._settings.metrics)

    async def _close_console(self) -> None:
        if self._console is not None:
            await self._console.stop()

    # What an admin verb does besides the store

    def bar(self, key: bytes, refusal: IntentcastError) -> None:
        """Close the connections that have proven a key which is banned now."""
        for peer in self._peers:
            peer.bar(key, refusal)

    async def flush(self) -> None:
        """Wait until everything under way is answered."""
        await self._ingest.flush()

    def forget(self, ids: Sequence[bytes]) -> None:
        """Answer for these records no more from memory."""
        self._ingest.forget(ids)

    def _gate(self, posting: Posting, standing: Standing, now: int) -> IntentcastError | None:
        refusal = self._rules.refuses(posting.type, posting.author, posting.categories, now)
        if refusal is not None or self._rules.allows(posting.author, now):
            return refusal
        return self._quota.admit(posting, standing.address, now, asyncio.get_running_loop().time())

    def _deliver(self, committed: dict[int, Posting]) -> None:
        for posting in committed.values():
            self._quota.stored(posting.author)
        self._feed.deliver(committed)

    async def wait(self) -> None:
        """Wait until the relay can work no more; raises the reason, usually StoreError."""
        await asyncio.shield(self._work)

    async def stop(self) -> None:
        """Take nothing more, finish what is under way, tell everyone where to resume, and close the store.

        Takes at most about DRAIN + 4 seconds.
        """
        self._stopping = True
        await self._doors.aclose()
        if self._listener is not None:
            self._listener.close()
        for peer in self._peers:
            peer.refuse_writes()
        if not self._work.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN):
                    await self._ingest.drain()
        await asyncio.gather(*(peer.stop() for peer in list(self._peers)))
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        await self._hook.close()
        await self._runner.cleanup()
        await self._close_console()
        with contextlib.suppress(StoreError):
            await self._store.close()
        tell("stopped")

    async def sweep(self, now: int) -> int:
        """Delete everything that ended by `now`, a batch at a time; returns how much."""
        began = time.perf_counter()
        total = 0
        while swept := await self._store.sweep(now, SWEEP_BATCH):
            total += swept
        self.meter.swept += total
        self.meter.swept_at, self.meter.sweep_seconds = now, time.perf_counter() - began
        if total:
            tell("swept", removed=total, seconds=round(self.meter.sweep_seconds, 3))
        return total

    async def _labour(self) -> None:
        works = [asyncio.create_task(self._ingest.run()), asyncio.create_task(self._sweep())]
        try:
            await asyncio.gather(*works)
        finally:
            # A gather that is cancelled does not wait for those it gathered.
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            await self._survey.look(census=self._console is not None)
            await asyncio.sleep(SWEEP_EVERY)
            await self.sweep(self._clock())

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._meet])
        application.router.add_get("/", self._root)
        application.router.add_get("/records/{cid}", self._record)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        return application

    @web.middleware
    async def _meet(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Charge a request to its visitor, and let it take its time only while it is served."""
        guest = request.transport.get_protocol() if request.transport is not None else None
        if not isinstance(guest, Guest):
            return web.Response()  # to nobody: they hung up
        guest.ease()
        try:
            self._quota.ask(self._visitor(request), asyncio.get_running_loop().time())
            return await handler(request)
        except Refused as error:
            self.meter.refused[error.code] += 1
            return web.Response(status=429, text=f"{error}\n")
        finally:
            guest.hurry()

    def _visitor(self, request: web.Request) -> str:
        return self._visitors.name(request.remote, request.headers.getall("X-Forwarded-For", ()))

    async def _root(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.json_response(self.info(), headers={"Access-Control-Allow-Origin": "*"})
        if self._stopping or len(self._peers) >= self.config.limits.connections:
            self._door.turned_away += 1
            return web.Response(status=503, text="The relay takes no more connections for now.\n")
        address = self._visitor(request)
        visit = self._quota.enter(address, asyncio.get_running_loop().time())
        try:
            return await self._converse(request, Standing(address), visit)
        finally:
            visit.leave()

    async def _converse(self, request: web.Request, standing: Standing, visit: Visit) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=MAX_FRAME + 1, heartbeat=_HEARTBEAT, timeout=2.0, autoping=False
        )
        try:
            writer = await socket.prepare(request)
        except ConnectionError:
            return web.Response()  # to nobody: they hung up in the handshake, which is no error of ours to log
        core = Connection(
            os.urandom(32),
            self._store.epoch,
            self._hosts,
            self.config.limits.subscriptions,
            standing,
            self._rules,
            visit,
        )
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            return socket  # the peer is gone already
        peer = Peer(self._rooms, core, socket, transport, writer.drain)
        guest = transport.get_protocol()
        if isinstance(guest, Guest):
            guest.watch(peer.stalled)
        self._peers.add(peer)
        self.meter.connected += 1
        try:
            await peer.run()
        finally:
            self._peers.discard(peer)
        return socket

    async def _record(self, request: web.Request) -> web.Response:
        record_id = read_id(request.match_info["cid"])
        now = self._clock()
        found = await self._store.record(record_id, now) if record_id else None
        if found is None:
            return web.Response(status=404, text="No such public record is stored here.\n")
        record, expires = found
        headers = {"Cache-Control": f"public, max-age={expires - now}, immutable", "Access-Control-Allow-Origin": "*"}
        return web.Response(body=record.encode(), content_type="application/msgpack", headers=headers)

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        if self._stopping or self._work.done():
            return web.Response(status=503, text="stopping\n")
        try:
            await self._store.ping()
        except StoreError:
            return web.Response(status=503, text="the database takes no writes\n")
        return web.Response(text="ok\n")


def read_id(text: str) -> Id | None:
    """Return the record id that a CID in a path names, None for any other text; its length is capped first.

    By hand because a relay serves paths by the thousand, and the library takes a millisecond for each. PROTOCOL §2.2
    """
    if len(text) != _CID_LENGTH or not text.isascii():
        return None
    try:
        raw = base64.b32decode(text[1:].upper() + "=" * (-(_CID_LENGTH - 1) % 8))
    except ValueError:
        return None
    record_id = Id(raw[-32:])
    return record_id if cid(record_id) == text else None


@contextlib.asynccontextmanager
async def running(config: Config, clock: Callable[[], int] = read_clock) -> AsyncIterator[Relay]:
    """Run a relay for as long as the block lasts."""
    relay = Relay(config, clock)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()
