"""What a vendor can show to be let in: its domain, which each relay sees for itself, and invitations.

A relay is asked to look once it stores the profile, on every connection, since a connection counts as the domain's only
after that; what it attests is kept and goes into offers. A relay that sees no domain is asked again later, and nothing
waits for it: stamps work without. PROTOCOL §9.10, §10.2
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from intentcast_protocol.attestation import Attestation, read_attestation
from intentcast_protocol.demand import Demand
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import InvalidMessage, Refused
from intentcast_protocol.identity import Key, did, public_key
from intentcast_protocol.limits import MAX_ATTESTATIONS
from intentcast_protocol.record import decode_record

from intentcast_agent.invitation import find_held
from intentcast_agent.link import Link
from intentcast_agent.rung import climbable
from intentcast_agent.store import Row, Transaction

if TYPE_CHECKING:
    from intentcast_agent.agent import Agent

RENEW: Final = 86_400  # s after which a relay is asked to look again; what it attests holds for up to a week
PATIENCE: Final = (300, 900, 3_600, 21_600)  # s between askings in vain
_WITHIN: Final = 8.0  # s a relay has to look
_AT_ONCE: Final = 1_000  # demands taken up again together


class Standing:
    """A vendor before its relays: its key V proven to each, and its domain, if it has one, looked at."""

    def __init__(self, agent: "Agent", seed: bytes, domain: str | None) -> None:
        self._agent = agent
        self._seed = seed
        self._key = public_key(seed)
        self._domain = domain

    async def attend(self, relay: str, link: Link) -> int:
        """Prove V on a connection, and have the relay look at the domain, unless it lately did in vain.

        Returns when to do so again.
        """
        now = self._agent.now()
        async with self._agent.store.reading() as tx:
            row = await tx.one("SELECT * FROM attestation WHERE relay = ?", relay)
        wait = row["due"] if row and row["domain"] == self._domain and row["reason"] else 0
        if row and row["word"] and row["expires"] > now:
            wait = 0  # it need not look again to let this connection in
        if self._domain is not None and wait <= now:
            return await self.ask(relay, link)
        with suppress(Refused, InvalidMessage):  # what needs this proof, an invitation say, is refused by itself
            await link.prove([(self._seed, self._key)])
        return int(wait) if wait > now else now + RENEW

    async def ask(self, relay: str, link: Link) -> int:
        """Have a relay look now, keep its word or its reason, and return when to ask again."""
        try:
            await link.prove([(self._seed, self._key)])
            await self._show_profile(link)
            async with asyncio.timeout(_WITHIN):
                word = await link.prove_domain(self._key)
            relay_key = await self._agent.relay_keys.find(relay)
            if relay_key != did(word.relay):
                relay_key = await self._agent.relay_keys.find(relay, anew=True)
            reason = self._wrong(word, relay_key)
        except TimeoutError:
            reason = "it did not answer in time"
        except (Refused, InvalidMessage) as error:
            reason = error.detail or str(error)
        if reason:
            return await self.failed(relay, reason)
        async with self._agent.store.transaction() as tx:
            return await self._keep_word(tx, relay, word, self._agent.now())

    async def failed(self, relay: str, reason: str) -> int:
        """Note why a relay has not seen the domain; return when to ask it again."""
        now = self._agent.now()
        if self._domain is None:
            return now + PATIENCE[0]
        async with self._agent.store.transaction() as tx:
            return await self._keep_reason(tx, relay, self._domain, reason, now)

    async def _show_profile(self, link: Link) -> None:
        """Publish the profile, whose domain a relay looks at; one that has it already leaves it as it is."""
        sql = "SELECT record FROM outbox WHERE lane = x'' AND message IS NULL ORDER BY number DESC LIMIT 1"
        async with self._agent.store.reading() as tx:
            row = await tx.one(sql)
        if row:
            with suppress(Refused, InvalidMessage):
                await link.publish(decode_record(row["record"]))

    def _wrong(self, word: Attestation, relay_key: str | None) -> str:
        """Say what is wrong with an attestation that is well-formed; empty for one that can be used."""
        if not word.covers(key=self._key, domain=self._domain, at=self._agent.now()):
            return "what it attests is of another domain, key or time"
        if relay_key is None:
            return "its own key cannot be read from its info document"
        return "" if did(word.relay) == relay_key else "what it attests is not signed by the key in its info document"

    async def _keep_word(self, tx: Transaction, relay: str, word: Attestation, now: int) -> int:
        due = max(now + PATIENCE[0], min(word.seen + RENEW, (word.seen + word.expires) // 2))
        await tx.run(
            "INSERT OR REPLACE INTO attestation (relay, domain, word, seen, expires, due) VALUES (?, ?, ?, ?, ?, ?)",
            relay,
            word.domain,
            encode(word.wire()),
            word.seen,
            word.expires,
            due,
        )
        await answer_again(tx, now)
        return due

    async def _keep_reason(self, tx: Transaction, relay: str, domain: str, reason: str, now: int) -> int:
        # A word given earlier holds as long as it says, but not for another domain.
        await tx.run("DELETE FROM attestation WHERE relay = ? AND domain != ?", relay, domain)
        row = await tx.one("SELECT attempts FROM attestation WHERE relay = ?", relay)
        attempts = row["attempts"] if row else 0
        due = now + PATIENCE[min(attempts, len(PATIENCE) - 1)]
        await tx.run(
            "INSERT INTO attestation (relay, domain, reason, attempts, due) VALUES (?, ?, ?, 1, ?) "
            "ON CONFLICT (relay) DO UPDATE SET reason = excluded.reason, attempts = attempts + 1, due = excluded.due",
            relay, domain, reason[:300], due,
        )  # fmt: skip
        return due


async def attestations(
    tx: Transaction, relays: Sequence[str], *, key: Key, domain: str | None, now: int
) -> list[list[bytes]]:
    """Return what these relays attest of a vendor's domain now, as an offer carries it. PROTOCOL §6.4"""
    if domain is None:
        return []
    rows = await tx.all("SELECT * FROM attestation WHERE word IS NOT NULL AND expires > ? ORDER BY relay", now)
    words = [read_attestation(decode(row["word"])) for row in rows if row["relay"] in relays]
    return [word.wire() for word in words if word.covers(key=key, domain=domain, at=now)][:MAX_ATTESTATIONS]


async def lets_in(
    tx: Transaction, demand: Demand, relays: Sequence[str], *, key: Key, domain: str | None, work: int, now: int
) -> bool:
    """Say whether this vendor can climb a rung of a demand at one of these relays at least."""
    seen = bool(await attestations(tx, relays, key=key, domain=domain, now=now))
    held = await find_held(tx, demand.author, now)
    return bool(climbable(demand.admit, domain=seen, invited=held is not None, work=work))


def may_come(demand: Demand, domain: str | None) -> bool:
    """Say whether a proof that is missing now may still come: an invitation, or a relay's look at the domain."""
    return bool(climbable(demand.admit, domain=domain is not None, invited=True, work=-1))


async def answer_again(tx: Transaction, now: int, author: bytes | None = None) -> None:
    """Take up the demands again that only a proof was missing for: of one person, or all."""
    rows = await tx.all(
        "SELECT demand, record FROM answered WHERE record IS NOT NULL AND session IS NULL AND expires > ? "
        "AND (? IS NULL OR author = ?) LIMIT ?",
        now, author, author, _AT_ONCE,
    )  # fmt: skip
    for row in rows:
        await tx.run("INSERT INTO errand (kind, subject, due) VALUES ('answer', ?, ?)", row["record"], now)
        await tx.run("UPDATE answered SET record = NULL WHERE demand = ?", row["demand"])


async def domain_views(tx: Transaction, relays: Sequence[str], now: int) -> dict[str, dict[str, Any]]:
    """Return by relay whether it has seen the vendor's domain, until when that holds, and else why not."""
    rows = {row["relay"]: row for row in await tx.all("SELECT * FROM attestation")}
    return {relay: _view(rows.get(relay), now) for relay in relays}


def _view(row: Row | None, now: int) -> dict[str, Any]:
    if row is None:
        return {"seen": False, "until": None, "reason": "not asked yet"}
    holds = row["word"] is not None and row["expires"] > now
    return {"seen": holds, "until": row["expires"] if holds else None, "reason": row["reason"]}
