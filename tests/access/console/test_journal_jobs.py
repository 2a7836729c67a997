"""Searching and exporting the journal in the console: the question, the job's page, the file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.files.storage import default_storage
from django.test import Client

from access import auditing
from access.tasks import read_journal
from tenants import jobs
from tenants.models import Job
from tests.access.console.screens import NAUGHTY, record

READING = "/admin/compliance/auditentry/reading/"


@pytest.fixture(autouse=True)
def _objects(tmp_path: Path, settings: object) -> None:
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}


def page(console: Client, path: str) -> str:
    answer = console.get(path)
    assert answer.status_code == 200, path
    text: str = answer.content.decode()
    assert "<script>alert(1)" not in text
    return text


def asked(console: Client, **fields: str) -> str:
    """Asks, lets a worker do it, and gives the address of the job's page."""
    answer = console.post(READING, fields)
    assert answer.status_code == 302, answer.content.decode()
    assert answer.headers["Location"].startswith(READING)
    waiting = console.get(answer.headers["Location"])
    assert (waiting.headers["Refresh"], "looks again by itself" in waiting.content.decode()) == ("2", True)
    read_journal(Job.objects.everywhere().latest("pk").pk)
    return str(answer.headers["Location"])


def test_it_searches_and_shows_what_was_found(console: Client, cast: SimpleNamespace, operator: object) -> None:
    mine, his = record(cast.acme.id), record(cast.globex.id, at=1_700_000_060)
    everywhere = page(console, asked(console, do="search", text="SCRIPT"))
    assert all(f"/{turn}/change/" in everywhere for turn in (mine, his))
    assert "2 turns were read; 0 of them" in everywhere
    job = asked(console, do="search", text=NAUGHTY, tenant="acme", state="completed", until="2023-11-14T22:14")
    text = page(console, job)
    assert (f"/{mine}/change/" in text, f"/{his}/change/" in text) == (True, False)
    for words in ("2023-11-14 22:13:20", "2023-11-14 22:14:00 UTC", "completed", "question, user", "operator:"):
        assert words in text, words
    assert "Nothing was found." in page(console, asked(console, do="search", text="nothing like it"))
    assert page(console, READING).count(READING) >= 3


def test_it_exports_and_gives_the_file(console: Client, cast: SimpleNamespace) -> None:
    turn = record(cast.acme.id, at=1_000)
    for form, kind in (("jsonl", "application/x-ndjson"), ("csv", "text/csv; charset=utf-8")):
        job = asked(console, do=form, user=NAUGHTY)
        assert f"{job}result/" in page(console, job)
        answer = console.get(f"{job}result/")
        assert (answer.status_code, answer["Content-Type"]) == (200, kind)
        assert answer["Content-Disposition"].startswith("attachment; filename=")
        assert turn.encode() in b"".join(answer.streaming_content)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"do": "search"}, "Say what to look for."),
        ({}, "Choose a search or an export."),
        ({"do": "parquet"}, "Choose a search or an export."),
        ({"do": "csv", "tenant": "nobody"}, "There is no tenant nobody."),
        ({"do": "csv", "since": "never"}, "Expected ISO 8601"),
    ],
)
def test_it_says_what_is_missing(console: Client, cast: SimpleNamespace, fields: dict[str, str], words: str) -> None:
    answer = console.post(READING, fields)
    assert (answer.status_code, words in answer.content.decode()) == (200, True)
    assert not Job.objects.everywhere().exists()


def test_there_is_one_at_a_time(console: Client, cast: SimpleNamespace) -> None:
    assert console.post(READING, {"do": "csv"}).status_code == 302
    assert "under way already" in console.post(READING, {"do": "csv"}).content.decode()
    assert console.post(READING, {"do": "csv", "tenant": "acme"}).status_code == 302


def test_it_shows_jobs_that_failed_and_results_that_are_gone(console: Client, cast: SimpleNamespace) -> None:
    failed = jobs.queue_job(tenant_id=1, kind=auditing.SEARCH, arguments={"text": NAUGHTY, "filters": {}})
    jobs.fail_job(job_id=failed.pk, error=NAUGHTY)
    assert "alert(1)" in page(console, f"{READING}{failed.pk}/")
    record(cast.acme.id)
    job = asked(console, do="search", text="script")
    default_storage.delete(Job.objects.everywhere().latest("pk").result_name)
    assert "no longer there" in page(console, job)
    assert console.get(f"{job}result/").status_code == 404


def test_other_jobs_are_none_of_its_business(console: Client, cast: SimpleNamespace) -> None:
    other = jobs.queue_job(tenant_id=1, kind="replay_rules")
    for number in (other.pk, 999_999):
        assert console.get(f"{READING}{number}/").status_code == 302
        assert console.get(f"{READING}{number}/result/").status_code == 404


def test_only_operators_see_it(cast: SimpleNamespace, valkey_url: str) -> None:
    for path in ("reading/", "reading/1/", "reading/1/result/", "changes/", ""):
        answer = Client().get(f"/admin/compliance/auditentry/{path}")
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/admin/login/")
