"""Commands on invitations: a person's `demand invite`, and a vendor's `invitation add`, `list` and `pass-on`."""

import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from intentcast_agent.api import Failed
from intentcast_agent.cli.call import call, fail, json_option, passphrase_option, show
from intentcast_agent.cli.table import rows, when

_LENGTH = re.compile(r"(\d{1,5})([mhd])", re.ASCII)
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}
_LONGEST = 4_096  # characters of a file that are read; an invitation has fewer


@click.command()
@click.argument("demand")
@click.argument("to", metavar="DID")
@click.option(
    "--uses", type=click.IntRange(1), default=1, show_default=True, help="How many may come by it, at each relay."
)
@click.option(
    "--until", "until", metavar="WHEN", help="A length such as 12h or 7d, or a date. Default: the demand's end."
)
@click.option("--onward", is_flag=True, help="Let the invited pass it on, once.")
@passphrase_option
@json_option
def invite(
    demand: str, to: str, uses: int, until: str | None, onward: bool, as_json: bool, passphrase_file: Path | None
) -> None:
    """Sign an invitation for a vendor's key, and print it as text to send them.

    With it they may write to you without work. What you signed is kept.
    """
    end = _moment(until) if until else None
    result = _spoken(lambda: call("demand_invite", demand=demand, to=to, uses=uses, until=end, onward=onward))
    show(result, as_json, _printed)


def _printed(one: dict[str, Any]) -> Iterable[str]:
    # The text alone, so that it can be piped; the rest is for the terminal.
    passed = "may be passed on once" if one["onward"] else "may not be passed on"
    uses = f"{one['uses']} uses" if one["uses"] > 1 else "one use"
    click.echo(f"For {one['to']}, {uses} at each relay, until {when(one['until'])}; it {passed}.", err=True)
    yield one["text"]


@click.group()
def invitation() -> None:
    """Invitations you hold: they let you write to a demand without a proven domain or work."""


@invitation.command()
@click.argument("what", metavar="TEXT|FILE")
@passphrase_option
@json_option
def add(what: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Keep an invitation you were sent; your bot shows it where the demand asks for one."""
    result = _spoken(lambda: call("vendor_invitation_add", text=_text(what)))
    show(result, as_json, lambda one: [f"{one['name']} is kept: to {one['demand']}, until {when(one['until'])}."])


@invitation.command("list")
@passphrase_option
@json_option
def list_invitations(as_json: bool, passphrase_file: Path | None) -> None:
    """List the invitations you hold, and those you passed on."""
    show(call("vendor_invitation_list"), as_json, _listed)


def _listed(result: dict[str, Any]) -> Iterable[str]:
    lines = [
        (one["name"], "you" if one["role"] == "held" else one["to"], one["demand"], one["uses"],
         "yes" if one["onward"] else "no", when(one["until"]) if one["until"] > result["now"] else "ended")
        for one in result["invitations"]
    ]  # fmt: skip
    yield from rows(("", "for", "demand of", "uses", "onward", "until"), lines)
    if not lines:
        yield "No invitations. Keep one: intentcast vendor invitation add TEXT"


@invitation.command("pass-on")
@click.argument("what", metavar="TEXT|FILE|NAME")
@click.argument("to", metavar="DID")
@click.option(
    "--uses", type=click.IntRange(1), default=1, show_default=True, help="How many may come by it, at each relay."
)
@passphrase_option
@json_option
def pass_on(what: str, to: str, uses: int, as_json: bool, passphrase_file: Path | None) -> None:
    """Pass an invitation on to another vendor's key, where the person allows it; print its text."""
    result = _spoken(lambda: call("vendor_invitation_pass_on", text=_text(what), to=to, uses=uses))
    show(result, as_json, _printed)


def _text(what: str) -> str:
    """Return an invitation's text: as given, from a file, or from standard input for ``-``."""
    if what != "-" and not (len(what) < 256 and Path(what).is_file()):
        return what
    try:
        with click.open_file(what, encoding="utf-8") as stream:
            return str(stream.read(_LONGEST)).strip()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{what} is not UTF-8 text.") from error


def _moment(text: str) -> int:
    if found := _LENGTH.fullmatch(text):
        return int(time.time()) + int(found[1]) * _SECONDS[found[2]]
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise click.UsageError('--until is a length such as "12h" or "7d", or a date such as "2030-01-31".') from error


def _spoken(verb: Callable[[], Any]) -> dict[str, Any]:
    """Do a verb; a key or an invitation that is none is a mistake in the command."""
    try:
        result: dict[str, Any] = verb()
    except Failed as error:
        if error.code.startswith(("invalid.id", "invalid.invitation", "invalid.record.key")):
            raise fail(str(error), error.code, 2) from error
        raise
    return result
