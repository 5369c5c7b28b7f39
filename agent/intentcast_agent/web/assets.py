"""The page's own files, by names that change with their bytes, so that a browser may keep each for good.

Everything is read from the package, once; no address of a request ever becomes a path. DESIGN §7
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from aiohttp import web

_KINDS: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FOREVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Vendored:
    """A file somebody else wrote that ships with us."""

    name: str
    version: str
    source: str
    licence: str
    sha256: str


# Everything under static/ that is not our own; a test holds the hashes to the files. There is none so far.
VENDORED: Final[tuple[Vendored, ...]] = ()


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served: its address, its bytes, what it is."""

    url: str
    body: bytes
    kind: str


@cache
def assets() -> MappingProxyType[str, Asset]:
    """Return every file under static/ by its name."""
    found = {}
    for path in files("intentcast_agent.web").joinpath("static").iterdir():
        stem, _, ending = path.name.rpartition(".")
        if ending in _KINDS:
            body = path.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:16]
            found[path.name] = Asset(f"/static/{stem}.{digest}.{ending}", body, _KINDS[ending])
    return MappingProxyType(found)


def asset_url(name: str) -> str:
    """Return the address of a file; raises KeyError for one that does not ship."""
    return assets()[name].url


async def _serve(request: web.Request) -> web.Response:
    found = next((one for one in assets().values() if one.url == request.path), None)
    if found is None:
        raise web.HTTPNotFound
    headers = {"Cache-Control": _FOREVER}
    response = web.Response(body=found.body, content_type=found.kind, charset="utf-8", headers=headers)
    response.enable_compression()
    return response


def add_routes(application: web.Application) -> None:
    """Serve the files, and nothing else, under /static/."""
    application.router.add_get("/static/{name}", _serve)
