"""Where a call fails: who is asked next, who pays, what is told and that nothing is left behind."""

import asyncio
from contextlib import aclosing

import pytest

from engine import retrying
from engine.errors import (
    AuditUnavailable,
    BudgetExceeded,
    ContextTooLong,
    Overloaded,
    RateLimited,
    UpstreamBusy,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from engine.types import CachePolicy, Delta, Start, Usage
from tests.engine.parts import ALICE, ScriptedModel, ask, build, nothing_left

KEEPING = CachePolicy(ttl=60, sampled=True, coalesce=True)


def failing(error=None):
    return ScriptedModel([error or UpstreamError()])


async def failure_of(engine, request=None):
    with pytest.raises(Exception) as caught:
        await engine.complete(ALICE, request or ask())
    return caught.value


def retries_in(parts):
    [completion] = parts.journal.completions
    return [(retry.instance_id, retry.instance, retry.error) for retry in completion.retries]


async def test_it_goes_on_until_somebody_answers():
    engine, parts = build(failing(), failing(UpstreamTimeout()), failing(UpstreamBusy()), ScriptedModel(["fourth"]))
    done = await engine.complete(ALICE, ask())
    assert done.message.content == "fourth"
    assert [len(model.calls) for model in parts.models] == [1, 1, 1, 1]
    assert retries_in(parts) == [
        (0, "scripted", "upstream_error"),
        (1, "scripted", "upstream_timeout"),
        (2, "scripted", "upstream_rate_limited"),
    ]
    [completion], [intent] = parts.journal.completions, parts.journal.intents
    assert (completion.attempts, completion.source, completion.state) == (4, "model", "completed")
    assert (intent.decision, completion.decision) == ({"instance_id": 0}, {"instance_id": 3})
    assert completion.retries[0].seconds >= 0
    assert [type(route.outcomes[0]) for route in parts.routes[:3]] == [UpstreamError, UpstreamTimeout, UpstreamBusy]
    assert parts.routes[3].outcomes == [None]
    assert [route.first_tokens for route in parts.routes] == [0, 0, 0, 1]
    assert [slot.used for slot in parts.limiter.reserved] == [Usage()] * 3 + [done.usage]
    await nothing_left(engine, parts)


async def test_it_asks_no_more_than_so_many():
    engine, parts = build(*(failing() for _ in range(9)))
    await failure_of(engine)
    assert sum(len(model.calls) for model in parts.models) == retrying.MAX_TRIES
    assert len(retries_in(parts)) == retrying.MAX_TRIES - 1
    await nothing_left(engine, parts)


async def test_it_asks_nobody_twice():
    engine, parts = build(failing(), failing())
    for _ in range(3):
        await failure_of(engine)
    assert [len(model.calls) for model in parts.models] == [3, 3]


async def test_it_tells_the_first_failure_when_nobody_is_left():
    engine, parts = build(failing(UpstreamBusy(retry_after=7)), failing(UpstreamTimeout()))
    error = await failure_of(engine)
    assert (type(error), error.retry_after) == (UpstreamBusy, 7)
    [completion] = parts.journal.completions
    assert (completion.state, completion.error, completion.attempts) == ("failed", "upstream_rate_limited", 2)
    assert completion.decision == {"instance_id": 1}
    await nothing_left(engine, parts)


async def test_it_notes_no_retry_where_there_was_none():
    engine, parts = build(failing())
    await failure_of(engine)
    [completion] = parts.journal.completions
    assert (completion.retries, completion.decision, completion.attempts) == ([], {}, 1)
    assert completion.instance == "scripted"


async def test_it_refuses_when_nobody_was_there_to_begin_with():
    engine, parts = build(ScriptedModel())
    parts.router.models = []
    assert type(await failure_of(engine)) is Overloaded
    await nothing_left(engine, parts)


# Who pays ---------------------------------------------------------------------------------------------------------


async def test_a_pool_of_one_that_is_down_uses_up_nobodys_retries():
    engine, parts = build(failing())
    for _ in range(50):
        await failure_of(engine)
    parts.router.models = [failing(), ScriptedModel(["second"])]
    assert (await engine.complete(ALICE, ask())).message.content == "second"
    assert engine.caller.retries.running == 0


async def test_every_further_call_is_paid_for():
    engine, parts = build(failing(), failing(), ScriptedModel(["third"]))
    answered = 0
    for _ in range(30):
        try:
            await engine.complete(ALICE, ask())
        except UpstreamError:
            continue
        answered += 1
    further = len(parts.models[1].calls) + len(parts.models[2].calls)
    assert 10 <= further <= retrying.RESERVE + retrying.BUDGET * 30
    assert answered == len(parts.models[2].calls)
    await engine.drain()
    assert engine.caller.retries.running == 0


async def test_only_so_many_retry_at_a_time():
    gate = asyncio.Event()
    engine, parts = build(failing(), ScriptedModel([gate, "late"]))
    turns = [asyncio.ensure_future(engine.complete(ALICE, ask())) for _ in range(8)]
    await asyncio.sleep(0.01)
    assert engine.caller.retries.running == len(parts.models[1].calls) == retrying.CONCURRENT
    gate.set()
    ended = await asyncio.gather(*turns, return_exceptions=True)
    assert sum(isinstance(one, UpstreamError) for one in ended) == 8 - retrying.CONCURRENT
    await nothing_left(engine, parts)


@pytest.mark.parametrize("refusal", [RateLimited(retry_after=5), BudgetExceeded()])
async def test_it_tells_the_failure_when_another_call_may_not_be_paid(refusal):
    engine, parts = build(failing(UpstreamTimeout()), ScriptedModel())
    parts.limiter.refusals = [None, refusal]
    assert type(await failure_of(engine)) is UpstreamTimeout
    assert parts.models[1].calls == [] and parts.routes[1].unused_calls == 1 and parts.routes[1].outcomes == []
    [completion] = parts.journal.completions
    assert (completion.state, completion.retries, completion.decision) == ("failed", [], {})
    await nothing_left(engine, parts)


async def test_it_tells_no_instance_of_a_limit_of_ours():
    engine, parts = build(ScriptedModel())
    parts.limiter.refusals = [RateLimited(retry_after=5)]
    assert type(await failure_of(engine)) is RateLimited
    assert parts.routes[0].unused_calls == 1
    assert parts.journal.states == ["refused"]
    await nothing_left(engine, parts)


# Conversations that are too long ----------------------------------------------------------------------------------


async def test_it_looks_for_a_larger_window_when_the_service_says_so():
    engine, parts = build(failing(ContextTooLong()), ScriptedModel(["room"]))
    assert (await engine.complete(ALICE, ask())).message.content == "room"
    assert retries_in(parts) == [(0, "scripted", "context_length_exceeded")]
    await nothing_left(engine, parts)


async def test_it_says_that_it_is_too_long_when_no_window_is_left():
    engine, parts = build(failing(ContextTooLong("8192 tokens at most")), failing(ContextTooLong("16384")))
    error = await failure_of(engine)
    assert (type(error), error.message) == (ContextTooLong, "8192 tokens at most")
    assert parts.journal.states == ["refused"]
    await nothing_left(engine, parts)


async def test_a_failed_instance_says_more_than_a_small_one():
    engine, parts = build(failing(ContextTooLong()), failing(UpstreamTimeout()), failing(ContextTooLong()))
    assert type(await failure_of(engine)) is UpstreamTimeout
    await nothing_left(engine, parts)


async def test_it_leaves_a_window_that_is_too_small_unasked():
    engine, parts = build(ScriptedModel(), ScriptedModel(["room"]))
    parts.sessions.small = {0}
    done = await engine.complete(ALICE, ask())
    assert done.message.content == "room" and parts.models[0].calls == []
    assert parts.routes[0].unused_calls == 1 and parts.routes[0].outcomes == []
    assert len(parts.limiter.reserved) == 1
    [completion] = parts.journal.completions
    assert (completion.attempts, completion.retries) == (1, [])
    await nothing_left(engine, parts)


async def test_it_refuses_what_is_too_long_for_all():
    engine, parts = build(ScriptedModel(), ScriptedModel())
    parts.sessions.small = {0, 1}
    assert type(await failure_of(engine)) is ContextTooLong
    assert [route.unused_calls for route in parts.routes] == [1, 1] and parts.limiter.reserved == []
    assert parts.journal.states == ["refused"] and parts.journal.intents[0].instance == ""
    await nothing_left(engine, parts)


async def test_it_skips_small_windows_on_a_retry_too():
    engine, parts = build(failing(UpstreamTimeout()), ScriptedModel(), ScriptedModel(["third"]))
    parts.sessions.small = {1}
    assert (await engine.complete(ALICE, ask())).message.content == "third"
    assert retries_in(parts) == [(0, "scripted", "upstream_timeout")]
    engine, parts = build(failing(UpstreamTimeout()), ScriptedModel())
    parts.sessions.small = {1}
    assert type(await failure_of(engine)) is UpstreamTimeout
    await nothing_left(engine, parts)


# After the first token --------------------------------------------------------------------------------------------


async def test_it_ends_honestly_when_the_upstream_dies_after_the_first_token():
    engine, parts = build(ScriptedModel(["half ", "of it", UpstreamError()]), ScriptedModel(["another"]))
    said = []
    with pytest.raises(UpstreamError):
        async for event in engine.stream(ALICE, ask(remember=True)):
            said.append(event)
    assert [event.content for event in said if type(event) is Delta] == ["half ", "of it"]
    [completion] = parts.journal.completions
    assert completion.state == "failed" and completion.choices[0].message.content == "half of it"
    assert completion.choices[0].finish_reason == "error"
    assert completion.usage == Usage(3, 3, estimated=True) == parts.limiter.reserved[0].used
    assert completion.retries == [] and parts.models[1].calls == [] and parts.sessions.kept == {}
    assert isinstance(parts.routes[0].outcomes[0], UpstreamError)
    await nothing_left(engine, parts)


async def test_it_may_retry_while_only_reading_for_a_hook_and_not_after_the_first_token():
    """What a client has not seen could be said again, but the call was paid for: the rule stays simple."""
    engine, parts = build(ScriptedModel(["half", UpstreamError()]), ScriptedModel(["another"]))
    parts.plugins.made.needs_full_response = True
    assert type(await failure_of(engine)) is UpstreamError
    assert parts.models[1].calls == []
    await nothing_left(engine, parts)


@pytest.mark.parametrize("error", [UpstreamRejected("no"), AuditUnavailable(), ValueError("a bug")])
async def test_it_retries_nothing_else(error):
    engine, parts = build(failing(error), ScriptedModel())
    assert await failure_of(engine) is error
    assert parts.models[1].calls == []
    await nothing_left(engine, parts)


# Whoever leaves ---------------------------------------------------------------------------------------------------


async def left(engine, parts, when, request=None):
    """A turn that is cancelled as soon as `when()` holds."""
    turn = asyncio.ensure_future(engine.complete(ALICE, request or ask()))
    async with asyncio.timeout(30):
        while not when():
            await asyncio.sleep(0)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    if parts.journal.gate is not None:
        parts.journal.gate.set()
    await nothing_left(engine, parts)
    assert parts.journal.states == ["cancelled"] and parts.meter.states == ["cancelled"]


@pytest.mark.parametrize("policy", [CachePolicy(), KEEPING])
async def test_it_leaves_nothing_behind_when_left_while_reserving(policy):
    engine, parts = build(ScriptedModel())
    parts.answers.chosen = policy
    parts.limiter.gate = asyncio.Event()
    await left(engine, parts, lambda: parts.routes)
    assert parts.models[0].calls == []


async def test_it_leaves_nothing_behind_when_left_while_looking_for_a_kept_answer():
    engine, parts = build(ScriptedModel())
    parts.answers.chosen = KEEPING
    parts.answers.gate = asyncio.Event()
    await left(engine, parts, lambda: parts.routes)
    assert parts.models[0].calls == [] and parts.limiter.reserved == []


@pytest.mark.parametrize("policy", [CachePolicy(), KEEPING])
async def test_it_leaves_nothing_behind_when_left_while_the_intent_is_on_its_way(policy):
    engine, parts = build(ScriptedModel())
    parts.answers.chosen = policy
    parts.journal.gate, parts.journal.healthy = asyncio.Event(), False
    await left(engine, parts, lambda: parts.routes)
    assert parts.models[0].calls == []


@pytest.mark.parametrize("policy", [CachePolicy(), KEEPING])
async def test_it_leaves_nothing_behind_when_left_with_an_answer_that_waits_for_its_intent(policy):
    engine, parts = build(ScriptedModel())
    parts.answers.chosen = policy
    parts.journal.gate = asyncio.Event()
    await left(engine, parts, lambda: parts.models[0].calls)


@pytest.mark.parametrize("policy", [CachePolicy(), KEEPING])
@pytest.mark.parametrize("models", [1, 2])
async def test_it_leaves_nothing_behind_when_left_while_calling(models, policy):
    waiting = ScriptedModel([asyncio.Event()])
    engine, parts = build(*[failing()][: models - 1], waiting)
    parts.answers.chosen = policy
    await left(engine, parts, lambda: waiting.calls)


@pytest.mark.parametrize("policy", [CachePolicy(), KEEPING])
async def test_it_leaves_nothing_behind_when_left_while_reserving_again(policy):
    engine, parts = build(failing(), ScriptedModel())
    parts.answers.chosen = policy
    reserve = parts.limiter.reserve

    async def slow_the_second_time(*args, **more):
        if parts.limiter.reserved:
            await asyncio.Event().wait()
        return await reserve(*args, **more)

    parts.limiter.reserve = slow_the_second_time
    await left(engine, parts, lambda: len(parts.routes) == 2)


@pytest.mark.parametrize("policy", [CachePolicy(), KEEPING])
async def test_it_leaves_nothing_behind_when_the_intent_fails(policy):
    for healthy in (True, False):
        engine, parts = build(ScriptedModel([asyncio.Event()]))
        parts.answers.chosen = policy
        parts.journal.broken, parts.journal.healthy = True, healthy
        assert type(await failure_of(engine)) is AuditUnavailable
        await nothing_left(engine, parts)


@pytest.mark.parametrize("policy", [CachePolicy(), KEEPING])
async def test_it_calls_nobody_when_the_intent_failed_during_a_lookup(policy):
    engine, parts = build(ScriptedModel([asyncio.Event()]))
    parts.answers.chosen = policy
    parts.journal.broken = True
    parts.answers.gate = asyncio.Event()
    turn = asyncio.ensure_future(failure_of(engine))
    await asyncio.sleep(0.01)
    parts.answers.gate.set()
    assert type(await turn) is AuditUnavailable
    await nothing_left(engine, parts)


async def test_it_goes_on_with_others_when_one_turn_leaves():
    engine, parts = build(ScriptedModel(["a", 0.01, "b"]))
    async with aclosing(engine.stream(ALICE, ask())) as leaving:
        assert type(await anext(leaving)) is Start
        other = asyncio.ensure_future(engine.complete(ALICE, ask()))
        await asyncio.sleep(0)
    assert (await other).message.content == "ab"
    await nothing_left(engine, parts)
