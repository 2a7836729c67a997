"""What a dry run says of a plugin's hooks, and that nothing a hook does harms it."""

from __future__ import annotations

import asyncio
import threading
import time

import msgspec
import pytest

from engine.types import ChatRequest, Choice, Message
from plugins.base import PluginBase, PluginSettings
from plugins.builtin.canned_answers import CannedAnswers, CannedAnswersSettings
from plugins.describing import traits_of
from plugins.rehearsal import HookFailed, PastTurn, Rehearsal, harmless
from tests.cast import ALICE
from tests.plugins.turns import said


def past(text="hello", answer="whole", **fields):
    messages = [Message(role="user", content=text)]
    given = {"choices": said(answer) if answer is not None else [], "turn_id": "t", **fields}
    return PastTurn(principal=ALICE.principal, request=ChatRequest(messages=messages), **given)


def rehearsed(plugin, *turns, timeout=5.0):
    with Rehearsal(plugin(PluginSettings()) if isinstance(plugin, type) else plugin, timeout) as rehearsal:
        told = [rehearsal.turn(turn) for turn in turns or (past(),)]
    return told[0] if len(told) == 1 else told


class Both(PluginBase):
    name = "both"

    def pre_process(self, context):
        context.messages.insert(0, Message(role="system", content="be kind"))
        context.features["tone"] = "kind"
        context.metadata["seen"] = len(context.history)
        context.state["dry"] = context.dry_run

    async def post_process(self, response):
        response.text = f"{response.text} {response.context.state['dry']}"
        response.ask(["Are you sure?"], max_tokens=5)


def test_it_tells_what_both_hooks_would_change():
    history = [Message(role="user", content="before")]
    told = rehearsed(Both, past(session_id="s", history=history))
    assert (told.pre.outcome, told.post.outcome, told.changes) == ("ok", "ok", True)
    assert [message.content for message in told.pre.messages] == ["be kind", "hello"]
    assert [message.content for message in told.pre.were] == ["hello"]
    assert (told.pre.features, told.metadata) == ({"tone": "kind"}, {"seen": 1})
    assert told.post.were[0].message.content == "whole"
    assert told.post.choices[0].message.content == "whole True"
    assert told.post.asked.max_tokens == 5
    assert told.post.asked.messages == [Message(role="user", content="Are you sure?")]
    assert told.pre.seconds > 0 and told.post.seconds > 0


def test_it_tells_of_a_plugin_that_changes_nothing():
    class Idle(PluginBase):
        name = "idle"

    told = rehearsed(Idle)
    assert (told.pre.outcome, told.post.outcome, told.changes) == ("none", "none", False)

    class Looking(PluginBase):
        name = "looking"

        def pre_process(self, context):
            assert context.text

        def post_process(self, response):
            assert response.text

    told = rehearsed(Looking)
    assert (told.pre.outcome, told.post.outcome, told.changes) == ("ok", "ok", False)


def test_it_shows_the_answer_given_in_the_models_place():
    plugin = CannedAnswers(
        msgspec.convert({"answers": [{"questions": ["Hello"], "answer": "Hi"}]}, CannedAnswersSettings)
    )
    told, other = rehearsed(plugin, past("hello!"), past("something else"))
    assert (told.pre.answer.content, told.changes, other.pre.answer, other.changes) == ("Hi", True, None, False)


def test_its_hook_after_the_model_sees_that_answer():
    class Answering(PluginBase):
        name = "answering"

        def pre_process(self, context):
            context.answer("mine")

        def post_process(self, response):
            response.text = response.text.upper()

    told = rehearsed(Answering)
    assert (told.post.were[0].message.content, told.post.choices[0].message.content) == ("mine", "MINE")


def test_it_gives_pieces_of_the_answer():
    class Pieces(PluginBase):
        name = "pieces"
        tail = " the end"

        def process_delta(self, delta):
            if delta.last:
                delta.content = self.tail
            elif delta.content:
                delta.content = delta.content.replace("whole", "part")

    assert rehearsed(Pieces).post.choices[0].message.content == "part the end"

    class Dropping(PluginBase):
        name = "dropping"

        async def process_delta(self, delta):
            delta.drop()

    assert rehearsed(Dropping).post.choices[0].message.content is None


def test_a_hook_that_sees_the_answer_when_it_was_sent_changes_nothing():
    class Watching(PluginBase):
        name = "watching"
        needs_full_response = False

        def process_delta(self, delta):
            delta.content = delta.content and "piece"

        def post_process(self, response):
            assert response.sent and response.text == "piece"
            response.text = "too late"
            response.metadata["seen"] = True

    told = rehearsed(Watching)
    assert (told.post.choices[0].message.content, told.metadata) == ("piece", {"seen": True})

    class Asking(Watching):
        def post_process(self, response):
            response.ask(["more?"])

    told = rehearsed(Asking)
    assert (told.post.outcome, told.post.choices[0].message.content, told.post.asked) == ("failed", "piece", None)

    class Whole(Watching):
        needs_full_response = None

        def post_process(self, response):
            response.text = f"{response.text} and no pieces"

    assert rehearsed(Whole).post.choices[0].message.content == "whole and no pieces"


@pytest.mark.parametrize("leave", [True, False])
def test_nothing_comes_after_a_hook_that_left_or_failed(leave):
    class Leaving(PluginBase):
        name = "leaving"

        def pre_process(self, context):
            context.messages.clear()
            if leave:
                context.leave()
            else:
                raise LookupError("no such thing")

        def post_process(self, response):
            raise AssertionError

    told = rehearsed(Leaving)
    assert told.post.outcome == "not_reached"
    assert (told.pre.outcome, told.pre.left) == (("ok", True) if leave else ("failed", False))
    assert told.pre.error == ("" if leave else "LookupError: no such thing")
    assert (told.pre.messages is None) is not leave


def test_nothing_comes_after_a_turn_without_an_answer():
    assert rehearsed(Both, past(answer=None)).post.outcome == "not_reached"


@pytest.mark.parametrize(
    "error", [SystemExit, KeyboardInterrupt, StopIteration, RecursionError, asyncio.CancelledError]
)
@pytest.mark.parametrize("blocking", [True, False])
def test_it_survives_whatever_a_hook_raises(error, blocking):
    class Wild(PluginBase):
        name = "wild"

        if blocking:

            def pre_process(self, context):
                raise error

        else:

            async def pre_process(self, context):
                raise error

    assert [told.pre.outcome for told in rehearsed(Wild, past(), past())] == ["failed", "failed"]


@pytest.mark.parametrize(
    "leave",
    [
        lambda context: setattr(context, "messages", None),
        lambda context: context.messages.append("not a message"),
        lambda context: context.features.update(itself=context.features),
        lambda context: context.answer(7),
        lambda context: setattr(context, "metadata", []),
        lambda context: context.metadata.update(long="x" * 70_000),
    ],
)
def test_it_calls_what_cannot_be_used_a_failure(leave):
    class Odd(PluginBase):
        name = "odd"

        def pre_process(self, context):
            leave(context)

    told = rehearsed(Odd)
    assert (told.pre.outcome, bool(told.pre.error), told.changes) == ("failed", True, False)


@pytest.mark.parametrize("blocking", [True, False])
def test_it_gives_up_a_plugin_whose_hooks_do_not_end(blocking):
    free = threading.Event()

    class Stuck(PluginBase):
        name = "stuck"

        if blocking:

            def pre_process(self, context):
                free.wait(60)

        else:

            async def pre_process(self, context):
                free.wait(60)  # blocks its event loop

    began = time.monotonic()
    told = rehearsed(Stuck, *[past()] * 4, timeout=0.05)
    free.set()
    assert [each.pre.outcome for each in told] == ["slow", "slow", "stuck", "stuck"]
    assert time.monotonic() - began < 30


def test_it_opens_and_closes_the_plugin():
    log = []

    class Pool(PluginBase):
        name = "pool"

        def open(self):
            log.append("open")

        async def close(self):
            log.append("close")

        def pre_process(self, context):
            log.append("pre")

    rehearsed(Pool)
    assert log == ["open", "pre", "close"]

    class Locked(PluginBase):
        name = "locked"

        def open(self):
            raise ConnectionError("refused")

    with pytest.raises(HookFailed, match="refused"):
        rehearsed(Locked)


def test_a_plugin_says_whether_a_dry_run_does_harm():
    class Posting(PluginBase):
        name = "posting"
        pure = True

        def post_process(self, response): ...

    class Careful(Posting):
        rehearses = True

    assert [harmless(each) for each in (PluginBase, Posting, Careful)] == [False, False, True]


def test_people_are_told_what_a_plugin_has():
    told = traits_of("canned_answers")
    assert (told.hooks, told.needs_full_response, told.timeout) == (["pre_process"], False, 1.0)
    assert told.about.startswith("Answers a question that is asked in exactly one")
    assert traits_of("nothing") is None


def test_a_choice_is_compared_with_what_it_was():
    class Reordering(PluginBase):
        name = "reordering"

        def post_process(self, response):
            response.choices.reverse()

    choices = [Choice(message=Message(role="assistant", content=text), finish_reason="stop") for text in "ab"]
    told = rehearsed(Reordering, past(choices=choices))
    assert [choice.message.content for choice in told.post.choices] == ["b", "a"]
    assert [choice.message.content for choice in told.post.were] == ["a", "b"]
