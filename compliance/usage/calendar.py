"""Hours and days as a tenant's clock counts them.

Sums are kept by the hour (UTC). Where a clock is half an hour off, an hour belongs to the day in which it begins; a day
on which clocks change has 23 or 25 hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from compliance.usage.reader import HOUR, Period, Point, Sums, Whose, hourly

Step = Literal["hour", "day"]
_DAY: Final = timedelta(days=1)


def series(whose: Whose, period: Period, step: Step, zone: ZoneInfo) -> list[Point]:
    """A point for every hour or day that the period touches, those without a turn too. The first may begin before."""
    found: dict[int, Sums] = dict.fromkeys(starts(period, step, zone), Sums())
    for hour, sums in hourly(whose, period).items():
        start = hour * HOUR if step == "hour" else int(midnight(hour * HOUR, zone).timestamp())
        found[start] = found.get(start, Sums()) + sums
    return [Point(start, found[start]) for start in sorted(found)]


def midnight(at: float, zone: ZoneInfo, days: int = 0) -> datetime:
    """The beginning of the day there, `days` later."""
    day = datetime.fromtimestamp(at, zone).date() + timedelta(days=days)
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def starts(period: Period, step: Step, zone: ZoneInfo) -> list[int]:
    """When every hour or day that the period touches begins, in Unix seconds."""
    if step == "hour":
        return [hour * HOUR for hour in range(period.first, period.end)]
    found: list[int] = []
    day = midnight(period.first * HOUR, zone)
    while day.astimezone(UTC).timestamp() < period.end * HOUR:
        found.append(int(day.timestamp()))
        day += _DAY  # a day on the calendar, however long it is
    return found
