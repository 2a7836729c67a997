"""The OpenAI-compatible adapter in the conformance suites, over real sockets and over exact cuts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import AdapterConfig, BaseModelAdapter
from adapters.openai_compatible import OpenAICompatibleAdapter
from engine.http1 import DirectClient
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.upstream import CUT, HANG, Upstream
from tests.conformance.adapters import AdapterConformance, Answer, WireConformance, call, listen

USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
FAILURES: dict[str, list[Any]] = {
    "down": wire.error(500),
    "busy": wire.error(429, retry_after="3"),
    "late": wire.error(504),
    "rejected": wire.error(400, "no such parameter"),
    "key": wire.error(401),
    "long": wire.error(400, "This model's maximum context length is 8 tokens.", "context_length_exceeded"),
}


class TestOpenAIConformance(AdapterConformance):
    @asynccontextmanager
    async def serving(self, answer: Answer) -> AsyncIterator[BaseModelAdapter]:
        http = DirectClient(private=True)
        try:
            async with Upstream() as self.upstream:
                self.upstream.answers(*_scripts(answer), choose=wire.by_stream)
                config = AdapterConfig(endpoint=self.upstream.url, api_key="k", timeout=10)
                yield OpenAICompatibleAdapter(config, http)
        finally:
            await http.close()

    async def released(self) -> None:
        await self.upstream.closed(1)

    def tools_sent(self) -> Any:
        return self.upstream.requests[-1].json["tools"]

    def images_sent(self) -> list[str] | None:
        parts = [part for message in self._messages() for part in message["content"] if isinstance(part, dict)]
        return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]

    def results_sent(self) -> list[tuple[str, str]] | None:
        said = [(one["tool_call_id"], one["content"]) for one in self._messages() if one["role"] == "tool"]
        return [(call_id, text if isinstance(text, str) else text[0]["text"]) for call_id, text in said]

    def _messages(self) -> list[Any]:
        return self.upstream.requests[-1].json["messages"] if self.upstream.requests else []


def _scripts(answer: Answer) -> list[list[Any]]:
    """What to send to a plain call, and to one that streams."""
    if answer.failure:
        return [FAILURES[answer.failure]] * 2
    deltas: list[Any] = [{"reasoning_content": piece} for piece in answer.reasoning]
    deltas += answer.pieces
    for index, made in enumerate(answer.tool_calls):  # as OpenAI: the name first, the arguments in fragments
        function = made["function"]
        head = {"index": index, "id": made["id"], "type": "function", "function": {"name": function["name"]}}
        deltas.append({"tool_calls": [head]})
        for start in range(0, len(function["arguments"]), 5):
            part = {"arguments": function["arguments"][start : start + 5]}
            deltas.append({"tool_calls": [{"index": index, "function": part}]})
    stream = wire.streamed(wire.events(*deltas, finish=answer.finish))
    said = {"tool_calls": list(answer.tool_calls) or None, "reasoning_content": "".join(answer.reasoning) or None}
    whole = wire.whole(answer.text or None, answer.finish, **said)
    if answer.breaks or answer.hangs:
        said = 1 + 1 + len(deltas)  # the head, the role, the pieces
        stream = [*stream[:said], HANG if answer.hangs else CUT]
        whole = [HANG] if answer.hangs else [whole[0][:-5], CUT]
    return [whole, stream]


RECORDED = b"".join(
    [
        b": keep-alive\n\n",
        wire.chunk({"role": "assistant", "content": ""}, system_fingerprint="fp"),
        wire.chunk({"role": "assistant", "content": ""}, index=1),
        wire.chunk({"reasoning_content": "hm — "}).replace(b"\n", b"\r\n"),
        wire.chunk(
            {"content": "Grüße 北京 😀"}, logprobs={"content": [{"token": "G", "logprob": -0.5, "bytes": [71]}]}
        ),
        b"event: message\nid: 4\n" + wire.chunk({"content": "other"}, index=1),
        wire.chunk({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}]}),
        wire.chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"x": "é"}'}}]}),
        wire.chunk({"refusal": "no"}, index=1),
        wire.chunk({}, "tool_calls"),
        wire.chunk({}, "length", index=1),
        wire.chunk(None, usage=USAGE),
        wire.DONE,
    ]
)


def reading(*pieces: bytes) -> BaseModelAdapter:
    return OpenAICompatibleAdapter(AdapterConfig(endpoint="http://h/v1"), ReplayClient(*pieces))


class TestOpenAIWireConformance(WireConformance):
    def reading(self, *pieces: bytes) -> BaseModelAdapter:
        return reading(*pieces)

    def recorded(self) -> bytes:
        return RECORDED


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, len(RECORDED)), max_size=40))
async def test_it_reads_the_same_however_cut(cuts: list[int]) -> None:
    marks = [0, *sorted(cuts), len(RECORDED)]
    pieces = [RECORDED[start:stop] for start, stop in zip(marks, marks[1:], strict=False)]
    assert await listen(reading(*pieces), call()) == await listen(reading(RECORDED), call())
