"""Value functions: how good one value is to a person, from 0 (worst) to 1 (best).

Their points are fixed by the person, never by what happens to be offered, so that no offer changes the standing of two
others. Each can be turned round: `enough` yields values that reach a score, the least demanding first. DESIGN §6
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


@dataclass(frozen=True, slots=True)
class Linear:
    """Straight from `worst` to `best`, whichever is larger; flat beyond both."""

    worst: Decimal
    best: Decimal

    def of(self, value: Decimal) -> float:
        """Return the score of a value."""
        share = float((value - self.worst) / (self.best - self.worst))
        return min(max(share, 0.0), 1.0)

    def enough(self, score: float, now: Decimal | None) -> Iterator[Decimal]:
        """Yield round values that reach a score."""
        if score <= 1:
            exact = self.worst + Decimal(score) * (self.best - self.worst)
            yield from _round_towards(self.best, exact, abs(self.best - self.worst))


@dataclass(frozen=True, slots=True)
class Step:
    """The score of the last threshold that a value reaches; 0 below the first. Thresholds ascend."""

    steps: tuple[tuple[Decimal, float], ...]

    def of(self, value: Decimal) -> float:
        """Return the score of a value."""
        return next((score for threshold, score in reversed(self.steps) if value >= threshold), 0.0)

    def enough(self, score: float, now: Decimal | None) -> Iterator[Decimal]:
        """Yield thresholds that reach a score."""
        yield from (at for at, one in sorted(self.steps, key=lambda step: step[1]) if one >= score)


@dataclass(frozen=True, slots=True)
class Target:
    """Best at `at`, falling to 0 at a distance of `within` on either side."""

    at: Decimal
    within: Decimal

    def of(self, value: Decimal) -> float:
        """Return the score of a value."""
        return max(0.0, 1.0 - float(abs(value - self.at) / self.within))

    def enough(self, score: float, now: Decimal | None) -> Iterator[Decimal]:
        """Yield round values that reach a score, on the side of the target where `now` is."""
        if score <= 1:
            off = (1 - Decimal(score)) * self.within
            exact = self.at - off if now is not None and now < self.at else self.at + off
            yield from _round_towards(self.at, exact, self.within)


@dataclass(frozen=True, slots=True)
class Table:
    """Scores by name, in lower case; a name that is not listed scores 0. Of several names the scores add up, to 1."""

    scores: Mapping[str, float]

    def of(self, names: Sequence[str]) -> float:
        """Return the score of what is stated, each name in lower case and counted once."""
        return min(1.0, sum(self.scores.get(name, 0.0) for name in dict.fromkeys(names)))

    def enough(self, score: float) -> Iterator[str]:
        """Yield names that reach a score alone."""
        yield from (name for name, one in sorted(self.scores.items(), key=lambda pair: pair[1]) if one >= score)


Function = Linear | Step | Target | Table


def lower(text: str) -> str:
    """Return text in ASCII lower case, as constraints compare it. PROTOCOL §6.3"""
    return "".join(chr(ord(char) | 0x20) if "A" <= char <= "Z" else char for char in text)


def _round_towards(goal: Decimal, exact: Decimal, span: Decimal) -> Iterator[Decimal]:
    """Yield a value no finer than a span needs, whole where that is fine enough, and the next one nearer the goal."""
    grain = Decimal(1).scaleb(min(0, span.adjusted() - 3) if span < 10 else max(0, span.adjusted() - 4))
    up = goal > exact
    first = (exact / grain).quantize(Decimal(1), ROUND_CEILING if up else ROUND_FLOOR) * grain
    for value in (first, first + grain if up else first - grain):
        yield min(value, goal) if up else max(value, goal)
