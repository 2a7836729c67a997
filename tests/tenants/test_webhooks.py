from __future__ import annotations

import hashlib
import hmac
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tenants import webhooks
from tenants.webhooks import AddressRefused, DeliveryFailed


class Listener(BaseHTTPRequestHandler):
    heard: list[tuple[str, dict, bytes]] = []
    answer = 204

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.heard.append((self.path, dict(self.headers), body))
        self.send_response(self.answer)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def listener():
    Listener.heard, Listener.answer = [], 204
    server = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook?a=1"
    server.shutdown()
    server.server_close()


def test_it_posts_what_can_be_checked(listener):
    webhooks.post(listener, b'{"a":1}', secret="s", private=True)
    ((path, headers, body),) = Listener.heard
    assert (path, body) == ("/hook?a=1", b'{"a":1}')
    stamp, digest = (part.partition("=")[2] for part in headers[webhooks.SIGNATURE].split(","))
    assert digest == hmac.new(b"s", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("status", [301, 302, 400, 500])
def test_it_fails_where_nobody_took_it_and_follows_no_redirect(listener, status):
    Listener.answer = status
    with pytest.raises(DeliveryFailed):
        webhooks.post(listener, b"{}", secret="s", private=True)
    assert len(Listener.heard) == 1


def test_it_reaches_nobody_in_a_private_network(listener):
    with pytest.raises(AddressRefused):
        webhooks.post(listener, b"{}", secret="s")
    with pytest.raises(AddressRefused):
        webhooks.post(listener.replace("127.0.0.1", "localhost"), b"{}", secret="s")
    assert Listener.heard == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http://user:pass@example.com/",
        "http://example.com:99999/",
        "http://[::1",
        "http://example.com/\r\nX: y",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://2130706433/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0.0.0.0/",
        "http://[fd00::1]/",
    ],
)
def test_it_refuses_what_is_no_public_web_address(url):
    with pytest.raises((AddressRefused, DeliveryFailed)):
        webhooks.post(url, b"{}", secret="s")


def test_it_fails_where_nobody_listens():
    with pytest.raises(DeliveryFailed):
        webhooks.post("http://127.0.0.1:9/", b"{}", secret="s", private=True)
