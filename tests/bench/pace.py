"""A publisher that keeps to its timetable whether or not it is answered, and a listener on a connection of its own.

Run as ``python pace.py HOST PORT FILE RATE``. FILE holds what the listener subscribes with, nil for none, and for each
connection the frames to publish, ready to be sent. It says ``{"ready": true}`` once the listener is live, starts at a
line, and prints how late each ack and each delivery was, in milliseconds after the publish was due: a relay that stalls
is charged for everything that fell due meanwhile (no coordinated omission). Publishes are due at the moments of a
Poisson process, with the same seed each time, since nobody's agents take turns.
"""

import json
import random
import select
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgpack
from load import Connection, greet

SEED = 4
LONGEST = 60  # s without an answer before it gives up


def timetable(rate: float, count: int) -> list[float]:
    """Return when so many publishes are due, in seconds from the start."""
    chance, at, due = random.Random(SEED), 0.0, []
    for _ in range(count):
        at += chance.expovariate(rate)
        due.append(at)
    return due


def keep_pace(links: list[Connection], listener: Connection | None, rate: float) -> dict[str, Any]:
    """Publish by the timetable; return the lateness of all acks and deliveries, and of the publisher itself."""
    count = sum(len(one.frames) for one in links)
    due = timetable(rate, count)
    acked: dict[int, tuple[float, int]] = {}  # by request: when, and the record's place
    heard: dict[int, float] = {}  # by place
    sent, own = 0, []
    sockets = {one.socket: one for one in [*links, *([listener] if listener else [])]}
    began = time.perf_counter()
    heard_last = began
    while len(acked) < count or (listener and len(heard) < count):
        now = time.perf_counter()
        while sent < count and due[sent] <= now - began:
            links[sent % len(links)].unsent += links[sent % len(links)].frames.popleft()
            own.append(now - began - due[sent])
            sent += 1
        for one in links:
            if one.unsent:
                one.unsent = one.unsent[one.socket.send(one.unsent) :]
        if now - heard_last > LONGEST:
            raise TimeoutError(f"{count - len(acked)} publishes were not answered")
        wait = due[sent] - (time.perf_counter() - began) if sent < count else 1.0
        # select and not epoll, which counts in whole milliseconds.
        for ready in select.select(sockets, [], [], max(0.0, wait))[0]:
            heard_last = 0.0
            for verb, req, *rest in sockets[ready].read():
                heard_last = heard_last or time.perf_counter()
                if verb == "ack":
                    acked[req] = heard_last, rest[0]
                elif verb == "record":
                    heard.update((seq, heard_last) for seq, _ in rest[0])
                elif verb == "problem":
                    raise ValueError(f"the relay refused a record: {rest[0]}")
            heard_last = heard_last or time.perf_counter()
    return {
        "seconds": time.perf_counter() - began,
        "own": [1_000 * late for late in own],
        "acks": [1_000 * (acked[req][0] - began - due[req]) for req in range(count)],
        "deliveries": [1_000 * (heard[acked[req][1]] - began - due[req]) for req in range(count)] if listener else [],
    }


def main() -> None:
    """Greet, wait for the word, publish, tell."""
    host, port, file, rate = sys.argv[1:]
    told = msgpack.unpackb(Path(file).read_bytes())
    links = [Connection(greet(host, int(port)), deque(frames)) for frames in told["publish"]]
    listener = None
    if told["subscribe"]:
        listener = Connection(greet(host, int(port)), deque())
        listener.socket.sendall(told["subscribe"])
        while not any(verb == "live" for verb, *_ in listener.read()):
            pass
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    print(json.dumps(keep_pace(links, listener, float(rate))), flush=True)


if __name__ == "__main__":
    main()
