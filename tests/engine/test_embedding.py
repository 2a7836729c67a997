"""Embeddings take the same steps as a chat turn, alone and in one call with others."""

import asyncio
from contextlib import suppress

import pytest

from adapters.hashing import unit_vector
from adapters.scripted import HANG, Script, ScriptedAdapter
from engine.errors import (
    AuditUnavailable,
    ContentBlocked,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    RateLimited,
    UpstreamBusy,
    UpstreamError,
    UpstreamRejected,
)
from engine.types import ChatRequest, Embedded, Message, Usage
from tests.cast import BOB, CHARLIE
from tests.engine.parts import ALICE, build


def texts(*inputs, **fields):
    return ChatRequest(messages=[Message("user", text) for text in inputs], task="embeddings", **fields)


def vectors(*inputs, dimensions=64):
    return [unit_vector(text, dimensions) for text in inputs]


def failing(*errors, then=()):
    """A model whose calls fail in turn, and later ones do not."""
    return ScriptedAdapter(queue=[*(Script([error]) for error in errors), Script(then)])


class Uncounted(ScriptedAdapter):
    """Says nothing of usage, and leaves vectors out when told."""

    missing = 0

    async def embed(self, call):
        embedded = await super().embed(call)
        return Embedded(embedded.vectors[self.missing :])


class Picky(ScriptedAdapter):
    """Refuses every call with a bad input in it."""

    async def embed(self, call):
        embedded = await super().embed(call)
        if "bad" in call.inputs:
            raise UpstreamRejected("no bad inputs")
        return embedded


async def test_it_answers_one_vector_an_input():
    engine, parts = build(ScriptedAdapter())
    answer = await engine.embed(ALICE, texts("one", "two words", params={"dimensions": 8}))
    assert answer.vectors == vectors("one", "two words", dimensions=8)
    assert answer.model == "scripted" and answer.usage == Usage(prompt_tokens=4)
    assert answer.route == {"instance": "scripted", "rules": [], "decision": answer.id}
    assert parts.models[0].embed_calls[0].dimensions == 8
    assert engine.active == 0 and parts.limiter.open == 0 and parts.meter.states == ["completed"]
    assert parts.limiter.settled == [answer.usage] and parts.routes[0].outcomes[0] is None


async def test_it_records_intent_and_completion():
    engine, parts = build(ScriptedAdapter())
    answer = await engine.embed(ALICE, texts("one", params={"dimensions": 8}, edge="embeddings", request_id="r"))
    [intent], [completion] = parts.journal.intents, parts.journal.completions
    assert intent.turn_id == completion.turn_id == answer.id
    assert [message.content for message in intent.messages] == ["one"] and intent.params == {"dimensions": 8}
    assert (intent.edge, intent.request_id, intent.instance) == ("embeddings", "r", "scripted")
    assert (completion.state, completion.choices, completion.attempts) == ("completed", [], 1)
    assert completion.usage == answer.usage and completion.source == "model" and completion.ttft is not None


@pytest.mark.parametrize("entry", ["intent", "completion"])
async def test_it_answers_only_once_both_are_durable(entry):
    engine, parts = build(ScriptedAdapter())
    gate = asyncio.Event()
    commit = parts.journal._commit

    async def held(record):
        if type(record).__name__.lower() == entry:
            await gate.wait()
        await commit(record)

    parts.journal._commit = held
    task = asyncio.ensure_future(engine.embed(ALICE, texts("one")))
    await asyncio.sleep(0.02)
    assert parts.models[0].embed_calls and not task.done()
    gate.set()
    assert (await task).vectors == vectors("one")


async def test_it_stops_the_call_when_the_intent_fails():
    engine, parts = build(ScriptedAdapter(queue=[Script([HANG])]))
    parts.journal.broken = True
    with pytest.raises(AuditUnavailable):
        await engine.embed(ALICE, texts("one"))
    await engine.drain()
    assert parts.models[0].cancelled == 1 and parts.limiter.open == 0


async def test_it_estimates_what_was_not_counted():
    engine, _ = build(Uncounted())
    answer = await engine.embed(ALICE, texts("twelve bytes", "four"))
    assert answer.usage == Usage(prompt_tokens=4, estimated=True)


# The guard -----


async def test_it_blocks_and_masks_every_input():
    engine, parts = build(ScriptedAdapter(), words=["forbidden"])
    parts.guard.masks = {"secret": "***"}
    with pytest.raises(ContentBlocked):
        await engine.embed(ALICE, texts("fine", "forbidden"))
    assert parts.journal.states == ["refused"] and not parts.models[0].embed_calls
    assert parts.journal.intents[0].verdicts[0].word == "forbidden"
    assert (await engine.embed(ALICE, texts("a secret", "b"))).vectors == vectors("a ***", "b")
    assert [message.content for message in parts.journal.intents[1].messages] == ["a ***", "b"]


async def test_it_takes_nothing_but_texts():
    engine, parts = build(ScriptedAdapter())
    for messages in ([], [Message("user", None)], [Message("user", [{"type": "text", "text": "a"}])]):
        with pytest.raises(InvalidRequest):
            await engine.embed(ALICE, ChatRequest(messages=messages, task="embeddings"))
    assert not parts.models[0].embed_calls and parts.journal.states == ["refused"] * 3


async def test_it_does_not_show_a_refusal_with_a_forbidden_word():
    engine, _ = build(failing(UpstreamRejected("you said forbidden")), words=["forbidden"])
    with pytest.raises(UpstreamRejected) as caught:
        await engine.embed(ALICE, texts("x"))
    assert "forbidden" not in caught.value.message


# Failures -----


async def test_it_asks_another_instance_and_records_that():
    engine, parts = build(failing(UpstreamError()), ScriptedAdapter())
    assert (await engine.embed(ALICE, texts("one"))).vectors == vectors("one")
    [completion] = parts.journal.completions
    assert completion.attempts == 2 and [retry.error for retry in completion.retries] == ["upstream_error"]
    assert len(parts.journal.intents) == 1 and parts.limiter.settled == [Usage(), Usage(prompt_tokens=1)]
    assert [type(outcome) for outcome in parts.routes[0].outcomes[:1]] == [UpstreamError]


async def test_it_asks_a_larger_one_when_an_input_is_too_long():
    engine, parts = build(failing(ContextTooLong()), ScriptedAdapter())
    assert (await engine.embed(ALICE, texts("one"))).vectors == vectors("one")
    assert parts.journal.completions[0].retries[0].error == "context_length_exceeded"


async def test_it_says_what_failed_when_nobody_is_left():
    engine, parts = build(failing(UpstreamBusy()))
    with pytest.raises(UpstreamBusy):
        await engine.embed(ALICE, texts("one"))
    assert parts.journal.states == ["failed"] and parts.limiter.open == 0


async def test_it_shares_the_retry_budget_with_chat():
    engine, parts = build(failing(UpstreamError(), UpstreamError()), ScriptedAdapter())
    while engine.caller.retries.take(1000):
        pass
    with pytest.raises(UpstreamError):
        await engine.embed(ALICE, texts("one"))


async def test_it_refuses_as_chat_does():
    engine, parts = build(ScriptedAdapter())
    with pytest.raises(ModelNotFound):
        await engine.embed(ALICE, texts("one", model="missing"))
    assert parts.journal.states == ["refused"]
    parts.limiter.refusal = RateLimited()
    with pytest.raises(RateLimited):
        await engine.embed(ALICE, texts("one"))
    assert len(parts.journal.entries) == 2 and parts.meter.states == ["refused", "rate_limited"]


async def test_it_never_passes_a_wrong_number_of_vectors():
    engine, parts = build(model := Uncounted())
    model.missing = 1
    with pytest.raises(UpstreamError, match="another number"):
        await engine.embed(ALICE, texts("one", "two"))


async def test_it_cancels_the_call_when_its_caller_leaves():
    engine, parts = build(model := ScriptedAdapter(queue=[Script([HANG])]))
    task = asyncio.ensure_future(engine.embed(ALICE, texts("one")))
    while not model.running:
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await engine.drain()
    assert model.cancelled == 1 and parts.journal.states == ["cancelled"] == parts.meter.states
    sent = Usage(prompt_tokens=3, estimated=True)
    assert parts.limiter.open == 0 and parts.limiter.settled == [sent] == [parts.journal.completions[0].usage]


async def test_it_records_a_mistake_in_the_program():
    engine, parts = build(failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        await engine.embed(ALICE, texts("one"))
    await engine.drain()
    assert parts.journal.states == ["failed"] and parts.journal.completions[0].error == "internal_error"


# Several turns in one call -----


def batching(*models, size=8, window=0.01, **settings):
    engine, parts = build(*models)
    parts.router.settings = {"batch_size": size, "batch_window": window, **settings}
    return engine, parts


async def test_it_batches_the_turns_of_a_tenant():
    engine, parts = batching(model := ScriptedAdapter())
    answers = await asyncio.gather(
        engine.embed(ALICE, texts("a")),
        engine.embed(BOB.principal, texts("b", "long enough")),
        engine.embed(ALICE, texts("c")),
    )
    assert [answer.vectors for answer in answers] == [vectors("a"), vectors("b", "long enough"), vectors("c")]
    assert [call.inputs for call in model.embed_calls] == [["a", "b", "long enough", "c"]]
    assert [answer.usage.prompt_tokens for answer in answers] == [1, 4, 1]
    assert len(parts.journal.intents) == len(parts.journal.completions) == 3
    assert {completion.turn_id for completion in parts.journal.completions} == {answer.id for answer in answers}
    assert parts.limiter.settled == [answer.usage for answer in answers]
    assert [route.unused_calls for route in parts.routes] == [1, 1, 1, 0], "one call is one call to its instance"
    assert [route.first_tokens for route in parts.routes] == [0, 0, 0, 1] and parts.routes[3].outcomes == [None]


async def test_it_never_batches_across_tenants_models_or_dimensions():
    engine, _ = batching(model := ScriptedAdapter(), size=4)
    await asyncio.gather(
        engine.embed(ALICE, texts("a")),
        engine.embed(CHARLIE.principal, texts("b")),
        engine.embed(ALICE, texts("c", model="other")),
        engine.embed(ALICE, texts("d", params={"dimensions": 3})),
    )
    assert sorted(call.inputs for call in model.embed_calls) == [["a"], ["b"], ["c"], ["d"]]


async def test_it_does_not_wait_without_a_window_or_a_size():
    for settings in ({"size": 1, "window": 60.0}, {"size": 5, "window": 0.0}):
        engine, _ = batching(model := ScriptedAdapter(), **settings)
        await asyncio.gather(*(engine.embed(ALICE, texts(text)) for text in "ab"))
        assert [call.inputs for call in model.embed_calls] == [["a"], ["b"]]


async def test_it_splits_a_request_that_is_more_than_a_batch():
    engine, parts = batching(model := ScriptedAdapter(), size=2)
    answer = await engine.embed(ALICE, texts(*"abcde"))
    assert answer.vectors == vectors(*"abcde") and answer.usage == Usage(prompt_tokens=5)
    assert [call.inputs for call in model.embed_calls] == [["a", "b"], ["c", "d"], ["e"]]
    assert parts.routes[0].unused_calls == 0


async def test_a_bad_input_does_not_harm_its_neighbours():
    engine, parts = batching(model := Picky())
    asked = (engine.embed(ALICE, texts(text)) for text in ("good", "bad", "fine"))
    good, bad, fine = await asyncio.gather(*asked, return_exceptions=True)
    assert (good.vectors, fine.vectors) == (vectors("good"), vectors("fine"))
    assert type(bad) is UpstreamRejected and len(model.embed_calls) == 4
    assert sorted(parts.journal.states) == ["completed", "completed", "refused"]


async def test_a_failed_batch_fails_one_instance_once_and_moves_as_a_whole():
    engine, parts = batching(failing(UpstreamError()), other := ScriptedAdapter(), size=20)
    answers = await asyncio.gather(*(engine.embed(ALICE, texts(f"text {n}")) for n in range(15)))
    assert [answer.vectors for answer in answers] == [vectors(f"text {n}") for n in range(15)]
    assert [len(call.inputs) for call in other.embed_calls] == [15]
    calls = [route for route in parts.routes if not route.unused_calls]
    assert [type(route.outcomes[0]) for route in calls] == [UpstreamError, type(None)]
    assert all(completion.retries for completion in parts.journal.completions)
    assert engine.caller.retries.running == 0 and engine.caller.retries._balance == 9.0, "one payment for all"


async def test_a_failed_batch_that_may_not_go_on_goes_nowhere():
    engine, parts = batching(failing(UpstreamError()), other := ScriptedAdapter(), size=3, window=60.0)
    while engine.caller.retries.take(1000):
        pass
    answers = await asyncio.gather(*(engine.embed(ALICE, texts(text)) for text in "abc"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [UpstreamError] * 3 and not other.embed_calls


async def test_a_full_instance_takes_all_that_have_a_part_in_one_call():
    engine, parts = batching(model := ScriptedAdapter(), max_concurrency=1)
    answers = await asyncio.gather(*(engine.embed(ALICE, texts(f"text {n}")) for n in range(6)))
    assert [answer.vectors for answer in answers] == [vectors(f"text {n}") for n in range(6)]
    assert len(model.embed_calls) == 1
    assert sum(not route.unused_calls for route in parts.routes) == 1


async def test_a_full_instance_takes_nobody_while_a_batch_runs():
    gate = asyncio.Event()
    engine, parts = batching(model := ScriptedAdapter(queue=[Script([gate])]), size=2, window=60.0, max_concurrency=1)
    tasks = [asyncio.ensure_future(engine.embed(ALICE, texts(text))) for text in "ab"]
    while not model.running:
        await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await engine.embed(ALICE, texts("c"))
    tasks[0].cancel()  # the batch goes on, and so does its place
    await asyncio.wait(tasks[:1])
    with pytest.raises(Overloaded):
        await engine.embed(ALICE, texts("d"))
    gate.set()
    assert (await tasks[1]).vectors == vectors("b")
    await engine.drain()
    assert all(route.told for route in parts.routes)


@pytest.mark.parametrize("leaves", [0, 1])
async def test_a_failure_counts_whoever_left_before(leaves):
    gate = asyncio.Event()
    engine, parts = batching(model := ScriptedAdapter(queue=[Script([gate, UpstreamError()])]), size=2, window=60.0)
    tasks = [asyncio.ensure_future(engine.embed(ALICE, texts(text))) for text in "ab"]
    while not model.running:
        await asyncio.sleep(0)
    tasks[leaves].cancel()
    await asyncio.wait([tasks[leaves]])
    assert parts.routes[-1].outcomes == []
    gate.set()
    with pytest.raises(UpstreamError):
        await tasks[1 - leaves]
    assert [type(route.outcomes[0]) for route in parts.routes if not route.unused_calls] == [UpstreamError]


async def test_it_sends_a_very_large_request_in_several_calls():
    engine, _ = build(model := ScriptedAdapter())
    asked = [f"text {n}" for n in range(600)]
    answer = await engine.embed(ALICE, texts(*asked, params={"dimensions": 2}))
    assert answer.vectors == vectors(*asked, dimensions=2)
    assert [len(call.inputs) for call in model.embed_calls] == [256, 256, 88]


async def test_who_leaves_a_batch_does_not_harm_the_others():
    gate = asyncio.Event()
    engine, parts = batching(model := ScriptedAdapter(queue=[Script([gate])]), size=3)
    tasks = [asyncio.ensure_future(engine.embed(ALICE, texts(text))) for text in "abc"]
    while not model.running:
        await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    gate.set()
    assert [(await task).vectors for task in tasks[1:]] == [vectors("b"), vectors("c")]
    await engine.drain()
    assert sorted(parts.journal.states) == ["cancelled", "completed", "completed"] and model.cancelled == 0


async def test_the_last_to_leave_a_batch_cancels_its_call():
    engine, parts = batching(model := ScriptedAdapter(queue=[Script([HANG])]), size=2)
    tasks = [asyncio.ensure_future(engine.embed(ALICE, texts(text))) for text in "ab"]
    while not model.running:
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert model.cancelled == 1
    await engine.drain()
    assert parts.journal.states == ["cancelled", "cancelled"] and parts.limiter.open == 0


async def test_what_an_instance_needs_is_the_longest_input():
    engine, parts = build(ScriptedAdapter())
    seen = []
    choose = parts.router.choose

    def watched(principal, request, messages, features, constraints=None):
        seen.append(constraints.needed())
        return choose(principal, request, messages, features, constraints)

    parts.router.choose = watched
    await engine.embed(ALICE, texts("a" * 400, "b" * 40, "c"))
    assert seen == [104]
