"""An agent that dies at any durable effect of a session goes on from there, and says nothing twice. DESIGN §6"""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from intentcast_relay.config import Config
from intentcast_relay.server import running

pytestmark = pytest.mark.reliability

DRIVER = Path(__file__).with_name("crash_driver.py")
FEWEST = 10  # effects: fewer would mean that the fault was never injected


def load_driver() -> ModuleType:
    """Import the driver by its path: the tests are no package."""
    if DRIVER.stem not in sys.modules:
        spec = importlib.util.spec_from_file_location(DRIVER.stem, DRIVER)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[DRIVER.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[DRIVER.stem])
    return sys.modules[DRIVER.stem]


driver = load_driver()
Relays = tuple[str, ...]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    driver.hurry(monkeypatch.setattr)


@pytest.fixture
async def relays(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Relays]:
    """Run two relays, so that everything arrives twice; or one, where nothing that is lost comes another way."""
    async with AsyncExitStack() as stack:
        names = [f"relay-{number}.db" for number in range(getattr(request, "param", 2))]
        configs = [Config(listen="127.0.0.1:0", database=tmp_path / name) for name in names]
        yield tuple([(await stack.enter_async_context(running(config))).config.url for config in configs])


@asynccontextmanager
async def nursery(log: Path) -> AsyncIterator[Any]:
    opened = await driver.open_nursery(log)
    try:
        yield opened
    finally:
        await opened.close()


class Sessions:
    """One session after another between fresh homes, over the same relays."""

    def __init__(self, folder: Path, relays: Relays) -> None:
        self.folder = folder
        self.relays = relays
        self.count = 0
        self.homes: dict[str, Any] = {}
        self.plan: Any = None

    async def fresh(self) -> None:
        """Make the homes and the plan of the next session; its category is its own, so that none hears another."""
        self.count += 1
        self.plan = driver.Plan(f"vehicles/session-{self.count}", self.relays)
        folder = self.folder / f"session-{self.count}"
        self.homes = {
            "vendor": await driver.make_vendor(folder / "vendor", self.relays, self.plan.category),
            "person": await driver.make_person(folder / "person", self.relays),
        }

    async def life(self, nurse: Any, role: str, **fault: Any) -> int:
        """Live one life of one side as a process; return its exit status."""
        home = self.homes[role].config.parent
        status: int = await nurse.life(
            role=role, home=home, category=self.plan.category, relays=self.plan.relays, **fault
        )
        return status

    async def lives(self, nurse: Any, role: str, at: int, when: str) -> bool:
        """Die once at the Nth effect and then live to the end; return whether there was an Nth effect."""
        first = await self.life(nurse, role, at=at, when=when)
        if first == 0:
            return False
        assert first == driver.KILLED
        assert await self.life(nurse, role) == 0
        return True

    async def check(self) -> None:
        await driver.check_agreement(self.homes["person"], self.homes["vendor"])


@pytest.fixture
def sessions(tmp_path: Path, relays: Relays) -> Sessions:
    return Sessions(tmp_path, relays)


async def every_death(sessions: Sessions, role: str, when: str, step: int = 1) -> int:
    """Die at the first effect, then in another session at the second, …, until a session is over without a death."""
    at, died = 1 - step, True
    other = {"vendor": "person", "person": "vendor"}[role]
    async with nursery(sessions.folder / "children.log") as nurse:
        while died:
            at += step
            await sessions.fresh()
            async with asyncio.TaskGroup() as group:
                lives = group.create_task(sessions.lives(nurse, role, at, when))
                group.create_task(driver.live(other, sessions.homes[other], sessions.plan))
            died = lives.result()
            await sessions.check()
    return at


@pytest.mark.parametrize("role", ["vendor", "person"])
@pytest.mark.parametrize("relays", [1], indirect=True)
async def test_session_survives_a_death_after_any_durable_effect(sessions: Sessions, role: str) -> None:
    assert await every_death(sessions, role, "after") > FEWEST


@pytest.mark.parametrize("role", ["vendor", "person"])
async def test_session_survives_a_death_before_every_third_durable_effect(sessions: Sessions, role: str) -> None:
    assert await every_death(sessions, role, "before", step=3) > FEWEST


@pytest.mark.long
@pytest.mark.parametrize("role", ["vendor", "person"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("relays", [1, 2], indirect=True)
async def test_session_survives_a_death_at_any_durable_effect(sessions: Sessions, role: str, when: str) -> None:
    assert await every_death(sessions, role, when) > FEWEST


async def deaths_of_both(sessions: Sessions, when: str, step: int) -> int:
    at, died = 1 - step, True
    log = sessions.folder / "children.log"
    async with nursery(log) as one, nursery(log) as other:
        while died:
            at += step
            await sessions.fresh()
            async with asyncio.TaskGroup() as group:
                lives = [
                    group.create_task(sessions.lives(nurse, role, at, when))
                    for nurse, role in ((one, "vendor"), (other, "person"))
                ]
            died = any(life.result() for life in lives)
            await sessions.check()
    return at


async def test_session_survives_the_death_of_both_sides(sessions: Sessions) -> None:
    assert await deaths_of_both(sessions, "after", step=4) > FEWEST


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
async def test_session_survives_the_death_of_both_sides_at_any_durable_effect(sessions: Sessions, when: str) -> None:
    assert await deaths_of_both(sessions, when, step=1) > FEWEST


@pytest.mark.parametrize("role", ["vendor", "person"])
async def test_session_ends_though_every_life_of_one_side_is_short(sessions: Sessions, role: str) -> None:
    """Each life ends one effect later than the one before it: most of what is done is done while resuming."""
    await sessions.fresh()
    other = {"vendor": "person", "person": "vendor"}[role]

    async def short_lives(nurse: Any) -> int:
        at = 1
        while await self_ended(nurse, at):
            at += 1
        return at

    async def self_ended(nurse: Any, at: int) -> bool:
        return bool(await sessions.life(nurse, role, at=at, when="after") == driver.KILLED)

    async with nursery(sessions.folder / "children.log") as nurse, asyncio.TaskGroup() as group:
        lives = group.create_task(short_lives(nurse))
        group.create_task(driver.live(other, sessions.homes[other], sessions.plan))
    assert lives.result() > 3
    await sessions.check()
