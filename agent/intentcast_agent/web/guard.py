"""Who may ask this machine's page and API for anything, and what every answer forbids the browser.

A page on loopback is within reach of every website the person visits: names can be bound anew to 127.0.0.1, forms can
be sent across origins, and other programs here can ask too. So each request passes, in this order: its Host is one
of our own; it was not started by another site; it bears the API's token or the page's cookie. Then its body is read,
bounded in size and time. DESIGN §7
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from aiohttp import web

from intentcast_agent.web.keys import GUARD, NONCE
from intentcast_agent.web.problem import Problem

ENTRY_LIFE: Final = 60  # s until a one-time address is worth nothing
MAX_BODY: Final = 65_536  # bytes
BODY_WITHIN: Final = 15.0  # s a body may take to arrive
ANSWER_WITHIN: Final = 90.0  # s an answer may take, but for those that last by their nature
_MOST = 16  # one-time addresses, and browsers that are in, at once
_SECRET_BYTES = 32
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN: Final = ("/enter", "/static/")  # what shows nothing of the person's
_POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; "
    "trusted-types intentcast"
)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)


class Guard:
    """The hosts, secrets and browsers one running page knows; secrets live in memory only."""

    def __init__(self, token: str) -> None:
        self.port = 0
        self._token = token.encode()
        self._entries: dict[bytes, float] = {}
        self._browsers: dict[bytes, None] = {}

    def settle(self, port: int) -> None:
        """Say on which port the page is served; until then every Host is a stranger's."""
        self.port = port

    @property
    def cookie(self) -> str:
        """Return the cookie's name. Cookies are not kept apart by port, so that of another home has another name."""
        return f"intentcast-{self.port}"

    def knows_host(self, hosts: Iterable[str]) -> bool:
        """Return whether a request's Host headers are one, and exactly one of ours."""
        own = {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]")} if self.port else set()
        return [host.lower() in own for host in hosts] == [True]

    def issue(self, now: float) -> str:
        """Return a secret that lets one browser in, once, within ENTRY_LIFE seconds."""
        self._entries = {entry: until for entry, until in self._entries.items() if until > now}
        while len(self._entries) >= _MOST:
            del self._entries[next(iter(self._entries))]
        entry = secrets.token_urlsafe(_SECRET_BYTES)
        self._entries[entry.encode()] = now + ENTRY_LIFE
        return entry

    def enter(self, entry: str, now: float) -> str | None:
        """Take a one-time secret and return the cookie it is worth, or None."""
        found = _find(entry, self._entries)
        if found is None or self._entries.pop(found) <= now:
            return None
        while len(self._browsers) >= _MOST:
            del self._browsers[next(iter(self._browsers))]
        cookie = secrets.token_urlsafe(_SECRET_BYTES)
        self._browsers[cookie.encode()] = None
        return cookie

    def knows_browser(self, cookie: str) -> bool:
        """Return whether a cookie is one that `enter` gave."""
        return _find(cookie, self._browsers) is not None

    def knows_token(self, authorization: str) -> bool:
        """Return whether an Authorization header bears the API's token."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and _find(token.strip(), (self._token,)) is not None


def _find(given: str, known: Iterable[bytes]) -> bytes | None:
    """Return the secret that equals what is given, in a time that says nothing of how much of it does."""
    sent = given.encode("utf-8", "surrogateescape")
    found = None
    for secret in known:
        if secrets.compare_digest(sent, secret):
            found = secret
    return found


def lasting(handler: H) -> H:
    """Mark a handler whose answer may take as long as it takes: a stream."""
    handler.lasting = True  # type: ignore[attr-defined]
    return handler


def takes_files(handler: H) -> H:
    """Mark a handler that reads a multipart body by itself, and bounds it."""
    handler.takes_files = True  # type: ignore[attr-defined]
    return handler


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request in, or raise the Problem that keeps it out."""
    keeper = request.app[GUARD]
    # A target with a scheme and host of its own would be another way to name a host.
    if not keeper.knows_host(request.headers.getall("Host", ())) or not request.raw_path.startswith("/"):
        raise Problem(403, "page.host", "This address is not one of this agent's own.", "Run: intentcast open")
    bearer = is_api(request) and keeper.knows_token(request.headers.get("Authorization", ""))
    _check_origin(request, bearer)
    cookie = request.cookies.get(keeper.cookie, "")
    if not (bearer or keeper.knows_browser(cookie) or request.path.startswith(_OPEN)):
        hint = "Send Authorization: Bearer with the token in the file api.token." if is_api(request) else ""
        raise Problem(401, "refused.auth.required", "This page is not open in this browser yet.",
                      hint or "Run in a terminal: intentcast open")  # fmt: skip
    if request.method not in _SAFE:
        await _read_body(request)
    inner = request.match_info.handler
    async with asyncio.timeout(None if getattr(inner, "lasting", False) else ANSWER_WITHIN):
        return await handler(request)


def is_api(request: web.Request) -> bool:
    """Return whether programs, and not people, read the answer."""
    return request.path.startswith(("/api/", "/events"))


def _check_origin(request: web.Request, bearer: bool) -> None:
    """Refuse what another site started: every write, and every read but a person's following a link."""
    site = request.headers.get("Sec-Fetch-Site")
    if request.method not in _SAFE:
        fine = site == "same-origin" or (site is None and bearer)
    else:
        fine = site in (None, "none", "same-origin") or request.headers.get("Sec-Fetch-Mode") == "navigate"
    if not fine:
        raise Problem(403, "page.origin", "This was not asked by this agent's own page.",
                      "Open the page with intentcast open and do it there; nothing was changed.")  # fmt: skip


async def _read_body(request: web.Request) -> None:
    """Read a body while nothing is done yet; what is read stays with the request."""
    if request.content_type.startswith("multipart/"):
        if not getattr(request.match_info.handler, "takes_files", False):
            raise Problem(415, "page.body.type", "No files are taken here.", "")
        return
    try:
        async with asyncio.timeout(BODY_WITHIN):
            await request.read()
    except TimeoutError as error:
        raise Problem(408, "page.body.late", "What was sent did not arrive in time.", "Send it again.",
                      retryable=True) from error  # fmt: skip


async def forbid(request: web.Request, response: web.StreamResponse) -> None:
    """Put on an answer, whatever it is, what the browser may not do with it."""
    response.headers.update(_HEADERS)
    response.headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce_of(request))
    response.headers["Server"] = "intentcast"
    response.headers.setdefault("Cache-Control", "no-store")


def nonce_of(request: web.Request) -> str:
    """Return the nonce of this request's answer."""
    if NONCE not in request:
        request[NONCE] = secrets.token_urlsafe(16)
    return request[NONCE]
