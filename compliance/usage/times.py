"""How long turns took, hour by hour or day by day. The functions block."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.db import connections

from compliance.database import ALIAS
from compliance.journal.union import see_all_slots
from compliance.models import UsageTiming
from compliance.usage import buckets
from compliance.usage.calendar import Step, midnight, starts
from compliance.usage.reader import HOUR, Latency, Period, Quantiles


def series(tenant_id: int | None, period: Period, step: Step, zone: ZoneInfo) -> list[tuple[int, Latency]]:
    """Every hour or day that the period touches: when it begins, in Unix seconds. One query."""
    see_all_slots(connections[ALIAS])
    rows = UsageTiming.objects.everywhere() if tenant_id is None else UsageTiming.objects.for_tenant(tenant_id)
    rows = rows.filter(hour__gte=period.first, hour__lt=period.end)
    found: dict[int, tuple[list[str], list[str]]] = {start: ([], []) for start in starts(period, step, zone)}
    for hour, durations, first_tokens in rows.values_list("hour", "durations", "first_tokens"):
        start = hour * HOUR if step == "hour" else int(midnight(hour * HOUR, zone).timestamp())
        whole, first = found.setdefault(start, ([], []))
        whole.append(durations)
        first.append(first_tokens)
    return [(start, Latency(_quantiles(found[start][0]), _quantiles(found[start][1]))) for start in sorted(found)]


def _quantiles(stored: list[str]) -> Quantiles:
    counts = buckets.summed(stored)
    return Quantiles(*(buckets.percentile(counts, share) for share in (0.5, 0.95, 0.99)))
