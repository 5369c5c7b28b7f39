"""The command `intentcast`: nouns and verbs, `--json` everywhere, and exit codes a script can trust.

Commands are imported when they are called, and what is slow to import only where it is used.
"""

import signal
import sys
from importlib import import_module

import click

from intentcast_agent.interrupt import stopped

EXIT_CODES = {
    0: "ok",
    1: "failure",
    2: "usage: the command, or a file it was given, is wrong",
    3: "not found",
    4: "locked: a passphrase is missing or wrong, or the home is in use or not yours alone",
    5: "unreachable: no relay, or the agent stopped",
    6: "verification failed",
    7: "nothing yet: ask again later",
    130: "interrupted; nothing is lost",
}
_COMMANDS = {
    "init": ("setup", "Set up this agent: its keys and its relays."),
    "demand": ("demand", "Say what you want, see what each audience learns, cast it."),
    "offer": ("offer", "See, compare and decline what vendors offer."),
    "deal": ("offer", "Counter an offer, answer a question, accept; or let the agent haggle."),
    "criteria": ("criteria", "What counts for you when offers are compared."),
    "agreement": ("agreement", "List, export and verify agreements."),
    "contact": ("setup", "What the winner of an agreement is told about you."),
    "relation": ("identity", "Who knows what about you, since when, and why."),
    "identity": ("identity", "The keys this agent has, and who can see them."),
    "relay": ("relay", "The relays this agent uses."),
    "vendor": ("vendor", "Answer demands from your stock, by your policy."),
    "open": ("open", "Open the page in your browser."),
    "serve": ("serve", "Keep this agent running."),
    "backup": ("backup", "Keep a sealed copy of everything, prove it, put it back elsewhere."),
    "status": ("status", "What runs, what waits, whose turn it is."),
    "doctor": ("status", "Check this agent's setup and its relays."),
    "demo": ("demo", "See the whole thing: relays, vendors, one deal, in a minute."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"intentcast_agent.cli.{_COMMANDS[cmd_name][0]}")
        # `open` is what Python calls a function of its own.
        command: click.Command = getattr(module, "open_page" if cmd_name == "open" else cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in _COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), words) for code, words in EXIT_CODES.items()])
        with formatter.section("Environment"):
            formatter.write_dl([("INTENTCAST_HOME", "one folder for everything this agent keeps")])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="intentcast")
def cli() -> None:
    """Cast a signed demand to vendors, compare their sealed offers, agree, and keep the proof.

    \b
    Examples:
      intentcast demo                           everything, on this machine, in a minute
      intentcast init --relay wss://relay.example --relay wss://other.example
      intentcast demand draft "car under 18500 EUR in NL max 90000 km" -o car.toml
      intentcast demand cast car.toml
      intentcast offer compare d1
    """


def main() -> None:
    """Run the command line; every failure is one sentence and an exit code."""
    try:
        sys.exit(cli(prog_name="intentcast", standalone_mode=False))
    except SystemExit:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            # It may have stopped an import half way, which then cannot be done again here.
            stopped()
        # Whoever presses Ctrl-C twice still gets the sentence.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from intentcast_agent.cli.failure import explain  # noqa: PLC0415 (needed only here)

        sys.exit(explain(error, as_json="--json" in sys.argv))
