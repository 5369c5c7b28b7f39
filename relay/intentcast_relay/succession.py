"""Which public record of an author stands: the newest of each type, and no demand after its withdrawal.

The order of two records depends on nothing but themselves, so that relays that saw them in another order agree.
PROTOCOL §4.5
"""

from intentcast_protocol.errors import Refused

from intentcast_relay.posting import Posting
from intentcast_relay.store.contract import Held, Shelf


def newer(created: int, record_id: bytes, held: Held) -> bool:
    """Say whether a record takes the place of a stored one: created later or, in the same second, the larger id."""
    return (created, record_id) > (held.created, held.id)


def succeed(posting: Posting, shelf: Shelf, now: int) -> list[Held]:
    """Return the stored records that a new public record removes.

    Raises Refused when a newer record of this author and type is stored, or the author withdrew its demand. The
    record itself is not yet on the shelf. PROTOCOL §4.5
    """
    author, kind = posting.author, posting.type
    if kind == "demand":
        withdrawal = shelf.newest.get((author, "demand-withdraw"))
        if withdrawal is not None and withdrawal.expires > now:
            raise Refused("refused.record.withdrawn")
    removed = []
    held = shelf.newest.get((author, kind))
    if held is not None:
        # What has ended but was not swept yet still orders what comes after it.
        if not newer(posting.created, posting.id, held):
            raise Refused("refused.record.replaced")
        removed.append(held)
    if kind == "demand-withdraw":
        demand = shelf.newest.get((author, "demand"))
        if demand is not None:
            removed.append(demand)
    return removed
