"""The thread of one offer: every signed move with what it changes, who acts next and by when, and each thing to do.

Nothing is decided here: what may be signed now is the view's `can`, what is signed is the verbs'. DESIGN §7
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from intentcast_agent.service import Service
from intentcast_agent.view import Json
from intentcast_agent.web.form import Form, read_form
from intentcast_agent.web.keys import SERVICE
from intentcast_agent.web.pages.deed import fresh, known, see, submit, whole
from intentcast_agent.web.problem import Problem
from intentcast_agent.web.render import later, render

ENOUGH: Final = 2  # relays that have seen a domain, for an accept without the person's word
_LISTED: Final = "Home lists your demands, and each demand its offers."
_SOLD: Final = "The vendor’s console, at /vendor, shows those."
_LATER: Final = "What stands is below."

# What a state means, in one sentence. %(vendor)s and %(by)s are names.
STATES: Final = {
    "seen": later("%(vendor)s has answered your demand and may make an offer."),
    "asking": later("%(vendor)s asks you something before it offers."),
    "offered": later("A signed offer stands."),
    "countered": later("Your counter is with %(vendor)s. Its last offer stands as well, until its time is over."),
    "accepted": later("You have accepted. The confirm of %(vendor)s makes it an agreement."),
    "agreed": later("Agreed, and signed by both of you."),
    "amending": later("Agreed, and %(vendor)s would like to change it. It stands as it is unless you accept."),
    "reaccepted": later("You have accepted the change. The agreement stands as it was until %(vendor)s confirms."),
    "fulfilled": later("Agreed, and received."),
    "lapsed": later("The offer’s time is over; nobody took it back. Ask, and %(vendor)s may offer once more."),
    "declined": later("Declined by %(by)s."),
    "withdrawn": later("Taken back by %(by)s."),
    "expired": later("Your demand has ended. Nobody cancelled anything."),
    "conflict": later("A confirm of %(vendor)s crossed your withdrawal. Both are kept; the two of you have to talk."),
    "disputed": later("In dispute, as %(by)s said. The agreement still proves what was agreed."),
}
_DONE: Final = {
    "counter": later("Your counter is signed."),
    "ask": later("Your question is signed."),
    "answer": later("Your answer is signed."),
    "accept": later("Your accept is signed."),
    "decline": later("You have declined."),
    "received": later("You have said that it came, and all is well."),
    "dispute": later("You have said that something is wrong."),
}
_ENDS: Final = {"declined": "decline", "withdrawn": "withdraw", "disputed": "dispute"}


async def _counter(service: Service, offer: str, form: Form) -> Json:
    return await service.deal_counter(
        offer,
        total=form["total"] or None,
        delivery=whole(form["delivery"], "Delivery is a whole number of days, such as 14."),
        warranty=whole(form["warranty"], "The warranty is a whole number of months, such as 12."),
        extras=form.all("extra") if form["extras_shown"] else None,
        text=form["text"],
        expected=form["expected"] or None,
    )


async def _ask(service: Service, offer: str, form: Form) -> Json:
    return await service.deal_ask(offer, form["text"], form["path"] or None)


async def _answer(service: Service, offer: str, form: Form) -> Json:
    path, value, unit = form["path"], form["value"], form["unit"]
    fact = f"{path}={value} {unit}".strip() if path and value else None
    all_the_same = form["all_the_same"] == "yes"
    return await service.deal_answer(offer, form["text"], [fact] if fact else None, all_the_same)


async def _accept(service: Service, offer: str, form: Form) -> Json:
    return await service.deal_accept(
        offer,
        anyway=bool(form["anyway"]),
        say_so=bool(form["say_so"]),
        expected=form["expected"],
    )


async def _decline(service: Service, offer: str, form: Form) -> Json:
    return await service.offer_decline(offer, form["text"])


async def _received(service: Service, offer: str, form: Form) -> Json:
    return await service.deal_received(offer, form["text"])


async def _dispute(service: Service, offer: str, form: Form) -> Json:
    return await service.deal_dispute(offer, form["text"])


_ACTS: Final[Mapping[str, Callable[[Service, str, Form], Awaitable[Json]]]] = {
    "counter": _counter,
    "ask": _ask,
    "answer": _answer,
    "accept": _accept,
    "decline": _decline,
    "received": _received,
    "dispute": _dispute,
}


def add_routes(application: web.Application) -> None:
    """Put the thread's pages in place."""
    application.router.add_get("/offers/{offer}", _view)
    application.router.add_get("/offers/{offer}/accept", _confirm)
    application.router.add_post(f"/offers/{{offer}}/{{act:{'|'.join(_ACTS)}}}", _act)


async def _view(request: web.Request) -> web.Response:
    return await _show(request, done=_DONE.get(request.query.get("done", ""), ""))


async def _show(
    request: web.Request, *, done: str = "", problem: Problem | None = None, act: str = "", form: Form | None = None
) -> web.Response:
    view = await _offer(request)
    had = f"{view['offer_id']}.{view['state']}"
    template = "thread_now.html" if request.query.get("part") == "now" else "thread.html"
    return render(
        request,
        template,
        status=problem.status if problem else 200,
        thread=view,
        says=STATES[view["state"]],
        by=_ended_by(view),
        had=had,
        moved=request.query.get("had", had) != had,
        done=done,
        problem=problem,
        act=act,
        form=form or Form([]),
        fresh=fresh,
        now=request.app[SERVICE].agent.now(),
    )


async def _confirm(request: web.Request) -> web.Response:
    """Show what an accept signs and what it tells, and ask for the person's word where too few relays vouch."""
    return await _ask_first(request)


async def _ask_first(request: web.Request, problem: Problem | None = None) -> web.Response:
    view = await _offer(request)
    if not view["can"]["accept"]:
        none = Problem(409, "refused.session.not-now", "There is nothing here that can be accepted now.", _LATER)
        return await _show(request, problem=problem or none)
    contact = (await request.app[SERVICE].contact_view())["contact"]
    status = problem.status if problem else 200
    values = {"thread": view, "contact": contact, "problem": problem, "enough": ENOUGH}
    return render(request, "accept.html", status=status, now=request.app[SERVICE].agent.now(), **values)


async def _act(request: web.Request) -> web.Response:
    act, offer = request.match_info["act"], request.match_info["offer"]
    form = await read_form(request)
    service = request.app[SERVICE]
    problem = await submit(request, lambda: _ACTS[act](service, offer, form))
    if problem is None:
        return see(request, f"/offers/{offer}", done=act)
    if act == "accept":
        return await _ask_first(request, problem)
    return await _show(request, problem=problem, act=act, form=form)


async def _offer(request: web.Request) -> Json:
    view = await known(request.app[SERVICE].offer_view(request.match_info["offer"]), _LISTED)
    if view["role"] != "person":
        raise Problem(404, "refused.record.unknown", "This session is one that you sell in.", _SOLD)
    return view


def _ended_by(view: Json) -> str | None:
    """Return who brought a session to where it stands, where a message of theirs did."""
    kind = _ENDS.get(view["state"])
    return next((one["from"] for one in reversed(view["messages"]) if one["type"] == kind), None)
