"""Demands, offers, counters, profiles and terms: what they must say, what they may not, and how they fit together."""

import hashlib
from decimal import Decimal
from typing import Any

import pytest
from intentcast_protocol.area import Area
from intentcast_protocol.constraint import Fit, Verdict
from intentcast_protocol.demand import read_demand, read_draft, stamp_bits
from intentcast_protocol.errors import InvalidMessage, Refused
from intentcast_protocol.identity import public_key
from intentcast_protocol.limits import MAX_ROUNDS, MAX_STAMP
from intentcast_protocol.offer import Counter, Offer, read_counter, read_offer
from intentcast_protocol.profile import read_profile
from intentcast_protocol.record import Record, Verified, parse, payload_of, sign
from intentcast_protocol.terms import (
    DEFAULT,
    NAMESPACE,
    ROSTER,
    TEXTS,
    Proffer,
    Term,
    check_acceptance,
    read_proffer,
    read_term,
    text_of,
)
from intentcast_protocol.testing import (
    CARS,
    NOW,
    demand_body,
    make_demand,
    offer_body,
    price_body,
    seal_pair,
    seed,
)

D, V, S = public_key(seed("D")), public_key(seed("V")), public_key(seed("S"))
DEMAND = make_demand()[0]
TERM = DEFAULT.deal[0]


def demand(**changes: Any) -> Verified:
    """Return a signed demand; a change to Ellipsis takes a field away."""
    body = {name: value for name, value in demand_body(**changes).items() if value is not ...}
    return sign("demand", seed("D"), body, created=NOW, expires=NOW + 86_400)


def said(kind: str, body: dict[str, Any], expires: int = NOW + 3_600) -> Verified:
    """Return a session message of the vendor, or of the person if it is a counter."""
    by, to = ("D", V) if kind == "counter" else ("V", D)
    body = {name: value for name, value in body.items() if value is not ...}
    return sign(kind, seed(by), body, created=NOW, expires=expires, to=to, session=S, seq=1)


def offered(**changes: Any) -> Offer:
    """Return a read offer."""
    return read_offer(said("offer", offer_body(DEMAND.id, NOW + 3_600) | changes))


def counter_body(**changes: Any) -> dict[str, Any]:
    """Return a counter."""
    return {
        "demand": DEMAND.id, "offer": b"o" * 32, "itemOffered": {"category": CARS},
        "priceSpecification": price_body("17000.00"), **changes,
    }  # fmt: skip


class TestDemand:
    """PROTOCOL §6"""

    def test_the_demand_of_the_design_reads(self) -> None:
        record = demand(
            name="A car like a 2019 VW Golf estate",
            itemOffered={
                "@type": "Car", "category": CARS,
                "isSimilarTo": {"@type": "Car", "manufacturer": "Volkswagen", "model": "Golf"},
            },
            areaServed={"cells": ["u178", "u179"], "countries": ["NL"]},
            admit=["domain", "invite", "stamp:18"],
        )  # fmt: skip
        read = read_demand(record)
        assert (read.id, read.author, read.created, read.expires) == (record.id, D, NOW, NOW + 86_400)
        assert (read.category, read.area) == (CARS, Area(("u178", "u179"), ("NL",)))
        assert read.budget is not None
        assert (read.budget.amount, read.budget.currency, read.budget.unit) == (Decimal("18500.00"), "EUR", None)
        assert (read.max_rounds, read.stamp_bits, read.terms) == (5, 18, DEFAULT)
        assert read.constraints[0].path == "itemOffered.mileageFromOdometer"
        assert read.relays == ("ws://127.0.0.1:7447",)

    @pytest.mark.parametrize(("field", "absent"), [
        ("areaServed", Area()), ("priceSpecification", None), ("constraints", ()), ("negotiation", 0), ("admit", ()),
    ])  # fmt: skip
    def test_what_may_be_absent_has_its_default(self, field: str, absent: Any) -> None:
        name = {"areaServed": "area", "priceSpecification": "budget", "negotiation": "max_rounds"}.get(field, field)
        assert getattr(read_demand(demand(**{field: ...})), name) == absent

    @pytest.mark.parametrize("change", [
        {"@type": ...}, {"@type": "Offer"}, {"@type": None}, {"@type": ["Demand"]},
        {"name": ...}, {"name": ""}, {"name": "x" * 201}, {"name": "a\u202eb"}, {"name": 5},
        {"description": ""}, {"description": "x" * 2_001}, {"description": "a\x1bb"}, {"description": None},
        {"itemOffered": ...}, {"itemOffered": []}, {"itemOffered": {"category": "Cars"}}, {"itemOffered": {}},
        {"areaServed": []}, {"areaServed": {"cells": ["u178x"]}}, {"areaServed": {"place": "Utrecht"}},
        {"priceSpecification": []}, {"priceSpecification": {}}, {"priceSpecification": {"maxPrice": "18500.00"}},
        {"priceSpecification": {"priceCurrency": "EUR"}},
        {"priceSpecification": {"maxPrice": "18500", "priceCurrency": "EUR"}},
        {"priceSpecification": {"maxPrice": 18500, "priceCurrency": "EUR"}},
        {"priceSpecification": {"maxPrice": "-1.00", "priceCurrency": "EUR"}},
        {"priceSpecification": {"maxPrice": "1.00", "priceCurrency": "EUR", "unitCode": "month"}},
        {"constraints": {}}, {"constraints": None}, {"constraints": [{"path": "a", "op": "gt", "value": "1"}]},
        {"negotiation": []}, {"negotiation": 5}, {"negotiation": {"maxRounds": -1}},
        {"negotiation": {"maxRounds": MAX_ROUNDS + 1}}, {"negotiation": {"maxRounds": True}},
        {"negotiation": {"maxRounds": "5"}}, {"negotiation": {"maxRounds": None}},
        {"admit": "stamp:18"}, {"admit": [18]}, {"admit": ["x" * 33]}, {"admit": None}, {"admit": [["stamp:18"]]},
        {"replyTo": ...}, {"replyTo": []}, {"replyTo": {}}, {"replyTo": {"offerKey": seal_pair("o").public}},
        {"replyTo": {"offerKey": b"short", "relays": ["wss://a.example"]}},
        {"replyTo": {"offerKey": "k" * 32, "relays": ["wss://a.example"]}},
        {"replyTo": {"offerKey": seal_pair("o").public, "relays": []}},
        {"replyTo": {"offerKey": seal_pair("o").public, "relays": ["https://a.example"]}},
    ], ids=lambda change: repr(change)[:60])  # fmt: skip
    def test_ill_formed_field_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_demand(demand(**change))
        assert refused.value.code == "invalid.demand.malformed"

    def test_each_bound_is_itself_allowed(self) -> None:
        read = read_demand(demand(
            name="x" * 200, description="x" * 2_000, admit=["x" * 32], negotiation={"maxRounds": MAX_ROUNDS},
            priceSpecification={"maxPrice": "0.00", "priceCurrency": "EUR"}, constraints=[],
            itemOffered={"category": CARS, "isSimilarTo": {"model": "x" * 200, "colour": "y"}},
        ))  # fmt: skip
        assert (len(read.name), read.admit, read.max_rounds) == (200, ("x" * 32,), MAX_ROUNDS)
        assert read.budget is not None
        assert read.budget.amount == 0
        assert len(read.judge({}).findings) == 2

    def test_no_rounds_are_the_default(self) -> None:
        assert read_demand(demand(negotiation={})).max_rounds == 0

    def test_unknown_field_is_kept(self) -> None:
        assert read_demand(demand(later={"x": [1]})).name == demand_body()["name"]
        assert demand(later={"x": [1]}).body["later"] == {"x": [1]}

    def test_another_type_is_no_demand(self) -> None:
        record = sign("profile", seed("D"), demand_body(), created=NOW, expires=NOW + 60)
        with pytest.raises(InvalidMessage) as refused:
            read_demand(record)
        assert refused.value.code == "invalid.record.purpose"

    def test_a_draft_reads_before_it_is_signed_and_keeps_its_id(self) -> None:
        payload = payload_of("demand", seed("D"), demand_body(), created=NOW, expires=NOW + 7 * 86_400)
        draft = read_draft(parse(Record(payload, bytes(64))))
        assert draft == read_demand(DEMAND)

    @pytest.mark.parametrize(("admit", "bits"), [
        ([], None), (["domain"], None), (["stamp:18"], 18), (["domain", "stamp:20", "stamp:8"], 8), (["stamp:0"], 0),
        (["stamp:08"], 8), ([f"stamp:{MAX_STAMP}"], MAX_STAMP), ([f"stamp:{MAX_STAMP + 1}"], None), (["stamp:"], None),
        (["stamp:-1"], None), (["stamp: 8"], None), (["stamp:8 "], None), (["stamp:٨"], None), (["stamp:²"], None),
        (["Stamp:8"], None), (["stamp:008"], None), (["stamp:99", "stamp:5"], 5), ([8, None, ["stamp:8"]], None),
        ("stamp:8", None), (None, None), ({"stamp:8": 1}, None), (["stamp:1e1"], None), (["xstamp:8"], None),
    ])  # fmt: skip
    def test_the_easiest_stamp_counts_and_what_is_ill_formed_admits_nobody(self, admit: Any, bits: int | None) -> None:
        assert stamp_bits(admit) == bits


class TestOffer:
    """PROTOCOL §6.4"""

    def test_an_offer_reads(self) -> None:
        offer = offered(deviations=["It is blue"])
        assert (offer.author, offer.demand, offer.firm, offer.terms) == (V, DEMAND.id, True, TERM)
        assert offer.price.total == Decimal("17900.00")
        assert (offer.seller.name, offer.seller.domain) == ("Autohof Noord", "autohof-noord.example")
        assert (offer.seller.jurisdiction, offer.deviations) == ("NL", ("It is blue",))
        assert not offered(commitment="indicative").firm

    @pytest.mark.parametrize("change", [
        {"@type": "Demand"}, {"@type": ...}, {"demand": ...}, {"demand": b"x"}, {"demand": "x" * 32},
        {"itemOffered": ...}, {"itemOffered": {"category": "A"}}, {"priceSpecification": ...},
        {"validThrough": NOW + 3_601}, {"validThrough": ...}, {"validThrough": None},
        {"validThrough": str(NOW + 3_600)},
        {"commitment": ...}, {"commitment": "soft"}, {"commitment": True}, {"commitment": ["firm"]},
        {"commitment": None},
        {"deviations": "none"}, {"deviations": ["x"] * 33}, {"deviations": [5]}, {"deviations": [""]},
        {"deviations": ["x" * 301]}, {"deviations": ["a\u2066b"]}, {"deviations": None}, {"deviations": {}},
        {"offeredBy": ...}, {"offeredBy": "Autohof"}, {"offeredBy": {}}, {"offeredBy": {"name": ""}},
        {"offeredBy": {"name": "x" * 101}}, {"offeredBy": {"name": "a\x07b"}},
        {"offeredBy": {"name": "x", "domain": "Not A Domain"}}, {"offeredBy": {"name": "x", "domain": 5}},
        {"offeredBy": {"name": "x", "jurisdiction": ""}}, {"offeredBy": {"name": "x", "jurisdiction": 5}},
    ], ids=lambda change: repr(change)[:60])  # fmt: skip
    def test_ill_formed_offer_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(InvalidMessage) as refused:
            offered(**change)
        assert refused.value.code == "invalid.offer.malformed"

    def test_a_total_that_does_not_add_up_is_refused(self) -> None:
        with pytest.raises(InvalidMessage) as refused:
            offered(priceSpecification=price_body() | {"price": "17899.00"})
        assert refused.value.code == "invalid.offer.total"

    def test_each_bound_is_itself_allowed(self) -> None:
        offer = offered(
            deviations=["x" * 300] * 32, offeredBy={"name": "x" * 100, "jurisdiction": "y" * 100}
        )  # fmt: skip
        assert (len(offer.deviations), len(offer.seller.name), offer.seller.jurisdiction) == (32, 100, "y" * 100)
        with pytest.raises(InvalidMessage):
            offered(offeredBy={"name": "x", "jurisdiction": "y" * 101})

    def test_an_offer_may_leave_out_what_is_optional(self) -> None:
        offer = offered(deviations=..., offeredBy={"name": "x"})
        assert (offer.deviations, offer.seller.domain, offer.seller.jurisdiction) == ((), None, None)
        assert offered(offeredBy={"name": "x", "domain": None, "jurisdiction": None}).seller == offer.seller

    def test_another_type_with_the_body_of_an_offer_is_none(self) -> None:
        with pytest.raises(InvalidMessage):
            read_offer(said("notice", offer_body(DEMAND.id, NOW + 3_600)))

    def test_a_counter_reads(self) -> None:
        counter = read_counter(said("counter", counter_body()))
        assert isinstance(counter, Counter)
        assert (counter.author, counter.demand, counter.offer) == (D, DEMAND.id, b"o" * 32)
        assert counter.price.total == 17_000

    @pytest.mark.parametrize("change", [
        {"demand": ...}, {"demand": b""}, {"offer": ...}, {"offer": None}, {"itemOffered": ...}, {"itemOffered": {}},
        {"priceSpecification": ...}, {"priceSpecification": {"price": "1.00"}},
    ], ids=repr)  # fmt: skip
    def test_ill_formed_counter_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_counter(said("counter", counter_body(**change)))
        assert refused.value.code == "invalid.offer.malformed"
        with pytest.raises(InvalidMessage):
            read_counter(said("offer", counter_body()))


class TestFit:
    """The budget, the must-haves and the likeness. PROTOCOL §6.3"""

    def fit(self, price: dict[str, Any] | None = None, item: dict[str, Any] | None = None, **changes: Any) -> Fit:
        """Judge an offer on a demand."""
        changes.setdefault("constraints", [])
        body = offer_body(DEMAND.id, NOW + 3_600)
        if price is not None:
            body["priceSpecification"] = price
        return read_demand(demand(**changes)).judge(body | ({"itemOffered": item} if item is not None else {})).fit

    @pytest.mark.parametrize(("price", "fit"), [
        (price_body("18500.00"), Fit.FITS), (price_body("18500.01"), Fit.FAILS), (price_body("0.00"), Fit.FITS),
        (price_body("100.00", "USD"), Fit.FAILS), (price_body("100.00") | {"unitCode": "MON"}, Fit.FAILS),
    ])  # fmt: skip
    def test_a_price_over_the_budget_or_in_another_money_fails(self, price: dict[str, Any], fit: Fit) -> None:
        assert self.fit(price) is fit

    def test_a_budget_per_month_compares_with_a_price_per_month_only(self) -> None:
        monthly = {"maxPrice": "18.00", "priceCurrency": "EUR", "unitCode": "MON"}
        assert self.fit(price_body("14.99") | {"unitCode": "MON"}, priceSpecification=monthly) is Fit.FITS
        assert self.fit(price_body("18.01") | {"unitCode": "MON"}, priceSpecification=monthly) is Fit.FAILS
        assert self.fit(price_body("14.99"), priceSpecification=monthly) is Fit.FAILS
        assert self.fit(price_body("14.99") | {"unitCode": "ANN"}, priceSpecification=monthly) is Fit.FAILS

    def test_without_a_price_the_budget_is_not_judged(self) -> None:
        """A vendor judges its stock before it has quoted."""
        judged = read_demand(demand(constraints=[])).judge({"itemOffered": {}})
        assert (judged.fit, judged.findings) == (Fit.FITS, ())

    def test_a_demand_without_a_budget_takes_any_price(self) -> None:
        assert self.fit(price_body("999999.00", "USD"), priceSpecification=...) is Fit.FITS

    def test_the_findings_come_in_order_budget_constraints_likeness(self) -> None:
        read = read_demand(demand(itemOffered={"category": CARS, "isSimilarTo": {"model": "Golf", "@type": "Car"}}))
        judged = read.judge(offer_body(DEMAND.id, NOW + 3_600))
        paths = [found.constraint.path for found in judged.findings]
        assert paths == ["priceSpecification", "itemOffered.mileageFromOdometer", "itemOffered.model"]
        assert [found.constraint.strength for found in judged.findings] == ["must", "must", "want"]

    @pytest.mark.parametrize(("like", "wants"), [
        ({"model": "Golf"}, [Verdict.MET]), ({"model": "Polo"}, [Verdict.UNMET]),
        ({"colour": "red"}, [Verdict.UNKNOWN]),
        ({"@type": "Car"}, []), ({"a.b": "x"}, []), ({"model": 5}, []), ({"model": ""}, []), ({"model": "x" * 201}, []),
        ({"model": {"name": "Golf"}}, []), ("Golf", []), ([], []), (None, []), ({"__class__": "x"}, []),
    ])  # fmt: skip
    def test_likeness_only_wishes(self, like: Any, wants: list[Verdict]) -> None:
        read = read_demand(demand(constraints=[], itemOffered={"category": CARS, "isSimilarTo": like}))
        judged = read.judge({"itemOffered": {"model": "golf", "a": {"b": "x"}}})
        assert [found.verdict for found in judged.findings] == wants
        assert judged.fit is Fit.FITS

    @pytest.mark.parametrize(("miles", "on_unknown", "fit"), [
        ({"value": "55923", "unitCode": "SMI"}, "ask", Fit.FITS),
        ({"value": "55924", "unitCode": "SMI"}, "ask", Fit.FAILS),
        ("55000", "ask", Fit.ASKS), ("55000", "reject", Fit.FAILS), ("55000", "allow", Fit.FITS),
        (None, "ask", Fit.ASKS),
    ])  # fmt: skip
    def test_a_must_that_is_unknown_asks_rejects_or_allows(self, miles: Any, on_unknown: str, fit: Fit) -> None:
        constraint = {"path": "itemOffered.mileageFromOdometer", "op": "le", "value": "90000", "unitCode": "KMT",
                      "onUnknown": on_unknown}  # fmt: skip
        assert self.fit(item={"mileageFromOdometer": miles}, constraints=[constraint]) is fit


class TestTerms:
    """PROTOCOL §7.1, §7.2"""

    def test_the_roster_is_the_hashes_of_the_texts_that_ship(self) -> None:
        assert set(ROSTER) == {"PDC-INTENT", "SD-BASE-DP", "SD-BASE"}
        for name, term in ROSTER.items():
            assert term == Term(NAMESPACE + name, hashlib.sha256(TEXTS[name].encode()).digest())
            assert text_of(term) == TEXTS[name]
            assert read_term(term.wire()) == term

    @pytest.mark.parametrize("value", [
        None, [], "SD-BASE", {}, {"id": NAMESPACE + "SD-BASE"}, {"text": bytes(32)}, TERM.wire() | {"more": 1},
    ], ids=repr)  # fmt: skip
    def test_ill_formed_term_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_term(value)
        assert refused.value.code == "invalid.terms.malformed"

    @pytest.mark.parametrize("value", [
        TERM.wire() | {"text": bytes(32)}, TERM.wire() | {"text": TERM.text[:31]},
        TERM.wire() | {"text": TERM.text.hex()},
        TERM.wire() | {"text": ROSTER["SD-BASE"].text}, TERM.wire() | {"id": "SD-BASE-DP"}, TERM.wire() | {"id": 5},
        TERM.wire() | {"id": NAMESPACE + "SD-OTHER"}, TERM.wire() | {"id": TERM.id.lower()}, TERM.wire() | {"id": None},
        TERM.wire() | {"id": NAMESPACE + NAMESPACE + "SD-BASE-DP"}, TERM.wire() | {"id": ["x"]},
        TERM.wire() | {"id": ""},
    ], ids=lambda value: repr(value)[-50:])  # fmt: skip
    def test_a_text_that_does_not_ship_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_term(value)
        assert refused.value.code == "invalid.terms.unknown"

    @pytest.mark.parametrize(("change", "code"), [
        ({"profile": "odrl"}, "malformed"), ({"profile": None}, "malformed"), ({"deal": []}, "malformed"),
        ({"deal": TERM.wire()}, "malformed"), ({"deal": None}, "malformed"), ({"deal": [TERM.wire()] * 9}, "malformed"),
        ({"deal": [None]}, "malformed"), ({"broadcast": None}, "malformed"),
        ({"deal": [TERM.wire(), TERM.wire() | {"text": bytes(32)}]}, "unknown"),
        ({"broadcast": TERM.wire() | {"text": bytes(32)}}, "unknown"),
    ], ids=repr)  # fmt: skip
    def test_a_demand_with_other_terms_is_refused(self, change: dict[str, Any], code: str) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_demand(demand(terms=DEFAULT.wire() | change))
        assert refused.value.code == f"invalid.terms.{code}"

    @pytest.mark.parametrize("value", [None, [], "ieee-7012", 5])
    def test_terms_that_are_no_map_are_refused(self, value: Any) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_proffer(value)
        assert refused.value.code == "invalid.terms.malformed"

    def test_terms_come_back(self) -> None:
        for proffer in (DEFAULT, Proffer(ROSTER["PDC-INTENT"], (ROSTER["SD-BASE"],)), Proffer(TERM, (TERM,) * 8)):
            assert read_proffer(proffer.wire()) == proffer

    def test_any_listed_term_can_be_accepted_and_no_other(self) -> None:
        for term in DEFAULT.deal:
            assert check_acceptance(DEFAULT, term.wire()) == term
        with pytest.raises(Refused) as refused:
            check_acceptance(DEFAULT, ROSTER["PDC-INTENT"].wire())
        assert refused.value.code == "refused.terms.refused"
        with pytest.raises(InvalidMessage):
            check_acceptance(DEFAULT, None)


class TestProfile:
    """PROTOCOL §6.5"""

    BODY = (
        ("name", "Autohof Noord"), ("domain", "autohof-noord.example"), ("jurisdiction", "NL"), ("categories", [CARS]),
        ("areaServed", {"cells": ["u17"]}), ("relays", ["wss://a.example"]), ("sealKey", seal_pair("profile").public),
    )  # fmt: skip

    def profile(self, **changes: Any) -> Verified:
        """Return a signed profile."""
        body = {name: value for name, value in (dict(self.BODY) | changes).items() if value is not ...}
        return sign("profile", seed("V"), body, created=NOW, expires=NOW + 86_400)

    def test_a_profile_reads(self) -> None:
        read = read_profile(self.profile())
        assert (read.vendor, read.seller.name, read.categories) == (V, "Autohof Noord", (CARS,))
        assert (read.area, read.relays, read.seal_key) == (
            Area(("u17",)),
            ("wss://a.example",),
            dict(self.BODY)["sealKey"],
        )
        bare = read_profile(self.profile(domain=..., jurisdiction=..., areaServed=...))
        assert (bare.seller.domain, bare.area) == (None, Area())
        assert len(read_profile(self.profile(categories=[CARS] * 64)).categories) == 64

    @pytest.mark.parametrize("change", [
        {"name": ...}, {"name": ""}, {"name": "a\x1b"}, {"domain": "A.example"}, {"jurisdiction": 5},
        {"categories": ...},
        {"categories": []}, {"categories": CARS}, {"categories": ["Cars"]}, {"categories": [5]},
        {"categories": [CARS] * 65},
        {"areaServed": {"cells": ["?"]}}, {"relays": ...}, {"relays": []}, {"sealKey": ...}, {"sealKey": b"x"},
    ], ids=repr)  # fmt: skip
    def test_ill_formed_profile_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_profile(self.profile(**change))
        assert refused.value.code == "invalid.profile.malformed"

    def test_another_type_is_no_profile(self) -> None:
        with pytest.raises(InvalidMessage) as refused:
            read_profile(DEMAND)
        assert refused.value.code == "invalid.record.purpose"
