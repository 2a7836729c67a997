"""Leases against a real store and real time."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.errors import BudgetExceeded, StoreUnavailable
from engine.types import Usage
from tenants.isolation import Stores
from tenants.limits import Limits, leases, waiting
from tenants.limits.quotas import AllowanceTable, Quota
from tenants.limits.turn_scripts import LEASE_MS
from tests.cast import ACME, ALICE, tenant_table
from tests.services.valkey import ValkeyServer
from tests.tenants.limits.test_limiter import INSTANCE, REQUEST, admit_many
from tests.tenants.limits.test_money import CALL, DEAR, USED, spent, told
from tests.tenants.test_valkey import until

PREFIX = f"limits:{{{ACME.id}}}:"


@pytest.fixture
def patient(monkeypatch):
    """Who waits for what others hold waits so long that it is back on a slow machine too, where all workers of a test
    share one loop."""
    monkeypatch.setattr(waiting, "RETURNED_MS", 700)


@pytest.fixture
def late(monkeypatch):
    """How late each tick of a lease was, in seconds. One that is later than the store reckons with has nothing back by
    the time another worker asks again."""
    found = [0.0]
    later = leases.Leases.later

    def timed(self, seconds, what):
        due = self.clock() + seconds

        def tick():
            found.append(self.clock() - due)
            what()

        return later(self, seconds, tick)

    monkeypatch.setattr(leases.Leases, "later", timed)
    return found


@pytest.fixture
async def workers(valkey_url, tenants, allowances, spending):
    stores = [Stores([valkey_url], tenants) for _ in range(3)]
    workers = [Limits(each, tenants, allowances, spending=spending) for each in stores]
    yield workers
    for worker, each in zip(workers, stores, strict=True):
        worker.close()
        await each.close()


async def warm(limits, prefix, rounds=3):
    """Turns enough for a lease; how many."""
    for number in range(rounds):
        passed, refused = await admit_many(limits, 20, prefix=f"{prefix}-{number}-")
        assert not refused
        for each in passed:
            each.release()
        for each in [await limits.reserve(ALICE.principal, INSTANCE, 0, 10) for _ in range(5)]:
            each.settle(Usage(completion_tokens=10))
        await limits.store.call("PING")
    return 20 * rounds


async def lent(limits):
    """A turn that asked nobody, and how many were let pass until there was one. Its portion may be over already where
    the machine is busy."""
    for number in range(100):
        admission = await limits.admit(ALICE.principal, REQUEST, f"lent{number}")
        if not (admission._logs or admission._taken):
            return admission, number * 21 + 1
        admission.release()
        await admit_many(limits, 20, prefix=f"before{number}-")
    raise AssertionError("nothing is ever lent")


async def test_a_worker_under_traffic_asks_nobody(limits, tenants):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10_000, concurrent_turns=500, tokens_per_minute=10**6)))
    await warm(limits, "t")
    admission, used = await lent(limits)
    assert 9_000 < admission.window.remaining <= 10_000 - used and 50 < admission.window.reset <= 61
    following, _ = await lent(limits)
    assert following.window.remaining < admission.window.remaining


async def test_who_is_idle_has_given_back_all_it_did_not_use(limits, tenants, stores, monkeypatch):
    monkeypatch.setattr(leases, "LIFE", 30.0)  # what is given back later than that is left to the refill
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10_000, concurrent_turns=500, tokens_per_minute=10**6)))
    used = await warm(limits, "t")
    kept, more = await lent(limits)
    used += more
    store = stores.platform()
    await until(lambda: not limits.leases._held and store.idle)
    await store.call("PING")
    assert await store.call("LLEN", f"{PREFIX}requests") == used
    assert await store.call("ZCARD", f"{PREFIX}turns") == limits.slots.held == 1
    assert float(await store.call("HGET", f"{PREFIX}tokens", "level")) > 10**6 - 5_000
    kept.release()
    async with asyncio.timeout(30):
        while await store.call("ZCARD", f"{PREFIX}turns"):
            await asyncio.sleep(0.01)


async def test_exactly_as_many_pass_as_there_is_room_for_however_it_was_lent(workers, tenants, patient, late):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=2_000)))
    used = sum(await asyncio.gather(*(warm(each, f"w{place}") for place, each in enumerate(workers))))
    first, _ = await admit_many(workers[0], 2_500, prefix="first")
    rest = await asyncio.gather(*(admit_many(each, 100, prefix="rest") for each in workers))
    assert len(first) + sum(len(passed) for passed, _ in rest) + used == 2_000
    if max(late) < LEASE_MS / 1000 - leases.TICK:
        assert len(first) >= 1_990 - used  # what others had been lent and not used was waited for


async def test_exactly_as_many_run_as_there_are_slots_however_they_were_lent(workers, tenants, patient):
    tenants.swap(tenant_table(ACME.view(concurrent_turns=300)))
    await asyncio.gather(*(warm(each, f"w{place}") for place, each in enumerate(workers)))
    passed, _ = await admit_many(workers[0], 400, prefix="all")
    assert len(passed) == 300
    more, _ = await admit_many(workers[1], 5, prefix="more")
    assert not more
    for each in passed[:4]:
        each.release()
    async with asyncio.timeout(30):
        while await workers[1].store.call("ZCARD", f"{PREFIX}turns") != 296:
            await asyncio.sleep(0.01)
    assert len((await admit_many(workers[1], 5, prefix="last"))[0]) == 4


async def test_no_more_tokens_pass_than_there_are_however_they_were_lent(workers, tenants):
    limit = 600_000
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=limit, requests_per_minute=100_000)))
    await asyncio.gather(*(warm(each, f"w{place}") for place, each in enumerate(workers)))
    began = time.monotonic()
    asked = (workers[n % 3].reserve(ALICE.principal, INSTANCE, 0, 1_000) for n in range(900))
    found = await asyncio.gather(*asked, return_exceptions=True)
    taken = 1_000 * sum(not isinstance(each, BaseException) for each in found)
    assert taken + 450 <= limit + 1_450 + (time.monotonic() - began) * limit / 60
    assert taken > 0.75 * limit  # what is given back half a second late, on a busy machine, is left to the refill


async def test_a_limit_that_was_lowered_holds_at_once(limits, tenants):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10_000)))
    used = await warm(limits, "t")
    tenants.swap(tenant_table(ACME.view(requests_per_minute=used + 200)))
    assert len((await admit_many(limits, 500, prefix="more"))[0]) == 200


async def test_the_platforms_limits_are_lent_as_well_and_one_that_is_near_its_end_holds(limits, tenants, allowances):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10_000)))
    allowances.swap(AllowanceTable(platform=Quota(requests=1_000)))
    used = await warm(limits, "t") + (await lent(limits))[1]
    assert len((await admit_many(limits, 1_500, prefix="more"))[0]) == 1_000 - used
    await limits.store.call("PING")
    await until(lambda: not limits.leases._held)
    await limits.store.call("PING")
    assert await limits.store.call("LLEN", f"{PREFIX}requests") == 1_000


async def test_a_worker_that_dies_leaves_its_slots_to_their_deadline_and_no_more(stores, tenants):
    tenants.swap(tenant_table(ACME.view(concurrent_turns=200)))
    living, dead = Limits(stores, tenants, lease=2.0), Limits(stores, tenants, lease=2.0)
    await lent(dead)
    lost = dead.slots.held
    for lease in dead.leases._held:
        lease._timer.cancel()
    dead.slots._renewal.cancel()
    assert len((await admit_many(living, 300, prefix="a"))[0]) == 200 - lost
    await asyncio.sleep(2.1)
    assert len((await admit_many(living, 300, prefix="b"))[0]) == lost
    living.close()


@pytest.fixture
async def own(tmp_path_factory, tenants):
    """(limits, server): one this test may kill."""
    server = ValkeyServer(tmp_path_factory.mktemp("v"))
    server.start()
    stores = Stores([server.url], tenants)
    limits = Limits(stores, tenants)
    yield limits, server
    limits.close()
    server.kill()
    await stores.close()


async def test_a_store_that_is_away_is_noticed_when_the_portion_is_over(own, tenants):
    limits, server = own
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10_000, concurrent_turns=500)))
    await warm(limits, "t")
    server.kill()
    began, passed = time.monotonic(), 0
    with pytest.raises(StoreUnavailable):
        while True:
            (await limits.admit(ALICE.principal, REQUEST, f"k{passed}")).release()
            passed += 1
            await asyncio.sleep(0.001)
    assert time.monotonic() - began < 30 and limits.slots.held == 0
    server.start()
    await until(lambda: not limits.store.connected)
    for _ in range(200):
        try:
            await warm(limits, "again", rounds=1)
            break
        except (StoreUnavailable, AssertionError):
            await asyncio.sleep(0.02)
    await lent(limits)


async def test_slots_the_store_has_lost_are_taken_anew(limits, tenants, stores):
    tenants.swap(tenant_table(ACME.view(concurrent_turns=300)))
    await warm(limits, "t")
    await stores.platform().call("FLUSHALL")
    await asyncio.sleep(0.3)
    await warm(limits, "later")
    passed, _ = await admit_many(limits, 400, prefix="all")
    assert len(passed) == 300
    assert await stores.platform().call("ZCARD", f"{PREFIX}turns") == 300


async def pay(limits, count):
    calls = (limits.reserve(ALICE.principal, DEAR, 100, 100, model="dear") for _ in range(count))
    found = await asyncio.gather(*calls, return_exceptions=True)
    return [each for each in found if not isinstance(each, BudgetExceeded)]


async def leave(workers):
    for worker in workers:
        worker.leases.close()
    await told(*workers)


async def test_money_is_lent_and_never_more_than_there_is_and_all_of_it_is_spent(workers, tenants, patient):
    tenants.swap(tenant_table(ACME.view(money_per_day=2_000 * CALL)))
    shares = 0
    for _ in range(4):
        for worker in workers:
            for each in await pay(worker, 20):
                shares += not each._taken[0].number  # the store was not asked
                each.settle(USED)
            await worker.store.call("PING")
    assert shares
    paid = [await pay(worker, 1_500) for worker in workers]
    assert sum(map(len, paid)) == 2_000 - 240
    for each in sum(paid, []):
        each.settle(USED)
    await leave(workers)
    assert await spent(workers[0]) == (2_000 * CALL, 2_000 * CALL, 0)


async def test_money_that_is_not_used_goes_back(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_month=10_000 * CALL)))
    for _ in range(3):
        for each in await pay(limits, 20):
            each.settle(USED)
        await limits.store.call("PING")
    await until(lambda: not limits.leases._held)
    await told(limits)
    assert await spent(limits) == (60 * CALL, 60 * CALL, 0)


async def test_money_is_good_for_nothing_in_another_day(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_day=10_000 * CALL)))
    lent, now = [], limits.calendar._clock
    while not lent:
        lent = [each for each in await pay(limits, 20) if not each._taken[0].number]
        await limits.store.call("PING")
    share = limits.subjects.of_call(ALICE.principal, limits.view(ACME.id), "dear").call_share
    limits.calendar._clock = lambda: now() + 86_400
    assert not share.cash.ready(1, limits._clock())
