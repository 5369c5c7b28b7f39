"""The vendor's answer to a counter: agree to it, or say which terms it asks for instead. Pure; PROTOCOL §6.4, §8.3

Whatever a person asks: no net lies under the floor, no total lies above one that was offered before under the same
conditions, and nothing but the offer itself tells of the policy. Fees are never bargained away. A ladder and a posted
price look at the number of counters alone; any other strategy bids, learns and accepts as `bargain` does, over prices
and conditions together, and gives way only to a counter that is better for the vendor than all before it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from intentcast_protocol.conditions import Choices, Conditions
from intentcast_protocol.negotiation import Actor
from intentcast_protocol.quantity import minor_digits
from intentcast_protocol.vocabulary import Price

from intentcast_agent.bargain.negotiator import Accept, Negotiator, Propose
from intentcast_agent.bargain.opponent import Outcome
from intentcast_agent.vendor.margin import EXTRAS, Margin, fees_of
from intentcast_agent.vendor.quote import Pass, last_moment

OUTCOMES: Final = 1_000  # about so many terms are weighed in one answer
STEPS: Final = (12, 40)  # prices for each way to combine the conditions


@dataclass(frozen=True, slots=True)
class Said:
    """What one of our offers or one of the person's counters said of price and conditions."""

    by: Actor
    price: Price
    conditions: Conditions = Conditions()  # noqa: RUF009 (frozen)


@dataclass(frozen=True, slots=True)
class Move:
    """New terms for the offer that was countered, and their last moment; all else stays as it was."""

    price: Price
    expires: int
    conditions: Conditions = Conditions()  # noqa: RUF009 (frozen)


@dataclass(frozen=True, slots=True)
class Hold:
    """The last terms once more, as a fresh offer."""

    price: Price
    expires: int
    conditions: Conditions = Conditions()  # noqa: RUF009 (frozen)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to ask for next, and whether the counter is good enough as it is."""

    net: Decimal
    conditions: Conditions
    agrees: bool = False


def answer_counter(
    margin: Margin, said: Sequence[Said], *, rounds: int, now: int, demand_expires: int, secret: bytes
) -> Move | Hold | Pass:
    """Return the answer to the last of what was said, a person's counter and the `rounds`-th of the session.

    `said` is oldest first and begins with our first offer. A counter that is agreed to is offered exactly: its total
    and, where they are on the menu, its conditions; but never more than the last offer asked for. `secret` is the
    session's own: the same arguments give the same answer, and nobody without it can foresee one. Passes when the
    demand has ended, or when by now the last offer itself lies outside the policy.
    """
    policy, counter = margin.policy, said[-1]
    ours = [one for one in said if one.by == "vendor"]
    last = ours[-1]
    if now >= demand_expires:
        return Pass("the demand has ended")
    if (last.price.currency, last.price.unit) != (policy.currency, margin.unit):
        return Pass("the price is not in our currency and unit")
    if last.conditions not in policy.menu.costs:
        return Pass("we no longer offer the last conditions")
    standing = margin.net(last.price, last.conditions)
    if standing < margin.floor:
        return Pass("we no longer sell at the last price")
    asked = _asked(margin, last, counter)
    plan = _plan(margin, said, rounds, standing, secret)
    agrees = asked is not None and asked >= min(margin.lowest, standing) and (plan.agrees or asked >= plan.net)
    if asked is not None and agrees:
        plan = _Plan(min(asked, standing), policy.menu.nearest(counter.conditions))
    expires = last_moment(policy, now, demand_expires)
    fees = tuple(part for part in last.price.components if part.kind in EXTRAS)
    try:
        price = margin.price(plan.net, plan.conditions, fees)
    except ValueError:
        return Hold(last.price, expires, last.conditions)
    # Costs may have changed since: what was offered once stays within reach.
    price = min([price, *(one.price for one in ours if one.conditions == plan.conditions)], key=lambda one: one.total)
    unchanged = (price.total, plan.conditions) == (last.price.total, last.conditions)
    if margin.net(price, plan.conditions) < margin.floor or (unchanged and not agrees):
        return Hold(last.price, expires, last.conditions)
    return Move(price, expires, plan.conditions)


def _asked(margin: Margin, last: Said, counter: Said) -> Decimal | None:
    """Return what a counter would bring under the conditions of ours nearest to its own; None if incomparable."""
    if (counter.price.currency, counter.price.unit) != (last.price.currency, last.price.unit):
        return None
    nearest = margin.policy.menu.nearest(counter.conditions)
    return counter.price.total - fees_of(last.price) - margin.policy.menu.costs[nearest]


def _plan(margin: Margin, said: Sequence[Said], rounds: int, standing: Decimal, secret: bytes) -> _Plan:
    hold = _Plan(standing, margin.policy.menu.nearest(said[-1].conditions))
    if margin.policy.fixed:
        return replace(hold, net=min(margin.step(rounds), standing))
    asked = [_asked(margin, said[0], one) for one in said if one.by == "person"]
    heard = [net for net in asked if net is not None]
    # The list price may have fallen since, and the standing offer lie above it.
    if asked[-1] is None or rounds > margin.policy.rounds or margin.lowest >= min(margin.top, standing):
        return hold
    plan = _Bargain(margin, heard[0], secret).decide(said)
    if plan is None or not (plan.agrees or all(asked[-1] > earlier for earlier in heard[:-1])):
        return hold
    return replace(plan, net=min(plan.net, standing))


class _Bargain:
    """A bargain over one item: terms as outcomes, of a net in the smallest unit and the conditions to choose from.

    The nets lie at places that only the session's secret tells, so that no two of them give away the distance to the
    floor; and none lies below what the person asked for first, which is what they like best.
    """

    def __init__(self, margin: Margin, asked: Decimal, secret: bytes) -> None:
        menu = margin.policy.menu
        self._margin = margin
        self._scale = minor_digits(margin.policy.currency)
        self._ways = {_values(menu.choices, way): way for way in menu.costs}
        self._low, top = self._units(margin.lowest), self._units(margin.top)
        self._span = top - self._low
        least = min(max(self._units(asked), self._low), top)
        steps = max(STEPS[0], min(STEPS[1], OUTCOMES // len(self._ways)))
        places = random.Random(b"places" + secret)
        nets = {top, *(least + int((top - least) * (at + places.random()) / steps) for at in range(steps))}
        # Of its turns, the first offer is one. How few rounds the demand says it has is no reason to hurry.
        self._negotiator = Negotiator(
            [(net, *values) for net in sorted(nets) for values in self._ways], self._worth, 0.0,
            margin.policy.rounds + 1, bidding=margin.policy.strategy, rng=random.Random(secret),
        )  # fmt: skip

    def decide(self, said: Sequence[Said]) -> _Plan | None:
        """Return what to do after all that was said; None to repeat the last offer."""
        conditions = self._margin.policy.menu.nearest(said[-1].conditions)
        for one in said:
            brings = _asked(self._margin, said[0], one)
            if brings is None:
                continue
            way = self._margin.policy.menu.nearest(one.conditions)
            outcome = (self._units(brings), *_values(self._margin.policy.menu.choices, way))
            if one.by == "vendor":
                self._negotiator.proposed(outcome)
            else:
                self._negotiator.observe(outcome)
        match self._negotiator.decide(0.0):
            case Accept():
                return _Plan(self._margin.top, conditions, agrees=True)
            case Propose((int(net), *values)):
                return _Plan(Decimal(net).scaleb(-self._scale), self._ways[tuple(values)])
        return None

    def _worth(self, outcome: Outcome) -> float:
        net = outcome[0]
        assert isinstance(net, int)
        return (net - self._low) / self._span

    def _units(self, amount: Decimal) -> int:
        return int(amount.scaleb(self._scale))


def _values(choices: Choices, way: Conditions) -> Outcome:
    """Return conditions as the values of the issues there are to choose in."""
    values = ([way.delivery] if choices.delivery else []) + ([way.warranty] if choices.warranty else [])
    return (*values, *(name in way.extras for name in choices.extras))
