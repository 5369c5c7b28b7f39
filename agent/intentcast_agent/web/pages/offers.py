"""The offers of a demand: they arrive by themselves, stand side by side, are weighed anew, and the agent may haggle."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from intentcast_agent.person.criteriafile import CriteriaError, read_weights, write_weights
from intentcast_agent.service import Service
from intentcast_agent.view import Json
from intentcast_agent.web.form import Form, do_once, read_form, read_query
from intentcast_agent.web.keys import SERVICE
from intentcast_agent.web.pages.home import haggling
from intentcast_agent.web.pages.mandate import Limits, from_form, from_text, to_text
from intentcast_agent.web.pages.matrix import choose, lay_out, plot, spark
from intentcast_agent.web.problem import Problem, problem_of
from intentcast_agent.web.render import render

_ADDRESS: Final = r"/demands/{demand:d\d{1,9}}"
_CARDS: Final = 60  # offers shown before all are asked for
_WEIGHT: Final = "w."  # before a criterion's name
_UNKNOWN: Final = ("worst", "half", "best")


def add_routes(application: web.Application) -> None:
    """Serve a demand, its live parts, and what can be done with it as a whole."""
    application.router.add_get(_ADDRESS, show)
    for name, act in (("withdraw", withdraw), ("haggle", haggle), ("stop", stop), ("weights", keep_weights)):
        application.router.add_post(f"{_ADDRESS}/{name}", act)


async def show(request: web.Request) -> web.Response:
    """Show the page, or with `part` the one of its live parts that is asked for."""
    service, name, query = request.app[SERVICE], request.match_info["demand"], read_query(request)
    if query["part"] == "haggle":
        return render(request, "haggle_now.html", demand=name, **await _haggle(service, name))
    if query["part"]:
        return render(request, "offers_now.html", demand=name, **await _offers(service, name, query))
    return await _whole(request, query)


async def _whole(
    request: web.Request, query: Form, problem: Problem | None = None, limits: Limits | None = None
) -> web.Response:
    service, name = request.app[SERVICE], request.match_info["demand"]
    view = await service.demand_view(name)
    if limits is None:
        limits = from_text((await service.mandate_draft(name))["text"])
    values = {
        "demand": name,
        "view": view,
        "limits": limits,
        "live": f"/demands/{name}?{query.address('part')}part=offers",
        "problem": problem.view() if problem else None,
        **await _offers(service, name, query),
        **await _haggle(service, name),
    }
    return render(request, "offers.html", status=problem.status if problem else 200, **values)


async def _offers(service: Service, name: str, query: Form) -> dict[str, Any]:
    pins = _pins(query)
    unknown = query["unknown"] if query["unknown"] in _UNKNOWN else None
    trouble = ""
    try:
        result = await service.offer_compare(name, unknown, bool(pins), _weights(query))
    except CriteriaError as error:
        # A weight half typed is no reason to show nothing.
        trouble, result = str(error), await service.offer_compare(name, unknown, bool(pins))
    chosen = choose(result, pins)
    most = len(result["offers"]) if query["every"] else _CARDS
    ranked = [one for one in result["offers"] if one.get("comparison")]
    return {
        "result": result,
        "cards": result["offers"][:most],
        "fitting": sum(one["fit"] == "fits" for one in ranked),
        "heard": len(result["offers"]) + len(result["rejected"]),
        "pinned": {one["name"] for one in chosen},
        "table": lay_out(result, chosen, differences=bool(query["diff"])),
        "plot": plot(result, chosen),
        "fixed": bool(pins),
        "differences": bool(query["diff"]),
        "unknown": unknown or "",
        "trouble": trouble,
    }


def _pins(query: Form) -> list[str]:
    """Return the offers the person chose to see; none where the boxes are as the last ranking left them."""
    pins = query.all("pin")
    return pins if query["fixed"] or set(pins) != set(query.all("shown")) else []


async def _haggle(service: Service, name: str) -> dict[str, Any]:
    view = await haggling(service, name)
    for thread in view["threads"] if view else ():
        thread["spark"] = spark(thread["said"])
    return {"haggle": view}


def _weights(form: Form) -> str:
    return ",".join(f"{name}={text}" for name, text in form.below(_WEIGHT) if text)


async def withdraw(request: web.Request) -> web.Response:
    """Withdraw the demand."""
    service, name = request.app[SERVICE], request.match_info["demand"]
    return await _act(request, lambda: service.demand_withdraw(name), "withdrawn")


async def stop(request: web.Request) -> web.Response:
    """Take the mandate back."""
    service, name = request.app[SERVICE], request.match_info["demand"]
    return await _act(request, lambda: service.haggle_stop(name), "stopped#haggle")


async def haggle(request: web.Request) -> web.Response:
    """Let the agent haggle, within the limits of the form."""
    service, name = request.app[SERVICE], request.match_info["demand"]
    limits = from_form(await read_form(request))
    text = to_text(limits)
    return await _act(request, lambda: service.haggle_begin(name, text), "haggling#haggle", limits)


async def keep_weights(request: web.Request) -> web.Response:
    """Keep the weights for demands of this kind."""
    service, name, form = request.app[SERVICE], request.match_info["demand"], await read_form(request)

    async def act() -> Json:
        category = (await service.offer_compare(name))["by"]["category"]
        text = (await service.criteria_view(category))["text"]
        return await service.criteria_set(write_weights(text, read_weights(_weights(form))), category)

    return await _act(request, act, "weights#weights")


async def _act(
    request: web.Request, act: Callable[[], Awaitable[Any]], said: str, limits: Limits | None = None
) -> web.Response:
    """Do an act once and show the demand after it; what went wrong is shown on the same page, with what was typed."""
    try:
        await do_once(request, act)
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        return await _whole(request, Form([]), problem, limits)
    raise web.HTTPSeeOther(f"/demands/{request.match_info['demand']}?said={said}")
