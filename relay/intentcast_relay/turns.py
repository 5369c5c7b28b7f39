"""A queue in which everyone takes turns: a visitor who sends much waits behind himself, not before the others."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """One line for each visitor, served one thing at a time; each line keeps its order."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._size = 0

    def put(self, whose: str, thing: T) -> None:
        """Add to the end of somebody's line."""
        line = self._lines.get(whose)
        if line is None:
            line = self._lines[whose] = deque()
        line.append(thing)
        self._size += 1

    def take(self, most: int) -> list[T]:
        """Remove and return up to `most` things, one of each line in turn."""
        taken: list[T] = []
        while self._lines and len(taken) < most:
            whose, line = next(iter(self._lines.items()))
            taken.append(line.popleft())
            if line:
                self._lines.move_to_end(whose)
            else:
                del self._lines[whose]
        self._size -= len(taken)
        return taken

    def waiting(self, whose: str) -> bool:
        """Say whether somebody has anything in line."""
        return whose in self._lines

    def __len__(self) -> int:
        return self._size
