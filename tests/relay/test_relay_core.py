"""What one connection may do, without a socket. PROTOCOL §9"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_protocol.encoding import encode
from intentcast_protocol.frames import (
    Ack,
    Auth,
    Challenge,
    Closed,
    Cursor,
    Hello,
    Mailbox,
    Problem,
    Publish,
    Request,
    Subscribe,
    encode_frame,
    prove,
)
from intentcast_protocol.identity import public_key
from intentcast_protocol.limits import MAX_FRAME
from intentcast_protocol.record import Record, sign_bytes
from intentcast_protocol.subscription import Filter
from intentcast_relay.core import Connection, Forget, Hangup, Perform, Persist, Replay, Send, Watch, resume

HOST = "relay.example"
NONCE = b"n" * 32
EPOCH = b"e" * 8
NOW = 1_800_000_000


def connection(*, greeted: bool = True) -> Connection:
    return Connection(NONCE, EPOCH, frozenset({HOST}), max_subscriptions=2, greeted=greeted)


def told(effect: object) -> str:
    """The code of a problem, whatever else happens."""
    assert isinstance(effect, Send | Hangup)
    assert isinstance(effect.frame, Problem)
    return effect.frame.code


def handle(peer: Connection, frame: Request, now: int = NOW) -> object:
    return peer.receive(encode_frame(frame), now)


def proof(seed: bytes, *, nonce: bytes = NONCE, host: str = HOST, now: int = NOW) -> Auth:
    return prove(seed, public_key(seed), req=1, nonce=nonce, host=host, now=now)


def test_hello_is_answered_with_a_challenge() -> None:
    effect = handle(connection(greeted=False), Hello(1))
    assert effect == Send(Challenge(1, NONCE, EPOCH))
    assert handle(connection(greeted=False), Hello(7)) == effect


def test_nothing_goes_before_hello_and_hello_goes_once(build: Any) -> None:
    peer = connection(greeted=False)
    for frame in (Publish(1, build.demand(build.seed()).record), Subscribe(1, Filter(), None, False), proof(b"s" * 32)):
        assert told(handle(peer, frame)) == "invalid.frame.malformed"
    assert told(handle(peer, Hello(0))) == "invalid.frame.malformed"
    handle(peer, Hello(1))
    assert told(handle(peer, Hello(1))) == "invalid.frame.malformed"


def test_several_keys_may_be_proven_on_one_connection() -> None:
    peer = connection()
    seeds = [bytes([at]) * 32 for at in range(1, 4)]
    assert [handle(peer, proof(seed)) for seed in seeds] == [Send(Ack(1, None))] * 3
    assert peer.keys == {public_key(seed) for seed in seeds}


@pytest.mark.parametrize(
    "case",
    [
        {"nonce": b"m" * 32},
        {"host": "other.example"},
        {"host": "relay.example:443"},
        {"now": NOW - 61},
        {"now": NOW + 901},
    ],
)
def test_a_proof_for_another_challenge_host_or_time_is_refused(case: dict[str, Any]) -> None:
    peer = connection()
    assert told(handle(peer, proof(b"s" * 32, **case))) == "refused.auth.failed"
    assert peer.keys == set()


def test_a_proof_is_good_for_sixty_seconds() -> None:
    peer = connection()
    assert handle(peer, proof(b"s" * 32), now=NOW + 60) == Send(Ack(1, None))
    assert told(handle(connection(), proof(b"s" * 32), now=NOW + 61)) == "refused.auth.failed"


def test_a_proof_under_another_purpose_or_key_is_refused() -> None:
    seed = b"s" * 32
    good = proof(seed)
    as_record = Auth(1, good.payload, sign_bytes("record", good.payload, seed))
    by_another = Auth(1, good.payload, sign_bytes("auth", good.payload, b"t" * 32))
    for bad in (as_record, by_another, Auth(1, b"\x80", good.signature), Auth(1, b"junk", good.signature)):
        peer = connection()
        assert told(handle(peer, bad)) == "refused.auth.failed"
        assert peer.keys == set()


def test_a_record_goes_on_unread(build: Any) -> None:
    """Whatever is wrong with it is found out with its signature, in another process."""
    record = Record(b"\xc1", bytes(64))
    assert handle(connection(), Publish(5, record)) == Persist(5, record)


def test_a_subscription_is_replayed_from_its_cursor() -> None:
    cursor = Cursor(EPOCH, 7)
    assert handle(connection(), Subscribe(3, Filter(types=("demand",)), cursor, False)) == Replay(
        3, Filter(types=("demand",)), cursor, False
    )


def test_a_cursor_of_another_order_starts_anew() -> None:
    assert resume(Cursor(EPOCH, 7), EPOCH, head=9) == 7
    assert resume(Cursor(b"o" * 8, 7), EPOCH, head=9) == 0
    assert resume(Cursor(EPOCH, 10), EPOCH, head=9) == 0
    assert resume(None, EPOCH, head=9) == 0


def test_subscriptions_are_counted_and_their_numbers_freed() -> None:
    peer = connection()
    ask = [Subscribe(req, Filter(), None, False) for req in range(4)]
    assert isinstance(handle(peer, ask[0]), Replay)
    assert told(handle(peer, ask[0])) == "invalid.frame.malformed"
    assert isinstance(handle(peer, ask[1]), Replay)
    assert told(handle(peer, ask[2])) == "refused.limit.exceeded"
    assert handle(peer, Closed(0)) == Forget(0)
    assert isinstance(handle(peer, ask[2]), Replay)


@pytest.mark.parametrize("act", ["read", "take", "keep", "stop"])
def test_a_mailbox_needs_a_proof_of_its_key(act: Any) -> None:
    seed = b"s" * 32
    peer = connection()
    request = Mailbox(9, act, public_key(seed), ids=(bytes(32),), session=bytes(32), until=NOW)
    assert told(handle(peer, request)) == "refused.auth.required"
    handle(peer, proof(seed))
    effect = handle(peer, request)
    assert isinstance(effect, Watch if act == "read" else Perform)


def test_a_stopping_relay_takes_no_writes_and_still_answers_reads(build: Any) -> None:
    peer = connection()
    handle(peer, proof(b"s" * 32))
    peer.stopping = True
    key = public_key(b"s" * 32)
    assert told(handle(peer, Publish(1, build.demand(build.seed()).record))) == "refused.relay.stopping"
    assert told(handle(peer, Mailbox(1, "take", key, ids=(bytes(32),)))) == "refused.relay.stopping"
    assert isinstance(handle(peer, Mailbox(1, "read", key)), Watch)


def test_ten_malformed_frames_end_the_connection() -> None:
    peer = connection()
    effects = [peer.receive(b"\xc1", NOW) for _ in range(10)]
    assert [type(effect) for effect in effects] == [Send] * 9 + [Hangup]


def test_a_refused_request_is_no_malformed_frame() -> None:
    peer = connection()
    for _ in range(20):
        assert isinstance(handle(peer, Mailbox(1, "read", public_key(b"s" * 32))), Send)


MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "not-an-array": encode({"hello": 1}),
    "empty-array": encode([]),
    "unknown-verb": encode(["shout", 1]),
    "verb-of-the-relay": encode(["challenge", 1, bytes(32), bytes(8)]),
    "reserved-verb": encode(["reconcile", 1]),
    "hello-without-version": encode(["hello"]),
    "hello-with-text": encode(["hello", "1"]),
    "negative-request": encode(["closed", -1]),
    "request-is-true": encode(["closed", True]),
    "too-many-fields": encode(["closed", 1, 2]),
    "publish-without-record": encode(["publish", 1]),
    "publish-a-text": encode(["publish", 1, "record"]),
    "publish-a-short-signature": encode(["publish", 1, [b"", b"short"]]),
    "publish-three-parts": encode(["publish", 1, [b"", bytes(64), b""]]),
    "auth-short-signature": encode(["auth", 1, b"", b""]),
    "subscribe-unknown-field": encode(["subscribe", 1, {"colours": []}, None, False]),
    "subscribe-session-type": encode(["subscribe", 1, {"types": ["offer"]}, None, False]),
    "subscribe-sealed": encode(["subscribe", 1, {"types": ["sealed"]}, None, False]),
    "subscribe-too-many": encode(["subscribe", 1, {"types": ["demand"] * 65}, None, False]),
    "subscribe-short-author": encode(["subscribe", 1, {"authors": [b"x"]}, None, False]),
    "subscribe-bad-category": encode(["subscribe", 1, {"categories": ["Cars!"]}, None, False]),
    "subscribe-bad-cell": encode(["subscribe", 1, {"cells": ["aaaa"]}, None, False]),
    "subscribe-bad-cursor": encode(["subscribe", 1, {}, [b"x", 1], False]),
    "subscribe-once-is-one": encode(["subscribe", 1, {}, None, 1]),
    "count-bad-category": encode(["count", 1, "", [], []]),
    "count-bad-cells": encode(["count", 1, "cars", [1], []]),
    "mailbox-unknown-act": encode(["mailbox", 1, "burn", bytes(32)]),
    "mailbox-short-key": encode(["mailbox", 1, "read", b"x"]),
    "take-nothing": encode(["mailbox", 1, "take", bytes(32), []]),
    "take-too-much": encode(["mailbox", 1, "take", bytes(32), [bytes(32)] * 257]),
    "keep-without-until": encode(["mailbox", 1, "keep", bytes(32), bytes(32)]),
    "trailing-bytes": encode(["hello", 1]) + b"\0",
    "cut-short": encode(["hello", 1])[:-1],
    "float": b"\x92\xa5hello\xcb" + bytes(8),
    "extension": b"\x92\xa5hello\xd4\x01\x00",
    "not-shortest": b"\x92\xa5hello\xcd\x00\x01",
    "repeated-key": b"\x95\xa9subscribe\x01\x82\xa5cells\x90\xa5cells\x90\xc0\xc2",
    "text-that-is-no-utf8": b"\x92\xa5hell\xff\x01",
    "huge-count": b"\xdd\xff\xff\xff\xff",
    "huge-length": b"\xc6\xff\xff\xff\xff",
    "nested-bomb": b"\x91" * 100_000,
    "map-bomb": b"\xdc\xff\xff" + b"\x80" * 65_535,
    "too-large": bytes(MAX_FRAME + 1),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_frame_is_answered_with_a_code(name: str) -> None:
    effect = connection().receive(MALFORMED[name], NOW)
    assert told(effect).startswith("invalid.")
    assert isinstance(effect, Send)


def test_a_malformed_frame_is_answered_by_its_number_where_it_has_one() -> None:
    effect = connection().receive(encode(["publish", 42, "record"]), NOW)
    assert isinstance(effect, Send)
    assert isinstance(effect.frame, Problem)
    assert effect.frame.req == 42


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=300)
def test_no_bytes_raise(data: bytes) -> None:
    assert connection().receive(data, NOW) is not None


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_no_mutated_frame_raises(data: st.DataObject) -> None:
    record = Record(
        encode({"v": 1, "type": "demand", "author": bytes(32), "created": 1, "expires": 2, "body": {}}), bytes(64)
    )
    frame = bytearray(encode_frame(Publish(1, record)))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    assert connection().receive(bytes(frame), NOW) is not None
