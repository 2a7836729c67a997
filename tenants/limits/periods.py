"""The calendar days and months that budgets are for, in their owner's time zone."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

HOUR: Final = 3600


class Period(msgspec.Struct, frozen=True):
    """A day (`2026-11-30`) or month (`2026-11`) that begins and ends at these Unix seconds."""

    kind: str
    label: str
    begins: float
    ends: float

    @property
    def since(self) -> float:
        """The start of the hour it begins in: use is recorded by the hour, and not every zone's midnight is one."""
        return self.begins // HOUR * HOUR


class Calendar:
    """Today and this month by the time zone's name; one that is not known is UTC."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._known: dict[str, tuple[Period, Period]] = {}

    def now(self, zone: str) -> tuple[Period, Period]:
        """The day and the month."""
        now = self._clock()
        known = self._known.get(zone)
        if known is None or not known[0].begins <= now < known[0].ends:
            known = self._known[zone] = _periods(_zone(zone), now)
        return known

    def time(self) -> float:
        return self._clock()


@lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _periods(zone: tzinfo, now: float) -> tuple[Period, Period]:
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    first = today.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    tomorrow = today + timedelta(days=1)  # by the wall clock: a day may have 23 or 25 hours
    return (
        Period("day", f"{today:%Y-%m-%d}", today.timestamp(), tomorrow.timestamp()),
        Period("month", f"{first:%Y-%m}", first.timestamp(), following.timestamp()),
    )
