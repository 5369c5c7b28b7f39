"""The vendor's console: what became of each demand, questions that wait, the policy and its rehearsal."""

from typing import Final

from aiohttp import web

from intentcast_agent.view import Json
from intentcast_agent.web.form import Form, read_form, read_query
from intentcast_agent.web.keys import SERVICE
from intentcast_agent.web.pages.deed import explained, fresh, see, submit
from intentcast_agent.web.problem import Problem
from intentcast_agent.web.render import later, render

_SHOWN: Final = 100  # demands on one page


def add_routes(application: web.Application) -> None:
    """Put the console in place."""
    application.router.add_get("/vendor", _view)
    application.router.add_get("/vendor/rehearsal", _rehearse)
    application.router.add_post("/vendor/{session}/answer", _answer)


async def _view(request: web.Request) -> web.Response:
    done = later("Your answer is signed.") if request.query.get("done") == "answer" else ""
    return await _show(request, done=done)


async def _show(
    request: web.Request, *, problem: Problem | None = None, act: str = "", form: Form | None = None, done: str = "",
    rehearsal: Json | None = None,
) -> web.Response:  # fmt: skip
    service = request.app[SERVICE]
    identity = await service.identity_view()
    shown: Json = {"vendor": identity["vendor"], "shown": _SHOWN}
    if identity["vendor"]:
        shown |= await service.vendor_deals()
        shown["questions"] = (await service.vendor_question_list())["questions"]
        shown["policy"] = (await service.vendor_policy_view())["text"]
        shown["outcomes"] = count_outcomes(shown["deals"])
        shown["seen"] = await service.domain_state()
    return render(
        request,
        "vendor.html",
        status=problem.status if problem else 200,
        **shown,
        form=form or Form([]),
        problem=problem,
        act=act,
        done=done,
        rehearsal=rehearsal,
        fresh=fresh,
        now=service.agent.now(),
    )


async def _rehearse(request: web.Request) -> web.Response:
    """Rehearse the policy in use with a made-up person; it changes nothing, so it is a page to look at."""
    service = request.app[SERVICE]
    form = read_query(request)
    text = (await service.vendor_policy_view())["text"]
    try:
        if text is None:
            raise Problem(409, "refused.session.not-now", "There is no policy yet.", "Give this vendor one first.")
        shown = await service.vendor_policy_test(
            text, form["opens"] or "85%", form["pays"] or "100%", form["sku"] or None
        )
    except Exception as error:
        return await _show(request, problem=explained(error), form=form)
    return await _show(request, rehearsal=shown, form=form)


async def _answer(request: web.Request) -> web.StreamResponse:
    session = request.match_info["session"]
    form = await read_form(request)
    service = request.app[SERVICE]
    path, value, unit = form["path"], form["value"], form["unit"]
    facts = [f"{path}={value} {unit}".strip()] if path and value else None
    problem = await submit(request, lambda: service.vendor_answer(session, form["text"], facts))
    if problem is None:
        return see(request, "/vendor", done="answer")
    return await _show(request, problem=problem, form=form, act=session)


def count_outcomes(deals: list[Json]) -> dict[str, int]:
    """Return how many demands came to each outcome, by the session's state where there is one; the most first."""
    counts: dict[str, int] = {}
    for deal in deals:
        outcome = deal["state"] or deal["outcome"]
        counts[outcome] = counts.get(outcome, 0) + 1
    return dict(sorted(counts.items(), key=lambda one: -one[1]))
