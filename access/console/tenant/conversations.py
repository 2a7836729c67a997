"""A tenant's sessions in its own console: the platform's pages, within the tenant."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from access.console.reach import tenant_reach
from access.console.session_page import session_view
from access.console.sessions import sessions_view

AREA = "sessions"


def listed(site: Any, request: HttpRequest) -> HttpResponse:
    context = {"title": _("Sessions"), **sessions_view(request, tenant_reach(request, AREA))}
    page: HttpResponse = site.page(request, "console/sessions.html", context)
    return page


def read(site: Any, request: HttpRequest) -> HttpResponse:
    shown = session_view(request, tenant_reach(request, AREA))
    if isinstance(shown, HttpResponse):
        return shown
    page: HttpResponse = site.page(request, "console/session.html", {"title": _("Session"), **shown})
    return page
