"""A circuit breaker for one model instance: closed, open, half-open. Pure: it is told the time, and does no I/O."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf
from typing import Final, Literal

import msgspec

FAILURES: Final = 3  # in a row that open it
ERROR_RATE: Final = 0.2  # above it, among at least
RATED_CALLS: Final = 10  # recent calls
OPEN: Final = 2.0  # seconds, doubled each time
LONGEST_OPEN: Final = 8.0  # a repaired instance is found within this, whatever happened before
JITTER: Final = 0.2  # of the open time, at most, so that workers do not probe at the same moment
PROBES: Final = 3  # good ones that close it
RAMP: Final = 4.0  # seconds from the closing to the full share
RAMP_START: Final = 0.1  # of the share; also what a half-open instance is given
MEMORY: Final = 15.0  # seconds after a closing in which the next opening goes on doubling

Cause = Literal["down", "erring"]  # failures in a row; too many among the recent calls


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What other workers should know of an instance: its breaker `opened` or `closed`, its service asked for a pause,
    or it `answered`, which had been slow and therefore was hardly asked. It holds for `seconds` from now; `level`
    counts the openings in a row; `ratio` says in how many times the time expected of it it answered."""

    what: Literal["opened", "closed", "paused", "answered"]
    seconds: float = 0.0
    level: int = 0
    cause: Cause = "down"
    ratio: float = 0.0


class Breaker:
    """Half-open lets one probe through at a time; what else ends meanwhile began before and says nothing new.

    A probe is a call, or a check: a question of our own that is no call. A good check does not make up for failed
    calls, only for failed checks: a service may say it is well and yet fail whatever it is asked to do."""

    __slots__ = (
        "_checks", "_good", "_jitter", "cause", "closed_at", "failures", "is_open", "level", "open_until", "probing",
    )  # fmt: skip

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._good = 0
        self._checks = 0  # of the failures in a row
        self.is_open = False  # half-open too
        self.probing = False
        self.open_until = -inf
        self.closed_at = -inf
        self.failures = 0
        self.level = 0
        self.cause: Cause = "down"

    def blocks(self, now: float) -> bool:
        return self.is_open and (self.probing or now < self.open_until)

    def share(self, now: float) -> float:
        """The part of its weight an instance may have, 0.1 to 1."""
        if self.is_open:
            return RAMP_START
        return min(1.0, max(RAMP_START, (now - self.closed_at) / RAMP))

    def begin(self, now: float) -> bool:
        """True: the call that begins is the probe."""
        if not self.is_open or self.blocks(now):
            return False
        self.probing = True
        return True

    def abandon(self) -> None:
        """The probe's end said nothing."""
        self.probing = False

    def succeed(self, probe: bool, now: float) -> Change | None:
        if not self.is_open:
            self.failures = self._checks = 0
        elif probe:
            self.probing = False
            self._good += 1
            if self._good >= PROBES:
                self.close(now)
                return Change("closed")
        return None

    def checked(self, probe: bool, now: float) -> Change | None:
        """A check went well."""
        if self.is_open:
            return self.succeed(probe, now)
        self.failures -= self._checks
        self._checks = 0
        return None

    def check_failed(self, probe: bool, began: float, now: float) -> Change | None:
        change = self.fail(probe, began, now, erring=False)
        if change is None and not self.is_open and began >= self.closed_at:
            self._checks += 1
        return change

    def fail(self, probe: bool, began: float, now: float, *, erring: bool) -> Change | None:
        """`erring`: the recent calls have too many errors. Calls from before the last closing are old news."""
        if self.is_open:
            if not probe:
                return None
            self.probing = False
            return self._trip(self.level + 1, now)
        if began < self.closed_at:
            return None
        self.failures += 1
        if self.failures < FAILURES and not erring:
            return None
        self.cause = "down" if self.failures >= FAILURES else "erring"
        return self._trip(self.level + 1 if now - self.closed_at < MEMORY else 0, now)

    def open(self, change: Change, now: float) -> None:
        """Another worker opened its own."""
        until = now + self._lengthened(change.seconds)
        if not self.is_open or until > self.open_until:
            self.cause = change.cause
            self._open(change.level, until)

    def close(self, now: float) -> None:
        if self.is_open:
            self.is_open = self.probing = False
            self.failures = self._checks = 0
            self.closed_at = now

    def _trip(self, level: int, now: float) -> Change:
        seconds = self._lengthened(min(OPEN * 2.0 ** min(level, 8), LONGEST_OPEN))
        self._open(level, now + seconds)
        return Change("opened", seconds, level, self.cause)

    def _open(self, level: int, until: float) -> None:
        self.is_open, self.open_until, self.level = True, until, level
        self._good = 0

    def _lengthened(self, seconds: float) -> float:
        return seconds * (1.0 + JITTER * self._jitter())
