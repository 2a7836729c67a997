"""What the counted hits of a word list say: a day, and by entry."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec
from django.db.models import Sum

from compliance.models.hits import WordHits
from compliance.models.words import Action

KEPT_DAYS: Final = 90
SHOWN_DAYS: Final = 14
SHOWN_WORDS: Final = 20


class DayHits(msgspec.Struct, kw_only=True):
    """`day` is a date (UTC). Turns in which an entry was found, by what was done about it; each entry counts once a
    turn and direction."""

    day: str
    record: int = 0
    mask: int = 0
    block: int = 0

    @property
    def total(self) -> int:
        return self.record + self.mask + self.block


class EntryHits(msgspec.Struct, kw_only=True):
    """`word` is in normal form; empty: all there was no room to tell apart."""

    word: str
    input: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output


class HitReport(msgspec.Struct, kw_only=True):
    """Every day of the period, the last one first, and the entries found most."""

    days: list[DayHits]
    entries: list[EntryHits]
    total: int


def report(list_id: int, tenant_id: int | None = None, days: int = SHOWN_DAYS) -> HitReport:
    """Of one tenant's turns; None: of all."""
    today = datetime.now(UTC).date()
    rows = WordHits.objects.everywhere().filter(list_id=list_id, day__gt=today - timedelta(days=days))
    if tenant_id is not None:
        rows = rows.filter(tenant_id=tenant_id)
    by_day = _empty(today, days)
    for day, action, count in rows.values_list("day", "action").annotate(sum=Sum("count")):
        if (found := by_day.get(day)) is not None and action in Action.values:
            setattr(found, action, count)
    top = rows.values_list("word").annotate(sum=Sum("count")).order_by("-sum", "word")[:SHOWN_WORDS]
    entries = {word: EntryHits(word=word) for word, _ in top}
    split = rows.filter(word__in=entries).values_list("word", "direction").annotate(sum=Sum("count"))
    for word, direction, count in split:
        setattr(entries[word], direction, count)
    listed = list(by_day.values())
    return HitReport(days=listed, entries=list(entries.values()), total=sum(day.total for day in listed))


def totals(list_ids: list[int], tenant_id: int | None = None, days: int = SHOWN_DAYS) -> dict[int, int]:
    """The hits of several lists, by id; those without any are left out."""
    since = datetime.now(UTC).date() - timedelta(days=days)
    rows = WordHits.objects.everywhere().filter(list_id__in=list_ids, day__gt=since)
    if tenant_id is not None:
        rows = rows.filter(tenant_id=tenant_id)
    return dict(rows.values_list("list_id").annotate(sum=Sum("count")))


def forget_old(days: int = KEPT_DAYS) -> int:
    """Deletes what is older; how many rows went."""
    before = datetime.now(UTC).date() - timedelta(days=days)
    return WordHits.objects.everywhere().filter(day__lt=before).delete()[0]


def _empty(today: date, days: int) -> dict[date, DayHits]:
    found = [today - timedelta(days=back) for back in range(days)]
    return {day: DayHits(day=day.isoformat()) for day in found}
