"""The agreement: the signed records from demand to confirm as one bundle that proves itself.

    bundle = {records: [demand, offer, accept, confirm, …], attestations: [attestation, …], type: "agreement", v: 1}

An amendment adds its own offer, accept and confirm; its offer names the confirm before it, so the chain cannot be cut.
Nothing else is needed to check it: no network, no account, no clock. The times in it are the parties' own claims, so
they are compared with each other and never with today. PROTOCOL §8.6
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

from intentcast_protocol.attestation import Attestation, read_attestation
from intentcast_protocol.constraint import Judgement
from intentcast_protocol.demand import Demand, read_demand
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import IntentcastError, InvalidMessage
from intentcast_protocol.identity import Id, Key
from intentcast_protocol.limits import ACCEPT_LIFE, MAX_AMENDMENTS, MAX_ATTESTATIONS, MAX_BUNDLE, MAX_SKEW
from intentcast_protocol.offer import Offer, read_offer
from intentcast_protocol.record import VERSION, Record, Verified, from_wire, verify
from intentcast_protocol.terms import Term, check_acceptance

_CODE: Final = "invalid.agreement.malformed"
_MISMATCH: Final = "invalid.agreement.mismatch"
_DEAL: Final = ("offer", "accept", "confirm")


class Witness(NamedTuple):
    """A relay that saw the offer's domain name the vendor's key, at a time it claims (s)."""

    relay: Key
    url: str
    seen: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a verified bundle says: the terms in force, and the ids of the agreements that they amend, oldest first."""

    id: Id
    demand: Demand
    offer: Offer
    accepted: int
    confirmed: int
    terms: Term
    judgement: Judgement
    witnesses: tuple[Witness, ...] = ()
    amended: tuple[Id, ...] = ()


class Deal(NamedTuple):
    """An offer, its accept and its confirm."""

    offer: Verified
    accept: Verified
    confirm: Verified


def bundle(
    demand: Record,
    offer: Record,
    accept: Record,
    confirm: Record,
    attestations: Iterable[Attestation] = (),
    amendments: Iterable[tuple[Record, Record, Record]] = (),
) -> bytes:
    """Put an agreement's records together, byte for byte as signed, and what relays attest.

    `amendments` are the offer, accept and confirm of each, oldest first. PROTOCOL §8.6
    """
    records = [part.wire() for part in (demand, offer, accept, confirm, *chain.from_iterable(amendments))]
    attested = [one.wire() for one in sorted(attestations, key=lambda one: one.relay)]
    return encode({"v": VERSION, "type": "agreement", "records": records, "attestations": attested})


def verify_agreement(data: bytes) -> Agreement:
    """Prove an agreement from its bytes alone.

    Checks every signature, that the records name each other and the same two parties, that each came before the moment
    it had to, that each total adds up, that the vendor accepted the person's terms, that each amendment names what it
    amends, and that each attestation is about this vendor, domain and time. Raises InvalidMessage with the first thing
    that is wrong. PROTOCOL §8.7
    """
    demand, deals, attestations = _parts(data)
    first, last = deals[0], deals[-1]
    try:
        wanted = read_demand(demand)
        offers = [read_offer(deal.offer) for deal in deals]
        terms = [check_acceptance(wanted.terms, deal.offer.body.get("termsAccepted")) for deal in deals]
    except IntentcastError as error:
        raise InvalidMessage(_CODE, str(error)) from error
    for at, (deal, offered) in enumerate(zip(deals, offers, strict=True)):
        _check_deal(demand, deal, offered, deals[at - 1] if at else None)
    if any(offered.seller.domain != offers[0].seller.domain for offered in offers):
        raise InvalidMessage(_MISMATCH, "an amendment is offered by another domain")
    return Agreement(
        id=last.confirm.id,
        demand=wanted,
        offer=offers[-1],
        accepted=last.accept.created,
        confirmed=last.confirm.created,
        terms=terms[-1],
        judgement=wanted.judge(last.offer.body),
        witnesses=_witnesses(attestations, offers[0], first.accept),
        amended=tuple(deal.confirm.id for deal in deals[:-1]),
    )


def _parts(data: bytes) -> tuple[Verified, list[Deal], list[object]]:
    try:
        value = decode(data, max_size=MAX_BUNDLE)
    except InvalidMessage as error:
        raise InvalidMessage(_CODE, str(error)) from error
    if not isinstance(value, dict) or value.keys() != {"v", "type", "records", "attestations"}:
        raise InvalidMessage(_CODE, "not a bundle")
    parts, attestations = value["records"], value["attestations"]
    if (
        type(value["v"]) is not int  # True equals 1, and would be a second form of the same bundle
        or value["v"] != VERSION
        or value["type"] != "agreement"
        or not isinstance(parts, list)
        or len(parts) not in range(4, 5 + 3 * MAX_AMENDMENTS, 3)
    ):
        raise InvalidMessage(_CODE, "not a bundle of this version")
    if not isinstance(attestations, list) or len(attestations) > MAX_ATTESTATIONS:
        raise InvalidMessage(_CODE, f"attestations are at most {MAX_ATTESTATIONS}")
    demand, *rest = [verify(from_wire(part)) for part in parts]
    if demand.type != "demand" or any(record.type != _DEAL[at % 3] for at, record in enumerate(rest)):
        raise InvalidMessage(_CODE, f"the records are demand, {', '.join(_DEAL)}, in this order")
    return demand, [Deal(*rest[at : at + 3]) for at in range(0, len(rest), 3)], attestations


def _check_deal(demand: Verified, deal: Deal, offered: Offer, before: Deal | None) -> None:
    """Check that offer, accept and confirm belong together, and amend the deal before them where there is one."""
    offer, accept, confirm = deal
    names_each_other = (
        offer.body["demand"] == demand.id
        and accept.body.get("demand") == demand.id
        and accept.body.get("offer") == offer.id
        and confirm.body.get("accept") == accept.id
        and offered.amends == (before.confirm.id if before else None)
    )
    same_parties = (
        demand.author == offer.to == accept.author == confirm.to
        and offer.author == accept.to == confirm.author
        and offer.session == accept.session == confirm.session
        and demand.author != offer.author
        and (before is None or (before.offer.author, before.offer.session) == (offer.author, offer.session))
    )
    if not names_each_other or not same_parties:
        raise InvalidMessage(_MISMATCH)
    # Each side numbers its own messages, so an older message cannot be presented as the newer one.
    if (offer.seq or 0) >= (confirm.seq or 0) or (before and (before.accept.seq or 0) >= (accept.seq or 0)):
        raise InvalidMessage(_MISMATCH, "a record is numbered before the one that it follows")
    if not offered.firm:
        raise InvalidMessage(_MISMATCH, "the offer was indicative")
    _check_times(demand, deal, amends=before is not None)


def _witnesses(attestations: list[object], offer: Offer, accept: Verified) -> tuple[Witness, ...]:
    witnesses: list[Witness] = []
    for value in attestations:
        try:
            one = read_attestation(value)
        except InvalidMessage as error:
            raise InvalidMessage(_MISMATCH, str(error)) from error
        if not one.covers(key=offer.author, domain=offer.seller.domain, at=accept.created):
            raise InvalidMessage(_MISMATCH, "an attestation is about another key, domain or time")
        # One order only, so that nobody makes another bundle of the same agreement, or counts a relay twice.
        if witnesses and witnesses[-1].relay >= one.relay:
            raise InvalidMessage(_MISMATCH, "the attestations ascend by relay key, one a relay")
        if one.relay == accept.author:
            raise InvalidMessage(_MISMATCH, "a party is no witness")
        witnesses.append(Witness(one.relay, one.url, one.seen))
    return tuple(witnesses)


def _check_times(demand: Verified, deal: Deal, *, amends: bool) -> None:
    offer, accept, confirm = deal
    late = "invalid.agreement.late"
    if accept.created > offer.expires:
        raise InvalidMessage(late, "the offer had lapsed when it was accepted")
    if not amends and accept.created >= demand.expires:
        raise InvalidMessage(late, "the demand had ended when the offer was accepted")
    if confirm.created > accept.expires:
        raise InvalidMessage(late, "the deadline to confirm had passed")
    if accept.expires - accept.created > ACCEPT_LIFE:
        raise InvalidMessage(_MISMATCH, "the accept waited too long")
    # Two clocks may differ, but not by more than the protocol lets a record be dated ahead.
    if accept.created < offer.created - MAX_SKEW or confirm.created < accept.created - MAX_SKEW:
        raise InvalidMessage(_MISMATCH, "the records' times run backwards")
