"""Whose keys were destroyed lately: what a worker's sealer must not use any more. Part of the live configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db.models import Q

from compliance.models import Erasure

OVERLAP: Final = timedelta(minutes=5)  # clocks differ, and transactions may end in another order than they began


class Forgotten:
    """`compile` gives tenant and pseudonym of those who were erased since the last call, and a little before: to forget
    a key once more costs a new key, once too seldom would cost the erasure."""

    def __init__(self) -> None:
        self._since = datetime.fromtimestamp(0, UTC)

    def compile(self) -> list[tuple[int, str]]:
        """Blocking. Raises django.db.DatabaseError."""
        since = self._since
        lately = Q(requested_at__gte=since) | Q(erased_at__gte=since)
        found = list(
            Erasure.objects.everywhere().filter(lately).values_list("tenant_id", "subject", "requested_at", "erased_at")
        )
        times = [moment for *_, asked, erased in found for moment in (asked, erased) if moment is not None]
        if times:
            self._since = max(times) - OVERLAP
        return [(tenant_id, subject) for tenant_id, subject, *_ in found]
