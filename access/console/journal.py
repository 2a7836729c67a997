"""Screen of the journal: a line a turn, and a page with all that is recorded of one. Nobody can change anything."""

from __future__ import annotations

import re
import time
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import TextFilter
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from access.console.recorded_turn import STATE_COLOURS, duration, moment, present, state_name
from access.console.scoped import ReadOnlyAdmin
from compliance.journal import reader
from compliance.models import AuditEntry
from tenants.models import Tenant

IN_FLIGHT = "in_flight"
SHORT = 24  # characters of a user that a line has room for
TURN_ID = re.compile(r"[0-9a-f]{4,32}\Z")


def turns() -> models.QuerySet[AuditEntry]:
    """Every turn's intent: what a turn is listed, found and counted by."""
    return reader.entries().everywhere().filter(kind=AuditEntry.Kind.INTENT)


def first_turn_of(moment: float) -> str:
    """No turn that began at or after this time (Unix seconds) has a smaller id: ids begin with milliseconds."""
    return f"{max(int(moment * 1000), 0):012x}"


class ByTenant(TextFilter):
    title = _("tenant (slug)")
    parameter_name = "tenant"

    def queryset(self, request: HttpRequest, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        slug = (self.value() or "").strip().lower()
        if not slug:
            return rows
        return rows.filter(tenant_id__in=list(Tenant.objects.filter(slug=slug).values_list("id", flat=True)))


class ByState(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*AuditEntry.State.choices, (IN_FLIGHT, _("In flight"))]

    def queryset(self, request: HttpRequest, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        ends = reader.entries().everywhere().filter(kind=AuditEntry.Kind.COMPLETION, turn_id=OuterRef("turn_id"))
        if self.value() is None:
            return rows
        return rows.filter(~Exists(ends) if self.value() == IN_FLIGHT else Exists(ends.filter(state=self.value())))


class ByAge(admin.SimpleListFilter):
    title = _("age")
    parameter_name = "minutes"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("5", _("5 minutes")), ("60", _("One hour")), ("1440", _("One day")), ("10080", _("One week"))]

    def queryset(self, request: HttpRequest, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        minutes = self.value() or ""
        if not (minutes.isascii() and minutes.isdigit() and len(minutes) < 9):
            return rows
        return rows.filter(turn_id__gte=first_turn_of(time.time() - int(minutes) * 60))


class TurnList(ChangeList):
    """The page's turns, each with its completion and its tenant's name: two queries more, however many turns."""

    def get_ordering(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> list[Any]:
        return ["-turn_id"]  # an index; a turn has one intent, so nothing else is needed to make the order certain

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found = list(self.result_list)
        ids = [intent.turn_id for intent in found]
        ends = reader.entries().everywhere().filter(turn_id__in=ids, kind=AuditEntry.Kind.COMPLETION)
        by_turn = {end.turn_id: end for end in ends}
        tenants = Tenant.objects.in_bulk({intent.tenant_id for intent in found})
        for intent in found:
            intent.end = by_turn.get(intent.turn_id)
            intent.tenant_row = tenants.get(intent.tenant_id)
        self.result_list = found

    def url_for_result(self, result: Any) -> str:
        return reverse("admin:compliance_auditentry_change", args=[result.turn_id])


class JournalAdmin(ReadOnlyAdmin):
    list_display = ["when", "owner", "who", "asked", "instance_name", "outcome", "took", "session_id"]
    list_display_links = ["when"]
    list_filter = [ByTenant, ByState, ByAge]
    search_fields = ["turn_id"]
    search_help_text = _("Turn id (or its beginning), session id or user")
    sortable_by = ()
    actions = None
    paginator = InfinitePaginator  # counting ten million rows for a page number helps nobody
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # as little as counting them for every filter
    list_fullwidth = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return TurnList

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return turns()

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        found = Q(session_id=term) | Q(user__in=reader.stored_users(None, term))
        if TURN_ID.match(term.lower()):
            found |= Q(turn_id__gte=term.lower(), turn_id__lte=term.lower().ljust(32, "f"))
        return queryset.filter(found), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> AuditEntry | None:
        """Turns are found by their ids: rows are numbered in every journal file anew."""
        return turns().filter(turn_id=object_id).first()

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
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "object": intent,
            "original": intent,
            "title": _("Turn"),
            "turn": present(reader.turn(intent.tenant_id, intent.turn_id), tenant),
        }
        return TemplateResponse(request, "console/turn.html", context)

    @display(description=_("Time"))
    def when(self, intent: AuditEntry) -> str:
        return moment(intent.at)

    @display(description=_("Tenant"))
    def owner(self, intent: Any) -> Any:
        return intent.tenant_row or (_("Platform") if intent.tenant_id == 0 else intent.tenant_id)

    @display(description=_("User"))
    def who(self, intent: Any) -> str:
        """The beginning of the pseudonym: the turn's page has the name, the search finds by it."""
        return f"{intent.user[:12]}…" if len(intent.user) > SHORT else str(intent.user)

    @display(description=_("Model"))
    def asked(self, intent: Any) -> str:
        """What was asked for, and what that became."""
        became = intent.end.model if intent.end else ""
        return f"{intent.model} → {became}" if became and became != intent.model else str(intent.model)

    @display(description=_("Instance"))
    def instance_name(self, intent: Any) -> str | None:
        return (intent.end.instance if intent.end else "") or intent.instance or None

    @display(description=_("State"), label=STATE_COLOURS)
    def outcome(self, intent: Any) -> tuple[str, Any]:
        state = intent.end.state if intent.end else IN_FLIGHT
        return state, state_name(state)

    @display(description=_("Took"))
    def took(self, intent: Any) -> str | None:
        return duration(intent.end.at - intent.at) if intent.end else None
