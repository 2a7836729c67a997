"""Screens of the journal: turns by filters, page by page, and all that is recorded of one. Nobody changes anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from access.console.journal_changes import Owners, changes_view, owner_cell, owners_of
from access.console.journal_forms import JournalForm
from access.console.journal_jobs import download_view, read_view, reading_view
from access.console.journal_sessions import session_changes_view
from access.console.journal_signing import signing_view
from access.console.reach import Reach, platform_reach
from access.console.recorded_turn import STATE_COLOURS, duration, moment, moment_here, present, state_name
from access.console.scoped import ReadOnlyAdmin
from compliance.journal import listing, reader
from compliance.journal.listing import Filters, Page, TurnSummary
from compliance.models import AuditEntry
from engine.errors import StoreUnavailable
from tenants.models import Tenant

CURSOR = re.compile(r"[0-9a-f]{1,40}\Z")
View = Callable[..., HttpResponse]


class JournalAdmin(ReadOnlyAdmin):
    actions = None

    def get_custom_urls(self) -> tuple[tuple[str, str, View], ...]:
        return (
            ("changes/", "compliance_auditentry_changes", _guarded(changes_view)),
            ("sessions/", "compliance_auditentry_sessions", _guarded(session_changes_view)),
            ("signed/", "compliance_auditentry_signed", _guarded(signing_view)),
            ("reading/", "compliance_auditentry_reading", _guarded(reading_view)),
            ("reading/<int:job_id>/", "compliance_auditentry_read", _guarded(read_view)),
            ("reading/<int:job_id>/result/", "compliance_auditentry_result", _guarded(download_view)),
        )

    def scope(self, request: HttpRequest) -> Reach:
        """Whose journal it is."""
        return platform_reach(request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.page(request, "journal.html", title=_("Journal"), **_listed(request, self.scope(request)))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> AuditEntry | None:
        """Turns are found by their ids: rows are numbered in every journal file anew."""
        tenant = self.scope(request).tenant
        mine = reader.entries().everywhere() if tenant is None else reader.entries().for_tenant(tenant.pk)
        intents = mine.filter(kind=AuditEntry.Kind.INTENT)
        return intents.filter(turn_id=object_id).first()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request):
            raise PermissionDenied
        intent = self.get_object(request, object_id)
        if intent is None:
            gone: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return gone
        tenant = Tenant.objects.filter(pk=intent.tenant_id).first()
        turn = present(reader.turn(intent.tenant_id, intent.turn_id), tenant)
        return self.page(request, "turn.html", title=_("Turn"), object=intent, original=intent, turn=turn)

    def page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        page: HttpResponse = self.admin_site.page(request, f"console/{template}", {"opts": self.opts, **context})
        return page


def _guarded(view: Callable[..., HttpResponse]) -> View:
    """For who may see the journal."""

    def guarded(request: HttpRequest, model_admin: JournalAdmin, **arguments: Any) -> HttpResponse:
        if not model_admin.has_view_permission(request):
            raise PermissionDenied
        return view(request, model_admin, **arguments)

    return guarded


def _listed(request: HttpRequest, reach: Reach) -> dict[str, Any]:
    """For the template `console/journal.html`."""
    form = JournalForm(request.GET, only=reach.tenant)
    if not form.is_valid():
        return {"form": form, "words": form.words()}
    before, after = (_cursor(request.GET.get(name)) for name in ("before", "after"))
    tenant_id, filters = form.owner.pk if form.owner is not None else None, form.filters()
    try:
        page = reader.readable(lambda: _page(tenant_id, filters, before, after))
    except StoreUnavailable as error:
        return {"form": form, "words": form.words(), "trouble": error.message}
    return {"form": form, "words": form.words(), **_ways(page, before, after), "table": _table(reach, page.turns)}


def _page(tenant_id: int | None, filters: Filters, before: str | None, after: str | None) -> Page:
    if after is not None:
        return listing.page_after(tenant_id, filters, after=after)
    return listing.page(tenant_id, filters, before=before)


def _ways(page: Page, before: str | None, after: str | None) -> dict[str, Any]:
    """The cursors of the pages beside this one, and to what time this one looked, if it found less than it could hold.
    An empty page has no turns to go on from, but it knows where it began."""
    newest = page.turns[0].turn_id if page.turns else None
    oldest = page.turns[-1].turn_id if page.turns else None
    if after is not None:
        older = oldest or f"{after}0"  # the next thing after this id
        return {"older": older, "newer": page.next, "reached": _reached(page)}
    newer = None if before is None else newest or _before(before)
    return {"older": page.next, "newer": newer, "reached": _reached(page)}


def _before(cursor: str) -> str:
    """An id below this one and above all that are less by a millisecond."""
    return cursor[:31]


def _reached(page: Page) -> str:
    if page.next is None or len(page.turns) >= listing.PAGE:
        return ""
    return moment_here(listing.time_of(page.next))


def _cursor(given: str | None) -> str | None:
    return given if given is not None and CURSOR.match(given) else None


def _table(reach: Reach, turns: list[TurnSummary]) -> dict[str, Any]:
    owners = owners_of(reach, turns)
    headers = [
        _("Time"), *([] if owners is None else [_("Tenant")]), _("User"), _("Model"), _("Instance"), _("State"),
        _("Took"), _("Words"), _("Session"),
    ]  # fmt: skip
    return {"headers": headers, "rows": [_line(reach, turn, owners) for turn in turns]}


def _line(reach: Reach, turn: TurnSummary, owners: Owners) -> list[Any]:
    return [
        format_html(
            '<a href="{}" class="journal-time text-primary-600 dark:text-primary-500">{}</a>',
            reach.address("compliance_auditentry_change", turn.turn_id),
            moment(turn.at),
        ),
        *owner_cell(owners, turn.tenant_id),
        _cut(turn.user),
        _cut(f"{turn.model} → {turn.answered_by}" if turn.answered_by not in ("", turn.model) else turn.model),
        _cut(turn.instance),
        _label(state_name(turn.state), STATE_COLOURS[turn.state]),
        duration(turn.ended - turn.at).replace(" ", "\u00a0") if turn.ended is not None else "—",
        _verdicts(turn),
        _cut(turn.session_id or ""),
    ]


def _cut(text: str) -> SafeString | str:
    """Long ones are cut by the page, with the whole on hovering."""
    return format_html('<span class="journal-cut" title="{}">{}</span>', text, text) if text else "—"


def _label(text: Any, colour: str) -> SafeString:
    return format_html('<span class="journal-label journal-{}">{}</span>', colour, text)


def _verdicts(turn: TurnSummary) -> SafeString | str:
    said = sorted({f"{each.action}: {each.list}" for each in turn.verdicts})
    return format_html_join("", '<span class="journal-cut" title="{0}">{0}</span>', ((each,) for each in said)) or "—"
