"""What a person lets an agent do without asking: clauses that every automatic act is held to at the last moment.

A mandate stays with the person; a salted digest of it may be shown. What no clause allows is denied, and so is
everything while a clause is not understood. PROTOCOL §7.4
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal

from intentcast_protocol.constraint import Constraint, Fit, Judgement, Verdict, evaluate, read_constraints
from intentcast_protocol.demand import Demand
from intentcast_protocol.encoding import encode
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.identity import Key, did, parse_did
from intentcast_protocol.limits import MAX_ROUNDS
from intentcast_protocol.subscription import CATEGORY, within
from intentcast_protocol.vocabulary import read_bytes, read_domain

Kind = Literal["ask", "counter", "accept", "decline"]
KINDS: Final[tuple[Kind, ...]] = ("ask", "counter", "accept", "decline")
WORDS: Final = ("auto", "person", "never")
MAX_VENDORS: Final = 256
MAX_CATEGORIES: Final = 64
ANY_VENDOR: Final = "*"
_SALT = 16
_CODE = "invalid.mandate.malformed"


@dataclass(frozen=True, slots=True)
class Mandate:
    """One mandate; times are int seconds, `unknown` names the clauses this version does not understand."""

    acts: Mapping[str, str] = field(repr=False)  # kind -> auto, person or never; an absent one is never
    bounds: tuple[Constraint, ...] = field(repr=False)  # what the terms of a counter or accept must meet
    person: tuple[Constraint, ...] = field(repr=False)  # terms that meet one of these need the person
    categories: tuple[str, ...]
    vendors: tuple[str, ...]  # domains, did:key or *
    witnesses: int  # relays of the person's that have seen the vendor's domain, for an accept
    rounds: int  # counters to one vendor
    deadline: int  # the last moment to ask or counter
    expires: int  # the last moment of anything
    salt: bytes = field(repr=False)
    unknown: tuple[str, ...] = ()

    def wire(self) -> dict[str, Any]:
        """Return the mandate's form, as it is kept and digested."""
        return {
            "acts": dict(self.acts),
            "bounds": [one.wire() for one in self.bounds],
            "person": [one.wire() for one in self.person],
            "categories": list(self.categories),
            "vendors": list(self.vendors),
            "witnesses": self.witnesses,
            "rounds": self.rounds,
            "deadline": self.deadline,
            "expires": self.expires,
            "salt": self.salt,
        }

    @property
    def digest(self) -> bytes:
        """What may be shown of a mandate: its salt keeps a low price from being guessed out of it."""
        return sha256(encode(self.wire())).digest()


@dataclass(frozen=True, slots=True)
class Act:
    """What an agent is about to do with one vendor.

    `body` is the whole of the terms as the vendor's offer would state them: the offer that is accepted, or the offer
    with a counter's price and conditions. `rounds` are the counters to this vendor so far. Asking and declining look at
    no terms.
    """

    kind: Kind
    vendor: Key
    domain: str | None  # as its offer claims; the witnesses say how far to believe it
    witnesses: int
    rounds: int
    body: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a mandate says of an act, by which clause, and why; both are for the person alone."""

    decision: Literal["allowed", "person", "denied"]
    clause: str
    why: str


def read_mandate(value: object) -> Mandate:
    """Read a mandate; raises InvalidMessage naming the clause.

    Clauses that are not understood are kept by name: such a mandate allows nothing. PROTOCOL §7.4
    """
    if not isinstance(value, Mapping):
        raise InvalidMessage(_CODE, "a mandate is a map of clauses")
    acts = value.get("acts")
    if not isinstance(acts, dict):
        raise InvalidMessage(_CODE, "acts says for each of ask, counter, accept and decline: auto, person or never")
    strange = [f"acts.{name}"[:60] for name, word in acts.items() if name not in KINDS or word not in WORDS]
    unknown = [str(name)[:60] for name in value if name not in Mandate.__slots__ or name == "unknown"]
    deadline, expires = _time(value, "deadline"), _time(value, "expires")
    if deadline > expires:
        raise InvalidMessage(_CODE, "deadline is not after expires")
    return Mandate(
        acts={name: acts[name] for name in KINDS if acts.get(name) in WORDS},
        bounds=_constraints(value, "bounds"),
        person=_constraints(value, "person"),
        categories=_categories(value.get("categories")),
        vendors=_vendors(value.get("vendors")),
        witnesses=_whole(value, "witnesses", 8),
        rounds=_whole(value, "rounds", MAX_ROUNDS),
        deadline=deadline,
        expires=expires,
        salt=read_bytes(value.get("salt"), "salt", _CODE, _SALT),
        unknown=tuple(sorted(unknown + strange)),
    )


def check(mandate: Mandate, act: Act, demand: Demand, now: int) -> Ruling:
    """Say whether a mandate allows an act at this moment.

    The first clause that denies it decides, then the first that needs the person. Pure, and to be called with the very
    terms that are then signed. PROTOCOL §7.4
    """
    outside = _outside(mandate, act, demand, now)
    if outside or act.kind not in ("counter", "accept"):
        return outside or _unasked(mandate, act) or Ruling("allowed", f"acts.{act.kind}", "auto")
    bounds = [(f"bounds.{at}", evaluate(bound, act.body)) for at, bound in enumerate(mandate.bounds, 1)]
    broken = next((Ruling("denied", clause, f.why) for clause, f in bounds if f.verdict is Verdict.UNMET), None)
    judgement = demand.judge(act.body)
    if broken or judgement.fit is Fit.FAILS:
        return broken or Ruling("denied", "demand", judgement.why)
    return (
        _unasked(mandate, act)
        or _thresholds(mandate, act)
        or next((Ruling("person", clause, f.why) for clause, f in bounds if f.verdict is Verdict.UNKNOWN), None)
        or (_unsure(mandate, act, judgement) if act.kind == "accept" else None)
        or Ruling("allowed", f"acts.{act.kind}", "; ".join(f.why for _, f in bounds) or "auto")
    )


def _outside(mandate: Mandate, act: Act, demand: Demand, now: int) -> Ruling | None:
    """Say which clause denies an act whatever its terms."""
    haggling = act.kind in ("ask", "counter")
    rules = (
        (bool(mandate.unknown), "".join(mandate.unknown[:1]), "this clause is not understood, so nothing is allowed"),
        (now > mandate.expires, "expires", "the mandate has ended"),
        (haggling and now > mandate.deadline, "deadline", "the time to haggle is over"),
        (mandate.acts.get(act.kind, "never") == "never", f"acts.{act.kind}", "the mandate does not allow it"),
        (
            not any(within(demand.category, own) for own in mandate.categories),
            "categories",
            f"{demand.category} lies outside them",
        ),
        (not _names(mandate.vendors, act), "vendors", "this vendor is not among them"),
        (act.kind == "counter" and act.rounds >= mandate.rounds, "rounds", f"{mandate.rounds} counters to one vendor"),
    )
    return next((Ruling("denied", clause, why) for holds, clause, why in rules if holds), None)


def _unasked(mandate: Mandate, act: Act) -> Ruling | None:
    mine = mandate.acts[act.kind] == "person"
    return Ruling("person", f"acts.{act.kind}", "you said that you do this yourself") if mine else None


def _thresholds(mandate: Mandate, act: Act) -> Ruling | None:
    findings = [(f"person.{at}", evaluate(wish, act.body)) for at, wish in enumerate(mandate.person, 1)]
    return next((Ruling("person", clause, f.why) for clause, f in findings if f.verdict is not Verdict.UNMET), None)


def _unsure(mandate: Mandate, act: Act, judgement: Judgement) -> Ruling | None:
    if judgement.fit is not Fit.FITS:
        return Ruling("person", "demand", judgement.why)
    if act.witnesses < mandate.witnesses:
        seen = f"{act.witnesses} of the {mandate.witnesses} relays it takes have seen the vendor's domain"
        return Ruling("person", "witnesses", seen)
    return None


def _names(vendors: tuple[str, ...], act: Act) -> bool:
    """Say whether a vendor is among those named; a domain counts only where a relay has seen it name the key."""
    if ANY_VENDOR in vendors or did(act.vendor) in vendors:
        return True
    return act.domain in vendors and act.witnesses > 0


def _time(value: Mapping[str, Any], name: str) -> int:
    moment = value.get(name)
    if type(moment) is not int or moment < 0:
        raise InvalidMessage(_CODE, f"{name} is a time in whole seconds")
    return moment


def _whole(value: Mapping[str, Any], name: str, most: int) -> int:
    number = value.get(name)
    if type(number) is not int or not 0 <= number <= most:
        raise InvalidMessage(_CODE, f"{name} is a whole number from 0 to {most}")
    return number


def _constraints(value: Mapping[str, Any], name: str) -> tuple[Constraint, ...]:
    try:
        return read_constraints(value.get(name))
    except InvalidMessage as error:
        raise InvalidMessage(_CODE, f"{name}: {error.detail}") from error


def _categories(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_CATEGORIES:
        raise InvalidMessage(_CODE, f"categories lists 1 to {MAX_CATEGORIES} paths")
    if not all(isinstance(path, str) and CATEGORY.fullmatch(path) for path in value):
        raise InvalidMessage(_CODE, "categories are paths of slugs such as services/home/plumbing")
    return tuple(value)


def _vendors(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_VENDORS:
        raise InvalidMessage(_CODE, f'vendors lists 1 to {MAX_VENDORS} domains or keys, or "*" for any')
    for name in value:
        if isinstance(name, str) and name.startswith("did:"):
            parse_did(name)
        elif name != ANY_VENDOR:
            read_domain(name, _CODE)
    return tuple(value)
