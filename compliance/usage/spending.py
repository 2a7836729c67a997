"""What budgets are rebuilt from (`engine.ports.SpendingRecords`): it is counted with the completions, so what was spent
is known as far as turns are recorded."""

from __future__ import annotations

from functools import partial

from django.db import DatabaseError, connections
from django.db.models import F, Sum

from compliance.database import ALIAS
from compliance.journal.reader import JournalReader
from compliance.journal.slots import NoSlot
from compliance.journal.union import see_all_slots
from compliance.models import UsageRow
from engine.errors import StoreUnavailable
from engine.ports import Spent

HOUR = 3600


class UsageReader(JournalReader):
    """For the event loop, with a thread and a connection of its own."""

    async def spent(self, tenant_id: int, since: float) -> list[Spent]:
        """Since the beginning of the hour of `since`. Raises StoreUnavailable."""
        return await self._read(partial(spent, tenant_id, since))


def spent(tenant_id: int, since: float) -> list[Spent]:
    """Blocking. Raises StoreUnavailable."""
    try:
        see_all_slots(connections[ALIAS])
        rows = UsageRow.objects.for_tenant(tenant_id).filter(hour__gte=int(since // HOUR))
        found = (
            rows.order_by()
            .values_list("key_id", "member_id", "model")
            .annotate(tokens=Sum(F("prompt_tokens") + F("completion_tokens")), amount=Sum("cost"))
        )
        return [
            Spent(key_id=key or None, member_id=member or None, model=model, tokens=int(tokens), amount=int(amount))
            for key, member, model, tokens, amount in found
        ]
    except (DatabaseError, NoSlot) as error:
        raise StoreUnavailable() from error
