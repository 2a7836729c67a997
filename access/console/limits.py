"""Screen of limits: what the platform's tenants may use together, of it all and of its models; and what members, keys
and models of tenants may."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from access.console.scoped import BY_TENANT, PlatformAdmin
from access.console.screen import ConsoleForm
from tenants import allowances
from tenants.models import Allowance

SUBJECTS = ("member", "key", "model")
LABELS = {
    "of": _("Of"),
    "member": _("Member"),
    "key": _("API key"),
    "model": _("Model"),
    "requests_per_minute": _("Requests a minute"),
    "tokens_per_minute": _("Tokens a minute"),
    "concurrent_turns": _("Turns at the same time"),
    "money_per_day": _("Money a day"),
    "money_per_month": _("Money a month"),
    "at_limit": _("At the limit"),
}


class AllowanceForm(ConsoleForm):
    """What it is for is said once, when it is made."""

    blamed = "of"

    class Meta:
        model = Allowance
        fields = ["of", "tenant", *SUBJECTS, *allowances.LIMITS]
        labels = LABELS
        help_texts = {
            "model": _("A public name, as in a request."),
            "money_per_day": _("A calendar day in the tenant's time zone. Empty: unlimited."),
            "money_per_month": _("A calendar month in the tenant's time zone. Empty: unlimited."),
            "at_limit": _("What becomes of a turn there is no room for. Empty: as the tenant says."),
        }

    def clean(self) -> dict[str, Any]:
        """Only the one it is for is looked at: what was filled in for another kind is refused, not dropped."""
        data: dict[str, Any] = super().clean() or {}
        of = data.get("of")
        for name in SUBJECTS:
            if of is not None and name in self.fields:
                if name == of and not data.get(name):
                    self.add_error(name, _("Say which."))
                elif name != of and data.get(name):
                    self.add_error(name, _("Leave this empty, or choose another kind above."))
        if of == "platform" and data.get("tenant") is not None:
            self.add_error("tenant", _("Leave this empty: it is for all tenants together."))
        return data

    def limits(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in allowances.LIMITS if name in self.cleaned_data}


class AllowanceAdmin(PlatformAdmin):
    form = AllowanceForm
    list_display = ["subject", "of", "owner", "requests_per_minute", "tokens_per_minute", "concurrent_turns",
                    "money_per_day", "money_per_month"]  # fmt: skip
    list_filter = ["of", BY_TENANT]
    list_select_related = ["tenant", "member__user", "key"]
    search_fields = ["model", "member__user__username", "key__name", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant", "member", "key"]
    fieldsets = [
        (None, {"fields": ["of", "tenant", *SUBJECTS]}),
        (_("Limits"), {"fields": [*allowances.COUNTS, *allowances.MONEY, "at_limit"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["of", "tenant", *SUBJECTS] if obj is not None else []

    @display(description=_("For"))
    def subject(self, row: Allowance) -> str:
        return str(row)

    def save_model(self, request: HttpRequest, obj: Allowance, form: Any, change: bool) -> None:
        saved = allowances.save_allowance(
            tenant=obj.tenant, of=obj.of, member=obj.member, key=obj.key, model=obj.model, **form.limits()
        )
        obj.pk, obj._state.adding = saved.pk, False

    def delete_model(self, request: HttpRequest, obj: Allowance) -> None:
        allowances.remove_allowance(allowance=obj)
