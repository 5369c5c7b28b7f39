"""From a publish to a live subscriber at 200 publishes a second, and to its ack at half of what the relay can take.

Publishes fall due by a timetable, and lateness counts from that moment (`pace`). The subscriber's filter lets all pass;
publisher and subscriber are one process of their own, so that both read one clock. What the disk takes to keep 4 KiB is
measured in the same folder before and after each run, because an ack waits for it.
"""

import argparse
import os
import statistics
import time

import msgpack
from ingest import blast, demand, frames
from intentcast_protocol.frames import Publish, Subscribe, encode_frame
from intentcast_protocol.record import Record
from intentcast_protocol.subscription import Filter
from load import masked
from stand import Json, Process, Stand, conditions, fsync_times, part, percentile, run, stand

P50, P99 = 3.0, 15.0  # ms from publish to subscriber
ACK_P50 = 3.0  # ms on top of the disk's p50, at half load
ACK_P99 = (4.0, 10.0)  # times the disk's p99, and ms on top
RATE = 200  # publishes a second
FULL = 6_000  # publishes that tell the full rate
WINDOW = 64
CONNECTIONS = 8  # of the publisher at half and full load
DISK = 100  # writes before and after each run
LIMIT = 900


def made(count: int, connections: int, now: int) -> list[list[Record]]:
    """Return records for each connection, each with a key of its own, as every demand has."""
    return [[demand(os.urandom(32), now) for _ in range(count // connections)] for _ in range(connections)]


def paced(here: Stand, port: int, records: list[list[Record]], rate: float, *, listen: bool) -> Json:
    """Publish records by the timetable; return lateness in milliseconds."""
    subscribe = masked(encode_frame(Subscribe(0, Filter(), None, once=False))) if listen else None
    # Numbered across the connections in the order in which they fall due.
    publish = [
        [masked(encode_frame(Publish(at * len(records) + link, record))) for at, record in enumerate(one)]
        for link, one in enumerate(records)
    ]
    file = here.folder / "paced"
    file.write_bytes(msgpack.packb({"subscribe": subscribe, "publish": publish}))
    pace = here.program("pace", "127.0.0.1", port, file, rate)
    told = pace.ask()
    here.stop(pace)
    return told


def once(here: Stand, relay: Process, options: argparse.Namespace) -> Json:
    """Take one sample of everything."""
    port, now = int(relay.said["url"].rpartition(":")[2]), int(time.time()) - 60
    disk = fsync_times(here.folder, DISK)
    told = paced(here, port, made(int(RATE * options.seconds), 1, now), RATE, listen=True)
    file = here.folder / "full"
    file.write_bytes(frames(made(options.full, CONNECTIONS, now)))
    full = blast(here, port, file, WINDOW)
    half = full["acked"] / full["seconds"] / 2
    loaded = paced(here, port, made(int(half * options.seconds), CONNECTIONS, now), half, listen=False)
    return {
        "deliveries": told["deliveries"],
        "lone_acks": told["acks"],
        "own": told["own"],
        "rate": half,
        "acks": loaded["acks"],
        "own_at_half": loaded["own"],
        "disk": disk + fsync_times(here.folder, DISK),
    }


def both(samples: list[list[float]]) -> Json:
    """Return the p50 and p99 of each sample, as figures."""
    shares = {"p50": 0.5, "p99": 0.99}
    return {name: part([percentile(one, share) for one in samples]) for name, share in shares.items()}


def measure(options: argparse.Namespace) -> Json:
    """Take the samples against one relay."""
    with stand(LIMIT) as here:
        told = conditions(rate=RATE, arrivals="Poisson", seconds_a_sample=options.seconds, keys="fresh")
        relay = here.relay("relay")
        runs = [once(here, relay, options) for _ in range(options.repeat)]
    delivered, acked, disk = (both([one[name] for one in runs]) for name in ("deliveries", "acks", "disk"))
    allowed = {
        "p50": round(disk["p50"]["value"] + ACK_P50, 3),
        "p99": round(disk["p99"]["value"] * ACK_P99[0] + ACK_P99[1], 3),
    }
    half_ok = all(acked[share]["value"] <= allowed[share] for share in allowed)
    return {
        **delivered["p50"],
        "unit": "milliseconds from publish to subscriber at 200 a second, p50",
        "target": {"p50": P50, "p99": P99, "half_load": "p50 ≤ disk p50 + 3 ms, p99 ≤ 4 × disk p99 + 10 ms"},
        "ok": delivered["p50"]["value"] <= P50 and delivered["p99"]["value"] <= P99 and half_ok,
        "parts": {
            "delivery": delivered,
            "ack": both([one["lone_acks"] for one in runs]),
            "half_load": {
                **acked,
                "allowed": allowed,
                "ok": half_ok,
                "publishes_a_second": round(statistics.median(one["rate"] for one in runs)),
            },
            "disk": disk,
            "publisher_late": {
                "at_200": both([one["own"] for one in runs]),
                "half_load": both([one["own_at_half"] for one in runs]),
            },
        },
        "conditions": told,
    }


if __name__ == "__main__":
    run(
        "latency",
        "publish to subscriber at 200 a second, and to ack at half of the full rate",
        measure,
        seconds={"type": float, "default": 5.0, "help": "seconds of publishing in a sample"},
        full={"type": int, "default": FULL, "help": "publishes that tell the full rate"},
    )
