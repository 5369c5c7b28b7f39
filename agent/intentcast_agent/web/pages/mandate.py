"""The form of a mandate: what the agent may do without asking, as fields, and as the text `haggle_begin` reads."""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields

from intentcast_agent.web.form import Form


@dataclass(frozen=True, slots=True)
class Limits:
    """The fields, all text, as they were typed."""

    most: str = ""
    currency: str = "EUR"
    per: str = ""
    target: str = ""
    ask_above: str = ""
    rounds: str = "5"
    within: str = "2h"
    expires: str = "1d"
    vendors: str = "any"
    witnesses: str = "2"
    accept: str = "person"
    delivery: str = ""  # days at most
    warranty: str = ""  # months at least


def from_text(text: str) -> Limits:
    """Read the text that `mandate_draft` wrote."""
    data = tomllib.loads(text)
    most, _, currency = str(data.get("most", "")).partition(" ")
    known = {one.name for one in fields(Limits)} - {"most", "currency", "accept", "delivery", "warranty", "vendors"}
    plain = {name: str(data[name]).removesuffix(f" {currency}") for name in known if name in data}
    return Limits(most=most, currency=currency or "EUR", accept=data.get("acts", {}).get("accept", "person"), **plain)


def from_form(form: Form) -> Limits:
    """Read the fields as they were sent."""
    return Limits(**{one.name: form[one.name] for one in fields(Limits)})


def to_text(limits: Limits) -> str:
    """Write the fields as a mandate's text; what is wrong with it, `haggle_begin` says."""
    return "\n".join(_lines(limits)) + "\n"


def _lines(limits: Limits) -> Iterator[str]:
    yield f"most = {_amount(limits.most, limits.currency)}"
    if limits.per:
        yield f"per = {_text(limits.per)}"
    for name, text in (("target", limits.target), ("ask_above", limits.ask_above)):
        if text:
            yield f"{name} = {_amount(text, limits.currency)}"
    for name, text in (("rounds", limits.rounds), ("witnesses", limits.witnesses)):
        yield f"{name} = {text if text.isascii() and text.isdecimal() and len(text) < 10 else _text(text)}"
    for name, text in (("within", limits.within), ("expires", limits.expires)):
        yield f"{name} = {_text(text)}"
    named = [part.strip() for part in limits.vendors.split(",") if part.strip()]
    yield 'vendors = "any"' if named in ([], ["any"]) else f"vendors = [{', '.join(map(_text, named))}]"
    yield f"[acts]\naccept = {_text(limits.accept)}"
    if limits.delivery:
        yield f'[[bound]]\npath = "deliveryLeadTime"\nop = "le"\nvalue = {_text(limits.delivery)}\nunit = "DAY"'
    if limits.warranty:
        path = "warranty.durationOfWarranty"
        yield f'[[bound]]\npath = "{path}"\nop = "ge"\nvalue = {_text(limits.warranty)}\nunit = "MON"'


def _amount(text: str, currency: str) -> str:
    return _text(f"{''.join(text.split())} {currency}".strip())


def _text(text: str) -> str:
    # JSON's strings are TOML's, but for one control character that JSON leaves bare.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
