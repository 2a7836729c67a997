"""A tenant's plugins: which are in use and in which order. The same page in both consoles."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.translation import gettext as _

from access.console.reach import PLATFORM, Reach
from access.console.setting_fields import summary
from access.console.texts import with_code
from engine.types import Json
from plugins import registry
from plugins.describing import traits_of
from plugins.models import PluginActivation
from tenants.models import Tenant

AREA: Final = "plugins"
FARTHEST: Final = 32_767  # what the column of positions holds


class PluginPlace(NamedTuple):
    """Whose plugins, and in which console."""

    reach: Reach
    tenant: Tenant

    def address(self, page: str, *arguments: Any) -> str:
        """Of `plugins`, `plugin` (a name) or `plugin_dry_run` (a job)."""
        if self.reach.site == PLATFORM:
            return self.reach.address(f"tenant_{page}", self.tenant.pk, *arguments)
        return self.reach.address(page, *arguments)


def plugins_view(request: HttpRequest, here: PluginPlace) -> Json | HttpResponseRedirect:
    """What the template `console/plugins.html` shows: all that are installed, those in use first and in their order.
    One query. Sent `do` and `plugin`, it does that. Raises PermissionDenied."""
    if request.method == "POST":
        here.reach.demand(AREA)
        messages.info(request, _moved(here.tenant, request.POST.get("do", ""), request.POST.get("plugin", "")))
        return HttpResponseRedirect(here.address("plugins"))
    rows = {row.plugin: row for row in _rows(here.tenant)}
    labels = {each: _(label) for each, label in registry.labels().items()}
    names = [*rows, *(name for name in labels if name not in rows)]
    used = [name for name, row in rows.items() if row.enabled]
    plugins = [
        {
            "name": name,
            "label": labels.get(name, name),
            "about": about(name),
            "installed": name in labels,
            "used": name in used,
            "required": name in rows and rows[name].required,
            "known": name in rows,
            "place": used.index(name) + 1 if name in used else None,
            "first": name in used and name == used[0],
            "last": name in used and name == used[-1],
            "address": here.address("plugin", name),
        }
        for name in names
    ]
    return {"title": _("Plugins"), "plugins": plugins, "may_change": here.reach.may(AREA, "change")}


def about(name: str) -> str:
    """The first paragraph of what its author wrote of it."""
    traits = traits_of(name)
    return with_code(_(summary(traits.about))) if traits is not None and traits.about else ""


def end_of(tenant: Tenant) -> int:
    """The position after the last one's."""
    last = PluginActivation.objects.for_tenant(tenant.pk).order_by("-position").values_list("position", flat=True)
    return min((last.first() or 0) + 1, FARTHEST)


@transaction.atomic
def _moved(tenant: Tenant, action: str, name: str) -> str:
    """What was done, for people."""
    rows = _rows(tenant)
    row = next((each for each in rows if each.plugin == name), None)
    if row is None and action == "on" and name in registry.names():
        row = PluginActivation(tenant=tenant, plugin=name, position=end_of(tenant))
    if row is None:
        return _("There is no such plugin.")
    label = _(registry.labels().get(name, name))
    if action in ("on", "off"):
        return _switched(row, label, on=action == "on")
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


def _switched(row: PluginActivation, label: str, *, on: bool) -> str:
    row.enabled = on
    try:
        row.full_clean()
    except ValidationError as error:
        return " ".join(error.messages)
    row.save()
    return (_("%(plugin)s is in use.") if on else _("%(plugin)s is switched off.")) % {"plugin": label}


def _rows(tenant: Tenant) -> list[PluginActivation]:
    rows = PluginActivation.objects.for_tenant(tenant.pk).order_by("position", "id")
    return sorted(rows, key=lambda row: not row.enabled)
