"""LangChain's `langchain-openai` against the gateway, without a socket."""

from __future__ import annotations

from typing import Any

import pytest
import tiktoken
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from rs_bpe.bpe import openai as vocabularies

from adapters.hashing import unit_vector
from adapters.scripted import ScriptedAdapter
from engine.types import Delta
from tests.access.parts import Site, build
from tests.cast import ALICE
from tests.clients.wires import http
from tests.conformance.edges import FRAGMENTS
from tests.engine.parts import ScriptedModel


class Place(BaseModel):
    city: str


def model(site: Site, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model="auto",
        api_key=ALICE.key,
        base_url="http://clawdbot/v1",
        http_async_client=http(site),
        max_retries=0,
        **options,
    )


async def test_it_streams_with_usage() -> None:
    chat = model(build(ScriptedModel(["Hel", "lo"])), stream_usage=True)
    chunks = [chunk async for chunk in chat.astream("Hi")]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.text == "Hello" and whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata is not None and whole.usage_metadata["total_tokens"] == 8


async def test_it_calls_tools() -> None:
    chat = model(build(ScriptedModel(FRAGMENTS, finish="tool_calls"))).bind_tools(
        [{"name": "weather", "description": "The weather.", "parameters": Place.model_json_schema()}]
    )
    for answer in (await chat.ainvoke("Hi"), [chunk async for chunk in chat.astream("Hi")]):
        if isinstance(answer, list):
            answer = sum(answer[1:], answer[0])
        (call,) = answer.tool_calls
        assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})


@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
async def test_it_answers_by_a_schema(method: Any) -> None:
    by_tool = [
        {"index": 0, "id": "c", "type": "function", "function": {"name": "Place", "arguments": '{"city": "Paris"}'}}
    ]
    called = ScriptedModel([Delta(tool_calls=by_tool)], finish="tool_calls")
    scripted = called if method == "function_calling" else ScriptedModel(['{"city": ', '"Paris"}'])
    chat = model(build(scripted)).with_structured_output(Place, method=method)
    assert await chat.ainvoke("Where?") == Place(city="Paris")
    asked = scripted.calls[0].request.params
    kinds = {"json_schema": "json_schema", "json_mode": "json_object"}
    assert asked.get("response_format", {}).get("type") == kinds.get(method)


class Cl100k:
    """In place of tiktoken's own, which it would fetch from the network."""

    def __init__(self) -> None:
        self._words = vocabularies.cl100k_base()

    def encode(self, text: str, **_: Any) -> list[int]:
        return self._words.encode(text)

    encode_ordinary = encode


async def test_it_embeds_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda name: Cl100k())
    site = build(ScriptedAdapter())
    embeddings = OpenAIEmbeddings(
        model="scripted",
        api_key=ALICE.key,
        base_url="http://clawdbot/v1",
        http_async_client=http(site),
        max_retries=0,
        dimensions=6,
    )
    vectors = await embeddings.aembed_documents(["Hello 北京", "two"])
    expected = [unit_vector("Hello 北京", 6), unit_vector("two", 6)]
    assert [[round(number, 5) for number in vector] for vector in vectors] == [
        [round(number, 5) for number in vector] for vector in expected
    ]
