"""Lists what was done to sessions besides turns, from the journal, a page at a time, newest first. Blocking."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from compliance.journal import reader
from compliance.journal.spans import first_id
from compliance.models.journal import AuditEntry, JournalQuerySet
from compliance.sealing import opening
from compliance.sealing.opening import Opened, Opener
from engine.entries import SessionEntry
from engine.types import Json

PAGE: Final = 50


class SessionFilters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which of them; None: any. `user` is as it was recorded, `action` as in `engine.entries.SessionAction`."""

    since: float | None = None
    until: float | None = None
    session_id: str | None = None
    user: str | None = None
    action: str | None = None


class SessionChange(msgspec.Struct, frozen=True):
    """What was done, to which version of the session, by whom (`subject`). `erased`: nobody can read by whom and what
    exactly."""

    id: str
    tenant_id: int
    at: float
    session_id: str
    action: str
    parent: int
    subject: str = ""
    user: str = ""
    key_id: int | None = None
    request_id: str = ""
    detail: Json = {}
    erased: bool = False


class SessionChangePage(msgspec.Struct, frozen=True):
    """`next` is the `before` of the following page, None at the end."""

    changes: list[SessionChange]
    next: str | None


def page(
    tenant_id: int | None, filters: SessionFilters, *, before: str | None = None, limit: int = PAGE
) -> SessionChangePage:
    """The newest of a tenant (None: of all) before that of the id `before`."""
    found = _found(tenant_id, filters).order_by("-turn_id")
    entries = list((found.filter(turn_id__lt=before) if before is not None else found)[: limit + 1])
    return SessionChangePage(_told(entries[:limit]), entries[limit - 1].turn_id if len(entries) > limit else None)


def page_after(tenant_id: int | None, filters: SessionFilters, *, after: str, limit: int = PAGE) -> SessionChangePage:
    """The page before: those just after that of the id `after`, newest first too."""
    entries = list(_found(tenant_id, filters).filter(turn_id__gt=after).order_by("turn_id")[: limit + 1])
    more = entries[limit - 1].turn_id if len(entries) > limit else None
    return SessionChangePage(_told(entries[:limit])[::-1], more)


def _found(tenant_id: int | None, filters: SessionFilters) -> JournalQuerySet:
    rows = reader.entries().everywhere() if tenant_id is None else reader.entries().for_tenant(tenant_id)
    named: dict[str, Any] = {
        "turn_id__gte": first_id(filters.since) if filters.since is not None else None,
        "turn_id__lt": first_id(filters.until) if filters.until is not None else None,
        "session_id": filters.session_id,
        "user__in": reader.stored_users(tenant_id, filters.user) if filters.user is not None else None,
        "state": filters.action,
    }
    given = {name: value for name, value in named.items() if value is not None}
    return rows.defer(None).filter(kind=AuditEntry.Kind.SESSION, **given)


def _told(entries: list[AuditEntry]) -> list[SessionChange]:
    return [_change(entry, told) for entry, told in zip(entries, Opener().open(entries), strict=True)]


class _Clear(msgspec.Struct):
    parent: int = 0


def _change(entry: AuditEntry, told: Opened) -> SessionChange:
    about = SessionChange(
        id=entry.turn_id, tenant_id=entry.tenant_id, at=entry.at, session_id=entry.session_id or "", action=entry.state,
        parent=0, key_id=entry.key_id, erased=True,
    )  # fmt: skip
    try:
        if not told.text:
            clear = msgspec.json.decode(opening.clear(entry), type=_Clear)
            return msgspec.structs.replace(about, parent=clear.parent)
        known = msgspec.json.decode(told.json, type=SessionEntry)
    except msgspec.MsgspecError:
        return about
    return msgspec.structs.replace(
        about, parent=known.parent, subject=known.subject, user=known.user, request_id=known.request_id,
        detail=known.detail, erased=False,
    )  # fmt: skip
