"""What lies between callers and workers: connections come to all workers of both servers, and deploy/nginx in front of
them keeps to what the servers promise."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx2
import pytest
from websockets.sync.client import connect

from access.edges.grpc.generated import chat_pb2 as pb
from access.edges.grpc.service import SERVICE
from tests.adapters.upstream import Upstream, by_stream, events, streamed, whole
from tests.product.connections import held
from tests.product.running import Product, children, until
from tests.product.upstreams import ANSWER, reset, upstream_in_thread
from tests.services.nginx import NGINX, Nginx

WORKERS = 3
GRPC_WORKERS = 2
AT_ONCE = 8
MANY = 96  # connections; a worker without one, were all equally likely: 3 * (2/3)^96, about 1 in 10^16
ELSEWHERE = "127.0.0.2"  # another address of this machine

needs_nginx = pytest.mark.skipif(NGINX is None, reason="there is no nginx (Debian: apt-get install nginx)")


@pytest.fixture(scope="module")
def model():
    with upstream_in_thread() as running:
        yield running


@pytest.fixture(scope="module")
def product(tmp_path_factory, model: Upstream):
    folder = tmp_path_factory.mktemp("front") / "var"
    settings = {"WORKERS": str(WORKERS), "GRPC_WORKERS": str(GRPC_WORKERS), "TRUSTED_PROXIES": "127.0.0.1"}
    with Product(folder, MODEL_ENDPOINT=model.url, **settings).up() as running:
        yield running
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert running.processes() == []


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, product: Product):
    server = Nginx(tmp_path_factory.mktemp("nginx") / "etc", web=product.port, grpc=grpc_port(product))
    server.start()
    yield server
    server.stop()


def grpc_port(product: Product) -> int:
    return int(product.access["grpc_target"].rpartition(":")[2])


def call(channel: grpc.Channel, key: str) -> str:
    method = channel.unary_unary(f"/{SERVICE}/Chat", pb.ChatRequest.SerializeToString, pb.ChatResponse.FromString)
    metadata = (("authorization", f"Bearer {key}"),)
    return method(pb.ChatRequest(message="Hello"), metadata=metadata, timeout=60, wait_for_ready=True).message.content


def own_channel(product: Product) -> grpc.Channel:
    """With a connection of its own: channels of a process share one otherwise."""
    return grpc.insecure_channel(product.access["grpc_target"], [("grpc.use_local_subchannel_pool", 1)])


def test_every_web_worker_has_a_share_of_the_connections(product: Product):
    def opened(_: int) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=30)
        connection.request("GET", "/livez")
        connection.getresponse().read()
        return connection

    # Nobody is left out; the shares are not equal, for who is awake first takes the next (docs/deploy.md). On a machine
    # with other work a worker may sleep through all of them: then others are opened.
    def shared() -> bool:
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
            for connection in pool.map(opened, range(MANY)):
                stack.callback(connection.close)
            spread = held(product.workers(), product.port)
        assert len(spread) == WORKERS and sum(spread.values()) == MANY, spread
        return min(spread.values()) >= MANY // WORKERS // 8

    until(shared, "every worker has some of the connections")


def test_every_grpc_worker_has_a_share_of_the_connections(product: Product):
    workers = children(product.child("gRPC server"))
    assert len(workers) == GRPC_WORKERS
    with contextlib.ExitStack() as stack:
        channels = [stack.enter_context(own_channel(product)) for _ in range(32)]
        for channel in channels:
            grpc.channel_ready_future(channel).result(30)
        for channel in channels[:8]:
            assert call(channel, product.key) == ANSWER
        spread = held(workers, grpc_port(product))
    assert sum(spread.values()) == len(channels)
    assert min(spread.values()) >= 4, spread  # the kernel's hash: fewer than 4 of 32 is 1 in 10^5


def test_a_grpc_worker_that_dies_is_replaced_and_the_others_serve(product: Product):
    server = product.child("gRPC server")
    before = children(server)
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(now := children(server)) == GRPC_WORKERS and before[0] not in now, "another worker")
    assert product.child("gRPC server") == server
    for _ in range(4):
        with own_channel(product) as channel:
            assert call(channel, product.key) == ANSWER


def test_grpc_workers_are_replaced_without_a_cut_stream(product: Product, model: Upstream):
    """SIGHUP to their supervisor while every one of them streams; whoever calls meanwhile is answered."""
    pieces = [f"piece {number}, " for number in range(40)]
    model.answers(whole(ANSWER), streamed(events(*pieces), 0.1), choose=by_stream)
    server = product.child("gRPC server")
    before = set(children(server))

    def streamed_text(channel: grpc.Channel) -> str:
        method = channel.unary_stream(
            f"/{SERVICE}/StreamChat", pb.ChatRequest.SerializeToString, pb.ChatEvent.FromString
        )
        about = (("authorization", f"Bearer {product.key}"),)
        frames = method(pb.ChatRequest(message="Hello"), metadata=about, timeout=60, wait_for_ready=True)
        return "".join(frame.delta.content for frame in frames)

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        channels = [stack.enter_context(own_channel(product)) for _ in range(AT_ONCE)]
        asked = len(model.requests)
        texts = [pool.submit(streamed_text, channel) for channel in channels]
        until(lambda: len(model.requests) == asked + AT_ONCE, "all stream")
        os.kill(server, signal.SIGHUP)
        calls = 0
        while before & set(children(server)) or not all(text.done() for text in texts):
            with own_channel(product) as channel:
                assert call(channel, product.key) == ANSWER
            calls += 1
        assert [text.result() for text in texts] == ["".join(pieces)] * AT_ONCE
    assert calls and len(children(server)) == GRPC_WORKERS
    reset(model)


# deploy/nginx -------------------------------------------------------------------------------------------------------


def through(proxy: Nginx, key: str, source: str = "127.0.0.1", **headers: str) -> httpx2.Client:
    """A client of the proxy that calls from the address `source`."""
    transport = httpx2.HTTPTransport(local_address=source)
    said = {"Authorization": f"Bearer {key}", **headers}
    return httpx2.Client(base_url=proxy.url, headers=said, timeout=30, trust_env=False, transport=transport)


def exchange(proxy: Nginx, request: bytes) -> tuple[int, str, bytes]:
    """(status, type, body) of the answer to raw bytes, read as far as it says it goes: nginx lingers."""
    with socket.create_connection(("127.0.0.1", proxy.http), timeout=30) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.headers["Content-Type"], answer.read()


@needs_nginx
def test_nginx_takes_the_configuration(tmp_path):
    done = Nginx(tmp_path / "etc", web=1, grpc=2).check()
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr, done.stderr


@needs_nginx
def test_events_come_through_one_by_one(proxy: Nginx, product: Product, model: Upstream):
    """Of the two together; either would do. tests/deploy/test_nginx.py has the configuration alone."""
    words = [f"word{number} " for number in range(5)]
    gate = 0.3
    model.answers(whole("x"), streamed(events(*words), gate), choose=by_stream)
    came: list[float] = []
    with through(proxy, product.key) as client:
        with client.stream("POST", "/api/chat", json={"message": "Hi", "stream": True}) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                if line.startswith("data:") and "content" in line:
                    came.append(time.monotonic())
    reset(model)
    # held back, all would come at the end; how exactly they are apart is the machine's affair
    assert came[-1] - came[0] > gate


@needs_nginx
def test_a_socket_has_its_turns_through_it(proxy: Nginx, product: Product):
    url = f"ws{proxy.url[4:]}/ws/chat"
    with connect(url, subprotocols=["bearer", product.key], proxy=None) as opened:
        assert opened.subprotocol == "bearer"
        for ref in ("1", "2"):
            opened.send(json.dumps({"type": "chat", "ref": ref, "message": "Hello"}))
            types = []
            while not types or types[-1] != "done":
                types.append(json.loads(opened.recv(timeout=30))["type"])
            assert types[0] == "start"


@needs_nginx
def test_calls_go_through_it_with_and_without_tls(proxy: Nginx, product: Product):
    with grpc.insecure_channel(f"127.0.0.1:{proxy.grpc}") as channel:
        assert call(channel, product.key) == ANSWER
        method = channel.stream_stream(
            f"/{SERVICE}/Converse", pb.ClientFrame.SerializeToString, pb.ServerFrame.FromString
        )
        frames = iter([pb.ClientFrame(ref="1", chat=pb.ChatRequest(message="Hi"))])
        metadata = (("authorization", f"Bearer {product.key}"),)
        assert [each.WhichOneof("kind") for each in method(frames, metadata=metadata, timeout=60)][-1] == "done"
        with pytest.raises(grpc.RpcError) as refused:
            call(channel, "cb_nobodys")
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    secure = grpc.ssl_channel_credentials(proxy.certificate.read_bytes())
    with grpc.secure_channel(f"localhost:{proxy.https}", secure) as channel:
        assert call(channel, product.key) == ANSWER


@needs_nginx
def test_pages_and_calls_share_the_tls_port(proxy: Nginx, product: Product):
    trusted = ssl.create_default_context(cafile=str(proxy.certificate))
    headers = {"Authorization": f"Bearer {product.key}"}
    with httpx2.Client(base_url=f"https://localhost:{proxy.https}", verify=trusted, trust_env=False) as client:
        answer = client.post("/api/chat", json={"message": "Hello"}, headers=headers, timeout=30)
    assert answer.status_code == 200
    assert "max-age" in answer.headers["strict-transport-security"]


@needs_nginx
def test_nobody_says_where_they_call_from(proxy: Nginx, product: Product):
    key = product.operate(
        "tenant = services.create_tenant(slug='fenced', name='Fenced')\n"
        f"services.allow_network(tenant=tenant, network='{ELSEWHERE}/32')\n"
        "value = services.create_api_key(tenant=tenant, name='k')[1]"
    )

    def ask(source: str, **headers: str) -> int:
        with through(proxy, key, source, **headers) as client:
            return client.post("/api/chat", json={"message": "Hello"}).status_code

    until(lambda: ask(ELSEWHERE) == 200, "the one address is let in")
    assert ask("127.0.0.1") == 403
    for forged in (ELSEWHERE, f"{ELSEWHERE}, 127.0.0.1", f"127.0.0.1, {ELSEWHERE}"):
        assert ask("127.0.0.1", **{"X-Forwarded-For": forged}) == 403
    assert ask("127.0.0.1", Forwarded=f"for={ELSEWHERE}") == 403
    assert ask(ELSEWHERE, **{"X-Forwarded-For": "127.0.0.1"}) == 200


@needs_nginx
@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, "not_found"),
        (b"GET /metrics/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, "not_found"),
        (b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, "not_found"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "invalid_request"),
        (b"nonsense\r\n\r\n", 400, "invalid_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "invalid_request"),
        (b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 400, "invalid_request"),
        (b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "method_not_allowed"),
        (b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20971521\r\n\r\n", 413, "payload_too_large"),
    ],
    ids=[
        "metrics",
        "metrics/",
        "readyz",
        "field",
        "path",
        "no host",
        "nonsense",
        "coding",
        "version",
        "method",
        "body",
    ],
)
def test_what_it_refuses_has_the_one_shape(proxy: Nginx, request_bytes, status, code):
    told, kind, body = exchange(proxy, request_bytes)
    assert (told, kind) == (status, "application/json")
    error = json.loads(body)["error"]
    assert error["code"] == code
    assert error["request_id"]
    assert set(error) == {"code", "message", "request_id", "retryable"}


@needs_nginx
def test_a_form_of_the_consoles_may_be_larger(proxy: Nginx):
    head = b"POST /console/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    assert exchange(proxy, head % ((32 << 20) + 1))[0] == 413
    with socket.create_connection(("127.0.0.1", proxy.http), timeout=1) as connection:
        connection.sendall(head % (32 << 20))
        with pytest.raises(TimeoutError):  # it waits for the form
            connection.recv(1)


@needs_nginx
@pytest.mark.parametrize("wish", ["h2c", "websocket, h2c", "other/1"])
def test_a_wish_for_another_protocol_ends_at_the_proxy(proxy: Nginx, product: Product, wish):
    """As Java's client has it in its first request."""
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": wish, "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    for client in (through(proxy, product.key), product.http()):
        with client:
            for _ in range(2):
                assert client.post("/api/chat", json={"message": "Hello"}, headers=headers).status_code == 200


@needs_nginx
def test_the_callers_number_goes_through_and_nonsense_does_not(proxy: Nginx, product: Product):
    with through(proxy, product.key) as client:
        kept = client.get("/api/nothing", headers={"X-Request-Id": "my-own.1"})
        made = client.get("/api/nothing", headers={"X-Request-Id": "no spaces"})
    assert kept.json()["error"]["request_id"] == kept.headers["x-request-id"] == "my-own.1"
    assert len(made.headers["x-request-id"]) == 32


@needs_nginx
def test_servers_that_are_away_are_one_clear_answer(tmp_path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        server = Nginx(tmp_path / "etc", web=nobody.getsockname()[1], grpc=nobody.getsockname()[1])
        server.start()
        try:
            answer = httpx2.post(f"{server.url}/api/chat", json={"message": "Hi"}, trust_env=False)
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "unavailable"
            assert answer.headers["retry-after"]
            with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
                method = channel.unary_unary(f"/{SERVICE}/Chat")
                with pytest.raises(grpc.RpcError) as refused:
                    method(b"", timeout=30)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        finally:
            server.stop()
