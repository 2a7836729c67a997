"""The isolation self-test in both consoles: who may start it, how often, and what the report shows."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client

from access import isolation_tests
from tenants import jobs
from tenants.models import Job, Member, User

REPORT = {
    "doors": {"http": 81}, "attacks": {"http": 987}, "holds": False, "seconds": 60.0, "database": "SQLite",
    "findings": [{"door": "GET /api/rules", "who": "stranger", "kind": "shown", "said": "<script>alert(1)</script>"}],
}  # fmt: skip


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr(isolation_tests._Task, "delay", lambda self, job_id: found.append(job_id))
    return found


def as_role(cast: SimpleNamespace, role: str) -> Client:
    Member.objects.for_tenant(cast.acme.id).filter(pk=cast.alice.pk).update(role=role)
    client = Client()
    client.force_login(User.objects.get(pk=cast.alice.user_id))
    return client


def done(job: Job, report: dict = REPORT) -> None:
    name = default_storage.save(f"jobs/{job.pk}-isolation.json", ContentFile(json.dumps(report).encode()))
    jobs.start_job(job_id=job.pk)
    jobs.finish_job(job_id=job.pk, result_name=name)


def test_an_operator_starts_it_and_reads_the_report(console: Client, sent: list[int]) -> None:
    assert "has not been run" in console.get("/admin/isolation/").content.decode()
    assert console.post("/admin/isolation/").status_code == 302
    job = Job.objects.filter(tenant__isnull=True).get()
    assert (sent, job.kind) == ([job.pk], "isolation_selftest")
    running = console.get("/admin/isolation/")
    assert running.headers["Refresh"] == "3" and "Run the test" not in running.content.decode()
    console.post("/admin/isolation/")
    assert sent == [job.pk]
    done(job)
    text = console.get("/admin/isolation/").content.decode()
    assert "GET /api/rules" in text and "&lt;script&gt;" in text and "<script>alert(1)" not in text
    file = console.get(f"/admin/isolation/{job.pk}/")
    assert json.loads(b"".join(file.streaming_content)) == REPORT  # type: ignore[arg-type]
    assert console.get("/admin/isolation/999/").status_code == 404
    console.post("/admin/isolation/")
    assert len(sent) == 2


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("admin", 200), ("auditor", 200), ("developer", 200)])
def test_a_tenants_people_read_it(cast: SimpleNamespace, valkey_url: str, sent: list[int], role, status) -> None:
    client = as_role(cast, role)
    page = client.get("/console/isolation/")
    assert page.status_code == status
    assert ("Run the test" in page.content.decode()) == (role in ("owner", "admin"))
    client.post("/console/isolation/")
    assert len(sent) == (role in ("owner", "admin"))


def test_a_tenant_does_not_ask_again_within_the_hour(cast: SimpleNamespace, valkey_url: str, sent: list[int]) -> None:
    client = as_role(cast, "owner")
    client.post("/console/isolation/")
    done(Job.objects.filter(tenant__isnull=True).get(), {**REPORT, "holds": True, "findings": []})
    text = client.post("/console/isolation/", follow=True).content.decode()
    assert "less than an hour old" in text and "Tenants are kept apart" in text
    assert len(sent) == 1


def test_members_and_strangers_see_nothing_of_it(cast: SimpleNamespace, valkey_url: str, sent: list[int]) -> None:
    for client, shut in ((as_role(cast, "member"), 403), (Client(), 302)):
        assert client.get("/console/isolation/").status_code == shut
        assert client.get("/console/isolation/1/").status_code == shut
        assert client.get("/admin/isolation/").status_code == 302


def test_a_tenants_own_job_is_no_report(cast: SimpleNamespace, valkey_url: str) -> None:
    job = jobs.queue_job(tenant_id=cast.globex.pk, kind=isolation_tests.KIND)
    done(job)
    assert as_role(cast, "owner").get(f"/console/isolation/{job.pk}/").status_code == 404
