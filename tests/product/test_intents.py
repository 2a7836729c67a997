"""Intents in a running product: defined over its API, learnt by its worker, live in both of its workers."""

import pytest

from tests.adapters.upstream import Upstream
from tests.plugins.intents.examples import EXAMPLES
from tests.product.running import Product, until

LEARNT = 120.0  # seconds; two or three on a machine of its own
ASKED = "how can i get a refund for this order"


@pytest.fixture(scope="module")
def keys(gateway: Product, _scripted: Upstream):
    """Keys with the scope `manage` of two tenants."""
    made = gateway.operate(
        "value = [services.create_api_key(tenant=services.create_tenant(slug=slug, name=slug), name='m',\n"
        "    scopes=['chat', 'manage'])[1] for slug in ('alice-intents', 'charlie-intents')]"
    )
    until(lambda: {gateway.ask(key=key).status_code for key in made for _ in range(4)} == {200}, "the keys are known")
    return made


def test_it_learns_without_a_restart_and_routes_by_it(gateway: Product, upstream, keys):
    alice, charlie = keys
    with gateway.http(alice) as http:
        assert http.post("/api/intents/classify", json={"text": ASKED}).status_code == 409
        for name, texts in EXAMPLES.items():
            assert http.post("/api/intents", json={"name": name, "utterances": texts}).status_code == 201
        rule = {"model": "scripted", "name": "refunds", "conditions": ["intent == 'refund'", "intent_score > 0.1"]}
        assert http.post("/api/rules", json=rule).status_code == 201
        until(lambda: http.get("/api/intents/training").json()["state"] == "ready", "the intents are learnt", LEARNT)

        def recognised() -> bool:
            found = [http.post("/api/intents/classify", json={"text": ASKED}) for _ in range(6)]
            return {each.json().get("intent") for each in found} == {"refund"}

        until(recognised, "every worker has them", LEARNT)

        def decided(text: str) -> dict:
            turn = gateway.ask(text, key=alice).json()["id"]
            return http.get(f"/api/turns/{turn}").json()["decision"]

        until(lambda: decided(ASKED)["rules"] == ["refunds"], "the rule is live", LEARNT)
        features = decided(ASKED)["features"]
        assert features["intent"] == "refund" and features["intent_score"] > 0.1
        elsewhere = decided("how do you play the violin")
        assert elsewhere["rules"] == [] and "intent" not in elsewhere["features"]
    answer = gateway.ask(ASKED, key=charlie).json()
    with gateway.http(charlie) as http:
        assert "intent_score" not in http.get(f"/api/turns/{answer['id']}").json()["decision"]["features"]
        assert http.post("/api/intents/classify", json={"text": ASKED}).status_code == 409
