"""A real relay watched: its numbers follow what it does, its settings change under load, and nobody is given away."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from intentcast_protocol.errors import CODES
from intentcast_protocol.frames import Ack, Problem, Subscribe
from intentcast_protocol.identity import did
from intentcast_protocol.subscription import Filter
from intentcast_relay.config import Batch, Config, ConfigError, Limits, Metrics
from intentcast_relay.metrics import DISK_LOW, PREFIX, Meter
from intentcast_relay.server import Relay, running
from intentcast_relay.survey import Survey
from prometheus_client.parser import text_string_to_metric_families

WAIT = 10  # s


@pytest.fixture
async def watched(config: Config, clock: Callable[[], int], build: Any) -> AsyncIterator[Relay]:
    async with running(replace(config, metrics=Metrics("127.0.0.1:0")), clock) as started:
        build.url = started.config.url
        yield started


async def get(relay: Relay, path: str) -> str:
    url = f"http://{relay.config.metrics.listen}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        return await response.text()


async def scrape(relay: Relay) -> dict[tuple[str, ...], float]:
    """Return every sample: (name, label values …) -> value."""
    families = text_string_to_metric_families(await get(relay, "/metrics"))
    samples = [sample for family in families for sample in family.samples]
    return {(one.name.removeprefix(PREFIX), *one.labels.values()): one.value for one in samples}


async def logged(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """Read a process's JSON log until an event."""
    assert process.stderr is not None
    while True:
        line = await asyncio.wait_for(process.stderr.readline(), WAIT)
        assert line, f"the log ended before {event}"
        told = json.loads(line)
        if told["event"] == event:
            return dict(told)


class TestNumbers:
    async def test_writing_and_reading_are_counted_where_they_happen(
        self, watched: Relay, connect: Any, build: Any
    ) -> None:
        reader, writer = await connect(watched), await connect(watched)
        await reader.subscribe()
        demand = build.demand(build.seed())
        for _ in range(3):
            await writer.stored(build.demand(build.seed()))
        await writer.stored(demand)
        await writer.stored(demand)
        assert await writer.refused(build.forged(build.demand(build.seed()))) == "invalid.record.signature"
        await writer.send_raw(b"\xff")
        assert isinstance(await writer.receive(), Problem)
        for _ in range(4):
            await reader.pushed()
        found = await scrape(watched)
        assert found["received_total",] == 6
        assert found["acked_total",] == 5
        assert found["refused_total", "invalid.record.signature"] == 1
        assert sum(value for name, value in found.items() if name[0] == "refused_total") == 2
        assert found["delivered_total",] == 4
        assert (found["connections",], found["connections_total",], found["subscriptions",]) == (2, 2, 1)
        assert found["commits_total",] == found["fsync_seconds_count",] == found["batch_size_count",] > 0
        assert found["batch_size_sum",] == 4
        assert found["ack_seconds_count",] == 4
        assert 0 < found["fsync_seconds_sum",] <= found["stage_seconds_sum", "committing"] <= found["ack_seconds_sum",]
        assert found["replays_total",] == 1
        assert found["queue_depth",] == 0
        assert found["database_bytes",] > 0
        assert found["disk_free_bytes",] > 0
        assert found["memory_bytes", "relay"] > 2**20

    async def test_every_refusal_is_counted_under_a_known_code(self, watched: Relay, connect: Any) -> None:
        client = await connect(watched, hello=False)
        for raw in (b"", b"\x91\xa3sub", b"\x93\xa7publish\x01\x92\xc4\x00\xc4\x00"):
            await client.send_raw(raw)
            assert isinstance(await client.receive(), Problem)
        codes = {name[1] for name in await scrape(watched) if name[0] == "refused_total"}
        assert codes
        assert codes <= set(CODES)

    async def test_what_is_stored_is_counted_by_type(self, watched: Relay, connect: Any, build: Any) -> None:
        seed = build.seed()
        person, vendor = await connect(watched, seed), await connect(watched)
        await person.stored(build.demand(seed))
        await vendor.stored(build.profile(build.seed()))
        for _ in range(2):
            await vendor.stored(build.sealed(build.seed(), build.key(seed)))
        await watched._survey.look(census=True)
        found = await scrape(watched)
        records = {name[1]: value for name, value in found.items() if name[0] == "records"}
        assert records == {"demand": 1, "profile": 1, "sealed": 2}
        assert found["mailboxes",] == 1

    async def test_sweep_is_told(self, watched: Relay, connect: Any, build: Any) -> None:
        client = await connect(watched)
        for _ in range(3):
            await client.stored(build.demand(build.seed()))
        build.now += 90_000
        await watched.sweep(build.now)
        found = await scrape(watched)
        assert found["swept_total",] >= 3
        assert found["sweep_timestamp_seconds",] == build.now

    async def test_slow_reader_is_counted_and_told_without_a_name(
        self, config: Config, clock: Any, connect: Any, build: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        async with running(replace(config, limits=Limits(queue_frames=4, send_deadline=1)), clock) as relay:
            slow, publisher = await connect(relay), await connect(relay)
            await slow.subscribe()
            transport = slow.socket._conn.protocol.transport
            transport.pause_reading()
            while not relay.meter.slow_readers:
                await publisher.stored(build.record("profile", build.seed(), {"name": "x" * 60_000}))
            transport.resume_reading()
        assert "slow-reader subscriptions=1" in caplog.messages

    async def test_fault_is_counted_and_wants_attention(
        self, watched: Relay, connect: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = await connect(watched)

        def fail(*_: object) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr(type(watched._rooms.feed.index), "add", fail)
        answer = await client.call(subscribe(client))
        assert answer.code == "internal.error"
        status = json.loads(await get(watched, "/status.json"))
        assert status["process"]["faults"] == 1
        assert status["attention"] == ["Internal errors since the start: 1. The log names the place of each."]

    async def test_relay_without_a_metrics_port_opens_none(self, relay: Relay) -> None:
        assert relay.config.metrics.listen == ""
        assert relay._console is None

    async def test_metrics_port_in_use_is_a_sentence_and_leaves_nothing_behind(
        self, watched: Relay, config: Config, tmp_path: Any
    ) -> None:
        other = replace(config, database=tmp_path / "other.db", metrics=watched.config.metrics)
        with pytest.raises(ConfigError, match="for metrics"):
            await Relay(other).start()
        async with running(replace(other, metrics=Metrics())):
            pass

    def test_low_disk_is_told_once_and_its_end_too(self, caplog: pytest.LogCaptureFixture, tmp_path: Any) -> None:
        caplog.set_level("INFO")
        survey = Survey(Meter(), None, tmp_path / "relay.db", 0)  # type: ignore[arg-type]
        for free in (2 * DISK_LOW, DISK_LOW - 1, DISK_LOW - 2, DISK_LOW + 1, DISK_LOW - 1, 2 * DISK_LOW, 2 * DISK_LOW):
            survey.watch(free)
        assert [message.split()[0] for message in caplog.messages] == ["disk-low", "disk-ok"]


class TestPrivacy:
    async def test_nothing_shown_names_a_visitor_or_what_they_sent(
        self, watched: Relay, connect: Any, build: Any
    ) -> None:
        seed = build.seed()
        client = await connect(watched, seed)
        demand = build.demand(seed, "canary-category", name="canary-name")
        await client.stored(demand)
        await client.subscribe(Filter(categories=("canary-category",)))
        await client.refused(build.forged(build.demand(seed, name="canary-name")))
        key = build.key(seed)
        shown = "".join([await get(watched, path) for path in ("/", "/status.json", "/metrics")])
        for secret in ("canary", key.hex(), did(key), demand.id.hex(), str(client.nonce.hex())):
            assert secret not in shown


class TestApply:
    async def test_new_settings_hold_for_open_connections(
        self, watched: Relay, config: Config, connect: Any, build: Any
    ) -> None:
        client = await connect(watched)
        await client.subscribe()
        limits = Limits(subscriptions=1, mailbox_items=1)
        watched.apply(replace(config, limits=limits, name="Renamed", hosts=("other.example",), batch=Batch(items=1)))
        answer = await client.call(subscribe(client))
        assert answer.code == "refused.limit.exceeded"
        assert isinstance(await client.call(client.proof(build.seed(), host="other.example")), Ack)
        assert watched.info()["name"] == "Renamed"
        assert watched.info()["limits"]["subscriptions"] == 1
        assert watched._ingest.batch.items == 1
        assert await (await connect(watched)).stored(build.demand(build.seed()))

    async def test_what_only_a_start_decides_stays(self, watched: Relay, config: Config, tmp_path: Any) -> None:
        before = watched.config
        watched.apply(
            replace(
                config, listen="127.0.0.1:1", url="ws://other.example", database=tmp_path / "other.db",
                metrics=Metrics("127.0.0.1:2"), batch=Batch(processes=7),
            )
        )  # fmt: skip
        assert watched.config == before

    async def test_complaint_is_shown_until_good_settings_come(self, watched: Relay, config: Config) -> None:
        watched.complain("limits.page is 5000; at most 512 records fit a frame.")
        assert "limits.page is 5000" in await get(watched, "/")
        assert (await scrape(watched))["config_ok",] == 0
        watched.apply(config)
        found = await scrape(watched)
        assert found["config_ok",] == 1
        assert (found["reloads_total", "refused"], found["reloads_total", "applied"]) == (1, 1)
        assert json.loads(await get(watched, "/status.json"))["attention"] == []


class TestProcess:
    async def test_sighup_applies_a_good_file_and_survives_a_bad_one(
        self, spawn: Any, connect: Any, build: Any, run: Any, tmp_path: Any
    ) -> None:
        file = tmp_path / "relay.toml"
        file.write_text('name = "One"\nlog.format = "json"\n')
        relay = await spawn()
        process = relay.process
        assert (await logged(process, "started"))["url"] == relay.url
        file.write_text('name = "Two"\nlog.format = "json"\nlisten = "127.0.0.1:9"\nmetrics.listen = "127.0.0.1:8"\n')
        process.send_signal(signal.SIGHUP)
        assert (await logged(process, "reloaded"))["changed"] == ["name"]
        assert (await logged(process, "restart-needed"))["settings"] == ["metrics.listen"]
        file.write_text("limits.conections = 3\n")
        process.send_signal(signal.SIGHUP)
        told = await logged(process, "settings-refused")
        assert told["level"] == "warning"
        assert told["why"].startswith("limits.conections is not a setting")
        _, out, _ = await run("info", relay.url, "--json")
        assert json.loads(out)["name"] == "Two"
        process.terminate()
        assert (await logged(process, "stopped"))["level"] == "info"
        assert await asyncio.wait_for(process.wait(), WAIT) == 0

    async def test_log_names_no_visitor_at_any_level(self, spawn: Any, connect: Any, build: Any, tmp_path: Any) -> None:
        (tmp_path / "relay.toml").write_text('log.format = "json"\nlog.level = "debug"\n')
        relay = await spawn()
        seed = build.seed()
        client = await connect(relay.url)
        await client.send_raw(b"canary-frame")
        await client.receive()
        async with aiohttp.ClientSession() as session:
            url = relay.url.replace("ws://", "http://")
            for path in ("/records/canary-path", "/canary-path", "/?canary-query"):
                async with session.get(url + path, headers={"X-Forwarded-For": "203.0.113.77"}):
                    pass
        reader, writer = await asyncio.open_connection(*relay.url.removeprefix("ws://").split(":"))
        writer.write(b"GET /canary-path HTTP/9\r\nHost: [canary\r\n\xff\xfe\r\n\r\n")
        await asyncio.wait_for(reader.read(), WAIT)
        writer.close()
        relay.process.terminate()
        _, err = await relay.process.communicate()
        text = err.decode()
        assert [json.loads(line)["event"] for line in text.splitlines()][-1] == "stopped"
        for secret in ("canary", "203.0.113.77", build.key(seed).hex(), did(build.key(seed))):
            assert secret not in text


def subscribe(client: Any) -> Any:
    return Subscribe(client.req(), Filter(), None, False)
