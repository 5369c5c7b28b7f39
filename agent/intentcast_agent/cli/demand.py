"""Commands on demands: draft, preview, cast, list, view, withdraw."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.cli.call import busy, call, fail, json_option, passphrase_option, show
from intentcast_agent.cli.table import amount, plain, rows, when


@click.group()
def demand() -> None:
    """Say what you want, see exactly what each audience would learn, and cast it."""


@demand.command()
@click.argument("words", nargs=-1)
@click.option("--template", is_flag=True, help="Start from a commented example instead of words.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file.")
@json_option
def draft(words: tuple[str, ...], template: bool, output: Path | None, as_json: bool) -> None:
    """Write a draft to edit, from plain words or a template. Nothing leaves this machine.

    \b
    Example: intentcast demand draft "car under 18500 EUR in NL max 90000 km 2017 or newer" -o car.toml
    """
    from intentcast_agent.person.draft import TEMPLATE, from_words  # noqa: PLC0415

    if not words and not template:
        raise click.UsageError('Say what you want, e.g. "car under 18500 EUR", or use --template.')
    text = TEMPLATE if template else from_words(" ".join(words))
    if output:
        if output.exists():
            raise fail(f"{output} exists already; name another file.")
        output.write_text(text)
        result = {"file": str(output), "draft": text}
        show(result, as_json, lambda _: [f"Wrote {output}. Edit it, then: intentcast demand preview {output}"])
    else:
        show({"file": None, "draft": text}, as_json, lambda _: [text.rstrip("\n")])


@demand.command()
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--relay", "relays", multiple=True, metavar="URL", help="Cast to these relays instead of your own.")
@passphrase_option
@json_option
def preview(file: Any, relays: tuple[str, ...], as_json: bool, passphrase_file: Path | None) -> None:
    """Show the exact bytes each audience would get. Casting the preview signs exactly these."""
    show(call("demand_preview", text=file.read(), relays=list(relays) or None), as_json, _previewed)


def _previewed(result: dict[str, Any]) -> Iterable[str]:
    import json  # noqa: PLC0415

    public, winner, private = result["public"], result["winner"]["attributes"], result["private"]
    relays, until = ", ".join(result["relays"]), when(result["expires"])
    yield f"Everyone on {relays} would read these {public['size']} bytes, until {until}:"
    yield ""
    for line in json.dumps(public["view"], indent=2, ensure_ascii=False).splitlines():
        yield f"  {plain(line, 160)}" if not line.startswith(" ") else f"  {line}"
    yield f"  ({public['bytes']})"
    yield ""
    yield f"A vendor who offers under your terms: {result['vendor']['note'].lower()}"
    told = ", ".join(f"{name} {plain(value)}" for name, value in winner.items())
    yield f"The winner, at agreement: {told or 'nothing; set it with: intentcast contact set name=… email=…'}"
    kept = ", ".join(f"{name} {value}" for name, value in private.items() if name != "currency")
    yield f"Nobody, ever: {kept or 'no reserve price was given'}"
    yield ""
    for relay, heard in result["listeners"].items():
        yield f"{relay}: {_listeners(heard)}"
    yield f"Next: intentcast demand cast {result['draft']}"


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
@click.option("-y", "--yes", is_flag=True, help="Do not ask before signing a file that was not previewed.")
@click.option("--wait", type=float, default=0.0, metavar="SECONDS", help="Stay and show offers as they arrive.")
@passphrase_option
@json_option
def cast(
    what: str, relays: tuple[str, ...], yes: bool, wait: float, as_json: bool, passphrase_file: Path | None
) -> None:
    """Sign a previewed draft (d1) or a file and cast it to your relays."""
    path = Path(what)
    if path.is_file():
        made = call("demand_preview", text=path.read_text(encoding="utf-8"), relays=list(relays) or None)
        if not yes and not as_json and sys.stdin.isatty():
            for line in _previewed(made):
                click.echo(line)
            click.confirm("Sign and cast this?", abort=True)
        what = made["draft"]
    with busy("Casting…", as_json):
        result = call("demand_cast", draft=what)
    if not as_json:
        for line in _cast_lines(result):
            click.echo(line)
    if wait:
        result = _watch(what, wait, as_json) or result
    if as_json:
        show(result, True, lambda _: [])
    if not any(state == "done" for state in result.get("relays", {"": "done"}).values()):
        raise fail(
            "No relay could be reached yet. The demand is signed and kept; it goes out when one can.", exit_code=5
        )


def _cast_lines(result: dict[str, Any]) -> Iterable[str]:
    for relay, state in result["relays"].items():
        mark = {"done": "✓", "queued": "…"}.get(state, "✗")
        words = {"done": "has it", "queued": "not reached yet, trying on"}.get(state, state)
        yield f"  {mark} {relay} {words}"
    yield f"{result['name']} is cast: {plain(result['title'])}, open until {when(result['expires'])}"
    yield f"Next: intentcast offer list {result['name']}   (or keep listening: intentcast serve)"


def _watch(name: str, wait: float, as_json: bool) -> Any:
    seen: dict[str, Any] = {}
    last: dict[str, Any] = {}

    def on_event(listed: dict[str, Any]) -> None:
        last.update(listed)
        for offer in listed["offers"]:
            if offer["total"] and seen.get(offer["name"]) != offer["total"] and not as_json:
                price = amount(offer["total"], offer["currency"], offer["per"])
                click.echo(f"  {offer['name']}  {plain(offer['vendor'], 30):30}  {price:>18}  {offer['fit']}")
            seen[offer["name"]] = offer["total"]

    if not as_json:
        click.echo("Waiting for offers. Ctrl-C is safe: nothing is lost.")
    call("watch", on_event=on_event, demand=name, within=wait)
    return last if as_json else None


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
    yield from offer_rows(result)


@demand.command()
@click.argument("name", metavar="DEMAND")
@passphrase_option
@json_option
def withdraw(name: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Take a demand off the relays and close its sessions. This cannot be undone."""
    show(call("demand_withdraw", demand=name), as_json, lambda one: [f"{one['name']} is {one['state']}, by you."])
