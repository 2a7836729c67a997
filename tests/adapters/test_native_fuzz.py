"""Whatever services of the other formats send, their adapters answer or raise an EngineError, and what they yield can
be encoded. The shape of each format is kept, with anything in any place."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.anthropic_messages import AnthropicMessagesAdapter
from adapters.base import AdapterConfig, BaseModelAdapter
from adapters.bedrock_converse import BedrockConverseAdapter
from engine.errors import EngineError
from engine.types import ChatRequest, Delta, End, Message, ModelCall
from tests.adapters import anthropic, bedrock
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.conformance.adapters import TOOL, call

quick = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400)
names = st.sampled_from(
    "type index id name input text thinking signature data delta message content_block usage error partial_json start"
    " contentBlockIndex toolUse toolUseId reasoningContent reasoningText redactedContent stopReason output".split()
)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4))


def mixed(*good: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(good) | anything


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=fields)


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


kinds = mixed("text", "thinking", "tool_use", "redacted_thinking", "server_tool_use")
a_block = some(
    type=kinds, text=mixed("a"), thinking=mixed("b"), id=mixed("i"), name=mixed("n"), input=anything, data=mixed("d")
)
a_change = some(
    type=mixed("text_delta", "thinking_delta", "signature_delta", "input_json_delta"),
    text=mixed("a"),
    thinking=mixed("b"),
    signature=mixed("s"),
    partial_json=mixed("{"),
    stop_reason=mixed("end_turn", "tool_use"),
)
an_event = some(
    type=mixed("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta")
    | st.sampled_from(["message_stop", "error", "ping"]),
    index=mixed(0, 1),
    content_block=a_block | anything,
    delta=a_change | anything,
    usage=some(input_tokens=mixed(1), output_tokens=mixed(2)) | anything,
    error=anything,
)
a_message = some(type=mixed("message"), content=st.lists(a_block, max_size=3) | anything, stop_reason=mixed("end_turn"))

a_use = some(toolUseId=mixed("i"), name=mixed("n"), input=anything, type=mixed("server_tool_use"))
b_block = some(
    text=mixed("a"),
    toolUse=a_use | anything,
    reasoningContent=some(text=mixed("b"), signature=mixed("s"), reasoningText=some(text=mixed("b")) | anything),
)
b_event = some(
    contentBlockIndex=mixed(0, 1),
    start=b_block | anything,
    delta=b_block | anything,
    stopReason=mixed("end_turn", "tool_use"),
    usage=some(inputTokens=mixed(1), outputTokens=mixed(2)) | anything,
)
b_kind = st.sampled_from(
    ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "", "é"]
)
b_content = some(content=st.lists(b_block, max_size=3) | anything)
b_message = some(output=some(message=b_content | anything) | anything, stopReason=mixed("end_turn"))


@st.composite
def b_stream(draw: st.DrawFn) -> bytes:
    headers = {":event-type": draw(b_kind), ":message-type": draw(st.sampled_from(["event", "exception", "é"]))}
    return bedrock.packed(headers, dumped(draw(b_event | anything)))


def cut(data: bytes) -> st.SearchStrategy[bytes]:
    """Good bytes with some replaced, or their end missing."""
    changes = st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=3)
    return st.builds(_changed, st.just(data), changes, st.integers(1, len(data)) | st.just(len(data)))


def _changed(data: bytes, changes: list[tuple[int, int]], end: int) -> bytes:
    bytes_ = bytearray(data)
    for at, byte in changes:
        bytes_[at] = byte
    return bytes(bytes_[:end])


GOOD_A = b"".join([anthropic.started(), *anthropic.tool(0, "a", "f", "{}"), *anthropic.ended("tool_use")])
GOOD_B = b"".join([bedrock.STARTED, *bedrock.tool(0, "a", "f", "{}"), *bedrock.ended("tool_use")])
a_streams = st.lists(an_event.map(dumped).map(wire.event), max_size=6).map(b"".join) | cut(GOOD_A)
b_streams = st.lists(b_stream(), max_size=6).map(b"".join) | cut(GOOD_B) | st.binary(max_size=40)


async def hear(adapter: BaseModelAdapter, to: ModelCall) -> None:
    try:
        async with aclosing(adapter.stream(to)) as items:
            async for item in items:
                assert isinstance(item, Delta | End)
                orjson.loads(msgspec.json.encode(item))
    except EngineError as error:
        error.message.encode()


def of_anthropic(*pieces: bytes, stream: bool = True) -> BaseModelAdapter:
    kind = "text/event-stream" if stream else "application/json"
    return AnthropicMessagesAdapter(AdapterConfig(), ReplayClient(*pieces, content_type=kind))


def of_bedrock(*pieces: bytes, stream: bool = True) -> BaseModelAdapter:
    kind = bedrock.EVENTS if stream else "application/json"
    config = AdapterConfig(endpoint="http://h", api_key="k")
    return BedrockConverseAdapter(config, ReplayClient(*pieces, content_type=kind))


@quick
@given(a_streams)
async def test_it_survives_any_stream_of_messages(data: bytes) -> None:
    await hear(of_anthropic(data), call())


@quick
@given((a_message | anything).map(dumped) | st.binary(max_size=40))
async def test_it_survives_any_message(data: bytes) -> None:
    await hear(of_anthropic(data, stream=False), call(stream=False))


@quick
@given(b_streams)
async def test_it_survives_any_stream_of_converse(data: bytes) -> None:
    await hear(of_bedrock(data), call())


@quick
@given((b_message | anything).map(dumped) | st.binary(max_size=40))
async def test_it_survives_any_answer_of_converse(data: bytes) -> None:
    await hear(of_bedrock(data, stream=False), call(stream=False))


# What clients may send, after the edges have looked at it.
words = st.none() | st.text(max_size=4)
inner = st.dictionaries(
    st.sampled_from(["url", "data", "format", "file_data", "file_id", "filename"]), words | anything
)
parts = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": st.text(max_size=4)}),
    *(st.fixed_dictionaries({"type": st.just(kind), kind: inner}) for kind in ("image_url", "input_audio", "file")),
    st.fixed_dictionaries({"type": st.just("refusal"), "refusal": st.text(max_size=4)}),
)
a_call = st.fixed_dictionaries(
    {
        "id": st.text(max_size=4),
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": st.text(max_size=3), "arguments": st.text(max_size=4)}),
    },
    optional={"extra_content": st.dictionaries(st.just("thinking"), anything)},
)
messages = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]),
        content=st.none() | st.text(max_size=4) | st.lists(parts, max_size=3),
        tool_calls=st.none() | st.lists(a_call, min_size=1, max_size=2),
        tool_call_id=st.none() | st.text(max_size=3),
        reasoning_content=words,
        refusal=words,
    ),
    min_size=1,
    max_size=4,
)
params = some(
    n=st.integers(1, 3),
    stop=st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=3),
    response_format=st.dictionaries(st.sampled_from(["type", "json_schema", "schema"]), anything),
    tool_choice=st.text(max_size=3) | st.dictionaries(st.sampled_from(["type", "function"]), anything),
    parallel_tool_calls=st.booleans(),
    reasoning_effort=st.sampled_from(["none", "minimal", "low", "high", "odd"]),
    service_tier=st.text(max_size=4),
    logit_bias=st.dictionaries(st.text(max_size=2), st.floats(-1, 1), max_size=1),
)
functions = st.dictionaries(st.sampled_from(["description", "parameters", "strict"]), anything)


@quick
@given(messages, params, functions)
@pytest.mark.parametrize("serving", [of_anthropic, of_bedrock])
async def test_it_sends_or_refuses_any_request(serving: Any, messages: Any, params: Any, functions: Any) -> None:
    tools = [TOOL, {"type": "function", "function": {**functions, "name": "f"}}]
    request = ChatRequest(messages=messages, stream=True, tools=tools, params=params)
    await hear(serving(GOOD_A if serving is of_anthropic else GOOD_B), ModelCall("m", messages, request))
