"""What turns left on record, as a journal would have it: durable a moment after the turn was charged."""

from __future__ import annotations

import asyncio

from engine.errors import StoreUnavailable
from engine.limiting import Spent


class RecordedSpending:
    """`engine.ports.SpendingRecords` for tests. `away` True: nobody can say. `reads` counts what was asked."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Spent]] = []
        self.away = False
        self.reads = 0
        self.pause = 0.0

    def add(
        self, tenant_id: int, amount: int, *, key: int | None = None, member: int | None = None, model: str = "m"
    ) -> None:
        self.rows.append((tenant_id, Spent(key_id=key, member_id=member, model=model, tokens=0, amount=amount)))

    async def spent(self, tenant_id: int, since: float) -> list[Spent]:
        if self.away:
            raise StoreUnavailable
        self.reads += 1
        found = [row for tenant, row in self.rows if tenant == tenant_id]
        if self.pause:
            await asyncio.sleep(self.pause)
        return found
