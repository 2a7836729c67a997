"""deploy/nginx alone: what passes, when, and with which headers.

The server behind says nothing about buffering and ends its answer with the connection. The product's own
`X-Accel-Buffering: no` keeps nginx from buffering whatever its configuration is, and so do chunks as it writes them: no
test through the product could tell whether deploy/nginx says it too."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from tests.services.nginx import NGINX, Nginx

pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx (Debian: apt-get install nginx)")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
EVENTS = 3
MEBIBYTE = 1 << 20
PATIENCE = 20.0  # seconds until something that is held back is said to be


class Behind:
    """Takes one request whole, then sends an event each time it is told to."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.request = b""
        self.next = threading.Semaphore(0)
        self.left = False  # who asked has gone

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            while b"\r\n\r\n" not in self.request:
                self.request += connection.recv(65536)
            head, _, body = self.request.partition(b"\r\n\r\n")
            lengths = [
                line.partition(b":")[2] for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"
            ]
            missing = int(lengths[0]) - len(body) if lengths else 0
            while missing > 0:
                more = connection.recv(MEBIBYTE)
                self.request += more
                missing -= len(more)
            connection.sendall(HEAD)
            for number in range(EVENTS):
                if not self.next.acquire(timeout=PATIENCE) or self.left:
                    return
                connection.sendall(b"data: %d\n\n" % number)

    def fields(self) -> list[tuple[bytes, bytes]]:
        lines = self.request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        return [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]


@contextmanager
def asked(folder, request: bytes) -> Iterator[tuple[Behind, socket.socket]]:
    """The server behind and the connection on which nginx was sent the request."""
    behind = Behind()
    thread = threading.Thread(target=behind.serve, daemon=True)
    thread.start()
    proxy = Nginx(folder / "etc", web=behind.port, grpc=1)
    proxy.start()
    try:
        with socket.create_connection(("127.0.0.1", proxy.http), timeout=PATIENCE) as connection:
            connection.sendall(request)
            yield behind, connection
    finally:
        behind.left = True
        behind.next.release()
        thread.join(2 * PATIENCE)
        behind.listener.close()
        proxy.stop()


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    read = b""
    while wanted not in read:
        more = connection.recv(65536)
        assert more, read
        read += more
    return read


def test_an_event_is_not_sent_before_the_one_before_it_has_arrived(tmp_path):
    with asked(tmp_path, b"GET /api/turns/1/events HTTP/1.1\r\nHost: a.example\r\n\r\n") as (behind, connection):
        for number in range(EVENTS):
            behind.next.release()
            read_until(connection, b"data: %d" % number)  # a proxy that holds it back never gets another: time is up


def test_the_server_is_told_one_host_one_caller_and_the_scheme(tmp_path):
    forged = b"".join(
        b"%b: 6.6.6.6\r\n" % name
        for name in (b"X-Forwarded-For", b"Forwarded", b"X-Real-IP", b"X-Forwarded-Host", b"X-Forwarded-Port")
    )
    request = (
        b"GET http://other.example/x HTTP/1.1\r\nHost: a.example:81\r\nX-Forwarded-Proto: https\r\n%b\r\n" % forged
    )
    with asked(tmp_path, request) as (behind, connection):
        read_until(connection, b"\r\n\r\n")
    fields = behind.fields()
    assert behind.request.startswith(b"GET /x HTTP/1.1\r\n")
    assert [value for name, value in fields if name == b"host"] == [b"a.example:81"]
    assert [value for name, value in fields if name == b"x-forwarded-for"] == [b"127.0.0.1"]
    assert [value for name, value in fields if name == b"x-forwarded-proto"] == [b"http"]
    names = {name for name, _ in fields}
    assert not names & {b"forwarded", b"x-real-ip", b"x-forwarded-host", b"x-forwarded-port"}
    assert b"6.6.6.6" not in behind.request


def test_a_request_becomes_nothing_but_a_websocket(tmp_path):
    fields = b"Host: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}"
    with asked(tmp_path, b"POST /api/chat HTTP/1.1\r\n" + fields) as (behind, connection):
        read_until(connection, b"200 OK")
    assert not {b"upgrade", b"connection"} & {name for name, _ in behind.fields()}


def test_what_is_to_become_one_says_so_once(tmp_path):
    fields = b"Host: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
    with asked(tmp_path, b"GET /ws/chat HTTP/1.1\r\n" + fields) as (behind, connection):
        read_until(connection, b"200 OK")
    said = [(name, value) for name, value in behind.fields() if name in (b"connection", b"upgrade")]
    assert sorted(said) == [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]


def test_a_full_disk_of_its_own_is_said_in_the_one_shape(tmp_path):
    proxy = Nginx(tmp_path / "etc", web=1, grpc=1)
    proxy.start()
    try:
        shutil.rmtree(tmp_path / "etc" / "client_body")  # where bodies over 256 KiB wait
        answer = httpx2.post(f"{proxy.url}/api/chat", content=b"a" * MEBIBYTE, trust_env=False, timeout=PATIENCE)
    finally:
        proxy.stop()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unavailable"


@pytest.mark.parametrize(("path", "size"), [(b"/api/chat", 20), (b"/console/words/import", 32)])
def test_a_body_as_large_as_the_server_takes_passes_as_it_is(tmp_path, path, size):
    body = b"a" * (size * MEBIBYTE)
    head = b"POST " + path + b" HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % len(body)
    with asked(tmp_path, head + body) as (behind, connection):
        read_until(connection, b"200 OK")
    assert behind.request.partition(b"\r\n\r\n")[2] == body
    assert b"content-encoding" not in {name for name, _ in behind.fields()}
