"""How long sums are kept, and what an erasure takes out of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Min

from compliance.analysis import questions
from compliance.models.insights import InsightCount, InsightQuestions, InsightTiming
from engine.errors import StoreUnavailable
from tenants import stored_keys

HOUR: Final = 3600
DAY: Final = 24 * HOUR


class QuestionEraser:
    """Implements `engine.ports.Erasable`: questions that nobody else is known to have asked go."""

    home = "questions"

    async def erase(self, tenant_id: int, whose: Callable[[str], bool]) -> int:
        try:
            return await sync_to_async(forget_questions, thread_sensitive=False)(tenant_id, whose)
        except DatabaseError as error:
            raise StoreUnavailable from error


def forget_questions(tenant_id: int, whose: Callable[[str], bool]) -> int:
    """What these users asked, by their pseudonyms; how many questions that touched. A day that cannot be opened goes.
    Raises django.db.DatabaseError."""
    keys = stored_keys.stored(tenant_id)
    touched = 0
    rows = InsightQuestions.objects.for_tenant(tenant_id)
    if keys is None:
        return rows.delete()[0]
    for pk in list(rows.values_list("pk", flat=True)):
        with transaction.atomic():
            row = rows.select_for_update().filter(pk=pk).first()
            if row is None:
                continue
            summary = questions.unseal(keys, tenant_id, row.day, row.summary)
            if count := summary.forget(whose):
                touched += count
                rows.filter(pk=pk).update(summary=questions.seal(keys, tenant_id, row.day, summary))
    return touched


def forget_old(now: float) -> None:
    """Questions past INSIGHTS_QUESTION_DAYS, or the days their tenant keeps its turns if those are fewer; sums past
    INSIGHTS_DAYS. Raises django.db.DatabaseError."""
    hour = int(now // HOUR) - 24 * settings.INSIGHTS_DAYS
    InsightCount.objects.everywhere().filter(hour__lt=hour).delete()
    InsightTiming.objects.everywhere().filter(hour__lt=hour).delete()
    InsightQuestions.objects.everywhere().filter(day__lt=int(now // DAY) - settings.INSIGHTS_QUESTION_DAYS).delete()
    oldest = InsightQuestions.objects.everywhere().order_by().values_list("tenant_id", "tenant__retention_days")
    for pk, days, first in oldest.annotate(first=Min("day")):
        kept = settings.JOURNAL_RETENTION_DAYS if days is None else days
        if kept and first < int(now // DAY) - kept:
            InsightQuestions.objects.for_tenant(pk).filter(day__lt=int(now // DAY) - kept).delete()
