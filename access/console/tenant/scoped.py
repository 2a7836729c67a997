"""What every screen of a tenant's console shares: it reads the tenant's own rows, and roles say who may what."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.admin import ModelAdmin

from access.console.tenant.place import Place, place_of


def here(request: HttpRequest) -> Place:
    """Where the request is. Raises PermissionDenied where it is nowhere."""
    place = place_of(request)
    if place is None:
        raise PermissionDenied
    return place


class TenantAdmin(ModelAdmin):
    """A screen over a tenant's table. `area` is the one of `tenants.roles` that it belongs to."""

    area: ClassVar[str]
    list_per_page = 50
    list_filter_submit = True
    warn_unsaved_form = True
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Bound to the tenant before anything else is said of it."""
        rows: models.QuerySet[Any] = self.model._default_manager.get_queryset().filter(
            tenant_id=here(request).tenant.pk
        )
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "read", obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "change")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change", obj)

    def _may(self, request: HttpRequest, access: Any, obj: Any = None) -> bool:
        place = place_of(request)
        if place is None or (obj is not None and obj.tenant_id != place.tenant.pk):
            return False
        return place.may(self.area, access)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.tenant = here(request).tenant
        super().save_model(request, obj, form, change)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """What a service refuses although the form was right is said, not raised."""
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), "error")
            return HttpResponseRedirect(request.get_full_path())
        return response
