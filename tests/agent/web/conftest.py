"""A page that is being served over real sockets, by an agent that can reach no relay."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from intentcast_agent.agent import Agent, run_agent
from intentcast_agent.home import Home, find_home
from intentcast_agent.keystore import create, open_keystore
from intentcast_agent.service import Service
from intentcast_agent.settings import Settings, write_settings
from intentcast_agent.web.server import Page, runtime_files, serve_page

SAME = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Desk:
    """A page at work, a browser that is in, and a program that has the token."""

    home: Home
    agent: Agent
    service: Service
    page: Page
    browser: aiohttp.ClientSession
    program: aiohttp.ClientSession
    stranger: aiohttp.ClientSession

    async def raw(self, text: str) -> str:
        """Send a request as it is written and return the answer's head and body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.page.port)
        writer.write(text.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        async with asyncio.timeout(20):
            data = await reader.read(65_536)
        writer.close()
        await writer.wait_closed()
        return data.decode()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = find_home({"INTENTCAST_HOME": str(tmp_path / "home")})
    place.prepare()
    create(place.keystore, None)
    write_settings(place, Settings(("ws://127.0.0.1:1",)))
    return place


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test opens; closing it ends the page and the agent."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def sit_down(home: Home, stack: AsyncExitStack) -> Callable[[], Awaitable[Desk]]:
    """Serve the home's page, once more after `stack` was closed."""
    return lambda: open_desk(home, stack)


async def open_desk(home: Home, stack: AsyncExitStack) -> Desk:
    """Serve a home's page until the stack is closed."""
    agent = await stack.enter_async_context(run_agent(home, open_keystore(home.keystore, None)))
    service = Service(agent)
    page = await stack.enter_async_context(serve_page(agent, service))
    token = runtime_files(home)[1].read_text().strip()

    async def client(**named: Any) -> aiohttp.ClientSession:
        jar = aiohttp.CookieJar(unsafe=True)
        timeout = aiohttp.ClientTimeout(total=20)
        session = aiohttp.ClientSession(page.url, cookie_jar=jar, timeout=timeout, **named)
        return await stack.enter_async_context(session)

    browser = await client(headers=SAME)
    async with browser.get(page.entry()["url"], allow_redirects=False) as answer:
        assert answer.status == 303
    program = await client(headers={"Authorization": f"Bearer {token}"})
    return Desk(home, agent, service, page, browser, program, await client())


@pytest.fixture
async def desk(sit_down: Callable[[], Awaitable[Desk]]) -> Desk:
    return await sit_down()


@pytest.fixture
def open_page(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Any], Awaitable[aiohttp.ClientSession]]:
    """Serve the page of a party at the table; what it signs waits in its outbox until the test carries it."""

    async def at_once(*_: Any, **__: Any) -> None:
        return None

    async def serve(party: Any) -> aiohttp.ClientSession:
        party.agent.online = True
        monkeypatch.setattr(Service, "_sent", at_once)
        page = await stack.enter_async_context(serve_page(party.agent, Service(party.agent)))
        timeout, jar = aiohttp.ClientTimeout(total=20), aiohttp.CookieJar(unsafe=True)
        browser = aiohttp.ClientSession(page.url, cookie_jar=jar, timeout=timeout, headers=SAME)
        await stack.enter_async_context(browser)
        async with browser.get(page.entry()["url"], allow_redirects=False) as answer:
            assert answer.status == 303
        return browser

    return serve
