"""A vendor whose envelopes are in order and whose offers bear a broken signature, to show that they are refused.

Runs as ``python -m intentcast_agent.demo.forger vendor serve``; exists for the demo and tests only.
"""

from dataclasses import replace

from intentcast_protocol.record import Record, Verified
from intentcast_protocol.sealing import seal

from intentcast_agent import outbox
from intentcast_agent.__main__ import main


def _seal_forged(inner: Record, **fields: object) -> Verified:
    """Seal a record after flipping one bit of its signature."""
    signature = bytes([inner.signature[0] ^ 1]) + inner.signature[1:]
    return seal(replace(inner, signature=signature), **fields)  # type: ignore[arg-type]


if __name__ == "__main__":
    outbox.seal = _seal_forged  # type: ignore[attr-defined]
    main()
