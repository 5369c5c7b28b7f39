"""How much one visitor, and one key, may ask of a relay: token buckets that time refills.

    visitor (network address)   connections · subscriptions · open demands · publishes/s · requests/s · bytes/s
    author (key)                publishes/s; a key that is new here costs its visitor four publishes instead of one

What is charged to a visitor is charged before a signature is looked at, since the connection alone answers for it;
what is charged to a key only after, or anyone could use up somebody else's. Memory is bounded: visitors at rest are
forgotten, oldest first, and when none is at rest the newcomers share one account, so that being many is no way
around. A start forgets all, so that each key is new again until it publishes. This machine itself (no visitor) has no
limits but a filter's size. PROTOCOL §9.11
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from intentcast_protocol.area import ANYWHERE
from intentcast_protocol.errors import IntentcastError, Refused
from intentcast_protocol.subscription import Filter

from intentcast_relay.address import HERE
from intentcast_relay.config import Limits
from intentcast_relay.posting import Posting

MAX_VISITORS: Final = 16_384
MAX_AUTHORS: Final = 65_536
MAX_DEMANDS: Final = 262_144  # remembered as open, of all visitors
NEW_FOR: Final = 3_600  # s that a key of which nothing is stored counts as new
NEW_COST: Final = 4  # publishes that one by a new key counts as
COSTS: Final = {b"subscribe": 10, b"domain": 20, b"invite": 2, b"auth": 2, b"publish": 0}  # any other is 1
_AUTHOR: Final = b"\xa6author\xc4\x20"  # the first key of every record's payload, and what stands before its value
_STRIDE: Final = 64  # frames of this machine itself, which may be in a hurry
_LOOK: Final = 8  # of the oldest visitors that are tried for one at rest


@dataclass(slots=True)
class Bucket:
    """What was used of an allowance of `rate` units a second, `burst` seconds of which may be used at once."""

    used: float = 0.0
    at: float = 0.0

    def wait(self, cost: float, rate: float, burst: float, now: float) -> float:
        """Return the seconds until `cost` units may be used, 0 for at once; an untouched bucket covers any cost."""
        self.used = max(0.0, self.used - rate * max(0.0, now - self.at))
        self.at = now
        over = min(self.used, self.used + cost - rate * burst)
        return max(0.0, over / rate)

    def charge(self, cost: float) -> None:
        """Use so many units, whether they are there or not."""
        self.used += cost


@dataclass(slots=True, eq=False)
class Visitor:
    """The account of one network address."""

    connections: int = 0
    subscriptions: int = 0
    unfiltered: int = 0
    publishes: Bucket = field(default_factory=Bucket)
    requests: Bucket = field(default_factory=Bucket)
    size: Bucket = field(default_factory=Bucket)
    demands: dict[bytes, int] = field(default_factory=dict)  # author -> when it expires


@dataclass(slots=True)
class Author:
    """What is known of a key that has published."""

    since: float
    stored: bool = False
    publishes: Bucket = field(default_factory=Bucket)


def verb(frame: bytes) -> bytes:
    """Return the verb a frame begins with, without parsing it; b"" for what cannot be a frame."""
    return frame[2 : 2 + (frame[1] & 31)] if len(frame) > 1 and frame[1] >> 5 == 5 else b""


def claimed_author(payload: bytes) -> bytes:
    """Return the key that a payload, of which nothing was checked, says it is by; b"" for none."""
    return payload[10:42] if payload[1:10] == _AUTHOR else b""


def unfiltered(wanted: Filter) -> bool:
    """Say whether a filter names nothing that an index could find it by, so that every record is tried on it."""
    return not wanted.categories and not wanted.authors and wanted.area == ANYWHERE


class RateExceeded(Refused):
    """Too much was asked for; `seconds` is how long to wait, and the sentence says it in whole ones."""

    def __init__(self, seconds: float) -> None:
        whole = max(1, math.ceil(seconds))
        super().__init__("refused.rate.exceeded", f"wait {whole} second{'s' if whole > 1 else ''}")
        self.seconds = seconds


class Quota:
    """All accounts of one relay. `limits` may be replaced at any time; `at` is a monotonic time in seconds."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()
        self._authors: OrderedDict[bytes, Author] = OrderedDict()
        self._crowd = Visitor()
        self._demands = 0

    def enter(self, address: str, at: float) -> "Visit":
        """Take one more connection of a visitor; raises Refused when it has enough of them."""
        if address == HERE:
            return Visit(self, None)
        visitor = self._visitor(address, at)
        most = self.limits.address_connections
        if visitor.connections >= most:
            raise Refused("refused.limit.exceeded", f"{most} connections of one address")
        visitor.connections += 1
        return Visit(self, visitor)

    def ask(self, address: str, at: float) -> None:
        """Charge one request over plain HTTP; raises Refused."""
        if address != HERE:
            self.charge_request(self._visitor(address, at), 1, 0, at)

    def charge_request(self, visitor: Visitor, cost: int, size: int, at: float) -> None:
        """Charge a visitor for a frame and its bytes; raises Refused and charges nothing."""
        self._charge(visitor, visitor.requests, self.limits.address_requests, cost, size, at)

    def charge_publish(self, visitor: Visitor, payload: bytes, at: float) -> None:
        """Charge a visitor for a record by the key that it claims; raises Refused and charges nothing."""
        author = self._authors.get(claimed_author(payload))
        new = author is None or (not author.stored and at - author.since < NEW_FOR)
        cost = NEW_COST if new else 1
        self._charge(visitor, visitor.publishes, self.limits.address_publishes, cost, 0, at)

    def admit(self, posting: Posting, address: str, now: int, at: float) -> IntentcastError | None:
        """Charge a record whose signature was checked to its key; returns why it may not be stored, or None.

        A demand needs one of its visitor's places.
        """
        if address == HERE:
            return None
        limits, visitor = self.limits, self._visitor(address, at)
        author = self._author(posting.author, at)
        if wait := author.publishes.wait(1, limits.key_publishes, limits.burst, at):
            return RateExceeded(wait)
        if posting.type == "demand" and not self._place(visitor, posting, now):
            return Refused("refused.limit.exceeded", f"{limits.address_demands} open demands of one address")
        if posting.type == "demand-withdraw" and visitor.demands.pop(posting.author, None) is not None:
            self._demands -= 1
        author.publishes.charge(1)
        return None

    def stored(self, key: bytes) -> None:
        """Remember that something of this key is stored: it is new no more."""
        author = self._authors.get(key)
        if author is not None:
            author.stored = True

    def _charge(self, visitor: Visitor, bucket: Bucket, rate: int, cost: int, size: int, at: float) -> None:
        limits = self.limits
        wait = max(
            bucket.wait(cost, rate, limits.burst, at),
            visitor.size.wait(size, limits.address_bytes, limits.burst, at),
        )
        if wait:
            raise RateExceeded(wait)
        bucket.charge(cost)
        visitor.size.charge(size)

    def _place(self, visitor: Visitor, demand: Posting, now: int) -> bool:
        held = visitor.demands
        if demand.author not in held:
            if len(held) >= self.limits.address_demands:
                ended = [author for author, expires in held.items() if expires <= now]
                for author in ended:
                    del held[author]
                self._demands -= len(ended)
            if len(held) >= self.limits.address_demands:
                return False
            self._demands += 1
        held[demand.author] = demand.expires
        return True

    def _visitor(self, address: str, at: float) -> Visitor:
        known = self._visitors.get(address)
        if known is not None:
            self._visitors.move_to_end(address)
            return known
        crowded = len(self._visitors) >= MAX_VISITORS
        if (crowded or self._demands >= MAX_DEMANDS) and not self._forget(at) and crowded:
            return self._crowd
        fresh = self._visitors[address] = Visitor()
        return fresh

    def _forget(self, at: float) -> bool:
        for _ in range(min(_LOOK, len(self._visitors))):
            address, visitor = next(iter(self._visitors.items()))
            if self._resting(visitor, at):
                self._demands -= len(visitor.demands)
                del self._visitors[address]
                return True
            self._visitors.move_to_end(address)
        return False

    def _resting(self, visitor: Visitor, at: float) -> bool:
        limits = self.limits
        buckets = (
            (visitor.publishes, limits.address_publishes),
            (visitor.requests, limits.address_requests),
            (visitor.size, limits.address_bytes),
        )
        for bucket, rate in buckets:
            bucket.wait(0, rate, limits.burst, at)
        return not visitor.connections and not any(bucket.used for bucket, _ in buckets)

    def _author(self, key: bytes, at: float) -> Author:
        known = self._authors.get(key)
        if known is not None:
            self._authors.move_to_end(key)
            return known
        # Forgetting a key makes it new again, which costs more than it frees.
        while len(self._authors) >= MAX_AUTHORS:
            self._authors.popitem(last=False)
        fresh = self._authors[key] = Author(at)
        return fresh


class Visit:
    """One connection's side of its visitor's account; `visitor` is None for this machine itself."""

    def __init__(self, quota: Quota, visitor: Visitor | None) -> None:
        self._quota = quota
        self._visitor = visitor
        self._live: dict[int, bool] = {}  # subscriptions by request: whether it is an unfiltered one

    @property
    def stride(self) -> int:
        """How many frames may be worked off before other connections get their turn."""
        return _STRIDE if self._visitor is None else 1

    def charge(self, frame: bytes, at: float) -> None:
        """Charge a frame before it is read; raises RateExceeded, and then nothing of it may be done."""
        if self._visitor is not None:
            self._quota.charge_request(self._visitor, COSTS.get(verb(frame), 1), len(frame), at)

    def publish(self, payload: bytes, at: float) -> None:
        """Charge a record before it is checked; raises RateExceeded."""
        if self._visitor is not None:
            self._quota.charge_publish(self._visitor, payload, at)

    def subscribe(self, req: int, wanted: Filter) -> None:
        """Take one more subscription; raises Refused when its filter is too large or the visitor has enough."""
        limits, visitor = self._quota.limits, self._visitor
        area = wanted.area
        values = sum(map(len, (wanted.types, wanted.authors, wanted.categories, area.cells, area.countries)))
        if values > limits.filter_values:
            raise Refused("refused.limit.exceeded", f"{limits.filter_values} values in one filter")
        if visitor is None:
            return
        open_to_all = unfiltered(wanted)
        if visitor.subscriptions >= limits.address_subscriptions:
            raise Refused("refused.limit.exceeded", f"{limits.address_subscriptions} subscriptions of one address")
        if open_to_all and visitor.unfiltered >= limits.address_unfiltered:
            raise Refused("refused.limit.exceeded", f"{limits.address_unfiltered} unfiltered ones of one address")
        visitor.subscriptions += 1
        visitor.unfiltered += open_to_all
        self._live[req] = open_to_all

    def failed(self, error: IntentcastError) -> None:
        """Charge a record that was none once more: it may have claimed a known key, which it was not by."""
        if self._visitor is not None and error.code.startswith("invalid.record."):
            self._visitor.publishes.charge(NEW_COST - 1)

    def ended(self, req: int) -> None:
        """Free a subscription's place; a number that is none of them does not matter."""
        was = self._live.pop(req, None)
        if was is not None and self._visitor is not None:
            self._visitor.subscriptions -= 1
            self._visitor.unfiltered -= was

    def leave(self) -> None:
        """Free the connection's place and those of its subscriptions; a second time does nothing."""
        for req in list(self._live):
            self.ended(req)
        if self._visitor is not None:
            self._visitor.connections -= 1
            self._visitor = None


def unlimited() -> Visit:
    """Return a visit of this machine itself, for who has no relay around it."""
    return Visit(Quota(Limits()), None)
