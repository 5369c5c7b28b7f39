"""The API: one table, one document, each verb with its errors; edits that nobody overwrites; bodies that bite."""

import asyncio
import json
import sqlite3
from typing import Any

import pytest
from intentcast_agent.api import Failed
from intentcast_agent.keystore import Locked
from intentcast_agent.person.draft import TEMPLATE
from intentcast_agent.vendor.policy import POLICY_TEMPLATE
from intentcast_agent.web import guard
from intentcast_agent.web.guard import MAX_BODY
from intentcast_agent.web.openapi import document
from intentcast_agent.web.problem import problem_of, status_of
from intentcast_agent.web.routes import BASE, ROUTES, arguments
from intentcast_protocol.errors import CODES, Refused, StateError

Desk = Any  # the fixtures are conftest.py's


async def said(client: Any, method: str, path: str, **named: Any) -> tuple[int, Any]:
    """Ask and return the status and the JSON."""
    async with client.request(method, BASE + path, **named) as answer:
        return answer.status, await answer.json()


class TestDocument:
    async def test_it_is_served_and_names_every_route_of_the_table(self, desk: Desk) -> None:
        status, served = await said(desk.program, "GET", "/openapi.json")
        assert status == 200
        assert served["openapi"] == "3.1.0"
        operations = {(path, method.upper()) for path, methods in served["paths"].items() for method in methods}
        assert operations == {(route.url, route.method) for route in ROUTES}
        assert len(operations) == len(ROUTES)

    def test_every_operation_says_what_it_takes_and_gives(self) -> None:
        for route in ROUTES:
            found = document()["paths"][route.url][route.method.lower()]
            assert found["operationId"] == route.verb
            assert found["summary"].endswith((".", ":")), route
            places = {one["name"]: one["in"] for one in found["parameters"]}
            assert {name for name, place in places.items() if place == "path"} == set(route.in_path)
            body = found.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            taken = {name for name, place in places.items() if place != "header"} | set(body.get("properties", {}))
            assert taken == set(arguments(route).__struct_fields__)
            assert ("Idempotency-Key" in places) == route.writes
            assert ("If-Match" in places) == bool(route.edits)
            assert set(found["responses"]) == {"200", "default"}

    def test_every_reference_has_its_target(self) -> None:
        text = json.dumps(document())
        for part in text.split('"$ref": "')[1:]:
            name = part.split('"')[0].removeprefix("#/components/schemas/")
            assert name in document()["components"]["schemas"]

    @pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.verb)
    async def test_every_route_answers_with_json_or_a_coded_error(self, desk: Desk, route: Any) -> None:
        """Asked for what is not there and with an unknown parameter, so that nothing is done."""
        path = route.path.replace("{", "").replace("}", "")
        named = {"json": {"nonsense": 1}} if route.in_body else {"params": {"nonsense": "1"}}
        status, problem = await said(desk.program, route.method, path, **named)
        assert (status, problem["code"]) == (422, "usage")
        assert "nonsense" in problem["message"] or "required" in problem["message"]
        assert set(problem) == {"code", "message", "hint", "retryable"}


class TestVerbs:
    async def test_demand_is_drafted_cast_and_viewed(self, desk: Desk) -> None:
        status, draft = await said(desk.program, "POST", "/drafts", json={"text": TEMPLATE})
        assert status == 200
        cast = await said(desk.program, "POST", f"/drafts/{draft['draft']}/cast", json={"within": 0})
        assert cast[1]["id"] == draft["demand"]
        status, view = await said(desk.browser, "GET", f"/demands/{draft['draft']}")
        assert (status, view["state"]) == (200, "open")
        assert (await said(desk.program, "GET", f"/demands/{draft['demand']}"))[1]["id"] == draft["demand"]
        assert (await said(desk.program, "GET", "/demands"))[1]["total"] == 1
        assert (await said(desk.program, "GET", "/offers", params={"demand": "d1"}))[1]["offers"] == []
        status, compared = await said(desk.program, "GET", "/demands/d1/comparison?every=true&unknown=0.5")
        assert (status, compared["winner"]) == (200, None)

    async def test_stream_of_a_demand_begins_with_the_whole_and_ends(self, desk: Desk) -> None:
        await said(desk.program, "POST", "/drafts", json={"text": TEMPLATE})
        await said(desk.program, "POST", "/drafts/d1/cast", json={"within": 0})
        async with desk.program.get(f"{BASE}/demands/d1/watch", params={"within": "0"}) as answer:
            assert answer.content_type == "text/event-stream"
            text = await answer.text()
        first, last = text.strip().split("\n\n")
        assert first.startswith("event: update\ndata: {")
        assert last == "event: end\ndata: {}"

    async def test_stream_of_what_is_not_there_is_a_plain_refusal(self, desk: Desk) -> None:
        status, problem = await said(desk.program, "GET", "/demands/d7/watch", params={"within": "1"})
        assert (status, problem["code"], problem["retryable"]) == (404, "refused.record.unknown", False)

    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "code"),
        [
            ("GET", "/offers/o7", None, 404, "refused.record.unknown"),
            ("GET", "/offers/%00", None, 404, "refused.record.unknown"),
            ("GET", f"/agreements/b{'a' * 4000}", None, 404, "refused.record.unknown"),
            ("GET", "/nowhere", None, 404, "page.unknown"),
            ("POST", "/status", {}, 405, "page.method"),
            ("POST", "/drafts", {"text": "name = 1"}, 422, "invalid.demand.malformed"),
            ("POST", "/drafts", {"text": 7}, 422, "usage"),
            ("POST", "/drafts", {}, 422, "usage"),
            ("POST", "/drafts/d1/cast", {"draft": "d2"}, 422, "usage"),
            ("PATCH", "/contact", {"contact": {"shoe": "43"}}, 422, "invalid.session.malformed"),
            ("PUT", "/vendor/policy", {"text": "["}, 422, "usage"),
            ("PUT", "/criteria", {"text": "["}, 422, "usage"),
            ("POST", "/vendor/stock", {"file": "/nowhere", "name": "x"}, 422, "usage"),
            ("GET", "/vendor/domain", None, 409, "refused.session.not-now"),
            ("GET", "/demands/d1/haggling", None, 404, "refused.record.unknown"),
        ],
    )
    async def test_refusal_has_its_status_and_its_code(
        self, desk: Desk, method: str, path: str, body: Any, status: int, code: str
    ) -> None:
        named = {} if body is None else {"json": body}
        async with desk.program.request(method, f"{BASE}{path}", **named) as answer:
            problem = await answer.json()
        assert (answer.status, problem["code"]) == (status, code), problem
        assert problem["message"]


class TestProblems:
    def test_every_code_of_the_protocol_has_a_status(self) -> None:
        for code in CODES:
            assert (status_of(code) == 500) == (code == "internal.error"), code

    @pytest.mark.parametrize(
        ("error", "status", "retryable"),
        [
            (Failed("locked", "no passphrase", 4), 423, False),
            (Failed("unreachable", "no relay", 5), 503, True),
            (Refused("refused.relay.stopping"), 503, True),
            (Refused("refused.rate.exceeded"), 429, True),
            (StateError("refused.stock.gone"), 409, False),
            (sqlite3.OperationalError("database or disk is full"), 507, False),
            (sqlite3.OperationalError("database is locked"), 503, True),
            (TimeoutError(), 504, True),
            (Locked("x"), 423, False),
        ],
        ids=repr,
    )
    def test_failure_is_told_so_that_a_program_knows_what_to_do(
        self, error: Exception, status: int, retryable: bool
    ) -> None:
        problem = problem_of(error)
        assert problem is not None
        assert (problem.status, problem.retryable) == (status, retryable)

    async def test_fault_of_ours_says_nothing_of_the_inside(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def broken() -> None:
            raise ValueError("secret inside")

        monkeypatch.setattr(desk.service, "demand_list", broken)
        async with desk.program.get(f"{BASE}/demands") as answer:
            text = await answer.text()
        assert (answer.status, json.loads(text)["code"]) == (500, "internal.error")
        assert "secret" not in text
        assert "secret inside" in caplog.text


DEEP = b'{"text": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"
BODIES = [
    b"{", b"[]", b"null", b'"text"', b"nonsense", b"\xff\xfe", b'{"text": NaN}', b'{"text": "\\ud800"}', DEEP,
    b'{"text": {"a": {"b": 1}}}', b'{"a":' * 10_000, b'{"text": 1e999}', b'{"text": ' + b"9" * 5_000 + b"}",
    b'{"text": "' + b"\x00" * 100 + b'"}', b"\x00" * 1_000,
]  # fmt: skip


class TestBodies:
    @pytest.mark.parametrize("data", BODIES, ids=lambda data: data[:24])
    async def test_ill_formed_body_is_a_coded_error(self, desk: Desk, data: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        status, problem = await said(desk.program, "POST", "/drafts", data=data, headers=headers)
        assert status in {400, 422}
        assert problem["code"] in {"page.body.malformed", "usage", "invalid.demand.malformed"}

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
    async def test_body_of_another_kind_is_refused(self, desk: Desk, kind: str) -> None:
        headers = {"Content-Type": kind}
        status, problem = await said(desk.program, "POST", "/drafts", data=b'{"text": "x"}', headers=headers)
        assert (status, problem["code"]) == (415, "page.body.type")

    async def test_files_are_refused_where_none_are_taken(self, desk: Desk) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        for client, path in ((desk.program, f"{BASE}/drafts"), (desk.browser, "/")):
            async with client.post(path, data=b"--x--", headers=headers) as answer:
                assert answer.status == 415

    async def test_large_body_is_refused_before_it_is_kept(self, desk: Desk) -> None:
        fits = json.dumps({"text": "x" * (MAX_BODY - 20)})
        headers = {"Content-Type": "application/json"}
        assert (await said(desk.program, "POST", "/drafts", data=fits, headers=headers))[0] == 422
        status, problem = await said(desk.program, "POST", "/drafts", data=fits + " " * 30, headers=headers)
        assert (status, problem["code"]) == (413, "page.body.large")

        async def endless() -> Any:
            for _ in range(1_000):
                yield b" " * 1_024

        assert (await said(desk.program, "POST", "/drafts", data=endless(), headers=headers))[0] == 413

    async def test_what_the_path_says_is_said_once(self, desk: Desk) -> None:
        for query in ("demand=d1&demand=d2", "nonsense=1", "demand[]=d1"):
            assert (await said(desk.program, "GET", f"/offers?{query}"))[0] == 422
        assert (await said(desk.program, "POST", "/drafts?text=x", json={"text": "x"}))[0] == 422

    @pytest.mark.parametrize("within", ["-1", "nan", "inf", "61", "1e400", "soon", ""])
    async def test_wait_is_bounded(self, desk: Desk, within: str) -> None:
        status, problem = await said(desk.program, "GET", "/offers/o1/wait", params={"within": within})
        assert (status, problem["code"]) == (422, "usage")

    async def test_number_beyond_every_machine_is_refused(self, desk: Desk) -> None:
        for delivery in (10**30, 2**63, 1.5, "three", True):
            status, _ = await said(desk.program, "POST", "/offers/o1/counter", json={"delivery": delivery})
            assert status in {400, 422}, delivery


class TestDeadlines:
    async def test_body_that_does_not_come_is_given_up(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(guard, "BODY_WITHIN", 0.01)
        told = await desk.raw(
            f"POST {BASE}/drafts HTTP/1.1\nHost: 127.0.0.1:{desk.page.port}\nContent-Length: 900\n"
            f"Authorization: {desk.program.headers['Authorization']}\nContent-Type: application/json"
        )
        assert told.split()[1] == "408"
        assert '"page.body.late"' in told

    async def test_late_answer_is_no_answer_and_the_act_goes_on(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_on, key = asyncio.Event(), {"Idempotency-Key": "the-one-act"}
        kept = desk.service.contact_set

        async def slow(contact: dict[str, str]) -> Any:
            await go_on.wait()
            return await kept(contact)

        monkeypatch.setattr(desk.service, "contact_set", slow)
        body = {"contact": {"name": "Robin Example"}}
        with monkeypatch.context() as hasty:
            hasty.setattr(guard, "ANSWER_WITHIN", 0.01)
            status, problem = await said(desk.program, "PATCH", "/contact", json=body, headers=key)
        assert (status, problem["code"], problem["retryable"]) == (504, "internal.late", True)
        go_on.set()
        assert (await said(desk.program, "PATCH", "/contact", json=body, headers=key)) == (200, body)


class TestEdits:
    async def etag(self, desk: Desk, path: str) -> str:
        async with desk.program.get(BASE + path) as answer:
            tag: str = answer.headers["ETag"]
            return tag

    @pytest.mark.parametrize(
        ("method", "path", "first", "second"),
        [
            ("PATCH", "/contact", {"contact": {"name": "Robin"}}, {"contact": {"name": "Kim"}}),
            ("PUT", "/criteria", None, None),
            ("PUT", "/vendor/policy", None, None),
        ],
    )
    async def test_second_of_two_tabs_overwrites_nothing(
        self, desk: Desk, method: str, path: str, first: Any, second: Any
    ) -> None:
        if path == "/criteria":
            text = (await desk.service.criteria_view())["text"]
            first, second = {"text": text + "# a\n"}, {"text": text + "# b\n"}
        if path == "/vendor/policy":
            first, second = {"text": POLICY_TEMPLATE + "# a\n"}, {"text": POLICY_TEMPLATE + "# b\n"}
        tag = await self.etag(desk, path)
        assert (await said(desk.program, method, path, json=first, headers={"If-Match": tag}))[0] == 200
        after = await self.etag(desk, path)
        assert after != tag
        status, problem = await said(desk.program, method, path, json=second, headers={"If-Match": tag})
        assert (status, problem["code"]) == (412, "page.edit.changed")
        assert await self.etag(desk, path) == after
        assert (await said(desk.program, method, path, json=second, headers={"If-Match": after}))[0] == 200

    async def test_criteria_of_one_category_do_not_stand_in_for_another(self, desk: Desk) -> None:
        text = (await desk.service.criteria_view())["text"]
        tag = await self.etag(desk, "/criteria?category=services")
        body = {"text": text, "category": "services"}
        assert (await said(desk.program, "PUT", "/criteria", json=body, headers={"If-Match": tag}))[0] == 200
        status, _ = await said(desk.program, "DELETE", "/criteria?category=services", headers={"If-Match": tag})
        assert status == 412
        assert (await said(desk.program, "DELETE", "/criteria?category=services"))[0] == 200
