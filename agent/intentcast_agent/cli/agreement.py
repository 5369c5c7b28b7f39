"""Commands on agreements: list, view, export, order, verify."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.cli.call import call, fail, json_option, passphrase_option, show
from intentcast_agent.cli.table import amount, json_text, plain, rows, when


@click.group()
def agreement() -> None:
    """List, export and verify agreements."""


@agreement.command("list")
@passphrase_option
@json_option
def list_agreements(as_json: bool, passphrase_file: Path | None) -> None:
    """List agreements."""
    show(call("agreement_list"), as_json, _listed)


def _listed(result: dict[str, Any]) -> Iterable[str]:
    lines = [
        (one["name"], one["vendor"], one["item"], amount(one["price"], one["currency"]), when(one["at"]))
        for one in result["agreements"]
    ]
    yield from rows(("", "vendor", "item", "total", "at"), lines, 40)
    if not lines:
        yield "No agreements yet."


@agreement.command()
@click.argument("name", metavar="AGREEMENT")
@passphrase_option
@json_option
def view(name: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Show an agreement, verified from its own bytes."""
    show(call("agreement_view", agreement=name), as_json, proof)


def proof(one: dict[str, Any]) -> Iterable[str]:
    """Yield what a verified agreement proves, and what it does not."""
    times = one["claimed_times"]
    yield "✓ both signatures hold, and the four records belong together"
    yield f"  wanted   {plain(one['title'], 80)}"
    yield f"  agreed   {plain(one['item'], 80)} for {amount(one['price'], one['currency'])} ({one['fit']})"
    yield f"  vendor   {plain(one['vendor'])}  {one['vendor_key']}"
    if one["domain"]:
        yield f"           {plain(one['domain']['name'])}, as the vendor says"
    yield f"  person   {one['person']}"
    yield f"  terms    {one['terms']}"
    moments = ", ".join(f"{what} {when(at)}" for what, at in times.items())
    yield f"  claimed  {moments}"
    for witness in one["witnesses"]:
        yield f"  witnessed by {plain(witness['url'], 80)}, which saw the domain name this key, {when(witness['seen'])}"
        yield f"           {witness['relay']}"
    if not one["witnesses"]:
        yield "  domain   not witnessed"
    yield f"  id       {one['id']}"


@agreement.command()
@click.argument("name", metavar="AGREEMENT")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@passphrase_option
@json_option
def export(name: str, output: Path | None, as_json: bool, passphrase_file: Path | None) -> None:
    """Write an agreement to a file that anyone can verify, with no network and no account."""
    result = call("agreement_bundle", agreement=name)
    path = output or Path(f"{result['name']}.agreement")
    if path.exists():
        raise fail(f"{path} exists already; name another with -o.")
    path.write_bytes(bytes.fromhex(result["bundle"]))
    told = {"path": str(path), "id": result["id"]}
    show(told, as_json, lambda _: [f"Wrote {path}. Anyone can check it: intentcast agreement verify {path}"])


@agreement.command()
@click.argument("name", metavar="AGREEMENT")
@passphrase_option
@json_option
def order(name: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Print an agreement as schema.org's Order, for other programs; only the exported file proves anything."""
    show(call("agreement_order", agreement=name), as_json, lambda one: [json_text(one["order"], 2)])


@agreement.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@json_option
def verify(file: str, as_json: bool) -> None:
    """Prove an agreement from its bytes alone: no network, no account, no clock. Exits 6 if it does not hold."""
    from intentcast_protocol.errors import IntentcastError  # noqa: PLC0415
    from intentcast_protocol.limits import MAX_BUNDLE  # noqa: PLC0415

    from intentcast_agent.evidence import agreement_view  # noqa: PLC0415

    with click.open_file(file, "rb") as stream:
        data = stream.read(MAX_BUNDLE + 1)
    try:
        result = agreement_view(data)
    except IntentcastError as error:
        failed = fail(f"This does not verify: {error}", error.code, 6)
        show({"verified": False}, as_json, lambda _: [], failed)
    else:
        show(result, as_json, proof)
