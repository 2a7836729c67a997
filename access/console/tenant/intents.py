"""A tenant's own intents, and when a text is none of them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest

from access.console.intents import IntentAdmin, IntentSettingsAdmin
from access.console.tenant.scoped import OnlyRow, TenantAdmin, here
from plugins.models import Intent
from tenants.models import Tenant


class OwnIntents(TenantAdmin, IntentAdmin):
    area = "plugins"
    list_filter = ["enabled"]
    search_fields = ["name", "description"]

    def only(self, request: HttpRequest) -> Tenant:
        return here(request).tenant

    def save_model(self, request: HttpRequest, obj: Intent, form: forms.ModelForm[Any], change: bool) -> None:
        if not change:
            obj.tenant = here(request).tenant
        IntentAdmin.save_model(self, request, obj, form, change)


class OwnIntentSettings(OnlyRow, IntentSettingsAdmin):
    area = "plugins"
