"""What is asked again may be answered again: by whom, under which key, and through which guard."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import AdapterConfig
from adapters.echo import EchoAdapter
from engine import caching
from engine.errors import AuditUnavailable, RateLimited, UpstreamError
from engine.folding import Fold, as_delta
from engine.types import CachePolicy, ChatRequest, Choice, Delta, End, Instance, Message, ModelCall, StoredAnswer, Usage
from tests.engine.parts import ALICE, PlainRoute, Run, ScriptedModel, ask, build, nothing_left

CHARLIE = msgspec.structs.replace(ALICE, tenant_id=2, tenant="rival")
KEEPING = CachePolicy(ttl=60)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

# Keys -------------------------------------------------------------------------------------------------------------

ROUTE = PlainRoute(Instance(id=1, name="m", version="v1"), ScriptedModel(), "m", "upstream-m")
ASKED = {
    "temperature": 0.0,
    "max_tokens": 10,
    "tools": [TOOL],
    "params": {"seed": 1, "stop": ["x"]},
}
MATTER = {
    "temperature": [None, 0.5],
    "max_tokens": [None, 11],
    "tools": [None, [], [{**TOOL, "type": "other"}], [TOOL, TOOL]],
    "params": [{}, {"seed": 2, "stop": ["x"]}, {"seed": 1}, {"seed": 1, "stop": ["x", "y"]}, {"seed": 1, "stop": "x"}],
}
MATTER_NOT = {
    "stream": [True],
    "metadata": [{"a": 1}],
    "session_id": ["s"],
    "remember": [True],
    "create_session": [True],
    "user": ["bob"],
    "user_profile": [{"a": 1}],
    "language": ["de"],
    "headers": [((b"x", b"y"),)],
    "cache": ["no-cache"],
    "edge": ["openai"],
    "request_id": ["r"],
    "idempotency": ["k"],
    "resumable": [True],
    "stream_interval": [20],
    "follows": ["t"],
    "echo": [{"a": 1}],
}
# What goes upstream is the call's, not the request's; an instance asked for by id and embeddings are never kept.
ELSEWHERE = {"messages", "model", "task", "instance_id"}
HI = [Message("system", "be kind"), Message("user", "Hi")]


def key(principal=ALICE, route=ROUTE, model="upstream-m", messages=HI, **fields):
    request = ChatRequest(messages=[Message("user", "Hi")], **{**ASKED, **fields})
    return caching.key_of(principal, route, ModelCall(model, messages, request))


def test_every_field_of_a_request_is_thought_of():
    assert MATTER.keys() | MATTER_NOT.keys() | ELSEWHERE == set(ChatRequest.__struct_fields__)


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in MATTER for value in MATTER[field]])
def test_what_the_model_is_asked_matters(field, value):
    assert key(**{field: value}) != key()


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in MATTER_NOT for value in MATTER_NOT[field]])
def test_what_the_model_never_sees_does_not(field, value):
    assert key(**{field: value}) == key()


def test_how_a_stream_is_framed_does_not_matter():
    assert key(params={**ASKED["params"], "stream_options": {"include_usage": True}}) == key()
    assert key(params={"stop": ["x"], "seed": 1}) == key()


def test_the_order_in_a_schema_matters():
    """A model writes the properties of its answer in the order in which they are asked for."""
    one, other = ({name: {"type": "string"} for name in names} for names in ("ab", "ba"))
    for asked in (
        lambda schema: {"params": {"response_format": {"json_schema": {"schema": {"properties": schema}}}}},
        lambda schema: {"tools": [{**TOOL, "function": {"name": "f", "parameters": {"properties": schema}}}]},
    ):
        assert key(**asked(one)) != key(**asked(other))
        assert key(**asked(one)) == key(**asked(dict(one)))


def test_what_an_adapter_makes_of_a_request_matters():
    shapes = [{}, {"template": "chatml"}, {"max_tokens": 9}, {"headers": {"x-mode": "a"}}, {"headers": {"x-mode": "b"}}]
    adapters = [EchoAdapter(AdapterConfig(options=options), None) for options in shapes]
    assert len({key(route=replace(ROUTE, adapter=adapter)) for adapter in adapters}) == len(shapes)
    again = EchoAdapter(AdapterConfig(options={"template": "chatml"}, endpoint="http://b", api_key="k"), None)
    assert key(route=replace(ROUTE, adapter=again)) == key(route=replace(ROUTE, adapter=adapters[1]))


def test_nothing_crosses_a_tenant_or_a_model():
    variants = [
        key(),
        key(principal=CHARLIE),
        key(model="another"),
        key(route=replace(ROUTE, model="n")),
        key(route=replace(ROUTE, instance=Instance(id=1, name="m", version="v2"))),
        key(route=replace(ROUTE, instance=Instance(id=1, name="m", version="v1", adapter="echo"))),
    ]
    assert len(set(variants)) == len(variants)
    assert key(principal=msgspec.structs.replace(ALICE, user="bob", subject="key:2", key_id=2)) == key()
    assert key(route=replace(ROUTE, instance=Instance(id=9, name="m", version="v1", endpoint="http://b"))) == key()


@pytest.mark.parametrize(
    "changed",
    [
        Message("user", "Ho"),
        Message("system", "Hi"),
        Message("user", "Hi", name="ann"),
        Message("user", [{"type": "text", "text": "Hi"}]),
        Message("user", "Hi", tool_call_id="c"),
        Message("user", "Hi", tool_calls=[{"id": "c"}]),
        Message("user", "Hi", reasoning_content="hm"),
        Message("user", "Hi", refusal="no"),
    ],
)
def test_every_message_matters(changed):
    variants = [HI, [HI[0], changed], [HI[1], HI[0]], HI[:1], HI[1:], [*HI, changed]]
    assert len({key(messages=messages) for messages in variants}) == len(variants)


@pytest.mark.parametrize("params", [{"stop": "\ud800"}, {"a": object()}, {"a": {(1, 2): 3}}])
def test_what_cannot_be_encoded_has_no_key(params):
    assert key(params=params) is None


def test_a_key_tells_nothing():
    assert len(key()) == 64 and int(key(), 16) >= 0


@pytest.mark.parametrize(
    ("policy", "request_", "repeatable"),
    [
        (CachePolicy(), ask(temperature=0), False),
        (CachePolicy(ttl=1), ask(temperature=0), True),
        (CachePolicy(ttl=1), ask(temperature=0.0, cache="no-cache"), True),
        (CachePolicy(ttl=1), ask(temperature=0, cache="no-store"), False),
        (CachePolicy(ttl=1), ask(), False),
        (CachePolicy(ttl=1), ask(temperature=0.01), False),
        (CachePolicy(coalesce=True), ask(temperature=0), True),
        (CachePolicy(coalesce=True), ask(temperature=1), False),
        (CachePolicy(sampled=True), ask(temperature=1), False),
        (CachePolicy(ttl=1, sampled=True), ask(temperature=1), True),
        (CachePolicy(ttl=1, sampled=True), ask(), True),
        (CachePolicy(ttl=1, sampled=True), ask(instance_id=1), False),
    ],
)
def test_it_repeats_what_the_tenant_wants_repeated(policy, request_, repeatable):
    assert caching.is_repeatable(policy, request_) is repeatable


# Replaying --------------------------------------------------------------------------------------------------------

texts = st.none() | st.text(min_size=1, max_size=5)
calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text(min_size=1, max_size=3),
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": st.text(max_size=3), "arguments": st.text(max_size=3)}),
        }
    ),
    max_size=2,
)
deltas = st.lists(
    st.builds(
        Delta,
        content=texts,
        reasoning=texts,
        refusal=texts,
        index=st.integers(0, 2),
        tool_calls=calls.map(lambda made: [{"index": index, **call} for index, call in enumerate(made)] or None),
    ).filter(lambda delta: delta != Delta(index=delta.index)),  # adapters yield none that are empty
    max_size=5,
)


@given(deltas, st.dictionaries(st.integers(0, 2), st.sampled_from(["stop", "length", "tool_calls"]), min_size=1))
def test_a_replay_says_the_same(said, reasons):
    fold, again = Fold(), Fold()
    for delta in said:
        fold.add(delta)
    answer = StoredAnswer(fold.choices(reasons, "stop"), End(reasons, Usage(1, 2)))
    answer = msgspec.json.decode(msgspec.json.encode(answer), type=StoredAnswer)
    events = asyncio.run(collected(caching.replayed(answer)))
    for delta in events[:-1]:
        assert delta != Delta(index=delta.index)
        again.add(delta)
    assert events[-1] == answer.end
    assert again.choices(reasons, "stop") == answer.choices


async def collected(events):
    return [event async for event in events]


# In the engine ----------------------------------------------------------------------------------------------------


def keeping(*models, policy=KEEPING, **fields):
    engine, parts = build(*models, **fields)
    parts.answers.chosen = policy
    return engine, parts


def question(text="Hi", **fields):
    return ask(text, **{"temperature": 0, **fields})


async def test_it_answers_the_same_question_once():
    engine, parts = keeping(ScriptedModel(["Hel", "lo"]))
    first = await engine.complete(ALICE, question())
    events = [event async for event in engine.stream(ALICE, question(stream=True))]
    assert len(parts.models[0].calls) == 1
    start, *_, done = events
    assert (start.source, done.message, done.usage) == ("cache", first.message, first.usage)
    assert done.id != first.id and done.finish_reason == "stop"
    assert [completion.source for completion in parts.journal.completions] == ["model", "cache"]
    assert [completion.attempts for completion in parts.journal.completions] == [1, 0]
    assert [slot.used for slot in parts.limiter.reserved] == [first.usage]
    assert len(parts.journal.intents) == 2
    await nothing_left(engine, parts)


async def test_who_may_use_no_more_tokens_has_kept_answers():
    engine, parts = keeping()
    first = await engine.complete(ALICE, question())
    parts.limiter.refusals = [RateLimited(), RateLimited()]
    assert (await engine.complete(ALICE, question())).message == first.message
    for refused in (question("other"), question(cache="no-cache")):
        with pytest.raises(RateLimited):
            await engine.complete(ALICE, refused)
    assert parts.journal.states == ["completed", "completed", "refused", "refused"]
    assert len(parts.models[0].calls) == 1
    await nothing_left(engine, parts)


async def test_tokens_are_counted_once_however_often_an_answer_is_given():
    engine, parts = keeping(ScriptedModel(["Hello"]))
    bought = (await engine.complete(ALICE, question())).usage
    again = (await engine.complete(ALICE, question())).usage
    assert again == bought and parts.meter.tokens == bought.total_tokens


async def test_a_kept_answer_says_nothing_about_an_instance():
    engine, parts = keeping()
    await engine.complete(ALICE, question())
    await engine.complete(ALICE, question())
    called, unused = parts.routes
    assert (called.outcomes, called.first_tokens, called.unused_calls) == ([None], 1, 0)
    assert (unused.outcomes, unused.first_tokens, unused.unused_calls) == ([], 0, 1)


async def test_it_keeps_nothing_without_being_told():
    engine, parts = keeping(policy=CachePolicy())
    for _ in range(2):
        await engine.complete(ALICE, question())
    assert len(parts.models[0].calls) == 2 and parts.answers.kept == {}


async def test_it_keeps_nothing_when_calls_are_only_shared():
    engine, parts = keeping(policy=CachePolicy(coalesce=True))
    for _ in range(2):
        await engine.complete(ALICE, question())
    assert len(parts.models[0].calls) == 2 and parts.answers.kept == {}


async def test_no_store_neither_reads_nor_keeps():
    engine, parts = keeping()
    await engine.complete(ALICE, question(cache="no-store"))
    assert parts.answers.kept == {}
    await engine.complete(ALICE, question())
    await engine.complete(ALICE, question(cache="no-store"))
    assert len(parts.models[0].calls) == 3


async def test_no_cache_asks_again_and_keeps_the_new_answer():
    engine, parts = keeping(ScriptedModel(["old"]))
    await engine.complete(ALICE, question())
    parts.models[0].pieces = ["new"]
    assert (await engine.complete(ALICE, question(cache="no-cache"))).message.content == "new"
    assert (await engine.complete(ALICE, question())).message.content == "new"
    assert len(parts.models[0].calls) == 2 and len(parts.answers.kept) == 1


async def test_another_tenant_gets_its_own():
    engine, parts = keeping()
    await engine.complete(ALICE, question())
    await engine.complete(CHARLIE, question())
    assert len(parts.models[0].calls) == 2
    assert {tenant for tenant, _ in parts.answers.kept} == {1, 2}


async def test_what_was_said_before_is_a_part_of_the_question():
    engine, parts = keeping(ScriptedModel(["one"]))
    done = await engine.complete(ALICE, question("first", remember=True))
    await engine.complete(ALICE, question("second", remember=True, session_id=done.session_id))
    await engine.complete(ALICE, question("second"))
    assert len(parts.models[0].calls) == 3
    again = await engine.complete(ALICE, question("first", remember=True))
    assert len(parts.models[0].calls) == 3
    assert len(parts.sessions.kept[again.session_id].history) == 2
    assert parts.sessions.kept[again.session_id].answerer.model == "scripted"


async def test_a_replay_passes_the_guard_of_today():
    engine, parts = keeping(ScriptedModel(["a fine ", "bomb"]))
    assert (await engine.complete(ALICE, question())).finish_reason == "stop"
    parts.guard.words = ["bomb"]
    done = await engine.complete(ALICE, question())
    assert done.finish_reason == "content_filter" and "bomb" not in str(done.message.content)
    assert parts.journal.completions[-1].verdicts[0].word == "bomb"
    assert len(parts.models[0].calls) == 1
    await nothing_left(engine, parts)


async def test_post_hooks_see_replays():
    engine, parts = keeping(ScriptedModel(["Hel", "lo"]), run=Run(needs_full_response=True, prefix="> "))
    for _ in range(3):
        assert (await engine.complete(ALICE, question())).message.content == "> Hello"
    assert len(parts.models[0].calls) == 1


async def test_what_a_plugin_says_is_not_kept():
    engine, parts = keeping(run=Run(answer=Message("assistant", "from a plugin")))
    await engine.complete(ALICE, question())
    assert parts.answers.kept == {}


@pytest.mark.parametrize(
    "pieces", [["fine ", "bomb", "never"], ["fine", UpstreamError()], [UpstreamError()], ["fine", ValueError("a bug")]]
)
async def test_a_blocked_or_failed_answer_is_never_kept(pieces):
    engine, parts = keeping(ScriptedModel(pieces), words=["bomb"], policy=CachePolicy(ttl=60, coalesce=True))
    try:
        assert (await engine.complete(ALICE, question())).finish_reason == "content_filter"
    except (UpstreamError, ValueError):
        pass
    assert parts.answers.kept == {}
    await nothing_left(engine, parts)


async def test_an_answer_blocked_at_its_last_word_is_not_kept():
    engine, parts = keeping(ScriptedModel(["fine ", "bomb"]), words=["bomb"], run=Run(needs_full_response=True))
    assert (await engine.complete(ALICE, question())).finish_reason == "content_filter"
    assert parts.answers.kept == {}


async def test_an_answer_without_an_end_is_not_kept():
    engine, parts = keeping(ScriptedModel(["half"], finish=None))
    with pytest.raises(UpstreamError):
        await engine.complete(ALICE, question())
    assert parts.answers.kept == {}


async def test_an_answer_is_kept_only_once_it_is_recorded():
    engine, parts = keeping()
    with pytest.raises(AuditUnavailable):
        async for _ in engine.stream(ALICE, question()):
            parts.journal.broken = True
    assert parts.answers.kept == {}
    await engine.drain()


async def test_it_keeps_what_the_second_instance_said():
    engine, parts = keeping(ScriptedModel([UpstreamError()]), ScriptedModel(["second"]))
    for _ in range(2):
        assert (await engine.complete(ALICE, question())).message.content == "second"
    assert [len(model.calls) for model in parts.models] == [1, 1]


async def test_it_replays_choices_and_tool_calls():
    made = [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    engine, parts = keeping(ScriptedModel([Delta("a"), Delta("b", index=1), Delta(tool_calls=made, index=1)]))
    answers = [await engine.complete(ALICE, question(params={"n": 2})) for _ in range(2)]
    assert answers[0].choices == answers[1].choices and len(answers[1].choices) == 2
    assert len(parts.models[0].calls) == 1


def test_a_choice_without_a_word_is_no_delta():
    silent = Choice(Message("assistant", ""), "stop")
    events = asyncio.run(collected(caching.replayed(StoredAnswer([silent], End({0: "stop"})))))
    assert events == [End({0: "stop"})] and as_delta(silent) == Delta()
