"""What a worker holds of one counter: requests or tokens it may let pass, slots it may hand out, without asking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.types import Window

MOST_SLOTS: Final = 2_000  # asked for at once
LEAST: Final = 8
AHEAD: Final = 2.0  # so many times what the last stretch used is asked for, for one that is as long


class Portion:
    """Requests of a log, or tokens of a bucket. It may be used until `until`. `stamp` is the time its entries bear in
    the log."""

    __slots__ = ("due", "granted", "key", "left", "limit", "low", "rest", "stamp", "until", "used")

    def __init__(self, key: str, limit: int) -> None:
        self.key = key
        self.limit = limit
        self.rest = 0
        self.granted = 0
        self.low = 0  # with less than that left, more is asked for
        self.until = 0.0
        self.stamp: bytes = b""
        self.left = 0  # in the store, when it was lent
        self.due = 0.0  # when the oldest request leaves its minute, or the bucket is full
        self.used = 0  # since more was asked for

    def wanted(self, stretches: float, most: int) -> int:
        """`stretches`: how many times the last time of use fits into the one to come."""
        used, self.used = self.used, 0
        return min(most, max(LEAST, int(used * stretches * AHEAD))) if used else 0

    def swap(self, granted: int, left: int, due: float, until: float) -> int:
        """Takes a new portion; what was left of the old one."""
        over, self.rest, self.granted, self.low = self.rest, granted, granted, granted // 4
        self.left, self.due, self.until = left, due, until
        return over

    def window(self, now: float) -> Window:
        """What other workers hold counts as used."""
        return Window(self.limit, self.left + self.rest, max(0.0, self.due - now))


class Places:
    """Slots of turns at the same time, by numbers. They are handed out again as turns end; the store is told only when
    the worker wants more or fewer. `give_back` frees one there."""

    __slots__ = ("_give_back", "_peak", "_running", "free", "held", "key", "known", "limit", "missed", "until", "used")

    def __init__(self, key: str, limit: int, give_back: Callable[[str, int], None]) -> None:
        self.key = key
        self.limit = limit
        self.free: list[int] = []
        self.held = False
        self.until = 0.0
        self.used = 0  # turns since more was asked for
        self.missed = 0  # of them found none free
        self._running = 0
        self._peak = 0
        self.known: dict[int, None] = {}  # numbers the store was told of, in their order
        self._give_back = give_back

    @property
    def oldest(self) -> int:
        """The store forgets it before all others, in use or not."""
        return next(iter(self.known))

    def take(self) -> int:
        self.used += 1
        self._running += 1
        self._peak = max(self._peak, self._running)
        return self.free.pop()

    def put(self, number: int) -> None:
        """A turn is over."""
        self._running -= 1
        if self.held and number in self.known:
            self.free.append(number)
        else:
            self._return(number)

    def wanted(self) -> int:
        """How many more; where there are many too many, some are given back."""
        aim = int(self._peak * 1.25) + self.missed + LEAST
        over = self._running + len(self.free) - aim
        self._peak, self.used, self.missed = self._running, 0, 0
        if over * 4 > aim:
            for _ in range(min(over, len(self.free))):
                self._return(self.free.pop())
        return min(MOST_SLOTS, max(0, -over))

    def lent(self, first: int, count: int, until: float) -> None:
        numbers = range(first, first + count)
        self.free += numbers
        self.known.update(dict.fromkeys(numbers))
        self.until = until

    def lost(self) -> None:
        """The store has forgotten them."""
        self.surrender()
        self.known.clear()

    def surrender(self) -> None:
        """Gives back what is free."""
        free, self.free = self.free, []
        self.until = 0.0
        for number in free:
            self._return(number)

    def _return(self, number: int) -> None:
        self.known.pop(number, None)
        self._give_back(self.key, number)
