"""How long somebody waits, when that limit moves on all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Final
from weakref import WeakValueDictionary


class Bell:
    """Calls at a time by the loop's clock, for all who wait on one event loop: the loop's own timers take several times
    the memory, with a context each."""

    __slots__ = ("__weakref__", "_context", "_idle", "_loop", "_numbers", "_queue", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._context = Context()
        self._loop = loop
        self._queue: list[Entry] = []
        self._numbers = count()
        self._idle = 0  # entries that nobody waits for any more
        self._timer: asyncio.TimerHandle | None = None

    def at(self, when: float, call: Callable[[], None]) -> Entry:
        entry: Entry = [when, next(self._numbers), call]
        heappush(self._queue, entry)
        if self._queue[0] is entry:
            self._set()
        return entry

    def forget(self, entry: Entry) -> None:
        if entry[2] is None:
            return
        entry[2] = None
        self._idle += 1
        if self._idle > max(SPARE, len(self._queue) // 2):
            self._queue = [each for each in self._queue if each[2] is not None]
            heapify(self._queue)
            self._idle = 0
            self._set()

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._queue:
            self._timer = self._loop.call_at(self._queue[0][0] + GRAIN, self._ring, context=self._context)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._queue and self._queue[0][0] <= now:
            entry = heappop(self._queue)
            call, entry[2] = entry[2], None
            if call is None:
                self._idle -= 1
            else:
                self._loop.call_soon(call, context=self._context)
        self._set()


Entry = list[Any]  # when, a running number, what is called then (None: nothing any more)

SPARE: Final = 64
GRAIN: Final = 0.001  # seconds; uvloop counts in these and may call too early, then again and again until it is time
_bells: WeakValueDictionary[int, Bell] = WeakValueDictionary()  # by the identity of their loops, which they keep


class Patience:
    """The limit of all the waits of one exchange: `late` is called once it passes while somebody waits.

    There is one entry at the bell. A limit that moves on leaves it alone: when it rings too early it is set again, so
    that a stream pays for that every few seconds and not for every piece."""

    __slots__ = ("_at", "_bell", "_entry", "_late", "_loop", "_waiting", "why")

    def __init__(self, loop: asyncio.AbstractEventLoop, late: Callable[[], None]) -> None:
        self._loop = loop
        self._late = late
        self._bell = _bells.get(id(loop)) or _bells.setdefault(id(loop), Bell(loop))
        self._entry: Entry | None = None
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
        entry = self._entry
        if entry is None or entry[0] > self._at:
            if entry is not None:
                self._bell.forget(entry)
            self._entry = self._bell.at(self._at, self._look)

    def end(self) -> None:
        """Nobody waits any more."""
        self._waiting = False

    def over(self) -> None:
        """Nobody will wait again."""
        self._waiting = False
        if self._entry is not None:
            self._bell.forget(self._entry)
            self._entry = None

    def _look(self) -> None:
        if self._entry is not None and self._entry[2] is not None:
            return  # it rang for a wait that is over, and another has begun since
        self._entry = None
        if not self._waiting:
            return
        if self._loop.time() < self._at:
            self.begin()
        else:
            self._waiting = False
            self._late()
