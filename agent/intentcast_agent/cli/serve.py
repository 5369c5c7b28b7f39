"""The long-running agent: one process that signs, sends and counts for this home, until it is told to stop."""

import json
import logging
import sys
from pathlib import Path

import click

from intentcast_agent.cli.call import fail, home, passphrase_option, unlock
from intentcast_agent.home import lock_home


@click.command()
@click.option("--announce", is_flag=True, help="Print one JSON line when ready.")
@click.option("--page", is_flag=True, help="Serve the page on this machine too, and print an address that opens it.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where the page is; a free port if not given.")
@click.option("--restored", is_flag=True, help="This home came from a backup: ask each peer for what is missing.")
@passphrase_option
def serve(announce: bool, page: bool, port: int, restored: bool, passphrase_file: Path | None) -> None:
    """Keep this agent running: mail is read, offers are kept, a vendor's bot answers."""
    run_server(passphrase_file, announce=announce, vendor_only=False, restored=restored, page=port if page else None)


def run_server(
    passphrase_file: Path | None, *, announce: bool, vendor_only: bool, restored: bool = False, page: int | None = None
) -> None:
    """Serve this home until SIGTERM or SIGINT, with the page on port `page`; raises what opening the home can."""
    import asyncio  # noqa: PLC0415
    import signal  # noqa: PLC0415

    from intentcast_agent.agent import run_agent  # noqa: PLC0415
    from intentcast_agent.api import serve_socket  # noqa: PLC0415
    from intentcast_agent.service import Service  # noqa: PLC0415

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    place = home()

    async def work() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with run_agent(place, keystore) as agent:
            if restored:
                click.echo(f"Restored: asking in {await agent.resume_all()} sessions for what is missing.", err=True)
            await agent.go_online()
            if vendor_only and agent.responder is None:
                raise fail("This home has no vendor with a policy. See: intentcast vendor --help", "not found", 3)
            service = Service(agent)
            opened = await agent.open_page(service, page) if page is not None else None
            async with serve_socket(place, service):
                await agent.catch_up(5.0)
                if announce:
                    ready = {"ready": True, "home": str(place.config.parent), "relays": list(agent.settings.relays)}
                    ready |= {"page": opened.url} if opened else {}
                    print(json.dumps(ready), flush=True)
                else:
                    click.echo("Serving. Ctrl-C is safe: nothing is lost.", err=True)
                    if opened and sys.stderr.isatty():
                        # Only to a person: what lets a browser in has no place in a log.
                        click.echo(f"The page, for the next minute: {opened.entry()['url']}", err=True)
                await stop.wait()

    with lock_home(place):
        keystore = unlock(place, passphrase_file)
        asyncio.run(work())
