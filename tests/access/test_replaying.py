"""Replays as jobs: what they find, that they end once, and how they fail."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError

from access import replaying
from access.replay_requests import request_replay
from access.replaying import DAY, KIND, Period, period
from access.tasks import replay_rules
from clawdbot_site.celery import app
from engine.errors import InvalidRequest, RateLimited, StoreUnavailable
from routing.models import ModelInstance, RoutingRule
from routing.services import save_instance
from tenants import jobs
from tenants.models import Job
from tests.access.recorded import turn, write

START = 1_700_000_000.0
HOUR = Period(START, START + 3600)


@pytest.fixture
def objects(tmp_path: Path, settings: object) -> Path:
    """An object storage of its own: other tests leave theirs."""
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    return tmp_path


@pytest.fixture
def site(cast: SimpleNamespace, objects: Path) -> SimpleNamespace:
    """Two shared models, the second ten times as dear. Alice's tenant asked the first twenty times, Charlie's twice."""
    cast.cheap, cast.dear = (
        save_instance(instance=ModelInstance(name=name, adapter="echo", price_in=price, price_out=price))
        for name, price in (("cheap", 1), ("dear", 10))
    )
    mine = [turn(START + n, cast.cheap, rules=["always"], max_tokens=n * 100) for n in range(20)]
    his = [turn(START + n, cast.cheap, tenant_id=cast.globex.pk, max_tokens=n * 100) for n in range(2)]
    cast.ids = write(*mine, *his)
    return cast


def rules(*conditions: str) -> list[RoutingRule]:
    """Short ones stay, all others go to the dear model."""
    return [RoutingRule(model="cheap", priority=1, conditions=list(conditions)), RoutingRule(model="dear")]


def queued(site: SimpleNamespace, tenant_id: int | None = 1, **changes: object) -> Job:
    arguments = replaying.arguments(rules("max_tokens < 1000"), HOUR)
    return jobs.queue_job(tenant_id=tenant_id, kind=KIND, arguments={**arguments, **changes})


def stored(job: Job) -> dict:
    job.refresh_from_db()
    return json.loads(default_storage.open(job.result_name).read())


def test_it_leaves_a_report(site):
    job = queued(site)
    replay_rules(job.pk)
    report = stored(job)
    assert (job.state, job.progress, job.result_name) == ("done", 100, f"replays/{job.pk}.json")
    assert (report["scope"], report["from"], report["to"]) == ("acme", HOUR.since, HOUR.until)
    assert report["turns"] == {"read": 20, "replayed": 20, "left_out": {}, "not_recorded": {}}
    assert report["moved"] == {"turns": 10, "share": 0.5, "refused": 0}
    assert report["flows"] == [{"from": "cheap", "to": "dear", "turns": 10, "share": 0.5}]
    assert report["cost"]["before"] == pytest.approx(20 * 1100 / 1e6)
    assert report["cost"]["difference"] == pytest.approx(10 * 9 * 1100 / 1e6)
    assert report["ttft"] == {"before": pytest.approx(0.2), "after": pytest.approx(0.2), "turns": 10, "unknown": 10}
    assert report["rules"] == [
        {"rule": "always", "before": 20, "after": 0},
        {"rule": "cheap (rule 1)", "before": 0, "after": 10},
        {"rule": "dear (rule 2)", "before": 0, "after": 10},
    ]
    assert {each["turn_id"] for each in report["examples"]} <= set(site.ids[10:20])
    assert not RoutingRule.objects.everywhere().exists()


def test_it_reads_the_turns_of_its_tenant_only(site):
    job = queued(site, tenant_id=site.globex.pk)
    replay_rules(job.pk)
    assert (stored(job)["turns"]["read"], stored(job)["moved"]["turns"]) == (2, 0)


def test_it_replays_the_platforms_rules_for_all_tenants_under_their_own(site):
    RoutingRule.objects.create(tenant=site.globex, model="cheap")
    job = queued(site, tenant_id=None, rules=[{"model": "dear"}])
    replay_rules(job.pk)
    report = stored(job)
    assert (report["scope"], report["turns"]["read"], report["moved"]["turns"]) == ("platform", 22, 20)
    assert {each["tenant_id"] for each in report["examples"]} == {site.acme.pk}


def test_it_says_how_far_it_is(site, monkeypatch):
    monkeypatch.setattr(replaying, "STEP", 5)
    told = []
    replaying.replayed(rules(), 1, HOUR, progress=lambda percent: not told.append(percent))
    assert told == [0, 25, 50, 75]


def test_it_does_a_job_that_is_delivered_twice_once(site):
    job = queued(site)
    replay_rules(job.pk)
    first = stored(job)
    write(turn(START + 30, site.cheap))
    replay_rules(job.pk)
    assert stored(job) == first


def test_it_leaves_one_result_where_two_workers_did_the_job(site, monkeypatch):
    job = queued(site)
    work = replaying._work

    def while_another_does_it(mine: Job) -> dict:
        monkeypatch.setattr(replaying, "_work", work)
        replay_rules(job.pk)
        return work(mine)

    monkeypatch.setattr(replaying, "_work", while_another_does_it)
    replay_rules(job.pk)
    assert stored(job)["turns"]["read"] == 20
    assert [name for name in default_storage.listdir("replays")[1] if name.startswith(str(job.pk))] == [
        f"{job.pk}.json"
    ]


def test_it_does_a_job_again_whose_worker_died(site):
    job = queued(site)
    jobs.start_job(job_id=job.pk)
    default_storage.save(f"replays/{job.pk}.json", ContentFile(b"{"))
    replay_rules(job.pk)
    assert stored(job)["turns"]["read"] == 20


@pytest.mark.parametrize("ending", ["failed", "removed"])
def test_it_stops_where_nobody_waits_any_more(site, monkeypatch, ending):
    monkeypatch.setattr(replaying, "STEP", 1)
    job = queued(site)
    report_progress = jobs.report_progress

    def then_gone(*, job_id: int, percent: float) -> bool:
        if ending == "failed":
            jobs.fail_job(job_id=job_id, error="cancelled")
        else:
            site.acme.delete()
        return report_progress(job_id=job_id, percent=percent)

    monkeypatch.setattr(jobs, "report_progress", then_gone)
    replay_rules(job.pk)
    assert not default_storage.exists(f"replays/{job.pk}.json")
    assert not Job.objects.everywhere().filter(pk=job.pk, state="done").exists()


def test_it_does_nothing_for_a_job_that_is_not_there(db):
    replay_rules(10**9)


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

    monkeypatch.setattr(replaying, "replayed", broken)
    job = queued(site)
    replay_rules(job.pk)
    job.refresh_from_db()
    assert job.state == "failed"
    assert words in job.error
    assert "secret" not in job.error


def test_it_gives_up_what_takes_too_long(site, monkeypatch):
    monkeypatch.setattr(replaying, "LIMIT", 0.0)
    job = queued(site)
    replay_rules(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result_name) == ("failed", "")
    assert "longer than" in job.error and "shorter period" in job.error


def test_it_refuses_more_than_one_at_a_time(site, valkey_url):
    asked = {"rules": rules(), "tenant": site.acme, "during": HOUR, "created_by": "key:1"}
    made = request_replay(**asked)
    with pytest.raises(RateLimited) as refused:
        request_replay(**asked)
    assert refused.value.retry_after
    assert request_replay(**{**asked, "tenant": site.globex})  # others are not held up
    assert request_replay(**{**asked, "tenant": None})
    replay_rules(made.pk)
    assert request_replay(**asked).state == "queued"


def test_it_fails_a_job_that_no_worker_can_hear_of(site, monkeypatch):
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setitem(app.conf, "task_publish_retry", False)
    with app.connection_for_write() as connection, pytest.raises(StoreUnavailable):
        monkeypatch.setattr(replay_rules, "delay", lambda job: replay_rules.apply_async([job], connection=connection))
        request_replay(rules=rules(), tenant=site.acme, during=HOUR, created_by="key:1")
    assert Job.objects.for_tenant(1).get().state == "failed"


def test_it_is_known_to_the_worker():
    app.autodiscover_tasks(force=True)
    assert "access.tasks.replay_rules" in app.tasks
    assert set(app.amqp.queues) == {"celery", "replays"}  # what a worker listens to unless told otherwise


def test_it_reads_periods():
    now = time.time()
    day = period()
    assert day.until == pytest.approx(now, abs=5)
    assert day.until - day.since == DAY
    assert period(START, START + 60) == Period(START, START + 60)
    assert period("2023-11-14T22:13:20Z", "2023-11-14T23:13:20+00:00") == HOUR
    assert period("2023-11-14 22:13:20", "1700003600") == HOUR
    assert period("20231114T221320Z", "20231114T231320Z") == HOUR
    assert period("20231114", "2023-11-15") == Period(1_699_920_000.0, 1_700_006_400.0)
    assert period(" 1700000000.5 ", 1_700_003_600) == Period(START + 0.5, START + 3600)
    assert period(START, None if now - START < 90 * DAY else START + DAY).since == START
    assert period(now - 60, now + 10**6).until == pytest.approx(now, abs=5)


@pytest.mark.parametrize(
    ("since", "until", "field"),
    [
        ("yesterday", None, "from"),
        (START, "later", "to"),
        (None, 0, "to"),
        (None, DAY, "to"),
        (0, None, "from"),
        (10**400, None, "from"),
        ("2026", None, "from"),
        ("1_700_000_000", None, "from"),
        ("\u0661\u0667\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660", None, "from"),
        ("1.7e9", None, "from"),
        ("+1700000000", None, "from"),
        (True, None, "from"),
        ("nan", None, "from"),
        ("inf", None, "from"),
        (-1, None, "from"),
        (1e300, None, "from"),
        ("9" * 39, None, "from"),
        (START, START, "from"),
        (START, START - 1, "from"),
        (START, START + 91 * DAY, "from"),
        (lambda: time.time() + 60, None, "from"),
    ],
)
def test_it_refuses_other_periods(since, until, field):
    with pytest.raises(InvalidRequest) as refused:
        period(since() if callable(since) else since, until)
    assert refused.value.param == field
