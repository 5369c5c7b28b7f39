"""A relay may die at any durable effect, be killed, or stay away: what it acknowledged is there, and sessions end well.

DESIGN §5
"""

import asyncio
import importlib.util
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from intentcast_agent.agent import run_agent
from intentcast_agent.keystore import open_keystore
from intentcast_agent.service import Service
from intentcast_relay.config import Config
from intentcast_relay.server import running

pytestmark = pytest.mark.reliability

DRIVER = Path(__file__).with_name("crash_driver.py")
FEWEST = 6  # effects: fewer would mean that the fault was never injected


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


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    driver.hurry(monkeypatch.setattr)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@asynccontextmanager
async def nursery(log: Path) -> AsyncIterator[Any]:
    opened = await driver.open_nursery(log)
    try:
        yield opened
    finally:
        await opened.close()


async def whole_session(folder: Path, plan: Any) -> tuple[Any, Any]:
    """Run a session between two fresh agents of this process to its end; return the two homes."""
    vendor = await driver.make_vendor(folder / "vendor", plan.relays, plan.category)
    person = await driver.make_person(folder / "person", plan.relays)
    async with asyncio.TaskGroup() as group:
        group.create_task(driver.live("vendor", vendor, plan))
        group.create_task(driver.live("person", person, plan))
    return person, vendor


async def every_death(folder: Path, when: str, step: int = 1) -> int:
    """Let the only relay of a session die at its first effect, its second, …, until a session ends without a death."""
    at, died = 1 - step, True
    async with nursery(folder / "children.log") as nurse:
        while died:
            at += step
            port = free_port()
            relay = {"role": "relay", "listen": f"127.0.0.1:{port}", "database": folder / f"relay-{at}.db"}

            async def lives(relay: dict[str, Any] = relay, at: int = at) -> bool:
                first = await nurse.life(**relay, at=at, when=when)
                if first == 0:
                    return False
                assert first == driver.KILLED
                assert await nurse.life(**relay) == 0
                return True

            plan = driver.Plan("vehicles/cars", (f"ws://127.0.0.1:{port}",))
            async with asyncio.TaskGroup() as group:
                living = group.create_task(lives())
                homes = await whole_session(folder / f"session-{at}", plan)
                nurse.kill(signal.SIGTERM)
            died = living.result()
            await driver.check_agreement(*homes)
    return at


async def test_session_survives_the_death_of_its_only_relay_after_any_commit(tmp_path: Path) -> None:
    assert await every_death(tmp_path, "after") > FEWEST


async def test_session_survives_the_death_of_its_only_relay_before_every_third_commit(tmp_path: Path) -> None:
    assert await every_death(tmp_path, "before", step=3) > FEWEST


@pytest.mark.long
async def test_session_survives_the_death_of_its_only_relay_before_any_commit(tmp_path: Path) -> None:
    assert await every_death(tmp_path, "before") > FEWEST


DEMANDS = 12


@pytest.mark.parametrize("acknowledged", [1, 5, 9])
async def test_relay_killed_among_many_publishes_loses_none(tmp_path: Path, acknowledged: int) -> None:
    """Each of a dozen demands cast at once gets its one offer, though the relay is killed once some are acked."""
    port = free_port()
    relay = {"role": "relay", "listen": f"127.0.0.1:{port}", "database": tmp_path / "relay.db"}
    plan = driver.Plan("vehicles/cars", (f"ws://127.0.0.1:{port}",))
    vendor = await driver.make_vendor(tmp_path / "vendor", plan.relays, plan.category, stock=DEMANDS)
    person = await driver.make_person(tmp_path / "person", plan.relays)
    text = driver.DEMAND.format(category=plan.category, relays=f'["{plan.relays[0]}"]')
    async with (
        nursery(tmp_path / "children.log") as nurse,
        run_agent(person, open_keystore(person.keystore, None)) as buyer,
        run_agent(vendor, open_keystore(vendor.keystore, None)) as seller,
        asyncio.TaskGroup() as group,
    ):
        first = group.create_task(nurse.life(**relay))
        service = Service(buyer)
        await seller.go_online()
        drafts = [(await service.demand_preview(text))["draft"] for _ in range(DEMANDS)]
        for draft in drafts:
            await service.demand_cast(draft, within=0)

        async def count(sql: str, agent: Any) -> int:
            async with agent.store.reading() as tx:
                row = await tx.one(sql)
            return int(row[0])

        async def some_are_acknowledged() -> bool:
            return await count("SELECT count(*) FROM delivery WHERE state = 'done'", buyer) >= acknowledged

        await driver.until(some_are_acknowledged)
        nurse.kill(signal.SIGKILL)
        assert await first == -signal.SIGKILL
        second = group.create_task(nurse.life(**relay))

        async def all_are_answered() -> bool:
            return await count("SELECT count(*) FROM session WHERE state = 'offered'", buyer) == DEMANDS

        await driver.until(all_are_answered)
        assert await count("SELECT count(*) FROM demand d WHERE 1 = "
                           "(SELECT count(*) FROM session s WHERE s.demand = d.id)", buyer) == DEMANDS  # fmt: skip
        assert await count("SELECT count(*) FROM session", seller) == DEMANDS
        assert await count("SELECT count(*) FROM rejected", buyer) == 0
        nurse.kill(signal.SIGTERM)
        assert await second == 0


async def test_demand_cast_while_its_relay_is_down_goes_out_when_it_is_up(tmp_path: Path) -> None:
    port = free_port()
    plan = driver.Plan("vehicles/cars", (f"ws://127.0.0.1:{port}",))
    async with asyncio.TaskGroup() as group:
        session = group.create_task(whole_session(tmp_path, plan))

        async def is_cast() -> bool:
            found = tmp_path / "person" / "agent.db"
            return found.exists() and await _casts(found) == 1

        await driver.until(is_cast)
        async with running(Config(listen=f"127.0.0.1:{port}", database=tmp_path / "relay.db")):
            homes = await session
    await driver.check_agreement(*homes)


async def _casts(database: Path) -> int:
    reading = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return int(reading.execute("SELECT count(*) FROM demand").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # the person's home is being made
    finally:
        reading.close()


async def test_session_ends_in_agreement_though_one_of_its_two_relays_stays_down(tmp_path: Path) -> None:
    async with running(Config(listen="127.0.0.1:0", database=tmp_path / "relay.db")) as relay:
        plan = driver.Plan("vehicles/cars", (relay.config.url, f"ws://127.0.0.1:{free_port()}"), everywhere=False)
        homes = await whole_session(tmp_path, plan)
    await driver.check_agreement(*homes, everywhere=False)
