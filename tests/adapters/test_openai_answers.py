"""What of an answer is read although it is no text for people."""

import json

import pytest

from adapters.openai_answers import Answer
from engine.errors import ContextTooLong, UpstreamBusy, UpstreamError, UpstreamRejected


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("fp_44709d6fcb", "fp_44709d6fcb"),
        ("b6942-a1b2c3:Q4.K", "b6942-a1b2c3:Q4.K"),
        ("some words for people", None),
        ("你好", None),
        ("", None),
        ("a" * 65, None),
        ("fp_1\n", None),
    ],
)
def test_it_keeps_a_fingerprint_only_if_it_is_one(said, kept):
    answer = Answer()
    answer.read(
        json.dumps(
            {"system_fingerprint": said, "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
        ).encode()
    )
    assert answer.end().system_fingerprint == kept


def heard(*bodies):
    answer = Answer()
    said = [delta for body in bodies for delta in answer.read(json.dumps(body).encode())]
    return said, answer.end()


def test_it_reads_the_older_form_of_a_call():
    call = {"name": "weather", "arguments": '{"city": "Paris"}'}
    choice = {"message": {"content": None, "function_call": call}, "finish_reason": "function_call"}
    said, end = heard({"choices": [choice]})
    assert said[0].tool_calls == [{"index": 0, "id": "call_0", "type": "function", "function": call}]
    assert end.finish_reasons == {0: "tool_calls"}


def test_it_reads_the_older_form_of_a_call_in_pieces():
    pieces = [{"name": "weather", "arguments": ""}, {"arguments": '{"city": '}, {"arguments": '"Paris"}'}]
    chunks = [{"choices": [{"delta": {"function_call": piece}}]} for piece in pieces]
    said, _ = heard(*chunks, {"choices": [{"delta": {}, "finish_reason": "function_call"}]})
    fragments = [delta.tool_calls[0] for delta in said]
    assert [fragment.get("id") for fragment in fragments] == ["call_0", None, None]
    assert "".join(fragment["function"]["arguments"] for fragment in fragments) == '{"city": "Paris"}'


def test_it_reads_content_in_parts():
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    parts = [thinking, {"type": "text", "text": "Hel"}, {"type": "reference", "reference_ids": [1]}, {"text": "lo"}]
    said, _ = heard({"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]})
    assert (said[0].content, said[0].reasoning) == ("Hello", "Hm.")


@pytest.mark.parametrize(
    ("body", "cached"),
    [
        ({"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}}, 4),
        ({"usage": {"prompt_tokens": 9, "prompt_cache_hit_tokens": 5}}, 5),
        ({"usage": {"prompt_tokens": 9, "cached_tokens": 6}}, 6),
        ({"choices": [{"delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 9}}]}, 0),
    ],
)
def test_it_finds_the_usage_wherever_it_is(body, cached):
    _, end = heard({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}, body)
    assert (end.usage.prompt_tokens, end.usage.cached_tokens) == (9, cached)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Filtered.", "code": "content_filter", "status": 400}, UpstreamRejected),
        ({"message": "Too many.", "code": 429}, UpstreamBusy),
        ({"message": "This model's maximum context length is 9 tokens.", "code": 400}, ContextTooLong),
        ({"message": "Broken.", "code": 502}, UpstreamError),
        ({"message": "Broken.", "code": "odd"}, UpstreamError),
        ("Broken.", UpstreamError),
    ],
)
def test_an_error_in_place_of_an_answer_is_as_good_as_a_status(error, kind):
    with pytest.raises(kind) as raised:
        Answer().read(json.dumps({"error": error}).encode())
    assert type(raised.value) is kind


def test_an_error_after_the_first_word_is_no_refusal():
    answer = Answer()
    answer.read(b'{"choices": [{"delta": {"content": "a"}}]}')
    with pytest.raises(UpstreamError) as raised:
        answer.read(b'{"error": {"message": "Filtered.", "status": 400}}')
    assert type(raised.value) is UpstreamError


@pytest.mark.parametrize(
    ("reason", "finish"), [("sensitive", "content_filter"), ("model_length", "length"), ("end_of_turn", "stop")]
)
def test_it_knows_the_reasons_of_others(reason, finish):
    _, end = heard({"choices": [{"message": {"content": "a"}, "finish_reason": reason}]})
    assert end.finish_reasons == {0: finish}


def test_an_error_never_tells_the_key():
    with pytest.raises(UpstreamRejected) as raised:
        Answer("sk-secret").read(b'{"error": {"message": "No such key: sk-secret.", "status": 400}}')
    assert str(raised.value) == "No such key: ***."
