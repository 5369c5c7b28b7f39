"""A person's signed leave to write to a demand's mailbox, which its holder may pass on once if the person allows it.

    chain   = [[payload, signature]] or [[payload, signature], [payload, signature]]
    payload = {demand, onward, to, until, uses, v, parent?}

The first link is signed by the demand's key D. The second is signed by whom the first invited, names the first as its
parent, and gives no more than it got. Each admission uses up one of every link of its chain. PROTOCOL §10.5
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any, Final

from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import IntentcastError, InvalidMessage
from intentcast_protocol.identity import Id, Key, check_key, content_id, public_key
from intentcast_protocol.limits import MAX_INVITATION, MAX_USES
from intentcast_protocol.record import VERSION, check_signature, sign_bytes

PREFIX: Final = "intentcast-invite:"
MAX_TEXT: Final = len(PREFIX) + -(-MAX_INVITATION * 4 // 3)  # characters of the text form
_CODE: Final = "invalid.invitation.malformed"
_NODES: Final = 16
_FIELDS: Final[dict[str, type]] = {
    "v": int, "demand": bytes, "to": bytes, "uses": int, "until": int, "onward": int, "parent": bytes,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Link:
    """One signed invitation of a chain: `to` may come `uses` times before `until` (s), and pass it on if `onward`."""

    id: Id
    demand: Key
    to: Key
    uses: int
    until: int
    onward: bool
    parent: Id | None
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Invitation:
    """A checked chain of one or two links; the last one says who is invited and until when."""

    links: tuple[Link, ...]

    @property
    def demand(self) -> Key:
        """The key D of the demand whose mailbox it opens."""
        return self.links[0].demand

    @property
    def to(self) -> Key:
        """The key of the invited."""
        return self.links[-1].to

    @property
    def until(self) -> int:
        """The moment (s) from which it admits nobody any more."""
        return self.links[-1].until

    def wire(self) -> list[list[bytes]]:
        """Return the chain's form in a frame."""
        return [[link.payload, link.signature] for link in self.links]


def invite(seed: bytes, *, to: bytes, uses: int, until: int, onward: bool = False) -> Invitation:
    """Sign, with the 32-byte seed of a demand's key, an invitation for the key `to`.

    `uses` is 1 to MAX_USES admissions, `until` seconds. Raises InvalidMessage for what a reader would refuse.
    PROTOCOL §10.5
    """
    return read_chain([_sign(seed, public_key(seed), to, uses, until, onward)])


def pass_on(seed: bytes, parent: Invitation, *, to: bytes, uses: int, until: int) -> Invitation:
    """Pass an invitation on, with the seed of the key it invited; nobody can pass on what comes of it.

    Raises InvalidMessage where the parent does not allow it, or gives less. PROTOCOL §10.5
    """
    return read_chain([*parent.wire(), _sign(seed, parent.demand, to, uses, until, False, parent.links[-1].id)])


def _sign(
    seed: bytes, demand: bytes, to: bytes, uses: int, until: int, onward: bool, parent: bytes | None = None
) -> list[bytes]:
    fields = {"v": VERSION, "demand": demand, "to": to, "uses": uses, "until": until, "onward": int(onward)}
    payload = encode(fields if parent is None else fields | {"parent": parent})
    return [payload, sign_bytes("invite", payload, seed)]


def read_chain(value: object) -> Invitation:
    """Read a chain from its decoded form and check all of it but the clock.

    Raises InvalidMessage, always ``invalid.invitation.malformed``: more than two links or MAX_INVITATION bytes, not
    canonical, other fields, numbers out of range, a signature of somebody else, a second link that the first does not
    allow. PROTOCOL §10.5
    """
    if not isinstance(value, list) or not 1 <= len(value) <= 2:
        raise InvalidMessage(_CODE, "a chain is one invitation or two")
    links: list[Link] = []
    try:
        for pair in value:
            links.append(_read_link(pair, links[-1] if links else None))
        if len(encode(value)) > MAX_INVITATION:
            raise InvalidMessage(_CODE, f"at most {MAX_INVITATION} bytes")
    except IntentcastError as error:
        raise InvalidMessage(_CODE, error.detail or str(error)) from error
    return Invitation(tuple(links))


def _read_link(pair: object, parent: Link | None) -> Link:
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, bytes) for part in pair):
        raise InvalidMessage(_CODE, "an invitation is [payload, signature]")
    payload, signature = pair
    fields = _fields(decode(payload, max_size=MAX_INVITATION, max_nodes=_NODES), onward=parent is not None)
    link = Link(
        id=content_id(payload), demand=fields["demand"], to=check_key(fields["to"]), uses=fields["uses"],
        until=fields["until"], onward=fields["onward"] == 1, parent=fields.get("parent"), payload=payload,
        signature=signature,
    )  # fmt: skip
    if parent is not None:
        _check_passed_on(link, parent)
    if len(signature) != 64:
        raise InvalidMessage(_CODE, "a signature has 64 bytes")
    check_signature("invite", payload, signature, link.demand if parent is None else parent.to)
    return link


def _fields(value: Any, *, onward: bool) -> dict[str, Any]:
    names = _FIELDS.keys() if onward else _FIELDS.keys() - {"parent"}
    if not isinstance(value, dict) or value.keys() != names:
        raise InvalidMessage(_CODE, f"its fields are {', '.join(sorted(names))}")
    for name, part in value.items():
        if type(part) is not _FIELDS[name] or (isinstance(part, bytes) and len(part) != 32):
            raise InvalidMessage(_CODE, f"{name} is of the wrong type or length")
    if value["v"] != VERSION or not 1 <= value["uses"] <= MAX_USES:
        raise InvalidMessage(_CODE, f"version {VERSION}, and 1 to {MAX_USES} uses")
    if value["until"] < 0 or value["onward"] not in (0, 1):
        raise InvalidMessage(_CODE, "until is a time, onward is 0 or 1")
    return value


def _check_passed_on(link: Link, parent: Link) -> None:
    if not parent.onward or link.onward:
        raise InvalidMessage(_CODE, "this one may not be passed on")
    if link.parent != parent.id or link.demand != parent.demand:
        raise InvalidMessage(_CODE, "the second invitation does not belong to the first")
    if link.uses > parent.uses or link.until > parent.until:
        raise InvalidMessage(_CODE, "it gives more than it got")


def encode_chain(invitation: Invitation) -> str:
    """Write an invitation as text that can be sent in a mail: PREFIX and base64url without padding. PROTOCOL §10.5"""
    return PREFIX + base64.urlsafe_b64encode(encode(invitation.wire())).decode().rstrip("=")


def parse_chain(text: str) -> Invitation:
    """Read an invitation from its text; raises InvalidMessage. Its length is capped before it is decoded.

    PROTOCOL §10.5
    """
    if len(text) > MAX_TEXT or not text.startswith(PREFIX):
        raise InvalidMessage(_CODE, f"an invitation begins with {PREFIX} and has at most {MAX_TEXT} characters")
    coded = text.removeprefix(PREFIX)
    try:
        data = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
        chain = decode(data, max_size=MAX_INVITATION, max_nodes=_NODES)
    except (binascii.Error, ValueError, InvalidMessage) as error:
        raise InvalidMessage(_CODE, "its text is damaged") from error
    invitation = read_chain(chain)
    if encode_chain(invitation) != text:
        raise InvalidMessage(_CODE, "its text is not in its one form")
    return invitation
