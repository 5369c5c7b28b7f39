"""Commands that set an agent up: init, contact."""

from pathlib import Path
from typing import Any

import click

from intentcast_agent.cli.call import call, fail, home, json_option, passphrase_option, show
from intentcast_agent.home import lock_home

_CONTACT = ("name", "email", "telephone", "streetAddress", "postalCode", "addressLocality", "addressCountry")


@click.command()
@click.option("--relay", "relays", multiple=True, metavar="URL", help="A relay to use; give two or more.")
@click.option("--passphrase-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Protect the keys with the first line of this file.")  # fmt: skip
@click.option("--passphrase", "ask_passphrase", is_flag=True, help="Ask for a passphrase to protect the keys.")
@json_option
def init(relays: tuple[str, ...], passphrase_file: Path | None, ask_passphrase: bool, as_json: bool) -> None:
    """Set up this agent. Safe to run again: keys that exist are kept, relays are replaced.

    Without a passphrase the keys are in a file that only your account can read; set one any time by running this
    again. There is no way to reset a forgotten passphrase.
    """
    show(prepare_home(relays, passphrase_file, ask_passphrase), as_json, _told)


def prepare_home(relays: tuple[str, ...], passphrase_file: Path | None, ask_passphrase: bool) -> dict[str, Any]:
    """Make keys and settings where they are missing; return what there is now."""
    from intentcast_agent.keystore import create, open_keystore, status  # noqa: PLC0415
    from intentcast_agent.settings import Settings, read_settings, write_settings  # noqa: PLC0415

    place = home()
    _check_relays(relays)
    with lock_home(place):
        state = status(place.keystore)
        passphrase = _passphrase(passphrase_file, ask_passphrase)
        if state == "missing":
            create(place.keystore, passphrase)
        elif state == "keyfile" and passphrase is not None:
            open_keystore(place.keystore, None).set_passphrase(None, passphrase)
        elif passphrase is not None:
            open_keystore(place.keystore, passphrase)
        use = relays or read_settings(place).relays
        write_settings(place, Settings(use))
    return {
        "home": str(place.config.parent),
        "keystore": "kept" if state != "missing" else "created",
        "protected": "passphrase" if passphrase is not None or state == "passphrase" else "keyfile",
        "relays": list(use),
    }


def _told(result: dict[str, Any]) -> list[str]:
    guard = "a passphrase" if result["protected"] == "passphrase" else "a file only your account can read"
    relays = ", ".join(result["relays"]) or "none yet: intentcast init --relay URL --relay URL"
    return [
        f"Keys {result['keystore']}, protected by {guard}.",
        f"Relays: {relays}",
        f"Everything is under {result['home']}",
        "Next: intentcast demand draft --template -o want.toml",
    ]


def _check_relays(relays: tuple[str, ...]) -> None:
    from intentcast_protocol.errors import InvalidMessage  # noqa: PLC0415
    from intentcast_protocol.vocabulary import read_relays  # noqa: PLC0415

    if relays:
        try:
            read_relays(list(relays), "invalid.profile.malformed")
        except InvalidMessage as error:
            raise fail(f"--relay: {error.detail}.", "usage", 2) from error


def _passphrase(file: Path | None, ask_for_it: bool) -> bytes | None:
    from intentcast_agent.passphrase import read_passphrase  # noqa: PLC0415

    if file:
        return read_passphrase(file=file, env={}, prompt=None)
    if ask_for_it:
        words = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
        return str(words).encode()
    return None


@click.group()
def contact() -> None:
    """What the winner of an agreement is told about you, and nobody before."""


@contact.command("view")
@passphrase_option
@json_option
def contact_view(as_json: bool, passphrase_file: Path | None) -> None:
    """Show it."""
    show(call("contact_view"), as_json, _contact_lines)


@contact.command("set")
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=VALUE…")
@passphrase_option
@json_option
def contact_set(pairs: tuple[str, ...], as_json: bool, passphrase_file: Path | None) -> None:
    """Change it, e.g. name="A. Person" email=me@mail.example; an empty value forgets one."""
    given = dict(pair.partition("=")[::2] for pair in pairs)
    if unknown := given.keys() - set(_CONTACT):
        raise click.UsageError(f"{min(unknown)} is none of {', '.join(_CONTACT)}")
    show(call("contact_set", contact=given), as_json, _contact_lines)


def _contact_lines(result: dict[str, Any]) -> list[str]:
    from intentcast_agent.cli.table import plain  # noqa: PLC0415

    lines = [f"{name}: {plain(value)}" for name, value in result["contact"].items()]
    return lines or ["Nothing yet. Set it: intentcast contact set name=… email=…"]
