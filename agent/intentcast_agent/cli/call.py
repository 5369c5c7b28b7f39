"""Getting a verb done: by the agent that runs, or here, under the same lock, when none does."""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import click

from intentcast_agent.api import Failed, NoAgent, ask
from intentcast_agent.cli.table import json_text
from intentcast_agent.home import Home, find_home, lock_home

# Verbs that look at what vendors sent: without a running agent the mail is read first.
_READS_MAIL = frozenset({
    "agreement_list", "deal_answer", "deal_ask", "deal_counter", "deal_dispute", "deal_received", "demand_view",
    "demand_withdraw", "offer_compare", "offer_decline", "offer_list", "offer_view", "vendor_amend", "vendor_answer",
    "vendor_deliver", "vendor_question_list",
})  # fmt: skip
_OPENED = "intentcast.keystore"
F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Give a command the ``--json`` flag."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def passphrase_option(command: F) -> F:
    """Give a command the ``--passphrase-file`` option."""
    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    words = "Unlock with the first line of this file."
    return click.option("--passphrase-file", type=kind, help=words)(command)


def home() -> Home:
    """Return this account's home, or the one INTENTCAST_HOME names."""
    return find_home(os.environ)


def unlock(place: Home, passphrase_file: Path | None = None) -> Any:
    """Open the keystore: by key file, passphrase file, systemd credential or prompt. Raises KeystoreError."""
    from intentcast_agent.keystore import open_keystore  # noqa: PLC0415

    return open_keystore(place.keystore, ask_passphrase(place, passphrase_file))


def ask_passphrase(place: Home, passphrase_file: Path | None) -> bytes | None:
    """Return the passphrase if the keystore wants one and a source has it; raises Failed where there is no keystore."""
    from intentcast_agent.keystore import status  # noqa: PLC0415
    from intentcast_agent.passphrase import read_passphrase  # noqa: PLC0415

    state = status(place.keystore)
    if state == "missing":
        raise fail("This agent is not set up yet. Start with: intentcast init", "not found", 3)
    if state != "passphrase":
        return None
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    prompt = (lambda: click.prompt("Passphrase", hide_input=True, err=True)) if asks else None
    return read_passphrase(file=passphrase_file, env=os.environ, prompt=prompt)


class Enough(Exception):
    """What an event handler waited for has come; `call` ends and returns None."""


class Unfinished(Failed):
    """A verb that has a result and still did not get what was asked for: with ``--json`` both are one object."""

    def __init__(self, result: dict[str, Any], failed: Failed) -> None:
        super().__init__(failed.code, str(failed), failed.exit_code)
        self.result = result


def call(verb: str, *, on_event: Callable[[Any], None] | None = None, **args: Any) -> Any:
    """Do one verb and return its result, handing events on as they come. Raises Failed and what opening a home can."""
    try:
        return _call(verb, on_event, args)
    except Enough:
        return None


def stated(verb: str, **args: Any) -> Any:
    """Do a verb with amounts or facts as they were typed; one that the rules refuse is an error of usage."""
    try:
        return call(verb, **args)
    except Failed as error:
        if not error.code.startswith("invalid."):
            raise
        from intentcast_protocol.errors import CODES  # noqa: PLC0415

        detail = str(error).removeprefix(CODES.get(error.code, "")).strip().removeprefix("(").removesuffix(")")
        raise fail(f"{detail}." if detail else str(error), error.code, 2) from error


def _call(verb: str, on_event: Callable[[Any], None] | None, args: dict[str, Any]) -> Any:
    context = click.get_current_context(silent=True)
    passphrase_file = context.params.get("passphrase_file") if context else None
    place = home()
    try:
        return ask(place, verb, args, on_event)
    except NoAgent:
        with lock_home(place):
            # One verb may call several times; whoever types a passphrase types it once.
            opened = context.meta if context else {}
            if _OPENED not in opened:
                opened[_OPENED] = unlock(place, passphrase_file)
            return _here(place, opened[_OPENED], verb, args, on_event)
    except ConnectionError as error:
        raise fail("The agent stopped before it answered. Ask again.", "unreachable", 5) from error


def _here(place: Home, keystore: Any, verb: str, args: dict[str, Any], on_event: Callable[[Any], None] | None) -> Any:
    import asyncio  # noqa: PLC0415

    from intentcast_agent.agent import run_agent  # noqa: PLC0415
    from intentcast_agent.api import perform  # noqa: PLC0415
    from intentcast_agent.service import Service  # noqa: PLC0415
    from intentcast_agent.view import readable  # noqa: PLC0415

    async def work() -> Any:
        result = None
        end_on_interrupt()
        async with run_agent(place, keystore) as agent:
            service = Service(agent)
            if verb in _READS_MAIL:
                unread = await agent.catch_up()
                if unread:
                    click.echo(f"These relays cannot be reached now: {', '.join(unread)}", err=True)
            async for part in perform(service, verb, args):
                if "event" in part and on_event:
                    on_event(readable(part["event"]))
                elif "result" in part:
                    result = readable(part["result"])
            await _settle(agent)
        return result

    keep_log(place)
    try:
        return asyncio.run(work())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def end_on_interrupt() -> None:
    """Let the first Ctrl-C end the running task in order, and the second the process at once.

    Python's own way raises KeyboardInterrupt wherever the loop happens to be, which may lose a wake-up and hang.
    """
    import asyncio  # noqa: PLC0415
    import signal  # noqa: PLC0415

    task = asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)


def keep_log(place: Home) -> None:
    """Send what goes wrong in the background of a verb to the home's log, not between the lines a person reads."""
    import logging  # noqa: PLC0415

    logging.basicConfig(
        handlers=[logging.FileHandler(place.log, delay=True)],
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )


async def _settle(agent: Any) -> None:
    """Let what is queued go out over the connections there are, an acknowledgement say; the rest stays queued."""

    async def idle() -> bool:
        for courier in agent.pool.couriers():
            due = await agent.outbox.next_due(courier.lane.name, courier.relay) if courier.connected else None
            if due is not None and due <= agent.now():
                return False
        return True

    if agent.online:
        await agent.until(idle, 3.0)


def show(
    result: Any, as_json: bool, words: Callable[[Any], Iterable[str]], failed: Failed | None = None
) -> None:  # fmt: skip
    """Print a result: as JSON, or as the lines a person reads. Then raise `failed`, if there is one."""
    if as_json:
        if failed:
            raise Unfinished(result, failed)
        click.echo(json_text(result))
    else:
        for line in words(result):
            click.echo(line)
        if failed:
            raise failed


def busy(text: str, as_json: bool) -> AbstractContextManager[Any]:
    """Show that something is being waited for, on a terminal only."""
    from contextlib import nullcontext  # noqa: PLC0415

    if as_json or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=True).status(text)


def fail(message: str, code: str = "failure", exit_code: int = 1) -> Failed:
    """Return an error to raise: one sentence, and the words and number of an exit code."""
    return Failed(code, message, exit_code)
