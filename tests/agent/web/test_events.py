"""The stream of events: numbered, taken up where it broke off, honest about a gap, and closed on who does not read."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from intentcast_agent.web import events
from intentcast_agent.web.events import BEHIND, KEPT, MOST_STREAMS, Events, Log
from intentcast_agent.web.server import serve_page
from intentcast_protocol.identity import cid, did, public_key

Desk = Any  # the fixtures are conftest.py's


def filled(count: int) -> Log:
    log = Log("ab")
    for number in range(count):
        log.add({"event": "mail", "number": number})
    return log


class TestLog:
    def test_nothing_is_missed_and_nothing_comes_twice(self) -> None:
        log = filled(5)
        assert [number for number, _, _ in log.since("ab-2")] == [3, 4, 5]
        assert log.since("ab-5") == []

    def test_a_thousand_can_be_taken_up_and_one_more_is_a_gap(self) -> None:
        log = filled(KEPT + 5)
        assert len(log.since("ab-5")) == KEPT
        assert log.since("ab-4") == [(KEPT + 5, "reload", {})]

    @pytest.mark.parametrize("given", ["", "ab", "ab-", "ab-6", "ab--1", "ab-x", "zz-2", "ab-²", "ab-" + "9" * 5_000])
    def test_id_of_another_run_or_of_nobody_is_a_gap(self, given: str) -> None:
        assert filled(5).since(given) == [(5, "reload", {})]

    def test_ids_are_those_of_the_api(self) -> None:
        key = public_key(b"\x01" * 32)
        _, name, data = Log("ab").add({"event": "mail", "session": key, "demand": bytes(32), "types": ["offer"]})
        assert name == "mail"
        assert data == {"session": did(key), "demand": cid(bytes(32)), "types": ["offer"]}


class Reader:
    """A browser's EventSource, as far as it matters here."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def block(self) -> dict[str, str]:
        """Return the fields of the next block; {} for a comment, and at the end."""
        text = ""
        async with asyncio.timeout(20):
            while not text.endswith("\n\n"):
                line = await self.answer.content.readline()
                if not line:
                    return {"end": ""}
                text += line.decode()
        return dict(line.split(": ", 1) for line in text.strip().splitlines() if not line.startswith(":"))


class TestStream:
    async def test_event_is_sent_as_it_comes_and_taken_up_by_its_id(self, desk: Desk) -> None:
        async with desk.browser.get("/events") as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            reader = Reader(answer)
            hello = await reader.block()
            assert hello["retry"] == "2000"
            desk.agent.tell({"event": "haggle", "demand": bytes(32)})
            first = await reader.block()
        assert (first["event"], first["data"]) == ("haggle", f'{{"demand": "{cid(bytes(32))}"}}')
        desk.agent.tell({"event": "clock", "state": "lapsed"})
        desk.agent.tell({"event": "mail", "types": []})
        for start, kinds in ((first["id"], ["clock", "mail"]), (hello["id"], ["haggle", "clock", "mail"])):
            async with desk.browser.get("/events", headers={"Last-Event-ID": start}) as answer:
                reader = Reader(answer)
                assert set(await reader.block()) == {"retry"}
                assert [(await reader.block())["event"] for _ in kinds] == kinds

    async def test_browser_of_an_earlier_run_is_told_to_ask_anew(self, desk: Desk) -> None:
        async with desk.browser.get("/events", headers={"Last-Event-ID": "0000-7"}) as answer:
            reader = Reader(answer)
            await reader.block()
            assert (await reader.block())["event"] == "reload"

    async def test_silence_is_broken_by_a_heartbeat(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(events, "HEARTBEAT", 0.01)
        async with desk.browser.get("/events") as answer:
            reader = Reader(answer)
            await reader.block()
            assert await reader.block() == {}

    async def test_streams_are_bounded_and_a_closed_one_makes_room(self, desk: Desk) -> None:
        answers = [await desk.browser.get("/events") for _ in range(MOST_STREAMS)]
        async with desk.program.get("/events") as answer:
            assert (answer.status, (await answer.json())["code"]) == (429, "refused.limit.exceeded")
        for answer in answers:
            answer.close()
        async with asyncio.timeout(20):
            while True:
                desk.agent.tell({"event": "clock"})  # writing to them shows that they are gone
                async with desk.program.get("/events") as answer:
                    if answer.status == 200:
                        break

    async def test_stream_ends_in_order_with_the_page(self, desk: Desk) -> None:
        async with AsyncExitStack() as stack:
            page = await stack.enter_async_context(serve_page(desk.agent, desk.service))
            async with desk.stranger.get(page.entry()["url"], allow_redirects=False):
                pass
            async with desk.stranger.get(f"{page.url}events") as answer:
                reader = Reader(answer)
                await reader.block()
                closing = asyncio.create_task(stack.aclose())
                assert await reader.block() == {"end": ""}
            await closing


class TestSlowness:
    def test_who_falls_behind_is_hung_up_on_and_nobody_else(self) -> None:
        streams, slow, quick = Events(), Transport(), Transport()
        with streams.stream(slow), streams.stream(quick) as queue:
            for number in range(BEHIND + 2):
                streams.tell(streams.log.add({"event": "mail", "number": number}))
                queue.get_nowait()
            assert (slow.aborted, quick.aborted) == (1, 0)


class Transport:
    """A connection that only remembers that it was cut."""

    aborted = 0

    def abort(self) -> None:
        self.aborted += 1
