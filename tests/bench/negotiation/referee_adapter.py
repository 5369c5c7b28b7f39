"""The strategy that agents bargain by, behind the plain interface of the referee in ../shared/negotiation."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from intentcast_agent.bargain.negotiator import Accept, Negotiator, Propose
from intentcast_agent.bargain.opponent import Outcome


class Ours:
    """A shim with nothing of its own; its generator is seeded, so that a run can be repeated."""

    def __init__(
        self, outcomes: Sequence[Outcome], utility: Callable[[Outcome], float], reserve: float, rounds: int
    ) -> None:
        self._negotiator = Negotiator(outcomes, utility, reserve, rounds, rng=random.Random(1))
        self._bids = sorted(((utility(outcome), outcome) for outcome in outcomes), key=lambda bid: -bid[0])

    def step(self, t: float, offer: Outcome | None) -> tuple[str, Any]:
        """Answer an offer when the share t of the bargain is used."""
        move = self._negotiator.step(t, offer)
        if isinstance(move, Propose):
            return "offer", move.outcome
        return ("accept" if isinstance(move, Accept) else "end"), None

    def worth(self, outcome: Outcome) -> float:
        """Return what terms are worth to us."""
        return self._negotiator.worth(outcome)

    @property
    def reserve(self) -> float:
        """Return the worth that has to be beaten."""
        return self._negotiator.reserve

    @reserve.setter
    def reserve(self, value: float) -> None:
        self._negotiator.raise_reserve(value)

    @property
    def bids(self) -> list[tuple[float, Outcome]]:
        """Return what can be said, best first; one_to_many.py strikes from it what the reservation excludes already."""
        return self._bids

    @bids.setter
    def bids(self, bids: list[tuple[float, Outcome]]) -> None:
        self._bids = bids
