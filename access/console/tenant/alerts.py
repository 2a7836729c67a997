"""What a tenant wants to be told of, and what was found at it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from access.console.alerts import AlertAdmin, AlertRuleAdmin, AlertRuleForm
from access.console.tenant.scoped import TenantAdmin
from access.translating import choices as in_words
from tenants.models import AlertKind
from tenants.models.alerts import PLATFORM_ONLY


class OwnAlertRuleForm(AlertRuleForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "kind" in self.fields:
            kinds = [(value, label) for value, label in in_words(AlertKind) if value not in PLATFORM_ONLY]
            self.fields["kind"].choices = kinds  # type: ignore[attr-defined]


class OwnAlertRules(TenantAdmin, AlertRuleAdmin):
    area = "settings"
    form = OwnAlertRuleForm

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for name in super().get_readonly_fields(request, obj) if name != "tenant"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [name for name in super().get_fields(request, obj) if name != "tenant"]


class OwnAlerts(TenantAdmin, AlertAdmin):
    """Nobody makes, changes or removes one by a form."""

    area = "settings"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [name for name in super().get_fields(request, obj) if name != "owner"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
