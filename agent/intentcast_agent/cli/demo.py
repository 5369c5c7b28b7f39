"""The command `intentcast demo`."""

import sys

import click


@click.command()
@click.option("--exit", "exit_at_end", is_flag=True, help="Stop when the story ends, even on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end; the story goes to stderr.")
def demo(exit_at_end: bool, as_json: bool) -> None:
    """See the whole thing on this machine: no account, no network, under a minute.

    Starts two relays and six vendors' bots as processes of their own, casts a demand, takes in offers, refuses a forged
    one, compares, haggles, agrees, proves the agreement and shows that a changed byte is refused. Your own agent is not
    touched.
    """
    from intentcast_agent.demo.story import run  # noqa: PLC0415

    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    result = run(as_json=as_json, stay=terminal and not exit_at_end and not as_json)
    if not result["ok"]:
        raise click.exceptions.Exit(1)
