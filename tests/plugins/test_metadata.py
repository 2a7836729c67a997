"""What plugins have to say beside an answer, in whole turns of a real engine."""

import pytest

from engine.types import Message
from plugins.base import MOST_METADATA, PluginBase, PluginSettings
from tests.engine.parts import ALICE, ScriptedModel, ask, build, nothing_left
from tests.plugins.turns import chain


class Telling(PluginBase):
    name = "telling"

    def __init__(self, before=None, after=None):
        super().__init__(PluginSettings())
        self.before, self.after = before, after

    def pre_process(self, context):
        if self.before is not None:
            context.metadata = self.before

    def post_process(self, response):
        if self.after is not None:
            response.metadata["after"] = self.after


def telling(before=None, after=None, **fields):
    return build(ScriptedModel(["fine"]), plugins=chain(Telling(before, after)), **fields)


async def test_it_is_told_and_recorded_by_plugin():
    engine, parts = telling({"rows": [1, 2]}, "done")
    done = await engine.complete(ALICE, ask())
    assert done.metadata == {"telling": {"rows": [1, 2], "after": "done"}}
    assert parts.journal.completions[0].plugins == done.metadata
    await nothing_left(engine, parts)


async def test_it_is_nothing_where_nothing_is_said():
    engine, parts = telling()
    assert (await engine.complete(ALICE, ask())).metadata == {}
    assert parts.journal.completions[0].plugins == {}


async def test_it_goes_with_an_answer_of_the_plugins_own():
    class Answering(Telling):
        def pre_process(self, context):
            context.metadata["from"] = "faq"
            context.answer("canned")

    engine, _ = build(plugins=chain(Answering()))
    assert (await engine.complete(ALICE, ask())).metadata == {"telling": {"from": "faq"}}


async def test_it_comes_back_with_a_repeated_answer():
    engine, _ = telling({"rows": [1]})
    first = await engine.complete(ALICE, ask(idempotency="key"))
    assert (await engine.complete(ALICE, ask(idempotency="key"))).metadata == first.metadata != {}


@pytest.mark.parametrize("bad", ["x" * MOST_METADATA, object(), "\ud800", 2**70, {1: object()}])
async def test_it_takes_only_what_can_be_told(bad):
    engine, parts = telling({"fine": 1}, bad)
    done = await engine.complete(ALICE, ask())
    assert done.metadata == {"telling": {"fine": 1}}
    assert [each.reason for each in parts.journal.completions[0].skipped] == ["failed"]


async def test_it_takes_nothing_deeper_than_every_protocol_can_say():
    deep = []
    for _ in range(40):
        deep = [deep]
    engine, parts = telling({"deep": deep})
    assert (await engine.complete(ALICE, ask())).metadata == {}
    assert parts.journal.completions[0].skipped[0].reason == "failed"
    itself = {}
    itself["itself"] = itself
    assert (await telling(itself)[0].complete(ALICE, ask())).metadata == {}


@pytest.mark.parametrize("said", [{"a": ["x", {"b": "a bomb"}]}, {"a bomb": 1}])
async def test_it_leaves_out_what_holds_a_word_to_be_blocked(said):
    engine, parts = telling(said, words=["bomb"])
    done = await engine.complete(ALICE, ask())
    assert (done.metadata, done.message.content) == ({}, "fine")
    end = parts.journal.completions[0]
    assert end.plugins == {} and [verdict.word for verdict in end.verdicts] == ["bomb"]


async def test_it_says_nothing_beside_an_answer_that_was_blocked():
    engine, _ = build(ScriptedModel(["a bomb"]), words=["bomb"], plugins=chain(Telling({"rows": [1]})))
    done = await engine.complete(ALICE, ask())
    assert (done.finish_reason, done.metadata) == ("content_filter", {})


async def test_it_cannot_be_changed_later():
    kept = []

    class Keeping(Telling):
        def pre_process(self, context):
            context.metadata["fine"] = {"x": 1}
            kept.append(context)

        def post_process(self, response):
            kept[0].metadata["fine"]["x"] = object()
            raise LookupError

    engine, _ = build(plugins=chain(Keeping()))
    assert (await engine.complete(ALICE, ask())).metadata == {"telling": {"fine": {"x": 1}}}


# What plugins found out -------------------------------------------------------------------------------------------


class Finding(PluginBase):
    name = "finding"
    pure = True

    async def pre_process(self, context):
        context.features.update(intent="refund", intent_score=0.9, language="en", odd={"no": "fact"}, long="x" * 300)


async def test_it_is_in_the_decision_on_record():
    engine, parts = build(plugins=chain(Finding))
    await engine.complete(ALICE, ask())
    assert parts.journal.intents[0].decision["found"] == {"intent": "refund", "intent_score": 0.9, "language": "en"}


async def test_it_is_on_record_where_a_plugin_answered():
    class Answering(PluginBase):
        name = "answering"

        def pre_process(self, context):
            context.answer(Message("assistant", "canned"))

    engine, parts = build(plugins=chain(Finding, Answering))
    await engine.complete(ALICE, ask())
    assert parts.journal.intents[0].decision["features"]["intent"] == "refund"


async def test_a_rehearsal_runs_only_plugins_without_effect():
    class Acting(PluginBase):
        name = "acting"

        def pre_process(self, context):
            raise AssertionError("it acts")

    engine, parts = build(plugins=chain(Acting, Finding))
    async with engine.rehearsed(ALICE, ask()) as turn:
        assert turn.features["intent"] == "refund"
    assert parts.journal.entries == []
    assert parts.plugins.states(1)[0].calls == 0
