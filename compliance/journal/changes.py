"""Lists changes of configuration from the journal, a page at a time, newest first. The functions block."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from compliance.journal import reader
from compliance.journal.spans import first_id
from compliance.models.journal import AuditEntry, JournalQuerySet
from compliance.sealing.opening import Opener
from engine.entries import Change

PAGE: Final = 50
OPENED: Final = 500  # changes a page looks at


class ChangeFilters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which changes; None: any. `actor` is as it was recorded (`operator:1`, `command:loadwords`), `model` such as
    `routing.routingrule`, `row` its primary key."""

    since: float | None = None
    until: float | None = None
    actor: str | None = None
    model: str | None = None
    row: str | None = None
    action: str | None = None


class ChangePage(msgspec.Struct, frozen=True):
    """`next` is the `before` of the following page, None at the end. A page may be short and still have one."""

    changes: list[Change]
    next: str | None


def page(tenant_id: int | None, filters: ChangeFilters, *, before: str | None = None, limit: int = PAGE) -> ChangePage:
    """The newest changes of a tenant (0: of the platform's own, None: all) before the change `before`."""
    found = _found(tenant_id, filters).order_by("-turn_id")
    return _page(found.filter(turn_id__lt=before) if before is not None else found, filters, limit)


def page_after(tenant_id: int | None, filters: ChangeFilters, *, after: str, limit: int = PAGE) -> ChangePage:
    """The page before: the changes just after the change `after`, newest first too."""
    found = _page(_found(tenant_id, filters).filter(turn_id__gt=after).order_by("turn_id"), filters, limit)
    return ChangePage(found.changes[::-1], found.next)


def change(tenant_id: int | None, change_id: str) -> Change | None:
    found = _found(tenant_id, ChangeFilters()).filter(turn_id=change_id).first()
    return reader.change_of(found) if found is not None else None


def _found(tenant_id: int | None, filters: ChangeFilters) -> JournalQuerySet:
    rows = reader.entries().everywhere() if tenant_id is None else reader.entries().for_tenant(tenant_id)
    named: dict[str, Any] = {
        "turn_id__gte": first_id(filters.since) if filters.since is not None else None,
        "turn_id__lt": first_id(filters.until) if filters.until is not None else None,
        "model": filters.model,
        "instance": filters.row,
        "state": filters.action,
    }
    given = {name: value for name, value in named.items() if value is not None}
    return rows.defer(None).filter(kind=AuditEntry.Kind.CHANGE, **given)


def _page(rows: JournalQuerySet, filters: ChangeFilters, limit: int) -> ChangePage:
    shown: list[Change] = []
    opener = Opener()
    size = limit + 1 if filters.actor is None else OPENED + 1
    entries = list(rows[:size])
    for entry in entries[: size - 1]:
        told = reader.change_of(entry, opener)
        if filters.actor not in (None, told.actor):
            continue
        shown.append(told)
        if len(shown) == limit:
            return ChangePage(shown, entry.turn_id if entry is not entries[-1] else None)
    return ChangePage(shown, entries[-2].turn_id if len(entries) == size else None)
