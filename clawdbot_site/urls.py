"""Django's own pages: the platform console, tokens, the API's description. The request path's routes are in
`access/gateway.py` and `access/urls.py`."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from access import asgi, errors
from access.console.platform import platform_site
from access.management import tokens
from engine.errors import EngineError, InvalidRequest, NotFound


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django refuses before any view: another host's name, too many fields, a suspicious path."""
    return _refusal(request, InvalidRequest())


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """The one error shape, also for addresses nobody serves."""
    return _refusal(request, NotFound())


def internal_error(request: HttpRequest) -> HttpResponse:
    """Django has logged what happened."""
    return _refusal(request, EngineError())


def _refusal(request: HttpRequest, error: EngineError) -> HttpResponse:
    number = asgi.request_id({b"x-request-id": request.headers.get("X-Request-Id", "").encode("latin-1", "replace")})
    return errors.response(error, number)


urlpatterns = [
    re_path(r"^(?:admin)?$", RedirectView.as_view(url="/admin/")),
    path("admin/", platform_site().urls),
    path("api/", include(tokens.urlpatterns)),
    re_path(r"^api/schema/?$", SpectacularAPIView.as_view(), name="schema"),
    re_path(r"^api/docs/?$", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
]
handler400 = "clawdbot_site.urls.bad_request"
handler404 = "clawdbot_site.urls.not_found"
handler500 = "clawdbot_site.urls.internal_error"
