"""What every benchmark stands on: a folder that is thrown away, processes that end with it, one object to print.

A figure is the median of its samples; where a promise is a ratio, both sides of it are measured in the same run. No
path of the machine is printed.
"""

import argparse
import json
import math
import os
import platform
import re
import resource
import select
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]
READY_WITHIN = 60  # s for a process to say that it is ready
STOP_WITHIN = 15


class NotReady(Exception):
    """A process did not start; the text is the last line of what it wrote."""


@dataclass(slots=True)
class Process:
    """A started process; `said` is the JSON line it announced itself with."""

    popen: subprocess.Popen[bytes]
    log: Path
    said: Json = field(default_factory=dict)

    def cpu(self) -> float:
        """Return the seconds of processor that it and the processes it started have used; 0 if the system won't say."""
        return sum(_used(pid) for pid in _family(self.popen.pid))

    def memory(self) -> int:
        """Return the bytes it holds in memory now; 0 where the system does not say."""
        with suppress(OSError):
            return int(Path(f"/proc/{self.popen.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return 0

    def ask(self, **words: Any) -> Json:
        """Give it one line of JSON to do, and return the line it answers with; raises NotReady if it ended."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(json.dumps(words).encode() + b"\n")
        self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        if not line:
            raise NotReady(f"{self.log.stem} ended: {self.last_words()}")
        told: Json = json.loads(line)
        return told

    def last_words(self) -> str:
        """Return the last line it wrote to its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no word in its log"

    def stop(self) -> None:
        """End it by its pid, gently first."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.popen.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(STOP_WITHIN)
                break
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream:
                stream.close()


def _family(pid: int) -> list[int]:
    family = [pid]
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                family += _family(int(child))
    return family


def _used(pid: int) -> float:
    """Return what a process's threads have used, to the nanosecond rather than the clock's tick."""
    used = 0.0
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            used += int((task / "schedstat").read_text().split()[0]) / 1e9
    return used


@dataclass(slots=True)
class Stand:
    """A throw-away folder and the processes started in it."""

    folder: Path
    running: list[Process] = field(default_factory=list)

    def launch(self, name: str, *command: str, **env: str) -> Process:
        """Start a Python program."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as stderr:
            popen = subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        process = Process(popen, log)
        self.running.append(process)
        return process

    def ready(self, process: Process) -> Process:
        """Wait for the JSON line a process announces itself with; raises NotReady."""
        assert process.popen.stdout is not None
        if select.select([process.popen.stdout], [], [], READY_WITHIN)[0]:
            with suppress(ValueError):
                process.said = json.loads(process.popen.stdout.readline())
        if not process.said:
            ended = process.popen.poll()
            how = "is silent" if ended is None else f"ended with {ended}"
            raise NotReady(f"{process.log.stem} {how}: {process.last_words()}")
        return process

    def relay(self, name: str, port: int = 0, settings: str = "") -> Process:
        """Start a relay as an operator would, with the settings it ships with but for `settings`, some lines of TOML.

        Its database is new, unless one of its name is in the folder already.
        """
        database = str(self.folder / f"{name}.db")
        listen = f"127.0.0.1:{port}"
        command = ("-m", "intentcast_relay", "serve", "--listen", listen, "--database", database, "--announce", "-")
        if settings:
            config = self.folder / f"{name}.toml"
            config.write_text(settings, encoding="utf-8")
            command = (*command, "--config", str(config))
        return self.ready(self.launch(name, *command))

    def program(self, name: str, *arguments: object) -> Process:
        """Start a program of this folder, such as `drain`, and wait until it is ready."""
        file = str(Path(__file__).with_name(f"{name}.py"))
        return self.ready(self.launch(name, file, *(str(word) for word in arguments)))

    def watch(self, process: Process, command: str) -> None:
        """Run a command, such as a profiler's, beside a process; `{pid}` in it is the process's."""
        if command:
            words = shlex.split(command.format(pid=process.popen.pid))
            self.running.append(Process(subprocess.Popen(words, stdout=subprocess.DEVNULL), process.log))

    def stop(self, process: Process) -> None:
        """End one process."""
        process.stop()
        self.running.remove(process)


@contextmanager
def stand(limit: int) -> Iterator[Stand]:
    """Give a stand for the length of a block; after `limit` seconds the block is left with TimeoutError."""

    def too_long(_number: int, _frame: object) -> None:
        raise TimeoutError(f"not done within {limit} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(limit)
    with tempfile.TemporaryDirectory(prefix="intentcast-bench-", ignore_cleanup_errors=True) as folder:
        here = Stand(Path(folder))
        try:
            yield here
        finally:
            signal.alarm(0)
            for process in here.running:
                process.stop()


def free_port() -> int:
    """Return a loopback port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that `share` of all samples do not exceed."""
    return sorted(samples)[max(0, math.ceil(share * len(samples)) - 1)]


def part(samples: Sequence[float], digits: int = 3) -> Json:
    """Return a figure: its median, its samples, and how far apart they lie."""
    return {
        "value": round(statistics.median(samples), digits),
        "spread": [round(min(samples), digits), round(max(samples), digits)],
        "samples": [round(sample, digits) for sample in samples],
    }


def conditions(**more: Any) -> Json:
    """Return what a figure depends on: the machine in words, how busy it was before, and the run's own settings."""
    return {
        "machine": f"{os.cpu_count()} shared cores",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        **more,
    }


def allow_files(count: int) -> None:
    """Let this process, and those it starts, hold so many open files; raises ValueError where the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))


def fsync_milliseconds(folder: Path, times: int = 50) -> float:
    """Return the median time the disk takes to keep 4 KiB, so that nobody measures a disk of memory unawares."""
    return round(statistics.median(fsync_times(folder, times)), 3)


def fsync_times(folder: Path, times: int) -> list[float]:
    """Return the milliseconds each of so many writes of 4 KiB took until the disk had it."""
    taken = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    return taken


def run(
    name: str, words: str, measure: Callable[[argparse.Namespace], Json], *, repeat: int = 5, **extra: Json
) -> None:  # fmt: skip
    """Read the command line, measure, and print one object.

    `extra` are more options, by name, as argparse takes them. The exit code is 0 whether or not the target was met,
    since a missed target is a result.
    """
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("--json", action="store_true", help="one line, for programs")
    parser.add_argument("--repeat", type=int, default=repeat, metavar="N", help=f"samples to take; {repeat} by default")
    for option, settings in extra.items():
        parser.add_argument(f"--{option.replace('_', '-')}", **settings)
    options = parser.parse_args()
    result = {"name": name, **measure(options)}
    print(json.dumps(result, ensure_ascii=False) if options.json else readable(result))


def readable(result: Json) -> str:
    """Return a result as JSON for people: indented, but a list of numbers stays on its line."""
    text = json.dumps(result, ensure_ascii=False, indent=2)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text)
