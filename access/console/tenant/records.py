"""What is recorded of a tenant, in its own console: its journal, its erasures and the visits of support."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from access.console.erasures import ErasureAdmin, ErasureForm
from access.console.journal import JournalAdmin
from access.console.reach import Reach, tenant_reach
from access.console.support import VISIT_COLOURS, standing
from access.console.tenant.place import place_of
from access.console.tenant.scoped import TenantAdmin, here
from compliance.models import Erasure
from tenants import support
from tenants.models import SupportVisit
from tenants.scoping import ScopedQuerySet


class TenantJournal(JournalAdmin):
    """The platform's screens, within one tenant."""

    area = "journal"

    def scope(self, request: HttpRequest) -> Reach:
        return tenant_reach(request, self.area)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return self.model._default_manager.get_queryset().filter(tenant_id=here(request).tenant.pk)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        place = place_of(request)
        owner = getattr(obj, "tenant_id", None)
        return place is not None and place.may(self.area) and owner in (None, place.tenant.pk)


class TenantErasureForm(ErasureForm):
    class Meta:
        model = Erasure
        fields: list[str] = []

    def clean(self) -> dict[str, Any]:
        self.cleaned_data["tenant"] = self.instance.tenant
        return super().clean()


class TenantErasures(TenantAdmin, ErasureAdmin):
    """The tenant is the one whose console it is, whatever a form says."""

    area = "journal"
    form = TenantErasureForm
    list_display = ["short", "outcome", "requested_by", "requested_at", "erased_at"]
    list_filter: list[Any] = []
    list_select_related = ["job"]
    search_fields = ["subject"]
    autocomplete_fields: list[str] = []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [name for name in ErasureAdmin.get_fields(self, request, obj) if name not in ("tenant", "owner")]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Bound to the tenant before the form is looked at."""
        made = super().get_form(request, obj, change, **kwargs)
        tenant = here(request).tenant

        class Bound(made):  # type: ignore[valid-type]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                if self.instance.pk is None:
                    self.instance.tenant = tenant

        return Bound

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.tenant = here(request).tenant
        ErasureAdmin.save_model(self, request, obj, form, change)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return ErasureAdmin.changeform_view(self, request, *args, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class TenantVisits(TenantAdmin):
    """Who looked in to help, when and why. An owner ends a visit at once."""

    area = "members"
    list_display = ["operator", "reason", "may_change", "started_at", "ends_at", "state"]
    list_select_related = ["operator"]
    fields = ["operator", "reason", "may_change", "started_at", "ends_at", "ended_at", "state"]
    readonly_fields = fields
    actions = ["end"]

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

    @display(description=_("State"), label=VISIT_COLOURS)
    def state(self, visit: SupportVisit) -> tuple[str, Any]:
        return standing(visit)

    @admin.action(description=_("End the chosen visits"), permissions=["end"])
    def end(self, request: HttpRequest, visits: ScopedQuerySet[SupportVisit]) -> None:
        ended = sum(support.end_visit(visit=visit) for visit in visits)
        self.message_user(request, _("Ended: %(count)s. Those who were visiting are out with their next step.")
                          % {"count": ended})  # fmt: skip
