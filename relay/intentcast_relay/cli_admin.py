"""The operator's verbs of ``intentcast-relay``: they go to the running relay, or to the database when none runs."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intentcast_relay.terminal import CONFIG, NOT_FOUND, UNREACHABLE, fail, settings, told

if TYPE_CHECKING:
    from intentcast_relay.backup import Holding

_config = click.option(
    "--config", "path", type=click.Path(path_type=Path), help=f"The relay's settings; ./{CONFIG} if it is there."
)
_database = click.option("--database", type=click.Path(path_type=Path), help="Database file, instead of the file's.")


def _where(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which relay is meant."""
    return _config(_database(command))


@click.group()
def admin() -> None:
    """Tell a relay what it carries and how much; it takes effect at once."""


@admin.command()
@click.argument("subject", metavar="KEY|CATEGORY")
@click.option("--for", "term", help="How long, like 12h, 30d or 8w; without it, until it is ended.")
@click.option("--note", default="", help="Why: told to the sender of whatever is refused.")
@click.option("--purge", is_flag=True, help="Delete the public records stored already, too.")
@_where
def ban(subject: str, term: str | None, note: str, purge: bool, path: Path | None, database: Path | None) -> None:
    """Refuse what a key signs, or a category and all below it."""
    done = _tell(path, database, "ban", subject=subject, term=term, note=note, purge=purge)
    click.echo(f"{done['subject']} is banned{_until(done['until'])}.")
    if purge:
        click.echo(f"Deleted {_count(done['purged'], 'public record')}.")


@admin.command()
@click.argument("subject", metavar="KEY|CATEGORY")
@_where
def unban(subject: str, path: Path | None, database: Path | None) -> None:
    """End a ban."""
    click.echo(f"{_tell(path, database, 'unban', subject=subject)['subject']} is banned no more.")


@admin.command()
@click.argument("key")
@click.option("--note", default="", help="Why, for your own list.")
@_where
def allow(key: str, note: str, path: Path | None, database: Path | None) -> None:
    """Free a key of quotas and category bans; this ends a ban of it."""
    click.echo(f"{_tell(path, database, 'allow', key=key, note=note)['subject']} is allowed.")


@admin.command()
@click.argument("key")
@_where
def disallow(key: str, path: Path | None, database: Path | None) -> None:
    """End an allowance."""
    click.echo(f"{_tell(path, database, 'disallow', key=key)['subject']} is treated like any other key.")


@admin.command()
@click.argument("name")
@click.argument("value")
@_where
def limit(name: str, value: str, path: Path | None, database: Path | None) -> None:
    """Set a number of [limits], in place of the file's; the word "file" as VALUE ends that."""
    number = _number(value, "file")
    _tell(path, database, "limit", name=name, value=number)
    click.echo(f"{name} is {number}, whatever the file says." if number is not None else f"{name} is as the file says.")


@admin.command()
@click.argument("kind", metavar="TYPE")
@click.argument("days", metavar="DAYS")
@_where
def retention(kind: str, days: str, path: Path | None, database: Path | None) -> None:
    """Keep public records of a type (demand, profile) for DAYS at most; the word "none" ends that."""
    number = _number(days, "none")
    _tell(path, database, "retention", kind=kind, days=number)
    kept = "as long as its author says" if number is None else f"{_count(number, 'day')} at most"
    click.echo(f"A {kind} is kept {kept}.")


@admin.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print the rules as JSON.")
@_where
def list_rules(path: Path | None, database: Path | None, as_json: bool) -> None:
    """Print every rule that stands: bans, allowances, limits, retention."""
    rules = _tell(path, database, "list")
    if as_json:
        click.echo(json.dumps(rules, indent=2, ensure_ascii=False))
        return
    if not rules:
        click.echo("There are no rules.")
    for rule in rules:
        value = "" if rule["value"] is None else f" {rule['value']}"
        note = f"  {rule['note']}" if rule["note"] else ""
        click.echo(f"{rule['kind']:9} {rule['subject']}{value}{_until(rule['until'])}{note}")


@admin.command()
@click.argument("file", type=click.Path(path_type=Path))
@_where
def backup(file: Path, path: Path | None, database: Path | None) -> None:
    """Copy the database to FILE while the relay goes on; an older backup of that name is replaced."""
    with _shown() as progress:
        done = _tell(path, database, "backup", progress=progress, file=str(file.absolute()))
    total = sum(done["records"].values())
    click.echo(f"{file} holds {_count(total, 'record')} in {done['bytes']:,} bytes. Keep it private: it has the key.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Keep the database that is there aside, and replace it.")
@_where
def restore(file: Path, force: bool, path: Path | None, database: Path | None) -> None:
    """Make the relay's database anew from a backup; the relay must not run."""
    from intentcast_relay.backup import restore as restored  # noqa: PLC0415
    from intentcast_relay.store.sqlite import locked  # noqa: PLC0415

    with told():
        target = _find(path, database)
        if not file.exists():
            fail(f"{file} does not exist.", NOT_FOUND)
        with _shown() as progress:
            target.parent.mkdir(parents=True, exist_ok=True)
            with locked(target):
                holding, kept = restored(file, target, now=int(time.time()), force=force, progress=progress)
        _describe(target, holding)
        if kept is not None:
            click.echo(f"What was there before is kept as {kept}.")
        click.echo("Readers begin anew, because their places were counted in the old database.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print what it holds as JSON.")
@_where
def check(file: Path | None, path: Path | None, database: Path | None, as_json: bool) -> None:
    """Check the database, or a backup FILE, for damage, and print what it holds; the relay may run."""
    from intentcast_relay.backup import examine  # noqa: PLC0415

    with told():
        target = file or _find(path, database)
        if not target.exists():
            fail(f"{target} does not exist.", NOT_FOUND)
        holding = examine(target)
        if as_json:
            from dataclasses import asdict  # noqa: PLC0415

            click.echo(json.dumps(asdict(holding), indent=2))
        else:
            _describe(target, holding)


def _describe(path: Path, holding: "Holding") -> None:
    click.echo(f"{path} is whole: schema {holding.schema}, {holding.size:,} bytes.")
    for kind, number in holding.records.items():
        click.echo(f"  {kind:16} {number:,}")
    if holding.newest is not None:
        click.echo(f"The newest record was created {_date(holding.newest)}.")
    click.echo(f"It has {_count(holding.rules, 'rule')} of the operator's.")


def _tell(path: Path | None, database: Path | None, verb: str, *, progress: Any = None, **args: Any) -> Any:
    """Perform a verb where the relay is: in its process, or here if there is none."""
    from intentcast_relay.control import Failed, NotRunning, ask  # noqa: PLC0415

    def word(event: dict[str, Any]) -> None:
        if progress is not None:
            progress(event["done"], event["total"])

    with told():
        target = _find(path, database)
        if not target.exists():
            fail(f"{target} does not exist. Make it with: intentcast-relay init", NOT_FOUND)
        try:
            try:
                return ask(target, verb, args, word)
            except NotRunning:
                return _perform(target, verb, args, word)
        except Failed as failed:
            fail(str(failed), failed.exit_code)
        except _Busy as busy:
            fail(f"A process holds {target}, but answers no commands. Is it starting or stopping?", UNREACHABLE, busy)


class _Busy(Exception):
    """The database is locked, though nobody listens on its socket."""


def _perform(database: Path, verb: str, args: dict[str, Any], word: Any) -> Any:
    """Do a verb on the database of a relay that does not run, under its lock."""
    import asyncio  # noqa: PLC0415

    from intentcast_relay.admin import Admin  # noqa: PLC0415
    from intentcast_relay.rules import Rules  # noqa: PLC0415
    from intentcast_relay.store.contract import InUse  # noqa: PLC0415
    from intentcast_relay.store.sqlite import open_store  # noqa: PLC0415

    async def performed() -> Any:
        try:
            store = await open_store(database)
        except InUse as error:
            raise _Busy from error
        try:
            rules = Rules(await store.rules())
            return await Admin(store, rules, database, lambda: int(time.time())).perform(verb, args, word)
        finally:
            await store.close()

    return asyncio.run(performed())


def _find(path: Path | None, database: Path | None) -> Path:
    """Return the database that is meant."""
    return database or settings(path).database


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[int, int], None]]:
    """Show how far a copy is, if somebody looks."""
    last = -1

    def progress(done: int, total: int) -> None:
        nonlocal last
        share = 100 * done // max(total, 1)
        if share != last and terminal:
            last = share
            click.echo(f"\r{share:3} %", nl=False, err=True)

    terminal = sys.stderr.isatty()
    try:
        yield progress
    finally:
        if last >= 0:
            click.echo("\r     \r", nl=False, err=True)


def _number(text: str, otherwise: str) -> int | None:
    if text == otherwise:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise click.UsageError(f'"{text[:20]}" has to be a whole number, or the word "{otherwise}".')
    return int(text)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _until(moment: int | None) -> str:
    return "" if moment is None else f" until {_date(moment)}"


def _date(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
