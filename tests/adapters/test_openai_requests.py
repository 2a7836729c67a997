"""What goes back of a conversation to a service that speaks OpenAI's format."""

from __future__ import annotations

import msgspec
import pytest

from adapters.openai_requests import Options, messages
from engine.types import Message

TEXTS = [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello", refusal="no", name="n")]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}


def test_a_conversation_of_texts_goes_as_it_is():
    assert messages(TEXTS, Options()) is TEXTS


@pytest.mark.parametrize(
    ("message", "becomes"),
    [
        (Message("assistant", "a", reasoning_content="thought"), Message("assistant", "a")),
        (Message("assistant", "a", reasoning_content=""), Message("assistant", "a")),
        (Message("developer", "a"), Message("system", "a")),
        (Message("user", [{"type": "text", "text": "a", "cache_control": {}}]), [{"type": "text", "text": "a"}]),
        (Message("assistant", "a", extra_content={"other": 1}), Message("assistant", "a")),
        (Message("tool", "a", tool_call_id="1" * 30), Message("tool", "a", tool_call_id="1" * 30)),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_one_message_that_is_more_than_a_text_is_found_wherever_it_stands(message, becomes, place):
    said = [*TEXTS[:place], message, *TEXTS[place:]]
    sent = messages(said, Options(instructions="system"))
    assert sent is not said
    if isinstance(becomes, list):
        becomes = msgspec.structs.replace(message, content=becomes)
    assert sent == [*TEXTS[:place], becomes, *TEXTS[place:]]


def test_a_call_of_a_tool_is_found_too():
    said = [*TEXTS, Message("assistant", None, tool_calls=[{**CALL, "extra_content": {"other": 1}}])]
    sent = messages(said, Options())
    assert sent[:3] == TEXTS and sent[3].tool_calls is not None and "extra_content" not in sent[3].tool_calls[0]
