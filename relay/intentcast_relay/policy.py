"""The operator's own check of public records: a program of theirs, kept running, asked one JSON line a record.

    → {"id": "b…", "type": "demand", "author": "did:key:…", "created": s, "expires": s, "categories": […],
       "cells": […], "countries": […], "body": {…}}            bytes in the body are shown as hex
    ← {"id": "b…", "action": "accept"}    or    {"id": "b…", "action": "reject", "reason": "told to the sender"}

Answers may come in any order. It fails closed: a record without a verdict in time is refused. A program that dies, says
what is no verdict, or says nothing at all is started anew after a growing wait. PROTOCOL §9.12; deploy/README.md,
"Policy"
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Sequence
from typing import Any, Final

from intentcast_protocol.encoding import decode
from intentcast_protocol.errors import IntentcastError, Refused
from intentcast_protocol.identity import cid, did

from intentcast_relay.config import ConfigError, Policy
from intentcast_relay.log import tell
from intentcast_relay.posting import Posting
from intentcast_relay.rules import DENIED

MAX_REASON: Final = 200  # characters
MAX_ANSWER: Final = 8_192  # bytes of one line
WINDOW: Final = 64  # records asked about at a time
MAX_WAITING: Final = 4_096  # records; what comes on top is refused at once
_START: Final = 10.0  # s a new program has for its first verdict before it counts as stuck
_FIRST_WAIT: Final = 0.1  # s before it is started anew; doubles
_LONGEST_WAIT: Final = 30.0  # s
_FAREWELL: Final = 1.0  # s to end by itself once its input is closed
_WORDS: Final = 300  # characters of a line it wrote on stderr
_WORDS_A_SECOND: Final = 20  # lines
_SILENT: Final = "the operator's check did not answer"

Verdict = IntentcastError | None


class BadVerdict(Exception):
    """A line is no verdict; the text is for the operator."""


def question(posting: Posting) -> bytes:
    """Return the line that asks about a record."""
    body = decode(posting.payload)["body"]
    asked = {
        "id": cid(posting.id),
        "type": posting.type,
        "author": did(posting.author),
        "created": posting.created,
        "expires": posting.expires,
        "categories": posting.categories,
        "cells": posting.cells,
        "countries": posting.countries,
        "body": _view(body),
    }
    return json.dumps(asked).encode() + b"\n"


def _view(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _view(one) for name, one in value.items()}
    return [_view(one) for one in value] if isinstance(value, list) else value


def read_verdict(line: bytes) -> tuple[str, Verdict]:
    """Read a line that answers: the record's id and None, or why it is refused. Raises BadVerdict."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadVerdict("a line is not JSON") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
        raise BadVerdict("a verdict has an id")
    reason = answer.get("reason", "")
    match answer.get("action"):
        case "accept":
            return answer["id"], None
        case "reject" if isinstance(reason, str):
            return answer["id"], Refused(DENIED, clean(reason, MAX_REASON))
    raise BadVerdict("an action is accept or reject, and a reason is text")


def clean(text: str, most: int) -> str:
    """Return the beginning of a text as one line without control characters."""
    return "".join(one if one.isprintable() else " " for one in text[:most]).strip()


class _Child:
    """One run of the program: what it was asked, and whether it can still be trusted."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._flight: dict[str, asyncio.Future[Verdict]] = {}
        self._loop = asyncio.get_running_loop()
        self._words = self._loop.create_task(self._repeat_words())
        self.answered: float | None = None  # when it last did, by the loop's clock

    async def ask(self, posting: Posting) -> Verdict:
        """Ask and wait for the verdict; the caller sets the time limit."""
        name = cid(posting.id)
        future = self._flight.get(name)
        if future is None:
            future = self._flight[name] = self._loop.create_future()
            assert self._process.stdin is not None
            self._process.stdin.write(question(posting))
            with contextlib.suppress(ConnectionError):
                await self._process.stdin.drain()
        try:
            return await asyncio.shield(future)
        finally:
            if self._flight.get(name) is future:
                del self._flight[name]

    def stuck(self, asked: float, patience: float) -> bool:
        """Say whether it has said nothing for too long, having been asked at `asked`."""
        if self.answered is None:
            patience = max(patience, _START)
        return self._loop.time() - max(asked, self.answered or 0.0) >= patience

    async def run(self) -> None:
        """Read verdicts until the program ends; raises BadVerdict for what is none."""
        assert self._process.stdout is not None
        try:
            while line := await self._read_line(self._process.stdout):
                name, verdict = read_verdict(line)
                self.answered = self._loop.time()
                future = self._flight.get(name)
                # What is not asked about any more came too late and was refused.
                if future is not None and not future.done():
                    future.set_result(verdict)
        finally:
            for future in self._flight.values():
                if not future.done():
                    future.set_result(Refused(DENIED, _SILENT))

    async def _read_line(self, stream: asyncio.StreamReader) -> bytes:
        try:
            return await stream.readline()
        except ValueError as error:
            raise BadVerdict(f"a line is longer than {MAX_ANSWER} bytes") from error

    async def _repeat_words(self) -> None:
        """Put what the program writes on stderr into the log: bounded in length and number."""
        assert self._process.stderr is not None
        rest, told, since = b"", 0, self._loop.time()
        while chunk := await self._process.stderr.read(4_096):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[: 4 * _WORDS]
            if self._loop.time() - since >= 1:
                told, since = 0, self._loop.time()
            for line in lines:
                told += 1
                if told <= _WORDS_A_SECOND:
                    tell("policy-said", text=clean(line.decode("utf-8", "replace"), _WORDS))

    def kill(self) -> None:
        """End it and what it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Close its input, give it a moment, and end it; returns once it is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._process.wait()
        self.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._process.wait()
                # Its last words, often why it ended, are heard; and read to their end, both pipes close.
                await self._words
                while await self._process.stdout.read(MAX_ANSWER):
                    pass
        self._words.cancel()


class Hook:
    """The check as the relay uses it: `judge` answers for each record, whatever state the program is in."""

    def __init__(self) -> None:
        self._policy = Policy()
        self._window = asyncio.Semaphore(WINDOW)
        self._waiting = 0
        self._child: _Child | None = None
        self._up = asyncio.Event()
        self._over = asyncio.Event()  # set once the program of now is not wanted any more
        self._keepers: set[asyncio.Task[None]] = set()  # one, and older ones that are still ending

    def apply(self, policy: Policy) -> None:
        """Ask by these settings from now on; another command than before replaces the program."""
        if policy.command != self._policy.command:
            self._end()
            if policy.command:
                self._over = asyncio.Event()
                keeper = asyncio.get_running_loop().create_task(self._keep(policy.command, self._over))
                self._keepers.add(keeper)
                keeper.add_done_callback(self._keepers.discard)
        self._policy = policy

    async def close(self) -> None:
        """End the program; what it was still asked about is refused."""
        self._end()
        await asyncio.gather(*self._keepers)

    def _end(self) -> None:
        self._child = None
        self._over.set()

    async def judge(self, postings: Sequence[Posting]) -> list[Verdict]:
        """Return one verdict a record, None for those that may be taken; lasts at most `timeout_ms`."""
        return await asyncio.gather(*(self._judge(posting) for posting in postings))

    async def _judge(self, posting: Posting) -> Verdict:
        if posting.to is not None or posting.type not in self._policy.types:
            return None
        if self._waiting >= MAX_WAITING:
            return Refused(DENIED, _SILENT)
        self._waiting += 1
        patience = self._policy.timeout_ms / 1_000
        child, asked = None, 0.0
        try:
            async with asyncio.timeout(patience), self._window:
                child = await self._present()
                asked = asyncio.get_running_loop().time()
                return await child.ask(posting)
        except TimeoutError:
            if child is not None and child is self._child and child.stuck(asked, patience):
                tell("policy-stuck")
                child.kill()
        finally:
            self._waiting -= 1
        return Refused(DENIED, _SILENT)

    async def _present(self) -> _Child:
        """Wait until the program runs."""
        while self._child is None:
            self._up.clear()
            await self._up.wait()
        return self._child

    async def _keep(self, command: Sequence[str], over: asyncio.Event) -> None:
        """Keep the program running until it is over: start it anew after a wait that grows until it has answered.

        Nothing here is ever cancelled, since half a start or half an end would leave a process behind.
        """
        wait = _FIRST_WAIT
        while not over.is_set():
            try:
                child = await _spawn(command)
            except OSError as error:
                tell("policy-missing", reason=error.strerror or type(error).__name__)
            else:
                await self._attend(child, over)
                if child.answered is not None:
                    wait = _FIRST_WAIT
            if not over.is_set():
                tell("policy-down", wait=wait)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await over.wait()
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _attend(self, child: _Child, over: asyncio.Event) -> None:
        """Use one run of the program until it ends, or until it is not wanted any more."""
        if not over.is_set():
            self._child = child
            self._up.set()
        loop = asyncio.get_running_loop()
        reading, unwanted = loop.create_task(child.run()), loop.create_task(over.wait())
        await asyncio.wait({reading, unwanted}, return_when=asyncio.FIRST_COMPLETED)
        if self._child is child:
            self._child = None
        if reading.done() and (error := reading.exception()) is not None:
            tell("policy-malformed", reason=str(error))
            child.kill()
        for task in (reading, unwanted):
            task.cancel()
        await asyncio.gather(reading, unwanted, return_exceptions=True)
        await child.end()


async def _spawn(command: Sequence[str]) -> _Child:
    pipe = asyncio.subprocess.PIPE
    return _Child(
        await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, limit=MAX_ANSWER, start_new_session=True
        )
    )


def check_command(policy: Policy) -> None:
    """Refuse settings that name a program which is not there or may not be run; raises ConfigError."""
    if policy.command and shutil.which(policy.command[0]) is None:
        raise ConfigError(f"policy.command: {policy.command[0]} is not there, or may not be run.")
