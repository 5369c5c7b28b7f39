"""Stored queries find what a filter passes and nothing else, by few rows or by walking. PROTOCOL §9.4"""

import random
import sqlite3
from itertools import product
from pathlib import Path

import pytest
from intentcast_protocol.area import Area
from intentcast_protocol.identity import Id, Key
from intentcast_protocol.subscription import Filter, within
from intentcast_relay.posting import Posting
from intentcast_relay.store import search
from intentcast_relay.store.contract import Changes, Shelf, Wanted
from intentcast_relay.store.migration import scripts
from intentcast_relay.store.sqlite import SqliteStore, create, open_store

NOW = 1_800_000_000
PATHS = ("cars", "cars-old", "cars/estate", "cars/estate/red", "cars/small", "phones", "No Slug")
PLACES = ((), ("u1",), ("u17",), ("u178",), ("u178", "u179"), ("u2", "u1"), ("e",))
LANDS = ((), ("NL",), ("DE", "NL"), ("FR",))
FILTERS = [
    Filter(types, authors, categories, Area(cells, lands))
    for types, authors, categories, cells, lands in product(
        ((), ("demand",)),
        ((), (Key(bytes(31) + b"\5"), Key(bytes(31) + b"\6"))),
        ((), ("cars",), ("cars/estate", "phones"), ("cars", "cars/estate")),
        ((), ("u178",), ("u1", "u17"), ("e", "u2z")),
        ((), ("NL",)),
    )
]


def posting(at: int, **fields: object) -> Posting:
    chance = random.Random(at)
    key = at.to_bytes(32, "big")
    made = Posting(
        id=Id(key),
        type=chance.choice(("demand", "profile")),
        author=Key(key),
        to=None,
        created=NOW - 60,
        expires=chance.choice((NOW, NOW + 60, NOW + 60)),
        categories=tuple(chance.sample(PATHS, chance.choice((0, 1, 1, 2)))),
        cells=chance.choice(PLACES),
        countries=chance.choice(LANDS),
        nonce=None,
        payload=b"payload %d" % at,
        signature=bytes(64),
    )
    return made._replace(**fields)


def passes(wanted: Filter, one: Posting) -> bool:
    """The rule itself, over a posting instead of an envelope."""
    pairs = product(one.categories, wanted.categories)
    return (
        one.expires > NOW
        and (not wanted.types or one.type in wanted.types)
        and (not wanted.authors or one.author in wanted.authors)
        and (not wanted.categories or any(within(have, want) for have, want in pairs))
        and wanted.area.meets(Area(one.cells, one.countries))
    )  # fmt: skip


async def filled(path: Path, postings: list[Posting]) -> SqliteStore:
    store = await open_store(path)

    def shelve(shelf: Shelf) -> Changes:
        shelf.seq += len(postings)
        return Changes(insert=dict(enumerate(postings, 1)))

    await store.write(Wanted(), shelve)
    return store


async def found(store: SqliteStore, wanted: Filter, limit: int) -> list[int]:
    """Replay page by page, as a subscription does."""
    at, upto, seqs = 0, store.seq, []
    while at < upto:
        page = await store.public(wanted, at, upto, limit, NOW)
        seqs += [seq for seq, _ in page.records]
        assert page.reached > at
        at = page.reached
    return seqs


@pytest.mark.parametrize("bounds", [{}, {"NEAR": 10}, {"NEAR": 10, "NARROW": 20}, {"NEAR": 10, "KINDS": 3}])
async def test_every_way_finds_what_the_filter_passes(
    bounds: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bounds.items():
        monkeypatch.setattr(search, name, value)
    postings = [posting(at) for at in range(1, 120)]
    store = await filled(tmp_path / "relay.db", postings)
    for wanted in FILTERS:
        passing = [seq for seq, one in enumerate(postings, 1) if passes(wanted, one)]
        assert await found(store, wanted, 7) == passing, wanted
    await store.close()


async def test_a_record_of_many_topics_and_places_has_few_rows_and_is_found_only_where_it_is(tmp_path: Path) -> None:
    categories = tuple(f"goods/{at}" for at in range(64))
    wide = posting(1, categories=categories, cells=("u1", "u2"), expires=NOW + 60)
    assert len(search.rows_of(1, wide)) == search.ROWS
    store = await filled(tmp_path / "relay.db", [wide])
    assert await found(store, Filter(categories=("goods/7",), area=Area(("u17",))), 5) == [1]
    assert await found(store, Filter(categories=("goods/7",), area=Area(("e1",))), 5) == []
    await store.close()


def test_few_rows_are_searched_by_category_and_place_and_a_walk_reads_no_record(tmp_path: Path) -> None:
    create(tmp_path / "relay.db")
    database = sqlite3.connect(tmp_path / "relay.db")
    wanted = Filter(("demand",), (), ("cars", "phones"), Area(("u178",), ("NL",)))

    def plan(statement: search.Statement) -> str:
        query, values = statement
        return "\n".join(row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}", values))

    narrow = plan(search.narrow(wanted))
    assert "SEARCH topic USING PRIMARY KEY (category=? AND place>? AND place<?)" in narrow
    assert "SEARCH topic USING PRIMARY KEY (category>? AND category<?)" in narrow
    walk = plan(search.walk(wanted, 1, 9, 5))
    assert walk == "SEARCH topic USING COVERING INDEX topic_seq (seq>? AND seq<?)"
    assert "SEARCH record USING INTEGER PRIMARY KEY (rowid=?)" in plan(search.fetch(wanted, "[1]", NOW))
    database.close()


async def test_an_older_database_gets_its_places(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    database = sqlite3.connect(path)
    database.executescript(scripts()[0] + "PRAGMA application_id = 0x69634153; PRAGMA user_version = 1;")
    postings = [posting(at) for at in range(1, 120)]
    for seq, one in enumerate(postings, 1):
        row = (seq, *one[:4], one.created, one.expires, " ".join(one.cells), " ".join(one.countries), one.payload,
               one.signature)  # fmt: skip
        database.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        topics = [(name, seq) for name in one.categories if name != "No Slug"]
        database.executemany("INSERT INTO topic VALUES (?, ?)", topics)
    database.commit()
    database.close()
    store = await open_store(path)
    rows = set(store._writer.execute("SELECT category, place, seq FROM topic"))
    assert rows == {row for seq, one in enumerate(postings, 1) for row in search.rows_of(seq, one)}
    await store.close()
