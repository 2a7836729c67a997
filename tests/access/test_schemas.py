import pytest

from access import schemas
from engine.errors import InvalidRequest
from engine.types import Message

HI = [{"role": "user", "content": "Hi"}]


def chat(body, **options):
    return schemas.chat_request(body, edge="rest", request_id="r", **options)


def openai(body, **options):
    return schemas.openai_request({"messages": HI, **body}, request_id="r", **options)


def param_of(call):
    with pytest.raises(InvalidRequest) as caught:
        call()
    return caught.value.param


def test_it_makes_a_message_of_a_text():
    request = chat({"message": "Hi", "session_id": "s-1", "user_profile": {"name": "Ann"}, "language": "zh-CN"})
    assert request.messages == [Message("user", "Hi")] and request.remember and not request.create_session
    assert (request.session_id, request.language, request.user_profile) == ("s-1", "zh-CN", {"name": "Ann"})


def test_it_wants_one_of_message_and_messages():
    assert param_of(lambda: chat({})) == "message"
    assert param_of(lambda: chat({"message": "Hi", "messages": HI})) == "message"
    assert param_of(lambda: chat({"message": ""})) == "message"


@pytest.mark.parametrize("session_id", ["", "a" * 129, "a b", "a/b", "a{b}", "a:b", "a\n", "你"])
def test_it_refuses_unsafe_session_ids(session_id):
    assert param_of(lambda: chat({"message": "Hi", "session_id": session_id})) == "session_id"
    given = [(b"x-session-id", session_id.encode())]
    assert param_of(lambda: openai({}, headers=given)) == "X-Session-Id"


def test_it_remembers_an_openai_turn_only_with_a_session():
    assert not openai({}).remember
    request = openai({}, headers=[(b"x-session-id", b"mine")])
    assert request.remember and request.create_session and request.session_id == "mine"


def test_it_reads_max_completion_tokens_as_max_tokens():
    assert openai({"max_completion_tokens": 5}).max_tokens == 5
    assert openai({"max_completion_tokens": 5, "max_tokens": 9}).max_tokens == 5


def test_it_treats_null_as_absent():
    request = openai({"model": None, "temperature": None, "stop": None, "tools": None, "stream": None, "seed": None})
    assert (request.model, request.temperature, request.tools, request.stream) == ("auto", None, None, False)
    assert request.params == {}


def test_it_drops_what_it_does_not_know():
    request = openai({"invented": 1, "stream": True, "prompt_cache_key": "x", "top_p": 0.5})
    assert request.params == {"top_p": 0.5} and request.stream


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"temperature": "1"}, "temperature"),
        ({"stop": ["a", 5]}, "stop[1]"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"messages": [HI[0], {"role": "user", "content": {}}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function"),
        ({"model": "a\nb"}, "model"),
    ],
)
def test_it_names_the_field_at_fault(body, param):
    assert param_of(lambda: openai(body)) == param


def test_it_keeps_what_vouches_for_a_call_of_a_tool():
    signed = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    extra = {"google": {"thought_signature": "c2ln"}}
    said = {"role": "assistant", "tool_calls": [{**signed, "extra_content": extra, "x": 1}]}
    assert openai({"messages": [said]}).messages[0].tool_calls == [{**signed, "extra_content": extra}]
    said["tool_calls"][0]["extra_content"] = "c2ln"
    assert openai({"messages": [said]}).messages[0].tool_calls == [signed]


def test_it_names_a_missing_field():
    assert param_of(lambda: schemas.openai_request({}, request_id="r")) == "messages"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, None),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("en;q=0.2, de;q=0.7", "de"),
        ("*", None),
        ("en;q=0", None),
        ("complete nonsense!", None),
        ("fr", "fr"),
    ],
)
def test_it_reads_accept_language(header, language):
    headers = [(b"accept-language", header.encode())] if header is not None else []
    assert chat({"message": "Hi"}, headers=headers).language == openai({}, headers=headers).language == language


def test_it_puts_the_body_before_the_header():
    assert chat({"message": "Hi", "language": "ja"}, headers=[(b"accept-language", b"de")]).language == "ja"


def test_it_hands_the_headers_on_as_they_are():
    headers = [(b"x-team", b"\xff"), (b"cache-control", b"no-cache"), (b"x-team", b"b")]
    for request in (chat({"message": "Hi"}, headers=headers), openai({}, headers=headers)):
        assert request.headers is headers and request.cache == "no-cache"
    assert chat({"message": "Hi"}).cache == openai({}).cache == ""


def test_it_keeps_marks_of_prompt_caching() -> None:
    marks = [{"type": "ephemeral", "ttl": "1h", "more": 1}, {"type": "odd", "ttl": "9d"}, "no"]
    parts = [{"type": "text", "text": "a", "cache_control": mark} for mark in marks]
    request = schemas.openai_request({"messages": [{"role": "user", "content": parts}]}, request_id="r")
    kept = [part.get("cache_control") for part in request.messages[0].content or ()]
    assert kept == [{"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}, None]


def test_no_message_says_itself_that_it_only_passes():
    messages = [{"role": "user", "content": "Hi", "passing": True}]
    for request in (chat({"messages": messages}), openai({"messages": messages})):
        assert request.messages == [Message("user", "Hi")]
