"""Durable, verified publishes a second through one relay process, against one core's raw Ed25519 rate of the same run.

The relay is started as an operator starts it; the load generator is a process of its own on the same cores. Records
are signed, encoded and masked before the clock starts. Three variants, each on a new database:

    known    200 keys; each record replaces its key's former one. Raw: crypto_sign_open
    fresh    a key of its own for each record, as every demand has. Raw: crypto_sign_open and the point check
    sealed   200 admitted session keys write sealed records to 200 mailboxes. Raw: crypto_sign_open

The value is the smaller ratio of known and fresh, since the promise is made for both; sealed has none and is reported.
"""

import argparse
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgpack
from intentcast_protocol.frames import Publish, encode_frame
from intentcast_protocol.identity import public_key
from intentcast_protocol.record import Record, parse, payload_of, sign_bytes, signed_bytes
from intentcast_protocol.sealing import seal
from intentcast_protocol.testing import demand_body, seal_pair, seed
from load import masked
from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from stand import Json, Stand, conditions, free_port, fsync_milliseconds, part, run, stand

TARGET = 1.2  # of issue 3, for known and for fresh
KEYS = 200
RAW = 0.5  # s of raw verifying before and after each run
DAY = 86_400
LIMIT = 900  # s for everything


class Variant(NamedTuple):
    """Signed records by connection, those a relay must have before, and whether each key is new to it."""

    records: list[list[Record]]
    before: list[Record]
    fresh: bool
    rows: int  # records the relay holds afterwards


def demand(own: bytes, created: int, **changes: object) -> Record:
    """Sign a demand without checking it again, which is what takes the time."""
    payload = payload_of("demand", own, demand_body(**changes), created=created, expires=created + DAY)
    return Record(payload, sign_bytes("record", payload, own))


def known(count: int, connections: int, now: int, _url: str) -> Variant:
    """Make records of 200 keys; a key's records are a second apart and stay on one connection, so that each stands."""
    keys = [seed(f"known {at}") for at in range(KEYS)]
    start = now - count // KEYS
    lists: list[list[Record]] = [[] for _ in range(connections)]
    for at in range(count):
        lists[at % KEYS % connections].append(demand(keys[at % KEYS], start + at // KEYS))
    return Variant(lists, [], False, KEYS)


def fresh(count: int, connections: int, now: int, _url: str) -> Variant:
    """Make each record with a key nobody has seen."""
    lists: list[list[Record]] = [[] for _ in range(connections)]
    for at in range(count):
        lists[at % connections].append(demand(os.urandom(32), now))
    return Variant(lists, [], True, count)


def sealed(count: int, connections: int, now: int, url: str) -> Variant:
    """Make sealed records from 200 session keys, admitted without work, to as many mailboxes."""
    keys = [(seed(f"session {at}"), seed(f"person {at}")) for at in range(KEYS)]
    reply = {"offerKey": seal_pair("offer key").public, "relays": [url]}
    before = [demand(person, now, admit=["stamp:0"], replyTo=reply) for _, person in keys]
    inner = demand(keys[0][0], now)
    lists: list[list[Record]] = [[] for _ in range(connections)]
    for at in range(count):
        session, person = keys[at % KEYS]
        envelope = seal(
            inner, seed=session, to=public_key(person), key=reply["offerKey"], created=now, expires=now + DAY
        )
        lists[at % KEYS % connections].append(envelope.record)
    return Variant(lists, before, False, count + KEYS)


VARIANTS: dict[str, Callable[[int, int, int, str], Variant]] = {"known": known, "fresh": fresh, "sealed": sealed}


def frames(lists: Sequence[Sequence[Record]]) -> bytes:
    """Return what the load generator reads: each connection's publishes, ready to be sent."""
    return bytes(
        msgpack.packb(
            [[masked(encode_frame(Publish(at, record))) for at, record in enumerate(records)] for records in lists]
        )
    )


def raw_rate(records: Sequence[tuple[bytes, bytes]], *, points: bool) -> float:
    """Return how many signatures of these very records one core checks a second, doing nothing else."""
    done, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < RAW:
        message, key = records[done % len(records)]
        if points and not crypto_core_ed25519_is_valid_point(key):
            raise ValueError("a key is not valid")
        crypto_sign_open(message, key)
        done += 1
    return done / passed


def blast(here: Stand, port: int, file: Path, window: int) -> Json:
    """Have the load generator send a file; return what it says."""
    program = str(Path(__file__).with_name("load.py"))
    load = here.ready(here.launch("load", program, "127.0.0.1", str(port), str(file), str(window)))
    out, _ = load.popen.communicate(b"go\n", timeout=LIMIT)
    here.stop(load)
    told: Json = json.loads(out)
    if told["refused"]:
        raise ValueError(f"the relay refused records: {told['refused']}")
    return told


def once(here: Stand, name: str, variant: Variant, port: int, options: argparse.Namespace) -> Json:
    """Run one variant against a relay with a new database; return rates and who used the cores."""
    flat = [record for records in variant.records for record in records][:2_000]
    sample = [(record.signature + signed_bytes("record", record.payload), parse(record).author) for record in flat]
    relay = here.relay("relay", port)
    here.watch(relay, options.watch)
    if variant.before:
        early = here.folder / "before"
        early.write_bytes(frames([variant.before]))
        blast(here, port, early, options.window)
    before = raw_rate(sample, points=variant.fresh)
    used = relay.cpu()
    told = blast(here, port, here.folder / name, options.window)
    used = relay.cpu() - used
    after = raw_rate(sample, points=variant.fresh)
    here.stop(relay)
    database = here.folder / "relay.db"
    with closing(sqlite3.connect(database)) as db:
        rows = db.execute("SELECT count(*) FROM record").fetchone()[0]
    if rows != variant.rows or told["acked"] != options.records:
        raise ValueError(f"{told['acked']} of {options.records} acked, {rows} of {variant.rows} stored")
    for file in here.folder.glob("relay.db*"):
        file.unlink()
    rate, raw = told["acked"] / told["seconds"], (before + after) / 2
    return {"ratio": rate / raw, "rate": rate, "raw": raw, "relay_ms": used / told["acked"] * 1000,
            "load_ms": told["cpu"] / told["acked"] * 1000}  # fmt: skip


def measure(options: argparse.Namespace) -> Json:
    """Take every variant in turn, as often as asked."""
    names = [options.only] if options.only else list(VARIANTS)
    with stand(LIMIT) as here:
        port, now = free_port(), int(time.time()) - 60
        made = {}
        for name in names:
            variant = VARIANTS[name](options.records, options.connections, now, f"ws://127.0.0.1:{port}")
            (here.folder / name).write_bytes(frames(variant.records))
            made[name] = variant
        told = conditions(
            records=options.records,
            connections=options.connections,
            window=options.window,
            payload_bytes={name: len(variant.records[0][0].payload) for name, variant in made.items()},
            disk_keeps_4k_ms=fsync_milliseconds(here.folder),
        )
        runs: dict[str, list[Json]] = {name: [] for name in names}
        for _ in range(options.repeat):
            for name in names:
                runs[name].append(once(here, name, made[name], port, options))
    parts = {
        name: {
            **part([one["ratio"] for one in taken]),
            "acked_a_second": part([one["rate"] for one in taken], 0),
            "raw_a_second": part([one["raw"] for one in taken], 0),
            "relay_cpu_ms_a_publish": part([one["relay_ms"] for one in taken]),
            "load_cpu_ms_a_publish": part([one["load_ms"] for one in taken]),
        }
        for name, taken in runs.items()
    }
    worst = min((name for name in parts if name != "sealed"), key=lambda name: parts[name]["value"], default="sealed")
    figure = {name: parts[worst][name] for name in ("value", "spread", "samples")}
    return {
        **figure,
        "of": worst,
        "unit": "acked publishes a second / one core's raw verifies a second",
        "target": TARGET,
        "ok": figure["value"] >= TARGET,
        "parts": parts,
        "conditions": told,
    }


if __name__ == "__main__":
    run(
        "ingest",
        "durable verified publishes a second, against one core's raw verify rate",
        measure,
        records={"type": int, "default": 10_000, "help": "publishes in a sample"},
        connections={"type": int, "default": 8, "help": "WebSocket connections of the load generator"},
        window={"type": int, "default": 64, "help": "publishes on their way on each connection"},
        only={"choices": sorted(VARIANTS), "help": "one variant alone"},
        watch={"default": "", "metavar": "COMMAND", "help": "a profiler's command; {pid} stands for the relay's pid"},
    )
