"""Bargains with several others about one purchase, each knowing what the rest already offer."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from intentcast_agent.bargain.negotiator import Accept, End, Move, Negotiator
from intentcast_agent.bargain.opponent import Outcome


@dataclass(frozen=True)
class Wait:
    """Leave the offer standing: it is good enough here, and another thread may still bring better."""


@dataclass(frozen=True)
class Standing:
    """An offer that can be taken now, the thread it is in, and its worth to us."""

    thread: str
    outcome: Outcome
    worth: float


@dataclass
class Thread:
    """One bargain, what stands in it, and whether it has come to rest."""

    negotiator: Negotiator
    standing: dict[Outcome, Standing] = field(default_factory=dict)
    resting: bool = False


class Threads:
    """Linked threads: the best offer standing elsewhere is what each must beat.

    Threads come and go at any time, and each has the rounds of its own negotiator. An offer stands until it lapses or,
    unless offers are `kept`, until the same side makes another. What has lapsed holds no thread's reservation up. Where
    offers are kept, a thread's own count against it too: haggling on can lose nothing. (I. Rahwan, R. Kowalczyk,
    H. Pham: Intelligent agents for automated one-to-many e-commerce negotiation, 2002: "optimised patient".)
    """

    def __init__(self, *, kept: bool = False) -> None:
        self.kept = kept
        self._threads: dict[str, Thread] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._threads

    def open(self, name: str, negotiator: Negotiator) -> None:
        """Add a thread; raises ValueError if there is one of that name."""
        if name in self._threads:
            raise ValueError(f"there is a thread {name} already")
        self._threads[name] = Thread(negotiator)

    def close(self, name: str) -> None:
        """Forget a thread and all that stands in it."""
        self._threads.pop(name, None)
        self._wake()

    def observe(self, name: str, offer: Outcome | None) -> None:
        """Take in what the other side of a thread said; raises KeyError for a thread that is not open."""
        thread = self._threads[name]
        thread.negotiator.observe(offer)
        if offer is None:
            return
        if not self.kept:
            thread.standing.clear()
        thread.standing[offer] = Standing(name, offer, thread.negotiator.worth(offer))
        thread.resting = False

    def proposed(self, name: str, outcome: Outcome) -> None:
        """Take in that we said this in a thread; raises KeyError for a thread that is not open."""
        self._threads[name].negotiator.proposed(outcome)

    def lapse(self, name: str, offer: Outcome | None = None) -> None:
        """Take in that an offer, or all in a thread, can no longer be taken."""
        thread = self._threads.get(name)
        if thread is None:
            return
        for gone in [offer] if offer is not None else list(thread.standing):
            thread.standing.pop(gone, None)
            thread.negotiator.lapsed(gone)
        self._wake()

    def best(self) -> Standing | None:
        """Return the best offer that stands, if it beats its thread's reservation."""
        return self._best(self._threads)

    def fallback(self, name: str) -> Standing | None:
        """Return what can be had if this thread comes to nothing."""
        return self._best(one for one in self._threads if self.kept or one != name)

    def decide(self, name: str, share: float) -> Move | Wait:
        """Return what to do in a thread when this share of the time is used; raises KeyError if it is not open.

        It is never Accept while another thread may still bring better: `closing` says when, and which.
        """
        thread = self._threads[name]
        elsewhere = self.fallback(name)
        move = thread.negotiator.decide(share, elsewhere.worth if elsewhere else None)
        thread.resting = isinstance(move, Accept | End)
        if isinstance(move, Accept):
            taken = self.closing(share)
            return move if taken and taken.thread == name else Wait()
        return move

    def closing(self, share: float) -> Standing | None:
        """Return the offer to take now: the best, once the time is used or no thread, last asked, had more to say."""
        if share < 1 and not all(thread.resting for thread in self._threads.values()):
            return None
        return self.best()

    def _wake(self) -> None:
        # What was not worth saying beside an offer elsewhere may be so without it.
        for thread in self._threads.values():
            thread.resting = False

    def _best(self, names: Iterable[str]) -> Standing | None:
        threads = [self._threads[name] for name in names]
        able = [one for thread in threads for one in thread.standing.values() if one.worth > thread.negotiator.reserve]
        return max(able, key=lambda one: one.worth, default=None)
