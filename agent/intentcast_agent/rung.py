"""Which rung of a demand's `admit` a vendor's first message climbs at a relay: what costs least goes first. Pure.

A proven domain costs nothing, an invitation one of its uses, a stamp seconds of work. PROTOCOL §10.2
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from intentcast_protocol.demand import stamp_bits

LOOKED_AT: Final = 16  # entries of `admit`, as many as a relay looks at
TRIES: Final = 2  # refusals of one rung before the next: the demand itself may not have reached that relay yet


class Rung(NamedTuple):
    """A way in, with the zero bits a stamp needs."""

    kind: Literal["domain", "invite", "stamp"]
    bits: int = 0


def climbable(admit: object, *, domain: bool, invited: bool, work: int) -> tuple[Rung, ...]:
    """Return the rungs a vendor can climb, cheapest first.

    `domain` says that its domain is proven, `invited` that it holds an invitation to this demand, `work` how many bits
    of a stamp it is willing to find. An ill-formed `admit` lets nobody in. PROTOCOL §10.2
    """
    listed = list(admit[:LOOKED_AT]) if isinstance(admit, list | tuple) else []
    bits = stamp_bits(listed)
    stamp = (Rung("stamp", bits),) if bits is not None and bits <= work else ()
    shown = (
        *((Rung("domain"),) if domain and "domain" in listed else ()),
        *((Rung("invite"),) if invited and "invite" in listed else ()),
    )
    return (*stamp, *shown) if bits == 0 else (*shown, *stamp)


def rung_after(rungs: Sequence[Rung], refusals: int) -> Rung | None:
    """Return the rung to try after so many refusals of this record by one relay; None where there is none."""
    return rungs[min(refusals // TRIES, len(rungs) - 1)] if rungs else None
