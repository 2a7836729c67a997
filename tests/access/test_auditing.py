"""Searches and exports as jobs: that they end once, how far they are, how they fail, and that they can be withdrawn."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.files.storage import default_storage
from django.db import DatabaseError, connections

from access import auditing
from access.tasks import read_journal
from clawdbot_site.celery import app
from compliance.journal import listing
from compliance.journal.listing import Filters
from engine.types import Message
from tenants import jobs
from tenants.models import Job
from tests.access.console.screens import record

START = 1_700_000_000.0


@pytest.fixture
def site(cast: SimpleNamespace, tmp_path: Path, settings: object) -> SimpleNamespace:
    """Ten turns of Alice's tenant, a minute apart, one of Charlie's."""
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    cast.ids = [record(1, at=START + 60 * n, messages=[Message("user", f"gold {n}")]) for n in range(10)]
    record(2, at=START, messages=[Message("user", "gold of Charlie's")])
    return cast


def search(text: str = "gold", tenant_id: int | None = 1, **filters: object) -> Job:
    arguments = auditing.search_arguments(text, Filters(**filters))
    return jobs.queue_job(tenant_id=tenant_id, kind=auditing.SEARCH, arguments=arguments)


def export(form: str = "jsonl", tenant_id: int | None = 1, **filters: object) -> Job:
    arguments = auditing.export_arguments(form, Filters(**filters))
    return jobs.queue_job(tenant_id=tenant_id, kind=auditing.EXPORT, arguments=arguments)


def done(job: Job) -> bytes:
    read_journal(job.pk)
    job.refresh_from_db()
    assert (job.state, job.progress, job.error) == ("done", 100, "")
    content: bytes = default_storage.open(job.result_name).read()
    return content


def failed(job: Job) -> str:
    read_journal(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result_name) == ("failed", "")
    return job.error


def test_it_keeps_to_the_tenant_and_the_platform_reads_all(site):
    assert json.loads(done(search()))["read"] == 10
    assert json.loads(done(search(tenant_id=2)))["found"][0]["snippet"] == "gold of Charlie's"
    everything = [json.loads(line) for line in done(export(tenant_id=None)).splitlines()]
    assert [line["intent"]["tenant_id"] for line in everything].count(2) == 1
    assert len(everything) == 11


def test_turns_that_begin_later_are_not_its_business(site):
    assert auditing.filters_of(search(until=START + 60)).until == START + 60
    job = export()
    record(1, at=START * 2)
    assert len(done(job).splitlines()) == 10


def test_it_tells_how_far_it_is(site, monkeypatch):
    monkeypatch.setattr(listing, "READ", 1)
    told: list[int] = []
    monkeypatch.setattr(jobs, "report_progress", lambda *, job_id, percent: told.append(percent) or True)
    done(export(since=START, until=START + 600))
    assert told == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    told.clear()
    done(search("nothing", since=START, until=START + 600))
    assert told == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]


def test_a_turn_that_cannot_be_read_is_exported_as_it_is_stored(site):
    with connections["journal"].cursor() as cursor:
        cursor.execute(
            "UPDATE compliance_auditentry SET body = %s WHERE turn_id = %s AND kind = 'intent'",
            [b"{broken", site.ids[3]],
        )
    found = json.loads(done(search()))
    assert (found["read"], found["unreadable"], len(found["found"])) == (10, 1, 9)
    line = [json.loads(line) for line in done(export()).splitlines()][3]
    assert (line["id"], line["intent"], line["entries"][0]["body"]) == (site.ids[3], None, "e2Jyb2tlbg==")
    rows = done(export("csv")).decode("utf-8-sig").splitlines()
    assert rows[4].startswith(f"{site.ids[3]},2023-11-14T22:16:20.000+00:00,1,")


def test_it_needs_no_more_memory_for_more_turns(site):
    """Each line of the export goes to the file at once."""

    def peak() -> int:
        job = export()
        tracemalloc.start()
        read_journal(job.pk)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    for n in range(200):
        record(1, at=START + n, messages=[Message("user", "x" * 20_000)])
    few = peak()
    for n in range(600):
        record(1, at=START + n, messages=[Message("user", "x" * 20_000)])
    assert peak() < 1.5 * few


def test_of_two_that_do_the_same_job_the_first_ones_word_counts(site, monkeypatch):
    job, write = export(), auditing._export

    def while_another_does_it(*arguments: object) -> None:
        monkeypatch.setattr(auditing, "_export", write)
        read_journal(job.pk)
        write(*arguments)

    monkeypatch.setattr(auditing, "_export", while_another_does_it)
    read_journal(job.pk)
    job.refresh_from_db()
    assert job.state == "done"
    assert default_storage.listdir("audit-exports")[1] == [job.result_name.rpartition("/")[2]]


@pytest.mark.parametrize("ending", ["failed", "removed"])
def test_it_stops_where_nobody_waits_any_more(site, monkeypatch, ending):
    job, report_progress = export(), jobs.report_progress

    def then_gone(*, job_id: int, percent: float) -> bool:
        if ending == "failed":
            jobs.fail_job(job_id=job_id, error="cancelled")
        else:
            site.acme.delete()
        return report_progress(job_id=job_id, percent=percent)

    monkeypatch.setattr(jobs, "report_progress", then_gone)
    read_journal(job.pk)
    assert not default_storage.exists(f"audit-exports/{job.pk}.jsonl")
    assert not Job.objects.everywhere().filter(pk=job.pk, state="done").exists()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DatabaseError("secret"), "could not be read"),
        (OSError(28, "No space left on device"), "could not be stored: No space left on device"),
        (ZeroDivisionError("secret"), "The platform's log says why"),
    ],
)
def test_it_says_why_it_failed_without_telling_secrets(site, monkeypatch, error, words):
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(listing, "every", broken)
    for job in (search(), export()):
        assert words in (said := failed(job))
        assert "secret" not in said


def test_it_gives_up_what_takes_too_long(site, monkeypatch):
    monkeypatch.setattr(auditing, "LIMIT", -1.0)
    assert "longer than" in failed(export())


def test_it_does_nothing_for_a_job_that_is_not_there_or_not_its_own(site):
    read_journal(10**9)
    other = jobs.queue_job(tenant_id=1, kind="replay_rules")
    read_journal(other.pk)
    other.refresh_from_db()
    assert other.state == "queued"


def test_it_is_known_to_the_worker():
    app.autodiscover_tasks(force=True)
    assert "access.tasks.read_journal" in app.tasks
