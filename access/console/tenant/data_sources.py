"""A tenant's own databases."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from access.console.data_sources import DataSourceAdmin
from access.console.tenant.scoped import TenantAdmin, here


class OwnDataSources(TenantAdmin, DataSourceAdmin):
    """Whether it may lie in a private network the platform decides."""

    area = "plugins"
    by_tenant = True

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name != "allow_private"]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.tenant = here(request).tenant
        DataSourceAdmin.save_model(self, request, obj, form, change)
