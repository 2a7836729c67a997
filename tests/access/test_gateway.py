import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from access.health import Health
from tests.access.asgi_client import Client, Exchange, scope_of
from tests.access.parts import build
from tests.conformance.edges import HI
from tests.engine.parts import ScriptedModel


def samples(site, name):
    families = text_string_to_metric_families(site.parts.metrics.text().decode())
    return {
        tuple(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


async def test_it_counts_requests_by_route_and_status():
    site = build(ScriptedModel())
    for path in ("/api/chat", "/api/chat/"):
        await site.alice.post(path, {"message": "Hi"})
    await site.alice.post("/v1/chat/completions", {"messages": "Hi"})
    await site.stranger.get("/api/turns/0123")
    await site.alice.get("/v1/models/auto")
    await site.alice.get("/admin/login/?next=1")
    await site.alice.request("BREW", "/a-path-of-the-callers-making")
    assert samples(site, "http_requests_total") == {
        ("POST", "/api/chat", "200"): 2,
        ("POST", "/v1/chat/completions", "400"): 1,
        ("GET", "/api/turns/{turn_id}", "401"): 1,
        ("GET", "/v1/models/{id}", "200"): 1,
        ("GET", "/admin/", "404"): 1,
        ("other", "other", "404"): 1,
    }


async def nothing():
    return {"type": "websocket.connect"}


async def nowhere(event):
    assert event["type"].startswith("websocket.")


async def test_no_series_has_a_callers_words():
    site = build(ScriptedModel())
    secret = "the-callers-own-words"
    for path in (f"/api/turns/{secret}", f"/v1/models/{secret}", f"/api/{secret}", f"/v1/{secret}", f"/{secret}/"):
        await site.alice.get(path)
    await site.alice.post("/api/chat", {"message": secret, "model": secret, "user": secret, "session_id": secret})
    await site.alice.request(secret, "/api/chat")
    for path in (f"/ws/{secret}", f"/ws/chat/{secret}"):
        await site.app(scope_of("websocket", path, {"X-Header": secret}), nothing, nowhere)
    page, _ = await site.parts.metrics.page("")
    assert secret not in page.decode()
    assert ("GET", "other", "404") in samples(site, "http_requests_total")


async def test_it_measures_requests_to_the_end_of_their_answers():
    gate = asyncio.Event()
    site = build(ScriptedModel(["Hel", gate, "lo"]))
    exchange = site.alice.begin("POST", "/api/chat", {"message": "Hi", "stream": True})
    await asyncio.sleep(0.06)
    gate.set()
    await exchange.task
    assert samples(site, "http_request_seconds_count") == {("/api/chat",): 1}
    assert samples(site, "http_request_seconds_sum")["/api/chat",] > 0.05


async def test_it_counts_who_left_as_499():
    site = build(ScriptedModel([asyncio.Event()]))
    exchange = site.alice.begin("POST", "/v1/chat/completions", {"messages": HI})
    await asyncio.sleep(0.03)
    exchange.leave()
    await exchange.task
    assert samples(site, "http_requests_total") == {("POST", "/v1/chat/completions", "499"): 1}


async def metrics_for(site, client, headers=None):
    scope = scope_of("http", "/metrics", headers, method="GET", client=client)
    return await Exchange(site.app, scope, [b""]).rest()


async def test_it_shows_metrics_to_loopback_and_to_the_token():
    site = build()
    local, far = ("127.0.0.1", 1), ("203.0.113.7", 1)
    answer = await metrics_for(site, local)
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
    assert (await metrics_for(site, ("::1", 1))).status == 200
    refused = await metrics_for(site, far)
    assert refused.status == 401 and refused.json["error"]["code"] == "unauthenticated"
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert (await metrics_for(site, None)).status == 401
    assert (await metrics_for(site, far, {"Authorization": "Bearer scrape me"})).status == 200
    assert (await metrics_for(site, far, {"Authorization": "Bearer wrong"})).status == 401
    for name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Via", "X-Real-IP"):
        assert (await metrics_for(site, local, {name: "203.0.113.7"})).status == 401, name


async def holds():
    return True


async def fails():
    raise OSError


async def hangs():
    await asyncio.Event().wait()


@pytest.mark.parametrize(("path", "status"), [("/livez", 200), ("/readyz", 503), ("/startupz", 200), ("/readyz/", 503)])
async def test_it_answers_probes(path, status):
    health = Health(
        ready={"journal": holds, "valkey": fails, "model": hangs}, started={"configuration": holds}, timeout=0.02
    )
    answer = await Client(build(health=health).app).get(path)
    assert answer.status == status
    if status == 503:
        assert answer.json == {"status": "unavailable", "failed": ["valkey", "model"]}
    else:
        assert answer.json == {"status": "ok"}
