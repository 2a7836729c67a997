"""What the adapter of Bedrock's Converse format sends and what it makes of answers, beyond the conformance suite."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from adapters.base import AdapterConfig, InvalidAdapterConfig
from adapters.bedrock_converse import BedrockConverseAdapter
from engine.errors import (
    ContextTooLong,
    EngineError,
    NotSupported,
    UpstreamBusy,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from engine.outbound import HttpClient
from engine.types import Message, Usage
from tests.adapters import bedrock
from tests.adapters.anthropic import Recording, conversation
from tests.adapters.replay import ReplayClient
from tests.adapters.upstream import Request, Upstream
from tests.conformance.adapters import PIXEL, TOOL, TOOL_CALL, Heard, call, listen
from tests.conformance.adapters import Answer as Said

GOOD = [bedrock.STARTED, *bedrock.text(0, "a"), *bedrock.ended()]


def adapter(*events: bytes, endpoint: str = "", key: str = "AK:sk-secret", **options: Any) -> BedrockConverseAdapter:
    http = Recording(*(events or GOOD), content_type=bedrock.EVENTS)
    options = {"region": "eu-west-1", **options}
    return BedrockConverseAdapter(AdapterConfig(endpoint=endpoint, api_key=key, options=options), http)


async def sent(options: dict[str, Any] | None = None, **fields: Any) -> Any:
    asked = adapter(**(options or {}))
    await listen(asked, call(**fields))
    assert isinstance(asked.http, Recording)
    return asked.http.body


async def hear(*events: bytes) -> Heard:
    return await listen(adapter(*events), call())


# Configuration and signature ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "stream", "url"),
    [
        ("", True, "https://bedrock-runtime.eu-west-1.amazonaws.com/model/upstream-name/converse-stream"),
        ("http://h:1/a/", False, "http://h:1/a/model/upstream-name/converse"),
    ],
)
async def test_it_finds_the_address(endpoint: str, stream: bool, url: str) -> None:
    asked = adapter(endpoint=endpoint)
    if not stream:
        asked.http.content_type, asked.http.pieces = "application/json", (_body(bedrock.message({"text": "a"})),)  # type: ignore[attr-defined]
    await listen(asked, call(stream=stream))
    assert isinstance(asked.http, Recording)
    assert asked.http.url == url


@pytest.mark.parametrize(
    ("endpoint", "key", "options", "what"),
    [
        ("", "AK:s", {"region": ""}, "endpoint"),
        ("", "AK:s", {"region": "a/b"}, "region"),
        ("http://h", "AK:s", {"region": ""}, "region"),
        ("", ":s", {}, "api_key"),
        ("", "AK:", {}, "api_key"),
        ("", "AK:s\n", {}, "api_key"),
        ("", "two\nlines", {}, "api_key"),
        ("", "AK:s", {"reasoning": "hard"}, "options"),
        ("", "AK:s", {"unknown": 1}, "options"),
    ],
)
def test_it_refuses_a_configuration_that_cannot_work(endpoint: str, key: str, options: Any, what: str) -> None:
    with pytest.raises(InvalidAdapterConfig, match=what):
        adapter(endpoint=endpoint, key=key, **options)


async def test_it_reads_the_region_off_the_address() -> None:
    asked = adapter(endpoint="https://bedrock-runtime.us-west-2.amazonaws.com", region="")
    await listen(asked, call())
    assert isinstance(asked.http, Recording)
    assert "/us-west-2/bedrock/aws4_request" in asked.http.sent["Authorization"]


async def test_it_bears_an_api_key_of_bedrock() -> None:
    asked = adapter(key="bedrock-api-key-abc")
    await listen(asked, call())
    assert isinstance(asked.http, Recording)
    assert asked.http.sent["Authorization"] == "Bearer bedrock-api-key-abc"
    assert "X-Amz-Date" not in asked.http.sent


def _signature(request: Request, secret: str) -> str:
    """As the service reckons it, from what arrived (AWS General Reference, Signature Version 4)."""
    scope, signed, _ = (part.partition("=")[2] for part in request.headers["authorization"].split(", "))
    _, day, region, service, last = scope.split("/")
    names = signed.split(";")
    fields = "".join(f"{name}:{request.headers[name]}\n" for name in names)
    body = hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join([request.method, quote(request.path, safe="/-_.~"), "", fields, signed, body])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    date = request.headers["x-amz-date"]
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, last):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", date, f"{day}/{region}/{service}/{last}", digest])
    return hmac.new(key, text.encode(), "sha256").hexdigest()


@pytest.mark.parametrize("model", ["anthropic.claude-3-haiku-20240307-v1:0", "arn:aws:bedrock:eu::profile/x y+é"])
async def test_it_signs_what_arrives(model: str, http: HttpClient, upstream: Upstream) -> None:
    upstream.answers(bedrock.streamed(GOOD))
    config = AdapterConfig(endpoint=upstream.url, api_key=bedrock.KEY, options={"region": "eu-west-1"})
    asked = BedrockConverseAdapter(config, http)
    await listen(asked, msgspec.structs.replace(call("Grüße"), model=model))
    request = upstream.requests[0]
    assert request.path == f"/v1/model/{quote(model, safe='')}/converse-stream"
    assert request.headers["x-amz-security-token"] == "session-token"
    secret = bedrock.KEY.split(":")[1]
    assert request.headers["authorization"].endswith(f"Signature={_signature(request, secret)}")
    await asked.probe()
    probe = upstream.requests[1]
    assert probe.headers["authorization"].endswith(f"Signature={_signature(probe, secret)}")


# Requests ----------------------------------------------------------------------------------------------------------


async def test_it_sends_the_request_and_nothing_else() -> None:
    messages = [
        Message("system", "Be brief."),
        Message("user", [{"type": "text", "text": "weather?"}, {"type": "text", "text": " "}], name="ann"),
        Message("assistant", "Let me see.", tool_calls=[TOOL_CALL]),
        Message("tool", "sunny", tool_call_id="call_1"),
        Message("user", "And now?"),
    ]
    hidden = {"metadata": {"a": 1}, "user": "ann", "user_profile": {"b": 2}, "session_id": "s", "language": "de"}
    params = {"top_p": 0.5, "stop": ["END"], "seed": 1, "tool_choice": "required", "service_tier": "flex"}
    fields = {"temperature": 0.0, "max_tokens": 9, "tools": [TOOL], "params": params}
    spec = {"name": "weather", "inputSchema": {"json": {"type": "object", "properties": {}}}}
    assert await sent(messages=messages, **fields, **hidden) == {
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "weather?"}]},
            {
                "role": "assistant",
                "content": [
                    {"text": "Let me see."},
                    {"toolUse": {"toolUseId": "call_1", "name": "weather", "input": {"city": "Köln"}}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": "call_1", "content": [{"text": "sunny"}]}},
                    {"text": "And now?"},
                ],
            },
        ],
        "toolConfig": {"tools": [{"toolSpec": spec}], "toolChoice": {"any": {}}},
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.0, "topP": 0.5, "stopSequences": ["END"]},
        "serviceTier": {"type": "flex"},
    }


async def test_it_sends_no_more_than_it_is_told() -> None:
    assert (await sent()).keys() == {"messages"}
    assert "inferenceConfig" not in await sent({"omit": ["temperature"]}, temperature=1.0)


async def test_it_names_the_tools_of_calls_in_the_conversation() -> None:
    messages = conversation(Message("assistant", tool_calls=[TOOL_CALL]), Message("tool", "1", tool_call_id="call_1"))
    tools = (await sent(**messages))["toolConfig"]["tools"]
    assert [tool["toolSpec"]["name"] for tool in tools] == ["weather"]


async def test_it_passes_the_choice_of_one_tool_or_none() -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    body = await sent(tools=[TOOL], params={"tool_choice": named})
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "weather"}}
    assert "toolConfig" not in await sent(tools=[TOOL], params={"tool_choice": "none"})


async def test_it_passes_marks_of_prompt_caching() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    system = Message("system", [{"type": "text", "text": "Long.", "cache_control": mark}])
    result = Message("tool", [{"type": "text", "text": "1", "cache_control": mark}], tool_call_id="call_1")
    messages = [system, Message("user", "Hi"), Message("assistant", tool_calls=[TOOL_CALL]), result]
    body = await sent(messages=messages, tools=[{**TOOL, "cache_control": mark}])
    assert body["system"][1] == body["toolConfig"]["tools"][1] == body["messages"][2]["content"][1] == point


async def test_it_sends_documents_sounds_and_refusals() -> None:
    file = {"filename": "Q3: report_v2.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    said = Message("user", [{"type": "file", "file": file}, sound])
    turns = (await sent(**conversation(Message("assistant", refusal="No."), said)))["messages"]
    assert turns[1]["content"] == [{"text": "No."}]
    assert turns[2]["content"] == [
        {"document": {"format": "pdf", "name": "Q3 reportv2", "source": {"bytes": "JVBERi0="}}},
        {"audio": {"format": "wav", "source": {"bytes": "UklGRg=="}}},
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"params": {"n": 2}}, "n"),
        ({"params": {"logprobs": True}}, "logprobs"),
        ({"params": {"frequency_penalty": 0.5}}, "frequency_penalty"),
        ({"params": {"response_format": {"type": "json_object"}}}, "response_format"),
        ({"params": {"service_tier": "scale"}}, "service_tier"),
        (
            {
                "tools": [TOOL],
                "params": {"tool_choice": "none"},
                **conversation(Message("assistant", tool_calls=[TOOL_CALL])),
            },
            "tool_choice",
        ),
        (conversation(Message("user", [{"type": "image_url", "image_url": {"url": "https://h/a.png"}}])), "messages"),
        (
            conversation(
                Message("user", [{"type": "image_url", "image_url": {"url": f"data:image/bmp;base64,{PIXEL}"}}])
            ),
            "messages",
        ),
        (conversation(Message("user", [{"type": "file", "file": {"file_id": "f"}}])), "messages"),
        (conversation(Message("user", [{"type": "video"}])), "messages"),
    ],
)
async def test_it_says_what_the_format_cannot_carry(fields: Any, param: str) -> None:
    with pytest.raises(NotSupported) as caught:
        await sent(**fields)
    assert caught.value.param == param


async def test_it_asks_for_json_by_its_schema() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    body = await sent(params={"response_format": wanted, "reasoning_effort": "minimal"})
    schema = {"schema": '{"type":"object"}', "name": "x"}
    form = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    assert body["outputConfig"] == {"effort": "low", "textFormat": form}


@pytest.mark.parametrize(
    ("reasoning", "effort", "output", "more"),
    [
        ("effort", "high", {"effort": "high"}, None),
        ("effort", "none", None, None),
        ("none", "high", None, None),
        ("adaptive", "high", {"effort": "high"}, {"thinking": {"type": "adaptive"}, "top_k": 5}),
        ("budget", "low", None, {"thinking": {"type": "enabled", "budget_tokens": 2048}, "top_k": 5}),
    ],
)
async def test_it_puts_the_effort_as_the_model_takes_it(reasoning: str, effort: str, output: Any, more: Any) -> None:
    fields = {"fields": {"additionalModelRequestFields": {"top_k": 5}}}
    body = await sent({"reasoning": reasoning, **fields}, params={"reasoning_effort": effort})
    assert body.get("outputConfig") == output
    assert body["additionalModelRequestFields"] == (more or {"top_k": 5})


# Answers -----------------------------------------------------------------------------------------------------------

THINKING = {"fields": {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}}


async def test_it_sends_the_thinking_before_calls_of_tools_back_as_it_was() -> None:
    sealed = [bedrock.delta(1, reasoningContent={"redactedContent": "ZGF0YQ=="}), bedrock.closed(1)]
    events = [*bedrock.thought(0, "Erst ", "北京"), *sealed, *bedrock.tool(2, "a", "weather", "{}")]
    message = (await hear(bedrock.STARTED, *events, *bedrock.ended("tool_use"))).choices[0].message
    result = Message("tool", "1", tool_call_id="a")
    body = await sent(THINKING, **conversation(message, result), tools=[TOOL])
    assert body["messages"][1]["content"][:2] == [
        {"reasoningContent": {"reasoningText": {"text": "Erst 北京", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "ZGF0YQ=="}},
    ]
    assert "thinking" in body["additionalModelRequestFields"]
    bare = Message("assistant", tool_calls=message.tool_calls)
    body = await sent(THINKING, **conversation(bare, result), tools=[TOOL])
    assert [next(iter(block)) for block in body["messages"][1]["content"]] == ["toolUse"]
    assert "thinking" not in body["additionalModelRequestFields"]


async def test_it_counts_what_went_through_the_cache_as_prompt() -> None:
    usage = {"inputTokens": 3, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20}
    heard = await hear(*GOOD[:-2], *bedrock.ended(**usage))
    assert heard.ends[0].usage == Usage(123, 2, cached_tokens=100, written_tokens=20)


async def test_it_never_hands_out_what_the_service_does_itself() -> None:
    own = bedrock.tool(0, "s", "nova_grounding", '{"query": "x"}', type="server_tool_use")
    result = [bedrock.delta(1, toolResult=[{"text": "nor this"}]), bedrock.closed(1)]
    heard = await hear(bedrock.STARTED, *own, *result, *bedrock.text(2, "a"), *bedrock.ended("tool_use"))
    assert [delta.content for delta in heard.deltas] == ["a"]
    assert heard.ends[0].finish_reasons == {0: "stop"}


def _body(steps: list[Any]) -> bytes:
    data: bytes = steps[0].partition(b"\r\n\r\n")[2]
    return data


async def whole(*content: dict[str, Any]) -> Heard:
    http = ReplayClient(_body(bedrock.message(*content)), content_type="application/json")
    config = AdapterConfig(options={"region": "eu-west-1"})
    return await listen(BedrockConverseAdapter(config, http), call(stream=False))


async def test_it_reads_a_whole_answer() -> None:
    use = {"toolUseId": "s", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}
    cited = {"citationsContent": {"content": [{"text": "b"}], "citations": []}}
    heard = await whole({"toolUse": use}, {"toolResult": {"toolUseId": "s", "content": []}}, {"text": "a"}, cited)
    assert [delta.content for delta in heard.deltas] == ["a", "b"]


async def test_it_passes_the_first_of_several_calls_where_one_is_wanted() -> None:
    calls = [*bedrock.tool(0, "a", "weather", "{}"), *bedrock.tool(1, "b", "weather", "{}")]
    answering = adapter(bedrock.STARTED, *calls, *bedrock.ended("tool_use"))
    heard = await listen(answering, call(tools=[TOOL], params={"parallel_tool_calls": False}))
    assert [one["id"] for one in heard.choices[0].message.tool_calls or []] == ["a"]


async def test_it_takes_a_stream_without_usage() -> None:
    heard = await hear(*GOOD[:-1])
    assert (heard.ends[0].finish_reasons, heard.ends[0].usage) == ({0: "stop"}, None)


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([bedrock.exception("throttlingException")], UpstreamBusy),
        ([bedrock.exception("validationException", "Input is too long for requested model.")], ContextTooLong),
        ([bedrock.exception("validationException")], UpstreamRejected),
        ([bedrock.exception("serviceUnavailableException")], UpstreamError),
        ([bedrock.STARTED, bedrock.exception("throttlingException")], UpstreamBusy),
        ([bedrock.STARTED, bedrock.exception("validationException")], UpstreamError),
    ],
)
async def test_it_knows_errors_inside_a_stream(events: Sequence[bytes], kind: type[EngineError]) -> None:
    with pytest.raises(EngineError) as caught:
        await hear(*events)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("status", "name", "message", "kind"),
    [
        (400, "ServiceQuotaExceededException", "no", UpstreamBusy),
        (400, "ValidationException", "The provided model identifier is invalid.", UpstreamError),
        (400, "ValidationException", "no", UpstreamRejected),
        (424, "ModelErrorException", "no", UpstreamError),
        (429, "ModelNotReadyException", "no", UpstreamBusy),
        (408, "ModelTimeoutException", "no", UpstreamTimeout),
    ],
)
async def test_it_knows_refusals(status: int, name: str, message: str, kind: type[EngineError]) -> None:
    http = ReplayClient(_body(bedrock.error(status, name, message)), status=status, content_type="application/json")
    http.more = {"x-amzn-ErrorType": f"{name}:http://internal/"}
    config = AdapterConfig(api_key="AK:sk-secret", options={"region": "eu-west-1"})
    with pytest.raises(EngineError) as caught:
        await listen(BedrockConverseAdapter(config, http), call())
    assert type(caught.value) is kind


async def test_it_takes_a_whole_answer_to_a_call_that_streams() -> None:
    http = ReplayClient(_body(bedrock.scripts(Said(pieces=("a",)))[0]), content_type="application/json")
    config = AdapterConfig(options={"region": "eu-west-1"})
    assert (await listen(BedrockConverseAdapter(config, http), call())).choices[0].message.content == "a"
