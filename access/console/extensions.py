"""Screen of the plugins app: which tenant has which plugin switched on, in which order, with which settings."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget

from access.console.scoped import PlatformAdmin
from plugins import registry
from plugins.models import PluginActivation


def choices() -> list[tuple[str, str]]:
    return [(name, name) for name in registry.names()]


class PluginActivationForm(forms.ModelForm):  # type: ignore[type-arg]
    plugin = forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget)

    class Meta:
        model = PluginActivation
        fields: Any = ["tenant", "plugin", "enabled", "position", "settings"]


class PluginActivationAdmin(PlatformAdmin):
    form = PluginActivationForm
    list_display = ["plugin", "tenant", "enabled", "position", "created_at"]
    list_filter = ["enabled", "plugin", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["plugin", "tenant__slug"]
    autocomplete_fields = ["tenant"]
