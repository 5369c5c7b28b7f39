"""Agreements: the list, one as words and as terms, proven from its own bytes as it is shown, and what to carry away.

The bundle is the proof. The JSON-LD and what is printed are views made from it, and say so. DESIGN §7
"""

import io
import json
from datetime import datetime
from typing import Final

import segno
from aiohttp import web
from intentcast_protocol.errors import InvalidMessage
from markupsafe import Markup

from intentcast_agent.web.keys import SERVICE
from intentcast_agent.web.pages.deed import known
from intentcast_agent.web.problem import Problem
from intentcast_agent.web.render import render

_LISTED: Final = "All agreements are listed under Agreements."


def add_routes(application: web.Application) -> None:
    """Put the pages of agreements in place."""
    application.router.add_get("/agreements", _list)
    application.router.add_get("/agreements/{agreement}", _view)
    application.router.add_get("/agreements/{agreement}/bundle", _bundle)
    application.router.add_get("/agreements/{agreement}/order", _order)


async def _list(request: web.Request) -> web.Response:
    listed = await request.app[SERVICE].agreement_list()
    return render(request, "agreements.html", agreements=listed["agreements"], total=listed["total"])


async def _view(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    name = request.match_info["agreement"]
    try:
        proven = await known(service.agreement_view(name), _LISTED)
    except InvalidMessage as error:
        raise Problem(
            422,
            error.code,
            f"This agreement does not verify: {error}",
            "Its bytes were changed on this machine. A copy that you exported, or the vendor's, may still prove it.",
        ) from error
    moments = {what: _moment(at) for what, at in proven["claimed_times"].items()}
    verified = _moment(service.agent.now())
    return render(
        request, "agreement.html", one=proven, moments=moments, verified=verified, code=draw_code(proven["id"])
    )


async def _bundle(request: web.Request) -> web.Response:
    kept = await known(request.app[SERVICE].agreement_bundle(request.match_info["agreement"]), _LISTED)
    return _file(bytes.fromhex(kept["bundle"]), f"{kept['name']}.agreement", "application/octet-stream")


async def _order(request: web.Request) -> web.Response:
    kept = await known(request.app[SERVICE].agreement_order(request.match_info["agreement"]), _LISTED)
    text = json.dumps(kept["order"], indent=2, ensure_ascii=True)
    return _file(text.encode(), f"{kept['name']}.order.jsonld", "application/ld+json")


def _file(data: bytes, name: str, kind: str) -> web.Response:
    # As a download whatever it is: nothing that a vendor wrote is ever opened as a page of ours.
    return web.Response(body=data, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _moment(seconds: int) -> str:
    """Return a moment in full, as a record needs it that is read years later."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def draw_code(text: str) -> Markup:
    """Return a QR code of an id as SVG to stand in a page; `text` is ASCII of our own making."""
    out = io.BytesIO()
    segno.make(text, micro=False, error="m").save(
        out, kind="svg", scale=3, border=4, dark="#000", light="#fff", xmldecl=False, svgclass="qr", lineclass=None,
        title=f"QR code of {text}",
    )  # fmt: skip
    return Markup(out.getvalue().decode().strip())  # noqa: S704 (segno escapes, and the text is a CID)
