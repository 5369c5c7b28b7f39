"""What to ask for: how far to come down at a turn, and which of the terms worth that much to say."""

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from intentcast_agent.bargain.opponent import Outcome

BAND = 0.08  # of the range between our best and the reservation: terms this close count as equal to us
JITTER = 0.1  # of what would otherwise be the same for everyone, either way
DOUBT = 0.04  # of the other side's range: how far below what it asked for it may still agree
CAUTION = 0.3  # exponent of our gain where a deal may be lost: below 1 prefers a smaller gain that is likelier


@dataclass(frozen=True)
class Strategy:
    """How a bidder comes down: with the turns used, to this power (None: never), and with what the other side gave.

    `mirror` is the share of the other's concession that is returned at least, each measured by its own range of worths
    to us. One that is `closing` says for its last word what has the best prospect of being taken, off the curve.
    """

    exponent: float | None
    mirror: float = 0.0
    closing: bool = False


STRATEGIES = {
    "hold": Strategy(None),
    "linear": Strategy(1.0),
    "boulware": Strategy(4.0),
    "measured": Strategy(2.5, mirror=0.45, closing=True),
}
DEFAULT = "measured"


@dataclass(frozen=True)
class Word:
    """Terms to say, what they are worth to us, and how likely the other side takes them."""

    outcome: Outcome
    worth: float
    chance: float = 1.0


class Bidder:
    """One strategy over the terms that we can say; raises ValueError for a strategy that does not exist.

    Its exponent and mirror are its own, drawn near those of the strategy, so that nobody can read the reservation off
    its proposals; terms of one worth are taken in an order drawn as well.
    """

    def __init__(self, outcomes: Sequence[Outcome], worths: Sequence[float], name: str, rng: random.Random) -> None:
        if name not in STRATEGIES:
            raise ValueError(f"no bidding strategy is called {name}")
        self.strategy = STRATEGIES[name]
        self._power = (self.strategy.exponent or 0.0) * rng.uniform(1 - JITTER, 1 + JITTER)
        self._mirror = self.strategy.mirror * rng.uniform(1 - JITTER, 1 + JITTER)
        order = list(range(len(outcomes)))
        rng.shuffle(order)
        order.sort(key=lambda at: -worths[at])
        self._ranked = [outcomes[at] for at in order]
        self._worths = [worths[at] for at in order]
        self._keys = [-worth for worth in self._worths]

    @property
    def top(self) -> float:
        """The most that any terms on the list are worth."""
        return self._worths[0]

    def floor(self, reserve: float, progress: float, given: float) -> float:
        """Return the least to ask for when these shares of our turns and of the other's range, 0 to 1, are used."""
        if self.strategy.exponent is None:
            return self.top
        return self.top - (self.top - reserve) * max(math.pow(progress, self._power), self._mirror * given)

    def propose(self, floor: float, reserve: float, liking: Callable[[Outcome], float]) -> Word | None:
        """Return what the other side likes best among terms at the floor or little above it."""
        end = min(bisect_right(self._keys, -floor), self._possible(reserve))
        if not end:
            return None
        limit = self._worths[end - 1] + BAND * (self.top - reserve)
        start = bisect_left(self._keys, -limit, 0, end - 1)
        at = max(range(start, end), key=lambda one: (liking(self._ranked[one]), self._worths[one]))
        return Word(self._ranked[at], self._worths[at])

    def last_word(self, reserve: float, asked: float, liking: Callable[[Outcome], float]) -> Word | None:
        """Return the terms with the best prospect if the other side takes about what it asked for at the least."""
        best, prospect = None, 0.0
        for outcome, worth in zip(self._ranked[: self._possible(reserve)], self._worths, strict=False):
            gain = math.pow(worth - reserve, CAUTION)
            if gain <= prospect:
                break
            short = (asked - liking(outcome)) / DOUBT
            chance = 1 / (1 + math.exp(min(short, 30.0)))
            if gain * chance > prospect:
                best, prospect = Word(outcome, worth, chance), gain * chance
        return best

    def _possible(self, reserve: float) -> int:
        return bisect_left(self._keys, -reserve)
