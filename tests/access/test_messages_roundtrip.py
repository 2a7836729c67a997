"""What a caller of the Messages format says reaches a service of the same format as it was said, byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic as vendor
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access.edges.messages_body import messages_request
from adapters import anthropic_requests, registry
from adapters.anthropic_requests import Options
from adapters.base import AdapterConfig
from engine.http1 import DirectClient
from engine.types import Json, ModelCall
from tests.access.parts import build
from tests.access.test_messages_sdk import ASKED, TOOL, sdk
from tests.adapters import anthropic
from tests.adapters import gemini_wire as gemini
from tests.adapters import upstream as wire
from tests.adapters.test_anthropic_thinking import thought
from tests.adapters.upstream import Upstream

encode = msgspec.json.Encoder().encode


def sent(body: Json, **options: Any) -> bytes:
    request = messages_request(body, request_id="r")
    return anthropic_requests.body(ModelCall(body["model"], list(request.messages), request), Options(**options))


TEXT = st.text(min_size=1, max_size=6)
WORD = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
MARK = st.sampled_from(
    [{}, {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]
)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT
INPUT = st.dictionaries(
    TEXT,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)


def ordered(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Objects of these fields in this order."""
    return st.tuples(*fields.values()).map(lambda values: dict(zip(fields, values, strict=True)))


def blocks(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """The same, and perhaps a mark."""
    return st.tuples(ordered(**fields), MARK).map(lambda pair: {**pair[0], **pair[1]})


TEXTS = blocks(type=st.just("text"), text=TEXT)
SOURCES = ordered(type=st.just("base64"), media_type=st.just("image/png"), data=st.just("aGk=")) | ordered(
    type=st.just("url"), url=st.just("https://example.com/a.png")
)
IMAGES = blocks(type=st.just("image"), source=SOURCES)
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
DOCUMENTS = blocks(type=st.just("document"), source=st.just(PDF)) | blocks(
    type=st.just("document"), title=TEXT, source=st.just(PDF)
)
SAYINGS = TEXTS | IMAGES | DOCUMENTS
THINKING = ordered(type=st.just("thinking"), thinking=st.text(max_size=6), signature=TEXT) | ordered(
    type=st.just("redacted_thinking"), data=TEXT
)
USES = blocks(type=st.just("tool_use"), id=WORD, name=WORD, input=INPUT)
ANSWERS = st.lists(TEXTS | THINKING | USES, min_size=1, max_size=6)


@st.composite
def results(draw: st.DrawFn) -> Json:
    failed = {"is_error": True} if draw(st.booleans()) else {}
    content: Any = draw(TEXT)
    mark = draw(MARK)
    if mark or draw(st.booleans()):
        content = [
            {key: value for key, value in block.items() if key != "cache_control"}
            for block in draw(st.lists(TEXTS | IMAGES, min_size=2, max_size=3))
        ]
    return {"type": "tool_result", "tool_use_id": draw(WORD), **failed, "content": content, **mark}


@st.composite
def conversations(draw: st.DrawFn) -> list[Json]:
    said = [{"role": "user", "content": draw(st.lists(SAYINGS, min_size=1, max_size=3))}]
    for _ in range(draw(st.integers(0, 2))):
        content = draw(ANSWERS)
        if any(block["type"] == "tool_use" for block in content):
            content = [draw(THINKING), *content]  # or a model that is told to think refuses
        said.append({"role": "assistant", "content": content})
        told = [*draw(st.lists(results(), max_size=2)), *draw(st.lists(SAYINGS, max_size=2))]
        said.append({"role": "user", "content": told or [{"type": "text", "text": "Go on."}]})
    return said


TOOLS = st.lists(
    st.tuples(
        ordered(name=WORD, input_schema=st.just({"type": "object", "properties": {"a": {}}})),
        st.sampled_from([{}, {"description": "What it does."}]),
        st.sampled_from([{}, {"strict": True}]),
        MARK,
    ).map(lambda four: {key: value for each in four for key, value in each.items()}),
    min_size=1,
    max_size=3,
)
CHOICES = st.sampled_from(
    [
        {"type": "any"},
        {"type": "none"},
        {"type": "tool", "name": "a"},
        {"type": "auto", "disable_parallel_tool_use": True},
        {"type": "any", "disable_parallel_tool_use": True},
    ]
)
FORMAT = {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
CONFIGS = st.sampled_from([{"format": FORMAT}, {"effort": "max"}, {"format": FORMAT, "effort": "low"}])
THOUGHTS = st.sampled_from(
    [
        {"type": "enabled", "budget_tokens": 1024},
        {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
        {"type": "adaptive"},
        {"type": "adaptive", "display": "summarized"},
        {"type": "between_tools"},
        {"type": "disabled"},
    ]
)


@st.composite
def bodies(draw: st.DrawFn) -> Json:
    """In the order in which the adapter writes them."""
    body: Json = {"model": "claude", "max_tokens": draw(st.integers(1, 9999)), "messages": draw(conversations())}
    more: dict[str, st.SearchStrategy[Any]] = {
        "system": st.lists(TEXTS, min_size=1, max_size=2).filter(lambda texts: len(texts) > 1 or len(texts[0]) > 2),
        "temperature": st.sampled_from([0.0, 0.5, 1.0]),
        "top_p": st.sampled_from([0.1, 0.9]),
        "top_k": st.integers(0, 100),
        "stop_sequences": st.lists(TEXT, min_size=1, max_size=2),
        "stream": st.just(True),
        "tools": TOOLS,
        "tool_choice": CHOICES,
        "output_config": CONFIGS,
        "thinking": THOUGHTS,
        "service_tier": st.sampled_from(["auto", "standard_only"]),
    }
    for name, values in more.items():
        if draw(st.booleans()) and not (name == "tool_choice" and "tools" not in body):
            body[name] = draw(values)
    return body


@settings(max_examples=50, deadline=None)
@given(bodies())
def test_it_sends_on_what_was_said(body: Json) -> None:
    assert sent(body) == encode(body)


def test_it_says_short_forms_at_length() -> None:
    hi: Json = {"role": "user", "content": "Hi"}
    body = {"model": "m", "max_tokens": 9, "system": "Be brief.", "messages": [hi]}
    text = [{"type": "text", "text": "Be brief."}]
    said = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert msgspec.json.decode(sent(body)) == {**body, "system": text, "messages": said}


def test_it_puts_results_before_what_else_is_said() -> None:
    result = {"type": "tool_result", "tool_use_id": "a", "content": "1"}
    said: Any = [{"role": "user", "content": [{"type": "text", "text": "And?"}, result]}]
    turn = msgspec.json.decode(sent({"model": "m", "max_tokens": 9, "messages": said}))["messages"][0]
    assert [block["type"] for block in turn["content"]] == ["tool_result", "text"]


@pytest.mark.parametrize(
    ("way", "thinking", "sent_on"),
    [
        ("none", {"type": "adaptive"}, None),
        ("budget", {"type": "adaptive"}, {"type": "enabled", "budget_tokens": 8999}),
        ("budget", {"type": "enabled", "budget_tokens": 1024}, {"type": "enabled", "budget_tokens": 1024}),
    ],
)
def test_it_tells_a_model_of_thinking_what_it_knows(way: str, thinking: Json, sent_on: Json | None) -> None:
    hi: Any = [{"role": "user", "content": "Hi"}]
    body = {"model": "m", "max_tokens": 9000, "messages": hi, "thinking": thinking}
    assert msgspec.json.decode(sent(body, thinking=way)).get("thinking") == sent_on


# With the official SDK, and a service ------------------------------------------------------------------------------


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


async def round_of_tools(adapter: str, upstream: Upstream) -> vendor.types.Message:
    """The answer to the first request; the second holds it, as clients send it."""
    http = DirectClient(private=True)
    model = registry.build(adapter, AdapterConfig(endpoint=upstream.url, upstream_model="gemini-3-pro"), http)
    try:
        async with sdk(build(model)) as client:
            async with client.messages.stream(**ASKED, tools=[TOOL]) as stream:
                message = await stream.get_final_message()
            (call,) = [block for block in message.content if block.type == "tool_use"]
            result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "Regen"}
            said = [*ASKED["messages"], {"role": "assistant", "content": message.content}]
            await client.messages.create(
                **{**ASKED, "messages": [*said, {"role": "user", "content": [result]}]}, tools=[TOOL]
            )
            return message
    finally:
        await http.close()


async def test_anthropic_gets_its_blocks_back(upstream: Upstream) -> None:
    events = [
        anthropic.started(),
        *thought("Erst ", "北京", signature="one"),
        *anthropic.block(1, {"type": "redacted_thinking", "data": "ZGF0YQ=="}),
        *anthropic.text(2, "Let me see."),
        *thought("dann", signature="two", index=3),
        *anthropic.tool(4, "toolu_1", "weather", '{"city"', ': "Köln"}'),
        *anthropic.ended("tool_use", output_tokens=7),
    ]
    upstream.answers(anthropic.message({"type": "text", "text": "Rain."}), wire.streamed(events), choose=wire.by_stream)
    message = await round_of_tools("anthropic_messages", upstream)
    assert (message.stop_reason, message.usage.output_tokens) == ("tool_use", 7)
    _, call, result = upstream.requests[-1].json["messages"]
    assert call["content"] == [
        {"type": "thinking", "thinking": "Erst 北京", "signature": "one"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "text", "text": "Let me see."},
        {"type": "thinking", "thinking": "dann", "signature": "two"},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}},
    ]
    assert result["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "Regen"}]


async def test_anthropic_says_which_sequence_ended_it(upstream: Upstream) -> None:
    whole = anthropic.message({"type": "text", "text": "a"}, stop_reason="stop_sequence", stop_sequence="END")
    upstream.answers(whole)
    http = DirectClient(private=True)
    model = registry.build("anthropic_messages", AdapterConfig(endpoint=upstream.url, upstream_model="m"), http)
    async with sdk(build(model)) as client:
        message = await client.messages.create(**ASKED, stop_sequences=["END"])
    await http.close()
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")


async def test_gemini_gets_its_signature_back(upstream: Upstream) -> None:
    made = {"functionCall": {"name": "weather", "args": {"city": "Köln"}}, "thoughtSignature": "c2ln"}
    events = [gemini.event({"text": "hm", "thought": True}), gemini.event(made, finish="STOP", usage=gemini.USAGE)]
    good = wire.answer(200, gemini.body({"text": "Rain."}, finish="STOP"))
    upstream.answers(good, wire.streamed(events), choose=gemini.by_verb)
    message = await round_of_tools("gemini_generate", upstream)
    assert [block.type for block in message.content] == ["thinking", "redacted_thinking", "tool_use"]
    _, call, _ = upstream.requests[-1].json["contents"]
    assert call == {"role": "model", "parts": [made]}
