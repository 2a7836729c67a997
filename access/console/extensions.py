"""Screen of the plugins app: which tenant has which plugin switched on, in which order, with which settings."""

from __future__ import annotations

from typing import Any

import msgspec
from django import forms
from django.utils.functional import lazy
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm
from plugins import registry
from plugins.models import PluginActivation


def choices() -> list[tuple[str, str]]:
    return [(name, gettext(label)) for name, label in registry.labels().items()]


def known_settings() -> SafeString:
    """What each plugin can be told, by the fields of its `Settings`."""
    lines = []
    for name, label in choices():
        fields = msgspec.structs.fields(registry.get(name).Settings)
        lines.append((label, ", ".join(field.encode_name for field in fields) or "—"))
    known = format_html_join("; ", "{}: <code>{}</code>", lines)
    return format_html("{} {}.", _("A JSON object. Settings there are, by plugin:"), known)


class PluginActivationForm(PlatformForm):
    blamed = "plugin"

    plugin = forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget)

    class Meta:
        model = PluginActivation
        fields = ["tenant", "plugin", "enabled", "position", "settings"]
        help_texts = {"settings": lazy(known_settings, SafeString)()}


class PluginActivationAdmin(PlatformAdmin):
    form = PluginActivationForm
    list_display = ["name", "owner", "standing", "position", "created_at"]
    list_filter = ["enabled", "plugin", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["plugin", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]

    @display(description=_("Plugin"), ordering="plugin")
    def name(self, activation: PluginActivation) -> str:
        return gettext(registry.labels().get(activation.plugin, activation.plugin))

    @display(description=_("State"), ordering="enabled", label={"on": "success", "off": "danger"})
    def standing(self, activation: PluginActivation) -> tuple[str, Any]:
        return ("on", _("in use")) if activation.enabled else ("off", _("switched off"))
