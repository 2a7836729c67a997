"""`/api/audit`: who may read which turns, by which filters, and the jobs that search and export them."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from celery import current_app
from django.db import DatabaseError
from kombu import Queue

from access import answers, auditing
from access.audit_files import AROUND, CSV_COLUMNS
from access.authentication import ROLE_SCOPES
from access.management.audit import AuditLine, ChangeLines
from access.tasks import read_journal
from compliance.journal import listing, reader
from compliance.journal.records import change_row
from compliance.models import AuditEntry, ChangeRecord
from engine.entries import Change
from engine.types import Choice, Message, Usage, Verdict
from routing.models import ModelInstance
from routing.services import save_instance
from tenants import jobs
from tenants.models import Job
from tests.access.console.screens import record
from tests.access.managed import managed
from tests.access.recorded import write
from tests.cast import ALICE, BOB, CHARLIE

START = 1_700_000_000.0
WORDS = [Verdict("house rules", 3, "bad", "block", "input")]


def said(text: str) -> dict:
    return {"choices": [Choice(Message("assistant", text), "stop")], "usage": Usage(7, 9)}


def turns() -> SimpleNamespace:
    """Three of Alice's key, one of them for a user of hers, one of Bob's, one of Charlie's."""
    plain = {"verdicts": [], "session_id": None}
    asked = [Message("user", "Where is the ＧＯＬＤ?")]
    return SimpleNamespace(
        hers=record(1, at=START, user="key:1", key_id=1, subject="key:1", messages=asked, end=said("In the bank."),
                    **{**plain, "session_id": "s9"}),
        ann=record(1, at=START + 60, user="key:1:ann", key_id=1, subject="key:1", state="failed", **plain),
        blocked=record(1, at=START + 120, user="key:1", key_id=1, subject="key:1", state="refused", edge="grpc",
                       verdicts=WORDS, session_id=None),
        bobs=record(1, at=START + 180, user="key:2", key_id=2, subject="key:2", end=said("=1+1"),
                    messages=[Message("user", "gold" + "." * 200)], **plain),
        his=record(2, at=START + 240, user="key:3", key_id=3, subject="key:3", messages=asked, **plain),
    )  # fmt: skip


@pytest.fixture
async def site(transactional_db, cast, valkey_url, tmp_path: Path, settings):
    """Alice audits, Bob does not, Charlie audits another tenant."""
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    read = reader.JournalReader()
    async with managed(read_turn=read.turn) as site:
        for person in (ALICE, CHARLIE):
            site.site.keys.people[person.key] = with_scopes(person, "audit")
        site.turns = await site.rows(turns)
        yield site
    await asyncio.to_thread(read.close)


def with_scopes(person, *scopes):
    return msgspec.structs.replace(person.key_principal, scopes=frozenset(scopes))


async def listed(client, query: str = "") -> list[str]:
    answer = await client.get(f"/api/audit{query}")
    assert answer.status == 200, answer.body
    return [turn["id"] for turn in answer.json["turns"]]


async def refused(answer, status: int, code: str) -> dict:
    error = answer.json["error"]
    assert (answer.status, error["code"]) == (status, code), error
    return error


async def done(site, client, path: str, body: dict):
    """The result of a job, once a worker has done it."""
    answer = await client.post(path, body)
    assert answer.status == 202, answer.body
    job = answer.json
    assert (job["state"], job["progress"], job["result_url"]) == ("queued", 0, None)
    await site.rows(lambda: read_journal(job["id"]))
    job = (await client.get(f"/api/jobs/{job['id']}")).json
    assert (job["state"], job["progress"], job["error"]) == ("done", 100, None)
    return await client.get(job["result_url"])


async def test_it_lists_the_tenants_turns_newest_first(site):
    names = site.turns
    assert await listed(site.alice) == [names.bobs, names.blocked, names.ann, names.hers]
    assert await listed(site.alice, "/") == await listed(site.alice)
    assert await listed(site.charlie) == [names.his]
    page = (await site.alice.get("/api/audit?limit=2")).json
    assert (page["next"], await listed(site.alice, f"?limit=2&before={page['next']}")) == (
        names.blocked,
        [names.ann, names.hers],
    )
    line = page["turns"][1]
    msgspec.convert(line, AuditLine)
    assert line == {
        "id": names.blocked, "at": START + 120, "user": "key:1", "key": 1, "session": None, "edge": "grpc",
        "model": "auto", "answered_by": "gpt", "instance": "gpt", "state": "refused", "ended": START + 122,
        "verdicts": [{"list": "house rules", "action": "block", "where": "input"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("from=1700000060&to=1700000180", ["blocked", "ann"]),
        ("from=2023-11-14T22:15:20Z", ["bobs", "blocked"]),
        ("user=key:1:ann", ["ann"]),
        ("key=2", ["bobs"]),
        ("session=s9", ["hers"]),
        ("model=gpt&key=1", ["blocked", "ann", "hers"]),
        ("instance=other", []),
        ("state=failed", ["ann"]),
        ("state=in_flight", []),
        ("verdict=any", ["blocked"]),
        ("verdict=mask", []),
        ("list=house%20rules", ["blocked"]),
        ("edge=rest", ["bobs", "ann", "hers"]),
    ],
)
async def test_it_filters(site, query, found):
    assert await listed(site.alice, f"?{query}") == [getattr(site.turns, name) for name in found]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("before=1", "before"),
        ("before=" + "g" * 32, "before"),
        ("from=yesterday", "from"),
        ("to=", "to"),
        ("from=1e400", "from"),
        ("key=0", "key"),
        ("key=99999999999999999999", "key"),
        ("state=lost", "state"),
        ("verdict=none", "verdict"),
        ("user=", "user"),
        ("usr=1", "usr"),
        ("session=" + "s" * 301, "session"),
    ],
)
async def test_it_refuses_what_is_no_filter(site, query, param):
    assert (await refused(await site.alice.get(f"/api/audit?{query}"), 400, "invalid_request"))["param"] == param


async def test_without_the_scope_a_caller_lists_its_own(site):
    assert await listed(site.bob) == [site.turns.bobs]
    assert await listed(site.bob, "?key=2") == [site.turns.bobs]
    assert await listed(site.bob, "?key=1") == []
    member = msgspec.structs.replace(BOB.principal, scopes=ROLE_SCOPES["member"])
    site.site.keys.people[BOB.key] = member
    assert await listed(site.bob) == []
    mine = await site.rows(lambda: record(1, at=START + 300, user=member.user, subject=member.subject))
    assert await listed(site.bob) == await listed(site.bob, f"?user={member.user}") == [mine]
    assert await listed(site.bob, "?user=key:1") == []


async def test_it_shows_the_whole_record_to_who_may_see_it(site):
    path = f"/api/audit/{site.turns.hers}"
    answer = await site.alice.get(path)
    assert answer.status == 200
    told = answer.json
    assert (told["state"], told["erased"]) == ("completed", False)
    assert told["intent"]["messages"][0]["content"] == "Where is the ＧＯＬＤ?"
    assert told["completion"]["choices"][0]["message"]["content"] == "In the bank."
    assert [(entry["kind"], entry["worker"]) for entry in told["entries"]] == [("intent", "w1"), ("completion", "w1")]
    assert all(entry["bytes"] > 100 for entry in told["entries"])
    msgspec.convert(told, answers.AuditTurnAnswer)
    assert (await site.bob.get(f"/api/audit/{site.turns.bobs}")).status == 200


async def test_it_shows_nobody_what_is_not_theirs(site):
    for client, turn in ((site.charlie, site.turns.hers), (site.bob, site.turns.hers), (site.alice, site.turns.his)):
        await refused(await client.get(f"/api/audit/{turn}"), 404, "turn_not_found")
    await refused(await site.alice.get("/api/audit/1"), 404, "turn_not_found")
    site.site.keys.people[BOB.key] = with_scopes(BOB, "sessions", "manage")
    for method, path in (("GET", ""), ("GET", f"/{site.turns.bobs}"), ("POST", "/search"), ("POST", "/exports")):
        await refused(await site.bob.request(method, f"/api/audit{path}", {"text": "x"}), 403, "forbidden")


def journalled(*changes_made: Change) -> None:
    write([change_row(change, "w1") for change in changes_made])


def change(number: int, tenant_id: int = 1, **fields: object) -> Change:
    given = {"actor": "key:7", "action": "changed", "model": "routing.routingrule", "row": str(number)}
    turn_id = f"{int((START + number) * 1000):012x}{number:020x}"
    return Change(turn_id=turn_id, tenant_id=tenant_id, at=START + number, **{**given, **fields})


async def test_it_lists_changes_of_the_tenants_configuration(site):
    mine = [change(n, after={"weight": n}, before={"weight": 0}) for n in range(5)]
    await site.rows(
        lambda: journalled(*mine, change(9, 2), change(10, 0), change(11, actor="operator:1", action="created"))
    )
    page = (await site.alice.get("/api/audit/changes?limit=2")).json
    assert [each["row"] for each in page["changes"]] == ["11", "4"]
    assert page["changes"][1] == {
        "id": mine[4].turn_id, "at": START + 4, "actor": "key:7", "actor_label": "", "request_id": "",
        "action": "changed", "model": "routing.routingrule", "row": "4", "label": "", "before": {"weight": 0},
        "after": {"weight": 4}, "erased": False,
    }  # fmt: skip
    msgspec.convert(page, ChangeLines)

    async def rows(client, query):
        return [each["row"] for each in (await client.get(f"/api/audit/changes?{query}")).json["changes"]]

    assert await rows(site.alice, f"before={page['next']}") == ["3", "2", "1", "0"]
    assert await rows(site.alice, "actor=operator:1") == await rows(site.alice, "action=created") == ["11"]
    assert await rows(site.alice, "row=3&model=routing.routingrule") == ["3"]
    assert await rows(site.alice, f"from={START + 1}&to={START + 3}") == ["2", "1"]
    assert await rows(site.charlie, "") == ["9"]
    await refused(await site.bob.get("/api/audit/changes"), 403, "forbidden")
    for query, param in (("acter=1", "acter"), ("limit=0", "limit"), ("from=x", "from"), ("before=1", "before")):
        error = await refused(await site.alice.get(f"/api/audit/changes?{query}"), 400, "invalid_request")
        assert error["param"] == param


async def test_a_change_over_the_api_is_its_callers(site):
    site.site.keys.people[ALICE.key] = with_scopes(ALICE, "manage")
    await site.rows(lambda: save_instance(instance=ModelInstance(name="gpt", adapter="echo")))
    await site.rows(lambda: ChangeRecord.objects.everywhere().moved())
    made = await site.alice.post("/api/rules", {"model": "gpt"}, {"X-Request-Id": "mine"})
    assert made.status == 201
    records = await site.rows(lambda: list(ChangeRecord.objects.everywhere()))
    told = [msgspec.json.decode(bytes(record.body), type=Change) for record in records]
    assert [(each.actor, each.request_id, each.action, each.model) for each in told] == [
        ("key:1", "mine", "created", "routing.routingrule")
    ]


async def test_who_searched_and_exported_is_on_record(site):
    await site.rows(lambda: ChangeRecord.objects.everywhere().moved())
    job = (await site.alice.post("/api/audit/search", {"text": "gold", "filters": {"key": 1}})).json["id"]
    records = await site.rows(lambda: list(ChangeRecord.objects.for_tenant(1)))
    [told] = [msgspec.json.decode(bytes(record.body), type=Change) for record in records]
    assert (told.actor, told.action, told.label, told.row) == ("key:1", "asked", "audit_search", str(job))
    assert (told.after["text"], told.after["filters"]["key_id"]) == ("gold", 1)


async def test_nobody_changes_anything(site):
    for path in ("", f"/{site.turns.hers}", "/changes", "/sessions", "/checkpoints", "/search", "/exports"):
        for method in ("PUT", "PATCH", "DELETE"):
            await refused(await site.alice.request(method, f"/api/audit{path}"), 405, "method_not_allowed")


async def test_it_says_so_when_the_journal_cannot_be_read(site, monkeypatch):
    def away(*_: object, **__: object):
        raise DatabaseError("no such file")

    monkeypatch.setattr(listing, "page", away)
    await refused(await site.alice.get("/api/audit"), 503, "store_unavailable")


async def test_a_search_finds_what_was_said(site):
    result = (await done(site, site.alice, "/api/audit/search", {"text": "gold"})).json
    assert [(hit["id"], hit["where"], hit["role"]) for hit in result["found"]] == [
        (site.turns.bobs, "question", "user"),
        (site.turns.hers, "question", "user"),
    ]
    assert result["found"][0]["snippet"] == "gold" + "." * AROUND + "…"
    assert result["found"][1]["snippet"] == "Where is the GOLD?"
    assert (result["read"], result["unreadable"], result["complete"]) == (4, 0, True)
    assert (result["text"], result["reached"]) == ("gold", START)
    narrow = {"text": "BANK", "filters": {"from": START, "to": START + 60, "state": "completed"}}
    result = (await done(site, site.alice, "/api/audit/search", narrow)).json
    assert [(hit["id"], hit["where"]) for hit in result["found"]] == [(site.turns.hers, "answer")]
    assert result["read"] == 1
    assert result["filters"] == narrow["filters"], "named as they were asked for"


async def test_a_search_that_finds_too_much_says_where_it_stopped(site, monkeypatch):
    monkeypatch.setattr(auditing, "MOST_FOUND", 1)
    result = (await done(site, site.alice, "/api/audit/search", {"text": "gold"})).json
    assert [hit["id"] for hit in result["found"]] == [site.turns.bobs]
    assert (result["complete"], result["reached"]) == (False, START + 180)


async def test_an_export_holds_every_entry_as_it_is_stored(site):
    answer = await done(site, site.alice, "/api/audit/exports", {"format": "jsonl", "filters": {"key": 1}})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["id"] for line in lines] == [site.turns.hers, site.turns.ann, site.turns.blocked]
    assert [line["state"] for line in lines] == ["completed", "failed", "refused"]
    assert lines[0]["intent"]["messages"][0]["content"] == "Where is the ＧＯＬＤ?"
    stored = await site.rows(lambda: list(AuditEntry.objects.for_tenant(1).filter(turn_id=site.turns.hers)))
    assert len(lines[0]["entries"]) == len(stored) == 2
    for entry, row in zip(lines[0]["entries"], sorted(stored, key=lambda row: row.id), strict=True):
        assert base64.b64decode(entry.pop("body")) == bytes(row.body)
        assert entry == {name: getattr(row, name) for name in entry}


async def test_a_table_has_no_formulas(site):
    answer = await done(site, site.alice, "/api/audit/exports", {"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert tuple(rows[0]) == CSV_COLUMNS
    table = {row[0]: dict(zip(CSV_COLUMNS, row, strict=True)) for row in rows[1:]}
    assert list(table) == [site.turns.hers, site.turns.ann, site.turns.blocked, site.turns.bobs]
    assert table[site.turns.hers]["time"] == "2023-11-14T22:13:20.000+00:00"
    assert table[site.turns.hers]["question"] == "user: Where is the ＧＯＬＤ?"
    assert table[site.turns.hers]["prompt_tokens"] == "7"
    assert table[site.turns.blocked]["verdicts"] == "input block house rules"
    assert table[site.turns.bobs]["answer"] == "assistant: =1+1"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\n=1", "＝1+1", "＋1", "－1", "＠x"])
async def test_a_cell_that_looks_like_a_formula_is_made_text(site, text):
    await site.rows(lambda: record(1, at=START + 400, user=text, key_id=77))
    answer = await done(site, site.alice, "/api/audit/exports", {"format": "csv", "filters": {"key": 77}})
    row = list(csv.reader(io.StringIO(answer.body.decode("utf-8-sig"), newline="")))[1]
    assert row[CSV_COLUMNS.index("user")] == f"'{text}"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("search", {}, "text"),
        ("search", {"text": ""}, "text"),
        ("search", {"text": "x" * 201}, "text"),
        ("search", {"text": "x", "filters": {"key": "1"}}, "filters.key"),
        ("search", {"text": "x", "filters": {"form": 1}}, "filters.form"),
        ("search", {"text": "x", "filter": {}}, "filter"),
        ("exports", {"format": "parquet"}, "format"),
        ("exports", {"filters": {"from": "never"}}, "from"),
        ("exports", {"filters": []}, "filters"),
        ("exports", {"format": "verifiable", "filters": {"key": 1}}, "filters"),
    ],
)
async def test_it_refuses_what_is_no_job(site, path, body, param):
    error = await refused(await site.alice.post(f"/api/audit/{path}", body), 400, "invalid_request")
    assert error["param"] == param
    assert not await site.rows(lambda: Job.objects.everywhere().exists())


async def test_a_tenant_has_one_search_and_one_export_at_a_time(site):
    assert (await site.alice.post("/api/audit/search", {"text": "x"})).status == 202
    error = await site.alice.post("/api/audit/search", {"text": "y"})
    await refused(error, 429, "rate_limited")
    assert (await site.alice.post("/api/audit/exports", {})).status == 202
    assert (await site.charlie.post("/api/audit/search", {"text": "x"})).status == 202
    with current_app.connection_for_read() as connection, connection.channel() as channel:
        bound = Queue("replays", channel=channel)(channel)
        assert [bound.get(no_ack=True) is not None for _ in range(4)] == [True, True, True, False]


async def test_the_jobs_are_seen_by_who_may_read_the_journal(site):
    hers = (await site.alice.post("/api/audit/search", {"text": "gold"})).json["id"]
    await site.rows(lambda: read_journal(hers))
    other = await site.rows(lambda: jobs.queue_job(tenant_id=1, kind="replay_rules").pk)
    assert [job["id"] for job in (await site.alice.get("/api/jobs")).json["jobs"]] == [hers]
    await refused(await site.alice.get(f"/api/jobs/{other}"), 404, "not_found")
    site.site.keys.people[BOB.key] = with_scopes(BOB, "manage")
    assert [job["id"] for job in (await site.bob.get("/api/jobs")).json["jobs"]] == [other]
    for client in (site.bob, site.charlie):
        for path in (f"/api/jobs/{hers}", f"/api/jobs/{hers}/result"):
            await refused(await client.get(path), 404, "not_found")
    site.site.keys.people[BOB.key] = with_scopes(BOB, "manage", "audit")
    assert [job["id"] for job in (await site.bob.get("/api/jobs")).json["jobs"]] == [other, hers]
