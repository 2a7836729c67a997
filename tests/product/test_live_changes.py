"""What an operator saves is live in every worker of a running product, without a restart or a dropped call."""

import uuid

import pytest

from tests.adapters.upstream import Upstream, by_stream, events, streamed, whole
from tests.product.running import Product, chat_on, until


@pytest.fixture
def workers(gateway: Product):
    """A connection to each worker."""
    with gateway.at_every_worker() as connections:
        assert len(connections) == 2
        yield connections


def everywhere(workers, key: str, true, what: str, **body) -> None:
    """Asks each worker until `true(status, answer)`. A second is promised; how long it takes is a benchmark's, since
    here other suites may have most of the machine."""
    for connection in workers:
        until(lambda connection=connection: true(*chat_on(connection, key, **body)), what)


def make_key(gateway: Product) -> tuple[int, str]:
    return tuple(
        gateway.operate(
            "row, key = services.create_api_key(tenant=Tenant.objects.get(slug='demo'), name='e2e')\n"
            "value = [row.pk, key]"
        )
    )


def code(answer: dict) -> str:
    return answer.get("error", {}).get("code", "")


def test_it_refuses_a_revoked_key(gateway, upstream, workers):
    """In every worker; nothing else ends what a worker knows of a key, however long one waits."""
    row, key = make_key(gateway)
    everywhere(workers, key, lambda status, _: status == 200, "the new key works")
    gateway.operate(f"services.revoke_api_key(key=ApiKey.objects.everywhere().get(pk={row}))")
    everywhere(workers, key, lambda status, _: status == 401, "a revoked key works no longer")
    assert chat_on(workers[0], key)[1]["error"]["code"] == "unauthenticated"


def test_it_refuses_a_revoked_key_though_the_bus_says_nothing(gateway, upstream, workers):
    """The version rows are polled each second: a lost message costs nothing but that."""
    row, key = make_key(gateway)
    everywhere(workers, key, lambda status, _: status == 200, "the new key works")
    gateway.operate(
        "from tenants.models import ConfigVersion\n"
        "from django.db.models import F\n"
        "from django.db import transaction\n"
        "with transaction.atomic():\n"  # rows without signals: nothing is said on the bus
        f"    ApiKey._base_manager.filter(pk={row}).update(revoked_at=timezone.now())\n"
        "    ConfigVersion.objects.filter(section='keys').update(version=F('version') + 1)\n"
    )
    everywhere(workers, key, lambda status, _: status == 401, "a revoked key works no longer")


def test_it_lets_words_in_and_out_by_list(gateway, upstream: Upstream, workers):
    word = f"forbidden{uuid.uuid4().hex[:8]}"
    calls = len(upstream.requests)
    assert chat_on(workers[0], gateway.key, message=f"About {word}.")[0] == 200
    gateway.operate(f"replace_words(tenant=Tenant.objects.get(slug='demo'), name='e2e', words=['{word}'])")
    try:
        blocked = lambda status, answer: (status, code(answer)) == (400, "content_blocked")  # noqa: E731
        everywhere(workers, gateway.key, blocked, "the word is blocked", message=f"About {word}.")
        calls = len(upstream.requests)
        assert chat_on(workers[0], gateway.key, message=f"About {word.upper()}.")[0] == 400
        assert len(upstream.requests) == calls
    finally:
        gateway.operate("SensitiveWordList.objects.everywhere().filter(name='e2e').first().delete()")
    everywhere(workers, gateway.key, lambda status, _: status == 200, "the word is free", message=f"About {word}.")


def test_it_masks_a_word_cut_across_the_chunks_of_a_stream(gateway, upstream: Upstream):
    gateway.operate(
        "replace_words(tenant=Tenant.objects.get(slug='demo'), name='masked', words=['topsecret'],"
        " action='mask', direction='output')"
    )
    try:
        upstream.answers(whole("a topsecret b"), streamed(events("a to", "pse", "cret b")), choose=by_stream)
        until(lambda: "topsecret" not in gateway.ask().text, "the word is masked")
        until(lambda: "topsecret" not in gateway.ask().text, "the word is masked in the other worker too")
        for _ in range(8):
            with gateway.http() as client:
                body = {"messages": [{"role": "user", "content": "Go."}], "stream": True}
                streamed_text = client.post("/v1/chat/completions", json=body).text
            assert "cret" not in streamed_text.replace('"}', "")
    finally:
        gateway.operate("SensitiveWordList.objects.everywhere().filter(name='masked').first().delete()")


def test_its_rules_move_traffic(gateway, upstream: Upstream, workers):
    """The seed's file, loaded while it runs."""
    document = f"""
models:
  - {{name: small, endpoint: "{upstream.url}", upstream_model: upstream-small, allow_private: true, version: v1}}
  - {{name: large, endpoint: "{upstream.url}", upstream_model: upstream-large, allow_private: true, version: v2}}
routing_rules:
  - {{model: small, weight: 60, conditions: ["max_tokens < 2000", "temperature <= 0.7"]}}
  - {{model: large, weight: 40, conditions: ["max_tokens >= 2000"]}}
"""
    loaded = gateway.manage("loadconfig", "-", given=document)
    assert loaded.returncode == 0, loaded.stderr
    try:
        small = {"max_tokens": 100, "temperature": 0.2}
        went = lambda name: lambda status, answer: answer.get("model") == name  # noqa: E731
        everywhere(workers, gateway.key, went("small"), "the rule sends it to small", **small)
        everywhere(workers, gateway.key, went("large"), "the rule sends it to large", max_tokens=3000)
        asked = {request.json["model"] for request in upstream.requests[-2:]}
        assert asked == {"upstream-large"}
        status, answer = chat_on(workers[0], gateway.key, **small)
        assert answer["route"]["instance"].startswith("small")
        with gateway.http() as client:
            session = client.get(f"/api/sessions/{answer['session_id']}").json()
            assert session["metadata"]["model_version"] == "v1"
            body = {"message": "Hello", "max_tokens": 3000}
            explained = client.post("/api/route/explain", json=body).json()
            assert explained["model"] == "large"
            turn = client.get(f"/api/turns/{answer['id']}").json()
            assert turn["state"] == "completed"
            assert turn["decision"]["model"] == "small"
        gateway.operate("RoutingRule.objects.everywhere().get(model='small').delete()")
        everywhere(workers, gateway.key, lambda _, answer: answer["model"] != "small", "the rule is gone", **small)
    finally:
        gateway.operate(
            "[row.delete() for row in RoutingRule.objects.everywhere()]\n"
            "[row.delete() for row in ModelInstance.objects.everywhere().filter(name__in=['small', 'large'])]"
        )
    gone = lambda status, answer: code(answer) == "model_not_found"  # noqa: E731
    everywhere(workers, gateway.key, gone, "the models are gone", model="small")


def test_a_file_with_a_mistake_changes_nothing(gateway):
    before = gateway.manage("dumpconfig").stdout
    document = "models:\n  - {name: good, adapter: echo}\n  - {name: bad, adapter: echo, colour: red}\n"
    ended = gateway.manage("loadconfig", "-", given=document)
    assert ended.returncode == 1
    assert ":3:" in ended.stderr and "colour" in ended.stderr and "Traceback" not in ended.stderr
    assert gateway.manage("dumpconfig").stdout == before


def test_a_wildcard_passes_the_name_through(gateway, upstream: Upstream, workers):
    gateway.operate(
        f"save_instance(instance=ModelInstance(name='vendor/*', endpoint='{upstream.url}', allow_private=True),"
        " api_key='vendor-key')"
    )
    try:
        good = lambda status, answer: status == 200  # noqa: E731
        everywhere(workers, gateway.key, good, "the wildcard answers", model="vendor/some-model-7b")
        request = upstream.requests[-1]
        assert request.json["model"] == "vendor/some-model-7b"
        assert request.headers["authorization"] == "Bearer vendor-key"
        assert chat_on(workers[0], gateway.key, model="vendor/some-model-7b")[1]["model"] == "vendor/some-model-7b"
        with gateway.http() as client:
            assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["auto", "scripted"]
    finally:
        gateway.operate("ModelInstance.objects.everywhere().get(name='vendor/*').delete()")


def test_limits_are_live(gateway, upstream, workers):
    gateway.operate("services.create_tenant(slug='small', name='Small', requests_per_minute=2)")
    key = gateway.operate("row, value = services.create_api_key(tenant=Tenant.objects.get(slug='small'), name='e2e')")
    until(lambda: gateway.ask(key=key).status_code != 503, "the tenant is known")
    until(lambda: gateway.ask(key=key).status_code == 429, "the limit counts")
    refused = gateway.ask(key=key)
    assert (refused.json()["error"]["code"], int(refused.headers["retry-after"]) > 0) == ("rate_limited", True)
    gateway.operate("tenant = Tenant.objects.get(slug='small')\ntenant.requests_per_minute = None\ntenant.save()")
    everywhere(workers, key, lambda status, _: status == 200, "the limit is gone")
    gateway.operate("services.suspend_tenant(tenant=Tenant.objects.get(slug='small'))")
    everywhere(workers, key, lambda status, answer: code(answer) == "tenant_suspended", "the tenant is suspended")


def test_a_list_of_addresses_is_live(gateway, upstream, workers):
    gateway.operate("services.create_tenant(slug='walled', name='Walled')")
    key = gateway.operate("row, value = services.create_api_key(tenant=Tenant.objects.get(slug='walled'), name='e2e')")
    everywhere(workers, key, lambda status, _: status == 200, "the tenant is known")
    allow = "services.allow_network(tenant=Tenant.objects.get(slug='walled'), network='{}')"
    gateway.operate(allow.format("203.0.113.0/24"))
    everywhere(workers, key, lambda _, answer: code(answer) == "ip_not_allowed", "the address is refused")
    gateway.operate(allow.format("127.0.0.0/8"))
    everywhere(workers, key, lambda status, _: status == 200, "the address is allowed")
