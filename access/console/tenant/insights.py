"""A tenant's insights: figures for who may see its overview, what was asked for who may read its conversations."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from access.console import insights
from access.console.periods import chosen
from access.console.recorded_turn import moment
from access.console.tenant.scoped import here
from compliance.analysis import reader

CONVERSATIONS = "sessions"


def shown(site: Any, request: HttpRequest) -> HttpResponse:
    place = here(request)
    tenant = place.tenant
    asked = chosen(request, ZoneInfo(tenant.time_zone))
    context: dict[str, Any] = {"title": _("Insights"), "chosen": asked, "trouble": ""}
    try:
        context |= insights.figures_of(tenant.pk, asked)
        if place.may(CONVERSATIONS):
            context |= insights.questions(tenant.pk, asked)
        read = reader.place(tenant.pk)
        context["read_until"] = moment(read.at) if read is not None and read.at else ""
    except insights.AWAY:
        context["trouble"] = _("What was counted cannot be read now: the journal's database is away.")
    page: HttpResponse = site.page(request, "console/insights.html", context)
    return page
