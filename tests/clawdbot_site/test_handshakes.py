"""WebSocket handshakes from outside: what is refused, in which words, and what of it is logged."""

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.clawdbot_site.test_server import refusal, running

UPGRADE = [b"host: x", b"connection: upgrade", b"upgrade: websocket"]
KEY = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
VERSION = b"sec-websocket-version: 13"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("handshakes") / "log"


@pytest.fixture(scope="module")
def server(log):
    with log.open("w") as file, running("1", log=file) as started:
        yield started


def handshake(*fields: bytes, method: bytes = b"GET", path: bytes = b"/") -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", *fields, *UPGRADE, b"", b""])


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (handshake(VERSION), 400, "invalid_request"),
        (handshake(KEY), 400, "invalid_request"),
        (handshake(KEY, b"sec-websocket-version: 8"), 400, "invalid_request"),
        (handshake(KEY, KEY, VERSION), 400, "invalid_request"),
        (handshake(b"sec-websocket-key: x", VERSION), 400, "invalid_request"),
        (handshake(KEY, VERSION, b"sec-websocket-protocol: ,;"), 400, "invalid_request"),
        (handshake(KEY, VERSION, b"upgrade: h2c"), 400, "invalid_request"),
        (handshake(KEY, VERSION, b"connection: ,;"), 400, "invalid_request"),
        (handshake(KEY, VERSION, method=b"POST"), 405, "method_not_allowed"),
        (handshake(KEY, VERSION, b"content-length: 5"), 400, "invalid_request"),
        (handshake(KEY, VERSION, b"x: " + b"a" * 20_000), 431, "headers_too_large"),
        (handshake(KEY, VERSION, path=b"/" + b"a" * 20_000), 431, "headers_too_large"),
    ],
)
def test_it_refuses_a_handshake_that_is_none(server, request_bytes, status, code):
    assert refusal(server.exchange(request_bytes)) == (status, code)


def test_it_says_what_is_wrong(server):
    assert b"missing Sec-WebSocket-Key header" in server.exchange(handshake(VERSION))


def test_it_logs_nothing_of_what_it_refuses(server, log):
    server.exchange(handshake(VERSION))
    for _ in range(3):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{server.port}/refused")
        assert (refused.value.response.status_code, refused.value.response.body) == (401, b"no")
    server.get()  # whatever it writes of the refusals is written by now
    assert log.read_text() == ""
