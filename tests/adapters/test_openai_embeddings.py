"""Embeddings of the OpenAI-compatible adapter: what is sent, what is taken for an answer and what is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import openai_embeddings
from adapters.base import AdapterConfig, BaseModelAdapter
from adapters.echo import EchoAdapter
from adapters.hashing import MAX_DIMENSIONS, hashed, unit_vector
from adapters.openai_compatible import OpenAICompatibleAdapter
from adapters.scripted import HANG, Script, ScriptedAdapter
from engine.errors import EngineError, UpstreamError, UpstreamRejected, UpstreamTimeout
from engine.http1 import DirectClient
from engine.types import EmbedCall, Usage
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.test_doubles import ERRORS
from tests.adapters.test_openai_conformance import FAILURES
from tests.adapters.upstream import HANG as SILENCE
from tests.adapters.upstream import Upstream
from tests.conformance.embeddings import INPUTS, EmbeddingConformance, Vectors

CALL = EmbedCall("m", ["a", "b"])


def answered(*vectors: Any, usage: Any = None) -> dict[str, Any]:
    """The last vector first: a service need not keep the order."""
    data = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    return {"object": "list", "data": data[::-1], "model": "m", "usage": usage or {"prompt_tokens": 7}}


async def read(body: Any, call: EmbedCall = CALL) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    client = ReplayClient(data, content_type="application/json")
    return await OpenAICompatibleAdapter(AdapterConfig(endpoint="http://h/v1"), client).embed(call)


class TestOpenAIEmbeddings(EmbeddingConformance):
    @asynccontextmanager
    async def embedding(self, answer: Vectors) -> AsyncIterator[BaseModelAdapter]:
        vectors = [unit_vector(text, answer.dimensions or 64) for text in INPUTS]
        scripts = [wire.answer(200, answered(*vectors[:count])) for count in range(1, len(INPUTS) + 1)]
        if answer.failure:
            scripts = [FAILURES[answer.failure]] * len(INPUTS)
        if answer.hangs:
            scripts = [[SILENCE]] * len(INPUTS)
        http = DirectClient(private=True)
        try:
            async with Upstream() as self.upstream:
                self.upstream.answers(*scripts, choose=lambda request: len(request.json["input"]) - 1)
                yield OpenAICompatibleAdapter(AdapterConfig(endpoint=self.upstream.url, timeout=10), http)
        finally:
            await http.close()

    async def let_go(self) -> None:
        await self.upstream.closed(1)


class TestScriptedEmbeddings(EmbeddingConformance):
    @asynccontextmanager
    async def embedding(self, answer: Vectors) -> AsyncIterator[BaseModelAdapter]:
        steps: list[Any] = [ERRORS[answer.failure]] if answer.failure else ["said in vain"]
        self.adapter = ScriptedAdapter(queue=[Script([HANG] if answer.hangs else steps)])
        yield self.adapter

    async def let_go(self) -> None:
        assert (self.adapter.running, self.adapter.cancelled, self.adapter.ended) == (0, 1, 1)


async def test_it_sends_model_inputs_and_dimensions_to_its_route() -> None:
    http = DirectClient(private=True)
    async with Upstream() as upstream:
        upstream.answers(wire.answer(200, answered([1, 0.5], [-2e-3, 1e-9])))
        for path in ("", "/chat", "/chat/completions", "/embeddings"):
            adapter = OpenAICompatibleAdapter(AdapterConfig(endpoint=upstream.url + path, api_key="k"), http)
            embedded = await adapter.embed(EmbedCall("m", ["a", "b"], 2))
        assert embedded.vectors == [[1.0, 0.5], [-0.002, 1e-9]] and embedded.usage == Usage(prompt_tokens=7)
        assert {request.path for request in upstream.requests} == {"/v1/embeddings"}
        assert upstream.requests[0].headers["authorization"] == "Bearer k"
        assert upstream.requests[0].json == {
            "model": "m", "input": ["a", "b"], "encoding_format": "float", "dimensions": 2,
        }  # fmt: skip
        await adapter.embed(CALL)
        assert "dimensions" not in upstream.requests[-1].json
    await http.close()


async def test_it_gives_up_a_service_that_is_late() -> None:
    http = DirectClient(private=True)
    async with Upstream() as upstream:
        for script in ([SILENCE], [wire.answer(200, answered([1.0], [2.0]))[0][:-3], SILENCE]):
            upstream.answers(script)
            adapter = OpenAICompatibleAdapter(AdapterConfig(endpoint=upstream.url, total_timeout=0.1), http)
            with pytest.raises(UpstreamTimeout):
                await adapter.embed(CALL)
    await http.close()


@pytest.mark.parametrize(
    ("usage", "counted"),
    [({"total_tokens": 4}, Usage(prompt_tokens=4)), ({"prompt_tokens": None}, None), ({"prompt_tokens": 0}, Usage())],
)
async def test_it_takes_the_usage_that_is_there(usage: Any, counted: Usage | None) -> None:
    assert (await read(answered([1.0], [2.0], usage=usage))).usage == counted


async def test_it_takes_vectors_without_an_index_in_their_order() -> None:
    embedded = await read({"data": [{"embedding": [1]}, {"embedding": [2]}]})
    assert embedded.vectors == [[1.0], [2.0]] and embedded.usage is None


@pytest.mark.parametrize(
    "body",
    [
        answered([1.0]),
        answered([1.0], [2.0], [3.0]),
        answered([1.0], [2.0, 3.0]),
        answered([1.0], []),
        answered([1.0], ["2"]),
        answered([1.0], [None]),
        answered([1.0], [True]),
        answered([1.0], [[2.0]]),
        answered([1.0], "AACAPw=="),
        answered([1.0], None),
        answered([1.0], [3.5e38]),
        answered([1.0], [-3.5e38]),
        answered([1.0], [1.0], usage={"prompt_tokens": -1}),
        answered([1.0] * (openai_embeddings.MAX_DIMENSIONS + 1), [1.0] * (openai_embeddings.MAX_DIMENSIONS + 1)),
        {"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}]},
        {"data": [{"index": 0, "embedding": [1]}, {"index": 2, "embedding": [2]}]},
        {"data": [{"index": -1, "embedding": [1]}, {"index": 0, "embedding": [2]}]},
        {"data": None},
        {"data": {}},
        {"error": {"message": "no"}},
        {},
        b"[]",
        b"",
        b'{"data": [{"embedding": [1e999]}, {"embedding": [NaN]}]}',
        b'{"data": [{"embedding": [1]}, {"embedding": [2}]}',
        b'{"data": ' + b"[" * 100_000,
    ],
)
async def test_it_refuses_what_is_no_answer(body: Any) -> None:
    with pytest.raises(UpstreamError):
        await read(body)


async def test_it_refuses_more_numbers_than_anybody_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_embeddings, "MAX_NUMBERS", 3)
    with pytest.raises(UpstreamError, match="too much"):
        await read(answered([1.0, 2.0], [3.0, 4.0]))


async def test_it_does_not_pass_another_number_of_dimensions_for_what_was_asked() -> None:
    with pytest.raises(UpstreamRejected) as caught:
        await read(answered([1.0, 2.0], [3.0, 4.0]), EmbedCall("m", ["a", "b"], 3))
    assert caught.value.param == "dimensions" and "2 dimensions" in caught.value.message


async def test_it_lets_others_work_while_it_reads_a_large_answer() -> None:
    vector = [0.5] * 1000
    data = json.dumps(answered(*[vector] * 300)).encode()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    embedded = await openai_embeddings.read(data, EmbedCall("m", ["x"] * 300))
    ticking.cancel()
    assert len(embedded.vectors) == 300 and ticks >= 5


def test_what_an_answer_may_have_grows_with_what_was_asked() -> None:
    sizes = [openai_embeddings.max_bytes(EmbedCall("m", ["x"] * count)) for count in (1, 2, 2048)]
    assert sizes[0] < sizes[1] < sizes[2] == openai_embeddings.MAX_BYTES


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
names = st.sampled_from(["data", "embedding", "index", "usage", "prompt_tokens", "total_tokens", "error", "object"])
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4))


@settings(deadline=None, max_examples=200)
@given(anything.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
async def test_it_survives_any_answer(data: bytes) -> None:
    try:
        embedded = await read(data)
    except EngineError:
        return
    assert len(embedded.vectors) == 2


# Without a service -----


@given(st.text(), st.integers(1, 64))
def test_hashes_are_unit_vectors_and_always_the_same(text: str, dimensions: int) -> None:
    vector = unit_vector(text, dimensions)
    assert len(vector) == dimensions and abs(sum(number * number for number in vector) - 1) < 1e-5
    assert vector == unit_vector(text, dimensions)


async def test_echo_hashes_and_has_its_bounds() -> None:
    embedded = await EchoAdapter(AdapterConfig(), ReplayClient()).embed(EmbedCall("m", ["a", "twelve bytes"]))
    assert embedded == hashed(EmbedCall("m", ["a", "twelve bytes"]))
    assert embedded.usage == Usage(prompt_tokens=4)
    with pytest.raises(UpstreamRejected):
        hashed(EmbedCall("m", ["a"], MAX_DIMENSIONS + 1))
