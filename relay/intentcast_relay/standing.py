"""What a relay knows of whoever sends it records: where the connection comes from and what it has proven.

A record proves its own author; a first write into a stranger's mailbox, and how much one visitor may ask for, depend
on the connection that brings it. A standing never changes, so that a record is judged by what its connection had proven
when it was sent, whatever thread judges it; a connection that proves more gets a new one. PROTOCOL §10.2
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from intentcast_protocol.errors import Refused
from intentcast_protocol.invitation import Invitation

MAX_DOMAINS: Final = 16  # on one connection
MAX_INVITATIONS: Final = 64  # on one connection, one a demand


@dataclass(frozen=True, slots=True)
class Standing:
    """One connection's standing; `address` is empty for this machine itself, `invitations` are by their demand's D."""

    address: str = ""
    domains: frozenset[bytes] = frozenset()
    invitations: Mapping[bytes, Invitation] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether nothing was proven that a first write could need."""
        return not self.domains and not self.invitations

    def of_domain(self, domain: str) -> "Standing":
        """Return the standing of a connection that has proven a domain too; raises Refused past MAX_DOMAINS."""
        domains = self.domains | {domain.encode()}
        if len(domains) > MAX_DOMAINS:
            raise Refused("refused.limit.exceeded", f"{MAX_DOMAINS} domains on one connection")
        return replace(self, domains=domains)

    def invited(self, invitation: Invitation) -> "Standing":
        """Return the standing of a connection that has shown an invitation too, its only one for that demand.

        Raises Refused past MAX_INVITATIONS. PROTOCOL §10.5
        """
        invitations = {**self.invitations, invitation.demand: invitation}
        if len(invitations) > MAX_INVITATIONS:
            raise Refused("refused.limit.exceeded", f"{MAX_INVITATIONS} invitations on one connection")
        return replace(self, invitations=invitations)
