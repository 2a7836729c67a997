"""A tenant's own rules, made over the API of a running product with two workers."""

import json

import pytest

from tests.adapters.upstream import Upstream
from tests.product.running import Product, chat_on, until


@pytest.fixture(scope="module")
def managers(gateway: Product, _scripted: Upstream):
    """Keys with the scope `manage` of two tenants, which share the models `scripted` and `second`."""
    gateway.operate(
        f"_ = save_instance(instance=ModelInstance(name='second', endpoint='{_scripted.url}', allow_private=True))\n"
        "made = lambda slug: services.create_api_key(\n"
        "    tenant=services.create_tenant(slug=slug, name=slug), name='m', scopes=['chat', 'manage'])[1]\n"
    )
    keys = {name: gateway.operate(f"value = made('{name}-rules')") for name in ("alice", "charlie")}
    until(
        lambda: {gateway.ask(key=key, model="second").status_code for key in keys.values() for _ in range(4)} == {200},
        "keys and models are known",
    )
    yield keys
    gateway.operate(
        "[row.delete() for row in RoutingRule.objects.everywhere().filter(tenant__slug__endswith='-rules')]\n"
        "ModelInstance.objects.everywhere().get(name='second').delete()"
    )


def answered(workers, key: str, **body) -> set[str]:
    return {chat_on(connection, key, **body)[1]["model"] for connection in workers}


def wait(workers, key: str, models: set[str], **body) -> None:
    """A second is promised; the figure is a benchmark's."""
    until(lambda: answered(workers, key, **body) == models, f"it goes to {models}")


def test_a_rule_routes_the_next_request_and_nobody_elses(gateway: Product, upstream: Upstream, managers):
    alice, charlie = managers["alice"], managers["charlie"]
    picky = {"metadata": {"plan": "gold"}}
    with gateway.at_every_worker() as workers, gateway.http(alice) as client:
        rule = {"model": "second", "conditions": ["metadata.plan == 'gold'"], "fallbacks": ["scripted"]}
        made = client.post("/api/rules", json=rule)
        assert made.status_code == 201, made.text
        wait(workers, alice, {"second"}, **picky)
        with gateway.http(charlie) as other:
            assert other.post("/api/route/explain", json={"message": "Hello", **picky}).json()["rules"] == []
        decision = client.post("/api/route/explain", json={"message": "Hello", **picky}).json()
        assert decision["rules"] == [f"second #{made.json()['id']}"]
        path = f"/api/rules/{made.json()['id']}"
        assert client.patch(path, json={"model": "scripted"}).json()["model"] == "scripted"
        wait(workers, alice, {"scripted"}, **picky)
        assert client.patch(path, json={"model": "second", "conditions": ["stream"]}).status_code == 200
        with gateway.http(charlie) as other:
            assert other.get("/api/rules").json() == {"rules": []}
            for method in ("GET", "PUT", "PATCH", "DELETE"):
                refused = other.request(method, path, content=json.dumps({"model": "second"}))
                assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")
        assert client.get("/api/rules").json()["rules"] == [{**made.json(), "conditions": ["stream"]}]
        assert client.delete(path).status_code == 204
        assert client.get("/api/rules").json() == {"rules": []}


def test_a_foreign_model_and_a_wrong_condition_are_refused_and_change_nothing(gateway: Product, managers):
    gateway.operate(
        "theirs = Tenant.objects.get(slug='charlie-rules')\n"
        "_ = save_instance(instance=ModelInstance(name='charlies-own', tenant=theirs, adapter='echo'))"
    )
    with gateway.http(managers["alice"]) as client:
        said = []
        for name in ("charlies-own", "nobodys-own"):
            refused = client.post("/api/rules", json={"model": name})
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")
            said.append(refused.json()["error"]["message"].replace(name, ""))
        assert said[0] == said[1]
        refused = client.post("/api/rules", json={"model": "second", "conditions": ["stream", "hour <"]})
        assert refused.json()["error"]["param"] == "conditions"
        assert "Condition 2, column 7: expected" in refused.json()["error"]["message"]
        assert client.get("/api/rules").json() == {"rules": []}
