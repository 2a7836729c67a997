"""The screen of what was done to sessions besides turns: who did what to which one, and when."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from access.console.journal_changes import listed, short
from access.console.journal_forms import SessionChangesForm
from access.console.recorded_turn import moment
from compliance.journal import session_changes
from compliance.journal.session_changes import SessionChange
from tenants.models import Tenant


def session_changes_view(request: HttpRequest, model_admin: Any) -> HttpResponse:
    here = "admin:compliance_auditentry_sessions"
    page: HttpResponse = model_admin.page(
        request, "changes.html", title=_("Changes of sessions"), here=here, **_listed(request)
    )
    return page


def _listed(request: HttpRequest) -> dict[str, Any]:
    return listed(request, SessionChangesForm(request.GET), session_changes, lambda change: str(change.id), _table)


def _table(found: list[SessionChange]) -> dict[str, Any]:
    tenants = Tenant.objects.in_bulk({change.tenant_id for change in found})
    headers = [_("Time"), _("Tenant"), _("Session"), _("Whose"), _("By whom"), _("What"), _("Details")]
    return {"headers": headers, "rows": [_line(change, tenants.get(change.tenant_id)) for change in found]}


def _line(change: SessionChange, tenant: Tenant | None) -> list[Any]:
    return [
        format_html('<span class="journal-time">{}</span>', moment(change.at)),
        tenant or change.tenant_id,
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
