"""The adapter of Anthropic Messages in the conformance suites."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from adapters.anthropic_messages import AnthropicMessagesAdapter
from adapters.base import AdapterConfig, BaseModelAdapter
from engine.http1 import DirectClient
from engine.outbound import HttpClient
from tests.adapters import anthropic
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.upstream import CUT, Upstream
from tests.conformance.adapters import AdapterConformance, Answer, WireConformance
from tests.conformance.garbage import GarbageConformance


class TestAnthropicConformance(AdapterConformance):
    @asynccontextmanager
    async def serving(self, answer: Answer) -> AsyncIterator[BaseModelAdapter]:
        http = DirectClient(private=True)
        try:
            async with Upstream() as self.upstream:
                self.upstream.answers(*anthropic.scripts(answer), choose=wire.by_stream)
                config = AdapterConfig(endpoint=self.upstream.url, api_key="k", timeout=10)
                yield AnthropicMessagesAdapter(config, http)
        finally:
            await http.close()

    async def released(self) -> None:
        await self.upstream.closed(1)

    def tools_sent(self) -> Any:
        tools = self.upstream.requests[-1].json["tools"]
        functions = [{"name": tool["name"], "parameters": tool["input_schema"]} for tool in tools]
        return [{"type": "function", "function": function} for function in functions]

    def images_sent(self) -> list[str] | None:
        return [_address(block["source"]) for block in self._blocks("image")]

    def results_sent(self) -> list[tuple[str, str]] | None:
        return [(block["tool_use_id"], _plain(block["content"])) for block in self._blocks("tool_result")]

    def _blocks(self, kind: str) -> list[Any]:
        turns = self.upstream.requests[-1].json["messages"] if self.upstream.requests else []
        return [block for turn in turns for block in turn["content"] if block["type"] == kind]


def _address(source: dict[str, str]) -> str:
    return source["url"] if source["type"] == "url" else f"data:{source['media_type']};base64,{source['data']}"


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else content[0]["text"]


THOUGHT = [
    anthropic.delta(0, "thinking_delta", thinking="hm — "),
    anthropic.delta(0, "thinking_delta", thinking="北京"),
    anthropic.delta(0, "signature_delta", signature="c2ln"),
]
RECORDED = b"".join(
    [
        anthropic.started(),
        b": keep-alive\n\n",
        *anthropic.block(0, {"type": "thinking", "thinking": "", "signature": ""}, *THOUGHT),
        *anthropic.block(1, {"type": "redacted_thinking", "data": "ZGF0YQ=="}),
        anthropic.event("ping").replace(b"\n", b"\r\n"),
        *anthropic.text(2, "Grüße ", "北京 😀"),
        *anthropic.tool(3, "srvtoolu_1", "web_search", '{"query": "é"}', kind="server_tool_use"),
        *anthropic.block(4, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}),
        *anthropic.tool(5, "toolu_1", "weather", "", '{"city": "K', 'öln"}'),
        *anthropic.tool(6, "toolu_2", "now"),
        *anthropic.ended("tool_use", cache_read_input_tokens=3),
    ]
)


class TestAnthropicWireConformance(WireConformance):
    def reading(self, *pieces: bytes) -> BaseModelAdapter:
        return AnthropicMessagesAdapter(AdapterConfig(), ReplayClient(*pieces))

    def recorded(self) -> bytes:
        return RECORDED


class TestAnthropicGarbage(GarbageConformance):
    garbage = {
        "only the end": wire.streamed([anthropic.event("message_stop")]),
        "a beginning and an end of transfer": wire.streamed([anthropic.started()]),
        "an overload first": wire.streamed(
            [anthropic.event("error", error={"type": "overloaded_error", "message": "sk-secret"})]
        ),
        "an overload with 200": wire.answer(200, {"type": "error", "error": {"type": "overloaded_error"}}),
        "a call without a name": wire.streamed(anthropic.block(0, {"type": "tool_use", "id": "a", "input": {}})),
        "content of nothing": wire.answer(200, {"type": "message", "content": [None]}),
        "the answer of another format": wire.streamed(wire.events("a")),
    }
    after = {
        "an error": [anthropic.event("error", error={"type": "invalid_request_error", "message": "sk-secret"}), CUT],
        "pings": [step for _ in range(400) for step in (anthropic.event("ping"), 0.01)],
        "a wrong type": [anthropic.delta(0, "text_delta", text=1), CUT],
        "no end": [b"".join(anthropic.text(1, "")), CUT],
    }

    def adapter(self, upstream: Upstream, http: HttpClient, timeout: float) -> BaseModelAdapter:
        config = AdapterConfig(endpoint=upstream.url, api_key="sk-secret", timeout=timeout)
        return AnthropicMessagesAdapter(config, http)

    def whole(self, text: str, stream: bool) -> list[Any]:
        return anthropic.scripts(Answer(pieces=(text,)))[stream]

    def begun(self, text: str) -> bytes:
        opening, delta, _ = anthropic.text(0, text)
        return anthropic.started() + opening + delta
