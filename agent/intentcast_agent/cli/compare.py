"""The command `offer compare`: offers side by side, scored by the person's criteria, as a table, CSV or JSON."""

import csv
import io
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from intentcast_agent.cli.call import call, fail, json_option, passphrase_option, show
from intentcast_agent.cli.table import amount, domain, plain, rows

_PINNED = 5  # columns that a person can take in
_CELL = 24  # columns of the terminal that one offer has
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "|", "＝", "＋", "－", "＠")  # what a spreadsheet may take for a formula
_MARKS = {"met": "✓", "unmet": "✗", "unknown": "?"}


@click.command()
@click.argument("demand")
@click.option(
    "--unknown", "--pessimism", metavar="SCORE",
    help="What an offer does not state scores this, from 0 as the worst to 1 as the best.",
)  # fmt: skip
@click.option("--all", "every", is_flag=True, help=f"All offers, not the best {_PINNED}; and all that they state.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a table for a spreadsheet.")
@passphrase_option
@json_option
def compare(
    demand: str, unknown: str | None, every: bool, as_csv: bool, as_json: bool, passphrase_file: Path | None
) -> None:  # fmt: skip
    """Put offers side by side: what they cost you, how they score by your criteria, and what would make another win.

    Must-haves decide first; then the score, by fixed points that `intentcast criteria view` shows. No offer changes how
    two others stand to each other.
    """
    if as_csv and as_json:
        raise click.UsageError("Give --csv or --json, not both.")
    result = call("offer_compare", demand=demand, unknown=unknown, every=every)
    failed = None if result["total"] else fail("There is nothing to compare yet.", "nothing yet", 7)
    show(result, as_json, _csv if as_csv else lambda one: _lines(one, every), failed)


def _lines(result: dict[str, Any], every: bool) -> Iterable[str]:
    ranked = [one for one in result["offers"] if one.get("comparison")]
    shown = ranked if every else ranked[:_PINNED]
    across = _across()
    for start in range(0, len(shown), across):
        yield from _side_by_side(result, shown[start : start + across], every)
        yield ""
    if len(ranked) > len(shown):
        yield f"{len(ranked) - len(shown)} more; to see them: --all"
    for one in result["offers"]:
        if one["aside"]:
            yield f"apart: {one['name']} {plain(one['vendor'], 40)}: {plain(one['aside'], 120)}"
    for one in shown:
        yield from _cautions(one)
    for note in [result["why"], *result["notes"]]:
        if note:
            yield plain(note, 300)
    for one in shown:
        yield from wins(one)
    best = result["winner"]
    if best and ranked[0]["state"] in ("offered", "countered"):
        yield f"Next: intentcast deal counter {best} --total …   or   intentcast deal accept {best}"


def _across() -> int:
    """Return how many offers stand side by side: what the terminal has room for, if there is one."""
    if not sys.stdout.isatty():
        return _PINNED
    return min(max(shutil.get_terminal_size().columns // (_CELL + 2) - 1, 1), _PINNED)


def _cautions(one: dict[str, Any]) -> Iterable[str]:
    for warning in one["comparison"]["warnings"]:
        yield f"look out: {one['name']} {plain(one['vendor'], 40)}: {warning}."
    for must in one["comparison"]["musts"]:
        if must["verdict"] != "met":
            yield f"{one['name']} {one['fit']}: {plain(must['why'], 150)}"


def _side_by_side(result: dict[str, Any], offers: Sequence[dict[str, Any]], every: bool) -> Iterable[str]:
    told = [one["comparison"] for one in offers]
    lines: list[list[str]] = [
        ["total to you", *(amount(one["cost"], result["currency"], result["per"]) for one in told)],
        ["vendor", *(one["vendor"] for one in offers)],
        ["domain", *(domain(one) for one in offers)],
        ["fit", *(one["fit"] for one in offers)],
        ["score, of 1", *(f"{one['score']:.3f}" for one in offers)],
    ]
    for criterion in result["criteria"]:
        found = [one["criteria"][criterion["name"]] for one in told]
        label = f"{plain(criterion['name'], 24)}, of {criterion['share']:.2f}"
        lines.append([label, *(_contribution(one, counts=criterion["share"] > 0) for one in found)])
    musts = range(max((len(one["musts"]) for one in told), default=0))
    for at in musts:
        path = told[0]["musts"][at]["path"].rpartition(".")[2] if at < len(told[0]["musts"]) else ""
        marks = (_MARKS[one["musts"][at]["verdict"]] if at < len(one["musts"]) else "–" for one in told)
        lines.append([f"must: {path}", *marks])
    lines.append(["against its peers", *(_peers(one["peers"]) for one in told)])
    lines.append(["beaten throughout by", *(one["dominated_by"] or "–" for one in told)])
    names = [one["name"] for one in offers]
    told_already = {one["path"].removeprefix("itemOffered.") for one in result["criteria"]}
    told_already |= {"category", "sku", "image"}
    for path, values in result["attributes"].items():
        row = [values[name] for name in names]
        if path not in told_already and (every or len(names) == 1 or len(set(row)) > 1):
            lines.append([path, *row])
    yield from rows(("", *names), lines, _CELL)


def _contribution(found: dict[str, Any], *, counts: bool) -> str:
    said = plain(found["stated"], _CELL - 7) if found["stated"] is not None else "not stated"
    doubt = "" if found["known"] or found["stated"] is None else "?"
    return f"{said}{doubt} {found['contribution']:+.2f}" if counts else said


def _peers(peers: dict[str, Any] | None) -> str:
    if peers is None:
        return "–"
    percent = peers["percent"]
    side = f"{min(abs(percent), 999)} % {'below' if percent < 0 else 'above'}" if percent else "at"
    return f"{side} median of {peers['count']}"


def wins(one: dict[str, Any]) -> Iterable[str]:
    """Say what would make an offer win, one line for its own values and one for the person's weights."""
    told = [win for win in one["comparison"]["wins"] or [] if win["kind"] != "must"]
    for kind, words in (("value", "would win with"), ("weight", "would win if you weighed")):
        found = [win for win in told if win["kind"] == kind and win["to"]]
        said = "; or ".join(plain(f"{win['criterion']} {win['to']}", 64) for win in found)
        if said:
            yield f"{one['name']} {words} {said}"
    able = {win["criterion"] for win in told if win["to"]}
    nothing = dict.fromkeys(plain(win["criterion"], 24) for win in told if win["criterion"] not in able)
    if nothing:
        yield f"{one['name']} cannot win by {' or '.join(nothing)} alone"


def _csv(result: dict[str, Any]) -> Iterable[str]:
    """Yield a row for each offer, best first, safe to open in a spreadsheet."""
    criteria = [one["name"] for one in result["criteria"]]
    header = ["name", "rank", "vendor", "domain", "relays that saw it", "state", "fit", "why", "total", "currency",
              "per", "total to you", "in", "score"]  # fmt: skip
    header += [f"{name}: {what}" for name in criteria for what in ("stated", "value", "contribution")]
    header += ["beaten throughout by", "% above the median", "of", "look out", "apart"]
    yield _row(header)
    for one in result["offers"]:
        told = one.get("comparison") or {}
        found, peers = told.get("criteria", {}), told.get("peers") or {}
        line = [one["name"], one["rank"], one["vendor"], (one["domain"] or {}).get("name"), one["witnesses"],
                one["state"], one["fit"], one["why"], one["total"], one["currency"], one.get("per"), told.get("cost"),
                result["currency"] if told else None, one["score"]]  # fmt: skip
        for name in criteria:
            cell = found.get(name, {})
            said = "not stated" if cell and cell["stated"] is None else cell.get("stated")
            line += [said, cell.get("value"), cell.get("contribution")]
        line += [told.get("dominated_by"), peers.get("percent"), peers.get("count")]
        yield _row([*line, "; ".join(told.get("warnings", ())), one["aside"]])


def _row(cells: Iterable[object]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([_inert(cell) for cell in cells])
    return out.getvalue()


def _inert(cell: object) -> str:
    """Return a cell that no spreadsheet runs: text that begins like a formula is quoted, a number stays one."""
    text = "" if cell is None else plain(cell, 200)
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
