"""What every layout of stores owes the code above it. A layout's test inherits `StoreSuite` and gives `layout`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from engine.errors import SessionNotFound
from engine.snapshots import Cell
from engine.types import Answerer, ChatRequest, Message
from sessions_app.erasing import SessionEraser
from tenants.isolation import Stores
from tenants.resp import CommandRefused, Script
from tests.cast import ACME, ALICE, BOB, CHARLIE, GLOBEX, tenant_table
from tests.sessions_app.parts import sessions

BOTH = Script("redis.call('INCR', KEYS[1]) redis.call('RPUSH', KEYS[2], ARGV[1]) return {KEYS[1], KEYS[2]}")


@dataclass(kw_only=True)
class Layout:
    """`nodes` are the platform's; `settings` of a tenant's view; `shards` asks each server for the names it holds."""

    nodes: list[str]
    settings: Callable[[int], dict] = field(default=lambda tenant_id: {})
    shards: list[Callable[[], list[bytes]]] = field(default_factory=list)


@pytest.fixture
def tenants(layout):
    return Cell(tenant_table(ACME.view(**layout.settings(ACME.id)), GLOBEX.view(**layout.settings(GLOBEX.id))))


@pytest.fixture
async def stores(layout, tenants):
    stores = Stores(layout.nodes, tenants)
    yield stores
    await stores.close()


class StoreSuite:
    @pytest.fixture
    def store(self, stores):
        return stores.tenant(ACME.id)

    @pytest.fixture
    def desk(self, stores, tenants):
        return sessions(stores, tenants)

    async def test_it_sends_commands_and_keeps_the_order_of_a_key(self, store):
        replies = [store.send("RPUSH", "list", number) for number in range(200)]
        assert await asyncio.gather(*replies) == list(range(1, 201))
        assert await store.call("LRANGE", "list", 0, -1) == [str(number).encode() for number in range(200)]
        assert await store.call("GET", b"nothing") is None

    async def test_it_runs_scripts_on_keys_of_one_hash_tag(self, store):
        for round in (1, 2):
            names = await store.run(BOTH, ["count:{a}", b"list:{a}"], "x")
            assert names[0].endswith(b"count:{a}") and names[1].endswith(b"list:{a}")
            assert await store.call("GET", "count:{a}") == str(round).encode()
            assert await store.call("LLEN", "list:{a}") == round

    async def test_it_tells_a_refused_command(self, store):
        await store.call("SET", "text", "x")
        with pytest.raises(CommandRefused):
            await store.call("RPUSH", "text", "y")
        assert await store.call("GET", "text") == b"x"

    async def test_it_finds_and_deletes_keys_wherever_they_lie(self, stores, store):
        names = {f"key:{number}" for number in range(300)}
        await asyncio.gather(*(store.send("SET", name, name) for name in names), store.send("SET", "other", 1))
        await stores.tenant(GLOBEX.id).call("SET", "key:theirs", "x")
        found = [name async for some in store.scan(50, "key:*") for name in some]
        assert set(found) == names
        some = sorted(names)[:100]
        assert await store.values([*some, "nothing"]) == [*(name.encode() for name in some), None]
        assert await store.unlink([*some, "nothing"]) == 100
        assert {name async for part in store.scan() for name in part} == names - set(some) | {"other"}
        assert await store.values([]) == [] and await store.unlink([]) == 0

    async def test_it_names_the_era_of_every_key_it_has_written(self, store):
        for number in range(20):
            await store.call("SET", f"key:{number}", 1)
            assert store.era(f"key:{number}")

    async def test_no_tenants_handle_reaches_anothers_keys(self, stores, store):
        other = stores.tenant(GLOBEX.id)
        names = ["same", "list:{a}", "session:{1:1}:x"]
        for name in names:
            await store.call("SET", name, "of acme")
        for name in names:
            for tried in (name, f"t1:{name}", f"t{ACME.id}:{name}"):
                assert await other.call("GET", tried) is None
                assert await other.call("DEL", tried) == 0
                assert await other.run(Script("return redis.call('GET', KEYS[1])"), [tried]) is None
        assert [name async for part in other.scan() for name in part] == []
        assert await other.values(names) == [None] * 3
        assert await other.unlink(names) == 0
        assert await store.values(names) == [b"of acme"] * 3
        platform = stores.platform()
        assert await platform.values(names) == [None] * 3

    async def test_sessions_begin_go_on_are_listed_and_deleted(self, desk):
        session_id = await converse(desk, ALICE)
        await converse(desk, ALICE, session_id)
        read = await desk.read(ALICE.principal, session_id)
        assert (len(read["context_stack"]), read["version"]) == (4, 2)
        assert [each["session_id"] for each in (await desk.list(ALICE.principal))["sessions"]] == [session_id]
        for stranger in (BOB, CHARLIE):
            assert (await desk.list(stranger.principal))["sessions"] == []
            with pytest.raises(SessionNotFound):
                await desk.read(stranger.principal, session_id)
        await desk.delete(ALICE.principal, session_id)
        with pytest.raises(SessionNotFound):
            await desk.read(ALICE.principal, session_id)

    async def test_a_users_sessions_can_be_erased(self, stores, desk):
        for person in (ALICE, ALICE, BOB, CHARLIE):
            await converse(desk, person)
        assert await SessionEraser(stores).erase(ACME.id, lambda user: user == "1") == 2
        assert (await desk.list(ALICE.principal))["sessions"] == []
        for person in (BOB, CHARLIE):
            assert len((await desk.list(person.principal))["sessions"]) == 1

    async def test_the_servers_of_a_tenant_can_be_asked_about_themselves(self, stores, layout):
        servers = await stores.servers(ACME.id)
        assert len(servers) == len(layout.shards)
        assert all([b"redis_version" in await server.call("INFO", "server") for server in servers])


class ShardedSuite(StoreSuite):
    """Of a layout with several shards."""

    async def test_a_tenants_users_spread_over_all_shards_and_a_user_stays_on_one(self, stores, desk, layout):
        store = stores.tenant(ACME.id)
        users = [f"user-{number}" for number in range(90)]
        await asyncio.gather(*(store.send("SET", f"session:{{1:{user}}}:{at}", 1) for user in users for at in range(4)))
        held = [
            {name[name.index(b"{") : name.index(b"}")] for name in shard() if b"{" in name} for shard in layout.shards
        ]
        assert sum(len(shard) for shard in held) == len(users), "a user's keys lie on one shard"
        assert all(len(shard) >= 15 for shard in held), [len(shard) for shard in held]


async def converse(desk, person, session_id=None):
    request = ChatRequest(messages=[], session_id=session_id, remember=True)
    session = await desk.open(person.principal, request)
    await desk.append(session, [Message("user", "Hello"), Message("assistant", "Hi")], Answerer("m", 1, "v1"))
    await desk.close(session)
    return session.id
