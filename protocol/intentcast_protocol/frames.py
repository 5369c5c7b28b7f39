"""What an agent and a relay say to each other: one array a WebSocket message, a closed set of verbs.

    agent → relay                                         relay → agent
    [hello, version]                                      [challenge, version, nonce, epoch]
    [auth, req, payload, signature]                       [ack, req, nil]
    [publish, req, record]                                [ack, req, seq]
    [subscribe, req, filter, cursor | nil, once]          [record, req, [[seq, record], …]] …
                                                          [live, req, cursor]
    [closed, req]                                         [closed, req, code, cursor | nil]
    [count, req, category, cells, countries]              [count, req, least, most | nil]
    [mailbox, req, read, key]                             [record, req, [[seq, record], …]] …, [live, req, cursor]
    [mailbox, req, take, key, [id, …]]                    [ack, req, taken]
    [mailbox, req, keep, key, session, until]             [ack, req, nil]
    [mailbox, req, stop, key, session]                    [ack, req, nil]
    [domain, req, key]                                    [domain, req, attestation]
    [invite, req, [[payload, signature], …]]              [ack, req, nil]
    [reconcile, …]                                        (reserved)
                                                          [problem, req | nil, code, sentence]

`req` is the agent's own number for a request, unused by any live one; a cursor is [epoch, seq]. PROTOCOL §9
"""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgpack

from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import CODES, InvalidMessage, Refused
from intentcast_protocol.identity import Key
from intentcast_protocol.limits import AUTH_LIFE, MAX_FRAME, MAX_SKEW, MAX_TAKE
from intentcast_protocol.record import VERSION, Record, check_signature, from_wire, sign_bytes
from intentcast_protocol.subscription import CATEGORY, Filter, read_filter

VERBS: Final = frozenset({
    "hello", "challenge", "auth", "publish", "ack", "subscribe", "record", "live", "closed", "count", "mailbox",
    "domain", "invite", "reconcile", "problem",
})  # fmt: skip
MAX_FRAME_NODES: Final = 4_096
_HOST = re.compile(r"[a-z0-9.\-:\[\]]{1,255}", re.ASCII)
_CODE = "invalid.frame.malformed"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in one relay's order of acceptance; a new epoch means the order began anew. PROTOCOL §9.5"""

    epoch: bytes
    seq: int

    def wire(self) -> list[Any]:
        """Return the cursor's form on the wire."""
        return [self.epoch, self.seq]


@dataclass(frozen=True, slots=True)
class Hello:
    """An agent opens the conversation with the version it speaks."""

    version: int


@dataclass(frozen=True, slots=True)
class Challenge:
    """The relay answers with its version, what proofs of keys must name, and its order's epoch."""

    version: int
    nonce: bytes
    epoch: bytes


@dataclass(frozen=True, slots=True)
class Auth:
    """A proof that the connection holds a key; see `prove`. PROTOCOL §9.6"""

    req: int
    payload: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """A record to store and pass on."""

    req: int
    record: Record


@dataclass(frozen=True, slots=True)
class Ack:
    """A request is done and, where it stored or deleted anything, that is on stable storage."""

    req: int
    value: int | None


@dataclass(frozen=True, slots=True)
class Subscribe:
    """A wish for public records, stored and new, or only stored with `once`."""

    req: int
    filter: Filter
    cursor: Cursor | None
    once: bool


@dataclass(frozen=True, slots=True)
class Records:
    """Records of a subscription or mailbox, each with its place in the relay's order."""

    req: int
    records: tuple[tuple[int, Record], ...]


@dataclass(frozen=True, slots=True)
class Live:
    """All that was stored has been sent; what follows is new. The cursor resumes from here."""

    req: int
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Closed:
    """A subscription has ended; an agent sends it without a code, a relay says why and where to resume."""

    req: int
    code: str | None = None
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """A question how many listen for such a demand. PROTOCOL §9.8"""

    req: int
    category: str
    cells: tuple[str, ...]
    countries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """How many listen, coarsely: least to most, `most` None for no upper bound."""

    req: int
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An act on the mailbox of `key`; `session`, `until` and `ids` belong to stop, keep and take."""

    req: int
    act: Literal["read", "take", "keep", "stop"]
    key: Key
    ids: tuple[bytes, ...] = ()
    session: bytes | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Domain:
    """A wish that the relay look whether the domain in the profile of `key` names that key. PROTOCOL §9.10"""

    req: int
    key: Key


@dataclass(frozen=True, slots=True)
class Attested:
    """The relay's signed word about a domain, unchecked; see `attestation`."""

    req: int
    payload: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Invite:
    """An invitation to a mailbox, shown to the relay: a chain of [payload, signature], unchecked; see `invitation`."""

    req: int
    chain: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A request, or with no number the conversation, that was refused; the code decides."""

    req: int | None
    code: str
    sentence: str


Request = Hello | Auth | Publish | Subscribe | Closed | Count | Mailbox | Domain | Invite
Answer = Challenge | Ack | Records | Live | Closed | Counted | Attested | Problem


def _check(condition: bool, what: str) -> None:
    if not condition:
        raise InvalidMessage(_CODE, what)


def _req(value: object) -> int:
    if type(value) is not int or value < 0:
        raise InvalidMessage(_CODE, "a request has a number")
    return value


def _bytes(value: object, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise InvalidMessage(_CODE, f"{length} bytes expected")
    return value


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise InvalidMessage(_CODE, "a number expected")
    return value


def _cursor(value: object) -> Cursor | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidMessage(_CODE, "a cursor is [epoch, seq]")
    return Cursor(_bytes(value[0], 8), _number(value[1]))


def _pair(value: object) -> tuple[bytes, bytes]:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], bytes):
        raise InvalidMessage(_CODE, "[payload, signature] expected")
    return value[0], _bytes(value[1], 64)


def _array(data: bytes, most: int) -> list[Any]:
    value = decode(data, max_size=most, max_nodes=MAX_FRAME_NODES)
    if not isinstance(value, list) or not value or not isinstance(value[0], str) or value[0] not in VERBS:
        raise InvalidMessage(_CODE, "a frame is an array that begins with a verb")
    return value


def read_request(data: bytes, *, max_size: int = MAX_FRAME) -> Request:  # noqa: C901, PLR0911 (a case each)
    """Read one frame from an agent; raises InvalidMessage. The record inside a publish is unchecked. PROTOCOL §9.2"""
    match _array(data, max_size):
        case ["hello", version]:
            return Hello(_number(version))
        case ["auth", req, bytes(payload), signature]:
            return Auth(_req(req), payload, _bytes(signature, 64))
        case ["publish", req, record]:
            return Publish(_req(req), from_wire(record))
        case ["subscribe", req, wanted, cursor, bool(once)]:
            return Subscribe(_req(req), read_filter(wanted), _cursor(cursor), once)
        case ["closed", req]:
            return Closed(_req(req))
        case ["count", req, str(category), list(cells), list(countries)]:
            _check(CATEGORY.fullmatch(category) is not None, "a category is a path of slugs")
            area = read_filter({"cells": cells, "countries": countries}).area
            return Count(_req(req), category, area.cells, area.countries)
        case ["mailbox", req, "read", key]:
            return Mailbox(_req(req), "read", Key(_bytes(key, 32)))
        case ["mailbox", req, "take", key, list(ids)]:
            _check(0 < len(ids) <= MAX_TAKE, f"take names 1 to {MAX_TAKE} ids")
            return Mailbox(_req(req), "take", Key(_bytes(key, 32)), ids=tuple(_bytes(item, 32) for item in ids))
        case ["mailbox", req, "keep", key, session, until]:
            return Mailbox(_req(req), "keep", Key(_bytes(key, 32)), session=_bytes(session, 32), until=_number(until))
        case ["mailbox", req, "stop", key, session]:
            return Mailbox(_req(req), "stop", Key(_bytes(key, 32)), session=_bytes(session, 32))
        case ["domain", req, key]:
            return Domain(_req(req), Key(_bytes(key, 32)))
        case ["invite", req, list(chain)]:
            _check(1 <= len(chain) <= 2, "a chain is one invitation or two")
            return Invite(_req(req), tuple(_pair(link) for link in chain))
        case _:
            raise InvalidMessage(_CODE, "not a request of this protocol")


def request_number(data: bytes) -> int | None:
    """Return the request number of a frame that `read_request` refused, if it can be told, to answer it by number."""
    try:
        value = _array(data, MAX_FRAME)
        return _req(value[1]) if len(value) > 1 and value[0] != "hello" else None
    except InvalidMessage:
        return None


def read_answer(data: bytes, *, max_size: int = MAX_FRAME) -> Answer:
    """Read one frame from a relay; raises InvalidMessage. Records are unchecked. PROTOCOL §9.3"""
    match _array(data, max_size):
        case ["challenge", version, nonce, epoch]:
            return Challenge(_number(version), _bytes(nonce, 32), _bytes(epoch, 8))
        case ["ack", req, value]:
            return Ack(_req(req), None if value is None else _number(value))
        case ["record", req, list(items)]:
            pairs = []
            for item in items:
                _check(isinstance(item, list) and len(item) == 2, "a record comes with its place")
                pairs.append((_number(item[0]), from_wire(item[1])))
            return Records(_req(req), tuple(pairs))
        case ["live", req, cursor]:
            place = _cursor(cursor)
            if place is None:
                raise InvalidMessage(_CODE, "live names a cursor")
            return Live(_req(req), place)
        case ["closed", req, str(code), cursor]:
            return Closed(_req(req), _known(code), _cursor(cursor))
        case ["count", req, least, most]:
            return Counted(_req(req), _number(least), None if most is None else _number(most))
        case ["domain", req, attestation]:
            return Attested(_req(req), *_pair(attestation))
        case ["problem", req, str(code), str(sentence)]:
            return Problem(None if req is None else _req(req), _known(code), sentence[:300])
        case _:
            raise InvalidMessage(_CODE, "not an answer of this protocol")


def _known(code: str) -> str:
    return code if code in CODES else "internal.error"


def encode_frame(frame: Request | Answer) -> bytes:
    """Write a frame. PROTOCOL §9.1"""
    if isinstance(frame, Ack):
        # A relay writes thousands a second, and neither part has more than one form.
        acked: bytes = msgpack.packb(("ack", frame.req, frame.value))
        return acked
    return encode(_wire(frame))


def _wire(frame: Request | Answer) -> list[Any]:  # noqa: C901, PLR0911, PLR0912 (one line a frame)
    match frame:
        case Hello(version):
            return ["hello", version]
        case Challenge(version, nonce, epoch):
            return ["challenge", version, nonce, epoch]
        case Auth(req, payload, signature):
            return ["auth", req, payload, signature]
        case Publish(req, record):
            return ["publish", req, record.wire()]
        case Ack(req, value):
            return ["ack", req, value]
        case Subscribe(req, wanted, cursor, once):
            return ["subscribe", req, wanted.wire(), cursor and cursor.wire(), once]
        case Records(req, records):
            return ["record", req, [[seq, record.wire()] for seq, record in records]]
        case Live(req, cursor):
            return ["live", req, cursor.wire()]
        case Closed(req, None, _):
            return ["closed", req]
        case Closed(req, code, cursor):
            return ["closed", req, code, cursor and cursor.wire()]
        case Count(req, category, cells, countries):
            return ["count", req, category, list(cells), list(countries)]
        case Counted(req, least, most):
            return ["count", req, least, most]
        case Mailbox(req, "read", key):
            return ["mailbox", req, "read", key]
        case Mailbox(req, "take", key, ids):
            return ["mailbox", req, "take", key, list(ids)]
        case Mailbox(req, "keep", key, _, session, until):
            return ["mailbox", req, "keep", key, session, until]
        case Mailbox(req, act, key, _, session):
            return ["mailbox", req, act, key, session]
        case Domain(req, key):
            return ["domain", req, key]
        case Attested(req, payload, signature):
            return ["domain", req, [payload, signature]]
        case Invite(req, chain):
            return ["invite", req, [list(link) for link in chain]]
        case Problem(req, code, sentence):
            return ["problem", req, code, sentence]


def prove(seed: bytes, key: bytes, *, req: int, nonce: bytes, host: str, now: int) -> Auth:
    """Answer a challenge: sign the nonce, the host as dialled and the time with one key. PROTOCOL §9.6"""
    payload = encode({"v": VERSION, "key": key, "nonce": nonce, "host": host.lower(), "created": now})
    return Auth(req, payload, sign_bytes("auth", payload, seed))


def check_proof(auth: Auth, *, nonce: bytes, hosts: frozenset[str], now: int) -> Key:
    """Return the key an agent has proven to hold.

    Raises InvalidMessage for a wrong signature, Refused for what is malformed, another challenge, another host than any
    in `hosts` (lower case, with the port as dialled), or older than AUTH_LIFE. PROTOCOL §9.6
    """
    code = "refused.auth.failed"
    value = decode(auth.payload, max_size=1_024, max_nodes=16)
    if not isinstance(value, dict) or value.keys() != {"v", "key", "nonce", "host", "created"}:
        raise Refused(code, "the proof has other fields")
    key, host, created, version = value["key"], value["host"], value["created"], value["v"]
    if not isinstance(key, bytes) or len(key) != 32 or (type(created), type(version), version) != (int, int, VERSION):
        raise Refused(code, "the proof's fields are of the wrong type")
    if value["nonce"] != nonce:
        raise Refused(code, "another challenge")
    if not isinstance(host, str) or not _HOST.fullmatch(host) or host not in hosts:
        raise Refused(code, "the proof was made for another host")
    if not now - AUTH_LIFE <= created <= now + MAX_SKEW:
        raise Refused(code, "the proof is too old, or one of the two clocks is wrong")
    check_signature("auth", auth.payload, auth.signature, key)
    return Key(key)
