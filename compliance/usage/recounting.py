"""Whether the sums are those of the completions they count: the proof that nothing was counted twice or not at all.

Of pruned entries only the sums are left, and of entries from before there were sums only the entries: whoever compares
chooses the hours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.db import connections
from django.db.models import Sum

from compliance.database import ALIAS
from compliance.journal.reader import entries
from compliance.journal.records import COLUMNS, Row
from compliance.models import AuditEntry, UsageRow, UsageTotal
from compliance.usage.counting import DAY, HOUR, SUMS, tally

CHUNK: Final = 2_000

# By tenant, hour, key, member, model, instance, edge: what was counted and what should have been, in the order of SUMS.
Differences = dict[tuple[Any, ...], tuple[tuple[int, ...], tuple[int, ...]]]


def differences(since: float, until: float) -> Differences:
    """Of all tenants' completions that ended in the hours between; empty: all is well. Blocking; reads every one of
    them, from beginning to end."""
    first, end = int(since // HOUR), int(until // HOUR)
    told = tally(_completions(first * HOUR, end * HOUR))
    right = {key: tuple(sums.counts) for key, sums in told.rows} if told is not None else {}
    return _compared(_counted(first, end), right)


def totals_differ(since: float, until: float) -> Differences:
    """The same for what is kept by tenant and model, against the finer rows: by tenant, model and instance. Whole days
    (UTC)."""
    first, end = (int(moment // HOUR) // DAY * DAY for moment in (since, until))
    columns = ("tenant_id", "model", "instance_id")
    fine = _grouped(UsageRow.objects.everywhere().filter(hour__gte=first, hour__lt=end), columns)
    for hours in (1, DAY):
        rows = UsageTotal.objects.everywhere().filter(hours=hours, start__gte=first, start__lt=end)
        if found := _compared(_grouped(rows, columns), fine):
            return found
    return {}


def _counted(first: int, end: int) -> dict[tuple[Any, ...], tuple[int, ...]]:
    columns = ("tenant_id", "hour", "key_id", "member_id", "model", "instance_id", "edge")
    return _grouped(UsageRow.objects.everywhere().filter(hour__gte=first, hour__lt=end), columns)


def _grouped(rows: Any, columns: tuple[str, ...]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    lines = rows.order_by().values_list(*columns).annotate(**{f"sum_{name}": Sum(name) for name in SUMS})
    return {tuple(line[: len(columns)]): tuple(map(int, line[len(columns) :])) for line in lines}


def _completions(since: float, until: float) -> Iterator[Row]:
    rows = entries().everywhere().filter(kind=AuditEntry.Kind.COMPLETION, at__gte=since, at__lt=until).order_by()
    found = rows.values_list(*COLUMNS)
    for row in found.iterator(CHUNK) if connections[ALIAS].vendor == "sqlite" else found:
        yield (*row[:-1], bytes(row[-1]))


def _compared(
    counted: dict[tuple[Any, ...], tuple[int, ...]], right: dict[tuple[Any, ...], tuple[int, ...]]
) -> Differences:
    nothing = (0,) * len(SUMS)
    pairs = {key: (counted.get(key, nothing), right.get(key, nothing)) for key in {*counted, *right}}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
