"""Whoever saw what the relay promised, and holds it to that."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from intentcast_protocol.record import Record, Verified


class Found(NamedTuple):
    """What a relay has: its epoch, the last place it gave out, and its records, each with its place."""

    epoch: bytes
    seq: int
    public: list[tuple[int, Record]]
    mail: list[tuple[int, Record]]
    listed: list[int]  # the places of those that a filter by category finds


class Promise(NamedTuple):
    """A place the relay named for a record, and how far its disk's log had come when that was heard."""

    place: int
    mark: float


@dataclass(slots=True)
class Witness:
    """What was sent to a relay and what it said to have done.

    `mark` tells how far the log of the relay's disk has come (0 where there is none). An event is entered after its
    frame was received, so the log can only be further by then than when the relay sent it: whatever a power cut at a
    later place than the mark leaves has to hold the event.
    """

    mark: Callable[[], float] = lambda: 0
    sent: dict[bytes, Verified] = field(default_factory=dict)
    again: set[bytes] = field(default_factory=set)  # sent more than once
    acked: dict[bytes, Promise] = field(default_factory=dict)
    seen: dict[int, tuple[bytes, float]] = field(default_factory=dict)  # by place: what was delivered or acknowledged
    asked: dict[bytes, float] = field(default_factory=dict)  # a take was sent, whether or not it was answered
    taken: dict[bytes, float] = field(default_factory=dict)
    epochs: dict[bytes, float] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    contradictions: list[str] = field(default_factory=list)

    def send(self, record: Verified) -> None:
        """A record is sent; one that is sent again may be stored again, even after it was taken. PROTOCOL §10.4"""
        if record.id in self.sent:
            self.again.add(record.id)
        self.sent[record.id] = record

    def acknowledge(self, record: Verified, place: int) -> None:
        """The relay acked a record."""
        promise = self.acked.setdefault(record.id, Promise(place, self.mark()))
        if promise.place != place:
            self.contradictions.append(f"acked at place {promise.place}, then at {place}")
        self.see(place, record.id)

    def see(self, place: int, record_id: bytes) -> None:
        """The relay named a place for a record, in an ack or by sending it."""
        known, _ = self.seen.setdefault(place, (record_id, self.mark()))
        if known != record_id:
            self.contradictions.append(f"place {place} was given to two records")

    def greet(self, epoch: bytes) -> None:
        """The relay said which order its places belong to."""
        self.epochs.setdefault(epoch, self.mark())

    def cut(self, mark: float) -> None:
        """A power cut undid what came after a mark; what came before is now long ago."""
        self.acked = {name: Promise(kept.place, 0) for name, kept in self.acked.items() if kept.mark <= mark}
        self.seen = {place: (name, 0) for place, (name, heard) in self.seen.items() if heard <= mark}
        for events in (self.asked, self.taken, self.epochs):
            for name in [name for name, heard in events.items() if heard > mark]:
                del events[name]
            events.update(dict.fromkeys(events, 0))

    def faults(self, found: Found, mark: float = math.inf) -> list[str]:
        """Hold what a relay has against all that it had said by a mark; returns a sentence for each broken promise."""
        told = [f"a record nobody sent stands at {place}" for place, record in found.public + found.mail
                if getattr(self.sent.get(record.id), "record", None) != record]  # fmt: skip
        told += self.contradictions + self._misplaced(found, mark) + self._lost(found, mark)
        told += [f"a taken record is back at {place}" for place, record in found.mail
                 if record.id not in self.again and _happened(self.taken, record.id, mark)]  # fmt: skip
        if any(heard <= mark and epoch != found.epoch for epoch, heard in self.epochs.items()):
            told.append("its order has begun anew")
        return told

    def _misplaced(self, found: Found, mark: float) -> list[str]:
        told = []
        for records in (found.public, found.mail):
            places = [place for place, _ in records]
            if places != sorted(set(places)):
                told.append("places do not ascend")
        stands = {place: record.id for place, record in found.public + found.mail}
        for place, (name, heard) in self.seen.items():
            if heard <= mark:
                if place > found.seq:
                    told.append(f"place {place} will be given again")
                elif stands.get(place, name) != name:
                    told.append(f"place {place} is another record's")
        demands = [place for place, record in found.public if self._type(record) == "demand"]
        if demands != found.listed:
            told.append("the index of categories is at odds with the records")
        return told

    def _lost(self, found: Found, mark: float) -> list[str]:
        told = []
        places: dict[bytes, int] = {record.id: place for place, record in found.public + found.mail}
        newest: dict[tuple[bytes, str], tuple[int, bytes]] = {}
        for _, record in found.public:
            one = self.sent.get(record.id)
            if one is not None:
                newest[one.author, one.type] = max((one.created, one.id), newest.get((one.author, one.type), (0, b"")))
        for name, (place, heard) in self.acked.items():
            if heard > mark:
                continue
            one = self.sent[name]
            if name in places:
                if places[name] != place:
                    told.append(f"acked at {place}, stands at {places[name]}")
            elif one.to is not None:
                if not _happened(self.asked, name, mark):
                    told.append(f"lost: sealed, acked at {place}")
            elif newest.get((one.author, one.type), (0, b"")) <= (one.created, one.id):
                told.append(f"lost: {one.type}, acked at {place}")
        return told

    def _type(self, record: Record) -> str:
        one = self.sent.get(record.id)
        return one.type if one is not None else ""


def _happened(events: dict[bytes, float], name: bytes, mark: float) -> bool:
    """Say whether an event is known and was entered by a mark."""
    return name in events and events[name] <= mark
