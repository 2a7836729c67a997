"""Too many connections: who makes way, who stays, and what is said to who finds no place. Over real sockets."""

import resource
import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest
from websockets.sync.client import connect

from clawdbot_site.serving.kept import told_at_once
from tests.clawdbot_site.test_server import read_all, read_until, running

MOST = 16  # of them one is kept free
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@contextmanager
def crowd(stack: ExitStack, most: int = MOST):
    with running("1", "8", "0.5", str(most)) as server, stack:
        yield server


@pytest.fixture
def stack():
    return ExitStack()


@pytest.fixture
def server(stack):
    with crowd(stack) as started:
        yield started


def ask(connection: socket.socket) -> None:
    connection.sendall(REQUEST)
    assert read_until(connection, b"}").startswith(b"HTTP/1.1 200")


def ask_soon(server) -> None:
    """Somebody new, as soon as there is a place."""
    for _ in range(50):
        with server.open() as connection, suppress(ConnectionResetError):
            connection.sendall(REQUEST)
            if connection.recv(100).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.1)
    raise AssertionError("nobody new is served")


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.settimeout(20)


def socket_of(server, stack: ExitStack):
    return stack.enter_context(connect(f"ws://127.0.0.1:{server.port}/"))


def says(server, word: str) -> None:
    while server.process.stdout.readline().strip() != word:
        assert server.process.poll() is None


def test_who_is_idle_makes_way_and_who_is_busy_stays(server, stack):
    sockets = [socket_of(server, stack) for _ in range(MOST - 4)]
    kept = [stack.enter_context(server.open()) for _ in range(2)]
    for each in kept:
        ask(each)
        time.sleep(0.05)
    time.sleep(1.2)
    stream = stack.enter_context(server.open())
    stream.sendall(b"GET /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    came = stack.enter_context(server.open())
    ask(came)
    says(server, "made_way")
    assert [is_open(each) for each in kept] == [False, True]  # who was silent longest
    for each in sockets:
        each.send("echo")
        assert each.recv() == "echo"
    assert b"data: 19" in read_all(stream)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nx-slow: "])
def test_a_first_head_that_does_not_come_makes_way(sent, server, stack):
    slow = [stack.enter_context(server.open()) for _ in range(MOST - 1)]
    for each in slow:
        each.sendall(sent)
    time.sleep(5.2)
    ask(stack.enter_context(server.open()))
    says(server, "made_way")
    ask(stack.enter_context(server.open()))
    assert [is_open(each) for each in slow].count(False) in (1, 2)


def test_who_is_refused_is_told_and_the_next_after_a_leave_is_served(server, stack):
    sockets = [socket_of(server, stack) for _ in range(MOST)]
    for wait in (False, True):
        with server.open() as refused:
            if wait:
                time.sleep(0.1)
            refused.sendall(REQUEST)
            head, _, body = read_all(refused).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503") and b"connection: close" in head
            assert b'"code":"overloaded"' in body and b'"retryable":true' in body
    says(server, "refused")
    sockets[0].close()
    ask_soon(server)
    sockets[1].send("echo")
    assert sockets[1].recv() == "echo"


def test_who_is_turned_away_takes_no_place_and_few_are_told(server, stack):
    sockets = [socket_of(server, stack) for _ in range(MOST)]
    many = [stack.enter_context(server.open()) for _ in range(20)]
    told = 0
    for each in many:
        with suppress(ConnectionResetError):
            told += b"503" in each.recv(100)
    assert told == told_at_once(MOST) == 2
    sockets[0].close()
    ask_soon(server)


def test_it_drains_with_all_places_taken(server, stack):
    sockets = [socket_of(server, stack) for _ in range(MOST)]
    stack.enter_context(server.open())
    began = time.monotonic()
    server.process.terminate()
    assert server.process.wait(15) == 0 and time.monotonic() - began < 10
    assert len(sockets) == MOST


def test_turns_reach_their_upstream_where_few_files_may_be_open(stack):
    files = 128
    upstream = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))

    def serve() -> None:
        while True:
            try:
                connection, _ = upstream.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"here}")

    threading.Thread(target=serve, daemon=True).start()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running(
        "1", "8", "0.5", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    ) as server:
        with stack:
            first = stack.enter_context(server.open())
            to_upstream = b"POST /upstream/%d HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n"
            first.sendall(to_upstream % upstream.getsockname()[1])
            others = [stack.enter_context(server.open()) for _ in range(2 * files)]
            with suppress(ConnectionResetError):
                assert others[-1].recv(1) in (b"", b"H")  # it is told, or closed
            first.sendall(b"x")
            assert read_until(first, b"}").endswith(b"here}")
            assert len(others) == 2 * files
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
