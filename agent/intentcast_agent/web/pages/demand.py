"""A new demand: from words to fields, from fields to what each audience would learn, from there to a signature.

What is signed are the bytes that were shown: whoever changes a field and signs is first shown the change.
"""

import hashlib
import json
from dataclasses import replace
from typing import Any, Final

from aiohttp import web
from intentcast_protocol.disclosure import STAGES
from intentcast_protocol.terms import TEXTS

from intentcast_agent.person.draft import DraftError
from intentcast_agent.person.drafting.reading import read_words
from intentcast_agent.person.drafting.template import template_of
from intentcast_agent.person.exposure import hints
from intentcast_agent.service import Service
from intentcast_agent.view import Json
from intentcast_agent.web.form import Form, do_once, read_form
from intentcast_agent.web.keys import AGENT, SERVICE
from intentcast_agent.web.pages.draft import Row, Sheet, from_form, from_template, to_template, with_words
from intentcast_agent.web.problem import Problem, problem_of
from intentcast_agent.web.render import later, render

_ADDRESS: Final = "/demands/new"
MOST_WORDS: Final = 2_000  # characters
_TOO_LONG: Final = later("Say what you want, in at most 2000 characters.")
_NO_KIND: Final = later("This does not say yet what kind of thing you want.")
_OR_FIELDS: Final = later(
    "Name it, such as a car, a phone plan, a plumber or an insurance; or fill in the fields yourself."
)
_STARTS: Final = {
    "car": (later("A car"), later("A used estate car, from 2018, under 18500 EUR, max 90000 km, in NL")),
    "phone": (later("A phone plan"), later("A phone plan under 20 EUR in NL")),
    "repair": (later("A home repair"), later("A plumber in DE for a dripping tap, up to 250 EUR")),
    "insurance": (later("An insurance"), later("An insurance for a bicycle, max 90 EUR, in NL")),
}


def add_routes(application: web.Application) -> None:
    """Serve the form of a new demand."""
    application.router.add_get(_ADDRESS, begin)
    application.router.add_post(_ADDRESS, go_on)


async def begin(request: web.Request) -> web.Response:
    """Show where to say what is wanted."""
    _, example = _STARTS.get(request.query.get("start", ""), ("", ""))
    return _show(request, Sheet(words=example))


async def go_on(request: web.Request) -> web.Response:
    """Take the next step: read the words, show what everyone would learn, or sign and cast what was shown."""
    form, service, now = await read_form(request), request.app[SERVICE], request.app[AGENT].now()
    sheet = from_form(form)
    try:
        if form["act"] == "read":
            sheet = read(form["words"], now)
        elif form["act"] == "fields":
            return _show(request, Sheet(name=form["words"][:200]))
        elif form["words"]:
            sheet = with_words(sheet, read_words(form["words"], now))
        await _keep_contact(service, form)
        contact = (await service.contact_view())["contact"]
        seen = _seal(sheet, contact)
        if form["act"] == "cast" and form["seen"] == seen:
            cast = await do_once(request, lambda: service.demand_cast(form["draft"], within=2.0))
            raise web.HTTPSeeOther(f"/demands/{cast['name']}?said=cast")
        preview = await service.demand_preview(to_template(sheet))
    except web.HTTPException:
        raise
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        return _show(request, sheet, contact=await _contact(service, form), problem=problem)
    return _show(request, sheet, contact=contact, preview=preview, seen=seen, changed=form["act"] == "cast")


def read(words: str, now: int) -> Sheet:
    """Read a person's words into fields; raises Problem when they name no kind of thing."""
    if not words or len(words) > MOST_WORDS:
        raise Problem(422, "invalid.demand.malformed", _TOO_LONG)
    reading = read_words(words, now)
    try:
        return with_words(from_template(template_of(reading)), reading)
    except DraftError as error:
        raise Problem(422, "invalid.demand.malformed", _NO_KIND, _OR_FIELDS) from error


async def _keep_contact(service: Service, form: Form) -> None:
    """Keep what was typed for the winner, where it differs from what is kept."""
    kept = (await service.contact_view())["contact"]
    typed = {name: text for name, text in form.below("contact.") if name in STAGES and text != kept.get(name, "")}
    if typed:
        await service.contact_set(typed)


async def _contact(service: Service, form: Form) -> Json:
    kept: Json = (await service.contact_view())["contact"]
    return kept | {name: text for name, text in form.below("contact.") if name in STAGES}


def _seal(sheet: Sheet, contact: Json) -> str:
    """Return what a preview is known by: the draft's text, and whom the winner could call."""
    return hashlib.sha256(json.dumps([to_template(sheet), contact], sort_keys=True).encode()).hexdigest()


def _show(
    request: web.Request,
    sheet: Sheet,
    *,
    contact: Json | None = None,
    preview: Json | None = None,
    seen: str = "",
    problem: Problem | None = None,
    changed: bool = False,
) -> web.Response:
    values: dict[str, Any] = {
        "sheet": replace(sheet, rows=(*sheet.rows, Row())),
        "starts": _STARTS,
        "contact": contact or {},
        "attributes": list(STAGES),
        "preview": preview,
        "hints": hints(preview["public"]["view"]) if preview else (),
        "texts": TEXTS,
        "seen": seen,
        "changed": changed,
        "problem": problem.view() if problem else None,
    }
    # Words alone, before anything was read from them, are one field; the rest would only be empty.
    name = "demand_fields.html" if sheet.category or sheet.name else "demand_words.html"
    return render(request, name, status=problem.status if problem else 200, **values)
