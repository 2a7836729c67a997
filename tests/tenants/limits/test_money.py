from __future__ import annotations

import asyncio

import pytest

from engine.errors import BudgetExceeded, StoreUnavailable
from engine.pricing import UNIT
from engine.types import Instance, Usage
from tenants.isolation import Stores
from tenants.limits import Limits
from tenants.limits.quotas import AllowanceTable, Quota
from tests.cast import ACME, ALICE, BOB, CHARLIE, tenant_table

DEAR = Instance(id=1, name="dear", price_in=10.0, price_out=30.0)
FREE = Instance(id=2, name="free")
CHEAP = Instance(id=3, name="cheap", price_in=1.0, price_out=1.0)
CALL = 100 * 10 + 100 * 30  # what a call of 100 tokens in and 100 out costs at the dear one
USED = Usage(prompt_tokens=100, completion_tokens=100)


async def reserve(limits, person=ALICE, instance=DEAR, prompt=100, answer=100, **more):
    principal = more.pop("principal", person.principal)
    return await limits.reserve(principal, instance, prompt, answer, model=instance.name, **more)


async def reserve_many(limits, count, **more):
    found = await asyncio.gather(*(reserve(limits, **more) for _ in range(count)), return_exceptions=True)
    refused = [each for each in found if isinstance(each, BudgetExceeded)]
    passed = [each for each in found if not isinstance(each, BaseException)]
    assert len(passed) + len(refused) == count, [each for each in found if each not in passed and each not in refused]
    return passed, refused


async def told(*workers):
    """Returns when the store has heard of all these have charged, and they of all they had asked for."""
    async with asyncio.timeout(30):
        while any(each.purse.waits or not each.store.idle for each in workers):
            for each in workers:
                each.purse.depart()
                await each.store.call("PING")


async def spent(limits, name="t", tag=str(ACME.id)):
    """What the day's and the month's counts say, and what is set aside."""
    limits.purse.depart()
    store, scope = limits.store, _scope(limits, tag)
    day, month, held = limits.purse.keys(scope)
    kept = await store.call("HGETALL", held)
    aside = sum(int(v) for k, v in zip(kept[::2], kept[1::2], strict=True) if k.endswith(b"/" + name.encode()))
    counts = [int(await store.call("HGET", key, name) or 0) for key in (day, month)]
    return (*counts, aside)


def _scope(limits, tag):
    from tenants.limits.subjects import Scope  # noqa: PLC0415

    return Scope(tag, "UTC", None if tag == "platform" else int(tag), ())


async def test_it_lets_exactly_ten_of_five_hundred_first_calls_pass(limits, tenants, valkey_url, spending):
    tenants.swap(tenant_table(ACME.view(money_per_day=10 * CALL)))
    others = [Stores([valkey_url], tenants) for _ in range(3)]
    workers = [limits, *(Limits(each, tenants, spending=spending) for each in others)]
    results = await asyncio.gather(*(reserve_many(worker, 125) for worker in workers))
    passed = [each for found, _ in results for each in found]
    assert len(passed) == 10
    assert await spent(limits) == (0, 0, 10 * CALL)
    for each in passed:
        each.settle(USED)
        each.settle(Usage())
    await told(*workers)
    assert await spent(limits) == (10 * CALL, 10 * CALL, 0)
    refused = [error for _, errors in results for error in errors]
    assert all(0 < error.retry_after <= 86_400 for error in refused) and not refused[0].retryable
    for worker, each in zip(workers[1:], others, strict=True):
        worker.close()
        await each.close()


async def test_it_charges_what_was_used_and_gives_the_rest_back(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_month=2 * CALL)))
    first = await reserve(limits)
    first.settle(Usage(prompt_tokens=100, completion_tokens=10))
    second = await reserve(limits)
    second.settle(Usage())
    assert await spent(limits) == (1300, 1300, 0)
    (passed, refused) = await reserve_many(limits, 3)
    assert (len(passed), len(refused)) == (1, 2)


async def test_it_makes_room_at_once_for_who_comes_after_a_call_that_ended(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_day=CALL)))
    for _ in range(20):
        call = await reserve(limits)
        call.settle(Usage())


async def test_it_takes_a_cancelled_reservation_back(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_day=CALL)))
    await reserve(limits, instance=FREE)
    task = asyncio.create_task(reserve(limits))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await limits.store.call("PING")
    assert await spent(limits) == (0, 0, 0)


async def test_it_counts_by_key_member_and_model(limits, tenants, allowances):
    budget = Quota(day=CALL)
    allowances.swap(
        AllowanceTable(
            keys={ALICE.id: budget},
            members={BOB.id: budget},
            models={(ACME.id, "cheap"): Quota(month=150)},
            spenders=frozenset({ACME.id}),
        )
    )
    first = await reserve(limits, principal=ALICE.key_principal)
    with pytest.raises(BudgetExceeded, match=r"This key may spend 0\.004 a day\."):
        await reserve(limits, principal=ALICE.key_principal)
    first.settle(USED)
    await reserve(limits, BOB)
    with pytest.raises(BudgetExceeded, match="This member"):
        await reserve(limits, BOB)
    await reserve(limits, ALICE, CHEAP, answer=50)
    with pytest.raises(BudgetExceeded, match="This model"):
        await reserve(limits, ALICE, CHEAP, answer=50)
    passed, _ = await reserve_many(limits, 20, person=CHARLIE)
    assert len(passed) == 20
    assert await spent(limits) == (CALL, CALL, 0)
    assert await spent(limits, f"k{ALICE.id}") == (CALL, CALL, 0)
    assert await spent(limits, "Mdear") == (CALL, CALL, 0)


async def test_it_says_that_a_call_is_larger_than_the_whole_budget(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_day=CALL - 1)))
    with pytest.raises(BudgetExceeded, match=r"may cost 0\.004; this tenant may spend 0\.003999 a day\.") as caught:
        await reserve(limits)
    assert caught.value.retry_after is None and caught.value.limit == "day"


async def test_it_lets_what_costs_nothing_pass_a_budget_that_is_used_up(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_day=0)))
    with pytest.raises(BudgetExceeded):
        await reserve(limits)
    (await reserve(limits, instance=FREE)).settle(USED)


async def test_it_says_what_there_is_room_for_where_a_cheaper_model_may_answer(limits, tenants, allowances):
    tenants.swap(tenant_table(ACME.view(money_per_day=CALL, cheaper=True)))
    (await reserve(limits)).settle(Usage(prompt_tokens=100, completion_tokens=90))
    with pytest.raises(BudgetExceeded) as caught:
        await reserve(limits)
    affords = caught.value.affords
    assert affords(CHEAP) and affords(FREE) and not affords(DEAR)
    allowances.swap(AllowanceTable(keys={ALICE.id: Quota(day=0, cheaper=False)}, spenders=frozenset({ACME.id})))
    with pytest.raises(BudgetExceeded) as caught:
        await reserve(limits, principal=ALICE.key_principal)
    assert caught.value.affords is None


async def test_it_takes_more_while_an_answer_grows_until_nothing_is_left(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_day=1000 + 30 * 1000)))
    call = await limits.reserve(ALICE.principal, DEAR, 100, None, model="dear")
    assert call.room == 256
    rooms = []
    while await call.extend():
        rooms.append(call.room)
    assert rooms == [512, 1000]
    call.settle(Usage(prompt_tokens=100, completion_tokens=1003))
    assert await spent(limits) == (1000 + 30 * 1003, 1000 + 30 * 1003, 0)


async def test_it_sets_tokens_aside_for_an_answer_that_grows_and_never_cuts_it(limits, tenants):
    tenants.swap(tenant_table(ACME.view(tokens_per_minute=1000)))
    call = await limits.reserve(ALICE.principal, DEAR, 100, None, model="dear")
    assert call.window.limit == 1000 and call.window.remaining == 644
    for _ in range(5):
        assert await call.extend()
    call.settle(Usage(prompt_tokens=100, completion_tokens=50))
    again = await limits.reserve(ALICE.principal, DEAR, 1, 1, model="dear")
    assert 847 <= again.window.remaining <= 850


async def test_it_asks_for_every_answer_that_is_wanted(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_day=1000 + 5 * 3000)))
    await reserve(limits, choices=5)
    with pytest.raises(BudgetExceeded):
        await reserve(limits, instance=CHEAP, prompt=1, answer=1)


async def test_it_bounds_all_tenants_by_the_platforms_budget_and_gives_back_where_that_refuses(
    limits, tenants, allowances
):
    allowances.swap(AllowanceTable(platform=Quota(day=2 * CALL), shared={"cheap": Quota(turns=1)}))
    tenants.swap(tenant_table(ACME.view(money_per_day=100 * CALL)))
    one, two = await reserve(limits), await reserve(limits, CHARLIE)
    for person in (ALICE, CHARLIE):
        with pytest.raises(BudgetExceeded, match="The platform may spend"):
            await reserve(limits, person)
    assert await spent(limits) == (0, 0, CALL)
    one.settle(USED)
    two.settle(Usage())
    assert await spent(limits) == (CALL, CALL, 0)
    assert await spent(limits, tag="platform") == (CALL, CALL, 0)
    await reserve(limits, CHARLIE, CHEAP)


async def test_it_survives_absurd_usage_and_prices(limits, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_month=10**14)))
    mad = Instance(id=9, name="mad", price_in=1e12, price_out=1e12)
    with pytest.raises(BudgetExceeded):
        for _ in range(5):
            call = await limits.reserve(ALICE.principal, mad, 10, 1, model="mad")
            call.settle(Usage(prompt_tokens=10**40, completion_tokens=-5))
            limits.purse.depart()
    assert (await spent(limits))[0] <= 5 * 10**14


async def test_it_refuses_money_where_nobody_can_say_what_was_spent(limits, tenants, spending):
    spending.away = True
    tenants.swap(tenant_table(ACME.view(money_per_day=100 * CALL, tokens_per_minute=1000)))
    with pytest.raises(StoreUnavailable) as caught:
        await reserve(limits)
    assert caught.value.retry_after == 1.0
    call = await limits.reserve(CHARLIE.principal, DEAR, 1, 1, model="dear")
    call.settle(USED)
    spending.away = False
    await asyncio.sleep(1.1)
    await reserve(limits)


def test_it_writes_money_as_people_do():
    from tenants.limits.money import money  # noqa: PLC0415

    assert [money(n) for n in (0, 1, 1_500_000, 10 * UNIT, 123_456_789)] == ["0", "0.000001", "1.5", "10", "123.456789"]
