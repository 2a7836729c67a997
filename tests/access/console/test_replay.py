"""The screens of the time machine: edit rules, watch the job, read the report; explain a decision."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client, RequestFactory

from access.console.bridge import SCOPE_KEY, EngineBridge
from access.console.explaining import explain_view
from access.replaying import KIND
from access.tasks import replay_rules
from engine.engine import Engine
from engine.snapshots import Cell
from engine.types import Answerer
from routing.models import ModelInstance, RoutingRule
from routing.services import save_instance
from routing.table import RoutingTable
from tenants import jobs
from tenants.models import Job, User
from tests.access.console.screens import NAUGHTY
from tests.access.recorded import turn, write
from tests.engine.parts import Kept, build
from tests.routing.fleet import entry, rule

PAGE = "/admin/routing/routingrule/replay/"
EXPLAIN = "/admin/routing/routingrule/explain/"
START = 1_700_000_000.0
SPAN = {"span": 3600, "since": "2023-11-14T22:13:20", "until": str(START + 3600)}
RULES = """
routing_rules:
  - {model: dear, priority: 1, conditions: ['max_tokens >= 1000'], name: hard}
  - {model: cheap}
"""


@pytest.fixture
def site(console: Client, cast: SimpleNamespace, tmp_path: Path, settings: Any) -> SimpleNamespace:
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    cast.console = console
    cast.cheap, cast.dear = (
        save_instance(instance=ModelInstance(name=name, adapter="echo")) for name in ("cheap", "dear")
    )
    mine = [turn(START + n, cast.cheap, rules=[NAUGHTY], max_tokens=n * 100, language=NAUGHTY) for n in range(20)]
    cast.ids = write(*mine, turn(START, cast.cheap, tenant_id=cast.globex.pk, max_tokens=5))
    return cast


def text_of(answer: Any) -> str:
    text = str(answer.content.decode())
    assert "<script>alert(1)" not in text
    assert "<img src=x" not in text
    return text


def started(site: SimpleNamespace, path: str = PAGE, **fields: Any) -> Job:
    answer = site.console.post(path, {**SPAN, "rules": RULES, **fields})
    assert answer.status_code == 302, answer.context["form"].errors
    job = Job.objects.everywhere().latest("pk")
    assert answer.headers["Location"] == f"{PAGE}{job.pk}/"
    return job


def complaint(site: SimpleNamespace, field: str | None, path: str = PAGE, **fields: Any) -> str:
    answer = site.console.post(path, {**SPAN, "rules": RULES, **fields})
    assert answer.status_code == 200
    assert not Job.objects.everywhere().filter(state="queued").exists()
    errors = answer.context["form"].errors
    return str(errors[field or "__all__"][0])


def test_it_offers_the_rules_of_the_scope(site):
    RoutingRule.objects.create(model="cheap", name=NAUGHTY)
    RoutingRule.objects.create(model="dear", tenant=site.acme)
    text = text_of(site.console.get(PAGE))
    assert "&lt;script&gt;alert(1)" in text
    assert "Rules of the platform" in text
    offered = site.console.get(f"{PAGE}?tenant=ACME").context["form"].initial["rules"]
    assert offered == "routing_rules:\n- model: dear\n  weight: 1\n"
    assert "There is no tenant nobody." in text_of(site.console.get(f"{PAGE}?tenant=nobody"))
    assert 'href="/admin/routing/routingrule/replay/"' in text_of(site.console.get("/admin/routing/routingrule/"))


def test_it_replays_and_shows_what_came_of_it(site):
    job = started(site, f"{PAGE}?tenant=acme")
    assert (job.tenant, job.state) == (site.acme, "queued")
    page = site.console.get(f"{PAGE}{job.pk}/")
    assert page.headers["Refresh"] == "2"
    assert "Queued" in text_of(page)
    replay_rules(job.pk)
    page = site.console.get(f"{PAGE}{job.pk}/")
    text = text_of(page)
    assert "Refresh" not in page.headers
    assert [card["value"] for card in page.context["report"]["cards"]] == ["20", "50.0 %", "+0.0000", "±0 ms", "±0 ms"]
    assert [row[:3] for row in page.context["report"]["flows"]["rows"]] == [["cheap", "dear", "10"]]
    for words in (f"/admin/compliance/auditentry/{site.ids[10]}/change/", "hard", "2023-11-14 22:13:20", "Acme"):
        assert words in text
    assert "&lt;script&gt;alert(1)" in text
    assert site.console.get(f"/admin/compliance/auditentry/{site.ids[10]}/change/").status_code == 200
    assert not RoutingRule.objects.everywhere().exists()


def test_it_replays_the_platforms_rules_for_everybody(site):
    job = started(site)
    replay_rules(job.pk)
    report = site.console.get(f"{PAGE}{job.pk}/").context["report"]
    assert (job.tenant, str(report["scope"]), report["cards"][0]["value"]) == (None, "Platform", "21")


def test_it_offers_the_rules_of_a_replay_again(site):
    job = started(site, f"{PAGE}?tenant=acme")
    assert f"{PAGE}{job.pk}/" in text_of(site.console.get(f"{PAGE}?tenant=acme"))
    assert f"{PAGE}{job.pk}/" not in text_of(site.console.get(PAGE))
    again = site.console.get(f"{PAGE}?tenant=acme&again={job.pk}").context["form"].initial["rules"]
    assert "max_tokens >= 1000" in again
    for other in (
        f"?again={job.pk}",
        "?tenant=acme&again=99999",
        "?tenant=acme&again=x",
        f"?tenant=acme&again={'9' * 40}",
    ):
        assert "max_tokens" not in site.console.get(f"{PAGE}{other}").context["form"].initial["rules"]


def test_it_says_what_is_wrong_and_keeps_what_was_written(site):
    wrong = "routing_rules:\n  - {model: dear, wieght: 3}\n"
    assert complaint(site, "rules", rules=wrong).startswith("Line 2, column 19: unknown key 'wieght'")
    assert complaint(site, "rules", rules="").startswith("Line 1, column 1: ")
    assert complaint(site, "rules", rules="routing_rules: [{model: '${HOME}'}]").endswith("HOME is not set")
    assert complaint(site, "since", since="soon").startswith("from: expected")
    assert complaint(site, "until", until="later").startswith("to: expected")
    assert complaint(site, "span", span="5").startswith("Select")
    text = text_of(site.console.post(PAGE, {**SPAN, "rules": wrong}))
    assert "wieght: 3" in text
    assert site.console.post(f"{PAGE}?tenant=nobody", {**SPAN, "rules": RULES}).status_code == 200
    assert not Job.objects.everywhere().exists()


def test_it_says_when_one_is_under_way(site):
    started(site)
    answer = site.console.post(PAGE, {**SPAN, "rules": RULES})
    assert "A replay is under way already" in text_of(answer)


def test_it_shows_a_failure_and_a_result_that_is_gone(site):
    job = started(site)
    jobs.fail_job(job_id=job.pk, error=NAUGHTY)
    assert "&lt;script&gt;alert(1)" in text_of(site.console.get(f"{PAGE}{job.pk}/"))
    other = started(site)
    replay_rules(other.pk)
    default_storage.delete(f"replays/{other.pk}.json")
    assert "Its result is no longer there." in text_of(site.console.get(f"{PAGE}{other.pk}/"))


def test_it_leads_back_where_there_is_no_such_replay(site):
    other = jobs.queue_job(tenant_id=None, kind="something")
    for number in (10**6, other.pk):
        answer = site.console.get(f"{PAGE}{number}/")
        assert (answer.status_code, answer.headers["Location"]) == (302, PAGE)


def test_it_is_for_operators_only(cast, valkey_url):
    job = jobs.queue_job(tenant_id=cast.acme.pk, kind=KIND, arguments={"rules": []})
    member = Client()
    member.force_login(User.objects.get(pk=cast.alice.user_id))
    for client in (Client(), member):
        for path in (PAGE, EXPLAIN, f"{PAGE}{job.pk}/"):
            assert client.get(path).status_code == 302
            assert client.post(path, {**SPAN, "rules": RULES}).status_code == 302
    assert Job.objects.everywhere().count() == 1


# Explain -------------------------------------------------------------------------------------------------------------


def explained(
    loop: asyncio.AbstractEventLoop, user: User, *, engine: Engine | None = None, table: Any = None, **fields: Any
) -> dict[str, Any]:
    rules = [
        rule(1, "dear", "metadata.plan == 'gold'", fallbacks=("cheap",), name=NAUGHTY),
        rule(2, "dear", "header.x-team == 'red' or language == 'zh' or intent == 'code'", name="others"),
    ]
    table = table or RoutingTable([entry(1, "cheap"), entry(2, "dear")], rules)
    request = RequestFactory().post(EXPLAIN, {"tenant": "acme", "message": NAUGHTY, "model": "auto", **fields})
    request.user = user
    request.scope = {SCOPE_KEY: EngineBridge(engine or build()[0], loop, Cell(table), None)}
    return explain_view(request)


@pytest.mark.parametrize(
    ("fields", "rules"),
    [
        ({"metadata": '{"plan": "gold"}'}, NAUGHTY),
        ({"headers": "X-Team: red\n\n"}, "others"),
        ({"language": "zh"}, "others"),
        ({"intent": "code"}, "others"),
        ({"model": "dear"}, "none"),
    ],
)
def test_it_explains_where_a_message_would_go(loop, cast, operator, fields, rules):
    shown = explained(loop, operator, **fields)
    assert "decision" in shown, shown["form"].errors
    reasons = {str(name): str(value) for name, value in shown["decision"]["reasons"]}
    assert (reasons["Model"], reasons["Rules that matched"]) == ("dear", rules)
    assert ["dear (#2)"] == [row[0] for row in shown["decision"]["candidates"]["rows"]]
    assert "complexity_score" in dict(shown["decision"]["features"]["rows"])


def test_it_explains_where_the_next_turn_of_a_session_would_go(loop, cast, operator):
    engine, parts = build()
    parts.sessions.kept["s1"] = Kept("s1", answerer=Answerer("dear", 2))
    table = RoutingTable([entry(1, "cheap", weight=100), entry(2, "dear")])
    for session, model in (("s1", "dear"), ("", "cheap")):
        shown = explained(loop, operator, engine=engine, table=table, session=session)
        assert dict(shown["decision"]["reasons"])["Model"] == model
    assert "session_not_found" in str(
        explained(loop, operator, engine=engine, session="s2")["form"].errors["session"][0]
    )
    assert (parts.sessions.attempts, parts.sessions.closed) == (0, 2)


def test_it_explains_why_nobody_would_answer(loop, cast, operator):
    down = entry(1, "cheap")
    down.health.paused_until = float("inf")
    shown = explained(loop, operator, table=RoutingTable([down]))["decision"]
    assert dict(shown["reasons"])["Refused"] == "The service is overloaded. (overloaded)"
    assert [str(row[-1]) for row in shown["candidates"]["rows"]] == ["rate limited"]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"tenant": "nobody"}, "tenant", "There is no tenant nobody."),
        ({"tenant": ""}, "tenant", "required"),
        ({"message": ""}, "message", "required"),
        ({"model": "nobodys"}, "model", "model_not_found"),
        ({"model": "\x01"}, "model", ""),
        ({"metadata": "{"}, "metadata", ""),
        ({"metadata": "[1]"}, "metadata", "invalid_request"),
        ({"max_tokens": "-1"}, "max_tokens", "invalid_request"),
        ({"temperature": "nan"}, "temperature", ""),
        ({"headers": "x-team"}, "headers", "Expected a name"),
        ({"headers": "x-t\u00e9am: 3"}, "headers", "Expected a name"),
    ],
)
def test_it_says_what_cannot_be_explained(loop, cast, operator, fields, field, words):
    shown = explained(loop, operator, **fields)
    assert "decision" not in shown
    assert words in str(shown["form"].errors[field][0])


def test_it_shows_the_form_and_says_where_no_engine_runs(site):
    assert "Where it would go" in text_of(site.console.get(EXPLAIN))
    answer = site.console.post(EXPLAIN, {"tenant": "acme", "message": NAUGHTY})
    assert "No engine runs in this process." in text_of(answer)
