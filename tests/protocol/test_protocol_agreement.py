"""An agreement proves itself from its bytes, and nothing but its bytes does."""

from collections.abc import Callable
from typing import Any

import pytest
from intentcast_protocol.agreement import bundle, verify_agreement
from intentcast_protocol.attestation import Attestation, attest
from intentcast_protocol.constraint import Fit
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import IntentcastError, InvalidMessage, Refused
from intentcast_protocol.identity import Key, public_key
from intentcast_protocol.limits import ACCEPT_LIFE, MAX_AMENDMENTS, MAX_ATTESTATIONS, MAX_BUNDLE, MAX_SKEW
from intentcast_protocol.negotiation import State
from intentcast_protocol.record import Record, Verified, sign, sign_bytes
from intentcast_protocol.terms import DEFAULT, ROSTER
from intentcast_protocol.testing import NOW, Pair, make_demand, offer_body, price_body, seal_pair, seed

D, V, S = public_key(seed("D")), public_key(seed("V")), public_key(seed("S"))
PARTS = ("demand", "offer", "accept", "confirm")
MALFORMED, MISMATCH, LATE = "invalid.agreement.malformed", "invalid.agreement.mismatch", "invalid.agreement.late"


def agreed(price: str = "17900.00", now: int = NOW) -> dict[str, Record]:
    """Walk a session to its agreement and return its four records."""
    pair = Pair(now)
    body = offer_body(pair.demand.id, now + 3_600, priceSpecification=price_body(price))
    pair.send("vendor", "offer", body)
    pair.send("person", "accept")
    pair.send("vendor", "confirm")
    assert pair.sides["person"].state is pair.sides["vendor"].state is State.AGREED
    return {"demand": pair.demand_record.record} | {kind: pair.find(kind) for kind in PARTS[1:]}


GOOD = agreed()
DATA = bundle(**GOOD)


def refusal(data: bytes) -> str:
    """Return the code with which a bundle is refused."""
    with pytest.raises((InvalidMessage, Refused)) as refused:
        verify_agreement(data)
    return refused.value.code


def parts(**changes: Any) -> bytes:
    """Make an agreement whose records are signed well but say something else: part -> changes to its fields or body.

    A later record names the changed earlier one, as its author would, unless it is told otherwise.
    """
    start = NOW
    demand = sign("demand", **told("demand", changes, {
        "seed": seed("D"), "body": dict(make_demand()[0].body), "created": start, "expires": start + 86_400,
    }))  # fmt: skip
    offer = sign("offer", **told("offer", changes, {
        "seed": seed("V"), "body": offer_body(demand.id, start + 3_600), "created": start + 10,
        "expires": start + 3_600,
        "to": D, "session": S, "seq": 1,
    }))  # fmt: skip
    accept = sign("accept", **told("accept", changes, {
        "seed": seed("D"), "body": {"demand": demand.id, "offer": offer.id, "reply": seal_pair("p").public},
        "created": start + 20, "expires": start + 2_000, "to": V, "session": S, "seq": 1,
    }))  # fmt: skip
    confirm = sign("confirm", **told("confirm", changes, {
        "seed": seed("V"), "body": {"accept": accept.id, "reply": seal_pair("v").public}, "created": start + 30,
        "expires": start + 9_000, "to": D, "session": S, "seq": 2, "prev": offer.id,
    }))  # fmt: skip
    return bundle(demand.record, offer.record, accept.record, confirm.record)


def witness(name: str, **changes: Any) -> Attestation:
    """Return a relay's attestation of the vendor's domain, seen at NOW, with changes."""
    fields = {"url": f"wss://{name.lower()}.example", "key": V, "domain": "autohof-noord.example", "seen": NOW,
              "expires": NOW + 3_600}  # fmt: skip
    return attest(seed(name), **(fields | changes))


def witnessed(*attestations: Any, **changes: Any) -> bytes:
    """Return the made-up agreement, with these attestations in this order."""
    wires = [one.wire() if isinstance(one, Attestation) else one for one in attestations]
    return encode(decode(parts(**changes)) | {"attestations": wires})


def told(part: str, changes: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of one part with its changes; those under ``body`` change the body."""
    change = dict(changes.get(part, {}))
    body = {name: value for name, value in (fields["body"] | change.pop("body", {})).items() if value is not ...}
    return fields | change | {"body": body}


class TestVerify:
    """PROTOCOL §8.6, §8.7"""

    def test_an_agreement_says_who_agreed_on_what_and_when(self) -> None:
        agreement = verify_agreement(DATA)
        assert agreement.id == GOOD["confirm"].id
        assert (agreement.demand.author, agreement.offer.author) == (D, V)
        assert (agreement.demand.id, agreement.offer.id) == (GOOD["demand"].id, GOOD["offer"].id)
        assert agreement.offer.price.total == 17_900
        assert (agreement.accepted, agreement.confirmed) == (NOW, NOW)
        assert (agreement.terms, agreement.judgement.fit) == (DEFAULT.deal[0], Fit.FITS)
        assert agreement.witnesses == ()

    def test_a_bundle_holds_the_records_byte_for_byte(self) -> None:
        value = decode(DATA, max_size=MAX_BUNDLE)
        assert value["records"] == [record.wire() for record in GOOD.values()]
        assert bundle(**GOOD) == DATA

    def test_evidence_never_lapses(self) -> None:
        """An agreement of long ago verifies as well: its times are compared with each other, never with today."""
        assert verify_agreement(bundle(**agreed(now=1_000))).confirmed == 1_000

    def test_the_made_up_agreement_verifies_unchanged(self) -> None:
        """What the tests below change one thing of."""
        agreement = verify_agreement(parts())
        assert (agreement.accepted, agreement.confirmed) == (NOW + 20, NOW + 30)

    @pytest.mark.parametrize("change", [0x01, 0x80, 0xFF], ids=hex)
    def test_every_byte_flipped_is_refused(self, change: int) -> None:
        for at in range(len(DATA)):
            changed = bytearray(DATA)
            changed[at] ^= change
            with pytest.raises((InvalidMessage, Refused)):
                verify_agreement(bytes(changed))

    def test_no_byte_outside_the_records_can_be_any_other(self) -> None:
        """The frame around the signatures: all 255 other values of each byte."""
        signed = b"".join(part for record in GOOD.values() for part in record.wire())
        inside = set()
        for record in GOOD.values():
            for part in record.wire():
                at = DATA.index(part)
                inside |= set(range(at, at + len(part)))
        outside = [at for at in range(len(DATA)) if at not in inside]
        assert len(outside) == len(DATA) - len(signed)
        for at in outside:
            for value in range(256):
                changed = DATA[:at] + bytes([value]) + DATA[at + 1 :]
                if changed != DATA:
                    with pytest.raises((InvalidMessage, Refused)):
                        verify_agreement(changed)

    @pytest.mark.parametrize("cut", [0, 1, 100, len(DATA) // 2, len(DATA) - 1])
    def test_a_truncated_bundle_is_refused(self, cut: int) -> None:
        assert refusal(DATA[:cut]) == MALFORMED
        assert refusal(DATA + DATA[:cut] if cut else DATA + b"\0") == MALFORMED

    def test_a_bundle_past_its_bound_is_refused(self) -> None:
        assert refusal(bytes(MAX_BUNDLE + 1)) == MALFORMED


class TestForm:
    """PROTOCOL §8.6"""

    @pytest.mark.parametrize("change", [
        {"v": 2}, {"v": True}, {"v": None}, {"v": "1"}, {"type": "Agreement"}, {"type": None}, {"records": []},
        {"records": None}, {"records": {}}, {"more": 1}, {"attestations": ...}, {"v": ...}, {"type": ...},
        {"records": ...},
    ], ids=repr)  # fmt: skip
    def test_a_bundle_of_another_form_is_refused(self, change: dict[str, Any]) -> None:
        value = {name: what for name, what in (decode(DATA) | change).items() if what is not ...}
        assert refusal(encode(value)) == MALFORMED

    @pytest.mark.parametrize("value", [None, [], "agreement", [record.wire() for record in GOOD.values()]],
                             ids=lambda value: type(value).__name__)  # fmt: skip
    def test_what_is_no_map_is_refused(self, value: Any) -> None:
        assert refusal(encode(value)) == MALFORMED

    @pytest.mark.parametrize("attestations", [{}, None, "x", False, 0, b"", [None] * (MAX_ATTESTATIONS + 1)],
                             ids=lambda value: repr(value)[:12])  # fmt: skip
    def test_attestations_are_a_short_list(self, attestations: Any) -> None:
        assert refusal(encode(decode(DATA) | {"attestations": attestations})) == MALFORMED

    @pytest.mark.parametrize("record", [None, [], [b"p"], [b"p", b"s" * 63], "record"], ids=repr)
    @pytest.mark.parametrize("at", range(4))
    def test_a_part_that_is_no_record_is_refused(self, at: int, record: Any) -> None:
        value = decode(DATA)
        value["records"][at] = record
        assert refusal(encode(value)).startswith("invalid.")

    def test_any_other_number_of_records_is_refused(self) -> None:
        value = decode(DATA)
        for more in (1, 2):
            assert refusal(encode(value | {"records": [*value["records"], *value["records"][1:][:more]]})) == MALFORMED
        assert refusal(encode(value | {"records": value["records"][:3]})) == MALFORMED
        assert refusal(encode(value | {"records": [*value["records"], value["records"][3]]})) == MALFORMED

    def test_records_in_another_order_are_refused(self) -> None:
        for first, second in ((0, 1), (1, 2), (2, 3), (0, 3), (1, 3)):
            records = list(GOOD.values())
            records[first], records[second] = records[second], records[first]
            assert refusal(bundle(*records)) == MALFORMED

    @pytest.mark.parametrize("part", PARTS)
    def test_one_record_twice_is_refused(self, part: str) -> None:
        for other in PARTS:
            if other != part:
                assert refusal(bundle(**(GOOD | {other: GOOD[part]}))) == MALFORMED


class TestBelonging:
    """PROTOCOL §8.7"""

    @pytest.mark.parametrize("part", PARTS)
    def test_a_record_of_another_agreement_is_refused(self, part: str) -> None:
        other = agreed("17800.00", NOW + 1)
        assert verify_agreement(bundle(**other)).offer.price.total == 17_800
        assert refusal(bundle(**(GOOD | {part: other[part]}))) == MISMATCH
        assert refusal(bundle(**(other | {part: GOOD[part]}))) == MISMATCH

    def test_an_older_offer_of_the_same_session_is_refused(self) -> None:
        pair = Pair()
        cheaper = offer_body(pair.demand.id, NOW + 60, priceSpecification=price_body("10.00"))
        assert pair.send("vendor", "offer", cheaper, life=60).problem is None
        older = pair.find("offer")
        pair.send("vendor", "offer")
        pair.send("person", "accept")
        pair.send("vendor", "confirm")
        records = {kind: pair.find(kind) for kind in PARTS[1:]}
        assert verify_agreement(bundle(pair.demand_record.record, **records))
        assert refusal(bundle(pair.demand_record.record, **(records | {"offer": older}))) == MISMATCH

    @pytest.mark.parametrize(("part", "name", "value"), [
        ("offer", "demand", b"x" * 32), ("accept", "demand", b"x" * 32), ("accept", "demand", ...),
        ("accept", "demand", "x"),
        ("accept", "offer", b"x" * 32), ("accept", "offer", ...), ("accept", "offer", None),
        ("confirm", "accept", b"x" * 32),
        ("confirm", "accept", ...), ("confirm", "accept", [b"x"]),
    ])  # fmt: skip
    def test_a_record_that_names_another_is_refused(self, part: str, name: str, value: Any) -> None:
        assert refusal(parts(**{part: {"body": {name: value}}})) == MISMATCH

    @pytest.mark.parametrize(("part", "change"), [
        ("demand", {"seed": seed("D2")}), ("offer", {"seed": seed("V2")}), ("offer", {"to": V}),
        ("accept", {"seed": seed("V")}),
        ("accept", {"seed": seed("D2")}), ("accept", {"to": D}), ("confirm", {"seed": seed("D")}),
        ("confirm", {"seed": seed("V2")}), ("confirm", {"to": V}),
        ("offer", {"session": D}), ("accept", {"session": D}), ("confirm", {"session": D}),
        ("offer", {"session": public_key(seed("S2"))}), ("accept", {"session": public_key(seed("S2"))}),
        ("confirm", {"session": public_key(seed("S2"))}),
    ], ids=lambda value: value if isinstance(value, str) else "-".join(value))  # fmt: skip
    def test_a_record_of_other_parties_or_another_session_is_refused(self, part: str, change: dict[str, Any]) -> None:
        assert refusal(parts(**{part: change})) == MISMATCH

    def test_nobody_agrees_with_himself(self) -> None:
        alone: dict[str, Any] = {"seed": seed("D"), "to": D}
        assert refusal(parts(offer=alone, accept={"to": D}, confirm=alone)) == MISMATCH

    @pytest.mark.parametrize(("offer", "confirm"), [(2, 2), (3, 2), (2, 1), (2**53 - 1, 2)])
    def test_a_confirm_numbered_before_its_offer_is_refused(self, offer: int, confirm: int) -> None:
        more: dict[str, Any] = {"seq": confirm} | ({"prev": None} if confirm == 1 else {})
        assert refusal(parts(offer={"seq": offer, "prev": b"p" * 32}, confirm=more)) == MISMATCH

    def test_an_indicative_offer_is_no_agreement(self) -> None:
        assert refusal(parts(offer={"body": {"commitment": "indicative"}})) == MISMATCH


class TestContent:
    """PROTOCOL §8.7"""

    @pytest.mark.parametrize("body", [
        {"priceSpecification": price_body() | {"price": "17899.99"}}, {"priceSpecification": ...}, {"@type": "Demand"},
        {"validThrough": NOW + 3_601}, {"itemOffered": {"category": "Cars"}}, {"offeredBy": ...},
        {"commitment": "soft"},
        {"termsAccepted": ...}, {"termsAccepted": DEFAULT.deal[0].wire() | {"text": bytes(32)}},
        {"termsAccepted": ROSTER["PDC-INTENT"].wire()}, {"demand": b"short"},
    ], ids="-".join)  # fmt: skip
    def test_an_offer_that_is_ill_formed_or_on_other_terms_is_refused(self, body: dict[str, Any]) -> None:
        assert refusal(parts(offer={"body": body})) == MALFORMED

    @pytest.mark.parametrize("body", [
        {"terms": ...}, {"terms": DEFAULT.wire() | {"deal": [ROSTER["PDC-INTENT"].wire()]}}, {"name": ""},
        {"replyTo": ...},
        {"constraints": [{"path": "a", "op": "gt", "value": "1"}]},
    ], ids="-".join)  # fmt: skip
    def test_a_demand_that_is_ill_formed_or_had_other_terms_is_refused(self, body: dict[str, Any]) -> None:
        assert refusal(parts(demand={"body": body})) == MALFORMED

    def test_the_second_of_the_listed_terms_is_good_too(self) -> None:
        data = parts(offer={"body": {"termsAccepted": ROSTER["SD-BASE"].wire()}})
        assert verify_agreement(data).terms == ROSTER["SD-BASE"]

    def test_an_offer_outside_the_demand_is_an_agreement_that_says_so(self) -> None:
        data = parts(offer={"body": {"priceSpecification": price_body("99999.00")}})
        assert verify_agreement(data).judgement.fit is Fit.FAILS

    @pytest.mark.parametrize("part", PARTS)
    def test_a_record_signed_under_another_purpose_is_refused(self, part: str) -> None:
        payload = GOOD[part].payload
        name = "D" if part in ("demand", "accept") else "V"
        for purpose in ("auth", "receipt", "domain", "invite"):
            record = Record(payload, sign_bytes(purpose, payload, seed(name)))  # type: ignore[arg-type]
            assert refusal(bundle(**(GOOD | {part: record}))) == "invalid.record.signature"

    @pytest.mark.parametrize("part", PARTS)
    def test_a_record_signed_by_another_is_refused(self, part: str) -> None:
        payload = GOOD[part].payload
        record = Record(payload, sign_bytes("record", payload, seed("somebody")))
        assert refusal(bundle(**(GOOD | {part: record}))) == "invalid.record.signature"

    def test_mixed_order_author_is_refused(self) -> None:
        small = Key(b"\x01" + bytes(31))
        payload = encode(decode(GOOD["confirm"].payload) | {"author": small})
        assert refusal(bundle(**(GOOD | {"confirm": Record(payload, bytes(64))}))) == "invalid.record.key"


class TestWitnesses:
    """PROTOCOL §8.7, §8.9"""

    ONE, TWO = sorted((witness("one"), witness("two")), key=lambda one: one.relay)

    def test_witnesses_are_told_apart_from_the_signatures(self) -> None:
        agreement = verify_agreement(witnessed(self.ONE, self.TWO))
        assert agreement.witnesses == ((self.ONE.relay, self.ONE.url, NOW), (self.TWO.relay, self.TWO.url, NOW))
        assert agreement.id == verify_agreement(parts()).id

    def test_a_bundle_puts_its_attestations_in_their_one_order(self) -> None:
        records = [Record(*pair) for pair in decode(parts())["records"]]
        for order in ((self.ONE, self.TWO), (self.TWO, self.ONE)):
            assert bundle(*records, order) == witnessed(self.ONE, self.TWO)

    @pytest.mark.parametrize("attestations", [
        [TWO, ONE], [ONE, ONE], [witness("one"), witness("one", seen=NOW - 1)], [None], [[]], [GOOD["demand"].wire()],
        [[ONE.payload, bytes(64)]], [[ONE.payload, ONE.signature, b""]], [witness("one", key=S)],
        [witness("one", domain="other.example")], [witness("D")],
        [[ONE.payload, sign_bytes("record", ONE.payload, seed("one"))]],
    ], ids=["order", "twice", "relay twice", "nil", "empty", "a record", "unsigned", "three parts", "another key",
            "another domain", "the person", "another purpose"])  # fmt: skip
    def test_one_bad_attestation_makes_the_bundle_invalid(self, attestations: list[Any]) -> None:
        assert refusal(witnessed(*attestations)) == MISMATCH

    def test_no_attestation_fits_an_offer_without_a_domain(self) -> None:
        offer = {"body": {"offeredBy": {"name": "Autohof Noord"}}}
        assert verify_agreement(witnessed(offer=offer)).witnesses == ()
        assert refusal(witnessed(self.ONE, offer=offer)) == MISMATCH

    def test_the_accept_lies_within_what_the_relay_said(self) -> None:
        accepted = NOW + 20
        last, first = {"seen": NOW, "expires": accepted}, {"seen": accepted + MAX_SKEW, "expires": NOW + 3_600}
        for good in (last, first):
            assert verify_agreement(witnessed(witness("one", **good))).witnesses
        for bad in (last | {"expires": accepted - 1}, first | {"seen": accepted + MAX_SKEW + 1}):
            assert refusal(witnessed(witness("one", **bad))) == MISMATCH

    def test_every_byte_of_an_attestation_counts(self) -> None:
        data = witnessed(self.ONE)
        start = data.index(self.ONE.payload) - 8
        for at in range(start, data.index(self.ONE.signature) + 64):
            changed = bytearray(data)
            changed[at] ^= 0x01
            refusal(bytes(changed))


def amended(times: int = 1, start: int = NOW, **changes: Any) -> tuple[list[Record], list[tuple[Record, ...]]]:
    """Walk a session to an agreement and its amendments; return the first four records, and three for each."""
    pair = Pair(start)
    deals: list[tuple[Record, ...]] = []
    for at in range(times + 1):
        amends = {"amends": pair.sides["vendor"].confirm} | changes if at else {}
        price = price_body(f"{17_000 - at}.00")
        pair.send("vendor", "offer", offer_body(pair.demand.id, pair.now + 3_600, priceSpecification=price, **amends))
        pair.send("person", "accept")
        pair.send("vendor", "confirm")
        deals.append(tuple(pair.find(kind) for kind in PARTS[1:]))
        pair.now += 8 * 86_400  # past the demand's end
    assert pair.sides["person"].amendments == times
    return [pair.demand_record.record, *deals[0]], deals[1:]


class TestAmendments:
    """PROTOCOL §8.6, §8.7"""

    def test_an_amended_agreement_says_what_is_in_force_and_what_it_replaced(self) -> None:
        first, more = amended(2)
        agreement = verify_agreement(bundle(*first, amendments=more))
        assert (agreement.id, agreement.offer.price.total) == (more[1][2].id, 16_998)
        assert agreement.amended == (first[3].id, more[0][2].id)
        assert agreement.accepted == NOW + 16 * 86_400
        before = verify_agreement(bundle(*first, amendments=more[:1]))
        assert (before.id, before.offer.price.total) == (more[0][2].id, 16_999)

    def test_as_many_amendments_as_the_rules_allow_verify(self) -> None:
        first, more = amended(MAX_AMENDMENTS)
        assert len(verify_agreement(bundle(*first, amendments=more)).amended) == MAX_AMENDMENTS
        assert refusal(bundle(*first, amendments=[*more, more[-1]])) == MALFORMED

    def test_an_amendment_is_no_agreement_without_what_it_amends(self) -> None:
        first, more = amended(2)
        assert refusal(bundle(first[0], *more[0])) == MISMATCH
        assert refusal(bundle(*first, amendments=more[1:])) == MISMATCH
        assert refusal(bundle(*first, amendments=more[::-1])) == MISMATCH
        assert refusal(bundle(*first, amendments=[more[0], more[0]])) == MISMATCH

    def test_an_amendment_of_another_agreement_is_refused(self) -> None:
        first, more = amended()
        other, others = amended(start=NOW + 5)
        assert refusal(bundle(*first, amendments=others)) == MISMATCH
        assert refusal(bundle(*other, amendments=more)) == MISMATCH

    @pytest.mark.parametrize(("kind", "at"), [(kind, at) for at, kind in enumerate(PARTS[1:])])
    def test_its_records_come_in_their_order(self, kind: str, at: int) -> None:
        first, more = amended()
        mixed = [*more[0]]
        mixed[at] = first[0]
        assert refusal(bundle(*first, amendments=[tuple(mixed)])) == MALFORMED, kind

    def test_an_amendment_stays_with_the_domain_that_was_witnessed(self) -> None:
        first, more = amended(offeredBy={"name": "Autohof Noord", "domain": "other.example"})
        assert refusal(bundle(*first, amendments=more)) == MISMATCH

    def test_a_witness_saw_the_domain_when_the_first_offer_was_accepted(self) -> None:
        first, more = amended()
        agreement = verify_agreement(bundle(*first, [witness("one")], more))
        assert [one.seen for one in agreement.witnesses] == [NOW]

    def test_every_byte_of_an_amended_agreement_counts(self) -> None:
        first, more = amended()
        data = bundle(*first, amendments=more)
        for at in range(0, len(data), 7):
            changed = bytearray(data)
            changed[at] ^= 0x01
            refusal(bytes(changed))


class TestTimes:
    """The records' claimed times, each at its last good moment and one second past it. PROTOCOL §8.7"""

    @pytest.mark.parametrize(("change", "code"), [
        (lambda s: {"accept": {"created": NOW + 3_600 + s, "expires": NOW + 9_000},
                    "confirm": {"created": NOW + 4_000}},
         LATE),
        (lambda s: {"confirm": {"created": NOW + 2_000 + s}}, LATE),
        (lambda s: {"demand": {"expires": NOW + 21 - s}}, LATE),
        (lambda s: {"accept": {"expires": NOW + 20 + ACCEPT_LIFE + s}}, MISMATCH),
        (lambda s: {"accept": {"created": NOW + 10 - MAX_SKEW - s}}, MISMATCH),
        (lambda s: {"confirm": {"created": NOW + 20 - MAX_SKEW - s}}, MISMATCH),
    ], ids=["late accept", "late confirm", "demand ended", "long accept", "early accept", "early confirm"])  # fmt: skip
    def test_each_moment_has_its_last_good_second(self, change: Callable[[int], dict[str, Any]], code: str) -> None:
        assert verify_agreement(parts(**change(0)))
        assert refusal(parts(**change(1))) == code

    def test_the_demands_own_date_does_not_matter(self) -> None:
        """A new version may be dated later than an offer that was on its way: only its end counts."""
        assert verify_agreement(parts(demand={"created": NOW + 25}))


def test_whatever_is_refused_is_an_intentcast_error() -> None:
    """So that a verifier can catch one class and show its sentence."""
    for data in (b"", b"\xc1", DATA[:-1], encode([1]), encode(decode(DATA) | {"attestations": [1]})):
        with pytest.raises(IntentcastError) as refused:
            verify_agreement(data)
        assert str(refused.value)


def test_a_verified_record_and_a_record_of_the_same_bytes_bundle_alike() -> None:
    """The four parts are taken as records; a Verified gives its own."""
    demand: Verified = make_demand()[0]
    assert bundle(demand.record, *list(GOOD.values())[1:]) == DATA
