"""The journal learns who changed what: people in the console, commands, tasks; and who signed in."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import msgspec
import pytest
from django.core import management
from django.test import AsyncClient, Client

import manage
from clawdbot_site.celery import app
from compliance.models import ChangeRecord
from engine.entries import Change
from tenants import actors
from tenants.models import User

PASSWORD = "operate the platform"


@pytest.fixture(autouse=True)
def _nothing_yet(operator: User) -> None:
    ChangeRecord.objects.everywhere().moved()


def told() -> list[Change]:
    return [msgspec.json.decode(bytes(one.body), type=Change) for one in ChangeRecord.objects.everywhere()]


def form(cast: SimpleNamespace, **fields: object) -> dict[str, object]:
    return {"user": cast.bob.user_id, "tenant": cast.acme.pk, "role": "member", "is_active": "on", **fields}


def test_a_change_in_the_console_is_the_operators(console: Client, operator: User, cast: SimpleNamespace) -> None:
    ChangeRecord.objects.everywhere().moved()
    path = f"/admin/tenants/member/{cast.bob.pk}/change/"
    answer = console.post(path, form(cast, role="auditor"), headers={"X-Request-Id": "seen-7"})
    assert (answer.status_code, answer["X-Request-Id"]) == (302, "seen-7")
    [change] = told()
    assert (change.actor, change.actor_label, change.request_id) == (f"operator:{operator.pk}", "operator", "seen-7")
    assert (change.action, change.before, change.after) == ("changed", {"role": "member"}, {"role": "auditor"})
    assert (change.tenant_id, change.model, change.row) == (cast.acme.pk, "tenants.member", str(cast.bob.pk))
    assert actors.current() == actors.SYSTEM
    console.post(f"/admin/tenants/member/{cast.bob.pk}/delete/", {"post": "yes"})
    assert [each.action for each in told()] == ["changed", "deleted"]


async def test_it_is_on_the_event_loop_too(transactional_db: None, operator: User, cast: SimpleNamespace) -> None:
    client = AsyncClient()
    await client.aforce_login(operator)
    answer = await client.get("/admin/nothing")
    assert len(answer["X-Request-Id"]) == 32
    assert actors.current() == actors.SYSTEM


def test_it_records_who_signed_in_and_who_was_refused(operator: User, cast: SimpleNamespace) -> None:
    client = Client()
    for name, password in (("operator", "wrong"), ("my password!", "operator"), ("operator", PASSWORD)):
        client.post("/accounts/login/", {"login": name, "password": password})
    refused, unknown, signed_in = told()
    assert (refused.action, refused.actor, refused.row) == ("sign_in_refused", "anonymous", str(operator.pk))
    assert (unknown.action, unknown.row, unknown.label) == ("sign_in_refused", "", "")
    assert (signed_in.action, signed_in.actor, signed_in.label) == ("signed_in", f"operator:{operator.pk}", "operator")
    assert {each.tenant_id for each in (refused, unknown, signed_in)} == {0}
    written = b"".join(bytes(one.body) for one in ChangeRecord.objects.everywhere())
    assert b"wrong" not in written and b"password!" not in written


def test_it_records_a_refused_token(operator: User, cast: SimpleNamespace) -> None:
    who = {"username": "operator", "password": "wrong"}
    assert Client().post("/api/token/", who, content_type="application/json").status_code == 401
    assert [each.action for each in told()] == ["sign_in_refused"]


def test_what_a_command_changes_is_the_commands(monkeypatch: pytest.MonkeyPatch, cast: SimpleNamespace) -> None:
    ChangeRecord.objects.everywhere().moved()

    def run(argv: list[str]) -> None:
        cast.acme.name = "Acme & Sons"
        cast.acme.save()

    monkeypatch.setattr(management, "execute_from_command_line", run)
    monkeypatch.setattr(sys, "argv", ["manage.py", "loadwords"])
    monkeypatch.setenv("ENV_FILE", "")
    manage.main()
    actors.become(None)
    [change] = told()
    assert (change.actor, change.actor_label) == ("command:loadwords", actors.account())


def test_what_a_task_changes_is_the_tasks(cast: SimpleNamespace) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(actors.current().name)

    app.task(look, name="tests.look_around").apply()
    assert (seen, actors.current()) == (["task:look_around"], actors.SYSTEM)
    del app.tasks["tests.look_around"]
