"""Whether a vendor's domain names its key: what its document says, what an earlier look is worth, and the looking.

A vendor asks on a connection that has proven the key; the domain is the one in the profile stored here. A look that
succeeded is kept for a day, and until the attestation ends where the domain cannot be reached; what a domain answered,
good or not, is not asked for again within five minutes, whoever asks. PROTOCOL §9.10
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from intentcast_protocol.attestation import Attestation, attest
from intentcast_protocol.encoding import decode
from intentcast_protocol.errors import InvalidMessage, Refused
from intentcast_protocol.identity import Key, did
from intentcast_protocol.limits import ATTESTATION_LIFE
from intentcast_protocol.subscription import Filter
from intentcast_protocol.vocabulary import read_domain

from intentcast_relay.store.contract import Proof, Store
from intentcast_relay.wellknown import Unreachable

FRESH: Final = 86_400  # s that a look which succeeded is good for
AGAIN: Final = 300  # s before a domain is asked again
MAX_LOOKS: Final = 32  # under way at once
MAX_KEYS: Final = 64  # entries of a document that are looked at
MAX_KNOWN: Final = 1_024  # domains whose last answer is remembered
_CODE: Final = "refused.domain.unproven"

Read = Callable[[str], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Listed:
    """One key in a domain's document, as did:key text, good from a moment until another (s)."""

    key: str
    since: int
    until: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """What a domain answered at a moment (s): the keys it names, or why there is no answer."""

    at: int
    keys: tuple[Listed, ...] = ()
    reason: str = ""


def read_keys(document: Mapping[str, Any]) -> tuple[Listed, ...]:
    """Return the keys that a document names; entries of another form are as if absent. PROTOCOL §9.10"""
    listed = document.get("keys")
    found = []
    for entry in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        if not isinstance(entry, dict):
            continue
        key, since, until = entry.get("key"), entry.get("from", 0), entry.get("until")
        if isinstance(key, str) and len(key) <= 64 and type(since) is int and (until is None or type(until) is int):
            found.append(Listed(key, since, until))
    return tuple(found)


def named_until(keys: tuple[Listed, ...], key: bytes, at: int) -> int | None:
    """Return until when (s) these keys prove one that they name at a moment, None if they do not. PROTOCOL §9.10"""
    text, latest = did(key), at + ATTESTATION_LIFE
    ends = [
        latest if one.until is None else min(one.until, latest)
        for one in keys
        if one.key == text and one.since <= at and (one.until is None or one.until > at)
    ]
    return max(ends, default=None)


class Domains:
    """Proves domains for the relay at `url`, with the store's key; `read` gets a domain's document."""

    def __init__(self, store: Store, read: Read, clock: Callable[[], int], url: str) -> None:
        self._store = store
        self._read = read
        self._clock = clock
        self._url = url.lower()
        self._known: OrderedDict[str, Look] = OrderedDict()
        self._looks: dict[str, asyncio.Task[Look]] = {}

    async def attest(self, key: Key) -> Attestation:
        """Return an attestation of the domain that the stored profile of `key` claims.

        Raises Refused: ``refused.domain.unproven`` with a reason for the vendor, or ``refused.rate.exceeded``.
        """
        proof = await self._prove(key)
        return attest(
            self._store.seed, url=self._url, key=key, domain=proof.domain, seen=proof.seen, expires=proof.expires
        )

    async def close(self) -> None:
        """Give up what is under way."""
        looks = list(self._looks.values())
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    async def _prove(self, key: Key) -> Proof:
        domain, now = await self._claimed(key), self._clock()
        kept = await self._store.proof(key)
        if kept is not None and (kept.domain != domain or kept.expires <= now):
            kept = None
        if kept is not None and now < kept.seen + FRESH:
            return kept
        look = await self._look(domain)
        until = named_until(look.keys, key, look.at)
        if until is not None and until > now:
            proof = Proof(key, domain, look.at, until)
            await self._store.prove(proof)
            return proof
        if kept is not None and look.reason:
            return kept
        if kept is not None:
            await self._store.disprove(key)
        raise Refused(_CODE, look.reason or "the document does not name this key now")

    async def _claimed(self, key: Key) -> str:
        wanted = Filter(("profile",), (key,))
        page = await self._store.public(wanted, 0, self._store.seq, 1, self._clock())
        if not page.records:
            raise Refused(_CODE, "publish the profile here first")
        try:
            return read_domain(decode(page.records[0][1].payload)["body"].get("domain"), _CODE)
        except InvalidMessage as error:
            raise Refused(_CODE, "the profile stored here names no domain") from error

    async def _look(self, domain: str) -> Look:
        known = self._known.get(domain)
        if known is not None and known.at <= self._clock() < known.at + AGAIN:
            return known
        look = self._looks.get(domain)
        if look is None:
            if len(self._looks) >= MAX_LOOKS:
                raise Refused("refused.rate.exceeded", "many domains are being looked at")
            look = self._looks[domain] = asyncio.create_task(self._ask(domain))
            look.add_done_callback(lambda _: self._looks.pop(domain, None))
        # Shielded: others may wait for the same answer.
        return await asyncio.shield(look)

    async def _ask(self, domain: str) -> Look:
        at = self._clock()
        try:
            found = Look(at, read_keys(await self._read(domain)))
        except Unreachable as error:
            found = Look(at, reason=str(error))
        self._known[domain] = found
        self._known.move_to_end(domain)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return found
