"""From one publish to many live subscribers, against a bare loop of `await ws.send_bytes` over as many sockets.

Both servers run beside each other, each with its own draining clients; the clients, the publishers and the bytes of the
records are the same. The relay checks every signature and has each record on disk before it sends it; the bare server
does neither. Two figures for each number of subscribers, both ratios of relay to bare server:

    streaming   publishes as fast as the window allows: deliveries a second, until the last listener has the last record
    single      one record in flight: the time until the last listener has it, then the next
"""

import argparse
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import msgpack
from ingest import blast, demand, frames
from intentcast_protocol.frames import Publish, Subscribe, encode_frame
from intentcast_protocol.record import Record
from intentcast_protocol.subscription import Filter
from intentcast_protocol.testing import CARS
from load import masked
from stand import Json, Process, Stand, allow_files, conditions, fsync_milliseconds, part, run, stand

STREAMING = 3.0  # deliveries a second, relay ÷ bare server
SINGLE = {200: 1.4, 1_000: 1.2}  # the same for one record in flight, by subscribers
END = 16  # bytes, as `drain` wants them
ROUNDS = 10  # records one after the other in a sample of `single`
CONNECTIONS = 4  # of the publisher
LIMIT = 1_800


@dataclass(slots=True)
class Side:
    """One of the two servers, and its listeners."""

    server: Process
    drain: Process
    port: int
    bytes: int = 0

    def single(self) -> float:
        """Return the median seconds from a publish until every listener has the record, one in flight."""
        told = self.drain.ask(publish=ROUNDS)
        self.bytes = told["bytes"]
        return statistics.median(told["seconds"])

    def stream(self, here: Stand, file: Path, records: int, subscribers: int, window: int) -> Json:
        """Publish a file; return deliveries a second, and what of the server's time each took."""
        used = self.server.cpu()
        began = blast(here, self.port, file, window)["began"]
        told = self.drain.ask(publish=1)
        deliveries = (records + 1) * subscribers
        passed, self.bytes = told["bytes"] - self.bytes, told["bytes"]
        if passed < deliveries * file.stat().st_size / records / 2:
            raise ValueError("fewer bytes arrived than were published")
        used = self.server.cpu() - used
        return {"rate": deliveries / (told["ended"] - began), "cpu_us": used / deliveries * 1e6}


def open_side(here: Stand, name: str, server: Process, subscribers: int, singles: list[Record]) -> Side:
    """Give a server its listeners, and the records they will see one by one."""
    wanted = masked(encode_frame(Subscribe(0, Filter(types=("demand",), categories=(CARS,)), None, once=False)))
    publish = [(masked(encode_frame(Publish(at, one))), one.signature[-END:]) for at, one in enumerate(singles)]
    file = here.folder / f"{name}-listeners"
    file.write_bytes(msgpack.packb({"subscribe": [wanted] * subscribers, "publish": publish}))
    port = int(server.said["url"].rpartition(":")[2])
    return Side(server, here.program("drain", "127.0.0.1", port, file), port)


def crowd(here: Stand, subscribers: int, options: argparse.Namespace) -> Json:
    """Measure both figures with so many subscribers."""
    now = int(time.time()) - 60
    settings = f"[limits]\nconnections = {subscribers + 50}\n"
    bare = here.launch("bare", str(Path(__file__).with_name("bare.py")))
    servers = {"relay": here.relay(f"relay-{subscribers}", settings=settings), "bare": here.ready(bare)}
    records = max(CONNECTIONS, options.deliveries // subscribers)
    file = here.folder / "stream"
    singles = [demand(os.urandom(32), now) for _ in range(options.singles * ROUNDS + options.repeat + 1)]
    sides = {name: open_side(here, name, server, subscribers, singles) for name, server in servers.items()}
    for side in sides.values():
        side.drain.ask(publish=1)  # which wakes everything
    here.watch(servers[options.watched], options.watch)
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.singles):
        for name, side in sides.items():
            taken[name].append(side.single())
    streamed: dict[str, list[Json]] = {name: [] for name in sides}
    for _ in range(options.repeat):
        made = [[demand(os.urandom(32), now) for _ in range(records // CONNECTIONS)] for _ in range(CONNECTIONS)]
        file.write_bytes(frames(made))
        for name, side in sides.items():
            count = sum(len(one) for one in made)
            streamed[name].append(side.stream(here, file, count, subscribers, options.window))
    for side in sides.values():
        here.stop(side.drain)
        here.stop(side.server)
    return {
        "streaming": {
            **part([a["rate"] / b["rate"] for a, b in zip(streamed["relay"], streamed["bare"], strict=True)], 2),
            "target": STREAMING,
            "records": records,
            "deliveries_a_second": {name: part([one["rate"] for one in runs], 0) for name, runs in streamed.items()},
            "cpu_us_a_delivery": {name: part([one["cpu_us"] for one in runs], 2) for name, runs in streamed.items()},
        },
        "single": {
            **part([b / a for a, b in zip(taken["relay"], taken["bare"], strict=True)], 2),
            "target": SINGLE.get(subscribers),
            "milliseconds": {name: part([1_000 * seconds for seconds in one], 2) for name, one in taken.items()},
        },
    }


def measure(options: argparse.Namespace) -> Json:
    """Measure each number of subscribers in turn."""
    counts = [int(word) for word in options.subscribers.split(",")]
    allow_files(2 * max(counts) + 500)
    with stand(LIMIT) as here:
        told = conditions(
            subscribers=counts,
            deliveries_a_sample=options.deliveries,
            window=f"{CONNECTIONS} connections of {options.window}",
            repeats_of_single=options.singles,
            payload_bytes=len(demand(os.urandom(32), 0).payload),
            disk_keeps_4k_ms=fsync_milliseconds(here.folder),
        )
        parts = {str(count): crowd(here, count, options) for count in counts}
    worst = min((parts[str(count)]["streaming"] for count in counts), key=lambda one: one["value"])
    figures = [one for both in parts.values() for one in both.values()]
    return {
        **{name: worst[name] for name in ("value", "spread", "samples")},
        "unit": "deliveries a second, relay / bare send_bytes loop; the smaller of the streaming ratios",
        "target": {"streaming": STREAMING, "single": {str(count): ratio for count, ratio in SINGLE.items()}},
        "ok": all(one["target"] is not None and one["value"] >= one["target"] for one in figures)
        and set(counts) >= set(SINGLE),
        "parts": parts,
        "conditions": told,
    }


if __name__ == "__main__":
    run(
        "fanout",
        "deliveries to many live subscribers, against a bare send_bytes loop",
        measure,
        subscribers={"default": "200,1000", "help": "numbers of subscribers, with commas between"},
        deliveries={"type": int, "default": 400_000, "help": "deliveries in a sample of streaming"},
        singles={"type": int, "default": 15, "help": f"samples of {ROUNDS} records one at a time"},
        window={"type": int, "default": 64, "help": "publishes on their way on each connection"},
        watched={"choices": ["relay", "bare"], "default": "relay", "help": "which server to profile"},
        watch={"default": "", "metavar": "COMMAND", "help": "a profiler's command; {pid} stands for the server's pid"},
    )
