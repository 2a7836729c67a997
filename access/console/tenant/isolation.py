"""The isolation self-test in a tenant's console."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from access.console import isolation
from access.console.tenant.place import Place, place_of

AREA = "settings"


def urls(site: Any) -> list[URLPattern]:
    def shown(request: HttpRequest) -> HttpResponse:
        place = _place(request)
        return isolation.page(site, request, by=_by(place), may_start=place.may(AREA, "change"), sparing=True)

    def report(request: HttpRequest, job_id: int) -> HttpResponse:
        _place(request)
        return isolation.file(job_id)

    return [
        path("isolation/", site.admin_view(shown), name="isolation"),
        path("isolation/<int:job_id>/", site.admin_view(report), name="isolation_report"),
    ]


def _place(request: HttpRequest) -> Place:
    place = place_of(request)
    if place is None or not place.may(AREA):
        raise PermissionDenied
    return place


def _by(place: Place) -> str:
    return f"member:{place.member.pk}" if place.member is not None else "operator"
