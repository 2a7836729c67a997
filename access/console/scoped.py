"""What every screen of the platform console shares: it reads all tenants and says so."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.forms import ModelChoiceField
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from tenants.scoping import ScopedQuerySet


def everywhere(model: type[models.Model]) -> models.QuerySet[Any]:
    rows = model._default_manager.get_queryset()
    return rows.everywhere() if isinstance(rows, ScopedQuerySet) else rows


class PlatformAdmin(ModelAdmin):
    """A screen over a table of all tenants. Filters by tenant in the database, never in Python."""

    list_per_page = 50
    show_full_result_count = False
    list_filter_submit = True
    warn_unsaved_form = True

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows = everywhere(self.model)
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField | None:
        if db_field.remote_field.model._meta.app_label != "auth":
            kwargs.setdefault("queryset", everywhere(db_field.remote_field.model))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class ReadOnlyAdmin(PlatformAdmin):
    """A screen nobody can change anything on."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False
