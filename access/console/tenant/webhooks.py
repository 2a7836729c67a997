"""Where a tenant's own events go."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from access.console.tenant.scoped import TenantAdmin
from access.console.webhooks import HeldEventAdmin, SinkStateAdmin, WebhookAdmin


class OwnWebhooks(TenantAdmin, WebhookAdmin):
    area = "plugins"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for name in super().get_readonly_fields(request, obj) if name != "tenant"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [name for name in super().get_fields(request, obj) if name != "tenant"]


class _Shown(TenantAdmin):
    """Nobody makes, changes or removes a row by a form."""

    area = "plugins"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OwnSinks(_Shown, SinkStateAdmin):
    search_fields = ["label", "sink"]


class OwnHeldEvents(_Shown, HeldEventAdmin):
    pass
