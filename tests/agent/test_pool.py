"""Couriers over real sockets: what cannot be read waits, what breaks is dialled again, a full queue hangs nobody."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from intentcast_agent import agent as agent_room
from intentcast_agent import link as link_room
from intentcast_agent import pool as pool_room
from intentcast_agent import relaykey
from intentcast_agent.link import LinkDown, open_link
from intentcast_agent.pool import Courier, Lane, Pool
from intentcast_protocol.frames import Challenge, Cursor, Live, encode_frame
from intentcast_protocol.record import Record
from intentcast_relay.config import Config
from intentcast_relay.server import running

Table = Any  # the fixtures are conftest.py's


async def publish(url: str, *records: Any) -> None:
    async with aiohttp.ClientSession() as http:
        link = await open_link(http, url)
        try:
            for record in records:
                await link.publish(record.record)
        finally:
            await link.close()


async def waiting(url: str, seed: bytes, key: Any) -> int:
    """Return how many records wait in a mailbox."""
    async with aiohttp.ClientSession() as http:
        link = await open_link(http, url)
        try:
            await link.prove([(seed, key)])
            await link.read_mailbox(key, {})
            count = 0
            while not isinstance(pushed := await asyncio.wait_for(link.feed.get(), 5), Live):
                assert pushed is not None
                count += len(pushed.records)  # type: ignore[union-attr]
            return count
        finally:
            await link.close()


async def test_mail_that_we_cannot_process_stays_on_the_relay_and_holds_up_none(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_envelope, faulty = agent_room.open_envelope, True

    async def stumble(store: Any, record: Record, *rest: Any) -> Any:
        if faulty and record.id == bad.id:
            raise RuntimeError("a bug, or a full disk")
        return await open_envelope(store, record, *rest)

    monkeypatch.setattr(agent_room, "open_envelope", stumble)
    monkeypatch.setattr(pool_room, "_PATIENCE", (0.01,))
    table.clock.now = int(time.time())
    async with running(Config(listen="127.0.0.1:0", database=tmp_path / "relay.db")) as relay:
        url = relay.config.url
        person = await table.person(relays=(url,))
        demand = await person.cast(relays=(url,))
        vendors = [table.forger(demand, name) for name in ("First", "Second")]
        bad, good = [vendor.seal(vendor.offer(), bits=4) for vendor in vendors]
        await person.agent.go_online()

        async def cast() -> bool:
            return await person.agent.outbox.waiting(demand.author) == 0

        assert await person.agent.until(cast, 10)
        await publish(url, bad, good)

        async def states() -> set[bytes]:
            return {row["key"] for row in await person.rows("SELECT key FROM session")}

        async def second_is_there() -> bool:
            return await states() == {vendors[1].session}

        assert await person.agent.until(second_is_there, 10)
        await person.agent.pool.close()
        async with person.store.reading() as tx:
            row = await tx.one("SELECT seed FROM demand")
            assert row is not None
            secret = tx.open("demand", "seed", demand.id, row["seed"])
        left = await waiting(url, secret, demand.author)
        assert left in (1, 2), "the one that could not be read, and perhaps the other, which is taken in a moment"
        faulty = False
        person.agent.open_demand(demand.author, demand.relays)

        async def both_are_there() -> bool:
            return len(await states()) == 2

        assert await person.agent.until(both_are_there, 10)


async def test_demand_that_could_not_be_heard_is_heard_on_the_next_visit(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place is kept only after the effect, so a failing disk skips nothing."""
    monkeypatch.setattr(pool_room, "_PATIENCE", (0.01,))
    heard: list[int] = []
    places: list[Cursor] = []

    async def on_public(_: str, records: Any) -> None:
        heard.extend(place for place, _ in records)
        if len(heard) == 1:
            raise OSError("no space left on device")

    async def place(_: str) -> Cursor | None:
        return places[-1] if places else None

    async def keep_place(_: str, cursor: Cursor) -> None:
        places.append(cursor)

    async def keys(_: object) -> list[Any]:
        return []

    async def on_mail(_: str, __: Record) -> None:
        raise AssertionError("nobody writes to this lane")

    table.clock.now = int(time.time())
    async with running(Config(listen="127.0.0.1:0", database=tmp_path / "relay.db")) as relay:
        person = await table.person(relays=(relay.config.url,))
        await person.cast(relays=(relay.config.url,))
        (demand,) = await person.sent(relay.config.url)
        async with aiohttp.ClientSession() as http:
            link = await open_link(http, relay.config.url)
            at = await link.publish(demand)
            await link.close()
            lane = Lane(b"", keys, on_mail, pool_room.Filter(), on_public, place, keep_place)
            courier = Courier(relay.config.url, lane, person.agent.outbox, http)
            running_courier = asyncio.create_task(courier.run())
            try:
                async with asyncio.timeout(10):
                    await courier.ready.wait()
            finally:
                running_courier.cancel()
                await asyncio.gather(running_courier, return_exceptions=True)
    assert heard == [at, at]
    assert places[-1].seq == at


@asynccontextmanager
async def flood(frames: int) -> AsyncIterator[str]:
    """Serve a relay that pushes so many frames at once and hangs up."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_bytes(encode_frame(Challenge(1, bytes(32), bytes(8))))
        frame = encode_frame(Live(1, Cursor(bytes(8), 1)))
        with contextlib.suppress(ConnectionError):
            for _ in range(frames):
                await socket.send_bytes(frame)
            await socket.close()
        return socket

    application = web.Application()
    application.router.add_get("/", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("frames", [0, 1, link_room._FEED - 1, link_room._FEED, link_room._FEED + 1])
async def test_reader_of_a_broken_link_learns_of_it_however_full_its_queue_is(frames: int) -> None:
    async with flood(frames) as url, aiohttp.ClientSession() as http, asyncio.timeout(10):
        link = await open_link(http, url)
        if frames <= link_room._FEED:
            await asyncio.wait([link._reader])  # all is in the queue, and the connection is gone
        while await link.feed.get() is not None:
            pass
        await link.close()


async def test_relay_that_cannot_be_reached_is_dialled_again_with_growing_patience(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    dialled = 0

    async def refuse(_: Any, relay: str) -> Any:
        nonlocal dialled
        dialled += 1
        raise LinkDown(f"{relay} cannot be reached")

    async def note(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 12:
            raise asyncio.CancelledError

    monkeypatch.setattr(pool_room, "open_link", refuse)
    monkeypatch.setattr(pool_room.asyncio, "sleep", note)
    person = await table.person()

    async def nothing(*_: Any) -> Any:
        return []

    courier = Courier("ws://127.0.0.1:1", Lane(b"", nothing, nothing), person.agent.outbox, person.agent.http)
    with pytest.raises(asyncio.CancelledError):
        await courier.run()
    assert dialled == 12
    steps = [*pool_room._PATIENCE, *[pool_room._PATIENCE[-1]] * 12][:12]
    assert all(0.75 * step <= wait <= 1.25 * step for step, wait in zip(steps, waits, strict=True))
    assert len({round(wait / step, 6) for step, wait in zip(steps, waits, strict=True)}) > 6, "no two agents in step"


async def test_records_queued_while_a_relay_was_away_are_delivered_when_it_is_back(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_room, "_PATIENCE", (0.01,))
    table.clock.now = int(time.time())
    config = Config(listen="127.0.0.1:0", database=tmp_path / "relay.db")
    async with running(config) as relay:
        url = relay.config.url
        config = relay.config
    person = await table.person(relays=(url,))
    demands = [await person.cast(relays=(url,)) for _ in range(3)]
    await person.agent.go_online()
    assert await person.agent.catch_up(0.05) == (url,)
    async with running(Config(listen=config.listen, database=config.database)) as relay:

        async def delivered() -> bool:
            return [await person.agent.outbox.waiting(demand.author) for demand in demands] == [0, 0, 0]

        assert await person.agent.until(delivered, 10)
        assert await person.agent.catch_up(5) == ()
        for demand in demands:
            assert await relay._store.record(demand.id, table.clock.now) is not None
        await person.agent.stop()


async def test_each_demand_has_a_connection_of_its_own(table: Table, tmp_path: Path) -> None:
    """So that no relay sees two demands side by side. DESIGN §4.3"""
    table.clock.now = int(time.time())
    async with running(Config(listen="127.0.0.1:0", database=tmp_path / "relay.db")) as relay:
        url = relay.config.url
        person = await table.person(relays=(url,))
        demands = [await person.cast(relays=(url,)) for _ in range(3)]
        await person.agent.go_online()
        assert await person.agent.catch_up(5) == ()
        proven = sorted(sorted(peer._core.keys) for peer in relay._peers)
        assert proven == sorted([demand.author] for demand in demands)
        await person.agent.stop()


INFO: dict[str, tuple[bytes, str | None]] = {
    "good": (b'{"key": "did:key:z6MkrzDW1cLdasrqJ1EeVKokNPMVWF2QL1k2utTu31QCDeJK"}',
             "did:key:z6MkrzDW1cLdasrqJ1EeVKokNPMVWF2QL1k2utTu31QCDeJK"),
    "no key": (b'{"name": "a relay"}', None),
    "a key of another kind": (b'{"key": "did:key:z6LSrzDW1cLdasrqJ1EeVKokNPMVWF2QL1k2utTu31QCDeJK"}', None),
    "a key too long": (b'{"key": "did:key:z6Mk' + b"r" * 60 + b'"}', None),
    "a number": (b'{"key": 5}', None),
    "no object": (b"[]", None),
    "no JSON": (b"\xff{", None),
    "too deep": (b"[" * 60_000, None),
    "too large": (b'{"key": "did:key:z6MkrzDW1cLdasrqJ1EeVKokNPMVWF2QL1k2utTu31QCDeJK"}' + b" " * 65_536, None),
}  # fmt: skip


@asynccontextmanager
async def info_page(body: bytes, cookies: list[str | None]) -> AsyncIterator[str]:
    """Serve a relay that says this of itself, hands out a cookie, and notes those that come back."""

    async def serve(request: web.Request) -> web.StreamResponse:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(body=body, headers={"Set-Cookie": "visitor=1; Path=/"})

    application = web.Application()
    application.router.add_get("/", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", INFO)
async def test_relay_s_key_is_read_from_a_bounded_document_or_not_at_all(name: str) -> None:
    body, key = INFO[name]
    async with info_page(body, []) as url, aiohttp.ClientSession() as http:
        assert await link_room.fetch_key(http, url) == key


async def test_relay_s_key_is_read_once_a_day_however_many_demands_it_carries(table: Table) -> None:
    asked: list[str | None] = []
    person = await table.person()
    keys = person.agent.relay_keys
    async with info_page(INFO["good"][0], asked) as url:
        for _ in range(3):
            keys.learn([url, url])
            await keys.settle(5)
        assert len(asked) == 1
        assert await keys.find(url) == INFO["good"][1]
        async with person.store.transaction() as tx:
            await tx.run("UPDATE relay_key SET seen = seen - ?", relaykey.FRESH)
        keys.learn([url])
        await keys.settle(5)
        assert len(asked) == 2
    keys.learn([url], anew=True)
    await keys.settle(5)
    assert await keys.find(url) == INFO["good"][1], "what is known stays known while it cannot be read"


async def test_no_relay_can_mark_an_agent_with_a_cookie(table: Table) -> None:
    """One would tell which demands, each on a connection of its own, are of one person."""
    cookies: list[str | None] = []
    person = await table.person()
    async with info_page(INFO["good"][0], cookies) as url:
        for _ in range(2):
            assert await link_room.fetch_key(person.agent.http, url)
            with pytest.raises(LinkDown):
                await open_link(person.agent.http, url)
    assert cookies == [None] * 4


async def test_pool_closes_though_a_visit_turns_its_cancel_into_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task group that fails at the moment it is cancelled reports the failure alone (Python 3.11, 3.12)."""
    visiting = asyncio.Event()

    async def visit(_courier: Courier) -> None:
        visiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise LinkDown("the connection ended") from error

    async def nothing(*_: Any) -> Any:
        return []

    monkeypatch.setattr(Courier, "_visit", visit)
    async with aiohttp.ClientSession() as http:
        outbox: Any = None
        pool = Pool(http, outbox)
        pool.open_lane(Lane(b"", nothing, nothing), ("ws://127.0.0.1:1",))
        await asyncio.wait_for(visiting.wait(), 5)
        await asyncio.wait_for(pool.close(), 5)
