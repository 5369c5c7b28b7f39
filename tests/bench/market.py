"""A market of fifty vendors: from a cast to the first offer, and to all fifty opened, proven and ranked, on one box.

The same stand as `offers`, with as many bots as the promise names. Each has its own home, keys, stock and connections;
`--processes` says how many of them share a process, since fifty that wake at once take turns on two cores.
"""

import argparse
import asyncio

from offers import STOCK, series
from stand import Json, conditions, run, stand

FIRST, ALL, BOTS = 0.1, 2.0, 50  # s, s: the first offer's p50 and the last one's p99, with so many bots
LIMIT = 1_200


def measure(options: argparse.Namespace) -> Json:
    """Cast as often as asked with all bots listening."""
    with stand(LIMIT) as here:
        told = conditions(
            bots=options.bots,
            processes=options.processes or "one a bot",
            relays=options.relays,
            casts=options.repeat,
            cars_a_bot=STOCK,
        )
        made = asyncio.run(series(here, options.bots, 4, options.repeat, options.relays, options.processes))
    first, last = made["first"], made["all"]
    return {
        **{name: first[name] for name in ("value", "spread", "samples")},
        "unit": "seconds from cast to first offer, p50; not ok with fewer bots than the target's",
        "target": {"first_p50": FIRST, "all_p99": ALL, "bots": BOTS},
        "ok": first["value"] < FIRST and last["p99"] < ALL and options.bots >= BOTS,
        "parts": {"market": made},
        "conditions": told,
    }


if __name__ == "__main__":
    run(
        "market",
        "cast to first offer and to all offers of fifty bots, verified and ranked",
        measure,
        repeat=12,
        bots={"type": int, "default": BOTS, "help": "vendor bots"},
        processes={"type": int, "default": 0, "help": "processes that the bots share; 0 for one a bot"},
        relays={"type": int, "default": 2, "help": "relays everyone uses"},
    )
