"""Commands of the criteria by which offers are compared: view, set, reset."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.cli.call import call, fail, json_option, passphrase_option, show

_MOST = 65_536  # bytes of a file that is looked into at all


@click.group()
def criteria() -> None:
    """What counts for you when offers are compared. Kept encrypted on this machine; never sent.

    \b
    Example:
      intentcast criteria view services/home > criteria.toml      then edit it, and:
      intentcast criteria set services/home --file criteria.toml
      intentcast offer compare d1
    """


@criteria.command()
@click.argument("category", default="")
@passphrase_option
@json_option
def view(category: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Print the criteria in force for a category, as a file to edit; without one, those for anything else."""
    show(call("criteria_view", category=category), as_json, lambda one: [one["text"].rstrip("\n")])


@criteria.command("set")
@click.argument("category", default="")
@click.option("--file", "file", required=True, type=click.File("rb"), help="The criteria in TOML; - reads stdin.")
@passphrase_option
@json_option
def set_criteria(category: str, file: Any, as_json: bool, passphrase_file: Path | None) -> None:
    """Keep your criteria for a category and all below it; without one, for anything that has none of its own."""
    try:
        text = file.read(_MOST).decode()
    except UnicodeDecodeError as error:
        raise fail("The criteria are not text in UTF-8.", "usage", 2) from error
    show(call("criteria_set", text=text, category=category), as_json, _kept)


@criteria.command()
@click.argument("category", default="")
@passphrase_option
@json_option
def reset(category: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Forget your criteria for a category; those of a wider one, or those that come with us, apply again."""
    show(call("criteria_reset", category=category), as_json, _kept)


def _kept(result: dict[str, Any]) -> Iterable[str]:
    whose = "Your criteria" if result["own"] else "The criteria that come with us"
    yield f"{whose} for {result['category'] or 'anything'} are in force. Next: intentcast offer compare DEMAND"
