"""The control socket ``<database>-admin``: how a command on this machine talks to the relay that runs.

    {"verb": "ban", "args": {…}}\\n   →   {"event": …}\\n …   {"result": …}\\n or {"error": {"message", "exit"}}\\n

One request a connection. The socket's mode is 0600: whoever may write to it may also read the database. The caller's
side needs the standard library alone, so that a short command does not wait for imports.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

from intentcast_relay.log import tell_error

MAX_LINE: Final = 65_536  # bytes of a request
_ASKING: Final = 10.0  # s a caller has to say what it wants
_LONGEST_PATH: Final = 104  # bytes of a socket's address
FAILURE: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
UNREACHABLE: Final = 5

Word = Callable[[dict[str, Any]], None]  # tells the caller how far the work is
Perform = Callable[[str, dict[str, Any], Word], Awaitable[Any]]


class Failed(Exception):
    """A verb cannot be done: a sentence for the operator, and the exit code that fits."""

    def __init__(self, message: str, exit_code: int = FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NotRunning(Exception):
    """No relay serves this database."""


@contextlib.contextmanager
def socket_address(database: Path) -> Iterator[str]:
    """Give the path of the socket beside a database, good inside the block only.

    A path longer than a socket's address holds goes through the folder, held open. Raises OSError.
    """
    name = f"{database.name}-admin"
    path = database.parent.absolute() / name
    if len(os.fsencode(path)) <= _LONGEST_PATH or sys.platform != "linux":
        yield str(path)
        return
    folder = os.open(database.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)


@contextlib.asynccontextmanager
async def serving(perform: Perform, database: Path) -> AsyncIterator[None]:
    """Serve the verbs on the socket for the length of a block. The caller holds the database's lock."""
    callers: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        callers.add(task)
        try:
            await _answer(perform, reader, writer)
        finally:
            callers.discard(task)
            writer.close()

    with socket_address(database) as address:
        # The lock is ours, so a socket that is still there belongs to a process that is gone.
        Path(address).unlink(missing_ok=True)
        bound = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o177)
        try:
            bound.bind(address)
        except BaseException:
            bound.close()
            raise
        finally:
            os.umask(mask)
        server = await asyncio.start_unix_server(answer, sock=bound, limit=MAX_LINE)
        try:
            yield
        finally:
            server.close()
            Path(address).unlink(missing_ok=True)
            for task in callers:
                task.cancel()
            await asyncio.gather(*callers, return_exceptions=True)


async def _answer(perform: Perform, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    def write(value: dict[str, Any]) -> None:
        writer.write(json.dumps(value).encode() + b"\n")

    try:
        verb, args = await _read_request(reader)
        write({"result": await perform(verb, args, lambda word: write({"event": word}))})
        await writer.drain()
    except Failed as failed:
        write({"error": {"message": str(failed), "exit": failed.exit_code}})
    except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
        return
    except Exception as error:
        tell_error("admin-failed", error)
        write({"error": {"message": "Something went wrong in the relay; its log says where.", "exit": FAILURE}})


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]]:
    wrong = Failed("A request is one line of JSON with verb and args.", USAGE)
    try:
        async with asyncio.timeout(_ASKING):
            asked = json.loads(await reader.readuntil(b"\n"))
    except (asyncio.LimitOverrunError, ValueError, RecursionError) as error:
        raise wrong from error
    if not isinstance(asked, dict):
        raise wrong
    verb, args = asked.get("verb"), asked.get("args", {})
    if not isinstance(verb, str) or not isinstance(args, dict):
        raise wrong
    return verb, args


def ask(database: Path, verb: str, args: dict[str, Any], word: Word) -> Any:
    """Ask the relay that serves a database, and return the result; raises NotRunning or Failed."""
    try:
        with socket_address(database) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            connection.sendall(json.dumps({"verb": verb, "args": args}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    answer = json.loads(line)
                    if "event" in answer:
                        word(answer["event"])
                    elif "error" in answer:
                        raise Failed(answer["error"]["message"], answer["error"]["exit"])
                    else:
                        return answer["result"]
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunning from error
    except PermissionError as error:
        raise Failed(f"Only the account that runs the relay on {database} may tell it something.") from error
    except ConnectionError as error:
        raise Failed("The relay stopped before it answered.", UNREACHABLE) from error
    raise Failed("The relay stopped before it answered.", UNREACHABLE)
