"""Who may write to which mailbox. PROTOCOL §10"""

from typing import Any

import pytest
from intentcast_protocol.errors import IntentcastError
from intentcast_relay.admission import (
    AFTER_DEMAND,
    MAX_KEEP,
    check_room,
    keep,
    lists_relay,
    same_form,
    stamp_asked,
    stop,
)
from intentcast_relay.admission import admit as climb
from intentcast_relay.posting import flatten
from intentcast_relay.standing import Standing
from intentcast_relay.store.contract import Admission, Held, Shelf


def shelf_of(demand: Any) -> Shelf:
    """A shelf that holds one stored demand."""
    held = Held(1, demand.id, "demand", demand.author, None, demand.created, demand.expires, 100)
    return Shelf(1, newest={(demand.author, "demand"): held}, demands={demand.author: demand.record.payload})


def admit(envelope: Any, shelf: Shelf, url: str, now: int) -> Admission | None:
    """Admit on a connection that has proven nothing; returns the new admission."""
    entry = climb(envelope, Standing(), shelf, url, now)
    assert entry is None or not entry.spent
    return entry and entry.admission


def code(call: Any, *arguments: Any) -> str:
    with pytest.raises(IntentcastError) as caught:
        call(*arguments)
    return caught.value.code


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("wss://Relay.Example", "WSS://relay.example/"),
        ("wss://relay.example:443", "wss://relay.example"),
        ("ws://relay.example:80/", "ws://relay.example"),
        ("ws://[::1]:7447", "ws://[::1]:7447/"),
    ],
)
def test_two_spellings_of_one_relay_are_the_same(one: str, other: str) -> None:
    assert same_form(one) == same_form(other) is not None


@pytest.mark.parametrize("other", ["ws://relay.example", "wss://relay.example:444", "wss://relay.example.net"])
def test_other_relays_are_others(other: str) -> None:
    assert same_form(other) != same_form("wss://relay.example")


@pytest.mark.parametrize(
    "junk",
    [None, 1, b"wss://x", [], "", "wss://", "http://x", "ws://[::1", "ws://x:99999", "ws://u@x", "ws://x?y", "x" * 999],
)
def test_what_is_no_address_has_no_form(junk: object) -> None:
    assert same_form(junk) is None


@pytest.mark.parametrize(
    "body", [None, [], {}, {"replyTo": 1}, {"replyTo": {"relays": "ws://a"}}, {"replyTo": {"relays": [1, {}]}}]
)
def test_a_demand_of_any_shape_lists_no_relay(body: object) -> None:
    assert not lists_relay(body, "ws://a")


def test_only_the_first_eight_relays_count() -> None:
    many = [f"ws://r{at}.example" for at in range(9)]
    assert lists_relay({"replyTo": {"relays": many}}, "ws://r7.example")
    assert not lists_relay({"replyTo": {"relays": many}}, "ws://r8.example")


@pytest.mark.parametrize(
    ("rungs", "bits"),
    [
        (["domain", "stamp:18", "stamp:6"], 6),
        (["stamp:0"], 0),
        (["stamp:28"], 28),
        (["stamp:29"], None),
        (["stamp:-1"], None),
        (["stamp:x"], None),
        (["stamp:٣"], None),
        (["stamp:"], None),
        (["domain", "invite"], None),
        ([], None),
        ("stamp:4", None),
        ([4, b"stamp:4", None], None),
        (None, None),
    ],
)
def test_the_smallest_stamp_listed_is_asked(rungs: object, bits: int | None) -> None:
    assert stamp_asked({"admit": rungs}) == bits


def test_a_stamp_admits_its_session(build: Any) -> None:
    person, session = build.seed(), build.seed()
    demand = build.demand(person)
    admission = admit(build.sealed(session, demand.author, 4), shelf_of(demand), build.url, build.now)
    assert admission == Admission(demand.author, build.key(session), demand.expires + AFTER_DEMAND)


def test_a_demand_that_asks_for_no_bits_takes_anyone(build: Any) -> None:
    demand = build.demand(build.seed(), admit=("stamp:0",))
    assert admit(build.sealed(build.seed(), demand.author, 0), shelf_of(demand), build.url, build.now)


def test_a_weak_or_stale_or_missing_stamp_admits_nobody(build: Any) -> None:
    demand = build.demand(build.seed(), admit=("stamp:20",))
    stale = build.demand(build.seed())
    for envelope, shelf in (
        (build.sealed(build.seed(), demand.author, 0), shelf_of(demand)),
        (build.sealed(build.seed(), demand.author, 1), shelf_of(demand)),
        (build.sealed(build.seed(), stale.author, 4, created=build.now - 3_600), shelf_of(stale)),
    ):
        assert code(admit, envelope, shelf, build.url, build.now) == "refused.mailbox.not-admitted"


def test_every_refusal_of_a_first_write_is_the_same(build: Any) -> None:
    person = build.seed()
    demand = build.demand(person)
    envelope = build.sealed(build.seed(), demand.author)
    elsewhere = build.demand(person, relays=("ws://elsewhere.example",))
    laddered = build.demand(person, admit=("domain", "invite"))
    itself = build.sealed(person, demand.author)
    cases = [
        (envelope, Shelf(0), build.now),
        (envelope, shelf_of(demand), demand.expires),
        (envelope, shelf_of(elsewhere), build.now),
        (envelope, shelf_of(laddered), build.now),
        (itself, shelf_of(demand), build.now),
    ]
    told = set()
    for record, shelf, now in cases:
        with pytest.raises(IntentcastError) as caught:
            admit(record, shelf, build.url, now)
        told.add((caught.value.code, str(caught.value)))
    assert len(told) == 1


def test_an_admitted_pair_writes_both_ways_without_stamp_or_demand(build: Any) -> None:
    person, session = build.seed(), build.seed()
    pair = Admission(build.key(person), build.key(session), build.now + 10)
    shelf = Shelf(0, admissions={(pair.person, pair.session): pair})
    assert admit(build.sealed(session, pair.person, 0), shelf, build.url, build.now) is None
    assert admit(build.sealed(person, pair.session, 0), shelf, build.url, build.now) is None
    late = build.now + 10
    assert code(admit, build.sealed(session, pair.person, 0), shelf, build.url, late) == "refused.mailbox.not-admitted"
    assert code(admit, build.sealed(person, pair.session, 0), shelf, build.url, late) == "refused.mailbox.not-admitted"


def test_the_mailbox_of_a_session_takes_nothing_from_strangers(build: Any) -> None:
    person, session = build.seed(), build.seed()
    pair = Admission(build.key(person), build.key(session), build.now + 10)
    shelf = Shelf(0, admissions={(pair.person, pair.session): pair})
    stranger = build.sealed(build.seed(), pair.session)
    assert code(admit, stranger, shelf, build.url, build.now) == "refused.mailbox.not-admitted"


def test_a_stopped_session_is_not_admitted_again_by_a_new_stamp(build: Any) -> None:
    session = build.seed()
    demand = build.demand(build.seed())
    shelf = shelf_of(demand)
    pair = stop(Admission(demand.author, build.key(session), build.now + 10))
    shelf.admissions[pair.person, pair.session] = pair
    assert (
        code(admit, build.sealed(session, demand.author), shelf, build.url, build.now) == "refused.mailbox.not-admitted"
    )


def test_a_full_mailbox_says_so(build: Any) -> None:
    envelope = flatten(build.sealed(build.seed(), bytes(32), 0))
    size = len(envelope.payload)
    full = Shelf(0, items={bytes(32): 2}, bytes={bytes(32): 2 * size})
    check_room(envelope, full, items=3, size=3 * size)
    assert code(check_room, envelope, full, 2, 3 * size) == "refused.mailbox.full"
    assert code(check_room, envelope, full, 3, 3 * size - 1) == "refused.mailbox.full"


def test_keep_lengthens_and_never_shortens() -> None:
    pair = Admission(b"d", b"s", 1_000)
    assert keep(pair, 2_000, 0).until == 2_000
    assert keep(pair, 500, 0).until == 1_000
    assert keep(stop(pair), 2_000, 0).stopped
    assert code(keep, pair, MAX_KEEP + 1, 0) == "refused.limit.exceeded"
    assert code(keep, None, 10, 0) == "refused.mailbox.not-admitted"
    assert code(keep, pair, 2_000, 1_000) == "refused.mailbox.not-admitted"
