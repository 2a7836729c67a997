import pytest

from engine.estimating import message_tokens, messages_tokens, text_tokens
from engine.types import Message

CALL = {"id": "c", "function": {"name": "f", "arguments": '{"a": "long enough to count"}'}}
CONVERSATIONS = [
    [],
    [Message("user", ""), Message("assistant", "abcde"), Message("user", "你好，世界")],
    [Message("user", "\ud83d"), Message("assistant", "abcd")],
    [
        Message("user", "abcd"),
        Message("assistant", None, tool_calls=[CALL]),
        Message("tool", "x" * 9, tool_call_id="c"),
    ],
    [Message("user", "abcd"), Message("assistant", "abc", tool_calls=[CALL])],
    [Message("user", "abcd"), Message("user", [{"type": "text", "text": "abcdefgh"}, {"type": "image_url"}])],
    [Message("user", "abcd"), Message("assistant", None)],
]


def test_it_counts_about_four_bytes_a_token():
    assert text_tokens("") == 0
    assert text_tokens("abcd" * 10) == 10
    assert text_tokens("你好世界") == 3


def test_it_counts_parts_and_tool_calls():
    assert message_tokens(Message("user", "abcd")) == 5
    assert message_tokens(Message("user", [{"type": "text", "text": "abcd"}, {"type": "image_url"}])) == 4 + 1 + 765
    call = {"function": {"name": "f", "arguments": "{}"}}
    assert message_tokens(Message("assistant", None, tool_calls=[call])) > 4


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_a_conversation_counts_as_its_messages_do(messages):
    assert messages_tokens(messages) == sum(map(message_tokens, messages))
