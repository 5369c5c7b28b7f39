"""The agent's events as a stream that a browser follows and takes up again where it broke off.

    id: 7c2f-41      the run of the agent, and the event's number in it
    event: mail      mail, clock, haggle, demand; `reload` where events were missed, so that the page asks anew
    data: {"session": "did:key:…", …}

Events only say that something changed; what is so is asked for afterwards.
"""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from aiohttp import web
from intentcast_protocol.identity import Id, Key, cid, did

from intentcast_agent.agent import Agent
from intentcast_agent.view import Json, write_json
from intentcast_agent.web.guard import lasting
from intentcast_agent.web.keys import AGENT, EVENTS
from intentcast_agent.web.problem import Problem

KEPT: Final = 1_000  # events that a stream can be taken up from
MOST_STREAMS: Final = 16
BEHIND: Final = 256  # events a reader may be behind
HEARTBEAT: Final = 15.0  # s
_RETRY: Final = 2_000  # ms until a browser comes back
_RELOAD: Final = "reload"

Entry = tuple[int, str, Json]


class Log:
    """The last events in their order, each with an id. Pure: what happens is told to it."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.last = 0
        self._kept: deque[Entry] = deque(maxlen=KEPT)

    def add(self, event: Mapping[str, Any]) -> Entry:
        """Number an event and keep it."""
        self.last += 1
        entry = (self.last, str(event["event"]), _named(event))
        self._kept.append(entry)
        return entry

    def since(self, given: str) -> list[Entry]:
        """Return what came after the event of an id; one `reload` if that can no longer be told."""
        run, _, text = given.partition("-")
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else -1
        oldest = self.last - len(self._kept)
        if run != self.run or not oldest <= number <= self.last:
            return [(self.last, _RELOAD, {})]
        return [entry for entry in self._kept if entry[0] > number]


def _named(event: Mapping[str, Any]) -> Json:
    """Return an event with ids as the API shows them."""
    named = {name: value for name, value in event.items() if name != "event"}
    if isinstance(named.get("session"), bytes):
        named["session"] = did(Key(named["session"]))
    if isinstance(named.get("demand"), bytes):
        named["demand"] = cid(Id(named["demand"]))
    return named


class Events:
    """The streams that are open, and the task that feeds them."""

    def __init__(self) -> None:
        self.log = Log(secrets.token_hex(4))
        self._streams: dict[asyncio.Queue[Entry | None], asyncio.Transport | None] = {}

    async def follow(self, agent: Agent) -> None:
        """Hear the agent for as long as the task lives."""
        with agent.listen() as heard:
            while True:
                self.tell(self.log.add(await heard.get()))

    def tell(self, entry: Entry) -> None:
        """Give an entry to every stream, and hang up on one that reads too slowly: it comes back by its last id."""
        for queue, transport in list(self._streams.items()):
            if queue.full():
                del self._streams[queue]
                if transport:
                    transport.abort()
            else:
                queue.put_nowait(entry)

    @contextlib.contextmanager
    def stream(self, transport: asyncio.Transport | None) -> Any:
        """Give a queue of entries for the length of a block; None ends it. Raises Problem if there are too many."""
        if len(self._streams) >= MOST_STREAMS:
            raise Problem(429, "refused.limit.exceeded", "Too many pages follow this agent at once.", "Close some.")
        queue: asyncio.Queue[Entry | None] = asyncio.Queue(BEHIND + 1)
        self._streams[queue] = transport
        try:
            yield queue
        finally:
            self._streams.pop(queue, None)

    def end(self) -> None:
        """Let every stream end in order."""
        for queue in list(self._streams):
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(None)


def add_events(application: web.Application) -> None:
    """Serve `/events`."""
    events = application[EVENTS] = Events()

    async def at_work(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(events.follow(application[AGENT]))
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def stop(_: web.Application) -> None:
        events.end()

    application.cleanup_ctx.append(at_work)
    application.on_shutdown.append(stop)
    application.router.add_get("/events", _stream, allow_head=False)


@lasting
async def _stream(request: web.Request) -> web.StreamResponse:
    events = request.app[EVENTS]
    given = request.headers.get("Last-Event-ID") or request.query.get("after", "")
    with events.stream(request.transport) as queue, contextlib.suppress(ConnectionError):
        # Before the first pause: an event is either in the log now or comes through the queue.
        missed = events.log.since(given[:64]) if given else []
        place = "" if given else f"id: {events.log.run}-{events.log.last}\n"
        response = await open_stream(request)
        await response.write(f"retry: {_RETRY}\n{place}\n".encode())
        for number, name, data in missed:
            await response.write(lines(name, data, f"{events.log.run}-{number}"))
        while entry := await _next(queue, response):
            number, name, data = entry
            await response.write(lines(name, data, f"{events.log.run}-{number}"))
        return response
    return web.Response()  # to nobody: they hung up


async def _next(queue: asyncio.Queue[Entry | None], response: web.StreamResponse) -> Entry | None:
    """Wait for the next entry; a comment now and then shows both sides that the other is there."""
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT):
                return await queue.get()
        except TimeoutError:
            await response.write(b":\n\n")


async def open_stream(request: web.Request) -> web.StreamResponse:
    """Begin an answer of server-sent events."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    return response


def lines(name: str, data: Any, number: str = "") -> bytes:
    """Return one event as its lines; JSON has no line ends of its own."""
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {name}\ndata: {write_json(data)}\n\n".encode()
