"""Money that calls of one scope may cost without asking: a portion of its budgets that this worker has set aside."""

from __future__ import annotations

import asyncio
from typing import Final

from tenants.limits.money import Purse, hold
from tenants.limits.portions import AHEAD
from tenants.limits.scripts import LEND_MONEY
from tenants.limits.slots import failed, log_failure
from tenants.limits.subjects import Scope
from tenants.resp import Reply

LEAST: Final = 1000  # millionths


class Cash:
    """To the store it is one reservation: what calls take of it goes back as they are charged, the rest when the
    portion is over. It is good for nothing in another day or another life of the server."""

    __slots__ = ("_era", "_hold", "_periods", "_purse", "_scope", "_wanted", "low", "rest", "until", "used")

    def __init__(self, purse: Purse, scope: Scope) -> None:
        self._purse = purse
        self._scope = scope
        self._hold = ""
        self._era = ""
        self._periods: object = None
        self._wanted = False
        self.rest = 0
        self.low = 0
        self.until = 0.0
        self.used = 0  # since more was asked for

    def ready(self, amount: int, now: float) -> bool:
        purse, scope = self._purse, self._scope
        return (
            self.rest >= amount
            and now < self.until
            and purse.periods(scope) is self._periods
            and purse.rebuilder.era(scope) == self._era
        )

    def take(self, amount: int) -> tuple[str, int]:
        """What of it, as `Purse.charge` wants to hear it."""
        self.rest -= amount
        self.used += amount
        return self._hold, amount

    def ask(self, stretches: float, until: float) -> None:
        """For a new portion."""
        purse, scope = self._purse, self._scope
        used, self.used, self._wanted = self.used, 0, True
        wanted = max(LEAST, int(used * stretches * AHEAD))
        periods, era, generation = purse.periods(scope), purse.rebuilder.era(scope), purse.generation
        answer = purse.store.run(LEND_MONEY, [*purse.keys(scope), scope.marks], era, generation, wanted, *scope.money)

        def answered(done: asyncio.Future[Reply]) -> None:
            self.surrender()
            if failed(done):
                log_failure(done)
            elif (granted := int(done.result()[0])) > 0:
                self._hold, self._era, self._periods = hold(done.result()[1], generation), era, periods
                self.rest, self.low, self.until = granted, granted // 4, until
                if not self._wanted:
                    self.surrender()

        answer.add_done_callback(answered)

    def drop(self) -> None:
        """Gives all back, with what may be on its way."""
        self._wanted = False
        self.surrender()

    def surrender(self) -> None:
        rest, self.rest, self.until = self.rest, 0, 0.0
        if rest:
            self._purse.charge(self._scope, 0, [(self._hold, rest)])
