"""The sum rule of the journal: every intent has exactly one end, or its turn still runs."""

from __future__ import annotations

import time
from typing import Final

import msgspec
from django.db import connections, transaction
from django.db.models import Count, Exists, OuterRef, QuerySet

from compliance.database import ALIAS
from compliance.journal.reader import entries
from compliance.models import AuditEntry, JournalWorker

GRACE: Final = 60.0  # seconds: what a dead worker left open must be ended this soon after another one started


class Balance(msgspec.Struct, frozen=True):
    """`intents = completed + refused + failed + cancelled + aborted + in_flight`, and nothing beside it: `stray` ends
    have no intent; `overdue` turns (counted in `in_flight` too) should have been ended as aborted."""

    intents: int
    completed: int
    refused: int
    failed: int
    cancelled: int
    aborted: int
    in_flight: int
    stray: int
    overdue: int

    @property
    def holds(self) -> bool:
        ended = self.completed + self.refused + self.failed + self.cancelled + self.aborted
        return self.intents == ended + self.in_flight and not self.stray and not self.overdue


def balance(tenant_id: int | None = None) -> Balance:
    """Counts one tenant's entries, or all. Blocking; reads one state of each file, but every entry of it."""
    rows = entries().everywhere() if tenant_id is None else entries().for_tenant(tenant_id)
    intents, completions = rows.filter(kind=AuditEntry.Kind.INTENT), rows.filter(kind=AuditEntry.Kind.COMPLETION)
    with transaction.atomic(using=ALIAS):
        if connections[ALIAS].vendor == "postgresql":  # where every statement would see a state of its own
            with connections[ALIAS].cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        ends = dict(completions.order_by().values_list("state").annotate(Count("id")))
        still_open = intents.filter(~Exists(_same_turn(AuditEntry.Kind.COMPLETION)))
        return Balance(
            intents=intents.count(),
            **{state: ends.get(state, 0) for state in AuditEntry.State.values},
            in_flight=still_open.count(),
            stray=completions.filter(~Exists(_same_turn(AuditEntry.Kind.INTENT))).count(),
            overdue=_overdue(still_open, time.time()),
        )


def _same_turn(kind: str) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(turn_id=OuterRef("turn_id"), kind=kind)


def _overdue(still_open: QuerySet[AuditEntry], now: float) -> int:
    """Open turns of workers silent for over a minute, though all that time somebody was there to end them."""
    workers = list(JournalWorker.objects.all())
    if not any(worker.started < now - GRACE and worker.heartbeat > now - GRACE / 6 for worker in workers):
        return 0
    heard = [worker.worker for worker in workers if worker.heartbeat > now - GRACE]
    return still_open.exclude(worker__in=heard).count()
