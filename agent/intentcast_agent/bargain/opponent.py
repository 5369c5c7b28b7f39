"""What the other side seems to want, and the least it has asked for, learnt from its offers alone."""

import math
from collections.abc import Sequence
from typing import Protocol, TypeGuard

Value = str | int | float | bool | None
Outcome = tuple[Value, ...]

# A curve of concession: SIZE * s ** SHAPE of the whole range of its worth is given up when the share s is used.
CURVES = [(size, shape) for size in (0.1, 0.4, 0.7) for shape in (0.3, 1.0, 3.0)]
STRAY = 0.05  # how far an offer's worth to it strays from the curve
LEANING = 0.35  # how far its weights stray from what we take them for
TASTE = 0.25  # how far what it thinks of one value strays, in parts of the issue's weight
DISLIKE = 0.6  # what it loses by a value that it did not open with, where nothing else is known
BEYOND = 1.5  # no number counts as further off than this many times our range
FAR = 1e300  # nothing from here on is taken for a number
MANY = 50  # values of an issue beyond which they are told apart no more than as the opening one and the others


def numeric(value: Value) -> TypeGuard[int | float]:
    """Tell whether a value is a number, so that nearness to another means something."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < FAR


class Issue(Protocol):
    """One issue: what a value other than the opening one is expected to cost, as a share of the issue's weight."""

    costs: list[float]
    taste: float

    def part(self, value: Value) -> tuple[int, float] | None:
        """Return which of the costs a value stands for and how many times, or None for none."""


class Scale:
    """Numbers: the cost grows evenly from the opening offer towards the end of our range that is further off."""

    taste = 0.0

    def __init__(self, worths: dict[Value, float], opening: float) -> None:
        low, high = (pick(filter(numeric, worths)) for pick in (min, max))
        self._start = min(max(opening, low), high)
        room = high - self._start if high - self._start >= self._start - low else low - self._start
        self._room = room or 1.0
        self.costs = [1.0] if room else []

    def part(self, value: Value) -> tuple[int, float] | None:
        """Return the distance in ranges."""
        if not self.costs or not numeric(value):
            return None
        return 0, max(-BEYOND, min(BEYOND, (value - self._start) / self._room))


class Names:
    """Anything else: a cost for each value of its own.

    If it opened with what is worst for us, it most likely wants the opposite of what we want; if not, it does not.
    """

    taste = TASTE

    def __init__(self, worths: dict[Value, float], opening: Value) -> None:
        worst, best = min(worths.values()), max(worths.values())
        number = len(worths)
        opposed = number / (number + 1) if best > worst and worths.get(opening) == worst else 0.0
        others = [value for value in worths if value != opening]
        if number > MANY:
            self._places = dict.fromkeys(others, 0)
            self.costs = [DISLIKE]
            return
        self._places = {value: place for place, value in enumerate(others)}
        span = best - worst or 1.0
        self.costs = [opposed * (worths[one] - worst) / span + (1 - opposed) * DISLIKE for one in others]

    def part(self, value: Value) -> tuple[int, float] | None:
        """Return the value's own cost."""
        place = self._places.get(value)
        return None if place is None else (place, 1.0)


class Opponent:
    """A Gaussian estimate of what each value costs the other side, under several curves of concession at once.

    Its first offer is taken for its ideal, 1, and each later one for a sum of costs that amounts to what the curve says
    it has conceded; the curves that foretell its offers best count most. Hearing costs the square of the number of
    values of all issues. (After K. Hindriks, D. Tykhonov: Opponent modelling in automated multi-issue negotiation
    using Bayesian learning, 2008, with Gaussian costs in place of their table of hypotheses.)
    """

    def __init__(self, outcomes: Sequence[Outcome], worths: Sequence[float]) -> None:
        self._worths = marginals(outcomes, worths)
        spans = [max(worths.values()) - min(worths.values()) for worths in self._worths]
        total = sum(spans) or 1.0
        # What matters to us probably matters to them.
        self._weights = [(span / total + 1 / len(spans)) / 2 for span in spans]
        self._heard: list[list[tuple[int, float]]] = []
        self._issues: list[Issue] = []
        self._starts: list[int] = []
        self._spread: list[list[float]] = []
        self._means: list[list[float]] = []
        self._scores = [0.0] * len(CURVES)
        self._odds = [1 / len(CURVES)] * len(CURVES)
        self._costs: list[float] = []
        self._listed: list[dict[Value, float]] = [dict.fromkeys(worths, 0.0) for worths in self._worths]
        self._opened = 0.0
        self.offers = 0

    def hear(self, offer: Outcome, progress: float) -> None:
        """Learn from an offer made when this share, 0 to 1, was used; one with more or fewer issues is ignored."""
        if len(offer) != len(self._worths):
            return
        self.offers += 1
        if self.offers == 1:
            self._open(offer, progress)
        parts = self._parts(offer)
        self._heard.append(parts)
        if parts and self.offers > 1:
            self._learn(parts, progress)

    def liking(self, outcome: Outcome) -> float:
        """Return what an outcome is worth to it, its first offer being 1."""
        try:
            return 1.0 - sum(map(dict.__getitem__, self._listed, outcome))
        except KeyError:  # not on our list
            return self._value(self._parts(outcome))

    @property
    def asked(self) -> float:
        """Return the least worth to it that it has asked for, 1 before it said anything."""
        return min(map(self._value, self._heard), default=1.0)

    def _value(self, parts: list[tuple[int, float]]) -> float:
        return 1.0 - sum(self._costs[place] * times for place, times in parts)

    def _open(self, first: Outcome, progress: float) -> None:
        self._opened = progress
        for worths, value in zip(self._worths, first, strict=True):
            scale = numeric(value) and all(map(numeric, worths))
            self._issues.append(Scale(worths, float(value)) if scale else Names(worths, value))  # type: ignore[arg-type]
        entries: list[tuple[int, float, float]] = []
        for number, issue in enumerate(self._issues):
            self._starts.append(len(entries))
            entries += [(number, cost, issue.taste) for cost in issue.costs]
        weights = self._weights
        self._costs = [weights[number] * cost for number, cost, _ in entries]
        self._means = [list(self._costs) for _ in CURVES]
        for row, (one, cost, taste) in enumerate(entries):
            line = [
                LEANING**2 * cost * other * weights[one] * ((one == two) - weights[two]) for two, other, _ in entries
            ]
            line[row] += (taste * weights[one]) ** 2
            self._spread.append(line)
        self._list()

    def _parts(self, outcome: Outcome) -> list[tuple[int, float]]:
        parts = []
        for start, issue, value in zip(self._starts, self._issues, outcome, strict=False):
            part = issue.part(value)
            if part is not None:
                parts.append((start + part[0], part[1]))
        return parts

    def _learn(self, parts: list[tuple[int, float]], progress: float) -> None:
        shifts = [sum(row[place] * times for place, times in parts) for row in self._spread]
        doubt = sum(shifts[place] * times for place, times in parts) + STRAY**2
        for number, (size, shape) in enumerate(CURVES):
            mean = self._means[number]
            conceded = size * (progress**shape - self._opened**shape)
            error = conceded - sum(mean[place] * times for place, times in parts)
            self._scores[number] -= error * error / doubt / 2
            self._means[number] = [cost + shift * error / doubt for cost, shift in zip(mean, shifts, strict=True)]
        for row, shift in zip(self._spread, shifts, strict=True):
            for column, other in enumerate(shifts):
                row[column] -= shift * other / doubt
        likeliest = max(self._scores)
        odds = [math.exp(score - likeliest) for score in self._scores]
        self._odds = [one / sum(odds) for one in odds]
        blend = (sum(map(float.__mul__, self._odds, column)) for column in zip(*self._means, strict=True))
        self._costs = [max(0.0, cost) for cost in blend]
        self._list()

    def _list(self) -> None:
        self._listed = [
            {value: self._costs[start + part[0]] * part[1] if (part := issue.part(value)) else 0.0 for value in worths}
            for start, issue, worths in zip(self._starts, self._issues, self._worths, strict=True)
        ]


def marginals(outcomes: Sequence[Outcome], worths: Sequence[float]) -> list[dict[Value, float]]:
    """Return what each value of each issue is worth to us, averaged over everything else."""
    found = []
    for column in zip(*outcomes, strict=True):
        sums: dict[Value, float] = {}
        counts: dict[Value, int] = {}
        for value, worth in zip(column, worths, strict=True):
            sums[value] = sums.get(value, 0.0) + worth
            counts[value] = counts.get(value, 0) + 1
        found.append({value: total / counts[value] for value, total in sums.items()})
    return found
