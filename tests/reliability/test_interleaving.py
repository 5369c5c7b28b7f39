"""Moments that a load meets once in a thousand times, met here each time.

The relay runs in this process, so that the test can say what happens between two steps of its loop.
"""

import asyncio
from collections import deque
from pathlib import Path
from random import Random
from typing import Any

import pytest
from intentcast_protocol.frames import Count, Cursor, Hello, Live, Subscribe, encode_frame
from intentcast_protocol.subscription import Filter
from intentcast_relay.config import Config
from intentcast_relay.index import Index
from intentcast_relay.server import Relay, running
from rig.traffic import Publisher, Subscriber, Supply, until
from rig.witness import Witness

pytestmark = pytest.mark.reliability

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: relay.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BINARY, CLOSE = 0x82, 0x88
GOODBYE = (1_001).to_bytes(2, "big") + b"refused.relay.stopping"


async def test_record_delivered_while_a_subscription_begins_comes_once(
    memory: Path, dice: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by test_kill.py: what went out between registering a listener and its first step came stored and live."""
    witness = Witness()
    supply = Supply(dice)
    async with running(Config(listen="127.0.0.1:0", database=memory / "relay.db")) as relay:
        kept: list[Any] = []
        deliver, url, add = relay._feed.deliver, relay.config.url, Index.add

        def add_and_deliver(index: Index[Any], *arguments: Any) -> None:
            add(index, *arguments)
            while kept:
                asyncio.get_running_loop().call_soon(deliver, kept.pop(0))

        relay._ingest._publish = kept.append
        await Publisher(witness, deque(supply.demands(3))).run(url)
        assert len(witness.acked) == 3
        relay._ingest._publish = deliver
        monkeypatch.setattr(Index, "add", add_and_deliver)
        subscriber = Subscriber(witness)
        listening = asyncio.create_task(subscriber.run(url))
        await until(lambda: len(subscriber.order) >= 3)
        # Another record after them shows that no copy of them is still on its way.
        await Publisher(witness, deque(supply.demands(1))).run(url)
        await until(lambda: len({name for _, name in subscriber.order}) == 4)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert not subscriber.faults()
    assert len(subscriber.order) == 4


async def test_stopping_relay_holds_the_line_until_its_last_words_are_answered(memory: Path) -> None:
    """Found by test_sigterm.py: it hung up at once, and an agent that was still sending lost `closed` to the reset."""
    relay = Relay(Config(listen="127.0.0.1:0", database=memory / "relay.db"))
    await relay.start()
    reader, writer = await asyncio.open_connection(*relay.config.address)
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    for frame in (Hello(1), Subscribe(0, Filter(), None, False)):
        writer.write(message(BINARY, encode_frame(frame)))
    told = b""
    while encode_frame(Live(0, Cursor(relay._store.epoch, 0))) not in told:
        told += await reader.read(4_096)
    stopping = asyncio.create_task(relay.stop())
    while b"refused.relay.stopping" not in told or told[-len(GOODBYE) :] != GOODBYE:
        told += await reader.readexactly(1)
    # An agent in the middle of its work: what it says now is no reason to hang up on it.
    for number in range(1, 50):
        writer.write(message(BINARY, encode_frame(Count(number, "vehicles/cars", (), ()))))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await reader.read(1)
    writer.write(message(CLOSE, (1_001).to_bytes(2, "big")))
    assert await reader.read() == b""
    writer.close()
    await stopping


def message(opcode: int, payload: bytes) -> bytes:
    """Return a client's WebSocket message, masked with zeros. RFC 6455 §5.2"""
    assert len(payload) < 126
    return bytes((opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload
