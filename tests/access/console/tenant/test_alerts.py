"""Alerts in both consoles: rules that make sense, and alerts that somebody knows of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from tenants import webhooks
from tenants.models import Alert, AlertKind, AlertRule
from tests.access.console import screens
from tests.access.console.tenant.conftest import SignIn

OWN = "/console/tenants/alertrule/"
ALL = "/admin/tenants/alertrule/"
NEW = {"kind": "completion_rate", "minutes": 5, "repeat_minutes": 60, "mail": "on", "enabled": "on"}


def test_a_tenant_makes_a_rule_of_its_own(cast: SimpleNamespace, alice: Client) -> None:
    assert alice.post(f"{OWN}add/", {**NEW, "threshold": "95"}).status_code == 302
    row = AlertRule.objects.for_tenant(cast.acme.pk).get()
    assert (row.kind, row.limit, row.mail) == ("completion_rate", 95.0, True)
    again = alice.post(f"{OWN}add/", NEW)
    assert again.status_code == 200 and "kind" in again.context["adminform"].form.errors


@pytest.mark.parametrize("kind", ["store_down", "cpu", "made_up"])
def test_a_tenant_is_not_told_of_the_platform(cast: SimpleNamespace, alice: Client, kind: str) -> None:
    assert alice.post(f"{OWN}add/", {**NEW, "kind": kind}).status_code == 200
    assert not AlertRule.objects.everywhere().exists()
    assert kind not in alice.get(f"{OWN}add/").content.decode()


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"url": "nowhere"}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"threshold": "-1"}, "threshold"),
        ({"threshold": "nan"}, "threshold"),
        ({"threshold": "100.1"}, "threshold"),
        ({"threshold": "1e400"}, "threshold"),
        ({"minutes": "61"}, "minutes"),
        ({"minutes": "-1"}, "minutes"),
        ({"repeat_minutes": "x"}, "repeat_minutes"),
    ],
)
def test_it_names_the_field_it_refuses(
    cast: SimpleNamespace,
    alice: Client,
    fields: dict[str, Any],
    wrong: str,
) -> None:
    answer = alice.post(f"{OWN}add/", {**NEW, **fields})
    assert list(answer.context["adminform"].form.errors) == [wrong]


def test_an_operator_makes_rules_for_the_platform_and_for_tenants(cast: SimpleNamespace, console: Client) -> None:
    assert console.post(f"{ALL}add/", {**NEW, "kind": "store_down", "threshold": "5"}).status_code == 302
    assert AlertRule.objects.everywhere().get().threshold is None
    assert console.post(f"{ALL}add/", {**NEW, "tenant": cast.acme.pk}).status_code == 302
    refused = console.post(f"{ALL}add/", {**NEW, "kind": "cpu", "tenant": cast.acme.pk})
    assert list(refused.context["adminform"].form.errors) == ["kind"]
    assert [(each.tenant_id, each.kind) for each in AlertRule.objects.everywhere().order_by("kind")] == [
        (cast.acme.pk, "completion_rate"),
        (None, "store_down"),
    ]


def test_the_key_of_messages_is_shown_to_who_may_change_the_rule(
    cast: SimpleNamespace,
    alice: Client,
    as_role: SignIn,
) -> None:
    row = screens.alerts(cast.acme)["tenants/alertrule"]
    secret = webhooks.secret_of(cast.acme.pk)
    assert secret in alice.get(f"{OWN}{row.pk}/change/").content.decode()
    assert secret not in as_role("auditor").get(f"{OWN}{row.pk}/change/").content.decode()


def test_an_alert_is_known_to_the_first_who_says_so(
    cast: SimpleNamespace,
    alice: Client,
    console: Client,
) -> None:
    alert = screens.alerts(cast.acme)["tenants/alert"]
    path = f"tenants/alert/{alert.pk}/acknowledge/"
    assert alice.get(f"/console/{path}").status_code == 200  # a link changes nothing
    alert.refresh_from_db()
    assert alert.acknowledged_at is None
    for client, site in ((alice, "console"), (console, "admin")):
        assert client.post(f"/{site}/{path}").status_code == 302
        alert.refresh_from_db()
        assert alert.acknowledged_by == "alice" and alert.acknowledged_at is not None


def test_several_at_once_and_nothing_that_is_over(cast: SimpleNamespace, alice: Client) -> None:
    one = screens.alerts(cast.acme)["tenants/alert"]
    over = Alert.objects.create(tenant=cast.acme, kind=AlertKind.ERROR_RATE, since=1.0, state="resolved")
    foreign = screens.alerts(cast.globex)["tenants/alert"]
    chosen = [one.pk, over.pk, foreign.pk]
    alice.post("/console/tenants/alert/", {"action": "acknowledge_chosen", "_selected_action": chosen})
    known = Alert.objects.everywhere().exclude(acknowledged_at=None)
    assert [each.pk for each in known] == [one.pk]


def test_charlie_sees_and_presses_nothing_of_theirs(cast: SimpleNamespace, charlie: Client) -> None:
    made = screens.alerts(cast.acme)
    alert, rule = made["tenants/alert"], made["tenants/alertrule"]
    assert charlie.post(f"/console/tenants/alert/{alert.pk}/acknowledge/").status_code == 404
    assert charlie.post(f"{OWN}{rule.pk}/change/", {**NEW, "enabled": ""}).status_code == 302  # to its own list
    alert.refresh_from_db()
    rule.refresh_from_db()
    assert alert.acknowledged_at is None and rule.enabled
    assert f"/{alert.pk}/change/" not in charlie.get("/console/tenants/alert/").content.decode()


def test_who_may_only_look_presses_nothing(cast: SimpleNamespace, as_role: SignIn) -> None:
    alert = screens.alerts(cast.acme)["tenants/alert"]
    assert as_role("auditor").post(f"/console/tenants/alert/{alert.pk}/acknowledge/").status_code == 403
