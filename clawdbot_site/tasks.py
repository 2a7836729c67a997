"""The platform's own background work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from access.isolation_tests import NAME
from access.job_running import told_how_it_ends
from clawdbot_site.backup import making
from clawdbot_site.selftest.isolation import running
from compliance.hit_reports import forget_old
from tenants import jobs
from tenants.models import Job

log = logging.getLogger(__name__)

BATCH = 200


@shared_task  # type: ignore[untyped-decorator]  # celery ships no types
def remove_old_jobs(days: int | None = None) -> int:
    """Removes finished jobs older than `days` (JOB_RETENTION_DAYS) and the objects that hold their results; it is a job
    itself, so that its progress can be watched. Returns how many went. Safe to run twice, also at once."""
    job = jobs.queue_job(tenant_id=None, kind="remove_old_jobs", created_by="schedule")
    jobs.start_job(job_id=job.pk)
    before = timezone.now() - timedelta(days=settings.JOB_RETENTION_DAYS if days is None else days)
    finished = Job.objects.everywhere().filter(finished_at__lt=before).exclude(pk=job.pk)
    total, removed = finished.count(), 0
    try:
        for batch in _batches(list(finished.order_by("pk").values_list("pk", "result_name"))):
            for _, result in batch:
                if result:
                    default_storage.delete(result)
            Job.objects.everywhere().filter(pk__in=[pk for pk, _ in batch]).delete()
            removed += len(batch)
            jobs.report_progress(job_id=job.pk, percent=100 * removed / max(total, 1))
    except OSError as error:
        jobs.fail_job(job_id=job.pk, error=f"object storage: {error.strerror}")
        raise
    jobs.finish_job(job_id=job.pk)
    return removed


@shared_task  # type: ignore[untyped-decorator]
def remove_old_hits() -> int:
    """Removes the counted hits of word lists that no report shows any more. Returns how many rows went."""
    return forget_old()


@shared_task  # type: ignore[untyped-decorator]
def make_backup() -> str:
    """The daily one; the newest BACKUP_KEEP stay. Its progress is a job, so that one that failed is seen. Its name."""
    if not settings.BACKUP_KEEP:
        return ""
    job = jobs.queue_job(tenant_id=None, kind="backup", created_by="schedule")
    jobs.start_job(job_id=job.pk)
    try:
        made = making.make(settings.BACKUP_TO, keep=settings.BACKUP_KEEP)
    except making.FAILURES as error:
        jobs.fail_job(job_id=job.pk, error=f"no backup was made: {error}")
        raise
    if made.away:
        jobs.fail_job(job_id=job.pk, error=f"the stores of {', '.join(made.away)} were away")
    else:
        jobs.finish_job(job_id=job.pk)
    return made.name


@shared_task(name=NAME)  # type: ignore[untyped-decorator]
def test_isolation(job_id: int) -> None:
    """The self-test of this job, on an instance of its own; its report is the result."""
    if not jobs.start_job(job_id=job_id):
        return
    with told_how_it_ends(job_id, limit=0, shorter="", failed="The test could not be run; the log says why."):
        report = running.run(running.Plan(), log.info, lambda percent: _reported(job_id, percent))
        if not report.could_run:
            log.error("the isolation self-test could not be run: %s", report.error)
            jobs.fail_job(job_id=job_id, error="The test could not be run; the log says why.")
            return
        name = default_storage.save(f"jobs/{job_id}-isolation.json", ContentFile(report.json()))
        jobs.finish_job(job_id=job_id, result_name=name)


def _reported(job_id: int, percent: int) -> None:
    jobs.report_progress(job_id=job_id, percent=percent)


def _batches(rows: list[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
