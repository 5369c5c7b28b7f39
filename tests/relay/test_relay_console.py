"""The operator's page: what it shows, to whom, and that it loads nothing and gives nobody away."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest
from intentcast_protocol.errors import CODES
from intentcast_relay.config import Config, ConfigError
from intentcast_relay.console import Console, is_loopback, named
from intentcast_relay.history import Minute
from intentcast_relay.metrics import Census, Facts, Meter
from intentcast_relay.page import ago, milliseconds, page, rate, size, span, spark
from intentcast_relay.status import status

NOW = 1_800_000_000
FACTS = Facts(
    meter=Meter(), census=Census({"demand": 3}, 1), version="1.2.3", started=NOW - 7_260, connections=5, turned_away=1,
    subscriptions=7, queued=2, database_bytes=4_096, wal_bytes=512, disk_free=2**33, disk_total=2**34, config_ok=True,
    backup_at=0, cpu={"relay": 1.5}, memory={"relay": 2**20},
)  # fmt: skip
QUIET = Minute(0, 0, 0, 5, None, None, None, None)
BUSY = Minute(120, 0.5, 1_920, 5, 0.0012, 0.004, 0.0008, 0.002)
VOID = {"meta", "link", "br", "line", "path", "rect"}


class Shown:
    """A relay as the console looks at it."""

    state = "open"
    complaint = ""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.shown = FACTS

    def facts(self) -> Facts:
        return self.shown

    def info(self) -> dict[str, Any]:
        return {"url": "wss://relay.example", "version": "1.2.3", "protocol": 1, "name": self.config.name, "now": NOW}


class Reader(HTMLParser):
    """Checks that every element is closed in order, and gathers the text and the addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action", "xlink:href"}]
        assert not [name for name, _ in attrs if name == "style" or name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def drawn(facts: Facts = FACTS, *, state: str = "open", why: str = "", **info: str) -> Reader:
    told = {"name": "A relay", "version": "1.2.3", "protocol": 1, "url": "wss://relay.example", **info}
    return Reader(page(status(told, facts, BUSY, [QUIET, BUSY], now=NOW, state=state, why=why)))


class TestPage:
    def test_good_day_is_said_in_a_sentence(self) -> None:
        shown = drawn()
        assert "Takes records, running for 2 h 1 min" in shown.text
        assert "120 a second" in shown.text
        assert "1.2 ms p50" in shown.text
        assert "Nothing was refused." in shown.text
        assert "Last backup none since the start" in shown.text
        assert shown.tags["svg"] == 7

    def test_refusals_are_told_as_sentences_most_frequent_first(self) -> None:
        meter = Meter()
        meter.refused.update({"refused.rate.exceeded": 3, "refused.mailbox.full": 1_200})
        text = drawn(replace(FACTS, meter=meter)).text
        assert CODES["refused.rate.exceeded"] in text
        assert text.index(CODES["refused.mailbox.full"]) < text.index(CODES["refused.rate.exceeded"])
        assert "1,200" in text

    def test_what_wants_attention_stands_on_top(self) -> None:
        meter = Meter(faults=2)
        bad = replace(FACTS, meter=meter, disk_free=300 * 2**20, config_ok=False)
        text = drawn(bad, why="limits.page is 5000; at most 512.").text
        assert "The settings file is wrong, so the relay keeps its earlier settings. limits.page is 5000" in text
        assert "300 MiB are left" in text
        assert "Internal errors since the start: 2" in text
        assert text.index("300 MiB are left") < text.index("Writes")

    @pytest.mark.parametrize(
        ("state", "says"), [("open", "Takes records"), ("stopping", "Is stopping"), ("failed", "Cannot write")]
    )
    def test_state_is_said(self, state: str, says: str) -> None:
        assert says in drawn(state=state).text

    def test_operators_texts_are_shown_as_texts(self) -> None:
        hostile = '</h1><script>alert("1")</script> $machine {x} & %s'
        shown = drawn(name=hostile, key='did:key:"><b>')
        assert hostile in shown.text
        assert "script" not in shown.tags
        assert "b" not in shown.tags

    def test_page_loads_nothing_and_links_to_itself_alone(self) -> None:
        shown = drawn()
        assert sorted(shown.links) == ["data:,", "metrics", "status.json"]
        assert not {"script", "img", "iframe", "form", "object"} & set(shown.tags)

    def test_chart_ends_now_and_leaves_gaps_out(self) -> None:
        found = spark("Writes: at most 4", [[1.0, None, 2.0, 4.0]], 30, 4.0)
        lines = re.findall(r'<path d="(M[^"]+)"', found)
        assert len(lines) == 2
        assert lines[1].endswith("360.0 1.0")
        assert 'aria-label="Writes: at most 4"' in found

    def test_flat_line_of_nothing_is_no_division_by_zero(self) -> None:
        assert "<path" in spark("Writes", [[0.0, 0.0]], 30, 0.0)
        assert "<path" not in spark("Writes", [[None]], 30, 0.0)


class TestWords:
    @pytest.mark.parametrize(
        ("count", "text"),
        [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (2**20 - 1, "1,024.0 KiB"), (3 * 2**30, "3.0 GiB"),
         (2**52, "4,096.0 TiB")],
    )  # fmt: skip
    def test_size(self, count: int, text: str) -> None:
        assert size(count) == text

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3_600, "1 h"), (7_260, "2 h 1 min"), (90_000, "1 d 1 h"),
         (86_400, "1 d")],
    )  # fmt: skip
    def test_span(self, seconds: int, text: str) -> None:
        assert span(seconds) == text

    def test_ago_rate_and_milliseconds(self) -> None:
        assert (ago(None, 9), ago(9, 69)) == ("none since the start", "1 min ago")
        assert (rate(0), rate(0.034), rate(9.94), rate(1234.5)) == ("0", "0.034", "9.9", "1,234")
        assert (milliseconds(None), milliseconds(0.1234), milliseconds(1234)) == ("–", "0.123 ms", "1,234 ms")


class TestPort:
    @pytest.fixture
    def shown(self) -> Shown:
        return Shown(Config())

    @pytest.fixture
    async def console(self, shown: Shown) -> AsyncIterator[Console]:
        console = Console(shown, "127.0.0.1:0")
        await console.start()
        yield console
        await console.stop()

    async def get(self, console: Console, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, str]:
        url = f"http://{console.address}{path}"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            return response, await response.text()

    async def test_page_status_and_metrics_are_served(self, console: Console, shown: Shown) -> None:
        shown.shown = replace(FACTS, meter=Meter(acked=41))
        response, text = await self.get(console, "/")
        assert response.headers["Content-Type"].startswith("text/html")
        assert "Takes records" in Reader(text).text
        response, text = await self.get(console, "/status.json")
        assert json.loads(text)["traffic"]["acked"] == 41
        response, text = await self.get(console, "/metrics")
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "intentcast_relay_acked_total 41.0" in text

    async def test_policy_lets_the_pages_own_style_in_and_nothing_else(self, console: Console) -> None:
        response, text = await self.get(console, "/")
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script" not in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["Cache-Control"] == "no-store"
        assert text.count("<style>") == 1

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "[::1", "127.0.0.1.evil.example", ""])
    async def test_name_that_is_not_this_machine_is_turned_away(self, console: Console, host: str) -> None:
        response, text = await self.get(console, "/status.json", Host=host)
        assert response.status in {400, 403}
        assert "traffic" not in text

    @pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:9464", "LOCALHOST"])
    async def test_names_of_this_machine_are_answered(self, console: Console, host: str) -> None:
        response, _ = await self.get(console, "/status.json", Host=host)
        assert response.status == 200

    async def test_nothing_can_be_changed_here(self, console: Console) -> None:
        async with aiohttp.ClientSession() as session:
            for path in ("/", "/status.json", "/metrics"):
                async with session.post(f"http://{console.address}{path}", data=b"x") as response:
                    assert response.status == 405

    async def test_port_in_use_is_told_in_a_sentence(self, console: Console, shown: Shown) -> None:
        with pytest.raises(ConfigError, match=r"not possible to listen on .* for metrics"):
            await Console(shown, console.address).start()

    def test_which_hosts_are_this_machine(self) -> None:
        assert [host for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost") if not is_loopback(host)] == []
        assert [host for host in ("0.0.0.0", "10.0.0.1", "", "::", "relay.example") if is_loopback(host)] == []
        assert (named("[::1]:1"), named("a.example:80"), named("[::1")) == ("::1", "a.example", "")


def test_status_of_a_new_relay_is_json_and_complete() -> None:
    told = status(Shown(Config()).info(), FACTS, QUIET, [], now=NOW, state="open")
    assert json.loads(json.dumps(told)) == told
    assert told["traffic"]["ack_ms"] == {"p50": None, "p99": None}
    assert told["backup"] == {"at": None}
    lengths = {len(values) for values in told["minutes"].values()}
    assert lengths == {1}
