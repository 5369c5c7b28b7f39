"""What a batch of requests does to the store: each job in its turn, decided against the shelf as the last one left it.

Runs inside the store's transaction, in the writer's thread; it reads no clock and performs nothing. PROTOCOL §10
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from intentcast_protocol.errors import IntentcastError, Refused
from intentcast_protocol.identity import Key

from intentcast_relay.admission import Entry, admit, check_room, domain_mark, keep, stop, take, use
from intentcast_relay.posting import Posting
from intentcast_relay.standing import Standing
from intentcast_relay.store.contract import Changes, Held, Shelf, Wanted
from intentcast_relay.succession import succeed


@dataclass(frozen=True, slots=True)
class House:
    """What the rules need to know of the relay itself."""

    url: str
    mailbox_items: int
    mailbox_bytes: int
    retention: Mapping[str, int] = field(default_factory=dict)  # s after `created`, by type of public record


@dataclass(frozen=True, slots=True)
class Act:
    """What the proven owner of a mailbox does with it."""

    kind: Literal["take", "keep", "stop"]
    key: Key
    ids: tuple[bytes, ...] = ()
    session: bytes = b""
    until: int = 0


class Arrival(NamedTuple):
    """A checked record, and the standing of the connection that brought it."""

    posting: Posting
    standing: Standing


Job = Arrival | Act
Answer = int | None | IntentcastError  # the ack's value, or why not


def wanted(jobs: Sequence[Job]) -> Wanted:
    """Return the keys and ids whose stored state these jobs depend on."""
    want = Wanted()
    for job in jobs:
        if isinstance(job, Act):
            want.ids.update(job.ids)
            if job.kind != "take":
                want.pairs.add((job.key, job.session))
            continue
        posting = job.posting
        if posting.to is None:
            want.authors.add(posting.author)
        else:
            want.ids.add(posting.id)
            want.mailboxes.add(posting.to)
            want.authors.add(posting.to)
            want.pairs.update(((posting.to, posting.author), (posting.author, posting.to)))
            want.domains.update(domain_mark(posting.to, domain) for domain in job.standing.domains)
            invitation = job.standing.invitations.get(posting.to)
            want.invitations.update(link.id for link in (invitation.links if invitation else ()))
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
            elif job.posting.to is None:
                answers.append(_publish(_retained(job.posting, house, now), shelf, changes, now))
            else:
                answers.append(_deliver(job, shelf, changes, house, now))
        except IntentcastError as error:
            answers.append(error)
    return changes, answers


def _retained(posting: Posting, house: House, now: int) -> Posting:
    """Return a public record with the end that this relay's retention gives it, if that comes sooner than its own."""
    life = house.retention.get(posting.type)
    if life is None or posting.expires <= posting.created + life:
        return posting
    if posting.created + life <= now:
        raise Refused("refused.record.expired", f"kept for {life // 86_400} days at most here")
    return posting._replace(expires=posting.created + life)


def _publish(posting: Posting, shelf: Shelf, changes: Changes, now: int) -> int:
    held = shelf.newest.get((posting.author, posting.type))
    if held is not None and held.id == posting.id:
        return held.seq
    for old in succeed(posting, shelf, now):
        del shelf.newest[old.author, old.type]
        shelf.demands.pop(old.author, None)
        _remove(old, changes)
        if old.type == "demand":
            _free(posting.author, shelf, changes)
    if posting.type == "demand":
        shelf.demands[posting.author] = posting.payload
    stored = _store(posting, shelf, changes)
    shelf.newest[posting.author, posting.type] = stored
    return stored.seq


def _deliver(arrival: Arrival, shelf: Shelf, changes: Changes, house: House, now: int) -> int:
    posting = arrival.posting
    assert posting.to is not None
    held = shelf.held.get(posting.id)
    if held is not None:
        return held.seq
    entry = admit(posting, arrival.standing, shelf, house.url, now)
    check_room(posting, shelf, house.mailbox_items, house.mailbox_bytes)
    if entry is not None:
        _enter(entry, shelf, changes)
    shelf.items[posting.to] = shelf.items.get(posting.to, 0) + 1
    shelf.bytes[posting.to] = shelf.bytes.get(posting.to, 0) + len(posting.payload)
    stored = _store(posting, shelf, changes)
    shelf.held[posting.id] = stored
    return stored.seq


def _enter(entry: Entry, shelf: Shelf, changes: Changes) -> None:
    admission = entry.admission
    pair = (admission.person, admission.session)
    shelf.admissions[pair] = changes.admit[pair] = admission
    if admission.domain is not None:
        shelf.domains[admission.domain] = admission
    used = use(entry.spent, shelf)
    shelf.used.update(used)
    changes.use.update(used)


def _free(person: bytes, shelf: Shelf, changes: Changes) -> None:
    """Let the domains that were admitted to a demand come again, to its new version. PROTOCOL §10.2"""
    changes.free.add(person)
    shelf.domains = {mark: taken for mark, taken in shelf.domains.items() if taken.person != person}
    for admissions in (shelf.admissions, changes.admit):
        for pair, admission in admissions.items():
            if pair[0] == person:
                admissions[pair] = replace(admission, domain=None)


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


def _store(posting: Posting, shelf: Shelf, changes: Changes) -> Held:
    shelf.seq += 1
    changes.insert[shelf.seq] = posting
    return Held(
        shelf.seq, posting.id, posting.type, posting.author, posting.to, posting.created, posting.expires,
        len(posting.payload),
    )  # fmt: skip


def _remove(held: Held, changes: Changes) -> None:
    if held.seq in changes.insert:
        del changes.insert[held.seq]
    else:
        changes.delete[held.seq] = held.id
