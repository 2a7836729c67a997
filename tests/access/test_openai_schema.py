"""Answers, chunks and errors against the types of OpenAI's own SDK: nothing missing, nothing of a wrong type, and of
fields the types do not know only those that `docs/api.md` names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.shared import ErrorObject
from pydantic import BaseModel, ConfigDict

from adapters.scripted import ScriptedAdapter
from engine.errors import ContextTooLong, RateLimited, UpstreamError
from engine.types import Delta, Usage
from tests.access.parts import build
from tests.access.test_edges import sse
from tests.conformance.edges import FRAGMENTS, HI, TOOLS
from tests.engine.parts import ScriptedModel

PATH = "/v1/chat/completions"
OURS = {"reasoning_content", "estimated", "extra_content", "retryable"}
LOGPROBS = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}], "refusal": None}
MODELS = {
    "text": lambda: ScriptedModel(["Hel", "lo"]),
    "nothing": lambda: ScriptedModel([]),
    "tools": lambda: ScriptedModel(FRAGMENTS, finish="tool_calls"),
    "reasoning": lambda: ScriptedModel([Delta(reasoning="hm"), "so"]),
    "refusal": lambda: ScriptedModel([Delta(refusal="no")]),
    "logprobs": lambda: ScriptedModel([Delta("a", logprobs=LOGPROBS)]),
    "two choices": lambda: ScriptedModel([Delta("a"), Delta("b", index=1)]),
    "a cut": lambda: ScriptedModel(["a"], finish="length"),
    "a filter": lambda: ScriptedModel(["a"], finish="content_filter"),
    "a guess": lambda: ScriptedModel(["a"], usage=Usage(1, 2, estimated=True)),
}


def check(kind: type[BaseModel], body: dict[str, Any]) -> None:
    """Strictly by the types, and what they do not know is ours."""
    unknown = strangers(kind.model_validate(body, strict=True))
    assert unknown <= OURS, unknown - OURS


def strangers(value: Any) -> set[str]:
    """Fields of a validated body that its types do not have, at any depth."""
    if isinstance(value, BaseModel):
        named = (getattr(value, name) for name in type(value).model_fields)
        return set(value.model_extra or ()).union(*map(strangers, named))
    return set().union(*map(strangers, value)) if isinstance(value, list) else set()


def test_it_would_notice() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(extra="allow")
        id: str

    with pytest.raises(AssertionError):
        check(Strict, {"id": "a", "other": 1})
    with pytest.raises(ValueError):
        check(ChatCompletion, {"id": "a"})


@pytest.mark.parametrize("said", MODELS)
async def test_answers_are_as_openai_says(said: str) -> None:
    answer = await build(MODELS[said]()).alice.post(PATH, {"messages": HI, "tools": TOOLS})
    check(ChatCompletion, answer.json)
    assert "system_fingerprint" not in answer.json  # a text in the schema, never null
    for choice in answer.json["choices"]:
        assert {"logprobs", "finish_reason", "index", "message"} == set(choice)
        assert {"role", "content", "refusal"} <= set(choice["message"])


@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("said", MODELS)
async def test_chunks_are_as_openai_says(said: str, usage: bool) -> None:
    body = {"messages": HI, "tools": TOOLS, "stream": True, "stream_options": {"include_usage": usage}}
    answer = await build(MODELS[said]()).alice.post(PATH, body)
    events = [event["data"] for event in sse(answer.body)]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    for chunk in chunks:
        check(ChatCompletionChunk, chunk)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert [chunk["choices"] for chunk in chunks].count([]) == usage
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    ended = [choice["index"] for choice in choices if choice["finish_reason"] is not None]
    assert sorted(ended) == sorted({choice["index"] for choice in choices})


@pytest.mark.parametrize(
    ("body", "model"),
    [
        ({"messages": HI}, ScriptedModel([UpstreamError()])),
        ({"messages": HI}, ScriptedModel([RateLimited()])),
        ({"messages": HI}, ScriptedModel([ContextTooLong(window=8, tokens=9)])),
        ({"messages": HI, "model": "missing"}, ScriptedModel()),
        ({"messages": HI, "n": 0}, ScriptedModel()),
        ({"messages": HI}, ScriptedModel([ZeroDivisionError()])),
    ],
)
async def test_errors_are_as_openai_says(body: dict[str, Any], model: ScriptedModel) -> None:
    answer = await build(model).alice.post(PATH, body)
    assert answer.status >= 400 and set(answer.json) == {"error"}
    check(ErrorObject, answer.json["error"])


async def test_an_overflow_is_told_in_openais_words() -> None:
    answer = await build(ScriptedModel([ContextTooLong("你好", window=8, tokens=9)])).alice.post(PATH, {"messages": HI})
    error = answer.json["error"]
    assert (answer.status, error["code"]) == (400, "context_length_exceeded")
    assert error["message"] == (
        "This model's maximum context length is 8 tokens. However, your messages resulted in 9 tokens. "
        "Please reduce the length of the messages."
    )


async def test_vectors_and_models_are_as_openai_says() -> None:
    site = build(ScriptedAdapter())
    check(CreateEmbeddingResponse, (await site.alice.post("/v1/embeddings", {"input": "a"})).json)
    listed = (await site.alice.get("/v1/models")).json
    assert set(listed) == {"object", "data"}
    for model in listed["data"]:
        check(Model, model)
