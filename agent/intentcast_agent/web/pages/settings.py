"""Settings: the keys there are, the relays, what a winner is told, what counts in a comparison, and the backup."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web
from intentcast_protocol.disclosure import STAGES
from intentcast_protocol.errors import InvalidMessage

from intentcast_agent.person.criteriafile import CriteriaError
from intentcast_agent.person.presets import PRESETS
from intentcast_agent.service import Service
from intentcast_agent.view import Json
from intentcast_agent.web.form import Form, read_form
from intentcast_agent.web.keys import SERVICE
from intentcast_agent.web.pages.deed import explained, fresh, see, submit
from intentcast_agent.web.problem import Problem
from intentcast_agent.web.render import later, render

_DONE: Final = {
    "contact": later("Kept. Only the vendor of an agreement is told it, and nobody before."),
    "relay-add": later("The relay carries your next demands. Those that are cast keep the relays they were cast to."),
    "relay-remove": later("The relay is no longer used for new demands."),
    "criteria": later("Kept. Your offers are compared by it from now on."),
    "backup": later("The backup is written. Keep a copy of it, and its passphrase, away from this machine."),
    "criteria-reset": later("Forgotten. What came with intentcast counts again."),
}


async def _contact(service: Service, form: Form) -> Json:
    return await service.contact_set({name: form[name] for name in STAGES})


async def _relay_add(service: Service, form: Form) -> Json:
    added = await service.relay_add(form["relay"], anyway=bool(form["anyway"]))
    return _changed(added, "Look at the address again, or tick “use it anyway” if it is only off for now.")


async def _relay_remove(service: Service, form: Form) -> Json:
    return _changed(await service.relay_remove(form["relay"]), "Your relays are as they were.")


def _changed(view: Json, hint: str) -> Json:
    if not view["changed"]:
        raise Problem(409, "page.relay.unchanged", f"{str(view['why'])[:1].upper()}{str(view['why'])[1:]}.", hint)
    return view


async def _criteria(service: Service, form: Form) -> Json:
    return await service.criteria_set(form["text"] + "\n", form["category"])


async def _criteria_reset(service: Service, form: Form) -> Json:
    return await service.criteria_reset(form["category"])


_ACTS: Final[Mapping[str, Callable[[Service, Form], Awaitable[Json]]]] = {
    "contact": _contact,
    "relay-add": _relay_add,
    "relay-remove": _relay_remove,
    "criteria": _criteria,
    "criteria-reset": _criteria_reset,
}


def add_routes(application: web.Application) -> None:
    """Put the page and its forms in place."""
    application.router.add_get("/settings", _view)
    application.router.add_get("/settings/relay", _check)
    application.router.add_post(f"/settings/{{act:backup|{'|'.join(_ACTS)}}}", _act)


async def _view(request: web.Request) -> web.Response:
    return await _show(request, done=_DONE.get(request.query.get("done", ""), ""))


async def _check(request: web.Request) -> web.Response:
    """Dial one of the relays now and say what was found."""
    try:
        return await _show(request, checked=await request.app[SERVICE].relay_check(request.query.get("url", "")[:300]))
    except InvalidMessage as error:
        return await _show(request, problem=explained(error))


async def _show(
    request: web.Request, *, problem: Problem | None = None, act: str = "", form: Form | None = None, done: str = "",
    checked: Json | None = None,
) -> web.Response:  # fmt: skip
    service = request.app[SERVICE]
    given = form or Form([])
    category = given["category"] or request.query.get("category", "")
    force = await _criteria_of(service, category)
    return render(
        request,
        "settings.html",
        status=problem.status if problem else 200,
        identity=await service.identity_view(),
        relays=await service.relay_list(),
        contact=(await service.contact_view())["contact"],
        attributes=list(STAGES),
        criteria=force,
        category=category if force["asked"] else "",
        categories=sorted({*PRESETS, *force["kept"]} - {""}),
        backup=await service.backup_state(),
        form=given,
        problem=problem,
        act=act,
        done=done,
        checked=checked,
        fresh=fresh,
        now=service.agent.now(),
    )


async def _criteria_of(service: Service, category: str) -> Json:
    """Return the criteria in force for a category, or for all where it is none."""
    try:
        return {**await service.criteria_view(category), "asked": True}
    except CriteriaError:
        return {**await service.criteria_view(), "asked": False}


async def _act(request: web.Request) -> web.Response:
    act = request.match_info["act"]
    form = await read_form(request)
    service = request.app[SERVICE]
    if act == "backup":
        # Not kept under a key as the others: what was sent holds the passphrase, and not even its hash is kept.
        problem = await _back_up(service, form)
    else:
        problem = await submit(request, lambda: _ACTS[act](service, form))
    if problem is None:
        category = {"category": form["category"]} if form["category"] else {}
        return see(request, "/settings", act.partition("-")[0], done=act, **category)
    return await _show(request, problem=problem, act=act, form=form)


async def _back_up(service: Service, form: Form) -> Problem | None:
    if form["passphrase"] != form["again"]:
        return Problem(422, "usage", "The two passphrases differ.", "Nothing was written. Type it twice, the same.")
    try:
        await service.backup_create(form["passphrase"], replace=True)
    except Exception as error:
        return explained(error)
    return None
