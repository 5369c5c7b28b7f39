"""What the operator tells a relay: verbs on a running one take effect at once, on a resting one they wait for it."""

import asyncio
import json
import logging
import signal
import sqlite3
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from intentcast_protocol.frames import Ack, Problem, Publish
from intentcast_protocol.identity import did
from intentcast_relay.admin import Admin
from intentcast_relay.config import Config, Limits
from intentcast_relay.control import MAX_LINE, Failed, NotRunning, ask, serving, socket_address
from intentcast_relay.rules import DENIED, Rules
from intentcast_relay.server import running
from intentcast_relay.store.sqlite import open_store

DAY = 86_400
Tell = Callable[..., Awaitable[Any]]


def ignore(event: dict[str, Any]) -> None:
    """A caller who does not want to know how far it is."""


@pytest.fixture
def tell(relay: Any) -> Tell:
    """Perform a verb over the running relay's socket, as the command does."""

    async def told(verb: str, **args: Any) -> Any:
        return await asyncio.to_thread(ask, relay.config.database, verb, args, ignore)

    return told


@pytest.fixture
def resting(config: Config) -> Tell:
    """Perform a verb on the database of a relay that does not run."""

    async def told(verb: str, **args: Any) -> Any:
        store = await open_store(config.database)
        try:
            rules = Rules(await store.rules())
            return await Admin(store, rules, config.database, lambda: 1_800_000_000).perform(verb, args, ignore)
        finally:
            await store.close()

    return told


class TestBan:
    async def test_banned_key_is_cut_off_refused_and_told_why(
        self, relay: Any, tell: Tell, connect: Any, build: Any
    ) -> None:
        seed, other = build.seed(), build.seed()
        banned, bystander = await connect(relay, seed), await connect(relay, other)
        await tell("ban", subject=did(build.key(seed)), note="floods")
        answer = await banned.receive()
        assert isinstance(answer, Problem)
        assert (answer.req, answer.code) == (None, DENIED)
        assert "floods" in answer.sentence
        assert await banned.closed_by_relay() == 1008
        again = await connect(relay)
        answer = await again.call(again.proof(seed))
        assert isinstance(answer, Problem)
        assert answer.code == DENIED
        answer = await again.publish(build.demand(seed))
        assert isinstance(answer, Problem)
        assert (answer.code, "floods" in answer.sentence) == (DENIED, True)
        assert await again.refused(build.sealed(seed, build.key(other))) == DENIED
        await again.stored(build.withdraw(seed))
        await bystander.stored(build.demand(other))

    async def test_banned_category_hits_what_lies_below_it(
        self, relay: Any, tell: Tell, connect: Any, build: Any
    ) -> None:
        client = await connect(relay)
        friend = build.seed()
        await tell("ban", subject="arms")
        await tell("allow", key=did(build.key(friend)))
        assert await client.refused(build.demand(build.seed(), "arms/guns")) == DENIED
        assert await client.refused(build.profile(build.seed(), ("cars", "arms"))) == DENIED
        await client.stored(build.demand(build.seed(), "vehicles/cars"))
        await client.stored(build.demand(friend, "arms/guns"))
        await tell("disallow", key=did(build.key(friend)))
        assert await client.refused(build.demand(friend, "arms/guns", created=build.now + 1)) == DENIED

    async def test_ban_for_a_time_ends_and_unban_ends_it_at_once(
        self, relay: Any, tell: Tell, connect: Any, build: Any
    ) -> None:
        client, seed = await connect(relay), build.seed()
        done = await tell("ban", subject=did(build.key(seed)), term="1h")
        assert done["until"] == build.now + 3_600
        assert await client.refused(build.demand(seed)) == DENIED
        build.now += 3_600
        await client.stored(build.demand(seed))
        assert await tell("list") == []
        await tell("ban", subject="vehicles")
        assert await client.refused(build.demand(build.seed())) == DENIED
        await tell("unban", subject="vehicles")
        await client.stored(build.demand(build.seed()))

    async def test_purge_deletes_public_records_but_not_the_withdrawal(
        self, relay: Any, tell: Tell, connect: Any, build: Any
    ) -> None:
        seed, other = build.seed(), build.seed()
        client = await connect(relay, other)
        demand, profile, withdrawal = build.demand(seed), build.profile(seed), build.withdraw(build.seed())
        kept = build.demand(other)
        for record in (demand, profile, withdrawal, kept):
            await client.stored(record)
        await client.stored(build.sealed(seed, build.key(other)))
        done = await tell("ban", subject=did(build.key(seed)), purge=True)
        assert done["purged"] == 2
        _, stored, _ = await client.subscribe()
        assert {record.id for _, record in stored} == {withdrawal.id, kept.id}
        assert len((await client.read(build.key(other)))[1]) == 1
        # Nor does the relay's memory of what it stored answer for them.
        assert await client.refused(demand) == DENIED
        assert await client.refused(profile) == DENIED

    async def test_purged_category_spares_its_neighbours_and_allowed_keys(
        self, relay: Any, tell: Tell, connect: Any, build: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("intentcast_relay.admin.STEP", 2)
        client, friend = await connect(relay), build.seed()
        for _ in range(5):
            await client.stored(build.demand(build.seed(), "arms/guns"))
        kept = [
            build.demand(build.seed(), "arms-race"),
            build.demand(friend, "arms"),
            build.demand(build.seed(), "army"),
        ]
        for record in kept:
            await client.stored(record)
        await tell("allow", key=did(build.key(friend)))
        assert (await tell("ban", subject="arms", purge=True))["purged"] == 5
        _, stored, _ = await client.subscribe()
        assert {record.id for _, record in stored} == {record.id for record in kept}

    async def test_nothing_slips_in_between_ban_and_purge(
        self, relay: Any, tell: Tell, connect: Any, build: Any
    ) -> None:
        seed = build.seed()
        client = await connect(relay)
        for number in range(40):
            record = (
                build.demand(build.seed(), "arms") if number % 2 else build.demand(seed, created=build.now + number)
            )
            await client.send(Publish(number, record.record))
        await tell("ban", subject="arms", purge=True)
        for _ in range(40):
            assert isinstance(await client.receive(), Ack | Problem)
        _, stored, _ = await client.subscribe()
        assert [record for _, record in stored if b"arms" in record.payload] == []


class TestLimits:
    async def test_limit_takes_effect_at_once_and_outlasts_a_restart(
        self, config: Config, clock: Any, connect: Any, build: Any
    ) -> None:
        async with running(config, clock) as relay:
            await relay.admin.perform("limit", {"name": "mailbox_items", "value": 1}, ignore)
            build.url, person, vendor = relay.config.url, build.seed(), build.seed()
            client = await connect(relay)
            await client.stored(build.demand(person))
            await client.stored(build.sealed(vendor, build.key(person)))
            assert await client.refused(build.sealed(vendor, build.key(person))) == "refused.mailbox.full"
            assert relay.info()["limits"]["mailbox_items"] == 1
        async with running(config, clock) as relay:
            assert relay.config.limits == replace(Limits(), mailbox_items=1)
            # A file that is read again does not undo it.
            relay.apply(replace(config, name="Another name", limits=replace(Limits(), connections=7)))
            assert relay.config.name == "Another name"
            assert relay.config.limits == replace(Limits(), mailbox_items=1, connections=7)
            await relay.admin.perform("limit", {"name": "mailbox_items", "value": None}, ignore)
            assert relay.config.limits == replace(Limits(), connections=7)

    async def test_limit_that_the_program_no_longer_knows_does_no_harm(self, config: Config, resting: Any) -> None:
        await resting("limit", name="connections", value=7)
        assert Config().limited({"connections": 7, "of_old": 3}).limits == replace(Limits(), connections=7)

    async def test_retention_ends_what_is_stored_and_what_comes(
        self, relay: Any, tell: Tell, connect: Any, build: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("intentcast_relay.admin.STEP", 2)
        client = await connect(relay)
        seeds = [build.seed() for _ in range(5)]
        long = {"expires": build.now + 20 * DAY}
        for seed in seeds:
            await client.stored(build.demand(seed, **long))
        profile = build.profile(build.seed(), **long)
        await client.stored(profile)
        await tell("retention", kind="demand", days=3)
        assert relay.info()["limits"]["demand_life"] == 3 * DAY
        await client.stored(build.demand(build.seed(), **long))
        build.now += 3 * DAY - 1
        assert len((await client.subscribe(once=True))[1]) == 7
        build.now += 1
        assert [record.id for _, record in (await client.subscribe(once=True))[1]] == [profile.id]
        # One that comes later is older than this relay keeps.
        assert (
            await client.refused(build.demand(build.seed(), created=build.now - 3 * DAY, **long))
            == "refused.record.expired"
        )
        assert await relay.sweep(build.now) == 6
        await tell("retention", kind="demand", days=None)
        await client.stored(build.demand(build.seed(), expires=build.now + 20 * DAY))
        build.now += 5 * DAY
        assert len((await client.subscribe(once=True))[1]) == 2


class TestAtRest:
    async def test_verbs_on_the_database_wait_for_the_relay(
        self, config: Config, clock: Any, resting: Any, connect: Any, build: Any
    ) -> None:
        seed = build.seed()
        async with running(config, clock) as relay:
            client = await connect(relay)
            await client.stored(build.demand(seed))
        done = await resting("ban", subject=did(build.key(seed)), note="floods", purge=True)
        assert done["purged"] == 1
        await resting("retention", kind="profile", days=2)
        (rule, _) = await resting("list")
        assert (rule["kind"], rule["subject"], rule["note"]) == ("ban", did(build.key(seed)), "floods")
        async with running(config, clock) as relay:
            client = await connect(relay)
            assert await client.refused(build.demand(seed)) == DENIED
            await client.stored(build.profile(build.seed(), expires=build.now + 9 * DAY))
            build.now += 2 * DAY
            assert (await client.subscribe())[1] == []

    @pytest.mark.parametrize(
        ("verb", "args", "code", "says"),
        [
            ("fly", {}, 2, "no verb"),
            ("perform", {}, 2, "no verb"),
            ("ban", {}, 2, "missing a required argument"),
            ("ban", {"subject": "Cars"}, 2, "neither a did:key nor a category"),
            ("ban", {"subject": 1}, 2, "subject has to be a text"),
            ("ban", {"subject": "cars", "term": "soon"}, 2, "no length of time"),
            ("ban", {"subject": "cars", "note": "a\nb"}, 2, "one line"),
            ("ban", {"subject": "cars", "more": 1}, 2, "unexpected"),
            ("unban", {"subject": "cars"}, 3, "no such rule"),
            ("allow", {"key": "cars"}, 2, "is not a key"),
            ("disallow", {"key": "did:key:z"}, 2, "is not a key"),
            ("limit", {"name": "conections", "value": 1}, 2, "not a setting"),
            ("limit", {"name": "connections", "value": 0}, 2, "at least 1"),
            ("limit", {"name": "subscriptions", "value": 999}, 2, "at most 32"),
            ("limit", {"name": "connections", "value": "7"}, 2, "whole number"),
            ("limit", {"name": "connections", "value": None}, 3, "no such rule"),
            ("retention", {"kind": "sealed", "days": 1}, 2, "Retention is set for"),
            ("retention", {"kind": "demand", "days": 99}, 2, "1 to 30 days"),
            ("retention", {"kind": "demand", "days": "5"}, 2, "1 to 30 days"),
            ("retention", {"kind": "demand", "days": None}, 3, "no such rule"),
            ("backup", {"file": "here"}, 2, "whole path"),
            ("backup", {"file": "/nowhere/at/all"}, 1, "no folder"),
        ],
    )
    async def test_what_makes_no_sense_changes_nothing_and_is_told(
        self, resting: Any, verb: str, args: dict[str, Any], code: int, says: str
    ) -> None:
        with pytest.raises(Failed, match=says) as failed:
            await resting(verb, **args)
        assert failed.value.exit_code == code
        assert await resting("list") == []


class TestSocket:
    async def test_socket_is_for_this_account_and_gone_with_the_relay(self, config: Config, clock: Any) -> None:
        path = config.database.with_name("relay.db-admin")
        async with running(config, clock):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_ISSOCK(path.stat().st_mode)
        assert not path.exists()
        with pytest.raises(NotRunning):
            ask(config.database, "list", {}, ignore)

    async def test_socket_of_a_killed_relay_is_replaced(self, config: Config, clock: Any) -> None:
        with socket_address(config.database) as address:
            Path(address).touch()
        async with running(config, clock):
            assert await asyncio.to_thread(ask, config.database, "list", {}, ignore) == []

    async def test_long_path_is_no_hindrance(self, config: Config, clock: Any, tmp_path: Path) -> None:
        folder = tmp_path / ("a" * 100) / ("b" * 100)
        folder.mkdir(parents=True)
        async with running(replace(config, database=folder / "relay.db"), clock):
            assert await asyncio.to_thread(ask, folder / "relay.db", "list", {}, ignore) == []
        assert not (folder / "relay.db-admin").exists()

    @pytest.mark.parametrize(
        "line",
        [b"\n", b"list\n", b"[]\n", b"{}\n", b'{"verb": 1}\n', b'{"verb": "list", "args": []}\n', b"[" * 60_000 + b"\n",
         b"x" * (2 * MAX_LINE), b"\xff\n", b'{"verb": "list", "args": {"self": 1}}\n'],
    )  # fmt: skip
    async def test_bad_request_is_answered_and_harms_nobody(self, relay: Any, tell: Tell, line: bytes) -> None:
        reader, writer = await asyncio.open_unix_connection(f"{relay.config.database}-admin")
        writer.write(line)
        answer = json.loads(await asyncio.wait_for(reader.readline(), 5))
        assert answer["error"]["exit"] == 2
        writer.close()
        assert await tell("list") == []

    async def test_fault_of_ours_is_told_without_its_text(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "intentcast_relay")

        async def perform(verb: str, args: dict[str, Any], word: Any) -> None:
            raise RuntimeError("secret")

        async with serving(perform, tmp_path / "relay.db"):
            with pytest.raises(Failed, match="went wrong"):
                await asyncio.to_thread(ask, tmp_path / "relay.db", "list", {}, ignore)
        assert "admin-failed" in caplog.text
        assert "secret" not in caplog.text

    async def test_what_an_operator_does_is_logged_without_keys(
        self, relay: Any, tell: Tell, build: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "intentcast_relay")
        key = did(build.key(build.seed()))
        await tell("ban", subject=key)
        await tell("unban", subject=key)
        await tell("allow", key=key)
        await tell("ban", subject="arms", purge=True)
        await tell("limit", name="connections", value=7)
        for said in ("admin-ban", "admin-unban", "admin-allow", "arms", "admin-limit", "connections"):
            assert said in caplog.text
        assert key not in caplog.text

    async def test_second_backup_waits_its_turn_and_progress_is_told(
        self, relay: Any, build: Any, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("intentcast_relay.admin._BETWEEN", 0)
        events: list[dict[str, Any]] = []
        args = {"file": str(tmp_path / "copy")}
        first = asyncio.create_task(relay.admin.perform("backup", args, events.append))
        await asyncio.sleep(0)
        with pytest.raises(Failed, match="Another backup"):
            await relay.admin.perform("backup", args, ignore)
        assert (await first)["file"] == str(tmp_path / "copy")
        assert events
        assert events[-1]["done"] == events[-1]["total"] > 0


class TestCommand:
    async def test_operator_goes_through_all_of_it(
        self, run: Any, spawn: Any, connect: Any, build: Any, tmp_path: Path
    ) -> None:
        build.now = int(time.time())
        where = ("--database", "relay.db")
        relay = await spawn()
        client, seed = await connect(relay.url), build.seed()
        first = await client.stored(build.demand(seed))
        cursor = (await client.subscribe())[2]
        key = did(build.key(seed))

        code, out, _ = await run("admin", "backup", "copy.db", *where)
        assert (code, "copy.db holds 1 record in" in out) == (0, True)
        code, out, _ = await run("admin", "ban", key, "--for", "30d", "--note", "floods", "--purge", *where)
        assert (code, "is banned until 20" in out, "Deleted 1 public record." in out) == (0, True, True)
        assert await client.refused(build.demand(seed)) == DENIED
        code, out, _ = await run("admin", "limit", "connections", "77", *where)
        assert (code, "connections is 77" in out) == (0, True)
        code, out, _ = await run("admin", "retention", "demand", "7", *where)
        assert (code, out) == (0, "A demand is kept 7 days at most.\n")
        code, out, _ = await run("admin", "list", *where)
        assert (code, out.count("\n"), "floods" in out) == (0, 3, True)
        code, out, _ = await run("check", *where)
        assert (code, "relay.db is whole" in out) == (0, True)
        code, _, err = await run("restore", "copy.db", "--force", *where)
        assert (code, "in use" in err) == (1, True)

        relay.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(relay.process.wait(), 10) == 0
        code, out, _ = await run("admin", "unban", key, *where)
        assert (code, "is banned no more" in out) == (0, True)
        code, out, _ = await run("admin", "list", "--json", *where)
        assert {rule["kind"] for rule in json.loads(out)} == {"limit", "retention"}
        code, out, _ = await run("check", "copy.db", "--json")
        assert json.loads(out)["records"] == {"demand": 1}
        code, _, err = await run("restore", "copy.db", *where)
        assert (code, "--force" in err) == (1, True)
        code, out, _ = await run("restore", "copy.db", "--force", *where)
        assert (code, "is kept as relay.db.before-" in out) == (0, True)

        relay = await spawn()
        client = await connect(relay.url)
        _, stored, fresh = await client.subscribe(cursor=cursor)
        # The old cursor names a place of another epoch, so everything comes again.
        assert [seq for seq, _ in stored] == [first]
        assert fresh.epoch != cursor.epoch

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (("admin", "list"), 3, "does not exist"),
            (("admin", "list", "--config", "none.toml"), 3, "does not exist"),
            (("admin", "ban"), 2, "Missing argument"),
            (("admin", "limit", "connections", "many"), 2, "whole number"),
            (("admin", "retention", "demand", "-1"), 2, ""),
            (("restore", "none"), 3, "does not exist"),
            (("check", "none"), 3, "does not exist"),
            (("check",), 3, "does not exist"),
        ],
    )
    async def test_what_goes_wrong_is_told_by_code_and_sentence(
        self, run: Any, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
    ) -> None:
        got, _, err = await run(*arguments)
        assert (got, says in err, "Traceback" in err) == (code, True, False)
        assert list(tmp_path.iterdir()) == []

    async def test_newer_database_and_one_in_use_are_told(self, run: Any, tmp_path: Path, config: Config) -> None:
        store = await open_store(config.database)
        code, _, err = await run("admin", "list", "--database", "relay.db")
        assert (code, "answers no commands" in err) == (5, True)
        await store.close()
        with closing(sqlite3.connect(config.database)) as connection:
            connection.execute("PRAGMA user_version = 99")
        for arguments in (("admin", "list"), ("check",), ("serve", "--listen", "127.0.0.1:0")):
            code, _, err = await run(*arguments, "--database", "relay.db")
            assert (code, "newer intentcast-relay (schema 99" in err, err.count("\n")) == (1, True, 1)
