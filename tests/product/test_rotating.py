"""The master key is replaced under load: no request fails, and what was recorded before and after can be read."""

from __future__ import annotations

import threading

from tests.adapters.upstream import Upstream
from tests.product.running import Product, until
from tests.product.upstreams import upstream_in_thread

CLIENTS = 4


def test_no_request_fails_while_the_master_key_is_replaced(tmp_path):
    with upstream_in_thread() as model:
        settings = {"MODEL_ENDPOINT": model.url, "MODEL_NAME": "scripted", "API_KEY": "sk-up"}
        with Product(tmp_path / "var", WORKERS="2", **settings).up() as product:
            rotate_under_load(product, model)


def rotate_under_load(product: Product, model: Upstream) -> None:
    file = product.folder / "master_key"
    old, new = file.read_text().strip(), "n" * 48
    stop, turns, failures = threading.Event(), [], []

    def client() -> None:
        with product.http() as http:
            while not stop.is_set():
                answer = http.post("/api/chat", json={"message": "Hello"})
                (turns if answer.status_code == 200 else failures).append(answer.json())

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for each in clients:
        each.start()
    until(lambda: len(turns) > 20, "the load runs")
    file.write_text(f"{new},{old}")
    rotated = product.manage("rotatekeys")
    assert rotated.returncode == 0, rotated.stdout + rotated.stderr
    product.operate("_ = services.create_tenant(slug='later', name='Later')")
    file.write_text(new)
    seen = len(turns)
    until(lambda: len(turns) > seen + 100, "the load runs on")
    # a saved change makes every worker open everything anew: with the new key alone
    product.operate("[row.save() for row in ModelInstance.objects.everywhere()]")
    product.operate("[row.save() for row in TenantKey.objects.everywhere()]")
    seen = len(turns)
    until(lambda: len(turns) > seen + 300, "the load runs on")
    stop.set()
    for each in clients:
        each.join()
    assert failures == []
    assert product.manage("rotatekeys", "--check").returncode == 0
    with product.http() as http:
        for turn in (turns[0], turns[-1]):
            told = http.get(f"/api/turns/{turn['id']}").json()
            assert (told["erased"], told["unreadable"]) == (False, False)
            assert told["intent"]["messages"][0]["content"] == "Hello"
    assert model.requests[-1].headers["authorization"] == "Bearer sk-up"
    assert "cannot be opened" not in product.said()
