"""A service objective: which share of the turns that count is to complete, and what of the errors it allows is left.

The budget is what may fail in 30 days: 1 % of the turns at an objective of 99 %. The burn rate says how many times
faster than that turns failed lately; at 1 the budget lasts exactly the 30 days (https://sre.google/workbook/alerting-on-slos/)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from compliance.usage.reader import HOUR, Period, Sums, Whose, hourly

DAYS: Final = 30
LOOKED_BACK: Final = (1, 6, 24, 72)  # hours


class Burn(NamedTuple):
    """`rate` None: no turn counted in these hours."""

    hours: int
    rate: float | None


class Standing(NamedTuple):
    """`left` is the share of the budget that is; below 0: more failed than may. None: no turn counted."""

    objective: float
    counted: int
    failed: int
    left: float | None
    burns: list[Burn]


def standing(tenant_id: int | None, objective: float, now: float) -> Standing:
    """`objective` is the share, 0 to 1 and less than 1. One query; raises what `hourly` does."""
    return judged(hourly(Whose(tenant_id), Period(now - DAYS * 24 * HOUR, now)), objective, now)


def judged(hours: Mapping[int, Sums], objective: float, now: float) -> Standing:
    """Of the sums by the hour. The last hours are whole ones but for the current, which counts as far as it is."""
    allowed = 1.0 - objective
    counted, failed = _added(hours, None, now)
    left = 1.0 - failed / (allowed * counted) if counted else None
    burns = []
    for back in LOOKED_BACK:
        some, bad = _added(hours, back, now)
        burns.append(Burn(back, bad / some / allowed if some else None))
    return Standing(objective, counted, failed, left, burns)


def _added(hours: Mapping[int, Sums], back: int | None, now: float) -> tuple[int, int]:
    """Turns that count, and those of them that failed."""
    first = int(now // HOUR) - back if back is not None else 0
    chosen = [sums for hour, sums in hours.items() if hour >= first]
    failed = sum(sums.errors for sums in chosen)
    return sum(sums.completed for sums in chosen) + failed, failed
