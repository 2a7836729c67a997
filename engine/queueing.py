"""How a turn waits for a place: not longer than it may, not at all where that is foreseeable, and never in the way of
other tenants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, NoReturn, Protocol

import msgspec

from engine.errors import Overloaded
from engine.places import Places, Ticket
from engine.types import Principal

Outcome = Literal["served", "left", "foreseen", "line_full", "too_late"]
"""`served`; `left`: cancelled while it waited; refused: `foreseen` would take too long, `line_full` of its tenant,
`too_late`: it has waited as long as it may."""

Share = Callable[[int], float]  # a tenant's weight

LOOK: Final = 0.25  # seconds between two looks for places nobody told of: a limit was raised
LONGEST: Final = 600.0  # seconds; who is told to come back later than that is told this


class Patience(msgspec.Struct, frozen=True):
    """`seconds` a turn waits at most in all; `line` and `lines` turns at most wait for the same places, of one tenant
    and of all."""

    seconds: float = 10.0
    line: int = 1000
    lines: int = 4000


class WaitMeter(Protocol):
    def waited(self, *, tenant: str, place: str, outcome: Outcome, seconds: float) -> None: ...


class Uncounted:
    def waited(self, *, tenant: str, place: str, outcome: Outcome, seconds: float) -> None:
        pass


def alike(tenant_id: int) -> float:
    return 1.0


class Queue:
    """One an engine. `share` gives a tenant's weight."""

    def __init__(
        self,
        *,
        patience: Patience | None = None,
        share: Share = alike,
        meter: WaitMeter | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.patience = patience or Patience()
        self.share = share
        self.waiting: dict[str, int] = {"worker": 0, "instance": 0}
        self._meter: WaitMeter = meter or Uncounted()
        self.monotonic = monotonic
        self._tickets: dict[Ticket, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def wait(
        self, place: str, lines: Sequence[Places], principal: Principal, cost: float, waited: float = 0.0
    ) -> Places:
        """Where a place was promised: the caller calls its `claim` and, if it does not take the place in the same step,
        `freed`. `waited`: seconds the turn has waited before. Raises Overloaded with the seconds it would take."""
        owner, weight = principal.tenant_id, self.share(principal.tenant_id)
        began, patience = self.monotonic(), self.patience
        left = patience.seconds - waited
        expected = _expected(lines, owner, weight, cost)
        if expected > left:
            self._refuse(principal, place, "foreseen", expected)
        if min(line.line.waiting(owner) for line in lines) >= patience.line or not self._has_room(lines, owner):
            self._refuse(principal, place, "line_full", expected)
        loop = asyncio.get_running_loop()
        ticket = Ticket(owner, cost, lines, loop)
        for line in lines:
            line.queue(ticket, weight)
        for line in lines:
            line.freed()
        timer = loop.call_later(max(left, 0.0), _give_up, ticket)
        self.waiting[place] += 1
        self._tickets[ticket] = None
        self._look_soon(loop)
        outcome: Outcome = "left"
        try:
            await ticket.future
            if ticket.place is None:
                outcome = "line_full" if ticket.made_way else "too_late"
                raise _overloaded(_expected(lines, owner, weight, cost))
            outcome = "served"
            return ticket.place
        finally:
            timer.cancel()
            if ticket.place is None:  # else it left when it was promised one
                ticket.leave()
            del self._tickets[ticket]
            self.waiting[place] -= 1
            if outcome == "left" and ticket.place is not None:  # cancelled in the moment it was promised one
                ticket.place.claim(owner)
                ticket.place.freed()
            seconds = self.monotonic() - began
            self._meter.waited(tenant=principal.tenant, place=place, outcome=outcome, seconds=seconds)

    def _has_room(self, lines: Sequence[Places], owner: int) -> bool:
        """Where too many wait in all, the last of the tenant with the longest line makes way, if that is another."""
        for line in lines:
            if line.line.size < self.patience.lines:
                continue
            lengths = line.line.lengths()
            longest = max(lengths, key=lengths.__getitem__)
            if lengths[longest] <= lengths.get(owner, 0) + 1:
                return False
            last = line.line.newest(longest)
            last.made_way = True
            _give_up(last)
        return True

    def _refuse(self, principal: Principal, place: str, outcome: Outcome, expected: float) -> NoReturn:
        self._meter.waited(tenant=principal.tenant, place=place, outcome=outcome, seconds=0.0)
        raise _overloaded(expected)

    def _look_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None:
            self._timer = loop.call_later(LOOK, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for line in {line for ticket in self._tickets for line in ticket.lines}:
            line.freed()
        if self._tickets:
            self._look_soon(loop)


def _give_up(ticket: Ticket) -> None:
    ticket.leave()
    if not ticket.future.done():
        ticket.future.set_result(None)


def _expected(lines: Sequence[Places], owner: int, weight: float, cost: float) -> float:
    return min(line.estimate(owner, weight, cost) for line in lines)


def _overloaded(expected: float) -> Overloaded:
    return Overloaded(retry_after=min(max(expected, 1.0), LONGEST))
