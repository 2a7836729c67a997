"""The web server from outside: raw sockets against a small application in its own processes."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from access.secure_pages import BARE
from tests.clawdbot_site.tiny_server import EVENTS, FLOOD

ROOT = Path(__file__).parents[2]


class Server:
    def __init__(self, *arguments: str, log: IO[str] | None = None, **options: Any) -> None:
        command = [sys.executable, "-m", "tests.clawdbot_site.tiny_server", *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, **options)
        self.port = int(self.process.stdout.readline().split()[1])
        assert self.process.stdout.readline() == "ready\n"

    def open(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def exchange(self, request: bytes) -> bytes:
        with self.open() as connection:
            connection.sendall(request)
            return read_all(connection)

    def get(self, path: str = "/") -> tuple[int, dict]:
        answer = self.exchange(b"GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % path.encode())
        return int(answer.split()[1]), json.loads(answer.partition(b"\r\n\r\n")[2])

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=20)
        self.process.stdout.close()


def read_all(connection: socket.socket) -> bytes:
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


def read_until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        chunk = connection.recv(65536)
        assert chunk, received
        received += chunk
    return received


def wait_for_reset(connection: socket.socket) -> None:
    """Without reading anything."""
    poll = select.poll()
    poll.register(connection, 0)  # errors alone
    assert poll.poll(20_000), "the connection is still there"


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and code; the one error shape is checked on the way."""
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert set(error) == {"code", "message", "request_id", "retryable"} and b"application/json" in head.lower()
    assert all(b"%s: %s" % field in head.lower() for field in BARE)
    status = int(head.split()[1])
    assert error["retryable"] is (status == 408)
    return status, error["code"]


@contextmanager
def running(*arguments: str, log: IO[str] | None = None, **options: Any):
    server = Server(*arguments, log=log, **options)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server():
    with running("1", "0.4") as started:
        yield started


def test_it_answers_and_keeps_the_connection(server):
    with server.open() as connection:
        for _ in range(2):
            connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
            assert read_until(connection, b"}").endswith(b'"size": 3}')


def test_it_closes_a_half_sent_header(server):
    began = time.monotonic()
    assert refusal(server.exchange(b"GET / HTTP/1.1\r\nhost: x\r\nx-sl")) == (408, "request_timeout")
    assert time.monotonic() - began >= 0.3


def test_it_closes_a_connection_that_says_nothing(server):
    assert server.exchange(b"") == b""


def test_it_closes_a_header_sent_drop_by_drop(server):
    with server.open() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError):
            for _ in range(200):  # every drop is quicker than the limit, the header as a whole is not
                connection.sendall(b"x: y\r\n")
                time.sleep(0.05)
                connection.settimeout(0.001)
                try:
                    if b"408" in connection.recv(4096):
                        raise OSError("closed")
                except TimeoutError:
                    pass


@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
def test_it_ends_a_connection_that_takes_nothing(connection):
    with running("1", "0.4") as server, server.open() as client:
        client.sendall(b"GET /flood HTTP/1.1\r\nhost: x\r\nconnection: %s\r\n\r\n" % connection)
        wait_for_reset(client)


def test_a_slow_client_gets_all(server):
    with server.open() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        client.sendall(b"GET /flood HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        size = 0
        while chunk := client.recv(1 << 20):
            size += len(chunk)
            time.sleep(0.001)
        assert size > FLOOD


def test_it_times_a_second_request_on_the_same_connection(server):
    with server.open() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"200" in read_until(connection, b"}")
        connection.sendall(b"GET / HT")
        assert refusal(read_all(connection)) == (408, "request_timeout")


def test_it_closes_a_half_sent_body(server):
    request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc"
    assert refusal(server.exchange(request)) == (408, "request_timeout")


def test_it_closes_a_body_sent_drop_by_drop(server):
    with server.open() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        connection.settimeout(0.05)
        answer, sent = b"", 0
        while not answer and sent < 999:  # every drop is quicker than the limit, the body as a whole is not
            connection.sendall(b"a")
            sent += 1
            with suppress(TimeoutError):
                answer = connection.recv(4096)
        assert answer.split()[1] == b"408"


@pytest.mark.parametrize(
    "head",
    [
        b"x-large: " + b"a" * 40_000,
        b"x-huge: " + b"a" * (1 << 20),
        b"\r\n".join(b"x-%d: y" % number for number in range(5000)),
        b"\r\n".join(b"x-%d: %s" % (number, b"a" * 1000) for number in range(50)),
    ],
    ids=["40 KB", "1 MiB", "5000 fields", "50 fields of 1 KB"],
)
def test_it_refuses_a_huge_header(server, head):
    answer = server.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n\r\n")
    assert refusal(answer) == (431, "headers_too_large")


def test_it_refuses_a_huge_header_that_never_ends(server):
    assert refusal(server.exchange(b"GET / HTTP/1.1\r\nx: " + b"a" * 40_000)) == (431, "headers_too_large")


@pytest.mark.parametrize("path", [b"/" + b"a" * 40_000])
def test_it_refuses_a_huge_path(server, path):
    assert refusal(server.exchange(b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n"))[0] == 431


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET // HTTP/1.1\r\n\r\nGET http:// HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
    ],
)
def test_it_refuses_what_is_not_http(server, request_bytes):
    assert refusal(server.exchange(request_bytes)) == (400, "invalid_request")


def test_it_delivers_every_event_of_a_stream_after_sigterm():
    with running("1") as server, server.open() as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        received = connection.recv(65536)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.25)
        status, body = server.get()  # not ready at once, but still answering until the listener closes
        assert (status, body["ready"]) == (503, False)
        received += read_all(connection)
        assert received.count(b"data: ") == EVENTS
        assert received.endswith(b"0\r\n\r\n")
        assert server.process.wait(timeout=10) == 0
        assert "shut down" in server.process.stdout.read()


def test_it_finishes_a_turn_on_a_socket_before_it_says_service_restart():
    with running("1") as server, connect(f"ws://127.0.0.1:{server.port}/") as client:
        client.send("go")
        received = [client.recv()]
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                received.append(client.recv(timeout=10))
        assert received == [str(number) for number in range(EVENTS)]
        assert closed.value.rcvd.code == 1012


def test_it_replaces_a_worker_that_crashed():
    with running("2") as server:
        pids = {server.get()[1]["pid"] for _ in range(20)}
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        status, body = server.get()  # waits in the shared socket's queue, is not refused
        assert status == 200
        assert body["pid"] not in pids
        assert time.monotonic() < deadline


def test_it_replaces_its_workers_one_by_one_on_sighup():
    with running("1") as server:
        first = server.get()[1]["pid"]
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while server.get()[1]["pid"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_worker_that_is_replaced_is_ready_for_who_is_connected_and_the_address_never_refuses():
    with running("1", "10", "2") as server, server.open() as kept:

        def ask() -> tuple[bytes, dict]:
            kept.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            head, _, body = read_until(kept, b"}").partition(b"\r\n\r\n")
            return head.lower(), json.loads(body)

        _, first = ask()
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        head = b""
        while b"connection: close" not in head:
            assert server.get()[0] == 200 and time.monotonic() < deadline
            head, told = ask()
            assert b" 200 " in head and told == first and told["ready"]
        assert server.get()[1]["pid"] != first["pid"]


def test_it_does_not_wait_for_a_balancer_after_ctrl_c():
    with running("1", "10", "30") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=20) == 0


def test_it_says_that_somebody_else_listens_at_its_address():
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        program = (
            "import sys\nfrom clawdbot_site.serving.listening import bind\n"
            "from clawdbot_site.serving.webserver import serve\n"
            "from clawdbot_site.serving.server import CannotListen\n"
            "from tests.clawdbot_site.tiny_server import Tiny, say\n"
            f"listener = bind('127.0.0.1', {port})\nsay('bound')\nsys.stdin.readline()\n"
            "try:\n    serve(Tiny, listener, workers=2, all_ready=lambda: say('ready'))\n"
            "except CannotListen:\n    say('cannot')\n"
        )
        command = [sys.executable, "-c", program]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
            assert process.stdout.readline() == "bound\n"
            other.listen()
            assert process.communicate("go\n", timeout=30)[0].splitlines()[-1] == "cannot"


def test_its_workers_end_when_the_supervisor_is_killed():
    with running("2") as server:
        pids = {server.get()[1]["pid"] for _ in range(20)}
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{pid}").exists() and "Z" not in state(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_no_websocket_begins_in_the_middle_of_an_answer(server):
    handshake = (
        b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with server.open() as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n" + handshake)
        answers = b""
        while not answers.endswith((b"}", b"\r\n0\r\n\r\n")):
            answers += connection.recv(65536)
        assert b"HTTP/1.1 101" not in answers and answers.count(b"data: ") == EVENTS
        if not answers.endswith(b"}"):
            answers = read_until(connection, b"}")
    assert answers.rpartition(b"HTTP/1.1 ")[2].startswith(b"200")
