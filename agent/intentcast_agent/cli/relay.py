"""Commands on the relays that carry this home's demands and offers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.cli.call import call, fail, json_option, passphrase_option, show
from intentcast_agent.cli.table import plain, rows


@click.group()
def relay() -> None:
    """The relays you use: two or more, so that none of them can keep an answer from you."""


@relay.command("list")
@passphrase_option
@json_option
def list_relays(as_json: bool, passphrase_file: Path | None) -> None:
    """List them, with what waits for each."""
    show(call("relay_list"), as_json, _rows)


@relay.command()
@click.argument("url")
@passphrase_option
@json_option
def check(url: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Dial a relay now, on a connection that says nothing of you."""
    result = call("relay_check", relay=url)
    failed = None if result["up"] else fail(result["found"], "unreachable", 5)
    show(result, as_json, lambda one: [f"{plain(one['url'], 100)}: {one['found']}"] if one["up"] else [], failed)


@relay.command()
@click.argument("url")
@click.option("--anyway", is_flag=True, help="Even though it does not answer now.")
@passphrase_option
@json_option
def add(url: str, anyway: bool, as_json: bool, passphrase_file: Path | None) -> None:
    """Use a relay for demands to come, if it answers."""
    _changed(call("relay_add", relay=url, anyway=anyway), as_json)


@relay.command()
@click.argument("url")
@passphrase_option
@json_option
def remove(url: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Stop using a relay for demands to come; those that are cast keep theirs."""
    _changed(call("relay_remove", relay=url), as_json)


def _changed(result: dict[str, Any], as_json: bool) -> None:
    show(result, as_json, _rows, None if result["changed"] else fail(f"Nothing changed: {result['why']}."))


def _rows(result: dict[str, Any]) -> Iterable[str]:
    yield from rows(
        ("relay", "now", "waiting", "refused"),
        [
            (one["url"] if one["in_use"] else f"{one['url']} (earlier demands)",
             "connected" if one["connected"] else "not connected", one["queued"], one["failed"])
            for one in result["relays"]
        ],
    )  # fmt: skip
    if not result["relays"]:
        yield "No relays yet. Next: intentcast relay add URL"
