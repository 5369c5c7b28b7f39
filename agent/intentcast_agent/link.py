"""One connection to one relay: prove keys, ask, and hear what it pushes. PROTOCOL §9"""

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
from intentcast_protocol.attestation import Attestation, read_attestation
from intentcast_protocol.errors import CODES, IntentcastError, InvalidMessage, Refused
from intentcast_protocol.frames import (
    Ack,
    Answer,
    Attested,
    Auth,
    Challenge,
    Closed,
    Count,
    Counted,
    Cursor,
    Domain,
    Hello,
    Invite,
    Live,
    Mailbox,
    Problem,
    Publish,
    Records,
    Request,
    Subscribe,
    encode_frame,
    prove,
    read_answer,
)
from intentcast_protocol.identity import Key
from intentcast_protocol.invitation import Invitation
from intentcast_protocol.limits import MAX_FRAME
from intentcast_protocol.profile import read_profile
from intentcast_protocol.record import VERSION, Record, verify
from intentcast_protocol.subscription import Filter
from intentcast_protocol.vocabulary import visible

_ANSWER_WITHIN = 20.0  # s a relay has to answer a request
_TOGETHER = 64  # requests under way at once
_FEED = 1_024  # pushed frames we hold before we stop reading, so that TCP slows the relay down
_REMEMBERED = 64  # invitations that a relay has to remember on one connection. PROTOCOL §10.5
_INFO_WITHIN = 5.0  # s a relay has to send its info document
_MAX_INFO = 65_536  # bytes of it
_DID = 56  # characters of a key

Pushed = Records | Live | Closed
Numbered = Auth | Publish | Count | Mailbox | Domain | Invite


class LinkDown(Exception):
    """The relay cannot be reached, or the connection to it broke."""


class Link:
    """An open connection; make one with `open_link`, and leave it with `close`.

    Requests raise Refused or InvalidMessage with the relay's code, or LinkDown. What a relay pushes for a mailbox or
    subscription comes out of `feed`, in order, with the number of its request. `domain` is the domain this connection
    has proven.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, host: str, challenge: Challenge) -> None:
        self.epoch = challenge.epoch
        self.feed: asyncio.Queue[Pushed | None] = asyncio.Queue(_FEED)
        self.domain: str | None = None
        self._shown: set[Key] = set()
        self._socket = socket
        self._host = host
        self._nonce = challenge.nonce
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._next = 0
        self._reader = asyncio.create_task(self._read())

    async def prove(self, keys: Iterable[tuple[bytes, Key]]) -> None:
        """Prove that we hold keys, given as (seed, public key)."""
        now = int(time.time())
        proofs = [prove(seed, key, req=0, nonce=self._nonce, host=self._host, now=now) for seed, key in keys]
        for at in range(0, len(proofs), _TOGETHER):
            await asyncio.gather(*(self._ask(proof) for proof in proofs[at : at + _TOGETHER]))

    async def publish(self, record: Record) -> int | None:
        """Hand a record to the relay; when this returns, the relay has it on its disk."""
        answer = await self._ask(Publish(0, record))
        return answer.value if isinstance(answer, Ack) else None

    async def subscribe(self, wanted: Filter, cursor: Cursor | None, *, once: bool = False) -> int:
        """Ask for public records, stored and (unless `once`) new; return the number they will bear in `feed`."""
        req = self._number()
        await self._send(Subscribe(req, wanted, cursor, once))
        return req

    async def read_mailbox(self, key: Key, mailboxes: dict[int, Key]) -> None:
        """Ask for the records waiting for a proven key, and those to come; note their number in `feed` first."""
        req = self._number()
        mailboxes[req] = key
        await self._send(Mailbox(req, "read", key))

    async def take(self, key: Key, ids: Iterable[bytes]) -> None:
        """Delete records from a mailbox."""
        await self._ask(Mailbox(0, "take", key, ids=tuple(ids)))

    async def prove_domain(self, key: Key) -> Attestation:
        """Ask the relay to look whether the domain in the stored profile of a proven key names it. PROTOCOL §9.10"""
        answer = await self._ask(Domain(0, key))
        if not isinstance(answer, Attested):
            raise InvalidMessage("invalid.attestation.malformed", "the relay answered with something else")
        attestation = read_attestation([answer.payload, answer.signature])
        self.domain = attestation.domain
        return attestation

    async def show(self, invitation: Invitation) -> None:
        """Show an invitation to the relay, once on this connection. PROTOCOL §10.5"""
        if invitation.demand in self._shown:
            return
        if len(self._shown) >= _REMEMBERED:
            raise LinkDown("more invitations than a relay remembers; a new connection begins anew")
        self._shown.add(invitation.demand)
        chain = tuple((link.payload, link.signature) for link in invitation.links)
        try:
            await self._ask(Invite(0, chain))
        except IntentcastError:
            self._shown.discard(invitation.demand)
            raise

    async def keep(self, key: Key, session: Key, until: int) -> None:
        """Have the admission of a session to a proven key last until a moment, at least. PROTOCOL §10.4"""
        await self._ask(Mailbox(0, "keep", key, session=session, until=until))

    async def request(self, frame: Numbered) -> Answer:
        """Send any other request and return its answer."""
        return await self._ask(frame)

    async def close(self) -> None:
        """Close the connection; whatever waits for an answer gets LinkDown."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()

    def _number(self) -> int:
        self._next += 1
        return self._next

    async def _send(self, frame: Request) -> None:
        try:
            await self._socket.send_bytes(encode_frame(frame))
        except (ConnectionError, aiohttp.ClientError) as error:
            raise LinkDown(str(error)) from error

    async def _ask(self, frame: Numbered) -> Answer:
        if self._reader.done():
            raise LinkDown("the connection is closed")
        req = self._number()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[req] = future
        try:
            await self._send(replace(frame, req=req))
            async with asyncio.timeout(_ANSWER_WITHIN):
                answer = await future
        except TimeoutError as error:
            raise LinkDown("the relay did not answer in time") from error
        finally:
            self._waiting.pop(req, None)
        if isinstance(answer, Problem):
            kind = InvalidMessage if answer.code.startswith("invalid.") else Refused
            raise kind(answer.code, _reason(answer))
        return answer

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    await self._hand_out(read_answer(message.data))
        except IntentcastError:
            pass  # A relay that does not speak the protocol is no relay; the pool dials again, more slowly.
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(LinkDown("the connection broke"))
            await self._socket.close()
            if self.feed.full():
                # What was not processed is sent again to the next connection.
                self.feed = asyncio.Queue(_FEED)
            self.feed.put_nowait(None)

    async def _hand_out(self, answer: Answer) -> None:
        if isinstance(answer, Records | Live | Closed):
            await self.feed.put(answer)
        elif isinstance(answer, Ack | Counted | Attested | Problem) and answer.req is not None:
            future = self._waiting.get(answer.req)
            if future and not future.done():
                future.set_result(answer)
            elif isinstance(answer, Problem):
                # A mailbox or subscription that was refused ends like one that was closed.
                await self.feed.put(Closed(answer.req, answer.code))

    @property
    def is_up(self) -> bool:
        """Whether the connection is still being read."""
        return not self._reader.done()


def _reason(problem: Problem) -> str:
    """Return what a relay says beyond the sentence of its code, harmless to show."""
    return visible(problem.sentence.removeprefix(CODES[problem.code]).strip().removeprefix("(").removesuffix(")"))


async def fetch_key(http: aiohttp.ClientSession, relay: str) -> str | None:
    """Read a relay's own key, as did:key text, from its info document; None where that does not work. PROTOCOL §11.2"""
    data = bytearray()
    try:
        async with (
            asyncio.timeout(_INFO_WITHIN),
            http.get(
                relay.replace("ws", "http", 1),
                headers={"Accept-Encoding": "identity"},
                allow_redirects=False,
                auto_decompress=False,
            ) as answer,
        ):
            while len(data) <= _MAX_INFO and (chunk := await answer.content.read(_MAX_INFO)):
                data += chunk
        info = json.loads(data) if len(data) <= _MAX_INFO else None
    except (TimeoutError, OSError, aiohttp.ClientError, ValueError, RecursionError):
        return None
    key = info.get("key") if isinstance(info, dict) else None
    good = isinstance(key, str) and len(key) == _DID and key.startswith("did:key:z6Mk") and key.isascii()
    return key if good else None


async def count_listeners(http: aiohttp.ClientSession, relay: str, wanted: Count) -> Counted | None:
    """Ask a relay, on a connection that proves nothing, how many listen; None if it cannot be asked. PROTOCOL §9.2"""
    try:
        link = await open_link(http, relay)
    except LinkDown:
        return None
    try:
        async with asyncio.timeout(3):
            answer = await link.request(wanted)
    except (LinkDown, IntentcastError, TimeoutError):
        return None
    finally:
        await link.close()
    return answer if isinstance(answer, Counted) else None


async def find_seal_key(http: aiohttp.ClientSession, relays: Iterable[str], vendor: Key) -> bytes | None:
    """Look up the seal key of a vendor's profile at the first relay that has one, on connections that prove nothing."""
    for relay in relays:
        try:
            link = await open_link(http, relay)
        except LinkDown:
            continue
        try:
            await link.subscribe(Filter(("profile",), (vendor,)), None, once=True)
            async with asyncio.timeout(_ANSWER_WITHIN):
                while isinstance(pushed := await link.feed.get(), Records):
                    profiles = [verify(record) for _, record in pushed.records]
                    keys = [read_profile(profile).seal_key for profile in profiles if profile.author == vendor]
                    if keys:
                        return keys[-1]
        except (LinkDown, IntentcastError, TimeoutError):
            continue
        finally:
            await link.close()
    return None


async def open_link(http: aiohttp.ClientSession, relay: str) -> Link:
    """Dial a relay and take its challenge; raises LinkDown."""
    try:
        async with asyncio.timeout(10):
            socket = await http.ws_connect(
                relay, compress=0, max_msg_size=MAX_FRAME, heartbeat=30, timeout=aiohttp.ClientWSTimeout(ws_close=1.0)
            )
            await socket.send_bytes(encode_frame(Hello(VERSION)))
            answer = read_answer(await socket.receive_bytes())
    except (TimeoutError, OSError, aiohttp.ClientError, IntentcastError, TypeError, ValueError) as error:
        raise LinkDown(f"{relay} cannot be reached") from error
    if not isinstance(answer, Challenge) or answer.version != VERSION:
        await socket.close()
        raise LinkDown(f"{relay} speaks another version of the protocol")
    return Link(socket, urlsplit(relay).netloc.lower(), answer)
