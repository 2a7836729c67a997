"""Every completed turn is told to a stream and to a webhook, in order within its session, though the broker is stopped,
the receiver fails and the publisher is killed. OUTBOX_ROUNDS: how often; a few unless told."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import redis

from clawdbot_site.selftest.ports import free_port
from tests.product.running import Product, until
from tests.services.valkey import ValkeyServer

ROUNDS = int(os.environ.get("OUTBOX_ROUNDS", "2"))
SESSIONS = 4
TURNS = 5  # of a session and round
PATIENCE = 120.0
MANAGER = """
tenant, scopes = Tenant.objects.get(slug='demo'), ('chat', 'sessions', 'manage')
value = services.create_api_key(tenant=tenant, name='manager', scopes=scopes)[1]
"""
pytestmark = pytest.mark.server


class Receiver:
    """Takes what is posted; `fails` answers that often that it has no time."""

    def __init__(self):
        receiver = self
        self.took, self.fails, self.headers = [], 0, []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                failing = receiver.fails > 0
                receiver.fails -= failing
                if not failing:
                    receiver.took.append(json.loads(body))
                    receiver.headers.append(dict(self.headers))
                self.send_response(503 if failing else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/events"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def broker(tmp_path):
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always"]
    server = ValkeyServer(tmp_path / "broker", options=options)
    server.start()
    server.address = f"127.0.0.1:{port}"
    yield server
    server.stop()


def in_stream(broker):
    with redis.Redis(port=int(broker.address.partition(":")[2])) as client:
        return [json.loads(fields[b"event"]) for _, fields in client.xrange("events")]


def firsts(events):
    """The turns of each session, by when they were told of first."""
    found = defaultdict(dict)
    for event in events:
        found[event["partitionkey"]].setdefault(event["data"]["turn_id"])
    return {session: list(turns) for session, turns in found.items()}


def converse(product, session):
    """Turns of one session, one after the other; their ids."""
    turns = []
    with product.http() as client:
        for _ in range(TURNS):
            answer = client.post("/api/chat", json={"message": "Hello", **({"session_id": session} if session else {})})
            assert answer.status_code == 200, answer.text
            session = answer.json()["session_id"]
            turns.append(answer.json()["id"])
    return session, turns


def test_no_event_is_lost_or_out_of_order(tmp_path, broker, receiver):
    allowed = {"QUEUE_PRIVATE": "on", "WEBHOOK_PRIVATE": "on", "LOCAL_MODEL": "off", "WORKERS": "2"}
    with Product(tmp_path / "var", **allowed).up() as product:
        manager = product.operate(MANAGER)
        with product.http(manager) as client:
            settings = {"url": f"redis://{broker.address}/0", "kind": "stream", "queue": "events"}
            assert client.put("/api/plugins/queue", json={"settings": settings}).status_code == 200
            made = client.post("/api/webhooks", json={"name": "crm", "url": receiver.url})
            assert made.status_code == 201, made.text
            until(lambda: len(client.get("/api/outbox").json()["sinks"]) == 2, "both sinks are looked after", PATIENCE)
        told = {None: []}
        for number in range(ROUNDS):
            if number % 2:
                broker.kill()
            receiver.fails = 2
            with ThreadPoolExecutor(SESSIONS) as pool:
                known = [session for session in told if session] or [None] * SESSIONS
                answered = [pool.submit(converse, product, session) for session in known]
                if number % 2 == 0:
                    seen = len(receiver.took)
                    until(lambda seen=seen: len(receiver.took) > seen, "the first events", PATIENCE)
                before = until(lambda: product.child("publisher"), "a publisher", PATIENCE)
                os.kill(before, signal.SIGKILL)
                for each in answered:
                    session, turns = each.result()
                    told[session] = [*told.get(session, []), *turns]
            if number % 2:
                time.sleep(1.0)
                broker.start()
        told.pop(None)
        until(lambda: firsts(in_stream(broker)) == told, "the stream has every turn in order", PATIENCE)
        until(lambda: firsts(receiver.took) == told, "the webhook has every turn in order", PATIENCE)
        with product.http(manager) as client:
            sinks = client.get("/api/outbox").json()["sinks"]
            assert client.get("/api/outbox/held").json()["events"] == []
            page = client.get("/metrics").text
        assert all(each["delivered"] >= SESSIONS * TURNS * ROUNDS for each in sinks), sinks
        assert {"webhook-id", "webhook-timestamp", "webhook-signature", "X-Clawdbot-Signature"} <= set(
            receiver.headers[0]
        )
        assert 'clawdbot_outbox_lag_entries{sink="plugin:queue:broker",tenant="demo"}' in page
