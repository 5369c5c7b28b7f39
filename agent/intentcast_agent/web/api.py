"""The HTTP API: each verb of `service` under /api/v1, for the person's own programs and for the page's script.

A write may bear an Idempotency-Key, an edit an If-Match; what fails is `{code, message, hint, retryable}`.
"""

import asyncio
import hashlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any, Final

import msgspec
from aiohttp import web

from intentcast_agent.api import perform
from intentcast_agent.service import Service
from intentcast_agent.view import Json, write_json
from intentcast_agent.web.events import HEARTBEAT, lines, open_stream
from intentcast_agent.web.guard import lasting
from intentcast_agent.web.idempotency import Repeats
from intentcast_agent.web.keys import AGENT, EDITING, REPEATS, SERVICE
from intentcast_agent.web.openapi import document
from intentcast_agent.web.problem import Problem, fault, problem_of
from intentcast_agent.web.routes import BASE, ROUTES, SHOWN, Route, read_arguments

log = logging.getLogger("intentcast.web")
_TAG: Final = 32  # hex digits
_Plain = str | int | float | bool | None
_Body = dict[str, _Plain | list[_Plain | dict[str, _Plain]] | dict[str, _Plain]]


def add_api(application: web.Application) -> None:
    """Serve the verbs, and the document that describes them."""
    application[EDITING] = asyncio.Lock()

    async def at_work(_: web.Application) -> AsyncIterator[None]:
        agent = application[AGENT]
        repeats = application[REPEATS] = Repeats(agent.store, agent.now)
        yield
        await repeats.close()

    application.cleanup_ctx.append(at_work)
    for route in ROUTES:
        application.router.add_route(route.method, route.url, _handler(route))
    application.router.add_get(f"{BASE}/openapi.json", _document)


async def _document(_: web.Request) -> web.StreamResponse:
    return web.json_response(document())


def _handler(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        given = await _given(request, route)
        args = read_arguments(route, request.match_info, given)
        service = request.app[SERVICE]
        if not route.writes:
            result = await ask(service, route.verb, args)
        else:
            wanted = request.headers.get("If-Match")
            editing = request.app[EDITING] if route.edits else nullcontext()

            async def act() -> Any:
                async with editing:
                    if route.edits and wanted is not None:
                        await check_match(service, route, args, wanted)
                    return await ask(service, route.verb, args)

            asked = (request.method, request.path_qs, wanted or "", await request.read())
            result = await request.app[REPEATS].once(request.headers.get("Idempotency-Key"), asked, act)
        text = write_json(result)
        headers = {"ETag": tag(text)} if route.verb in SHOWN else {}
        return web.Response(text=text, content_type="application/json", headers=headers)

    @lasting
    async def stream(request: web.Request) -> web.StreamResponse:
        args = read_arguments(route, request.match_info, await _given(request, route))
        return await _stream(request, route.verb, args)

    return stream if route.streams else answer


async def ask(service: Service, verb: str, args: dict[str, Any]) -> Any:
    """Return the result of a verb; raises what `perform` does."""
    result = None
    async for part in perform(service, verb, args):
        result = part.get("result")
    return result


async def _stream(request: web.Request, verb: str, args: dict[str, Any]) -> web.StreamResponse:
    """Send what a verb yields as it comes, then `end`, or `error`."""
    parts = perform(request.app[SERVICE], verb, args)
    # What is wrong with the question is answered as usual, before the stream begins.
    part = await anext(parts)
    response = await open_stream(request)
    coming: asyncio.Future[Json] | None = None
    with suppress(ConnectionError):
        try:
            while "event" in part:
                await response.write(lines("update", part["event"]))
                coming = asyncio.ensure_future(anext(parts))
                while not (await asyncio.wait({coming}, timeout=HEARTBEAT))[0]:
                    await response.write(b":\n\n")
                part = coming.result()
            await response.write(lines("end", {}))
        except Exception as error:
            if isinstance(error, ConnectionError):
                raise
            problem = problem_of(error)
            if problem is None:
                log.exception("a stream ended badly")
            await response.write(lines("error", (problem or fault()).view()))
        finally:
            if coming:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
            await parts.aclose()
    return response


# Edits


def tag(text: str) -> str:
    """Return the ETag of what a verb has shown."""
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:_TAG]}"'


async def check_match(service: Service, route: Route, args: dict[str, Any], wanted: str) -> None:
    """Raise Problem 412 unless what is edited is still what whoever edits has seen."""
    known = inspect.signature(getattr(service, route.edits)).parameters
    shown = await ask(service, route.edits, {name: value for name, value in args.items() if name in known})
    if wanted.strip() not in ("*", tag(write_json(shown))):
        raise Problem(412, "page.edit.changed", "It was changed since you looked; nothing was done.",
                      "Look at it again and make your change to that.")  # fmt: skip


# What is asked


async def _given(request: web.Request, route: Route) -> dict[str, Any]:
    if not route.in_body:
        return _read_query(request)
    data = await request.read()
    if not data:
        return {}
    if request.query:
        raise Problem(422, "usage", "What this takes goes into its body.", "")
    if request.content_type != "application/json":
        raise Problem(415, "page.body.type", "A body is JSON.", "Send Content-Type: application/json.")
    return read_object(data)


def _read_query(request: web.Request) -> dict[str, Any]:
    given = dict(request.query)
    if len(given) != len(request.query):
        raise Problem(422, "usage", "A parameter is given twice.", "")
    return given


def read_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object that is no deeper than any we take; raises Problem."""
    try:
        value: dict[str, Any] = msgspec.json.decode(data, type=_Body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Problem(400, "page.body.malformed", f"The body is not what was asked for: {error}.",
                      "Send one JSON object.") from error  # fmt: skip
    return value
