"""The way in: no name but our own, no other site, no second use of an address, and headers on every answer."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from intentcast_agent.api import Failed
from intentcast_agent.web.guard import ENTRY_LIFE, MAX_BODY, Guard
from intentcast_agent.web.routes import ROUTES
from intentcast_agent.web.server import runtime_files

Desk = Any  # the fixtures are conftest.py's
SAME = {"Sec-Fetch-Site": "same-origin"}
PATHS = ["/", "/enter?token=x", "/static/page.css", "/events", "/nowhere", "/api/v1/openapi.json", "/api/v1/nowhere"]
HOSTS = ["evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", "127.1:{port}",
         "[::]:{port}", "localhost.:{port}", "localhost:{port}@evil.example", "0.0.0.0:{port}", ""]  # fmt: skip


def filled(path: str) -> str:
    return path.replace("{", "").replace("}", "")


class TestSecrets:
    def test_entry_lets_one_browser_in_once(self) -> None:
        keeper = Guard("t" * 43)
        entry = keeper.issue(0)
        cookie = keeper.enter(entry, 1)
        assert cookie is not None
        assert keeper.knows_browser(cookie)
        assert keeper.enter(entry, 1) is None

    def test_entry_is_worth_nothing_after_its_minute(self) -> None:
        keeper = Guard("t" * 43)
        entry = keeper.issue(0)
        assert keeper.enter(entry, ENTRY_LIFE) is None
        assert keeper.enter(entry, 0) is None

    def test_secrets_are_long_and_never_the_same(self) -> None:
        keeper = Guard("t" * 43)
        entries = {keeper.issue(0) for _ in range(8)}
        assert len(entries) == 8
        assert all(len(entry) >= 43 for entry in entries)  # 256 bits
        assert len({keeper.enter(entry, 0) for entry in entries}) == 8

    def test_no_other_text_opens_anything(self) -> None:
        keeper = Guard("t" * 43)
        entry = keeper.issue(0)
        for wrong in ("", entry[:-1], entry + "A", entry.upper(), "é", "\udcff"):
            assert keeper.enter(wrong, 0) is None
            assert not keeper.knows_browser(wrong)
            assert not keeper.knows_token(f"Bearer {wrong}")
        assert not keeper.knows_token("t" * 43)
        assert not keeper.knows_token(f"Basic {'t' * 43}")
        assert keeper.knows_token(f"bearer {'t' * 43}")

    def test_only_the_newest_sixteen_of_each_are_kept(self) -> None:
        keeper = Guard("t" * 43)
        entries = [keeper.issue(0) for _ in range(17)]
        assert keeper.enter(entries[0], 0) is None
        cookies = [keeper.enter(keeper.issue(0), 0) for _ in range(17)]
        assert not keeper.knows_browser(cookies[0] or "")
        assert keeper.knows_browser(cookies[1] or "")

    def test_no_host_is_ours_before_the_port_is_known(self) -> None:
        assert not Guard("t").knows_host(["127.0.0.1:0"])

    def test_exactly_one_host_header_is_ours(self) -> None:
        keeper = Guard("t")
        keeper.settle(7440)
        for own in ("127.0.0.1:7440", "localhost:7440", "[::1]:7440", "LOCALHOST:7440"):
            assert keeper.knows_host([own])
            assert not keeper.knows_host([own, own])
        assert not keeper.knows_host([])


class TestRebinding:
    @pytest.mark.parametrize("host", HOSTS)
    async def test_strange_host_is_refused_on_every_route(self, desk: Desk, host: str) -> None:
        """With the cookie and the token, on screens, files, streams, the API and what does not exist."""
        name = host.format(port=desk.page.port)
        for path in PATHS + [filled(route.url) for route in ROUTES if route.method == "GET"]:
            for client in (desk.browser, desk.program):
                async with client.get(path, headers={"Host": name}, allow_redirects=False) as answer:
                    assert answer.status == 403, (path, name)
                    assert "Set-Cookie" not in answer.headers

    async def test_strange_host_is_refused_for_every_write(self, desk: Desk) -> None:
        for route in ROUTES:
            if route.method != "GET":
                headers = {"Host": f"evil.example:{desk.page.port}"}
                async with desk.program.request(route.method, filled(route.url), headers=headers) as answer:
                    assert answer.status == 403, route

    async def test_second_host_and_a_host_in_the_target_are_refused(self, desk: Desk) -> None:
        own = f"127.0.0.1:{desk.page.port}"
        for head in (
            f"GET / HTTP/1.1\nHost: {own}\nHost: evil.example\nConnection: close",
            f"GET / HTTP/1.1\nHost: evil.example\nHost: {own}\nConnection: close",
            f"GET http://evil.example/ HTTP/1.1\nHost: {own}\nConnection: close",
            f"GET http://evil.example/api/v1/status HTTP/1.1\nHost: {own}\nConnection: close",
            "GET / HTTP/1.1\nConnection: close",
            "GET / HTTP/1.0",
        ):
            status = (await desk.raw(head)).split()[1]
            assert status in {"400", "403"}, head

    async def test_own_names_are_let_through(self, desk: Desk) -> None:
        for name in ("127.0.0.1", "localhost", "[::1]"):
            async with desk.program.get("/api/v1/status", headers={"Host": f"{name}:{desk.page.port}"}) as answer:
                assert answer.status == 200

    async def test_page_listens_on_loopback_alone(self, desk: Desk) -> None:
        server = desk.page.port
        for family in ("/proc/net/tcp", "/proc/net/tcp6"):
            lines = [line.split() for line in Path(family).read_text().splitlines()]
            bound = [line[1] for line in lines if line[3] == "0A"]
            addresses = [one.rsplit(":", 1)[0] for one in bound if int(one.rsplit(":", 1)[1], 16) == server]
            assert set(addresses) <= {"0100007F", "00000000000000000000000001000000"}


class TestEntry:
    async def test_page_asked_for_twice_at_once_is_one_page(self, desk: Desk) -> None:
        first, second = await asyncio.gather(desk.service.page_open(), desk.service.page_open())
        assert first["port"] == second["port"] == desk.agent.page.port
        assert first["url"] != second["url"]
        for port in (-1, 65_536, first["port"] % 60_000 + 1_024):
            with pytest.raises(Failed):
                await desk.service.page_open(port)

    async def test_port_that_is_taken_is_said_so(self, desk: Desk) -> None:
        with pytest.raises(Failed, match=str(desk.page.port)):
            await desk.service.page_open(desk.page.port)

    async def test_address_of_the_page_is_good_once(self, desk: Desk) -> None:
        url = desk.page.entry()["url"]
        async with desk.stranger.get(url, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
        async with desk.stranger.get(url, allow_redirects=False) as answer:
            assert answer.status == 401
            assert "intentcast open" in await answer.text()

    async def test_entry_from_a_file_or_a_link_steps_on_from_our_own_page(self, desk: Desk) -> None:
        """A strict cookie would not go along with a redirect that another origin began."""
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        async with desk.stranger.get(desk.page.entry()["url"], headers=headers, allow_redirects=False) as answer:
            assert answer.status == 200
            assert 'content="0;url=/"' in await answer.text()
        async with desk.stranger.get("/") as answer:
            assert answer.status == 200

    async def test_cookie_is_out_of_reach_of_scripts_and_other_sites(self, desk: Desk) -> None:
        async with desk.stranger.get(desk.page.entry()["url"], allow_redirects=False) as answer:
            (cookie,) = answer.headers.getall("Set-Cookie")
        name, *flags = [part.strip() for part in cookie.split(";")]
        assert name.startswith(f"intentcast-{desk.page.port}=")
        assert {flag.lower() for flag in flags} == {"httponly", "path=/", "samesite=strict"}

    async def test_browser_without_cookie_is_told_what_to_run(self, desk: Desk) -> None:
        for headers in ({}, {"Cookie": f"intentcast-{desk.page.port}=guess"}, {"Cookie": ";;=; ,"}):
            async with desk.stranger.get("/", headers=headers) as answer:
                assert answer.status == 401
                assert "intentcast open" in await answer.text()
            async with desk.stranger.get("/events", headers=headers) as answer:
                assert (answer.status, (await answer.json())["code"]) == (401, "refused.auth.required")

    async def test_token_opens_the_api_and_no_page(self, desk: Desk) -> None:
        async with desk.program.get("/api/v1/status") as answer:
            assert answer.status == 200
        async with desk.program.get("/") as answer:
            assert answer.status == 401

    async def test_secrets_on_disk_are_for_this_account_and_end_with_the_page(self, desk: Desk, stack: Any) -> None:
        where, token = runtime_files(desk.home)
        assert {stat.S_IMODE(path.stat().st_mode) for path in (where, token)} == {0o600}
        assert json.loads(where.read_text()) == {"port": desk.page.port, "url": desk.page.url}
        await stack.aclose()
        assert not where.exists()
        assert not token.exists()


# Who asks, and what their browser says of it.
FORGERIES: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    {"Sec-Fetch-Site": "SAME-ORIGIN"},
    {"Origin": "http://127.0.0.1"},
]


class TestForgery:
    @pytest.fixture
    async def bearing(self, desk: Desk) -> AsyncIterator[aiohttp.ClientSession]:
        """A browser with the cookie that says nothing of who made it ask."""
        jar = desk.browser.cookie_jar
        async with aiohttp.ClientSession(desk.page.url, cookie_jar=jar) as session:
            yield session

    @pytest.mark.parametrize("headers", FORGERIES, ids=str)
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    async def test_cookie_alone_changes_nothing(
        self, desk: Desk, bearing: aiohttp.ClientSession, method: str, headers: dict[str, str]
    ) -> None:
        body = {"contact": {"name": "Forged"}}
        for path in ("/api/v1/contact", "/", "/nowhere", "/enter"):
            async with bearing.request(method, path, headers=headers, json=body) as answer:
                assert answer.status == 403
        assert (await desk.service.contact_view())["contact"] == {}

    @pytest.mark.parametrize("headers", [one for one in FORGERIES if "Sec-Fetch-Site" in one], ids=str)
    async def test_token_does_not_excuse_another_site(self, desk: Desk, headers: dict[str, str]) -> None:
        async with desk.program.patch("/api/v1/contact", json={"contact": {}}, headers=headers) as answer:
            assert answer.status == 403

    async def test_own_page_and_own_program_may_write(self, desk: Desk, bearing: aiohttp.ClientSession) -> None:
        for client, headers in ((desk.program, {}), (bearing, SAME)):
            body = {"contact": {"name": "Robin Example"}}
            async with client.patch("/api/v1/contact", json=body, headers=headers) as answer:
                assert answer.status == 200, await answer.text()

    async def test_other_site_reads_nothing_but_may_link_here(self, desk: Desk, bearing: aiohttp.ClientSession) -> None:
        for site in ("cross-site", "same-site"):
            for path in ("/", "/events", "/api/v1/status", "/static/page.js"):
                async with bearing.get(path, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}) as answer:
                    assert answer.status == 403
            link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
            async with bearing.get("/api/v1/status", headers=link) as answer:
                assert answer.status == 200


class TestHeaders:
    async def test_every_answer_forbids_what_it_does_not_need(self, desk: Desk) -> None:
        asked = [("GET", path, None) for path in PATHS]
        asked += [("POST", "/api/v1/contact", None), ("PATCH", "/api/v1/contact", b"{"), ("PROPFIND", "/", None),
                  ("POST", "/", b"x" * (MAX_BODY + 1)), ("GET", "/api/v1/offers/o9", None)]  # fmt: skip
        nonces = []
        for client in (desk.browser, desk.stranger):
            for method, path, data in asked:
                async with client.request(method, path, data=data, allow_redirects=False) as answer:
                    headers = answer.headers
                policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
                nonces.append(policy["script-src"])
                assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
                assert policy["script-src"].startswith("'nonce-")
                assert policy["style-src"].startswith("'nonce-")
                assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "intentcast")
                assert "unsafe" not in headers["Content-Security-Policy"]
                assert headers["X-Content-Type-Options"] == "nosniff"
                assert headers["Referrer-Policy"] == "no-referrer"
                assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
                assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert not any(name.startswith("Access-Control") for name in headers)
                if not path.startswith("/static"):
                    assert headers["Cache-Control"] == "no-store"
        assert len(set(nonces)) == len(nonces)
