from __future__ import annotations

import asyncio
import time

import pytest

from engine.errors import RateLimited, StoreUnavailable, TenantSuspended
from engine.types import ChatRequest, Instance, Message, Usage
from tenants.isolation import Stores
from tenants.limits import Limits
from tests.cast import ACME, ALICE, BOB, CHARLIE, tenant_table
from tests.services.valkey import ValkeyServer

REQUEST = ChatRequest(messages=[Message("user", "hello")])
INSTANCE = Instance(id=1, name="m")


async def admit_many(limits, count, person=ALICE, prefix="turn"):
    admits = (limits.admit(person.principal, REQUEST, f"{prefix}{number}") for number in range(count))
    results = await asyncio.gather(*admits, return_exceptions=True)
    refused = [result for result in results if isinstance(result, RateLimited)]
    passed = [result for result in results if not isinstance(result, BaseException)]
    assert len(refused) + len(passed) == count
    return passed, refused


async def test_it_lets_exactly_ten_of_a_hundred_pass(limits, tenants):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10)))
    passed, refused = await admit_many(limits, 100)
    assert len(passed) == 10
    assert all(59 < error.retry_after <= 60 for error in refused)


async def test_it_counts_over_all_workers_and_users_of_a_tenant(limits, tenants, valkey_url):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10)))
    other_stores = Stores([valkey_url], tenants)
    other = Limits(other_stores, tenants)
    (here, _), (there, _) = await asyncio.gather(
        admit_many(limits, 50), admit_many(other, 50, person=BOB, prefix="other")
    )
    assert len(here) + len(there) == 10
    passed, _ = await admit_many(limits, 50, person=CHARLIE)
    assert len(passed) == 50
    await other_stores.close()


async def test_it_lets_the_next_pass_when_the_oldest_is_a_minute_old(limits, tenants, stores):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=3)))
    await admit_many(limits, 3)
    seconds, micros = await stores.platform().call("TIME")
    now = int(seconds) * 1000 + int(micros) // 1000
    key = f"limits:{{{ACME.id}}}:requests"
    await stores.platform().call("LSET", key, 0, now - 60_000)
    await stores.platform().call("LSET", key, 1, now - 20_000)
    passed, refused = await admit_many(limits, 5)
    assert len(passed) == 1
    assert all(39 < error.retry_after <= 40 for error in refused)


async def test_it_follows_a_changed_limit(limits, tenants):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=5)))
    assert len((await admit_many(limits, 10))[0]) == 5
    tenants.swap(tenant_table(ACME.view(requests_per_minute=8)))
    assert len((await admit_many(limits, 10))[0]) == 3
    tenants.swap(tenant_table(ACME.view(requests_per_minute=2)))
    assert len((await admit_many(limits, 10))[0]) == 0
    tenants.swap(tenant_table(ACME.view(requests_per_minute=0)))
    assert len((await admit_many(limits, 10))[0]) == 0


async def test_it_bounds_turns_at_the_same_time(limits, tenants):
    tenants.swap(tenant_table(ACME.view(concurrent_turns=4)))
    passed, refused = await admit_many(limits, 40)
    assert len(passed) == 4
    assert all(error.retry_after > 0 for error in refused)
    passed[0].release()
    passed[0].release()
    assert len((await admit_many(limits, 10, prefix="more"))[0]) == 1


async def test_it_counts_no_request_that_found_no_slot(limits, tenants):
    tenants.swap(tenant_table(ACME.view(concurrent_turns=1, requests_per_minute=3)))
    passed, _ = await admit_many(limits, 10)
    assert len(passed) == 1
    passed[0].release()
    assert len((await admit_many(limits, 1, prefix="second"))[0]) == 1


async def test_it_gets_the_slots_of_a_dead_worker_back_and_keeps_those_of_a_living_one(stores, tenants):
    tenants.swap(tenant_table(ACME.view(concurrent_turns=2)))
    living, dead = Limits(stores, tenants, lease=0.3), Limits(stores, tenants, lease=0.3)
    await living.admit(ALICE.principal, REQUEST, "living")
    await dead.admit(ALICE.principal, REQUEST, "dead")
    dead.close()
    await asyncio.sleep(0.7)
    assert len((await admit_many(living, 5, prefix="later"))[0]) == 1
    living.close()


async def test_it_takes_a_cancelled_admission_back(limits, tenants, stores):
    tenants.swap(tenant_table(ACME.view(concurrent_turns=2)))
    await stores.platform().call("PING")
    tasks = [asyncio.create_task(limits.admit(ALICE.principal, REQUEST, f"t{number}")) for number in range(2)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)
    assert len((await admit_many(limits, 5, prefix="next"))[0]) == 2


async def test_it_reserves_tokens_and_settles_what_was_used(limits, tenants):
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=1000)))
    first = await limits.reserve(ALICE.principal, INSTANCE, 100, 700)
    with pytest.raises(RateLimited) as caught:
        await limits.reserve(ALICE.principal, INSTANCE, 100, 400)
    assert 16 < caught.value.retry_after <= 18 and caught.value.limit == "tokens"
    first.settle(Usage(prompt_tokens=100, completion_tokens=100))
    first.settle(Usage())
    second = await limits.reserve(ALICE.principal, INSTANCE, 100, 650)
    second.settle(Usage())
    await limits.reserve(ALICE.principal, INSTANCE, 100, 650)


async def test_it_lets_exactly_as_many_tokens_pass_as_there_are(limits, tenants):
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=1000)))
    reserves = (limits.reserve(ALICE.principal, INSTANCE, 50, 50) for _ in range(100))
    results = await asyncio.gather(*reserves, return_exceptions=True)
    assert sum(not isinstance(result, RateLimited) for result in results) == 10


async def test_it_lets_a_turn_larger_than_the_limit_pass_alone_and_in_debt(limits, tenants):
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=1000)))
    await limits.reserve(ALICE.principal, INSTANCE, 1500, 500)
    with pytest.raises(RateLimited) as caught:
        await limits.reserve(ALICE.principal, INSTANCE, 1, 1)
    assert 59 < caught.value.retry_after <= 61


async def test_it_bounds_what_a_single_turn_reserves_so_that_a_dead_worker_leaves_little(limits, tenants, stores):
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=1000)))
    await limits.reserve(ALICE.principal, INSTANCE, 10, 2**31 - 1)
    with pytest.raises(RateLimited) as caught:
        await limits.reserve(ALICE.principal, INSTANCE, 0, 2**31 - 1)
    assert 119 < caught.value.retry_after <= 120
    await _grow_older(stores.platform(), 61)
    await limits.reserve(BOB.principal, INSTANCE, 1, 1)
    await _grow_older(stores.platform(), 60)
    await limits.reserve(BOB.principal, INSTANCE, 900, 90)


async def _grow_older(store, seconds):
    """As if the bucket had last been touched that much earlier."""
    key = f"limits:{{{ACME.id}}}:tokens"
    await store.call("HINCRBY", key, "at", -1000 * seconds)


async def test_it_charges_in_full_what_a_turn_used_beyond_its_reservation(limits, tenants):
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=1000)))
    turn = await limits.reserve(ALICE.principal, INSTANCE, 0, 5000)
    turn.settle(Usage(completion_tokens=5000))
    with pytest.raises(RateLimited) as caught:
        await limits.reserve(ALICE.principal, INSTANCE, 0, 1000)
    assert 299 < caught.value.retry_after <= 300


async def test_it_expects_no_longer_answer_than_the_instance_can_give(limits, tenants, stores):
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=1_000_000)))
    small = Instance(id=2, name="s", context_window=8_000)
    await limits.reserve(ALICE.principal, small, 100, 2**31 - 1)
    assert 991_900 <= await _level(stores.platform()) < 992_900
    await limits.reserve(ALICE.principal, INSTANCE, 100, 2**31 - 1)
    assert await _level(stores.platform()) > 900_000


async def test_it_survives_a_model_that_reports_an_absurd_usage(limits, tenants, stores):
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=1000)))
    turn = await limits.reserve(ALICE.principal, INSTANCE, 100, 100)
    turn.settle(Usage(completion_tokens=10**30))
    with pytest.raises(RateLimited):
        await limits.reserve(ALICE.principal, INSTANCE, 1, 1)
    assert await _level(stores.platform()) > -10_000_000


async def test_it_asks_nobody_for_an_unlimited_tenant(tenants, tmp_path):
    away = Stores([f"unix://{tmp_path}/nobody.sock"], tenants)
    limits = Limits(away, tenants)
    admission = await limits.admit(ALICE.principal, REQUEST, "turn")
    reservation = await limits.reserve(ALICE.principal, INSTANCE, 10, None)
    admission.release()
    reservation.settle(Usage())
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10, tokens_per_minute=10, concurrent_turns=1)))
    with pytest.raises(StoreUnavailable):
        await limits.admit(ALICE.principal, REQUEST, "turn")
    with pytest.raises(StoreUnavailable):
        await limits.reserve(ALICE.principal, INSTANCE, 10, None)
    assert not limits.slots.held
    await limits.admit(CHARLIE.principal, REQUEST, "turn")
    await away.close()


async def test_it_knows_no_tenant_that_is_gone(limits, tenants):
    tenants.swap(tenants.value.__class__())
    with pytest.raises(TenantSuspended):
        await limits.admit(ALICE.principal, REQUEST, "turn")


async def test_it_gives_back_though_no_other_turn_comes(limits, tenants, stores):
    tenants.swap(tenant_table(ACME.view(concurrent_turns=2, tokens_per_minute=1000)))
    began = time.monotonic()
    admission = await limits.admit(ALICE.principal, REQUEST, "turn")
    reservation = await limits.reserve(ALICE.principal, INSTANCE, 100, 800)
    reservation.settle(Usage(prompt_tokens=10, completion_tokens=10))
    admission.release()
    store, kept = stores.platform(), []
    for _ in range(1_000):
        await asyncio.sleep(0.01)
        kept = [await store.call("ZCARD", f"limits:{{{ACME.id}}}:turns"), await _level(store)]
        if kept[0] == 0 and kept[1] > 900:
            break
    assert kept[0] == 0
    assert 975 < kept[1] < 985 + (time.monotonic() - began) * 1000 / 60  # what came in meanwhile


async def _level(store):
    return float(await store.call("HGET", f"limits:{{{ACME.id}}}:tokens", "level"))


async def test_it_settles_even_where_the_next_turn_is_refused(limits, tenants):
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=1000)))
    first = await limits.reserve(ALICE.principal, INSTANCE, 0, 1000)
    first.settle(Usage(completion_tokens=500))
    with pytest.raises(RateLimited):
        await limits.reserve(ALICE.principal, INSTANCE, 0, 600)
    await limits.reserve(ALICE.principal, INSTANCE, 0, 450)


@pytest.fixture
async def own(tmp_path_factory, tenants):
    """(limits, server): one this test may pause and kill."""
    server = ValkeyServer(tmp_path_factory.mktemp("v"))
    server.start()
    stores = Stores([server.url], tenants)
    limits = Limits(stores, tenants)
    yield limits, stores, server
    limits.close()
    server.kill()
    await stores.close()


async def test_it_gives_back_later_what_the_store_did_not_hear(own, tenants):
    tenants.swap(tenant_table(ACME.view(concurrent_turns=1, tokens_per_minute=1000)))
    limits, stores, server = own
    admission = await limits.admit(ALICE.principal, REQUEST, "first")
    reservation = await limits.reserve(ALICE.principal, INSTANCE, 0, 1000)
    await stores.platform().call("CONFIG", "SET", "min-replicas-to-write", 1)  # no script that writes is run
    admission.release()
    with pytest.raises(StoreUnavailable):
        await limits.admit(ALICE.principal, REQUEST, "second")
    reservation.settle(Usage())
    with pytest.raises(StoreUnavailable):
        await limits.reserve(ALICE.principal, INSTANCE, 0, 1000)
    await stores.platform().call("CONFIG", "SET", "min-replicas-to-write", 0)
    await limits.admit(ALICE.principal, REQUEST, "third")
    await limits.reserve(ALICE.principal, INSTANCE, 0, 950)


async def test_it_gives_back_later_what_left_by_itself_in_vain(own, tenants):
    tenants.swap(tenant_table(ACME.view(concurrent_turns=1, tokens_per_minute=1000)))
    limits, stores, server = own
    admission = await limits.admit(ALICE.principal, REQUEST, "first")
    reservation = await limits.reserve(ALICE.principal, INSTANCE, 0, 1000)
    await stores.platform().call("CONFIG", "SET", "min-replicas-to-write", 1)
    admission.release()
    reservation.settle(Usage())
    await asyncio.sleep(0.02)
    await stores.platform().call("CONFIG", "SET", "min-replicas-to-write", 0)
    await limits.admit(ALICE.principal, REQUEST, "third")
    await limits.reserve(ALICE.principal, INSTANCE, 0, 950)


async def _cancelled(limits, amount):
    """A reservation whose turn ends while the store is asked."""
    task = asyncio.create_task(limits.reserve(ALICE.principal, INSTANCE, 0, amount))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_takes_a_cancelled_reservation_back(limits, tenants, stores):
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=1000)))
    await _cancelled(limits, 900)
    await stores.platform().call("PING")
    await limits.reserve(ALICE.principal, INSTANCE, 0, 950)


async def test_it_refunds_no_cancelled_reservation_that_found_the_bucket_empty(limits, tenants, stores):
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=1000)))
    await limits.reserve(ALICE.principal, INSTANCE, 0, 900)
    await _cancelled(limits, 800)
    await stores.platform().call("PING")
    with pytest.raises(RateLimited):
        await limits.reserve(ALICE.principal, INSTANCE, 0, 800)
