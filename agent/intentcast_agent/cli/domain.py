"""The command `vendor domain`: what to publish at a vendor's domain, and whether its relays see it there."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.cli.call import busy, call, fail, json_option, passphrase_option, show
from intentcast_agent.cli.table import json_text, plain, when


@click.command()
@click.option("--check", is_flag=True, help="Ask each of your relays whether it sees the file, instead of printing it.")
@passphrase_option
@json_option
def domain(check: bool, as_json: bool, passphrase_file: Path | None) -> None:
    """Print the file that proves your domain: it names your key, and relays look there, for everyone's sake.

    \b
    Example: intentcast vendor domain > intentcast.json      then put it on your web server, and:
             intentcast vendor domain --check
    """
    if not check:
        result = call("vendor_domain")
        if not as_json:
            click.echo(f"Serve this at {result['url']}", err=True)
        show(result, as_json, lambda one: [json_text(one["document"], 2)])
        return
    with busy("Asking your relays…", as_json):
        result = call("vendor_domain_check")
    seen = [one for one in result["relays"].values() if one["seen"] and not one["reason"]]
    failed = None
    if len(seen) < len(result["relays"]) or not seen:
        failed = fail("Not every relay sees it. A relay that looked in vain looks again after five minutes.")
    show(result, as_json, lambda one: domain_lines(one["relays"]), failed)


def domain_lines(relays: dict[str, Any]) -> Iterable[str]:
    """Yield a line a relay: that it sees the domain, until when, or why not."""
    for relay, one in relays.items():
        if one["seen"]:
            later = f"; lately not: {plain(one['reason'], 120)}" if one["reason"] else ""
            yield f"  ✓ {relay} sees your domain, until {when(one['until'])}{later}"
        else:
            yield f"  ✗ {relay} does not see your domain: {plain(one['reason'], 120)}"
