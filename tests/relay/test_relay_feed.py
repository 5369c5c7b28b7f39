"""Fan-out: encoded once, sent together, nothing missing and nothing twice. PROTOCOL §9.5"""

import asyncio
from typing import Any

import pytest
from intentcast_protocol.frames import MAX_FRAME_NODES, Records, encode_frame, read_answer
from intentcast_protocol.limits import MAX_FRAME
from intentcast_protocol.record import Record
from intentcast_protocol.subscription import Filter
from intentcast_relay.config import Limits
from intentcast_relay.feed import MAX_PENDING, MAX_TOGETHER, Feed, Listener, item, record_frames
from intentcast_relay.outgoing import Outgoing, SlowReader, header


class Owner:
    def __init__(self, limits: Limits | None = None) -> None:
        self.outgoing = Outgoing(limits or Limits())

    def frames(self) -> list[bytes]:
        return [frame for frame, _, _ in self.outgoing._queue]


def items(count: int, size: int = 10) -> list[tuple[int, Record]]:
    return [(at, Record(bytes(size), bytes(64))) for at in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 15, 16, 300])
def test_joined_frames_are_what_the_protocol_would_write(count: int) -> None:
    records = items(count)
    [(last, frame)] = record_frames(7, [item(*entry) for entry in ()] + [(seq, item(seq, raw)) for seq, raw in records])
    assert frame == encode_frame(Records(7, tuple(records)))
    assert last == count


def test_frames_stay_within_their_limits() -> None:
    for records in (items(2_000), items(40, 60_000)):
        frames = list(record_frames(2**40, [(seq, item(seq, raw)) for seq, raw in records]))
        read = [read_answer(frame) for _, frame in frames]
        assert [entry for answer in read if isinstance(answer, Records) for entry in answer.records] == records
        assert max(len(frame) for _, frame in frames) <= MAX_FRAME
        assert [last for last, _ in frames] == [answer.records[-1][0] for answer in read if isinstance(answer, Records)]
    assert MAX_TOGETHER * 5 + 4 <= MAX_FRAME_NODES


def test_what_is_committed_together_is_sent_together(build: Any) -> None:
    feed, owner = Feed(0), Owner()
    listener = Listener(owner, 3, pending=None)
    feed.index.add(listener, Filter(types=("demand",)), owner)
    demands = {seq: build.demand(build.seed()) for seq in (4, 5, 7)}
    feed.deliver({**demands, 8: build.profile(build.seed())})
    [frame] = owner.frames()
    assert read_answer(frame) == Records(3, tuple((seq, record.record) for seq, record in demands.items()))
    assert feed.head == 8


def test_a_listener_that_catches_up_gets_what_is_new_later() -> None:
    owner = Owner()
    listener = Listener(owner, 1)
    listener.push([(5, b"five")])
    assert owner.frames() == []
    assert listener.pending == [(5, b"five")]


def test_a_listener_that_misses_too_much_catches_up_for_longer() -> None:
    listener = Listener(Owner(), 1)
    listener.push([(at, b"") for at in range(MAX_PENDING)])
    assert not listener.missed
    listener.push([(MAX_PENDING, b"")])
    assert listener.missed
    listener.push([(MAX_PENDING + 1, b"")])
    assert listener.pending == []


@pytest.mark.parametrize(("length", "expected"), [(5, "8205"), (126, "827e007e"), (65_536, "827f0000000000010000")])
def test_a_message_header_follows_the_rfc(length: int, expected: str) -> None:
    assert header(length).hex() == expected


class Sent:
    """Collects what is sent, or stalls."""

    def __init__(self, *, stalled: bool = False) -> None:
        self.writes: list[bytes] = []
        self.stalled = stalled
        self.written = asyncio.Event()

    async def __call__(self, data: bytes) -> None:
        if self.stalled:
            await asyncio.Event().wait()
        self.writes.append(data)
        self.written.set()


class Place:
    sent = 0


async def test_what_waits_together_leaves_in_one_write() -> None:
    queue, sent, mark = Outgoing(Limits()), Sent(), Place()
    queue.answer(b"one")
    queue.push(b"two", mark, 9)
    sender = asyncio.create_task(queue.run(sent))
    await sent.written.wait()
    await queue.flush()
    assert sent.writes == [b"\x82\x03one\x82\x03two"]
    assert mark.sent == 9
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)


async def test_a_reader_that_stalls_is_given_up_at_the_deadline() -> None:
    queue, mark = Outgoing(Limits(send_deadline=0)), Place()
    queue.push(b"one", mark, 9)
    with pytest.raises(SlowReader):
        await queue.run(Sent(stalled=True))
    assert mark.sent == 0


async def test_a_reader_that_leaves_too_much_unread_is_given_up() -> None:
    queue, mark = Outgoing(Limits(queue_frames=2)), Place()
    for at in range(3):
        queue.push(b"x", mark, at)
    with pytest.raises(SlowReader):
        await queue.run(Sent())


async def test_bytes_are_bounded_as_well_as_frames() -> None:
    queue, mark = Outgoing(Limits(queue_bytes=10)), Place()
    queue.push(bytes(10), mark, 1)
    assert queue.crowded
    queue.push(b"", mark, 2)
    with pytest.raises(SlowReader):
        await queue.run(Sent())


async def test_answers_and_replays_always_find_a_place() -> None:
    queue, sent, mark = Outgoing(Limits(queue_frames=1)), Sent(), Place()
    queue.answer(b"a")
    queue.answer(b"b")
    queue.push(b"c", mark, 1, replayed=True)
    sender = asyncio.create_task(queue.run(sent))
    await queue.room()
    await queue.flush()
    assert sent.writes == [b"\x82\x01a\x82\x01b\x82\x01c"]
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)


async def test_nobody_waits_for_room_once_sending_has_ended() -> None:
    queue = Outgoing(Limits(queue_frames=1, send_deadline=0))
    queue.answer(b"a")
    waiting = asyncio.create_task(queue.room())
    with pytest.raises(SlowReader):
        await queue.run(Sent(stalled=True))
    await asyncio.wait_for(waiting, 5)
    queue.answer(b"b")
    assert not queue.crowded
