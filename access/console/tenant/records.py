"""What is recorded of a tenant, in its own console: its journal, its erasures and the visits of support."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _

from access.console.erasures import ErasureAdmin
from access.console.journal import JournalAdmin
from access.console.journal_forms import JournalForm
from access.console.reach import Reach, tenant_reach
from access.console.support import SupportVisitAdmin
from access.console.tenant.place import place_of
from access.console.tenant.scoped import TenantAdmin
from tenants import support
from tenants.models import SupportVisit
from tenants.scoping import ScopedQuerySet


class OwnJournal(TenantAdmin, JournalAdmin):
    """The platform's screens, within one tenant."""

    area = "journal"

    def scope(self, request: HttpRequest) -> Reach:
        return tenant_reach(request, self.area)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """By the filters that are shown alone, as every list of this console."""
        if set(request.GET) - {*JournalForm.base_fields, "before", "after", "e"}:
            return HttpResponseRedirect(f"{request.path}?e=1")
        return super().changelist_view(request, extra_context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OwnErasures(TenantAdmin, ErasureAdmin):
    area = "journal"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [name for name in super().get_fields(request, obj) if name not in ("tenant", "owner")]

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class OwnVisits(TenantAdmin, SupportVisitAdmin):
    """Who looked in to help, when and why. An owner ends a visit at once."""

    area = "members"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_end_permission(self, request: HttpRequest) -> bool:
        """An owner's."""
        place = place_of(request)
        return place is not None and place.may("tenant", "change")

    @admin.action(description=_("End the chosen visits"), permissions=["end"])
    def end(self, request: HttpRequest, visits: ScopedQuerySet[SupportVisit]) -> None:
        ended = sum(support.end_visit(visit=visit) for visit in visits)
        told = _("Ended: %(count)s. Who was visiting is out with the next step.") % {"count": ended}
        self.message_user(request, told)
