"""Register check: can what many clients saw of one key have happened in one order?

Each value is written once, so what a value's write and reads took is a zone, and the zones of all
values decide, in O(n log n) (Gibbons and Korach, Testing Shared Memories, 1997): zones whose value
must have been there from one moment to another do not overlap, and none has within it the zone of
a value that came and went meanwhile.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import pairwise
from typing import Generic, TypeVar

V = TypeVar("V")

Zone = tuple[float, float, str]


class _Value:
    """When the write of a value began, the first operation on it ended, and the last one began."""

    __slots__ = ("began", "first_end", "last_begin", "read")

    def __init__(self, began: float) -> None:
        self.began = self.last_begin = began
        self.first_end = math.inf
        self.read = False


class History(Generic[V]):
    """Operations on one key, by many clients at once. Times are turns, of which each is new."""

    def __init__(self, initial: V) -> None:
        """:param initial: what is there before the first write."""
        self._turn = 0.0
        self._values: dict[V, _Value] = {initial: _Value(-2)}
        self._values[initial].first_end = -1

    def turn(self) -> float:
        """Take it as an operation begins."""
        self._turn += 1
        return self._turn

    def writing(self, value: V) -> None:
        """A write begins. It may end by `wrote`, by `refused`, or never: then nobody knows."""
        assert value not in self._values, "each value is written once"
        self._values[value] = _Value(self.turn())

    def wrote(self, value: V) -> None:
        """It was acknowledged."""
        known = self._values[value]
        known.first_end = min(known.first_end, self.turn())

    def refused(self, value: V) -> None:
        """It is certain that it was not done. :raises AssertionError: somebody has read it."""
        assert not self._values.pop(value).read, f"{_shown(value)} was refused, and is there"

    def read(self, value: V, began: float) -> None:
        """Somebody has read a value. :raises AssertionError: nobody wrote it."""
        known = self._values.get(value)
        assert known is not None, f"{_shown(value)} was read, and nobody wrote it"
        known.read = True
        known.first_end = min(known.first_end, self.turn())
        known.last_begin = max(known.last_begin, began)

    def check(self) -> None:
        """:raises AssertionError: no order explains all that was acknowledged and read."""
        lasting: list[Zone] = []
        passing: list[Zone] = []
        for value, known in self._values.items():
            if known.first_end < known.last_begin:
                lasting.append((known.first_end, known.last_begin, _shown(value)))
            elif known.first_end < math.inf:  # else nobody knows of it
                passing.append((known.last_begin, known.first_end, _shown(value)))
        lasting.sort()
        for before, after in pairwise(lasting):
            assert before[1] < after[0], f"{before[2]} was read after {after[2]} was there"
        begins = [zone[0] for zone in lasting]
        for begin, end, name in passing:
            at = bisect_left(begins, begin) - 1
            if at >= 0:
                assert lasting[at][1] < end, f"{lasting[at][2]} was there before and after {name}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:30]}..."
