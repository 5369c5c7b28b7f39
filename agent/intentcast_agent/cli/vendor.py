"""Commands of a vendor: init, feed, policy, deals, serve; and, from their own modules, domain and invitation."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.api import NoAgent, ask
from intentcast_agent.cli.call import call, fail, home, json_option, passphrase_option, show, unlock
from intentcast_agent.cli.dealing import amend, answer, deliver, question
from intentcast_agent.cli.domain import domain
from intentcast_agent.cli.invitation import invitation
from intentcast_agent.cli.serve import run_server
from intentcast_agent.cli.setup import prepare_home
from intentcast_agent.cli.table import plain, rows, when
from intentcast_agent.home import lock_home
from intentcast_agent.settings import policy_path, write_policy

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def vendor() -> None:
    """Answer demands from your stock, by your policy.

    \b
    Example:
      intentcast vendor init --relay wss://relay.example
      intentcast vendor policy template > policy.toml      then edit it, and:
      intentcast vendor policy set policy.toml
      intentcast vendor feed load stock.tsv
      intentcast vendor serve
    """


for _command in (domain, invitation, question, answer, amend, deliver):
    vendor.add_command(_command)


@vendor.command()
@click.option("--relay", "relays", multiple=True, metavar="URL", help="A relay to listen on; give two or more.")
@passphrase_option
@json_option
def init(relays: tuple[str, ...], as_json: bool, passphrase_file: Path | None) -> None:
    """Set up this home as a vendor: its long-lived key V. Safe to run again."""
    from intentcast_protocol.identity import did, public_key  # noqa: PLC0415

    from intentcast_agent.dialogue import new_seed  # noqa: PLC0415

    result = prepare_home(relays, passphrase_file, False)
    place = home()
    with lock_home(place):
        keystore = unlock(place, passphrase_file)
        for name in ("vendor", "profile-seal"):
            if keystore.get(name) is None:
                keystore.put(name, new_seed())
        result["key"] = did(public_key(keystore.get("vendor")))
    show(result, as_json, _init_lines)


def _init_lines(one: dict[str, Any]) -> Iterable[str]:
    yield f"Vendor key {one['key']}"
    yield f"Relays: {', '.join(one['relays']) or 'none yet: intentcast vendor init --relay URL --relay URL'}"
    yield f"Everything is under {one['home']}"
    yield "Next: intentcast vendor policy template > policy.toml"


@vendor.group()
def feed() -> None:
    """The stock file you already have: CSV or TSV in the merchant feed's headers or your own, or JSON-LD."""


@feed.command()
@click.argument("file", type=_FILE)
@click.option("--mapping", type=_FILE, help="A TOML file that says which column is what.")
@json_option
def check(file: Path, mapping: Path | None, as_json: bool) -> None:
    """Read a feed and say what would be loaded, and what is wrong by row and column. Changes nothing."""
    from intentcast_agent.view import feed_view  # noqa: PLC0415

    show(feed_view(_read(file, mapping)), as_json, _feed_lines)


@feed.command()
@click.argument("file", type=_FILE)
@click.option("--mapping", type=_FILE, help="A TOML file that says which column is what.")
@click.option("--name", help="What to call this feed; loading it again replaces its items. Default: the file's name.")
@passphrase_option
@json_option
def load(file: Path, mapping: Path | None, name: str | None, as_json: bool, passphrase_file: Path | None) -> None:
    """Load a feed into stock. Broken rows are reported and left out; the rest is loaded.

    \b
    A mapping, for columns with names of your own:
      [columns.number]
      path = "sku"
      [columns.price_eur]
      path = "price"
      currency = "EUR"
      [columns.km]
      path = "item.mileageFromOdometer"
      unit = "KMT"
      [columns.fuel]
      path = "item.fuelType"
      values = { Gasoline = "Petrol" }
      [defaults]
      category = "vehicles-parts/vehicles/motor-vehicles/cars-trucks-vans"
      name = "{manufacturer} {model}"
    """
    _read(file, mapping)  # here first, so that what is wrong with it is said at once
    where = str(mapping.absolute()) if mapping else None
    result = call("vendor_load", file=str(file.absolute()), name=name or file.name, mapping=where)
    show(result, as_json, _feed_lines)


def _read(file: Path, mapping: Path | None) -> Any:
    from intentcast_agent.vendor.inventory.feed import read_feed  # noqa: PLC0415
    from intentcast_agent.vendor.inventory.mappingfile import load_mapping  # noqa: PLC0415

    return read_feed(file, load_mapping(mapping) if mapping else None)


def _feed_lines(result: dict[str, Any]) -> Iterable[str]:
    yield f"{result['loaded']} of {result['rows']} rows are good, read as {result['mapping']}."
    if result["skipped"]:
        yield f"{result['skipped']} are out of stock and left out."
    if result["unmapped"]:
        yield f"Columns not used: {', '.join(plain(name, 30) for name in result['unmapped'][:20])}"
    for one in result["errors"][:20]:
        where = f"row {one['row']}, {plain(one['column'], 30)}"
        yield f"  {where}: {plain(one['reason'], 120)} ({plain(one['value'], 40)})"
    if len(result["errors"]) > 20:
        yield f"  … and {len(result['errors']) - 20} more; all with --json"
    if "stock" in result:
        yield f"In stock now: {result['stock']}. Next: intentcast vendor serve"


@vendor.group()
def policy() -> None:
    """Your prices and limits, in ten lines of TOML. It never leaves this machine."""


@policy.command()
@json_option
def template(as_json: bool) -> None:
    """Print a policy to edit."""
    from intentcast_agent.vendor.policy import POLICY_TEMPLATE  # noqa: PLC0415

    show({"policy": POLICY_TEMPLATE}, as_json, _policy_lines)


def _policy_lines(result: dict[str, str]) -> Iterable[str]:
    yield result["policy"].rstrip("\n")


@policy.command("set")
@click.argument("file", type=_FILE)
@json_option
def set_policy(file: Path, as_json: bool) -> None:
    """Check a policy and use it from now on, also in a bot that is at work."""
    from intentcast_agent.vendor.policy import read_policy  # noqa: PLC0415

    text = _text(file)
    checked = read_policy(text)
    place = home()
    try:
        ask(place, "vendor_policy", {"text": text})
    except NoAgent:
        with lock_home(place):
            write_policy(place, text)
    result = {"name": checked.name, "currency": checked.currency}
    show(result, as_json, lambda one: [f"The policy of {one['name']} is set. Next: intentcast vendor feed load FILE"])


@policy.command("show")
@json_option
def show_policy(as_json: bool) -> None:
    """Print the policy in use."""
    show({"policy": _policy_in_use()}, as_json, _policy_lines)


def _policy_in_use() -> str:
    path = policy_path(home())
    if not path.exists():
        raise fail("There is no policy yet. See: intentcast vendor policy template", "not found", 3)
    return path.read_text(encoding="utf-8")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file} is not UTF-8 text.") from error


@policy.command("test")
@click.argument("file", type=_FILE, required=False)
@click.option("--sku", help="Only this item. Default: the stock, its first 50 items.")
@click.option("--opens", default="80%", show_default=True, help="What the made-up person first offers, of your first.")
@click.option("--pays", default="95%", show_default=True, help="What they would pay at most, of your first offer.")
@passphrase_option
@json_option
def test_policy(
    file: Path | None, sku: str | None, opens: str, pays: str, as_json: bool, passphrase_file: Path | None
) -> None:
    """Rehearse a policy, the one in use by default: what your bot would say to a made-up person. Changes nothing."""
    from intentcast_agent.vendor.entry import PolicyError, read_percent  # noqa: PLC0415
    from intentcast_agent.vendor.policy import read_policy  # noqa: PLC0415

    text = _text(file) if file else _policy_in_use()
    read_policy(text)  # here first, so that what is wrong with it is said at once
    for option, share in (("--opens", opens), ("--pays", pays)):
        try:
            read_percent(option, share)
        except PolicyError as error:
            raise click.UsageError(f"{option} is a share such as 80%, from 0% to 100%.") from error
    result = call("vendor_policy_test", text=text, opens=opens, pays=pays, sku=sku)
    show(result, as_json, _rehearsal_lines)


def _rehearsal_lines(result: dict[str, Any]) -> Iterable[str]:
    person, items = result["person"], result["items"]
    yield (
        f"A simulation: a made-up person offers {person['opens']} of the first total, then evenly more up to "
        f"{person['pays']}. Real ones differ."
    )
    if result["budget_left"] is not None:
        yield f"Left of the concession budget: {result['budget_left']} {result['currency']}."
    offered = [one for one in items if "first" in one]
    yield from rows(
        ("item", "list", "first offer", "floor, net", "lowest, net", "deal", "net", "margin"),
        [
            (one["sku"], one["list"], one["first"]["total"], one["floor"], one["lowest"], one["deal"] or "none",
             one["net"] or "–", one["margin"] or "–")
            for one in offered
        ],
        30,
    )  # fmt: skip
    if len(items) == 1 and offered:
        yield from rows(
            ("their counter", "your bot", "total", "net", "conditions"),
            [
                (one["counter"], one["answer"], one["total"], one["net"], _conditions(one))
                for one in offered[0]["rounds"]
            ],
        )
    for one in items:
        if "reason" in one:
            yield f"  {plain(one['sku'])} is not offered: {one['reason']}"
    if result["total"] > len(items):
        yield f"… and {result['total'] - len(items)} more items. One alone, with its rounds: --sku SKU"
    yield "Net is without fees and less what the conditions cost you; margin is what lies above the floor."


def _conditions(one: dict[str, Any]) -> str:
    found = one["conditions"]
    parts = [f"in {found['deliveryLeadTime']['value']} days"] if "deliveryLeadTime" in found else []
    parts += [f"{found['warranty']['durationOfWarranty']['value']} months"] if "warranty" in found else []
    return ", ".join([*parts, *found.get("addOn", ())]) or "–"


@vendor.command()
@passphrase_option
@json_option
def deals(as_json: bool, passphrase_file: Path | None) -> None:
    """List what became of each demand: answered or passed, and why."""
    show(call("vendor_deals"), as_json, _deal_lines)


def _deal_lines(result: dict[str, Any]) -> Iterable[str]:
    yield from rows(
        ("", "outcome", "item", "state", "at", "why"),
        [
            (
                one["session"] or "–",
                when(one["at"]),
                one["outcome"],
                one["sku"] or "–",
                one["state"] or "–",
                one["reason"],
            )
            for one in result["deals"]
        ],
    )
    for one in result["deals"]:
        if one["contact"]:
            yield f"  {plain(one['sku'])} goes to: " + ", ".join(
                f"{plain(k)} {plain(v)}" for k, v in one["contact"].items()
            )
    if not result["deals"]:
        yield f"No demand seen yet; {result['stock']} items in stock."


@vendor.command()
@click.option("--announce", is_flag=True, help="Print one JSON line when ready.")
@passphrase_option
def serve(announce: bool, passphrase_file: Path | None) -> None:
    """Listen for demands and answer them until stopped."""
    run_server(passphrase_file, announce=announce, vendor_only=True)
