"""Asking for the isolation self-test. It is of the program, not of anybody's data: one report for the platform."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

from celery import current_app
from django.core.files.storage import default_storage
from django.utils import timezone

from access.job_requests import request_job
from engine.errors import RateLimited
from engine.types import Json
from tenants import walls
from tenants.models import Job

KIND: Final = "isolation_selftest"
NAME: Final = "clawdbot_site.tasks.test_isolation"
QUEUE: Final = "replays"  # with what takes minutes
YOUNG: Final = timedelta(hours=1)  # a tenant does not ask again before


class _Task:
    """By its name: it starts whole instances, which is not for this package to know."""

    def delay(self, job_id: int) -> None:
        current_app.send_task(NAME, [job_id], queue=QUEUE)


def request_test(*, created_by: str, sparing: bool) -> Job:
    """`sparing`: not when the last one is young. Blocking. Raises RateLimited, StoreUnavailable."""
    with walls.lifted():  # the platform's job, whoever asks
        last = latest()
        if sparing and last is not None and last.created_at > timezone.now() - YOUNG and last.state != Job.State.FAILED:
            left = last.created_at + YOUNG - timezone.now()
            raise RateLimited("The last test is less than an hour old.", retry_after=left.total_seconds())
        return request_job(
            kind=KIND, task=_Task(), arguments={}, tenant=None, created_by=created_by,
            under_way="A test is under way already.",
        )  # fmt: skip


def latest() -> Job | None:
    with walls.lifted():
        return Job.objects.filter(tenant__isnull=True, kind=KIND).order_by("-pk").first()


def stored(job_id: int) -> Any:
    """The opened file of a report. None: there is none."""
    with walls.lifted():
        job = Job.objects.filter(tenant__isnull=True, kind=KIND, pk=job_id, state=Job.State.DONE).first()
    try:
        return default_storage.open(job.result_name) if job is not None and job.result_name else None
    except OSError:
        return None


def report_of(job: Job) -> Json | None:
    file = stored(job.pk)
    if file is None:
        return None
    with file:
        try:
            found: Json = json.load(file)
        except ValueError:
            return None
    return found
