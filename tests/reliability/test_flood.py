"""Floods, mutations and bombs: what hostile peers send is refused with a code, costs little, and disturbs nobody.

Latencies are compared within one run, median of repeats, from ten milliseconds up: two busy cores say nothing about
less. What a flood costs the machine is not measured here, nor a flood that fills the network before the relay.
"""

import asyncio
import contextlib
import json
import os
import random
import sqlite3
import statistics
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.frames import (
    Ack,
    Auth,
    Challenge,
    Closed,
    Count,
    Cursor,
    Hello,
    Mailbox,
    Problem,
    Publish,
    Records,
    Subscribe,
    encode_frame,
    prove,
    read_answer,
)
from intentcast_protocol.identity import public_key
from intentcast_protocol.limits import MAX_FRAME, MAX_RECORD
from intentcast_protocol.record import Record, sign
from intentcast_protocol.subscription import Filter
from intentcast_protocol.testing import NOW, Pair, seed
from intentcast_relay.config import Limits
from intentcast_relay.core import Connection, Effect, Hangup, Persist, Send, problem
from intentcast_relay.posting import examine
from intentcast_relay.quota import Quota

pytestmark = pytest.mark.reliability

ROOT = Path(__file__).parents[2]
V, S = public_key(seed("V")), public_key(seed("S"))
NONCE, HOST = b"n" * 32, "relay.example"
DEMAND = Pair().demand_record.record
PROOF = prove(seed("V"), V, req=1, nonce=NONCE, host=HOST, now=NOW)
REQUESTS = [
    encode_frame(frame)
    for frame in (
        Hello(1), PROOF, Publish(2, DEMAND), Subscribe(3, Filter(("demand",), (V,), ("vehicles/cars",)), None, False),
        Subscribe(4, Filter(), Cursor(b"epoch...", 9), True), Closed(3), Count(5, "vehicles", ("u17",), ("NL",)),
        Mailbox(6, "read", V), Mailbox(7, "take", V, (bytes(32), b"x" * 32)),
        Mailbox(8, "keep", V, session=S, until=NOW), Mailbox(9, "stop", V, session=S),
    )
]  # fmt: skip
SPICE = (b"", b"\x00", b"\x80", b"\xc0", b"\xc1", b"\xff", b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff",
         b"\xc6\xff\xff\xff\xff", b"\xcf" + b"\xff" * 8, b"\xd6\xff" + bytes(4))  # fmt: skip
SHORT, LONG = 20_000, 1_000_000
SHORT_WIRE, LONG_WIRE = 1_000, 10_000


def mutated(draw: random.Random) -> bytes:
    """A request with one to four changes."""
    data = bytearray(draw.choice(REQUESTS))
    other = draw.choice(REQUESTS)
    for _ in range(draw.randrange(1, 5)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(6):
            case 0 | 1 if data:
                data[at % len(data)] ^= 1 << draw.randrange(8)
            case 2:
                data[at:at] = draw.randbytes(draw.randrange(1, 6))
            case 3:
                del data[at : at + draw.randrange(1, 40)]
            case 4:
                start = draw.randrange(len(other))
                data[at : at + draw.randrange(60)] = other[start : start + draw.randrange(60)]
            case _:
                spice = draw.choice(SPICE)
                data[at : at + len(spice)] = spice
    return bytes(data)


def connection(quota: Quota | None = None, address: str = "") -> Connection:
    made = Connection(NONCE, b"epoch...", frozenset({HOST}), 32)
    if quota is not None:
        made.visit = quota.enter(address, 0.0)
    assert isinstance(made.receive(encode_frame(Hello(1)), NOW), Send)
    return made


def accepted(record: Record) -> bool:
    """Whether all checks pass; whatever else is wrong has a code and a sentence."""
    try:
        examine(record, NOW)
    except IntentcastError as error:
        return not str(error)
    return True


# A flood of keys


async def opened(stack: AsyncExitStack, url: str, address: str) -> aiohttp.ClientWebSocketResponse:
    session = await stack.enter_async_context(aiohttp.ClientSession(headers={"X-Forwarded-For": address}))
    socket = await stack.enter_async_context(session.ws_connect(url, compress=0))
    await socket.send_bytes(encode_frame(Hello(1)))
    assert isinstance(read_answer(await socket.receive_bytes()), Challenge)
    return socket


class Honest:
    """Publishers, one for each round, and a listener, at addresses of their own."""

    def __init__(self, listener: aiohttp.ClientWebSocketResponse, *publishers: aiohttp.ClientWebSocketResponse) -> None:
        self.listener, self.publishers = listener, list(publishers)
        self._seeds = [os.urandom(32) for _ in range(40)]
        self._sent = 0

    async def quantile(self, count: int = 100) -> float:
        """The slowest but one from publish to delivery, in seconds."""
        took, publisher = [], self.publishers.pop()
        body = {
            "@type": "Demand",
            "name": "A car",
            "itemOffered": {"category": "cars"},
            "areaServed": {"cells": ["u1"]},
        }
        for _ in range(count):
            self._sent += 1
            created = int(time.time()) - 800 + self._sent // len(self._seeds)
            key = self._seeds[self._sent % len(self._seeds)]
            record = sign("demand", key, body, created=created, expires=created + 86_400).record
            began = time.perf_counter()
            await publisher.send_bytes(encode_frame(Publish(1, record)))
            answer = read_answer(await self.listener.receive_bytes(timeout=20))
            took.append(time.perf_counter() - began)
            assert isinstance(answer, Records)
            acked = read_answer(await publisher.receive_bytes(timeout=20))
            assert isinstance(acked, Ack), acked
        return sorted(took)[-2]


async def arrived(stack: AsyncExitStack, url: str, rounds: int = 10) -> Honest:
    listener, *publishers = [await opened(stack, url, f"203.0.113.{at}") for at in range(rounds + 1)]
    await listener.send_bytes(encode_frame(Subscribe(1, Filter(categories=("cars",)), None, False)))
    await listener.receive_bytes(timeout=20)
    return Honest(listener, *publishers)


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """A relay with the limits it ships with, as a process; yields its address and folder."""
    arguments = ["serve", "--listen", "127.0.0.1:0", "--database", "relay.db", "--announce", "-"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "intentcast_relay", *arguments, cwd=tmp_path, env=environ(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    yield json.loads(await asyncio.wait_for(process.stdout.readline(), 20))["url"], tmp_path
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 15) == 0


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("protocol", "relay"))}


async def test_ten_thousand_keys_from_other_addresses_disturb_no_honest_client_and_fill_no_disk(
    relay: tuple[str, Path],
) -> None:
    """Twenty addresses, a hundred connections, 10,000 new keys, as fast as the relay reads them. DESIGN §5"""
    url, folder = relay
    addresses, connections = 20, 5
    flooder = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("flooder.py")), url, str(addresses), str(connections), "10000",
        env=environ(), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert flooder.stdout is not None
    assert flooder.stdin is not None
    assert await asyncio.wait_for(flooder.stdout.readline(), 30) == b"ready\n"
    async with AsyncExitStack() as stack:
        honest = await arrived(stack, url)
        await honest.quantile(80)
        idle = [await honest.quantile() for _ in range(3)]
        flooder.stdin.write(b"go\n")
        began = time.monotonic()
        busy = [await honest.quantile() for _ in range(6)]
        flooder.stdin.write(b"stop\n")
        told = json.loads(await asyncio.wait_for(flooder.stdout.readline(), 30))
    lasted = time.monotonic() - began
    assert await flooder.wait() == 0
    limits = Limits()
    assert told.keys() <= {"ack", "refused.rate.exceeded", "refused.limit.exceeded"}, "each publish has its answer"
    stored = addresses * min(limits.address_demands, int(limits.address_publishes * (limits.burst + lasted) / 4) + 1)
    assert 0 < told["ack"] <= addresses * limits.address_publishes * (limits.burst + lasted)
    with contextlib.closing(sqlite3.connect(folder / "relay.db")) as database:
        (size,) = database.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()
    assert size < 2_048 * (stored + 40) + 2**20, "700 bytes of demand and its entries in the indexes"
    assert statistics.median(busy) <= 2 * max(statistics.median(idle), 0.01), (idle, busy)


# Mutated frames


def frames_are_survived(count: int) -> None:
    core, passed = connection(), 0
    for number in range(count):
        data = mutated(random.Random(number))
        try:
            effect = core.receive(data, NOW)
        except Exception as error:
            raise AssertionError(f"mutated(random.Random({number}))") from error
        assert isinstance(effect, Effect)
        if isinstance(effect, Persist) and accepted(effect.record):
            assert effect.record == DEMAND
            passed += 1
        assert core.keys <= {V}, number
        if isinstance(effect, Hangup) or number % 50 == 0:
            core = connection()
    assert passed or count < SHORT


def test_twenty_thousand_mutated_frames_have_coded_answers() -> None:
    """PROTOCOL §9.2, §9.7"""
    frames_are_survived(SHORT)


@pytest.mark.long
def test_a_million_mutated_frames_have_coded_answers() -> None:
    """PROTOCOL §9.2, §9.7"""
    frames_are_survived(LONG)


async def wire_is_survived(url: str, count: int) -> None:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        for first in range(0, count, 40):
            async with session.ws_connect(url, compress=0) as socket:
                await socket.send_bytes(encode_frame(Hello(1)))
                # After ten that are no frames the relay hangs up, perhaps while more are being sent.
                with contextlib.suppress(ConnectionError):
                    for number in range(first, first + 40):
                        await socket.send_bytes(mutated(random.Random(number)))
                    await socket.send_bytes(encode_frame(Count(77, "cars", (), ())))
                while (message := await socket.receive(timeout=20)).type is aiohttp.WSMsgType.BINARY:
                    answer = read_answer(message.data)
                    assert not isinstance(answer, Problem) or answer.code != "internal.error", first
                    if getattr(answer, "req", None) == 77:
                        break
        host, port = url.removeprefix("ws://").rsplit(":", 1)
        for number in range(count // 10):
            draw = random.Random(number)
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                draw.choice((b"GET / HTTP/1.1\r\n", b"")) + draw.randbytes(draw.randrange(1, 400)) + b"\r\n\r\n"
            )
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 20)
            writer.close()
        honest = await opened(stack, url, "203.0.113.7")
        await honest.send_bytes(encode_frame(Count(1, "cars", (), ())))
        assert read_answer(await honest.receive_bytes(timeout=20)).req == 1  # type: ignore[union-attr]


async def test_a_thousand_mutated_frames_over_sockets_leave_the_relay_at_work(relay: tuple[str, Path]) -> None:
    await wire_is_survived(relay[0], SHORT_WIRE)


@pytest.mark.long
async def test_ten_thousand_mutated_frames_over_sockets_leave_the_relay_at_work(relay: tuple[str, Path]) -> None:
    await wire_is_survived(relay[0], LONG_WIRE)


# Bombs


def nested(opener: bytes, size: int) -> bytes:
    return (opener * size)[:size]


BOMBS: dict[str, Callable[[int], bytes]] = {
    "arrays in arrays": lambda size: nested(b"\x91", size),
    "maps in maps": lambda size: nested(b"\x81\xa1a", size),
    "an array of nothing": lambda size: b"\xdd" + (size - 5).to_bytes(4, "big") + b"\xc0" * (size - 5),
    "an array of empty arrays": lambda size: b"\xdd" + (size - 5).to_bytes(4, "big") + b"\x90" * (size - 5),
    "an array of empty texts": lambda size: b"\xdd" + (size - 5).to_bytes(4, "big") + b"\xa0" * (size - 5),
    "four thousand million promised": lambda size: b"\xdd\xff\xff\xff\xff" + bytes(size - 5),
    "a map of four thousand million": lambda size: b"\xdf\xff\xff\xff\xff" + b"\xa1a\x01" * (size // 3 - 2),
    "bytes that are not there": lambda size: b"\xc6\xff\xff\xff\xff" + bytes(size - 5),
    "a text of one byte each": lambda size: b"\xdb" + (size - 5).to_bytes(4, "big") + b"x" * (size - 5),
    "a text outside ASCII": lambda size: b"\xdb" + (size - 5).to_bytes(4, "big") + "é".encode() * ((size - 5) // 2),
    "noise": lambda size: random.Random(1).randbytes(size),
    "a publish of an array": lambda size: b"\x93\xa7publish\x01" + nested(b"\x92", size - 10),
    "a record of the longest payload": lambda size: encode_frame(Publish(1, Record(bytes(size - 100), bytes(64)))),
    "a filter of authors": lambda size: b"\x95\xa9subscribe\x01\x81\xa7authors\xdc\xff\xff" + b"\xc4\x20" * (size // 2),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("size", [65_536, MAX_FRAME])
def test_no_frame_takes_more_memory_than_four_times_its_size(bomb: str, size: int) -> None:
    """DESIGN §9"""
    data, core = BOMBS[bomb](size), connection()
    core.receive(data, NOW)  # what is made once only
    tracemalloc.start()
    try:
        effect = core.receive(data, NOW)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 4 * len(data)
    assert isinstance(effect, Persist | Send)


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_payload_takes_more_memory_than_four_times_its_size(bomb: str) -> None:
    """DESIGN §9"""
    record = Record(BOMBS[bomb](MAX_RECORD - 200), bytes(64))
    accepted(record)
    tracemalloc.start()
    try:
        assert not accepted(record)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 4 * len(record.payload)


def test_subscriptions_as_large_as_can_be_are_refused_before_they_cost_anything() -> None:
    core = connection(Quota(Limits()), "somebody")
    largest = Filter(("demand",) * 64, tuple(bytes((at,)) * 32 for at in range(64)), ("a/" * 7 + "a",) * 64)
    data = encode_frame(Subscribe(1, largest, None, False))
    for _ in range(50):
        effect: Any = core.receive(data, NOW)
        assert effect.frame.code in {"refused.limit.exceeded", "refused.rate.exceeded"}
    assert not core.subscriptions
    assert problem(1, IntentcastError("refused.limit.exceeded")).code == "refused.limit.exceeded"


async def test_the_largest_subscriptions_allowed_slow_no_one_down(relay: tuple[str, Path]) -> None:
    """Sixty-four connections of one address, with all the subscriptions and values an address may have."""
    url, _ = relay
    limits = Limits()
    authors = tuple(bytes((at,)) * 32 for at in range(64))
    async with AsyncExitStack() as stack:
        honest = await arrived(stack, url)
        await honest.quantile(80)
        idle = [await honest.quantile() for _ in range(3)]
        crowd = [await opened(stack, url, "198.51.100.1") for _ in range(limits.address_connections)]
        taken = 0
        for req in range(8):
            for at, socket in enumerate(crowd):
                paths = tuple(f"cars/{at}-{req}-{value}" for value in range(64))
                await socket.send_bytes(encode_frame(Subscribe(req, Filter((), authors, paths), None, False)))
        for socket in crowd:
            for _ in range(8):
                answer = read_answer(await socket.receive_bytes(timeout=20))
                taken += not isinstance(answer, Problem)
        assert 100 < taken <= limits.address_subscriptions
        busy = [await honest.quantile() for _ in range(3)]
    assert statistics.median(busy) <= 2 * max(statistics.median(idle), 0.01), (idle, busy)


def test_the_originals_pass() -> None:
    """Or the mutations above would be refused for nothing."""
    core = connection()
    for data in REQUESTS[1:]:
        effect = core.receive(data, NOW)
        assert not isinstance(effect, Hangup)
        assert not (isinstance(effect, Send) and isinstance(effect.frame, Problem) and "malformed" in effect.frame.code)
    assert core.keys == {V}
    assert accepted(DEMAND)
    assert isinstance(PROOF, Auth)
