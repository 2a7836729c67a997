"""Places for connections. A process has so many, and when they run short, who does nothing in one makes way.

Who comes when all are taken is closed without a word: a client that was greeted takes the connection for a good one,
and what is ended at once it opens anew at once, a hundred times a second. One that was not greeted waits longer each
time.

So that places are not all taken by who does nothing, the last of them are kept free: whenever somebody comes to one of
these, as many are told to go, in good order, as are missing. First those who never showed a credential that counts,
whatever they do, then those whose last call is over, each group in the order in which it fell silent. The first have a
few seconds to show one. The others have a minute for their next call, so that a flood of the first, who all came just
now, does not put them out.

The web server has them too: there a credential is a whole request's head, and who comes gets an answer where that is
cheap."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import Final, Protocol

SPARE: Final = 16  # one in so many places is kept free, where there is anybody who would make way
SHOWN_WITHIN: Final = 5.0  # seconds in which a credential is shown,
CALLED_WITHIN: Final = 60.0  # and after a call those until the next, in which nobody has to make way
LOOK_EVERY: Final = 0.1  # seconds between two looks for who would, longer where
LOOKED_AT: Final = 5000  # there may be more than so many
SAY_EVERY: Final = 60.0  # seconds between two lines that say that places run short


class Held(Protocol):
    """A connection. `known`: a credential was shown on it; `going`: its place is free soon, whatever its client does;
    `silent_since`: when it came, or its last call ended; None: it is busy."""

    @property
    def known(self) -> bool: ...

    @property
    def going(self) -> bool: ...

    @property
    def silent_since(self) -> float | None: ...

    def make_way(self) -> None:
        """Leaves in good order and soon."""


class Places:
    """`held`: who is connected. `tell` hears `refused` and `made_way` each time. `clock` gives seconds.
    `called_within`: those from a call to the next. `what` and `log` are for the line that says that they run short."""

    def __init__(
        self,
        most: int,
        held: Collection[Held],
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        called_within: float | None = None,
        what: str,
        log: logging.Logger,
    ) -> None:
        self._called_within = called_within
        self._what = what
        self._log = log
        self._slower = max(1.0, most / LOOKED_AT)
        self._most = most
        self._enough = most - max(1, most // SPARE)
        self._held = held
        self._tell = tell
        self._clock = clock
        self._looked = self._said = -SAY_EVERY
        self._refused = 0

    def take(self) -> bool:
        """Whether there is one for somebody who comes."""
        taken = len(self._held)
        if taken < self._enough:
            return True
        self._make_room()
        if taken < self._most:
            return True
        self._tell("refused")
        self._refused += 1
        self._say()
        return False

    def _make_room(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_EVERY * self._slower:
            return
        self._looked = now
        staying = [each for each in self._held if not each.going]
        missing = len(staying) + 1 - self._enough
        if missing <= 0:
            return
        silent = [(each.known, since, each) for each in staying if (since := each.silent_since) is not None]
        within = CALLED_WITHIN if self._called_within is None else self._called_within
        idle = [each for each in silent if now - each[1] >= (within if each[0] else SHOWN_WITHIN)]
        for _, _, each in sorted(idle, key=_order)[:missing]:
            self._tell("made_way")
            each.make_way()

    def _say(self) -> None:
        """Not more often than somebody can read."""
        now = self._clock()
        if now - self._said >= SAY_EVERY:
            self._said = now
            self._log.warning("all %s %s are taken, new ones refused: %s", self._most, self._what, self._refused)
            self._refused = 0


def _order(each: tuple[bool, float, Held]) -> tuple[bool, float]:
    return each[:2]
