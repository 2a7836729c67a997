"""An event loop whose time is made up: it passes when somebody sleeps or says what his work takes, and never otherwise.

    with simulated() as loop:
        loop.run_until_complete(...)

`loop.spend(0.001)` is a millisecond of work that holds up everybody else, as on one core."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _NoWait(selectors.DefaultSelector):
    """Nothing comes from outside: instead of waiting, time passes."""

    loop: SimulatedLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout > 0:
            self.loop.now += timeout
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        selector = _NoWait()
        selector.loop = self
        self.now = 1000.0
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


@contextmanager
def simulated() -> Iterator[SimulatedLoop]:
    loop = SimulatedLoop()
    try:
        yield loop
    finally:
        loop.close()
