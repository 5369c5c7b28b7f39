"""What a batch of requests does to the store: each job in its turn, decided against the shelf as the last one left it.

Runs inside the store's transaction, in the writer's thread; it reads no clock and performs nothing. PROTOCOL §10
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.identity import Key
from intentcast_protocol.record import Verified

from intentcast_relay.admission import admit, check_room, keep, stop, take
from intentcast_relay.store.contract import Changes, Held, Shelf, Wanted
from intentcast_relay.succession import succeed


@dataclass(frozen=True, slots=True)
class House:
    """What the rules need to know of the relay itself."""

    url: str
    mailbox_items: int
    mailbox_bytes: int


@dataclass(frozen=True, slots=True)
class Act:
    """What the proven owner of a mailbox does with it."""

    kind: Literal["take", "keep", "stop"]
    key: Key
    ids: tuple[bytes, ...] = ()
    session: bytes = b""
    until: int = 0


Job = Verified | Act
Answer = int | None | IntentcastError  # the ack's value, or why not


def wanted(jobs: Sequence[Job]) -> Wanted:
    """Return the keys and ids whose stored state these jobs depend on."""
    want = Wanted()
    for job in jobs:
        if isinstance(job, Act):
            want.ids.update(job.ids)
            if job.kind != "take":
                want.pairs.add((job.key, job.session))
        elif job.to is None:
            want.authors.add(job.author)
        else:
            want.ids.add(job.id)
            want.mailboxes.add(job.to)
            want.authors.add(job.to)
            want.pairs.update(((job.to, job.author), (job.author, job.to)))
    return want


def settle(jobs: Sequence[Job], shelf: Shelf, house: House, now: int) -> tuple[Changes, list[Answer]]:
    """Decide every job in order; returns what to write and one answer a job.

    A record that is already stored is answered with the place it has.
    """
    changes = Changes()
    answers: list[Answer] = []
    for job in jobs:
        try:
            if isinstance(job, Act):
                answers.append(_act(job, shelf, changes, now))
            elif job.to is None:
                answers.append(_publish(job, shelf, changes, now))
            else:
                answers.append(_deliver(job, shelf, changes, house, now))
        except IntentcastError as error:
            answers.append(error)
    return changes, answers


def _publish(record: Verified, shelf: Shelf, changes: Changes, now: int) -> int:
    held = shelf.newest.get((record.author, record.type))
    if held is not None and held.id == record.id:
        return held.seq
    for old in succeed(record, shelf, now):
        del shelf.newest[old.author, old.type]
        shelf.demands.pop(old.author, None)
        _remove(old, changes)
    if record.type == "demand":
        shelf.demands[record.author] = record.body
    stored = _store(record, shelf, changes)
    shelf.newest[record.author, record.type] = stored
    return stored.seq


def _deliver(record: Verified, shelf: Shelf, changes: Changes, house: House, now: int) -> int:
    assert record.to is not None
    held = shelf.held.get(record.id)
    if held is not None:
        return held.seq
    admission = admit(record, shelf, house.url, now)
    check_room(record, shelf, house.mailbox_items, house.mailbox_bytes)
    if admission is not None:
        pair = (admission.person, admission.session)
        shelf.admissions[pair] = changes.admit[pair] = admission
    shelf.items[record.to] = shelf.items.get(record.to, 0) + 1
    shelf.bytes[record.to] = shelf.bytes.get(record.to, 0) + len(record.record.payload)
    stored = _store(record, shelf, changes)
    shelf.held[record.id] = stored
    return stored.seq


def _act(act: Act, shelf: Shelf, changes: Changes, now: int) -> int | None:
    if act.kind == "take":
        return _take(act, shelf, changes)
    pair = (act.key, act.session)
    admission = shelf.admissions.get(pair)
    if act.kind == "keep":
        admission = keep(admission, act.until, now)
    elif admission is not None:
        admission = stop(admission)
    if admission is not None:
        shelf.admissions[pair] = changes.admit[pair] = admission
    return None


def _take(act: Act, shelf: Shelf, changes: Changes) -> int:
    taken = 0
    for record_id in set(act.ids):
        held = shelf.held.get(record_id)
        # One stored by this very batch was shown to nobody yet.
        if held is None or held.seq in changes.insert or not take(held, act.key):
            continue
        del shelf.held[record_id]
        if act.key in shelf.items:
            shelf.items[act.key] -= 1
            shelf.bytes[act.key] -= held.size
        changes.delete[held.seq] = held.id
        taken += 1
    return taken


def _store(record: Verified, shelf: Shelf, changes: Changes) -> Held:
    shelf.seq += 1
    changes.insert[shelf.seq] = record
    return Held(
        shelf.seq, record.id, record.type, record.author, record.to, record.created, record.expires,
        len(record.record.payload),
    )  # fmt: skip


def _remove(held: Held, changes: Changes) -> None:
    if held.seq in changes.insert:
        del changes.insert[held.seq]
    else:
        changes.delete[held.seq] = held.id
