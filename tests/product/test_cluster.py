"""The whole product on a three-node cluster: sessions live there, a shard may be lost, a tenant is moved in between."""

from __future__ import annotations

import json
import threading

import pytest

from tests.adapters.upstream import Upstream
from tests.product.running import Product, until
from tests.services.cluster import ValkeyCluster
from tests.services.valkey import ValkeyServer


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = ValkeyCluster(tmp_path_factory.mktemp("nodes"), databases=32, replicas=1)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """What may not be a cluster."""
    server = ValkeyServer(tmp_path_factory.mktemp("beside"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def product(tmp_path_factory, cluster, beside, _scripted: Upstream):
    product = Product(
        tmp_path_factory.mktemp("clustered") / "var",
        WORKERS="2",
        MODEL_ENDPOINT=_scripted.url,
        MODEL_NAME="scripted",
        API_KEY="upstream-secret",
        REDIS_HOST=",".join(url.removeprefix("redis://") for url in cluster.urls),
        BROKER_URL=f"{beside.url}?db=1",
        CHANNEL_URL=f"{beside.url}?db=2",
        CACHE_URL=f"{beside.url}?db=3",
    )
    with product.up():
        yield product
    assert product.processes() == []


def test_sessions_live_on_a_cluster_and_a_tenant_moves_while_it_is_used(product: Product, upstream: Upstream, cluster):
    health = json.loads(product.manage("storehealth", "--json").stdout)
    assert (health[0]["kind"], health[0]["slots_served"], health[0]["problems"]) == ("cluster", 16_384, [])
    talkers = [Talker(product, number) for number in range(6)]
    try:
        for place in ("prefix", "database"):
            moved = product.manage("movetenant", product.access["tenant"], "--to", place)
            assert moved.returncode == 0, moved.stdout + moved.stderr
            assert "Done." in moved.stdout
    finally:
        for talker in talkers:
            talker.stop()
    for talker in talkers:
        assert talker.refused == []
        assert len(talker.said) > 5
        with product.http() as client:
            stack = client.get(f"/api/sessions/{talker.session}").json()["context_stack"]
        assert [message["content"] for message in stack[::2]] == talker.said


def test_a_shard_that_is_lost_costs_seconds(product: Product, upstream: Upstream, cluster):
    sessions = [product.ask(f"Number {number}.", user=f"u{number}").json()["session_id"] for number in range(12)]
    cluster.primaries[1].kill()
    until(lambda: all(product.ask("Again.", user=f"u{n}").status_code == 200 for n in range(12)), "it is back")
    for number, session in enumerate(sessions):
        answer = product.ask("And then?", user=f"u{number}", session_id=session)
        assert answer.status_code == 200, answer.text
    assert product.manage("storehealth").returncode == 1


class Talker:
    """Somebody who talks in one session until told to stop."""

    def __init__(self, product: Product, number: int) -> None:
        self._product = product
        self._over = threading.Event()
        self.said: list[str] = ["Hello."]
        self.refused: list[str] = []
        self.session = product.ask("Hello.").json()["session_id"]
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self) -> None:
        while not self._over.is_set():
            text = f"Number {len(self.said)}."
            answer = self._product.ask(text, session_id=self.session)
            if answer.status_code == 200:
                self.said.append(text)
            else:
                self.refused.append(answer.text)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
