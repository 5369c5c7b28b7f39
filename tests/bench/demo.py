"""How long the whole story takes: `intentcast demo --json --exit`, from the shell's view, and whether it went well."""

import argparse
import json
import os
import subprocess
import sys
import time

from stand import Json, conditions, part, run, stand

TARGET = 60  # s
LIMIT = 600


def measure(options: argparse.Namespace) -> Json:
    """Play the demo as often as asked; its kept proof goes to the stand's folder."""
    with stand(LIMIT) as here:
        told = conditions(command="intentcast demo --json --exit")
        seconds, own, well = [], [], []
        for _ in range(options.repeat):
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "intentcast_agent", "demo", "--json", "--exit"], check=False, timeout=LIMIT,
                capture_output=True, env={**os.environ, "TMPDIR": str(here.folder)},
            )  # fmt: skip
            seconds.append(time.perf_counter() - began)
            said: Json = json.loads(done.stdout) if done.stdout.strip() else {}
            own.append(float(said.get("seconds", 0)))
            well.append(done.returncode == 0 and bool(said.get("ok")))
    figure = part(seconds, 1)
    return {
        **figure,
        "unit": "seconds",
        "target": TARGET,
        "ok": all(well) and figure["spread"][1] <= TARGET,
        "went_well": well,
        "parts": {"as the demo says": part(own, 1)},
        "conditions": told,
    }


if __name__ == "__main__":
    run("demo", "seconds of the whole demo", measure, repeat=3)
