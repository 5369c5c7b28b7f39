"""Relays as witnesses: which attestations in an offer count, and whether they are enough to accept without a say-so.

A person believes the relays that carry the demand, by the keys in their info documents, and nobody else. Whatever else
an offer carries is as if absent. PROTOCOL §8.9
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from intentcast_protocol.attestation import Attestation, attestations_in
from intentcast_protocol.identity import did
from intentcast_protocol.offer import Offer
from intentcast_protocol.record import Verified

from intentcast_agent.store import Transaction

ENOUGH: Final = 2  # of a person's relays, so that no single one can vouch for a stranger


def witnesses(
    message: Verified, offer: Offer, keys: Mapping[str, str], *, at: int
) -> tuple[tuple[str, Attestation], ...]:
    """Return the attestations of an offer that hold at a moment, each with the relay that it is by.

    `keys` maps the addresses of the relays that are believed to their keys as did:key text. PROTOCOL §8.9
    """
    relays = {key: relay for relay, key in sorted(keys.items())}
    found = attestations_in(message.body, key=offer.author, domain=offer.seller.domain, at=at)
    return tuple((relays[did(one.relay)], one) for one in found if did(one.relay) in relays)


def describe(domain: str | None, count: int) -> str:
    """Say what is known of a vendor's domain, in the words of every list, question and ledger."""
    if domain is None:
        return "the vendor names no domain"
    if not count:
        return "domain not witnessed"
    return f"domain seen by {count} of your relays" if count > 1 else "domain seen by one of your relays"


async def read_keys(tx: Transaction, relays: Sequence[str]) -> dict[str, str]:
    """Return the keys of these relays, as far as they are known."""
    sql = "SELECT relay, key FROM relay_key WHERE relay IN (SELECT value FROM json_each(?))"
    return {row["relay"]: row["key"] for row in await tx.all(sql, json.dumps(list(relays)))}
