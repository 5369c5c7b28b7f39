"""What a batch does: public records in any order, sealed ones by admission, and each job seeing those before it."""

from itertools import permutations
from typing import Any

from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.record import Verified
from intentcast_relay.ledger import Act, Arrival, House, settle, wanted
from intentcast_relay.posting import flatten
from intentcast_relay.standing import Standing
from intentcast_relay.store.contract import Changes, Shelf

HOUSE = House("ws://relay.example:7447", mailbox_items=3, mailbox_bytes=100_000)


def answered(answers: list[Any]) -> list[Any]:
    return [answer.code if isinstance(answer, IntentcastError) else answer for answer in answers]


def arrivals(jobs: list[Any]) -> list[Any]:
    return [Arrival(flatten(job), Standing()) if isinstance(job, Verified) else job for job in jobs]


def decide(jobs: list[Any], shelf: Shelf, now: int) -> tuple[Changes, list[Any]]:
    changes, answers = settle(arrivals(jobs), shelf, HOUSE, now)
    return changes, answered(answers)


def test_the_newest_record_of_an_author_and_type_stands_in_any_order(build: Any) -> None:
    seed = build.seed()
    records = [build.demand(seed, name=name, created=build.now + at) for at, name in ((0, "a"), (1, "b"), (1, "c"))]
    newest = max(records, key=lambda record: (record.created, record.id))
    for order in permutations(records):
        changes, answers = decide(list(order), Shelf(0), build.now)
        assert [record.id for record in changes.insert.values()] == [newest.id]
        assert set(answers) <= {1, 2, 3, "refused.record.replaced"}


def test_an_older_record_is_told_that_it_was_replaced(build: Any) -> None:
    seed = build.seed()
    new, old = build.profile(seed, created=build.now), build.profile(seed, created=build.now - 1)
    _, answers = decide([new, old], Shelf(0), build.now)
    assert answers == [1, "refused.record.replaced"]


def test_types_and_authors_do_not_replace_each_other(build: Any) -> None:
    one, other = build.seed(), build.seed()
    changes, answers = decide([build.profile(one), build.demand(one), build.demand(other)], Shelf(0), build.now)
    assert answers == [1, 2, 3]
    assert list(changes.insert) == [1, 2, 3]


def test_a_withdrawal_is_final_in_any_order(build: Any) -> None:
    seed = build.seed()
    first, second = build.demand(seed), build.demand(seed, created=build.now + 1)
    withdrawal = build.withdraw(seed, first.id)
    for order in permutations([first, second, withdrawal]):
        changes, _ = decide(list(order), Shelf(0), build.now)
        assert [record.id for record in changes.insert.values()] == [withdrawal.id]
    _, answers = decide([withdrawal, second], Shelf(0), build.now)
    assert answers == [1, "refused.record.withdrawn"]


def test_a_stored_demand_is_removed_by_its_withdrawal(build: Any) -> None:
    seed = build.seed()
    demand = build.demand(seed)
    shelf = Shelf(0)
    decide([demand], shelf, build.now)
    changes, answers = decide([build.withdraw(seed, demand.id)], shelf, build.now)
    assert answers == [2]
    assert changes.delete == {1: demand.id}


def test_a_stored_record_is_answered_with_its_place(build: Any) -> None:
    demand = build.demand(build.seed())
    session = build.seed()
    sealed = build.sealed(session, demand.author)
    shelf = Shelf(6)
    changes, answers = decide([demand, sealed, demand, sealed], shelf, build.now)
    assert answers == [7, 8, 7, 8]
    assert list(changes.insert) == [7, 8]
    changes, answers = decide([sealed, demand], shelf, build.now)
    assert (answers, changes.insert) == ([8, 7], {})


def test_a_session_is_admitted_by_its_first_write_and_then_answered(build: Any) -> None:
    person, session = build.seed(), build.seed()
    demand = build.demand(person)
    jobs = [
        demand,
        build.sealed(session, demand.author, 0),
        build.sealed(person, build.key(session), 0),
        build.sealed(session, demand.author, 4),
        build.sealed(session, demand.author, 0),
        build.sealed(person, build.key(session), 0),
    ]
    changes, answers = decide(jobs, Shelf(0), build.now)
    no = "refused.mailbox.not-admitted"
    assert answers == [1, no, no, 2, 3, 4]
    assert list(changes.admit) == [(demand.author, build.key(session))]


def test_admitted_pairs_outlive_the_withdrawal_and_newcomers_do_not_get_in(build: Any) -> None:
    person, session = build.seed(), build.seed()
    demand = build.demand(person)
    shelf = Shelf(0)
    decide([demand, build.sealed(session, demand.author), build.withdraw(person, demand.id)], shelf, build.now)
    late = [build.sealed(session, demand.author, 0), build.sealed(build.seed(), demand.author)]
    _, answers = decide(late, shelf, build.now)
    assert answers == [4, "refused.mailbox.not-admitted"]


def test_a_mailbox_is_bounded_and_take_makes_room(build: Any) -> None:
    session = build.seed()
    demand = build.demand(build.seed())
    letters = [build.sealed(session, demand.author) for _ in range(4)]
    shelf = Shelf(0)
    _, answers = decide([demand, *letters], shelf, build.now)
    assert answers == [1, 2, 3, 4, "refused.mailbox.full"]
    take = Act("take", demand.author, ids=(letters[0].id, letters[0].id, bytes(32)))
    changes, answers = decide([take, take, letters[3]], shelf, build.now)
    assert answers == [1, 0, 5]
    assert changes.delete == {2: letters[0].id}


def test_nobody_takes_from_another_mailbox(build: Any) -> None:
    demand = build.demand(build.seed())
    letter = build.sealed(build.seed(), demand.author)
    shelf = Shelf(0)
    decide([demand, letter], shelf, build.now)
    changes, answers = decide([Act("take", build.key(build.seed()), ids=(letter.id, demand.id))], shelf, build.now)
    assert (answers, changes.delete) == ([0], {})


def test_stop_ends_one_session_and_keep_lengthens_another(build: Any) -> None:
    noisy, liked = build.seed(), build.seed()
    demand = build.demand(build.seed())
    shelf = Shelf(0)
    decide([demand, build.sealed(noisy, demand.author), build.sealed(liked, demand.author)], shelf, build.now)
    acts = [
        Act("stop", demand.author, session=build.key(noisy)),
        Act("stop", demand.author, session=bytes(32)),
        Act("keep", demand.author, session=build.key(liked), until=build.now + 300 * 86_400),
        Act("keep", demand.author, session=bytes(32), until=build.now + 86_400),
    ]
    changes, answers = decide(acts, shelf, build.now)
    assert answers == [None, None, None, "refused.mailbox.not-admitted"]
    assert len(changes.admit) == 2
    later = build.now + 200 * 86_400
    letters = [build.sealed(seed, demand.author, 0, created=later) for seed in (noisy, liked)]
    _, answers = decide(letters, shelf, later)
    assert answers == ["refused.mailbox.not-admitted", 4]


def test_a_batch_names_all_the_state_it_depends_on(build: Any) -> None:
    person, session = build.seed(), build.seed()
    demand, letter = build.demand(person), build.sealed(session, build.key(person))
    want = wanted(
        arrivals([demand, letter, Act("take", demand.author, ids=(b"x",)), Act("keep", b"d", session=b"s", until=1)])
    )
    assert want.authors == {demand.author}
    assert want.ids == {letter.id, b"x"}
    assert want.mailboxes == {demand.author}
    assert want.pairs == {(letter.to, letter.author), (letter.author, letter.to), (b"d", b"s")}
