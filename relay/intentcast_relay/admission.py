"""Who may write to which mailbox: rules over what the store holds, without a clock or a database.

A mailbox is the set of sealed records addressed to one key. The key D of a live demand that lists this relay takes a
first write from a session key S that brings what the demand's ``admit`` lists; from then on S writes to D and D to S.
Every refusal is the same answer, whether the mailbox exists or not. PROTOCOL §10
"""

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from intentcast_protocol.errors import IntentcastError, Refused
from intentcast_protocol.limits import MAX_RELAYS, MAX_STAMP
from intentcast_protocol.record import Envelope
from intentcast_protocol.sealing import check_stamp

from intentcast_relay.store.contract import Admission, Held, Shelf

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
    admit = demand.get("admit") if isinstance(demand, dict) else None
    if not isinstance(admit, list):
        return None
    asked = [_stamp(rung) for rung in admit[:MAX_ADMIT]]
    return min((bits for bits in asked if bits is not None), default=None)


def _stamp(rung: object) -> int | None:
    if not isinstance(rung, str) or not rung.startswith("stamp:"):
        return None
    bits = rung.removeprefix("stamp:")
    if not (bits.isascii() and bits.isdigit() and len(bits) <= 2 and int(bits) <= MAX_STAMP):
        return None
    return int(bits)


def admit(envelope: Envelope, shelf: Shelf, url: str, now: int) -> Admission | None:
    """Admit a sealed record to its mailbox; returns the admission when it is a new one.

    Raises Refused, always the same, for an unknown mailbox, a stopped session or a missing proof. PROTOCOL §10.2
    """
    writer, mailbox = envelope.author, envelope.to
    assert mailbox is not None
    back = shelf.admissions.get((writer, mailbox))
    if back is not None and back.until > now:
        return None
    pair = shelf.admissions.get((mailbox, writer))
    if pair is not None and pair.stopped:
        raise _not_admitted()
    if pair is not None and pair.until > now:
        return None
    demand, held = shelf.demands.get(mailbox), shelf.newest.get((mailbox, "demand"))
    if demand is None or held is None or held.expires <= now or writer == mailbox or not lists_relay(demand, url):
        raise _not_admitted()
    # The other rungs, a verified domain and an invitation, are asked here before the stamp.
    bits = stamp_asked(demand)
    if bits is None or (bits > 0 and not check_stamp(envelope, bits, now)):
        raise _not_admitted()
    return Admission(mailbox, writer, held.expires + AFTER_DEMAND)


def check_room(envelope: Envelope, shelf: Shelf, items: int, size: int) -> None:
    """Refuse a record that would fill its mailbox beyond `items` records or `size` bytes. PROTOCOL §10.3"""
    mailbox = envelope.to
    assert mailbox is not None
    after = shelf.bytes.get(mailbox, 0) + len(envelope.record.payload)
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
