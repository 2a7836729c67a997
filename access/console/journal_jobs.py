"""Screens that search and export the journal: the question, the job, what came of it."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from access import auditing
from access.audit_requests import request_export, request_search
from access.console.journal_forms import JournalForm, text
from access.console.reach import Reach
from access.console.recorded_turn import moment, moment_here
from access.management.jobs import content_type
from engine.errors import EngineError
from engine.types import Json
from tenants.models import Job, Tenant
from tenants.scoping import ScopedQuerySet

REFRESH = 2  # seconds between two looks at a job
EARLIER = 10
SHOWN = 200  # finds on the page; the file has all


class ReadingForm(JournalForm):
    apart = ("text",)

    text = text(_("Text"), longest=200, help_text=_("Looked for in what was asked and answered."))

    def asks_for(self) -> tuple[str, str] | None:
        """A search for the text, or an export in a format; None: the form now says what is wrong."""
        wanted = self.data.get("do", "")
        if wanted == "search":
            if self.cleaned_data["text"]:
                return "search", self.cleaned_data["text"]
            self.add_error("text", _("Say what to look for."))
            return None
        if wanted in auditing.FORMATS:
            return "export", wanted
        self.add_error(None, _("Choose a search or an export."))
        return None

    def said(self) -> dict[str, Any]:
        return {name: value for name, value in super().said().items() if name != "text"}


def reading_view(request: HttpRequest, model_admin: Any) -> HttpResponse:
    reach: Reach = model_admin.scope(request)
    form = ReadingForm(request.POST if request.method == "POST" else request.GET, only=reach.tenant)
    if request.method == "POST":
        job = _started(reach, form) if form.is_valid() else None
        if job is not None:
            return HttpResponseRedirect(reach.address("compliance_auditentry_read", job.pk))
    page: HttpResponse = model_admin.page(
        request,
        "journal_reading.html",
        title=_("Search and export the journal"),
        form=form,
        earlier=_earlier(reach),
        may_export=reach.may("exports", "change"),
    )
    return page


def _started(reach: Reach, form: ReadingForm) -> Job | None:
    """Raises PermissionDenied: to export is more than to read."""
    asked, by, filters = form.asks_for(), reach.actor, form.filters() if form.is_valid() else None
    if asked is None or filters is None:
        return None
    kind, what = asked
    try:
        if kind == "search":
            arguments = auditing.search_arguments(what, filters)
            return request_search(arguments=arguments, tenant=form.owner, created_by=by)
        reach.demand("exports")
        arguments = auditing.export_arguments(what, filters)
        return request_export(arguments=arguments, tenant=form.owner, created_by=by)
    except EngineError as error:
        form.add_error(None, error.message)
        return None


def read_view(request: HttpRequest, model_admin: Any, job_id: int) -> HttpResponse:
    reach: Reach = model_admin.scope(request)
    job = _job(reach, job_id)
    if job is None:
        model_admin.message_user(request, _("There is no such search or export."), "warning")
        return HttpResponseRedirect(reach.address("compliance_auditentry_reading"))
    result = _result(job)
    context = {
        "job": job,
        "asked": _asked(reach, job),
        "result": result,
        "table": _hits(reach, result["found"][:SHOWN]) if result is not None else None,
        "file": bool(job.result_name) and default_storage.exists(job.result_name),
    }
    page: HttpResponse = model_admin.page(request, "journal_read.html", title=_title(job), **context)
    if job.state in (Job.State.QUEUED, Job.State.RUNNING):
        page.headers["Refresh"] = str(REFRESH)
    return page


def download_view(request: HttpRequest, model_admin: Any, job_id: int) -> HttpResponse:
    """The file, as it is stored. Raises Http404."""
    job = _job(model_admin.scope(request), job_id)
    try:
        if job is not None and job.result_name:
            name = job.result_name.rpartition("/")[2]
            file = default_storage.open(job.result_name)
            answer: HttpResponse = FileResponse(  # type: ignore[assignment]  # a streaming one is an answer too
                file, as_attachment=True, filename=f"journal-{name}", content_type=content_type(name)
            )
            return answer
    except OSError:
        pass
    raise Http404(_("Its result is no longer there."))


def _jobs(reach: Reach) -> ScopedQuerySet[Job]:
    mine = Job.objects.everywhere() if reach.tenant is None else Job.objects.for_tenant(reach.tenant.pk)
    return mine.filter(kind__in=auditing.KINDS)


def _job(reach: Reach, job_id: int) -> Job | None:
    return _jobs(reach).select_related("tenant").filter(pk=job_id).first()


def _title(job: Job) -> Any:
    title = _("Search %(id)s") if job.kind == auditing.SEARCH else _("Export %(id)s")
    return title % {"id": job.pk}


def _asked(reach: Reach, job: Job) -> list[tuple[Any, Any]]:
    """What the job was asked for, for people."""
    told: Json = job.arguments
    filters = {name: value for name, value in told["filters"].items() if name not in ("since", "until")}
    since, until = (told["filters"].get(name) for name in ("since", "until"))
    facts = [
        (_("Tenant"), (job.tenant or _("all")) if reach.tenant is None else None),
        (_("Text"), told.get("text")),
        (_("Format"), told.get("format")),
        (_("From"), moment_here(since) if since is not None else None),
        (_("To"), moment_here(until) if until is not None else None),
        *((_labels().get(name, name), value) for name, value in filters.items()),
        (_("Asked by"), job.created_by),
    ]
    return [(name, value) for name, value in facts if value not in (None, "")]


def _labels() -> dict[str, Any]:
    fields: dict[str, forms.Field] = JournalForm.base_fields
    return {name: field.label for name, field in fields.items()}


def _result(job: Job) -> Json | None:
    if job.kind != auditing.SEARCH or job.state != Job.State.DONE:
        return None
    try:
        with default_storage.open(job.result_name) as stored:
            found: Json = json.load(stored)
    except (OSError, ValueError):
        return None
    found["reached"] = moment_here(found["reached"]) if found["reached"] is not None else ""
    return found


def _hits(reach: Reach, found: list[Json]) -> Json | None:
    where = {"question": _("question"), "answer": _("answer")}
    rows = [
        [
            _link(reach.address("compliance_auditentry_change", hit["id"]), moment(hit["at"])),
            hit["user"] or "—",
            f"{where.get(hit['where'], hit['where'])}, {hit['role']}",
            format_html('<span class="turn-text">{}</span>', hit["snippet"]),
        ]
        for hit in found
    ]
    return {"headers": [_("Time"), _("User"), _("Where"), _("Text")], "rows": rows} if rows else None


def _earlier(reach: Reach) -> Json | None:
    found = _jobs(reach).select_related("tenant").order_by("-pk")[:EARLIER]
    everybody = reach.tenant is None
    rows = [
        [
            _link(reach.address("compliance_auditentry_read", job.pk), _title(job)),
            *([_owner(job.tenant)] if everybody else []),
            job.arguments.get("text") or job.arguments.get("format", ""),
            f"{job.get_state_display()}, {job.progress} %",
            moment(job.created_at.timestamp()),
            job.created_by,
        ]
        for job in found
    ]
    headers = [
        _("Earlier"), *([_("Tenant")] if everybody else []), _("Text or format"), _("State"), _("Asked at"), _("By"),
    ]  # fmt: skip
    return {"headers": headers, "rows": rows} if rows else None


def _owner(tenant: Tenant | None) -> Any:
    return tenant or _("all")


def _link(address: str, label: Any) -> SafeString:
    return format_html(
        '<a href="{}" class="journal-time text-primary-600 dark:text-primary-500">{}</a>', address, label
    )
