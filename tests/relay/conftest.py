"""Builders and a small client for the relay's tests: records by one call each, frames in and out, nothing clever."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from intentcast_protocol.frames import (
    Ack,
    Answer,
    Auth,
    Challenge,
    Cursor,
    Hello,
    Live,
    Mailbox,
    Problem,
    Publish,
    Records,
    Request,
    Subscribe,
    encode_frame,
    prove,
    read_answer,
)
from intentcast_protocol.identity import public_key
from intentcast_protocol.record import Record, Verified, sign
from intentcast_protocol.sealing import seal, seal_key
from intentcast_protocol.subscription import Filter
from intentcast_relay.config import Config, Limits
from intentcast_relay.server import Relay, running

ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000
URL = "ws://relay.example:7447"
WAIT = 5  # s before a test that waits for a frame gives up


class Build:
    """Makes signed records; every record lives from `now` for a day unless told otherwise."""

    def __init__(self) -> None:
        self.now = NOW
        self.url = URL
        self.offer = seal_key(lambda length: b"\7" * length)

    def seed(self) -> bytes:
        return os.urandom(32)

    def key(self, seed: bytes) -> bytes:
        return public_key(seed)

    def record(self, kind: str, seed: bytes, body: dict[str, Any], **fields: Any) -> Verified:
        created = fields.pop("created", self.now)
        return sign(kind, seed, body, created=created, expires=fields.pop("expires", created + 86_400), **fields)

    def demand(
        self,
        seed: bytes,
        category: str = "vehicles/cars",
        *,
        cells: tuple[str, ...] = (),
        countries: tuple[str, ...] = (),
        admit: tuple[str, ...] = ("stamp:4",),
        relays: tuple[str, ...] | None = None,
        **fields: Any,
    ) -> Verified:
        body = {
            "@type": "Demand",
            "name": fields.pop("name", "A car"),
            "itemOffered": {"category": category},
            "areaServed": {"cells": list(cells), "countries": list(countries)},
            "admit": list(admit),
            "replyTo": {"offerKey": self.offer.public, "relays": list((self.url,) if relays is None else relays)},
        }
        return self.record("demand", seed, body, **fields)

    def withdraw(self, seed: bytes, demand: bytes = bytes(32), **fields: Any) -> Verified:
        return self.record("demand-withdraw", seed, {"demand": demand}, **fields)

    def profile(self, seed: bytes, categories: tuple[str, ...] = ("vehicles",), **fields: Any) -> Verified:
        return self.record("profile", seed, {"name": "Dealer", "categories": list(categories)}, **fields)

    def sealed(self, seed: bytes, to: bytes, bits: int = 4, **fields: Any) -> Verified:
        """An envelope; what is inside matters to no relay."""
        created = fields.pop("created", self.now)
        expires = fields.pop("expires", created + 86_400)
        inner = self.profile(seed, created=created).record
        return seal(inner, seed=seed, to=to, key=self.offer.public, created=created, expires=expires, bits=bits)

    def forged(self, record: Verified) -> Record:
        """The same payload under a signature that is not its author's."""
        return replace(record.record, signature=bytes(64))


class Client:
    """An agent's end of one connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, build: Build, host: str) -> None:
        self.socket = socket
        self.build = build
        self.host = host
        self.nonce = b""
        self.epoch = b""
        self._req = 0

    def req(self) -> int:
        self._req += 1
        return self._req

    async def send(self, frame: Request) -> None:
        await self.socket.send_bytes(encode_frame(frame))

    async def send_raw(self, data: bytes) -> None:
        await self.socket.send_bytes(data)

    async def message(self) -> aiohttp.WSMessage:
        return await asyncio.wait_for(self.socket.receive(), WAIT)

    async def receive(self) -> Answer:
        message = await self.message()
        assert message.type is aiohttp.WSMsgType.BINARY, message
        return read_answer(message.data)

    async def call(self, frame: Request) -> Answer:
        await self.send(frame)
        return await self.receive()

    async def hello(self) -> Challenge:
        answer = await self.call(Hello(1))
        assert isinstance(answer, Challenge)
        self.nonce, self.epoch = answer.nonce, answer.epoch
        return answer

    def proof(self, seed: bytes, *, host: str | None = None, now: int | None = None) -> Auth:
        return prove(
            seed,
            public_key(seed),
            req=self.req(),
            nonce=self.nonce,
            host=self.host if host is None else host,
            now=self.build.now if now is None else now,
        )

    async def auth(self, seed: bytes) -> None:
        answer = await self.call(self.proof(seed))
        assert isinstance(answer, Ack), answer

    async def publish(self, record: Verified | Record) -> Answer:
        raw = record.record if isinstance(record, Verified) else record
        return await self.call(Publish(self.req(), raw))

    async def stored(self, record: Verified | Record) -> int:
        """Publish and return the place the record was given."""
        answer = await self.publish(record)
        assert isinstance(answer, Ack), answer
        assert answer.value is not None
        return answer.value

    async def refused(self, record: Verified | Record) -> str:
        """Publish and return the code it was refused with."""
        answer = await self.publish(record)
        assert isinstance(answer, Problem), answer
        return answer.code

    async def until_live(self, req: int) -> tuple[list[tuple[int, Record]], Cursor]:
        records: list[tuple[int, Record]] = []
        while True:
            match await self.receive():
                case Records(got, found):
                    assert got == req
                    records += found
                case Live(got, cursor):
                    assert got == req
                    return records, cursor
                case other:
                    raise AssertionError(other)

    async def subscribe(
        self, wanted: Filter | None = None, cursor: Cursor | None = None, *, once: bool = False
    ) -> tuple[int, list[tuple[int, Record]], Cursor]:
        """Subscribe and return the request, the stored records and the cursor that came with `live`."""
        req = self.req()
        await self.send(Subscribe(req, wanted or Filter(), cursor, once))
        return req, *await self.until_live(req)

    async def read(self, key: bytes) -> tuple[int, list[tuple[int, Record]]]:
        """Read a mailbox and return the request and what lies there."""
        req = self.req()
        await self.send(Mailbox(req, "read", key))  # type: ignore[arg-type]
        records, _ = await self.until_live(req)
        return req, records

    async def pushed(self) -> list[tuple[int, Record]]:
        answer = await self.receive()
        assert isinstance(answer, Records), answer
        return list(answer.records)

    async def closed_by_relay(self) -> int | None:
        """Read on until the relay ends the connection; returns the close code."""
        while True:
            message = await self.message()
            if message.type is aiohttp.WSMsgType.CLOSE:
                return int(message.data)
            if message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING}:
                return self.socket.close_code


class Process:
    """A relay running as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, announced: dict[str, Any]) -> None:
        self.process = process
        self.url = url
        self.announced = announced


Connect = Callable[..., Awaitable[Client]]
Spawn = Callable[..., Awaitable[Process]]
Run = Callable[..., Awaitable[tuple[int | None, str, str]]]


@pytest.fixture
def environ() -> dict[str, str]:
    """The environment of a relay that runs from this checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("protocol", "relay"))}


@pytest.fixture
async def run(environ: dict[str, str], tmp_path: Path) -> Run:
    """Run ``intentcast-relay`` to its end in the test's folder; returns exit code, stdout and stderr."""

    async def ran(*arguments: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "intentcast_relay", *arguments,
            cwd=tmp_path, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 20)
        return process.returncode, out.decode(), err.decode()

    return ran


@pytest.fixture
def build() -> Build:
    return Build()


@pytest.fixture
def clock(build: Build) -> Callable[[], int]:
    """The relay's clock is the builder's: a test moves both by setting `build.now`."""
    return lambda: build.now


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(listen="127.0.0.1:0", database=tmp_path / "relay.db")


@pytest.fixture
async def relay(config: Config, clock: Callable[[], int], build: Build) -> AsyncIterator[Relay]:
    async with running(config, clock) as started:
        build.url = started.config.url
        yield started


@pytest.fixture
async def small(config: Config, clock: Callable[[], int], build: Build) -> AsyncIterator[Relay]:
    """A relay with little room, so that its limits are soon reached."""
    limits = Limits(
        connections=3, subscriptions=2, auth_deadline=1, mailbox_items=2, mailbox_bytes=4_096, page=3, send_deadline=1
    )
    async with running(replace(config, limits=limits), clock) as started:
        build.url = started.config.url
        yield started


@pytest.fixture
async def connect(build: Build) -> AsyncIterator[Connect]:
    """Connect to a relay (or an address) and say hello."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def connected(to: Relay | str, *seeds: bytes, hello: bool = True) -> Client:
            url = to if isinstance(to, str) else to.config.url
            socket = await stack.enter_async_context(session.ws_connect(url, compress=0, max_msg_size=2**20))
            client = Client(socket, build, url.removeprefix("ws://"))
            if hello:
                await client.hello()
            for seed in seeds:
                await client.auth(seed)
            return client

        yield connected


@pytest.fixture
async def spawn(environ: dict[str, str], tmp_path: Path) -> AsyncIterator[Spawn]:
    """Start ``intentcast-relay serve`` and wait until it announces itself."""
    started: list[asyncio.subprocess.Process] = []

    async def spawned(announce: str = "-") -> Process:
        arguments = ["serve", "--listen", "127.0.0.1:0", "--database", "relay.db", "--announce", announce]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "intentcast_relay", *arguments,
            cwd=tmp_path, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stderr is not None
        if announce == "-":
            line = await asyncio.wait_for(process.stdout.readline(), 15)
        else:
            while not (tmp_path / announce).exists():
                await asyncio.wait_for(process.stderr.readline(), 15)
            line = (tmp_path / announce).read_bytes()
        announced = json.loads(line)
        return Process(process, announced["url"], announced)

    yield spawned
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()
