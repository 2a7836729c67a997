"""The platform console at `/admin/`: for platform operators, who are superusers."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path
from django.utils.translation import gettext_lazy as _
from unfold.sites import UnfoldAdminSite

from access.console import isolation
from access.console.overview import overview
from access.console.session_page import session_view
from access.console.sessions import sessions_view
from access.console.stores import stores


class PlatformSite(UnfoldAdminSite):
    """Screens register with `register` as in any admin site."""

    settings_name = "UNFOLD"
    index_title = _("Overview")
    index_template = "console/index.html"

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_superuser", False))

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [
            path("store/", self.admin_view(self.store), name="store"),
            path("sessions/", self.admin_view(self.sessions), name="sessions"),
            path("sessions/read/", self.admin_view(self.session), name="session"),
            path("isolation/", self.admin_view(self.isolation), name="isolation"),
            path("isolation/<int:job_id>/", self.admin_view(self.isolation_report), name="isolation_report"),
            *super().get_urls(),
        ]

    def sessions(self, request: HttpRequest) -> TemplateResponse:
        context = {**self.each_context(request), "title": _("Sessions"), **sessions_view(request)}
        return TemplateResponse(request, "console/sessions.html", context)

    def session(self, request: HttpRequest) -> HttpResponse:
        shown = session_view(request)
        if isinstance(shown, HttpResponse):
            return shown
        context = {**self.each_context(request), "title": _("Session"), **shown}
        return TemplateResponse(request, "console/session.html", context)

    def store(self, request: HttpRequest) -> TemplateResponse:
        context = {**self.each_context(request), "title": _("Store"), **stores()}
        return TemplateResponse(request, "console/stores.html", context)

    def isolation(self, request: HttpRequest) -> HttpResponse:
        return isolation.page(self, request, by=f"operator:{request.user.pk}", may_start=True)

    def isolation_report(self, request: HttpRequest, job_id: int) -> HttpResponse:
        return isolation.file(job_id)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        page: TemplateResponse = super().index(request, {**overview(request), **(extra_context or {})})
        return page
