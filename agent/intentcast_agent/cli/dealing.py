"""Commands of a vendor on its sessions: `vendor question`, `vendor answer`, `vendor amend`, `vendor deliver`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.cli.call import call, json_option, passphrase_option, show, stated
from intentcast_agent.cli.table import plain, rows, when


@click.group()
def question() -> None:
    """What persons ask you, beside what your stock answers by itself."""


@question.command("list")
@passphrase_option
@json_option
def list_questions(as_json: bool, passphrase_file: Path | None) -> None:
    """List the questions that wait for your answer, oldest first."""
    show(call("vendor_question_list"), as_json, _question_lines)


def _question_lines(result: dict[str, Any]) -> Iterable[str]:
    if not result["questions"]:
        yield "Nobody asks anything."
        return
    yield from rows(
        ("", "at", "item", "about", "question"),
        [
            (one["session"], when(one["at"]), one["item"] or "–", one["path"] or "–", plain(one["text"] or "", 100))
            for one in result["questions"]
        ],
    )
    first = result["questions"][0]
    yield f"Next: intentcast vendor answer {first['session']} --fact {first['path'] or 'PATH'}=…"


@click.command()
@click.argument("session")
@click.argument("text", default="")
@click.option("--fact", "facts", multiple=True, metavar="PATH=VALUE", help="A value, perhaps with a unit: '…=24 MON'.")
@passphrase_option
@json_option
def answer(session: str, text: str, facts: tuple[str, ...], as_json: bool, passphrase_file: Path | None) -> None:
    """Answer a person's question. Facts also go into a new offer, which replaces your last."""
    show(stated("vendor_answer", session=session, text=text, facts=list(facts)), as_json, _said)


@click.command()
@click.argument("session")
@click.option("--total", required=True, help="The new total, e.g. 17200.00; all else stays as agreed.")
@passphrase_option
@json_option
def amend(session: str, total: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Offer a change to an agreement. It stands as it is until the person has accepted."""
    show(stated("vendor_amend", session=session, total=total), as_json, _said)


@click.command()
@click.argument("session")
@click.option("--text", default="", help="Words for the person.")
@passphrase_option
@json_option
def deliver(session: str, text: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Tell the person that what was agreed is delivered."""
    result = call("vendor_deliver", session=session, text=text)
    show(result, as_json, lambda one: [f"{one['session']} {plain(one['item'] or '', 80)}: the person is told."])


def _said(one: dict[str, Any]) -> Iterable[str]:
    yield f"{one['session']} {plain(one['item'] or '', 80)}: {one['state']}, next: {one['turn'] or 'nobody'}"
