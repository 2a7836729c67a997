"""Every layout of stores runs the same suite, against servers of its own kind."""

from __future__ import annotations

import pytest
import redis

from clawdbot_site.selftest.ports import free_port
from tenants import prefixed
from tenants.isolation import Deployment
from tenants.resp import CommandRefused
from tenants.valkey import Connection
from tests.cast import ACME, GLOBEX
from tests.conformance.stores import Layout, ShardedSuite, StoreSuite, stores, tenants
from tests.services.cluster import ValkeyCluster
from tests.services.valkey import ValkeyServer

__all__ = ["stores", "tenants"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"), databases=64)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def plain_cluster(tmp_path_factory):
    """With database 0 only, as Redis has it."""
    cluster = ValkeyCluster(tmp_path_factory.mktemp("plain"), databases=1)
    yield cluster
    cluster.stop()


def names(node, database=0):
    def ask():
        with redis.Redis(unix_socket_path=str(node.socket)) as client:
            client.execute_command("SELECT", database)
            return client.execute_command("KEYS", "*")

    return ask


class TestDatabase(StoreSuite):
    @pytest.fixture
    def layout(self, valkey_server, valkey_url):
        return Layout(nodes=[valkey_url], shards=[names(valkey_server, 16)])


class TestDatabaseOverTcp(StoreSuite):
    """What listens on TCP may be a cluster; this one says that it is none."""

    @pytest.fixture
    def layout(self, tmp_path):
        port = free_port()
        server = ValkeyServer(tmp_path, options=["--port", str(port), "--requirepass", "open sesame"])
        server.start()
        yield Layout(nodes=[f"redis://:open%20sesame@127.0.0.1:{port}"], shards=[lambda: []])
        server.kill()


class TestDatabaseOnACluster(ShardedSuite):
    @pytest.fixture
    def layout(self, cluster):
        yield Layout(nodes=cluster.urls[:1], shards=[names(node, 16) for node in cluster.primaries])
        cluster.flush()


class TestPrefix(StoreSuite):
    @pytest.fixture
    def layout(self, valkey_server, valkey_url):
        return Layout(nodes=[valkey_url], settings=prefix, shards=[names(valkey_server)])


class TestPrefixOnACluster(ShardedSuite):
    @pytest.fixture
    def layout(self, plain_cluster):
        shards = [names(node) for node in plain_cluster.primaries]
        yield Layout(nodes=plain_cluster.urls, settings=prefix, shards=shards)
        plain_cluster.flush()

    async def test_the_server_itself_refuses_a_tenants_user_what_is_not_its_own(self, stores, plain_cluster):
        await stores.platform().call("SET", "secret", "of the platform")
        for node in plain_cluster.primaries:
            server = Connection(node.address)
            name, password = await prefixed.grant(server, ACME.id)
            await server.close()
            theirs = Connection(f"redis://{name}:{password}@127.0.0.1:{node.port}")
            for words in (
                ("GET", "secret"),
                ("SET", f"t{GLOBEX.id}:key", "x"),
                ("EVAL", "return redis.call('GET', 't2:key')", 0),
                ("SCAN", 0),
                ("KEYS", "*"),
                ("RANDOMKEY",),
                ("DBSIZE",),
                ("FLUSHALL",),
                ("CONFIG", "GET", "*"),
                ("ACL", "LIST"),
                ("CLIENT", "LIST"),
                ("CLIENT", "TRACKING", "ON", "BCAST"),  # tells the names of all keys that are written
                ("SCRIPT", "DEBUG", "SYNC"),
                ("SUBSCRIBE", "clawdbot:bus"),
                ("PUBLISH", "clawdbot:config", "x"),
                ("MONITOR",),
                ("FUNCTION", "LIST"),
                ("SCRIPT", "FLUSH"),
                ("SORT", f"t{ACME.id}:list", "GET", "secret"),
            ):
                with pytest.raises(CommandRefused) as refused:
                    await theirs.call(*words)
                assert (
                    "NOPERM" in refused.value.reply
                    or "No permissions" in refused.value.reply
                    or ("not a valid" not in refused.value.reply and words[0] == "EVAL")
                ), (words, refused.value.reply)
            await theirs.close()

    async def test_a_node_that_forgot_the_tenants_user_is_told_again(self, stores, plain_cluster):
        store = stores.tenant(ACME.id)
        await store.call("SET", "key", 1)
        for node in plain_cluster.primaries:
            assert node.ask("ACL", "DELUSER", prefixed.user(ACME.id)) <= 1
        assert await answer(store, "GET", "key") == b"1"


class TestOwnServer(StoreSuite):
    @pytest.fixture
    def layout(self, valkey_url, tmp_path):
        servers = {tenant_id: ValkeyServer(tmp_path / str(tenant_id)) for tenant_id in (ACME.id, GLOBEX.id)}
        for server in servers.values():
            server.start()
        yield Layout(
            nodes=[valkey_url],
            settings=lambda tenant_id: {"store_url": f"{servers[tenant_id].url}?db=3"},
            shards=[names(servers[ACME.id], 3)],
        )
        for server in servers.values():
            server.kill()


class TestOwnCluster(ShardedSuite):
    @pytest.fixture
    def layout(self, valkey_url, cluster, plain_cluster):
        urls = {ACME.id: f"{cluster.urls[0]}/5", GLOBEX.id: plain_cluster.urls[1]}
        shards = [names(node, 5) for node in cluster.primaries]
        yield Layout(nodes=[valkey_url], settings=lambda tenant_id: {"store_url": urls[tenant_id]}, shards=shards)
        cluster.flush()
        plain_cluster.flush()


def prefix(tenant_id):
    return {"store_layout": "prefix"}


async def answer(store, *words):
    import asyncio

    from engine.errors import StoreUnavailable

    for _ in range(200):
        try:
            return await store.call(*words)
        except StoreUnavailable:
            await asyncio.sleep(0.02)
    raise AssertionError("the store does not come back")


async def test_a_database_a_cluster_does_not_have_is_an_unavailable_store(plain_cluster, caplog):
    deployment = Deployment(plain_cluster.urls)
    store = deployment.database(16)
    with pytest.raises(Exception, match="store"):
        await store.call("GET", "key")
    assert "database 16" in caplog.text and "out of range" in caplog.text
    await store.close()
    await deployment.close()
