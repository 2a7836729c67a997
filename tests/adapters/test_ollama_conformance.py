"""The adapter of Ollama's chat in the conformance suites, over real sockets and over exact cuts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.base import AdapterConfig, BaseModelAdapter
from adapters.ollama_chat import OllamaChatAdapter
from engine.http1 import DirectClient
from engine.outbound import HttpClient
from tests.adapters import ollama_wire as ollama
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.upstream import CUT, HANG, Upstream
from tests.conformance.adapters import RETRY_AFTER, AdapterConformance, Answer, WireConformance
from tests.conformance.garbage import GarbageConformance

FAILURES: dict[str, list[Any]] = {
    "down": ollama.error(500, "model runner has unexpectedly stopped"),
    "busy": ollama.error(429, retry_after=f"{RETRY_AFTER:g}"),
    "late": ollama.error(504),
    "rejected": ollama.error(400, '"m" does not support tools'),
    "key": ollama.error(401, "unauthorized"),
    "long": ollama.error(400, "the input length exceeds the context length"),
}


class TestOllamaConformance(AdapterConformance):
    image_addresses = False

    @asynccontextmanager
    async def serving(self, answer: Answer) -> AsyncIterator[BaseModelAdapter]:
        http = DirectClient(private=True)
        try:
            async with Upstream() as self.upstream:
                self.upstream.answers(*_scripts(answer), choose=wire.by_stream)
                config = AdapterConfig(endpoint=self.upstream.url, api_key="k", timeout=10)
                yield OllamaChatAdapter(config, http)
        finally:
            await http.close()

    async def released(self) -> None:
        await self.upstream.closed(1)

    def tools_sent(self) -> Any:
        return self.upstream.requests[-1].json["tools"]

    def images_sent(self) -> list[str] | None:
        return [f"data:image/png;base64,{image}" for one in self._messages() for image in one.get("images", [])]

    def results_sent(self) -> list[tuple[str, str]] | None:
        return [(one["tool_call_id"], one["content"]) for one in self._messages() if one["role"] == "tool"]

    def _messages(self) -> list[Any]:
        return self.upstream.requests[-1].json["messages"] if self.upstream.requests else []

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("finish", ["stop", "length"])  # it filters nothing
    async def test_it_passes_the_finish_reason(self, finish: str, stream: bool) -> None:
        await super().test_it_passes_the_finish_reason(finish, stream)


def _scripts(answer: Answer) -> list[list[Any]]:
    """What to send to a plain call, and to one that streams."""
    if answer.failure:
        return [FAILURES[answer.failure]] * 2
    calls = [
        {"id": made["id"], "function": {**made["function"], "arguments": json.loads(made["function"]["arguments"])}}
        for made in answer.tool_calls
    ]
    pieces = [ollama.piece(message={"thinking": piece}) for piece in answer.reasoning]
    pieces += [ollama.piece(piece) for piece in answer.pieces]
    pieces += [ollama.piece(message={"tool_calls": [made]}) for made in calls]
    counted = {"prompt_eval_count": answer.usage.prompt_tokens, "eval_count": answer.usage.completion_tokens}
    last = ollama.last("length" if answer.finish == "length" else "stop", **counted)
    stream = ollama.streamed(*pieces, last)
    message = {"content": answer.text, "thinking": "".join(answer.reasoning), "tool_calls": calls}
    whole = wire.answer(200, {**last, "message": message})
    if answer.breaks or answer.hangs:
        stream = [*stream[: 1 + len(pieces)], HANG if answer.hangs else CUT]
        whole = [HANG] if answer.hangs else [whole[0][:-5], CUT]
    return [whole, stream]


TOKEN = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
RECORDED = b"".join(
    map(
        ollama.line,
        [
            ollama.piece(message={"thinking": "hm — "}),
            ollama.piece("Grüße 北京 😀", logprobs=[{**TOKEN, "top_logprobs": [TOKEN]}]),
            ollama.piece(message={"tool_calls": [{"function": {"name": "f", "arguments": {"x": "é"}}}]}),
            ollama.piece(message={"tool_calls": [{"function": {"name": "f", "arguments": {"x": "é"}}}]}),
            ollama.last(),
        ],
    )
)


class TestOllamaWireConformance(WireConformance):
    def reading(self, *pieces: bytes) -> BaseModelAdapter:
        return OllamaChatAdapter(AdapterConfig(endpoint="http://h"), ReplayClient(*pieces, content_type=ollama.TYPE))

    def recorded(self) -> bytes:
        return RECORDED


class TestOllamaGarbage(GarbageConformance):
    content_type = ollama.TYPE
    garbage = {
        "a line of no JSON": ollama.streamed()[:1] + [b"6\r\nhello\n\r\n0\r\n\r\n"],
        "an error as a line": ollama.streamed({"error": "sk-secret"}),
        "a call without a name": ollama.streamed(ollama.piece(message={"tool_calls": [{"function": {"name": ""}}]})),
        "arguments of no object": ollama.streamed(
            ollama.piece(message={"tool_calls": [{"function": {"name": "f", "arguments": "x"}}]})
        ),
        "no end": ollama.streamed(ollama.piece()),
    }
    after = {"an error as a line": [ollama.line({"error": "sk-secret"}), CUT]}

    def adapter(self, upstream: Upstream, http: HttpClient, timeout: float) -> BaseModelAdapter:
        return OllamaChatAdapter(AdapterConfig(endpoint=upstream.url, api_key="sk-secret", timeout=timeout), http)

    def whole(self, text: str, stream: bool) -> list[Any]:
        return (
            ollama.streamed(ollama.piece(text), ollama.last())
            if stream
            else wire.answer(200, ollama.last(message={"content": text}))
        )

    def begun(self, text: str) -> bytes:
        return ollama.line(ollama.piece(text))
