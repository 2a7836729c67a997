"""`/metrics` of two web workers, the gRPC server and everything behind them: one sum, whoever answers, whoever dies."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections.abc import Iterator

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from access.edges.grpc.generated import chat_pb2 as pb
from access.edges.grpc.service import SERVICE
from tests.product.running import Product, chat_on, until

INSTANCE = "scripted (environment)"
Samples = dict[str, dict[tuple[str, ...], float]]
KINDS = {"web", "grpc", "worker", "replays", "schedule", "sequencer", "publisher", "launcher", "valkey"}


def samples(text: str) -> Samples:
    """By the sample's name; labels in the order of theirs."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def scraped(gateway: Product, connection: http.client.HTTPConnection | None = None) -> Samples:
    if connection is None:
        with gateway.http("") as client:
            return samples(client.get("/metrics").text)
    connection.request("GET", "/metrics")
    return samples(connection.getresponse().read().decode())


def turns(found: Samples) -> float:
    return sum(found.get("clawdbot_turns_total", {}).values())


def requests(found: Samples) -> tuple[float, float]:
    """Over HTTP and gRPC."""
    counted = found.get("http_requests_total", {})
    return counted.get(("POST", "/api/chat", "200"), 0), counted.get(("POST", f"/{SERVICE}/Chat", "200"), 0)


def settled(gateway: Product) -> Samples:
    """What was counted before, of all processes: a sibling is a second behind."""
    before = scraped(gateway)
    while True:
        time.sleep(2.5)
        now = scraped(gateway)
        if requests(now) == requests(before) and turns(now) == turns(before):
            return now
        before = now


@pytest.fixture
def ask_grpc(gateway: Product) -> Iterator[object]:
    with grpc.insecure_channel(gateway.access["grpc_target"]) as channel:
        method = channel.unary_unary(f"/{SERVICE}/Chat", pb.ChatRequest.SerializeToString, pb.ChatResponse.FromString)
        about = (("authorization", f"Bearer {gateway.key}"),)
        yield lambda: method(pb.ChatRequest(message="Hello"), metadata=about, timeout=60)


def test_whoever_answers_tells_of_all(gateway: Product, ask_grpc):
    with gateway.at_every_worker() as workers:
        before = settled(gateway)
        for connection in (*workers, *workers):
            assert chat_on(connection, gateway.key)[0] == 200
        for _ in range(3):
            ask_grpc()
        wanted = tuple(had + more for had, more in zip(requests(before), (4, 3), strict=True))
        for connection in workers:
            until(lambda told=connection: requests(scraped(gateway, told)) == wanted, "all are counted")
            assert turns(scraped(gateway, connection)) == turns(before) + 7
        now = scraped(gateway, workers[0])
    assert now["clawdbot_instance_requests_total"][INSTANCE, "scripted"] >= 7
    assert now["clawdbot_instance_first_token_seconds_count"][(INSTANCE,)] >= 7
    assert now["clawdbot_instance_breaker"][INSTANCE, "scripted"] == 0
    assert now["clawdbot_instance_weight"][INSTANCE, "scripted"] > 0
    assert now["clawdbot_store_up"] == {(): 1}
    until(lambda: scraped(gateway)["clawdbot_sessions_live"][()] >= 1, "stores are asked again")
    assert 0 < now["clawdbot_completion_ratio"][()] <= 1
    assert now["clawdbot_streams_open"] == {(): 0}
    assert now["http_request_seconds_count"][("/api/chat",)] >= 4


def test_every_process_is_told_of(gateway: Product):
    def kinds() -> bool:
        now = scraped(gateway)
        up = {worker.rpartition("-")[0] for (worker,), up in now["clawdbot_worker_up"].items() if up}
        measured = {kind for kind, _ in now["process_cpu_seconds_total"]}
        return up == KINDS - {"valkey"} and measured == KINDS == {
            kind for kind, _ in now["process_resident_memory_bytes"]
        }

    until(kinds, "all processes tell of themselves")
    until(lambda: "clawdbot_sequencer_lag_seconds" in scraped(gateway), "the sequencer tells how far it is")


def test_sums_do_not_go_down_when_a_worker_is_killed_or_replaced(gateway: Product):
    for _ in range(4):
        assert gateway.ask().status_code == 200
    before = scraped(gateway)
    victim = gateway.workers()[0]
    os.kill(victim, signal.SIGKILL)
    shown = [turns(before), turns(scraped(gateway))]
    until(lambda: victim not in gateway.workers() and len(gateway.workers()) == 2, "another one took its place")
    with gateway.at_every_worker() as workers:
        shown += [turns(scraped(gateway, connection)) for connection in workers]
        old = set(gateway.workers())
        os.kill(gateway.child("web server"), signal.SIGHUP)
        until(lambda: not old & set(gateway.workers()), "all workers are new")
    with gateway.at_every_worker() as workers:
        shown += [turns(scraped(gateway, connection)) for connection in workers]
        assert chat_on(workers[0], gateway.key)[0] == 200
        until(lambda: turns(scraped(gateway, workers[1])) == shown[-1] + 1, "the next turn is counted")
    assert shown == sorted(shown)


def test_a_sibling_that_hangs_holds_nothing_up(gateway: Product, ask_grpc):
    ask_grpc()
    until(lambda: requests(scraped(gateway))[1] >= 1, "it is counted")
    before, hung = requests(scraped(gateway)), gateway.child("gRPC server")
    os.kill(hung, signal.SIGSTOP)
    try:
        after = requests(scraped(gateway))
        assert all(now >= then for now, then in zip(after, before, strict=True)), "what it had counted is still told"
    finally:
        os.kill(hung, signal.SIGCONT)


def test_the_grpc_server_tells_it_too(gateway: Product):
    address = f"http://127.0.0.1:{gateway.environment['METRICS_PORT']}"
    with gateway.http("") as client:
        assert turns(samples(client.get(f"{address}/metrics").text)) >= turns(scraped(gateway))
        assert client.get(f"{address}/livez").status_code == client.get(f"{address}/readyz").status_code == 200
        assert client.post(f"{address}/api/chat", json={"message": "Hi"}).status_code == 404
