"""Pages of a tenant's console about what is recorded and what runs: for the right roles, of the own tenant alone."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from access import tasks
from compliance.models import Erasure
from tenants import roles, stored_keys, support
from tenants.models import Job
from tests.access.console.screens import NAUGHTY, record
from tests.access.console.tenant.conftest import ROLES
from tests.compliance.journals import KEYS, empty_journal, journal_alias, journal_file

__all__ = ["empty_journal", "journal_alias", "journal_file"]

PAGES = {
    "/console/sessions/": "sessions",
    "/console/sessions/live/": "sessions",
    "/console/playground/": "playground",
    "/console/plugins/": "plugins",
    "/console/plugin/canned_answers/": "plugins",
    "/console/exports/": "exports",
    "/console/compliance/auditentry/": "journal",
    "/console/compliance/auditentry/changes/": "journal",
    "/console/compliance/auditentry/sessions/": "journal",
    "/console/compliance/auditentry/reading/": "journal",
    "/console/compliance/auditentry/signed/": "journal",
    "/console/compliance/erasure/": "journal",
    "/console/tenants/supportvisit/": "members",
}


@pytest.mark.parametrize("role", ROLES)
def test_it_opens_what_a_role_may_read(somebody: Callable[[str], Client], role: str) -> None:
    client = somebody(role)
    answers = {page: client.get(page).status_code for page in PAGES}
    expected = {page: 200 if roles.may(role, area) else 403 for page, area in PAGES.items()}
    assert answers == expected


def test_nobody_opens_them_without_signing_in(cast: SimpleNamespace, valkey_url: str) -> None:
    for page in PAGES:
        answer = Client().get(page)
        assert answer.status_code == 302 and "login" in answer["Location"]


def test_the_journal_shows_the_own_tenants_turns_and_no_others(
    alice: Client, charlie: Client, cast: SimpleNamespace
) -> None:
    mine = record(cast.acme.pk, user="1")
    theirs = record(cast.globex.pk, user="3")
    page = alice.get("/console/compliance/auditentry/").content.decode()
    assert mine in page and theirs not in page
    assert f"/console/compliance/auditentry/{mine}/change/" in page and "/admin/" not in page
    assert alice.get(f"/console/compliance/auditentry/{mine}/change/").status_code == 200
    hidden = charlie.get("/console/compliance/auditentry/?tenant=acme").content.decode()
    assert mine not in hidden and theirs in hidden
    assert charlie.get(f"/console/compliance/auditentry/{mine}/change/").status_code == 302
    shown = alice.get(f"/console/compliance/auditentry/{mine}/change/").content.decode()
    assert "<script>alert(1)" not in shown and "breaker open" in shown


def test_times_are_the_tenants(alice: Client, cast: SimpleNamespace) -> None:
    cast.acme.time_zone = "Asia/Shanghai"
    cast.acme.save()
    turn = record(cast.acme.pk, at=1_700_000_000.0)  # 2023-11-14 22:13:20 UTC
    page = alice.get(f"/console/compliance/auditentry/{turn}/change/").content.decode()
    assert "2023-11-15 06:13:20 Asia/Shanghai" in page
    found = alice.get("/console/compliance/auditentry/?since=2023-11-15T06:13&until=2023-11-15T06:14").content.decode()
    assert turn in found
    none = alice.get("/console/compliance/auditentry/?since=2023-11-15T06:14&until=2023-11-15T06:15").content.decode()
    assert turn not in none


def test_a_search_and_an_export_are_the_tenants(
    alice: Client, charlie: Client, somebody: Callable[[str], Client], cast: SimpleNamespace, settings: object
) -> None:
    theirs = Job.objects.create(tenant=cast.globex, kind="audit_export", arguments={"format": "csv", "filters": {}})
    assert alice.get(f"/console/compliance/auditentry/reading/{theirs.pk}/").status_code == 302
    assert alice.get(f"/console/compliance/auditentry/reading/{theirs.pk}/result/").status_code == 404
    assert charlie.get(f"/console/compliance/auditentry/reading/{theirs.pk}/").status_code == 200
    visiting = somebody("auditor")
    assert "Export as CSV" in visiting.get("/console/compliance/auditentry/reading/").content.decode()


def test_erasures_are_asked_for_in_the_own_tenant(
    alice: Client,
    charlie: Client,
    somebody: Callable[[str], Client],
    cast: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored_keys, "stored", KEYS.get)
    monkeypatch.setattr(tasks.erase_user, "delay", lambda job_id: None)
    assert somebody("auditor").get("/console/compliance/erasure/add/").status_code == 403
    answer = alice.get("/console/compliance/erasure/add/")
    assert answer.status_code == 200 and b'name="tenant"' not in answer.content
    asked = alice.post("/console/compliance/erasure/add/", {"user": "2", "tenant": cast.globex.pk})
    assert asked.status_code == 302, asked.context["errors"]
    [made] = Erasure.objects.everywhere()
    assert made.tenant_id == cast.acme.pk
    assert made.subject[:12] in alice.get("/console/compliance/erasure/").content.decode()
    assert made.subject[:12] not in charlie.get("/console/compliance/erasure/").content.decode()
    assert charlie.get(f"/console/compliance/erasure/{made.pk}/change/").status_code == 302


def test_a_tenant_sees_visits_and_its_owner_ends_one(
    alice: Client, charlie: Client, somebody: Callable[[str], Client], operator: object, cast: SimpleNamespace
) -> None:
    visit = support.start_visit(operator=operator, tenant=cast.acme, reason=NAUGHTY[:200])
    page = alice.get("/console/").content.decode()
    assert "operator" in page and "<script>alert(1)" not in page and "visits this console" in page
    assert "visits this console" not in charlie.get("/console/").content.decode()
    chosen = {"action": "end", "_selected_action": visit.pk}
    somebody("admin").post("/console/tenants/supportvisit/", chosen)
    charlie.post("/console/tenants/supportvisit/", chosen)
    visit.refresh_from_db()
    assert visit.ended_at is None
    assert alice.post("/console/tenants/supportvisit/", chosen).status_code == 302
    visit.refresh_from_db()
    assert visit.ended_at is not None


def test_the_journal_takes_as_many_queries_for_many_as_for_one(alice: Client, cast: SimpleNamespace) -> None:
    counts = []
    for more in (1, 30):
        for _ in range(more):
            record(cast.acme.pk)
        with CaptureQueriesContext(connections["journal"]) as journal, CaptureQueriesContext(connection) as rows:
            assert alice.get("/console/compliance/auditentry/").status_code == 200
        counts.append((len(journal), len(rows)))
    assert counts[0] == counts[1]
