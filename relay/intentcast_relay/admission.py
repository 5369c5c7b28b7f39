"""Who may write to which mailbox: rules over what the store holds, without a clock or a database.

A mailbox is the set of sealed records addressed to one key. The key D of a live demand that lists this relay takes a
first write from a session key S that brings what the demand's ``admit`` lists; from then on S writes to D and D to S.
Every refusal is the same answer, whether the mailbox exists or not. PROTOCOL §10
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from intentcast_protocol.encoding import decode
from intentcast_protocol.errors import IntentcastError, Refused
from intentcast_protocol.invitation import Link
from intentcast_protocol.limits import MAX_RELAYS, MAX_STAMP
from intentcast_protocol.sealing import check_stamp

from intentcast_relay.posting import Posting
from intentcast_relay.standing import Standing
from intentcast_relay.store.contract import Admission, Held, Shelf, Used

AFTER_DEMAND: Final = 30 * 86_400  # s a pair may go on writing after the demand has ended
MAX_KEEP: Final = 400 * 86_400  # s ahead that `keep` may reach
MAX_ADMIT: Final = 16  # entries of `admit` that are looked at
_PORTS: Final = {"ws": 80, "wss": 443}


def same_form(url: object) -> str | None:
    """Return a relay's address in the form two spellings of it share, or None for what is no such address.

    Scheme and host in lower case, no default port, no slash at the end. PROTOCOL §10.1
    """
    if not isinstance(url, str) or len(url) > 300:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    tail = "" if port in {None, _PORTS[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{host}{tail}{parts.path.rstrip('/')}"


def lists_relay(demand: object, url: str) -> bool:
    """Say whether a demand's body names the relay at `url` as one of its mailboxes. PROTOCOL §10.1"""
    reply_to = demand.get("replyTo") if isinstance(demand, dict) else None
    relays = reply_to.get("relays") if isinstance(reply_to, dict) else None
    if not isinstance(relays, list):
        return False
    here = same_form(url)
    return any(same_form(relay) == here for relay in relays[:MAX_RELAYS])


def stamp_asked(demand: object) -> int | None:
    """Return the bits of the smallest stamp a demand's ``admit`` lists, None when it lists none. PROTOCOL §10.2"""
    asked = [_stamp(rung) for rung in rungs(demand)]
    return min((bits for bits in asked if bits is not None), default=None)


def rungs(demand: object) -> list[str]:
    """Return the entries of a demand's ``admit`` that are looked at; what is not text is left out."""
    admit = demand.get("admit") if isinstance(demand, dict) else None
    return [rung for rung in admit[:MAX_ADMIT] if isinstance(rung, str)] if isinstance(admit, list) else []


def _stamp(rung: str) -> int | None:
    if not rung.startswith("stamp:"):
        return None
    bits = rung.removeprefix("stamp:")
    if not (bits.isascii() and bits.isdigit() and len(bits) <= 2 and int(bits) <= MAX_STAMP):
        return None
    return int(bits)


def domain_mark(person: bytes, domain: bytes) -> bytes:
    """Return what is kept of a domain that was admitted to a demand: sha256(D ‖ domain). PROTOCOL §10.2"""
    return sha256(person + domain).digest()


class Entry(NamedTuple):
    """A new admission, and the invitations it uses up one of."""

    admission: Admission
    spent: tuple[Link, ...] = ()


def admit(posting: Posting, standing: Standing, shelf: Shelf, url: str, now: int) -> Entry | None:
    """Admit a sealed record to its mailbox; returns an entry when it opens the mailbox to its author.

    Raises Refused, always the same, for an unknown mailbox, a stopped session or a missing proof. PROTOCOL §10.2
    """
    writer, mailbox = posting.author, posting.to
    assert mailbox is not None
    back = shelf.admissions.get((writer, mailbox))
    if back is not None and back.until > now:
        return None
    pair = shelf.admissions.get((mailbox, writer))
    if pair is not None and pair.stopped:
        raise _not_admitted()
    if pair is not None and pair.until > now:
        return None
    payload, held = shelf.demands.get(mailbox), shelf.newest.get((mailbox, "demand"))
    if payload is None or held is None or held.expires <= now or writer == mailbox:
        raise _not_admitted()
    demand = decode(payload)["body"]
    if not lists_relay(demand, url):
        raise _not_admitted()
    admission = Admission(mailbox, writer, held.expires + AFTER_DEMAND)
    # What spends and keeps nothing goes first.
    bits, listed = stamp_asked(demand), rungs(demand)
    if bits is not None and (bits == 0 or check_stamp(posting, bits, now)):
        return Entry(admission)
    mark = _free_domain(mailbox, standing, shelf, now) if "domain" in listed else None
    if mark is not None:
        return Entry(replace(admission, domain=mark))
    links = _good_links(mailbox, standing, shelf, now) if "invite" in listed else ()
    if links:
        return Entry(admission, links)
    raise _not_admitted()


def _free_domain(person: bytes, standing: Standing, shelf: Shelf, now: int) -> bytes | None:
    for domain in sorted(standing.domains):
        mark = domain_mark(person, domain)
        taken = shelf.domains.get(mark)
        if taken is None or taken.until <= now:
            return mark
    return None


def _good_links(person: bytes, standing: Standing, shelf: Shelf, now: int) -> tuple[Link, ...]:
    invitation = standing.invitations.get(person)
    if invitation is None or invitation.until <= now:
        return ()
    spent = any(link.id in shelf.used and shelf.used[link.id].times >= link.uses for link in invitation.links)
    return () if spent else invitation.links


def use(links: Sequence[Link], shelf: Shelf) -> dict[bytes, Used]:
    """Return how often invitations will have been used with one more admission. PROTOCOL §10.5"""
    return {link.id: Used(shelf.used[link.id].times + 1 if link.id in shelf.used else 1, link.until) for link in links}


def check_room(posting: Posting, shelf: Shelf, items: int, size: int) -> None:
    """Refuse a record that would fill its mailbox beyond `items` records or `size` bytes. PROTOCOL §10.3"""
    mailbox = posting.to
    assert mailbox is not None
    after = shelf.bytes.get(mailbox, 0) + len(posting.payload)
    if shelf.items.get(mailbox, 0) >= items or after > size:
        raise Refused("refused.mailbox.full")


def keep(pair: Admission | None, until: int, now: int) -> Admission:
    """Let a pair go on writing until a later moment; never shortens it.

    Raises Refused: no such pair (any more), or further ahead than MAX_KEEP. PROTOCOL §10.4
    """
    if until > now + MAX_KEEP:
        raise Refused("refused.limit.exceeded", f"at most {MAX_KEEP // 86_400} days ahead")
    if pair is None or pair.until <= now:
        raise _not_admitted()
    return replace(pair, until=max(pair.until, until))


def stop(pair: Admission) -> Admission:
    """Refuse what the session writes from now on; the stop lasts as long as the admission. PROTOCOL §10.4"""
    return replace(pair, stopped=True)


def take(held: Held | None, mailbox: bytes) -> bool:
    """Say whether a stored record lies in this mailbox, so that its owner may delete it. PROTOCOL §10.4"""
    return held is not None and held.recipient == mailbox


def _not_admitted() -> IntentcastError:
    return Refused("refused.mailbox.not-admitted")
