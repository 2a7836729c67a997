"""What is posted to a webhook, how it is signed, and what each answer means."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from plugins.models import SinkState, Webhook
from plugins.outbox import signing
from plugins.outbox.declared import declared, forget_webhook
from plugins.outbox.events import test_event as made
from plugins.outbox.sinks import EventRefused, SinkAway, SinkGone
from plugins.outbox.webhook_sink import WebhookSink
from tenants import webhooks

EVENT = made("test-1", "acme", 0.0)


@pytest.fixture
def receiver(settings):
    settings.WEBHOOK_PRIVATE = True

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            self.server.took.append((dict(self.headers), body))
            self.send_response(self.server.status)
            self.send_header("location", "http://127.0.0.1:1/")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.took, server.status = [], 204
    server.url = f"http://127.0.0.1:{server.server_port}/events?from=us"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def is_ours(secret, headers, body):
    """As `docs/webhooks.md` has it."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return fresh and any(hmac.compare_digest(expected, each) for each in headers["webhook-signature"].split())


def test_it_signs_with_every_secret_that_is_good(receiver):
    new, old, over = (webhooks.new_secret() for _ in range(3))
    keys = ((new, None), (old, time.time() + 60), (over, time.time() - 1))
    assert WebhookSink(receiver.url, keys).send(EVENT) == 204
    ((headers, body),) = receiver.took
    assert json.loads(body) == json.loads(EVENT.encoded())
    assert headers["Content-Type"].startswith("application/cloudevents+json") and headers["webhook-id"] == "test-1"
    assert is_ours(new, headers, body) and is_ours(old, headers, body)
    assert not is_ours(over, headers, body) and not is_ours(new, headers, body + b" ")
    at, *ours = headers[webhooks.SIGNATURE].split(",")
    assert [f"{at},{each}" for each in ours] == [webhooks.sign(key, body, int(at[2:])) for key in (new, old)]


@pytest.mark.parametrize(
    ("status", "error"),
    [(301, EventRefused), (400, EventRefused), (404, EventRefused), (413, EventRefused), (500, EventRefused),
     (410, SinkGone), (429, SinkAway), (503, SinkAway), (504, SinkAway)],
)  # fmt: skip
def test_each_answer_means_something(receiver, status, error):
    receiver.status = status
    with pytest.raises(error) as caught:
        WebhookSink(receiver.url, (("whsec_YWJj", None),)).send(EVENT)
    assert type(caught.value) is error and caught.value.status == status
    assert len(receiver.took) == 1, "no redirect is followed"


def test_an_answer_that_comes_byte_by_byte_ends_all_the_same(settings, monkeypatch):
    settings.WEBHOOK_PRIVATE = True
    monkeypatch.setattr(webhooks, "TIMEOUT", 1.0)
    listener, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def drip():
        connection, _ = listener.accept()
        with connection:
            try:
                while not over.wait(0.1):
                    connection.send(b"H")
            except OSError:
                pass

    threading.Thread(target=drip, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with pytest.raises(SinkAway):
        WebhookSink(url, (("whsec_YWJj", None),)).send(EVENT)
    over.set()
    listener.close()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://localhost/", "http://[::1]/", "http://169.254.169.254/"]
)
def test_our_own_network_is_out_of_reach(settings, url):
    settings.WEBHOOK_PRIVATE = False
    with pytest.raises(SinkAway) as caught:
        WebhookSink(url, (("whsec_YWJj", None),)).send(EVENT)
    assert "the address is refused" in str(caught.value)


def test_a_webhook_is_a_sink_until_it_is_switched_off(cast):
    row = Webhook(tenant=cast.acme, name="crm", url="https://example.com/")
    secret = signing.save_webhook(webhook=row)
    (it,) = declared()
    assert (it.tenant_id, it.slug, it.sink, it.webhook) == (1, "acme", row.sink, row.pk)
    assert it.since == pytest.approx(row.since.timestamp()) and it.spec.key == (
        "https://example.com/",
        ((secret, None),),
    )
    row.enabled = False
    signing.save_webhook(webhook=row)
    assert declared() == []
    row.enabled, cast.acme.is_active = True, False
    signing.save_webhook(webhook=row)
    cast.acme.save()
    assert declared() == [], "a suspended tenant is told nothing"
    SinkState.objects.create(tenant=cast.acme, sink=row.sink)
    forget_webhook(row)
    assert not SinkState.objects.everywhere().exists()


def test_a_secret_that_cannot_be_opened_signs_nothing(cast, receiver):
    row = Webhook(tenant=cast.acme, name="crm", url=receiver.url)
    signing.save_webhook(webhook=row)
    Webhook.objects.for_tenant(1).update(sealed_secret="v1.x.y")
    (it,) = declared()
    with pytest.raises(SinkAway):
        it.spec.open().send(EVENT)
    assert receiver.took == []
