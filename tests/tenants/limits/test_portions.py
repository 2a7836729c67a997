"""Portions in corners: what comes too late, what is not asked for any more, what the store has lost."""

from __future__ import annotations

import asyncio

import pytest

from engine.errors import BudgetExceeded, RateLimited
from engine.types import Usage
from tenants.limits import Limits, portions, scripts, waiting
from tenants.limits.quotas import AllowanceTable, Quota
from tenants.limits.subjects import REMEMBERED
from tests.cast import ACME, ALICE, tenant_table
from tests.tenants.limits.test_leases import PREFIX, lent, pay, warm
from tests.tenants.limits.test_limiter import INSTANCE, REQUEST, admit_many
from tests.tenants.limits.test_money import CALL, DEAR, USED, spent
from tests.tenants.test_valkey import until

TAG = str(ACME.id)


async def asking(limits, turns):
    """(The turns that are under way, the lease that is asking for them)."""
    tasks = [asyncio.ensure_future(each) for each in turns]
    await asyncio.sleep(0)
    lease = limits.leases._known[TAG]
    assert lease._asking
    return tasks, lease


def turns(limits, count=20):
    return [limits.admit(ALICE.principal, REQUEST, f"turn{number}") for number in range(count)]


async def test_slots_that_come_when_they_are_not_wanted_any_more_go_back(limits, tenants):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10_000, concurrent_turns=500)))
    under_way, lease = await asking(limits, turns(limits))
    for places in lease.slots.values():
        places.used = 0
    lease._drop_idle()
    assert lease.logs and not lease.slots
    for each in await asyncio.gather(*under_way):
        each.release()
    async with asyncio.timeout(30):
        while limits.slots.held or await limits.store.call("ZCARD", f"{PREFIX}turns"):
            await asyncio.sleep(0.01)


async def test_requests_that_come_when_another_traffic_has_begun_go_back(limits, tenants):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10_000)))
    under_way, lease = await asking(limits, turns(limits))
    lease.end()
    lease._begin()
    await asyncio.gather(*under_way)
    await limits.store.call("PING")
    assert await limits.store.call("LLEN", f"{PREFIX}requests") == 20


async def test_money_that_comes_when_the_lease_is_over_goes_back(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_day=10_000 * CALL)))
    for each in await pay(limits, 1):
        each.settle(USED)
    calls = [limits.reserve(ALICE.principal, DEAR, 100, 100, model="dear") for _ in range(20)]
    under_way, lease = await asking(limits, calls)
    lease.end()
    for each in await asyncio.gather(*under_way):
        each.settle(USED)
    await limits.store.call("PING")
    limits.purse.depart()
    await limits.store.call("PING")
    assert await spent(limits) == (21 * CALL, 21 * CALL, 0)


async def test_a_limit_that_is_lowered_while_more_is_asked_for_holds_at_once(limits, tenants, monkeypatch):
    monkeypatch.setattr(portions, "AHEAD", 100.0)
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10_000)))
    under_way, _ = await asking(limits, turns(limits))
    tenants.swap(tenant_table(ACME.view(requests_per_minute=200)))
    limits._shares(limits.subjects.of_turn(ALICE.principal, limits.view(ACME.id)))
    await asyncio.gather(*under_way)
    assert len((await admit_many(limits, 500, prefix="more"))[0]) == 200 - 20


async def test_what_a_call_used_reaches_its_bucket_though_only_others_go_on(limits, tenants, allowances):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=100_000)))
    allowances.swap(AllowanceTable(models={(ACME.id, "long"): Quota(tokens=10**6)}))
    call = await limits.reserve(ALICE.principal, INSTANCE, 0, 1_000, model="long")
    await warm(limits, "t")
    assert limits.leases._held
    call.settle(Usage(completion_tokens=200_000))
    for number in range(60):
        await admit_many(limits, 20, prefix=f"on{number}-")
        await limits.store.call("PING")
        if float(await limits.store.call("HGET", f"{PREFIX}model:long:tokens", "level")) < 900_000:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the bucket never hears of it")


async def test_slots_that_were_all_in_use_at_a_loss_are_handed_out_no_more(limits, tenants):
    tenants.swap(tenant_table(ACME.view(concurrent_turns=300)))
    await warm(limits, "t")
    await lent(limits)
    (lease,) = limits.leases._held
    places = lease.slots[f"{PREFIX}turns"]
    await limits.store.call("FLUSHALL")
    await until(lambda: not lease._asking)
    used = [places.take() for _ in range(len(places.free))]
    assert used
    lease._ask(limits.leases.clock())
    await limits.store.call("PING")
    for number in used:
        places.put(number)
    for number in places.free:
        assert await limits.store.call("ZSCORE", places.key, limits.leases.id(number)) is not None
    assert not set(used) & set(places.free)


async def test_money_lent_is_good_for_nothing_once_a_charge_finds_the_counts_lost(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_day=10_000 * CALL)))
    paid, share = [], None
    while share is None or not share.cash.rest:
        paid += await pay(limits, 20)
        await limits.store.call("PING")
        share = limits.subjects.of_call(ALICE.principal, limits.view(ACME.id), "dear").call_share
    await limits.store.call("FLUSHALL")
    share.cash.rest, share.cash.until = CALL, limits.leases.clock() + 3600
    paid[0].settle(USED)
    limits.purse.depart()
    await limits.store.call("PING")
    await asyncio.sleep(0)
    assert share.cash.rest == 0 and not share.cash.ready(0, limits.leases.clock())


async def test_an_answer_that_grows_finds_what_a_dead_worker_left_and_has_it_added_up(limits, tenants, spending):
    tenants.swap(tenant_table(ACME.view(money_per_day=10_000 * CALL)))
    (call,) = await pay(limits, 1)
    reads, held = spending.reads, f"{PREFIX}held"
    await limits.store.call("HSET", held, "7/t", 5, "!g", 8)
    assert await call.extend()
    await until(lambda: spending.reads > reads)
    assert await limits.store.call("HGET", held, "7/t") is None


async def test_of_a_flood_of_refusals_most_do_not_wait_and_are_told_when_there_may_be_room(
    limits, tenants, monkeypatch
):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=200)))
    assert len((await admit_many(limits, 200, prefix="room"))[0]) == 200
    monkeypatch.setattr(waiting, "MOST_WAITING", 5)
    now = int((await limits.store.call("TIME"))[0]) * 1000
    await limits.store.call("HSET", f"{PREFIX}marks", f"u{PREFIX}requests", now + 20_000)
    flood = [asyncio.ensure_future(each) for each in turns(limits)]
    await until(lambda: sum(each.done() for each in flood) == 15)
    errors = [each.exception() for each in flood if each.done()]
    assert all(isinstance(each, RateLimited) and each.retry_after < 21 for each in errors)
    for each in flood:
        each.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    assert not limits.leases._line._waiting


async def test_who_is_over_the_limit_is_refused_at_once(limits, tenants, monkeypatch):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=500, concurrent_turns=10_000)))
    await warm(limits, "t")
    await admit_many(limits, 1_000, prefix="all")
    waits = []

    async def wait(line, tag, after):
        waits.append(after)
        return True

    while await limits.store.call("EXISTS", f"{PREFIX}marks"):  # that somebody was refused is forgotten
        await asyncio.sleep(0.1)
    monkeypatch.setattr(waiting.Line, "wait", wait)
    for number in range(5):
        passed, refused = await admit_many(limits, 100, prefix=f"flood{number}-")
        assert not passed and len(refused) == 100
        await asyncio.sleep(0.05)
    assert not waits


async def test_a_call_dearer_than_the_whole_budget_waits_for_nothing(limits, tenants, monkeypatch):
    tenants.swap(tenant_table(ACME.view(money_per_day=2 * CALL)))
    for each in await pay(limits, 1):
        each.settle(USED)
    now = int((await limits.store.call("TIME"))[0]) * 1000
    await limits.store.call("HSET", f"{PREFIX}marks", "ut", now + 60_000)
    with pytest.raises(BudgetExceeded) as refusal:
        await asyncio.wait_for(limits.reserve(ALICE.principal, DEAR, 100_000, 100, model="dear"), 30)
    assert refusal.value.retry_after is None


async def test_a_lease_that_is_held_is_known_however_many_tenants_there_are(limits, tenants):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10_000)))
    under_way, lease = await asking(limits, turns(limits))
    known = limits.leases._known
    known.update({f"other{number}": lease for number in range(REMEMBERED)})
    limits.leases._of(limits.subjects.of_everybody() or type("Scope", (), {"tag": "new"}))
    assert limits.leases._known[TAG] is lease and len(limits.leases._known) == 2
    await asyncio.gather(*under_way)


async def test_what_a_worker_whose_clock_is_ahead_has_set_aside_counts(stores, limits, tenants, spending):
    tenants.swap(tenant_table(ACME.view(money_per_month=3 * CALL)))
    ahead = Limits(stores, tenants, spending=spending)
    now, stretch = limits.calendar._clock, scripts.HOLD_MS / 1000
    noon = now() // 86_400 * 86_400 + 43_200 + stretch / 2
    limits.calendar._clock = lambda: noon
    ahead.calendar._clock = lambda: noon + stretch
    kept = await pay(ahead, 2)
    assert len(kept) == 2 and len(await pay(limits, 5)) == 1
    ahead.close()


async def test_nothing_is_lent_where_the_operator_does_not_want_it(stores, tenants):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=10_000, tokens_per_minute=10**6)))
    limits = Limits(stores, tenants, portions=False)
    await warm(limits, "t")
    assert not limits.leases._known
    assert (await limits.admit(ALICE.principal, REQUEST, "asks"))._logs
    limits.close()
