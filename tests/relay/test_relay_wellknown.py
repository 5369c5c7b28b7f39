"""The relay asks a domain, and only that domain: against real servers, and name servers that lie."""

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from intentcast_relay.wellknown import MAX_DOCUMENT, PATH, Resolve, Unreachable, WellKnown, is_public, resolve

DOMAIN = "shop.example"
GOOD = {"keys": []}
Handler = Callable[[web.Request], Any]


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve every path by one handler on loopback; yields the port."""

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = handler(request)
        return await answer if asyncio.iscoroutine(answer) else answer

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def mapped(port: int, **options: Any) -> WellKnown:
    return WellKnown({DOMAIN: f"127.0.0.1:{port}"}, **options)


async def refusal(known: WellKnown, domain: str = DOMAIN) -> str:
    with pytest.raises(Unreachable) as refused:
        await known.read(domain)
    return str(refused.value)


def naming(*addresses: str, asked: list[str] | None = None) -> Resolve:
    """A name server that gives these addresses for every name."""

    async def told(host: str, _: int) -> list[str]:
        if asked is not None:
            asked.append(host)
        return list(addresses)

    return told


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for DOMAIN, good for a day, with its key in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl here to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "shop.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:{DOMAIN}", "-keyout", path, "-out", f"{path}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture
def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


class TestAddresses:
    """PROTOCOL §9.10"""

    @pytest.mark.parametrize("address", [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1",
        "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1",
        "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8",
        "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "100::1", "2001::1",
        "2001:0:4136:e378::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1",
        "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
        "2606:4700::1%1", "", "shop.example", "8.8.8.8:443", "134744072", "0x8080808", "8.8.8",
    ])  # fmt: skip
    def test_what_is_not_public_is_known(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize("address", [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.0", "126.1.1.1", "128.0.0.1",
        "172.15.0.1", "172.32.0.1", "192.167.0.1", "192.169.0.1", "198.17.0.1", "198.20.0.1", "223.255.255.255",
        "2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2003::1", "64:ff9b::808:808",
    ])  # fmt: skip
    def test_what_is_public_is_let_through(self, address: str) -> None:
        assert is_public(address)

    @pytest.mark.parametrize("addresses", [
        (), ("127.0.0.1",), ("::1",), ("10.0.0.1", "8.8.8.8"), ("8.8.8.8", "::ffff:127.0.0.1"), ("nonsense",),
    ], ids=repr)  # fmt: skip
    async def test_a_name_that_leads_inside_is_not_dialled(self, addresses: tuple[str, ...]) -> None:
        """One bad address among good ones is enough, and the answer is that of a name which does not exist."""
        reached: list[str] = []
        async with serving(lambda request: reached.append(request.path) or web.json_response(GOOD)) as port:
            assert await refusal(WellKnown({}, naming(*addresses), port=port)) == "it could not be reached"
        assert reached == []

    async def test_the_name_server_is_asked_once_and_taken_at_its_word(self, server_side: ssl.SSLContext,
                                                                       certificate: Path) -> None:  # fmt: skip
        """Redirects included: an answer that changes between check and connection leads nowhere new."""
        asked: list[str] = []

        def handle(request: web.Request) -> web.Response:
            if request.path == PATH:
                return web.Response(status=302, headers={"Location": "/elsewhere.json"})
            return web.json_response({"path": request.path, "host": request.headers["Host"]})

        async with serving(handle, server_side) as port:
            known = WellKnown({}, naming("127.0.0.1", asked=asked), public=lambda _: True, port=port,
                              context=ssl.create_default_context(cafile=f"{certificate}.crt"))  # fmt: skip
            assert await known.read(DOMAIN) == {"path": "/elsewhere.json", "host": DOMAIN}
        assert asked == [DOMAIN]

    async def test_names_that_do_not_exist_could_not_be_reached(self) -> None:
        async def nowhere(host: str, port: int) -> list[str]:
            raise OSError("no such name")

        assert await refusal(WellKnown({}, nowhere)) == "it could not be reached"

    async def test_the_system_is_asked_in_a_thread_that_holds_up_nothing(self) -> None:
        assert "127.0.0.1" in await resolve("127.0.0.1", 80)
        with pytest.raises(OSError, match=r"."):
            await resolve("x" * 300, 443)

    async def test_a_slow_name_server_ends_with_the_deadline(self) -> None:
        async def slow(host: str, port: int) -> list[str]:
            await asyncio.Event().wait()
            return []

        assert await refusal(WellKnown({}, slow, deadline=0.02)) == "it did not answer in time"


class TestCertificates:
    async def test_a_good_certificate_is_asked_for_the_domain(self, server_side: ssl.SSLContext,
                                                              certificate: Path) -> None:  # fmt: skip
        context = ssl.create_default_context(cafile=f"{certificate}.crt")
        async with serving(lambda _: web.json_response(GOOD), server_side) as port:
            known = WellKnown({}, naming("127.0.0.1"), public=lambda _: True, port=port, context=context)
            assert await known.read(DOMAIN) == GOOD
            assert await refusal(known, "other.example") == "its certificate is not valid"

    async def test_a_certificate_of_nobody_is_refused(self, server_side: ssl.SSLContext) -> None:
        async with serving(lambda _: web.json_response(GOOD), server_side) as port:
            known = WellKnown({}, naming("127.0.0.1"), public=lambda _: True, port=port)
            assert await refusal(known) == "its certificate is not valid"

    async def test_plain_http_is_no_answer(self) -> None:
        async with serving(lambda _: web.json_response(GOOD)) as port:
            known = WellKnown({}, naming("127.0.0.1"), public=lambda _: True, port=port)
            assert await refusal(known) in {"its certificate is not valid", "it could not be reached"}


class TestAnswers:
    """By domains mapped to loopback, as for tests and demos. PROTOCOL §9.10"""

    async def test_a_mapped_domain_is_asked_by_plain_http(self) -> None:
        seen: dict[str, str] = {}

        def handle(request: web.Request) -> web.Response:
            seen.update(request.headers, path=request.path)
            return web.json_response(GOOD)

        async with serving(handle) as port:
            assert await mapped(port).read(DOMAIN) == GOOD
        assert seen.pop("path") == PATH
        assert seen == {
            "Host": DOMAIN, "User-Agent": "intentcast-relay", "Accept": "application/json",
            "Accept-Encoding": "identity", "Connection": "close",
        }, "nothing says who asks"  # fmt: skip

    @pytest.mark.parametrize("status", [201, 204, 304, 401, 404, 500])
    async def test_another_status_is_told(self, status: int) -> None:
        async with serving(lambda _: web.Response(status=status)) as port:
            assert await refusal(mapped(port)) == f"it answered with status {status}"

    @pytest.mark.parametrize(("body", "reason"), [
        (b"", "not JSON"), (b"{", "not JSON"), (b"\xff\xfe", "not JSON"), (b"[" * 60_000, "not JSON"),
        (b"[]", "not a JSON object"), (b"null", "not a JSON object"), (b"9" * 60_000, "not JSON"),
        (b'{"a":"' + b"x" * MAX_DOCUMENT + b'"}', "more than 65536 bytes"),
    ], ids=lambda value: str(value)[:12])  # fmt: skip
    async def test_what_is_no_small_json_object_is_refused(self, body: bytes, reason: str) -> None:
        async with serving(lambda _: web.Response(body=body)) as port:
            assert await refusal(mapped(port)) == f"what it answered {'is' if 'JSON' in reason else 'has'} {reason}"

    async def test_a_document_of_the_largest_size_is_read(self) -> None:
        body = json.dumps({"a": "x" * (MAX_DOCUMENT - 9)}).encode()
        assert len(body) == MAX_DOCUMENT
        async with serving(lambda _: web.Response(body=body)) as port:
            assert await mapped(port).read(DOMAIN)

    async def test_a_compressed_answer_is_not_inflated(self) -> None:
        def handle(_: web.Request) -> web.Response:
            return web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

        async with serving(handle) as port:
            assert await refusal(mapped(port)) == "what it answered is compressed"

    async def test_an_endless_answer_ends(self) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(b" " * 8_192)
            except ConnectionError:
                return response

        async with serving(handle) as port:
            assert await refusal(mapped(port)) == "what it answered has more than 65536 bytes"

    async def test_an_answer_that_never_comes_ends_with_the_deadline(self) -> None:
        async def handle(_: web.Request) -> web.Response:
            await asyncio.Event().wait()
            return web.Response()

        async with serving(handle) as port:
            assert await refusal(mapped(port, deadline=0.05)) == "it did not answer in time"

    async def test_what_is_no_http_could_not_be_reached(self) -> None:
        async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"\x00\xff\r\n\r\n" * 100)
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
            assert await refusal(mapped(server.sockets[0].getsockname()[1])) == "it could not be reached"

    async def test_nobody_there_could_not_be_reached(self) -> None:
        async with serving(lambda _: web.Response()) as port:
            pass
        assert await refusal(mapped(port)) == "it could not be reached"

    @pytest.mark.parametrize("target", [
        "http://other.example/x", "https://shop.example/x", "http://shop.example:81/x", "http://me@shop.example/",
        "//127.0.0.1/x", "http://127.0.0.1/", "file:///etc/passwd", "http://[::1", "ftp://shop.example/",
        "http://shop.example.other.example/", "/" + "x" * 2_000,
    ])  # fmt: skip
    async def test_a_redirect_elsewhere_is_not_followed(self, target: str) -> None:
        asked: list[str] = []

        def handle(request: web.Request) -> web.Response:
            asked.append(request.path)
            return web.Response(status=302, headers={"Location": target})

        async with serving(handle) as port:
            assert (await refusal(mapped(port))).startswith("it redirects")
        assert asked == [PATH]

    @pytest.mark.parametrize("steps", [0, 1, 2, 3])
    async def test_two_redirects_on_the_same_host_are_followed(self, steps: int) -> None:
        def handle(request: web.Request) -> web.Response:
            at = int(request.query.get("at", "0"))
            if at < steps:
                return web.Response(status=307, headers={"Location": f"http://shop.example/next%2F?at={at + 1}"})
            return web.json_response({"path": request.raw_path})

        async with serving(handle) as port:
            if steps > 2:
                assert await refusal(mapped(port)) == "it redirects too often"
            else:
                path = (await mapped(port).read(DOMAIN))["path"]
                assert path == (f"/next%2F?at={steps}" if steps else PATH)
