"""The settings file while the relay runs: a change is noticed, checked as a whole, and applied or left.

A file that is wrong changes nothing: the relay goes on as it was, and says so in its log, its metrics and on its page.
Both SIGHUP and a look at the file every few seconds lead here; `Relay.apply` is where settings take effect.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from intentcast_relay.config import Config, ConfigError, load
from intentcast_relay.log import tell, tell_error

EVERY: Final = 2.0  # s between two looks at the file
# What only a start decides; a section's name stands for all of it.
FIXED: Final = frozenset({"listen", "database", "url", "metrics", "batch.processes"})

Stamp = tuple[int, int, int]


class Running(Protocol):
    """The relay, as far as its settings go."""

    def apply(self, config: Config) -> None:
        """Go on with these settings; those in FIXED stay as they are. Raises ConfigError and then changes nothing."""

    def complain(self, why: str) -> None:
        """Remember that the file is wrong."""


def differences(old: Config, new: Config) -> list[str]:
    """Return the names of the settings that differ, those of a section with its name before them."""
    found: list[str] = []
    for entry in fields(Config):
        before, after = getattr(old, entry.name), getattr(new, entry.name)
        if before == after:
            continue
        if is_dataclass(before) and is_dataclass(after):
            inner = [one.name for one in fields(before) if getattr(before, one.name) != getattr(after, one.name)]
            found += [f"{entry.name}.{name}" for name in inner]
        else:
            found.append(entry.name)
    return found


def frozen(old: Config, new: Config) -> Config:
    """Return the new settings with the old ones in those places that only a start decides."""
    batch = replace(new.batch, processes=old.batch.processes)
    whole = {name: getattr(old, name) for name in FIXED if "." not in name}
    return replace(new, batch=batch, **whole)


def is_fixed(name: str) -> bool:
    """Return whether only a start decides this setting."""
    return name in FIXED or name.partition(".")[0] in FIXED


class Reload:
    """Watches one file. `override` puts what the command line said in place of what the file says."""

    def __init__(self, path: Path, relay: Running, started: Config, override: Callable[[Config], Config]) -> None:
        self._path = path
        self._relay = relay
        self._override = override
        self._started = started  # as the file said at the start, with port 0 if it said so
        self._applied = started
        self._known = self._fresh = self._stamp()
        self._none = self._known is None  # the relay began without a file, which is no fault
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Read the file again soon, changed or not: what SIGHUP asks for."""
        self._known = None
        self._wake.set()

    async def run(self) -> None:
        """Look at the file until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._wake.wait()
            asked = self._wake.is_set()
            self._wake.clear()
            try:
                self.look(now=asked)
            except Exception as error:
                tell_error("internal-error", error)

    def look(self, *, now: bool = False) -> None:
        """Read the file if it changed and has then stayed the same for one look, as half-written files do not."""
        stamp = self._stamp()
        if stamp is None and self._none:
            return
        self._none = False
        if now or (stamp != self._known and stamp == self._fresh):
            self._known = stamp
            self._read()
        self._fresh = stamp

    def _read(self) -> None:
        try:
            config = self._override(load(self._path))
            self._relay.apply(config)
        except ConfigError as error:
            self._relay.complain(str(error))
            tell("settings-refused", logging.WARNING, why=str(error))
            return
        waiting = [name for name in differences(self._started, config) if is_fixed(name)]
        changed = [name for name in differences(self._applied, config) if not is_fixed(name)]
        self._applied = config
        tell("reloaded", changed=changed)
        if waiting:
            tell("restart-needed", logging.WARNING, settings=waiting)

    def _stamp(self) -> Stamp | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
