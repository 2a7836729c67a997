"""Whatever becomes of turns, nothing stays taken: limits of all kinds at once, over workers, with turns cut off."""

from __future__ import annotations

import asyncio
import random

from engine.errors import BudgetExceeded, RateLimited
from tenants.isolation import Stores
from tenants.limits import Limits
from tenants.limits.quotas import AllowanceTable, Quota
from tenants.topology import slot
from tests.cast import ACME, ALICE, tenant_table
from tests.tenants.limits.test_limiter import REQUEST
from tests.tenants.limits.test_money import CALL, DEAR, USED
from tests.tenants.test_valkey import until

MODELS = ("one", "two", "three")
PAID = Quota(requests=2_000, tokens=10**6, turns=400, day=3_000 * CALL)


async def turn(limits, chance, number, paid):
    admission = await limits.admit(ALICE.principal, REQUEST, f"turn{number}")
    try:
        call = await limits.reserve(ALICE.principal, DEAR, 100, 100, model=chance.choice(MODELS))
        try:
            await asyncio.sleep(chance.random() * 0.02)
            if chance.random() < 0.3:
                await call.extend()
        finally:
            call.settle(USED)
            paid.append(number)
    finally:
        admission.release()


def watched(places):
    """The slots of a cluster that each script's keys lie in."""
    slots = []
    for each in places:
        store = each.platform()
        run = store.run

        def ran(script, keys, *arguments, run=run):
            slots.append({slot(key) for key in keys})
            return run(script, keys, *arguments)

        store.run = ran
    return slots


async def test_nothing_stays_taken(valkey_url, tenants, allowances, spending):
    tenants.swap(tenant_table(ACME.view(requests_per_minute=3_000, concurrent_turns=500, money_per_month=5_000 * CALL)))
    models = {(ACME.id, name): PAID for name in MODELS}
    shared = Quota(turns=300, day=4_000 * CALL)
    allowances.swap(AllowanceTable(platform=PAID, members={ALICE.id: PAID}, models=models, shared={"two": shared}))
    places = [Stores([valkey_url], tenants) for _ in range(3)]
    slots = watched(places)
    workers = [Limits(each, tenants, allowances, spending=spending) for each in places]
    chance, paid, tasks = random.Random(3), [], []
    for worker in workers:  # what was spent is known, and most turns find room
        await turn(worker, chance, 0, paid)
    for number in range(1_500):
        tasks.append(asyncio.ensure_future(turn(chance.choice(workers), chance, number, paid)))
        if chance.random() < 0.2:
            asyncio.get_running_loop().call_later(chance.random() * 0.01, tasks[-1].cancel)
        if number % 30 == 0:
            await asyncio.sleep(0.005)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    cut = [each for each in found if each is not None]
    assert all(isinstance(each, asyncio.CancelledError | RateLimited | BudgetExceeded) for each in cut), set(cut)
    for worker in workers:
        await until(lambda worker=worker: not worker.leases._held)
        assert worker.slots.held == 0
        worker.purse.depart()
        await worker.store.call("PING")
    store = workers[0].store
    await asyncio.sleep(0.1)
    for tag in (str(ACME.id), "platform"):
        held = await store.call("HGETALL", f"limits:{{{tag}}}:held")
        assert all(name.startswith(b"!") for name in held[::2]), held
        async for names in store.scan(match=f"limits:{{{tag}}}:*turns"):
            for name in names:
                assert await store.call("ZCARD", name) == 0, name
    month = [name async for names in store.scan(match=f"limits:{{{ACME.id}}}:month:*") for name in names]
    assert int(await store.call("HGET", month[0], "t")) == len(paid) * CALL
    assert len(paid) > 500
    assert set(map(len, slots)) == {1}  # on a cluster a script's keys lie at one node
    for worker, each in zip(workers, places, strict=True):
        worker.close()
        await each.close()
