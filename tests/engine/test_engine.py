import asyncio
from contextlib import aclosing

import pytest

from engine import retrying
from engine.errors import (
    AuditUnavailable,
    Conflict,
    ContentBlocked,
    ModelNotFound,
    RateLimited,
    SessionNotFound,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from engine.types import Delta, Done, Message, Start, Usage
from tests.engine.parts import ALICE, Kept, Run, ScriptedModel, ask, build


async def events_of(engine, request):
    return [event async for event in engine.stream(ALICE, request)]


async def text_until_error(engine, request, error):
    said = []
    with pytest.raises(error) as caught:
        async for event in engine.stream(ALICE, request):
            said.append(event)
    await engine.drain()
    return said, caught.value


async def test_it_yields_start_deltas_and_done():
    engine, parts = build(ScriptedModel(["Hel", "lo"]))
    start, first, second, done = await events_of(engine, ask())
    assert type(start) is Start and start.model == "scripted" and start.session_id is None
    assert [first.content, second.content] == ["Hel", "lo"]
    assert type(done) is Done and done.id == start.id and done.message.content == "Hello"
    assert done.finish_reason == "stop" and done.usage == Usage(prompt_tokens=3, completion_tokens=5)
    assert done.route == {"instance": "scripted", "rules": [], "decision": start.id}


async def test_it_folds_the_stream_into_the_same_answer():
    engine, _ = build(ScriptedModel(["a", "b", "c"]))
    done = await engine.complete(ALICE, ask())
    streamed = (await events_of(engine, ask()))[-1]
    assert (done.choices, done.usage) == (streamed.choices, streamed.usage)


async def test_it_folds_tool_call_fragments():
    fragments = [
        Delta(tool_calls=[{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a'}}]),
        Delta(tool_calls=[{"index": 0, "function": {"arguments": '": 1}'}}]),
    ]
    engine, _ = build(ScriptedModel(fragments, finish="tool_calls"))
    done = await engine.complete(ALICE, ask())
    assert done.finish_reason == "tool_calls" and done.message.content is None
    assert done.message.tool_calls == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    ]


async def test_it_keeps_choices_apart():
    engine, _ = build(ScriptedModel([Delta("a", index=0), Delta("b", index=1), Delta("c", index=0)]))
    done = await engine.complete(ALICE, ask())
    assert [choice.message.content for choice in done.choices] == ["ac", "b"]


async def test_it_writes_intent_before_the_first_and_completion_before_the_last_event():
    engine, parts = build()
    async with aclosing(engine.stream(ALICE, ask())) as events:
        await anext(events)
        assert len(parts.journal.intents) == 1 and not parts.journal.completions
        async for event in events:
            if type(event) is Done:
                assert parts.journal.states == ["completed"]
    assert parts.journal.intents[0].messages == [Message("user", "Hi")]
    assert parts.journal.completions[0].choices[0].message.content == "Hello"


async def test_it_sends_nothing_while_the_intent_is_not_durable():
    engine, parts = build()
    parts.journal.gate = asyncio.Event()
    events = engine.stream(ALICE, ask())
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.02)
    assert parts.models[0].calls and not first.done()  # the model runs beside the commit
    parts.journal.gate.set()
    assert type(await first) is Start
    await events.aclose()
    await engine.drain()


async def test_it_cancels_a_running_call_when_the_intent_fails():
    engine, parts = build(ScriptedModel([asyncio.Event()]))
    parts.journal.broken = True
    said, error = await text_until_error(engine, ask(), AuditUnavailable)
    assert said == [] and error.code == "audit_unavailable"
    assert parts.models[0].closed == 1 and parts.limiter.open == 0


async def test_it_waits_for_the_intent_before_it_calls_when_the_journal_is_unhealthy():
    engine, parts = build()
    parts.journal.healthy = False
    parts.journal.broken = True
    await text_until_error(engine, ask(), AuditUnavailable)
    assert parts.models[0].calls == []


async def test_it_raises_instead_of_done_when_the_completion_fails():
    engine, parts = build(ScriptedModel(["a", "b"]))
    said = []
    with pytest.raises(AuditUnavailable):
        async for event in engine.stream(ALICE, ask()):
            said.append(event)
            parts.journal.broken = True
    assert not any(type(event) is Done for event in said)


async def test_it_remembers_a_session():
    engine, parts = build(ScriptedModel(["one"]))
    done = await engine.complete(ALICE, ask("first", remember=True))
    await engine.complete(ALICE, ask("second", remember=True, session_id=done.session_id))
    assert [message.content for message in parts.models[0].calls[1].messages] == ["first", "one", "second"]
    assert len(parts.sessions.kept[done.session_id].history) == 4


async def test_it_refuses_an_unknown_session_without_a_journal_entry():
    engine, parts = build()
    await text_until_error(engine, ask(remember=True, session_id="nobody"), SessionNotFound)
    assert parts.journal.entries == [] and parts.limiter.open == 0


async def test_it_counts_a_rate_limit_and_journals_nothing():
    engine, parts = build()
    parts.limiter.refusal = RateLimited(retry_after=3)
    _, error = await text_until_error(engine, ask(), RateLimited)
    assert error.retry_after == 3 and parts.journal.entries == [] and parts.meter.states == ["rate_limited"]


async def test_it_journals_a_blocked_input_as_refused_and_calls_nobody():
    engine, parts = build(words=["bomb"])
    await text_until_error(engine, ask("a bomb", remember=True), ContentBlocked)
    assert parts.models[0].calls == [] and parts.journal.states == ["refused"]
    assert parts.journal.intents[0].verdicts[0].word == "bomb"
    assert (parts.meter.found, parts.meter.held) == (["bomb"], [None])
    assert parts.sessions.closed == 1 and parts.sessions.kept == {}


async def test_it_ends_a_blocked_output_with_content_filter_and_stops_the_model():
    engine, parts = build(ScriptedModel(["fine ", "bomb", "never"]), words=["bomb"])
    *_, done = await events_of(engine, ask())
    assert done.finish_reason == "content_filter" and done.message.content == "fine "
    assert parts.models[0].closed == 1 and parts.journal.completions[0].verdicts[0].where == "output"


async def test_it_journals_an_unknown_model_as_refused():
    engine, parts = build()
    await text_until_error(engine, ask(model="missing"), ModelNotFound)
    assert parts.journal.states == ["refused"]


async def test_it_tries_another_instance_before_the_first_token():
    engine, parts = build(ScriptedModel([UpstreamError()]), ScriptedModel(["second"]))
    done = await engine.complete(ALICE, ask())
    assert done.message.content == "second" and parts.journal.completions[0].attempts == 2
    assert isinstance(parts.routes[0].outcomes[0], UpstreamError) and parts.routes[1].outcomes == [None]
    assert len(parts.journal.intents) == 1


async def test_it_reports_the_first_failure_when_nobody_else_is_left():
    engine, parts = build(ScriptedModel([UpstreamTimeout()]))
    await text_until_error(engine, ask(), UpstreamTimeout)
    assert parts.journal.states == ["failed"] and parts.limiter.settled == [Usage()]


async def test_it_stops_retrying_when_the_budget_is_spent():
    engine, parts = build(ScriptedModel([UpstreamError()]), ScriptedModel([UpstreamError()]))
    for _ in range(40):
        await text_until_error(engine, ask(), UpstreamError)
    assert len(parts.models[0].calls) == 40
    assert 10 <= len(parts.models[1].calls) <= 10 + 0.2 * 40


async def test_it_does_not_retry_what_the_model_calls_a_bad_request():
    engine, parts = build(ScriptedModel([UpstreamRejected("no")]), ScriptedModel())
    await text_until_error(engine, ask(), UpstreamRejected)
    assert parts.models[1].calls == [] and parts.journal.states == ["refused"]


async def test_it_never_retries_after_the_first_token_and_records_the_part():
    engine, parts = build(ScriptedModel(["half", UpstreamError()]), ScriptedModel())
    said, _ = await text_until_error(engine, ask(), UpstreamError)
    assert [event.content for event in said if type(event) is Delta] == ["half"]
    assert parts.models[1].calls == []
    [completion] = parts.journal.completions
    assert completion.state == "failed" and completion.choices[0].message.content == "half"


async def test_it_calls_an_answer_without_an_end_an_upstream_error():
    engine, parts = build(ScriptedModel(["half"], finish=None))
    await text_until_error(engine, ask(), UpstreamError)
    assert parts.journal.states == ["failed"]


@pytest.mark.parametrize("way", ["close", "cancel"])
async def test_it_records_a_reader_that_leaves_and_closes_the_model(way):
    engine, parts = build(ScriptedModel(["one", asyncio.Event()]))
    events = engine.stream(ALICE, ask(remember=True))
    await anext(events)
    await anext(events)
    if way == "close":
        await events.aclose()
    else:
        pending = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending
    await engine.drain()
    [completion] = parts.journal.completions
    assert completion.state == "cancelled" and completion.choices[0].message.content == "one"
    assert completion.choices[0].finish_reason == "cancelled"
    assert completion.usage.estimated and parts.models[0].closed == 1
    assert parts.limiter.open == 0 and parts.sessions.closed == 1 and engine.active == 0


async def test_it_keeps_a_completed_turn_in_the_session_when_the_reader_leaves_at_the_end():
    engine, parts = build()
    events = engine.stream(ALICE, ask(remember=True))
    await anext(events)
    await anext(events)
    parts.journal.gate = asyncio.Event()
    last = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.01)
    last.cancel()
    with pytest.raises(asyncio.CancelledError):
        await last
    parts.journal.gate.set()
    await engine.drain()
    assert len(parts.sessions.kept["s1"].history) == 2


async def test_it_lets_a_plugin_answer_without_a_model():
    engine, parts = build(run=Run(answer=Message("assistant", "from a plugin")))
    done = await engine.complete(ALICE, ask(remember=True))
    assert done.message.content == "from a plugin" and parts.models[0].calls == []
    assert len(parts.journal.intents) == 1 and parts.journal.states == ["completed"]
    assert len(parts.sessions.kept["s1"].history) == 2


async def test_it_filters_what_a_plugin_says():
    engine, _ = build(words=["bomb"], run=Run(answer=Message("assistant", "a bomb")))
    done = await engine.complete(ALICE, ask())
    assert done.finish_reason == "content_filter" and done.message.content == ""


async def test_it_filters_text_that_a_plugin_added_to_the_input():
    engine, parts = build(words=["bomb"], run=Run(messages=[Message("user", "bomb")], touched=True))
    await text_until_error(engine, ask(), ContentBlocked)
    assert parts.models[0].calls == []


async def test_it_gives_post_hooks_the_whole_answer():
    engine, _ = build(ScriptedModel(["a", "b"]), run=Run(needs_full_response=True, prefix="> "))
    events = await events_of(engine, ask())
    assert [event.content for event in events if type(event) is Delta] == ["> ab"]
    assert events[-1].message.content == "> ab"


async def test_it_estimates_usage_when_the_model_says_nothing():
    model = ScriptedModel(["12345678"])
    model.usage = None
    engine, _ = build(model)
    done = await engine.complete(ALICE, ask())
    assert done.usage == Usage(prompt_tokens=3, completion_tokens=2, estimated=True)


async def test_it_filters_the_profile_of_a_session():
    engine, parts = build(words=["bomb"])
    profile = {"likes": "a bomb"}
    parts.sessions.kept["s1"] = Kept("s1", user_profile=profile)
    await text_until_error(engine, ask(remember=True, session_id="s1"), ContentBlocked)
    assert parts.models[0].calls == [] and parts.journal.states == ["refused"]


async def test_it_sends_a_masked_profile():
    engine, parts = build()
    parts.sessions.kept["s1"] = Kept("s1", user_profile={"name": "secret", "age": 3})
    parts.guard.masks = {"secret": "******"}
    await engine.complete(ALICE, ask(remember=True, session_id="s1"))
    assert parts.sessions.opened[-1].user_profile == {"name": "******", "age": 3}


async def test_it_keeps_a_turn_whose_completion_failed_out_of_the_session():
    engine, parts = build(ScriptedModel(["a", "b"]))
    with pytest.raises(AuditUnavailable):
        async for _ in engine.stream(ALICE, ask(remember=True)):
            parts.journal.broken = True
    await engine.drain()
    assert parts.sessions.kept == {} and parts.sessions.closed == 1 and parts.meter.states == ["failed"]


async def test_it_answers_though_the_session_cannot_be_written_and_tries_again(monkeypatch):
    monkeypatch.setattr(retrying, "STORE_PAUSES", (0.001, 0.001))
    monkeypatch.setattr(retrying, "STORE_LATER", (0.001,) * 5)
    engine, parts = build()
    parts.sessions.away = 5
    done = await engine.complete(ALICE, ask(remember=True))
    assert done.message.content == "Hello" and parts.meter.states == ["completed"]
    assert parts.sessions.attempts == 3 and parts.sessions.kept == {}
    await engine.drain()
    assert parts.sessions.attempts == 6 and len(parts.sessions.kept[done.session_id].history) == 2


async def test_a_store_that_hangs_takes_no_longer_than_one_that_refuses(monkeypatch):
    monkeypatch.setattr(retrying, "STORE_PATIENCE", 0.02)
    monkeypatch.setattr(retrying, "STORE_PAUSES", (0.001,) * 20)
    engine, parts = build()
    parts.sessions.away, append = 1000, parts.sessions.append

    async def hangs(*turn: object) -> None:
        await asyncio.sleep(0.02)
        await append(*turn)

    monkeypatch.setattr(parts.sessions, "append", hangs)
    await engine.complete(ALICE, ask(remember=True))
    assert parts.sessions.attempts <= 2
    parts.sessions.away = 0
    await engine.drain()
    assert len(parts.sessions.kept["s1"].history) == 2


async def test_it_waits_a_moment_for_a_store_that_comes_back(monkeypatch):
    monkeypatch.setattr(retrying, "STORE_PAUSES", (0.001, 0.001))
    engine, parts = build()
    parts.sessions.away = 2
    done = await engine.complete(ALICE, ask(remember=True))
    assert len(parts.sessions.kept[done.session_id].history) == 2


async def test_a_turn_whose_session_another_one_took_over_fails_and_is_recorded_so():
    engine, parts = build()
    parts.sessions.taken_over = True
    said, error = await text_until_error(engine, ask(remember=True), Conflict)
    assert type(said[-1]) is Delta and error.turn_id == parts.journal.completions[0].turn_id
    assert parts.journal.states == parts.meter.states == ["failed"]
    assert (parts.sessions.attempts, parts.sessions.closed) == (0, 1)


async def test_it_filters_tools_and_parameters():
    engine, parts = build(words=["bomb"])
    tools = [{"type": "function", "function": {"name": "f", "description": "a bomb"}}]
    await text_until_error(engine, ask(tools=tools), ContentBlocked)
    await text_until_error(engine, ask(params={"stop": ["bomb"]}), ContentBlocked)
    assert parts.models[0].calls == [] and parts.journal.states == ["refused", "refused"]


async def test_it_sends_masked_parameters():
    engine, parts = build()
    parts.guard.masks = {"secret": "******"}
    await engine.complete(ALICE, ask(params={"stop": ["secret"]}))
    assert parts.models[0].calls[0].request.params == {"stop": ["******"]}


async def test_it_shows_no_listed_word_in_what_the_models_service_refuses_with():
    engine, _ = build(ScriptedModel([UpstreamRejected("you said bomb")]), words=["bomb"])
    _, error = await text_until_error(engine, ask(), UpstreamRejected)
    assert error.message == UpstreamRejected.text


async def test_it_adds_a_turn_whose_reader_leaves_while_the_store_is_away(monkeypatch):
    monkeypatch.setattr(retrying, "STORE_PAUSES", (0.05,))
    engine, parts = build()
    parts.sessions.away = 1
    task = asyncio.ensure_future(engine.complete(ALICE, ask(remember=True)))
    while not parts.sessions.attempts:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await engine.drain()
    assert len(parts.sessions.kept["s1"].history) == 2 and parts.meter.states == ["completed"]


async def test_it_counts_a_turn_once_when_its_reader_leaves_at_done():
    engine, parts = build()
    async with aclosing(engine.stream(ALICE, ask(remember=True))) as events:
        async for event in events:
            if type(event) is Done:
                break
    await engine.drain()
    assert parts.meter.states == ["completed"] and parts.sessions.attempts == 1
    assert len(parts.journal.completions) == 1
