"""What is counted of turns beside how they end."""

import asyncio

import pytest

from engine.errors import BudgetExceeded, RateLimited
from engine.types import CachePolicy, Usage
from tests.engine.parts import ALICE, ScriptedModel, ask, build


def cached(*models):
    engine, parts = build(*models)
    parts.answers.chosen = CachePolicy(ttl=60, coalesce=True)
    return engine, parts


def question(text="Hi", **fields):
    return ask(text, temperature=0, **fields)


async def test_it_counts_what_became_of_calls_that_may_be_repeated():
    engine, parts = cached()
    for _ in range(3):
        await engine.complete(ALICE, question())
    assert parts.meter.kept == ["miss", "stored", "hit", "hit"]
    await engine.complete(ALICE, question(cache="no-cache"))
    assert parts.meter.kept[4:] == ["miss", "stored"]
    await engine.complete(ALICE, question(cache="no-store"))
    await engine.complete(ALICE, ask("Hi", temperature=1))
    assert len(parts.meter.kept) == 6


async def test_it_counts_who_shares_a_call_and_one_answer_that_is_kept():
    gate = asyncio.Event()
    engine, parts = cached(ScriptedModel([gate, "Hello"]))
    turns = [asyncio.ensure_future(engine.complete(ALICE, question())) for _ in range(3)]
    await asyncio.sleep(0.02)
    gate.set()
    await asyncio.gather(*turns)
    assert sorted(parts.meter.kept) == ["coalesced", "coalesced", "miss", "stored"]


async def test_it_counts_what_turns_cost_once():
    engine, parts = cached(ScriptedModel(["Hello"], usage=Usage(10, 20)))
    parts.router.settings = {"price_in": 2.0, "price_out": 3.0}
    await engine.complete(ALICE, question())
    await engine.complete(ALICE, question())
    assert parts.meter.cost == sum(completion.cost for completion in parts.journal.completions) == 10 * 2 + 20 * 3


@pytest.mark.parametrize(("refusal", "limit"), [(RateLimited(), "tokens"), (BudgetExceeded(), "month")])
async def test_it_counts_which_limit_refused(refusal, limit):
    engine, parts = build()
    refusal.limit = limit
    parts.limiter.refusals = [refusal]
    with pytest.raises(RateLimited):
        await engine.complete(ALICE, ask())
    assert parts.meter.refusals == [limit]
