"""The life of a `Job` row: what background tasks write down for whoever waits. A finished job never changes again."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from tenants.models import Job

OPEN = (Job.State.QUEUED, Job.State.RUNNING)
ERROR_LENGTH = 500


def queue_job(
    *, tenant_id: int | None, kind: str, arguments: dict[str, Any] | None = None, created_by: str = ""
) -> Job:
    """`tenant_id` None: work of the platform itself."""
    return Job.objects.create(tenant_id=tenant_id, kind=kind, arguments=arguments or {}, created_by=created_by)


def start_job(*, job_id: int) -> bool:
    """False: it is over already (a task that the broker delivered twice), there is nothing to do. A running job may be
    started again: the worker that ran it died."""
    return _change(job_id, state=Job.State.RUNNING, progress=0)


def report_progress(*, job_id: int, percent: float) -> bool:
    return _change(job_id, progress=min(max(int(percent), 0), 100))


def finish_job(*, job_id: int, result_name: str = "") -> bool:
    """`result_name` is the object that holds the result."""
    return _change(job_id, state=Job.State.DONE, progress=100, result_name=result_name, finished_at=timezone.now())


def fail_job(*, job_id: int, error: str) -> bool:
    """`error` is shown to the tenant: no traceback, no secret."""
    return _change(job_id, state=Job.State.FAILED, error=error[:ERROR_LENGTH], finished_at=timezone.now())


def _change(job_id: int, **values: Any) -> bool:
    jobs = Job.objects.everywhere()  # tasks are the platform's own; the row names the tenant
    return jobs.filter(pk=job_id, state__in=OPEN).update(**values) == 1
