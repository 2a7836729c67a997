"""`POST /api/plugins/dry-run`: what it tells of recorded turns, of whose, to whom, and that nothing else happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from access import dry_running, erasing
from access.management.jobs import visible
from access.tasks import dry_run_plugin
from compliance.models import ChangeRecord
from engine.types import Message
from plugins import registry
from plugins.base import PluginBase, PluginSettings
from plugins.models import PluginActivation
from plugins.settings_types import Secret
from tenants.models import Job
from tests.access.console.screens import record
from tests.access.managed import manager, refused
from tests.cast import ALICE, BOB, CHARLIE

PATH = "/api/plugins/dry-run"
START = 1_700_000_000.0
REFUSED = [
    ({"plugin": 5}, "plugin"),
    ({"last": 0}, "last"),
    ({"last": dry_running.MOST + 1}, "last"),
    ({"from": START, "to": START}, "from"),
    ({"from": "yesterday"}, "from"),
    ({"turn": "x"}, "turn"),
    ({"timeout": 0}, "timeout"),
    ({"settings": {"word": 7}}, "settings.word"),
    ({"settings": {"nonsense": 7}}, "settings.nonsense"),
    ({"settings": []}, "settings"),
    ({"effects": 1}, "effects"),
    ({"tenant": 2}, "tenant"),
    ({"plugin": "posting"}, "effects"),
]


class Polite(PluginBase):
    """Says please."""

    name = "polite"
    pure = rehearses = True

    class Settings(PluginSettings):
        word: str = "please"
        password: Secret = ""

    def pre_process(self, context):
        context.messages.append(Message(role="system", content=self.settings.word))
        context.state["before"] = len(context.history)

    def post_process(self, response):
        response.text += f" ({response.context.user}, {response.context.state['before']})"


class Posting(PluginBase):
    name = "posting"

    def __init__(self, settings):
        super().__init__(settings)
        if isinstance(settings, PluginSettings) and Posting.broken:
            raise ValueError("secret of the operator")

    broken = False

    def post_process(self, response): ...


@pytest.fixture(autouse=True)
def plugins():
    with registry.registered(Polite, Posting):
        yield


@pytest.fixture
async def filled(site, cast, tmp_path: Path, settings, valkey_url):
    """Five turns of acme's, the second in a session after the first, one of globex's. Who manages reads, too."""
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}

    def rows():
        for n in range(5):
            record(
                1,
                at=START + n,
                user="key:1",
                parent=n,
                session_id="s1" if n < 2 else None,
                messages=[Message("user", f"question {n}")],
                end={"choices": []} if n == 4 else None,
            )
        record(2, at=START + 2, messages=[Message("user", "of globex")])

    await site.rows(rows)
    for person in (ALICE, CHARLIE):
        principal = manager(person)
        scopes = principal.scopes | {"audit"}
        site.site.keys.people[person.key] = type(principal)(**{**fields(principal), "scopes": scopes})
    return site


def fields(principal):
    return {name: getattr(principal, name) for name in principal.__struct_fields__}


async def told(client, **body):
    answer = await client.post(PATH, {"plugin": "polite", **body})
    assert answer.status == 200, answer.json
    return answer.json


async def test_it_shows_what_would_change_of_the_newest_turns(filled):
    found = await told(filled.alice, last=4, settings={"word": "kindly"})
    assert (found["read"], found["changed"], found["complete"], found["left_out"]) == (4, 4, True, {})
    assert [turn["at"] for turn in found["turns"]] == [START + 4, START + 3, START + 2, START + 1]
    newest, oldest = found["turns"][0], found["turns"][-1]
    assert [message["content"] for message in oldest["pre"]["messages"]] == ["question 1", "kindly"]
    assert [message["content"] for message in oldest["pre"]["were"]] == ["question 1"]
    assert oldest["post"]["choices"][0]["message"]["content"].endswith(" (key:1, 2)")  # after one turn of its session
    assert newest["post"]["outcome"] == "not_reached"


async def test_it_takes_saved_settings_times_and_one_turn(filled):
    def save():
        PluginActivation.objects.create(tenant_id=1, plugin="polite", settings={"word": "saved"}, enabled=False)

    await filled.rows(save)
    found = await told(filled.alice, **{"from": START + 1, "to": START + 3})
    assert [turn["at"] for turn in found["turns"]] == [START + 2, START + 1]
    assert found["turns"][0]["pre"]["messages"][-1]["content"] == "saved"
    one = found["turns"][1]["turn_id"]
    assert [turn["turn_id"] for turn in (await told(filled.alice, turn=one))["turns"]] == [one]


async def test_charlie_is_shown_no_turn_of_acme(filled):
    turns = (await told(filled.alice))["turns"]
    mine = await told(filled.charlie)
    assert (mine["read"], [turn["pre"]["were"][0]["content"] for turn in mine["turns"]]) == (1, ["of globex"])
    assert (await told(filled.charlie, turn=turns[0]["turn_id"]))["turns"] == []


async def test_it_is_for_who_may_change_plugins_and_read_what_was_said(filled):
    for role, allowed in (
        ("owner", True),
        ("admin", True),
        ("developer", False),
        ("auditor", False),
        ("member", False),
    ):
        answer = await filled.signed_in(BOB, role).post(PATH, {"plugin": "polite"})
        assert answer.status == (200 if allowed else 403), role


async def test_a_key_needs_both_scopes(filled):
    principal = manager(BOB)
    for scopes in ({"manage"}, {"audit"}, {"chat", "sessions"}):
        filled.site.keys.people[BOB.key] = type(principal)(**{**fields(principal), "scopes": frozenset(scopes)})
        refused(await filled.bob.post(PATH, {"plugin": "polite"}), 403, "forbidden")


async def test_that_it_was_asked_for_is_journalled_without_settings(filled):
    await told(filled.alice, last=3, settings={"password": "hunter2"})
    bodies = await filled.rows(lambda: [bytes(row.body) for row in ChangeRecord.objects.everywhere()])
    asked = [json.loads(body) for body in bodies if b"dry_run_plugin" in body]
    assert [(each["action"], each["actor"], each["tenant_id"]) for each in asked] == [
        ("asked", ALICE.key_principal.subject, 1)
    ]
    assert asked[0]["after"] == {"last": 3}
    assert not any(b"hunter2" in body for body in bodies)


async def test_it_names_what_it_refuses(filled):
    for body, param in REFUSED:
        refused(await filled.alice.post(PATH, {"plugin": "polite", **body}), 400, "invalid_request", param)


async def test_it_knows_no_other_plugins(filled):
    for name in ("nothing", "x" * 64):
        refused(await filled.alice.post(PATH, {"plugin": name}), 404, "not_found")


async def test_a_plugin_that_cannot_be_made_says_nothing_of_the_inside(filled, monkeypatch):
    monkeypatch.setattr(Posting, "broken", True)
    answer = await filled.alice.post(PATH, {"plugin": "posting", "effects": True})
    refused(answer, 400, "invalid_request", "settings")
    assert b"secret of" not in answer.body


async def test_hooks_with_effects_run_when_they_are_accepted(filled):
    found = await told(filled.alice, plugin="posting", effects=True)
    assert found["read"] == 5 and found["changed"] == 0


async def test_of_many_turns_a_job_leaves_the_same_report(filled):
    answer = await filled.alice.post(PATH, {"plugin": "polite", "last": 51, "settings": {"password": "hunter2"}})
    assert (answer.status, answer.json["kind"], answer.json["state"]) == (202, "dry_run_plugin", "queued")
    job_id = answer.json["id"]
    refused(await filled.alice.post(PATH, {"plugin": "polite", "last": 51}), 429, "rate_limited")
    kept = await filled.rows(lambda: Job.objects.everywhere().get(pk=job_id).arguments)
    assert "hunter2" not in json.dumps(kept)
    await filled.rows(lambda: dry_run_plugin(job_id))
    job = (await filled.alice.get(f"/api/jobs/{job_id}")).json
    assert (job["state"], job["progress"], job["error"]) == ("done", 100, None)
    report = (await filled.alice.get(job["result_url"])).json
    assert (report["read"], report["changed"], report["complete"]) == (5, 5, True)
    refused(await filled.charlie.get(f"/api/jobs/{job_id}"), 404, "not_found")

    def seen(*scopes):
        principal = manager(ALICE)
        principal = type(principal)(**{**fields(principal), "scopes": frozenset(scopes)})
        return visible(principal).filter(pk=job_id).exists()

    for scopes, shown in ((("manage",), False), (("audit",), False), (("manage", "audit"), True)):
        assert await filled.rows(lambda scopes=scopes: seen(*scopes)) is shown, scopes

    def erased():
        name = Job.objects.everywhere().get(pk=job_id).result_name
        assert default_storage.exists(name)
        erasing.drop_results(1)
        return default_storage.exists(name)

    assert await filled.rows(erased) is False


async def test_a_job_whose_plugin_is_gone_says_so(filled):
    job = await filled.rows(
        lambda: Job.objects.create(
            tenant_id=1, kind=dry_running.KIND, arguments=dry_running.arguments(dry_running.Wanted(plugin="gone"), 1)
        )
    )
    await filled.rows(lambda: dry_run_plugin(job.pk))
    await filled.rows(job.refresh_from_db)
    assert job.state == "failed" and "no plugin 'gone'" in job.error


async def test_a_direct_answer_says_when_time_ran_out(filled, monkeypatch):
    monkeypatch.setattr(dry_running, "PATIENCE", -1.0)
    monkeypatch.setattr(dry_running.report, "__kwdefaults__", {"patience": -1.0, "progress": None})
    found = await told(filled.alice)
    assert (found["read"], found["complete"]) == (0, False)
