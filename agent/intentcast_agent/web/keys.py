"""What every handler may ask its application and its request for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from aiohttp import web

from intentcast_agent.agent import Agent
from intentcast_agent.service import Service

if TYPE_CHECKING:
    from intentcast_agent.web.events import Events
    from intentcast_agent.web.guard import Guard
    from intentcast_agent.web.idempotency import Repeats
    from intentcast_agent.web.problem import Problem

AGENT: Final = web.AppKey("agent", Agent)
SERVICE: Final = web.AppKey("service", Service)
GUARD: "Final[web.AppKey[Guard]]" = web.AppKey("guard")
EVENTS: "Final[web.AppKey[Events]]" = web.AppKey("events")
REPEATS: "Final[web.AppKey[Repeats]]" = web.AppKey("repeats")
EDITING: Final = web.AppKey("editing", asyncio.Lock)  # held from the look at what is edited to the edit

# How the pages show a Problem; without it, and to a browser that is not in, it is shown plainly.
PROBLEM_PAGE: "Final[web.AppKey[Callable[[web.Request, Problem], Awaitable[web.Response]]]]" = web.AppKey(
    "problem_page"
)

# The Content-Security-Policy's nonce of this one answer; every script and style element carries it.
NONCE: Final = web.RequestKey("nonce", str)
