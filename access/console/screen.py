"""What every screen over rows shares, of the platform's console and of a tenant's."""

from __future__ import annotations

from itertools import chain
from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import NON_FIELD_ERRORS, BadRequest, PermissionDenied, ValidationError
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from access.console.json_field import JsonField
from access.console.links import link_or_none
from access.translating import label_fields
from routing.lexing import Reason

LONGEST = 19  # digits of a row's number
LONGEST_SEARCH = 200  # characters
REFUSED = (  # why `engine.addresses` refuses one
    gettext_noop("an address of a private network"),
    gettext_noop("an address that may not be called"),
    gettext_noop("not an address"),
    gettext_noop("not a name"),
    gettext_noop("not a port"),
)
# Of a constraint that says nothing of its own: Django's message names columns.
TAKEN = _("There is one like this already: change that one, or choose something else.")


class ConsoleForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a constraint over several fields says goes beside `blamed`, the field people would change. A field that is
    wrong by itself is not told what its row says of it, too. What rows say, in English for the API, is translated."""

    blamed = "name"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        label_fields(self)

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and NON_FIELD_ERRORS in self.errors and self.blamed in self.fields:
            for error in self.errors.pop(NON_FIELD_ERRORS).as_data():
                self.add_error(self.blamed, TAKEN if error.code == "unique_together" else error)

    def add_error(self, field: str | None, error: Any) -> None:
        found = error if isinstance(error, ValidationError) else ValidationError(error)
        for each in found.error_list if not hasattr(found, "error_dict") else chain(*found.error_dict.values()):
            if type(each.message) is str:
                each.message = gettext(each.message)
            params = each.params or {}
            why = params.get("error")
            if isinstance(why, Reason):
                each.params = {**params, "error": why.translated(gettext)}
            elif type(why) is str and why:
                each.params = {**params, "error": gettext(why)}
        super().add_error(field, found)

    def _update_errors(self, errors: ValidationError) -> None:
        if hasattr(errors, "error_dict"):
            told = {field: of_it for field, of_it in errors.error_dict.items() if field not in self.errors}
            errors = ValidationError(told)
        super()._update_errors(errors)


class FoundSelect(AutocompleteSelect):
    """The field that completes while one types. What is no number of a row chose nothing when its form comes back."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        numbers = [each for each in value if str(each).isdecimal() and len(str(each)) < LONGEST]
        return super().optgroups(name, numbers, attr)


class Screen(ModelAdmin):
    """A screen over a table. Whose rows it reads, and as whom it changes them, its console says."""

    list_per_page = 50
    list_filter_submit = True
    warn_unsaved_form = True

    def reach(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The rows this console may show to this person."""
        raise NotImplementedError

    def by(self, request: HttpRequest) -> str:
        """As versions and journal name who did it."""
        raise NotImplementedError

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows = self.reach(request)
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if "widget" not in kwargs and db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = FoundSelect(db_field, self.admin_site, using=kwargs.get("using"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if isinstance(db_field, models.JSONField):
            kwargs.setdefault("form_class", JsonField)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_search_results(self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str) -> Any:
        """Each word is a condition, and a database bears only so many of them: of a long text its beginning counts."""
        return super().get_search_results(request, queryset, search_term[:LONGEST_SEARCH])

    def response_action(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> HttpResponse | None:
        """Raises BadRequest where what was chosen is nothing a row can be called."""
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.run_validators(self.opts.pk.to_python(chosen))
            except ValidationError:
                raise BadRequest from None
        answer: HttpResponse | None = super().response_action(request, queryset)
        return answer

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What an address fills in: a text in the place of a time would break the fields that show one."""
        found: dict[str, Any] = super().get_changeform_initial_data(request)
        times = {field.name for field in self.opts.get_fields() if isinstance(field, models.DateField)}
        return {name: value for name, value in found.items() if name not in times}

    def link(self, page: str, *args: Any) -> str:
        """The address of one of this screen's pages, in its own console."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(f"{self.admin_site.name}:{name}", args=args)

    def beside(self, page: str, *args: Any) -> str:
        """The address of another screen's page in the same console, such as `tenants_member_change`."""
        return reverse(f"{self.admin_site.name}:{page}", args=args)

    def framed(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        """A page about this screen's rows that is neither their list nor their form."""
        shared = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, f"console/{template}", {**shared, **context})

    def has_press_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether buttons that change a row, or make one do something, are there: also where no form changes it."""
        return True

    def pressed(self, request: HttpRequest, number: Any) -> Any:
        """The row a button is for. Raises Http404, PermissionDenied where it is not theirs to press for."""
        row = self.get_object(request, str(number))  # None too for what is no number of a row
        if row is None:
            raise Http404
        if not self.has_press_permission(request, row):
            raise PermissionDenied
        return row

    def turn_link(self, request: HttpRequest, turn_id: str) -> str:
        """Where a turn is read; empty where this person may not."""
        return link_or_none(request, "compliance_auditentry_change", turn_id)

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
