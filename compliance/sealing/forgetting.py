"""Whose keys were destroyed lately: what a worker's sealer must not use any more. Part of the live configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, router
from django.db.models import Q

from compliance.journal.records import KeyRow
from compliance.journal.store import StoreAway
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


def living(keys: list[KeyRow]) -> list[KeyRow]:
    """Those of them that may be stored late: keys that waited on a disk while their subject was erased are not. What
    they sealed then reads as erased. Blocking. Raises StoreAway: it is not known."""
    if not keys:
        return keys
    tenants, subjects = {key[1] for key in keys}, {key[2] for key in keys}
    connection = connections[router.db_for_read(Erasure) or DEFAULT_DB_ALIAS]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    try:
        mine = Erasure.objects.everywhere().filter(tenant_id__in=tenants, subject__in=subjects)
        found = list(mine.values_list("tenant_id", "subject", "requested_at", "erased_at"))
    except DatabaseError as error:
        connection.close()
        raise StoreAway(f"who was erased is not known: {error}") from error
    gone: dict[tuple[int, str], float] = {}
    for tenant_id, subject, asked, erased in found:
        name = (tenant_id, subject)
        gone[name] = max(gone.get(name, 0.0), (erased or asked).timestamp())
    return [key for key in keys if key[4] > gone.get((key[1], key[2]), float("-inf"))]
