"""A round of tools with the official SDK through the edge and an adapter of another format: what the model's service
said comes back to it whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters import registry
from adapters.base import AdapterConfig
from engine.http1 import DirectClient
from tests.access.parts import build
from tests.access.test_openai_sdk import sdk
from tests.adapters import anthropic, bedrock
from tests.adapters import gemini_wire as gemini
from tests.adapters import ollama_wire as ollama
from tests.adapters import upstream as wire
from tests.adapters.upstream import Upstream
from tests.conformance.adapters import TOOL

HI = {"role": "user", "content": "Weather?"}
CALL = {"functionCall": {"name": "weather", "args": {"city": "Köln"}}, "thoughtSignature": "c2ln"}
GEMINI = [
    gemini.event({"text": "hm", "thought": True}),
    gemini.event(CALL, finish="STOP", usage={**gemini.USAGE, "thoughtsTokenCount": 5}),
]
OLLAMA = [
    ollama.piece(message={"thinking": "hm"}),
    ollama.piece(message={"tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Köln"}}}]}),
    ollama.last(eval_count=7),
]
ANTHROPIC = [
    anthropic.started(),
    *anthropic.block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        anthropic.delta(0, "thinking_delta", thinking="hm"),
        anthropic.delta(0, "signature_delta", signature="c2ln"),
    ),
    *anthropic.tool(1, "toolu_1", "weather", '{"city"', ': "Köln"}'),
    *anthropic.ended("tool_use", output_tokens=7),
]
BEDROCK = [
    bedrock.STARTED,
    *bedrock.thought(0, "hm", signature="c2ln"),
    *bedrock.tool(1, "tooluse_1", "weather", '{"city"', ': "Köln"}'),
    *bedrock.ended("tool_use", outputTokens=7),
]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


async def round_of_tools(adapter: str, upstream: Upstream) -> Any:
    """The answer to the first request; the second holds it, as a client that only knows the format sends it."""
    http = DirectClient(private=True)
    model = registry.build(adapter, AdapterConfig(endpoint=upstream.url, upstream_model="gemini-3-pro"), http)
    try:
        async with sdk(build(model)) as client:
            asked = {"model": "auto", "tools": [TOOL], "stream_options": {"include_usage": True}}
            async with client.chat.completions.stream(messages=[HI], **asked) as stream:
                completion = await stream.get_final_completion()
            said = completion.choices[0].message.model_dump(exclude_none=True, exclude={"parsed"})
            for made in said["tool_calls"]:
                made["function"].pop("parsed_arguments", None)
            result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "Regen"}
            await client.chat.completions.create(model="auto", messages=[HI, said, result], tools=[TOOL])
            return completion
    finally:
        await http.close()


def checked(completion: Any) -> None:
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.reasoning_content == "hm"
    assert choice.message.tool_calls[0].function.arguments == '{"city": "Köln"}'
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (7, 7)


async def test_gemini_gets_its_signature_back(upstream: Upstream) -> None:
    good = wire.answer(200, gemini.body({"text": "Rain."}, finish="STOP"))
    upstream.answers(good, wire.streamed(GEMINI), choose=gemini.by_verb)
    checked(await round_of_tools("gemini_generate", upstream))
    _, call, result = upstream.requests[-1].json["contents"]
    assert call == {"role": "model", "parts": [CALL]}
    answered = {"functionResponse": {"name": "weather", "response": {"result": "Regen"}}}
    assert result == {"role": "user", "parts": [answered]}


async def test_ollama_is_told_which_tool_answers(upstream: Upstream) -> None:
    good = wire.answer(200, ollama.last(message={"content": "Rain."}))
    upstream.answers(good, ollama.streamed(*OLLAMA), choose=wire.by_stream)
    completion = await round_of_tools("ollama_chat", upstream)
    checked(completion)
    _, call, result = upstream.requests[-1].json["messages"]
    made = completion.choices[0].message.tool_calls[0].id
    function = {"index": 0, "name": "weather", "arguments": {"city": "Köln"}}
    assert call["tool_calls"] == [{"id": made, "type": "function", "function": function}]
    assert result == {"role": "tool", "content": "Regen", "tool_name": "weather", "tool_call_id": made}


async def test_anthropic_gets_its_thinking_back(upstream: Upstream) -> None:
    good = anthropic.message({"type": "text", "text": "Rain."})
    upstream.answers(good, wire.streamed(ANTHROPIC), choose=wire.by_stream)
    checked(await round_of_tools("anthropic_messages", upstream))
    _, call, result = upstream.requests[-1].json["messages"]
    assert call["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}},
    ]
    assert result["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "Regen"}]


async def test_bedrock_gets_its_thinking_back(upstream: Upstream) -> None:
    upstream.answers(bedrock.message({"text": "Rain."}), bedrock.streamed(BEDROCK), choose=bedrock.by_verb)
    checked(await round_of_tools("bedrock_converse", upstream))
    _, call, result = upstream.requests[-1].json["messages"]
    assert call["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
        {"toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Köln"}}},
    ]
    assert result["content"] == [{"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "Regen"}]}}]
