"""The service on a unix socket: one JSON line asks, JSON lines answer.

    {"verb": "offer_list", "args": {…}}   →   {"event": …}\\n …   {"result": …} or {"error": …}\\n

Only this account can reach the socket: its folder is 0700. The caller's side is in the standard library alone, so that
a short command does not wait for imports.
"""

import asyncio
import inspect
import json
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intentcast_agent.home import Home, socket_address

if TYPE_CHECKING:
    from intentcast_agent.service import Service

log = logging.getLogger("intentcast.api")
MAX_LINE = 4 * 1024 * 1024
VERBS = frozenset({
    "agreement_bundle", "agreement_list", "agreement_order", "agreement_view", "backup_create", "backup_state",
    "catch_up", "contact_set", "contact_view", "criteria_reset", "criteria_set", "criteria_view", "deal_accept",
    "deal_answer", "deal_ask", "deal_counter", "deal_dispute", "deal_received", "deal_wait", "demand_cast",
    "demand_invite", "demand_list", "demand_preview", "demand_view", "demand_withdraw", "haggle_begin", "haggle_stop",
    "haggle_view", "haggle_watch", "identity_view", "mandate_draft", "offer_compare", "offer_decline", "offer_list",
    "offer_view", "page_open", "relation_list", "relay_add", "relay_check", "relay_list", "relay_remove", "status",
    "vendor_amend", "vendor_answer", "vendor_deals", "vendor_deliver", "vendor_domain", "vendor_domain_check",
    "vendor_invitation_add", "vendor_invitation_list", "vendor_invitation_pass_on", "vendor_load", "vendor_policy",
    "vendor_policy_test", "vendor_policy_view", "vendor_question_list", "watch",
})  # fmt: skip


class NoAgent(Exception):
    """No agent process serves this home."""


class Failed(Exception):
    """The agent answered with an error: a code for programs, a sentence for people, and the exit code that fits."""

    def __init__(self, code: str, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code


def failure(error: Exception) -> Failed | None:
    """Return an exception a person can act on as `Failed`, or None for one that is a fault of ours."""
    from intentcast_protocol.errors import IntentcastError  # noqa: PLC0415

    from intentcast_agent.backup.errors import BackupError  # noqa: PLC0415
    from intentcast_agent.names import NotFound  # noqa: PLC0415
    from intentcast_agent.person.draft import DraftError  # noqa: PLC0415

    if isinstance(error, Failed):
        return error
    if isinstance(error, BackupError):
        return Failed(error.code, str(error), error.exit_code)
    if isinstance(error, NotFound):
        return Failed("refused.record.unknown", str(error), 3)
    if isinstance(error, DraftError):
        return Failed("invalid.demand.malformed", str(error), 2)
    if isinstance(error, IntentcastError):
        return Failed(error.code, str(error), 6 if error.code.startswith("invalid.agreement") else 1)
    # Last, since it brings the cryptography, which the errors of short verbs have no use for.
    from intentcast_agent.person.criteriafile import CriteriaError  # noqa: PLC0415
    from intentcast_agent.vendor.entry import PolicyError  # noqa: PLC0415
    from intentcast_agent.vendor.inventory.mappingfile import MappingInvalid  # noqa: PLC0415
    from intentcast_agent.vendor.inventory.stock import FeedUnreadable  # noqa: PLC0415

    if isinstance(error, CriteriaError | PolicyError | MappingInvalid | FeedUnreadable):
        return Failed("usage", str(error), 2)
    return None


async def perform(service: "Service", verb: str, args: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    """Call one verb and yield its events and its result; raises Failed."""
    if verb not in VERBS:
        raise Failed("invalid.frame.malformed", f"There is no verb {verb[:40]}.", 2)
    method = getattr(service, verb)
    try:
        inspect.signature(method).bind(**args)
    except TypeError as error:
        raise Failed("invalid.frame.malformed", f"{verb}: {error}", 2) from error
    try:
        if inspect.isasyncgenfunction(method):
            async for event in method(**args):
                yield {"event": event}
            yield {"result": None}
        else:
            yield {"result": await method(**args)}
    except Exception as error:
        failed = failure(error)
        if failed is None:
            raise
        raise failed from error


@asynccontextmanager
async def serve_socket(home: Home, service: "Service") -> AsyncIterator[None]:
    """Serve the verbs on the home's socket for the length of a block. The caller holds the home's lock."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            verb, args = await _read_request(reader)
            async for part in perform(service, verb, args):
                writer.write(_line(part))
                await writer.drain()
        except Failed as failed:
            writer.write(_line({"error": {"code": failed.code, "message": str(failed), "exit": failed.exit_code}}))
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass
        except Exception:
            log.exception("a request ended badly")
            message = "Something went wrong in the agent; its log says what."
            writer.write(_line({"error": {"code": "internal.error", "message": message, "exit": 1}}))
        finally:
            writer.close()

    with socket_address(home) as address:
        # The lock is ours, so a socket that is still there belongs to a process that is gone.
        Path(address).unlink(missing_ok=True)
        server = await asyncio.start_unix_server(answer, address, limit=MAX_LINE)
        Path(address).chmod(0o600)
        try:
            yield
        finally:
            server.close()
            Path(address).unlink(missing_ok=True)


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]]:
    try:
        async with asyncio.timeout(30):
            asked = json.loads(await reader.readuntil(b"\n"))
        verb, args = asked["verb"], asked.get("args", {})
    except (asyncio.LimitOverrunError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise Failed("invalid.frame.malformed", "A request is one line of JSON with verb and args.", 2) from error
    if not isinstance(verb, str) or not isinstance(args, dict):
        raise Failed("invalid.frame.malformed", "A request is one line of JSON with verb and args.", 2)
    return verb, args


def _line(value: dict[str, Any]) -> bytes:
    from intentcast_agent.view import write_json  # noqa: PLC0415

    return write_json(value).encode() + b"\n"


def ask(home: Home, verb: str, args: dict[str, Any], on_event: Callable[[Any], None] | None = None) -> Any:
    """Ask the running agent; raises NoAgent if there is none, Failed with its error. Standard library only."""
    try:
        with socket_address(home) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            connection.sendall(json.dumps({"verb": verb, "args": args}).encode() + b"\n")
            for line in _lines(connection):
                answer = json.loads(line)
                if "event" in answer and on_event:
                    on_event(answer["event"])
                elif "error" in answer:
                    error = answer["error"]
                    raise Failed(error["code"], error["message"], error["exit"])
                elif "result" in answer:
                    return answer["result"]
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoAgent from error
    raise Failed("internal.error", "The agent stopped before it answered. Ask again.", 5)


def _lines(connection: socket.socket) -> Iterator[bytes]:
    with connection.makefile("rb") as stream:
        yield from stream
