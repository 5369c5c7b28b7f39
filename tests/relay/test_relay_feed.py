"""Fan-out: encoded once, sent together, nothing missing and nothing twice. PROTOCOL §9.5"""

import asyncio
from typing import Any

import pytest
from intentcast_protocol.frames import MAX_FRAME_NODES, Records, encode_frame, read_answer
from intentcast_protocol.limits import MAX_FRAME
from intentcast_protocol.record import Record
from intentcast_protocol.subscription import Filter
from intentcast_relay.config import Limits
from intentcast_relay.feed import (
    MAX_PENDING,
    MAX_PENDING_BYTES,
    MAX_TOGETHER,
    Feed,
    Listener,
    frames,
    item,
    opening,
    parcels,
)
from intentcast_relay.outgoing import Frame, Outgoing, SlowReader, header
from intentcast_relay.posting import flatten


class Owner:
    def __init__(self, limits: Limits | None = None) -> None:
        self.outgoing = Outgoing(limits or Limits())

    def frames(self) -> list[bytes]:
        """What waits, without the messages' headers."""
        return [b"".join(entry.parts)[len(header(entry.size)) :] for entry in self.outgoing._records.frames]


def push(listener: Listener, items: list[tuple[int, bytes]]) -> None:
    listener.push(items, frames(listener.opening, parcels(items)))


def items(count: int, size: int = 10) -> list[tuple[int, Record]]:
    return [(at, Record(bytes(size), bytes(64))) for at in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 15, 16, 300])
def test_joined_frames_are_what_the_protocol_would_write(count: int) -> None:
    records = items(count)
    for joined in (True, False):
        [parcel] = parcels([(seq, item(seq, raw)) for seq, raw in records], joined=joined)
        written = b"".join((opening(7), *parcel.parts))
        assert written == encode_frame(Records(7, tuple(records)))
        assert (parcel.last, parcel.size) == (count, len(written) - len(opening(7)))


def test_frames_stay_within_their_limits() -> None:
    for records in (items(2_000), items(40, 60_000)):
        packed = parcels([(seq, item(seq, raw)) for seq, raw in records])
        written = [(parcel.last, b"".join((opening(2**40), *parcel.parts))) for parcel in packed]
        read = [read_answer(one) for _, one in written]
        assert [entry for answer in read if isinstance(answer, Records) for entry in answer.records] == records
        assert max(len(one) for _, one in written) <= MAX_FRAME
        ends = [answer.records[-1][0] for answer in read if isinstance(answer, Records)]
        assert [last for last, _ in written] == ends
    assert MAX_TOGETHER * 5 + 4 <= MAX_FRAME_NODES


def test_what_is_committed_together_is_sent_together(build: Any) -> None:
    feed, owner = Feed(0), Owner()
    listener = Listener(owner, 3, pending=None)
    feed.index.add(listener, Filter(types=("demand",)), owner)
    demands = {seq: build.demand(build.seed()) for seq in (4, 5, 7)}
    postings = {seq: flatten(demand) for seq, demand in demands.items()}
    feed.deliver({**postings, 8: flatten(build.profile(build.seed()))})
    [frame] = owner.frames()
    assert read_answer(frame) == Records(3, tuple((seq, record.record) for seq, record in demands.items()))
    assert feed.head == 8


def test_a_listener_that_catches_up_gets_what_is_new_later() -> None:
    owner = Owner()
    listener = Listener(owner, 1)
    push(listener, [(5, b"five")])
    assert owner.frames() == []
    assert listener.pending == [(5, b"five")]


def test_a_listener_that_misses_too_much_catches_up_for_longer() -> None:
    listener = Listener(Owner(), 1)
    push(listener, [(at, b"") for at in range(MAX_PENDING)])
    assert not listener.missed
    push(listener, [(MAX_PENDING, b"")])
    assert listener.missed
    push(listener, [(MAX_PENDING + 1, b"")])
    assert listener.pending == []


def test_what_a_listener_that_catches_up_misses_is_bounded_in_bytes_too() -> None:
    listener = Listener(Owner(), 1)
    for at in range(MAX_PENDING_BYTES // 65_536):
        push(listener, [(at, bytes(65_536))])
    assert not listener.missed
    push(listener, [(99, b"x")])
    assert listener.missed
    assert (listener.pending, listener.kept) == ([], 0)


def test_the_bytes_of_a_record_are_the_same_object_in_every_queue(build: Any) -> None:
    for listeners in (2, 20):
        feed, owners = Feed(0), [Owner() for _ in range(listeners)]
        for req, owner in enumerate(owners):
            feed.index.add(Listener(owner, req, pending=None), Filter(), owner)
        feed.deliver({1: flatten(build.demand(build.seed())), 2: flatten(build.profile(build.seed()))})
        kept = {tuple(map(id, owner.outgoing._records.frames[0].parts[1:])) for owner in owners}
        assert len(kept) == 1


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


def frame(data: bytes, seq: int) -> Frame:
    parts = (header(len(data)), data)
    return Frame(parts, b"".join(parts), seq)


async def test_what_waits_together_leaves_in_one_write() -> None:
    queue, sent, mark = Outgoing(Limits()), Sent(), Place()
    queue.answer(b"one")
    queue.push(frame(b"two", 9), mark)
    sender = asyncio.create_task(queue.run(sent))
    await sent.written.wait()
    await queue.flush()
    assert sent.writes == [b"\x82\x03one\x82\x03two"]
    assert mark.sent == 9
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)


async def test_a_reader_that_stalls_is_given_up_at_the_deadline() -> None:
    queue, mark = Outgoing(Limits(send_deadline=0)), Place()
    queue.push(frame(b"one", 9), mark)
    with pytest.raises(SlowReader):
        await queue.run(Sent(stalled=True))
    assert mark.sent == 0


async def test_a_reader_that_leaves_too_much_unread_is_given_up() -> None:
    queue, mark = Outgoing(Limits(queue_frames=2)), Place()
    for at in range(3):
        queue.push(frame(b"x", at), mark)
    with pytest.raises(SlowReader):
        await queue.run(Sent())


async def test_bytes_are_bounded_as_well_as_frames() -> None:
    queue, mark = Outgoing(Limits(queue_bytes=10)), Place()
    queue.push(frame(bytes(10), 1), mark)
    assert not queue.crowded, "records that wait stop nobody from asking"
    queue.push(frame(b"", 2), mark)
    with pytest.raises(SlowReader):
        await queue.run(Sent())


async def test_answers_and_replays_always_find_a_place() -> None:
    queue, sent, mark = Outgoing(Limits(queue_frames=1)), Sent(), Place()
    queue.answer(b"a")
    queue.answer(b"b")
    queue.push(frame(b"c", 1), mark, replayed=True)
    queue.push(frame(b"d", 2), mark, replayed=True)
    assert queue.crowded
    sender = asyncio.create_task(queue.run(sent))
    await queue.heard()
    await queue.flush()
    assert sent.writes == [b"\x82\x01a\x82\x01b\x82\x01c\x82\x01d"]
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)


async def test_nobody_waits_for_room_once_sending_has_ended() -> None:
    queue = Outgoing(Limits(queue_frames=1, send_deadline=0))
    queue.answer(b"a")
    queue.push(frame(bytes(100_000), 1), Place())
    waiting = asyncio.gather(queue.heard(), queue.room(), queue.flush())
    with pytest.raises(SlowReader):
        await queue.run(Sent(stalled=True))
    await asyncio.wait_for(waiting, 5)
    queue.answer(b"b")
    assert not queue.crowded


async def test_answers_overtake_records_but_what_follows_them_does_not() -> None:
    queue, sent, mark = Outgoing(Limits()), Sent(), Place()
    queue.push(frame(b"record", 1), mark)
    queue.follow(b"live")
    queue.answer(b"ack")
    queue.answer(b"p", b"\x8a\x01")
    sender = asyncio.create_task(queue.run(sent))
    await sent.written.wait()
    assert sent.writes == [b"\x82\x03ack\x8a\x01p\x82\x06record\x82\x04live"]
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)


async def test_one_write_is_small_unless_one_frame_is_large() -> None:
    queue, sent, mark = Outgoing(Limits()), Sent(), Place()
    for at in range(10):
        queue.push(frame(bytes(10_000), at), mark)
    queue.push(frame(bytes(100_000), 10), mark)
    sender = asyncio.create_task(queue.run(sent))
    await queue.flush()
    assert max(map(len, sent.writes[:-1])) <= 32_768 + 3 * 4
    assert len(sent.writes[-1]) == 100_010
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)


async def test_a_record_for_an_idle_reader_leaves_at_once_and_keeps_its_place() -> None:
    wrote: list[bytes] = []
    gone: bool | None = True

    def at_once(data: bytes) -> bool | None:
        if gone is not None:
            wrote.append(data)
        return gone

    sent, mark = Sent(), Place()
    queue = Outgoing(Limits(), at_once)
    queue.push(frame(b"a", 1), mark)  # before anybody sends: it waits
    sender = asyncio.create_task(queue.run(sent))
    await queue.flush()
    await asyncio.sleep(0)  # the sender goes to sleep in the same step that follows the flush
    queue.push(frame(b"bc", 2), mark)
    assert (sent.writes, wrote, mark.sent) == ([b"\x82\x01a"], [b"\x82\x02bc"], 2)
    gone = None
    queue.push(frame(b"x", 3), mark)
    assert mark.sent == 2
    await queue.flush()
    await asyncio.sleep(0)
    assert (sent.writes[1:], mark.sent) == ([b"\x82\x01x"], 3), "what could not begin takes the usual way"
    gone = False
    queue.push(frame(b"d", 4), mark)
    queue.push(frame(b"e", 5), mark)
    assert mark.sent == 3, "what the socket did not take is not sent yet"
    await queue.flush()
    assert (b"".join(sent.writes[2:]), wrote[1:], mark.sent) == (b"\x82\x01e", [b"\x82\x01d"], 5)
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
