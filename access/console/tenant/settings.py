"""What a tenant says of itself, and what the platform has set for it."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django import forms
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from access.console.people import STREAMS
from access.console.screen import ConsoleForm
from access.console.tenant.scoped import OnlyRow, here
from tenants.models import Tenant


class ZoneInput(UnfoldAdminTextInputWidget):
    """A text field that completes IANA names while one types; without scripts it is still a text field."""

    template_name = "tenant/zone_input.html"

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        context["widget"]["attrs"]["list"] = f"{context['widget']['attrs']['id']}_known"
        return {**context, "zones": sorted(zoneinfo.available_timezones())}


class SettingsForm(ConsoleForm):
    class Meta:
        model = Tenant
        fields = ["name", "time_zone", "at_limit", "budget_webhook", "stream_interval"]
        labels = {
            "time_zone": _("Time zone"),
            "at_limit": _("At the limit"),
            "budget_webhook": _("Budget webhook"),
            "stream_interval": _("Events of a stream apart"),
        }
        help_texts = {
            "time_zone": _("Days and months of budgets and reports, and times in this console."),
            "at_limit": _("What becomes of a turn its budget has no room for."),
            "budget_webhook": _("Told when a budget is used up to four fifths, and when it is used up."),
            "stream_interval": STREAMS,
        }
        widgets = {"time_zone": ZoneInput(attrs={"autocomplete": "off"})}


class OwnSettings(OnlyRow):
    area = "settings"
    search_fields = ["name"]
    form = SettingsForm
    search_fields = ["name"]  # django's checks want it of whatever a platform's screen completes
    readonly_fields = ["slug", "retention", "session_life", "legal_hold", "created_at"]
    fieldsets = [
        (None, {"fields": ["name", "slug", "time_zone"]}),
        (_("Budgets"), {"fields": ["at_limit", "budget_webhook"]}),
        (_("Streams"), {"fields": ["stream_interval"]}),
        (_("Set by the platform"), {"fields": ["retention", "session_life", "legal_hold", "created_at"]}),
    ]
    change_form_outer_after_template = "tenant/settings_after.html"

    def reach(self, request: HttpRequest) -> models.QuerySet[Any]:
        return Tenant.objects.filter(pk=here(request).tenant.pk)

    def tenant_of(self, row: Any) -> Any:
        return row.pk

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """An address may hold a secret: whoever changes nothing does not see it."""
        hidden = () if self.has_change_permission(request, obj) else ("budget_webhook",)
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name not in hidden]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        leaves = {"may_leave": here(request).may("tenant")}
        response: HttpResponse = super().render_change_form(request, {**context, **leaves}, *args, **kwargs)
        return response

    def save_model(self, request: HttpRequest, obj: Tenant, form: forms.ModelForm[Tenant], change: bool) -> None:
        if form.changed_data:
            obj.save(update_fields=form.changed_data)

    @display(description=_("Turns are kept for"))
    def retention(self, tenant: Tenant) -> Any:
        return _days(tenant.retention_days)

    @display(description=_("Sessions end after"))
    def session_life(self, tenant: Tenant) -> Any:
        return _days(tenant.session_retention_days)


def _days(days: int | None) -> Any:
    if days is None:
        return _("as the platform says")
    return _("%(count)s days") % {"count": days} if days else _("for good")
