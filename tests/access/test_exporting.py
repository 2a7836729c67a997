"""Exports of a tenant: what is in them, and what is not."""

from __future__ import annotations

import csv
import io
import json
from types import SimpleNamespace

import pytest
from django.core.files.storage import default_storage

from access import exporting
from compliance.usage import reader
from engine.errors import InvalidRequest
from tenants import jobs
from tenants.models import Job

ROWS = ['=HYPERLINK("http://x")', "+1+1", "-2", "@SUM(A1)", "\tx", "\rx", "＝1", "plain", 'with "quotes", and commas']


@pytest.fixture(autouse=True)
def _folder(settings, tmp_path) -> None:
    objects = {"BACKEND": "clawdbot_site.objects.FolderObjects", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": objects}


def done(tenant, kind: str, **arguments: object) -> tuple[Job, str]:
    job = jobs.queue_job(tenant_id=tenant.pk, kind=kind, arguments=arguments)
    exporting.run(job.pk)
    job.refresh_from_db()
    if not job.result_name:
        return job, ""
    with default_storage.open(job.result_name) as file:
        return job, file.read().decode()


def test_a_spreadsheet_computes_nothing_of_usage(cast: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = reader.Sums(completed=2, failed=1, prompt_tokens=30, completion_tokens=12, cost=1_500_000, last_at=1.0)
    asked: list[object] = []

    def totals(whose: object, period: object, by: str) -> list[reader.Line]:
        asked.append((whose, by))
        return [reader.Line(name, sums) for name in ROWS]

    monkeypatch.setattr(exporting.usage, "totals", totals)
    job, text = done(cast.acme, exporting.USAGE, by="model", since=0.0, until=3600.0)
    assert job.state == "done" and asked == [(reader.Whose(cast.acme.pk), "model")]
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert head[:3] == ["model", "turns", "completed"] and head[-1] == "cost"
    assert [row[0].lstrip("'") for row in rows] == ROWS
    assert all(not row[0].startswith(exporting.FORMULA) for row in rows)
    assert rows[0][1:4] == ["3", "2", "0"] and rows[0][-1] == "1.500000"


def test_the_configuration_is_the_tenants_without_secrets(rows_of_both: SimpleNamespace) -> None:
    job, text = done(rows_of_both.acme, exporting.CONFIGURATION)
    assert job.state == "done" and job.result_name.endswith(".yaml")
    assert "acme-model" in text and "globex-model" not in text and "sk-very-secret" not in text


@pytest.fixture
def rows_of_both(cast: SimpleNamespace) -> SimpleNamespace:
    from routing.models import ModelInstance
    from routing.services import save_instance

    for tenant in (cast.acme, cast.globex):
        instance = ModelInstance(name=f"{tenant.slug}-model", tenant=tenant, endpoint="https://api.example.com/v1")
        save_instance(instance=instance, api_key="sk-very-secret")
    return cast


def test_sessions_are_the_tenants(
    transactional_db: None, cast: SimpleNamespace, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    from engine.snapshots import Cell
    from tenants.isolation import Stores
    from tests.cast import ALICE, CHARLIE, tenant_table
    from tests.engine.journal import MemoryJournal
    from tests.sessions_app.conversing import turn
    from tests.sessions_app.parts import MemoryPast, sessions

    async def talk() -> None:
        stores, journal = Stores([valkey_url], Cell(tenant_table())), MemoryJournal()
        store = sessions(stores, Cell(tenant_table()), journal, MemoryPast(journal))
        await turn(store, ALICE.principal, "mine", "=what alice says")
        await turn(store, CHARLIE.principal, "theirs", "what charlie says")
        await stores.close()

    asyncio.run(talk())
    job, text = done(cast.acme, exporting.SESSIONS)
    assert job.state == "done", job.error
    [line] = [json.loads(each) for each in text.splitlines()]
    assert (line["user"], line["session_id"], line["state"]) == ("1", "mine", "live")
    assert line["context_stack"][0]["content"] == "=what alice says" and "charlie" not in text


def test_a_job_of_another_kind_or_of_nobody_is_left_alone(cast: SimpleNamespace) -> None:
    other = jobs.queue_job(tenant_id=cast.acme.pk, kind="audit_export", arguments={})
    nobody = jobs.queue_job(tenant_id=None, kind=exporting.USAGE, arguments={})
    for job in (other, nobody):
        exporting.run(job.pk)
        job.refresh_from_db()
        assert job.state == "queued"


@pytest.mark.parametrize(
    ("by", "since", "until"), [("colour", 0, 1), ("model", 1, 1), ("model", 2, 1), ("model", 0, 400 * 86_400)]
)
def test_it_says_what_cannot_be_asked_for(by: str, since: float, until: float) -> None:
    with pytest.raises(InvalidRequest):
        exporting.usage_arguments(by, since, until)
