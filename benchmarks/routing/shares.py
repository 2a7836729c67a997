"""Who got the traffic: from calls in the order of their time to how fast a policy leaves an instance and comes back."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

GONE: Final = 0.25  # of its equal part: so much less and the traffic has left, over half a second
BACK: Final = 0.7  # of it: so much and the traffic is back, over a second
STEP: Final = 0.25  # seconds


class Shares:
    """`calls` are (seconds, instance), `parts` the number of instances. Shares are multiples of an equal part."""

    def __init__(self, calls: Sequence[tuple[float, int]], parts: int) -> None:
        self._calls = calls
        self._parts = parts

    def share(self, instance: int, begin: float, end: float) -> float | None:
        """None: nobody was called in that time."""
        first, last = (bisect_left(self._calls, (when, -1)) for when in (begin, end))
        if first == last:
            return None
        return self._parts * sum(who == instance for _, who in self._calls[first:last]) / (last - first)

    def curve(self, instance: int, length: float, width: float = 0.5) -> list[float]:
        """Its share by pieces of so many seconds."""
        return [self.share(instance, n * width, (n + 1) * width) or 0.0 for n in range(round(length / width))]

    def left_within(self, instance: int, begin: float, end: float) -> float | None:
        """Seconds from `begin` until it is left alone; None: not before `end`."""
        for step in range(int((end - begin - 0.5) / STEP) + 1):
            since = begin + step * STEP
            share = self.share(instance, since, since + 0.5)
            if share is not None and share < GONE:
                return step * STEP
        return None

    def back_within(self, instance: int, begin: float, end: float) -> float | None:
        """Seconds from `begin` until it has its part again; None: not before `end`."""
        for step in range(int((end - begin - 1.0) / STEP) + 1):
            since = begin + step * STEP
            if (self.share(instance, since, since + 1.0) or 0.0) >= BACK:
                return step * STEP
        return None
