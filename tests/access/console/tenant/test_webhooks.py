"""A tenant's webhooks in its console: made, tested, given another secret; what was not taken is sent again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from plugins.models import HeldEvent, SinkState, Webhook
from plugins.outbox import signing
from tests.access.console import screens
from tests.access.console.tenant.conftest import SignIn

LIST = "/console/plugins/webhook/"
NEW = {"name": "crm", "url": "https://hooks.example.com/", "events": ["clawdbot.turn.completed"], "enabled": "on"}


def secret_of(row: Webhook) -> str:
    return signing.secrets_of(row)[0][0]


def test_it_shows_the_secret_of_a_new_one_once(cast: SimpleNamespace, alice: Client) -> None:
    answer = alice.post(f"{LIST}add/", NEW)
    row = Webhook.objects.for_tenant(cast.acme.pk).get()
    assert answer.status_code == 200 and secret_of(row) in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    for path in (LIST, f"{LIST}{row.pk}/change/", f"{LIST}{row.pk}/history/"):
        assert secret_of(row) not in alice.get(path).content.decode()


def test_one_too_many_is_told(cast: SimpleNamespace, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "MOST", 0)
    answer = alice.post(f"{LIST}add/", NEW, follow=True)
    assert answer.status_code == 200 and "at most 0 webhooks" in answer.content.decode()
    assert not Webhook.objects.everywhere().exists()


def test_another_secret_is_made_by_the_button_alone(cast: SimpleNamespace, alice: Client) -> None:
    row = screens.outbox(cast.acme)["plugins/webhook"]
    before = secret_of(row)
    assert alice.get(f"{LIST}{row.pk}/rotate/").status_code == 200
    row.refresh_from_db()
    assert secret_of(row) == before
    answer = alice.post(f"{LIST}{row.pk}/rotate/")
    row.refresh_from_db()
    secrets = [secret for secret, _ in signing.secrets_of(row)]
    assert secrets[1:] == [before] and secrets[0] in answer.content.decode()


def test_a_test_event_is_queued_by_the_button_alone(cast: SimpleNamespace, alice: Client) -> None:
    row = screens.outbox(cast.acme)["plugins/webhook"]
    tests = HeldEvent.objects.for_tenant(cast.acme.pk).filter(type="clawdbot.test")
    alice.get(f"{LIST}{row.pk}/send_test/")
    assert not tests.exists()
    assert alice.post(f"{LIST}{row.pk}/send_test/").status_code == 200
    assert tests.get().sink == row.sink


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [({"url": "nowhere"}, "url"), ({"events": []}, "events"), ({"events": ["made"]}, "events"), ({"name": ""}, "name")],
)
def test_it_names_the_field_it_refuses(
    cast: SimpleNamespace, alice: Client, fields: dict[str, Any], wrong: str
) -> None:
    answer = alice.post(f"{LIST}add/", {**NEW, **fields})
    assert list(answer.context["adminform"].form.errors) == [wrong]
    assert not Webhook.objects.everywhere().exists()


def test_held_events_are_sent_again_and_forgotten_and_a_sink_goes_on_from_now(
    cast: SimpleNamespace, alice: Client
) -> None:
    made = screens.outbox(cast.acme)
    held, state = made["plugins/heldevent"], made["plugins/sinkstate"]
    HeldEvent.objects.for_tenant(cast.acme.pk).update(state="dead")
    chosen = {"_selected_action": [held.pk]}
    alice.post("/console/plugins/heldevent/", {"action": "send_chosen", **chosen})
    held.refresh_from_db()
    assert (held.state, held.resent) == ("waiting", True)
    alice.post("/console/plugins/heldevent/", {"action": "forget_chosen", **chosen})
    assert not HeldEvent.objects.for_tenant(cast.acme.pk).exists()
    alice.post(f"/console/plugins/sinkstate/{state.pk}/from_now/", {"_form_submitted": "True"})
    state.refresh_from_db()
    assert (state.position, state.failing_since) == (1, None)


def test_nobody_presses_what_they_may_only_read(cast: SimpleNamespace, as_role: SignIn) -> None:
    made = screens.outbox(cast.acme)
    row, held = made["plugins/webhook"], made["plugins/heldevent"]
    before = secret_of(row)
    auditor = as_role("auditor")
    assert auditor.get(LIST).status_code == 200
    for button in ("rotate", "send_test"):
        assert auditor.post(f"{LIST}{row.pk}/{button}/").status_code in (403, 404)
    auditor.post("/console/plugins/heldevent/", {"action": "forget_chosen", "_selected_action": [held.pk]})
    row.refresh_from_db()
    assert secret_of(row) == before and HeldEvent.objects.for_tenant(cast.acme.pk).count() == 1


def test_charlie_presses_nothing_of_it(cast: SimpleNamespace, charlie: Client) -> None:
    made = screens.outbox(cast.acme)
    row, held, state = (made[f"plugins/{name}"] for name in ("webhook", "heldevent", "sinkstate"))
    before = secret_of(row)
    for path in (f"{LIST}{row.pk}/rotate/", f"{LIST}{row.pk}/send_test/", f"{LIST}{row.pk}/delete/"):
        assert charlie.post(path, {"post": "yes"}).status_code in (302, 403, 404), path
    charlie.post("/console/plugins/heldevent/", {"action": "forget_chosen", "_selected_action": [held.pk]})
    charlie.post(f"/console/plugins/sinkstate/{state.pk}/from_now/", {"_form_submitted": "True"})
    row.refresh_from_db()
    assert secret_of(row) == before
    assert HeldEvent.objects.for_tenant(cast.acme.pk).get().type == held.type
    assert SinkState.objects.for_tenant(cast.acme.pk).get().position == 0


def test_the_list_shows_where_it_is_and_no_password_in_its_query(cast: SimpleNamespace, alice: Client) -> None:
    alice.post(f"{LIST}add/", {**NEW, "url": f"https://hooks.example.com/{'a' * 200}?token=top-secret"})
    page = alice.get(LIST).content.decode()
    assert f"https://hooks.example.com/{'a' * 34}…" in page
    assert "top-secret" not in page


def test_the_side_bar_says_one_place_to_be_here(cast: SimpleNamespace, alice: Client) -> None:
    """Some pages' addresses begin with those of others, which they are no part of."""
    for path, title in (
        (LIST, "Webhooks"),
        (f"{LIST}add/", "Webhooks"),
        ("/console/plugins/datasource/", "Databases"),
        ("/console/plugins/intent/", "Intents"),
        ("/console/plugins/", "Plugins"),
        ("/console/", "Overview"),
    ):
        groups = alice.get(path).context["sidebar_navigation"]
        assert [str(item["title"]) for group in groups for item in group["items"] if item["active"]] == [title], path
