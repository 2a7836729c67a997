"""The screen of support visits: an operator begins one here, and is then in the tenant's console."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from access.console.scoped import BY_TENANT, PlatformAdmin
from access.console.tenant.place import VISIT
from tenants import support
from tenants.models import SupportVisit
from tenants.scoping import ScopedQuerySet

VISIT_COLOURS = {"now": "warning", "ended": "info"}


def standing(visit: SupportVisit) -> tuple[str, Any]:
    if support.is_going_on(visit):
        return "now", _("visiting now")
    return "ended", _("ended") if visit.ended_at is not None else _("ended by itself")


class VisitForm(forms.ModelForm):  # type: ignore[type-arg]
    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("The tenant reads it, and so does the journal."),
    )
    may_change = forms.BooleanField(
        label=_("May change things"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=_("Otherwise it is for looking only."),
    )
    minutes = forms.IntegerField(
        label=_("Minutes"),
        initial=support.LONGEST,
        min_value=1,
        max_value=support.LONGEST,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Then it ends by itself."),
    )

    class Meta:
        model = SupportVisit
        fields = ["tenant", "reason", "may_change"]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        tenant = data.get("tenant")
        if tenant is not None and not tenant.is_active:
            self.add_error("tenant", _("This tenant is suspended: nobody can open its console."))
        return data

    def _post_clean(self) -> None:
        """The service makes the row and cleans it; here it has neither an operator nor an end."""


class SupportVisitAdmin(PlatformAdmin):
    """A visit is begun and ended; nobody changes or removes one."""

    form = VisitForm
    list_display = ["operator", "owner", "reason", "may_change", "started_at", "ends_at", "state"]
    list_filter = [BY_TENANT]
    list_select_related = ["operator", "tenant"]
    search_fields = ["reason", "operator__username", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]
    actions = ["end"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        if obj is None:
            return ["tenant", "reason", "minutes", "may_change"]
        return ["operator", "owner", "reason", "may_change", "started_at", "ends_at", "ended_at", "outcome"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self.get_fields(request, obj) if obj is not None else []

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_end_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        data = form.cleaned_data
        made = support.start_visit(
            operator=request.user,  # type: ignore[arg-type]  # the site lets in operators alone
            tenant=data["tenant"],
            reason=data["reason"],
            may_change=data["may_change"],
            minutes=data["minutes"],
        )
        for field in made._meta.concrete_fields:
            setattr(obj, field.attname, getattr(made, field.attname))
        request.session[VISIT] = made.pk

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("console:index"))

    @display(description=_("State"), label=VISIT_COLOURS)
    def state(self, visit: SupportVisit) -> tuple[str, Any]:
        return standing(visit)

    @display(description=_("State"))
    def outcome(self, visit: SupportVisit) -> str:
        return str(standing(visit)[1])

    @admin.action(description=_("End the chosen visits"), permissions=["end"])
    def end(self, request: HttpRequest, visits: ScopedQuerySet[SupportVisit]) -> None:
        ended = sum(support.end_visit(visit=visit) for visit in visits)
        self.message_user(request, _("Ended: %(count)s.") % {"count": ended})
