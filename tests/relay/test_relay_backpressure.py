"""Peers that dribble, stall or flood, over real sockets: each is bounded and ended, and disturbs nobody.

DESIGN §5, PROTOCOL §9.7, §9.9, §9.11
"""

import asyncio
import contextlib
import socket
import statistics
import struct
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from intentcast_protocol.frames import (
    Ack,
    Closed,
    Count,
    Hello,
    Mailbox,
    Problem,
    Publish,
    Records,
    Subscribe,
    encode_frame,
    read_answer,
)
from intentcast_protocol.subscription import Filter
from intentcast_relay.config import Batch, Config, Limits
from intentcast_relay.door import SPARE, Messages
from intentcast_relay.server import Relay, running

SOON = 5  # s before a test gives up
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: relay.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
READERS = 1_000
ALONE = Batch(processes=0)  # quick to start


def masked(payload: bytes, first: int = 0x82) -> bytes:
    """One WebSocket frame as a client sends it, under a mask of zeros."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + struct.pack(">H", size)
    return bytes((first,)) + length + bytes(4) + payload


@pytest.fixture
async def hasty(config: Config, clock: Callable[[], int], build: Any) -> AsyncIterator[Relay]:
    """A relay that waits a second for everything."""
    limits = Limits(auth_deadline=1, message_deadline=1, send_deadline=1)
    async with running(replace(config, limits=limits, batch=ALONE), clock) as relay:
        build.url = relay.config.url
        yield relay


async def dialled(relay: Relay) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = relay.config.address
    return await asyncio.open_connection(host, port)


async def upgraded(relay: Relay) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await dialled(relay)
    writer.write(HANDSHAKE + b"\r\n" + masked(b"", 0x8A))
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Read until the relay hangs up."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(SOON):
            return await reader.read()
    return b""


async def dribbling(writer: asyncio.StreamWriter, bytes_: bytes) -> None:
    for byte in bytes_ * 100:
        with contextlib.suppress(ConnectionError):
            writer.write(bytes((byte,)))
            await writer.drain()
        await asyncio.sleep(0.05)


async def dribbled_to_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    dribble = asyncio.create_task(dribbling(writer, data))
    said = await ended(reader)
    dribble.cancel()
    writer.close()
    return said


# Time


async def test_headers_that_never_end_are_given_up(hasty: Relay) -> None:
    reader, writer = await dialled(hasty)
    writer.write(b"GET / HTTP/1.1\r\n")
    assert await dribbled_to_the_end(reader, writer, b"X-A: b\r\n") == b""


async def test_who_connects_and_says_nothing_is_given_up(hasty: Relay) -> None:
    for said in (b"", b"GET /healthz HTTP/1.1\r\nHost: relay.example\r\n\r\n"):
        reader, writer = await dialled(hasty)
        writer.write(said)
        assert (b" 200 " in await ended(reader)) == bool(said)
        writer.close()


async def test_a_message_that_never_ends_is_given_up(hasty: Relay) -> None:
    async def said(begun: bytes) -> bytes:
        reader, writer = await upgraded(hasty)
        writer.write(masked(encode_frame(Hello(1))) + begun)
        end = await ended(reader)
        writer.close()
        return end

    first, length, payload = b"\x82", b"\x82\xfe\x10\x00", masked(b"x" * 500)[:-20]
    fragment, second = masked(b"begun", 0x02), masked(encode_frame(Closed(1))) + masked(b"more")[:8]
    for end in await asyncio.gather(*map(said, (first, length, payload, fragment, second))):
        assert b"no whole message in time" in end
        assert b"refused.limit.exceeded" in end


async def test_dribbling_and_pongs_between_fragments_buy_no_time(hasty: Relay) -> None:
    async def said(begun: bytes, drop: bytes) -> bytes:
        reader, writer = await upgraded(hasty)
        writer.write(masked(encode_frame(Hello(1))) + begun)
        return await dribbled_to_the_end(reader, writer, drop)

    large, fragment = b"\x82\xfe\xff\x00", masked(b"x", 0x02)
    for end in await asyncio.gather(said(large, b"\0"), said(fragment, masked(b"", 0x8A))):
        assert b"no whole message in time" in end


async def test_who_only_listens_and_answers_pings_stays(hasty: Relay, connect: Any, build: Any) -> None:
    listener, publisher = await connect(hasty), await connect(hasty)
    await listener.subscribe()
    reader, writer = await upgraded(hasty)
    writer.write(masked(encode_frame(Hello(1))) + masked(b"x" * 500)[:-20])
    assert b"no whole message" in await ended(reader)  # so that the deadline has passed for all
    await listener.socket.ping(b"still here")
    seq = await publisher.stored(build.demand(build.seed()))
    assert [found for found, _ in await listener.pushed()] == [seq]
    writer.close()


async def test_a_ping_is_answered(hasty: Relay) -> None:
    reader, writer = await upgraded(hasty)
    writer.write(masked(b"are you there", 0x89))
    assert await reader.readexactly(15) == b"\x8a\x0dare you there"
    writer.close()


@pytest.mark.parametrize("step", [1, 3, 1_000])
def test_messages_are_followed_however_they_are_cut(step: int) -> None:
    whole = [
        masked(b""), masked(b"x" * 125), masked(b"x" * 126),
        masked(b"", 0x02) + masked(b"p", 0x89) + masked(b"x", 0x80),
        b"\x82\xff" + (70_000).to_bytes(8, "big") + bytes(4) + bytes(70_000), b"\x82\x01x",
    ]  # fmt: skip
    messages = Messages()
    for message in whole:
        for at in range(0, len(message), step):
            messages.feed(message[at : at + step])
            assert messages.unfinished == (at + step < len(message))
    assert messages.feed(whole[1] + whole[1][:9]), "the second one begins here"
    assert not messages.feed(whole[1][9:20]), "and goes on here"
    assert messages.feed(whole[1][20:] + whole[1][:1])


async def test_more_connections_than_the_relay_has_room_for_are_told_so(
    config: Config, clock: Callable[[], int]
) -> None:
    async with running(replace(config, limits=Limits(connections=1), batch=ALONE), clock) as relay:
        inside = [await dialled(relay) for _ in range(1 + SPARE)]
        reader, writer = await dialled(relay)
        assert (await ended(reader)).startswith(b"HTTP/1.1 503 ")
        writer.close()
        for _, writer in inside:
            writer.close()


# What waits for one peer


async def stuffed(relay: Relay, publisher: Any, build: Any, count: int = 40) -> None:
    """Publish more than sockets hold."""
    for _ in range(count):
        await publisher.stored(build.record("profile", build.seed(), {"name": "x" * 60_000}))


async def test_an_act_is_done_and_told_before_the_feed_that_fills_the_queue(
    config: Config, clock: Callable[[], int], connect: Any, build: Any
) -> None:
    limits = Limits(queue_frames=2_000, queue_bytes=2**30, send_deadline=30)
    async with running(replace(config, limits=limits, batch=ALONE), clock) as relay:
        build.url, seed = relay.config.url, build.seed()
        person, publisher = await connect(relay, seed), await connect(relay)
        demand = build.demand(seed)
        letter = build.sealed(build.seed(), demand.author)
        await publisher.stored(demand)
        await publisher.stored(letter)
        await person.subscribe(Filter(types=("profile",)))
        person.socket._conn.protocol.transport.pause_reading()
        sent = [build.record("profile", build.seed(), {"name": "x" * 9_000}) for _ in range(1_024)]
        for req, record in enumerate(sent):
            await publisher.send(Publish(req, record.record))
        for _ in sent:
            assert isinstance(await publisher.receive(), Ack)
        await person.send(Mailbox(900, "take", demand.author, ids=(letter.id,)))
        reader = await connect(relay, seed)
        waiting = True
        while waiting:  # until it is done, though the person has not read a byte
            req, waiting = await reader.read(demand.author)
            await reader.send(Closed(req))
        person.socket._conn.protocol.transport.resume_reading()
        before = 0
        while not isinstance(answer := await person.receive(), Ack):
            assert isinstance(answer, Records)
            before += len(answer.records)
        assert (answer.req, answer.value) == (900, 1)
        assert before < 900, "the ack overtook what was not yet in the socket"


async def test_stored_records_are_read_only_as_fast_as_they_are_taken(
    config: Config, clock: Callable[[], int], connect: Any, build: Any
) -> None:
    """Thirty-two subscriptions that catch up at once hold about one page, not thirty-two."""
    limits = Limits(send_deadline=30)
    async with running(replace(config, limits=limits, batch=ALONE), clock) as relay:
        reader, publisher = await connect(relay), await connect(relay)
        await stuffed(relay, publisher, build)
        reader.socket._conn.protocol.transport.pause_reading()
        for req in range(32):
            await reader.send(Subscribe(req, Filter(), None, False))
        other = await connect(relay)
        assert (await other.subscribe(once=True))[2].seq == 40
        [peer] = [peer for peer in relay._peers if peer._listeners]
        waits = []
        for _ in range(20):
            await other.call(Count(1, "cars", (), ()))
            waits.append(peer.outgoing._records.size)
        assert max(waits) < 2 * 2**20
        reader.socket._conn.protocol.transport.resume_reading()
        live = 0
        while live < 32:
            live += not isinstance(await reader.receive(), Records)


# Rates and places of an address


class Visitor:
    """Connects as a proxy does that names the visitor behind it."""

    def __init__(self, relay: Relay, address: str) -> None:
        self.url = relay.config.url
        self.headers = {"X-Forwarded-For": f"203.0.113.250, {address}"}
        self.session = aiohttp.ClientSession()
        self.opened: list[aiohttp.ClientWebSocketResponse] = []

    async def connect(self) -> aiohttp.ClientWebSocketResponse:
        opened = await self.session.ws_connect(self.url, compress=0, headers=self.headers)
        await opened.send_bytes(encode_frame(Hello(1)))
        await opened.receive_bytes(timeout=SOON)
        self.opened.append(opened)
        return opened

    async def close(self) -> None:
        for opened in self.opened:
            await opened.close()
        await self.session.close()


@pytest.fixture
async def visitor(strict: Relay) -> AsyncIterator[Callable[[str], Visitor]]:
    made: list[Visitor] = []

    def make(address: str) -> Visitor:
        made.append(Visitor(strict, address))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def strict(config: Config, clock: Callable[[], int], build: Any) -> AsyncIterator[Relay]:
    limits = Limits(address_connections=2, address_publishes=20, address_requests=20, key_publishes=10, burst=1)
    async with running(replace(config, limits=limits, batch=ALONE), clock) as relay:
        build.url = relay.config.url
        yield relay


async def test_an_address_that_publishes_too_much_is_told_how_long_to_wait_and_others_are_served(
    strict: Relay, visitor: Callable[[str], Visitor], connect: Any, build: Any
) -> None:
    flood, honest, here = await visitor("198.51.100.1").connect(), await visitor("198.51.100.2").connect(), connect
    for req in range(12):
        await flood.send_bytes(encode_frame(Publish(req, build.demand(build.seed()).record)))
    told = [read_answer(await flood.receive_bytes(timeout=SOON)) for _ in range(12)]
    refused = [answer for answer in told if isinstance(answer, Problem)]
    assert {answer.code for answer in refused} == {"refused.rate.exceeded"}
    assert "(wait " in refused[0].sentence
    assert len(told) - len(refused) >= 5, "twenty tokens are five new keys at four; more come in while it has to wait"
    assert {answer.req for answer in told} == set(range(12)), "nothing is dropped"
    await honest.send_bytes(encode_frame(Publish(1, build.demand(build.seed()).record)))
    assert isinstance(read_answer(await honest.receive_bytes(timeout=SOON)), Ack)
    local = await here(strict)
    for _ in range(12):
        await local.stored(build.demand(build.seed()))


async def test_a_key_cannot_be_used_up_by_whoever_forges_it(
    strict: Relay, visitor: Callable[[str], Visitor], build: Any
) -> None:
    seed = build.seed()
    demand = build.demand(seed)
    forger, author = await visitor("198.51.100.1").connect(), await visitor("198.51.100.2").connect()
    for req in range(4):
        await forger.send_bytes(encode_frame(Publish(req, replace(demand.record, signature=bytes((req,)) * 64))))
    codes = {read_answer(await forger.receive_bytes(timeout=SOON)).code for _ in range(4)}
    assert codes <= {"invalid.record.signature", "refused.rate.exceeded"}
    await author.send_bytes(encode_frame(Publish(1, demand.record)))
    assert isinstance(read_answer(await author.receive_bytes(timeout=SOON)), Ack)


async def test_an_address_has_so_many_connections_and_then_429(
    strict: Relay, visitor: Callable[[str], Visitor]
) -> None:
    crowd, other = visitor("198.51.100.1"), visitor("198.51.100.2")
    first, _ = await crowd.connect(), await crowd.connect()
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await crowd.connect()
    assert caught.value.status == 429
    await other.connect()
    await first.close()
    while True:
        with contextlib.suppress(aiohttp.WSServerHandshakeError):
            await crowd.connect()
            break


async def test_plain_requests_of_an_address_are_bounded_too(strict: Relay, visitor: Callable[[str], Visitor]) -> None:
    url = strict.config.url.replace("ws", "http") + "/healthz"
    one = visitor("198.51.100.1")
    seen = set()
    for _ in range(700):
        async with one.session.get(url, headers=one.headers) as answer:
            seen.add(answer.status)
        if 429 in seen:
            break
    assert seen == {200, 429}
    async with one.session.get(url) as answer:
        assert answer.status == 200


# Many who never read


def resident(pid: int, entry: str = "VmRSS") -> int:
    """Memory of a process in bytes."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(entry)]
    return int(line.split()[1]) * 1_024


def stalled(port: int) -> socket.socket:
    """A subscriber with a tiny receive buffer that never reads."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    opened.connect(("127.0.0.1", port))
    opened.sendall(HANDSHAKE + b"\r\n")
    while b"\r\n\r\n" not in opened.recv(256, socket.MSG_PEEK):
        pass
    subscribe = Subscribe(1, Filter(types=("profile",)), None, False)
    opened.sendall(masked(encode_frame(Hello(1))) + masked(encode_frame(subscribe)))
    opened.setblocking(False)
    return opened


async def quantile(publisher: Any, listener: Any, build: Any, count: int = 100) -> float:
    """The slowest but one of a hundred from publish to delivery, in seconds."""
    took = []
    for _ in range(count):
        demand = build.demand(build.seed())
        began = time.perf_counter()
        await publisher.send(Publish(1, demand.record))
        while not isinstance(await listener.receive(), Records):
            pass
        took.append(time.perf_counter() - began)
        assert isinstance(await publisher.receive(), Ack)
    return sorted(took)[-2]


def last_word(data: bytes) -> tuple[int, Closed | None]:
    """Return the last place among what a relay sent, and how it ended the subscription."""
    data, place, closed = data.partition(b"\r\n\r\n")[2], 0, None
    while len(data) > 1:
        start = {126: 4, 127: 10}.get(data[1], 2)
        end = start + (data[1] if start == 2 else int.from_bytes(data[2:start], "big"))
        if data[0] == 0x82 and end <= len(data):
            answer = read_answer(data[start:end])
            place = answer.records[-1][0] if isinstance(answer, Records) else place
            closed = answer if isinstance(answer, Closed) else closed
        data = data[end:]
    return place, closed


async def read_to_the_end(opened: socket.socket) -> bytes:
    data, loop = b"", asyncio.get_running_loop()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**18)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20):
            while got := await loop.sock_recv(opened, 65_536):
                data += got
    return data


@pytest.mark.reliability
async def test_a_thousand_readers_that_stall_cost_little_disturb_nobody_and_are_told_where_to_resume(
    spawn: Any, connect: Any, build: Any, tmp_path: Path
) -> None:
    """Each has more waiting than its socket takes; measured in the relay's own process, against the same one idle.

    Latencies are compared from ten milliseconds up, because two busy cores say nothing about less.
    """
    (tmp_path / "relay.toml").write_text("[limits]\nsend_deadline = 4\n")
    relay = await spawn()
    pid, port = relay.announced["pid"], int(relay.url.rpartition(":")[2])
    build.now = int(time.time())
    publisher, listener, flood = [await connect(relay.url) for _ in range(3)]
    await listener.subscribe(Filter(types=("demand",), categories=("vehicles",)))
    idle = [await quantile(publisher, listener, build) for _ in range(3)]
    with contextlib.ExitStack() as sockets:
        readers = [sockets.enter_context(await asyncio.to_thread(stalled, port)) for _ in range(READERS)]
        before = resident(pid)
        profiles = [build.record("profile", build.seed(), {"name": "x" * 15_000}) for _ in range(100)]
        for req, profile in enumerate(profiles):
            await flood.send(Publish(req, profile.record))
        for _ in profiles:
            assert isinstance(await flood.receive(), Ack)
        busy, each = [], []
        while len(busy) < 3:
            busy.append(await quantile(publisher, listener, build))
            each.append((resident(pid) - before) / READERS)
        assert relay.process.stderr is not None
        while b"slow-reader" not in await asyncio.wait_for(relay.process.stderr.readline(), 20):
            pass
        ends = [last_word(data) for data in await asyncio.gather(*map(read_to_the_end, readers))]
    assert {closed.code for _, closed in ends if closed} == {"refused.limit.exceeded"}
    told = [(place, closed.cursor.seq) for place, closed in ends if closed and closed.cursor]
    assert len(told) == READERS
    assert all(0 < cursor <= place for place, cursor in told), "resuming there leaves nothing out"
    assert max(each) < 65_536, "100 records of 15 kB wait for each, and each is kept once"
    assert statistics.median(busy) <= 2 * max(statistics.median(idle), 0.01), (idle, busy)
