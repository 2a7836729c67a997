"""A tenant's own model instances, and those of the platform that it may use."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpRequest

from access.console.models import ModelInstanceAdmin
from access.console.tenant.scoped import BesideShared, here
from engine.types import Principal
from routing.models import ModelGrant, ModelInstance

PLATFORMS = ("sharing", "allow_private")
"""What only the platform decides: whom it shares with, and whether calls may go into its own network."""


class OwnModels(BesideShared, ModelInstanceAdmin):
    area = "models"
    by_tenant = True
    inlines = []
    list_display = ["name", "label", "standing", "task", "price_in", "price_out", "weight", "key"]
    list_filter = ["enabled", "task"]
    search_fields = ["name", "label"]
    shared_fields = [
        "name",
        "label",
        "task",
        "enabled",
        "version",
        "context_window",
        "languages",
        "price_in",
        "price_out",
    ]

    def shared(self, request: HttpRequest) -> Q:
        granted = ModelGrant.objects.for_tenant(here(request).tenant.pk).values("instance_id")
        return Q(enabled=True) & (Q(sharing=ModelInstance.Sharing.ALL) | Q(pk__in=granted))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """An adapter's options may hold secrets: whoever changes nothing does not see them."""
        hidden = PLATFORMS if self.has_change_permission(request, obj) else (*PLATFORMS, "options")
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name not in hidden]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def asking(self, request: HttpRequest, instance: ModelInstance) -> Principal:
        return here(request).principal()
