"""The guard in the engine: what a client, a session and the journal get of a turn."""

import msgspec
import pytest

from compliance.guard import GuardTable, TenantWords, WordGuard
from engine.errors import ContentBlocked
from engine.snapshots import Cell
from engine.types import Delta
from tests.compliance.wordlists import matcher
from tests.engine.parts import ALICE, ScriptedModel, ask, build


def guarded(*models, **words_by_action):
    engine, parts = build(*models)
    words = matcher(**words_by_action)
    tenants = {ALICE.tenant_id: TenantWords(lists=(), input=words, output=words)}
    engine.guard = WordGuard(Cell(GuardTable(tenants=tenants)))
    return engine, parts


async def test_it_refuses_a_blocked_question_and_records_why():
    model = ScriptedModel(["never"])
    engine, parts = guarded(model, block=["坏人"])
    with pytest.raises(ContentBlocked):
        await engine.complete(ALICE, ask("你是坏人"))
    assert parts.journal.states == ["refused"]
    (verdict,) = parts.journal.intents[0].verdicts
    assert (verdict.word, verdict.action, verdict.where) == ("坏人", "block", "input")


async def test_it_shows_the_model_a_masked_question():
    engine, parts = guarded(ScriptedModel(["fine"]), mask=["secret"])
    await engine.complete(ALICE, ask("my secret plan"))
    assert parts.journal.intents[0].messages[0].content == "my ****** plan"


async def test_it_ends_a_blocked_answer_for_everybody():
    engine, parts = guarded(ScriptedModel(["all ", "good, b", "ad", " and more"]), block=["bad"])
    events = [event async for event in engine.stream(ALICE, ask())]
    assert [event.content for event in events if isinstance(event, Delta)] == ["all ", "good, "]
    assert events[-1].finish_reason == "content_filter"
    completion = parts.journal.completions[0]
    assert completion.choices[0].message.content == "all good, "
    assert [verdict.word for verdict in completion.verdicts] == ["bad"]
    said = msgspec.json.encode([event.content for event in events if isinstance(event, Delta)] + completion.choices)
    assert b"bad" not in said


async def test_it_gives_the_rest_of_an_answer_at_its_end():
    engine, _ = guarded(ScriptedModel(["not b", "a"]), block=["bad"])
    done = await engine.complete(ALICE, ask())
    assert (done.message.content, done.finish_reason) == ("not ba", "stop")
