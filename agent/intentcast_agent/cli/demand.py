"""Commands on demands: draft, preview, cast, list, view, withdraw; and, from its own module, invite."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.api import Failed
from intentcast_agent.cli.call import busy, call, fail, json_option, passphrase_option, show
from intentcast_agent.cli.invitation import invite
from intentcast_agent.cli.table import amount, json_text, plain, rows, when


@click.group()
def demand() -> None:
    """Say what you want, see exactly what each audience would learn, and cast it."""


demand.add_command(invite)


@demand.command()
@click.argument("words", nargs=-1)
@click.option("--template", is_flag=True, help="Start from a commented example instead of words.")
@click.option(
    "--kind", type=click.Choice(["car", "phone-plan", "home-repair", "insurance"]), help="Such an example for a kind."
)
@click.option("--admit", multiple=True, metavar="RUNG", help="Who may write first: domain, invite, stamp:N.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file.")
@json_option
def draft(
    words: tuple[str, ...], template: bool, kind: str | None, admit: tuple[str, ...], output: Path | None, as_json: bool
) -> None:  # fmt: skip
    """Write a draft to edit, from plain words or a template. Nothing leaves this machine.

    \b
    Example: intentcast demand draft "car under 18500 EUR in NL max 90000 km 2017 or newer" -o car.toml
    """
    from intentcast_agent.person.draft import with_admit  # noqa: PLC0415
    from intentcast_agent.person.drafting.teaching import TEACHING  # noqa: PLC0415

    if not words and not template and not kind:
        raise click.UsageError('Say what you want, e.g. "car under 18500 EUR", or use --template or --kind.')
    if words and (template or kind):
        raise click.UsageError("Say it in words or start from an example, not both.")
    text, understood = _drafted(" ".join(words)) if words else (TEACHING[kind or "car"], {})
    text = with_admit(text, admit) if admit else text
    if understood and not as_json:
        # Beside the draft, not in it: it can be redirected into a file.
        for line in _understood(understood):
            click.echo(line, err=True)
    if output:
        if output.exists():
            raise fail(f"{output} exists already; name another file.")
        output.write_text(text, encoding="utf-8")
        result = {"file": str(output), "draft": text, **understood}
        show(result, as_json, lambda _: [f"Wrote {output}. Edit it, then: intentcast demand preview {output}"])
    else:
        show({"file": None, "draft": text, **understood}, as_json, lambda _: [text.rstrip("\n")])


def _drafted(words: str) -> tuple[str, dict[str, Any]]:
    from intentcast_agent.person.drafting.reading import read_words  # noqa: PLC0415
    from intentcast_agent.person.drafting.template import template_of, understood  # noqa: PLC0415

    reading = read_words(words, int(time.time()))
    names = ("name", "value", "strength", "words")
    slots = [dict(zip(names, row, strict=True)) for row in understood(reading)]
    return template_of(reading), {"slots": slots, "rest": reading.rest, "withheld": list(reading.withheld)}


def _understood(understood: dict[str, Any]) -> Iterable[str]:
    lines = [[plain(one[name]) for name in ("words", "name", "value", "strength")] for one in understood["slots"]]
    yield from rows(("you said", "understood", "as", ""), lines)
    if understood["rest"]:
        yield f"Not understood, kept as text: {plain(understood['rest'])}"
    if understood["withheld"]:
        yield f"Kept out of the draft, for it is nobody's business: {plain(', '.join(understood['withheld']))}"
    yield ""


@demand.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--relay", "relays", multiple=True, metavar="URL", help="Cast to these relays instead of your own.")
@passphrase_option
@json_option
def preview(file: str, relays: tuple[str, ...], as_json: bool, passphrase_file: Path | None) -> None:
    """Show what each audience would get. Casting the preview signs exactly these bytes; --json prints them."""
    show(_prepare(file, relays), as_json, _prepared)


def _prepared(result: dict[str, Any]) -> Iterable[str]:
    yield from _previewed(result)
    yield f"Next: intentcast demand cast {result['draft']}"


def _prepare(file: str, relays: tuple[str, ...]) -> dict[str, Any]:
    """Fix the bytes of a draft file, or of standard input for ``-``."""
    try:
        with click.open_file(file, encoding="utf-8") as stream:
            text = stream.read()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file} is not UTF-8 text.") from error
    try:
        prepared: dict[str, Any] = call("demand_preview", text=text, relays=list(relays) or None)
    except Failed as error:
        if error.code.startswith("invalid."):
            raise fail(str(error), error.code, 2) from error
        raise
    return prepared


def _previewed(result: dict[str, Any]) -> Iterable[str]:
    public, winner, private = result["public"], result["winner"]["attributes"], result["private"]
    relays, until = ", ".join(result["relays"]), when(result["expires"])
    yield f"Everyone on {relays} would read these {public['size']} bytes, until {until}:"
    yield ""
    yield from (f"  {line}" for line in json_text(public["view"], 2).splitlines())
    yield ""
    yield result["vendor"]["note"]
    told = ", ".join(f"{name} {plain(value)}" for name, value in winner.items())
    yield f"The winner, at agreement: {told or 'nothing; set it with: intentcast contact set name=… email=…'}"
    currency = private.get("currency", "")
    kept = ", ".join(f"{name} {value} {currency}".rstrip() for name, value in private.items() if name != "currency")
    yield f"Nobody, ever: {kept or 'no reserve price was given'}"
    yield ""
    for relay, heard in result["listeners"].items():
        yield f"{relay}: {_listeners(heard)}"


def _listeners(heard: dict[str, int | None] | None) -> str:
    if heard is None:
        return "cannot be asked now"
    least, most = heard["least"], heard["most"]
    count = (
        "nobody listens" if most == 0 else f"{least} or more listen" if most is None else f"{least} to {most} listen"
    )
    return f"{count} for such a demand"


@demand.command()
@click.argument("what", metavar="DRAFT|FILE")
@click.option("--relay", "relays", multiple=True, metavar="URL", help="Cast to these relays instead of your own.")
@click.option("-y", "--yes", is_flag=True, help="Sign a file that was not previewed, without asking.")
@click.option("--wait", type=float, default=0.0, metavar="SECONDS", help="Stay and show offers as they arrive.")
@passphrase_option
@json_option
def cast(
    what: str, relays: tuple[str, ...], yes: bool, wait: float, as_json: bool, passphrase_file: Path | None
) -> None:
    """Sign a previewed draft (d1) or a file and cast it to your relays."""
    if what == "-" or Path(what).is_file():
        what = _confirmed(what, relays, asks=not yes, as_json=as_json)
    elif relays:
        raise click.UsageError("A draft has its relays already; name others when you preview the file.")
    elif "/" in what or "." in what:
        raise fail(f"There is no file {what}. Drafts are listed by: intentcast demand list", "not found", 3)
    with busy("Casting…", as_json):
        result = call("demand_cast", draft=what, within=5.0)
    if not as_json:
        for line in _cast_lines(result):
            click.echo(line)
    if wait:
        _watch(what, wait, as_json)
        result = call("demand_view", demand=what)
    failed = None
    if not any(state == "done" for state in result["relays"].values()):
        again = f"say `intentcast demand cast {result['name']}` again, or keep `intentcast serve` running"
        words = f"No relay could be reached yet. The demand is signed and kept; to send it, {again}."
        failed = fail(words, "unreachable", 5)
    show(result, as_json, _next, failed)


def _confirmed(file: str, relays: tuple[str, ...], *, asks: bool, as_json: bool) -> str:
    """Fix the bytes of a file, and return the draft's name once the person has seen them or said --yes."""
    if asks and (as_json or file == "-" or not sys.stdin.isatty()):
        raise click.UsageError("Nobody can be asked here: preview the file and cast the draft, or say --yes.")
    made = _prepare(file, relays)
    if asks:
        for line in _previewed(made):
            click.echo(line)
        if not click.confirm("Sign and cast this?"):
            raise fail(f"Nothing was signed. The draft is kept: intentcast demand cast {made['draft']}")
    return str(made["draft"])


def _next(result: dict[str, Any]) -> Iterable[str]:
    name = result["name"]
    if any(offer["total"] for offer in result["offers"]):
        yield f"Next: intentcast offer compare {name}"
    elif asking := [offer["name"] for offer in result["offers"] if offer["state"] == "asking"]:
        yield f"A vendor asks you something. Next: intentcast offer view {asking[0]}"
    else:
        yield f"No offers yet. Next: intentcast offer list {name} --wait 60   (or keep listening: intentcast serve)"


def _cast_lines(result: dict[str, Any]) -> Iterable[str]:
    for relay, state in result["relays"].items():
        mark = {"done": "✓", "queued": "…"}.get(state, "✗")
        words = {"done": "has it", "queued": "not reached yet"}.get(state, f"refused it: {plain(state)}")
        yield f"  {mark} {relay} {words}"
    yield f"{result['name']} is cast: {plain(result['title'])}, open until {when(result['expires'])}"


def _watch(name: str, wait: float, as_json: bool) -> None:
    seen: dict[str, Any] = {}

    def on_event(listed: dict[str, Any]) -> None:
        for offer in listed["offers"]:
            if offer["total"] and seen.get(offer["name"]) != offer["total"] and not as_json:
                price = amount(offer["total"], offer["currency"], offer["per"])
                click.echo(f"  {offer['name']}  {plain(offer['vendor'], 30):30}  {price:>18}  {offer['fit']}")
            seen[offer["name"]] = offer["total"]

    if not as_json:
        click.echo("Waiting for offers. Ctrl-C is safe: nothing is lost.")
    call("watch", on_event=on_event, demand=name, within=wait)


@demand.command("list")
@passphrase_option
@json_option
def list_demands(as_json: bool, passphrase_file: Path | None) -> None:
    """List your demands and drafts."""
    show(call("demand_list"), as_json, _listed)


def _listed(result: dict[str, Any]) -> Iterable[str]:
    lines = [
        (one["name"], one["title"], one["state"], one["offers_count"], when(one["expires"]))
        for one in result["demands"]
    ]
    lines += [(one["draft"], "(a draft)", "not cast", 0, "–") for one in result["drafts"]]
    yield from rows(("", "wanted", "state", "offers", "until"), lines)
    if not lines:
        yield 'Nothing yet. Start with: intentcast demand draft "car under 18500 EUR"'


@demand.command()
@click.argument("name", metavar="DEMAND")
@passphrase_option
@json_option
def view(name: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Show a demand, where it is, and its offers."""
    show(call("demand_view", demand=name), as_json, _viewed)


def _viewed(result: dict[str, Any]) -> Iterable[str]:
    from intentcast_agent.cli.offer import offer_rows  # noqa: PLC0415

    yield f"{result['name']}  {plain(result['title'])}  ({result['state']}, until {when(result['expires'])})"
    yield f"id {result['id']}"
    for relay, state in result["relays"].items():
        yield f"  {relay}: {state}"
    for one in result["invitations"]:
        yield f"  invited: {one['to']}, {one['uses']} at each relay, until {when(one['until'])}"
    yield from offer_rows(result)


@demand.command()
@click.argument("name", metavar="DEMAND")
@passphrase_option
@json_option
def withdraw(name: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Take a demand off the relays and close its sessions. This cannot be undone."""
    show(call("demand_withdraw", demand=name), as_json, lambda one: [f"{one['name']} is {one['state']}, by you."])
