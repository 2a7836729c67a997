"""A tenant's plugins in its own console: the pages both consoles share, within the tenant."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from access.console.plugin_list import AREA, PluginPlace, plugins_view
from access.console.plugin_page import JOURNAL, plugin_view
from access.console.plugin_trial import job_view
from access.console.reach import tenant_reach
from access.console.replay import REFRESH


def listed(site: Any, request: HttpRequest) -> HttpResponse:
    shown = plugins_view(request, _here(request))
    page: HttpResponse = shown if isinstance(shown, HttpResponse) else site.page(request, "console/plugins.html", shown)
    return page


def changed(site: Any, request: HttpRequest, name: str) -> HttpResponse:
    shown = plugin_view(request, _here(request), name)
    page: HttpResponse = shown if isinstance(shown, HttpResponse) else site.page(request, "console/plugin.html", shown)
    return page


def tried(site: Any, request: HttpRequest, job_id: int) -> HttpResponse:
    here = _here(request)
    if not here.reach.may(JOURNAL):
        raise PermissionDenied
    shown = job_view(request, here, job_id)
    page: HttpResponse = site.page(request, "console/plugin_tried.html", shown)
    if shown["job"].state in ("queued", "running"):
        page.headers["Refresh"] = str(REFRESH)
    return page


def _here(request: HttpRequest) -> PluginPlace:
    reach = tenant_reach(request, AREA)
    assert reach.tenant is not None
    return PluginPlace(reach, reach.tenant)
