"""An operator visits a tenant's console: the tenant sees it, changes are the operator's, and it ends."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import msgspec
import pytest
from django.test import Client
from django.utils import timezone

from compliance.models import ChangeRecord
from engine.entries import Change
from plugins.models import PluginActivation
from tenants import support
from tenants.models import SupportVisit, User
from tests.access.console.screens import NAUGHTY

ADD = "/admin/tenants/supportvisit/add/"


def told() -> list[Change]:
    return [msgspec.json.decode(bytes(one.body), type=Change) for one in ChangeRecord.objects.everywhere()]


def visit(console: Client, cast: SimpleNamespace, **fields: object) -> SupportVisit:
    answer = console.post(ADD, {"tenant": cast.acme.pk, "reason": "budget", "minutes": 30, **fields})
    assert answer.status_code == 302 and answer["Location"] == "/console/", answer.context["errors"]
    return SupportVisit.objects.everywhere().latest("pk")


def test_it_opens_the_console_with_a_banner(console: Client, cast: SimpleNamespace) -> None:
    assert console.get("/console/").status_code == 403
    made = visit(console, cast, reason=NAUGHTY[:200])
    page = console.get("/console/plugins/").content.decode()
    assert "Support visit" in page and cast.acme.name in page and "<script>alert(1)" not in page
    assert made.reason in console.get("/admin/tenants/supportvisit/").content.decode().replace("&#x27;", "'").replace(
        "&lt;", "<"
    ).replace("&gt;", ">").replace("&quot;", '"')


def test_looking_only_changes_nothing(console: Client, cast: SimpleNamespace) -> None:
    visit(console, cast)
    for path, fields in (
        ("/console/plugins/", {"do": "on", "plugin": "canned_answers"}),
        ("/console/plugin/canned_answers/", {"enabled": "on"}),
        ("/console/exports/", {"what": "usage_export"}),
        ("/console/sessions/live/", {"turn": "0" * 32}),
    ):
        assert console.post(path, fields).status_code == 403
    assert not PluginActivation.objects.everywhere().exists()


def test_what_it_changes_is_the_operators_with_the_visit(
    console: Client, operator: User, cast: SimpleNamespace
) -> None:
    made = visit(console, cast, may_change="on")
    ChangeRecord.objects.everywhere().moved()
    assert console.post("/console/plugins/", {"do": "on", "plugin": "canned_answers"}).status_code == 302
    [change] = told()
    assert (change.actor, change.tenant_id) == (f"operator:{operator.pk}", cast.acme.pk)
    assert change.actor_label == f"operator (support visit {made.pk})"


def test_a_members_change_is_the_members(cast: SimpleNamespace, valkey_url: str) -> None:
    client = Client()
    client.force_login(cast.alice.user)
    ChangeRecord.objects.everywhere().moved()
    client.post("/console/plugins/", {"do": "on", "plugin": "canned_answers"})
    [change] = told()
    assert (change.actor, change.actor_label) == (f"member:{cast.alice.pk}", "alice")


def test_its_beginning_and_end_are_recorded(console: Client, operator: User, cast: SimpleNamespace) -> None:
    ChangeRecord.objects.everywhere().moved()
    made = visit(console, cast)
    support.end_visit(visit=made)
    begun, ended = (each for each in told() if each.model == "tenants.supportvisit")
    assert (begun.action, begun.tenant_id, begun.actor) == ("created", cast.acme.pk, f"operator:{operator.pk}")
    assert (ended.action, list(ended.after)) == ("changed", ["ended_at"])


@pytest.mark.parametrize("how", ["ended", "late", "no operator", "suspended"])
def test_it_is_over_with_the_next_step(console: Client, operator: User, cast: SimpleNamespace, how: str) -> None:
    made = visit(console, cast, may_change="on")
    assert console.get("/console/plugins/").status_code == 200
    if how == "ended":
        support.end_visit(visit=made)
    elif how == "late":
        SupportVisit.objects.everywhere().filter(pk=made.pk).update(ends_at=timezone.now() - timedelta(seconds=1))
    elif how == "suspended":
        cast.acme.is_active = False
        cast.acme.save()
    else:
        operator.is_superuser = False
        operator.save()
    assert console.get("/console/plugins/").status_code == 403


@pytest.mark.parametrize(
    "fields", [{"reason": ""}, {"minutes": 61}, {"minutes": 0}, {"minutes": "x"}, {"tenant": ""}, {"tenant": 99}]
)
def test_it_says_what_is_wrong(console: Client, cast: SimpleNamespace, fields: dict[str, object]) -> None:
    answer = console.post(ADD, {"tenant": cast.acme.pk, "reason": "budget", "minutes": 30, **fields})
    assert answer.status_code == 200 and list(answer.context["adminform"].form.errors) == [next(iter(fields))]
    assert not SupportVisit.objects.everywhere().exists()


def test_nobody_else_begins_one(cast: SimpleNamespace, valkey_url: str) -> None:
    client = Client()
    client.force_login(cast.alice.user)
    assert client.post(ADD, {"tenant": cast.globex.pk, "reason": "x", "minutes": 5}).status_code in (302, 403)
    session = client.session
    session["console_visit"] = 1
    session.save()
    operator = User.objects.create_superuser("operator", password="operate the platform")
    support.start_visit(operator=operator, tenant=cast.globex, reason="budget")
    assert cast.globex.name not in client.get("/console/plugins/").content.decode()
