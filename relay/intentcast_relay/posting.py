"""A published record as the relay works with it: checked once, flattened to what storing and passing on need.

Every rule that a record is held to by itself is here, from cheap to dear: its form, its type, its dates, and last its
signature. Only a value made by `examine` reaches the ledger or the store. PROTOCOL §4, §11.1
"""

from typing import NamedTuple

from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.identity import Id, Key
from intentcast_protocol.record import PUBLIC_TYPES, Envelope, Record, check_signature, check_time, parse
from intentcast_protocol.sealing import sealed_to
from intentcast_protocol.subscription import topic


class Posting(NamedTuple):
    """A record whose signature was checked; times are seconds, and `to` is the mailbox of a sealed one."""

    id: Id
    type: str
    author: Key
    to: Key | None
    created: int
    expires: int
    categories: tuple[str, ...]
    cells: tuple[str, ...]
    countries: tuple[str, ...]
    nonce: bytes | None  # of a stamp
    payload: bytes
    signature: bytes

    @property
    def record(self) -> Record:
        """The bytes as they were signed."""
        return Record(self.payload, self.signature)


def examine(record: Record, now: int) -> Posting:
    """Check all of a published record that can be known without the store; raises InvalidMessage or Refused."""
    envelope = inspect(record, now)
    check_signature("record", record.payload, record.signature, envelope.author)
    return flatten(envelope)


def inspect(record: Record, now: int) -> Envelope:
    """Check all of a published record but its signature.

    Raises InvalidMessage or Refused; session types are refused anywhere but inside a seal. PROTOCOL §4.4, §11.1
    """
    envelope = parse(record)
    if envelope.type == "sealed":
        sealed_to(envelope)
    elif envelope.type not in PUBLIC_TYPES:
        raise InvalidMessage("invalid.record.purpose", f"{envelope.type} travels only inside a sealed record")
    elif envelope.type == "demand-withdraw":
        withdrawn = envelope.body.get("demand")
        if not isinstance(withdrawn, bytes) or len(withdrawn) != 32:
            raise InvalidMessage("invalid.record.malformed", "a demand-withdraw names the demand's id")
    check_time(envelope, now)
    return envelope


def flatten(envelope: Envelope) -> Posting:
    """Return what the relay keeps at hand of a record whose signature is known to be good."""
    if envelope.to is None:
        categories, area = topic(envelope)
        cells, countries = area.cells, area.countries
    else:
        categories = cells = countries = ()
    return Posting(
        envelope.id, envelope.type, envelope.author, envelope.to, envelope.created, envelope.expires,
        categories, cells, countries, envelope.nonce, envelope.record.payload, envelope.record.signature,
    )  # fmt: skip
