"""`/api/erasures` for who manages a tenant, over its own people only."""

from __future__ import annotations

import pytest

from access import tasks
from compliance.models import Erasure
from tenants import stored_keys
from tenants.models import Job, Tenant
from tests.access.managed import managed
from tests.compliance.journals import KEYS


@pytest.fixture
async def site(transactional_db, cast, monkeypatch):
    monkeypatch.setattr(stored_keys, "stored", KEYS.get)
    told = []
    monkeypatch.setattr(tasks.erase_user, "delay", told.append)
    async with managed() as site:
        site.told = told
        yield site


async def test_it_queues_an_erasure_and_names_nobody(site):
    answer = await site.alice.post("/api/erasures", {"user": "key:1:alice"})
    assert answer.status == 202 and answer.json["kind"] == "erase_user" and answer.json["state"] == "queued"
    assert site.told == [answer.json["id"]]
    listed = (await site.alice.get("/api/erasures")).json["erasures"]
    assert [(each["subject"], each["requested_by"], each["job"]) for each in listed] == [
        (KEYS[1].pseudonym("key:1:alice"), "key:1", answer.json["id"])
    ]
    stored = await site.rows(
        lambda: [str(vars(row)) for model in (Erasure, Job) for row in model.objects.everywhere().all()]
    )
    assert len(stored) == 2 and not any("alice" in row for row in stored)


async def test_another_tenant_sees_and_erases_only_its_own(site):
    await site.alice.post("/api/erasures", {"user": "1"})
    assert (await site.charlie.get("/api/erasures")).json == {"erasures": []}
    await site.charlie.post("/api/erasures", {"user": "1"})
    rows = await site.rows(
        lambda: list(Erasure.objects.everywhere().values_list("tenant_id", "subject").order_by("id"))
    )
    assert rows == [(1, KEYS[1].pseudonym("1")), (2, KEYS[2].pseudonym("1"))]


async def test_who_manages_nothing_may_not(site):
    assert (await site.bob.post("/api/erasures", {"user": "1"})).status == 403
    assert (await site.bob.get("/api/erasures")).status == 403
    assert (await site.alice.request("DELETE", "/api/erasures")).status == 405


async def test_nobody_is_erased_under_a_legal_hold(site):
    await site.rows(lambda: Tenant.objects.filter(pk=1).update(legal_hold=True))
    answer = await site.alice.post("/api/erasures", {"user": "1"})
    assert (answer.status, answer.json["error"]["code"]) == (409, "conflict")
    assert "legal hold" in answer.json["error"]["message"] and site.told == []
    assert (await site.charlie.post("/api/erasures", {"user": "1"})).status == 202


NO_USER = [{}, {"user": ""}, {"user": 7}, {"user": "a\nb"}, {"user": "x" * 301}, {"user": "a", "b": 1}]


@pytest.mark.parametrize("body", NO_USER)
async def test_it_refuses_what_is_no_user(site, body):
    answer = await site.alice.post("/api/erasures", body)
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
    assert site.told == []
