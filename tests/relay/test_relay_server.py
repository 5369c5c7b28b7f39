"""A relay over real sockets: what an agent sees. PROTOCOL §9, §10, §11"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from intentcast_protocol.area import Area
from intentcast_protocol.encoding import encode
from intentcast_protocol.frames import (
    Ack,
    Closed,
    Count,
    Counted,
    Cursor,
    Mailbox,
    Problem,
    Publish,
    Records,
    Subscribe,
)
from intentcast_protocol.identity import cid
from intentcast_protocol.limits import MAX_FRAME
from intentcast_protocol.record import decode_record
from intentcast_protocol.subscription import Filter
from intentcast_relay.config import Config, ConfigError, Limits
from intentcast_relay.server import Relay, read_id, running


def http(relay: Relay, path: str = "/") -> str:
    return relay.config.url.replace("ws://", "http://") + path


# Publishing and subscribing


async def test_a_published_record_is_acked_with_its_place_and_pushed(relay: Relay, connect: Any, build: Any) -> None:
    listener, publisher = await connect(relay), await connect(relay)
    _, stored, cursor = await listener.subscribe(Filter(categories=("vehicles",)))
    assert (stored, cursor) == ([], Cursor(listener.epoch, 0))
    demand = build.demand(build.seed())
    assert await publisher.stored(build.demand(build.seed(), "phones")) == 1
    assert await publisher.stored(demand) == 2
    assert await listener.pushed() == [(2, demand.record)]


async def test_stored_records_come_first_and_in_order(small: Relay, connect: Any, build: Any) -> None:
    client = await connect(small)
    demands = [build.demand(build.seed()) for _ in range(8)]
    for demand in demands:
        await client.stored(demand)
    _, stored, cursor = await client.subscribe()
    assert stored == [(seq, demand.record) for seq, demand in enumerate(demands, start=1)]
    assert cursor.seq == 8


async def test_a_cursor_resumes_without_gap_or_repeat(relay: Relay, connect: Any, build: Any) -> None:
    client = await connect(relay)
    for _ in range(5):
        await client.stored(build.demand(build.seed()))
    _, stored, _ = await client.subscribe(cursor=Cursor(client.epoch, 3))
    assert [seq for seq, _ in stored] == [4, 5]
    for strange in (Cursor(bytes(8), 3), Cursor(client.epoch, 99)):
        _, stored, cursor = await client.subscribe(cursor=strange, once=True)
        assert [seq for seq, _ in stored] == [1, 2, 3, 4, 5]
        assert cursor == Cursor(client.epoch, 5)


async def test_once_ends_with_live(relay: Relay, connect: Any, build: Any) -> None:
    client = await connect(relay)
    for _ in range(40):
        await client.subscribe(once=True)
    await client.stored(build.demand(build.seed()))
    assert await client.call(Count(99, "vehicles", (), ())) == Counted(99, 0, 0)


async def test_nothing_is_missed_or_repeated_while_others_publish(small: Relay, connect: Any, build: Any) -> None:
    publisher = await connect(small)
    demands = [build.demand(build.seed()) for _ in range(200)]

    async def publish() -> None:
        for req, demand in enumerate(demands):
            await publisher.send(Publish(req, demand.record))
        for _ in demands:
            assert isinstance(await publisher.receive(), Ack)

    publishing = asyncio.create_task(publish())
    listeners = [await connect(small) for _ in range(2)]
    for listener in listeners:
        await listener.send(Subscribe(1, Filter(), None, False))
    await publishing
    for listener in listeners:
        seen: list[int] = []
        while len(seen) < len(demands):
            answer = await listener.receive()
            if isinstance(answer, Records):
                seen += [seq for seq, _ in answer.records]
        assert seen == list(range(1, 201))


async def test_an_ended_subscription_gets_nothing_more(relay: Relay, connect: Any, build: Any) -> None:
    client = await connect(relay)
    req, _, _ = await client.subscribe()
    await client.send(Closed(req))
    await client.stored(build.demand(build.seed()))
    _, stored, _ = await client.subscribe()
    assert len(stored) == 1


async def test_the_newest_demand_is_the_only_one_and_a_withdrawal_is_final(
    relay: Relay, connect: Any, build: Any
) -> None:
    client = await connect(relay)
    seed = build.seed()
    old, new = build.demand(seed), build.demand(seed, created=build.now + 1)
    assert [await client.stored(new), await client.refused(old)] == [1, "refused.record.replaced"]
    _, stored, _ = await client.subscribe(Filter(types=("demand", "demand-withdraw")))
    assert [record for _, record in stored] == [new.record]
    withdrawal = build.withdraw(seed, new.id)
    await client.send(Publish(50, withdrawal.record))
    assert {type(await client.receive()) for _ in range(2)} == {Ack, Records}
    assert await client.refused(build.demand(seed, created=build.now + 2)) == "refused.record.withdrawn"
    _, stored, _ = await client.subscribe(once=True)
    assert [record for _, record in stored] == [withdrawal.record]


async def test_a_stored_record_published_again_is_acked_with_its_place(relay: Relay, connect: Any, build: Any) -> None:
    client = await connect(relay)
    demand = build.demand(build.seed())
    assert [await client.stored(demand) for _ in range(2)] == [1, 1]
    assert await client.refused(build.forged(demand)) == "invalid.record.signature"


async def test_a_bad_copy_racing_the_good_one_does_not_suppress_it(relay: Relay, connect: Any, build: Any) -> None:
    good, bad = await connect(relay), await connect(relay)
    for _ in range(10):
        demand = build.demand(build.seed())
        told = await asyncio.gather(bad.refused(build.forged(demand)), good.stored(demand))
        assert told[0] == "invalid.record.signature"


async def test_expired_future_and_bare_session_records_are_refused(relay: Relay, connect: Any, build: Any) -> None:
    client = await connect(relay)
    expired = build.demand(build.seed(), created=build.now - 10, expires=build.now)
    future = build.demand(build.seed(), created=build.now + 901)
    bare = build.record("offer", build.seed(), {}, to=bytes(32), session=bytes(32), seq=1)
    assert [await client.refused(record) for record in (expired, future, bare)] == [
        "refused.record.expired",
        "invalid.record.future",
        "invalid.record.purpose",
    ]


async def test_expired_records_are_not_served_and_then_swept(relay: Relay, connect: Any, build: Any) -> None:
    client = await connect(relay)
    await client.stored(build.demand(build.seed(), expires=build.now + 10))
    build.now += 10
    _, stored, cursor = await client.subscribe(once=True)
    assert (stored, cursor.seq) == ([], 1)
    assert await relay.sweep(build.now) == 1


# Proofs


async def test_a_proof_is_worth_nothing_on_another_connection(relay: Relay, connect: Any, build: Any) -> None:
    seed = build.seed()
    first, second = await connect(relay), await connect(relay)
    proof = first.proof(seed)
    assert await first.call(proof) == Ack(proof.req, None)
    answer = await second.call(proof)
    assert isinstance(answer, Problem)
    assert answer.code == "refused.auth.failed"
    answer = await second.call(Mailbox(7, "read", build.key(seed)))
    assert isinstance(answer, Problem)
    assert answer.code == "refused.auth.required"


async def test_a_proof_for_another_host_or_an_old_one_is_refused(relay: Relay, connect: Any, build: Any) -> None:
    client = await connect(relay)
    for proof in (
        client.proof(build.seed(), host="relay.evil"),
        client.proof(build.seed(), host="127.0.0.1"),
        client.proof(build.seed(), now=build.now - 61),
    ):
        answer = await client.call(proof)
        assert isinstance(answer, Problem)
        assert (answer.req, answer.code) == (proof.req, "refused.auth.failed")


async def test_a_configured_name_is_accepted_in_a_proof(
    config: Config, clock: Callable[[], int], connect: Any, build: Any
) -> None:
    async with running(replace(config, hosts=("relay.example",)), clock) as relay:
        client = await connect(relay)
        assert isinstance(await client.call(client.proof(build.seed(), host="relay.example")), Ack)


# Mailboxes


async def test_a_stamped_letter_opens_a_mailbox_and_the_way_back(relay: Relay, connect: Any, build: Any) -> None:
    person_seed, session_seed = build.seed(), build.seed()
    person, vendor = await connect(relay, person_seed), await connect(relay, session_seed)
    demand = build.demand(person_seed, relays=(relay.config.url.upper().replace("WS", "ws") + "/",))
    await person.stored(demand)
    _, waiting = await person.read(demand.author)
    assert waiting == []
    weak = build.sealed(session_seed, demand.author, 0)
    assert await vendor.refused(weak) == "refused.mailbox.not-admitted"
    letter = build.sealed(session_seed, demand.author)
    assert await vendor.stored(letter) == 2
    assert await person.pushed() == [(2, letter.record)]
    reply = build.sealed(person_seed, build.key(session_seed), 0)
    assert await person.stored(reply) == 3
    _, waiting = await vendor.read(build.key(session_seed))
    assert waiting == [(3, reply.record)]
    more = build.sealed(session_seed, demand.author, 0)
    assert await vendor.stored(more) == 4
    assert await person.pushed() == [(4, more.record)]


async def test_unknown_mailboxes_answer_like_empty_and_closed_ones(relay: Relay, connect: Any, build: Any) -> None:
    seed = build.seed()
    client = await connect(relay, seed)
    await client.stored(build.demand(build.seed(), admit=("domain",)))
    closed = build.demand(build.seed(), admit=("domain",))
    await client.stored(closed)
    answers = [
        await client.publish(build.sealed(build.seed(), to)) for to in (bytes(32), closed.author, build.key(seed))
    ]
    assert len({(answer.code, answer.sentence) for answer in answers if isinstance(answer, Problem)}) == 1
    _, waiting = await client.read(build.key(seed))
    assert waiting == []


async def test_sealed_records_go_to_no_subscription_and_no_path(relay: Relay, connect: Any, build: Any) -> None:
    person_seed, session_seed = build.seed(), build.seed()
    client = await connect(relay)
    demand = build.demand(person_seed)
    letter = build.sealed(session_seed, demand.author)
    await client.stored(demand)
    await client.stored(letter)
    _, stored, _ = await client.subscribe(once=True)
    assert [record for _, record in stored] == [demand.record]
    async with aiohttp.ClientSession() as session, session.get(http(relay, f"/records/{cid(letter.id)}")) as response:
        assert response.status == 404


async def test_take_deletes_once_and_for_good(relay: Relay, connect: Any, build: Any) -> None:
    person_seed = build.seed()
    person = await connect(relay, person_seed)
    demand = build.demand(person_seed)
    letters = [build.sealed(build.seed(), demand.author) for _ in range(3)]
    for record in (demand, *letters):
        await person.stored(record)
    take = Mailbox(40, "take", demand.author, ids=(letters[0].id, letters[2].id))
    assert await person.call(take) == Ack(40, 2)
    assert await person.call(take) == Ack(40, 0)
    _, waiting = await person.read(demand.author)
    assert [record for _, record in waiting] == [letters[1].record]


async def test_nobody_acts_on_a_mailbox_without_its_key(relay: Relay, connect: Any, build: Any) -> None:
    stranger = await connect(relay, build.seed())
    demand = build.demand(build.seed())
    letter = build.sealed(build.seed(), demand.author)
    await stranger.stored(demand)
    await stranger.stored(letter)
    for request in (
        Mailbox(40, "read", demand.author),
        Mailbox(41, "take", demand.author, ids=(letter.id,)),
        Mailbox(42, "stop", demand.author, session=letter.author),
        Mailbox(43, "keep", demand.author, session=letter.author, until=build.now + 1),
    ):
        answer = await stranger.call(request)
        assert isinstance(answer, Problem)
        assert answer.code == "refused.auth.required"


async def test_a_stopped_session_is_refused_and_a_full_mailbox_says_so(small: Relay, connect: Any, build: Any) -> None:
    person_seed, session_seed = build.seed(), build.seed()
    person = await connect(small, person_seed)
    demand = build.demand(person_seed)
    letters = [build.sealed(session_seed, demand.author) for _ in range(3)]
    for record in (demand, *letters[:2]):
        await person.stored(record)
    assert await person.refused(letters[2]) == "refused.mailbox.full"
    assert await person.call(Mailbox(40, "take", demand.author, ids=(letters[0].id,))) == Ack(40, 1)
    assert await person.stored(letters[2]) > 0
    assert await person.call(Mailbox(41, "stop", demand.author, session=build.key(session_seed))) == Ack(41, None)
    assert await person.refused(build.sealed(session_seed, demand.author)) == "refused.mailbox.not-admitted"


async def test_keep_outlives_the_demand_by_more_than_a_month(relay: Relay, connect: Any, build: Any) -> None:
    person_seed, session_seed = build.seed(), build.seed()
    person = await connect(relay, person_seed)
    demand = build.demand(person_seed)
    for record in (demand, build.sealed(session_seed, demand.author)):
        await person.stored(record)
    far = build.now + 300 * 86_400
    keep = Mailbox(40, "keep", demand.author, session=build.key(session_seed), until=far)
    assert await person.call(keep) == Ack(40, None)
    answer = await person.call(replace(keep, until=build.now + 401 * 86_400))
    assert isinstance(answer, Problem)
    assert answer.code == "refused.limit.exceeded"
    build.now = far - 1
    await relay.sweep(build.now)
    assert await person.stored(build.sealed(session_seed, demand.author, 0)) == 3


async def test_the_newest_reader_of_a_mailbox_is_its_only_one(relay: Relay, connect: Any, build: Any) -> None:
    seed = build.seed()
    first, second = await connect(relay, seed), await connect(relay, seed)
    demand = build.demand(seed)
    await first.stored(demand)
    req, _ = await first.read(demand.author)
    await second.read(demand.author)
    assert await first.receive() == Closed(req, "refused.limit.exceeded", Cursor(first.epoch, 1))
    letter = build.sealed(build.seed(), demand.author)
    assert await first.stored(letter) == 2
    assert await second.pushed() == [(2, letter.record)]


# Counting


async def test_listeners_are_counted_coarsely(relay: Relay, connect: Any, build: Any) -> None:
    for _ in range(2):
        client = await connect(relay)
        await client.subscribe(Filter(types=("demand",), categories=("cars",), area=Area(cells=("u1",))))
    stranger = await connect(relay)
    assert await stranger.call(Count(1, "cars/used", ("u178",), ())) == Counted(1, 1, 4)
    assert await stranger.call(Count(2, "cars/used", ("9q8",), ())) == Counted(2, 0, 0)


# Hostile peers


async def test_ten_malformed_frames_end_a_connection_and_nobody_elses(relay: Relay, connect: Any, build: Any) -> None:
    hostile, honest = await connect(relay), await connect(relay)
    bombs = [b"", b"\xc1", b"\x91" * 100_000, encode(["shout"]), b"\xdd\xff\xff\xff\xff"]
    for at in range(10):
        await hostile.send_raw(bombs[at % len(bombs)])
        answer = await hostile.receive()
        assert isinstance(answer, Problem)
        assert answer.code.startswith("invalid.")
    assert await hostile.closed_by_relay() == aiohttp.WSCloseCode.POLICY_VIOLATION
    assert await honest.stored(build.demand(build.seed())) == 1


async def test_a_text_message_is_answered_and_counted(relay: Relay, connect: Any) -> None:
    client = await connect(relay)
    for _ in range(10):
        await client.socket.send_str("hello")
        answer = await client.receive()
        assert isinstance(answer, Problem)
        assert (answer.req, answer.code) == (None, "invalid.frame.malformed")
    assert await client.closed_by_relay() == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_an_oversized_message_ends_the_connection(relay: Relay, connect: Any) -> None:
    client = await connect(relay)
    await client.send_raw(bytes(MAX_FRAME + 2))
    assert await client.closed_by_relay() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_fault_of_ours_is_told_without_a_word_of_it(
    relay: Relay, connect: Any, build: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await connect(relay)

    def fail(*_: object) -> None:
        raise RuntimeError("the peer's secret")

    monkeypatch.setattr("intentcast_relay.core.Persist", fail)
    answer = await client.publish(build.demand(build.seed()))
    assert isinstance(answer, Problem)
    assert answer.code == "internal.error"
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text + answer.sentence


async def test_who_says_no_hello_in_time_is_closed(small: Relay, connect: Any) -> None:
    client = await connect(small, hello=False)
    answer = await client.receive()
    assert isinstance(answer, Problem)
    assert answer.code == "refused.limit.exceeded"
    assert await client.closed_by_relay() == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_connections_and_subscriptions_are_bounded(small: Relay, connect: Any) -> None:
    clients = [await connect(small) for _ in range(3)]
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await connect(small)
    assert caught.value.status == 503
    await clients[0].subscribe()
    await clients[0].subscribe()
    answer = await clients[0].call(Subscribe(77, Filter(), None, False))
    assert isinstance(answer, Problem)
    assert answer.code == "refused.limit.exceeded"


async def test_a_slow_reader_is_closed_and_disturbs_nobody(
    config: Config, clock: Callable[[], int], connect: Any, build: Any
) -> None:
    limits = Limits(queue_frames=4, send_deadline=1)
    async with running(replace(config, limits=limits), clock) as relay:
        slow, publisher = await connect(relay), await connect(relay)
        await slow.subscribe()
        transport = slow.socket._conn.protocol.transport
        transport.pause_reading()
        big = "x" * 60_000
        while len(relay._peers) == 2:
            await publisher.stored(build.record("profile", build.seed(), {"name": big}))
        assert await publisher.stored(build.demand(build.seed())) > 4
        assert len(relay._feed.index) == 0
        transport.resume_reading()
        seen = [0]
        while not isinstance(answer := await slow.receive(), Closed):
            assert isinstance(answer, Records)
            seen += [seq for seq, _ in answer.records]
        assert seen == list(range(len(seen)))
        assert answer.code == "refused.limit.exceeded"
        assert answer.cursor is not None
        assert answer.cursor.seq <= seen[-1]


# HTTP


async def test_a_plain_get_tells_about_the_relay(relay: Relay, build: Any) -> None:
    async with aiohttp.ClientSession() as session, session.get(http(relay)) as response:
        info = await response.json()
    assert (info["url"], info["protocol"], info["now"]) == (relay.config.url, 1, build.now)
    assert info["limits"]["frame"] == MAX_FRAME


async def test_public_records_are_served_as_they_were_signed(relay: Relay, connect: Any, build: Any) -> None:
    client = await connect(relay)
    demand = build.demand(build.seed())
    await client.stored(demand)
    async with aiohttp.ClientSession() as session:
        async with session.get(http(relay, f"/records/{cid(demand.id)}")) as response:
            assert response.content_type == "application/msgpack"
            assert response.headers["Cache-Control"] == "public, max-age=86400, immutable"
            assert decode_record(await response.read()) == demand.record
        for path in ("x", cid(bytes(32)), cid(demand.id).upper(), cid(demand.id) + "a", "b" * 5_000, "b" + "1" * 60):
            async with session.get(http(relay, f"/records/{path}")) as response:
                assert response.status == 404


def test_a_path_names_a_record_in_one_way_only() -> None:
    text = cid(bytes(range(32)))
    assert read_id(text) == bytes(range(32))
    for other in (text[:-1], text.upper(), "z" + text[1:], text[:-1] + "é", text[:-1] + "b", "b" + "a" * 60):
        assert read_id(other) is None


async def test_health_and_readiness_are_told_apart(relay: Relay) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/healthz", "/readyz"):
            async with session.get(http(relay, path)) as response:
                assert response.status == 200
        relay._stopping = True
        async with session.get(http(relay, "/readyz")) as response:
            assert response.status == 503
        async with session.get(http(relay, "/healthz")) as response:
            assert response.status == 200


# Starting and stopping


async def test_a_hang_up_in_the_handshake_is_not_logged(relay: Relay, caplog: pytest.LogCaptureFixture) -> None:
    host, port = relay.config.address
    ask = "GET / HTTP/1.1\r\nHost: relay.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    for _ in range(20):
        _, writer = await asyncio.open_connection(host, port)
        writer.write((ask + key).encode())
        await writer.drain()
        writer.transport.abort()
    async with aiohttp.ClientSession() as session, session.get(http(relay, "/healthz")) as answer:
        assert answer.status == 200
    assert [entry for entry in caplog.records if entry.levelno >= logging.WARNING] == []


async def test_a_stopping_relay_says_where_to_resume(
    config: Config, clock: Callable[[], int], connect: Any, build: Any
) -> None:
    async with running(config, clock) as relay:
        build.url = relay.config.url
        client = await connect(relay)
        await client.stored(build.demand(build.seed()))
        req, _, _ = await client.subscribe()
        epoch = client.epoch
    assert await client.receive() == Closed(req, "refused.relay.stopping", Cursor(epoch, 1))
    assert await client.closed_by_relay() == aiohttp.WSCloseCode.GOING_AWAY


async def test_a_restart_keeps_records_cursors_and_admissions(
    config: Config, clock: Callable[[], int], connect: Any, build: Any
) -> None:
    person_seed, session_seed = build.seed(), build.seed()
    async with running(config, clock) as relay:
        build.url = relay.config.url
        client = await connect(relay)
        demand = build.demand(person_seed)
        await client.stored(demand)
        await client.stored(build.sealed(session_seed, demand.author))
        epoch = client.epoch
    async with running(config, clock) as relay:
        client = await connect(relay, person_seed)
        assert client.epoch == epoch
        assert await client.stored(build.sealed(session_seed, demand.author, 0)) == 3
        assert await client.stored(build.profile(build.seed())) == 4
        _, stored, _ = await client.subscribe(cursor=Cursor(epoch, 1))
        assert [seq for seq, _ in stored] == [4]
        _, waiting = await client.read(demand.author)
        assert [seq for seq, _ in waiting] == [2, 3]


async def test_a_port_in_use_is_told_in_a_sentence(relay: Relay, config: Config) -> None:
    other = Relay(replace(config, listen=relay.config.listen, database=config.database.with_name("other.db")))
    with pytest.raises(ConfigError, match="not possible to listen on"):
        await other.start()


async def test_a_failed_commit_stops_the_relay_without_an_ack(
    config: Config, clock: Callable[[], int], connect: Any, build: Any
) -> None:
    async with running(config, clock) as relay:
        client = await connect(relay)

        async def fail(*_: object) -> None:
            raise OSError("no space left")

        relay._store.write = fail  # type: ignore[method-assign, assignment]
        await client.send(Publish(1, build.demand(build.seed()).record))
        with pytest.raises(OSError, match="no space"):
            await asyncio.wait_for(relay.wait(), 5)
    assert await client.closed_by_relay() == aiohttp.WSCloseCode.GOING_AWAY
