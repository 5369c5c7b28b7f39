"""What is asked twice is done once: at the same time, later, and after a restart."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from intentcast_agent.keystore import open_keystore
from intentcast_agent.person.draft import TEMPLATE
from intentcast_agent.store import Store, open_store
from intentcast_agent.web.idempotency import KEPT, Repeats
from intentcast_agent.web.problem import Problem
from intentcast_protocol.errors import StateError

Desk = Any  # the fixtures are conftest.py's
SitDown = Callable[[], Awaitable[Desk]]
KEY = "5f0c7a52-0b7e-4d9a-9e0e-1d6f2b5f7c11"


@pytest.fixture
async def store(home: Any, stack: AsyncExitStack) -> Store:
    store = await open_store(home.database, open_keystore(home.keystore, None).data_key)
    stack.push_async_callback(store.close)
    return store


class Counter:
    """An act that counts, and waits where it is told to."""

    def __init__(self) -> None:
        self.times = 0
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.error: Exception | None = None

    async def __call__(self) -> dict[str, int]:
        self.begun.set()
        await self.go_on.wait()
        if self.error:
            raise self.error
        self.times += 1
        return {"times": self.times}


class TestRules:
    async def test_act_without_a_key_is_done_each_time(self, store: Store) -> None:
        act, repeats = Counter(), Repeats(store, lambda: 0)
        assert [await repeats.once(None, "a", act) for _ in range(2)] == [{"times": 1}, {"times": 2}]

    async def test_repeat_gets_the_first_answer(self, store: Store) -> None:
        act, repeats = Counter(), Repeats(store, lambda: 0)
        first = [await repeats.once(key, ["a"], act) for key in (KEY, KEY, f'"{KEY}"')]
        later = await Repeats(store, lambda: KEPT).once(KEY, ["a"], act)
        assert [*first, later] == [{"times": 1}] * 4

    async def test_repeat_while_the_first_is_under_way_waits_for_it(self, store: Store) -> None:
        act, repeats = Counter(), Repeats(store, lambda: 0)
        act.go_on.clear()
        both = [asyncio.create_task(repeats.once(KEY, ["a"], act)) for _ in range(2)]
        await act.begun.wait()
        act.go_on.set()
        assert await asyncio.gather(*both) == [{"times": 1}] * 2

    async def test_key_of_another_act_is_refused_under_way_and_after(self, store: Store) -> None:
        act, repeats = Counter(), Repeats(store, lambda: 0)
        act.go_on.clear()
        first = asyncio.create_task(repeats.once(KEY, ["a", "b"], act))
        await act.begun.wait()
        for other in (["a", "c"], ["ab"], ["", "ab"]):
            with pytest.raises(Problem) as refused:
                await repeats.once(KEY, other, act)
            assert (refused.value.status, refused.value.code) == (409, "page.idempotency.other")
        act.go_on.set()
        await first
        with pytest.raises(Problem, match=r"something else"):
            await repeats.once(KEY, ["a", "c"], act)
        assert act.times == 1

    async def test_refused_act_leaves_its_key_free(self, store: Store) -> None:
        act, repeats = Counter(), Repeats(store, lambda: 0)
        act.error = StateError("refused.session.not-now")
        with pytest.raises(StateError):
            await repeats.once(KEY, ["a"], act)
        act.error = None
        assert await repeats.once(KEY, ["a"], act) == {"times": 1}

    @pytest.mark.parametrize(
        "fault", [ValueError("broken"), sqlite3.OperationalError("disk is full"), TimeoutError(), None]
    )
    async def test_act_cut_short_is_not_done_again(self, store: Store, fault: Exception | None) -> None:
        """By a fault, or by the agent's end: what it did nobody can tell."""
        act, repeats = Counter(), Repeats(store, lambda: 0)
        if fault:
            act.error = fault
            with pytest.raises(type(fault)):
                await repeats.once(KEY, ["a"], act)
        else:
            act.go_on.clear()
            first = asyncio.create_task(repeats.once(KEY, ["a"], act))
            await act.begun.wait()
            await repeats.close()
            with contextlib.suppress(asyncio.CancelledError):
                await first
        with pytest.raises(Problem) as unknown:
            await Repeats(store, lambda: 0).once(KEY, ["a"], act)
        assert (unknown.value.status, unknown.value.code) == (409, "page.idempotency.unknown")
        assert not unknown.value.retryable

    async def test_answer_that_cannot_be_kept_is_still_given(self, store: Store) -> None:
        act, repeats = Counter(), Repeats(store, lambda: 0)

        async def fill_up() -> dict[str, int]:
            async with store.transaction() as tx:
                await tx.run("CREATE TRIGGER full BEFORE UPDATE ON idempotency BEGIN SELECT RAISE(ABORT, 'full'); END")
            return await act()

        assert await repeats.once(KEY, ["a"], fill_up) == {"times": 1}
        with pytest.raises(Problem, match="stopped"):
            await repeats.once(KEY, ["a"], act)

    async def test_who_stops_waiting_does_not_stop_the_act(self, store: Store) -> None:
        act, repeats = Counter(), Repeats(store, lambda: 0)
        act.go_on.clear()
        first = asyncio.create_task(repeats.once(KEY, ["a"], act))
        await act.begun.wait()
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        act.go_on.set()
        assert await repeats.once(KEY, ["a"], act) == {"times": 1}

    async def test_key_is_forgotten_after_a_day(self, store: Store) -> None:
        act = Counter()
        await Repeats(store, lambda: 0).once(KEY, ["a"], act)
        assert await Repeats(store, lambda: KEPT + 1).once(KEY, ["b"], act) == {"times": 2}
        async with store.reading() as tx:
            assert len(await tx.all("SELECT * FROM idempotency")) == 1

    @pytest.mark.parametrize(
        "key", ["", "short", "k" * 129, "with space", "with\nline", "é" * 10, '"' * 10, "a\x00bcdefgh"]
    )
    async def test_ill_formed_key_is_refused(self, store: Store, key: str) -> None:
        act = Counter()
        with pytest.raises(Problem) as refused:
            await Repeats(store, lambda: 0).once(key, ["a"], act)
        assert (refused.value.status, act.times) == (422, 0)

    async def test_neither_answer_nor_request_lies_in_the_open(self, home: Any, store: Store) -> None:
        async def act() -> dict[str, str]:
            return {"canary": "swordfish"}

        await Repeats(store, lambda: 0).once(KEY, ["POST", "passphrase=swordfish"], act)
        files = [path.read_bytes() for path in home.database.parent.glob("agent.db*")]
        assert KEY.encode() in b"".join(files)
        assert b"swordfish" not in b"".join(files)


async def draft(desk: Desk, key: str | None = KEY, text: str = TEMPLATE) -> tuple[int, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    async with desk.program.post("/api/v1/drafts", json={"text": text}, headers=headers) as answer:
        return answer.status, await answer.json()


class TestOverHttp:
    async def test_draft_asked_for_twice_is_one_across_a_restart(
        self, sit_down: SitDown, stack: AsyncExitStack
    ) -> None:
        desk = await sit_down()
        first = await draft(desk)
        assert await draft(desk) == first
        await stack.aclose()
        desk = await sit_down()
        assert await draft(desk) == first
        assert (await draft(desk, text=TEMPLATE + "\n"))[0] == 409
        assert (await draft(desk, key=None))[1]["draft"] == "d2"
        assert [one["draft"] for one in (await desk.service.demand_list())["drafts"]] == ["d2", "d1"]

    async def test_same_key_at_another_address_is_another_act(self, desk: Desk) -> None:
        await draft(desk)
        headers = {"Idempotency-Key": KEY}
        async with desk.program.post("/api/v1/drafts/d1/cast", json={"text": TEMPLATE}, headers=headers) as answer:
            assert answer.status == 422
        async with desk.program.post("/api/v1/drafts/d1/cast", headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (409, "page.idempotency.other")
