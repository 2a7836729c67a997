from engine.estimating import message_tokens, text_tokens
from engine.types import Message


def test_it_counts_about_four_bytes_a_token():
    assert text_tokens("") == 0
    assert text_tokens("abcd" * 10) == 10
    assert text_tokens("你好世界") == 3


def test_it_counts_parts_and_tool_calls():
    assert message_tokens(Message("user", "abcd")) == 5
    assert message_tokens(Message("user", [{"type": "text", "text": "abcd"}, {"type": "image_url"}])) == 4 + 1 + 765
    call = {"function": {"name": "f", "arguments": "{}"}}
    assert message_tokens(Message("assistant", None, tool_calls=[call])) > 4
