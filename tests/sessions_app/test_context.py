from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import estimating
from engine.errors import ContextTooLong
from engine.types import Message
from sessions_app.context import turns_of, window


def said(role, words, **fields):
    return Message(role, "word " * words, **fields)


SYSTEM = Message("system", "Be kind.")
HISTORY = [message for _ in range(10) for message in (said("user", 40), said("assistant", 40))]
ASKED = [said("user", 10)]


def test_it_sends_everything_where_there_is_room():
    assert window([SYSTEM, *HISTORY], ASKED, {}, None) == [SYSTEM, *HISTORY, *ASKED]
    assert window([SYSTEM, *HISTORY], ASKED, {}, 100_000) == [SYSTEM, *HISTORY, *ASKED]
    assert window([], ASKED, {}, 100_000) == ASKED


def test_it_drops_the_oldest_whole_turns_and_keeps_the_system_prompt():
    sent = window([SYSTEM, *HISTORY], ASKED, {}, 600)
    assert sent[0] == SYSTEM and sent[-1] == ASKED[0]
    kept = sent[1:-1]
    assert 0 < len(kept) < len(HISTORY) and len(kept) % 2 == 0
    assert kept == HISTORY[-len(kept) :]
    assert estimating.messages_tokens(sent) <= 600 * 3 / 4


def test_it_replaces_the_system_prompt_by_a_new_one():
    newer = Message("system", "Be brief.")
    assert window([SYSTEM, *HISTORY], [newer, *ASKED], {}, None) == [newer, *HISTORY, *ASKED]


def test_it_keeps_the_answers_of_tools_with_their_call():
    call = Message("assistant", None, tool_calls=[{"id": "c", "type": "function", "function": {"name": "f"}}])
    result = said("tool", 40, tool_call_id="c")
    tooled = [said("user", 11), call, result, said("assistant", 40)]
    history = [*HISTORY, *tooled, *HISTORY[:2]]
    for size in range(60, 3000, 7):
        sent = window(history, ASKED, {}, size)
        assert (call in sent) == (result in sent) == (tooled[0] in sent)


def test_it_keeps_the_call_that_the_new_messages_answer():
    call = Message("assistant", None, tool_calls=[{"id": "c", "type": "function", "function": {"name": "f"}}])
    history = [*HISTORY, said("user", 30), call]
    result = said("tool", 30, tool_call_id="c")
    assert window(history, [result], {}, 120) == [*history[-2:], result]


def test_it_refuses_what_cannot_fit():
    with pytest.raises(ContextTooLong):
        window([SYSTEM, *HISTORY], [said("user", 500)], {}, 400)
    with pytest.raises(ContextTooLong):
        window([said("system", 500)], ASKED, {}, 400)


def test_it_puts_the_profile_into_the_system_prompt():
    (system, _) = window([SYSTEM], ASKED, {"name": "Ada"}, None)
    assert system == Message("system", 'Be kind.\n\nUser profile: {"name":"Ada"}')
    assert window([], ASKED, {"name": "Ada"}, None)[0] == Message("system", 'User profile: {"name":"Ada"}')
    parts = Message("system", [{"type": "text", "text": "Be kind."}])
    assert len(window([parts], ASKED, {"name": "Ada"}, None)[0].content) == 2
    (long, _) = window([], ASKED, {"name": "Ada", "story": "x" * 5000}, None)
    assert long.content == 'User profile: {"name":"Ada"}'


ROLES = st.sampled_from(["user", "assistant", "tool", "system"])


@given(st.lists(st.tuples(ROLES, st.integers(0, 60)), max_size=30), st.integers(30, 2000))
def test_it_always_sends_the_end_of_the_conversation(messages, size):
    history = [said(role, words) for role, words in messages]
    assert [message for turn in turns_of(history) for message in turn] == history
    try:
        sent = window(history, ASKED, {}, size)
    except ContextTooLong:
        return
    assert estimating.messages_tokens(sent) <= size
    whole = window(history, ASKED, {}, None)
    leading = next((n for n, message in enumerate(sent) if message.role != "system"), 0)
    assert sent[leading:] == whole[len(whole) - len(sent) + leading :]
