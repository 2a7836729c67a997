"""The last tries to deliver to a sink, for people to see what became of them."""

from __future__ import annotations

import time
from typing import Final

from plugins.models import DeliveryAttempt
from plugins.outbox.events import Event
from plugins.outbox.sinks import LONGEST_ERROR

KEPT: Final = 100  # of a sink


class AttemptLog:
    """Of a sink. Without `everything` only what failed is kept, and tests: a queue may take thousands a second."""

    def __init__(self, tenant_id: int, sink: str, *, everything: bool) -> None:
        self._tenant_id = tenant_id
        self._sink = sink
        self._everything = everything
        self._new: list[DeliveryAttempt] = []

    def add(self, event: Event, seconds: float, *, status: int, error: str) -> None:
        if not (error or self._everything or event.is_test):
            return
        self._new.append(
            DeliveryAttempt(
                tenant_id=self._tenant_id,
                sink=self._sink,
                event=event.id[:100],
                type=event.type[:100],
                at=time.time(),
                milliseconds=int(seconds * 1000),
                ok=not error,
                status=status if 0 <= status < 1000 else 0,
                error=error[:LONGEST_ERROR],
            )
        )
        del self._new[:-KEPT]

    def save(self) -> None:
        """Raises django.db.Error."""
        if not self._new:
            return
        new, self._new = self._new, []
        rows = DeliveryAttempt.objects.for_tenant(self._tenant_id).filter(sink=self._sink)
        DeliveryAttempt.objects.bulk_create(new)
        oldest = rows.order_by("-id").values_list("id", flat=True)[KEPT - 1 : KEPT]
        for number in oldest:
            rows.filter(id__lt=number).delete()
