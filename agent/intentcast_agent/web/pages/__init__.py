"""The screens: each module reads an address or a form, asks the service, and renders a template. No rule lives here."""

from aiohttp import web

from intentcast_agent.web import assets
from intentcast_agent.web.keys import PROBLEM_PAGE
from intentcast_agent.web.pages import agreements, demand, home, offers, relationships, settings, thread, vendor
from intentcast_agent.web.problem import Problem
from intentcast_agent.web.render import render


def add_routes(application: web.Application) -> None:
    """Give the application its screens, its files, and the page that says what went wrong."""
    application[PROBLEM_PAGE] = _show_problem
    assets.add_routes(application)
    for screen in (home, demand, offers, thread, agreements, relationships, settings, vendor):
        screen.add_routes(application)


async def _show_problem(request: web.Request, problem: Problem) -> web.Response:
    return render(request, "problem.html", status=problem.status, message=problem.message, hint=problem.hint,
                  code=problem.code, back="" if request.method == "GET" else request.path)  # fmt: skip
