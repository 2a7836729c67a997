import pytest

from plugins.intents import learning
from plugins.intents.live import LIVE, compile_intents
from plugins.models import Intent
from tests.access.managed import refused
from tests.cast import ACME, BOB
from tests.plugins.intents.examples import EXAMPLES

REFUND = {"name": "refund", "utterances": ["I want my money back", "我要退款"]}


@pytest.fixture(autouse=True)
def no_worker(monkeypatch):
    monkeypatch.setattr("plugins.tasks.train_intents.apply_async", lambda *_, **__: None)
    before = LIVE.value
    yield
    LIVE.swap(before)


@pytest.fixture
async def intent(site):
    return (await site.alice.post("/api/intents", REFUND)).json


def line(intent):
    return {name: value for name, value in intent.items() if name != "utterances"}


async def learnt(site):
    await site.rows(lambda: learning.learn(ACME.id))
    LIVE.swap(await site.rows(compile_intents))


async def test_it_makes_changes_and_deletes_intents(site, intent):
    path = f"/api/intents/{intent['id']}"
    assert intent == {**intent, **REFUND, "description": "", "enabled": True}
    assert (await site.alice.get("/api/intents")).json == {"intents": [line(intent)]}
    added = (await site.alice.request("PATCH", path, {"add": ["退钱", "我要退款"], "description": "Money back"})).json
    assert added["utterances"] == [*REFUND["utterances"], "退钱"] and added["description"] == "Money back"
    put = (await site.alice.request("PUT", path, {"name": "money.back"})).json
    assert (put["name"], put["utterances"], put["description"]) == ("money.back", [], "")
    refused(await site.alice.post("/api/intents", {"name": "money.back"}), 400, "invalid_request")
    assert (await site.alice.request("DELETE", path)).status == 204
    refused(await site.alice.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": "two words"}, "name"),
        ({"name": "ok", "utterances": ["x" * 501]}, "utterances"),
        ({"name": "ok", "utterances": ["a\x07b"]}, "utterances"),
        ({"name": "ok", "utterances": [1]}, "utterances[0]"),
        ({"name": "ok", "utterances": "text"}, "utterances"),
        ({"name": "ok", "enabled": "yes"}, "enabled"),
        ({"name": "ok", "tenant": 2}, "tenant"),
    ],
)
async def test_it_names_what_it_refuses(site, body, param):
    refused(await site.alice.post("/api/intents", body), 400, "invalid_request", param)


async def test_settings_and_training(site, intent):
    path = "/api/intents/settings"
    assert (await site.alice.get(path)).json == {"threshold": None, "outside": []}
    changed = (await site.alice.request("PATCH", path, {"threshold": 0.4, "outside": ["is my dog ill"]})).json
    assert changed == {"threshold": 0.4, "outside": ["is my dog ill"]} == (await site.alice.get(path)).json
    assert (await site.alice.request("PATCH", path, {"threshold": None})).json["threshold"] is None
    for wrong in (2, -0.1, "x"):
        refused(await site.alice.request("PATCH", path, {"threshold": wrong}), 400, "invalid_request", "threshold")
    assert (await site.alice.get("/api/intents/training")).json["state"] == "training"
    await learnt(site)
    ready = (await site.alice.get("/api/intents/training")).json
    assert (ready["state"], ready["report"]["utterances"], ready["report"]["few"]) == ("ready", 2, ["refund"])
    again = await site.alice.post("/api/intents/training", {})
    assert (again.status, again.json["state"]) == (202, "training")
    assert (await site.charlie.get("/api/intents/training")).json["state"] == "none"


async def test_it_classifies_by_the_callers_own_intents(site):
    refused(await site.alice.post("/api/intents/classify", {"text": "x"}), 409, "conflict")
    for name, texts in EXAMPLES.items():
        await site.alice.post("/api/intents", {"name": name, "utterances": texts})
    LIVE.swap(await site.rows(compile_intents))
    refused(await site.alice.post("/api/intents/classify", {"text": "x"}), 409, "conflict")
    await learnt(site)
    found = (await site.bob.post("/api/intents/classify", {"text": "how can i get a refund for this order"})).json
    assert list(found) == ["intent", "score", "candidates"]
    assert found["intent"] == "refund" == found["candidates"][0]["intent"]
    assert found["score"] == found["candidates"][0]["score"]
    none = (await site.alice.post("/api/intents/classify", {"text": "长颈鹿怎么叫"})).json
    assert none["intent"] is None and len(none["candidates"]) == 3
    assert (await site.alice.post("/api/intents/classify", {"text": ""})).json["intent"] is None
    for wrong, param in (
        ({}, "text"),
        ({"text": 1}, "text"),
        ({"text": "x" * 100_001}, "text"),
        ({"text": "", "a": 1}, "a"),
    ):
        refused(await site.alice.post("/api/intents/classify", wrong), 400, "invalid_request", param)
    refused(await site.charlie.post("/api/intents/classify", {"text": "refund"}), 409, "conflict")


async def test_charlie_sees_and_changes_nothing_of_it(site, intent):
    path = f"/api/intents/{intent['id']}"
    assert (await site.charlie.get("/api/intents")).json == {"intents": []}
    for method, body in (("GET", None), ("PUT", REFUND), ("PATCH", {"enabled": False}), ("DELETE", None)):
        refused(await site.charlie.request(method, path, body), 404, "not_found")
    assert (await site.alice.get(path)).json == intent
    assert (await site.charlie.post("/api/intents", REFUND)).status == 201


async def test_only_who_manages_may_change_them(site, intent, unknown):
    refused(await site.bob.get("/api/intents"), 403, "forbidden")
    auditor = site.signed_in(BOB, "auditor")
    assert (await auditor.get("/api/intents")).json == {"intents": [line(intent)]}
    refused(await auditor.post("/api/intents", {"name": "x"}), 403, "forbidden")
    for each in unknown:
        refused(await site.alice.get(f"/api/intents/{each}"), 404, "not_found")
    assert await site.rows(Intent.objects.everywhere().count) == 1
