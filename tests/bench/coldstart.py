"""How long short commands take from the shell's view, with a warm file cache, beside an interpreter that does nothing.

Every command is run once before it counts, then all of them take turns. `demand list` is timed twice, as the process
model has it: asked of the agent that runs, and, with none running, done by the command itself under the home's lock.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from stand import Json, Stand, conditions, part, run, stand

TARGET = 0.4  # s
LIMIT = 300


def once(command: tuple[str, ...], home: str) -> tuple[float, float]:
    """Return the seconds one run of a command takes, and of the processor; raises CalledProcessError when it fails."""
    used, began = spent(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                   env={**os.environ, "INTENTCAST_HOME": home}, timeout=60)  # fmt: skip
    return time.perf_counter() - began, spent() - used


def spent() -> float:
    """Return the processor time of all commands so far, which a busy machine changes less than the clock's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def settle(here: Stand, cli: str) -> tuple[str, str]:
    """Make a home at rest and one that an agent serves, both with relays that are not there; return their folders."""
    homes = str(here.folder / "rest"), str(here.folder / "served")
    for home in homes:
        once((cli, "init", "--relay", "ws://127.0.0.1:9", "--json"), home)
    here.ready(here.launch("served", "-m", "intentcast_agent", "serve", "--announce", INTENTCAST_HOME=homes[1]))
    return homes


def measure(options: argparse.Namespace) -> Json:
    """Take turns over the commands."""
    cli = str(Path(sys.executable).with_name("intentcast"))
    with stand(LIMIT) as here:
        rest, served = settle(here, cli)
        commands = {
            "python -c pass": ((sys.executable, "-c", "pass"), rest),
            "--help": ((cli, "--help"), rest),
            "status": ((cli, "status"), rest),
            "status, agent running": ((cli, "status"), served),
            "demand list": ((cli, "demand", "list"), rest),
            "demand list, agent running": ((cli, "demand", "list"), served),
        }
        told = conditions(commands=list(commands), file_cache="warm")
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for at in range(options.repeat + 1):
            for name, (command, home) in commands.items():
                taken = once(command, home)
                if at:
                    samples[name].append(taken)
    parts: dict[str, Json] = {name: part([one[0] for one in taken]) for name, taken in samples.items()}
    bare = parts["python -c pass"]["value"]
    for name, figure in parts.items():
        cpu = statistics.median(one[1] for one in samples[name])
        figure |= {"times_bare_python": round(figure["value"] / bare, 1), "cpu_s": round(cpu, 3)}
        if name != "python -c pass":
            figure |= {"ok": figure["value"] <= TARGET}
    worst = max((name for name in parts if name != "python -c pass"), key=lambda name: parts[name]["value"])
    return {
        **{name: parts[worst][name] for name in ("value", "spread", "samples")},
        "of": worst,
        "unit": "seconds, the slowest command",
        "target": TARGET,
        "ok": parts[worst]["value"] <= TARGET,
        "parts": parts,
        "conditions": told,
    }


if __name__ == "__main__":
    run("coldstart", "wall time of short commands, against an interpreter that does nothing", measure, repeat=9)
