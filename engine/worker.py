"""What a worker's turns share: memory for so many at a time, and one processor.

A turn holds one of `turns` from its beginning to its end. Until its model is called it also holds one of `preparing`:
that is where most of its processor time goes. How many may prepare at once follows from the event loop, whose round
grows with every turn that wants the processor: while a round is short there may be more of them, and fewer when it is
long and several tenants share the worker (additive increase, multiplicative decrease: D.-M. Chiu and R. Jain, "Analysis
of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989). So what a busy tenant
sends at once waits in its own line and not in the event loop, which knows no tenants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from engine.estimating import answer_tokens, messages_tokens
from engine.places import Places
from engine.queueing import Queue
from engine.turn import Turn

MAX_TURNS: Final = 2000
MOST: Final = 64  # turns prepared at once
LEAST: Final = 2
CONTENDED: Final = 2.0  # seconds after its last turn that a tenant counts as one of several who want the processor
ROUND: Final = 0.002  # seconds that a round of the event loop may take
BACK: Final = 0.8  # what is left of the limit after a round that took longer
PROBE: Final = 0.005  # seconds between two looks at the loop while somebody waits


class Pace:
    """Adapts `places.limit` to the event loop, and gives places back when the round is over in which their turns were
    prepared: most are in one go, and then only the round says how many there were. Costs a callback a round in which
    turns begin, nothing while none do."""

    __slots__ = ("_began", "_left", "_looking", "_monotonic", "_places", "_probing")

    def __init__(self, places: Places, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._places = places
        self._monotonic = monotonic
        self._looking = False
        self._probing = False
        self._began = 0.0
        self._left: list[tuple[int, float, float]] = []

    def look(self) -> None:
        """Times the loop's round that is running, unless that is being done."""
        if not self._looking:
            self._looking = True
            self._began = self._monotonic()
            asyncio.get_running_loop().call_soon(self._saw)

    def leave(self, owner: int, cost: float, seconds: float) -> None:
        """A turn is prepared."""
        self._left.append((owner, cost, seconds))
        self.look()

    def _saw(self) -> None:
        self._looking = False
        self.adapt(self._monotonic() - self._began)
        left, self._left = self._left, []
        for each in left:
            self._places.leave(*each)
        if self._places.line.size and not self._probing:
            self._probing = True
            loop = asyncio.get_running_loop()
            loop.call_later(PROBE, self._probe, self._monotonic() + PROBE)

    def _probe(self, due: float) -> None:
        """Somebody may wait although the processor has time: for others who prepare and wait for something else."""
        self._probing = False
        self.adapt(self._monotonic() - due, step=1.0)
        if self._places.line.size:
            self.look()

    def adapt(self, seconds: float, step: float = 0.0) -> None:
        """A round took so long. `step`: what the limit gains where it was short, by default one a limit's worth."""
        places = self._places
        if seconds > ROUND and places.shared:
            places.limit = max(LEAST, places.limit * BACK)
        elif places.limit < MOST:
            places.limit = min(MOST, places.limit + (step or 1 / places.limit))
            places.freed()


class Worker:
    """One an engine. `waiting`, `standing` are for whoever looks at it."""

    def __init__(self, queue: Queue | None = None, *, max_turns: int = MAX_TURNS) -> None:
        self.queue = queue or Queue()
        self.turns = Places(max_turns, monotonic=self.queue.monotonic)
        self.preparing = Places(MOST, monotonic=self.queue.monotonic, lately=CONTENDED)
        self._monotonic = self.queue.monotonic
        self.pace = Pace(self.preparing, self._monotonic)

    async def enter(self, turn: Turn) -> None:
        """Returns when the turn may begin. Raises Overloaded."""
        owner = turn.principal.tenant_id
        weight = self.queue.share(owner)
        turns, preparing = self.turns, self.preparing
        if not turns.may(owner):
            await self._wait(turns, turn)
        turns.take(owner, weight)
        turn.stage = "entered"
        if not preparing.may(owner):
            self.pace.look()
            await self._wait(preparing, turn)
        preparing.take(owner, weight)
        turn.stage = "preparing"
        self.pace.look()

    def prepared(self, turn: Turn) -> None:
        """The turn's model is called now, or it waits for somebody else than the processor. Safe to call twice."""
        if turn.stage == "preparing":
            turn.stage = "entered"
            self.pace.leave(turn.principal.tenant_id, turn.expected, self._monotonic() - turn.entered)

    def leave(self, turn: Turn) -> None:
        """The turn is over, however. Safe to call twice."""
        self.prepared(turn)
        if turn.stage == "entered":
            turn.stage = ""
            self.turns.leave(turn.principal.tenant_id, turn.expected, self._monotonic() - turn.entered)

    async def _wait(self, places: Places, turn: Turn) -> None:
        turn.expected = _cost(turn)
        began = self._monotonic()
        try:
            granted = await self.queue.wait("worker", [places], turn.principal, turn.expected, turn.waited)
            granted.claim(turn.principal.tenant_id)
        finally:
            turn.entered = self._monotonic()
            turn.waited += turn.entered - began


def _cost(turn: Turn) -> float:
    """In tokens, as far as it can be told before anything was done."""
    return max(1, messages_tokens(turn.request.messages) + answer_tokens(turn.request.max_tokens))
