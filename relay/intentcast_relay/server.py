"""The relay as a running thing: one port, one store, one way in; its start, its stop, and what HTTP may ask.

PROTOCOL §11
"""

import asyncio
import base64
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web
from intentcast_protocol.identity import Id, cid
from intentcast_protocol.limits import MAX_FRAME

from intentcast_relay.config import Config, ConfigError
from intentcast_relay.core import Connection
from intentcast_relay.feed import Feed
from intentcast_relay.info import document
from intentcast_relay.ingest import Ingest
from intentcast_relay.ledger import House
from intentcast_relay.peer import Peer, Rooms
from intentcast_relay.store.contract import Store, StoreError
from intentcast_relay.store.sqlite import open_store

SWEEP_EVERY: Final = 60  # s
SWEEP_BATCH: Final = 1_000  # records
DRAIN: Final = 5.0  # s that a stopping relay gives to what is under way
_HEARTBEAT: Final = 55.0  # s between pings, so that dead connections are noticed
_LINGER: Final = 1.0  # s an HTTP request may go on once the relay stops
_CID_LENGTH: Final = 61
_log = logging.getLogger("intentcast_relay")


def read_clock() -> int:
    """Return the time as the protocol counts it: whole seconds since 1970."""
    return int(time.time())


class Relay:
    """One relay in this process. `config` names the real port once `start` has returned."""

    def __init__(self, config: Config, clock: Callable[[], int] = read_clock) -> None:
        self.config = config
        self._clock = clock
        self._peers: set[Peer] = set()
        self._stopping = False

    async def start(self) -> None:
        """Open the store and the port. Raises StoreError or ConfigError, both with a sentence for the operator."""
        self._store: Store = await open_store(self.config.database)
        self._runner = web.AppRunner(
            self._application(), access_log=None, handle_signals=False, shutdown_timeout=_LINGER
        )
        try:
            await self._runner.setup()
            host, port = self.config.address
            try:
                site = web.TCPSite(self._runner, host, port)
                await site.start()
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
                raise ConfigError(f"It is not possible to listen on {self.config.listen}: {reason}.") from error
        except BaseException:
            await self._runner.cleanup()
            await self._store.close()
            raise
        self.config = config = self.config.bound(self._runner.addresses[0][1])
        self._hosts = config.authorities
        limits = config.limits
        self._feed = Feed(self._store.seq)
        house = House(config.url, limits.mailbox_items, limits.mailbox_bytes)
        self._ingest = Ingest(self._store, house, config.batch, self._feed.deliver, self._clock)
        self._rooms = Rooms(self._store, self._ingest, self._feed, limits, self._clock)
        self._work = asyncio.gather(self._ingest.run(), self._sweep())

    async def wait(self) -> None:
        """Wait until the relay can work no more; raises the reason, usually StoreError."""
        await asyncio.shield(self._work)

    async def stop(self) -> None:
        """Take nothing more, finish what is under way, tell everyone where to resume, and close the store.

        Takes at most about DRAIN + 4 seconds.
        """
        self._stopping = True
        for site in list(self._runner.sites):
            await site.stop()
        for peer in self._peers:
            peer.refuse_writes()
        if not self._work.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN):
                    await self._ingest.drain()
        await asyncio.gather(*(peer.stop() for peer in list(self._peers)))
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        await self._runner.cleanup()
        with contextlib.suppress(StoreError):
            await self._store.close()
        _log.info("stopped")

    async def sweep(self, now: int) -> int:
        """Delete everything that ended by `now`, a batch at a time; returns how much."""
        total = 0
        while swept := await self._store.sweep(now, SWEEP_BATCH):
            total += swept
        return total

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            await self.sweep(self._clock())

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/", self._root)
        application.router.add_get("/records/{cid}", self._record)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        return application

    async def _root(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            info = document(self.config, self._store.epoch, self._clock())
            return web.json_response(info, headers={"Access-Control-Allow-Origin": "*"})
        if self._stopping or len(self._peers) >= self.config.limits.connections:
            return web.Response(status=503, text="The relay takes no more connections for now.\n")
        socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_FRAME + 1, heartbeat=_HEARTBEAT, timeout=2.0)
        try:
            writer = await socket.prepare(request)
        except ConnectionError:
            return web.Response()  # to nobody: they hung up in the handshake, which is no error of ours to log
        core = Connection(os.urandom(32), self._store.epoch, self._hosts, self.config.limits.subscriptions)
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            return socket  # the peer is gone already
        peer = Peer(self._rooms, core, socket, transport, writer.drain)
        self._peers.add(peer)
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
