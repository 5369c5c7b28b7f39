"""Commands on who the agent is to others, and who knows what of the person: identity, relation."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.cli.call import call, json_option, passphrase_option, show
from intentcast_agent.cli.table import plain, when


@click.group()
def identity() -> None:
    """The keys this agent has. A person has no identity that outlives a demand."""


@identity.command()
@passphrase_option
@json_option
def view(as_json: bool, passphrase_file: Path | None) -> None:
    """Say which keys there are, what protects them, and which of them others can see; no secret is shown."""
    show(call("identity_view"), as_json, _viewed)


def _viewed(one: dict[str, Any]) -> Iterable[str]:
    guard = "a passphrase" if one["protected"] == "passphrase" else "a file only your account can read"
    yield f"Keys are protected by {guard}, under {one['folder']}"
    yield f"Demands: {one['demand_keys']} with a key of their own, {one['erased_keys']} whose key is erased."
    if one["vendor"]:
        yield f"Vendor:  {one['vendor']}, which everyone can see"


@click.group()
def relation() -> None:
    """Who knows what about you, since when, and why."""


@relation.command("list")
@passphrase_option
@json_option
def list_relations(as_json: bool, passphrase_file: Path | None) -> None:
    """List the vendors that ever answered you, with what each was told."""
    show(call("relation_list"), as_json, _listed)


def _listed(result: dict[str, Any]) -> Iterable[str]:
    for one in result["relations"]:
        sessions = ", ".join(session["name"] for session in one["sessions"])
        yield f"{plain(one['vendor'])}  {plain(one['witnessed'] or 'domain not witnessed')}  ({sessions})"
        for told in one["told"]:
            value = "" if told.get("value") is None else f": {plain(told['value'], 80)}"
            yield f"  knows {plain(told['attribute'])}{value}, since {when(told['at'])} ({plain(told['reason'], 80)})"
        if not one["told"]:
            yield "  knows nothing but the demand itself" + (" and your answers" if one["said"] else "")
    if not result["relations"]:
        yield "No vendor has answered you yet, so none knows anything."
