"""The command ``intentcast-relay``: set a relay up, run it, ask one about itself.

Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 5 unreachable. Heavy modules are imported by the verb that needs
them, so that ``--help`` answers at once.
"""

import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intentcast_relay import VERSION
from intentcast_relay.cli_admin import admin, check, restore
from intentcast_relay.terminal import CONFIG, FAILURE, UNREACHABLE, settings, told

if TYPE_CHECKING:
    from intentcast_relay.config import Config
    from intentcast_relay.server import Relay


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="intentcast-relay")
def main() -> None:
    """Run a relay: it carries signed demands, and sealed answers it cannot read."""


main.add_command(admin)
main.add_command(restore)
main.add_command(check)


@main.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(), help="Folder to set up.")
def init(folder: Path) -> None:
    """Write a commented relay.toml and create the database."""
    from intentcast_relay.config import load, template  # noqa: PLC0415
    from intentcast_relay.store.sqlite import create  # noqa: PLC0415

    path = folder / CONFIG
    with told():
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            click.echo(f"{path} is already there and stays as it is.")
        else:
            path.write_text(template(), encoding="utf-8")
            click.echo(f"Wrote {path}.")
        database = load(path).database
        create(database)
        click.echo(f"The database is {database}.")
        click.echo(f"Start the relay with: intentcast-relay serve --config {path}")


@main.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help=f"Settings; ./{CONFIG} if it is there.")
@click.option("--listen", help="Interface and port, instead of the file's; port 0 picks a free one.")
@click.option("--database", type=click.Path(path_type=Path), help="Database file, instead of the file's.")
@click.option("--announce", help="Once ready, write one JSON line {url, pid} to this file, or to stdout for -.")
def serve(path: Path | None, listen: str | None, database: Path | None, announce: str | None) -> None:
    """Run the relay until SIGTERM or Ctrl-C; then flush and exit within 10 seconds.

    The settings file is read again when it changes, and on SIGHUP.
    """
    import asyncio  # noqa: PLC0415

    from intentcast_relay.config import split_listen  # noqa: PLC0415
    from intentcast_relay.log import configure  # noqa: PLC0415

    def override(config: "Config") -> "Config":
        return replace(config, listen=listen or config.listen, database=database or config.database)

    with told():
        if listen:
            split_listen(listen)
        config = override(settings(path))
        configure(config.log)
        # The store's thread asks for the interpreter after each statement; at the usual 5 ms every ack would wait.
        sys.setswitchinterval(0.001)
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        asyncio.run(_serve(config, path or Path(CONFIG), override, announce))


async def _serve(config: "Config", path: Path, override: "Callable[[Config], Config]", announce: str | None) -> None:
    import asyncio  # noqa: PLC0415

    from intentcast_relay.log import tell  # noqa: PLC0415
    from intentcast_relay.reload import Reload  # noqa: PLC0415
    from intentcast_relay.server import Relay  # noqa: PLC0415
    from intentcast_relay.store.contract import StoreError  # noqa: PLC0415

    relay = Relay(config)
    reload = Reload(path, relay, config, override)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.wake)
    await relay.start()
    failed = loop.create_task(relay.wait())
    watching = loop.create_task(reload.run())
    stopped = loop.create_task(stop.wait())
    try:
        if announce:
            _announce(announce, relay)
        now = relay.config
        tell("started", listen=now.listen, url=now.url, database=str(now.database), metrics=now.metrics.listen)
        await asyncio.wait({failed, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if failed.done() and (error := failed.exception()):
            tell("failed", logging.ERROR, why=str(error) if isinstance(error, StoreError) else type(error).__name__)
            raise error
    finally:
        stopped.cancel()
        watching.cancel()
        await relay.stop()
        await asyncio.gather(failed, stopped, watching, return_exceptions=True)


def _announce(target: str, relay: "Relay") -> None:
    line = json.dumps({"url": relay.config.url, "pid": os.getpid()})
    if target == "-":
        click.echo(line)
        sys.stdout.flush()
        return
    path = Path(target)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(line + "\n", encoding="utf-8")
    fresh.replace(path)


@main.command()
@click.argument("url", required=False)
@click.option("--config", "path", type=click.Path(path_type=Path), help="Ask the relay these settings describe.")
@click.option("--json", "as_json", is_flag=True, help="Print the info document as JSON.")
def info(url: str | None, path: Path | None, as_json: bool) -> None:
    """Print the info document of a running relay."""
    if url and path:
        raise click.UsageError("Give an address or --config, not both.")
    with told():
        if not url:
            config = settings(path)
            url = f"ws://{config.listen}"
        found = _ask(url)
        if as_json:
            click.echo(json.dumps(found, indent=2, ensure_ascii=False))
            return
        for key, value in found.items():
            shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
            click.echo(f"{key:12} {shown}")


def _ask(url: str) -> dict[str, object]:
    import http.client  # noqa: PLC0415
    from urllib.parse import urlsplit  # noqa: PLC0415

    from intentcast_relay.config import ConfigError, check_url  # noqa: PLC0415

    address = url if "://" in url else f"ws://{url}"
    try:
        parts = urlsplit(check_url(address.replace("http", "ws", 1) if address.startswith("http") else address))
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    kind = http.client.HTTPSConnection if parts.scheme == "wss" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", "/", headers={"Accept": "application/json"})
        response = connection.getresponse()
        found = json.loads(response.read(65_536))
    except (OSError, http.client.HTTPException) as error:
        click.echo(f"{url} cannot be reached: {error}.", err=True)
        raise SystemExit(UNREACHABLE) from error
    except ValueError as error:
        click.echo(f"{url} answers, but not as a relay does.", err=True)
        raise SystemExit(FAILURE) from error
    finally:
        connection.close()
    if response.status != 200 or not isinstance(found, dict) or "protocol" not in found:
        click.echo(f"{url} answers, but not as a relay does.", err=True)
        raise SystemExit(FAILURE)
    return found
