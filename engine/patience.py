"""How long somebody waits, when that limit moves on all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Patience:
    """The limit of all the waits of one exchange: `late` is called once it passes while somebody waits.

    There is one timer. A limit that moves on leaves it alone: when it runs out too early it is set again, so that a
    stream pays for a timer every few seconds and not for every piece."""

    __slots__ = ("_at", "_late", "_loop", "_timer", "_waiting", "why")

    def __init__(self, loop: asyncio.AbstractEventLoop, late: Callable[[], None]) -> None:
        self._loop = loop
        self._late = late
        self._timer: asyncio.TimerHandle | None = None
        self._waiting = False
        self._at = 0.0
        self.why = ""

    def until(self, at: float, why: str) -> None:
        """Moves the limit to `at` by the loop's clock, for the waits to come. `why`: to say then what was late."""
        self._at = at
        self.why = why

    def begin(self) -> None:
        """Somebody waits from now on."""
        self._waiting = True
        timer = self._timer
        if timer is None or timer.when() > self._at:
            if timer is not None:
                timer.cancel()
            self._timer = self._loop.call_at(self._at, self._look)

    def end(self) -> None:
        """Nobody waits any more."""
        self._waiting = False

    def over(self) -> None:
        """Nobody will wait again."""
        self._waiting = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        if self._loop.time() < self._at:
            self.begin()
        else:
            self._waiting = False
            self._late()
