"""What became of turns over time, by the clock of a tenant."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from compliance.analysis.reader import States, by_hour
from compliance.usage.calendar import Step, midnight, starts
from compliance.usage.reader import HOUR, Period


def points(tenant_id: int | None, period: Period, step: Step, zone: ZoneInfo) -> list[tuple[int, States]]:
    """Every hour or day that the period touches, those without a turn too: when it begins, in Unix seconds. The first
    may begin before."""
    found = dict.fromkeys(starts(period, step, zone), States())
    for hour, states in by_hour(tenant_id, period).items():
        start = hour * HOUR if step == "hour" else int(midnight(hour * HOUR, zone).timestamp())
        found[start] = found.get(start, States()) + states
    return sorted(found.items())
