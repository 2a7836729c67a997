from __future__ import annotations

import asyncio
import re

import pytest

from engine.errors import StoreUnavailable, TenantSuspended
from engine.snapshots import Cell
from tenants.directory import TenantTable, TenantView
from tenants.isolation import Stores
from tests.cast import ACME, GLOBEX, tenant_table
from tests.services.valkey import ValkeyServer


@pytest.fixture
def tenants():
    return Cell(tenant_table())


@pytest.fixture
async def stores(valkey_url, tenants):
    stores = Stores([valkey_url], tenants)
    yield stores
    await stores.close()


async def test_it_gives_every_tenant_its_own_database(stores):
    await stores.tenant(ACME.id).call("SET", "secret", "of acme")
    assert await stores.tenant(GLOBEX.id).call("GET", "secret") is None
    assert await stores.platform().call("GET", "secret") is None
    assert b" db=16 " in await stores.tenant(ACME.id).call("CLIENT", "INFO")
    assert b" db=17 " in await stores.tenant(GLOBEX.id).call("CLIENT", "INFO")
    assert b" db=0 " in await stores.platform().call("CLIENT", "INFO")


async def test_it_keeps_one_connection_a_tenant(stores):
    assert stores.tenant(ACME.id) is stores.tenant(ACME.id)
    assert stores.tenant(ACME.id) is not stores.tenant(GLOBEX.id)


async def test_it_sends_a_tenant_with_its_own_server_there(stores, tenants, tmp_path):
    own = ValkeyServer(tmp_path)
    own.start()
    try:
        await stores.tenant(ACME.id).call("SET", "where", "shared")
        tenants.swap(tenant_table(ACME.view(store_url=f"{own.url}?db=3")))
        assert await stores.tenant(ACME.id).call("GET", "where") is None
        assert b" db=3 " in await stores.tenant(ACME.id).call("CLIENT", "INFO")
    finally:
        own.kill()
    with pytest.raises(StoreUnavailable):
        await stores.tenant(ACME.id).call("PING")
    assert await stores.tenant(GLOBEX.id).call("PING") == b"PONG"


async def test_it_has_nothing_for_a_tenant_that_is_gone(stores):
    with pytest.raises(TenantSuspended):
        stores.tenant(99)


async def test_it_calls_a_store_with_a_broken_address_unavailable(stores, tenants):
    tenants.swap(tenant_table(ACME.view(store_url="http://nonsense")))
    with pytest.raises(StoreUnavailable):
        stores.tenant(ACME.id)


async def test_it_closes_idle_connections_of_the_least_recently_used(valkey_url, tenants):
    stores = Stores([valkey_url], tenants, max_open=2)
    views = [TenantView(id=number, slug=f"t{number}", name="", store_database=number + 20) for number in range(5, 11)]
    tenants.swap(tenant_table(*views))
    for view in views:
        assert await stores.tenant(view.id).call("SET", "who", view.id) == b"OK"
    for view in views:
        assert await stores.tenant(view.id).call("GET", "who") == str(view.id).encode()
    assert len(stores._open) == 2
    async with asyncio.timeout(20):  # the server hears of a closed socket in its own time
        while await _databases_in_use(stores) & {view.store_database for view in views} != {29, 30}:
            await asyncio.sleep(0.01)
    await stores.close()


async def test_it_never_closes_a_connection_somebody_waits_on(valkey_url, tenants):
    stores = Stores([valkey_url], tenants, max_open=1)
    waiting = stores.tenant(ACME.id).send("BLPOP", "list", 0)
    await asyncio.sleep(0.02)
    await stores.tenant(GLOBEX.id).call("PING")
    assert not waiting.done()
    other = Stores([valkey_url], tenants)
    await other.tenant(ACME.id).call("RPUSH", "list", "there")
    assert await waiting == [b"list", b"there"]
    await other.close()
    await stores.close()


async def test_turns_wait_while_a_tenants_store_is_moved(stores, tenants, monkeypatch):
    await stores.settled(ACME.id)
    tenants.swap(tenant_table(ACME.view(store_moving=True)))
    await stores.settled(GLOBEX.id)
    waiting = asyncio.create_task(stores.settled(ACME.id))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    tenants.swap(tenant_table())
    await waiting
    monkeypatch.setattr("tenants.isolation.MOVE_PATIENCE", 0.05)
    tenants.swap(tenant_table(ACME.view(store_moving=True)))
    with pytest.raises(StoreUnavailable):
        await stores.settled(ACME.id)


async def test_what_was_found_for_a_tenant_is_no_longer_good_once_it_changed(valkey_url, tenants):
    stores = Stores([valkey_url], tenants, max_open=1)
    here = stores.tenant(ACME.id)
    assert stores.tenant(ACME.id) is here
    stores.tenant(GLOBEX.id)  # there is room for one
    await asyncio.sleep(0.05)
    again = stores.tenant(ACME.id)
    assert again is not here and await again.call("PING") == b"PONG"
    tenants.swap(tenant_table(ACME.view(store_url=f"{valkey_url}?db=77"), GLOBEX.view()))
    moved = stores.tenant(ACME.id)
    assert moved is not again and await moved.call("SET", "moved", 1) == b"OK"
    tenants.swap(TenantTable({GLOBEX.id: GLOBEX.view()}))
    with pytest.raises(TenantSuspended):
        stores.tenant(ACME.id)
    await stores.close()


async def _databases_in_use(stores) -> set[int]:
    listed = (await stores.platform().call("CLIENT", "LIST")).decode()
    return {int(number) for number in re.findall(r" name=clawdbot .* db=(\d+) ", listed)}
