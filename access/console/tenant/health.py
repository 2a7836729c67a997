"""How well it goes for a tenant, of its own turns only; its objective is changed by who may change its settings."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from access.console import health
from access.console.tenant.scoped import here

AREA = "settings"


def shown(site: Any, request: HttpRequest, form: Any = None) -> HttpResponse:
    place = here(request)
    may_change = place.may(AREA, "change")
    context = health.page(request, place.tenant.pk, ZoneInfo(place.tenant.time_zone), may_change=may_change)
    context |= {"address": "console:objective", **({"form": form} if form is not None else {})}
    page: HttpResponse = site.page(request, "console/health.html", context)
    return page


def objective(site: Any, request: HttpRequest) -> HttpResponse:
    place = here(request)
    if request.method != "POST":
        return redirect("console:health")  # whoever comes back to a form that was refused
    if not place.may(AREA, "change"):
        raise PermissionDenied
    answer: HttpResponse = health.change(
        request, place.tenant.pk, "console:health", lambda form: shown(site, request, form)
    )
    return answer
