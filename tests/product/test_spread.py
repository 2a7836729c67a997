"""Connections come to all workers of the web server and of the gRPC server."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from access.edges.grpc.generated import chat_pb2 as pb
from access.edges.grpc.service import SERVICE
from tests.product.connections import held
from tests.product.running import Product, children, until
from tests.product.upstreams import ANSWER, upstream_in_thread

WORKERS = 3
GRPC_WORKERS = 2
AT_ONCE = 8
MANY = 96  # connections; a worker without one, were all equally likely: 3 * (2/3)^96, about 1 in 10^16


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spread") / "var"
    counts = {"WORKERS": str(WORKERS), "GRPC_WORKERS": str(GRPC_WORKERS)}
    with upstream_in_thread() as model, Product(folder, MODEL_ENDPOINT=model.url, **counts).up() as running:
        yield running


def grpc_port(product: Product) -> int:
    return int(product.access["grpc_target"].rpartition(":")[2])


def call(product: Product, channel: grpc.Channel) -> str:
    method = channel.unary_unary(f"/{SERVICE}/Chat", pb.ChatRequest.SerializeToString, pb.ChatResponse.FromString)
    key = (("authorization", f"Bearer {product.key}"),)
    return method(pb.ChatRequest(message="Hello"), metadata=key, timeout=60, wait_for_ready=True).message.content


def own_channel(product: Product) -> grpc.Channel:
    """With a connection of its own: channels of a process share one otherwise."""
    return grpc.insecure_channel(product.access["grpc_target"], [("grpc.use_local_subchannel_pool", 1)])


def test_every_web_worker_has_a_share_of_the_connections(product: Product):
    def opened(_: int) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=30)
        connection.request("GET", "/livez")
        connection.getresponse().read()
        return connection

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        for connection in pool.map(opened, range(MANY)):
            stack.callback(connection.close)
        spread = held(product.workers(), product.port)
    assert len(spread) == WORKERS
    assert sum(spread.values()) == MANY
    # Nobody is left out; the shares are not equal, for who is awake first takes the next (docs/sizing.md).
    assert min(spread.values()) >= MANY // WORKERS // 8, spread


def test_every_grpc_worker_has_a_share_of_the_connections(product: Product):
    workers = children(product.child("gRPC server"))
    assert len(workers) == GRPC_WORKERS
    with contextlib.ExitStack() as stack:
        channels = [stack.enter_context(own_channel(product)) for _ in range(32)]
        for channel in channels:
            grpc.channel_ready_future(channel).result(30)
        for channel in channels[:8]:
            assert call(product, channel) == ANSWER
        spread = held(workers, grpc_port(product))
    assert sum(spread.values()) == len(channels)
    assert min(spread.values()) >= 4, spread  # the kernel's hash: fewer than 4 of 32 is 1 in 10^5


def test_a_grpc_worker_that_dies_is_replaced_and_the_others_serve(product: Product):
    server = product.child("gRPC server")
    before = children(server)
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(now := children(server)) == GRPC_WORKERS and before[0] not in now, "another worker", 30)
    assert product.child("gRPC server") == server
    for _ in range(4):
        with own_channel(product) as channel:
            assert call(product, channel) == ANSWER
