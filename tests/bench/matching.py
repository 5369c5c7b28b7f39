"""What a publish costs when few or very many listen, at the same number of matches.

Ten groups of ten subscriptions match, of the kinds that vendors make: a category near a place, in a country, anywhere;
a parent category near a place. All others match nothing published here, though they share its categories, its cells,
its country: those that a draw of categories and places, some far more frequent than others, made match are taken out
again. The cost is the event loop's: finding the listeners in the index, and framing and queueing the record for each.
A sample is a ratio of costs measured in turn. In `parts`:

    index      finding alone
    add        filing one more subscription and removing it
    count      asking how many listen, never the same question twice
    scan       trying every filter of the larger number instead
    bytes      of the index itself for each subscription, at the larger number
    process    a real relay's processor time a publish, subscriptions on real connections
"""

import argparse
import os
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, islice
from typing import Any

import msgpack
from ingest import blast, demand, frames
from intentcast_protocol.area import ANYWHERE, Area, circle
from intentcast_protocol.frames import Count, Subscribe, encode_frame
from intentcast_protocol.record import Record, parse
from intentcast_protocol.subscription import Filter, within
from intentcast_relay.config import Limits
from intentcast_relay.feed import Feed, Listener
from intentcast_relay.index import Index
from intentcast_relay.outgoing import Outgoing
from intentcast_relay.posting import Posting, flatten
from load import masked
from stand import Json, Process, Stand, allow_files, conditions, part, run, stand

TARGET = 1.2
FEW, MANY, MOST = 100, 100_000, 1_000_000
GROUPS, MATCHES = 10, 10
ROUNDS = 9  # through all demands, for one sample
TOGETHER = 32  # subscriptions on one connection
STILL = 0.1  # s without work until a relay counts as at rest
LIMIT = 900

LEAVES = [
    f"sector-{a}/field-{b}/branch-{c}/leaf-{d}" for a in range(20) for b in range(8) for c in range(6) for d in range(6)
]
COUNTRIES = ("BE", "DE", "ES", "FR", "IT", "NL", "PL", "SE")


def zipf(size: int) -> list[float]:
    """Return cumulative weights by which a few are drawn often and most seldom."""
    return list(accumulate(1 / (at + 1) ** 0.7 for at in range(size)))


class World:
    """Places and categories, and the subscriptions and demands made of them; the same in every run."""

    def __init__(self) -> None:
        self.random = random.Random(3)
        self.leaves = self.random.sample(LEAVES, len(LEAVES))
        self.towns = [(self.random.uniform(36, 60), self.random.uniform(-9, 30)) for _ in range(400)]
        self.circles = [
            [self.near(town, 0.1, radius) for radius in (15, 30, 80) for _ in range(4)] for town in self.towns
        ]
        self._leaf_weights, self._town_weights = zipf(len(self.leaves)), zipf(len(self.towns))

    def near(self, town: tuple[float, float], off: float, radius: float) -> tuple[str, ...]:
        """Cover a circle not far from the middle of a town."""
        north, east = (value + self.random.gauss(0, off) for value in town)
        return circle(north, east, radius)

    def group(self, at: int) -> tuple[str, Area, Area]:
        """Return the category of a group, a circle, and its country."""
        return self.leaves[at * 7], Area(self.near(self.towns[at], 0, 30)), Area((), (COUNTRIES[at % 8],))

    def matching(self, at: int) -> list[Filter]:
        """Return the subscriptions of one group, each of which passes all of its demands."""
        leaf, near, country = self.group(at)
        kinds = ("demand",)
        parents = [leaf.rsplit("/", up)[0] for up in (1, 2)]
        return [
            *(Filter(kinds, (), (leaf,), near) for _ in range(4)),
            *(Filter(kinds, (), (leaf, f"other-{at}"), Area(near.cells, country.countries)) for _ in range(2)),
            *(Filter(kinds, (), (parent,), near) for parent in parents),
            Filter(kinds, (), (leaf,), country),
            Filter((), (), (leaf,)),
        ]

    def demands(self, number: int) -> list[Record]:
        """Sign demands of all groups in turn, each by a key of its own."""
        made, now = [], int(time.time()) - 60
        for at in range(number):
            leaf, _, country = self.group(at % GROUPS)
            cells = self.near(self.towns[at % GROUPS], 0.05, 30)
            place = {"cells": list(cells), "countries": list(country.countries)}
            made.append(demand(os.urandom(32), now, itemOffered={"category": leaf}, areaServed=place))
        return made

    def others(self) -> Iterator[Filter]:
        """Draw subscriptions for ever."""
        pick = random.Random(9)
        while True:
            [leaf] = pick.choices(self.leaves, cum_weights=self._leaf_weights)
            [town] = pick.choices(range(len(self.circles)), cum_weights=self._town_weights)
            wanted = {leaf.rsplit("/", pick.choice((0, 0, 0, 1, 2)))[0] if pick.random() < 0.6 else leaf}
            wanted |= {f"{leaf.rpartition('/')[0]}/leaf-{pick.randrange(6)}" for _ in range(pick.randrange(3))}
            cells, countries = pick.choice(self.circles[town]), (COUNTRIES[town % 8],)
            kind = pick.random()
            area = Area(cells) if kind < 0.65 else Area((), countries) if kind < 0.85 else Area(cells, countries)
            types = ("demand",) if pick.random() < 0.85 else pick.choice(((), ("profile",), ("demand-withdraw",)))
            yield Filter(
                types, (), tuple(wanted) if kind < 0.95 else (), area if kind < 0.99 or not wanted else ANYWHERE
            )


class Reader:
    """A connection nobody reads from; what waits for it is thrown away between the rounds."""

    def __init__(self) -> None:
        self.outgoing = Outgoing(Limits(queue_frames=1_000_000, queue_bytes=2**40))


@dataclass
class Crowd:
    """A feed with so many live subscriptions, of which MATCHES match each posting, and the filters of the others."""

    feed: Feed
    readers: list[Reader]
    others: list[Filter]

    def deliver(self, postings: Sequence[Posting]) -> None:
        """Deliver each by itself, as if committed alone."""
        for seq, posting in enumerate(postings):
            self.feed.deliver({seq: posting})

    def rest(self) -> None:
        """Throw away what was delivered."""
        for reader in self.readers:
            reader.outgoing.clear()


def crowd(world: World, number: int, postings: Sequence[Posting]) -> Crowd:
    """Fill a feed; raises ValueError if not exactly MATCHES match each posting."""
    feed, readers = Feed(0), [Reader() for _ in range(GROUPS)]
    others: dict[Listener, Filter] = {}
    for at, reader in enumerate(readers):
        for wanted in world.matching(at):
            feed.index.add(Listener(reader, 0, pending=None), wanted, reader)
    drawn, outsider = world.others(), Reader()
    while (lacking := number - GROUPS * MATCHES - len(others)) > 0:
        for wanted in islice(drawn, lacking):
            listener = Listener(outsider, 0, pending=None)
            others[listener] = wanted
            feed.index.add(listener, wanted, outsider)
        for posting in postings:
            for listener in [one for one in feed.index.matching(posting) if one in others]:
                feed.index.remove(listener)
                del others[listener]
    for posting in postings:
        if (found := len(feed.index.matching(posting))) != MATCHES:
            raise ValueError(f"{found} listeners match, not {MATCHES}")
    return Crowd(feed, readers, list(others.values()))


def microseconds(act: Callable[[], Any], times: int, after: Callable[[], None] = lambda: None) -> float:
    """Return what one of `times` things that an act does costs: the median of the rounds, in processor time."""
    taken = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        act()
        taken.append((time.thread_time() - began) / times * 1e6)
        after()
    return statistics.median(taken)


def costs(here: Crowd, postings: Sequence[Posting], more: Sequence[Filter], fresh: Iterator[int]) -> dict[str, float]:
    """Measure a publish and the index's verbs."""
    index = here.feed.index

    def file() -> None:
        listeners = [Listener(here.readers[0], 0) for _ in more]
        for listener, wanted in zip(listeners, more, strict=True):
            index.add(listener, wanted, listener)
        for listener in listeners:
            index.remove(listener)

    def ask() -> None:
        for posting in postings:
            # A second nobody has asked in: no answer is remembered for it.
            index.count(Count(1, posting.categories[0], posting.cells, posting.countries), next(fresh))

    return {
        "publish": microseconds(lambda: here.deliver(postings), len(postings), here.rest),
        "index": microseconds(lambda: [index.matching(posting) for posting in postings], len(postings)),
        "add": microseconds(file, len(more)),
        "count": microseconds(ask, len(postings)),
    }


def scan(filters: Sequence[Filter], postings: Sequence[Posting]) -> float:
    """Return the microseconds it takes to try every filter on a posting."""

    def attempt() -> None:
        for posting in postings:
            area = Area(posting.cells, posting.countries)
            for wanted in filters:
                if posting.type in wanted.types and any(within(posting.categories[0], at) for at in wanted.categories):
                    wanted.area.meets(area)

    return microseconds(attempt, len(postings))


def weight(filters: Sequence[Filter]) -> float:
    """Return the bytes that an index takes for each of some subscriptions, without the filters themselves."""
    listeners = [object() for _ in filters]
    tracemalloc.start()
    try:
        index: Index[object] = Index()
        for listener, wanted in zip(listeners, filters, strict=True):
            index.add(listener, wanted, 0)
        return tracemalloc.get_traced_memory()[0] / len(filters)
    finally:
        tracemalloc.stop()


def at_rest(relay: Process) -> None:
    """Wait until a relay does nothing more."""
    used = -1.0
    while (now := relay.cpu()) != used:
        used = now
        time.sleep(STILL)


def populated(here: Stand, world: World, name: str, others: Sequence[Filter]) -> Process:
    """Start a relay and subscribe on real connections: one for each subscription that matches, the rest together."""
    relay = here.relay(name, settings="[limits]\nconnections = 10000\n")
    lists = [[wanted] for at in range(GROUPS) for wanted in world.matching(at)]
    lists += [list(others[at : at + TOGETHER]) for at in range(0, len(others), TOGETHER)]
    opening = [
        b"".join(masked(encode_frame(Subscribe(req, wanted, None, once=False))) for req, wanted in enumerate(wanted_by))
        for wanted_by in lists
    ]
    file = here.folder / f"{name}.listeners"
    file.write_bytes(msgpack.packb({"subscribe": opening, "publish": []}))
    here.program("drain", "127.0.0.1", port_of(relay), file)
    at_rest(relay)
    return relay


def port_of(relay: Process) -> int:
    """Return the port a relay listens on."""
    return int(str(relay.said["url"]).rpartition(":")[2])


def processes(world: World, others: Sequence[Filter], options: argparse.Namespace) -> Json:
    """Publish in turn to a relay with few and one with many subscriptions; the ratio of their work."""
    allow_files(2 * len(others) // TOGETHER + 2_000)
    taken: dict[int, list[float]] = {FEW: [], FEW + len(others): []}
    with stand(LIMIT) as here:
        relays = [populated(here, world, f"relay-{at}", chosen) for at, chosen in enumerate(([], others))]
        for _ in range(options.repeat):
            file = here.folder / "publishes"
            file.write_bytes(frames([world.demands(options.publishes)]))
            for relay, samples in zip(relays, taken.values(), strict=True):
                used = relay.cpu()
                blast(here, port_of(relay), file, window=8)
                at_rest(relay)
                samples.append((relay.cpu() - used) / options.publishes * 1e6)
    few, many = taken.values()
    ratios = [dear / cheap for cheap, dear in zip(few, many, strict=True)]
    return {**part(ratios), "microseconds_a_publish": {f"{size:,}": part(one, 0) for size, one in taken.items()}}


def measure(options: argparse.Namespace) -> Json:
    """Measure every size in turn, as often as asked."""
    world, fresh = World(), count(0, 1_000)
    records = world.demands(GROUPS * 20)
    postings = [flatten(parse(record)) for record in records]
    told = conditions(
        subscriptions=options.subscriptions,
        matches=MATCHES,
        demands=len(postings),
        cells_of_a_demand=round(statistics.mean(len(posting.cells) for posting in postings), 1),
    )
    sizes = sorted({FEW, options.subscriptions // 10, options.subscriptions, *([MOST] if options.million else [])})
    crowds = {size: crowd(world, size, postings) for size in sizes}
    more = list(islice(world.others(), 200))
    runs: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for _ in range(options.repeat):
        for size, one in crowds.items():
            runs[size].append(costs(one, postings, more, fresh))
    others = crowds[options.subscriptions].others
    crowds.clear()

    def against(verb: str, size: int) -> Json:
        return part([dear[verb] / cheap[verb] for cheap, dear in zip(runs[FEW], runs[size], strict=True)])

    parts: dict[str, Json] = {
        verb: {
            **against(verb, options.subscriptions),
            "microseconds": {f"{size:,}": part([one[verb] for one in runs[size]], 1) for size in sizes},
        }
        for verb in ("publish", "index", "add", "count")
    }
    figure = {name: parts["publish"].pop(name) for name in ("value", "spread", "samples")}
    if options.million:
        parts["million"] = against("publish", MOST)
    parts["scan"] = {"microseconds": round(scan(others, postings[:10]))}
    parts["bytes"] = {"value": round(weight(others)), "subscriptions": len(others)}
    if options.listeners:
        parts["process"] = processes(world, others[: options.listeners - FEW], options)
    return {
        **figure,
        "unit": f"cost of a publish with {options.subscriptions:,} live subscriptions / with {FEW}",
        "target": TARGET,
        "ok": figure["value"] <= TARGET,
        "parts": parts,
        "conditions": told,
    }


if __name__ == "__main__":
    run(
        "matching",
        "what a publish costs as more subscriptions are live, at the same number of matches",
        measure,
        repeat=7,
        subscriptions={"type": int, "default": MANY, "help": "live ones, where there are many"},
        million={"action": "store_true", "help": f"measure with {MOST:,} as well: 2 GB, a minute"},
        listeners={"type": int, "default": 10_000, "help": "live subscriptions of the relay process; 0 leaves it out"},
        publishes={"type": int, "default": 1_000, "help": "to each relay process in a sample"},
    )
