"""A stage for walks through the command line: relays, vendors and persons as processes, in a folder thrown away.

Nothing here imports the project: what is tested is what a person types, and what comes back.
"""

import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

READY = 40  # s for a process to announce itself on a busy machine
VERB = 60  # s for one verb
HEADER = "id\ttitle\tprice\tgoogle_product_category\tmake\tmodel\tyear\tmileage\tbody_style\n"
POLICY = """\
name = "{name}"
currency = "EUR"
floor = "90%"
ladder = ["0%", "3%", "6%"]
validity = "30m"
sells_in = ["NL"]
delivery = "150.00"
"""
WANT = """\
name = "A Golf estate, 2017 or newer"
category = "vehicles-parts/vehicles/motor-vehicles/cars-trucks-vans"
type = "Car"
max_price = "18500 EUR"
countries = ["NL"]
expires = "2h"
rounds = 5
admit = ["stamp:4"]

[[must]]
path = "itemOffered.mileageFromOdometer"
op = "le"
value = "90000"
unit = "KMT"

[private]
reserve = "17900 EUR"
"""


@dataclass(frozen=True)
class Said:
    """What a verb printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value that is all of its standard output."""
        assert self.out.count("\n") == 1, f"not one line: {self.out!r}"
        return json.loads(self.out)


class Process:
    """A long-running process that has said it is ready."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as stderr:
            self.running = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr
            )
        self.ready: dict[str, Any] = json.loads(self.line())

    def line(self) -> str:
        """Return its next line; fails the test when none comes."""
        stream = self.running.stdout
        assert stream is not None
        found, _, _ = select.select([stream], [], [], READY)
        text = stream.readline().decode() if found else ""
        assert text, f"no word from {self.running.args}: {self.log.read_text()}"
        return text

    def stop(self) -> None:
        """Ask it to end, and see that it does so in order."""
        self.running.send_signal(signal.SIGTERM)
        assert self.running.wait(20) == 0, self.log.read_text()

    def kill(self) -> None:
        """End it at this instant, as a power cut would."""
        self.running.kill()
        self.running.wait(20)

    def end(self) -> None:
        """Make sure it is gone."""
        if self.running.poll() is None:
            self.kill()
        assert self.running.stdout is not None
        self.running.stdout.close()
        assert "Traceback" not in self.log.read_text(), self.log.read_text()


class Party:
    """Whoever has a home: calling it runs a verb there and checks how that ended."""

    def __init__(self, stage: "Stage", name: str) -> None:
        self.stage = stage
        self.name = name
        self.home = stage.folder / name
        self.env = stage.env | {"INTENTCAST_HOME": str(self.home)}

    def __call__(self, *words: str, code: int = 0, stdin: str = "") -> Said:
        return self.stage.run(*words, env=self.env, code=code, stdin=stdin)

    def json(self, *words: str, code: int = 0) -> Any:
        """Run a verb with --json and return its one value."""
        return self(*words, "--json", code=code).json

    def start(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a verb and leave it running; the stage ends it if the test does not."""
        process = subprocess.Popen(
            [sys.executable, "-m", "intentcast_agent", *words],
            cwd=self.stage.folder, env=self.env, text=True,
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.stage.exits.callback(_end, process)
        return process

    def serve(self, *noun: str) -> Process:
        """Keep this agent running: `serve()`, or `serve("vendor")`."""
        command = [sys.executable, "-m", "intentcast_agent", *noun, "serve", "--announce"]
        return self.stage.launch(self.name, command, self.env)


class Stage:
    """The folder of a walk and everything that runs in it."""

    def __init__(self, folder: Path, exits: contextlib.ExitStack) -> None:
        self.folder = folder
        self.exits = exits
        unwanted = ("INTENTCAST_HOME", "INTENTCAST_DEBUG", "CREDENTIALS_DIRECTORY")
        self.env = {name: value for name, value in os.environ.items() if name not in unwanted}
        self._ports: dict[str, int] = {}

    def run(
        self, *words: str, env: dict[str, str], code: int = 0, stdin: str = "", prefix: tuple[str, ...] = ()
    ) -> Said:
        """Run one verb; no failure may show a traceback, and with --json each is one object."""
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "intentcast_agent", *words],
            cwd=self.folder, env=env, input=stdin, capture_output=True, text=True, timeout=VERB, check=False,
        )  # fmt: skip
        said = Said(done.returncode, done.stdout, done.stderr)
        assert said.code == code, f"{' '.join(words)}: {said}"
        assert "Traceback" not in said.err, said.err
        assert "fault in intentcast" not in said.err + said.out, said
        if "--json" in words and code:
            error = said.json["error"]
            assert error["code"]
            assert error["message"]
        return said

    def launch(self, name: str, command: list[str], env: dict[str, str]) -> Process:
        """Start a long-running process and wait until it says that it is ready."""
        process = Process(command, env, self.folder / f"{name}.log")
        self.exits.callback(process.end)
        return process

    def url(self, name: str) -> str:
        """Return where a relay of this name is, or will be, reached."""
        port = self._ports.setdefault(name, free_port())
        return f"ws://127.0.0.1:{port}"

    def relay(self, name: str) -> Process:
        """Start a relay, or start it again where it was."""
        listen = self.url(name).removeprefix("ws://")
        command = [sys.executable, "-m", "intentcast_relay", "serve", "--listen", listen]
        command += ["--database", str(self.folder / f"{name}.db"), "--announce", "-"]
        return self.launch(name, command, self.env)

    def person(self, name: str, *relays: str) -> Party:
        """Set up a person who uses these relays."""
        person = Party(self, name)
        person("init", *(word for relay in relays for word in ("--relay", self.url(relay))))
        return person

    def vendor(self, name: str, *relays: str, stock: str, policy: str = POLICY) -> Party:
        """Set up a vendor with rows of stock in the merchant feed's columns."""
        vendor = Party(self, name)
        vendor("vendor", "init", *(word for relay in relays for word in ("--relay", self.url(relay))))
        self.write(f"{name}.toml", policy.format(name=f"{name.title()} Cars"))
        vendor("vendor", "policy", "set", f"{name}.toml")
        self.write(f"{name}.tsv", HEADER + stock)
        vendor("vendor", "feed", "load", f"{name}.tsv")
        return vendor

    def copy(self, party: Party, name: str) -> Party:
        """Return another party whose home is a copy of one that no process uses now."""
        copied = Party(self, name)
        shutil.copytree(party.home, copied.home)
        return copied

    def write(self, name: str, text: str) -> Path:
        """Put a file into the folder every verb runs in."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


def free_port() -> int:
    """Return a port that is free now, below those the system hands out, so that it is still free after a restart."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def poll(holds: Callable[[], Any], within: float = 40.0) -> Any:
    """Ask again until the answer is true, and return it; fails the test when it never is."""
    deadline = time.monotonic() + within
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never came true"
    return found


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give an empty stage; whatever still runs at the end is ended."""
    with contextlib.ExitStack() as exits:
        yield Stage(tmp_path, exits)


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Give one stage to all tests of a module, where setting it costs more than they do."""
    with contextlib.ExitStack() as exits:
        yield Stage(tmp_path_factory.mktemp("stage"), exits)


@pytest.fixture
def until() -> Callable[..., Any]:
    """Give the polling of a condition with a deadline."""
    return poll


@pytest.fixture
def want() -> str:
    """Give a draft that asks for no more than four bits of work, to be quick."""
    return WANT
