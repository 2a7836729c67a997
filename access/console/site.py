"""The platform console at `/admin/`: for platform operators, who are superusers."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path
from django.utils.translation import gettext_lazy as _

from access.console import health, insights, isolation, operation
from access.console.frame import ConsoleSite, spoken
from access.console.overview import overview
from access.console.reach import platform_reach
from access.console.session_page import session_view
from access.console.sessions import sessions_view
from access.console.signing_in import SharedSignIn
from access.console.stores import stores


class PlatformSite(SharedSignIn, ConsoleSite):
    """Screens register with `register` as in any admin site."""

    settings_name = "UNFOLD"
    index_title = _("Overview")
    index_template = "console/index.html"

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_superuser", False))

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        @wraps(view)
        def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return self.found(request, view, *args, **kwargs)

        return super().admin_view(spoken(shown), cacheable)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [
            path("store/", self.admin_view(self.store), name="store"),
            path("workers/", self.admin_view(self.workers), name="workers"),
            path("instances/", self.admin_view(self.instances), name="instances"),
            path("insights/", self.admin_view(self.insights), name="insights"),
            path("health/", self.admin_view(self.health), name="health"),
            path("tenants/health/", self.admin_view(self.tenants), name="tenants_health"),
            path("sessions/", self.admin_view(self.sessions), name="sessions"),
            path("sessions/read/", self.admin_view(self.session), name="session"),
            path("isolation/", self.admin_view(self.isolation), name="isolation"),
            path("isolation/<int:job_id>/", self.admin_view(self.isolation_report), name="isolation_report"),
            *super().get_urls(),
        ]

    def sessions(self, request: HttpRequest) -> HttpResponse:
        context = {"title": _("Sessions"), **sessions_view(request, platform_reach(request))}
        return self.page(request, "console/sessions.html", context)

    def session(self, request: HttpRequest) -> HttpResponse:
        shown = session_view(request, platform_reach(request))
        if isinstance(shown, HttpResponse):
            return shown
        return self.page(request, "console/session.html", {"title": _("Session"), **shown})

    def workers(self, request: HttpRequest) -> HttpResponse:
        return self.page(request, "console/operation.html", {"title": _("Workers"), **operation.workers(request)})

    def instances(self, request: HttpRequest) -> HttpResponse:
        context = {"title": _("Instances and shares"), **operation.instances(request)}
        return self.page(request, "console/operation.html", context)

    def tenants(self, request: HttpRequest) -> HttpResponse:
        return self.page(request, "console/operation.html", {"title": _("Tenants' health"), **operation.tenants()})

    def insights(self, request: HttpRequest) -> HttpResponse:
        return self.page(request, "console/insights.html", {"title": _("Insights"), **insights.platform(request)})

    def health(self, request: HttpRequest) -> HttpResponse:
        """POST: another objective."""
        context = {**health.platform(request), "address": "admin:health"}

        def refused(form: Any) -> HttpResponse:
            return self.page(request, "console/health.html", {**context, "form": form})

        if request.method == "POST":
            answer: HttpResponse = health.change(request, None, "admin:health", refused)
            return answer
        return self.page(request, "console/health.html", context)

    def store(self, request: HttpRequest) -> HttpResponse:
        return self.page(request, "console/stores.html", {"title": _("Store"), **stores()})

    def isolation(self, request: HttpRequest) -> HttpResponse:
        return isolation.page(self, request, by=f"operator:{request.user.pk}", may_start=True)

    def isolation_report(self, request: HttpRequest, job_id: int) -> HttpResponse:
        return isolation.file(job_id)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        page: TemplateResponse = super().index(request, {**overview(request), **(extra_context or {})})
        return page
