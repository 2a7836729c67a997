"""`POST /api/route/replay`: who may, what is refused and where, and what comes back."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from celery import current_app
from kombu import Queue

from access.management.routes import ReplayBody
from access.replaying import KIND
from access.tasks import replay_rules
from routing.models import ModelInstance, RoutingRule
from routing.services import save_instance
from tenants.models import Job
from tests.access.managed import managed
from tests.access.recorded import turn, write

START = 1_700_000_000.0
RULES = [{"model": "dear", "conditions": ["max_tokens >= 1000"], "priority": 1}, {"model": "cheap"}]
ASKED = {"rules": RULES, "from": START, "to": "2023-11-14T23:13:20Z"}


@pytest.fixture
async def site(transactional_db, cast, valkey_url, tmp_path: Path, settings):
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}

    def rows():
        cheap, dear, his = (
            save_instance(instance=ModelInstance(name=name, tenant=tenant, adapter="echo"))
            for name, tenant in (("cheap", None), ("dear", None), ("globex-own", cast.globex))
        )
        mine = [turn(START + n, cheap, max_tokens=n * 100) for n in range(20)]
        return write(*mine, turn(START, his, tenant_id=cast.globex.pk))

    async with managed() as site:
        site.ids = await site.rows(rows)
        yield site


async def refused(answer, status, code):
    error = answer.json["error"]
    assert (answer.status, error["code"]) == (status, code), error
    return error


def queued(name: str = "replays") -> list[int]:
    """The jobs a worker of this queue would hear of."""
    with current_app.connection_for_read() as connection, connection.channel() as channel:
        bound, found = Queue(name, channel=channel)(channel), []
        while (message := bound.get(no_ack=True)) is not None:
            found.append(message.payload[0][0])
    return found


async def test_it_queues_a_job_and_its_result_is_there_in_the_end(site):
    answer = await site.alice.post("/api/route/replay/", ASKED)
    assert answer.status == 202
    job = answer.json
    assert (job["kind"], job["state"], job["progress"], job["result_url"]) == (KIND, "queued", 0, None)
    assert await site.rows(queued) == [job["id"]]
    assert await site.rows(partial(queued, current_app.conf.task_default_queue)) == []
    await site.rows(lambda: replay_rules(job["id"]))
    job = (await site.alice.get(f"/api/jobs/{job['id']}")).json
    assert (job["state"], job["progress"]) == ("done", 100)
    report = json.loads((await site.alice.get(job["result_url"])).body)
    assert (report["scope"], report["turns"]["read"], report["moved"]["share"]) == ("acme", 20, 0.5)
    assert {each["turn_id"] for each in report["examples"]} <= set(site.ids[10:20])
    assert not await site.rows(lambda: RoutingRule.objects.everywhere().exists())


async def test_it_shows_charlie_neither_alices_jobs_nor_her_turns(site):
    job = (await site.alice.post("/api/route/replay", ASKED)).json["id"]
    await site.rows(lambda: replay_rules(job))
    for path in (f"/api/jobs/{job}", f"/api/jobs/{job}/result"):
        assert (await site.charlie.get(path)).status == 404
    his = (await site.charlie.post("/api/route/replay", {**ASKED, "rules": [{"model": "globex-own"}]})).json["id"]
    await site.rows(lambda: replay_rules(his))
    report = json.loads((await site.charlie.get(f"/api/jobs/{his}/result")).body)
    assert (report["turns"]["read"], report["moved"]["turns"]) == (1, 0)
    error = await refused(
        await site.alice.post("/api/route/replay", {"rules": [{"model": "globex-own"}]}), 400, "invalid_request"
    )
    assert error["message"] == "rules[0].model: There is no model 'globex-own' that you may use."


async def test_it_is_for_who_manages_the_tenant(site):
    await refused(await site.bob.post("/api/route/replay", ASKED), 403, "forbidden")
    await refused(await site.site.stranger.post("/api/route/replay", ASKED), 401, "unauthenticated")
    await refused(await site.alice.get("/api/route/replay"), 405, "method_not_allowed")
    assert not await site.rows(lambda: Job.objects.everywhere().exists())


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "rules", "rules"),
        ({"rules": "x"}, "rules", ""),
        ({"rules": [{"weight": 3}]}, "rules[0].model", "missing"),
        ({"rules": [{"model": "cheap"}, {"model": "cheap", "condition": []}]}, "rules[1].condition", "unknown"),
        ({"rules": [], "form": START}, "form", "unknown"),
        ({"rules": [{"model": "cheap", "scope": "mine"}]}, "rules[0].scope", "mine"),
        ({"rules": ["cheap"]}, "rules[0]", ""),
        ({"rules": [{"model": "cheap", "weight": "3"}]}, "rules[0].weight", ""),
        ({"rules": [{"model": "cheap", "weight": 0}]}, "rules[0].weight", "weight: "),
        (
            {"rules": [{"model": "cheap"}, {"model": "dear", "conditions": ["stream", "hour > 'x'"]}]},
            "rules[1].conditions",
            "rules[1].conditions: Condition 2, column 8: hour is compared with a number, found a text in quotes.",
        ),
        ({"rules": [{"model": "cheap"}] * 201}, "rules", ""),
        ({"rules": [], "from": "yesterday"}, "from", "ISO 8601"),
        ({"rules": [], "from": True}, "from", ""),
        ({"rules": [], "to": {}}, "to", ""),
        ({"rules": [], "from": START, "to": START - 1}, "from", "before to"),
        ({"rules": [], "from": START}, "from", "At most 90 days"),
        ({"rules": [], "from": -5}, "from", "expected"),
        ({"rules": [], "from": 20261122}, "from", "expected ISO 8601"),
        ({"rules": [], "to": 0}, "to", "expected"),
        ({"rules": [], "from": "9" * 41}, "from", ""),
    ],
)
async def test_it_says_what_is_wrong_and_where(site, body, param, words):
    error = await refused(await site.alice.post("/api/route/replay", body), 400, "invalid_request")
    assert error["param"] == param
    assert words in error["message"]
    assert not await site.rows(lambda: Job.objects.everywhere().exists())


async def test_it_takes_the_last_day_unless_told_and_no_rules_at_all(site):
    answer = await site.alice.post("/api/route/replay", {"rules": []})
    assert answer.status == 202
    (job,) = await site.rows(lambda: list(Job.objects.for_tenant(1)))
    assert job.arguments["to"] - job.arguments["from"] == 86_400
    assert (job.created_by, job.arguments["rules"]) == ("key:1", [])


async def test_it_refuses_a_second_at_the_same_time(site):
    assert (await site.alice.post("/api/route/replay", ASKED)).status == 202
    answer = await site.alice.post("/api/route/replay", ASKED)
    await refused(answer, 429, "rate_limited")
    assert answer.headers["retry-after"] == "10"
    assert (await site.charlie.post("/api/route/replay", {"rules": []})).status == 202


async def test_it_takes_rules_as_they_are_listed(site):
    made = await site.alice.post("/api/rules", {"model": "cheap", "conditions": ["stream"], "fallbacks": ["dear"]})
    assert made.status == 201
    await site.rows(lambda: RoutingRule.objects.create(model="dear", name="of the platform"))
    rules = (await site.alice.get("/api/rules")).json["rules"]
    assert [rule["scope"] for rule in rules] == ["tenant", "platform"]
    unknown = {**rules[1], "model": None}
    assert (await site.alice.post("/api/route/replay", {"rules": [*rules, unknown]})).status == 202
    (job,) = await site.rows(lambda: list(Job.objects.for_tenant(1)))
    assert [rule["model"] for rule in job.arguments["rules"]] == ["cheap"]
    assert ReplayBody.__struct_encode_fields__ == ("rules", "from", "to")
