"""Django's own pages: both consoles, the web chat, tokens, the API's description. The request path's routes are
in `access/gateway.py` and `access/urls.py`."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from access import chat_pages, errors
from access.console.platform import platform_site
from access.console.tenant.screens import tenant_site
from access.management import tokens
from access.people import urls as people
from access.people.account_page import front_door
from access.public_files import favicon
from engine.errors import EngineError, Forbidden, InvalidRequest, NotFound


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django refuses before any view: another host's name, too many fields, a suspicious path."""
    return errors.numbered(InvalidRequest(), request)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without its token, or with one of before the last sign-in: a page for people, the one shape for others."""
    if "text/html" in request.headers.get("Accept", ""):
        return render(request, "people/form_expired.html", status=403)
    return errors.numbered(Forbidden("The form's token is missing or out of date."), request)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """The one error shape, also for addresses nobody serves."""
    return errors.numbered(NotFound(), request)


def internal_error(request: HttpRequest) -> HttpResponse:
    """Django has logged what happened."""
    return errors.numbered(EngineError(), request)


urlpatterns = [
    path("", front_door),
    path("favicon.ico", favicon),
    re_path(r"^admin$", RedirectView.as_view(url="/admin/")),
    path("admin/", platform_site().urls),
    re_path(r"^console$", RedirectView.as_view(url="/console/")),
    path("console/", tenant_site().urls),
    path("accounts/", include(people.urlpatterns)),
    *chat_pages.urlpatterns,
    path("api/", include(tokens.urlpatterns)),
    re_path(r"^api/schema/?$", SpectacularAPIView.as_view(), name="schema"),
    re_path(r"^api/docs/?$", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]
handler400 = "clawdbot_site.urls.bad_request"
handler404 = "clawdbot_site.urls.not_found"
handler500 = "clawdbot_site.urls.internal_error"
