"""Floods a relay with records by fresh keys, from many addresses behind a proxy: a process of its own.

Says "ready" once all are signed, floods from the first line on stdin to the second, and then prints what it was told.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter

import aiohttp
from intentcast_protocol.frames import Ack, Challenge, Hello, Problem, Publish, encode_frame, read_answer
from intentcast_protocol.record import sign

AHEAD = 64  # publishes sent on one connection before their answers are read


def sign_all(count: int) -> list[bytes]:
    """Return so many frames, each a demand by a key of its own."""
    now = int(time.time())
    body = {"@type": "Demand", "name": "x" * 400, "itemOffered": {"category": "spam"}, "areaServed": {"cells": ["u1"]}}
    return [
        encode_frame(Publish(req, sign("demand", os.urandom(32), body, created=now, expires=now + 3_600).record))
        for req in range(count)
    ]


async def flood(url: str, address: str, frames: list[bytes], told: Counter[str], stop: asyncio.Event) -> None:
    """Publish over and over; what is refused comes again."""
    async with (
        aiohttp.ClientSession(headers={"X-Forwarded-For": address}) as session,
        session.ws_connect(url, compress=0) as socket,
    ):
        await socket.send_bytes(encode_frame(Hello(1)))
        waiting, at = 0, 0
        while not stop.is_set():
            while waiting < AHEAD:
                await socket.send_bytes(frames[at % len(frames)])
                waiting, at = waiting + 1, at + 1
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                told["closed"] += 1
                return
            answer = read_answer(message.data)
            if not isinstance(answer, Challenge):
                waiting -= 1
                told["ack" if isinstance(answer, Ack) else answer.code if isinstance(answer, Problem) else "other"] += 1


async def main(url: str, addresses: int, connections: int, count: int) -> None:
    frames, told, stop = sign_all(count), Counter[str](), asyncio.Event()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    share = len(frames) // (addresses * connections)
    floods = [
        asyncio.create_task(
            flood(url, f"198.51.{at // connections // 250}.{at // connections % 250 + 1}",
                  frames[at * share : (at + 1) * share], told, stop)
        )
        for at in range(addresses * connections)
    ]  # fmt: skip
    await asyncio.to_thread(sys.stdin.readline)
    stop.set()
    _, late = await asyncio.wait(floods, timeout=2)
    for task in late:
        task.cancel()
    await asyncio.gather(*floods, return_exceptions=True)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
