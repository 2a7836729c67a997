"""Events a sink did not take: held, tried again later and later, given up after a day, sent again when somebody asks.

Of one partition (a session) they keep their order: only the oldest is tried, whatever comes later waits behind it."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

from django.db import transaction
from django.db.models import Min

from plugins.models import HeldEvent, SinkState
from plugins.outbox.events import TEST, Event
from plugins.outbox.sinks import LONGEST_ERROR
from tenants.scoping import ScopedQuerySet

MOST: Final = 100  # of a sink that wait; a sink with so many is sent nothing new until some are through
MOST_TESTS: Final = 5  # of a sink that wait
FIRST_PAUSE: Final = 10.0  # seconds
LONGEST_PAUSE: Final = 3600.0
BEHIND: Final = 1e12  # Unix seconds: when another one is through
WAITING: Final = HeldEvent.State.WAITING
DEAD: Final = HeldEvent.State.DEAD


def pause_after(attempts: int) -> float:
    """Seconds; three times as long each time, a tenth more or less so that not all come back at once."""
    pause = min(FIRST_PAUSE * float(3 ** min(attempts - 1, 10)), LONGEST_PAUSE)
    return pause * random.uniform(0.9, 1.1)  # noqa: S311  # no secret


def waiting(tenant_id: int, sink: str) -> ScopedQuerySet[HeldEvent]:
    return HeldEvent.objects.for_tenant(tenant_id).filter(sink=sink, state=WAITING)


def partitions(tenant_id: int, sink: str) -> set[str]:
    """Those something is held of."""
    found = waiting(tenant_id, sink).exclude(partition="").values_list("partition", flat=True)
    return set(found.distinct())


def hold(tenant_id: int, sink: str, position: int, event: Event, *, error: str = "") -> None:
    """With an error: it was tried. Without: it waits behind another. Safe to repeat."""
    now = time.time()
    row = HeldEvent(
        tenant_id=tenant_id,
        sink=sink,
        position=position,
        event=event.id[:100],
        type=event.type[:100],
        subject=event.subject[:300],
        partition=event.partitionkey[:300],
        attempts=1 if error else 0,
        first_at=now,
        next_at=now + pause_after(1) if error else BEHIND,
        last_error=error[:LONGEST_ERROR],
    )
    HeldEvent.objects.bulk_create([row], ignore_conflicts=True)


def due(tenant_id: int, sink: str, most: int) -> list[HeldEvent]:
    """The oldest of each partition whose time has come, and those without one."""
    rows = waiting(tenant_id, sink)
    heads = rows.exclude(partition="").values("partition").annotate(first=Min("id")).values("first")
    now = time.time()
    mine = rows.filter(next_at__lte=now)
    return list((mine.filter(partition="") | mine.filter(pk__in=heads)).order_by("id")[:most])


def due_sinks() -> set[tuple[int, str]]:
    """Those of all tenants that have something to be tried now. One query."""
    rows = HeldEvent.objects.everywhere().filter(state=WAITING, next_at__lte=time.time())
    return set(rows.values_list("tenant_id", "sink").distinct().order_by())


@transaction.atomic
def release(row: HeldEvent) -> HeldEvent | None:
    """It is through: it goes, and the next of its partition comes forward."""
    HeldEvent.objects.for_tenant(row.tenant_id).filter(pk=row.pk).delete()
    return _forward(row)


@transaction.atomic
def refused(row: HeldEvent, error: str, given_up: float) -> bool:
    """It was tried and not taken. Whether it is given up; then the next of its partition comes forward."""
    now = time.time()
    if row.attempts == 0:
        row.first_at = now
    row.attempts += 1
    row.last_error = error[:LONGEST_ERROR]
    row.next_at = now + pause_after(row.attempts)
    if now - row.first_at >= given_up:
        row.state = DEAD
    _update(row, attempts=row.attempts, last_error=row.last_error, next_at=row.next_at, state=row.state,
            first_at=row.first_at)  # fmt: skip
    if row.state == DEAD:
        _forward(row)
    return row.state == DEAD


def _forward(row: HeldEvent) -> HeldEvent | None:
    if not row.partition:
        return None
    found = waiting(row.tenant_id, row.sink).filter(partition=row.partition).order_by("id").first()
    if found is not None and found.next_at == BEHIND:
        found.next_at = 0.0
        _update(found, next_at=0.0)
    return found


def _update(row: HeldEvent, **values: Any) -> None:
    HeldEvent.objects.for_tenant(row.tenant_id).filter(pk=row.pk).update(**values)


# What people ask for -----------------------------------------------------------------------------------------------


def send_again(rows: Sequence[HeldEvent]) -> int:
    """Those given up, or waiting for their next try, are tried now; how many. One that waits behind another stays."""
    number = 0
    for row in rows:
        mine = HeldEvent.objects.for_tenant(row.tenant_id).filter(pk=row.pk)
        values = {"next_at": 0.0, "first_at": time.time(), "attempts": 0}
        revived = mine.filter(state=DEAD).update(state=WAITING, resent=True, **values)
        number += revived or mine.filter(state=WAITING).exclude(next_at=BEHIND).update(next_at=0.0)
        try_now(row.tenant_id, row.sink)
    return number


def forget(row: HeldEvent) -> None:
    """It is not sent any more."""
    release(row)


def send_test(tenant_id: int, sink: str) -> str:
    """Tried once, within a second; the id of the event, by which its attempt is found."""
    tests = waiting(tenant_id, sink).filter(type=TEST).order_by("-id").values_list("event", flat=True)
    if len(known := list(tests[:MOST_TESTS])) == MOST_TESTS:
        return str(known[0])  # nobody sends them now; more would not help
    event_id = f"test-{uuid4()}"
    row = HeldEvent(tenant_id=tenant_id, sink=sink, event=event_id, type=TEST, subject=event_id, first_at=time.time())
    HeldEvent.objects.bulk_create([row])
    try_now(tenant_id, sink)
    return event_id


def try_now(tenant_id: int, sink: str) -> None:
    """The sink's own pause is over."""
    SinkState.objects.for_tenant(tenant_id).filter(sink=sink).update(next_at=0.0)
