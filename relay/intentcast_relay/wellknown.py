"""What a domain says of itself: the one place where the relay dials out, to a host that a stranger names.

The name is resolved once, every address it has must be public, and the connection goes to exactly those addresses, so
that no answer of a name server leads inside. HTTPS, port 443, no proxy, no cookies, no other host, little and soon.
PROTOCOL §9.10
"""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

PATH: Final = "/.well-known/intentcast.json"
MAX_DOCUMENT: Final = 65_536  # bytes
DEADLINE: Final = 5.0  # s for all of it
MAX_REDIRECTS: Final = 2
_MAX_ADDRESSES: Final = 16  # of a name that are considered; one with more is no shop
_MAX_PATH: Final = 2_000  # characters of a redirect
_LOOKUPS: Final = threading.BoundedSemaphore(64)  # under way, those included that nobody waits for any more
_HEADERS: Final = {"User-Agent": "intentcast-relay", "Accept": "application/json", "Accept-Encoding": "identity"}

# IANA's special-purpose registries: what is not globally reachable, and what only translates or tunnels.
_CLOSED_4: Final = tuple(IPv4Network(net) for net in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/3",
))  # fmt: skip
_OPEN_6: Final = IPv6Network("2000::/3")
_CLOSED_6: Final = tuple(IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64: Final = IPv6Network("64:ff9b::/96")

Resolve = Callable[[str, int], Awaitable[list[str]]]  # host, port -> addresses; raises OSError


class Unreachable(Exception):
    """A domain could not be asked, or did not answer; the text is for the asker and tells nothing of this network."""


def is_public(text: str) -> bool:
    """Say whether an address is one that anybody on the internet may be sent to."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return _is_public_4(address) if isinstance(address, IPv4Address) else _is_public_6(address)


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in net for net in _CLOSED_4)


def _is_public_6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return _is_public_4(IPv4Address(address.packed[-4:]))
    return address in _OPEN_6 and not any(address in net for net in _CLOSED_6)


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name, as the system knows them; raises OSError.

    In a thread of its own that nobody waits for: a slow name server keeps neither other work nor the exit.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def tell(result: list[str] | OSError) -> None:
        if found.done():
            return
        if isinstance(result, OSError):
            found.set_exception(result)
        else:
            found.set_result(result)

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result: list[str] | OSError = [str(row[4][0]) for row in rows]
        except (OSError, UnicodeError) as error:
            result = error if isinstance(error, OSError) else OSError(str(error))
        _LOOKUPS.release()
        with suppress(RuntimeError):  # the loop is gone, and so is whoever asked
            loop.call_soon_threadsafe(tell, result)

    if not _LOOKUPS.acquire(blocking=False):
        raise OSError("too many names are being looked up")
    threading.Thread(target=ask, name="resolve", daemon=True).start()
    return await found


class _Pinned(AbstractResolver):
    """Answers with the addresses that were looked at, whatever the name server would say by now."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=address, port=port, proto=0, flags=socket.AI_NUMERICHOST,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            )
            for address in self._addresses
        ]  # fmt: skip

    async def close(self) -> None:
        pass


class WellKnown:
    """Reads ``https://DOMAIN/.well-known/intentcast.json``.

    `mapped` are the operator's own addresses for single domains, ``host:port``, which are asked by plain HTTP and may
    be anywhere. The rest is for tests.
    """

    def __init__(
        self,
        mapped: Mapping[str, str],
        resolver: Resolve = resolve,
        *,
        public: Callable[[str], bool] = is_public,
        port: int = 443,
        context: ssl.SSLContext | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self.mapped = mapped
        self._resolve = resolver
        self._public = public
        self._port = port
        self._context = context
        self._deadline = deadline

    async def read(self, domain: str) -> dict[str, Any]:
        """Return the JSON object a domain publishes; raises Unreachable.

        `domain` is of the form PROTOCOL §6.1 gives, so never a numeric address.
        """
        try:
            async with asyncio.timeout(self._deadline):
                return await self._read(domain)
        except TimeoutError as error:
            raise Unreachable("it did not answer in time") from error
        except ssl.SSLError as error:
            raise Unreachable("its certificate is not valid") from error
        except (ClientError, OSError, ValueError) as error:
            raise Unreachable("it could not be reached") from error

    async def _read(self, domain: str) -> dict[str, Any]:
        host, colon, port = self.mapped.get(domain, "").rpartition(":")
        base = f"http://{domain}:{port}" if colon else f"https://{domain}:{self._port}"
        addresses = await self._addresses(host.strip("[]"), int(port)) if colon else await self._checked(domain)
        connector = TCPConnector(
            resolver=_Pinned(addresses), use_dns_cache=False, force_close=True, ssl=self._context or True
        )
        headers = _HEADERS | {"Host": domain}
        async with ClientSession(
            connector=connector, cookie_jar=DummyCookieJar(), headers=headers, auto_decompress=False,
            trust_env=False, timeout=ClientTimeout(total=None),
        ) as session:  # fmt: skip
            path = PATH
            for _ in range(MAX_REDIRECTS + 1):
                async with session.get(URL(base + path, encoded=True), allow_redirects=False) as response:
                    if response.status not in {301, 302, 303, 307, 308}:
                        return await _document(response)
                    path = _elsewhere(response, domain, path, "http" if colon else "https")
        raise Unreachable("it redirects too often")

    async def _addresses(self, host: str, port: int) -> list[str]:
        return list(dict.fromkeys(await self._resolve(host, port)))[:_MAX_ADDRESSES]

    async def _checked(self, domain: str) -> list[str]:
        found = await self._addresses(domain, self._port)
        # One address inside is enough to refuse: which of them is dialled would be chance.
        if not found or not all(self._public(address) for address in found):
            raise Unreachable("it could not be reached")
        return found


def _elsewhere(response: ClientResponse, domain: str, path: str, scheme: str) -> str:
    try:
        target = URL(f"{scheme}://{domain}{path}", encoded=True).join(URL(response.headers.get("Location", "")))
    except ValueError as error:
        raise Unreachable("it redirects to no address") from error
    if (target.scheme, target.host) != (scheme, domain) or not target.is_default_port() or target.user:
        raise Unreachable("it redirects to another host")
    if len(target.raw_path_qs) > _MAX_PATH:
        raise Unreachable("it redirects to no address")
    return target.raw_path_qs


async def _document(response: ClientResponse) -> dict[str, Any]:
    if response.status != 200:
        raise Unreachable(f"it answered with status {response.status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Unreachable("what it answered is compressed")
    data = bytearray()
    while chunk := await response.content.read(MAX_DOCUMENT + 1 - len(data)):
        data += chunk
        if len(data) > MAX_DOCUMENT:
            raise Unreachable(f"what it answered has more than {MAX_DOCUMENT} bytes")
    try:
        document = json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise Unreachable("what it answered is not JSON") from error
    if not isinstance(document, dict):
        raise Unreachable("what it answered is not a JSON object")
    return document
