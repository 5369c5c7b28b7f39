"""Stored records by category and region out of a million, against reading the same rows with sqlite3 in the same run.

The store is filled through its own `write`, with filler: real payloads and topics, but keys and ids that count upwards
and signatures nobody made, since the relay never checks what it has stored. Every twentieth record is of the category
asked for or one below it; every hundredth of those lies in the region. The clock runs from the request to the last byte
of `live`. Two raw figures, both on a warm connection, with all rows fetched:

    statements  the store's own statements for that filter
    rows        the very rows that are found, by their primary keys: what no index can beat
"""

import argparse
import asyncio
import json
import os
import socket
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from ingest import DAY
from intentcast_protocol.area import Area
from intentcast_protocol.frames import Subscribe, encode_frame
from intentcast_protocol.identity import Id, Key, public_key
from intentcast_protocol.record import payload_of
from intentcast_protocol.subscription import Filter
from intentcast_protocol.testing import CARS, demand_body, seed
from intentcast_relay.posting import Posting
from intentcast_relay.store.contract import Changes, Shelf, Wanted
from intentcast_relay.store.search import fetch, narrow
from intentcast_relay.store.sqlite import open_store
from load import Connection, greet, masked
from stand import Json, Stand, conditions, part, run, stand

TARGET = 2.0  # times the raw statements
WANTED = Filter(("demand",), (), (CARS,), Area(("u178", "u179"), ("NL",)))
ROWS = 500  # of a million that are found
SHARE = 20  # one record in so many is of the category
NEAR = 100  # one in so many of those is in the region
BATCH = 20_000  # records a transaction while filling
READ = 1_048_576
LIMIT = 1_800


def topics(at: int) -> tuple[str, Area]:
    """Return the category and area of one record: skewed as a market is, with some 7,500 categories and 500 cells."""
    if at % SHARE == 0:
        category = CARS if at % 3 else f"{CARS}/estates"
        turn = at // SHARE
        if turn % NEAR == 0:
            return category, Area(("u178", "u17b") if turn % 2 else ("u179",), ("NL",))
    else:
        category = f"goods/shelf-{at % 19}/kind-{at % 397}"
    here = at * 2_654_435_761 % 2**32
    row = "u" + "0123456789bcdefghjkmnpqrstuvwxyz"[here % 16] + "bcdefghjkmnpqrst"[here // 16 % 16]
    return category, Area((f"{row}0", f"{row}{1 + here // 256 % 2}"), (("DE", "FR", "PL")[here % 3],))


def postings(count: int, now: int) -> Iterator[Posting]:
    """Yield filler; the payloads are of one demand, but for their author."""
    author = seed("filler")
    payload = payload_of("demand", author, demand_body(), created=now, expires=now + 30 * DAY)
    before, after = payload.split(public_key(author))
    for at in range(1, count + 1):
        category, area = topics(at)
        key = at.to_bytes(8, "big") * 4
        yield Posting(Id(key), "demand", Key(key), None, now, now + 30 * DAY, (category,), area.cells, area.countries,
                      None, before + key + after, os.urandom(64))  # fmt: skip


async def fill(path: Path, count: int, now: int) -> None:
    """Make a database with so many records, through the store."""
    store = await open_store(path)
    filler = postings(count, now)

    def shelve(shelf: Shelf) -> Changes:
        changes = Changes()
        for _, posting in zip(range(BATCH), filler, strict=False):
            shelf.seq += 1
            changes.insert[shelf.seq] = posting
        return changes

    while store.seq < count:
        await store.write(Wanted(), shelve)
    await store.close()


def ask(link: socket.socket) -> tuple[float, list[Any]]:
    """Ask the relay; return the seconds until the last byte and, read afterwards, the frames that came."""
    request = masked(encode_frame(Subscribe(0, WANTED, None, once=True)))
    data = bytearray()
    began = time.perf_counter()
    link.sendall(request)
    while b"\xa4live" not in data[-40:]:
        data += link.recv(READ)
    seconds = time.perf_counter() - began
    near, far = socket.socketpair()
    with near, far:
        reader = Connection(near, None, unread=data)
        far.send(b"\x8a\x00")  # a pong, since `read` wants something to come
        return seconds, list(reader.read())


def raw(db: sqlite3.Connection, now: int) -> tuple[float, list[Any]]:
    """Find and fetch the rows with the store's own statements; return seconds and rows."""
    began = time.perf_counter()
    left = sorted(dict(db.execute(*narrow(WANTED))))
    rows: list[Any] = []
    while left:
        # A statement ends with the record that makes its payloads too many bytes.
        rows += db.execute(*fetch(WANTED, json.dumps(left), now)).fetchall()
        left = left[bisect_right(left, rows[-1][0]) :]
    return time.perf_counter() - began, rows


def by_key(db: sqlite3.Connection, places: list[int]) -> tuple[float, list[Any]]:
    """Fetch known rows by their primary keys; return seconds and rows."""
    statement = f"SELECT seq, payload, signature FROM record WHERE seq IN ({', '.join('?' * len(places))})"
    began = time.perf_counter()
    rows = db.execute(statement, places).fetchall()
    return time.perf_counter() - began, rows


def sample(here: Stand, options: argparse.Namespace, now: int) -> dict[str, list[float]]:
    """Take all samples in turn; return seconds."""
    relay = here.relay("relay")
    here.watch(relay, options.watch)
    taken: dict[str, list[float]] = {"relay": [], "statements": [], "rows": []}
    link = greet("127.0.0.1", int(relay.said["url"].rpartition(":")[2]))
    with link, closing(sqlite3.connect(here.folder / "relay.db")) as db:
        for turn in range(options.repeat + 1):
            seconds, frames = ask(link)
            places = [place for verb, _, *rest in frames if verb == "record" for place, _ in rest[0]]
            found = {"statements": raw(db, now), "rows": by_key(db, places)}
            if any(len(rows) * SHARE * NEAR != options.stored for _, rows in found.values()):
                raise ValueError(f"{len(places)} of {options.stored} records were found")
            if turn:  # the first is cold
                taken["relay"].append(seconds)
                for name, (passed, _) in found.items():
                    taken[name].append(passed)
    here.stop(relay)
    return taken


def measure(options: argparse.Namespace) -> Json:
    """Fill a store, then ask relay and SQLite in turn."""
    now = int(time.time()) - 60
    with stand(LIMIT) as here:
        path = here.folder / "relay.db"
        began = time.perf_counter()
        asyncio.run(fill(path, options.stored, now))
        told = conditions(
            stored=options.stored,
            found=options.stored // SHARE // NEAR,
            database_mb=round(path.stat().st_size / 1e6),
            filled_in_s=round(time.perf_counter() - began),
            filler="unsigned, ids in order",
        )
        taken = sample(here, options, now)
    ratios = [a / b for a, b in zip(taken["relay"], taken["statements"], strict=True)]
    floor = [a / b for a, b in zip(taken["relay"], taken["rows"], strict=True)]
    figure = part(ratios, 2)
    return {
        **figure,
        "unit": "time until the client has the last byte / raw sqlite3 with the same statements",
        "target": TARGET,
        "ok": figure["value"] <= TARGET and options.stored >= ROWS * SHARE * NEAR,
        "parts": {
            "against_rows_by_key": part(floor, 2),
            "milliseconds": {name: part([1_000 * one for one in seconds], 2) for name, seconds in taken.items()},
        },
        "conditions": told,
    }


if __name__ == "__main__":
    run(
        "query",
        "500 stored records by category and region out of a million",
        measure,
        repeat=15,
        stored={"type": int, "default": ROWS * SHARE * NEAR, "help": f"records stored, a multiple of {SHARE * NEAR}"},
        watch={"default": "", "metavar": "COMMAND", "help": "a profiler's command; {pid} stands for the relay's pid"},
    )
