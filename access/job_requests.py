"""Asking for background work: the job everybody can watch, and the word to a worker."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from engine.errors import RateLimited, StoreUnavailable
from engine.types import Json
from tenants import jobs
from tenants.models import Job, Tenant

FORGOTTEN: Final = timedelta(minutes=30)  # an unfinished job so old counts no more: its worker may be gone for good
PAUSE: Final = 10.0  # seconds


def request_job(
    *, kind: str, task: Any, arguments: Json, tenant: Tenant | None, created_by: str, under_way: str
) -> Job:
    """Queues a job that `task` (Celery's, it takes the job's id) will do; one of its kind at a time for a tenant.
    Blocking. Raises RateLimited (saying `under_way`), StoreUnavailable (the broker is away; the job then says so)."""
    with transaction.atomic():
        _check_room(kind, tenant, under_way)
        job = jobs.queue_job(
            tenant_id=tenant.pk if tenant is not None else None, kind=kind, arguments=arguments, created_by=created_by
        )
    try:
        task.delay(job.pk)
    except OperationalError as error:
        jobs.fail_job(job_id=job.pk, error="No worker could be told of it: the broker is away.")
        raise StoreUnavailable() from error
    return job


def _check_room(kind: str, tenant: Tenant | None, under_way: str) -> None:
    """Two that ask at the same time wait for each other."""
    if tenant is not None:
        Tenant.objects.select_for_update().filter(pk=tenant.pk).first()
    mine = Job.objects.filter(tenant__isnull=True) if tenant is None else Job.objects.for_tenant(tenant.pk)
    open_ones = mine.filter(kind=kind, state__in=jobs.OPEN, created_at__gt=timezone.now() - FORGOTTEN)
    if open_ones.exists():
        raise RateLimited(under_way, retry_after=PAUSE)
