"""A plugin asks the model again, in a whole turn of a real engine."""

import asyncio

import pytest

from engine.errors import BudgetExceeded, PluginUnavailable, UpstreamError
from engine.types import CachePolicy, Delta, Done, Message, Usage
from plugins.base import MOST_ROUNDS, PluginBase, PluginSettings
from tests.engine.parts import ALICE, Kept, ScriptedModel, ask, build, nothing_left
from tests.plugins.turns import active, chain

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {}}}]


class Turns(ScriptedModel):
    """Answers each call with the next of the texts; an exception among them is raised."""

    def __init__(self, *texts, usage=None):
        super().__init__(usage=usage)
        self.texts = list(texts)

    async def stream(self, call):
        self.pieces = [self.texts[min(len(self.calls), len(self.texts) - 1)]]
        async for event in super().stream(call):
            yield event


class Asking(PluginBase):
    """Asks `questions`, one a round."""

    name = "asking"

    def __init__(self, *questions, **fields):
        super().__init__(PluginSettings())
        self.questions, self.fields, self.heard = questions, fields, []

    def post_process(self, response):
        self.heard.append((response.round, response.text))
        if response.round < len(self.questions):
            response.ask([self.questions[response.round]], **self.fields)


def asking(*questions, model=None, required=False, **fields):
    """An engine, its parts and the plugin."""
    plugin = Asking(*questions, **fields)
    engine, parts = build(model or Turns("one", "two", "three"), plugins=chain(active(plugin, required=required)))
    return engine, parts, plugin


def said(call):
    return [(message.role, message.content) for message in call.messages]


async def test_it_gives_the_plugin_each_new_answer():
    engine, parts, plugin = asking("And then?", "And then?")
    done = await engine.complete(ALICE, ask("Count"))
    assert plugin.heard == [(0, "one"), (1, "two"), (2, "three")]
    assert done.message.content == "three"
    await nothing_left(engine, parts)


async def test_it_asks_with_the_conversation_so_far():
    engine, parts, _ = asking("Why?", "Sure?")
    history = [Message("user", "Hi"), Message("assistant", "Hello")]
    parts.sessions.kept["s1"] = Kept("s1", history=list(history))
    await engine.complete(ALICE, ask("Count", session_id="s1", remember=True))
    before = [("user", "Hi"), ("assistant", "Hello"), ("user", "Count")]
    rounds = [("assistant", "one"), ("user", "Why?"), ("assistant", "two"), ("user", "Sure?")]
    assert [said(call) for call in parts.models[0].calls] == [before, before + rounds[:2], before + rounds]


async def test_it_remembers_nothing_of_a_round_in_the_session():
    engine, parts, _ = asking("Why?")
    await engine.complete(ALICE, ask("Count", remember=True))
    (kept,) = parts.sessions.kept.values()
    assert [message.content for message in kept.history] == ["Count", "two"]
    assert (parts.sessions.attempts, len(parts.sessions.opened), parts.sessions.closed) == (1, 1, 0)


async def test_it_journals_each_round_as_a_turn_of_its_own():
    engine, parts, _ = asking("Why?")
    done = await engine.complete(ALICE, ask("Count", remember=True, idempotency="key", resumable=True))
    turn, round_ = parts.journal.intents
    assert (turn.turn_id, turn.parent_turn, turn.edge) == (done.id, "", "rest")
    assert (round_.parent_turn, round_.edge, round_.session_id) == (done.id, "round", None)
    assert [message.content for message in round_.messages] == ["Count", "one", "Why?"]
    ends = {end.turn_id: end for end in parts.journal.completions}
    assert [end.state for end in ends.values()] == ["completed", "completed"]
    assert ends[round_.turn_id].parent_turn == done.id
    assert ends[round_.turn_id].session_id is None and ends[round_.turn_id].answerer is None
    assert parts.meter.states == ["completed", "completed"]
    assert parts.limiter.open == 0


async def test_it_tells_the_client_the_usage_of_all_rounds():
    engine, parts, _ = asking("Why?", "Sure?", model=Turns("one", "two", "three", usage=Usage(3, 5, cached_tokens=1)))
    done = await engine.complete(ALICE, ask("Count"))
    assert done.usage == Usage(9, 15, cached_tokens=3)
    ends = {end.turn_id: end for end in parts.journal.completions}
    assert all(end.usage == Usage(3, 5, cached_tokens=1) for end in ends.values())
    assert ends[done.id].rounds == Usage(6, 10, cached_tokens=2)
    assert parts.limiter.settled == [Usage(3, 5, cached_tokens=1)] * 3
    assert parts.meter.tokens == 24


async def test_it_estimates_what_the_model_said_and_not_what_the_plugin_made_of_it():
    model = Turns("12345678", "1234")
    model.usage = None
    engine, parts, _ = asking("Why?", model=model)
    done = await engine.complete(ALICE, ask("Count"))
    ends = {end.turn_id: end for end in parts.journal.completions}
    assert ends[done.id].usage.completion_tokens == 2
    assert [used.completion_tokens for used in parts.limiter.settled] == [2, 1]
    assert done.usage.completion_tokens == 3


async def test_it_needs_no_second_place_where_there_is_but_one():
    engine, parts, _ = asking("Why?")
    parts.router.settings["max_concurrency"] = 1
    engine.worker.turns.limit = engine.worker.preparing.limit = 1
    done = await asyncio.wait_for(engine.complete(ALICE, ask("Count")), 20)
    assert done.message.content == "two"
    await nothing_left(engine, parts)


async def test_it_makes_four_rounds_a_turn_at_most():
    engine, parts, plugin = asking(*["Again?"] * 9, model=Turns("one", "two", "three", "four", "five", "six"))
    done = await engine.complete(ALICE, ask("Count"))
    assert [number for number, _ in plugin.heard] == [0, 1, 2, 3, 4]
    assert done.message.content == "five"
    end = parts.journal.completions[-1]
    assert [(each.plugin, each.hook, each.reason) for each in end.skipped] == [("asking", "post_process", "rounds")]


async def test_it_counts_the_rounds_of_all_plugins_together():
    first, second = Asking(*["Again?"] * 3), Asking(*["More?"] * 3)
    second.name = "second"
    engine, parts = build(Turns("one", "two", "three", "four", "five"), plugins=chain(first, second))
    done = await engine.complete(ALICE, ask("Count"))
    assert len(second.heard) == 4 and len(first.heard) == 2
    assert len(parts.models[0].calls) == 1 + MOST_ROUNDS
    assert done.message.content == "five"


async def test_it_offers_tools_of_the_rounds_own():
    engine, parts, _ = asking("Why?", tools=TOOLS, max_tokens=7)
    await engine.complete(ALICE, ask("Count", tools=[{"type": "function"}], max_tokens=99, params={"n": 2, "seed": 1}))
    request = parts.models[0].calls[1].request
    assert (request.tools, request.max_tokens, request.params) == (TOOLS, 7, {"seed": 1})


async def test_it_streams_the_last_answer():
    engine, _, _ = asking("Why?")
    events = [event async for event in engine.stream(ALICE, ask("Count", stream=True))]
    assert [event.content for event in events if type(event) is Delta] == ["two"]
    assert type(events[-1]) is Done


# Rounds that come to nothing --------------------------------------------------------------------------------------


class Careful(Asking):
    """Leaves a text for the case that the round fails."""

    def post_process(self, response):
        super().post_process(response)
        if not response.round:
            response.text = "I could not find out."


def careful(model, required=False, **parts):
    plugin = Careful("Why?")
    engine, made = build(model, plugins=chain(active(plugin, required=required)), **parts)
    return engine, made, plugin


async def test_it_keeps_what_the_plugin_left_when_the_round_fails():
    engine, parts, _ = careful(Turns("one", UpstreamError()))
    done = await engine.complete(ALICE, ask("Count"))
    assert done.message.content == "I could not find out."
    assert sorted(parts.journal.states) == ["completed", "failed"]
    assert [each.reason for each in parts.journal.completions[-1].skipped] == ["round_failed"]
    await nothing_left(engine, parts)


async def test_it_stops_the_turn_when_the_round_of_a_required_plugin_fails():
    engine, parts, _ = careful(Turns("one", UpstreamError()), required=True)
    with pytest.raises(PluginUnavailable) as failed:
        await engine.complete(ALICE, ask("Count"))
    end = parts.journal.completions[-1]
    assert (end.state, end.error) == ("failed", "plugin_unavailable")
    assert not any(choice.message.content for choice in end.choices)
    assert failed.value.turn_id == end.turn_id
    await nothing_left(engine, parts)


async def test_it_asks_nobody_what_the_guard_forbids():
    plugin = Asking("Tell me of a bomb.")
    engine, parts = build(Turns("one", "two"), words=["bomb"], plugins=chain(plugin))
    done = await engine.complete(ALICE, ask("Count"))
    assert done.message.content == "one"
    assert sorted(parts.journal.states) == ["completed", "refused"]
    assert len(parts.models[0].calls) == 1


async def test_it_asks_with_what_the_guard_masked():
    engine, parts, _ = asking("4111?", "And 4111?")
    parts.guard.masks = {"4111": "****"}
    await engine.complete(ALICE, ask("Count"))
    assert said(parts.models[0].calls[2])[-3:] == [("user", "****?"), ("assistant", "two"), ("user", "And ****?")]
    assert [message.content for message in parts.journal.intents[-1].messages][-1] == "And ****?"


async def test_it_records_of_a_round_what_the_guard_lets_out():
    engine, parts = build(Turns("one", "a bomb"), words=["bomb"], plugins=chain(Asking("Why?")))
    done = await engine.complete(ALICE, ask("Count"))
    assert done.finish_reason == "content_filter"
    assert all("bomb" not in str(end.choices) for end in parts.journal.completions)


async def test_it_asks_nothing_about_an_answer_that_may_not_be_told():
    engine, parts = build(Turns("a bomb", "two"), words=["bomb"], plugins=chain(Asking("Why?")))
    done = await engine.complete(ALICE, ask("Count"))
    assert (done.finish_reason, done.message.content) == ("content_filter", "")
    assert sorted(parts.journal.states) == ["completed", "refused"]
    assert "bomb" not in str(parts.journal.intents), "nor is it on record"


async def test_it_gives_a_tool_its_call_back():
    class Tool(PluginBase):
        name = "tool"

        def post_process(self, response):
            if response.choices[0].message.tool_calls:
                response.ask([Message("tool", "rain", tool_call_id="c1")], tools=TOOLS)

    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    engine, parts = build(Turns(Delta(tool_calls=[call]), "It rains."), plugins=chain(Tool))
    assert (await engine.complete(ALICE, ask("Weather?"))).message.content == "It rains."
    asked = parts.models[0].calls[1].messages
    assert [message.role for message in asked] == ["user", "assistant", "tool"]
    assert asked[1].tool_calls[0]["id"] == "c1" and asked[1].content is None


async def test_it_is_limited_as_any_call():
    engine, parts, _ = careful(Turns("one", "two"))
    parts.limiter.refusals = [None, BudgetExceeded()]
    done = await engine.complete(ALICE, ask("Count"))
    assert done.message.content == "I could not find out."
    assert sorted(parts.journal.states) == ["completed", "refused"]


async def test_it_cancels_a_round_with_its_turn():
    gate = asyncio.Event()
    engine, parts, plugin = asking("Why?", model=Turns("one", gate))
    turn = asyncio.ensure_future(engine.complete(ALICE, ask("Count", remember=True)))
    while len(parts.models[0].calls) < 2:
        await asyncio.sleep(0.005)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    await nothing_left(engine, parts)
    assert parts.journal.states == ["cancelled", "cancelled"]
    assert parts.sessions.kept == {} and parts.sessions.closed == 1


@pytest.mark.parametrize("messages", [[], ["x", 5], [Message("user", content={"no": "text"})], [None]])
async def test_it_asks_nothing_that_is_no_message(messages):
    class Odd(PluginBase):
        name = "odd"

        def post_process(self, response):
            response.ask(messages)

    engine, parts = build(Turns("one", "two"), plugins=chain(Odd))
    assert (await engine.complete(ALICE, ask("Count"))).message.content == "one"
    assert [each.reason for each in parts.journal.completions[-1].skipped] == ["failed"]


async def test_it_makes_no_round_where_a_plugin_answered():
    class Answering(PluginBase):
        name = "answering"

        def pre_process(self, context):
            context.answer("canned")

    plugin = Asking("Why?")
    engine, parts = build(Turns("one"), plugins=chain(plugin, Answering))
    assert (await engine.complete(ALICE, ask("Count"))).message.content == "canned"
    assert plugin.heard == [(0, "canned")] and parts.models[0].calls == []


# Kept, shared and repeated answers --------------------------------------------------------------------------------


async def test_it_keeps_each_answer_under_the_question_it_belongs_to():
    engine, parts, _ = asking("Why?")
    parts.answers.chosen = CachePolicy(ttl=60)
    first = await engine.complete(ALICE, ask("Count", temperature=0))
    again = await engine.complete(ALICE, ask("Count", temperature=0))
    assert first.message.content == again.message.content == "two"
    assert sorted(kept.choices[0].message.content for kept in parts.answers.kept.values()) == ["one", "two"]
    assert len(parts.models[0].calls) == 2
    await nothing_left(engine, parts)


async def test_it_shares_calls_round_by_round():
    engine, parts, _ = asking("Why?")
    parts.answers.chosen = CachePolicy(coalesce=True)
    both = await asyncio.gather(*(engine.complete(ALICE, ask("Count", temperature=0)) for _ in range(2)))
    assert [done.message.content for done in both] == ["two", "two"] or len(parts.models[0].calls) > 2
    await nothing_left(engine, parts)


async def test_it_repeats_an_answer_with_all_its_usage():
    engine, parts, _ = asking("Why?")
    first = await engine.complete(ALICE, ask("Count", idempotency="key"))
    again = await engine.complete(ALICE, ask("Count", idempotency="key"))
    assert (again.id, again.usage, again.message) == (first.id, first.usage, first.message)
    assert len(parts.models[0].calls) == 2
