"""Writes that are asked for more than once, by a double click or a client that lost its answer, and done once.

Whoever asks names the act by a key of their own. The key is on the disk before the act begins and the answer once it
is done, for a day; so a repeat gets the same answer, after a restart too. An act that was refused had no effect and
leaves its key free. Where the agent was stopped in the middle nobody can tell, and the repeat is told so.
"""

import asyncio
import hashlib
import json
import logging
import re
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

from intentcast_agent.store import Store
from intentcast_agent.view import write_json
from intentcast_agent.web.problem import Problem, problem_of

log = logging.getLogger("intentcast.web")
KEPT: Final = 86_400  # s
_KEY = re.compile(r'"?([!#-~]{8,128})"?', re.ASCII)


class Repeats:
    """The acts under way in this process, and the record of those done."""

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now
        self._tasks: set[asyncio.Task[Any]] = set()
        self._running: dict[str, tuple[bytes, asyncio.Task[Any]]] = {}

    async def once(self, key: str | None, asked: Iterable[str | bytes], act: Callable[[], Awaitable[Any]]) -> Any:
        """Do an act and return its JSON result, or the result of the time it was done under this key.

        Without a key it is done each time. `asked` is what tells one act from another: method, path, body. A caller
        that stops waiting does not stop the act. Raises Problem for a key that is ill-formed (422), that was used for
        something else (409), or whose act was cut short (409); and what the act raises.
        """
        if key is None:
            return await asyncio.shield(self._begin(_plain(act)))
        found = _KEY.fullmatch(key)
        if found is None:
            raise Problem(422, "page.idempotency.key", "An Idempotency-Key is 8 to 128 visible characters.",
                          "Use a fresh UUID for each act.")  # fmt: skip
        name, request = found[1], _digest(asked)
        if name not in self._running:
            task = self._begin(self._do(name, request, act))
            self._running[name] = request, task
            task.add_done_callback(lambda _: self._running.pop(name, None))
        first, task = self._running[name]
        if first != request:
            raise _other()
        return await asyncio.shield(task)

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        # Whoever asked may have stopped waiting; then nobody else takes the exception.
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("an act was refused or failed", exc_info=error)

    async def _do(self, key: str, request: bytes, act: Callable[[], Awaitable[Any]]) -> Any:
        async with self._store.transaction() as tx:
            now = self._now()
            await tx.run("DELETE FROM idempotency WHERE at < ?", now - KEPT)
            row = await tx.one("SELECT request, answer FROM idempotency WHERE key = ?", key)
            if row is None:
                # A body may hold a passphrase, whose hash must not lie about in the open.
                sealed = tx.seal("idempotency", "request", key, request)
                await tx.run("INSERT INTO idempotency (key, request, at) VALUES (?, ?, ?)", key, sealed, now)
            elif tx.open("idempotency", "request", key, row["request"]) != request:
                raise _other()
            elif row["answer"] is None:
                raise Problem(409, "page.idempotency.unknown", "The agent stopped while it was doing this.",
                              "Look whether it was done; if it was not, ask again with a new key.")  # fmt: skip
            else:
                return json.loads(tx.open("idempotency", "answer", key, row["answer"]))
        try:
            result = await _plain(act)
        except Exception as error:
            problem = problem_of(error)
            if problem is not None and problem.status < 500:
                async with self._store.transaction() as tx:
                    await tx.run("DELETE FROM idempotency WHERE key = ?", key)
            raise
        try:
            async with self._store.transaction() as tx:
                sealed = tx.seal("idempotency", "answer", key, json.dumps(result).encode())
                await tx.run("UPDATE idempotency SET answer = ? WHERE key = ?", sealed, key)
        except sqlite3.Error:
            log.exception("what was done cannot be told again")
        return result

    async def close(self) -> None:
        """Stop what is under way; its keys then say that nobody can tell."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _plain(act: Callable[[], Awaitable[Any]]) -> Any:
    """Do an act; its result is what its JSON says, the first time as at a repeat."""
    return json.loads(write_json(await act()))


def _digest(asked: Iterable[str | bytes]) -> bytes:
    """Hash the parts of a request so that no two requests of other parts have one hash."""
    whole = hashlib.sha256()
    for part in asked:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.digest()


def _other() -> Problem:
    return Problem(409, "page.idempotency.other", "This key was used for something else already.",
                   "Use a fresh key for each act.")  # fmt: skip
