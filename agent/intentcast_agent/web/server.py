"""The page and the API of one agent, on loopback: the application, its errors, its address, its start and stop."""

import errno
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from intentcast_agent.agent import Agent
from intentcast_agent.api import Failed
from intentcast_agent.home import Home
from intentcast_agent.service import Service
from intentcast_agent.view import Json
from intentcast_agent.web import pages
from intentcast_agent.web.api import add_api
from intentcast_agent.web.events import add_events
from intentcast_agent.web.guard import ENTRY_LIFE, MAX_BODY, Guard, Handler, forbid, guard, is_api, nonce_of
from intentcast_agent.web.keys import AGENT, GUARD, PROBLEM_PAGE, SERVICE
from intentcast_agent.web.problem import Problem, fault, plain_page, problem_of

log = logging.getLogger("intentcast.web")
_LINGER: Final = 1.0  # s a request may go on once the page stops
_TRIES: Final = 8  # ports asked for until one is free on both kinds of loopback
_STEP: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>intentcast</title>'
    '<meta http-equiv="refresh" content="0;url=/"><a href="/">Continue</a></html>'
)
_ABSENT: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


def make_application(agent: Agent, service: Service, *, token: str) -> web.Application:
    """Return the application; it answers nobody until its Guard knows the port."""
    application = web.Application(middlewares=[explain, guard], client_max_size=MAX_BODY)
    application[AGENT] = agent
    application[SERVICE] = service
    application[GUARD] = Guard(token)
    application.on_response_prepare.append(forbid)
    application.router.add_get("/enter", _enter)
    add_api(application)
    add_events(application)
    pages.add_routes(application)
    return application


async def _enter(request: web.Request) -> web.StreamResponse:
    """Let in the browser that brings a one-time secret, and take the secret out of its address."""
    keeper = request.app[GUARD]
    cookie = keeper.enter(request.query.get("token", "")[:200], time.monotonic())
    if cookie is None:
        raise Problem(401, "refused.auth.failed", "This address was used already, or is older than a minute.",
                      "Run in a terminal for a new one: intentcast open")  # fmt: skip
    # A strict cookie does not go along with a redirect that began elsewhere, in the file of `intentcast open` say; it
    # does with a step from a page of ours.
    direct = request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
    answer = web.Response(status=303, headers={"Location": "/"})
    if not direct:
        answer = web.Response(text=_STEP, content_type="text/html")
    answer.set_cookie(keeper.cookie, cookie, path="/", httponly=True, samesite="Strict")
    return answer


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure in the way of who asked: as JSON to a program, as a page to a person."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        problem = Problem(error.status, *_said(error.status))
        problem.headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    except Exception as error:
        found = problem_of(error)
        if found is None:
            log.exception("a request ended badly")
        problem = found or fault()
    return await answer(request, problem)


def _said(status: int) -> tuple[str, str, str]:
    """Return the code, the words and the hint for what the router or the body's reader refused."""
    return {
        404: ("page.unknown", "There is no such page.", "Begin at the first page."),
        405: ("page.method", "This cannot be done here.", ""),
        413: ("page.body.large", f"What was sent is larger than {MAX_BODY} bytes.", "Send less at once."),
    }.get(status, ("page.request", "The request cannot be read.", ""))


async def answer(request: web.Request, problem: Problem) -> web.Response:
    """Return a problem as a response."""
    show = request.app.get(PROBLEM_PAGE)
    if is_api(request):
        response = web.json_response(problem.view(), status=problem.status)
    elif show is not None and problem.status not in (401, 403):
        response = await show(request, problem)
    else:
        text = plain_page(problem, nonce_of(request))
        response = web.Response(text=text, status=problem.status, content_type="text/html")
    response.headers.update(problem.headers)
    return response


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is being served. `entry` makes an address that lets one browser in."""

    port: int
    _guard: Guard = field(repr=False)

    @property
    def url(self) -> str:
        """Return where the page is; without an entry it only says how to get in."""
        return f"http://127.0.0.1:{self.port}/"

    def entry(self) -> Json:
        """Return an address that is good once, for a minute."""
        return {"url": f"{self.url}enter?token={self._guard.issue(time.monotonic())}", "within": ENTRY_LIFE}


@asynccontextmanager
async def serve_page(agent: Agent, service: Service, port: int = 0) -> AsyncIterator[Page]:
    """Serve the page on loopback for the length of a block; port 0 takes a free one. Raises Failed.

    While it runs, the home's runtime folder holds `page.json` (port, url) and `api.token`, both 0600.
    """
    token = secrets.token_urlsafe(32)
    application = make_application(agent, service, token=token)
    sockets = _listen(port)
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=_LINGER)
    files = runtime_files(agent.home)
    try:
        await runner.setup()
        page = Page(sockets[0].getsockname()[1], application[GUARD])
        application[GUARD].settle(page.port)
        for one in sockets:
            await web.SockSite(runner, one).start()
        for path, text in zip(files, (json.dumps({"port": page.port, "url": page.url}), token), strict=True):
            _write_private(path, f"{text}\n")
        yield page
    finally:
        for path in files:
            path.unlink(missing_ok=True)
        await runner.cleanup()
        for one in sockets:
            one.close()


def runtime_files(home: Home) -> tuple[Path, Path]:
    """Return where a running page says its address, and the API its token."""
    return home.socket.with_name("page.json"), home.socket.with_name("api.token")


def _write_private(path: Path, text: str) -> None:
    """Write a file that is whole and ours alone from the first moment on."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(text)
    new.rename(path)


def _listen(port: int) -> list[socket.socket]:
    """Take one port on 127.0.0.1, and on ::1 where there is one: nobody else may answer to `localhost` there."""
    for left in reversed(range(_TRIES if port == 0 else 1)):
        taken: list[socket.socket] = []
        try:
            taken.append(socket.create_server(("127.0.0.1", port)))
            taken += _listen_six(taken[0].getsockname()[1])
        except OSError as error:
            for one in taken:
                one.close()
            if not left:
                words = f"The page cannot use port {port} of this machine: {os.strerror(error.errno or 0)}."
                raise Failed("failure", f"{words} Name another with --port.", 1) from error
        else:
            return taken
    raise AssertionError


def _listen_six(port: int) -> list[socket.socket]:
    try:
        return [socket.create_server(("::1", port), family=socket.AF_INET6)]
    except OSError as error:
        if error.errno in _ABSENT:
            return []
        raise
