"""Commands on backups: create, verify, restore, and the sheet to print."""

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.backup.errors import BackupLocked, BackupRefused
from intentcast_agent.cli.call import F, busy, call, fail, home, json_option, show
from intentcast_agent.cli.table import plain
from intentcast_agent.home import lock_home

_FILE = click.Path(dir_okay=False, path_type=Path)
_THERE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _passphrases(command: F) -> F:
    """Give a command the two passphrases there are: the backup's, and that of the keystore, if it has one."""
    sealed = "The backup's passphrase is the first line of this file."
    # `call` unlocks the keystore with the parameter of this name.
    keys = "The keystore's own passphrase, if it has one, is the first line of this file."
    command = click.option("--keystore-passphrase-file", "passphrase_file", type=_THERE, help=keys)(command)
    return click.option("--passphrase-file", "sealed_with", type=_THERE, help=sealed)(command)


@click.group()
def backup() -> None:
    """Keep a sealed copy of keys, sessions, agreements, ledger and settings; prove it; put it back elsewhere."""


@backup.command()
@click.argument("file", type=_FILE)
@click.option("--replace", is_flag=True, help="Replace the older backup of that name, once the new one is whole.")
@_passphrases
@json_option
def create(file: Path, replace: bool, sealed_with: Path | None, as_json: bool, passphrase_file: Path | None) -> None:
    """Write a backup to a file, while the agent runs or not.

    It has a passphrase of its own. There is no way to open it without.
    """
    from intentcast_agent.keystore import PassphraseNeeded  # noqa: PLC0415

    if file.exists() and not replace:
        raise fail(f"{file} exists already. Name another file, or replace that backup with --replace.", "usage", 2)
    secret = _secret(sealed_with, "Passphrase for the backup", confirm=True).decode("utf-8", "surrogateescape")
    try:
        with busy("Sealing the backup…", as_json):
            result = call("backup_create", passphrase=secret, path=str(file.absolute()), replace=replace)
    except PassphraseNeeded:
        raise BackupLocked(
            "The keystore has a passphrase of its own. Type it when asked, or name a file that holds it with "
            "--keystore-passphrase-file."
        ) from None
    show(result, as_json, _created)


def _created(result: dict[str, Any]) -> Iterable[str]:
    yield f"Wrote {plain(result['path'], 500)}, {result['size']} bytes."
    yield f"  fingerprint {result['fingerprint']}"
    yield "Next: intentcast backup verify FILE, and a sheet to print: intentcast backup sheet FILE"


@backup.command()
@click.argument("file", type=_THERE)
@_passphrases
@json_option
def verify(file: Path, sealed_with: Path | None, as_json: bool, passphrase_file: Path | None) -> None:
    """Prove that a backup would restore, by restoring it into a folder that is gone afterwards.

    Needs no agent. Exits 4 for a wrong passphrase and 6 for a damaged file.
    """
    import asyncio  # noqa: PLC0415

    from intentcast_agent.backup.restore import verify as prove  # noqa: PLC0415

    secret = _secret(sealed_with, "Passphrase of the backup")
    # Keys are better unpacked in the home's own folder, where there is one, than among everybody's temporary files.
    folder = home().database.parent
    with busy("Restoring it where nobody looks…", as_json) as spinner:
        ask = _keystore_secret(passphrase_file, spinner)
        work = prove(file, secret, ask, within=folder if folder.is_dir() else None)
        result = _holding(asyncio.run(work))
    show({"verified": True, **result}, as_json, lambda one: ["✓ This backup would restore.", *_held(one)])


@backup.command()
@click.argument("file", type=_THERE)
@click.option("--replace", is_flag=True, help="Put it in the place of the agent that is here, which is kept aside.")
@click.option("-y", "--yes", is_flag=True, help="With --replace: do not ask again.")
@_passphrases
@json_option
def restore(
    file: Path, replace: bool, yes: bool, sealed_with: Path | None, as_json: bool, passphrase_file: Path | None
) -> None:
    """Put a backup into an empty home. At its next start the agent asks each peer for what is missing.

    Stop the agent it was made from first, for good: two with the same keys would contradict each other.
    """
    import asyncio  # noqa: PLC0415

    from intentcast_agent.backup.restore import check_room  # noqa: PLC0415
    from intentcast_agent.backup.restore import restore as put_back  # noqa: PLC0415

    place = home()
    if check_room(place, replace=replace):
        _agree(f"Replace the agent in {place.database.parent}? Its files are kept aside.", yes=yes, as_json=as_json)
    with lock_home(place):
        secret = _secret(sealed_with, "Passphrase of the backup")
        with busy("Proving it, then putting it back…", as_json) as spinner:
            ask = _keystore_secret(passphrase_file, spinner)
            done = asyncio.run(put_back(place, file, secret, ask, now=int(time.time()), replace=replace))
    result = {"home": str(place.config.parent), "aside": [str(path) for path in done.aside], **_holding(done.holding)}
    show(result, as_json, _put_back)


def _put_back(result: dict[str, Any]) -> Iterable[str]:
    yield f"Restored into {plain(result['home'], 500)}."
    yield from _held(result)
    for path in result["aside"]:
        yield f"  kept aside: {plain(path, 500)}"
    yield "Next: intentcast serve. It asks each peer for what came later, and signs nothing there until it is back."


@backup.command()
@click.argument("file", type=_THERE)
@click.option("-o", "--output", type=_FILE, help="The file to write; without it the sheet is printed here.")
@json_option
def sheet(file: Path, output: Path | None, as_json: bool) -> None:
    """Print a recovery sheet: what to keep, where, and how to restore elsewhere. It never holds a passphrase."""
    from intentcast_agent.backup.sheet import write_sheet  # noqa: PLC0415

    text, fingerprint = write_sheet(file.absolute())
    if output and output.exists():
        raise fail(f"{output} exists already; name another with -o.")
    if output:
        output.write_text(text, encoding="utf-8")
    told = {"path": str(output) if output else None, "fingerprint": fingerprint, "text": text}
    lines = [f"Wrote {plain(output, 500)}. Print it, and keep it apart from this machine."]
    show(told, as_json, lambda _: lines if output else text.splitlines())


def backup_lines(state: dict[str, Any]) -> Iterable[str]:
    """Yield what `status` says of backups: a reminder where one is due, and what is missing after a restore."""
    if state["restored"] and state["restored"]["waiting"]:
        count = state["restored"]["waiting"]
        wait = "1 session waits" if count == 1 else f"{count} sessions wait"
        yield f"Restored from a backup: {wait} for what the other side returns."
    if state["advice"]:
        yield state["advice"]


def _secret(file: Path | None, words: str, *, confirm: bool = False) -> bytes:
    """Return the backup's passphrase, from a file or a prompt; the keystore's credential is not it."""
    found = _read(file, words, confirm=confirm)
    if found is None:
        raise BackupLocked("A backup needs its passphrase. Type it when asked, or name a file: --passphrase-file.")
    return found


def _keystore_secret(file: Path | None, spinner: Any) -> Callable[[], bytes | None]:
    def ask() -> bytes | None:
        if spinner:
            spinner.stop()  # it would write over what is asked
        return _read(file, "Passphrase of the keystore in it")

    return ask


def _read(file: Path | None, words: str, *, confirm: bool = False) -> bytes | None:
    from intentcast_agent.passphrase import read_passphrase  # noqa: PLC0415

    asks = sys.stdin.isatty() and sys.stderr.isatty()
    prompt = (lambda: click.prompt(words, hide_input=True, confirmation_prompt=confirm, err=True)) if asks else None
    return read_passphrase(file=file, env={}, prompt=prompt)


def _agree(question: str, *, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise BackupRefused(f"{question} Nobody can be asked here; to go on all the same, say --yes.")
    click.confirm(question, abort=True, err=True)


def _holding(holding: Any) -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415

    return {**asdict(holding), "relays": list(holding.relays), "notes": list(holding.notes)}


def _held(one: dict[str, Any]) -> Iterable[str]:
    since = f", holds what happened since {_day(one['since'])}" if one["since"] else ""
    yield f"  made       {_day(one['made'])}{since}"
    yield f"  demands    {one['demands']}, {one['open_demands']} open"
    yield f"  sessions   {one['sessions']}, {one['open_sessions']} open"
    yield f"  agreements {one['agreements']}, each verified; {one['disclosures']} entries on who was told what"
    if one["stock"]:
        yield f"  stock      {one['stock']}"
    yield f"  keys       behind {'a passphrase of their own' if one['protected'] else 'a key file, which is in it'}"
    yield f"  relays     {plain(', '.join(one['relays']) or 'none', 200)}"
    for note in one["notes"]:
        yield f"  ! {plain(note, 300)}"


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
