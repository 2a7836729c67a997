"""The platform console at `/admin/`: for platform operators, who are superusers."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from unfold.sites import UnfoldAdminSite

from access.console.overview import overview


class PlatformSite(UnfoldAdminSite):
    """Screens register with `register` as in any admin site."""

    settings_name = "UNFOLD"
    index_title = _("Overview")
    index_template = "console/index.html"

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_superuser", False))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        page: TemplateResponse = super().index(request, {**overview(request), **(extra_context or {})})
        return page
