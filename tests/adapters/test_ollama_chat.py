"""What the adapter of Ollama's chat sends, and what it makes of answers, beyond the conformance suites."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.base import AdapterConfig, InvalidAdapterConfig
from adapters.ndjson import LineParser
from adapters.ollama_chat import OllamaChatAdapter
from adapters.sse import MAX_EVENT
from engine.errors import NotSupported, UpstreamError
from engine.types import ChatRequest, Message, ModelCall, Usage
from tests.adapters import ollama_wire as ollama
from tests.adapters.replay import ReplayClient
from tests.conformance.adapters import TOOL, Heard, call, listen

HI = [Message("user", "Hi")]


def made(*lines: bytes, endpoint: str = "http://h", **options: Any) -> OllamaChatAdapter:
    config = AdapterConfig(endpoint=endpoint, api_key="k", options=options)
    return OllamaChatAdapter(config, ReplayClient(*lines, content_type=ollama.TYPE))


def sent(messages: list[Message] | None = None, options: Any = None, **fields: Any) -> Any:
    """The body, as it goes out."""
    messages = messages or HI
    outgoing = made(**(options or {}))._outgoing(ModelCall("m", messages, ChatRequest(messages=messages, **fields)))
    return json.loads(outgoing.body)


async def hear(*lines: Any, **fields: Any) -> Heard:
    return await listen(made(*map(ollama.line, lines)), call(**fields))


@pytest.mark.parametrize("endpoint", ["http://h", "http://h/", "http://h/api", "http://h/api/chat/"])
def test_it_takes_the_base_or_the_whole_address(endpoint: str) -> None:
    adapter = made(endpoint=endpoint)
    assert adapter._outgoing(ModelCall("m", HI, ChatRequest(messages=HI))).url == "http://h/api/chat"
    assert adapter._probing()[0] == "http://h/api/version"


def test_it_sends_a_key_where_there_is_one() -> None:
    assert made()._outgoing(ModelCall("m", HI, ChatRequest(messages=HI))).headers["Authorization"] == "Bearer k"
    assert "Authorization" not in OllamaChatAdapter(AdapterConfig(endpoint="http://h"), ReplayClient())._headers


@pytest.mark.parametrize(
    ("endpoint", "options"), [("", {}), ("h", {}), ("http://h", {"x": 1}), ("http://h", {"think": 1})]
)
def test_it_refuses_a_configuration_that_cannot_work(endpoint: str, options: Any) -> None:
    with pytest.raises(InvalidAdapterConfig):
        made(endpoint=endpoint, **options)


def test_it_says_the_conversation_in_its_own_words() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]
    body = sent(
        [
            Message("developer", "Be brief."),
            Message("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], name="ann"),
            Message("assistant", reasoning_content="hm", tool_calls=calls),
            Message("tool", "sunny", tool_call_id="a"),
        ]
    )
    assert body == {
        "model": "m",
        "stream": False,
        "truncate": False,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "a\nb"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}}
                ],
            },
            {"role": "tool", "content": "sunny", "tool_name": "f", "tool_call_id": "a"},
        ],
    }


def test_it_translates_parameters() -> None:
    params = {"top_p": 0.5, "seed": 1, "stop": "x", "presence_penalty": 0.1, "logprobs": True, "top_logprobs": 2}
    body = sent(options={"options": {"num_ctx": 9, "top_p": 0.1}}, temperature=0.0, max_tokens=5, params=params)
    assert body["options"] == {
        "num_ctx": 9,
        "top_p": 0.5,
        "temperature": 0.0,
        "num_predict": 5,
        "seed": 1,
        "stop": ["x"],
        "presence_penalty": 0.1,
    }
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


def test_the_configuration_is_data() -> None:
    body = sent(
        [*HI, Message("assistant", "a", reasoning_content="hm")],
        options={"keep_alive": "30m", "think": "low", "truncate": True, "send_reasoning": True},
    )
    assert (body["keep_alive"], body["think"], body["truncate"]) == ("30m", "low", True)
    assert body["messages"][1]["thinking"] == "hm"
    assert sent(options={"keep_alive": -1})["keep_alive"] == -1
    assert "keep_alive" not in sent()


@pytest.mark.parametrize(
    ("effort", "think"), [("none", False), ("minimal", "low"), ("medium", "medium"), ("xhigh", "high")]
)
def test_it_tells_how_hard_to_think(effort: str, think: Any) -> None:
    assert sent(options={"think": True}, params={"reasoning_effort": effort})["think"] == think


@pytest.mark.parametrize(
    ("wanted", "shape"),
    [
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}, {"type": "object"}),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, "json"),
        ({"type": "text"}, None),
    ],
)
def test_it_holds_the_model_to_a_format(wanted: Any, shape: Any) -> None:
    assert sent(params={"response_format": wanted}).get("format") == shape


def test_it_shows_no_tools_that_must_not_be_called() -> None:
    assert sent(tools=[TOOL], params={"tool_choice": "auto"})["tools"] == [TOOL]
    assert "tools" not in sent(tools=[TOOL], params={"tool_choice": "none"})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"params": {"n": 2}}, "n"),
        ({"params": {"logit_bias": {"1": 2}}}, "logit_bias"),
        ({"params": {"web_search_options": {"search_context_size": "low"}}}, "web_search_options"),
        ({"params": {"service_tier": "flex"}}, "service_tier"),
        ({"params": {"reasoning_effort": "extreme"}}, "reasoning_effort"),
        ({"params": {"response_format": {"type": "grammar"}}}, "response_format"),
        ({"tools": [TOOL], "params": {"tool_choice": "required"}}, "tool_choice"),
        ({"messages": [Message("user", [{"type": "image_url", "image_url": {"url": "https://h/a.png"}}])]}, "messages"),
        ({"messages": [Message("user", [{"type": "input_audio", "input_audio": {"data": "QUJD"}}])]}, "messages"),
    ],
)
def test_it_says_what_it_cannot_carry(fields: Any, param: str) -> None:
    with pytest.raises(NotSupported) as caught:
        sent(**fields)
    assert caught.value.param == param


async def test_it_makes_ids_that_stay_and_differ() -> None:
    said = ollama.piece(message={"tool_calls": [{"function": {"name": "f"}}, {"function": {"name": "f"}}]})
    first, again = (await hear(said, ollama.last())).choices[0], (await hear(said, ollama.last())).choices[0]
    later = (await hear({**said, "created_at": "2026-11-29T14:00:00.6Z"}, ollama.last())).choices[0]
    assert len({made["id"] for choice in (first, later) for made in choice.message.tool_calls or []}) == 4
    assert first == again
    assert first.finish_reason == "tool_calls"


async def test_one_call_at_a_time_where_the_client_asks_for_it() -> None:
    said = ollama.piece(message={"tool_calls": [{"function": {"name": "f"}}, {"function": {"name": "g"}}]})
    heard = await hear(said, ollama.last(), params={"parallel_tool_calls": False})
    assert [made["function"]["name"] for made in heard.choices[0].message.tool_calls or []] == ["f"]


async def test_it_passes_log_probabilities() -> None:
    token = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    heard = await hear(ollama.piece("é", logprobs=[{**token, "top_logprobs": [token]}]), ollama.last())
    assert heard.choices[0].logprobs == {"content": [{**token, "top_logprobs": [token]}]}


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"prompt_eval_count": 7, "eval_count": 2}, Usage(7, 2)),
        ({"prompt_eval_count": 7, "eval_count": None}, Usage(7)),
        ({"prompt_eval_count": None, "eval_count": 2}, Usage(0, 2, estimated=True)),
        ({"prompt_eval_count": None, "eval_count": None}, None),
    ],
)
async def test_it_counts_what_was_counted(counts: Any, usage: Any) -> None:
    assert (await hear(ollama.last(**counts))).ends[0].usage == usage


@pytest.mark.parametrize(
    ("reason", "read"), [("stop", "stop"), ("length", "length"), ("unload", "stop"), (None, "stop")]
)
async def test_it_translates_reasons(reason: Any, read: str) -> None:
    assert (await hear(ollama.piece("a"), ollama.last(reason))).ends[0].finish_reasons == {0: read}


async def test_it_reads_nothing_after_the_end() -> None:
    heard = await hear(ollama.piece("a"), ollama.last(), ollama.piece("b"))
    assert heard.choices[0].message.content == "a"


def test_lines_come_whole() -> None:
    parser = LineParser()
    assert parser.feed(b"a") == []
    assert parser.feed(b"b\nc\n\n \r\nd") == [b"ab", b"c"]
    assert (parser.rest(), parser.rest()) == ([b"d"], [])


def test_a_line_has_its_limit_however_it_comes() -> None:
    parser = LineParser()
    for _ in range(8):
        parser.feed(b"x" * (MAX_EVENT // 8))
    with pytest.raises(UpstreamError):
        parser.feed(b"x")
    with pytest.raises(UpstreamError):
        LineParser().feed(b"a\n" + b"x" * (MAX_EVENT + 1))
