"""How a model instance is doing, as this process sees it: pure statistics, given the time, no I/O and no clock."""

from __future__ import annotations

from typing import Final

from engine.errors import UpstreamBusy, UpstreamError

SMOOTHING: Final = 0.1  # of the moving averages: about the last twenty calls count
FAILURES: Final = 3  # in a row that start a cool-down
COOL_DOWN: Final = 2.0  # seconds, doubled with every failure more
LONGEST_COOL_DOWN: Final = 30.0
PAUSE: Final = 1.0  # seconds, when the service asks to wait and does not say how long
LONGEST_PAUSE: Final = 60.0


class Health:
    """One instance. Times are seconds of one monotonic clock; `ttft` (seconds to the first token) and `error_rate`
    (0..1) are exponentially weighted moving averages, None before the first call.

    A service that asks to wait is paused and blamed for nothing. A call the caller cancelled, or that the service
    calls wrong, says nothing about the instance."""

    __slots__ = ("_cooling_until", "_paused_until", "calls", "error_rate", "failures_in_a_row", "in_flight", "ttft")

    def __init__(self) -> None:
        self.in_flight = 0
        self.calls = 0
        self.ttft: float | None = None
        self.error_rate: float | None = None
        self.failures_in_a_row = 0
        self._paused_until = 0.0
        self._cooling_until = 0.0

    def begin(self) -> None:
        self.in_flight += 1
        self.calls += 1

    def first_token(self, seconds: float) -> None:
        self.ttft = seconds if self.ttft is None else self.ttft + SMOOTHING * (seconds - self.ttft)

    def end(self, error: BaseException | None, now: float) -> None:
        self.in_flight -= 1
        if isinstance(error, UpstreamBusy):
            wait = PAUSE if error.retry_after is None else min(max(error.retry_after, 0.0), LONGEST_PAUSE)
            self._paused_until = max(self._paused_until, now + wait)
        elif isinstance(error, UpstreamError):
            self._failed(now)
        elif error is None:
            self.failures_in_a_row = 0
            self._cooling_until = 0.0
            self._rate(0.0)

    def paused_for(self, now: float) -> float:
        """Seconds left of the wait its service asked for; 0: none."""
        return max(0.0, self._paused_until - now)

    def is_cooling(self, now: float) -> bool:
        return now < self._cooling_until

    def _failed(self, now: float) -> None:
        self._rate(1.0)
        self.failures_in_a_row += 1
        doublings = self.failures_in_a_row - FAILURES
        if doublings >= 0:
            self._cooling_until = now + min(COOL_DOWN * 2.0 ** min(doublings, 8), LONGEST_COOL_DOWN)

    def _rate(self, outcome: float) -> None:
        self.error_rate = (
            outcome if self.error_rate is None else self.error_rate + SMOOTHING * (outcome - self.error_rate)
        )
