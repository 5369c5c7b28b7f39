"""Bots that are told of a demand together do not all begin together. DESIGN §9"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from intentcast_agent.vendor import responder
from intentcast_agent.vendor.responder import Responder, open_responder


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note every wait instead of waiting."""
    noted: list[float] = []

    async def sleep(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return noted


class Ear(Responder):
    """A bot that notes what it is told and answers nothing."""

    def __init__(self, delays: Iterator[float]) -> None:
        self._delay = delays.__next__
        self._heard_at = self._begin_at = float("-inf")
        self.told: list[str] = []

    async def _on_public(self, relay: str, _records: Any) -> None:
        self.told.append(relay)


async def test_an_idle_bot_begins_at_a_moment_of_its_own_whichever_relay_tells_it(waits: list[float]) -> None:
    bot = Ear(iter([1_000.0]))
    await asyncio.gather(bot._on_push("north", ()), bot._on_push("south", ()))
    first, second = waits
    assert 0 < second <= first <= 1_000.0
    assert bot.told == ["north", "south"]


async def test_a_bot_that_was_not_idle_waits_no_more(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder, "_IDLE", 3_600.0)
    bot = Ear(iter([0.0]))  # a second draw would fail
    await bot._on_push("north", ())
    await bot._on_push("north", ())
    assert (waits, bot.told) == ([], ["north", "north"])


async def test_a_bot_that_was_idle_again_draws_again(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder, "_IDLE", -1.0)
    bot = Ear(iter([1_000.0, 2_000.0]))
    await bot._on_push("north", ())
    await bot._on_push("north", ())
    assert [round(wait, -3) for wait in waits] == [1_000, 2_000]


async def test_waiting_never_adds_up_and_differs_from_bot_to_bot(table: Any) -> None:
    bot = await open_responder((await table.vendor()).agent)
    assert bot is not None
    drawn = {bot._delay() for _ in range(100)}
    assert len(drawn) > 90
    assert 0 <= min(drawn) <= max(drawn) <= responder._SPREAD < responder._IDLE
