"""`/api/audit/sessions`: what was done to sessions besides turns, for who audits the tenant."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.audit import Limit, Name, TurnId, When, moment_of
from access.views import LeanView
from compliance.journal import reader, session_changes
from compliance.journal.session_changes import SessionChange, SessionFilters
from engine.types import Json


class SessionChangeQuery(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}
):
    from_: When = None
    to: When = None
    session: Name | None = None
    user: Name | None = None
    action: Name | None = None
    before: TurnId | None = None
    limit: Limit = session_changes.PAGE

    def filters(self) -> SessionFilters:
        """Raises InvalidRequest."""
        return SessionFilters(
            since=moment_of(self.from_, "from"),
            until=moment_of(self.to, "to"),
            session_id=self.session,
            user=self.user,
            action=self.action,
        )


class SessionChangeLine(msgspec.Struct, kw_only=True):
    """`action` is `patched`, `deleted`, `expired`, `snapshot`, `tagged`, `restored`, `branched`, `summarised`,
    `unsummarised` or `withdrawn`; `version` is the session's before it. `actor` did it, `user` is whose session it is;
    both are empty where the user was erased, and `detail` too."""

    id: str
    at: float
    session: str
    action: str
    version: int
    actor: str
    user: str
    key: int | None
    request_id: str
    detail: Json
    erased: bool


class SessionChangeLines(msgspec.Struct):
    """Newest first. `next` is the `before` of the following page; null: this was the last."""

    changes: list[SessionChangeLine]
    next: str | None


class AuditSessions(LeanView):
    """GET: what was done to the tenant's sessions besides turns, newest first."""

    needs = ("audit",)
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        query = schemas.fields(request.GET.dict(), SessionChangeQuery, strict=False)
        tenant_id, filters = self.principal.tenant_id, query.filters()
        work = partial(session_changes.page, tenant_id, filters, before=query.before, limit=query.limit)
        found: session_changes.SessionChangePage = await self.parts.rows.run(partial(reader.readable, work))
        return self.json(SessionChangeLines([_session_change(each) for each in found.changes], found.next))


def _session_change(change: SessionChange) -> SessionChangeLine:
    return SessionChangeLine(
        id=change.id,
        at=change.at,
        session=change.session_id,
        action=change.action,
        version=change.parent,
        actor=change.subject,
        user=change.user,
        key=change.key_id,
        request_id=change.request_id,
        detail=change.detail,
        erased=change.erased,
    )
