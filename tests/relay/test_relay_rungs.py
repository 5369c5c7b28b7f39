"""The rungs a connection brings along, a proven domain and an invitation, batch by batch against a real database."""

import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from intentcast_protocol.errors import IntentcastError, Refused
from intentcast_protocol.invitation import Invitation, invite, pass_on
from intentcast_relay.admission import AFTER_DEMAND, domain_mark
from intentcast_relay.ledger import Act, Arrival, House, settle, wanted
from intentcast_relay.posting import flatten
from intentcast_relay.standing import MAX_DOMAINS, MAX_INVITATIONS, Standing
from intentcast_relay.store.contract import Admission, Changes, Shelf, Wanted
from intentcast_relay.store.migration import APPLICATION, scripts
from intentcast_relay.store.sqlite import SqliteStore, open_store

NOT = "refused.mailbox.not-admitted"


class Bench:
    """A store, a person with a demand, and vendors who write to it."""

    def __init__(self, store: SqliteStore, build: Any) -> None:
        self.store = store
        self.build = build
        self.person = build.seed()
        self.key = build.key(self.person)

    async def cast(self, *admit: str, **fields: Any) -> None:
        (answer,) = await self.batch((self.build.demand(self.person, admit=admit, **fields), Standing()))
        assert isinstance(answer, int)

    def letter(self, seed: bytes | None = None, bits: int = 0) -> Any:
        return self.build.sealed(seed or self.build.seed(), self.key, bits)

    async def batch(self, *jobs: Any) -> list[Any]:
        """Settle (record, standing) pairs and acts as one transaction; returns seqs, numbers and codes."""
        todo = [job if isinstance(job, Act) else Arrival(flatten(job[0]), job[1]) for job in jobs]
        house = House(self.build.url, 100, 1_000_000)
        told: list[Any] = []

        def decide(shelf: Shelf) -> Changes:
            changes, answers = settle(todo, shelf, house, self.build.now)
            told.extend(answer.code if isinstance(answer, IntentcastError) else answer for answer in answers)
            return changes

        await self.store.write(wanted(todo), decide)
        return told

    async def send(self, standing: Standing, seed: bytes | None = None, bits: int = 0) -> Any:
        """Send one letter, of a new session unless told otherwise; returns True or the code against it."""
        (answer,) = await self.batch((self.letter(seed, bits), standing))
        return answer if isinstance(answer, str) else True


@pytest.fixture
async def bench(tmp_path: Path, build: Any) -> AsyncIterator[Bench]:
    store = await open_store(tmp_path / "relay.db")
    found = Bench(store, build)
    yield found
    await found.store.close()


def of(*domains: str) -> Standing:
    return Standing(domains=frozenset(domain.encode() for domain in domains))


def holding(invitation: Invitation) -> Standing:
    return Standing().invited(invitation)


class TestStore:
    async def test_a_database_from_before_the_rungs_keeps_its_admissions(self, tmp_path: Path, build: Any) -> None:
        path, pair = tmp_path / "old.db", (b"p" * 32, b"s" * 32)
        with closing(sqlite3.connect(path)) as old:
            old.executescript(f"{scripts()[0]}PRAGMA application_id = {APPLICATION};PRAGMA user_version = 1;")
            old.execute("INSERT INTO admission VALUES (?, ?, ?, 0)", (*pair, build.now))
            old.commit()
        store = await open_store(path)
        found: list[Admission] = []

        def look(shelf: Shelf) -> Changes:
            found.extend(shelf.admissions.values())
            return Changes()

        await store.write(Wanted(pairs={pair}), look)
        await store.close()
        assert found == [Admission(*pair, build.now)]

    async def test_the_database_is_for_its_owner_alone(self, bench: Bench, tmp_path: Path) -> None:
        """It holds the seed of the relay's key."""
        await bench.cast("domain")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("relay.db*")}
        assert modes == dict.fromkeys(("relay.db", "relay.db-lock", "relay.db-shm", "relay.db-wal"), 0o600)

    async def test_what_waits_in_a_mailbox_is_not_summed_up_for_strangers(self, bench: Bench) -> None:
        """A refusal takes as long whether the mailbox holds much or does not exist. PROTOCOL §10.2"""
        await bench.cast("stamp:0")
        session = bench.build.seed()
        assert await bench.send(Standing(), session) is True
        answer = bench.build.sealed(bench.person, bench.build.key(session), 0)
        await bench.batch((answer, Standing()))
        stranger = Arrival(flatten(bench.build.sealed(bench.build.seed(), bench.build.key(session), 0)), Standing())
        shelves: list[Shelf] = []

        def look(shelf: Shelf) -> Changes:
            shelves.append(shelf)
            return Changes()

        await bench.store.write(wanted([stranger]), look)
        await bench.store.write(wanted([Arrival(flatten(answer), Standing())]), look)
        assert [shelf.items for shelf in shelves] == [{}, {bench.build.key(session): 1}]


class TestDomain:
    """PROTOCOL §10.2"""

    async def test_a_proven_domain_admits_one_session(self, bench: Bench) -> None:
        await bench.cast("domain")
        session = bench.build.seed()
        assert await bench.send(Standing(), session) == NOT
        assert await bench.send(of("shop.example"), session) is True
        assert await bench.send(Standing(), session) is True, "later records need no proof"
        assert await bench.send(of("shop.example")) == NOT
        assert await bench.send(of("other.example")) is True

    async def test_one_session_a_domain_holds_within_a_batch(self, bench: Bench) -> None:
        await bench.cast("domain")
        standing = of("shop.example")
        answers = await bench.batch((bench.letter(), standing), (bench.letter(), standing))
        assert answers[1:] == [NOT]

    async def test_of_several_domains_each_admits_one(self, bench: Bench) -> None:
        await bench.cast("domain")
        both = of("a.example", "b.example")
        assert [await bench.send(both) for _ in range(3)] == [True, True, NOT]

    async def test_a_stamp_leaves_the_domain_for_another_session(self, bench: Bench) -> None:
        await bench.cast("domain", "stamp:4")
        assert await bench.send(of("shop.example"), bits=4) is True
        assert await bench.send(of("shop.example")) is True
        assert await bench.send(of("shop.example")) == NOT

    async def test_what_the_demand_does_not_list_admits_nobody(self, bench: Bench) -> None:
        await bench.cast("invite", "stamp:20")
        assert await bench.send(of("shop.example")) == NOT

    async def test_a_stopped_vendor_does_not_come_again_by_its_domain(self, bench: Bench) -> None:
        await bench.cast("domain")
        session = bench.build.seed()
        await bench.send(of("shop.example"), session)
        await bench.batch(Act("stop", bench.key, session=bench.build.key(session)))
        assert await bench.send(of("shop.example"), session) == NOT
        assert await bench.send(of("shop.example")) == NOT

    async def test_keep_and_stop_do_not_lose_the_domain(self, bench: Bench) -> None:
        await bench.cast("domain")
        session = bench.build.seed()
        await bench.send(of("shop.example"), session)
        until = bench.build.now + 86_400 + AFTER_DEMAND + 10
        await bench.batch(Act("keep", bench.key, session=bench.build.key(session), until=until))
        assert await bench.send(of("shop.example")) == NOT

    async def test_a_new_version_of_the_demand_frees_its_domains(self, bench: Bench) -> None:
        await bench.cast("domain")
        old, new = bench.build.seed(), bench.build.seed()
        assert await bench.send(of("shop.example"), old) is True
        await bench.cast("domain", created=bench.build.now + 1)
        assert await bench.send(of("shop.example"), new) is True
        assert await bench.send(of("shop.example")) == NOT
        assert await bench.send(Standing(), old) is True, "the old session stays admitted"

    async def test_a_new_version_within_a_batch_frees_what_came_before_it(self, bench: Bench) -> None:
        await bench.cast("domain")
        standing, keep = of("shop.example"), bench.build.seed()
        version = bench.build.demand(bench.person, admit=("domain",), created=bench.build.now + 1)
        kept = Act("stop", bench.key, session=bench.build.key(keep))
        answers = await bench.batch(
            (bench.letter(keep), standing), (version, Standing()), (bench.letter(), standing), kept,
            (bench.letter(), standing),
        )  # fmt: skip
        assert [isinstance(answer, int) for answer in answers[:3]] == [True] * 3
        assert answers[3:] == [None, NOT]
        assert await bench.send(standing) == NOT

    async def test_a_demand_cast_again_after_its_end_takes_the_domain_again(self, bench: Bench) -> None:
        await bench.cast("domain")
        assert await bench.send(of("shop.example")) is True
        bench.build.now += 86_400
        while await bench.store.sweep(bench.build.now, 10):
            pass
        await bench.cast("domain")
        assert await bench.send(of("shop.example")) is True

    async def test_nothing_of_the_domain_is_kept_but_its_mark(self, bench: Bench, tmp_path: Path) -> None:
        await bench.cast("domain")
        await bench.send(of("very-special-shop.example"))
        stored = (tmp_path / "relay.db").read_bytes() + (tmp_path / "relay.db-wal").read_bytes()
        assert b"very-special-shop" not in stored
        assert domain_mark(bench.key, b"very-special-shop.example") in stored

    def test_a_connection_has_few_domains(self) -> None:
        standing = Standing()
        for at in range(MAX_DOMAINS):
            standing = standing.of_domain(f"shop{at}.example")
        assert standing.of_domain("shop0.example") == standing
        with pytest.raises(Refused):
            standing.of_domain("more.example")


class TestInvite:
    """PROTOCOL §10.2, §10.5"""

    def first(self, bench: Bench, uses: int = 2, *, onward: bool = False, life: int = 3_600) -> Invitation:
        vendor = bench.build.key(b"v" * 32)
        return invite(bench.person, to=vendor, uses=uses, until=bench.build.now + life, onward=onward)

    async def test_an_invitation_admits_as_often_as_it_says(self, bench: Bench) -> None:
        await bench.cast("invite")
        standing = holding(self.first(bench))
        assert [await bench.send(standing) for _ in range(3)] == [True, True, NOT]

    async def test_later_records_of_an_admitted_session_use_nothing_up(self, bench: Bench) -> None:
        await bench.cast("invite")
        standing, session = holding(self.first(bench, 1)), bench.build.seed()
        assert [await bench.send(standing, session) for _ in range(3)] == [True] * 3

    async def test_uses_are_counted_within_a_batch(self, bench: Bench) -> None:
        await bench.cast("invite")
        standing = holding(self.first(bench))
        answers = await bench.batch(*[(bench.letter(), standing) for _ in range(4)])
        assert answers[2:] == [NOT, NOT]

    async def test_uses_outlive_a_restart(self, bench: Bench, tmp_path: Path) -> None:
        await bench.cast("invite")
        standing = holding(self.first(bench, 1))
        assert await bench.send(standing) is True
        await bench.store.close()
        bench.store = await open_store(tmp_path / "relay.db")
        assert await bench.send(standing) == NOT

    async def test_a_stamp_is_preferred_to_a_use(self, bench: Bench) -> None:
        await bench.cast("invite", "stamp:4")
        standing = holding(self.first(bench, 1))
        assert [await bench.send(standing, bits=4), await bench.send(standing)] == [True, True]
        assert await bench.send(standing) == NOT

    async def test_every_level_of_a_chain_is_counted(self, bench: Bench) -> None:
        await bench.cast("invite")
        first = self.first(bench, 3, onward=True)
        passed = [
            holding(pass_on(b"v" * 32, first, to=bench.build.key(bench.build.seed()), uses=2, until=first.until))
            for _ in range(2)
        ]
        assert [await bench.send(passed[0]) for _ in range(3)] == [True, True, NOT]
        assert [await bench.send(passed[1]) for _ in range(2)] == [True, NOT], "the first has no use left"
        assert await bench.send(holding(first)) == NOT

    async def test_an_invitation_that_ended_admits_nobody(self, bench: Bench) -> None:
        await bench.cast("invite")
        standing = holding(self.first(bench, life=100))
        bench.build.now += 99
        assert await bench.send(standing) is True
        bench.build.now += 1
        assert await bench.send(standing) == NOT

    async def test_an_invitation_to_another_demand_admits_nobody(self, bench: Bench) -> None:
        await bench.cast("invite")
        vendor = bench.build.key(b"v" * 32)
        other = invite(bench.build.seed(), to=vendor, uses=5, until=bench.build.now + 99)
        assert await bench.send(holding(other)) == NOT

    async def test_a_full_mailbox_uses_nothing_up(self, bench: Bench) -> None:
        await bench.cast("invite")
        standing = holding(self.first(bench, 1))
        letter = Arrival(flatten(bench.letter()), standing)

        def decide(shelf: Shelf) -> Changes:
            changes, _ = settle([letter], shelf, House(bench.build.url, 0, 0), bench.build.now)
            return changes

        assert not (await bench.store.write(wanted([letter]), decide)).use
        assert await bench.send(standing) is True

    async def test_counts_of_what_ended_are_swept(self, bench: Bench) -> None:
        await bench.cast("invite")
        await bench.send(holding(self.first(bench, life=100)))
        assert await bench.store.sweep(bench.build.now + 99, 10) == 0
        assert await bench.store.sweep(bench.build.now + 100, 10) == 1
        assert await bench.store.sweep(bench.build.now + 100, 10) == 0

    def test_a_connection_shows_one_invitation_a_demand_and_few_in_all(self, build: Any) -> None:
        standing, person = Standing(), build.seed()
        for uses in (1, 2):
            standing = standing.invited(invite(person, to=build.key(person), uses=uses, until=build.now))
        assert [one.links[0].uses for one in standing.invitations.values()] == [2]
        several = replace(standing, invitations={bytes([at]) * 32: None for at in range(MAX_INVITATIONS)})  # type: ignore[misc]
        with pytest.raises(Refused):
            several.invited(invite(person, to=build.key(person), uses=1, until=build.now))
