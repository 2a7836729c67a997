"""Budgets under streams that break off anywhere, over several workers and with the store emptied in between."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random

from engine.engine import Engine
from engine.errors import BudgetExceeded, RateLimited, StoreUnavailable
from engine.limiting import Spent
from engine.types import Delta
from tenants.isolation import Stores
from tenants.limits import Limits
from tests.cast import ACME, ALICE, tenant_table
from tests.engine.parts import ScriptedModel, ask, build
from tests.tenants.limits.test_money import spent, told

ROUNDS = int(os.environ.get("BUDGET_ROUNDS", "12"))
SEED = int(os.environ.get("BUDGET_SEED", "7"))
PRICED = {"price_in": 3.0, "price_out": 7.0}


class Journalled:
    """What the workers' journals say was spent; `engine.ports.SpendingRecords`."""

    def __init__(self) -> None:
        self.journals: list = []

    async def spent(self, tenant_id: int, since: float) -> list[Spent]:
        usages = [entry.usage for journal in self.journals for entry in journal.completions]
        amount = sum(cost(usage) for usage in usages)
        return [Spent(key_id=None, member_id=ALICE.id, model="scripted", tokens=0, amount=amount)]


def cost(usage) -> int:
    return round(usage.prompt_tokens * PRICED["price_in"] + usage.completion_tokens * PRICED["price_out"])


class Worker:
    def __init__(self, url, tenants, records) -> None:
        self.stores = Stores([url], tenants)
        self.limits = Limits(self.stores, tenants, spending=records)
        self.model = ScriptedModel(["abcd" * 10, 0.001] * 40)
        self.engine, self.parts = build(self.model)
        self.parts.router.settings = PRICED
        self.engine.limiter = self.engine.caller._limiter = self.limits
        records.journals.append(self.parts.journal)

    async def close(self) -> None:
        await self.engine.drain()
        self.limits.close()
        await self.stores.close()


async def _turn(engine: Engine, chance: random.Random) -> str:
    """Left after a random number of pieces, or read to its end."""
    stop = chance.choice([0, 1, 2, 5, 20, 1000])
    events = engine.stream(ALICE.principal, ask("x" * chance.randrange(1, 400), max_tokens=chance.choice([None, 50])))
    try:
        async with contextlib.aclosing(events):
            seen = 0
            async for event in events:
                seen += isinstance(event, Delta)
                if seen >= stop:
                    return "left"
    except BudgetExceeded:
        return "over"
    except (StoreUnavailable, RateLimited):
        return "away"
    return "whole"


async def test_it_charges_streams_that_break_off_what_they_produced(valkey_url, tenants):
    budget = 100_000 * ROUNDS // 12  # all of them would cost about 130,000
    tenants.swap(tenant_table(ACME.view(money_per_day=budget, tokens_per_minute=10**9)))
    records = Journalled()
    workers = [Worker(valkey_url, tenants, records) for _ in range(3)]
    chance = random.Random(SEED)
    ends: list[str] = []
    for _ in range(ROUNDS):
        ends += await asyncio.gather(*(_turn(chance.choice(workers).engine, chance) for _ in range(30)))
    await _all_over(workers)
    money = _recorded(workers)
    counted = await spent(workers[0].limits)
    assert counted == (money, money, 0)
    assert {"left", "over"} <= set(ends)
    assert money <= budget + 30 * 60 * PRICED["price_out"]  # each stream's last piece at most
    for worker in workers:
        await worker.close()


async def test_it_agrees_with_the_record_after_the_store_was_emptied_under_streams(valkey_url, tenants):
    tenants.swap(tenant_table(ACME.view(money_per_day=10**12)))
    records = Journalled()
    workers = [Worker(valkey_url, tenants, records) for _ in range(2)]
    chance = random.Random(SEED)
    for place in range(ROUNDS // 2):
        running = [asyncio.create_task(_turn(chance.choice(workers).engine, chance)) for _ in range(20)]
        if place % 2 == 0 and place:
            await asyncio.sleep(0.03)
            await workers[0].stores.platform().call("FLUSHALL")
        await asyncio.gather(*running)
    await _turn(workers[0].engine, chance)
    await _all_over(workers)
    money = _recorded(workers)
    assert (await spent(workers[0].limits)) == (money, money, 0)
    for worker in workers:
        await worker.close()


async def _all_over(workers) -> None:
    for worker in workers:
        await worker.engine.drain()
        worker.limits.leases.close()
    await told(*(worker.limits for worker in workers))


def _recorded(workers) -> int:
    return sum(cost(entry.usage) for worker in workers for entry in worker.parts.journal.completions)
