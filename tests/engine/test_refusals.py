"""What a turn that was refused leaves behind: its record with the decision, and its name on the error."""

import pytest

from engine.errors import ContentBlocked, EngineError, Overloaded, RateLimited, UpstreamError
from tests.engine.parts import ALICE, ScriptedModel, ask, build

DECISION = {"model": None, "instance": None, "rules": ["first"], "candidates": [{"id": 1, "removed": "rate_limited"}]}


async def failure_of(engine, request=None):
    with pytest.raises(EngineError) as caught:
        await engine.complete(ALICE, request or ask())
    return caught.value


async def test_the_decision_of_a_refusal_is_recorded(monkeypatch):
    engine, parts = build(ScriptedModel())

    def nobody(*_, **__):
        error = Overloaded()
        error.decision = DECISION
        raise error

    monkeypatch.setattr(parts.router, "choose", nobody)
    error = await failure_of(engine)
    (intent,) = parts.journal.intents
    assert (intent.decision, intent.rules, intent.instance) == (DECISION, ["first"], "")
    assert error.turn_id == intent.turn_id == parts.journal.completions[0].turn_id
    assert parts.journal.completions[0].error == "overloaded"


async def test_an_error_names_its_turn_where_that_is_recorded():
    engine, parts = build(ScriptedModel([UpstreamError()]), words=["bomb"])
    assert (await failure_of(engine)).turn_id == parts.journal.intents[0].turn_id
    blocked = await failure_of(engine, ask("a bomb"))
    assert isinstance(blocked, ContentBlocked) and blocked.turn_id == parts.journal.intents[1].turn_id
    parts.limiter.refusal = RateLimited()
    assert (await failure_of(engine)).turn_id is None
    parts.limiter.refusal = None
    parts.journal.broken = True
    assert (await failure_of(engine)).turn_id is None
