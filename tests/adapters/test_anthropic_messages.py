"""What the adapter of Anthropic Messages sends, beyond the conformance suite."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.base import InvalidAdapterConfig
from engine.errors import (
    NotSupported,
)
from engine.types import Message
from tests.adapters.anthropic import Recording, adapter, conversation, sent
from tests.conformance.adapters import TOOL, TOOL_CALL, call, listen


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("", "https://api.anthropic.com/v1/messages"),
        ("http://h/v1/", "http://h/v1/messages"),
        ("http://h:1/a/v1/messages?b=1", "http://h:1/a/v1/messages?b=1"),
    ],
)
async def test_it_takes_the_base_or_the_whole_address(endpoint: str, url: str) -> None:
    asked = adapter(endpoint=endpoint)
    await listen(asked, call())
    assert isinstance(asked.http, Recording)
    assert asked.http.url == url


@pytest.mark.parametrize(
    ("endpoint", "key", "options", "what"),
    [
        ("h/v1", "k", {}, "endpoint"),
        ("", "two\nlines", {}, "api_key"),
        ("", "k", {"beta": ["ü"]}, "anthropic-beta"),
        ("", "k", {"thinking": "hard"}, "options"),
        ("", "k", {"max_tokens": 0}, "options"),
        ("", "k", {"unknown": 1}, "options"),
    ],
)
def test_it_refuses_a_configuration_that_cannot_work(endpoint: str, key: str, options: Any, what: str) -> None:
    with pytest.raises(InvalidAdapterConfig, match=what):
        adapter(endpoint=endpoint, key=key, **options)


async def test_it_names_version_betas_and_key() -> None:
    asked = adapter(beta=["one-2025-01-01", "two-2025-01-01"], headers={"x-more": "1"})
    await listen(asked, call())
    assert isinstance(asked.http, Recording)
    headers = asked.http.sent
    assert headers["x-api-key"] == "sk-secret"
    assert headers["anthropic-version"] == "2023-06-01"
    assert headers["anthropic-beta"] == "one-2025-01-01,two-2025-01-01"
    assert headers["x-more"] == "1"
    assert "Authorization" not in headers


async def test_it_bears_the_key_where_a_vendor_wants_it_so() -> None:
    asked = adapter(credential="bearer")
    await listen(asked, call())
    assert isinstance(asked.http, Recording)
    assert asked.http.sent["Authorization"] == "Bearer sk-secret"
    assert "x-api-key" not in asked.http.sent


async def test_it_sends_the_request_and_nothing_else() -> None:
    messages = [
        Message("system", "Be brief."),
        Message("user", [{"type": "text", "text": "weather?"}], name="ann"),
        Message("assistant", "Let me see.", tool_calls=[TOOL_CALL]),
        Message("tool", "sunny", tool_call_id="call_1"),
        Message("developer", "Speak German."),
        Message("user", "And now?"),
    ]
    hidden = {"metadata": {"a": 1}, "user": "ann", "user_profile": {"b": 2}, "session_id": "s", "language": "de"}
    params = {"top_p": 0.5, "stop": "END", "seed": 1, "stream_options": {"include_usage": True}}
    fields = {"temperature": 0.0, "max_tokens": 9, "tools": [TOOL], "params": params}
    assert await sent(messages=messages, **fields, **hidden) == {
        "model": "upstream-name",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Speak German."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Köln"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"},
                    {"type": "text", "text": "And now?"},
                ],
            },
        ],
        "temperature": 0.0,
        "top_p": 0.5,
        "stop_sequences": ["END"],
        "stream": True,
        "tools": [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}],
    }


async def test_it_says_how_many_tokens_where_the_request_does_not() -> None:
    assert (await sent())["max_tokens"] == 4096
    assert (await sent({"max_tokens": 99}))["max_tokens"] == 99


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        ("auto", None, None),
        ("required", None, {"type": "any"}),
        ("none", False, {"type": "none"}),
        ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"type": "function", "function": {"name": "weather"}}, None, {"type": "tool", "name": "weather"}),
    ],
)
async def test_it_translates_the_choice_of_tools(choice: Any, parallel: Any, expected: Any) -> None:
    params = {"tool_choice": choice, "parallel_tool_calls": parallel}
    assert (await sent(tools=[TOOL], params=params)).get("tool_choice") == expected
    assert "tool_choice" not in await sent(params=params)


async def test_it_passes_marks_of_prompt_caching() -> None:
    mark = {"type": "ephemeral"}
    body = await sent(
        messages=[
            Message("system", [{"type": "text", "text": "Long.", "cache_control": mark}]),
            Message("user", [{"type": "text", "text": "Hi", "cache_control": mark}]),
            Message("assistant", tool_calls=[TOOL_CALL]),
            Message("tool", [{"type": "text", "text": "1", "cache_control": mark}], tool_call_id="call_1"),
        ],
        tools=[{**TOOL, "cache_control": mark}],
    )
    assert body["system"][0]["cache_control"] == mark
    assert body["messages"][0]["content"][0]["cache_control"] == mark
    assert body["messages"][2]["content"][0]["cache_control"] == mark
    assert body["messages"][2]["content"][0]["content"] == [{"type": "text", "text": "1"}]
    assert body["tools"][0]["cache_control"] == mark
    assert (await sent({"fields": {"cache_control": mark}}))["cache_control"] == mark


async def test_it_sends_files_and_refusals() -> None:
    pdf = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
    body = await sent(**conversation(Message("assistant", refusal="No."), Message("user", [pdf])))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "No."}]
    source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    assert body["messages"][2]["content"] == [{"type": "document", "title": "a.pdf", "source": source}]


async def test_it_leaves_out_what_says_nothing() -> None:
    body = await sent(**conversation(Message("assistant", ""), Message("user", [{"type": "text", "text": ""}])))
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]


async def test_it_takes_ids_and_arguments_of_other_models() -> None:
    foreign = {"id": "functions.weather:0", "type": "function", "function": {"name": "weather", "arguments": '{"city'}}
    result = Message("tool", "1", tool_call_id="functions.weather:0")
    turns = (await sent(**conversation(Message("assistant", tool_calls=[foreign]), result)))["messages"]
    use, answered = turns[1]["content"][0], turns[2]["content"][0]
    assert use["id"] == answered["tool_use_id"]
    assert use["id"].replace("_", "").isalnum()
    assert use["input"] == {"INVALID_JSON": '{"city'}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"params": {"n": 2}}, "n"),
        ({"params": {"logprobs": True}}, "logprobs"),
        ({"params": {"logit_bias": {"1": 1}}}, "logit_bias"),
        ({"params": {"web_search_options": {"search_context_size": "low"}}}, "web_search_options"),
        ({"params": {"presence_penalty": 0.5}}, "presence_penalty"),
        ({"params": {"response_format": {"type": "json_object"}}}, "response_format"),
        ({"params": {"tool_choice": {"type": "allowed_tools"}}}, "tool_choice"),
        ({"params": {"service_tier": "flex"}}, "service_tier"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools"),
        (conversation(Message("user", [{"type": "input_audio", "input_audio": {}}])), "messages"),
        (conversation(Message("user", [{"type": "image_url", "image_url": {"url": "ftp://h/a"}}])), "messages"),
        (conversation(Message("user", [{"type": "file", "file": {"file_data": "data:text/csv;base64,"}}])), "messages"),
        (conversation(Message("function", "1", name="f")), "messages"),
    ],
)
async def test_it_says_what_the_format_cannot_carry(fields: Any, param: str) -> None:
    with pytest.raises(NotSupported) as caught:
        await sent(**fields)
    assert caught.value.param == param


async def test_it_takes_what_asks_for_nothing() -> None:
    params = {"n": 1, "logprobs": False, "presence_penalty": 0, "logit_bias": {}, "response_format": {"type": "text"}}
    assert not {"n", "logprobs", "presence_penalty", "output_config"} & (await sent(params=params)).keys()


async def test_it_asks_for_json_by_its_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    body = await sent(params={"response_format": wanted, "reasoning_effort": "minimal"})
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}, "effort": "low"}


@pytest.mark.parametrize(
    ("thinking", "effort", "max_tokens", "expected"),
    [
        ("adaptive", "high", 100, ({"type": "adaptive"}, 100)),
        ("adaptive", "none", 100, (None, 100)),
        ("none", "high", 100, (None, 100)),
        ("budget", "low", None, ({"type": "enabled", "budget_tokens": 2048}, 4096 + 2048)),
        ("budget", "high", 3000, ({"type": "enabled", "budget_tokens": 2999}, 3000)),
        ("budget", "high", 1000, (None, 1000)),
    ],
)
async def test_it_puts_the_effort_as_the_model_takes_it(
    thinking: str, effort: str, max_tokens: int | None, expected: Any
) -> None:
    body = await sent({"thinking": thinking}, max_tokens=max_tokens, params={"reasoning_effort": effort})
    assert (body.get("thinking"), body["max_tokens"]) == expected


async def test_it_leaves_out_what_a_model_refuses() -> None:
    assert "temperature" not in await sent({"omit": ["temperature"]}, temperature=1.0)


async def test_it_keeps_tools_of_the_service_beside_the_clients() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    body = await sent({"fields": {"tools": [search]}}, tools=[TOOL])
    assert [tool["name"] for tool in body["tools"]] == ["web_search", "weather"]
