"""What every screen of the platform console shares: it reads all tenants and says so."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display
from unfold.forms import PaginationInlineFormSet

from tenants.scoping import ScopedQuerySet

BY_TENANT = ("tenant", AutocompleteSelectFilter)
"""For `list_filter`: a search among the tenants, however many there are."""


def everywhere(model: type[models.Model]) -> models.QuerySet[Any]:
    rows = model._default_manager.get_queryset()
    return rows.everywhere() if isinstance(rows, ScopedQuerySet) else rows


class PlatformForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a constraint over several fields says goes beside `blamed`, the field people would change."""

    blamed = "name"

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and NON_FIELD_ERRORS in self.errors:
            for error in self.errors.pop(NON_FIELD_ERRORS).as_data():
                self.add_error(self.blamed, error)


class PlatformFormSet(PaginationInlineFormSet):
    """Rows below a row: the hidden key of each is looked up in the rows of that formset, not in the whole table."""

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        form.fields[self._pk_field.name].queryset = self.get_queryset().all()


class PlatformAdmin(ModelAdmin):
    """A screen over a table of all tenants. Filters by tenant in the database, never in Python."""

    list_per_page = 50
    list_filter_submit = True
    warn_unsaved_form = True

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows = everywhere(self.model)
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    @display(description=_("Tenant"), ordering="tenant__name")
    def owner(self, row: Any) -> Any:
        """For `list_display`, where a row may be the platform's own."""
        return row.tenant or _("Platform")

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """What a service refuses although the form was right (somebody else was quicker) is said, not raised."""
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), "error")
            return HttpResponseRedirect(request.get_full_path())
        return response


class ReadOnlyAdmin(PlatformAdmin):
    """A screen nobody can change anything on."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False
