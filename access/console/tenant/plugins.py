"""A tenant's plugins: which are in use, in which order, and each one's settings in a form made of their types."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from access.console.reach import Reach, tenant_reach
from access.console.setting_fields import summary
from access.console.setting_forms import SettingsForm
from plugins import registry
from plugins.base import PluginBase
from plugins.models import PluginActivation
from tenants.models import Tenant

AREA: Final = "plugins"


def listed(site: Any, request: HttpRequest) -> HttpResponse:
    """All that are installed, those in use first and in their order. One query."""
    reach = tenant_reach(request, AREA)
    if request.method == "POST":
        reach.demand(AREA)
        told = _moved(_tenant(reach), request.POST.get("do", ""), request.POST.get("plugin", ""))
        messages.info(request, told)
        return HttpResponseRedirect(reach.address("plugins"))
    rows = {row.plugin: row for row in _rows(_tenant(reach))}
    labels = {each: _(label) for each, label in registry.labels().items()}
    names = [*rows, *(name for name in labels if name not in rows)]
    used = [name for name, row in rows.items() if row.enabled]
    plugins = [
        {
            "name": name,
            "label": labels.get(name, name),
            "about": _about(name),
            "installed": name in labels,
            "used": name in used,
            "known": name in rows,
            "place": used.index(name) + 1 if name in used else None,
            "first": name in used and name == used[0],
            "last": name in used and name == used[-1],
            "address": reach.address("plugin", name),
        }
        for name in names
    ]
    context = {"title": _("Plugins"), "plugins": plugins, "may_change": reach.may(AREA, "change")}
    page: HttpResponse = site.page(request, "tenant/plugins.html", context)
    return page


def changed(site: Any, request: HttpRequest, name: str) -> HttpResponse:
    """One plugin's settings."""
    reach = tenant_reach(request, AREA)
    tenant = _tenant(reach)
    try:
        plugin = registry.get(name)
    except registry.InvalidPlugin:
        raise Http404(_("There is no such plugin.")) from None
    row = PluginActivation.objects.for_tenant(tenant.pk).filter(plugin=name).first()
    form = SettingsForm(plugin, row.settings if row is not None else {}, request.POST or None)
    if request.method == "POST":
        reach.demand(AREA)
        if form.is_valid() and _saved(request, tenant, name, form):
            messages.success(request, _("Saved: the next turn goes by it."))
            return HttpResponseRedirect(reach.address("plugins"))
    context = {
        "title": _(plugin.label or name),
        "about": _about(name),
        "form": form,
        "lists": list(form.rows.values()),
        "used": row is not None and row.enabled,
        "may_change": reach.may(AREA, "change"),
    }
    page: HttpResponse = site.page(request, "tenant/plugin.html", context)
    return page


def _saved(request: HttpRequest, tenant: Tenant, name: str, form: SettingsForm) -> bool:
    row = PluginActivation.objects.for_tenant(tenant.pk).filter(plugin=name).first()
    row = row or PluginActivation(tenant=tenant, plugin=name, position=_end(tenant))
    row.settings, row.enabled = form.given(), request.POST.get("enabled") == "on"
    try:
        row.full_clean()
        row.save()
    except ValidationError as error:
        form.form.add_error(None, error.messages)  # somebody else was quicker
        return False
    return True


@transaction.atomic
def _moved(tenant: Tenant, action: str, name: str) -> str:
    """What was done, for people."""
    rows = _rows(tenant)
    row = next((each for each in rows if each.plugin == name), None)
    if row is None and action == "on" and name in registry.names():
        row = PluginActivation(tenant=tenant, plugin=name, position=_end(tenant))
    if row is None:
        return _("There is no such plugin.")
    label = _(registry.labels().get(name, name))
    if action in ("on", "off"):
        row.enabled = action == "on"
        try:
            row.full_clean()
        except ValidationError as error:
            return " ".join(error.messages)
        row.save()
        return (_("%(plugin)s is in use.") if row.enabled else _("%(plugin)s is switched off.")) % {"plugin": label}
    used = [each for each in rows if each.enabled]
    place = used.index(row) if row in used else None
    other = {"up": -1, "down": 1}.get(action)
    if place is None or other is None or not 0 <= place + other < len(used):
        return _("Nothing was done.")
    used[place], used[place + other] = used[place + other], used[place]
    for position, each in enumerate([*used, *(each for each in rows if not each.enabled)]):
        if each.position != position:
            each.position = position
            each.save(update_fields=["position"])
    return _("%(plugin)s runs at another place now.") % {"plugin": label}


def _rows(tenant: Tenant) -> list[PluginActivation]:
    rows = PluginActivation.objects.for_tenant(tenant.pk).order_by("position", "id")
    return sorted(rows, key=lambda row: not row.enabled)


def _end(tenant: Tenant) -> int:
    last = PluginActivation.objects.for_tenant(tenant.pk).order_by("-position").values_list("position", flat=True)
    return min((last.first() or 0) + 1, 32_767)


def _tenant(reach: Reach) -> Tenant:
    assert reach.tenant is not None
    return reach.tenant


def _about(name: str) -> str:
    """The first paragraph of what its author wrote of it."""
    try:
        written = registry.get(name).__doc__
    except registry.InvalidPlugin:
        return ""
    if not written or written == PluginBase.__doc__:
        return ""
    return _(summary(written))
