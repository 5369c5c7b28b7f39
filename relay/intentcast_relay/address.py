"""Who a visitor is to the limits: a network address, as a salted hash that lives no longer than the process.

The connection's own address counts, or, where a proxy stands in between, the last hop before our proxies in
X-Forwarded-For. What a visitor writes into that header itself stands to the left of what the proxy adds, and is never
looked at. Limits count an IPv6 visitor by its /64, since whoever has one address of it has them all.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HERE: Final = ""  # this machine itself: no address limits
MAX_HOPS: Final = 16  # of X-Forwarded-For that are looked at
_PREFIX: Final = 64  # bits of an IPv6 address that stand for its visitor
_HASH: Final = 16  # bytes


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks like ``10.0.0.0/8`` or ``::1``; raises ValueError for anything else."""
    return tuple(ip_network(text) for text in texts)


class Visitors:
    """Names visitors. `salt` is 16 random bytes made at start; `proxies` are the networks whose header is believed."""

    def __init__(self, salt: bytes, proxies: Sequence[Network]) -> None:
        self._salt = salt
        self.proxies = proxies

    def name(self, peer: str | None, forwarded: Sequence[str] = ()) -> str:
        """Return the visitor behind a connection from `peer`, HERE for this machine itself.

        `forwarded` are the X-Forwarded-For headers in their order. Where a proxy says nothing that can be read, all it
        brings is one visitor.
        """
        address = read_address(peer or "")
        if address is None:
            return self._hashed(b"?")
        if address.is_loopback and not forwarded:
            return HERE
        if forwarded and self.believed(address):
            for hop in reversed(",".join(forwarded).rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
                found = read_address(hop)
                if found is None:
                    return self._hashed(b"?" + network(address))
                if not self.believed(found):
                    return self._hashed(network(found))
        return self._hashed(network(address))

    def direct(self, peer: str | None) -> str:
        """Return the visitor that a connection alone can be told to be of, HERE for this machine and for a proxy."""
        address = read_address(peer or "")
        return HERE if address is not None and self.believed(address) else self.name(peer)

    def believed(self, address: Address) -> bool:
        """Say whether an address is one of the operator's proxies."""
        return any(address in net for net in self.proxies)

    def _hashed(self, visitor: bytes) -> str:
        return blake2b(visitor, digest_size=_HASH, key=self._salt).hexdigest()


def read_address(text: str) -> Address | None:
    """Read one address as sockets and proxies write it, perhaps with a port or a zone; None for what is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def network(address: Address) -> bytes:
    """Return what stands for an address: all of an IPv4 one, the first 64 bits of an IPv6 one."""
    return address.packed[: _PREFIX // 8]
