"""Commands that let the agent haggle under a mandate: `deal mandate`, `deal haggle`, `deal stop`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.api import Failed
from intentcast_agent.cli.call import busy, call, fail, json_option, passphrase_option, show
from intentcast_agent.cli.table import amount, plain, rows, when

_WORKING = "at work"
_MOST = 65_536  # bytes of a mandate file
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("demand")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@passphrase_option
@json_option
def mandate(demand: str, output: Path | None, as_json: bool, passphrase_file: Path | None) -> None:
    """Write a mandate for a demand, to look over: what the agent may do without asking you."""
    result = call("mandate_draft", demand=demand)
    if output:
        if output.exists():
            raise fail(f"{output} exists already; name another file.")
        output.write_text(result["text"], encoding="utf-8")
        lines = [f"Look it over, then: intentcast deal haggle {demand} --mandate {output}"]
        show(result, as_json, lambda _: lines)
    else:
        show(result, as_json, lambda one: [one["text"].rstrip()])


@click.command()
@click.argument("demand")
@click.option("--mandate", "file", type=_FILE, help="What it may do; without one, the work under way is watched.")
@click.option("--strategy", help="How it bids: measured (if you name none), boulware, linear or hold.")
@click.option("--wait", type=float, default=600.0, show_default=True, metavar="SECONDS", help="Watch at most so long.")
@passphrase_option
@json_option
def haggle(
    demand: str, file: Path | None, strategy: str | None, wait: float, as_json: bool, passphrase_file: Path | None
) -> None:
    """Let the agent haggle with every vendor of a demand, within a mandate, and watch it.

    Each counter and each accept is held to the mandate right before it is signed. What the mandate leaves to you is
    handed back: then the offer waits for your accept. With `serve` running the work goes on when you stop watching.
    """
    if strategy and file is None:
        raise click.UsageError("--strategy goes with --mandate.")
    if file is not None:
        named: dict[str, Any] = {"strategy": strategy} if strategy else {}
        call("haggle_begin", demand=demand, mandate=_read(file), **named)
    view: dict[str, Any] = {}
    told = set[tuple[Any, ...]]()

    def on_event(now: dict[str, Any]) -> None:
        if not as_json and not view and now["state"] == _WORKING:
            click.echo(f"At work under the mandate until {when(now['deadline'])}; what was said so far, and then live:")
        view.update(now)
        if not as_json:
            for line in news(now, told):
                click.echo(line)

    with busy("Haggling…", as_json):
        _under(demand, "haggle_watch", on_event=on_event, within=wait)
    working = view["state"] == _WORKING
    failed = fail(f"Still at work. Watch on: intentcast deal haggle {demand}", "nothing yet", 7) if working else None
    show(view, as_json, _outcome, failed)


def _read(file: Path) -> str:
    """Read a mandate; one that is too long is refused, since a part of it would allow more than the whole."""
    with file.open("rb") as stream:
        data = stream.read(_MOST + 1)
    if len(data) > _MOST:
        raise click.UsageError(f"{file} is larger than {_MOST // 1024} KiB.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file} is not UTF-8 text.") from error


def _under(demand: str, verb: str, **args: Any) -> Any:
    """Do a verb on the mandate of a demand; where it has none, say how to write one."""
    try:
        return call(verb, demand=demand, **args)
    except Failed as error:
        if error.code != "refused.mandate.denied":
            raise
        words = f"{demand} is under no mandate. To write one: intentcast deal mandate {demand} -o mandate.toml"
        raise fail(words, error.code) from error


@click.command()
@click.argument("demand")
@passphrase_option
@json_option
def stop(demand: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Take the mandate of a demand back. What was signed stays signed; the offers stay yours to answer."""
    show(_under(demand, "haggle_stop"), as_json, _outcome)


def news(view: dict[str, Any], told: set[tuple[Any, ...]]) -> Iterable[str]:
    """Yield what was said since the last look, each thread's moves in their order."""
    for thread in view["threads"]:
        who = f"{thread['offer']} {plain(thread['vendor'], 24)}"
        for at, one in enumerate(thread["said"]):
            verb = "offers" if one["from"] == "vendor" else "you counter"
            line = f"  {who:30} {verb:11} {amount(one['total'], one['currency'], None)}{_with(one['conditions'])}"
            if (at, line) not in told:  # an offer may replace the one before, unanswered
                told.add((at, line))
                yield line
        if thread["accepted"] and (thread["offer"], "accepted") not in told:
            told.add((thread["offer"], "accepted"))
            yield f"  {who:30} accepted"


def _with(conditions: dict[str, str]) -> str:
    stated = [f"{name} {value}" for name, value in conditions.items() if value not in ("not stated", "none")]
    return f"  ({plain(', '.join(stated), 80)})" if stated else ""


def _outcome(view: dict[str, Any]) -> Iterable[str]:
    yield ""
    yield from rows(
        ("", "vendor", "state", "rounds", "first", "now", "score"),
        [
            (one["offer"], plain(one["vendor"], 30), one["state"], str(one["rounds"]), *_ends(one),
             "–" if one["score"] is None else f"{one['score']:.3f}")
            for one in view["threads"]
        ],
    )  # fmt: skip
    acts = [act for act in view["acts"] if act["at"] >= view["started"]]  # not those of a mandate before
    for act in acts:
        if act["decision"] != "allowed" or act["kind"] == "accept":
            yield f"  {when(act['at'])}  {act['offer']} {act['kind']}: {act['decision']} by {act['clause']}" + _why(act)
    counters = sum(act["kind"] == "counter" and act["decision"] == "allowed" for act in acts)
    if counters:
        said = "1 counter," if counters == 1 else f"{counters} counters, each"
        yield f"  {said} allowed by acts.counter and within every bound."
    reason = f": {plain(view['reason'], 150)}" if view["reason"] else ""
    yield f"{view['demand']} is {_STATES[view['state']]}{reason}"
    if view["state"] == "yours":
        yield f"Next: intentcast deal accept {view['offer']}   or   intentcast offer compare {view['demand']}"


_STATES = {
    _WORKING: "being haggled over",
    "yours": "yours to decide",
    "agreed": "agreed",
    "ended": "at an end without a deal",
    "stopped": "no longer haggled over",
}


def _ends(thread: dict[str, Any]) -> tuple[str, str]:
    offers = [one for one in thread["said"] if one["from"] == "vendor"]
    if not offers:
        return "–", "–"
    first, last = (amount(one["total"], one["currency"], None) for one in (offers[0], offers[-1]))
    return first, last


def _why(act: dict[str, Any]) -> str:
    return f" ({plain(act['why'], 120)})" if act["why"] else ""
