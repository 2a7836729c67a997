"""Screens of the plugins app: which tenant has which plugin switched on, each tenant's plugins with their settings, and
what is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from access.console.plugin_list import PluginPlace, plugins_view
from access.console.plugin_page import plugin_view
from access.console.plugin_trial import job_view
from access.console.reach import platform_reach
from access.console.replay import REFRESH
from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm
from plugins import registry
from plugins.models import PluginActivation
from tenants.models import Tenant


def choices() -> list[tuple[str, str]]:
    return [(name, gettext(label)) for name, label in registry.labels().items()]


class PluginActivationForm(PlatformForm):
    """Whose, and which: all else is on the page this leads to. Nothing is saved before."""

    plugin = forms.ChoiceField(label=_("Plugin"), choices=choices, widget=UnfoldAdminSelectWidget)

    class Meta:
        model = PluginActivation
        fields = ["tenant", "plugin"]

    def _post_clean(self) -> None:
        """There is no row yet to be checked."""


class PluginActivationAdmin(PlatformAdmin):
    form = PluginActivationForm
    list_display = ["name", "owner", "standing", "required", "position", "created_at"]
    list_filter = ["enabled", "required", "plugin", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["plugin", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]
    actions_list = ["installed"]

    def get_custom_urls(self) -> tuple[tuple[str, str, Callable[..., Any]], ...]:
        own = f"{self.opts.app_label}_{self.opts.model_name}"
        assert own == "plugins_pluginactivation"
        return (
            *super().get_custom_urls(),
            ("tenant/<int:tenant_id>/", "tenant_plugins", type(self).tenant_view),
            ("tenant/<int:tenant_id>/<str:name>/", "tenant_plugin", type(self).plugin_view),
            ("tenant/<int:tenant_id>/dry-runs/<int:job_id>/", "tenant_plugin_dry_run", type(self).tried_view),
        )

    @staticmethod
    def tenant_view(request: HttpRequest, tenant_id: int, model_admin: PluginActivationAdmin) -> HttpResponse:
        shown = plugins_view(request, _place(request, tenant_id))
        return shown if isinstance(shown, HttpResponse) else model_admin.framed(request, "plugins.html", **shown)

    @staticmethod
    def plugin_view(
        request: HttpRequest, tenant_id: int, name: str, model_admin: PluginActivationAdmin
    ) -> HttpResponse:
        shown = plugin_view(request, _place(request, tenant_id), name)
        return shown if isinstance(shown, HttpResponse) else model_admin.framed(request, "plugin.html", **shown)

    @staticmethod
    def tried_view(
        request: HttpRequest, tenant_id: int, job_id: int, model_admin: PluginActivationAdmin
    ) -> HttpResponse:
        shown = job_view(request, _place(request, tenant_id), job_id)
        page = model_admin.framed(request, "plugin_tried.html", **shown)
        if shown["job"].state in ("queued", "running"):
            page.headers["Refresh"] = str(REFRESH)
        return page

    @action(description=_("Installed plugins"), icon="extension", url_path="installed", permissions=["view"])
    def installed(self, request: HttpRequest) -> HttpResponse:
        headers = [_("Name"), _("Label"), _("Package"), _("Entry point"), _("Code"), _("State")]
        labels = registry.labels()
        rows = [
            [
                found.name,
                gettext(labels[found.name]) if not found.error else "—",
                f"{found.package} {found.version}" if found.package else gettext("comes with Clawdbot"),
                found.entry or "—",
                found.source,
                found.error or gettext("ready"),
            ]
            for found in registry.extensions()
        ]
        note = _("Packages are found by the entry point %(group)s when a process starts.") % {"group": registry.GROUP}
        title = _("Installed plugins")
        tables = [{"title": title, "table": {"headers": headers, "rows": rows}}]
        return self.framed(request, "operation.html", title=title, tables=tables, notes=[note])

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The page both consoles share; the usual one where the plugin is not installed any more."""
        row = self.get_object(request, object_id)
        if row is not None and row.plugin in registry.names():
            return type(self).plugin_view(request, row.tenant_id, row.plugin, self)
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        return response

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of one whose plugin is gone nothing can be changed, but that it is there."""
        gone = obj is not None and obj.plugin not in registry.names()
        return not gone and bool(super().has_change_permission(request, obj))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if request.method == "POST" and self.has_add_permission(request):
            form = self.get_form(request)(request.POST)
            if form.is_valid():
                chosen = form.cleaned_data
                return HttpResponseRedirect(self.beside("tenant_plugin", chosen["tenant"].pk, chosen["plugin"]))
        response: HttpResponse = super().add_view(request, form_url, extra_context)
        return response

    @display(description=_("Plugin"), ordering="plugin")
    def name(self, activation: PluginActivation) -> str:
        return gettext(registry.labels().get(activation.plugin, activation.plugin))

    @display(description=_("State"), ordering="enabled", label={"on": "success", "off": "danger"})
    def standing(self, activation: PluginActivation) -> tuple[str, Any]:
        return ("on", _("in use")) if activation.enabled else ("off", _("switched off"))


def _place(request: HttpRequest, tenant_id: int) -> PluginPlace:
    """Raises Http404."""
    tenant = Tenant.objects.filter(pk=tenant_id).first()
    if tenant is None:
        raise Http404(gettext("There is no such tenant."))
    return PluginPlace(platform_reach(request), tenant)
