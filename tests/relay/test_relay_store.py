"""One suite of behaviour for every backend of the storage contract."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from intentcast_protocol.area import Area
from intentcast_protocol.record import Verified
from intentcast_protocol.subscription import Filter
from intentcast_relay.ledger import Act, Arrival, House, Job, settle, wanted
from intentcast_relay.posting import flatten
from intentcast_relay.rules import Rule
from intentcast_relay.standing import Standing
from intentcast_relay.store.contract import Changes, Shelf, Store, StoreError
from intentcast_relay.store.migration import scripts
from intentcast_relay.store.search import direct
from intentcast_relay.store.sqlite import create, open_store

HOUSE = House("ws://relay.example:7447", mailbox_items=100, mailbox_bytes=10**6)
ALL = 2**40

Open = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["sqlite"])
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Open the backend; a second call closes what the first one opened and opens it again."""
    assert request.param == "sqlite"
    opened: list[Store] = []

    async def again() -> Store:
        if opened:
            await opened.pop().close()
        opened.append(await open_store(tmp_path / "relay.db"))
        return opened[-1]

    yield again
    for store in opened:
        await store.close()


@pytest.fixture
async def store(reopen: Open) -> Store:
    return await reopen()


def arrivals(*work: Verified | Act) -> list[Job]:
    return [Arrival(flatten(one), Standing()) if isinstance(one, Verified) else one for one in work]


async def put(store: Store, now: int, *work: Verified | Act) -> list[Any]:
    """Settle some jobs in one transaction and return their answers."""
    answers: list[Any] = []
    jobs = arrivals(*work)

    def decide(shelf: Shelf) -> Changes:
        changes, told = settle(jobs, shelf, HOUSE, now)
        answers.extend(told)
        return changes

    await store.write(wanted(jobs), decide)
    return answers


async def stored(store: Store, now: int, wanted: Filter | None = None, after: int = 0) -> list[int]:
    page = await store.public(wanted or Filter(), after, ALL, 1_000, now)
    return [seq for seq, _ in page.records]


async def test_records_come_back_byte_for_byte_in_order(store: Store, build: Any) -> None:
    demands = [build.demand(build.seed()) for _ in range(5)]
    assert await put(store, build.now, *demands) == [1, 2, 3, 4, 5]
    page = await store.public(Filter(), 0, ALL, 100, build.now)
    assert page.records == [(seq, demand.record) for seq, demand in enumerate(demands, start=1)]
    assert store.seq == 5


async def test_what_is_stored_survives_and_places_are_never_given_twice(reopen: Open, build: Any) -> None:
    store = await reopen()
    epoch = store.epoch
    person, session = build.seed(), build.seed()
    demand = build.demand(person)
    letter = build.sealed(session, demand.author)
    assert await put(store, build.now, demand, letter) == [1, 2]
    assert await put(store, build.now, Act("take", demand.author, ids=(letter.id,))) == [1]
    store = await reopen()
    assert (store.epoch, store.seq, len(epoch)) == (epoch, 2, 8)
    assert await put(store, build.now, letter, build.sealed(session, demand.author, 0)) == [3, 4]
    page = await store.mailbox(demand.author, 0, ALL, 10, build.now)
    assert [seq for seq, _ in page.records] == [3, 4]


async def test_a_store_loads_what_the_rules_ask_for(reopen: Open, build: Any) -> None:
    store = await reopen()
    person, session = build.seed(), build.seed()
    demand, letter = build.demand(person), build.sealed(session, build.key(person))
    await put(store, build.now, demand, letter)
    await put(store, build.now, Act("stop", demand.author, session=letter.author))
    store = await reopen()
    seen: list[Shelf] = []

    def look(shelf: Shelf) -> Changes:
        seen.append(shelf)
        return Changes()

    await store.write(wanted(arrivals(demand, letter)), look)
    await store.write(wanted(arrivals(demand, build.sealed(build.seed(), demand.author))), look)
    known, stranger = seen
    assert known.seq == 2
    assert known.newest[demand.author, "demand"].id == demand.id
    assert known.held[letter.id].recipient == demand.author
    assert known.admissions[demand.author, letter.author].stopped
    assert known.items == {demand.author: 1}
    assert known.bytes == {demand.author: len(letter.record.payload)}
    assert stranger.demands[demand.author] == demand.record.payload


async def test_replaced_and_withdrawn_records_are_gone(store: Store, build: Any) -> None:
    seed = build.seed()
    old, new = build.demand(seed), build.demand(seed, created=build.now + 1)
    await put(store, build.now, old)
    await put(store, build.now, new)
    assert await stored(store, build.now) == [2]
    assert await store.record(old.id, build.now) is None
    await put(store, build.now, build.withdraw(seed, new.id))
    assert await stored(store, build.now) == [3]
    assert await stored(store, build.now, Filter(categories=("vehicles",))) == []


async def test_a_transaction_that_fails_leaves_nothing(store: Store, build: Any) -> None:
    demand = build.demand(build.seed())

    def decide(shelf: Shelf) -> Changes:
        return Changes(insert={1: flatten(demand), 2: flatten(demand)})

    with pytest.raises(StoreError, match="cannot be written"):
        await store.write(wanted(arrivals(demand)), decide)
    assert await stored(store, build.now) == []
    assert await put(store, build.now, demand) == [1]


async def test_pages_are_bounded_and_go_on_where_they_ended(store: Store, build: Any) -> None:
    await put(store, build.now, *(build.demand(build.seed()) for _ in range(7)))
    found, at = [], 0
    while at < 6:
        page = await store.public(Filter(), at, 6, 3, build.now)
        found.append([seq for seq, _ in page.records])
        at = page.reached
    assert found == [[1, 2, 3], [4, 5, 6]]


async def test_a_page_that_an_area_thins_out_still_goes_on(store: Store, build: Any) -> None:
    lands = [("NL",), ("FR",), ("FR",), ("NL",)]
    await put(store, build.now, *(build.demand(build.seed(), countries=land) for land in lands))
    first = await store.public(Filter(area=Area((), ("NL",))), 0, 4, 2, build.now)
    second = await store.public(Filter(area=Area((), ("NL",))), first.reached, 4, 2, build.now)
    assert [seq for seq, _ in first.records + second.records] == [1, 4]
    assert (first.reached, second.reached) == (2, 4)


async def test_a_stored_query_finds_what_the_filter_passes(store: Store, build: Any) -> None:
    random = Random(7)
    paths = ["cars", "cars/used", "cars/used/old", "cars0", "cars-x", "phones", "phones/plans"]
    cells, countries = ["u1", "u178", "u17", "9q8"], ["NL", "DE"]

    def some(values: list[str]) -> tuple[str, ...]:
        return tuple(random.sample(values, random.randint(0, 2)))

    records: list[Verified] = []
    for _ in range(120):
        seed = build.seed()
        kind = random.randrange(3)
        if kind == 0:
            records.append(build.withdraw(seed))
        elif kind == 1:
            records.append(build.profile(seed, some(paths)))
        else:
            place = {"cells": some(cells), "countries": some(countries)}
            records.append(build.demand(seed, random.choice(paths), **place))
    places = await put(store, build.now, *records)
    types = ["demand", "profile", "demand-withdraw"]
    for _ in range(150):
        wanted_filter = Filter(
            types=some(types),
            authors=tuple(record.author for record in random.sample(records, 5)) if random.random() < 0.2 else (),
            categories=some(paths),
            area=Area(some(cells), some(countries)),
        )
        passing = [seq for seq, record in zip(places, records, strict=True) if wanted_filter.passes(record)]
        assert await stored(store, build.now, wanted_filter) == passing


async def test_what_has_ended_is_never_served(store: Store, build: Any) -> None:
    demand = build.demand(build.seed(), expires=build.now + 10)
    letter = build.sealed(build.seed(), demand.author, expires=build.now + 10)
    await put(store, build.now, demand, letter)
    for now, count in ((build.now + 9, 1), (build.now + 10, 0)):
        assert len(await stored(store, now)) == count
        assert len((await store.mailbox(demand.author, 0, ALL, 10, now)).records) == count
        assert (await store.record(demand.id, now) is not None) == bool(count)


async def test_a_sweep_deletes_what_has_ended_a_batch_at_a_time(store: Store, build: Any) -> None:
    short = [build.demand(build.seed(), expires=build.now + 10) for _ in range(5)]
    lasting = build.demand(build.seed())
    await put(store, build.now, *short, lasting)
    assert await store.sweep(build.now + 9, 3) == 0
    assert [await store.sweep(build.now + 10, 3) for _ in range(3)] == [3, 2, 0]
    assert await stored(store, build.now) == [6]
    later = build.now + 10
    assert await put(store, later, build.demand(build.seed(), created=later)) == [7]


async def test_a_sweep_forgets_lapsed_admissions(store: Store, build: Any) -> None:
    session = build.seed()
    demand = build.demand(build.seed())
    await put(store, build.now, demand, build.sealed(session, demand.author))
    end = demand.expires + 30 * 86_400
    assert await store.sweep(end - 1, 10) == 2
    assert await store.sweep(end, 10) == 1


async def test_only_public_records_are_found_by_id(store: Store, build: Any) -> None:
    demand = build.demand(build.seed())
    letter = build.sealed(build.seed(), demand.author)
    await put(store, build.now, demand, letter)
    assert await store.record(demand.id, build.now) == (demand.record, demand.expires)
    assert await store.record(letter.id, build.now) is None


async def test_a_demand_of_any_shape_is_kept_and_found(store: Store, build: Any) -> None:
    bodies: list[dict[str, Any]] = [
        {},
        {"itemOffered": 3, "areaServed": [], "replyTo": [], "admit": {}},
        {"itemOffered": {"category": ["cars"]}, "areaServed": {"cells": ["not a cell"]}},
        {"itemOffered": {"category": "Cars / % _ ' \" \0"}, "areaServed": {"countries": [1]}},
        {"categories": ["cars"] * 70, "areaServed": {"cells": [[]], "x": 1}},
    ]
    records = [build.record(kind, build.seed(), body) for body in bodies for kind in ("demand", "profile")]
    assert await put(store, build.now, *records) == list(range(1, 11))
    letters = [build.sealed(build.seed(), record.author) for record in records]
    answers = await put(store, build.now, *letters)
    assert {answer.code for answer in answers} == {"refused.mailbox.not-admitted"}
    assert await stored(store, build.now, Filter(types=("demand",))) == [1, 3, 5, 7, 9]


# What is particular to SQLite


async def test_rules_are_kept_and_replaced_by_kind_and_subject(reopen: Open, build: Any) -> None:
    store, key = await reopen(), build.key(build.seed())
    kept = [Rule("ban", key, 1, 99, None, "floods"), Rule("ban", "arms", 2), Rule("limit", "connections", 3, value=7)]
    await store.rule(kept, [])
    await store.rule([Rule("ban", "arms", 4, 50)], [kept[2]])
    store = await reopen()
    assert await store.rules() == [kept[0], Rule("ban", "arms", 4, 50)]


async def test_a_purge_deletes_public_records_of_a_key_or_category_a_batch_at_a_time(store: Store, build: Any) -> None:
    seed, other, friend = build.seed(), build.seed(), build.seed()
    mine = [build.demand(seed, "arms/guns"), build.profile(seed, ("arms",))]
    gone = build.withdraw(build.seed())
    rest = [build.demand(other, "arms"), build.demand(friend, "arms/old"), build.demand(build.seed(), "arms-race")]
    sealed = build.sealed(seed, build.key(other))
    build.url = HOUSE.url
    assert await put(store, build.now, *mine, gone, *rest, sealed) == [1, 2, 3, 4, 5, 6, 7]
    key = build.key(seed)
    assert len(await store.purge(key, 1)) == 1
    assert len(await store.purge(key, 9)) == 1
    assert await store.purge(key, 9) == []
    assert await stored(store, build.now) == [3, 4, 5, 6]
    assert len((await store.mailbox(build.key(other), 0, ALL, 9, build.now)).records) == 1
    await store.rule([Rule("allow", build.key(friend), build.now)], [])
    assert await store.purge("arms", 9) == [rest[0].id]
    assert await store.purge("arms", 9) == []
    assert await stored(store, build.now, Filter(categories=("arms",))) == [5]
    assert await stored(store, build.now) == [3, 5, 6]


async def test_public_records_of_a_type_are_ended_sooner_never_later(store: Store, build: Any) -> None:
    long = [build.demand(build.seed(), expires=build.now + 1_000) for _ in range(3)]
    short, profile = build.demand(build.seed(), expires=build.now + 10), build.profile(build.seed())
    await put(store, build.now, *long, short, profile)
    after: int | None = 0
    steps = []
    while after is not None:
        after = await store.shorten("demand", 100, after, 2)
        steps.append(after)
    assert steps == [2, 4, None]
    assert await stored(store, build.now + 9) == [1, 2, 3, 4, 5]
    assert await stored(store, build.now + 10) == [1, 2, 3, 5]
    assert await stored(store, build.now + 100) == [5]


def test_the_writer_syncs_fully(tmp_path: Path) -> None:
    create(tmp_path / "relay.db")
    with_wal = sqlite3.connect(tmp_path / "relay.db")
    assert with_wal.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with_wal.close()


async def test_every_commit_is_an_fsync(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "relay.db")
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    await store.close()


@pytest.mark.parametrize(
    ("wanted_filter", "index"),
    [
        (Filter(), "INTEGER PRIMARY KEY"),
        (Filter(authors=(bytes(32),)), "record_newest"),
        (Filter(types=("demand",)), "record_type"),
    ],
)
async def test_a_stored_query_walks_the_index_its_filter_offers(
    tmp_path: Path, wanted_filter: Filter, index: str
) -> None:
    create(tmp_path / "relay.db")
    database = sqlite3.connect(tmp_path / "relay.db")
    query, values = direct(wanted_filter, 1, 9, 10, 5)
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}", values)]
    database.close()
    assert any(index in step for step in plan), plan


async def test_a_newer_database_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    create(path)
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {len(scripts()) + 1}")
    newer.close()
    with pytest.raises(StoreError, match="written by a newer intentcast-relay"):
        await open_store(path)


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE secret (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not the database of an intentcast relay"):
        await open_store(path)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        await open_store(path)


async def test_two_relays_never_share_a_database(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "relay.db")
    with pytest.raises(StoreError, match="in use by another relay"):
        await open_store(tmp_path / "relay.db")
    await store.close()
    again = await open_store(tmp_path / "relay.db")
    await again.ping()
    await again.close()


async def test_a_clean_close_leaves_one_file_to_copy(tmp_path: Path, build: Any) -> None:
    store = await open_store(tmp_path / "relay.db")
    await put(store, build.now, build.demand(build.seed()))
    await store.close()
    assert {entry.name for entry in tmp_path.iterdir()} == {"relay.db", "relay.db-lock"}
