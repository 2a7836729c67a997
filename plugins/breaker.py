"""Leaves a plugin alone that fails again and again: a circuit breaker (M. Nygard, "Release It!", 2007)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

FAILURES: Final = 5  # in a row
PAUSE: Final = 30.0  # seconds

Position = Literal["closed", "open", "half_open"]


class Breaker:
    """One a plugin of a tenant. Whoever is let in by `enter` says what became of it: `succeeded`, `failed`, or neither
    (`left`, since its turn was cancelled). Failures in a row are counted hook by hook: one that is well says nothing of
    the others."""

    __slots__ = ("_failures", "_monotonic", "_opened", "_trial")

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failures: dict[str, int] = {}
        self._opened: float | None = None
        self._trial = False

    @property
    def position(self) -> Position:
        """`half_open`: one hook is tried."""
        if self._opened is None:
            return "closed"
        return "half_open" if self._trial else "open"

    @property
    def retry_in(self) -> float:
        """Seconds until it is tried again; 0: nothing keeps it from being called."""
        return 0.0 if self._opened is None else max(0.0, self._opened + PAUSE - self._monotonic())

    def enter(self) -> bool:
        """Whether the plugin may be called now."""
        if self._opened is None:
            return True
        if self._trial or self._monotonic() < self._opened + PAUSE:
            return False
        self._trial = True
        return True

    def succeeded(self, hook: str) -> None:
        if self._opened is not None and not self._trial:
            return  # it had begun before the others failed
        self._failures.pop(hook, None)
        self._opened = None
        self._trial = False

    def failed(self, hook: str) -> None:
        self._failures[hook] = failures = self._failures.get(hook, 0) + 1
        if self._trial or (self._opened is None and failures >= FAILURES):
            self._opened = self._monotonic()
        self._trial = False

    def left(self) -> None:
        self._trial = False
