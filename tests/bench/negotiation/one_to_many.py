"""One buyer against several vendors at once, with linked threads: what the buyer gets of what it could get.

The domains and the vendors' strategy are the referee's, from ../shared/negotiation unless told otherwise; the buyer is
`Threads` over negotiators with their default strategy, one a vendor. As there, offers stay open until the end, and the
buyer then takes the best. A sample is the worst ratio to its target of the numbers of vendors, over one range of seeds;
the first range is the one that the targets are for.
"""

import argparse
import importlib.util
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from intentcast_agent.bargain.negotiator import Negotiator, Propose
from intentcast_agent.bargain.threads import Threads

sys.path.append(str(Path(__file__).parents[1]))
from stand import Json, conditions, part, run

TARGETS = {1: 0.42, 2: 0.49, 4: 0.55, 8: 0.60}
ROUNDS = 30
APART = 1000  # seeds from the start of one range to the next
ROOT = Path(__file__).parents[3]


def referee(folder: Path, name: str) -> ModuleType:
    """Return a module of the referee's, whatever it is called here; raises FileNotFoundError if it is not there."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    spec = importlib.util.spec_from_file_location(f"referee_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bargain(
    space: list[Any], utility: Callable[[Any], float], reserve: float, vendors: dict[str, Any], rounds: int
) -> float:
    """Let one buyer bargain with all vendors in turn; return the worth of the best offer standing at the end."""
    threads = Threads(kept=True)
    for name in vendors:
        threads.open(name, Negotiator(space, utility, reserve, rounds, rng=random.Random(name)))
    live = dict(vendors)
    for at in range(rounds):
        for name, vendor in list(live.items()):
            move = threads.decide(name, at / rounds)
            if not isinstance(move, Propose):
                continue
            threads.proposed(name, move.outcome)
            verb, counter = vendor.step((at + 0.5) / rounds, move.outcome)
            threads.observe(name, move.outcome if verb == "accept" else counter)
            if verb == "accept":
                del live[name]
    best = threads.best()
    return best.worth if best else reserve


def advantage(scene: ModuleType, cast: ModuleType, seed: int, count: int) -> float:
    """Return the buyer's share of what it could gain above its reservation, against so many vendors."""
    base, makers = scene.market(seed, count)
    space, reserve = scene.D.outcomes(base), base["reserve"]["buyer"]
    worths = {outcome: scene.D.utility(base, "buyer", outcome) for outcome in space}
    vendors = {
        f"{seed}/{at}": cast.PacedTradeoff(
            space, lambda outcome, one=one: scene.D.utility(one, "vendor", outcome), one["reserve"]["vendor"], ROUNDS
        )
        for at, one in enumerate(makers)
    }
    got = bargain(space, worths.__getitem__, reserve, vendors, ROUNDS)
    return float((got - reserve) / (max(worths.values()) - reserve))


def measure(options: argparse.Namespace) -> Json:
    """Go through the ranges of seeds."""
    folder = Path(options.referee)
    scene, cast = referee(folder, "one_to_many"), referee(folder, "reference")
    told = conditions(domains="deal", vendors="PacedTradeoff", rounds=ROUNDS)
    starts = [at * APART for at in range(options.repeat)]
    gains: dict[int, list[float]] = {count: [] for count in TARGETS}
    for start in starts:
        for count, means in gains.items():
            seeds = range(start, start + options.seeds)
            means.append(sum(advantage(scene, cast, seed, count) for seed in seeds) / options.seeds)
    ratios = [min(means[at] / TARGETS[count] for count, means in gains.items()) for at in range(options.repeat)]
    parts = {
        f"{count} vendors": {**part(means), "target": TARGETS[count], "ok": min(means) >= TARGETS[count]}
        for count, means in gains.items()
    }
    return {
        **part(ratios),
        "unit": "buyer's advantage ÷ its target, the worst of 1, 2, 4 and 8 vendors",
        "target": 1,
        "ok": min(ratios) >= 1,
        "parts": parts,
        "conditions": {**told, "seeds": [f"{start} to {start + options.seeds - 1}" for start in starts]},
    }


if __name__ == "__main__":
    run(
        "one_to_many",
        "one buyer, several vendors, linked threads: the buyer's advantage",
        measure,
        repeat=3,
        referee={"default": str(ROOT.parent / "shared" / "negotiation"), "help": "the referee's folder"},
        seeds={"type": int, "default": 60, "help": "seeds in each range"},
    )
