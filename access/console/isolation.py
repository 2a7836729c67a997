"""The page of the isolation self-test, in both consoles: the button, how far it is, the report."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from access import isolation_tests
from engine.errors import EngineError
from engine.types import Json
from tenants.models import Job

REFRESH: Final = 3  # seconds between two looks
SHOWN: Final = 200  # findings on the page; the file has all
KINDS: Final = {
    "http": _("Routes of the API"),
    "page": _("Pages"),
    "websocket": _("WebSocket frames"),
    "grpc": _("gRPC methods"),
}
WRONG: Final = {
    "shown": _("What is somebody else's was shown"),
    "told apart": _("A foreign id is answered unlike an unknown one"),
    "let in": _("Whoever may not was let in"),
    "changed": _("Something of somebody else's is not what it was"),
    "not covered": _("Nothing was tested here"),
    "failed": _("The server broke"),
}


def page(site: Any, request: HttpRequest, *, by: str, may_start: bool, sparing: bool = False) -> HttpResponse:
    """`by` goes into the job; `sparing` as `access.isolation_tests` has it."""
    if request.method == "POST" and may_start:
        try:
            isolation_tests.request_test(created_by=by, sparing=sparing)
        except EngineError as error:
            messages.warning(request, error.message)
        return HttpResponseRedirect(request.path)
    job = isolation_tests.latest()
    report = isolation_tests.report_of(job) if job is not None else None
    running = job is not None and job.state in (Job.State.QUEUED, Job.State.RUNNING)
    context = {
        "title": _("Isolation"),
        "job": job,
        "running": running,
        "report": report,
        "may_start": may_start and not running,
        "doors": _doors(report) if report is not None else None,
        "findings": _findings(report) if report is not None else None,
        "address": f"{site.name}:isolation_report",
    }
    answer = TemplateResponse(request, "console/isolation.html", {**site.each_context(request), **context})
    if running:
        answer.headers["Refresh"] = str(REFRESH)
    return answer


def file(job_id: int) -> HttpResponse:
    """The report as it is stored. Raises Http404."""
    found = isolation_tests.stored(job_id)
    if found is None:
        raise Http404(_("Its result is no longer there."))
    name = f"isolation-{job_id}.json"
    answer: HttpResponse = FileResponse(found, as_attachment=True, filename=name, content_type="application/json")  # type: ignore[assignment]
    return answer


def _doors(report: Json) -> Json:
    rows = [[KINDS.get(kind, kind), count, report["attacks"].get(kind, 0)] for kind, count in report["doors"].items()]
    return {"headers": [_("Doors"), _("How many"), _("Attacks")], "rows": rows}


def _findings(report: Json) -> Json | None:
    rows = [
        [each["door"], each["who"], WRONG.get(each["kind"], each["kind"]), each["said"]]
        for each in report["findings"][:SHOWN]
    ]
    return {"headers": [_("Door"), _("As"), _("What is wrong"), _("Answer")], "rows": rows} if rows else None
