"""How much one visitor and one key may ask: pure rules, with the time passed in. DESIGN §5, PROTOCOL §9.11"""

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest
from intentcast_protocol.area import Area
from intentcast_protocol.errors import IntentcastError, InvalidMessage, Refused
from intentcast_protocol.frames import Count, Hello, Subscribe, encode_frame
from intentcast_protocol.subscription import Filter
from intentcast_relay import quota as rules
from intentcast_relay.address import HERE, Visitors, networks
from intentcast_relay.config import ConfigError, Limits, read
from intentcast_relay.door import SPARE, Door
from intentcast_relay.posting import Posting, flatten
from intentcast_relay.quota import NEW_COST, NEW_FOR, Bucket, Quota, RateExceeded, claimed_author, verb
from intentcast_relay.turns import Turns

PROXIES = networks(("127.0.0.0/8", "::1/128", "10.0.0.0/8"))
VISITORS = Visitors(bytes(16), PROXIES)
A, B = "a" * 32, "b" * 32
NOW = 1_800_000_000
FORGED = InvalidMessage("invalid.record.signature")
LIMITS = Limits(
    address_connections=2, address_subscriptions=3, address_unfiltered=1, address_demands=2, address_publishes=4,
    address_requests=10, address_bytes=1_000, key_publishes=1, burst=2, filter_values=4,
)  # fmt: skip


def posting(author: int, kind: str = "profile", expires: int = NOW + 100) -> Posting:
    made: dict[str, Any] = dict.fromkeys(Posting._fields)
    return Posting(**made | {"type": kind, "author": author.to_bytes(32, "big"), "expires": expires})


def published(quota: Quota, address: str, at: float) -> int:
    """Return how many records by new keys an address may publish now, of three."""
    visit, taken = quota.enter(address, at), 0
    with contextlib.suppress(RateExceeded):
        for _ in range(3):
            visit.publish(b"", at)
            taken += 1
    visit.leave()
    return taken


def refusal(error: IntentcastError | None) -> str:
    assert error is not None
    return f"{error.code} {error.detail}"


# Who a visitor is


def test_this_machine_itself_has_no_address_unless_a_proxy_names_one() -> None:
    assert VISITORS.name("127.0.0.1") == VISITORS.name("::1") == HERE
    assert VISITORS.name("::ffff:127.0.0.1") == HERE
    assert VISITORS.name("127.0.0.1", ["203.0.113.9"]) not in {HERE, VISITORS.name("203.0.113.8")}


def test_the_last_hop_that_is_no_proxy_counts_and_what_a_visitor_wrote_does_not() -> None:
    real = VISITORS.name("203.0.113.9")
    assert VISITORS.name("127.0.0.1", ["198.51.100.1, 203.0.113.9"]) == real
    assert VISITORS.name("127.0.0.1", ["198.51.100.1", "203.0.113.9, 10.1.2.3"]) == real
    assert VISITORS.name("10.0.0.1", [" 203.0.113.9:4711 "]) == real
    assert VISITORS.name("::1", ["::ffff:203.0.113.9"]) == real
    assert VISITORS.name("203.0.113.9", ["198.51.100.1"]) == real


def test_a_header_that_cannot_be_read_never_makes_a_visitor_this_machine() -> None:
    for header in ("", "unknown", "127.0.0.1", "_hidden", "1.2.3", ",", "127.0.0.1, x"):
        name = VISITORS.name("127.0.0.1", [header])
        assert name != HERE
        assert name == VISITORS.name("127.0.0.1", [header])
    assert VISITORS.name(None) == VISITORS.name("") == VISITORS.name("not an address") != HERE


def test_an_ipv6_visitor_is_its_64() -> None:
    one, other, stranger = "2001:db8:1:2::1", "[2001:db8:1:2:ffff::9]:443", "2001:db8:1:3::1"
    assert VISITORS.name(one) == VISITORS.name("::1", [other]) != VISITORS.name(stranger)


def test_a_name_tells_nothing_without_the_salt_of_this_start() -> None:
    assert "203" not in VISITORS.name("203.0.113.9")
    assert VISITORS.name("203.0.113.9") != Visitors(b"x" * 16, PROXIES).name("203.0.113.9")


def test_only_networks_are_proxies() -> None:
    assert str(read({"proxies": ["10.0.0.0/8", "fd00::/8"]}).proxies[1]) == "fd00::/8"
    for wrong in (["relay.example"], ["10.0.0.1/8"], "10.0.0.0/8", [1]):
        with pytest.raises(ConfigError, match="proxies"):
            read({"proxies": wrong})


# Buckets


def test_time_refills_a_bucket_up_to_a_burst() -> None:
    bucket = Bucket()
    for _ in range(20):
        assert bucket.wait(1, 10, 2, 100.0) == 0
        bucket.charge(1)
    assert bucket.wait(1, 10, 2, 100.0) == pytest.approx(0.1)
    assert bucket.wait(1, 10, 2, 100.1) == pytest.approx(0)
    assert bucket.wait(20, 10, 2, 100.0) > 0, "time that runs backwards frees nothing"


def test_what_is_larger_than_any_burst_passes_an_untouched_bucket_alone() -> None:
    bucket = Bucket()
    assert bucket.wait(1_000, 10, 2, 0) == 0
    bucket.charge(1_000)
    assert bucket.wait(1, 10, 2, 0) == pytest.approx(98.1)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (encode_frame(Hello(1)), b"hello"), (encode_frame(Count(1, "cars", (), ())), b"count"),
        (encode_frame(Subscribe(1, Filter(), None, True)), b"subscribe"), (b"", b""), (b"\x93", b""), (b"xy", b""),
        (b"\x93\xbfabc", b"abc"),
    ],
)  # fmt: skip
def test_a_frame_names_its_verb_before_it_is_read(frame: bytes, said: bytes) -> None:
    assert verb(frame) == said


# Visitors


def test_a_visitor_pays_for_records_requests_and_bytes_and_is_told_how_long_to_wait(build: Any) -> None:
    quota = Quota(LIMITS)
    visit, payload = quota.enter(A, 0), build.demand(build.seed()).record.payload
    visit.publish(payload, 0)
    visit.publish(payload, 0)
    with pytest.raises(RateExceeded, match="wait 1 second") as caught:
        visit.publish(payload, 0)
    assert (caught.value.code, caught.value.seconds) == ("refused.rate.exceeded", 1.0)
    visit.publish(payload, 1)
    for _ in range(20):
        visit.charge(b"?", 0)
    with pytest.raises(RateExceeded, match="wait 1 second"):
        visit.charge(b"?", 0)
    other = quota.enter(B, 0)
    for _ in range(4):
        other.charge(b"\x93\xa7publish" + bytes(491), 0)
    with pytest.raises(RateExceeded, match="wait 1 second"):
        other.charge(bytes(491), 0)
    other.charge(bytes(491), 2)


def test_a_subscription_costs_more_than_a_count() -> None:
    visit = Quota(LIMITS).enter(A, 0)
    subscribe = encode_frame(Subscribe(1, Filter(), None, True))
    visit.charge(subscribe, 0)
    visit.charge(subscribe, 0)
    with pytest.raises(Refused, match="wait 1 second"):
        visit.charge(subscribe, 0)


def test_connections_of_one_address_are_bounded_and_freed_once() -> None:
    quota = Quota(LIMITS)
    first, _ = quota.enter(A, 0), quota.enter(A, 0)
    with pytest.raises(Refused, match="2 connections"):
        quota.enter(A, 0)
    quota.enter(B, 0)
    first.leave()
    first.leave()
    quota.enter(A, 0)
    with pytest.raises(Refused):
        quota.enter(A, 0)


def test_subscriptions_count_over_all_connections_and_unfiltered_ones_apart() -> None:
    quota = Quota(LIMITS)
    one, two = quota.enter(A, 0), quota.enter(A, 0)
    one.subscribe(1, Filter())
    with pytest.raises(Refused, match="1 unfiltered"):
        two.subscribe(1, Filter(types=("demand",)))
    two.subscribe(1, Filter(categories=("cars",)))
    two.subscribe(2, Filter(area=Area(cells=("u1",))))
    with pytest.raises(Refused, match="3 subscriptions"):
        one.subscribe(2, Filter(authors=(bytes(32),)))
    two.leave()
    one.ended(1)
    one.ended(1)
    one.subscribe(3, Filter())


def test_a_filter_is_bounded_in_all_its_values_even_for_this_machine() -> None:
    quota = Quota(LIMITS)
    wide = Filter(types=("demand",), categories=("a", "b"), area=Area(cells=("u1", "u2")))
    for address in (HERE, A):
        with pytest.raises(Refused, match="4 values"):
            quota.enter(address, 0).subscribe(1, wide)


def test_this_machine_itself_has_no_other_limits() -> None:
    quota = Quota(LIMITS)
    visits = [quota.enter(HERE, 0) for _ in range(10)]
    for req in range(10):
        visits[0].subscribe(req, Filter())
        visits[0].charge(bytes(100_000), 0)
        assert quota.admit(posting(1, "demand"), HERE, NOW, 0) is None
    visits[0].leave()


# Keys


def test_a_new_key_costs_its_visitor_four_publishes_until_something_is_stored(build: Any) -> None:
    quota = Quota(LIMITS)
    demands = [flatten(build.demand(build.seed())) for _ in range(3)]
    visit = quota.enter(A, 0)
    visit.publish(demands[0].payload, 0)
    assert quota.admit(demands[0], A, NOW, 0) is None
    quota.stored(demands[0].author)
    for _ in range(4):
        visit.publish(demands[0].payload, 0)
    with pytest.raises(RateExceeded):
        visit.publish(demands[0].payload, 0)
    assert quota.admit(demands[1], B, NOW, 100) is None
    for at in (100, NEW_FOR + 99):
        visit.publish(demands[1].payload, at)
        visit.publish(demands[1].payload, at)
        with pytest.raises(RateExceeded):
            visit.publish(demands[1].payload, at)
    for _ in range(8):
        visit.publish(demands[1].payload, NEW_FOR + 1_000)
    assert NEW_COST == 4


def test_a_payload_names_its_author_before_it_is_read(build: Any) -> None:
    demand = build.demand(build.seed())
    assert claimed_author(demand.record.payload) == demand.author
    for other in (b"", demand.record.payload[1:], bytes(100)):
        assert claimed_author(other) == b""


def test_a_key_has_its_own_rate_wherever_it_comes_from() -> None:
    quota = Quota(replace(LIMITS, address_publishes=1_000))
    assert quota.admit(posting(1), A, NOW, 0) is None
    assert quota.admit(posting(1), B, NOW, 0) is None
    assert refusal(quota.admit(posting(1), B, NOW, 0)) == "refused.rate.exceeded wait 1 second"
    assert quota.admit(posting(2), B, NOW, 0) is None
    assert quota.admit(posting(1), B, NOW, 1) is None


def test_forged_signatures_use_up_the_visitor_and_never_the_key_they_name() -> None:
    quota = Quota(LIMITS)
    visit = quota.enter(A, 0)
    for _ in range(3):
        visit.failed(FORGED)
    with pytest.raises(RateExceeded):
        visit.publish(b"", 0)
    assert quota.admit(posting(1), B, NOW, 0) is None


def test_open_demands_of_one_address_are_bounded_until_they_end() -> None:
    quota = Quota(replace(LIMITS, address_publishes=1_000, key_publishes=100))
    for author in (1, 2, 2, 1):
        assert quota.admit(posting(author, "demand"), A, NOW, 0) is None
    assert (
        refusal(quota.admit(posting(3, "demand"), A, NOW, 0)) == "refused.limit.exceeded 2 open demands of one address"
    )
    assert quota.admit(posting(3, "demand"), B, NOW, 0) is None
    assert quota.admit(posting(1, "demand-withdraw"), A, NOW, 0) is None
    assert quota.admit(posting(4, "demand", NOW + 10), A, NOW, 0) is None
    assert quota.admit(posting(5, "demand"), A, NOW + 9, 0) is not None
    assert quota.admit(posting(5, "demand"), A, NOW + 10, 0) is None


# Bounded memory


def test_a_flood_of_visitors_forgets_nobody_who_still_owes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_VISITORS", 4)
    quota = Quota(LIMITS)
    taken = sum(published(quota, str(at), 0) for at in range(10_000))
    assert taken == 2 * 4 + 2, "newcomers share one account while nobody is at rest"
    assert len(quota._visitors) == 4
    assert not published(quota, "0", 0), "who came first is still known"
    assert all(published(quota, str(at), 1_000.0 * (at + 1)) for at in range(100)), "who rests is forgotten"


def test_a_flood_of_ten_thousand_keys_pays_for_each_though_keys_are_forgotten(
    build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAX_AUTHORS", 100)
    quota = Quota(replace(LIMITS, key_publishes=1, address_demands=100_000))
    visit, taken = quota.enter(A, 0), 0
    for at in range(10_000):
        with contextlib.suppress(RateExceeded):
            visit.publish(bytes(100), at / 1_000)
            assert quota.admit(posting(at, "demand"), A, NOW, at / 1_000) is None
            taken += 1
    assert taken <= (4 * 2 + 4 * 10) / NEW_COST
    assert len(quota._authors) <= 100


def test_open_demands_that_are_remembered_are_bounded_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_DEMANDS", 10)
    quota = Quota(LIMITS)
    for at in range(100):
        assert quota.admit(posting(at, "demand"), str(at), NOW, 1_000.0 * at) is None
    assert quota._demands == sum(len(visitor.demands) for visitor in quota._visitors.values()) <= 11


def test_limits_can_change_while_it_runs() -> None:
    quota = Quota(LIMITS)
    visit = quota.enter(A, 0)
    quota.limits = replace(LIMITS, address_unfiltered=0, filter_values=1)
    with pytest.raises(Refused):
        visit.subscribe(1, Filter())


# Turns


def test_who_sends_much_waits_behind_himself() -> None:
    turns: Turns[int] = Turns()
    for at in range(5):
        turns.put(A, at)
    turns.put(B, 10)
    turns.put(B, 11)
    assert (len(turns), turns.waiting(B), turns.waiting("c")) == (7, True, False)
    assert turns.take(3) == [0, 10, 1]
    turns.put("c", 20)
    assert turns.take(3) == [11, 2, 20]
    assert not turns.waiting(B)
    assert turns.take(9) == [3, 4]
    assert (turns.take(1), len(turns)) == ([], 0)


# The door


def test_connections_are_counted_before_they_say_anything_and_by_address_where_no_proxy_stands() -> None:
    door = Door(asyncio.Protocol, VISITORS, replace(LIMITS, connections=1))
    one, two = door.enter("203.0.113.9"), door.enter("203.0.113.9")
    assert one == two == VISITORS.name("203.0.113.9")
    assert door.enter("203.0.113.9") is None
    inside = [door.enter("10.0.0.1") for _ in range(SPARE - 1)]
    assert inside == [HERE] * (SPARE - 1), "a proxy brings many"
    assert door.enter("127.0.0.1") is None, "enough in all"
    assert one is not None
    door.leave(one)
    assert door.enter("203.0.113.9") == one
    assert door.enter("198.51.100.1") is None
