"""All exports of a tenant on one page: asked for, on their way, to be fetched."""

from __future__ import annotations

import time
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from access import auditing, exporting
from access.audit_requests import request_export
from access.console.journal_forms import FromTo
from access.console.reach import Reach, tenant_reach
from access.console.recorded_turn import moment
from access.export_requests import request_tenant_export
from access.management.jobs import content_type
from compliance.journal.listing import Filters
from engine.errors import EngineError
from tenants.models import Job, Tenant
from tenants.scoping import ScopedQuerySet

AREA: Final = "exports"
SHOWN: Final = 30
REFRESH: Final = 3  # seconds between two looks while something is on its way
DAYS: Final = 30  # of usage, unless told
NAMES: Final = {
    auditing.EXPORT: gettext_lazy("Journal"),
    auditing.SEARCH: gettext_lazy("Search of the journal"),
    exporting.USAGE: gettext_lazy("Usage"),
    exporting.SESSIONS: gettext_lazy("Sessions"),
    exporting.CONFIGURATION: gettext_lazy("Configuration"),
}
JOURNAL: Final = {
    "journal-jsonl": ("jsonl", gettext_lazy("Journal, as JSON Lines")),
    "journal-csv": ("csv", gettext_lazy("Journal, as CSV")),
    "journal-verifiable": ("verifiable", gettext_lazy("Journal, to be verified")),
}
OTHERS: Final = {
    exporting.USAGE: gettext_lazy("Usage, as CSV"),
    exporting.SESSIONS: gettext_lazy("Sessions, as JSON Lines"),
    exporting.CONFIGURATION: gettext_lazy("Configuration, as YAML"),
}
GROUPS: Final = {
    "model": gettext_lazy("model"),
    "key": gettext_lazy("API key"),
    "member": gettext_lazy("member"),
    "instance": gettext_lazy("instance"),
    "edge": gettext_lazy("edge"),
    "hour": gettext_lazy("hour"),
}


class ExportForm(FromTo):
    """The times count for the journal and for usage; sessions and configuration are as they are now."""

    field_order = ["what", "by", "since", "until"]
    what = forms.ChoiceField(
        label=gettext_lazy("What"),
        choices=[*((name, label) for name, (_format, label) in JOURNAL.items()), *OTHERS.items()],
        widget=UnfoldAdminSelectWidget,
    )
    by = forms.ChoiceField(
        label=gettext_lazy("Usage by"), required=False, choices=list(GROUPS.items()), widget=UnfoldAdminSelectWidget
    )

    def clean(self) -> dict[str, Any] | None:
        data: dict[str, Any] = super().clean() or {}
        since, until = data.get("since"), data.get("until")
        if since is not None and until is not None and since >= until:
            self.add_error("until", _("This is not after the time it begins."))
        return data

    def start(self, reach: Reach) -> Job:
        """Raises EngineError."""
        data, tenant, by = self.cleaned_data, _tenant(reach), reach.actor
        since, until = data.get("since"), data.get("until")
        if data["what"] in JOURNAL:
            form, _label = JOURNAL[data["what"]]
            arguments = auditing.export_arguments(form, Filters(since=since, until=until))
            return request_export(arguments=arguments, tenant=tenant, created_by=by)
        arguments = {}
        if data["what"] == exporting.USAGE:
            end = until or time.time()
            begin = end - DAYS * 86_400 if since is None else since
            arguments = exporting.usage_arguments(data.get("by") or "model", begin, end)
        return request_tenant_export(kind=data["what"], tenant=tenant, arguments=arguments, created_by=by)


def listed(site: Any, request: HttpRequest) -> HttpResponse:
    """Two queries beside the place's, however many there are."""
    reach = tenant_reach(request, AREA)
    form = ExportForm(request.POST if request.method == "POST" else None, only=reach.tenant)
    if request.method == "POST":
        reach.demand(AREA)
        if form.is_valid() and _started(request, reach, form):
            return HttpResponseRedirect(reach.address("exports"))
    found = list(_jobs(reach).order_by("-pk")[:SHOWN])
    context = {
        "title": _("Exports"),
        "form": form,
        "may_export": reach.may(AREA, "change"),
        "journal_allowed": reach.may("journal"),
        "jobs": [_shown(reach, job) for job in found],
    }
    page: HttpResponse = site.page(request, "tenant/exports.html", context)
    if request.method == "GET" and any(job.state in (Job.State.QUEUED, Job.State.RUNNING) for job in found):
        page.headers["Refresh"] = str(REFRESH)
    return page


def downloaded(site: Any, request: HttpRequest, job_id: int) -> HttpResponseBase:
    """The file, as it is stored. Raises Http404."""
    reach = tenant_reach(request, AREA)
    job = _jobs(reach).filter(pk=job_id, state=Job.State.DONE).first()
    try:
        if job is not None and job.result_name:
            name = job.result_name.rpartition("/")[2]
            file = default_storage.open(job.result_name)
            told = f"{_tenant(reach).slug}-{job.kind}-{name}"
            return FileResponse(file, as_attachment=True, filename=told, content_type=content_type(name))
    except OSError:
        pass
    raise Http404(_("Its result is no longer there."))


def _started(request: HttpRequest, reach: Reach, form: ExportForm) -> bool:
    try:
        form.start(reach)
    except EngineError as error:
        known = {"from": "since", "to": "until", "by": "by"}.get(error.param or "")
        form.add_error(known, error.message)
        return False
    messages.success(request, _("It is on its way; the list below says how far it is."))
    return True


def _jobs(reach: Reach) -> ScopedQuerySet[Job]:
    return Job.objects.for_tenant(_tenant(reach).pk).filter(kind__in=(auditing.EXPORT, *exporting.KINDS))


def _shown(reach: Reach, job: Job) -> dict[str, Any]:
    asked = job.arguments
    told = [asked.get("format") or "", GROUPS.get(asked.get("by", ""), "")]
    for name in ("since", "until"):
        at = asked.get(name, asked.get("filters", {}).get(name))
        told.append(moment(at) if isinstance(at, int | float) else "")
    return {
        "id": job.pk,
        "what": NAMES.get(job.kind, job.kind),
        "told": ", ".join(str(each) for each in told if each),
        "state": job.get_state_display(),
        "progress": job.progress,
        "open": job.state in (Job.State.QUEUED, Job.State.RUNNING),
        "error": job.error,
        "by": job.created_by,
        "at": moment(job.created_at.timestamp()),
        "address": reach.address("export", job.pk) if job.state == Job.State.DONE and job.result_name else "",
    }


def _tenant(reach: Reach) -> Tenant:
    assert reach.tenant is not None
    return reach.tenant
