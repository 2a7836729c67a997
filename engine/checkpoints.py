"""What a running stream has been sent so far goes into the journal every 2 s or 4 KiB, so that a crash does not take it
along. Nobody waits for these entries, and a turn does well without them."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Final

from engine.entries import Partial
from engine.ports import Journal
from engine.turn import Turn

SIZE: Final = 4096  # bytes of text since the last entry
TICK: Final = 0.5  # seconds between two looks at the streams
AGE: Final = 2.0 - TICK  # seconds after which unrecorded text is written at the next look: within 2 s


class Unwatched:
    """An answer that leaves in one piece: nothing of it is recorded before its end."""

    full: float = math.inf

    def take(self) -> None: ...

    def look(self, now: float) -> None: ...


class Watched(Unwatched):
    """A stream. Whoever sends text compares `turn.fold.size` with `full` and calls `take`; the clock calls `look`."""

    def __init__(self, turn: Turn, journal: Journal) -> None:
        self.full = SIZE
        self._turn = turn
        self._journal = journal
        self._since = time.monotonic()  # when what is not recorded began
        self._number = 0

    def take(self) -> None:
        """Hands over what was sent since the last time."""
        turn = self._turn
        deltas = turn.fold.increments()
        self.full = turn.fold.size + SIZE
        self._since = time.monotonic()
        if not deltas:
            return
        self._number += 1
        self._journal.partial(
            Partial(
                turn_id=turn.id,
                tenant_id=turn.principal.tenant_id,
                at=time.time(),
                number=self._number,
                user=turn.principal.user,
                session_id=turn.session_id,
                deltas=deltas,
            )
        )

    def look(self, now: float) -> None:
        if self._turn.fold.size + SIZE == self.full:
            self._since = now  # all is recorded
        elif now - self._since >= AGE:
            self.take()


UNWATCHED: Final = Unwatched()


class Checkpoints:
    """One an engine: the streams that run, from their start to their end."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._watched: dict[Unwatched, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, turn: Turn) -> Unwatched:
        if not turn.request.stream or turn.needs_full_response:
            return UNWATCHED
        watched = Watched(turn, self._journal)
        self._watched[watched] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._look)
        return watched

    def forget(self, watched: Unwatched) -> None:
        self._watched.pop(watched, None)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        for watched in self._watched.copy():
            watched.look(now)
        if self._watched:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._look)
