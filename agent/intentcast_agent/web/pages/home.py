"""Home: what needs me and by when, the demands that live, and how relays and backups are."""

from typing import Any, Final

from aiohttp import web
from intentcast_protocol.errors import StateError

from intentcast_agent.service import Service
from intentcast_agent.view import Json
from intentcast_agent.web.keys import SERVICE
from intentcast_agent.web.render import render

_MOST: Final = 50  # things of a kind that are listed


def add_routes(application: web.Application) -> None:
    """Serve the first page and its live part."""
    application.router.add_get("/", show)
    application.router.add_get("/parts/home", show_part)


async def show(request: web.Request) -> web.Response:
    """Show the whole page."""
    return render(request, "home.html", **await _gather(request.app[SERVICE]))


async def show_part(request: web.Request) -> web.Response:
    """Show what of it changes."""
    return render(request, "home_now.html", **await _gather(request.app[SERVICE]))


async def _gather(service: Service) -> dict[str, Any]:
    status, listed, offers = await service.status(), await service.demand_list(), await service.offer_list()
    demands = listed["demands"]
    of_demand = {one["id"]: one for one in demands}
    turns = _turns([one for one in offers["offers"] if one["name"] in status["needs_you"]])
    for one in demands[:_MOST]:
        one["haggling"] = await haggling(service, one["name"])
        one["best"] = next(
            (offer for offer in offers["offers"] if offer["demand"] == one["id"] and offer["total"]), None
        )
    return {
        "counts": status,
        "turns": [{**one, "about": of_demand.get(one["demand"])} for one in turns[:_MOST]],
        "turns_total": len(turns),
        "yours": {one["name"] for one in demands[:_MOST] if (one["haggling"] or {}).get("state") == "yours"},
        "live": [one for one in demands[:_MOST] if one["state"] == "open"],
        "past": [one for one in demands[:_MOST] if one["state"] != "open"],
        "drafts": listed["drafts"][:_MOST],
        "demands_total": listed["total"],
        "relays": (await service.relay_list())["relays"],
        "identity": await service.identity_view(),
        "backup": await service.backup_state(),
    }


def _turns(offers: list[Json]) -> list[Json]:
    """Return what waits for the person, the soonest deadline first: offers by their demand, all else one by one.

    Offers come best first, so the first of a demand is the one to show; `count` says how many there are.
    """
    rows: dict[tuple[str, str], Json] = {}
    for one in offers:
        of_many = one["state"] == "offered"
        row = rows.setdefault((one["demand"], "" if of_many else one["name"]), {**one, "count": 0, "many": of_many})
        row["count"] += 1
        # What has no deadline can wait.
        row["deadline"] = min(filter(None, (row["deadline"], one["deadline"])), default=None)
    return sorted(rows.values(), key=lambda row: row["deadline"] or 1 << 53)


async def haggling(service: Service, demand: str) -> Json | None:
    """Return how the haggling over a demand stands; None where it is under no mandate."""
    try:
        return await service.haggle_view(demand)
    except StateError as error:
        if error.code == "refused.mandate.denied":
            return None
        raise
