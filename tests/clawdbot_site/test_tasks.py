import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from clawdbot_site.celery import app
from clawdbot_site.tasks import remove_old_hits, remove_old_jobs
from compliance.models import WordHits
from tenants import jobs
from tenants.models import Job


@pytest.fixture
def finished(db):
    def make(days: float, result: str = "") -> Job:
        job = jobs.queue_job(tenant_id=None, kind="replay")
        jobs.finish_job(job_id=job.pk, result_name=result)
        when = timezone.now() - timedelta(days=days)
        Job.objects.everywhere().filter(pk=job.pk).update(finished_at=when)
        return job

    return make


def test_it_removes_old_jobs_with_their_results(finished):
    name = default_storage.save("jobs/old.json", ContentFile(b"{}"))
    kept = default_storage.save("jobs/new.json", ContentFile(b"{}"))
    old, new = finished(31, name), finished(29, kept)
    running = jobs.queue_job(tenant_id=None, kind="replay")
    assert remove_old_jobs() == 1
    left = set(Job.objects.everywhere().exclude(kind="remove_old_jobs").values_list("pk", flat=True))
    assert left == {new.pk, running.pk}
    assert old.pk not in left
    assert not default_storage.exists(name)
    assert default_storage.exists(kept)


def test_results_are_for_their_owner_only():
    before = os.umask(0o022)
    try:
        file = Path(default_storage.path(default_storage.save("audit-exports/7/secret.csv", ContentFile(b"said"))))
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o077 for path in (file, file.parent, file.parent.parent)] == [0, 0, 0]


def test_it_leaves_a_job_row_that_says_it_is_done(finished):
    finished(40)
    remove_old_jobs()
    row = Job.objects.everywhere().get(kind="remove_old_jobs")
    assert (row.state, row.progress) == (Job.State.DONE, 100)


def test_it_removes_hits_no_report_shows(cast):
    today = timezone.now().date()
    for days in (91, 90, 1):
        WordHits.objects.create(tenant=cast.acme, list_id=1, day=today - timedelta(days=days), word="x", count=1)
    assert remove_old_hits() == 1
    assert WordHits.objects.for_tenant(cast.acme.pk).count() == 2


def test_it_is_known_to_the_worker_by_the_name_the_schedule_uses():
    app.autodiscover_tasks(force=True)
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)
