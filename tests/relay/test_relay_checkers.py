"""Records are checked in processes of their own, and nothing is lost when one of those dies. DESIGN §5"""

import asyncio
import os
import signal
from typing import Any

from intentcast_protocol.errors import IntentcastError
from intentcast_relay.check import Verdict, check
from intentcast_relay.checkers import FEW, Checkers


def shown(verdicts: list[Verdict]) -> list[Any]:
    return [(type(one), one.code, one.detail) if isinstance(one, IntentcastError) else one for one in verdicts]


async def test_a_process_says_what_this_one_would(build: Any) -> None:
    good = [build.demand(build.seed()).record for _ in range(FEW + 5)]
    late = build.demand(build.seed(), expires=build.now + 1)
    records = [*good, build.forged(build.demand(build.seed())), late.record]
    checkers = Checkers(1)
    await checkers.start()
    try:
        await asyncio.wait_for(checkers.ready.wait(), 20)
        for now in (build.now, build.now + 5):
            assert shown(await checkers.check(records, now)) == shown(check(records, now))
    finally:
        await checkers.stop()


async def test_what_a_dying_process_left_is_checked_all_the_same(build: Any) -> None:
    records = [build.demand(build.seed()).record for _ in range(FEW + 1)]
    checkers = Checkers(1)
    await checkers.start()
    try:
        await asyncio.wait_for(checkers.ready.wait(), 20)
        os.kill(checkers._checkers[0].process.pid, signal.SIGSTOP)
        asked = asyncio.create_task(checkers.check(records, build.now))
        await asyncio.sleep(0)  # the question is sent in the task's first step
        os.kill(checkers._checkers[0].process.pid, signal.SIGKILL)
        assert [one.id for one in await asked] == [record.id for record in records]  # type: ignore[union-attr]
        await asyncio.wait_for(checkers.ready.wait(), 20)
    finally:
        await checkers.stop()


async def test_without_processes_a_thread_does_the_work(build: Any) -> None:
    records = [build.demand(build.seed()).record for _ in range(FEW + 1)]
    assert await Checkers(0).check(records, build.now) == check(records, build.now)
