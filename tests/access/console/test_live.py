"""What is saved in the console counts up the version that every worker watches: also rows below a row, bulk actions
and what is deleted with something else."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from compliance.models import WordExceptions, WordListSubscription
from routing.models import ModelGrant, ModelInstance, RoutingRule
from tenants.models import ConfigVersion, Member
from tenants.signals import config_changed
from tests.access.console.screens import EDITABLE

CHANGED = {
    "tenants/tenant": ("tenants", {"name": "Acme", "slug": "acme"}),
    "tenants/user": ("members", {"username": "alicia", "is_active": "on"}),
    "tenants/member": ("members", {"tenant": 1, "user": 1, "role": "auditor"}),
    "tenants/allowance": ("allowances", {"requests_per_minute": 5}),
    "tenants/iprule": ("tenants", {"tenant": 1, "network": "10.1.0.0/16"}),
    "tenants/chatsite": (
        "tenants",
        {"tenant": 1, "accent": "#2563eb", "background": "#ffffff", "visitors": "anyone", "ticket_minutes": 60,
         "visitor_requests_per_minute": 10, "address_requests_per_minute": 30, "origins": "https://a.example"},
    ),
    "routing/modelinstance": (
        "routing",
        {"name": "other", "sharing": "all", "adapter": "echo", "options": "{}", "weight": 2, "price_in": 0,
         "price_out": 0, "task": "chat", "batch_window": 0, "batch_size": 1, "remove_api_key": "on",
         "tenant": 1, "grants-TOTAL_FORMS": 0, "grants-INITIAL_FORMS": 0},
    ),
    "routing/routingrule": ("routing", {"model": "other", "weight": 2, "priority": 1}),
    "compliance/sensitivewordlist": (
        "guard", {"name": "L", "tenant": 1, "action": "mask", "direction": "input", "words": "x"},
    ),
    "compliance/wordlistsubscription": ("guard", {"tenant": 1, "list": 0, "action": "mask"}),
    "compliance/wordexceptions": ("guard", {"tenant": 1, "words": "badge"}),
    "compliance/personaldata": ("personal", {"tenant": 1, "recognisers": ["email"]}),
    "plugins/pluginactivation": (
        "plugins", {"enabled": "on", "settings-answers-TOTAL_FORMS": 0, "settings-answers-INITIAL_FORMS": 0},
    ),
    "plugins/intent": ("intents", {"tenant": 1, "name": "other", "utterances": "one\ntwo"}),
    "plugins/datasource": (
        "plugins", {"tenant": 1, "name": "other", "tables": "[]", "row_limit": 5, "time_limit": 2},
    ),
    "plugins/webhook": (
        "webhooks", {"tenant": 1, "name": "other", "url": "https://hooks.example.com/x", "events": "clawdbot.turn.*"},
    ),
    "tenants/alertrule": ("alert_rules", {"threshold": 80, "minutes": 3, "repeat_minutes": 0, "mail": "on"}),
    "plugins/intentsettings": ("intents", {"tenant": 1, "threshold": "0.7", "outside": "none"}),
}  # fmt: skip


@pytest.fixture
def changes() -> Iterator[list[tuple[str, Any, Any]]]:
    """The section of every announced change, and what it was before and after."""
    heard: list[tuple[str, Any, Any]] = []

    def hear(section: str, before: Any, after: Any, **_: Any) -> None:
        heard.append((section, before, after))

    config_changed.connect(hear)
    yield heard
    config_changed.disconnect(hear)


def version(section: str) -> int:
    return ConfigVersion.objects.filter(section=section).values_list("version", flat=True).first() or 0


def test_it_names_every_screen_that_changes_something() -> None:
    assert set(CHANGED) == set(EDITABLE) - {"tenants/apikey"}  # a key is made and revoked, see below


@pytest.mark.parametrize("screen", CHANGED)
def test_it_announces_what_is_changed_and_deleted(
    console: Client, rows: SimpleNamespace, changes: list[Any], screen: str
) -> None:
    section, fields = CHANGED[screen]
    page = f"/admin/{screen}/1/" if screen.startswith("tenants/") else f"/admin/{screen}/{_first(rows, screen)}/"
    once = {
        "tenants/iprule": rows.networks,
        "tenants/chatsite": rows.sites,
        "tenants/allowance": rows.allowances,
        "tenants/alertrule": [each["tenants/alertrule"] for each in rows.alerts],
    }
    if screen in once:
        row = once[screen][0]
        page = f"/admin/{screen}/{row.pk}/"
    if "list" in fields:
        fields = {**fields, "list": rows.lists[2].pk}
    changes.clear()
    before = version(section)
    answer = console.post(f"{page}change/", fields)
    assert answer.status_code == 302, answer.context["errors"]
    assert version(section) > before
    assert (section, True, True) in [(each, bool(old), bool(new)) for each, old, new in changes]
    if screen == "tenants/tenant":
        return
    before = version(section)
    assert console.post(f"{page}delete/", {"post": "yes"}).status_code == 302
    assert version(section) > before
    assert (section, True, False) in [(each, bool(old), bool(new)) for each, old, new in changes]


def _first(rows: SimpleNamespace, screen: str) -> int:
    found = {
        "routing/modelinstance": rows.instances,
        "routing/routingrule": rows.rules,
        "compliance/sensitivewordlist": rows.lists,
        "compliance/wordlistsubscription": WordListSubscription.objects.for_tenant(rows.acme.pk),
        "compliance/wordexceptions": WordExceptions.objects.for_tenant(rows.acme.pk),
        "compliance/personaldata": rows.personal,
        "plugins/pluginactivation": rows.plugins,
        "plugins/datasource": rows.sources,
        "plugins/webhook": [each["plugins/webhook"] for each in rows.outboxes],
        "plugins/intent": rows.intents,
        "plugins/intentsettings": rows.intent_settings,
    }[screen]
    return found[0].pk


def test_it_announces_every_row_of_a_bulk_deletion(console: Client, rows: SimpleNamespace, changes: list[Any]) -> None:
    chosen = [row.pk for row in rows.instances]
    asked = console.post(
        "/admin/routing/modelinstance/", {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    )
    assert asked.status_code == 302
    assert not ModelInstance.objects.everywhere().exists()
    assert not ModelGrant.objects.everywhere().exists()
    gone = [section for section, _old, new in changes if new is None]
    assert gone == ["routing"] * 5  # three instances, and two grants that went with one


def test_it_announces_grants(console: Client, rows: SimpleNamespace, changes: list[Any]) -> None:
    shared, grant = rows.instances[2], rows.grants[0]
    fields = {**CHANGED["routing/modelinstance"][1], "tenant": ""}
    fields |= {"grants-TOTAL_FORMS": 1, "grants-INITIAL_FORMS": 1, "grants-0-id": grant.pk, "grants-0-DELETE": "on",
               "grants-0-instance": shared.pk, "grants-0-tenant": grant.tenant_id}  # fmt: skip
    changes.clear()
    assert console.post(f"/admin/routing/modelinstance/{shared.pk}/change/", fields).status_code == 302
    assert any(old and "instance_id" in old and new is None for _section, old, new in changes)


def test_it_announces_keys_and_what_goes_with_a_person(
    console: Client, rows: SimpleNamespace, changes: list[Any]
) -> None:
    console.post("/admin/tenants/apikey/add/", {"tenant": 1, "name": "App"})
    console.post("/admin/tenants/apikey/", {"action": "revoke_chosen", "_selected_action": 1})
    assert [section for section, *_ in changes if section == "keys"] == ["keys", "keys"]
    changes.clear()
    console.post("/admin/tenants/user/3/delete/", {"post": "yes"})
    assert not Member.objects.everywhere().filter(user_id=3).exists()
    assert [(section, new) for section, _old, new in changes] == [("members", None), ("members", None)]


def test_it_keeps_secrets_out_of_what_is_announced(console: Client, cast: SimpleNamespace, changes: list[Any]) -> None:
    fields = {**CHANGED["routing/modelinstance"][1], "adapter": "openai_compatible", "endpoint": "https://a.b/v1"}
    del fields["remove_api_key"]
    assert console.post("/admin/routing/modelinstance/add/", {**fields, "api_key": "sk-secret"}).status_code == 302
    assert RoutingRule.objects.everywhere().count() == 0
    assert changes
    assert "sk-secret" not in repr(changes)
