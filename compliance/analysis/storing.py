"""A page's sums and the place behind it, in one transaction: after a crash at any moment the page is either counted or
not, and whoever counts it twice at the same time fails."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from compliance.analysis import questions
from compliance.analysis.counting import Delta, TimingKey
from compliance.analysis.questions import Summary
from compliance.models import Erasure
from compliance.models.insights import InsightCount, InsightOpenEnd, InsightPlace, InsightQuestions, InsightTiming
from compliance.usage import buckets
from compliance.usage.counting import Timing
from tenants.keyring import TenantKeys

SETTLED: Final = timedelta(hours=1)  # so long what an erased user asked may still be on its way here
SOME: Final = 400  # values of a query
_TABLE: Final = InsightCount._meta.db_table
_ADD: Final = f"""
    INSERT INTO {_TABLE} (tenant_id, hour, what, name, state, count) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (tenant_id, what, hour, name, state) DO UPDATE SET count = {_TABLE}.count + excluded.count
"""  # noqa: S608  # our own names


class Overtaken(RuntimeError):
    """Somebody else has counted what was to be counted, or the tenant is gone: nothing was written."""


def place_of(tenant_id: int) -> InsightPlace:
    """Made where there is none. Raises django.db.IntegrityError: there is no such tenant."""
    return InsightPlace.objects.for_tenant(tenant_id).get_or_create(tenant_id=tenant_id)[0]


def open_ends(tenant_id: int) -> dict[str, float]:
    return dict(InsightOpenEnd.objects.for_tenant(tenant_id).values_list("session_id", "at"))


class Step(NamedTuple):
    """From a place up to `end`: `gone` entries of those were not there, `at` is the time of the newest."""

    end: int
    gone: int = 0
    at: float = 0.0


def store(place: InsightPlace, step: Step, delta: Delta, keys: TenantKeys | None) -> None:
    """Adds what the entries of the step say, and moves the place. Raises Overtaken, django.db.DatabaseError."""
    tenant_id, end = place.tenant_id, step.end
    with transaction.atomic():
        mine = InsightPlace.objects.for_tenant(tenant_id).filter(pk=place.pk, position=place.position)
        gone, at = place.gone + step.gone, max(place.at, step.at)
        if mine.update(position=end, gone=gone, at=at) != 1:
            raise Overtaken(f"the journal of tenant {tenant_id} was read by somebody else from {place.position} on")
        _counts(tenant_id, delta)
        _timings(tenant_id, delta.timings)
        if keys is not None:
            _questions(tenant_id, delta.questions, keys)
        _ends(tenant_id, delta)
    place.position, place.gone, place.at = end, gone, at


def clear(tenant_id: int) -> None:
    """Forgets all sums of the tenant, and the place: its journal is read from the beginning, as far as it is kept."""
    with transaction.atomic():
        for model in (InsightCount, InsightTiming, InsightQuestions, InsightOpenEnd, InsightPlace):
            rows: Any = model._default_manager
            rows.for_tenant(tenant_id).delete()


def _counts(tenant_id: int, delta: Delta) -> None:
    rows = [(tenant_id, *key, count) for key, count in sorted(delta.counts.items())]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_ADD, rows)


def _timings(tenant_id: int, timings: Mapping[TimingKey, Timing]) -> None:
    if not timings:
        return
    hours = sorted({hour for hour, _, _ in timings})
    known: dict[TimingKey, InsightTiming] = {}
    for start in range(0, len(hours), SOME):
        rows = InsightTiming.objects.for_tenant(tenant_id).filter(hour__in=hours[start : start + SOME])
        known |= {(row.hour, row.model, row.instance_id): row for row in rows}
    changed, made = [], []
    for key, timing in timings.items():
        durations, first_tokens = (
            buckets.encode(counts).decode() for counts in (timing.durations, timing.first_tokens)
        )
        row = known.get(key)
        if row is None:
            hour, model, instance_id = key
            made.append(
                InsightTiming(
                    tenant_id=tenant_id,
                    hour=hour,
                    model=model,
                    instance_id=instance_id,
                    durations=durations,
                    first_tokens=first_tokens,
                )  # fmt: skip
            )
        else:
            row.durations = buckets.merged(row.durations, durations)
            row.first_tokens = buckets.merged(row.first_tokens, first_tokens)
            changed.append(row)
    InsightTiming.objects.bulk_create(made)
    InsightTiming.objects.everywhere().bulk_update(changed, ["durations", "first_tokens"])


def _questions(tenant_id: int, asked: Mapping[int, Mapping[str, Mapping[str, int]]], keys: TenantKeys) -> None:
    if not asked:
        return
    erased = _erased_lately(tenant_id)
    rows = InsightQuestions.objects.for_tenant(tenant_id)
    for day, found in asked.items():
        mine = {text: {who: n for who, n in askers.items() if who not in erased} for text, askers in found.items()}
        mine = {text: askers for text, askers in mine.items() if askers}
        if not mine:
            continue
        row = rows.filter(day=day).first() or InsightQuestions(tenant_id=tenant_id, day=day)
        summary = questions.unseal(keys, tenant_id, day, row.summary) if row.pk else Summary(questions={})
        summary.add(mine)
        row.summary = questions.seal(keys, tenant_id, day, summary)
        row.save()


def _erased_lately(tenant_id: int) -> set[str]:
    """Whose words were opened before they were erased, perhaps."""
    rows = Erasure.objects.for_tenant(tenant_id).values_list("subject", "requested_at", "erased_at")
    since = timezone.now() - SETTLED
    return {subject for subject, asked, erased in rows if (erased or asked) >= since}


def _ends(tenant_id: int, delta: Delta) -> None:
    rows = InsightOpenEnd.objects.for_tenant(tenant_id)
    gone = sorted(delta.gone - delta.ends.keys())
    for start in range(0, len(gone), SOME):
        rows.filter(session_id__in=gone[start : start + SOME]).delete()
    InsightOpenEnd.objects.bulk_create(
        [InsightOpenEnd(tenant_id=tenant_id, session_id=session, at=at) for session, at in delta.ends.items()],
        update_conflicts=True,
        unique_fields=["tenant", "session_id"],
        update_fields=["at"],
    )
