"""What was deleted from a store's memory is gone from its files too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.errors import StoreUnavailable
from tenants.rewriting import Rewritten, rewrite
from tenants.valkey import Connection
from tests.services.valkey import ValkeyServer

PERSISTENT = ["--appendonly", "yes", "--appendfsync", "always", "--save", "900", "1"]


@pytest.fixture
def start(tmp_path):
    servers = []

    def run(*options: str) -> ValkeyServer:
        server = ValkeyServer(tmp_path / "valkey", options=options)
        server.start()
        servers.append(server)
        return server

    yield run
    for server in servers:
        server.stop()


def holding(folder: Path, text: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


async def test_it_rewrites_the_append_only_file_and_the_snapshot(start):
    server = start(*PERSISTENT)
    store = Connection(server.url)
    await store.call("SET", "gone", "canary-gone")
    await store.call("SET", "stays", "canary-stays")
    await store.call("SAVE")
    await store.call("DEL", "gone")
    assert len(holding(server.folder, b"canary-gone")) >= 2
    assert await rewrite(store) == Rewritten(append_only_file=True, snapshot=True)
    for _ in range(200):  # the old file is unlinked in the background
        if not holding(server.folder, b"canary-gone"):
            break
        await asyncio.sleep(0.02)
    assert holding(server.folder, b"canary-gone") == []
    assert len(holding(server.folder, b"canary-stays")) >= 2
    await store.close()


async def test_it_begins_anew_where_the_server_writes_already(start):
    server = start(*PERSISTENT, "--rdb-key-save-delay", "2000")
    store = Connection(server.url)
    for number in range(200):
        await store.call("SET", f"k{number}", "x")
    await store.call("SET", "gone", "canary-gone")
    await store.call("BGSAVE")  # takes 0.4 s and has what is deleted now
    await store.call("DEL", "gone")
    assert (await rewrite(store)).snapshot
    assert b"canary-gone" not in (server.folder / "dump.rdb").read_bytes()
    await store.close()


async def test_a_server_without_files_has_nothing_to_rewrite(start):
    server = start()
    store = Connection(server.url)
    assert await rewrite(store) == Rewritten()
    assert not (server.folder / "dump.rdb").exists()
    await store.close()


async def test_it_says_so_where_the_server_does_not_let_us(start):
    server = start(*PERSISTENT)
    store = Connection(server.url)
    await store.call("ACL", "SETUSER", "default", "-bgrewriteaof")
    told = await rewrite(store)
    assert told.append_only_file is False and "NOPERM" in told.refused
    await store.close()


async def test_it_does_not_wait_for_ever(start):
    server = start(*PERSISTENT, "--rdb-key-save-delay", "200000")
    store = Connection(server.url)
    for number in range(200):
        await store.call("SET", f"k{number}", "x")
    await store.call("BGSAVE")
    with pytest.raises(StoreUnavailable, match="too long"):
        await rewrite(store, patience=0.3)
    server.kill()
    with pytest.raises(StoreUnavailable):
        await rewrite(store)
    await store.close()
