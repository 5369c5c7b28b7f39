"""The operator's check as a real process: it decides, and whenever it does not, nothing gets through."""

import asyncio
import json
import logging
import os
import select
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.frames import Ack, Problem, Publish
from intentcast_protocol.identity import cid, did
from intentcast_relay.config import Config, ConfigError, Policy
from intentcast_relay.policy import MAX_REASON, BadVerdict, Hook, check_command, clean, question, read_verdict
from intentcast_relay.posting import Posting, flatten
from intentcast_relay.rules import DENIED
from intentcast_relay.server import running

ROOT = Path(__file__).parents[2]
READS = "import json, os, sys, time\nfor line in sys.stdin:\n    record = json.loads(line)\n    "
ACCEPTS = READS + "print(json.dumps({'id': record['id'], 'action': 'accept'}), flush=True)"

Start = Callable[..., Awaitable[Hook]]


def command(script: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", script)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a check that runs a script."""
    hooks: list[Hook] = []

    async def started(script: str, timeout_ms: int = 5_000, **settings: Any) -> Hook:
        hook = Hook()
        hook.apply(Policy(command(script), timeout_ms, **settings))
        hooks.append(hook)
        return hook

    yield started
    for hook in hooks:
        await hook.close()


@pytest.fixture
def posting(build: Any) -> Callable[..., Posting]:
    return lambda **fields: flatten(build.demand(build.seed(), **fields))


def codes(told: list[IntentcastError | None]) -> list[str | None]:
    return [None if one is None else one.code for one in told]


async def answered(hook: Hook, posting: Posting, most: float = 10) -> IntentcastError | None:
    """Ask until the check answers, as after a restart."""
    async with asyncio.timeout(most):
        while True:
            (told,) = await hook.judge([posting])
            if told is None or "did not answer" not in told.detail:
                return told
            await asyncio.sleep(0.02)


class TestLines:
    def test_question_shows_the_record_as_json(self, build: Any) -> None:
        demand = build.demand(build.seed(), "vehicles/cars", cells=("u17",), countries=("NL",))
        asked = json.loads(question(flatten(demand)))
        body = asked.pop("body")
        assert asked == {
            "id": cid(demand.id), "type": "demand", "author": did(demand.author), "created": build.now,
            "expires": build.now + 86_400, "categories": ["vehicles/cars"], "cells": ["u17"], "countries": ["NL"],
        }  # fmt: skip
        assert body["name"] == "A car"
        assert body["replyTo"]["offerKey"] == build.offer.public.hex()
        assert question(flatten(demand)).count(b"\n") == 1

    def test_verdict_is_read(self) -> None:
        assert read_verdict(b'{"id": "b1", "action": "accept", "more": 1}') == ("b1", None)
        name, told = read_verdict(b'{"id": "b1", "action": "reject", "reason": "too cheap"}')
        assert name == "b1"
        assert told is not None
        assert (told.code, told.detail) == (DENIED, "too cheap")

    def test_reason_is_bounded_and_of_one_line(self) -> None:
        told = read_verdict(json.dumps({"id": "b", "action": "reject", "reason": "a\n\x1b[2J" + "x" * 999}).encode())[1]
        assert told is not None
        assert told.detail.isprintable()
        assert len(told.detail) <= MAX_REASON
        assert clean("\u202eabc\x00", 10) == "abc"

    @pytest.mark.parametrize(
        "line",
        [b"", b"\n", b"x", b"1", b"[]", b"{}", b'{"id": 1, "action": "accept"}', b"[" * 8_000, b"\xff",
         b'{"id": "b"}', b'{"id": "b", "action": "shadow"}', b'{"id": "b", "action": "reject", "reason": 1}',
         b'{"id": "b", "action": ['],
    )  # fmt: skip
    def test_what_is_no_verdict_is_told(self, line: bytes) -> None:
        with pytest.raises(BadVerdict):
            read_verdict(line)

    def test_command_that_is_not_there_is_refused_at_once(self, tmp_path: Path) -> None:
        check_command(Policy())
        check_command(Policy(command("")))
        (tmp_path / "plain").touch(0o644)
        for name in ("no-such-program", str(tmp_path / "none"), str(tmp_path / "plain")):
            with pytest.raises(ConfigError, match=r"policy\.command"):
                check_command(Policy((name,)))


class TestHook:
    async def test_verdicts_come_in_any_order(self, start: Start, posting: Any) -> None:
        hook = await start(
            "import json, sys\nasked = [json.loads(sys.stdin.readline()) for _ in range(3)]\n"
            "for record in reversed(asked):\n    action = 'reject' if record['body']['name'] == 'bad' else 'accept'\n"
            "    print(json.dumps({'id': record['id'], 'action': action, 'reason': 'bad name'}), flush=True)\n"
            "sys.stdin.read()"
        )
        told = await hook.judge([posting(), posting(name="bad"), posting()])
        assert codes(told) == [None, DENIED, None]
        assert told[1] is not None
        assert told[1].detail == "bad name"

    async def test_only_the_types_named_are_asked_about(self, start: Start, build: Any, posting: Any) -> None:
        reject = READS + "print(json.dumps({'id': record['id'], 'action': 'reject'}), flush=True)"
        hook = await start(reject, types=("profile",))
        profile, withdrawn = flatten(build.profile(build.seed())), flatten(build.withdraw(build.seed()))
        sealed = flatten(build.sealed(build.seed(), build.key(build.seed())))
        assert codes(await hook.judge([posting(), profile, withdrawn, sealed])) == [None, DENIED, None, None]

    async def test_a_thousand_records_go_through(self, start: Start, posting: Any) -> None:
        hook = await start(ACCEPTS, 20_000)
        one = posting()
        postings = [one._replace(id=number.to_bytes(32, "big")) for number in range(1_000)]
        assert codes(await hook.judge(postings)) == [None] * 1_000

    async def test_what_waits_is_bounded(self, start: Start, posting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("intentcast_relay.policy.MAX_WAITING", 10)
        hook = await start(ACCEPTS, 20_000)
        one = posting()
        told = await hook.judge([one._replace(id=number.to_bytes(32, "big")) for number in range(15)])
        assert codes(told) == [None] * 10 + [DENIED] * 5

    async def test_copies_in_flight_share_a_verdict(self, start: Start, posting: Any) -> None:
        hook = await start(ACCEPTS)
        one = posting()
        assert codes(await hook.judge([one, one, one])) == [None] * 3

    async def test_silence_is_a_refusal_within_the_time(self, start: Start, posting: Any) -> None:
        hook = await start("import sys\nsys.stdin.read()", 50)
        began = asyncio.get_running_loop().time()
        told = await hook.judge([posting() for _ in range(200)])
        assert codes(told) == [DENIED] * 200
        assert asyncio.get_running_loop().time() - began < 3
        assert told[0] is not None
        assert told[0].detail == "the operator's check did not answer"

    async def test_one_that_got_stuck_is_started_anew(self, start: Start, posting: Any, tmp_path: Path) -> None:
        # The first run answers once and then hangs; the second one finds the mark and works.
        mark = tmp_path / "mark"
        script = (
            f"import os\nagain = os.path.exists({str(mark)!r})\nopen({str(mark)!r}, 'w').close()\n{READS}"
            "print(json.dumps({'id': record['id'], 'action': 'accept'}), flush=True)\n"
            "    again or time.sleep(99)"
        )
        hook = await start(script, 300)
        assert await answered(hook, posting()) is None
        first = hook._child
        assert codes(await hook.judge([posting()])) == [DENIED]
        assert await answered(hook, posting()) is None
        assert hook._child is not first

    @pytest.mark.parametrize(
        "does",
        ["sys.exit(3)", "os.kill(os.getpid(), 9)", "print('hello', flush=True); time.sleep(99)",
         "sys.stdout.write('x' * 100_000); sys.stdout.flush(); time.sleep(99)", "os.close(1); time.sleep(99)",
         "print('{\"id\": \"%s\", \"action\": \"ban\"}' % record['id'], flush=True); time.sleep(99)"],
    )  # fmt: skip
    async def test_one_that_dies_or_talks_nonsense_refuses_and_is_started_anew(
        self, start: Start, posting: Any, tmp_path: Path, does: str
    ) -> None:
        mark = tmp_path / "mark"
        script = (
            f"{READS}if not os.path.exists({str(mark)!r}):\n        open({str(mark)!r}, 'w').close()\n        {does}\n"
            "    print(json.dumps({'id': record['id'], 'action': 'accept'}), flush=True)"
        )
        hook = await start(script)
        told = await hook.judge([posting()])
        assert codes(told) == [DENIED]
        assert mark.exists()
        assert await answered(hook, posting()) is None

    async def test_one_that_may_never_start_refuses_everything(self, start: Start, posting: Any) -> None:
        hook = await start("raise SystemExit(1)", 300)
        for _ in range(5):
            assert codes(await hook.judge([posting()])) == [DENIED]

    async def test_its_words_are_logged_but_bounded(
        self, start: Start, posting: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "intentcast_relay")
        says = "sys.stderr.write('look\\x1b[2J\\n' * 500 + 'x' * 10_000 + '\\n'); sys.stderr.flush()\n    "
        hook = await start(READS + says + ACCEPTS.rpartition("\n    ")[2])
        assert codes(await hook.judge([posting()])) == [None]
        await hook.close()
        lines = [record.getMessage() for record in caplog.records if "policy-said" in record.getMessage()]
        assert 1 <= len(lines) <= 60
        assert all(line.isprintable() and len(line) < 400 for line in lines)
        assert "look" in lines[0]

    async def test_closing_ends_it_and_what_it_started(self, start: Start, posting: Any) -> None:
        fork = "import os, time\npid = os.fork()\npid or time.sleep(99)\n" + READS
        hook = await start(
            fork + "print(json.dumps({'id': record['id'], 'action': 'reject', 'reason': str(pid)}), flush=True)"
        )
        (told,) = await hook.judge([posting()])
        assert told is not None
        process = os.pidfd_open(int(told.detail))
        await hook.close()
        assert select.select([process], [], [], 5)[0]
        os.close(process)

    async def test_other_settings_take_effect_at_once(self, start: Start, posting: Any) -> None:
        hook = await start(ACCEPTS)
        assert await answered(hook, posting()) is None
        first = hook._child
        hook.apply(Policy(command(ACCEPTS), 4_000, ("profile",)))
        assert hook._child is first
        hook.apply(
            Policy(command(READS + "print(json.dumps({'id': record['id'], 'action': 'reject'}), flush=True)"), 5_000)
        )
        told = await answered(hook, posting())
        assert told is not None
        assert told.code == DENIED


class TestRelay:
    @pytest.fixture
    def asks(self, config: Config) -> Callable[..., Config]:
        return lambda script, timeout_ms=5_000: replace(config, policy=Policy(command(script), timeout_ms))

    async def test_reason_reaches_the_sender_and_nothing_is_stored(
        self, asks: Any, clock: Any, connect: Any, build: Any
    ) -> None:
        script = READS + (
            "bad = record['body'].get('name') == 'bad'\n"
            "    verdict = {'id': record['id'], 'action': ('accept', 'reject')[bad], 'reason': 'no thanks'}\n"
            "    print(json.dumps(verdict), flush=True)"
        )
        async with running(asks(script), clock) as relay:
            client = await connect(relay)
            answer = await client.publish(build.demand(build.seed(), name="bad"))
            assert isinstance(answer, Problem)
            assert answer.code == DENIED
            assert "no thanks" in answer.sentence
            assert await client.stored(build.demand(build.seed())) == 1
            _, stored, _ = await client.subscribe()
            assert len(stored) == 1

    async def test_slow_check_delays_neither_mailboxes_nor_sealed_records(
        self, asks: Any, clock: Any, connect: Any, build: Any, tmp_path: Path
    ) -> None:
        go = tmp_path / "go"
        script = READS + (
            f"\n    while record['type'] == 'profile' and not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
            "    print(json.dumps({'id': record['id'], 'action': 'accept'}), flush=True)"
        )
        async with running(asks(script, 30_000), clock) as relay:
            build.url = relay.config.url
            person, vendor = build.seed(), build.seed()
            client = await connect(relay, person)
            await client.stored(build.demand(person))
            await client.send(Publish(900, build.profile(build.seed()).record))
            # While the profile waits for its verdict, everything else goes on.
            for _ in range(3):
                await client.stored(build.sealed(vendor, build.key(person)))
            req, stored = await client.read(build.key(person))
            assert len(stored) == 3
            go.touch()
            answer = await client.receive()
            assert isinstance(answer, Ack)
            assert answer.req == 900
            assert req != 900

    async def test_settings_read_anew_begin_and_end_the_check(
        self, asks: Any, config: Config, clock: Any, connect: Any, build: Any
    ) -> None:
        reject = READS + "print(json.dumps({'id': record['id'], 'action': 'reject'}), flush=True)"
        async with running(config, clock) as relay:
            client = await connect(relay)
            await client.stored(build.demand(build.seed()))
            relay.apply(asks(reject))
            assert await client.refused(build.demand(build.seed())) == DENIED
            with pytest.raises(ConfigError, match=r"policy\.command"):
                relay.apply(replace(config, policy=Policy(("no-such-program",)), name="Another"))
            assert relay.config.name == config.name
            assert await client.refused(build.demand(build.seed())) == DENIED
            relay.apply(config)
            await client.stored(build.demand(build.seed()))

    async def test_example_that_ships_decides_and_survives_strange_records(
        self, config: Config, clock: Any, connect: Any, build: Any
    ) -> None:
        example = (sys.executable, str(ROOT / "deploy" / "policy-example.py"))
        async with running(replace(config, policy=Policy(example, 10_000)), clock) as relay:
            client = await connect(relay)
            for price in ("5.00", "1000.00"):
                body = build.demand(build.seed()).body | {"priceSpecification": {"maxPrice": price}}
                answer = await client.publish(build.record("demand", build.seed(), body))
                assert isinstance(answer, Problem if price == "5.00" else Ack), answer
            for strange in ([], "x", None, {"maxPrice": []}, {"maxPrice": "nan"}, {"maxPrice": "many"}):
                body = build.demand(build.seed()).body | {"priceSpecification": strange}
                assert isinstance(await client.publish(build.record("demand", build.seed(), body)), Ack)
            long = build.demand(build.seed(), expires=build.now + 8 * 86_400)
            answer = await client.publish(long)
            assert isinstance(answer, Problem)
            assert "a week at most" in answer.sentence
