"""What the operator tells a relay: bans and allowances, limits, retention, a backup.

A running relay is told over its control socket (`control`); when none runs, the command performs the same verbs on the
database itself, under its lock. Every act is in the log, without the key it is about. deploy/README.md, "Rules"
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from intentcast_protocol.errors import IntentcastError, Refused

from intentcast_relay.backup import back_up
from intentcast_relay.config import ConfigError, read
from intentcast_relay.control import NOT_FOUND, USAGE, Failed, Word
from intentcast_relay.log import tell
from intentcast_relay.rules import (
    DAY,
    DENIED,
    Rule,
    RuleError,
    Rules,
    Subject,
    check_retention,
    read_key,
    read_note,
    read_subject,
    read_term,
)
from intentcast_relay.store.contract import Store, StoreError

STEP: Final = 1_000  # records deleted or shortened in one transaction
_BETWEEN: Final = 0.1  # s between two words on progress


class Running(Protocol):
    """What a running relay does, beyond its store, so that a rule takes effect at once."""

    def bar(self, key: bytes, refusal: IntentcastError) -> None:
        """Close the connections that have proven a key which is banned now."""

    async def flush(self) -> None:
        """Wait until everything under way is answered."""

    def forget(self, ids: Sequence[bytes]) -> None:
        """Answer for these records no more from memory."""

    def settle(self) -> None:
        """Put the limits and retention of the rules in force."""


class Admin:
    """The verbs. `running` is None when they are performed on the database of a relay that does not run."""

    def __init__(
        self, store: Store, rules: Rules, database: Path, clock: Callable[[], int], running: Running | None = None
    ) -> None:
        self._store = store
        self._rules = rules
        self._database = database
        self._clock = clock
        self._running = running
        self._backing_up = False
        self.backup_at = 0  # s; when the last backup of this process ended, 0 for never

    async def perform(self, verb: str, args: dict[str, Any], word: Word) -> Any:
        """Do one verb and return its result; raises Failed."""
        verbs: dict[str, Callable[..., Awaitable[Any]]] = {
            "ban": self.ban, "unban": self.unban, "allow": self.allow, "disallow": self.disallow,
            "limit": self.limit, "retention": self.retention, "list": self.list, "backup": self.backup,
        }  # fmt: skip
        method = verbs.get(verb)
        if method is None:
            raise Failed(f"There is no verb {verb[:40]!r}.", USAGE)
        if verb == "backup":
            args = {**args, "word": word}
        try:
            inspect.signature(method).bind(**args)
        except TypeError as error:
            raise Failed(f"{verb}: {error}.", USAGE) from error
        try:
            return await method(**args)
        except (RuleError, ConfigError) as error:
            raise Failed(str(error), USAGE) from error
        except StoreError as error:
            raise Failed(str(error)) from error
        except OSError as error:
            raise Failed(f"{error.filename or 'The system'}: {error.strerror or error}.") from error

    async def ban(self, subject: str, term: str | None = None, note: str = "", purge: bool = False) -> dict[str, Any]:
        """Refuse a key, or a category and all below it; with `purge`, delete their public records too."""
        now = self._clock()
        until = None if term is None else now + read_term(_text("term", term))
        rule = Rule("ban", read_subject(_text("subject", subject)), now, until, note=read_note(_text("note", note)))
        await self._put(rule)
        if self._running and isinstance(rule.subject, bytes):
            self._running.bar(rule.subject, Refused(DENIED, rule.note))
        purged = await self._purge(rule.subject) if purge else 0
        _tell("ban", rule, purged=purged)
        return {"subject": rule.name, "until": until, "purged": purged}

    async def unban(self, subject: str) -> dict[str, Any]:
        """End a ban."""
        rule = await self._drop("ban", read_subject(_text("subject", subject)))
        return {"subject": rule.name}

    async def allow(self, key: str, note: str = "") -> dict[str, Any]:
        """Free a key of quotas and category bans; this ends a ban of it."""
        rule = Rule("allow", read_key(_text("key", key)), self._clock(), note=read_note(_text("note", note)))
        await self._put(rule)
        _tell("allow", rule)
        return {"subject": rule.name}

    async def disallow(self, key: str) -> dict[str, Any]:
        """End an allowance."""
        rule = await self._drop("allow", read_key(_text("key", key)))
        return {"subject": rule.name}

    async def limit(self, name: str, value: int | None) -> dict[str, Any]:
        """Put a number in place of the file's in ``[limits]``, for good; None gives the file its say again."""
        if value is None:
            await self._drop("limit", _text("name", name))
        else:
            read({"limits": {_text("name", name): value}})
            rule = Rule("limit", name, self._clock(), value=value)
            await self._put(rule)
            _tell("limit", rule, value=value)
        if self._running:
            self._running.settle()
        return {"name": name, "value": value}

    async def retention(self, kind: str, days: int | None) -> dict[str, Any]:
        """Keep public records of a type for so many days at most; None lets them live as long as they say."""
        if days is None:
            await self._drop("retention", _text("kind", kind))
            if self._running:
                self._running.settle()
            return {"kind": kind, "days": None}
        check_retention(_text("kind", kind), days if type(days) is int else 0)
        rule = Rule("retention", kind, self._clock(), value=days)
        await self._put(rule)
        if self._running:
            self._running.settle()
            await self._running.flush()
        after: int | None = 0
        while after is not None:
            after = await self._store.shorten(kind, days * DAY, after, STEP)
        _tell("retention", rule, days=days)
        return {"kind": kind, "days": days}

    async def list(self) -> list[dict[str, Any]]:
        """Return every rule that stands."""
        now = self._clock()
        await self._sweep(now)
        return [
            {"kind": rule.kind, "subject": rule.name, "since": rule.since, "until": rule.until, "value": rule.value,
             "note": rule.note}
            for rule in self._rules
        ]  # fmt: skip

    async def backup(self, file: str, word: Word) -> dict[str, Any]:
        """Copy the database to a file while everything goes on."""
        target = Path(_text("file", file))
        if not target.is_absolute():
            raise Failed("A backup's file is named by its whole path.", USAGE)
        if self._backing_up:
            raise Failed("Another backup is under way.")
        self._backing_up = True
        loop = asyncio.get_running_loop()
        stopped, last = False, loop.time()

        def progress(done: int, total: int) -> None:
            nonlocal last
            if loop.time() - last >= _BETWEEN:
                last = loop.time()
                loop.call_soon_threadsafe(word, {"done": done, "total": total})

        work = loop.run_in_executor(None, back_up, self._database, target, progress, lambda: not stopped)
        try:
            holding = await asyncio.shield(work)
        except asyncio.CancelledError:
            stopped = True
            await asyncio.gather(work, return_exceptions=True)
            raise
        finally:
            self._backing_up = False
        self.backup_at = self._clock()
        tell("admin-backup", bytes=holding.size, records=sum(holding.records.values()))
        return {"file": str(target), "bytes": holding.size, "records": holding.records}

    async def _put(self, rule: Rule) -> None:
        await self._sweep(rule.since)
        ends = self._rules.put(rule)
        await self._store.rule([rule], ends)

    async def _drop(self, kind: Any, subject: Subject) -> Rule:
        rule = self._rules.drop(kind, subject)
        if rule is None:
            raise Failed("There is no such rule.", NOT_FOUND)
        await self._store.rule([], [rule])
        _tell(f"un{kind}" if kind == "ban" else f"{kind}-ended", rule)
        return rule

    async def _sweep(self, now: int) -> None:
        ended = [rule for rule in self._rules if not rule.stands(now)]
        for rule in ended:
            self._rules.drop(rule.kind, rule.subject)
        if ended:
            await self._store.rule([], ended)

    async def _purge(self, subject: Subject) -> int:
        if self._running:
            # What had passed the rules before the ban is stored by then.
            await self._running.flush()
        total = 0
        while ids := await self._store.purge(subject, STEP):
            total += len(ids)
            if self._running:
                self._running.forget(ids)
        return total


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise RuleError(f"{name} has to be a text.")
    return value


def _tell(verb: str, rule: Rule, **fields: int) -> None:
    """Log what the operator did; a key stays unnamed, since it may be a person's."""
    tell(f"admin-{verb}", subject="a key" if isinstance(rule.subject, bytes) else rule.subject, **fields)
