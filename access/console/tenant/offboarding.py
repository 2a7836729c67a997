"""`/console/offboarding/`: the full export of a tenant, and closing it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from access.console.tenant.scoped import here
from access.job_requests import request_job
from access.offboarding import closing, exporting
from access.tasks import export_everything
from engine.errors import EngineError
from tenants import jobs
from tenants.models import Job, Tenant

SHOWN = 5


def offboarding(site: AdminSite, request: HttpRequest) -> HttpResponseBase:
    """Whoever may read the area sees the state; only owners export, close, and fetch what was exported."""
    place = here(request)
    if not place.may("tenant"):
        raise PermissionDenied
    may_change = place.may("tenant", "change") and place.visit is None  # helping is no reason to take all away
    mine = Job.objects.for_tenant(place.tenant.pk).filter(kind=exporting.KIND).order_by("-pk")
    if request.method == "POST" or "result" in request.GET:
        if not may_change:
            raise PermissionDenied
        if request.method != "POST":
            return _fetched(mine.filter(state=Job.State.DONE, pk=_number(request.GET["result"])).first(), place.tenant)
        return _asked(request, place.tenant)
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": _("Off-boarding"),
        "tenant": place.tenant,
        "may_change": may_change,
        "exports": list(mine[:SHOWN]),
        "waiting": mine.filter(state__in=jobs.OPEN).exists(),
        "days": settings.OFFBOARDING_DAYS,
    }
    return TemplateResponse(request, "tenant/offboarding.html", context)


def _asked(request: HttpRequest, tenant: Tenant) -> HttpResponse:
    try:
        if "export" in request.POST:
            request_job(
                kind=exporting.KIND,
                task=export_everything,
                arguments={},
                tenant=tenant,
                created_by=str(request.user.get_username())[:100],
                under_way=_("An export is under way already. Wait for it to end."),
            )
            messages.success(request, _("The export has begun. It is listed here when it is done."))
        else:
            closing.close(
                tenant=tenant,
                confirmed=request.POST.get("confirmed", ""),
                created_by=str(request.user.get_username())[:100],
            )
            return HttpResponseRedirect(reverse("account"))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    except EngineError as error:
        messages.error(request, f"{error.message} ({error.code})")
    return HttpResponseRedirect(reverse("console:offboarding"))


def _fetched(job: Job | None, tenant: Tenant) -> HttpResponseBase:
    if job is None or not job.result_name:
        raise Http404
    try:
        file = default_storage.open(job.result_name)
    except FileNotFoundError:
        raise Http404 from None
    return FileResponse(file, as_attachment=True, filename=f"{tenant.slug}.zip")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
