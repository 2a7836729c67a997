"""Stores of a tenant's own, and object storage: operators name them, but they answer for themselves."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import redis

from engine.errors import StoreUnavailable
from tenants.addresses import parse
from tenants.isolation import Deployment
from tenants.topology import Node, Topology
from tests.outbound.network import listening, watched
from tests.services.valkey import ValkeyServer


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A server on loopback and on a socket."""
    server, port = started(tmp_path_factory)
    yield f"redis://127.0.0.1:{port}/0", server.url
    server.stop()


def started(folders):
    """On a port that nobody else takes in the moment between."""
    while True:
        with listening() as free:
            port = free.port
        server = ValkeyServer(folders.mktemp("own"), options=["--port", str(port), "--bind", "127.0.0.1"])
        with contextlib.suppress(redis.ConnectionError):
            server.start()
            return server, port


async def pinged(url):
    deployment = Deployment.own(url)
    try:
        return await deployment.database(0).call("PING")
    finally:
        await deployment.close()


async def test_an_operator_may_name_one_in_a_private_network(own):
    assert [await pinged(url) for url in own] == [b"PONG", b"PONG"]


async def test_none_lies_there_where_that_is_not_allowed(own, settings):
    settings.STORE_PRIVATE = False
    with watched() as places:
        for url in own:
            with pytest.raises(StoreUnavailable):
                await pinged(url)
    assert places == []


async def test_the_platforms_own_is_not_looked_at(own, settings):
    settings.STORE_PRIVATE = False
    deployment = Deployment([own[0]])
    assert await deployment.database(0).call("PING") == b"PONG"
    await deployment.close()


@pytest.mark.parametrize(("private", "inside", "may"), [
    (True, True, True), (True, False, False), (False, False, False),
])  # fmt: skip
async def test_a_cluster_outside_names_no_node_inside(private, inside, may):
    """Whoever runs a tenant's cluster says where its other nodes are."""
    seed = parse("redis://:secret@store.example.com:6379")
    topology = Topology([type(seed)(host=seed.host, port=seed.port, password="secret", private=private)])
    topology.server(Node("store.example.com", 6379)).inside = inside
    assert bool(topology.address(Node("127.0.0.1", 7000)).private) is may
    await topology.close()


async def test_nodes_of_the_platforms_cluster_lie_anywhere():
    topology = Topology([parse("redis://10.0.0.1:6379")])
    assert topology.address(Node("127.0.0.1", 7000)).private is None
    await topology.close()


class Away(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    location = ""

    def do_HEAD(self):
        self.send_response(307)
        self.send_header("Location", self.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.do_HEAD()

    def log_message(self, *_):
        """Says nothing."""


def test_object_storage_sends_nobody_elsewhere():
    from clawdbot_site.s3 import S3Objects  # noqa: PLC0415  # boto3 is large

    server = ThreadingHTTPServer(("127.0.0.1", 0), Away)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    options = {"bucket_name": "x", "access_key": "a", "secret_key": "b", "region_name": "us-east-1"}
    storage = S3Objects(endpoint_url=f"http://127.0.0.1:{server.server_port}", **options)
    try:
        with listening() as trap:
            Away.location = f"http://127.0.0.1:{trap.port}/"
            for ask in (lambda: storage.add("a", b"x"), lambda: storage.size("a"), lambda: storage.open("a")):
                with pytest.raises(OSError):  # noqa: PT011  # whatever it makes of that
                    ask()
            assert trap.heard == []
    finally:
        server.shutdown()
        server.server_close()
