"""Writes the vectors beside this file: run it again and nothing changes. `README.md` here explains the format.

    uv run python tests/vectors/generate.py

Every vector is one case with one fault, made by its own few lines, so that the fault can be read here.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intentcast_protocol.agreement import bundle
from intentcast_protocol.attestation import Attestation, attest
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.identity import cid, did, public_key
from intentcast_protocol.limits import ACCEPT_LIFE, BUCKETS, MAX_DEPTH, MAX_LIFE, MAX_NODES, MAX_RECORD, STAMP_AGE
from intentcast_protocol.record import Purpose, Record, Verified, sign, sign_bytes, signed_bytes, verify
from intentcast_protocol.sealing import SealKey, seal
from intentcast_protocol.terms import DEFAULT, ROSTER
from intentcast_protocol.testing import demand_body, offer_body, price_body, seal_pair, seed
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_kx_client_session_keys,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_sign_open,
    sodium_pad,
)
from nacl.exceptions import BadSignatureError

HERE = Path(__file__).parent
NOW = 1_800_000_000
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the large subgroup of Ed25519
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
D, V, S = public_key(seed("D")), public_key(seed("V")), public_key(seed("S"))
KEY = seal_pair("offer key")
Vector = dict[str, Any]


def random_of(name: str) -> Callable[[int], bytes]:
    """Return a source of bytes that looks random and is the same on every run."""
    count = 0

    def draw(length: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"intentcast vectors {name} {count}".encode()).digest(length)

    return draw


def view(value: Any) -> Any:
    """Return the JSON view of a value: bytes become ``{"hex": …}``."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [view(part) for part in value]
    return {key: view(part) for key, part in value.items()} if isinstance(value, dict) else value


# Encoding


def encoding() -> list[Vector]:
    """Bytes that are, or are not, one canonical value. PROTOCOL §3"""
    vectors: list[Vector] = []

    def good(name: str, comment: str, value: Any) -> None:
        data = encode(value)
        vectors.append({"name": name, "comment": comment, "expect": "ok", "bytes": data.hex(), "value": view(value)})

    def bad(name: str, comment: str, data: str | bytes, fault: str) -> None:
        text = data if isinstance(data, str) else data.hex()
        vectors.append({"name": name, "comment": comment, "expect": f"invalid.encoding.{fault}", "bytes": text})

    good("nil", "The value nil.", None)
    good("booleans", "Both booleans.", [False, True])
    good(
        "integers",
        "Integers at the edges of every form, each in its shortest.",
        [
            0,
            127,
            128,
            255,
            256,
            65_535,
            65_536,
            2**32 - 1,
            2**32,
            2**53 - 1,
            -1,
            -32,
            -33,
            -128,
            -129,
            -32_768,
            -32_769,
            -(2**31),
            -(2**31) - 1,
            -(2**53) + 1,
        ],
    )
    good("text-lengths", "Text of 31, 32, 255 and 256 bytes.", ["x" * 31, "x" * 32, "x" * 255, "x" * 256])
    good("text-not-normalised", "A letter with an accent, in two forms that stay two.", ["é", "e\u0301"])
    good("bytes-lengths", "Bytes of 0, 255 and 256 bytes.", [b"", b"x" * 255, b"x" * 256])
    good("arrays", "Arrays of 0, 15 and 16 elements.", [[], [0] * 15, [0] * 16])
    good(
        "map-keys-by-bytes",
        "Keys ascend by their UTF-8 bytes: the empty one, A, a, aa, b, then others.",
        {"": 0, "A": 1, "a": 2, "aa": 3, "b": 4, "é": 5, "\uffff": 6, "\U00010000": 7},
    )
    good("map-of-sixteen", "The smallest map that needs a longer head.", {chr(97 + at): at for at in range(16)})
    deepest: Any = {}
    for _ in range(MAX_DEPTH - 1):
        deepest = [deepest]
    good("deepest", f"{MAX_DEPTH} arrays and maps inside each other.", deepest)

    bad("nested-too-deep", "One level more, the innermost empty.", b"\x91" + encode(deepest), "too-large")
    bad(
        "too-many-parts",
        "An array of MAX_NODES nils, which with itself is one part too many.",
        b"\xdc" + MAX_NODES.to_bytes(2, "big") + b"\xc0" * MAX_NODES,
        "too-large",
    )
    bad("empty-maps-bomb", "Few bytes, many empty maps.", b"\xdc\x10\x00" + b"\x80" * 4_096, "too-large")
    bad("integer-in-uint8", "127 in two bytes.", "cc7f", "not-canonical")
    bad("integer-in-uint16", "255 in three bytes.", "cd00ff", "not-canonical")
    bad("integer-in-uint32", "65535 in five bytes.", "ce0000ffff", "not-canonical")
    bad("integer-in-uint64", "4294967295 in nine bytes.", "cf00000000ffffffff", "not-canonical")
    bad("integer-in-int8", "-32 in two bytes.", "d0e0", "not-canonical")
    bad("positive-in-int8", "1 in a signed form.", "d001", "not-canonical")
    bad("integer-in-int16", "-128 in three bytes.", "d1ff80", "not-canonical")
    bad("integer-in-int64", "-2147483648 in nine bytes.", "d3ffffffff80000000", "not-canonical")
    bad("text-in-str8", "One letter with a longer head.", "d90161", "not-canonical")
    bad("text-in-str16", "One letter with a head of three bytes.", "da000161", "not-canonical")
    bad("bytes-in-bin16", "One byte with a longer head.", "c5000161", "not-canonical")
    bad("array-in-array16", "One element with a longer head.", "dc0001c0", "not-canonical")
    bad("map-in-map16", "One entry with a longer head.", "de0001a161c0", "not-canonical")
    bad("map-keys-descend", "b before a.", "82a16201a16102", "not-canonical")
    bad("map-key-twice", "a and a.", "82a16101a16102", "not-canonical")
    bad("map-key-integer", "A key that is not text.", "810102", "malformed")
    bad("map-key-bytes", "A key that is bytes.", "81c4016101", "malformed")
    bad("float32", "A float.", "ca3f800000", "malformed")
    bad("float64-nan", "Not a number.", "cb7ff8000000000000", "malformed")
    bad("extension", "An extension of one byte.", "d40100", "malformed")
    bad("timestamp", "A timestamp.", "d6ff6b49d200", "malformed")
    bad("reserved-byte", "c1 is never used.", "c1", "malformed")
    bad("integer-2-to-the-53", "The first integer out of range.", "cf0020000000000000", "malformed")
    bad("integer-minus-2-to-the-53", "The first negative one.", "d3ffe0000000000000", "malformed")
    bad("bytes-after-the-end", "Two values.", "c0c0", "malformed")
    bad("nothing", "No bytes at all.", "", "malformed")
    bad("text-cut-short", "Text that ends before its length.", "a26f", "malformed")
    bad("head-cut-short", "A head whose length is missing.", "da00", "malformed")
    bad("array-cut-short", "An array that lacks its second element.", "92c0", "malformed")
    bad("length-past-the-end", "Text that claims four thousand million bytes.", "dbffffffff61", "malformed")
    bad("count-past-the-end", "An array that claims four thousand million elements.", "ddffffffffc0", "malformed")
    bad("utf8-overlong", "A slash in two bytes.", "a2c0af", "malformed")
    bad("utf8-surrogate", "Half of a pair.", "a3eda080", "malformed")
    bad("utf8-cut-short", "The first byte of two.", "a1c3", "malformed")
    bad("utf8-past-unicode", "U+110000.", "a4f4908080", "malformed")
    return vectors


# Records


def payload(**changes: Any) -> dict[str, Any]:
    """Return the fields of the vendor's first message, with changes; Ellipsis takes a field away."""
    fields: dict[str, Any] = {
        "v": 1,
        "type": "question",
        "author": V,
        "created": NOW,
        "expires": NOW + 3_600,
        "body": {"text": "Which colour?"},
        "to": D,
        "session": S,
        "seq": 1,
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def public(**changes: Any) -> dict[str, Any]:
    """Return the fields of a withdrawal, with changes."""
    return payload(type="demand-withdraw", author=D, body={"demand": b"d" * 32}, to=..., session=..., seq=...) | changes


def record_of(fields: dict[str, Any] | bytes, name: str = "V", purpose: Purpose = "record") -> Record:
    """Sign any fields or bytes."""
    data = fields if isinstance(fields, bytes) else encode(fields)
    return Record(data, sign_bytes(purpose, data, seed(name)))


def mixed_order() -> Record:
    """Return a record whose signature libsodium takes, by a key with a part of order 8."""
    secret = crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"intentcast vectors mixed").digest())
    key = crypto_core_ed25519_add(crypto_scalarmult_ed25519_base_noclamp(secret), ORDER_8)
    data = encode(payload(author=key))
    message = signed_bytes("record", data)
    for attempt in range(1_000):
        r = crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"intentcast vectors nonce %d" % attempt).digest())
        point = crypto_scalarmult_ed25519_base_noclamp(r)
        h = crypto_core_ed25519_scalar_reduce(hashlib.sha512(point + key + message).digest())
        signature = point + crypto_core_ed25519_scalar_add(r, crypto_core_ed25519_scalar_mul(h, secret))
        try:
            crypto_sign_open(signature + message, key)
        except BadSignatureError:
            continue
        return Record(data, signature)
    raise AssertionError("one nonce in eight should do")


def records() -> list[Vector]:
    """Records that verify, or do not. PROTOCOL §4"""
    vectors: list[Vector] = []

    def good(name: str, comment: str, record: Record, author: bytes, kind: str) -> None:
        vectors.append(
            {
                "name": name,
                "comment": comment,
                "expect": "ok",
                "record": record.encode().hex(),
                "id": record.id.hex(),
                "cid": cid(record.id),
                "author": did(author),
                "type": kind,
            }
        )

    def bad(name: str, comment: str, record: Record | bytes, expect: str) -> None:
        data = record if isinstance(record, bytes) else record.encode()
        vectors.append({"name": name, "comment": comment, "expect": expect, "record": data.hex()})

    malformed, signature = "invalid.record.malformed", "invalid.record.signature"
    asked, gone = record_of(payload()), record_of(public(), "D")
    good("question", "A session message.", asked, V, "question")
    good("withdrawal", "A public record.", gone, D, "demand-withdraw")
    demand = record_of(public(type="demand", body=demand_body(), expires=NOW + MAX_LIFE), "D")
    good("demand", "A demand that lives as long as one may.", demand, D, "demand")
    good(
        "body-with-unknown-field",
        "Unknown fields of a body are kept.",
        record_of(payload(body={"later": [1]})),
        V,
        "question",
    )
    good("resume", "A message outside the chain.", record_of(payload(type="resume", seq=0)), V, "resume")
    later = payload(seq=2, prev=asked.id, seen=gone.id)
    good("second-message", "With the id of the first, and one seen.", record_of(later), V, "question")

    for field in ("author", "body", "created", "expires", "type", "v"):
        left = payload(**{field: ...})
        bad(f"{field}-missing", f"A payload without {field}.", record_of(left), malformed)
    bad("field-unknown", "A field no envelope has.", record_of(payload(id=b"x" * 32)), malformed)
    bad("version-2", "Another version.", record_of(payload(v=2)), malformed)
    bad("version-true", "A boolean is no integer.", record_of(payload(v=True)), malformed)
    bad("type-unknown", "A type that is not on the list.", record_of(payload(type="tell")), malformed)
    bad("created-text", "A time as text.", record_of(payload(created=str(NOW))), malformed)
    bad("author-short", "A key of 31 bytes.", record_of(payload(author=V[:31])), malformed)
    bad("to-as-text", "A key as its text.", record_of(payload(to=did(D))), malformed)
    bad("body-array", "A body that is no map.", record_of(payload(body=[])), malformed)
    bad("payload-array", "A payload that is no map.", record_of(encode([1])), malformed)
    bad("session-missing", "A session message without its session.", record_of(payload(session=...)), malformed)
    bad("session-on-a-public-record", "A withdrawal with a session.", record_of(public(session=S), "D"), malformed)
    bad("to-on-a-public-record", "A withdrawal to somebody.", record_of(public(to=V), "D"), malformed)
    bad("nonce-on-a-message", "Only a sealed record bears a stamp.", record_of(payload(nonce=bytes(8))), malformed)
    bad("prev-on-the-first", "Number 1 follows nothing.", record_of(payload(prev=b"p" * 32)), malformed)
    bad("prev-missing", "Number 2 follows number 1.", record_of(payload(seq=2)), malformed)
    bad("seq-zero", "Only a resume has number 0.", record_of(payload(seq=0)), malformed)
    bad("expires-at-once", "It ends when it begins.", record_of(payload(expires=NOW)), "invalid.record.time")
    bad("created-negative", "Before 1970.", record_of(payload(created=-1)), "invalid.record.time")
    bad(
        "lives-too-long",
        "A public record of thirty days and a second.",
        record_of(public(expires=NOW + MAX_LIFE + 1), "D"),
        "invalid.record.time",
    )
    keys_descend = encode(payload()).replace(b"\xa1v\x01", b"\xa1A\x01")
    bad(
        "payload-keys-out-of-order",
        "A last key that sorts first.",
        record_of(keys_descend),
        "invalid.encoding.not-canonical",
    )
    long_int = encode(payload()).replace(b"\xa1v\x01", b"\xa1v\xcc\x01")
    bad("payload-integer-too-long", "Version 1 in two bytes.", record_of(long_int), "invalid.encoding.not-canonical")
    bad(
        "payload-trailing-byte",
        "A byte after the payload's end.",
        record_of(encode(payload()) + b"\xc0"),
        "invalid.encoding.malformed",
    )
    bulk = len(encode(payload(body={"x": b"y" * 1_000}))) - 1_000
    large = record_of(payload(body={"x": b"y" * (MAX_RECORD - 71 - bulk)}))
    assert len(large.payload) == MAX_RECORD - 71
    bad("payload-too-large", "One byte more than a payload may have.", large, "invalid.encoding.too-large")

    bad("signature-short", "63 bytes.", encode([asked.payload, asked.signature[:63]]), malformed)
    bad("record-of-three", "An array of three.", encode([asked.payload, asked.signature, None]), malformed)
    bad("record-trailing-byte", "A byte after the record.", asked.encode() + b"\xc0", "invalid.encoding.malformed")
    flipped = bytes([asked.signature[0] ^ 1]) + asked.signature[1:]
    bad("signature-flipped", "One bit of the signature.", Record(asked.payload, flipped), signature)
    changed = encode(payload(body={"text": "Which color?"}))
    bad("body-changed", "Other words under the old signature.", Record(changed, asked.signature), signature)
    for purpose in ("auth", "receipt", "domain", "invite"):
        bad(f"signed-for-{purpose}", "Signed under another purpose.", record_of(payload(), purpose=purpose), signature)
    bad("signed-by-another", "Signed by D in the name of V.", record_of(payload(), "D"), signature)
    bare = record_of(payload())
    twin = int.from_bytes(bare.signature[32:], "little") + ORDER
    bad(
        "signature-s-plus-l",
        "The same signature with the group's order added to S.",
        Record(bare.payload, bare.signature[:32] + twin.to_bytes(32, "little")),
        signature,
    )
    bad(
        "author-mixed-order",
        "A key with a part of order 8; libsodium's verify alone takes it.",
        mixed_order(),
        "invalid.record.key",
    )
    s = crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"intentcast vectors small").digest())
    neutral = encode(payload(author=b"\x01" + bytes(31)))
    bad(
        "author-small-order",
        "The neutral point as key, for which (sB, s) would sign anything.",
        Record(neutral, crypto_scalarmult_ed25519_base_noclamp(s) + s),
        "invalid.record.key",
    )
    return vectors


# Sealing


def envelope(inner: Record, name: str, **changes: Any) -> Verified:
    """Seal a record in the vendor's envelope."""
    options: dict[str, Any] = {"seed": seed("S"), "to": D, "key": KEY.public, "created": NOW, "expires": NOW + 3_600}
    return seal(inner, **(options | changes), random=random_of(name))


def anew(sealed: Verified, by: str = "S", body: dict[str, Any] | None = None, **changes: Any) -> Record:
    """Sign an envelope's content anew, changed."""
    fields: dict[str, Any] = {"to": sealed.to, "created": sealed.created, "expires": sealed.expires, **changes}
    return sign("sealed", seed(by), {**sealed.body, **(body or {})}, **fields).record


def boxed(plain: bytes, pad: Callable[[bytes, int], bytes] = sodium_pad) -> Record:
    """Seal any bytes, as a hostile sender might."""
    draw = random_of("boxed")
    fresh, nonce = seal_pair("ek"), draw(24)
    header = payload(type="sealed", author=S, session=..., seq=..., body={"ek": fresh.public, "key": KEY.public})
    _, tx = crypto_kx_client_session_keys(fresh.public, fresh.secret, KEY.public)
    box = nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(pad(plain, BUCKETS[0]), encode(header), nonce, tx)
    return record_of(encode(header | {"body": header["body"] | {"box": box}}), "S")


def sealing() -> list[Vector]:
    """Envelopes that open, or do not. PROTOCOL §5"""
    vectors: list[Vector] = []

    def add(name: str, comment: str, record: Record, expect: str = "ok", key: SealKey = KEY, **more: Any) -> None:
        vectors.append(
            {
                "name": name,
                "comment": comment,
                "expect": expect,
                "envelope": record.encode().hex(),
                "key": key.public.hex(),
                "secret": key.secret.hex(),
                "person": D.hex(),
                "session": S.hex(),
                **more,
            }
        )

    asked = record_of(payload())
    whole = envelope(asked, "question")
    answer = record_of(payload(type="answer", author=D, to=V), "D")
    to_vendor = envelope(answer, "answer", seed=seed("D"), to=S)
    add("vendor-to-person", "From S to D, around V's message.", whole.record, inner=asked.encode().hex())
    add("person-to-vendor", "From D to S, around D's message.", to_vendor.record, inner=answer.encode().hex())
    stamped = envelope(asked, "stamped", bits=6)
    add("with-a-stamp", "A nonce is not part of what the seal binds.", stamped.record, inner=asked.encode().hex())
    for bucket in BUCKETS[:2]:
        base = len(record_of(payload(body={"x": b"y" * 300})).encode()) - 300
        full, over = (record_of(payload(body={"x": b"y" * (size - base)})) for size in (bucket - 1, bucket))
        # The head of a payload grows by a byte at 256, and so does that of the bytes inside; both are past it here.
        assert (len(full.encode()), len(over.encode())) == (bucket - 1, bucket)
        add(
            f"fills-{bucket}",
            f"An inner record of {bucket - 1} bytes still goes into {bucket}.",
            envelope(full, f"fills {bucket}").record,
            inner=full.encode().hex(),
        )
        add(
            f"passes-{bucket}",
            f"An inner record of {bucket} bytes goes into the next size.",
            envelope(over, f"passes {bucket}").record,
            inner=over.encode().hex(),
        )

    closed, malformed, recipient = "sealed.open.failed", "invalid.record.malformed", "invalid.record.recipient"
    box = whole.body["box"]
    add(
        "box-flipped",
        "One bit of the ciphertext, signed anew.",
        anew(whole, body={"box": box[:-1] + bytes([box[-1] ^ 1])}),
        closed,
    )
    add("box-nonce-flipped", "One bit of its nonce.", anew(whole, body={"box": bytes([box[0] ^ 1]) + box[1:]}), closed)
    ek = whole.body["ek"]
    add(
        "ek-top-bit-flipped",
        "The bit that X25519 itself ignores.",
        anew(whole, body={"ek": ek[:-1] + bytes([ek[-1] ^ 0x80])}),
        closed,
    )
    add("ek-zero", "An ephemeral key of low order.", anew(whole, body={"ek": bytes(32)}), closed)
    other = seal_pair("somebody else's key")
    add("another-key", "Sealed to a key that the reader does not hold.", whole.record, closed, other)
    add(
        "redirected",
        "The body names another key than it was sealed to.",
        anew(whole, body={"key": other.public}),
        closed,
        other,
    )
    add("another-author", "The seal moved into an envelope of another session.", anew(whole, "S2"), closed)
    add("another-recipient", "The seal moved into an envelope to somebody else.", anew(whole, to=V), closed)
    add("another-date", "The seal moved into an envelope of another moment.", anew(whole, created=NOW + 1), closed)
    add("another-end", "The seal moved into an envelope that lives longer.", anew(whole, expires=NOW + 3_601), closed)
    add(
        "no-padding",
        "Plain text that ends in zeros, without the mark before them.",
        boxed(asked.encode(), lambda plain, size: plain + bytes(size - len(plain))),
        closed,
    )
    add("no-record-inside", "A box that holds something else.", boxed(b"hello"), closed)
    add("trailing-byte-inside", "A record and one byte more.", boxed(asked.encode() + b"\xc0"), closed)
    add("box-of-another-size", "A box that fits no size.", anew(whole, body={"box": box + b"\0"}), malformed)
    add(
        "box-missing",
        "A body without its box.",
        sign("sealed", seed("S"), {"ek": ek, "key": KEY.public}, created=NOW, expires=NOW + 60, to=D).record,
        malformed,
    )
    add("body-with-more", "A body with a fourth key.", anew(whole, body={"hint": "V"}), malformed)
    broken = Record(whole.record.payload, whole.record.signature[:-1] + bytes([whole.record.signature[-1] ^ 1]))
    add("envelope-signature-flipped", "The envelope is not S's.", broken, "invalid.record.signature")
    unsigned = Record(asked.payload, asked.signature[:-1] + bytes([asked.signature[-1] ^ 1]))
    add(
        "inner-signature-flipped",
        "It opens, and is not V's word.",
        envelope(unsigned, "inner flipped").record,
        "invalid.record.signature",
    )
    add(
        "inner-mixed-order",
        "It opens, and its author is no key.",
        envelope(mixed_order(), "inner mixed").record,
        "invalid.record.key",
    )
    elsewhere = record_of(payload(session=public_key(seed("S2"))))
    add(
        "inner-of-another-session",
        "V's message for another session.",
        envelope(elsewhere, "elsewhere").record,
        recipient,
    )
    forwarded = record_of(payload(to=public_key(seed("D2"))))
    add(
        "inner-to-another",
        "V's message to another person, sealed on to this one.",
        envelope(forwarded, "forwarded").record,
        recipient,
    )
    add(
        "inner-by-the-person",
        "The person's own message in the vendor's envelope.",
        envelope(answer, "own").record,
        recipient,
    )
    add("inner-sealed", "A sealed record inside another.", envelope(whole.record, "nested").record, recipient)
    add("inner-public", "A public record inside.", envelope(record_of(public(), "D"), "public").record, recipient)
    return vectors


# Stamps


def stamps() -> list[Vector]:
    """Sealed records that bear a stamp, or do not. PROTOCOL §5.5"""
    vectors: list[Vector] = []

    def add(name: str, comment: str, record: Record, bits: int, now: int = NOW, *, good: bool = False) -> None:
        vectors.append(
            {
                "name": name,
                "comment": comment,
                "expect": "ok" if good else "refused.mailbox.not-admitted",
                "record": record.encode().hex(),
                "bits": bits,
                "now": now,
                "id": record.id.hex(),
            }
        )

    asked = record_of(payload())
    stamped, plain = envelope(asked, "stamp", bits=12), envelope(asked, "stamp")
    assert int.from_bytes(stamped.id, "big").bit_length() == 256 - 12
    add("twelve-bits", "Exactly the twelve zero bits that were asked for.", stamped.record, 12, good=True)
    add("fewer-than-there-are", "A stamp is worth every smaller one.", stamped.record, 5, good=True)
    add("one-bit-short", "One more than the id has.", stamped.record, 13)
    add("no-nonce", "Without a nonce there is no stamp.", plain.record, 1)
    add("nought-bits", "Nought bits ask for none.", plain.record, 0, good=True)
    add(
        "last-fresh-second",
        "A stamp stays fresh for almost an hour.",
        stamped.record,
        12,
        NOW + STAMP_AGE - 1,
        good=True,
    )
    add("stale", "A second later it is none.", stamped.record, 12, NOW + STAMP_AGE)
    for name, comment, changes in (
        ("another-recipient", "The nonce in an envelope to somebody else.", {"to": V}),
        ("another-date", "The nonce in an envelope of another moment.", {"created": NOW + 1}),
        ("another-author", "The nonce in an envelope of another session.", {"by": "S2"}),
    ):
        add(name, comment, anew(stamped, nonce=stamped.nonce, **changes), 12)
    return vectors


# Agreements


def parts(**changes: dict[str, Any]) -> list[Record]:
    """Return demand, offer, accept and confirm, each signed well but changed as told; they name each other."""

    def told(part: str, fields: dict[str, Any]) -> dict[str, Any]:
        change = dict(changes.get(part, {}))
        body = {key: value for key, value in (fields["body"] | change.pop("body", {})).items() if value is not ...}
        return fields | change | {"body": body}

    demand = sign(
        "demand",
        **told(
            "demand",
            {
                "seed": seed("D"),
                "body": demand_body(),
                "created": NOW,
                "expires": NOW + 86_400,
            },
        ),
    )
    offer = sign(
        "offer",
        **told(
            "offer",
            {
                "seed": seed("V"),
                "body": offer_body(demand.id, NOW + 3_600),
                "created": NOW + 10,
                "expires": NOW + 3_600,
                "to": D,
                "session": S,
                "seq": 1,
            },
        ),
    )
    accept = sign(
        "accept",
        **told(
            "accept",
            {
                "seed": seed("D"),
                "body": {"demand": demand.id, "offer": offer.id, "reply": seal_pair("p").public},
                "created": NOW + 20,
                "expires": NOW + 2_000,
                "to": V,
                "session": S,
                "seq": 1,
            },
        ),
    )
    confirm = sign(
        "confirm",
        **told(
            "confirm",
            {
                "seed": seed("V"),
                "body": {"accept": accept.id, "reply": seal_pair("v").public},
                "created": NOW + 30,
                "expires": NOW + 9_000,
                "to": D,
                "session": S,
                "seq": 2,
                "prev": offer.id,
            },
        ),
    )
    return [part.record for part in (demand, offer, accept, confirm)]


def amendment(before: list[Record], **changes: Any) -> list[Record]:
    """Return offer, accept and confirm of an amendment, long after the demand has ended; `changes` are the offer's."""
    demand, first, _, confirmed = (verify(record) for record in before)
    late = NOW + 10 * 86_400
    body = offer_body(demand.id, late + 3_600, priceSpecification=price_body("17000.00"), amends=confirmed.id) | changes
    vendor: dict[str, Any] = {"to": D, "session": S}
    offer = sign("offer", seed("V"), body, created=late, expires=late + 3_600, seq=3, prev=confirmed.id, **vendor)
    taken = {"demand": demand.id, "offer": offer.id, "reply": seal_pair("p2").public}
    accept = sign("accept", seed("D"), taken, created=late + 20, expires=late + 2_000, to=V, session=first.session,
                  seq=2, prev=before[2].id)  # fmt: skip
    given = {"accept": accept.id, "reply": seal_pair("v2").public}
    confirm = sign("confirm", seed("V"), given, created=late + 30, expires=late + 9_000, seq=4, prev=offer.id, **vendor)
    return [offer.record, accept.record, confirm.record]


def witness(name: str, **changes: Any) -> Attestation:
    """Return a relay's attestation that the vendor's domain named its key, with changes."""
    fields = {"key": V, "domain": "autohof-noord.example", "seen": NOW, "expires": NOW + 3_600} | changes
    return attest(seed(name), url=f"wss://{name}.example", **fields)


def attested(*attestations: list[bytes]) -> bytes:
    """Return the bundle of four good records with these attestations in this order."""
    records = [record.wire() for record in parts()]
    return encode({"v": 1, "type": "agreement", "records": records, "attestations": list(attestations)})


def agreement() -> list[Vector]:
    """Bundles that verify, or do not. PROTOCOL §8.7"""
    vectors: list[Vector] = []

    def add(name: str, comment: str, data: bytes | list[Record], expect: str = "ok", **more: Any) -> None:
        proof = data if isinstance(data, bytes) else bundle(*data)
        vectors.append({"name": name, "comment": comment, "expect": expect, "bundle": proof.hex(), **more})

    malformed, mismatch, late = (f"invalid.agreement.{fault}" for fault in ("malformed", "mismatch", "late"))
    good = parts()
    whole = {"v": 1, "type": "agreement", "records": [record.wire() for record in good], "attestations": []}
    add(
        "agreement",
        "Four records that belong together.",
        good,
        id=good[3].id.hex(),
        person=D.hex(),
        vendor=V.hex(),
        total="17900.00",
        currency="EUR",
        accepted=NOW + 20,
        confirmed=NOW + 30,
        fit="fits",
        witnesses=[],
    )
    dear = parts(offer={"body": {"priceSpecification": price_body("18500.01")}})
    add(
        "over-the-budget",
        "It verifies, and says that the offer did not fit.",
        dear,
        id=dear[3].id.hex(),
        person=D.hex(),
        vendor=V.hex(),
        total="18500.01",
        currency="EUR",
        accepted=NOW + 20,
        confirmed=NOW + 30,
        fit="fails",
        witnesses=[],
    )

    more = amendment(good)
    add(
        "amended",
        "An amendment, agreed on after the demand had ended, replaces the terms.",
        bundle(*good, amendments=[tuple(more)]),  # type: ignore[list-item]
        id=more[2].id.hex(),
        person=D.hex(),
        vendor=V.hex(),
        total="17000.00",
        currency="EUR",
        accepted=NOW + 10 * 86_400 + 20,
        confirmed=NOW + 10 * 86_400 + 30,
        fit="fits",
        witnesses=[],
    )
    add("amendment-alone", "Without what it amends.", [good[0], *more], mismatch)
    other = amendment(good, amends=good[2].id)
    add("amendment-of-another", "It names no confirm.", bundle(*good, amendments=[tuple(other)]), mismatch)  # type: ignore[list-item]
    cut = whole | {"records": [*whole["records"], *(record.wire() for record in more[:2])]}  # type: ignore[misc]
    add("amendment-unconfirmed", "Its confirm is missing.", encode(cut), malformed)

    add("trailing-byte", "One byte after the bundle.", bundle(*good) + b"\xc0", malformed)
    add("truncated", "The last byte is missing.", bundle(*good)[:-1], malformed)
    add("version-2", "Another version.", encode(whole | {"v": 2}), malformed)
    add("version-true", "A boolean is no integer.", encode(whole | {"v": True}), malformed)
    add("another-type", "A bundle of something else.", encode(whole | {"type": "receipt"}), malformed)
    add("field-unknown", "A fifth key.", encode(whole | {"note": "x"}), malformed)
    add("three-records", "The confirm is missing.", encode(whole | {"records": whole["records"][:3]}), malformed)  # type: ignore[index]
    add("records-reordered", "Accept before offer.", [good[0], good[2], good[1], good[3]], malformed)

    one, two = sorted((witness("one"), witness("two")), key=lambda each: each.relay)
    add(
        "witnessed",
        "Two relays attest the vendor's domain.",
        attested(one.wire(), two.wire()),
        id=good[3].id.hex(),
        person=D.hex(),
        vendor=V.hex(),
        total="17900.00",
        currency="EUR",
        accepted=NOW + 20,
        confirmed=NOW + 30,
        fit="fits",
        witnesses=[{"relay": each.relay.hex(), "url": each.url, "seen": each.seen} for each in (one, two)],
    )
    add("attestations-reordered", "They ascend by relay.", attested(two.wire(), one.wire()), mismatch)
    add("attestation-twice", "One relay counts once.", attested(one.wire(), one.wire()), mismatch)
    add("attestation-of-another-key", "Of another vendor.", attested(witness("one", key=S).wire()), mismatch)
    add(
        "attestation-of-another-domain",
        "Not the offer's.",
        attested(witness("one", domain="b.example").wire()),
        mismatch,
    )
    add(
        "attestation-lapsed", "It ended before the accept.", attested(witness("one", expires=NOW + 19).wire()), mismatch
    )
    add("attestation-later", "Seen long after the accept.", attested(witness("one", seen=NOW + 921).wire()), mismatch)
    add("attestation-unsigned", "Its signature is zeros.", attested([one.payload, bytes(64)]), mismatch)
    add("attestation-a-record", "A record is no attestation.", attested(good[0].wire()), mismatch)
    add("attestations-nine", "One more than MAX_ATTESTATIONS.", attested(*[one.wire()] * 9), malformed)

    for at, part in enumerate(("demand", "offer", "accept", "confirm")):
        flipped = list(good)
        data = flipped[at].payload
        later = encode(decode(data) | {"expires": decode(data)["expires"] + 1})
        flipped[at] = Record(later, flipped[at].signature)
        add(f"{part}-altered", f"The {part}, a second longer than it was signed.", flipped, "invalid.record.signature")
        unsigned = list(good)
        signature = unsigned[at].signature
        unsigned[at] = Record(data, signature[:-1] + bytes([signature[-1] ^ 1]))
        add(f"{part}-signature-flipped", f"One bit of the {part}'s signature.", unsigned, "invalid.record.signature")
        swapped = list(good)
        swapped[at] = parts(demand={"created": NOW - 5}, accept={"seq": 7, "prev": b"p" * 32})[at]
        add(f"{part}-of-another-agreement", f"The {part} of another agreement of the same two.", swapped, mismatch)

    add(
        "accept-of-another-offer",
        "The accept names another offer.",
        parts(accept={"body": {"offer": b"x" * 32}}),
        mismatch,
    )
    add(
        "confirm-of-another-accept",
        "The confirm names another accept.",
        parts(confirm={"body": {"accept": b"x" * 32}}),
        mismatch,
    )
    add(
        "offer-on-another-demand",
        "The offer names another demand.",
        parts(offer={"body": {"demand": b"x" * 32}}),
        mismatch,
    )
    add("accept-by-another", "Somebody else accepts.", parts(accept={"seed": seed("D2")}), mismatch)
    add("confirm-by-another", "Somebody else confirms.", parts(confirm={"seed": seed("V2")}), mismatch)
    add(
        "offer-to-another",
        "The offer was made to somebody else.",
        parts(offer={"to": public_key(seed("D2"))}),
        mismatch,
    )
    add(
        "session-differs",
        "The accept belongs to another session.",
        parts(accept={"session": public_key(seed("S2"))}),
        mismatch,
    )
    add(
        "confirm-numbered-before",
        "The confirm's number is not above the offer's.",
        parts(offer={"seq": 2, "prev": b"p" * 32}),
        mismatch,
    )
    add("indicative", "The offer was not firm.", parts(offer={"body": {"commitment": "indicative"}}), mismatch)
    add(
        "accept-waits-too-long",
        "A deadline to confirm of a day and a second.",
        parts(accept={"expires": NOW + 20 + ACCEPT_LIFE + 1}),
        mismatch,
    )
    add(
        "times-run-backwards",
        "The accept is dated fifteen minutes and a second before its offer.",
        parts(accept={"created": NOW + 10 - 901}),
        mismatch,
    )
    add(
        "accept-late",
        "Accepted a second after the offer's last moment.",
        parts(accept={"created": NOW + 3_601, "expires": NOW + 9_000}, confirm={"created": NOW + 3_700}),
        late,
    )
    add("accept-after-the-demand", "Accepted when the demand had ended.", parts(demand={"expires": NOW + 20}), late)
    add("confirm-late", "Confirmed a second after the deadline.", parts(confirm={"created": NOW + 2_001}), late)
    add(
        "total-does-not-add-up",
        "A cent is missing.",
        parts(offer={"body": {"priceSpecification": price_body() | {"price": "17899.99"}}}),
        malformed,
    )
    add("terms-not-accepted", "The offer accepts no terms.", parts(offer={"body": {"termsAccepted": ...}}), malformed)
    add(
        "terms-not-proffered",
        "The vendor accepts what the person did not proffer for the deal.",
        parts(offer={"body": {"termsAccepted": ROSTER["PDC-INTENT"].wire()}}),
        malformed,
    )
    add(
        "terms-unknown",
        "The hash of a text that does not ship.",
        parts(offer={"body": {"termsAccepted": DEFAULT.deal[0].wire() | {"text": bytes(32)}}}),
        malformed,
    )
    return vectors


FILES: dict[str, Callable[[], list[Vector]]] = {
    "encoding": encoding,
    "records": records,
    "sealing": sealing,
    "stamps": stamps,
    "agreement": agreement,
}


def texts() -> dict[str, str]:
    """Return the text of every file."""
    return {
        f"{name}.json": json.dumps(
            {"about": (make.__doc__ or "").strip(), "vectors": make()}, ensure_ascii=True, indent=1
        )
        + "\n"
        for name, make in FILES.items()
    }


if __name__ == "__main__":
    for name, text in texts().items():
        (HERE / name).write_text(text, encoding="utf-8")
