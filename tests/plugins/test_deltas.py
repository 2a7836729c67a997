"""Plugins that see an answer piece by piece, in whole turns of a real engine."""

import asyncio
import time

import pytest

from engine.errors import PluginUnavailable, UpstreamError
from engine.types import CachePolicy, Delta, Done, Start
from plugins.active import Active
from plugins.base import PluginBase, PluginSettings
from tests.engine.parts import ALICE, ScriptedModel, ask, build, nothing_left
from tests.plugins.turns import active, chain

CALL = [{"index": 0, "id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}]


class Upper(PluginBase):
    name = "upper"

    def process_delta(self, delta):
        delta.content = delta.content and delta.content.upper()


class Words(PluginBase):
    """Lets out whole words only, each with a mark."""

    name = "words"

    def process_delta(self, delta):
        held = delta.context.state.get("held", "") + (delta.content or "")
        words = held.split(" ")
        delta.context.state["held"] = "" if delta.last else words.pop()
        delta.content = "".join(f"<{word}>" for word in words) or None


class Acting(PluginBase):
    """Does with every piece what it is given."""

    name = "acting"

    def __init__(self, act):
        super().__init__(PluginSettings())
        self.process = act
        self.seen = []

    def process_delta(self, delta):
        self.seen.append((delta.content, delta.last))
        self.process(delta)


async def pieces(engine, **fields):
    """Text as it is streamed."""
    events = [event async for event in engine.stream(ALICE, ask(stream=True, **fields))]
    assert type(events[0]) is Start and type(events[-1]) is Done
    assert all(delta != Delta() for delta in events), "nothing is sent of what nothing is left of"
    return [event.content for event in events[1:-1]], events[-1]


def of(*plugins, model=None, **fields):
    return build(model or ScriptedModel(["one t", "wo", " three"]), plugins=chain(*plugins), **fields)


async def test_it_changes_a_stream_without_waiting_for_the_whole():
    engine, parts = of(Upper)
    sent, done = await pieces(engine)
    assert sent == ["ONE T", "WO", " THREE"]
    assert done.message.content == parts.journal.completions[0].choices[0].message.content == "ONE TWO THREE"
    await nothing_left(engine, parts)


async def test_it_sends_what_was_held_back_when_the_answer_is_over():
    engine, parts = of(Words)
    assert (await pieces(engine))[0] == ["<one>", "<two>", "<three>"]
    await nothing_left(engine, parts)


async def test_it_passes_pieces_in_reverse_and_what_was_held_back_too():
    engine, _ = of(Upper, Words)
    assert "".join((await pieces(engine))[0]) == "<ONE><TWO><THREE>"
    engine, _ = of(Words, Upper)
    assert "".join((await pieces(engine))[0]) == "<ONE><TWO><THREE>"


async def test_it_awaits_a_hook_that_is_declared_so():
    class Later(PluginBase):
        name = "later"

        async def process_delta(self, delta):
            await asyncio.sleep(0)
            delta.drop() if delta.content == "wo" else None

    assert (await pieces(of(Later)[0]))[0] == ["one t", " three"]


async def test_it_says_the_start_before_anything_is_left_of_an_answer():
    gate = asyncio.Event()
    engine, _ = of(Acting(lambda delta: delta.drop()), model=ScriptedModel(["one", gate, "two"]))
    stream = engine.stream(ALICE, ask(stream=True))
    assert type(await asyncio.wait_for(anext(stream), 20)) is Start
    gate.set()
    assert [type(event) async for event in stream] == [Done]


async def test_it_keeps_the_guard_last():
    def leak(delta):
        delta.content = "a bomb"

    engine, parts = of(Acting(leak), words=["bomb"])
    sent, done = await pieces(engine)
    assert sent == [] and done.finish_reason == "content_filter"
    assert "bomb" not in str(parts.journal.completions[0].choices)


async def test_it_gives_the_whole_in_one_piece_where_another_plugin_needs_it():
    class Signed(PluginBase):
        name = "signed"

        def post_process(self, response):
            response.text += ", signed"

    seen = Acting(lambda delta: None)
    engine, _ = of(Upper, Signed, seen)
    sent, done = await pieces(engine)
    assert sent == ["ONE TWO THREE, SIGNED"]
    assert seen.seen == [("one two three", False), (None, True)]
    assert done.finish_reason == "stop"


async def test_it_runs_over_the_answer_of_a_plugin():
    class Answering(PluginBase):
        name = "answering"

        def pre_process(self, context):
            context.answer("canned")

    engine, _ = of(Words, Answering)
    assert (await engine.complete(ALICE, ask())).message.content == "<canned>"


async def test_it_leaves_a_turn_alone_whose_plugin_left_it():
    class Leaving(Upper):
        name = "leaving"

        def pre_process(self, context):
            context.leave()

        def post_process(self, response):
            raise AssertionError("it has left")

    engine, parts = of(Leaving)
    assert (await pieces(engine))[0] == ["one t", "wo", " three"]
    assert parts.journal.completions[0].skipped == []


async def test_it_ends_with_the_last_piece_of_every_choice():
    ended = []
    model = ScriptedModel([Delta(content="a"), Delta(content="b", index=1)])
    engine, _ = of(Acting(lambda delta: ended.append(delta.index) if delta.last else None), model=model)
    await engine.complete(ALICE, ask())
    assert ended == [0, 1]


async def test_it_cannot_change_a_call_that_others_read():
    def meddle(delta):
        if delta.tool_calls:
            delta.tool_calls[0]["function"]["name"] = "meddled"

    shared = Delta(tool_calls=CALL)
    engine, _ = of(Acting(meddle), model=ScriptedModel([shared]))
    done = await engine.complete(ALICE, ask())
    assert done.message.tool_calls[0]["function"]["name"] == "meddled"
    assert shared.tool_calls[0]["function"]["name"] == "look"


async def test_it_leaves_tool_calls_as_they_are_unless_they_are_changed():
    engine, _ = of(Upper, model=ScriptedModel([Delta(tool_calls=CALL)]))
    done = await engine.complete(ALICE, ask())
    assert done.message.tool_calls[0]["function"] == {"name": "look", "arguments": "{}"}


async def test_it_takes_log_probabilities_from_what_was_changed():
    told = {"content": [{"token": "a"}]}
    engine, _ = of(Upper, model=ScriptedModel([Delta(content="a", logprobs=told), Delta(content="B", logprobs=told)]))
    (choice,) = (await engine.complete(ALICE, ask())).choices
    assert choice.logprobs == told, "those of the second piece, which is as it was"


async def test_it_cuts_off_an_answer_of_which_nothing_is_sent():
    """What is dropped costs as much as what is sent."""
    engine, parts = of(Acting(lambda delta: delta.drop()), model=ScriptedModel(["abcd"] * 100))
    parts.limiter.room = 10
    sent, done = await pieces(engine)
    assert (sent, done.finish_reason) == ([], "length")
    assert parts.models[0].closed == 1
    await nothing_left(engine, parts)


async def test_it_keeps_for_others_what_the_model_said():
    engine, parts = of(Upper)
    parts.answers.chosen = CachePolicy(ttl=60)
    await engine.complete(ALICE, ask(temperature=0))
    (kept,) = parts.answers.kept.values()
    assert kept.choices[0].message.content == "one two three"
    assert (await engine.complete(ALICE, ask(temperature=0))).message.content == "ONE TWO THREE"


# Hooks that misbehave ---------------------------------------------------------------------------------------------


def fail(delta):
    if delta.content == "wo":
        raise LookupError("wo")


@pytest.mark.parametrize(
    "act",
    [
        fail,
        lambda delta: setattr(delta, "content", 5),
        lambda delta: setattr(delta, "tool_calls", [object()]),
        lambda delta: setattr(delta, "content", "\ud800"),
        lambda delta: exec("raise SystemExit"),
        lambda delta: next(iter(())),
    ],
)
async def test_it_goes_on_without_a_hook_that_fails(act):
    plugin = Acting(act)
    engine, parts = of(plugin)
    sent, _ = await pieces(engine)
    assert sent == ["one t", "wo", " three"]
    end = parts.journal.completions[0]
    assert [(each.plugin, each.hook, each.reason) for each in end.skipped] == [("acting", "process_delta", "failed")]
    assert len(plugin.seen) < 3, "it sees no more of the turn"


@pytest.mark.parametrize("error", [LookupError, SystemExit, KeyboardInterrupt])
async def test_it_survives_whatever_an_awaited_hook_raises(error):
    class Wild(PluginBase):
        name = "wild"

        async def process_delta(self, delta):
            raise error

    engine, parts = of(Wild)
    assert (await pieces(engine))[0] == ["one t", "wo", " three"]
    assert [each.reason for each in parts.journal.completions[0].skipped] == ["failed"]


async def test_it_stops_a_stream_whose_required_plugin_fails():
    engine, parts = of(active(Acting(fail), required=True))
    stream = engine.stream(ALICE, ask(stream=True))
    assert type(await anext(stream)) is Start
    assert (await anext(stream)).content == "one t"
    with pytest.raises(PluginUnavailable):
        await anext(stream)
    assert parts.journal.states == ["failed"]
    await nothing_left(engine, parts)


async def test_it_sees_no_more_of_a_turn_that_it_spent_its_time_on():
    plugin = Acting(lambda delta: time.sleep(0.02))
    engine, parts = of(Active.of(plugin, timeout=0.001))
    assert (await pieces(engine))[0] == ["one t", "wo", " three"]
    assert [each.reason for each in parts.journal.completions[0].skipped] == ["slow"]
    assert len(plugin.seen) == 1


async def test_it_does_not_wait_for_a_hook_beyond_its_time():
    class Waiting(PluginBase):
        name = "waiting"

        async def process_delta(self, delta):
            await asyncio.sleep(60)

    engine, parts = of(active(Waiting, timeout=0.02))
    sent, _ = await asyncio.wait_for(pieces(engine), 30)
    assert sent == ["one t", "wo", " three"]
    assert [each.reason for each in parts.journal.completions[0].skipped] == ["slow"]


async def test_it_counts_once_a_turn():
    class Counted:
        def __init__(self):
            self.told = []

        def hook(self, *, plugin, hook, outcome, seconds):
            self.told.append((plugin, hook, outcome))

    meter = Counted()
    engine, _ = build(ScriptedModel(["a"] * 50), plugins=chain(Upper, meter=meter))
    await engine.complete(ALICE, ask())
    assert meter.told == [("upper", "process_delta", "ok")]


async def test_it_closes_the_call_when_the_reader_leaves():
    engine, parts = of(Upper, model=ScriptedModel(["a", "b", "c"]))
    stream = engine.stream(ALICE, ask(stream=True))
    await anext(stream)
    await stream.aclose()
    await nothing_left(engine, parts)
    assert parts.journal.states == ["cancelled"]
    stream = engine.stream(ALICE, ask(stream=True))
    await anext(stream)
    await anext(stream)
    await stream.aclose()
    await nothing_left(engine, parts)


async def test_it_fails_as_the_call_does():
    engine, parts = of(Upper, model=ScriptedModel(["a", UpstreamError()]))
    with pytest.raises(UpstreamError):
        await engine.complete(ALICE, ask())
    assert parts.journal.states == ["failed"]
    assert parts.journal.completions[0].choices[0].message.content == "A"
    await nothing_left(engine, parts)


# Plugins that only look -------------------------------------------------------------------------------------------


class Looking(PluginBase):
    name = "looking"
    needs_full_response = False

    def post_process(self, response):
        response.metadata["saw"] = [response.text, response.sent, response.rounds_left]
        response.text = "something else"


async def test_it_shows_what_was_sent_to_a_plugin_that_does_not_need_the_whole():
    engine, parts = of(Looking, Upper)
    sent, done = await pieces(engine)
    assert sent == ["ONE T", "WO", " THREE"]
    assert done.message.content == "ONE TWO THREE"
    assert done.metadata == {"looking": {"saw": ["ONE TWO THREE", True, 0]}}
    assert parts.journal.completions[0].plugins == done.metadata


async def test_it_cannot_ask_about_what_was_sent():
    class Late(Looking):
        name = "late"

        def post_process(self, response):
            response.ask(["Why?"])

    engine, parts = of(Late)
    await engine.complete(ALICE, ask())
    assert [each.reason for each in parts.journal.completions[0].skipped] == ["failed"]


async def test_it_fails_a_turn_at_its_end_where_looking_on_is_required():
    class Blind(Looking):
        name = "blind"

        def post_process(self, response):
            raise LookupError

    engine, parts = of(active(Blind, required=True))
    with pytest.raises(PluginUnavailable):
        await engine.complete(ALICE, ask())
    assert parts.journal.states == ["failed"]
    await nothing_left(engine, parts)


async def test_it_may_need_the_whole_without_changing_it():
    class Whole(PluginBase):
        name = "whole"
        needs_full_response = True

    engine, _ = of(Whole)
    assert (await pieces(engine))[0] == ["one two three"]
