"""The command ``intentcast-relay``: set a relay up, run it, ask one about itself.

Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 5 unreachable. Heavy modules are imported by the verb that needs
them, so that ``--help`` answers at once.
"""

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from intentcast_relay import VERSION

if TYPE_CHECKING:
    from intentcast_relay.config import Config
    from intentcast_relay.server import Relay

FAILURE: Final = 1
NOT_FOUND: Final = 3
UNREACHABLE: Final = 5
CONFIG: Final = "relay.toml"
_log = logging.getLogger("intentcast_relay")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="intentcast-relay")
def main() -> None:
    """Run a relay: it carries signed demands, and sealed answers it cannot read."""


@main.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(), help="Folder to set up.")
def init(folder: Path) -> None:
    """Write a commented relay.toml and create the database."""
    from intentcast_relay.config import load, template  # noqa: PLC0415
    from intentcast_relay.store.sqlite import create  # noqa: PLC0415

    path = folder / CONFIG
    with _told():
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
    """Run the relay until SIGTERM or Ctrl-C; then flush and exit within 10 seconds."""
    import asyncio  # noqa: PLC0415

    with _told():
        config = _settings(path)
        if listen:
            from intentcast_relay.config import split_listen  # noqa: PLC0415

            split_listen(listen)
            config = replace(config, listen=listen)
        if database:
            config = replace(config, database=database)
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        # The threads that check signatures ask for the interpreter after each one; at the usual 5 ms they starve.
        sys.setswitchinterval(0.001)
        asyncio.run(_serve(config, announce))


async def _serve(config: "Config", announce: str | None) -> None:
    import asyncio  # noqa: PLC0415

    from intentcast_relay.server import Relay  # noqa: PLC0415

    relay = Relay(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await relay.start()
    failed = loop.create_task(relay.wait())
    stopped = loop.create_task(stop.wait())
    try:
        if announce:
            _announce(announce, relay)
        now = relay.config
        _log.info("listening on %s as %s, database %s", now.listen, now.url, now.database)
        await asyncio.wait({failed, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            failed.result()
    finally:
        stopped.cancel()
        await relay.stop()
        await asyncio.gather(failed, stopped, return_exceptions=True)


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
    with _told():
        if not url:
            config = _settings(path)
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


def _settings(path: Path | None) -> "Config":
    from intentcast_relay.config import Config, load  # noqa: PLC0415

    if path is not None:
        if not path.exists():
            click.echo(f"{path} does not exist. Make one with: intentcast-relay init", err=True)
            raise SystemExit(NOT_FOUND)
        return load(path)
    return load(Path(CONFIG)) if Path(CONFIG).exists() else Config()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what an operator can mend into one sentence and exit code 1."""
    from intentcast_relay.config import ConfigError  # noqa: PLC0415
    from intentcast_relay.store.contract import StoreError  # noqa: PLC0415

    try:
        yield
    except (ConfigError, StoreError) as error:
        click.echo(str(error), err=True)
        raise SystemExit(FAILURE) from error
    except OSError as error:
        click.echo(f"{error.filename or 'The system'}: {error.strerror or error}.", err=True)
        raise SystemExit(FAILURE) from error
