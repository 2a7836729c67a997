"""Places that tenants share: calls at a time of a model instance, turns at a time of a worker.

As long as there is room, a place costs a count. Who finds none waits in a line (`engine.fairness`), and a place that is
given back goes at once to the next in it. Where several tenants have used the places of late, the last few are kept for
those that have less than their share: a place is never taken away from a turn, so the first turn of a quiet tenant
would otherwise wait until one of a busy tenant's ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

import msgspec

from engine.fairness import DeficitRoundRobin

LATELY: Final = 60.0  # seconds that a tenant counts as one of those who share, unless told
LOOK: Final = 1.0  # seconds between two looks at who that is
RESERVED: Final = 8  # one place of so many is kept for tenants below their share,
SMALLEST: Final = 4  # where there are so many at least
MEMORY: Final = 0.05  # how much the last call counts in what is known of how long places are held


class Ticket:
    """Somebody who waits for a place of any of `lines`. `place` is where one was promised, once `future` is done;
    `made_way`: it had to leave the line for somebody of a shorter one."""

    __slots__ = ("cost", "future", "lines", "made_way", "owner", "place")

    def __init__(self, owner: int, cost: float, lines: Sequence[Places], loop: asyncio.AbstractEventLoop) -> None:
        self.owner = owner
        self.cost = cost
        self.lines = lines
        self.made_way = False
        self.place: Places | None = None
        self.future: asyncio.Future[None] = loop.create_future()

    def leave(self, served: Places | None = None) -> None:
        """Stands in no line any more. `served`: in that one it stood first, and does not stand now. Each of the others
        is searched for it."""
        for line in self.lines:
            if line is not served:
                line.line.remove(self.owner, self)


class Standing(msgspec.Struct, frozen=True):
    """How places are used: by tenants' ids. `limit` None: any number."""

    limit: int | None
    running: int
    held: dict[int, int]
    waiting: dict[int, int]


class Places:
    """`limit` at a time. Owners are tenants' ids. `running` says how many are in use where somebody else counts that;
    `alone`: one tenant's own, nothing is kept for others."""

    __slots__ = (
        "_alone", "_cost", "_held", "_lately", "_looked", "_monotonic", "_recent", "_running", "_seconds", "_seen",
        "_used", "_weights", "limit", "line", "promised",
    )  # fmt: skip

    def __init__(
        self,
        limit: float,
        *,
        alone: bool = False,
        running: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        lately: float = LATELY,
    ) -> None:
        self.limit = limit
        self.promised = 0  # to those who waited and have not woken yet
        self.line: DeficitRoundRobin[Ticket] = DeficitRoundRobin()
        self._alone = alone
        self._running = running
        self._used = 0
        self._held: dict[int, int] = {}
        self._recent: dict[int, tuple[float, float]] = {}  # who used them of late: when last, and with which weight
        self._seen: dict[int, float] = {}  # since the last look, with their weights
        self._weights = 0.0
        self._looked = 0.0
        self._monotonic = monotonic
        self._lately = lately
        self._seconds = self._cost = 0.0  # of the usual call

    @property
    def running(self) -> int:
        return self._used if self._running is None else self._running()

    @property
    def shared(self) -> bool:
        """Whether several tenants have used them of late."""
        return len(self._recent) > 1

    def may(self, owner: int) -> bool:
        """Whether this tenant may take one now. Whoever waits already goes first."""
        free = self.limit - self.promised - (self._used if self._running is None else self._running())
        if free <= 0:
            return False
        if free > 1 and free * RESERVED > self.limit:  # more than are ever kept
            return True
        return free > self.reserved or self._held.get(owner, 0) < self._share(owner)

    @property
    def reserved(self) -> int:
        if self._alone or len(self._recent) < 2 or not SMALLEST <= self.limit < inf:
            return 0
        return max(1, int(self.limit) // RESERVED)

    def take(self, owner: int, weight: float = 1.0) -> None:
        """Whoever takes one gives it back by `leave`. Nobody is asked whether there is room."""
        self._used += 1
        held = self._held
        held[owner] = held.get(owner, 0) + 1
        self._note(owner, weight)

    def leave(self, owner: int, cost: float = 0.0, seconds: float = 0.0) -> None:
        """A place comes back. `cost` 0: nothing is learnt from how long it was held."""
        self._used -= 1
        self._let_go(owner)
        if cost > 0:
            self._learn(cost, seconds)
        if self.line.size:
            self.freed()

    def freed(self) -> None:
        """There may be room: those whose turn it is are promised a place each, and woken."""
        while self.line.size:
            free = self.limit - self.promised - self.running
            if free <= 0:
                return
            ticket = self.line.pop(None if free > self.reserved else self._below_share)
            if ticket is None:
                return
            ticket.leave(served=self)
            ticket.place = self
            self.promised += 1
            self._held[ticket.owner] = self._held.get(ticket.owner, 0) + 1
            ticket.future.set_result(None)

    def claim(self, owner: int) -> None:
        """Who was promised a place takes it now, in this very step, or calls `freed` after all."""
        self.promised -= 1
        self._let_go(owner)

    def queue(self, ticket: Ticket, weight: float) -> None:
        self._note(ticket.owner, weight)
        self.line.push(ticket.owner, weight, ticket.cost, ticket)

    def estimate(self, owner: int, weight: float, cost: float) -> float:
        """Seconds until a turn that joined the line now would have a place, as calls went so far; 0 where none has
        ended yet."""
        if not self._cost or self.limit <= 0:
            return 0.0
        return self.line.ahead(owner, weight, cost) * (self._seconds / self._cost) / self.limit

    def standing(self) -> Standing:
        limit = None if self.limit == inf else int(self.limit)
        return Standing(limit, self.running, self._held.copy(), self.line.lengths())

    def _share(self, owner: int) -> float:
        recent = self._recent.get(owner)
        weight = recent[1] if recent is not None else 1.0
        total = self._weights + (0.0 if recent is not None else weight)
        return max(1.0, self.limit * weight / total)

    def _below_share(self, owner: int) -> bool:
        return self._held.get(owner, 0) < self._share(owner)

    def _let_go(self, owner: int) -> None:
        held = self._held.get(owner, 0) - 1
        if held > 0:
            self._held[owner] = held
        else:
            self._held.pop(owner, None)

    def _note(self, owner: int, weight: float) -> None:
        now = self._monotonic()
        self._seen[owner] = weight
        if now - self._looked >= LOOK or owner not in self._recent:
            self._look(now)

    def _look(self, now: float) -> None:
        self._looked = now
        recent = {
            tenant: seen
            for tenant, seen in self._recent.items()
            if now - seen[0] < self._lately or tenant in self._held or self.line.waiting(tenant)
        }
        recent.update((tenant, (now, weight)) for tenant, weight in self._seen.items())
        self._seen.clear()
        self._recent = recent
        self._weights = sum(weight for _, weight in recent.values())

    def _learn(self, cost: float, seconds: float) -> None:
        if not self._cost:
            self._cost, self._seconds = cost, seconds
            return
        self._cost += MEMORY * (cost - self._cost)
        self._seconds += MEMORY * (seconds - self._seconds)
