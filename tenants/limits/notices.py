"""What is said when a budget is used up to four fifths, and when it is used up: put on a list in the store, from which
background work takes it (see `tenants.warning`). The request path waits for nothing."""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec

from engine.snapshots import Cell
from tenants.directory import TenantTable
from tenants.handles import Store
from tenants.limits.periods import Calendar
from tenants.limits.slots import log_failure
from tenants.limits.subjects import Scope

LIST: Final = "limits:warnings"
MOST: Final = 10_000  # that wait; where nobody takes them the oldest are dropped


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """`tenant_id` None: the platform's own budget. `subject`: a name of `subjects.Subject`; `spent` and `limit` are in
    millionths, `begins` and `ends` the period in Unix seconds."""

    id: str
    at: float
    tenant_id: int | None
    subject: str
    period: str
    begins: int
    ends: int
    percent: int
    spent: int
    limit: int


class Warner:
    """One a process."""

    def __init__(self, store: Store, tenants: Cell[TenantTable], calendar: Calendar) -> None:
        self._store = store
        self._tenants = tenants
        self._calendar = calendar

    def tell(self, scope: Scope, told: list[Any]) -> None:
        """`told` is what `scripts.CHARGE` returned."""
        periods = self._calendar.now(scope.zone)
        for name, kind, percent, spent, limit in zip(*(told[place::5] for place in range(5)), strict=True):
            period = periods[kind - 1]
            notice = Notice(
                id=secrets.token_hex(16),
                at=self._calendar.time(),
                tenant_id=scope.tenant_id,
                subject=name.decode(),
                period=period.kind,
                begins=int(period.begins),
                ends=int(period.ends),
                percent=percent,
                spent=int(spent),
                limit=int(limit),
            )
            self._store.send("RPUSH", LIST, msgspec.json.encode(notice)).add_done_callback(log_failure)
            self._store.send("LTRIM", LIST, -MOST, -1)
