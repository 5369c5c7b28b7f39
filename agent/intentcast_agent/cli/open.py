"""`intentcast open`: the page in a browser, from the agent that runs or from one that is started for it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from intentcast_agent.api import NoAgent, ask
from intentcast_agent.cli.call import ask_passphrase, fail, home, json_option, passphrase_option, show
from intentcast_agent.cli.setup import prepare_home
from intentcast_agent.home import Home

_STARTS_WITHIN = 30.0  # s
_LOOK_AGAIN = 0.05  # s


@click.command("open")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where the page is; a free port if not given.")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@passphrase_option
@json_option
def open_page(port: int, no_browser: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Open the page. The agent is started if it does not run, and keeps running.

    The address is good once, for a minute, in one browser on this machine. It needs no set-up before: a new agent's
    keys are made, in a file that only your account can read.
    """
    place = home()
    made: dict[str, Any] | None = None
    try:
        result = ask(place, "page_open", {"port": port})
    except NoAgent:
        if not place.keystore.exists():
            made = prepare_home((), None, False)
        result = _start(place, port, passphrase_file)
    browsed = not no_browser and not as_json and _browse(place, result["url"])
    show({**result, "new": made}, as_json, lambda one: _told(one, browsed))


def _told(result: dict[str, Any], browsed: bool) -> Iterable[str]:
    if result["new"]:
        yield f"Made this agent's keys, in a file only your account can read, under {result['new']['home']}"
    if "pid" in result:
        yield f"The agent was started and keeps running. Stop it with: kill {result['pid']}"
    if browsed:
        yield "Your browser opens it. If it does not, open this in it within a minute:"
    else:
        yield "Open this within a minute, in a browser on this machine:"
    yield result["url"]


def _start(place: Home, port: int, passphrase_file: Path | None) -> Any:
    """Start an agent with its page, and return the address once it answers; raises Failed with what it said."""
    passphrase = ask_passphrase(place, passphrase_file)
    command = [sys.executable, "-m", "intentcast_agent", "serve", "--page", "--port", str(port)]
    inherited: tuple[int, ...] = ()
    if passphrase is not None:
        # Through a pipe: neither argv nor the environment is a place for it.
        source, sink = os.pipe()
        os.write(sink, passphrase + b"\n")
        os.close(sink)
        command += ["--passphrase-file", f"/dev/fd/{source}"]
        inherited = (source,)
    place.prepare()
    with place.log.open("ab") as log:
        place.log.chmod(0o600)
        before = log.tell()
        agent = subprocess.Popen(  # noqa: S603 (our own interpreter, our own words)
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=inherited, start_new_session=True
        )
    for one in inherited:
        os.close(one)
    until = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < until:
        with suppress(NoAgent):
            return {**ask(place, "page_open", {"port": port}), "pid": agent.pid}
        if (code := agent.poll()) is not None:
            raise fail(_last_words(place.log, before), exit_code=code or 1)
        time.sleep(_LOOK_AGAIN)
    agent.terminate()
    raise fail(f"The agent did not start in {_STARTS_WITHIN:.0f} seconds. Its log: {place.log}", "unreachable", 5)


def _last_words(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        said = file.read(65_536).decode("utf-8", "replace").strip().splitlines()
    return said[-1].removeprefix("intentcast: ") if said else f"The agent could not start. Its log: {log}"


def _browse(place: Home, url: str) -> bool:
    """Show an address in the person's browser, where there is a screen to show one on.

    By way of a file that only this account can read: every account sees what a browser is started with.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    import webbrowser  # noqa: PLC0415

    way = place.socket.with_name("open.html")
    way.unlink(missing_ok=True)
    with os.fdopen(os.open(way, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={url}"><a href="{url}">Continue</a>\n')
    return webbrowser.open(way.as_uri())
