"""The strategy that agents bargain by, in the referee's round robin of message-limited bargains.

Its tournament needs NegMAS, which is no dependency of ours: make an environment for it outside the checkout with
`python3 -m venv ../negmas && ../negmas/bin/pip install negmas`, or name another with --python. Figures are means over
the three kinds of domain. A sample is the worst ratio of a figure to its target over one range of seeds; the first
range is the referee's own, the others are domains it never drew.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from referee_adapter import Ours

sys.path.append(str(Path(__file__).parents[1]))
from stand import Json, conditions, part, run

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[3]
POOL = ("Boulware", "Linear", "Conceder", "MiCRO", "FastMiCRO", "NaiveTFT")
OWN = ("reference:PacedTradeoff", "reference:PacedMiCRO", "referee:Watched")
TARGETS = {
    12: {"advantage": 0.28, "agreements": 0.85, "nash": 0.78, "selfplay": 0.36},
    30: {"advantage": 0.33, "agreements": 0.90, "nash": 0.78, "selfplay": 0.37},
}
FIELDS = {"advantage": "adv", "agreements": "agree", "nash": "nash", "selfplay": "self"}
APART = 1000  # seeds from the start of one range to the next
LIMIT = 3600  # s for one range


class Watched(Ours):
    """The same strategy, counting what it says or takes at or below its reservation."""

    past = 0

    def step(self, t: float, offer: Any) -> tuple[str, Any]:
        """Pass the move on."""
        verb, said = super().step(t, offer)
        terms = offer if verb == "accept" else said
        if terms is not None and not self.worth(terms) > self.reserve:
            Watched.past += 1
        return verb, said


def inside(start: int, arguments: list[str], report: str) -> None:
    """Run the tournament over seeds from `start`; this is called in the other environment."""
    import domains  # noqa: PLC0415
    import referee  # noqa: PLC0415 - the tournament loads this module by its name, so the count is there
    import tournament  # noqa: PLC0415

    make = domains.make
    domains.make = lambda kind, seed: make(kind, start + seed)
    sys.argv = ["tournament.py", *arguments, "--json", report]
    tournament.main()
    rows = json.loads(Path(report).read_text(encoding="utf-8"))
    Path(report).write_text(json.dumps({"rows": rows, "past": referee.Watched.past}), encoding="utf-8")


def tournament(python: str, folder: Path, start: int, seeds: int) -> Json:
    """Return the tournament's rows and the count of moves past the reservation.

    Raises FileNotFoundError without an environment, CalledProcessError with the tournament's own complaint.
    """
    arguments = ["--rounds", *map(str, TARGETS), "--seeds", str(seeds), "--only", *POOL, "--own", *OWN]
    paths = (HERE, HERE.parent, ROOT / "agent", folder)
    with tempfile.TemporaryDirectory() as scratch:
        report = str(Path(scratch) / "report.json")
        call = f"import referee; referee.inside({start}, {arguments!r}, {report!r})"
        subprocess.run(
            [python, "-c", call],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            timeout=LIMIT,
        )
        found: Json = json.loads(Path(report).read_text(encoding="utf-8"))
        return found


def figures(rows: list[Json], strategy: str, rounds: int) -> dict[str, float]:
    """Return the four figures of a strategy, each the mean over the kinds of domain."""
    own = [row for row in rows if (row["strategy"], row["rounds"]) == (strategy, rounds)]
    return {name: sum(row[field] for row in own) / len(own) for name, field in FIELDS.items()}


def measure(options: argparse.Namespace) -> Json:
    """Go through the ranges of seeds."""
    told = conditions(pool=[*POOL, *OWN[:2], "ours"], kinds=["price", "deal", "mixed"])
    starts = [at * APART for at in range(options.repeat)]
    runs = [tournament(options.python, Path(options.referee), start, options.seeds) for start in starts]
    past = sum(one["past"] for one in runs)
    parts, worst = {}, [float("inf")] * len(runs)
    for rounds, targets in TARGETS.items():
        scored = [figures(one["rows"], "Watched!", rounds) for one in runs]
        for name, target in targets.items():
            samples = [one[name] for one in scored]
            parts[f"{name} in {rounds} rounds"] = {**part(samples), "target": target, "ok": min(samples) >= target}
            worst = [min(ratio, sample / target) for ratio, sample in zip(worst, samples, strict=True)]
    return {
        **part(worst),
        "unit": "figure ÷ its target, the worst of all eight",
        "target": 1,
        "ok": min(worst) >= 1 and not past,
        "past_reservation": past,
        "parts": parts,
        "conditions": {**told, "seeds": [f"the first {options.seeds} from {start}" for start in starts]},
    }


if __name__ == "__main__":
    run(
        "referee",
        "our default strategy in the referee's tournament, 12 and 30 rounds",
        measure,
        repeat=1,
        referee={"default": str(ROOT.parent / "shared" / "negotiation"), "help": "the referee's folder"},
        python={"default": str(ROOT.parent / "negmas" / "bin" / "python"), "help": "an interpreter that has NegMAS"},
        seeds={"type": int, "default": 8, "help": "domains of each kind in each range"},
    )
