"""What a form does: once, and then a redirect, or words about what kept it from being done. DESIGN §7"""

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from intentcast_protocol.errors import IntentcastError

from intentcast_agent.names import NotFound
from intentcast_agent.view import Json
from intentcast_agent.web.form import do_once
from intentcast_agent.web.problem import Problem, problem_of

_WHOLE: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
# What a sentence says to whoever types commands, and to nobody else.
_COMMAND: Final = re.compile(r" \((?:--[a-z-]+|intentcast [a-z -]+)\)| See: intentcast [a-z -]+")

# Codes whose detail says what stands in the way; the sentence before it would hide that.
_SHORT: Final = frozenset({"refused.session.not-now", "refused.offer.not-standing"})


async def submit(request: web.Request, act: Callable[[], Awaitable[Any]]) -> Problem | None:
    """Do what a form asks for, once for its key; return what kept it from being done. Raises faults of ours."""
    try:
        await do_once(request, act)
    except Exception as error:
        return explained(error)
    return None


def explained(error: Exception) -> Problem:
    """Return an error as what a person at the page reads; raises it again if it is a fault of ours."""
    problem = problem_of(error)
    if problem is None:
        raise error
    if problem.code == "page.idempotency.other":
        problem.message = "This form was sent before, with something else in it, so it was not sent again."
        problem.hint = "Here is where things stand now. Fill it in anew if it is still what you want."
    if isinstance(error, IntentcastError) and error.detail and error.code in _SHORT:
        problem.message = f"This cannot be done now: {error.detail}."
    problem.message = _COMMAND.sub("", problem.message)
    return problem


async def known(view: Awaitable[Json], where: str) -> Json:
    """Return what a verb shows; raises Problem for a name that nothing has, saying where to look."""
    try:
        return await view
    except NotFound as error:
        raise Problem(404, "refused.record.unknown", _COMMAND.sub("", str(error)), where) from error


def fresh() -> str:
    """Return a new key for one form of a page that has several."""
    return secrets.token_urlsafe(16)


def whole(text: str, sentence: str) -> int | None:
    """Return a whole number, None for nothing; raises Problem with a sentence for anything else."""
    if text and not _WHOLE.fullmatch(text):
        raise Problem(422, "usage", sentence, "Nothing was signed.")
    return int(text) if text else None


def see(request: web.Request, path: str, fragment: str = "", **query: str) -> web.Response:
    """Send the browser to a page by GET, so that loading it again does nothing again."""
    address = request.rel_url.with_path(path).with_query(query).with_fragment(fragment or None)
    return web.Response(status=303, headers={"Location": str(address.relative() if address.absolute else address)})
