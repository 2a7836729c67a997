import time

import pytest

from plugins.models import DeliveryAttempt, HeldEvent, SinkState, Webhook
from plugins.outbox import holding, signing
from tests.access.managed import refused
from tests.cast import BOB
from tests.plugins.outbox.parts import Journal

URL = "https://hooks.example.com/clawdbot"


async def made(client, **changes):
    answer = await client.post("/api/webhooks", {"name": "crm", "url": URL, **changes})
    assert answer.status == 201, answer.json
    return answer.json


def stored():
    return list(Webhook.objects.everywhere().values_list("tenant_id", "name", "enabled"))


def held_back(webhook_id, state="waiting", tenant_id=1):
    journal = Journal()
    journal.add("s1")
    holding.hold(tenant_id, f"webhook:{webhook_id}", 0, journal.entries[0].event, error="the webhook answered 500")
    row = HeldEvent.objects.for_tenant(tenant_id).get()
    HeldEvent.objects.for_tenant(tenant_id).update(state=state)
    return row.pk


async def test_it_makes_lists_changes_and_removes(site):
    first = await made(site.alice)
    assert first.pop("secret").startswith("whsec_")
    assert first["enabled"] and not first["content"] and first["state"] is None
    assert abs(first["since"] - time.time()) < 60
    second = await made(site.alice, name="other", events=["clawdbot.session.*", "clawdbot.turn.failed"], since=1000)
    second.pop("secret")
    assert second["events"] == ["clawdbot.turn.failed", "clawdbot.session.*"] and second["since"] == 1000
    page = (await site.alice.get("/api/webhooks?limit=1")).json
    assert page == {"webhooks": [second], "next": second["id"]}
    assert (await site.alice.get(f"/api/webhooks?after={page['next']}")).json["webhooks"] == [first]
    path = f"/api/webhooks/{first['id']}"
    changed = (await site.alice.request("PATCH", path, {"enabled": False, "content": True})).json
    assert changed == {**first, "enabled": False, "content": True}
    assert (await site.alice.get(path)).json == changed
    assert (await site.alice.request("DELETE", path)).status == 204
    assert await site.rows(stored) == [(1, "other", True)]


async def test_a_secret_is_shown_once_and_two_are_good_after_a_rotation(site):
    row = await made(site.alice)
    path = f"/api/webhooks/{row['id']}"
    answer = await site.alice.post(f"{path}/rotate", {})
    assert answer.status == 201 and answer.headers["cache-control"] == "no-store"
    assert answer.json["secret"] not in ("", row["secret"])
    assert answer.json["previous_until"] > time.time() + 80_000
    assert "secret" not in (await site.alice.get(path)).json

    def good():
        webhook = Webhook.objects.for_tenant(1).get()
        return [secret for secret, _ in signing.secrets_of(webhook)], webhook.sealed_secret + webhook.sealed_previous

    secrets, sealed = await site.rows(good)
    assert secrets == [answer.json["secret"], row["secret"]]
    assert not any(secret in sealed for secret in secrets)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"url": "nowhere"}, "url"),
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "https://user:pass@example.com"}, "url"),
        ({"url": "https://example.com/a b"}, "url"),
        ({"url": "https://example.com:port/"}, "url"),
        ({"url": 5}, "url"),
        ({"events": []}, "events"),
        ({"events": ["clawdbot.turn.made"]}, "events"),
        ({"events": [5]}, "events[0]"),
        ({"since": -1}, "since"),
        ({"since": 1e300}, "since"),
        ({"secret": "mine"}, "secret"),
        ({"tenant": 2}, "tenant"),
    ],
)
async def test_it_names_the_field_it_refuses(site, body, param):
    answer = await site.alice.post("/api/webhooks", {"name": "crm", "url": URL, **body})
    refused(answer, 400, "invalid_request", param)
    assert await site.rows(stored) == []


async def test_a_name_is_there_once(site):
    await made(site.alice)
    assert (await site.alice.post("/api/webhooks", {"name": "crm", "url": URL})).status == 400
    await made(site.charlie)


async def test_there_is_an_end_to_webhooks_and_to_tests(site, monkeypatch):
    monkeypatch.setattr(signing, "MOST", 2)
    row = await made(site.alice)
    await made(site.alice, name="other")
    refused(await site.alice.post("/api/webhooks", {"name": "third", "url": URL}), 400, "invalid_request", "name")
    events = [(await site.alice.post(f"/api/webhooks/{row['id']}/test", {})).json["event"] for _ in range(8)]
    assert len(set(events)) == 5
    assert len((await site.alice.get("/api/outbox/held")).json["events"]) == 5


async def test_it_queues_a_test_unless_it_is_switched_off(site):
    row = await made(site.alice)
    path = f"/api/webhooks/{row['id']}"
    answer = await site.alice.post(f"{path}/test", {})
    assert answer.status == 202
    (held,) = (await site.alice.get("/api/outbox/held")).json["events"]
    assert (held["event"], held["type"]) == (answer.json["event"], "clawdbot.test")
    await site.alice.request("PATCH", path, {"enabled": False})
    refused(await site.alice.post(f"{path}/test", {}), 409, "conflict")


async def test_it_tells_what_became_of_the_last_events_and_how_far_it_is(site):
    row = await made(site.alice)
    sink = f"webhook:{row['id']}"

    def work():
        SinkState.objects.create(tenant_id=1, sink=sink, label="crm", lag=3, last_error="the webhook answered 503")
        for number in range(3):
            DeliveryAttempt.objects.create(
                tenant_id=1, sink=sink, event=f"e{number}", type="clawdbot.test", at=5.0, milliseconds=12,
                ok=number != 1, status=500 if number == 1 else 200, error="no" if number == 1 else "",
            )  # fmt: skip

    await site.rows(work)
    page = (await site.alice.get(f"/api/webhooks/{row['id']}/attempts?limit=2")).json
    assert [each["event"] for each in page["attempts"]] == ["e2", "e1"]
    assert page["attempts"][1] == {
        "event": "e1", "type": "clawdbot.test", "at": 5.0, "milliseconds": 12, "ok": False, "status": 500,
        "error": "no",
    }  # fmt: skip
    (state,) = (await site.alice.get("/api/outbox")).json["sinks"]
    assert (state["sink"], state["lag"], state["last_error"]) == (sink, 3, "the webhook answered 503")
    assert (await site.alice.get(f"/api/webhooks/{row['id']}")).json["state"] == state
    assert (await site.alice.request("DELETE", f"/api/webhooks/{row['id']}")).status == 204
    assert await site.rows(DeliveryAttempt.objects.everywhere().count) == 0
    assert (await site.alice.get("/api/outbox")).json == {"sinks": []}


async def test_what_was_given_up_is_sent_again_or_forgotten(site):
    row = await made(site.alice)
    held = await site.rows(lambda: held_back(row["id"], "dead"))
    path = f"/api/outbox/held/{held}"
    told = (await site.alice.get(path)).json
    assert (told["state"], told["next_at"], told["session"]) == ("dead", None, "s1")
    assert (await site.alice.get("/api/outbox/held?state=waiting")).json["events"] == []
    answer = await site.alice.post(f"{path}/resend", {})
    assert (answer.status, answer.json["state"], answer.json["next_at"]) == (202, "waiting", 0.0)
    assert (await site.alice.request("DELETE", path)).status == 204
    assert (await site.alice.get(path)).status == 404
    refused(await site.alice.get("/api/outbox/held?state=lost"), 400, "invalid_request", "state")


async def test_charlie_sees_nothing_of_it(site, unknown):
    row = await made(site.alice)
    held = await site.rows(lambda: held_back(row["id"]))
    for path, key in (("/api/webhooks", "webhooks"), ("/api/outbox/held", "events"), ("/api/outbox", "sinks")):
        assert (await site.charlie.get(path)).json[key] == []
    for name in (row["id"], *unknown):
        path = f"/api/webhooks/{name}"
        for method, of in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/attempts"), ("POST", "/rotate"),
                           ("POST", "/test")):  # fmt: skip
            refused(await site.charlie.request(method, f"{path}{of}", {"content": True}), 404, "not_found")
    for name in (held, *unknown):
        path = f"/api/outbox/held/{name}"
        for method, of in (("GET", ""), ("DELETE", ""), ("POST", "/resend")):
            refused(await site.charlie.request(method, f"{path}{of}", {}), 404, "not_found")
    assert await site.rows(stored) == [(1, "crm", True)]
    assert (await site.alice.get(f"/api/outbox/held/{held}")).json["attempts"] == 1


@pytest.mark.parametrize(
    ("role", "read", "change"), [("developer", 200, 201), ("auditor", 200, 403), ("member", 403, 403)]
)
async def test_roles_may_what_the_table_says(site, role, read, change):
    client = site.signed_in(BOB, role)
    assert (await client.get("/api/webhooks")).status == read
    assert (await client.get("/api/outbox")).status == read
    assert (await client.post("/api/webhooks", {"name": "crm", "url": URL})).status == change
