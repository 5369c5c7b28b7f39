"""Mutated bytes through every reader: nothing but a coded error comes out, and nothing mutated verifies.

20,000 mutations by default; ``-m long`` runs a million. Both are the same on every run, so a failure names its number.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest
from intentcast_protocol.agreement import bundle, verify_agreement
from intentcast_protocol.attestation import attest, read_attestation
from intentcast_protocol.demand import read_demand, read_draft, stamp_bits
from intentcast_protocol.disclosure import read_disclosure
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import CODES, IntentcastError, SealError
from intentcast_protocol.frames import (
    MAX_FRAME_NODES,
    Ack,
    Attested,
    Auth,
    Challenge,
    Closed,
    Count,
    Counted,
    Cursor,
    Domain,
    Hello,
    Invite,
    Live,
    Mailbox,
    Problem,
    Publish,
    Records,
    Subscribe,
    check_proof,
    encode_frame,
    prove,
    read_answer,
    read_request,
    request_number,
)
from intentcast_protocol.identity import cid, did, parse_cid, parse_did, public_key
from intentcast_protocol.invitation import encode_chain, invite, parse_chain, pass_on, read_chain
from intentcast_protocol.limits import MAX_BUNDLE, MAX_FRAME
from intentcast_protocol.negotiation import Applied, begin, receive
from intentcast_protocol.offer import read_counter, read_offer
from intentcast_protocol.profile import read_profile
from intentcast_protocol.record import (
    Record,
    Verified,
    check_time,
    decode_record,
    parse,
    sign,
    sign_bytes,
    verify,
    vouch,
)
from intentcast_protocol.sealing import check_inside, check_stamp, seal, unseal
from intentcast_protocol.subscription import Filter, read_filter, topic
from intentcast_protocol.terms import check_acceptance, read_proffer
from intentcast_protocol.testing import CARS, NOW, Pair, demand_body, offer_body, seal_pair, seed

DEFAULT, LONG = 20_000, 1_000_000
D, V, S = public_key(seed("D")), public_key(seed("V")), public_key(seed("S"))
KEY, NONCE, HOST = seal_pair("offer key"), b"n" * 32, "relay.example"


def walk() -> tuple[list[Verified], bytes]:
    """Return the records of a session with every type of message, and its agreement."""
    pair = Pair()
    for actor, kind in (
        ("vendor", "question"), ("person", "answer"), ("vendor", "offer"), ("person", "counter"), ("vendor", "offer"),
        ("person", "accept"), ("vendor", "confirm"), ("person", "disclose"), ("vendor", "notice"), ("person", "fulfil"),
        ("vendor", "problem"), ("person", "dispute"),
    ):  # fmt: skip
        assert pair.send(actor, kind).problem is None  # type: ignore[arg-type]
    proof = bundle(pair.demand_record.record, *(pair.find(kind) for kind in ("offer", "accept", "confirm")))
    return [pair.demand_record, *pair.log], proof


RECORDS, BUNDLE = walk()
DEMAND = read_demand(RECORDS[0])
FIXED = random.Random(3)
ENVELOPE = seal(
    RECORDS[1].record,
    seed=seed("S"),
    to=D,
    key=KEY.public,
    created=NOW,
    expires=NOW + 60,
    bits=4,
    random=FIXED.randbytes,
)
PROFILE = sign(
    "profile",
    seed("V"),
    {
        "name": "Autohof", "domain": "autohof.example", "categories": [CARS], "areaServed": {"cells": ["u17"]},
        "relays": ["wss://relay.example"], "sealKey": KEY.public,
    },
    created=NOW,
    expires=NOW + 60,
)  # fmt: skip
PROOF = prove(seed("V"), V, req=1, nonce=NONCE, host=HOST, now=NOW)
ATTESTATION = attest(seed("R"), url="wss://r.example", key=V, domain="autohof.example", seen=NOW, expires=NOW + 60)
INVITATION = invite(seed("D"), to=V, uses=3, until=NOW + 60, onward=True)
CHAIN = pass_on(seed("V"), INVITATION, to=S, uses=2, until=NOW + 50)
FILTER = Filter(("demand",), (V,), (CARS,))
REQUESTS = [
    Hello(1), PROOF, Publish(2, RECORDS[0].record), Publish(3, ENVELOPE.record),
    Subscribe(4, FILTER, Cursor(b"epoch...", 9), False), Closed(4), Count(5, CARS, ("u17",), ("NL",)),
    Mailbox(6, "read", V), Mailbox(7, "take", V, (bytes(32), b"x" * 32)), Mailbox(8, "keep", V, session=S, until=NOW),
    Mailbox(9, "stop", V, session=S), Domain(10, V),
    Invite(11, tuple((one.payload, one.signature) for one in CHAIN.links)),
]  # fmt: skip
ANSWERS = [
    Challenge(1, NONCE, b"epoch..."), Ack(1, None), Ack(1, 5),
    Records(2, ((1, RECORDS[0].record), (2, PROFILE.record))),
    Live(2, Cursor(b"epoch...", 9)), Closed(2, "refused.rate.exceeded", Cursor(b"epoch...", 9)), Counted(3, 5, 19),
    Attested(4, *ATTESTATION.wire()), Problem(None, "internal.error", "Something went wrong."),
]  # fmt: skip
SPICE = [b"", b"\x00", b"\x80", b"\x90", b"\xc0", b"\xc1", b"\xc3", b"\xff", b"\xdf\xff\xff\xff\xff", b"\xa1\x80",
         b"\xcb" + bytes(8), b"\xd6\xff" + bytes(4), b"\xc4\xff", b"\xd9\xff", b"\xcf" + b"\xff" * 8]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**53 - 1, "", "x", "\u202e", "x" * 3_000, b"", bytes(32), bytes(64), [], [[]], [{}],
    {},
    {"x": []}, [None] * 70, "EUR", "-0", "1e9", "demand", {"value": "5"}, -5,
]  # fmt: skip


def mangled(data: bytes, draw: random.Random, other: bytes) -> bytes:
    """Return bytes changed in one to three places, never the same."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at = draw.randrange(len(changed) + 1)
        match draw.randrange(8):
            case 0 | 1 if changed:
                changed[at % len(changed)] ^= 1 << draw.randrange(8)
            case 2 if changed:
                changed[at % len(changed)] = draw.randrange(256)
            case 3:
                changed[at:at] = draw.randbytes(draw.randrange(1, 6))
            case 4:
                del changed[at : at + draw.randrange(1, 40)]
            case 5:
                start = draw.randrange(len(other) + 1)
                changed[at : at + draw.randrange(60)] = other[start : start + draw.randrange(60)]
            case 6:
                spice = draw.choice(SPICE)
                changed[at : at + len(spice)] = spice
            case _:
                del changed[at:]
    return bytes(changed) if changed != data else data[:-1] + bytes([data[-1] ^ 1])


def bent(value: Any, draw: random.Random) -> Any:
    """Return a value with one part of it replaced, removed or repeated somewhere inside."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(sorted(value))
        match draw.randrange(8):
            case 0:
                return {name: part for name, part in value.items() if name != key}
            case 1:
                return value | {draw.choice(["x", "value", "name", "price", key + "x"]): draw.choice(VALUES)}
            case _:
                return value | {key: bent(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.85:
        at = draw.randrange(len(value))
        match draw.randrange(8):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return [*value, value[at]]
            case _:
                return [*value[:at], bent(value[at], draw), *value[at + 1 :]]
    if isinstance(value, str) and value and draw.random() < 0.4:
        at = draw.randrange(len(value))
        return value[:at] + draw.choice(["", "0", "-", ".", "\n", "\u202e", "/", "é", value]) + value[at + 1 :]
    if type(value) is int and draw.random() < 0.5:
        return max(-(2**53) + 1, min(2**53 - 1, value + draw.choice([-1, 1, 2**31, -(2**31), 10**9])))
    return draw.choice(VALUES)


def signed(kind: str, name: str, body: Any, **fields: Any) -> Verified:
    """Sign any body at all, as its author could, and read the record."""
    key = public_key(seed(name))
    header = {"v": 1, "type": kind, "author": key, "created": NOW, "expires": NOW + 60, "body": body, **fields}
    payload = encode({field: value for field, value in header.items() if value is not None})
    return verify(Record(payload, sign_bytes("record", payload, seed(name))))


def survives(read: Callable[[], Any]) -> Any:
    """Read, and return what was read or None; only a coded error may come out, with its sentence and section."""
    try:
        return read()
    except IntentcastError as caught:
        error = caught
    assert error.code in CODES
    assert str(error)
    return None


def request_frames(draw: random.Random) -> None:
    """What a relay reads from anybody."""
    data = mangled(encode_frame(draw.choice(REQUESTS)), draw, encode_frame(draw.choice(REQUESTS)))
    frame = survives(lambda: read_request(data))
    request_number(data)
    if frame is not None:
        assert read_request(encode_frame(frame)) == frame
    if isinstance(frame, Publish):
        verified = survives(lambda: verify(frame.record))
        assert verified is None or frame.record in (RECORDS[0].record, ENVELOPE.record)
    if isinstance(frame, Auth):
        key = survives(lambda: check_proof(frame, nonce=NONCE, hosts=frozenset({HOST}), now=NOW))
        assert key is None or (frame.payload, frame.signature) == (PROOF.payload, PROOF.signature)


def answer_frames(draw: random.Random) -> None:
    """What an agent reads from a relay."""
    data = mangled(encode_frame(draw.choice(ANSWERS)), draw, encode_frame(draw.choice(ANSWERS)))
    frame = survives(lambda: read_answer(data))
    if isinstance(frame, Records):
        for _, record in frame.records:
            verified = survives(lambda record=record: verify(record))
            assert verified is None or record in (RECORDS[0].record, PROFILE.record)


def bent_frames(draw: random.Random) -> None:
    """Frames that are canonical and wrong inside."""
    data = encode_frame(draw.choice(REQUESTS + ANSWERS))
    value = bent(decode(data, max_size=MAX_FRAME, max_nodes=MAX_FRAME_NODES), draw)
    changed = survives(lambda: encode(value))
    if changed is None:
        return
    for read in (read_request, read_answer):
        frame: Any = survives(lambda read=read: read(changed))
        if frame is not None:
            # Three forms lose what has no meaning: an empty list in a filter, an unknown code, the end of a sentence.
            assert read(encode_frame(frame)) == frame
            assert encode_frame(frame) == changed or isinstance(frame, Subscribe | Closed | Problem)


def records(draw: random.Random) -> None:
    """Records as bytes."""
    good = draw.choice([*RECORDS, PROFILE, ENVELOPE]).record
    data = mangled(good.encode(), draw, draw.choice(RECORDS).record.encode())
    verified = survives(lambda: verify(decode_record(data)))
    assert verified is None


def payloads(draw: random.Random) -> None:
    """Records that are canonical and wrong inside, under the old signature and under the author's own."""
    good = draw.choice([*RECORDS, PROFILE, ENVELOPE]).record
    payload = survives(lambda: encode(bent(decode(good.payload), draw)))
    if payload is None or payload == good.payload:
        return
    assert survives(lambda: verify(Record(payload, good.signature))) is None
    envelope = survives(lambda: parse(Record(payload, bytes(64))))
    if envelope is None:
        return
    survives(lambda: check_time(envelope, NOW))
    survives(lambda: check_stamp(envelope, 4, NOW))
    survives(lambda: topic(envelope))
    survives(lambda: stamp_bits(envelope.body.get("admit")))
    for name in ("D", "V", "S"):
        if envelope.author == public_key(seed(name)):
            assert vouch(parse(Record(payload, sign_bytes("record", payload, seed(name))))).id == envelope.id


def bodies(draw: random.Random) -> None:
    """Bodies that their authors signed, and that are wrong inside."""
    kind = draw.choice(["demand", "profile", "offer", "counter", "disclose", "filter", "terms"])
    if kind == "demand":
        like = {"category": CARS, "isSimilarTo": {"model": "Golf"}}
        body = bent(demand_body(description="x", itemOffered=like), draw)
        record = survives(lambda: signed("demand", "D", body))
        demand = record and survives(lambda: read_demand(record))
        if demand:
            assert read_draft(record) == demand
            subject = bent(offer_body(record.id, NOW + 60), draw)
            assert demand.judge(subject if isinstance(subject, dict) else {}).why
    elif kind == "profile":
        body = bent(dict(PROFILE.body), draw)
        record = survives(lambda: signed("profile", "V", body))
        survives(lambda: record and read_profile(record))
    elif kind == "filter":
        survives(lambda: read_filter(bent(FILTER.wire(), draw)))
    elif kind == "terms":
        survives(lambda: read_proffer(bent(DEMAND.terms.wire(), draw)))
        survives(lambda: check_acceptance(DEMAND.terms, bent(DEMAND.terms.deal[0].wire(), draw)))
    else:
        message = next(record for record in RECORDS if record.type == kind)
        body = bent(message.body, draw)
        if kind == "disclose":
            body = bent({"purpose": "ServiceDelivery", "attributes": {"name": "Ada"}}, draw)
        fields = {"to": message.to, "session": message.session, "seq": message.seq, "prev": message.prev}
        name = "D" if message.author == D else "V"
        record = survives(lambda: signed(kind, name, body, expires=message.expires, **fields))
        if record:
            readers: dict[str, Callable[[], Any]] = {
                "offer": lambda: read_offer(record), "counter": lambda: read_counter(record),
                "disclose": lambda: read_disclosure(record.body),
            }  # fmt: skip
            survives(readers[kind])
            survives(lambda: DEMAND.judge(record.body).why)


def sessions(draw: random.Random) -> None:
    """A session in which one message is not what it should be: it has no effect, or another, and nothing breaks."""
    session = begin(DEMAND, key=S, vendor=V)
    bad = draw.randrange(1, len(RECORDS))
    for at, message in enumerate(RECORDS[1:], 1):
        sent: Any = message
        if at == bad:
            name = "D" if message.author == D else "V"
            payload = survives(lambda message=message: encode(bent(decode(message.record.payload), draw)))
            sent = payload and survives(
                lambda payload=payload, name=name: verify(Record(payload, sign_bytes("record", payload, seed(name))))
            )
            if sent is None:
                return
        outcome = survives(lambda sent=sent, session=session: receive(session, sent, NOW, None))
        if not isinstance(outcome, Applied):
            return
        assert outcome.problem is None or outcome.problem.code in CODES
        session = outcome.session


def seals(draw: random.Random) -> None:
    """Envelopes that S signed anew around a body that was changed: only the untouched seal opens."""
    body = dict(ENVELOPE.body)
    if draw.random() < 0.6:
        part = draw.choice(["box", "ek", "key"])
        body[part] = mangled(body[part], draw, body["box"])
        if draw.random() < 0.7:
            body[part] = (body[part] + bytes(2_000))[: len(ENVELOPE.body[part])]
    else:
        body = bent(body, draw)
    if body == ENVELOPE.body:
        return
    envelope = survives(lambda: signed("sealed", "S", body, to=D))
    if envelope:
        assert survives(lambda: unseal(envelope, KEY)) is None
        with pytest.raises(IntentcastError):
            unseal(envelope, KEY)
    survives(lambda: check_inside(draw.choice(RECORDS), ENVELOPE, person=D, session=S))


def agreements(draw: random.Random) -> None:
    """Bundles as bytes, and as values with one part bent."""
    if draw.random() < 0.5:
        data: bytes | None = mangled(BUNDLE, draw, RECORDS[3].record.encode())
    else:
        data = survives(lambda: encode(bent(decode(BUNDLE, max_size=MAX_BUNDLE), draw)))
    if data is not None and data != BUNDLE:
        assert survives(lambda: verify_agreement(data)) is None


def texts(draw: random.Random) -> None:
    """Ids and keys that somebody typed."""
    for write, read, raw in ((cid, parse_cid, RECORDS[0].id), (did, parse_did, V)):
        text = mangled(write(raw).encode(), draw, b"did:key:z6Mk").decode("latin-1")
        back = survives(lambda read=read, text=text: read(text))
        assert back is None or write(back) == text


def vouchers(draw: random.Random) -> None:
    """Attestations and invitations: bytes mutated, values bent under the old signature, text that somebody typed."""
    for good, read in ((ATTESTATION.wire(), read_attestation), (CHAIN.wire(), read_chain)):
        changed = mangled(encode(good), draw, encode(CHAIN.wire()))
        value = survives(lambda changed=changed: decode(changed)) if draw.random() < 0.5 else bent(good, draw)
        found: Any = survives(lambda read=read, value=value: read(value))
        # The first link of a chain is a chain.
        assert found is None or found.wire() == value in (good, good[:1])
    payload = survives(lambda: encode(bent(decode(ATTESTATION.payload), draw)))
    if payload is not None:
        found = survives(lambda: read_attestation([payload, sign_bytes("domain", payload, seed("R"))]))
        assert found is None or found.payload == payload
    payload = survives(lambda: encode(bent(decode(CHAIN.links[1].payload), draw)))
    if payload is not None:
        link = [payload, sign_bytes("invite", payload, seed("V"))]
        found = survives(lambda: read_chain([CHAIN.wire()[0], link]))
        assert found is None or (found.links[1].uses <= 3 and found.until <= NOW + 60)
    text = mangled(encode_chain(CHAIN).encode(), draw, b"intentcast-invite:").decode("latin-1")
    assert survives(lambda: parse_chain(text)) is None


TARGETS = [
    request_frames, answer_frames, bent_frames, records, payloads, bodies, sessions, seals, agreements, texts, vouchers,
]  # fmt: skip


def run(target: Callable[[random.Random], None], count: int) -> None:
    """Run a target so many times, each with its own number, and name the number that fails."""
    for number in range(count):
        try:
            target(random.Random(number))
        except Exception as error:
            raise AssertionError(f"{target.__name__}(random.Random({number}))") from error


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_twenty_thousand_mutations_give_coded_errors_only(target: Callable[[random.Random], None]) -> None:
    """PROTOCOL §14"""
    run(target, DEFAULT // len(TARGETS))


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_a_million_mutations_give_coded_errors_only(target: Callable[[random.Random], None]) -> None:
    """PROTOCOL §14"""
    run(target, LONG // len(TARGETS))


def test_the_untouched_originals_verify_and_open() -> None:
    """Or the tests above would refuse everything for nothing."""
    for record in [*RECORDS, PROFILE, ENVELOPE]:
        assert verify(decode_record(record.record.encode())) == record
    assert unseal(ENVELOPE, KEY) == RECORDS[1].record
    assert verify_agreement(BUNDLE).demand == DEMAND
    assert check_proof(PROOF, nonce=NONCE, hosts=frozenset({HOST}), now=NOW) == V
    assert SealError().code in CODES
    for frame in REQUESTS:
        assert read_request(encode_frame(frame)) == frame
    for answer in ANSWERS:
        assert read_answer(encode_frame(answer)) == answer
