"""A turn as far as the router, for who asks where it would go."""

import pytest

from engine.errors import ContentBlocked, SessionNotFound
from engine.types import Answerer, Message
from tests.engine.parts import ALICE, Kept, ask, build

BEFORE = [Message("user", "Hi"), Message("assistant", "Hello")]


async def test_it_knows_the_session_and_writes_nothing():
    engine, parts = build()
    parts.sessions.kept["s1"] = Kept("s1", history=list(BEFORE), answerer=Answerer("scripted", 7))
    async with engine.rehearsed(ALICE, ask("And now?", session_id="s1", remember=True)) as turn:
        assert [message.content for message in turn.history()] == ["Hi", "Hello", "And now?"]
        assert turn.constraints.answerer == Answerer("scripted", 7)
        assert turn.constraints.needed is not None and turn.constraints.needed() == 1
        assert not parts.sessions.closed
    assert (parts.sessions.closed, len(parts.sessions.opened), parts.sessions.attempts) == (1, 1, 0)
    assert (parts.journal.entries, parts.limiter.open, engine.active) == ([], 0, 0)


async def test_it_is_masked_and_refused_as_a_turn_is():
    engine, parts = build(words=["bomb"])
    parts.guard.masks = {"4111": "****"}
    with pytest.raises(ContentBlocked):
        async with engine.rehearsed(ALICE, ask("a bomb", remember=True)):
            raise AssertionError("nobody is asked")
    with pytest.raises(SessionNotFound):
        async with engine.rehearsed(ALICE, ask(session_id="nobodys", remember=True)):
            raise AssertionError("nobody is asked")
    assert parts.sessions.closed == len(parts.sessions.opened) == 1
    async with engine.rehearsed(ALICE, ask("4111")) as turn:
        assert turn.session is None
        assert [message.content for message in turn.history()] == ["****"]
    assert parts.journal.entries == []
