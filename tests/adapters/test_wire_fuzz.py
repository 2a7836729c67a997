"""Whatever a service says in a format that is nearly right, an adapter answers or raises an EngineError, and what it
yields can be encoded."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters import registry
from adapters.base import AdapterConfig
from engine.errors import EngineError
from engine.types import ChatRequest, Delta, End, ModelCall
from tests.adapters import gemini_wire as gemini
from tests.adapters import ollama_wire as ollama
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.test_native_fuzz import functions, messages, params
from tests.adapters.test_openai_fuzz import mixed, scalars, some
from tests.conformance.adapters import TOOL, call

quick = settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))

names = st.sampled_from(
    "candidates content parts text thought functionCall name args id thoughtSignature finishReason index blockReason"
    " promptFeedback usageMetadata promptTokenCount logprobsResult chosenCandidates topCandidates token logProbability"
    " error message thinking tool_calls function arguments done done_reason prompt_eval_count logprobs logprob"
    " bytes".split()
)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4))
part = some(
    text=mixed("a"),
    thought=mixed(True, False),
    functionCall=some(name=mixed("f"), args=mixed({}, {"a": 1}) | anything, id=mixed("x")),
    thoughtSignature=mixed("c2ln"),
)
token = some(token=mixed("t"), logProbability=mixed(-1.0))
candidate = some(
    index=mixed(0, 1),
    content=some(parts=st.lists(part | anything, max_size=3)) | anything,
    finishReason=mixed("STOP", "SAFETY", "OTHER", None),
    logprobsResult=some(chosenCandidates=st.lists(token, max_size=2), topCandidates=anything),
)
gemini_body = some(
    candidates=st.lists(candidate, max_size=2) | anything,
    promptFeedback=some(blockReason=mixed("SAFETY")),
    usageMetadata=some(promptTokenCount=mixed(1), thoughtsTokenCount=anything),
    error=anything,
)
called = some(id=mixed("x"), function=some(name=mixed("f"), arguments=mixed({}) | anything))
ollama_line = some(
    message=some(content=mixed("a"), thinking=mixed("b"), tool_calls=st.lists(called, max_size=2) | anything),
    done=mixed(True, False),
    done_reason=mixed("stop", "length"),
    prompt_eval_count=mixed(1),
    logprobs=anything,
    error=anything,
)
FORMATS: dict[str, Any] = {
    "gemini_generate": (gemini_body, wire.event, [gemini.event({"text": "a"}), gemini.event(finish="STOP")]),
    "ollama_chat": (ollama_line, ollama.line, [ollama.line(ollama.piece("a")), ollama.line(ollama.last())]),
}


async def hear(name: str, client: ReplayClient, *, stream: bool) -> None:
    adapter = registry.build(name, AdapterConfig(endpoint="http://h"), client)
    items: list[Delta | End] = []
    try:
        async with aclosing(adapter.stream(call(stream=stream))) as answer:
            async for item in answer:
                items.append(item)
    except EngineError as error:
        error.message.encode()
    else:
        assert isinstance(items[-1], End)
    msgspec.json.encode(items)
    orjson.dumps(msgspec.to_builtins(items), option=orjson.OPT_NON_STR_KEYS)
    assert client.responses[0].closed


@pytest.mark.parametrize("name", FORMATS)
@quick
@given(st.data(), st.sampled_from([200, 200, 200, 400, 429, 500]))
async def test_it_survives_any_whole_answer(name: str, data: Any, status: int) -> None:
    kinds = FORMATS[name][0] | anything
    body = json.dumps(data.draw(kinds | st.lists(kinds, max_size=2))).encode()
    await hear(name, ReplayClient(body, status=status, content_type="application/json"), stream=False)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("status", [200, 400, 429])
async def test_it_survives_any_depth(name: str, status: int) -> None:
    body = b'{"error": ' + b"[" * 100_000
    await hear(name, ReplayClient(body, status=status, content_type="application/json"), stream=False)


@pytest.mark.parametrize("name", FORMATS)
@quick
@given(st.data())
async def test_it_survives_any_stream(name: str, data: Any) -> None:
    kinds, written, good = FORMATS[name]
    events = (
        (kinds | anything).map(written) | st.sampled_from([*good, b"\r", b"\n", b"\xff\n"]) | st.binary(max_size=20)
    )
    await hear(name, ReplayClient(*data.draw(st.lists(events, max_size=6))), stream=True)


# What clients may send, after the edges have looked at it.
keywords = st.sampled_from(
    "type properties items anyOf allOf const enum $ref $defs definitions nullable exclusiveMinimum minimum required"
    " additionalProperties prefixItems default pattern title x-mine".split()
)
schemas = st.recursive(
    scalars | st.sampled_from(["string", "integer", "null", "#/definitions/a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keywords, inner, max_size=4),
)
formats = st.fixed_dictionaries(
    {"type": st.just("json_schema"), "json_schema": st.fixed_dictionaries({"schema": schemas}) | anything}
)
allowed = st.fixed_dictionaries(
    {"type": st.just("allowed_tools"), "allowed_tools": some(mode=mixed("auto"), tools=anything) | anything}
)


@pytest.mark.parametrize("name", FORMATS)
@quick
@given(messages, params, functions, st.none() | formats, st.none() | allowed)
async def test_it_sends_or_refuses_any_request(
    name: str, messages: Any, params: Any, functions: Any, shape: Any, choice: Any
) -> None:
    more = {"response_format": shape, "tool_choice": choice}
    params = {**params, **{key: value for key, value in more.items() if value is not None}}
    tools = [TOOL, {"type": "function", "function": {**functions, "name": "f"}}]
    request = ChatRequest(messages=messages, stream=True, tools=tools, params=params)
    adapter = registry.build(name, AdapterConfig(endpoint="http://h"), ReplayClient(*FORMATS[name][2]))
    try:
        async with aclosing(adapter.stream(ModelCall("m", messages, request))) as answer:
            async for _ in answer:
                pass
    except EngineError as error:
        error.message.encode()
