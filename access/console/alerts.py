"""Screens of alerts: what somebody wants to be told of, and what was found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from access.alerting import telling
from access.alerting.knowing import acknowledge
from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm, ReadOnlyAdmin
from access.console.texts import short_address
from tenants import webhooks
from tenants.models import Alert, AlertRule
from tenants.models.alerts import DEFAULTS


class AlertRuleForm(PlatformForm):
    blamed = "kind"

    class Meta:
        model = AlertRule
        fields = ["tenant", "kind", "threshold", "minutes", "repeat_minutes", "mail", "url", "enabled"]
        labels = {
            "kind": _("Tell of"),
            "threshold": _("Threshold"),
            "minutes": _("For so many minutes"),
            "repeat_minutes": _("Again after so many minutes"),
            "mail": _("By mail"),
            "url": _("To an address"),
            "enabled": _("In use"),
        }
        help_texts = {
            "tenant": _("Empty: it is the platform's own, for its operators."),
            "threshold": _("Empty: the usual one."),
            "minutes": _("So long before somebody is told, and so long it must be well before it is over."),
            "repeat_minutes": _("Until somebody says that they know; 0: never."),
            "mail": _("To owners and admins; of the platform's own, to its operators."),
            "url": _("A signed message is posted there. It must be reachable from the public internet."),
        }

    def clean_threshold(self) -> float | None:
        """A number, not infinity nor what is none."""
        value: float | None = self.cleaned_data["threshold"]
        if value is not None and not abs(value) < 1e12:
            raise forms.ValidationError(_("Enter a number."))
        return value


class AlertRuleAdmin(PlatformAdmin):
    form = AlertRuleForm
    list_display = ["name", "owner", "limit_now", "minutes", "mail", "address", "enabled"]
    list_filter = ["enabled", "kind", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["kind", "url", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["tenant", "kind", "signed_with"] if obj is not None else []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = ["tenant", "kind", "threshold", "minutes", "repeat_minutes", "mail", "url", "enabled"]
        shown = obj is not None and obj.url and self.has_change_permission(request, obj)
        return [*fields, "signed_with"] if shown else fields

    @display(description=_("Tell of"), ordering="kind")
    def name(self, rule: AlertRule) -> str:
        return str(rule.get_kind_display())

    @display(description=_("Threshold"))
    def limit_now(self, rule: AlertRule) -> str:
        return telling.figure(Alert(kind=rule.kind), rule.limit) if rule.kind in DEFAULTS else "—"

    @display(description=_("To an address"), ordering="url")
    def address(self, rule: AlertRule) -> str:
        return short_address(rule.url) or "—"

    @display(description=_("Signed with"))
    def signed_with(self, rule: AlertRule) -> str:
        return webhooks.secret_of(rule.tenant_id or telling.PLATFORM)


class AlertAdmin(ReadOnlyAdmin):
    """The newest first. *I know of it* ends repetitions."""

    list_display = ["name", "owner", "subject", "standing", "measured", "began", "ended", "known_to"]
    list_filter = ["state", "kind", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["subject", "kind", "tenant__slug", "tenant__name"]
    actions = ["acknowledge_chosen"]
    actions_detail = ["acknowledge"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["name", "owner", "subject", "state", "measured", "limit_then", "began", "fired", "ended", "told",
                "last_error", "known_to"]  # fmt: skip

    @display(description=_("What"), ordering="kind")
    def name(self, alert: Alert) -> str:
        return str(alert.get_kind_display())

    @display(description=_("State"), label={"pending": "info", "firing": "danger", "resolved": "success"})
    def standing(self, alert: Alert) -> tuple[str, Any]:
        return (alert.state, alert.get_state_display())

    @display(description=_("Measured"))
    def measured(self, alert: Alert) -> str:
        return telling.figure(alert, alert.value) or "—"

    @display(description=_("Threshold"))
    def limit_then(self, alert: Alert) -> str:
        return telling.figure(alert, alert.threshold) or "—"

    @display(description=_("Since"), ordering="since")
    def began(self, alert: Alert) -> str:
        return moment(alert.since)

    @display(description=_("Fired"))
    def fired(self, alert: Alert) -> str:
        return moment(alert.fired_at)

    @display(description=_("Over"), ordering="resolved_at")
    def ended(self, alert: Alert) -> str:
        return moment(alert.resolved_at)

    @display(description=_("Told last"))
    def told(self, alert: Alert) -> str:
        return moment(alert.told_at)

    @display(description=_("Known to"))
    def known_to(self, alert: Alert) -> str:
        return alert.acknowledged_by or "—"

    @action(description=_("I know of it"), icon="visibility", permissions=["press"])
    def acknowledge(self, request: HttpRequest, object_id: int) -> HttpResponse:
        alert = self.pressed(request, object_id)
        if request.method == "POST":
            acknowledge(alert, request.user.get_username())
            return HttpResponseRedirect(self.link("change", alert.pk))
        back = self.link("change", alert.pk)
        return self.framed(request, "alert_ask.html", title=_("I know of it"), alert=telling.what(alert), back=back)

    def has_acknowledge_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_press_permission(request)

    @admin.action(description=_("I know of the chosen ones"), permissions=["acknowledge"])
    def acknowledge_chosen(self, request: HttpRequest, rows: models.QuerySet[Alert]) -> None:
        for alert in rows:
            if self.has_press_permission(request, alert):
                acknowledge(alert, request.user.get_username())
        self.message_user(request, _("They are not told again."))


def moment(at: float | None) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}" if at else "—"
