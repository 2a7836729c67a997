"""The time machine in the running product: real turns, the real worker, the report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.product.running import Product, until

SMALL, LARGE = 6, 4  # turns

TENANTS = """
value = {}
for slug in ("replayed", "onlooker"):
    tenant = services.create_tenant(slug=slug, name=slug)
    scopes = ["chat", "sessions", "manage"]
    value[slug] = services.create_api_key(tenant=tenant, name="manager", scopes=scopes)[1]
    for name, price in (("small", 1), ("large", 10)):
        save_instance(instance=ModelInstance(name=f"{slug}-{name}", tenant=tenant, adapter="echo", price_in=price))
    RoutingRule(tenant=tenant, model=f"{slug}-small", name="all").save()
"""


@pytest.fixture(scope="module")
def keys(gateway: Product) -> dict[str, str]:
    """Two tenants whose every turn goes to the small one of two models; the first has had ten."""
    keys: dict[str, str] = gateway.operate(TENANTS)
    with gateway.http(keys["replayed"]) as client:
        until(
            lambda: client.post("/api/route/explain", json={"message": "x"}).json().get("rules") == ["all"],
            "the rule is live",
        )
        for turn in range(SMALL + LARGE):
            asked = {"message": f"Hello {turn}", "max_tokens": 10 if turn < SMALL else 5000}
            answer = client.post("/api/chat", json=asked)
            assert (answer.status_code, answer.json()["model"]) == (200, "replayed-small")
    return keys


def rules(*own: dict[str, Any]) -> dict[str, Any]:
    return {"rules": list(own)}


def replayed(product: Product, key: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The job and its report, once the worker is done."""
    with product.http(key) as client:
        answer = client.post("/api/route/replay", json=body)
        assert answer.status_code == 202, answer.text
        number = answer.json()["id"]

        def done() -> dict[str, Any] | None:
            job = client.get(f"/api/jobs/{number}").json()
            assert job["state"] != "failed", job
            return job if job["state"] == "done" else None

        job = until(done, "the replay is done")
        return number, client.get(job["result_url"]).json()


def test_it_replays_what_really_happened(gateway: Product, keys: dict[str, str]) -> None:
    edited = rules(
        {"model": "replayed-large", "priority": 1, "conditions": ["max_tokens >= 1000"], "name": "long"},
        {"model": "replayed-small"},
    )
    number, report = replayed(gateway, keys["replayed"], edited)
    assert report["turns"] == {"read": SMALL + LARGE, "replayed": SMALL + LARGE, "left_out": {}, "not_recorded": {}}
    assert report["flows"] == [{"from": "replayed-small", "to": "replayed-large", "turns": LARGE, "share": 0.4}]
    assert {each["rule"]: (each["before"], each["after"]) for each in report["rules"]} == {
        "all": (10, 0),
        "long": (0, LARGE),
        "replayed-small (rule 2)": (0, SMALL),
    }
    assert report["cost"]["before"] > 0
    assert report["cost"]["after"] == pytest.approx(report["cost"]["before"] * (SMALL + 10 * LARGE) / 10)
    for example in report["examples"]:
        turn = gateway.http(keys["replayed"]).get(f"/api/turns/{example['turn_id']}").json()
        assert turn["decision"]["features"]["max_tokens"] == 5000
    with gateway.http(keys["onlooker"]) as client:
        assert client.get(f"/api/jobs/{number}").status_code == 404
        assert client.get(f"/api/jobs/{number}/result").status_code == 404


def test_it_moves_nothing_under_the_rules_there_are(gateway: Product, keys: dict[str, str]) -> None:
    _, report = replayed(gateway, keys["replayed"], rules({"model": "replayed-small", "name": "all"}))
    assert (report["turns"]["replayed"], report["moved"]["turns"], report["cost"]["difference"]) == (10, 0, 0)
    assert (report["ttft"]["after"], report["ttft"]["unknown"]) == (report["ttft"]["before"], 0)
    _, none = replayed(gateway, keys["onlooker"], rules({"model": "onlooker-small"}))
    assert none["turns"]["read"] == 0


def test_it_says_the_same_from_a_shell(gateway: Product, keys: dict[str, str]) -> None:
    text = "routing_rules:\n  - {model: replayed-large, conditions: ['max_tokens >= 1000'], priority: 1}\n"
    ended = gateway.manage(
        "replayrules", "-", "--tenant", "replayed", "--json", given=f"{text}  - {{model: replayed-small}}\n"
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["moved"]["share"] == 0.4
    wrong = gateway.manage("replayrules", "-", given="routing_rules:\n  - {model: a, priority: high}\n")
    assert (wrong.returncode, "<stdin>:2:26: expected a whole number" in wrong.stderr) == (1, True)
    assert gateway.manage("replayrules", "/nowhere").returncode == 2
