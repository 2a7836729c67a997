"""Reads what was used: sums of few rows, found by index, however long the journal is. The functions block.

A period is in Unix seconds and means whole hours: of the hour it begins in all, of the one it ends in nothing unless it
ends within. Sums by key, member or edge read a row an hour for each of them; all others a row an hour for each model
and instance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
from django.db import connections
from django.db.models import F, Max, Sum

from compliance.database import ALIAS
from compliance.journal.union import see_all_slots
from compliance.models import UsageRow, UsageTiming, UsageTotal
from compliance.usage import buckets
from tenants.scoping import ScopedQuerySet

HOUR: Final = 3600
DAY: Final = 24  # hours
STATES: Final = ("completed", "refused", "failed", "cancelled", "aborted")
TOKENS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
SUMS: Final = (*STATES, *TOKENS, "cost")

By = Literal["model", "key", "member", "instance", "edge", "tenant"]
_COLUMN: Final[dict[str, str]] = {
    "model": "model", "key": "key_id", "member": "member_id", "instance": "instance_id", "edge": "edge",
    "tenant": "tenant_id",
}  # fmt: skip
REACH: Final = 30_000  # rows
_FINE: Final = ("key", "member", "edge")  # what only the finer rows tell apart


class Whose(NamedTuple):
    """Whose usage: a tenant's, of one key or one member of it, or (`tenant_id` None) the whole platform's."""

    tenant_id: int | None
    key_id: int | None = None
    member_id: int | None = None

    @property
    def named(self) -> bool:
        return self.key_id is not None or self.member_id is not None


class Period(NamedTuple):
    """`until` is not part of it."""

    since: float
    until: float

    @property
    def first(self) -> int:
        """The hours from this one on, counted from 1970,"""
        return int(self.since // HOUR)

    @property
    def end(self) -> int:
        """and before this one."""
        return max(int(-(-self.until // HOUR)), self.first)


class Sums(msgspec.Struct, frozen=True):
    """`cost` in millionths; `last_at` when the last turn ended, 0: there was none. Of the turns that a kept answer, or
    another turn's call, answered there are no tokens and no cost."""

    completed: int = 0
    refused: int = 0
    failed: int = 0
    cancelled: int = 0
    aborted: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    last_at: float = 0.0

    @property
    def turns(self) -> int:
        return self.completed + self.refused + self.failed + self.cancelled + self.aborted

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def errors(self) -> int:
        return self.failed + self.aborted

    @property
    def completion_rate(self) -> float | None:
        """None: no turn counts."""
        counted = self.completed + self.failed + self.aborted
        return self.completed / counted if counted else None

    def __add__(self, other: Sums) -> Sums:
        added = {name: getattr(self, name) + getattr(other, name) for name in SUMS}
        return Sums(**added, last_at=max(self.last_at, other.last_at))


class Line(msgspec.Struct, frozen=True):
    """The sums of one model, key, …: `what` is its name or its number, 0 or empty: none."""

    what: str | int
    sums: Sums


class Point(msgspec.Struct, frozen=True):
    """The sums of a stretch of time that begins at `start`, Unix seconds."""

    start: int
    sums: Sums


class Quantiles(msgspec.Struct, frozen=True):
    """In seconds; None: nothing was measured."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Latency(msgspec.Struct, frozen=True):
    """Of completed turns."""

    duration: Quantiles
    first_token: Quantiles


def total(whose: Whose, period: Period) -> Sums:
    return _add(whose, period, ()).get((), Sums())


def totals(whose: Whose, period: Period, by: By, *, most: int | None = None) -> list[Line]:
    """By cost, then by tokens, then by turns: the largest first, `most` of them."""
    found = _add(whose, period, (_COLUMN[by],), fine=by in _FINE, most=most)
    lines = [Line(what, sums) for (what,), sums in found.items()]
    lines.sort(key=lambda line: (-line.sums.cost, -line.sums.tokens, -line.sums.turns, str(line.what)))
    return lines[:most]


def reachable(whose: Whose, period: Period, rows: int = REACH) -> Period:
    """As much of the period, from its end, as has about so many of the finer rows: what a page can add up by key or by
    member while somebody waits. Reads an index and nothing else."""
    _see()
    hours = _rows(UsageRow, whose).filter(hour__gte=period.first, hour__lt=period.end)
    newest_first = hours.order_by("-hour").values_list("hour", flat=True)
    beyond = newest_first[rows : rows + 1].first()
    if beyond is None:
        return period
    newest = newest_first.first() or beyond
    return Period(float(min(beyond + 1, newest) * HOUR), period.until)


def hourly(whose: Whose, period: Period) -> dict[int, Sums]:
    """By the hour, counted from 1970; hours without a turn are not there."""
    column = "hour" if whose.named else "start"
    return {hour: sums for (hour,), sums in _add(whose, period, (column,), by_hour=True).items()}


def latency(tenant_id: int | None, period: Period, model: str | None = None) -> Latency:
    rows = UsageTiming.objects.everywhere() if tenant_id is None else UsageTiming.objects.for_tenant(tenant_id)
    rows = rows.filter(hour__gte=period.first, hour__lt=period.end)
    if model is not None:
        rows = rows.filter(model=model)
    _see()
    found = list(rows.values_list("durations", "first_tokens"))
    return Latency(_quantiles(one for one, _ in found), _quantiles(other for _, other in found))


def last_used(tenant_id: int, key_ids: Sequence[int]) -> dict[int, float]:
    """When the last turn of each of these API keys ended, in Unix seconds; keys without one are not there. One query,
    and of each key's rows the newest."""
    if not key_ids:
        return {}
    _see()
    asked = ", ".join(["(%s)"] * len(key_ids))
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(_LAST_USED.format(asked), [*key_ids, tenant_id, tenant_id])
        return {key_id: at for key_id, at in cursor.fetchall() if at is not None}


_TABLE: Final = UsageRow._meta.db_table
_LAST_USED: Final = f"""
    WITH asked (key_id) AS (VALUES {{0}})
    SELECT key_id, (
        SELECT max(last_at) FROM {_TABLE} AS used
        WHERE used.tenant_id = %s AND used.key_id = asked.key_id AND used.key_id > 0 AND used.hour = (
            SELECT hour FROM {_TABLE} AS newest
            WHERE newest.tenant_id = %s AND newest.key_id = asked.key_id AND newest.key_id > 0
            ORDER BY newest.hour DESC LIMIT 1))
    FROM asked"""  # noqa: S608  # our own names


def _add(
    whose: Whose,
    period: Period,
    columns: Sequence[str],
    *,
    fine: bool = False,
    by_hour: bool = False,
    most: int | None = None,
) -> dict[tuple[Any, ...], Sums]:
    """The sums of the period by these columns; of the finer rows the `most` that cost most."""
    _see()
    first, end = period.first, period.end
    if fine or whose.named:
        return _grouped(_rows(UsageRow, whose).filter(hour__gte=first, hour__lt=end), columns, most)
    rows = _rows(UsageTotal, whose)
    day, days_end = -(-first // DAY) * DAY, end // DAY * DAY
    if by_hour or day >= days_end:
        return _grouped(rows.filter(hours=1, start__gte=first, start__lt=end), columns)
    found = _grouped(rows.filter(hours=DAY, start__gte=day, start__lt=days_end), columns)
    for since, until in ((first, day), (days_end, end)):
        if since < until:
            for key, sums in _grouped(rows.filter(hours=1, start__gte=since, start__lt=until), columns).items():
                found[key] = found.get(key, Sums()) + sums
    return found


def _rows(model: type[UsageRow] | type[UsageTotal], whose: Whose) -> ScopedQuerySet[Any]:
    rows: ScopedQuerySet[Any] = model.objects.everywhere()
    if whose.tenant_id is not None:
        rows = rows.filter(tenant_id=whose.tenant_id)
    if whose.key_id is not None:
        rows = rows.filter(key_id=whose.key_id, key_id__gt=0)
    if whose.member_id is not None:
        rows = rows.filter(member_id=whose.member_id, member_id__gt=0)
    return rows


def _grouped(rows: ScopedQuerySet[Any], columns: Sequence[str], most: int | None = None) -> dict[tuple[Any, ...], Sums]:
    sums = {f"sum_{name}": Sum(name) for name in SUMS}
    if not columns:
        found = rows.aggregate(**sums, at=Max("last_at"))
        return {(): _sums(tuple(found.values()))} if found["at"] is not None else {}
    lines = rows.order_by().values_list(*columns).annotate(**sums, at=Max("last_at"))
    if most is not None:
        tokens = F("sum_prompt_tokens") + F("sum_completion_tokens")
        turns = sum((F(f"sum_{name}") for name in STATES[1:]), F(f"sum_{STATES[0]}"))
        lines = lines.order_by("-sum_cost", tokens.desc(), turns.desc(), *columns)[:most]
    return {tuple(line[: len(columns)]): _sums(line[len(columns) :]) for line in lines}


def _sums(values: Sequence[Any]) -> Sums:
    """PostgreSQL adds whole numbers up to decimals."""
    *sums, last_at = values
    return Sums(**dict(zip(SUMS, map(int, sums), strict=True)), last_at=float(last_at))


def _quantiles(stored: Iterable[str]) -> Quantiles:
    counts = buckets.summed(stored)
    return Quantiles(*(buckets.percentile(counts, share) for share in (0.5, 0.95, 0.99)))


def _see() -> None:
    see_all_slots(connections[ALIAS])
