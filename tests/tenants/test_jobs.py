from tenants.jobs import fail_job, finish_job, queue_job, report_progress, start_job
from tenants.models import Job


def test_it_takes_a_job_from_the_queue_to_its_end(cast):
    job = queue_job(tenant_id=cast.acme.id, kind="export", arguments={"from": "2026-01-01"}, created_by="member:1")
    assert (job.state, job.progress) == ("queued", 0)
    assert start_job(job_id=job.id)
    assert report_progress(job_id=job.id, percent=41.7)
    job.refresh_from_db()
    assert (job.state, job.progress, job.finished_at) == ("running", 41, None)
    assert finish_job(job_id=job.id, result_name="exports/1.zip")
    job.refresh_from_db()
    assert (job.state, job.progress, job.result_name) == ("done", 100, "exports/1.zip")
    assert job.finished_at is not None


def test_it_keeps_the_reason_of_a_failure_short_enough_to_show(cast):
    job = queue_job(tenant_id=None, kind="sweep")
    start_job(job_id=job.id)
    assert fail_job(job_id=job.id, error="x" * 10_000)
    job.refresh_from_db()
    assert (job.state, len(job.error)) == ("failed", 500)


def test_it_never_changes_a_job_that_is_over(cast):
    job = queue_job(tenant_id=cast.acme.id, kind="export")
    start_job(job_id=job.id)
    finish_job(job_id=job.id)
    assert not start_job(job_id=job.id)
    assert not report_progress(job_id=job.id, percent=5)
    assert not fail_job(job_id=job.id, error="late")
    job.refresh_from_db()
    assert (job.state, job.progress) == ("done", 100)


def test_it_starts_a_job_again_whose_worker_died(cast):
    job = queue_job(tenant_id=cast.acme.id, kind="export")
    assert start_job(job_id=job.id)
    assert start_job(job_id=job.id)


def test_it_keeps_progress_between_0_and_100(cast):
    job = queue_job(tenant_id=cast.acme.id, kind="export")
    for said, kept in ((-5, 0), (250, 100)):
        report_progress(job_id=job.id, percent=said)
        assert Job.objects.for_tenant(cast.acme.id).get().progress == kept


def test_it_shows_charlie_no_job_of_alice(cast):
    queue_job(tenant_id=cast.acme.id, kind="export")
    assert not Job.objects.for_tenant(cast.globex.id).exists()
