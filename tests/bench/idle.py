"""What one idle, subscribed connection costs the relay in memory, beside a plain aiohttp WebSocket server's.

A hundred connections wake a server up; then so many more come, each with one subscription of its own, as a vendor has
who listens for a category round the corner. The figure is the growth of the server's resident memory a connection. The
listeners are another process.
"""

import argparse
import time
from pathlib import Path

import msgpack
from intentcast_protocol.area import Area, circle
from intentcast_protocol.frames import Subscribe, encode_frame
from intentcast_protocol.subscription import Filter
from load import masked
from stand import Json, Process, Stand, allow_files, conditions, part, run, stand

TARGET = 25.0  # KB of 1,000 bytes
WARM = 100  # connections
STILL = 0.25  # s without growth until a figure is read
LIMIT = 900


def subscribes(count: int) -> list[bytes]:
    """Return what each listener sends: cars, phones, … within some 30 km of places all over the land."""
    frames = []
    for at in range(count):
        place = Area(circle(45 + at % 97 / 10, 2 + at % 131 / 10, 30), ("DE", "NL"))
        wanted = Filter(("demand",), (), (f"goods/shelf-{at % 50}/kind-{at % 400}",), place)
        frames.append(masked(encode_frame(Subscribe(0, wanted, None, once=False))))
    return frames


def settled(server: Process) -> int:
    """Return the memory of a server once it grows no more."""
    held = -1
    while (now := server.memory()) != held:
        held = now
        time.sleep(STILL)
    return held


def listen(here: Stand, server: Process, frames: list[bytes]) -> Process:
    """Give a server some listeners and return them."""
    file = here.folder / "listeners"
    file.write_bytes(msgpack.packb({"subscribe": frames, "publish": []}))
    return here.program("drain", "127.0.0.1", server.said["url"].rpartition(":")[2], file)


def grown(here: Stand, server: Process, connections: int) -> float:
    """Return the kilobytes that each connection adds."""
    frames = subscribes(WARM + connections)
    clients = [listen(here, server, frames[:WARM])]
    before = settled(server)
    clients.append(listen(here, server, frames[WARM:]))
    after = settled(server)
    for process in (*clients, server):
        here.stop(process)
    return (after - before) / connections / 1_000


def measure(options: argparse.Namespace) -> Json:
    """Take samples of both servers in turn, each of a new process."""
    allow_files(options.connections + WARM + 500)
    settings = f"[limits]\nconnections = {options.connections + WARM + 10}\n"
    taken: dict[str, list[float]] = {"relay": [], "plain": []}
    with stand(LIMIT) as here:
        told = conditions(connections=options.connections, subscriptions_a_connection=1)
        for _ in range(options.repeat):
            for file in here.folder.glob("relay.db*"):
                file.unlink()
            taken["relay"].append(grown(here, here.relay("relay", settings=settings), options.connections))
            plain = here.ready(here.launch("bare", str(Path(__file__).with_name("bare.py"))))
            taken["plain"].append(grown(here, plain, options.connections))
    figure = part(taken["relay"], 1)
    return {
        **figure,
        "unit": "KB (1,000 bytes) of resident memory of the relay's process a connection",
        "target": TARGET,
        "ok": figure["value"] <= TARGET,
        "parts": {"plain_aiohttp": part(taken["plain"], 1)},
        "conditions": told,
    }


if __name__ == "__main__":
    run(
        "idle",
        "memory of an idle, subscribed connection",
        measure,
        connections={"type": int, "default": 5_000, "help": "idle connections"},
    )
