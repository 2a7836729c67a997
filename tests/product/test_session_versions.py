"""Versions of sessions on a running product: two workers, the journal's files, a store that is emptied."""

from __future__ import annotations

import redis

from clawdbot_site.databases import socket_path
from tests.adapters.upstream import Upstream
from tests.product.running import Product, until

TURNS = 21  # one more than SNAPSHOT_EVERY


def texts(read: dict) -> list[str]:
    return [message["content"] for message in read["context_stack"] if message["role"] == "user"]


def empty(gateway: Product) -> None:
    """All databases of its embedded store."""
    with redis.Redis(unix_socket_path=str(socket_path(gateway.folder))) as client:
        client.flushall()


def test_versions_outlive_the_store(gateway: Product, upstream: Upstream):
    session = gateway.ask("0").json()["session_id"]
    for number in range(1, TURNS):
        assert gateway.ask(str(number), session_id=session).status_code == 200
    place = f"/api/sessions/{session}"
    with gateway.http() as client:
        until(lambda: client.get(f"{place}/snapshots").json()["snapshots"], "a snapshot is made by itself")
        (automatic,) = client.get(f"{place}/snapshots").json()["snapshots"]
        assert automatic["automatic"] and automatic["version"] == 20
        mine = client.post(f"{place}/snapshots", json={"name": "All", "tags": ["kept"]}).json()
        assert client.post(f"{place}/restore", json={"version": 5}).json()["version"] == TURNS + 1
        branch = client.post(f"{place}/branch", json={"snapshot": mine["id"]}).json()
        gateway.ask("else", session_id=session)
        names = [f"{place}", f"{place}/snapshots", f"{place}/versions", f"{place}/versions/{mine['id']}",
                 f"{place}/diff?from=20", f"/api/sessions/{branch['session_id']}"]  # fmt: skip
        before = [client.get(name).json() for name in names]
        empty(gateway)
        assert [client.get(name).json() for name in names] == before
    assert texts(before[0]) == ["0", "1", "2", "3", "4", "else"]
    assert texts(before[3]) == texts(before[5]) == [str(number) for number in range(TURNS)]
    assert [line["action"] for line in before[2]["versions"][:2]] == ["turn", "restored"]
    assert len(before[2]["versions"]) == TURNS + 2
