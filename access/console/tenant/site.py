"""The site at `/console/`: the same machinery as the platform's, within one tenant."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from unfold.sites import UnfoldAdminSite

from access.console.tenant.overview import overview
from access.console.tenant.place import place_of
from access.console.tenant.scoped import here


class TenantSite(UnfoldAdminSite):
    """Screens register with `register`; pages that are no table's go into `pages`."""

    settings_name = "UNFOLD_CONSOLE"
    index_title = _("Overview")
    index_template = "tenant/index.html"

    def has_permission(self, request: HttpRequest) -> bool:
        return place_of(request) is not None

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().each_context(request), "place": place_of(request)}

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        shown = overview(request, here(request).tenant)
        page: TemplateResponse = super().index(request, {**shown, **(extra_context or {})})
        return page

    def page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        """A page in the site's frame."""
        return TemplateResponse(request, template, {**self.each_context(request), **context})
