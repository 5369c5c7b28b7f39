"""One bargain with one other side: what to do next, from what both have said."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from intentcast_agent.bargain.acceptance import Choice, acceptable
from intentcast_agent.bargain.bidding import DEFAULT, Bidder, Word
from intentcast_agent.bargain.opponent import Opponent, Outcome


@dataclass(frozen=True)
class Propose:
    """Say these terms."""

    outcome: Outcome


@dataclass(frozen=True)
class Accept:
    """Take the terms that the other side said last."""


@dataclass(frozen=True)
class End:
    """Say nothing more: our turns are used, or nothing on our list beats the reservation."""


Move = Propose | Accept | End


class Negotiator:
    """One side of an alternating bargain of so many turns each, by a strategy named in `bidding.STRATEGIES`.

    Outcomes are the terms that we can say, one value an issue; the utility takes any terms, on the list or off it, and
    returns a number. The generator is used here alone: the same arguments, generator state and history decide the same.
    Raises ValueError if no outcome is worth a finite number, for no round, and for a strategy that does not exist.
    """

    def __init__(
        self,
        outcomes: Sequence[Outcome],
        utility: Callable[[Outcome], float],
        reserve: float,
        rounds: int,
        *,
        bidding: str = DEFAULT,
        rng: random.Random,
    ) -> None:
        scored = [(outcome, worth) for outcome in outcomes if math.isfinite(worth := utility(outcome))]
        if not scored or rounds < 1:
            raise ValueError("a bargain needs an outcome and a round")
        able, worths = zip(*scored, strict=True)
        self.rounds = rounds
        self._utility = utility
        self._reserve = reserve
        self._bidder = Bidder(able, worths, bidding, rng)
        self._opponent = Opponent(able, worths)
        self._turns = 0
        self._opener = True
        self._offer: Outcome | None = None
        self._heard: tuple[float, float] | None = None

    @property
    def reserve(self) -> float:
        """The worth that has to be beaten: nothing at or below it is proposed or accepted."""
        return self._reserve

    def raise_reserve(self, value: float) -> None:
        """Hold out for more than this from now on; a lower value than before changes nothing."""
        self._reserve = max(self._reserve, value)

    def worth(self, outcome: Outcome) -> float:
        """Return what terms are worth to us."""
        return self._utility(outcome)

    def observe(self, offer: Outcome | None) -> None:
        """Take in what the other side said, None for nothing; whoever made the first offer is the opener."""
        if offer is None:
            return
        if not self._turns:
            self._opener = False
        self._offer = offer
        self._opponent.hear(offer, min(1.0, (self._opponent.offers + 1) / (self.rounds + 1)))
        worth = self.worth(offer)
        if math.isfinite(worth):
            first, best = self._heard or (worth, worth)
            self._heard = first, max(best, worth)

    def proposed(self, outcome: Outcome) -> None:
        """Take in that we said this, which leaves what the other side said before it unanswered."""
        self._turns += 1
        self._offer = None

    def lapsed(self, offer: Outcome) -> None:
        """Take in that an offer can no longer be taken."""
        if self._offer == offer:
            self._offer = None

    def decide(self, share: float, fallback: float | None = None) -> Move:
        """Return what to do when this share of the time, 0 to 1, is used; asking changes nothing.

        The clock can only hurry the count of turns. A fallback is a worth that can be had elsewhere just now, and is a
        reservation for this decision only.
        """
        if self._turns >= self.rounds:
            return End()
        reserve = self._reserve if fallback is None else max(self._reserve, fallback)
        turn = max(self._turns + 1, min(self.rounds, int(share * self.rounds) + 1))
        floor = self._bidder.floor(reserve, turn / self.rounds, self._given(reserve))
        word = self._reply(turn, floor, reserve)
        if self._offer is not None:
            final = turn == self.rounds and self._bidder.strategy.exponent is not None
            choice = Choice(reserve, floor, word, final=final, answered=self._opener)
            if acceptable(self.worth(self._offer), choice):
                return Accept()
        return Propose(word.outcome) if word else End()

    def step(self, share: float, offer: Outcome | None) -> Move:
        """Take in an offer, decide, and take in what was decided."""
        self.observe(offer)
        move = self.decide(share)
        if isinstance(move, Propose):
            self.proposed(move.outcome)
        return move

    def _given(self, reserve: float) -> float:
        # From the worse of its first offer and the reservation: an opening beyond that was a concession too.
        if self._heard is None:
            return 0.0
        first, best = self._heard
        start = min(first, reserve)
        return min(1.0, (best - start) / (self._bidder.top - start)) if self._bidder.top > start else 0.0

    def _reply(self, turn: int, floor: float, reserve: float) -> Word | None:
        # A responder's proposal of its last turn but one is the last that the other side has a turn to answer.
        last = self.rounds if self._opener else self.rounds - 1
        if self._bidder.strategy.closing and turn >= last and self._opponent.offers:
            return self._bidder.last_word(reserve, self._opponent.asked, self._opponent.liking)
        return self._bidder.propose(floor, reserve, self._opponent.liking)
