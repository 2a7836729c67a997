"""A request with a key is answered once: what comes of sending it again, at every moment of the first."""

import asyncio
from contextlib import aclosing

import msgspec
import pytest

from adapters.scripted import ScriptedAdapter
from engine.engine import Engine
from engine.errors import (
    AuditUnavailable,
    IdempotencyMismatch,
    IdempotencyRunning,
    NotSupported,
    RateLimited,
    UpstreamError,
)
from engine.idempotency import MOST_INPUTS, Never, fingerprint, packed, unpacked
from engine.types import ChatRequest, Delta, Done, Message, Start
from tests.cast import BOB, CHARLIE
from tests.engine.parts import ALICE, Run, ScriptedModel, ask, build, nothing_left

TOKENS = {"content": [{"token": "Bonjour", "logprob": -0.1}]}


def keyed(text="Hi", key="k", **fields):
    return ask(text, idempotency=key, **fields)


def texts(*inputs, **fields):
    messages = [Message("user", text) for text in inputs]
    return ChatRequest(messages=messages, task="embeddings", idempotency="k", **fields)


async def events_of(engine: Engine, request, principal=ALICE):
    async with aclosing(engine.stream(principal, request)) as events:
        return [event async for event in events]


async def test_it_gives_the_same_answer_and_does_nothing_else_again():
    engine, parts = build(ScriptedModel(["Hel", "lo"]))
    request = keyed(remember=True)
    first = await engine.complete(ALICE, request)
    parts.limiter.refusal = RateLimited()  # nobody is asked for leave
    assert await engine.complete(ALICE, request) == first
    assert len(parts.models[0].calls) == len(parts.limiter.reserved) == len(parts.sessions.opened) == 1
    assert parts.sessions.attempts == 1 and parts.meter.replays == 1
    assert parts.meter.states == parts.journal.states == ["completed"]
    await nothing_left(engine, parts)


async def test_a_stream_says_it_whole():
    steps = [
        Delta(reasoning="Hm."),
        "Hel",
        "lo",
        Delta(content="Bonjour", index=1, logprobs=TOKENS),
        Delta(tool_calls=[{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]),
    ]
    engine, parts = build(ScriptedModel(steps))
    first = await events_of(engine, keyed())
    start, *deltas, done = await events_of(engine, keyed())
    assert start == msgspec.structs.replace(first[0], replayed=True) and done == first[-1]
    assert type(start) is Start and not first[0].replayed
    assert [(delta.index, delta.content, delta.reasoning) for delta in deltas] == [
        (0, "Hello", "Hm."),
        (1, "Bonjour", None),
    ]
    assert deltas[0].tool_calls[0]["id"] == "c1" and deltas[1].logprobs == TOKENS


async def test_it_tells_the_rules_of_the_instance_that_answered():
    engine, parts = build(ScriptedModel([UpstreamError()]), ScriptedModel(["Hello"]))

    def ruled(choose):
        def chosen(*arguments):
            route = choose(*arguments)
            route.rules = route.decision["rules"] = [f"rule {route.instance.id}"]
            return route

        return chosen

    parts.router.choose = ruled(parts.router.choose)
    first = await engine.complete(ALICE, keyed())
    assert first.route["rules"] == ["rule 1"]
    assert await engine.complete(ALICE, keyed()) == first


async def test_what_a_plugin_answered_is_repeated_too():
    engine, parts = build(run=Run(answer=Message("assistant", "Canned")))
    first = await events_of(engine, keyed())
    again = await events_of(engine, keyed())
    assert first[-1] == again[-1] and again[0].source == "plugin" and not parts.models[0].calls


async def test_without_a_key_nothing_is_repeated():
    engine, parts = build()
    first, second = await engine.complete(ALICE, ask()), await engine.complete(ALICE, ask())
    assert first.id != second.id and not parts.journal.held


async def test_it_is_its_callers_own():
    engine, parts = build()
    for who in (ALICE, BOB.key_principal, CHARLIE.key_principal):
        await engine.complete(who, keyed())
    assert len(parts.models[0].calls) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.5},
        {"model": "other"},
        {"stream": True},
        {"user": "u"},
        {"metadata": {"a": 1}},
        {"params": {"n": 2}},
        {"session_id": "s1"},
        {"edge": "openai"},
        {"text": "Ho"},
    ],
)
async def test_another_request_with_it_is_refused(other):
    engine, parts = build()
    await engine.complete(ALICE, keyed())
    with pytest.raises(IdempotencyMismatch):
        await engine.complete(ALICE, keyed(**other))
    assert len(parts.models[0].calls) == 1 and parts.journal.states == ["completed"]
    await nothing_left(engine, parts)


def test_the_order_of_keys_and_what_headers_say_make_no_other_request():
    one = ask("Hi", params={"n": 1, "stop": ["a"]}, metadata={"a": {"x": 1, "y": 2}}, request_id="1")
    two = ask(
        "Hi", params={"stop": ["a"], "n": 1}, metadata={"a": {"y": 2, "x": 1}}, request_id="2", idempotency="k",
        cache="no-store", headers=[(b"x-a", b"b")],
    )  # fmt: skip
    assert fingerprint(one) == fingerprint(two) != fingerprint(ask("Hi"))


async def test_while_the_first_runs_the_second_hears_so():
    gate = asyncio.Event()
    engine, parts = build(ScriptedModel([gate, "Hello"]))
    first = asyncio.ensure_future(engine.complete(ALICE, keyed()))
    await asyncio.sleep(0.01)
    with pytest.raises(IdempotencyRunning) as running:
        await engine.complete(ALICE, keyed())
    assert running.value.retryable and running.value.retry_after
    with pytest.raises(IdempotencyMismatch):
        await engine.complete(ALICE, keyed("Ho"))
    gate.set()
    assert await engine.complete(ALICE, keyed(key="other")) != await first
    assert (await engine.complete(ALICE, keyed())).id == (await first).id
    await nothing_left(engine, parts)


async def test_many_at_once_make_one_call():
    engine, parts = build(ScriptedModel([0.02, "Hello"]))
    answers = await asyncio.gather(*(engine.complete(ALICE, keyed()) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(answer, Done) for answer in answers) == len(parts.models[0].calls) == 1
    assert sum(isinstance(answer, IdempotencyRunning) for answer in answers) == 49
    assert parts.journal.states == ["completed"]


async def test_the_model_waits_until_the_key_is_held():
    engine, parts = build()
    parts.journal.gate = asyncio.Event()
    first = asyncio.ensure_future(engine.complete(ALICE, keyed()))
    await asyncio.sleep(0.02)
    assert not parts.models[0].calls
    parts.journal.gate.set()
    assert (await first).message.content == "Hello"


async def test_it_asks_nobody_when_another_worker_was_faster():
    engine, parts = build()
    find = parts.journal.find

    async def late(*asked):
        found = await find(*asked)
        parts.journal.held[found.digest] = ("another's turn", "f")
        return found

    parts.journal.find = late
    with pytest.raises(IdempotencyRunning):
        await engine.complete(ALICE, keyed(remember=True))
    assert not parts.models[0].calls and parts.journal.states == ["refused"]
    assert parts.journal.completions[0].error == "idempotency_running"
    await nothing_left(engine, parts)


async def test_a_failure_is_not_repeated_and_gives_the_key_up():
    model = ScriptedModel([UpstreamError()])
    engine, parts = build(model)
    with pytest.raises(UpstreamError):
        await engine.complete(ALICE, keyed())
    model.pieces = ["Hello"]
    answer = await engine.complete(ALICE, keyed("another body"))
    assert answer.message.content == "Hello" and (await engine.complete(ALICE, keyed("another body"))) == answer


async def test_a_refusal_before_any_call_takes_no_key():
    engine, parts = build(words=["bad"])
    with pytest.raises(Exception, match="not allowed"):
        await engine.complete(ALICE, keyed("bad"))
    assert not parts.journal.held
    assert (await engine.complete(ALICE, keyed("good"))).message.content == "Hello"


async def test_who_leaves_gives_the_key_up():
    engine, parts = build(ScriptedModel(["Hel", asyncio.Event()]))
    task = asyncio.ensure_future(engine.complete(ALICE, keyed()))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await nothing_left(engine, parts)
    parts.models[0].pieces = ["Hello"]
    assert (await engine.complete(ALICE, keyed())).message.content == "Hello"


async def test_a_journal_that_is_away_refuses_the_key():
    engine, parts = build()
    parts.journal.broken = True
    with pytest.raises(AuditUnavailable):
        await engine.complete(ALICE, keyed())
    assert not parts.models[0].calls
    await nothing_left(engine, parts)


async def test_where_no_keys_are_kept_none_is_taken():
    engine, parts = build()
    engine.repeats._once = Never()
    with pytest.raises(NotSupported):
        await engine.complete(ALICE, keyed())


async def test_vectors_come_back_as_they_were():
    model = ScriptedAdapter()
    engine, parts = build(model)
    first = await engine.embed(ALICE, texts("one", "two"))
    again = await engine.embed(ALICE, texts("one", "two"))
    assert again == msgspec.structs.replace(first, replayed=True) and len(model.embed_calls) == 1
    with pytest.raises(IdempotencyMismatch):
        await engine.embed(ALICE, texts("one"))
    assert not (await engine.embed(ALICE, msgspec.structs.replace(texts("one"), idempotency=""))).replayed
    assert parts.journal.completions[1].vectors == []


async def test_it_keeps_no_more_vectors_than_the_journal_takes():
    model = ScriptedAdapter()
    engine, parts = build(model)
    with pytest.raises(NotSupported) as refusal:
        await engine.embed(ALICE, texts(*["one"] * (MOST_INPUTS + 1)))
    assert refusal.value.param == "input" and not model.embed_calls
    assert len((await engine.embed(ALICE, texts(*["one"] * MOST_INPUTS))).vectors) == MOST_INPUTS


@pytest.mark.parametrize("vector", [[], [0.1], [1, -2.5e-300, 0.0023064255, 1e308]])
def test_a_packed_vector_is_the_same(vector):
    assert unpacked(packed(vector)) == vector
