"""What every screen of the platform console shares: it reads all tenants and says so."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.forms import PaginationInlineFormSet

from access.console.screen import ConsoleForm, Screen
from tenants.scoping import ScopedQuerySet, TenantScopedModel

BY_TENANT = ("tenant", AutocompleteSelectFilter)
"""For `list_filter`: a search among the tenants, however many there are."""

PlatformForm = ConsoleForm


def everywhere(model: type[models.Model]) -> models.QuerySet[Any]:
    rows = model._default_manager.get_queryset()
    return rows.everywhere() if isinstance(rows, ScopedQuerySet) else rows


class PlatformFormSet(PaginationInlineFormSet):
    """Rows below a row: the hidden key of each is looked up in the rows of that formset, not in the whole table."""

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        form.fields[self._pk_field.name].queryset = self.get_queryset().all()


class PlatformAdmin(Screen):
    """A screen over a table of all tenants. Filters by tenant in the database, never in Python."""

    def reach(self, request: HttpRequest) -> models.QuerySet[Any]:
        return everywhere(self.model)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if "queryset" not in kwargs and issubclass(db_field.remote_field.model, TenantScopedModel):
            kwargs["queryset"] = everywhere(db_field.remote_field.model)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def by(self, request: HttpRequest) -> str:
        return f"operator:{request.user.pk}"


class ReadOnlyAdmin(PlatformAdmin):
    """A screen nobody can change anything on."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False
