"""The operator's port: a page for people, /status.json for programs, /metrics for Prometheus.

It is a port of its own, so that a proxy which shows the relay to the world never shows this. It answers to GET alone
and shows numbers only.
"""

import asyncio
import contextlib
import ipaddress
import os
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from intentcast_relay.config import ConfigError, split_listen
from intentcast_relay.exposition import CONTENT_TYPE, exposition, registry
from intentcast_relay.history import STEP, History, mark
from intentcast_relay.metrics import Facts
from intentcast_relay.page import POLICY, page
from intentcast_relay.status import status

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LINGER: Final = 1.0  # s a request may go on once the relay stops


class Subject(Protocol):
    """The relay, as far as its operator looks at it."""

    @property
    def state(self) -> str:
        """Open, stopping or failed, in lower case."""

    @property
    def complaint(self) -> str:
        """What is wrong with the settings file, or nothing."""

    def facts(self) -> Facts:
        """Return the numbers of this moment."""

    def info(self) -> Mapping[str, Any]:
        """Return the info document; `now` is in it."""


class Console:
    """Serves one relay's numbers on `listen`; `address` names the real port once `start` has returned."""

    def __init__(self, subject: Subject, listen: str) -> None:
        self._subject = subject
        self.address = listen
        self._history = History()
        self._marking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the port. Raises ConfigError."""
        host, port = split_listen(self.address, "metrics.listen")
        application = web.Application(middlewares=[guard(host)])
        application.router.add_get("/", self._page)
        application.router.add_get("/status.json", self._status)
        application.router.add_get("/metrics", self._metrics)
        self._registry = registry(self._subject.facts)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=_LINGER)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
            raise ConfigError(f"It is not possible to listen on {self.address} for metrics: {reason}.") from error
        port = self._runner.addresses[0][1]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._marking = asyncio.get_running_loop().create_task(self._mark())

    async def stop(self) -> None:
        """Close the port."""
        if self._marking is not None:
            self._marking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._marking
        await self._runner.cleanup()

    async def _mark(self) -> None:
        while True:
            self._history.add(mark(self._subject.facts(), time.monotonic()))
            await asyncio.sleep(STEP)

    def _look(self) -> dict[str, Any]:
        subject = self._subject
        facts, info = subject.facts(), subject.info()
        latest = self._history.latest(mark(facts, time.monotonic()))
        minutes = self._history.minutes
        return status(info, facts, latest, minutes, now=info["now"], state=subject.state, why=subject.complaint)

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=page(self._look()), content_type="text/html", headers=_HEADERS)

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response(self._look(), headers=_HEADERS)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=exposition(self._registry), headers={**_HEADERS, "Content-Type": CONTENT_TYPE})


def guard(host: str) -> Middleware:
    """Return what turns visitors away who name another host than this machine, if the port is on loopback.

    Otherwise any web page in the operator's browser could read the numbers, by a name of its own that leads here.
    """

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_loopback(host) and not is_loopback(named(request.host)):
            return web.Response(status=403, text="This port answers to localhost only.\n")
        return await handler(request)

    return checked


def named(authority: str) -> str:
    """Return the host in a Host header, nothing for what is none."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
