"""When a failed model call may be tried on another instance."""

from __future__ import annotations

from typing import Final

MAX_TRIES: Final = 4  # instances a turn asks at most; of one pool two, and then its fallbacks
BUDGET: Final = 0.2  # retries a turn, over time and at every moment
RESERVE: Final = 10.0  # retries in hand at first, and the most that quiet times put by
CONCURRENT: Final = 3  # retries at a time that are always allowed
STORE_PAUSES: Final = (0.1, 0.2, 0.4, 0.8, 1.5)  # seconds before a session is written to again, while its answer waits
STORE_LATER: Final = (1.0,) * 120  # and when it has gone out
STORE_PATIENCE: Final = 3.0  # seconds after which the answer waits for no further try


def may_retry(tries: int) -> bool:
    """Whether another instance may be asked after so many, as far as the turn itself goes."""
    return tries < MAX_TRIES


class RetryBudget:
    """Keeps retries from making an outage worse: at most 20 percent of the turns in flight retry, and of all turns.

    The first alone would not do: where calls fail at once hardly any are in flight. It is what Envoy does
    (`retry_budget`), the second what Finagle does (`RetryBudget`). `running`: retries under way."""

    __slots__ = ("_balance", "running")

    def __init__(self) -> None:
        self._balance = RESERVE
        self.running = 0

    def deposit(self) -> None:
        """A turn makes its first call."""
        self._balance = min(RESERVE, self._balance + BUDGET)

    def take(self, in_flight: int) -> bool:
        """Whether one more may retry, with so many turns running; True is given back when that call is over."""
        if self._balance < 1.0 or self.running >= max(CONCURRENT, BUDGET * in_flight):
            return False
        self._balance -= 1.0
        self.running += 1
        return True

    def give_back(self, *, unused: bool = False) -> None:
        """`unused`: no call was made after all."""
        self.running -= 1
        if unused:
            self._balance = min(RESERVE, self._balance + 1.0)
