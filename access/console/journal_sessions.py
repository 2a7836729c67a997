"""The screen of what was done to sessions besides turns: who did what to which one, and when."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from access.console.journal_changes import Owners, listed, owner_cell, owners_of, short
from access.console.journal_forms import SessionChangesForm
from access.console.reach import Reach
from access.console.recorded_turn import moment
from compliance.journal import session_changes
from compliance.journal.session_changes import SessionChange


def session_changes_view(request: HttpRequest, model_admin: Any) -> HttpResponse:
    here = "admin:compliance_auditentry_sessions"
    page: HttpResponse = model_admin.page(
        request,
        "changes.html",
        title=_("Changes of sessions"),
        here=here,
        **_listed(request, model_admin.scope(request)),
    )
    return page


def _listed(request: HttpRequest, reach: Reach) -> dict[str, Any]:
    form = SessionChangesForm(request.GET, only=reach.tenant)
    return listed(request, form, session_changes, lambda change: str(change.id), partial(_table, reach))


def _table(reach: Reach, found: list[SessionChange]) -> dict[str, Any]:
    owners = owners_of(reach, found)
    headers = [
        _("Time"), *([] if owners is None else [_("Tenant")]), _("Session"), _("Whose"), _("By whom"), _("What"),
        _("Details"),
    ]  # fmt: skip
    return {"headers": headers, "rows": [_line(change, owners) for change in found]}


def _line(change: SessionChange, owners: Owners) -> list[Any]:
    return [
        format_html('<span class="journal-time">{}</span>', moment(change.at)),
        *owner_cell(owners, change.tenant_id),
        format_html(
            '<span class="journal-cut" title="{0}">{0}</span><span class="journal-small">{1} {2}</span>',
            change.session_id,
            _("version"),
            change.parent,
        ),
        change.user or "—",
        change.subject or "—",
        change.action,
        _details(change),
    ]


def _details(change: SessionChange) -> SafeString | Any:
    if change.erased:
        return _("It cannot be read any more.")
    if not change.detail:
        return "—"
    lines = [(name, short(change.detail, name)) for name in change.detail]
    rows = format_html_join("", "<dt>{}</dt><dd>{}</dd>", lines)
    return format_html(
        '<details class="journal-values"><summary>{}</summary><dl>{}</dl></details>', ", ".join(change.detail), rows
    )
