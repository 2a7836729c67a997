"""The page of exports: asked for, listed and fetched by the own tenant alone."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from access import tasks
from compliance.models import ChangeRecord
from tenants.models import Job

PAGE = "/console/exports/"


@pytest.fixture(autouse=True)
def told(settings, tmp_path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    objects = {"BACKEND": "clawdbot_site.objects.FolderObjects", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": objects}
    told: list[int] = []
    monkeypatch.setattr(tasks.export_tenant, "delay", told.append)
    monkeypatch.setattr(tasks.read_journal, "delay", told.append)
    return told


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"what": "usage_export", "by": "key"}, "usage_export"),
        ({"what": "sessions_export"}, "sessions_export"),
        ({"what": "configuration_export"}, "configuration_export"),
        ({"what": "journal-csv", "since": "2026-01-01", "until": "2026-01-02"}, "audit_export"),
        ({"what": "journal-verifiable"}, "audit_export"),
    ],
)
def test_it_asks_for_one(
    alice: Client, cast: SimpleNamespace, told: list[int], fields: dict[str, str], kind: str
) -> None:
    ChangeRecord.objects.everywhere().moved()
    assert alice.post(PAGE, fields).status_code == 302
    [job] = Job.objects.for_tenant(cast.acme.pk)
    assert (job.kind, job.created_by, told) == (kind, f"member:{cast.alice.pk}", [job.pk])
    assert ChangeRecord.objects.everywhere().count() == 1
    assert b"Queued" in alice.get(PAGE).content
    again = alice.post(PAGE, fields)
    assert again.status_code == 200 and b"under way" in again.content


@pytest.mark.parametrize(
    "fields",
    [{}, {"what": "everything"}, {"what": "usage_export", "by": "colour"}, {"what": "usage_export", "since": "soon"},
     {"what": "usage_export", "since": "2026-01-02", "until": "2026-01-01"},
     {"what": "usage_export", "since": "2020-01-01", "until": "2026-01-01"}],
)  # fmt: skip
def test_it_says_what_is_wrong(alice: Client, told: list[int], fields: dict[str, str]) -> None:
    answer = alice.post(PAGE, fields)
    assert answer.status_code == 200 and answer.context["form"].errors and told == []


def test_only_the_own_are_listed_and_fetched(
    alice: Client, charlie: Client, somebody: Callable[[str], Client], cast: SimpleNamespace
) -> None:
    name = default_storage.save("tenant-exports/1.csv", ContentFile(b"what,cost\r\n"))
    job = Job.objects.create(tenant=cast.acme, kind="usage_export", state="done", result_name=name, arguments={})
    answer = alice.get(f"{PAGE}{job.pk}/result/")
    assert b"".join(answer.streaming_content) == b"what,cost\r\n" and "attachment" in answer["Content-Disposition"]
    assert charlie.get(f"{PAGE}{job.pk}/result/").status_code == 404
    assert f"{PAGE}{job.pk}/result/" not in charlie.get(PAGE).content.decode()
    assert somebody("developer").get(f"{PAGE}{job.pk}/result/").status_code == 403
    replay = Job.objects.create(tenant=cast.acme, kind="replay_rules", state="done", result_name=name, arguments={})
    assert alice.get(f"{PAGE}{replay.pk}/result/").status_code == 404
    default_storage.delete(name)
    assert alice.get(f"{PAGE}{job.pk}/result/").status_code == 404


def test_it_takes_as_many_queries_for_many_as_for_one(alice: Client, cast: SimpleNamespace) -> None:
    counts = []
    for more in (1, 25):
        for _ in range(more):
            Job.objects.create(tenant=cast.acme, kind="usage_export", state="done", arguments={"by": "model"})
        with CaptureQueriesContext(
            connection,
        ) as captured:
            alice.get(PAGE)
        counts.append(len(captured))
    assert counts[0] == counts[1]
