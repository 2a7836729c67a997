"""Idle sockets in the running product, by the hundred: what they hold, and that one word ends them all."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.idle_sockets import MOST_MEMORY
from benchmarks.processes import resident
from tests.product.running import ROOT, Product, until
from tests.product.test_websocket_protocol import counted, made_key

SOCKETS = 500
ROOM = 8.0  # MiB that two workers may take for other reasons meanwhile


@contextmanager
def herd(product: Product, key: str, count: int = SOCKETS) -> Iterator[subprocess.Popen[str]]:
    """Clients that open a socket each, answer pings and do nothing else."""
    command = [sys.executable, "-m", "benchmarks.socket_clients", "idle", str(product.port), key, str(count)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == f"open {count}\n"
        yield process
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def test_idle_sockets_take_little_and_a_revoked_key_ends_them_all(gateway: Product, upstream):
    row, key = made_key(gateway)
    with herd(gateway, key, 20):
        pass  # what is made once
    until(lambda: counted(gateway, "websockets ") == 0, "the first ones are gone")
    before = sum(resident(pid) for pid in gateway.workers())
    with herd(gateway, key) as process:
        until(lambda: counted(gateway, "websockets ") == SOCKETS, "all are counted")
        taken = sum(resident(pid) for pid in gateway.workers()) - before
        assert taken < MOST_MEMORY * SOCKETS / 1000 + ROOM
        assert gateway.ask().status_code == 200
        gone = counted(gateway, 'closed_total{reason="revoked"} ')
        gateway.operate(f"services.revoke_api_key(key=ApiKey.objects.everywhere().get(pk={row}))")
        until(lambda: counted(gateway, "websockets ") == 0, "all are closed")
        until(lambda: counted(gateway, 'closed_total{reason="revoked"} ') == gone + SOCKETS, "all are told of")
        process.stdin.close()
        assert process.stdout.readline() == f"again {SOCKETS}\n"
    assert gateway.ask().status_code == 200


@pytest.mark.parametrize("kind", ["flood", "fragments", "junk", "large", "slow"])
def test_a_client_that_misbehaves_keeps_nobody_else_from_being_answered(gateway: Product, upstream, kind):
    _, key = made_key(gateway)
    command = [sys.executable, "-m", "benchmarks.socket_clients", kind, str(gateway.port), key, "3"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open 3\n"
        for _ in range(10):
            assert gateway.ask().status_code == 200
            time.sleep(0.05)
        process.stdin.close()
        again = int(process.stdout.readline().split()[1])
    assert kind == "slow" or again > 0
    until(lambda: counted(gateway, "websockets ") == 0, "its sockets are gone")
    assert "Traceback" not in gateway.said()
