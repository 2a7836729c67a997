"""A page that fails with what stands in its address."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from clawdbot_site.urls import urlpatterns as others


def broken(request: HttpRequest, text: str) -> HttpResponse:
    held = request.headers.get("authorization")
    raise ValueError(f"broken by {text} {held}")


urlpatterns = [path("admin/broken/<str:text>/", broken), *others]
