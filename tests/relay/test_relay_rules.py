"""The operator's rules, without a clock or a database: who and what is refused, and how it is written."""

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intentcast_protocol.errors import Refused
from intentcast_protocol.identity import did, public_key
from intentcast_relay.ledger import Arrival, House, settle
from intentcast_relay.posting import flatten
from intentcast_relay.rules import (
    DAY,
    DENIED,
    MAX_NOTE,
    Rule,
    RuleError,
    Rules,
    check_retention,
    read_key,
    read_note,
    read_subject,
    read_term,
)
from intentcast_relay.standing import Standing
from intentcast_relay.store.contract import Shelf

NOW = 1_800_000_000
V = bytes(range(32))
OTHER = bytes(32)


def ban(subject: bytes | str, until: int | None = None, note: str = "") -> Rule:
    return Rule("ban", subject, NOW, until, note=note)


def refused(rules: Rules, kind: str = "demand", author: bytes = V, *categories: str, now: int = NOW) -> bool:
    return rules.refuses(kind, author, categories, now) is not None


def test_banned_key_is_refused_with_the_note_and_no_other_key_is() -> None:
    rules = Rules([ban(V, note="floods")])
    refusal = rules.refuses("profile", V, (), NOW)
    assert refusal is not None
    assert (refusal.code, refusal.detail) == (DENIED, "floods")
    assert rules.bars(V, NOW) is not None
    assert rules.bars(OTHER, NOW) is None
    assert not refused(rules, "profile", OTHER)


def test_sealed_records_of_a_banned_key_are_refused() -> None:
    assert refused(Rules([ban(V)]), "sealed")


def test_withdrawal_is_never_refused() -> None:
    assert not refused(Rules([ban(V)]), "demand-withdraw")


@pytest.mark.parametrize(
    ("category", "hit"),
    [("arms", True), ("arms/guns", True), ("arms/guns/old", True), ("arms-race", False), ("army", False),
     ("sports/arms", False), ("", False), ("/", False), ("arms/", True), ("Arms", False)],
)  # fmt: skip
def test_banned_category_refuses_itself_and_all_below_it(category: str, hit: bool) -> None:
    assert refused(Rules([ban("arms")]), "demand", V, category) is hit


def test_one_banned_category_among_several_is_enough() -> None:
    assert refused(Rules([ban("arms")]), "profile", V, "cars", "arms/guns")


def test_allowed_key_passes_category_bans_but_a_ban_of_it_ends_the_allowance() -> None:
    rules = Rules([ban("arms"), Rule("allow", V, NOW)])
    assert rules.allows(V, NOW)
    assert not refused(rules, "demand", V, "arms")
    assert refused(rules, "demand", OTHER, "arms")
    assert rules.put(ban(V)) == [Rule("allow", V, NOW)]
    assert not rules.allows(V, NOW)
    assert refused(rules, "demand", V)
    assert rules.put(Rule("allow", V, NOW)) == [ban(V)]
    assert not refused(rules, "demand", V)


def test_ban_ends_at_its_moment() -> None:
    rules = Rules([ban(V, NOW + 10), ban("arms", NOW + 20)])
    assert refused(rules, now=NOW + 9)
    assert not refused(rules, now=NOW + 10)
    assert refused(rules, "demand", V, "arms", now=NOW + 19)
    assert not refused(rules, "demand", V, "arms", now=NOW + 20)


def test_unban_leaves_nothing_behind() -> None:
    rules = Rules([ban("arms"), ban("arms", NOW + 10)])
    assert len(rules) == 1
    assert rules.drop("ban", "arms") == ban("arms", NOW + 10)
    assert rules.drop("ban", "arms") is None
    assert not refused(rules, "demand", V, "arms")
    assert list(rules) == []


def test_limits_and_retention_are_told_by_name() -> None:
    rules = Rules([Rule("limit", "connections", NOW, value=5), Rule("retention", "demand", NOW, value=7), ban(V)])
    assert rules.limits == {"connections": 5}
    assert rules.retention == {"demand": 7 * DAY}


def test_number_of_rules_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intentcast_relay.rules.MAX_RULES", 2)
    rules = Rules([ban("a"), ban("b")])
    with pytest.raises(RuleError, match="2 rules already"):
        rules.put(ban("c"))
    rules.put(ban("b", NOW + 1))
    assert {rule.subject for rule in rules} == {"a", "b"}


@given(st.lists(st.tuples(st.sampled_from(["put", "drop"]), st.sampled_from(["a", "a/b", "b"]), st.booleans())))
def test_book_equals_its_rules_read_anew(acts: list[tuple[str, str, bool]]) -> None:
    rules = Rules()
    for act, category, ends in acts:
        if act == "put":
            rules.put(ban(category, NOW if ends else None))
        else:
            rules.drop("ban", category)
    anew = Rules(list(rules))
    for category in ("a", "a/b", "a/b/c", "b", "c"):
        banned = {rule.subject for rule in rules if rule.stands(NOW)}
        expected = any(category == one or category.startswith(f"{one}/") for one in banned)
        assert refused(rules, "demand", V, category) is refused(anew, "demand", V, category) is expected


def test_subject_is_a_key_or_a_category() -> None:
    key = public_key(os.urandom(32))
    assert read_subject(did(key)) == read_key(did(key)) == key
    assert read_subject("vehicles/cars") == "vehicles/cars"


@pytest.mark.parametrize("text", ["", "did:key:z6Mk", "did:web:shop.example", "Cars", "a//b", "/", "a" * 65, "cars\n"])
def test_what_is_neither_key_nor_category_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        read_subject(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 30 * DAY), ("8w", 56 * DAY)]
)
def test_term_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert read_term(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "0d", "-1d", "1.5h", "30 d", "30D", "3651d", "9999999999w", "１d"])
def test_what_is_no_term_is_refused(text: str) -> None:
    with pytest.raises(RuleError, match="no length of time"):
        read_term(text)


@pytest.mark.parametrize("text", ["a" * (MAX_NOTE + 1), "two\nlines", "\x1b[31m", "\u202e"])
def test_note_is_one_short_line(text: str) -> None:
    assert read_note("spam, see our terms") == "spam, see our terms"
    with pytest.raises(RuleError, match="A note is one line"):
        read_note(text)


@pytest.mark.parametrize(
    ("kind", "days"), [("demand-withdraw", 5), ("sealed", 5), ("x", 5), ("demand", 0), ("demand", 31)]
)
def test_retention_is_for_demands_and_profiles_and_within_their_lives(kind: str, days: Any) -> None:
    check_retention("demand", 1)
    check_retention("profile", 30)
    with pytest.raises(RuleError, match="Retention is"):
        check_retention(kind, days)


def test_retention_shortens_what_comes_and_refuses_what_is_too_old(build: Any) -> None:
    house = House("ws://relay.example", 9, 10**6, retention={"demand": 100})
    long = {"expires": build.now + 1_000}
    old, short = {"created": build.now - 100}, {"expires": build.now + 50}
    records = [
        build.demand(build.seed(), **long),
        build.demand(build.seed(), **short),
        build.profile(build.seed(), **long),
    ]
    jobs = [Arrival(flatten(one), Standing()) for one in (*records, build.demand(build.seed(), **old, **long))]
    changes, answers = settle(jobs, Shelf(0), house, build.now)
    assert [posting.expires - build.now for posting in changes.insert.values()] == [100, 50, 1_000]
    # The bytes that were signed stay what they are.
    assert [posting.record for posting in changes.insert.values()] == [one.record for one in records]
    assert isinstance(answers[3], Refused)
    assert answers[3].code == "refused.record.expired"
