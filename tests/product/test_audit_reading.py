"""Changes of configuration in the running product: from whoever made them, over the sequencer, to whoever audits."""

from __future__ import annotations

import pytest

from tests.product.running import Product, until

KEY = (
    "tenant = services.create_tenant(slug='audited', name='Audited')\n"
    "value = services.create_api_key(tenant=tenant, name='k', scopes=['chat', 'manage', 'audit'])[1]"
)


@pytest.fixture(scope="module")
def key(gateway: Product) -> str:
    made: str = gateway.operate(KEY)
    until(lambda: {gateway.ask(key=made).status_code for _ in range(6)} == {200}, "the key works")
    return made


def test_a_change_is_journalled_within_seconds(gateway: Product, key: str):
    with gateway.http(key) as client:
        names = [model["id"] for model in client.get("/v1/models").json()["data"] if model["id"] != "auto"]
        made = client.post("/api/rules", json={"model": names[0], "name": "mine"}, headers={"X-Request-Id": "seen-1"})
        assert made.status_code == 201, made.text
        rule = str(made.json()["id"])
        client.patch(f"/api/rules/{rule}", json={"weight": 7})

        def told() -> list[dict]:
            found = client.get("/api/audit/changes", params={"model": "routing.routingrule", "row": rule})
            changes: list[dict] = found.json()["changes"]
            return changes if len(changes) == 2 else []

        changed, created = until(told, "both changes are journalled")
    assert created["actor"] == changed["actor"]
    assert created["actor"].startswith("key:")
    assert (created["action"], created["request_id"], created["before"]) == ("created", "seen-1", {})
    assert (changed["action"], changed["before"], changed["after"]) == ("changed", {"weight": 1}, {"weight": 7})


def test_it_is_in_the_tree_and_can_be_verified(gateway: Product, key: str):
    with gateway.http(key) as client:
        until(lambda: client.get("/api/audit/checkpoints").json()["checkpoints"], "a checkpoint is signed", 90)
        job = client.post("/api/audit/exports", json={"format": "verifiable"}).json()["id"]
        path = f"/api/jobs/{job}"
        until(lambda: client.get(path).json()["state"] in ("done", "failed"), "the export is over")
        done = client.get(path).json()
        assert done["state"] == "done", done
        assert '"kind": "change"' in client.get(done["result_url"]).text
