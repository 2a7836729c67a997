from __future__ import annotations

import asyncio

import pytest

from engine.errors import BudgetExceeded, StoreUnavailable
from engine.types import CachePolicy, Done, Usage
from tests.engine.parts import ALICE, Run, ScriptedModel, ask, build, nothing_left

KEEPING = CachePolicy(ttl=60, sampled=True)


async def test_it_ends_an_answer_that_has_used_up_what_was_set_aside():
    engine, parts = build(ScriptedModel(["abcd"] * 100))
    parts.limiter.room, parts.limiter.extensions = 10, 1
    done = await engine.complete(ALICE, ask())
    assert done.message.content == "abcd" * 21 and done.finish_reason == "length"
    assert done.usage.completion_tokens == 21 and done.usage.estimated
    assert parts.limiter.settled == [done.usage] and parts.journal.states == ["completed"]
    await nothing_left(engine, parts)


async def test_it_goes_on_while_there_is_more():
    engine, parts = build(ScriptedModel(["abcd"] * 100))
    parts.limiter.room, parts.limiter.extensions = 10, 9
    done = await engine.complete(ALICE, ask())
    assert done.finish_reason == "stop" and len(done.message.content) == 400 and parts.limiter.extensions == 5


async def test_it_ends_it_too_where_nobody_can_say_whether_there_is_more():
    engine, parts = build(ScriptedModel(["abcd"] * 100))
    parts.limiter.room = 10

    async def away(self):
        raise StoreUnavailable

    reserve = parts.limiter.reserve

    async def reserve_and_lose(*args, **more):
        slot = await reserve(*args, **more)
        slot.extend = away.__get__(slot)
        return slot

    parts.limiter.reserve = reserve_and_lose
    done = await engine.complete(ALICE, ask())
    assert done.finish_reason == "length"


async def test_it_ends_what_a_plugin_reads_as_a_whole():
    engine, parts = build(ScriptedModel(["abcd"] * 100), run=Run(needs_full_response=True, prefix="> "))
    parts.limiter.room = 10
    done = await engine.complete(ALICE, ask())
    assert done.message.content == "> " + "abcd" * 11 and done.finish_reason == "length"


async def test_it_keeps_no_answer_that_was_cut():
    engine, parts = build(ScriptedModel(["abcd"] * 100))
    parts.answers.chosen, parts.limiter.room = KEEPING, 10
    await engine.complete(ALICE, ask())
    assert parts.answers.puts == 0
    await nothing_left(engine, parts)


@pytest.mark.parametrize("policy", [CachePolicy(), KEEPING])
async def test_it_asks_a_cheaper_one_where_the_budget_has_no_room(policy):
    engine, parts = build(ScriptedModel(["dear"]), ScriptedModel(["cheap"]))
    parts.answers.chosen = policy
    parts.limiter.refusals = [BudgetExceeded(affords=lambda instance: instance.id == 1)]
    parts.router.minds_budgets = True
    done = await engine.complete(ALICE, ask())
    assert done.message.content == "cheap"
    assert not parts.models[0].calls and parts.limiter.settled == [done.usage]
    await nothing_left(engine, parts)


@pytest.mark.parametrize("policy", [CachePolicy(), KEEPING])
async def test_it_refuses_where_the_budget_has_room_for_nobody(policy):
    engine, parts = build(ScriptedModel(["dear"]), ScriptedModel(["cheap"]))
    parts.answers.chosen = policy
    parts.router.minds_budgets = True
    for affords, left in ((lambda instance: False, 1), (None, 1), (lambda instance: True, 3)):
        refusals = [BudgetExceeded(affords=affords, retry_after=60) for _ in range(5)]
        parts.limiter.refusals = list(refusals)
        with pytest.raises(BudgetExceeded) as caught:
            async for event in engine.stream(ALICE, ask()):
                assert type(event) is not Done
        assert caught.value.retry_after == 60 and len(refusals) - len(parts.limiter.refusals) == left
    assert set(parts.journal.states) == {"refused"}
    await nothing_left(engine, parts)


async def leave(engine, request, when):
    """A turn that is cancelled as soon as `when()` holds."""
    task = asyncio.ensure_future(engine.complete(ALICE, request))
    async with asyncio.timeout(30):
        while not when():
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await engine.drain()


@pytest.mark.parametrize("policy", [CachePolicy(), KEEPING, CachePolicy(ttl=60, sampled=True, coalesce=True)])
async def test_who_leaves_before_the_first_token_pays_for_the_prompt(policy):
    engine, parts = build(ScriptedModel([asyncio.Event()]))
    parts.answers.chosen = policy
    await leave(engine, ask(), lambda: parts.models[0].calls)
    (ended,) = parts.journal.completions
    assert ended.state == "cancelled" and ended.usage == Usage(prompt_tokens=3, estimated=True)
    assert parts.limiter.settled == [ended.usage]
    await nothing_left(engine, parts)


async def test_who_leaves_before_the_call_pays_nothing():
    engine, parts = build(ScriptedModel())
    parts.limiter.gate = asyncio.Event()
    await leave(engine, ask(), lambda: parts.routes)
    assert not parts.models[0].calls and all(ended.usage == Usage() for ended in parts.journal.completions)
    assert all(usage == Usage() for usage in parts.limiter.settled)
    await nothing_left(engine, parts)
