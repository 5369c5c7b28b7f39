"""What to say next to every vendor of one demand, from all that was said, what is wanted and what the mandate allows.

Pure: the same history, moment and secret decide the same, so that a restarted agent goes on where it was. The terms
that can be said are a grid over the total and the conditions a vendor will talk about; how good they are is what
`offer compare` says of them. DESIGN §6
"""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from hashlib import sha256
from itertools import product
from typing import Any, Final

from intentcast_protocol.conditions import FIELDS, Conditions, write_conditions
from intentcast_protocol.constraint import Constraint, Fit, judge
from intentcast_protocol.demand import Demand
from intentcast_protocol.identity import Key
from intentcast_protocol.limits import MAX_CHOICES
from intentcast_protocol.mandate import Act, Kind, Ruling, check
from intentcast_protocol.offer import Counter, Offer
from intentcast_protocol.quantity import minor_digits
from intentcast_protocol.record import Verified
from intentcast_protocol.vocabulary import write_price

from intentcast_agent.bargain.negotiator import Negotiator, Propose
from intentcast_agent.bargain.opponent import Outcome
from intentcast_agent.bargain.threads import Threads
from intentcast_agent.counter import counter_terms, least_total, with_total
from intentcast_agent.person.criteria import Criteria
from intentcast_agent.person.mandate import Instructions
from intentcast_agent.person.utility import scorer

MOST_OUTCOMES: Final = 3_000
MOST_THREADS: Final = 40  # vendors bargained with at once: those that ask least
_PRICE: Final = "priceSpecification"
_LEVELS: Final = (11, 101)  # of the total, at least and at most
_HOPE: Final = Decimal("0.85")  # of a vendor's first offer, where the person names no target below it
# Of the person's most, drawn in private so that no counter tells it: where to start at most, and what to say at most.
_START: Final = (0.86, 0.95)
_LAST: Final = (0.98, 0.995)
_MORE: Final = Decimal("1.08")  # of it, for conditions that are worth it
_ROUND: Final = 10  # of the currency: totals of a thousand and more are said in tens, as people say them
_SLACK: Final = 1e-6  # of the score: the worst terms that the mandate allows are still worth having
_LISTEN: Final = 30  # s after the cast, or a tenth of the time if that is less, in which later vendors are waited for
_HURRY: Final = 60  # s before an offer ends, or a quarter of its life, in which it is taken or let go


@dataclass(frozen=True, slots=True)
class Talk:
    """One session as a bargain sees it: `said` is each offer and counter that had an effect, oldest first."""

    key: Key
    said: tuple[tuple[Offer, Verified] | Counter, ...]
    live: bool  # the newest offer stands
    turn: bool  # a counter can be sent now
    rounds: int  # counters so far
    witnesses: int
    firm: bool = True  # the newest offer can be accepted


@dataclass(frozen=True, slots=True)
class Say:
    """A counter to send in a session: the terms in full, and what the mandate says of it."""

    key: Key
    terms: dict[str, Any] = field(repr=False)
    act: Act = field(repr=False)
    ruling: Ruling = field(repr=False)


@dataclass(frozen=True, slots=True)
class Take:
    """The standing offer of a session is the one to accept now, if the mandate lets the agent."""

    key: Key
    act: Act = field(repr=False)
    ruling: Ruling = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now: counters, or one accept; `over` says that the time ended with nothing to accept."""

    says: tuple[Say, ...] = ()
    take: Take | None = None
    over: bool = False
    worths: Mapping[Key, float] = field(default_factory=dict)  # of what stands in each session, 0 to 1


def plan(
    talks: Sequence[Talk],
    demand: Demand,
    criteria: Criteria,
    instructions: Instructions,
    *,
    strategy: str,
    secret: bytes,
    started: int,
    now: int,
) -> Plan:
    """Return what to do next; `secret` draws each thread's private pace. A vendor that cannot be bargained with is left
    out: its offer is in another currency, nothing within the mandate covers its fees, or MOST_THREADS others ask less.
    """
    deadline = instructions.mandate.deadline
    share = min(1.0, (now - started) / max(1, deadline - started))
    threads, bargains = Threads(kept=True), dict[str, _Bargain]()
    drawn = random.Random(sha256(secret).digest())
    ends = tuple(Decimal(drawn.uniform(*part)) * instructions.most for part in (_START, _LAST))
    for talk in _chosen(talks, demand, instructions):
        bargain = _bargain(talk, demand, criteria, instructions, ends)
        if bargain and bargain.outcomes:
            bargains[talk.key.hex()] = bargain
            rng = random.Random(sha256(secret + talk.key).digest())
            bargain.replay(threads, strategy, rng, now)
    worths = {bargain.talk.key: bargain.worth for bargain in bargains.values()}
    best = threads.best()
    if now >= deadline:
        last = bargains[best.thread].take(now) if best else None
        return Plan(take=last, over=last is None, worths=worths)
    says = tuple(say for one in bargains.values() if (say := one.next(threads, share, now)))
    pending = any(say.ruling.decision == "allowed" for say in says) or any(one.waiting for one in bargains.values())
    listened = now - demand.created >= min(_LISTEN, (deadline - started) // 10)
    hurry = best is not None and bargains[best.thread].hurries(now)
    if best and (hurry or (listened and not pending)):
        return Plan(take=bargains[best.thread].take(now), worths=worths)
    return Plan(says, worths=worths)


def _chosen(talks: Sequence[Talk], demand: Demand, given: Instructions) -> list[Talk]:
    """Return the talks to go on with: in the mandate's currency, and of too many those that ask least."""
    found = list[tuple[tuple[bool, Decimal], Talk]]()
    for talk in talks:
        newest = next((said for said in reversed(talk.said) if isinstance(said, tuple)), None)
        if talk.live and newest and (newest[0].price.currency, newest[0].price.unit) == (given.currency, given.unit):
            fails = demand.judge(newest[1].body).fit is Fit.FAILS
            found.append(((fails, newest[0].price.total), talk))
    return [talk for _, talk in sorted(found, key=lambda one: one[0])[:MOST_THREADS]]


def _bargain(
    talk: Talk, demand: Demand, criteria: Criteria, given: Instructions, ends: tuple[Decimal, ...]
) -> "_Bargain | None":
    terms = [one[0] if isinstance(one, tuple) else one for one in talk.said]
    # Another item or currency is another bargain, and what was said of the one before tells nothing of it.
    newest = next(one for one in reversed(terms) if isinstance(one, Offer))
    about = (newest.item, newest.price.currency, newest.price.unit)
    same = [(one.item, one.price.currency, one.price.unit) == about for one in terms]
    begin = max((at + 1 for at, fits in enumerate(same) if not fits), default=0)
    try:
        return _Bargain(replace(talk, said=talk.said[begin:]), demand, criteria, given, ends)
    except ValueError:
        return None


class _Bargain:
    """One session's grid of terms, how good each is, and its thread among the others."""

    def __init__(
        self, talk: Talk, demand: Demand, criteria: Criteria, given: Instructions, ends: tuple[Decimal, ...]
    ) -> None:
        self.talk, self._demand, self._given, self._ends = talk, demand, given, ends
        self._offers = [said for said in talk.said if isinstance(said, tuple)]
        self._newest, self._record = self._offers[-1]
        self._coin = Decimal(1).scaleb(-minor_digits(given.currency))
        self._score = scorer(demand, criteria, self._record.body, reserve=(given.most, given.currency))
        self._rounds = min(demand.max_rounds, given.mandate.rounds)
        self._rules = (*given.mandate.bounds, *demand.constraints)
        # No more than the vendor asks, but for better conditions: so its first offer lies where it likes prices best.
        budget = [demand.budget.amount] if demand.budget else []
        self._limit = min(given.most, self._offers[0][0].price.total * _MORE, *budget)
        stated = {one for offer, _ in self._offers for one in (*offer.conditions.extras, *offer.choices.extras)}
        self._extras = tuple(sorted(stated))
        self.worth = self._utility(self._outcome(self._newest.price.total, self._newest.conditions))
        self.outcomes = self._grid()

    @property
    def waiting(self) -> bool:
        """Whether the vendor's answer to a counter may still come."""
        return not self.talk.turn

    def hurries(self, now: int) -> bool:
        """Say whether the newest offer is about to end."""
        life = self._newest.expires - self._newest.created
        return self._newest.expires - now <= min(_HURRY, life // 4)

    def replay(self, threads: Threads, strategy: str, rng: random.Random, now: int) -> None:
        """Open the thread and tell it all that was said."""
        name = self.talk.key.hex()
        worst = int(self._limit / self._coin)
        reserve = min(self._utility((worst, *had)) for had in {one[1:] for one in self.outcomes}) - _SLACK
        rounds = self._rounds + 1  # counters, and then the accept
        negotiator = Negotiator(self.outcomes, self._utility, reserve, rounds, bidding=strategy, rng=rng)
        threads.open(name, negotiator)
        for said in self.talk.said:
            if isinstance(said, tuple):
                threads.lapse(name)
                threads.observe(name, self._outcome(said[0].price.total, said[0].conditions))
            else:
                threads.proposed(name, self._outcome(said.price.total, said.conditions))
        if not self.talk.firm or self._rule("accept", self._record.body, now)[1].decision == "denied":
            threads.lapse(name)

    def next(self, threads: Threads, share: float, now: int) -> Say | None:
        """Return the counter to send now, if there is one."""
        move = threads.decide(self.talk.key.hex(), share)
        if not isinstance(move, Propose) or not self.talk.turn or self.talk.rounds >= self._rounds:
            return None
        outcome = self._no_less(move.outcome, threads)
        if outcome is None:
            return None
        total, conditions = self._read(outcome)
        terms = counter_terms(self._newest, with_total(self._newest.price, total), conditions)
        return Say(self.talk.key, terms, *self._rule("counter", terms, now))

    def _no_less(self, outcome: Outcome, threads: Threads) -> Outcome | None:
        """Return terms that take back nothing said before: a rival's offer may end a thread, not turn it back."""
        said = [one for one in self.talk.said if isinstance(one, Counter)]
        if not said:
            return outcome
        last = self._outcome(said[-1].price.total, said[-1].conditions)
        if self._utility(outcome) <= self._utility(last):
            return outcome
        if said[-1].price.total < least_total(self._newest.price):
            return None  # the vendor's fees have risen over what was said
        better = threads.fallback(self.talk.key.hex())
        return last if better is None or self._utility(last) > better.worth else None

    def take(self, now: int) -> Take:
        return Take(self.talk.key, *self._rule("accept", self._record.body, now))

    def _rule(self, kind: Kind, terms: Mapping[str, Any], now: int) -> tuple[Act, Ruling]:
        seller, witnesses, rounds = self._newest.seller, self.talk.witnesses, self.talk.rounds
        act = Act(kind, self._newest.author, seller.domain, witnesses, rounds, self._stated(terms))
        return act, check(self._given.mandate, act, self._demand, now)

    def _stated(self, terms: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the offer would state with these terms; what they leave out it would not state."""
        kept = {name: value for name, value in self._record.body.items() if name not in FIELDS}
        return kept | dict(terms)

    def _outcome(self, total: Decimal, had: Conditions) -> Outcome:
        """Return terms as a bargain sees them: the total in the smallest coin, days, months, and each extra or not."""
        return int(total / self._coin), had.delivery, had.warranty, *(one in had.extras for one in self._extras)

    def _read(self, outcome: Outcome) -> tuple[Decimal, Conditions]:
        total, days, months, *flags = outcome
        assert isinstance(total, int)
        assert isinstance(days, int | None)
        assert isinstance(months, int | None)
        extras = tuple(one for one, flag in zip(self._extras, flags, strict=True) if flag)
        return total * self._coin, Conditions(days, months, extras)

    def _utility(self, outcome: Outcome) -> float:
        total, had = self._read(outcome)
        issues = {"deliveryLeadTime": had.delivery, "warranty.durationOfWarranty": had.warranty, "addOn": had.extras}
        return self._score({"total": total, **issues})

    def _grid(self) -> list[Outcome]:
        """Return the terms that can be said: within the mandate, and within what the vendor says it talks about."""
        budget, price = self._demand.budget, self._newest.price
        if budget and (budget.currency, budget.unit) != (price.currency, price.unit):
            return []
        if not self._allowed({_root(rule) for rule in self._rules} - {*FIELDS, _PRICE}, self._record.body):
            return []
        had, other = self._newest.conditions, self._newest.choices
        few = {had.extras, (), tuple(sorted({*had.extras, *other.extras}))}
        some = few | {tuple(sorted({*had.extras, one})) for one in other.extras}
        days = self._speakable("deliveryLeadTime", [Conditions(one) for one in {had.delivery, *other.delivery}])
        months = self._speakable("warranty", [Conditions(None, one) for one in {had.warranty, *other.warranty}])
        extras = self._speakable("addOn", [Conditions(extras=one) for one in some if len(one) <= MAX_CHOICES])
        fewest, most = _LEVELS
        if len(days) * len(months) * len(extras) * fewest > MOST_OUTCOMES:
            extras = [one for one in extras if one.extras in few]
        said = [
            Conditions(one.delivery, two.warranty, three.extras) for one, two, three in product(days, months, extras)
        ]
        totals = self._totals(max(fewest, min(most, MOST_OUTCOMES // max(1, len(said)))))
        return [self._outcome(total, one) for total in totals for one in said]

    def _speakable(self, field: str, choices: Iterable[Conditions]) -> list[Conditions]:
        # In one order only: a set of texts has another in each process.
        return [one for one in sorted(choices, key=repr) if self._allowed({field}, write_conditions(one))]

    def _allowed(self, fields: Collection[str], body: Mapping[str, Any]) -> bool:
        """Say whether neither the mandate's bounds nor the demand rule out what is said in these fields."""
        return judge([rule for rule in self._rules if _root(rule) in fields], body).fit is not Fit.FAILS

    def _totals(self, levels: int) -> list[Decimal]:
        """Return the totals that can be said, from what the person hopes for to nearly their most."""
        first, target, fees = self._offers[0][0].price.total, self._given.target, least_total(self._newest.price)
        start, last = self._ends
        high = min(self._limit, last)
        low = target if target is not None and target < first else min(first * _HOPE, start)
        low = max(min(low, high), fees)
        if low > self._limit:
            return []
        high = max(low, high)
        step = Decimal(_ROUND) if high >= 1_000 else self._coin
        spaced = [low + (high - low) * at / (levels - 1) for at in range(levels)]
        totals = sorted({max(fees, total - total % step) for total in spaced})
        return [
            total
            for total in totals
            if self._allowed({_PRICE}, {_PRICE: write_price(with_total(self._newest.price, total))})
        ]


def _root(rule: Constraint) -> str:
    return rule.path.split(".")[0]
