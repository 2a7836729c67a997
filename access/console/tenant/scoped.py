"""What every screen of a tenant's console shares: it reads the tenant's own rows, and roles say who may what.

Most are screens of the platform's console within one tenant: `class Keys(TenantAdmin, ApiKeyAdmin)`. What only makes
sense across tenants (their column, their filter, their field) is left out here."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.db import models
from django.forms.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from access.console.scoped import BY_TENANT
from access.console.screen import Screen
from access.console.tenant.place import Place, place_of
from tenants.scoping import TenantScopedModel

ACROSS = ("tenant", "owner")  # what a list or a form over several tenants has


def here(request: HttpRequest) -> Place:
    """Where the request is. Raises PermissionDenied where it is nowhere."""
    place = place_of(request)
    if place is None:
        raise PermissionDenied
    return place


class OwnForm:
    """Before a form: the row is the tenant's from the start, so that constraints of the tenant's rows are checked."""

    place: ClassVar[Place]
    instance: Any
    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding and isinstance(self.instance, TenantScopedModel):
            self.instance.tenant = self.place.tenant

    def _get_validation_exclusions(self) -> set[str]:
        excluded: set[str] = super()._get_validation_exclusions()
        return excluded - {"tenant"}

    def _update_errors(self, errors: ValidationError) -> None:
        """What is wrong with a field that is not in the form is said above it."""
        if hasattr(errors, "error_dict"):
            found: dict[str, list[ValidationError]] = {}
            for field, messages in errors.error_dict.items():
                found.setdefault(field if field in self.fields else NON_FIELD_ERRORS, []).extend(messages)
            errors = ValidationError(found)
        super()._update_errors(errors)


class TenantAdmin(Screen):
    """A screen over a tenant's table. `area` is the one of `tenants.roles` that it belongs to."""

    area: ClassVar[str]
    show_full_result_count = False
    change_form_before_template = "tenant/whose.html"

    def reach(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Bound to the tenant before anything else is said of it."""
        rows: models.QuerySet[Any] = self.model._default_manager.get_queryset()
        return rows.filter(tenant_id=here(request).tenant.pk)

    def by(self, request: HttpRequest) -> str:
        return here(request).actor

    # Who may what ---------------------------------------------------------------------------------------------------

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "read")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "read")  # which rows `reach` says

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "change")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change", obj)

    def has_press_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change", obj)

    def _may(self, request: HttpRequest, access: Any, obj: Any = None) -> bool:
        """Of a row only of the tenant's own; buttons ask with the row's number, which `reach` looks up later."""
        place = place_of(request)
        if place is None or (isinstance(obj, models.Model) and self.tenant_of(obj) != place.tenant.pk):
            return False
        return place.may(self.area, access)

    def tenant_of(self, row: Any) -> Any:
        return row.tenant_id

    def turn_link(self, request: HttpRequest, turn_id: str) -> str:
        return super().turn_link(request, turn_id) if here(request).may("journal") else ""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """By the filters that are shown, and nothing else: what a column holds is not to be guessed."""
        named = {each[0] if isinstance(each, tuple | list) else each for each in self.get_list_filter(request)}
        if lookup in {getattr(each, "parameter_name", None) for each in named}:
            return True  # a filter of its own, which asks for no column by name
        shown = lookup.partition("__")[0] in {name for name in named if isinstance(name, str)}
        return shown and super().lookup_allowed(lookup, value, request)

    # Without what is across tenants ---------------------------------------------------------------------------------

    def get_list_display(self, request: HttpRequest) -> Any:
        return [name for name in super().get_list_display(request) if name not in ACROSS]

    def get_list_filter(self, request: HttpRequest) -> Any:
        return [each for each in super().get_list_filter(request) if each != BY_TENANT]

    def get_search_fields(self, request: HttpRequest) -> Any:
        return [name for name in super().get_search_fields(request) if not name.startswith("tenant__")]

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        return [name for name in super().get_autocomplete_fields(request) if name not in ACROSS]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name not in ACROSS]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: type[BaseForm] = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (OwnForm, form), {"place": here(request)})

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Of a tenant's rows only its own can be chosen."""
        if "queryset" not in kwargs and issubclass(db_field.remote_field.model, TenantScopedModel):
            kwargs["queryset"] = db_field.remote_field.model.objects.for_tenant(here(request).tenant.pk)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change and isinstance(obj, TenantScopedModel):
            obj.tenant = here(request).tenant
        super().save_model(request, obj, form, change)


class OnlyRow(TenantAdmin):
    """A screen over a table in which a tenant has one row at the most: no list, the row's page at once."""

    def row(self, request: HttpRequest) -> Any:
        return self.get_queryset(request).first()

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        row = self.row(request)
        if row is not None:
            return HttpResponseRedirect(self.link("change", row.pk))
        if self.has_add_permission(request):
            return HttpResponseRedirect(self.link("add"))
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and self.row(request) is None

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return HttpResponseRedirect(self.link("change", obj.pk))

    response_post_save_change = response_post_save_add


class BesideShared(TenantAdmin):
    """A screen that also shows rows of the platform's, read-only: those `shared` says, and of them `shared_fields`."""

    shared_fields: ClassVar[list[str]]

    def shared(self, request: HttpRequest) -> models.Q:
        """Which of the platform's rows the tenant may see."""
        raise NotImplementedError

    def reach(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = self.model._default_manager.get_queryset()
        own, platforms = models.Q(tenant_id=here(request).tenant.pk), models.Q(tenant__isnull=True)
        return rows.filter(own | (platforms & self.shared(request)))

    def has_press_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of a row that only its number is known of, too: buttons for the platform's are not shown."""
        if obj is not None and not isinstance(obj, models.Model):
            obj = self.get_object(request, str(obj))
            own = obj is not None and obj.tenant_id is not None
            return own and super().has_press_permission(request, obj)
        return super().has_press_permission(request, obj)

    def get_list_display(self, request: HttpRequest) -> Any:
        first, *others = super().get_list_display(request)
        return [first, "whose", *others]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and obj.tenant_id is None:
            return [(None, {"fields": self.shared_fields})]
        return super().get_fieldsets(request, obj)

    @display(description=_("Whose"), ordering="tenant_id", label={"own": "success", "platform": "info"})
    def whose(self, row: Any) -> tuple[str, Any]:
        return ("platform", _("the platform's")) if row.tenant_id is None else ("own", _("own"))
