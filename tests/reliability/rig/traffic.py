"""Agents as a relay meets them, with nothing behind them: they publish, listen, collect, come back, and remember."""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Protocol

import aiohttp
from intentcast_protocol.frames import (
    Ack,
    Answer,
    Challenge,
    Closed,
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
from intentcast_protocol.limits import MAX_TAKE
from intentcast_protocol.record import Record, Verified, sign
from intentcast_protocol.sealing import seal, seal_key
from intentcast_protocol.subscription import Filter

from rig.witness import Found, Witness

QUIET: Final = 15  # s without any answer after which a test gives up
DAY: Final = 86_400
GONE: Final = (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError)
STOPPING: Final = "refused.relay.stopping"
CHAIN: Final = 16  # authors who replace their profile again and again


@dataclass(slots=True)
class Supply:
    """Signed records without end: demands that stay, profiles that replace each other, and sealed mail to one demand.

    The authors are as random as the dice; the dates are of today.
    """

    dice: random.Random
    now: int = field(default_factory=lambda: int(time.time()))
    owner: bytes = b""  # the seed of the demand that owns the mailbox
    _chain: list[bytes] = field(default_factory=list)
    _made: int = 0

    def __post_init__(self) -> None:
        self.owner = self.dice.randbytes(32)
        self._chain = [self.dice.randbytes(32) for _ in range(CHAIN)]

    def gate(self, url: str) -> Verified:
        """Return the demand that opens the owner's mailbox at a relay, to anybody."""
        self._made += CHAIN  # so that it is later than the one before
        reply = {"offerKey": self._seal().public, "relays": [url]}
        return self._demand(self.owner, admit=["stamp:0"], replyTo=reply, created=self._tick())

    def demands(self, count: int) -> list[Verified]:
        """Return demands of as many authors: none replaces another."""
        return [self._demand(self.dice.randbytes(32)) for _ in range(count)]

    def profiles(self, count: int) -> list[Verified]:
        """Return profiles of a few authors in turn: each replaces the one CHAIN before it."""
        return [
            sign("profile", self._chain[at % CHAIN], {"name": "Dealer", "categories": []},
                 created=self._tick(), expires=self.now + DAY)
            for at in range(count)
        ]  # fmt: skip

    def mail(self, count: int) -> list[Verified]:
        """Return sealed records to the owner, each by another session."""
        inside, key = self._demand(self.owner).record, self._seal().public
        return [
            seal(inside, seed=self.dice.randbytes(32), to=public_key(self.owner), key=key,
                 created=self.now, expires=self.now + DAY)
            for _ in range(count)
        ]  # fmt: skip

    def _seal(self) -> Any:
        return seal_key(bytes)

    def _tick(self) -> int:
        # Ascending, within what may lie ahead of a relay's clock.
        self._made += 1
        return self.now - 1_800 + self._made // CHAIN

    def _demand(self, seed: bytes, created: int | None = None, **more: Any) -> Verified:
        body = {"name": "A car", "itemOffered": {"category": "vehicles/cars"}, **more}
        return sign("demand", seed, body, created=self.now if created is None else created, expires=self.now + DAY)


@dataclass(slots=True)
class Link:
    """One greeted connection; ended by the relay, it raises ConnectionError."""

    socket: aiohttp.ClientWebSocketResponse
    host: str
    nonce: bytes = b""
    epoch: bytes = b""
    _req: int = 0

    def number(self) -> int:
        """Return a request number that was not used yet."""
        self._req += 1
        return self._req

    async def send(self, frame: Request) -> None:
        """Send one frame; when the relay is gone `receive` says so, after the last words that it had sent."""
        with contextlib.suppress(*GONE):
            await self.socket.send_bytes(encode_frame(frame))

    async def call(self, frame: Request) -> Answer:
        """Send a frame and return the next answer."""
        await self.send(frame)
        return await self.receive()

    async def prove(self, seed: bytes, now: int) -> Answer:
        """Prove a key; returns the answer."""
        key, number = public_key(seed), self.number()
        return await self.call(prove(seed, key, req=number, nonce=self.nonce, host=self.host, now=now))

    async def receive(self) -> Answer:
        """Return the next answer."""
        # Not wait_for, which in Python 3.11 may swallow a cancellation.
        async with asyncio.timeout(QUIET):
            message = await self.socket.receive()
        if message.type is not aiohttp.WSMsgType.BINARY:
            raise ConnectionError(f"the relay hung up: {message.type!r}")
        return read_answer(message.data)


@contextlib.asynccontextmanager
async def dial(url: str, witness: Witness, *seeds: bytes, now: int | None = None) -> AsyncIterator[Link]:
    """Connect, say hello and prove some keys, at another time than this machine's if `now` is given."""
    limits = aiohttp.ClientWSTimeout(ws_close=1.0)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, compress=0, max_msg_size=2**20, timeout=limits) as socket,
    ):
        link = Link(socket, url.removeprefix("ws://"))
        await link.send(Hello(1))
        challenge = await link.receive()
        assert isinstance(challenge, Challenge), challenge
        link.nonce, link.epoch = challenge.nonce, challenge.epoch
        witness.greet(challenge.epoch)
        for seed in seeds:
            answer = await link.prove(seed, int(time.time()) if now is None else now)
            assert isinstance(answer, Ack), answer
        yield link


@dataclass(slots=True)
class Publisher:
    """Sends records with a window of unanswered ones, and again whatever was not answered when the relay went away."""

    witness: Witness
    waiting: deque[Verified]
    window: int = 96
    flying: dict[int, Verified] = field(default_factory=dict)
    stopping: bool = False  # the relay said so: what it took is still answered, but it takes no more

    async def run(self, url: str) -> None:
        """Publish until everything is answered or the relay is gone."""
        self.waiting.extendleft(reversed(self.flying.values()))
        self.flying.clear()
        self.stopping = False
        try:
            async with dial(url, self.witness) as link:
                while self.flying or (self.waiting and not self.stopping):
                    while self.waiting and len(self.flying) < self.window and not self.stopping:
                        await self._send(link)
                    self._hear(await link.receive())
        except GONE:
            return

    async def _send(self, link: Link) -> None:
        record, number = self.waiting.popleft(), link.number()
        self.flying[number] = record
        self.witness.send(record)
        await link.send(Publish(number, record.record))

    def _hear(self, answer: Answer) -> None:
        match answer:
            case Ack(number, place) if place is not None:
                self.witness.acknowledge(self.flying.pop(number), place)
            case Problem(number, code) if number is not None:
                record = self.flying.pop(number)
                self.witness.refused[code] += 1
                if code == STOPPING:
                    self.stopping = True
                    self.waiting.append(record)
            case other:
                raise AssertionError(other)


@dataclass(slots=True)
class Subscriber:
    """Listens to everything public, and resumes from its cursor; `order` is all it was ever sent."""

    witness: Witness
    cursor: Cursor | None = None
    order: list[tuple[int, bytes]] = field(default_factory=list)
    served: bool = False  # since it last connected
    told: str = ""  # why the relay closed the subscription since then

    async def run(self, url: str, *, once: bool = False) -> None:
        """Listen until the relay is gone; with `once`, until everything stored was sent."""
        self.served, self.told = False, ""
        try:
            async with dial(url, self.witness) as link:
                await link.send(Subscribe(link.number(), Filter(), self.cursor, once))
                while True:
                    match await link.receive():
                        case Records(_, records):
                            for place, record in records:
                                self.order.append((place, record.id))
                                self.witness.see(place, record.id)
                            self.cursor = Cursor(link.epoch, records[-1][0])
                        case Live(_, cursor):
                            self.cursor, self.served = cursor, True
                            if once:
                                return
                        case Closed(_, code, cursor):
                            self.told, self.cursor = str(code), cursor
                        case other:
                            raise AssertionError(other)
        except GONE as error:
            self.told = self.told or f"nothing, then {error}"

    def faults(self) -> list[str]:
        """Return how what it was sent differs from each acked record once, in order."""
        places = [place for place, _ in self.order]
        told = [f"{two} came after {one}" for one, two in pairwise(places) if two <= one]
        came = {name for _, name in self.order}
        newest: dict[tuple[bytes, str], tuple[int, bytes]] = {}
        for name in self.witness.acked:
            one = self.witness.sent[name]
            if one.to is None:
                newest[one.author, one.type] = max((one.created, name), newest.get((one.author, one.type), (0, b"")))
        # One that was replaced while this reader was away need not come any more.
        return told + [
            f"{self.witness.acked[name].place} never came" for _, name in newest.values() if name not in came
        ]


@dataclass(slots=True)
class Collector:
    """Reads a mailbox and takes what it finds, as its owner does."""

    witness: Witness
    seed: bytes
    flying: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    served: bool = False  # since it last connected
    told: str = ""  # why the relay ended the reading since then

    async def run(self, url: str) -> None:
        """Collect until the relay is gone."""
        self.flying.clear()
        self.served, self.told = False, ""
        key = public_key(self.seed)
        try:
            async with dial(url, self.witness, self.seed) as link:
                await link.send(Mailbox(link.number(), "read", key))
                while True:
                    match await link.receive():
                        case Records(_, records):
                            for place, record in records:
                                self.witness.see(place, record.id)
                            for at in range(0, len(records), MAX_TAKE):
                                await self._take(link, tuple(record.id for _, record in records[at : at + MAX_TAKE]))
                        case Ack(number, _):
                            now = self.witness.mark()
                            self.witness.taken.update(dict.fromkeys(self.flying.pop(number), now))
                        case Problem(number, code) if number is not None:
                            self.witness.refused[code] += 1
                        case Live():
                            self.served = True
                        case Closed(_, code):
                            self.told = str(code)
                        case other:
                            raise AssertionError(other)
        except GONE as error:
            self.told = self.told or f"nothing, then {error}"

    async def _take(self, link: Link, ids: tuple[bytes, ...]) -> None:
        number, now = link.number(), self.witness.mark()
        for name in ids:
            self.witness.asked.setdefault(name, now)
        self.flying[number] = ids
        await link.send(Mailbox(number, "take", public_key(self.seed), ids=ids))


class Agent(Protocol):
    """Anything here that lives through a relay's life."""

    async def run(self, url: str) -> None:
        """Do its work until it is done or the relay is gone."""


async def until(condition: Callable[[], object], within: float = QUIET) -> None:
    """Poll until a condition holds; raises TimeoutError."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 (what is waited for often happens in another process)
            await asyncio.sleep(0.001)


async def read_all(url: str, witness: Witness, owner: bytes, now: int | None = None) -> Found:
    """Ask a running relay for everything: all that is public, and what lies in the owner's mailbox."""
    async with dial(url, witness, owner, now=now) as link:
        await link.send(Subscribe(link.number(), Filter(), None, True))
        public, end = await _until_live(link)
        await link.send(Subscribe(link.number(), Filter(categories=("vehicles",)), None, True))
        listed, _ = await _until_live(link)
        await link.send(Mailbox(link.number(), "read", public_key(owner)))
        mail, _ = await _until_live(link)
        return Found(link.epoch, end.seq, public, mail, [place for place, _ in listed])


async def _until_live(link: Link) -> tuple[list[tuple[int, Record]], Cursor]:
    found: list[tuple[int, Record]] = []
    while True:
        match await link.receive():
            case Records(_, records):
                found += records
            case Live(_, cursor):
                return found, cursor
            case other:
                raise AssertionError(other)


def shares(records: Sequence[Verified], count: int) -> Iterator[deque[Verified]]:
    """Deal records to some publishers; those of one author stay with one publisher, in their order."""
    dealt: list[deque[Verified]] = [deque() for _ in range(count)]
    for record in records:
        dealt[record.author[0] % count].append(record)
    yield from dealt
