from __future__ import annotations

import asyncio

import pytest

from engine.errors import BudgetExceeded, StoreUnavailable
from engine.types import Usage
from tenants.isolation import Stores
from tenants.limits import Limits, rebuilding
from tenants.limits.periods import Calendar
from tenants.limits.quotas import AllowanceTable, Quota
from tests.cast import ACME, ALICE, GLOBEX, tenant_table
from tests.services.valkey import ValkeyServer
from tests.tenants.limits.spending import RecordedSpending
from tests.tenants.limits.test_money import CALL, DEAR, USED, reserve, reserve_many, spent


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def test_it_counts_what_was_spent_before_there_was_a_budget(limits, tenants, spending):
    spending.add(ACME.id, 7 * CALL, key=1)
    spending.add(ACME.id, 2 * CALL, member=2, model="other")
    spending.add(GLOBEX.id, 5 * CALL)
    tenants.swap(tenant_table(ACME.view(money_per_day=10 * CALL)))
    passed, _ = await reserve_many(limits, 5)
    assert len(passed) == 1
    assert await spent(limits) == (9 * CALL, 9 * CALL, CALL)
    assert [(await spent(limits, name))[0] for name in ("k1", "m2", "Mm", "Mother")] == [7 * CALL, 2 * CALL] * 2


async def test_it_counts_all_tenants_for_the_platform(limits, allowances, spending):
    spending.add(ACME.id, 3 * CALL, key=1)
    spending.add(GLOBEX.id, 5 * CALL)
    allowances.swap(AllowanceTable(platform=Quota(month=10 * CALL)))
    passed, _ = await reserve_many(limits, 5)
    assert len(passed) == 2
    assert (await spent(limits, "Mm", tag="platform"))[1] == 8 * CALL


async def test_it_counts_anew_in_the_next_day_and_month_of_the_tenants_own_time_zone(stores, tenants, spending):
    clock = Clock(1_796_054_340.0)  # 2026-11-30 23:59 in Shanghai
    limits = Limits(stores, tenants, spending=spending, calendar=Calendar(clock))
    tenants.swap(tenant_table(ACME.view(money_per_day=CALL, time_zone="Asia/Shanghai")))
    (await reserve(limits)).settle(USED)
    with pytest.raises(BudgetExceeded) as caught:
        await reserve(limits)
    assert caught.value.retry_after == 60
    clock.now += 61
    await reserve(limits)
    limits.close()


async def test_it_adds_up_again_when_the_store_was_emptied(limits, tenants, spending, stores):
    tenants.swap(tenant_table(ACME.view(money_per_month=10 * CALL)))
    calls = [await reserve(limits) for _ in range(4)]
    for call in calls[:3]:
        call.settle(USED)
        spending.add(ACME.id, CALL, member=ALICE.id, model="dear")
    assert await spent(limits) == (3 * CALL, 3 * CALL, CALL)
    await stores.platform().call("FLUSHALL")
    calls[3].settle(USED)  # nobody counts yet: its record does
    limits.purse.depart()
    spending.add(ACME.id, CALL, member=ALICE.id, model="dear")
    passed, refused = await reserve_many(limits, 30)
    assert (len(passed), len(refused)) == (6, 24)
    assert await spent(limits) == (4 * CALL, 4 * CALL, 6 * CALL)


async def test_it_counts_once_what_ends_while_it_is_added_up(limits, tenants, spending, stores):
    tenants.swap(tenant_table(ACME.view(money_per_month=100 * CALL)))
    calls = [await reserve(limits) for _ in range(8)]
    await stores.platform().call("FLUSHALL")
    waiting = asyncio.create_task(reserve(limits))
    for call in calls:
        call.settle(USED)
        limits.purse.depart()
        await asyncio.sleep(0.005)
        spending.add(ACME.id, CALL, member=ALICE.id, model="dear")  # durable a moment later
        await asyncio.sleep(0.02)
    await waiting
    assert await spent(limits) == (8 * CALL, 8 * CALL, CALL)


async def test_it_gives_nothing_back_that_was_set_aside_before_the_store_was_emptied(limits, tenants, stores):
    tenants.swap(tenant_table(ACME.view(money_per_month=10 * CALL)))
    older = await reserve(limits)
    await stores.platform().call("FLUSHALL")
    await reserve(limits)
    older.settle(USED)
    assert (await spent(limits))[2] == CALL


async def test_it_lets_one_of_many_workers_add_up(tenants, valkey_url):
    tenants.swap(tenant_table(ACME.view(money_per_day=100 * CALL)))
    records = RecordedSpending()
    records.add(ACME.id, 90 * CALL)
    records.pause = 0.1
    stores = [Stores([valkey_url], tenants) for _ in range(5)]
    workers = [Limits(each, tenants, spending=records) for each in stores]
    results = await asyncio.gather(*(reserve_many(worker, 20) for worker in workers))
    assert sum(len(passed) for passed, _ in results) == 10
    assert records.reads == 2  # the day and the month
    for worker, each in zip(workers, stores, strict=True):
        worker.close()
        await each.close()


async def test_it_keeps_the_task_however_long_it_reads(limits, tenants, spending, stores, monkeypatch):
    monkeypatch.setattr(rebuilding, "ALIVE", 0.02)
    tenants.swap(tenant_table(ACME.view(money_per_day=10 * CALL)))
    spending.pause = 0.5
    waiting = asyncio.create_task(reserve(limits))
    store = stores.platform()
    while not spending.reads:
        await asyncio.sleep(0.01)
    day = (await store.call("KEYS", "limits:*:day:*"))[0]
    seen = set()
    for _ in range(5):
        seen.add(await store.call("HGET", day, "!bt"))
        await asyncio.sleep(0.05)
    assert len(seen) == 5 and not waiting.done()
    await store.call("HSET", day, "!b", "another")  # which goes on from here
    await asyncio.sleep(0.1)
    await store.call("HDEL", day, "!b")
    await waiting
    assert await spent(limits) == (0, 0, CALL)


async def test_it_refuses_until_it_is_known_again_and_leaves_others_alone(limits, tenants, spending, stores):
    tenants.swap(tenant_table(ACME.view(money_per_day=10 * CALL)))
    (await reserve(limits)).settle(USED)
    await stores.platform().call("FLUSHALL")
    spending.away = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable) as caught:
            await reserve(limits)
        assert caught.value.retry_after == 1.0
    spending.away = False
    spending.add(ACME.id, CALL)
    await asyncio.sleep(1.05)
    await reserve(limits)
    assert (await spent(limits))[0] == CALL


async def test_it_starts_anew_where_nobody_counted_for_a_while(limits, tenants, spending):
    tenants.swap(tenant_table(ACME.view(money_per_day=10 * CALL)))
    (await reserve(limits)).settle(USED)
    spending.add(ACME.id, CALL)
    tenants.swap(tenant_table(ACME.view()))
    (await reserve(limits)).settle(USED)
    spending.add(ACME.id, CALL)
    tenants.swap(tenant_table(ACME.view(money_per_day=10 * CALL)))
    await reserve(limits)
    assert (await spent(limits))[0] == 2 * CALL


@pytest.fixture
def server(tmp_path_factory):
    server = ValkeyServer(tmp_path_factory.mktemp("v"))
    server.start()
    yield server
    server.kill()


async def test_it_adds_up_again_when_the_server_was_replaced(server, tenants, spending):
    tenants.swap(tenant_table(ACME.view(money_per_day=10 * CALL)))
    stores = Stores([server.url], tenants)
    limits = Limits(stores, tenants, spending=spending)
    (await reserve(limits)).settle(USED)
    limits.purse.depart()
    late = await reserve(limits)
    server.kill()
    spending.add(ACME.id, CALL)
    late.settle(USED)
    limits.purse.depart()
    spending.add(ACME.id, CALL)
    await asyncio.sleep(0.05)
    server.start()
    for _ in range(100):
        try:
            await reserve(limits)
            break
        except StoreUnavailable:
            await asyncio.sleep(0.1)
    limits.purse.depart()
    await asyncio.sleep(0.05)
    assert (await spent(limits))[0] == 2 * CALL
    limits.close()
    await stores.close()


async def test_it_adds_up_again_when_a_worker_died_with_calls_under_way(stores, tenants, spending):
    clock = Clock(1_796_000_000.0)
    limits = Limits(stores, tenants, spending=spending, calendar=Calendar(clock))
    tenants.swap(tenant_table(ACME.view(money_per_month=10 * CALL)))
    await reserve(limits)
    spending.add(ACME.id, 1234, model="dear")  # what its aborted call had produced, found on record
    clock.now += 2000
    call = await limits.reserve(ALICE.principal, DEAR, 1, 1, model="dear")
    assert (await spent(limits))[2] == 40
    await asyncio.sleep(0.6)
    assert (await spent(limits))[:2] == (1234, 1234)
    call.settle(Usage())
    limits.close()
