"""From values to a page: templates that escape everything, and the only ways a stranger's text gets into one.

What others wrote comes through `foreign`: one line, bounded, without control or reordering characters, and held apart
in its own direction. No filter makes a link or a picture of it. DESIGN §7
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from functools import cache, partial
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web
from intentcast_protocol.quantity import symbol
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from intentcast_agent.cli.table import plain
from intentcast_agent.web.assets import asset_url
from intentcast_agent.web.guard import nonce_of
from intentcast_agent.web.keys import AGENT
from intentcast_agent.web.language import Language, choose, translations

_LONGEST: Final = 4_000  # characters of one foreign text, whatever a template asks for
_PARTS: Final = ((86_400, "%(n)s d"), (3_600, "%(n)s h"), (60, "%(n)s min"))
# What is told once after a form was sent, by the word in the address; nothing from the address itself is shown.
SAID: Final = ("cast", "withdrawn", "haggling", "stopped", "kept", "weights", "declined", "countered", "saved")


def later(text: str) -> str:
    """Mark a sentence that a template translates, so that catalogs find it."""
    return text


def render(request: web.Request, name: str, *, status: int = 200, **values: Any) -> web.Response:
    """Return a template filled with values as an answer; `here` is the page's place in the navigation."""
    language = choose(request.headers.get("Accept-Language", ""))
    template = _environment(language.tag).get_template(name)
    said = request.query.get("said", "")
    text = template.render(
        {
            "language": language,
            "nonce": nonce_of(request),
            "now": request.app[AGENT].now(),
            "key": secrets.token_urlsafe(16),
            "said": said if said in SAID else "",
            "here": request.path,
            **values,
        }
    )
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


@cache
def _environment(tag: str) -> Environment:
    env = Environment(
        loader=PackageLoader("intentcast_agent.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    words = translations(tag)
    env.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]
    env.globals |= {"asset": asset_url, "version": version("intentcast")}
    env.filters |= {
        "foreign": foreign,
        "inline": inline,
        "money": _money,
        "number": _number,
        "when": _when,
        "span": _span,
        "path_words": path_words,
        "wish_value": _wish_value,
    }
    return env


def foreign(text: object, most: int = 60) -> Markup:
    """Return text from outside as one bounded line in a direction of its own."""
    return Markup("<bdi>{}</bdi>").format(inline(text, most))


def inline(text: object, most: int = 60) -> str:
    """Return text from outside as one bounded line, for where no element may stand: a title, an option, a label."""
    return plain(str(text)[: _LONGEST * 4], min(most, _LONGEST))


@pass_context
def _money(
    context: Context, amount: object, currency: str | None, per: str | None = None, *, exact: bool = False
) -> str:
    """Return a price, or that none was stated."""
    translate = partial(context.call, context["_"])
    if amount is None or not currency:
        return str(translate("not stated"))
    text = _language(context).money(str(amount), str(currency), exact=exact)
    if per is None:
        return text
    unit = {"MON": translate("a month"), "ANN": translate("a year")}.get(per) or translate("per %(unit)s", unit=per)
    return f"{text} {unit}"


@pass_context
def _number(context: Context, value: object) -> str:
    return _language(context).number(value)


@pass_context
def _when(context: Context, seconds: int | None) -> Markup | str:
    """Return a moment in local time, readable by programs too."""
    if not seconds:
        return "–"
    at, now = (datetime.fromtimestamp(one).astimezone() for one in (seconds, context["now"]))
    told = _language(context).moment(at, now)
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(timespec="seconds"), told)


@pass_context
def _span(context: Context, seconds: float) -> str:
    """Return a length of time in its largest whole unit."""
    translate = partial(context.call, context["_"])
    for size, words in _PARTS:
        if seconds >= size:
            return str(translate(words, n=int(seconds // size)))
    return str(translate("under a minute"))


@pass_context
def _wish_value(context: Context, wish: Mapping[str, Any]) -> str:
    """Return a constraint's value with its unit, as people write it: no group marks in what may be a year."""
    value, unit = wish.get("value"), wish.get("unitCode")
    parts = value if isinstance(value, list) else [] if value is None else [value]
    translate = partial(context.call, context["_"])
    words = {True: translate("yes"), False: translate("no")}
    shown = [
        str(words[one]) if isinstance(one, bool) else str(_number(context, one)) if unit else str(one) for one in parts
    ]
    told = (" – " if wish.get("op") == "between" else ", ").join(shown)
    return f"{told} {symbol(str(unit)) if unit else wish.get('priceCurrency') or ''}".strip()


def path_words(path: str) -> str:
    """Return a schema.org path as words: itemOffered.mileageFromOdometer is mileage from odometer."""
    last = path.rpartition(".")[2].removeprefix("@")
    spaced = "".join(f" {char.lower()}" if char.isupper() else char for char in last)
    return _SHORT.get(last, spaced.strip())[:60]


_SHORT: Final[Mapping[str, str]] = {
    "mileageFromOdometer": "mileage",
    "vehicleModelDate": "year",
    "fuelType": "fuel",
    "vehicleTransmission": "gearbox",
    "bodyType": "body",
    "numberOfDoors": "doors",
    "priceSpecification": "price",
    "deliveryLeadTime": "delivery",
    "durationOfWarranty": "warranty",
    "addOn": "extras",
    "vehicleIdentificationNumber": "VIN",
    "dateVehicleFirstRegistered": "first registered",
    "itemCondition": "condition",
}


def _language(context: Context) -> Language:
    found: Language = context["language"]
    return found
