"""Relationships: who knows what of the person, since when and why, from the ledger. DESIGN §4.6"""

from aiohttp import web

from intentcast_agent.web.keys import SERVICE
from intentcast_agent.web.render import render


def add_routes(application: web.Application) -> None:
    """Put the page in place."""
    application.router.add_get("/relations", _list)


async def _list(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    listed = await service.relation_list()
    contact = (await service.contact_view())["contact"]
    return render(request, "relationships.html", contact=contact, **listed)
