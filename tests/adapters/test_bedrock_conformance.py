"""The adapter of Bedrock's Converse format in the conformance suites."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from adapters.base import AdapterConfig, BaseModelAdapter
from adapters.bedrock_converse import BedrockConverseAdapter
from engine.http1 import DirectClient
from engine.outbound import HttpClient
from tests.adapters import bedrock
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.upstream import CUT, Upstream
from tests.conformance.adapters import AdapterConformance, Answer, WireConformance
from tests.conformance.garbage import GarbageConformance, forever


class TestBedrockConformance(AdapterConformance):
    image_addresses = False

    @asynccontextmanager
    async def serving(self, answer: Answer) -> AsyncIterator[BaseModelAdapter]:
        http = DirectClient(private=True)
        try:
            async with Upstream() as self.upstream:
                self.upstream.answers(*bedrock.scripts(answer), choose=bedrock.by_verb)
                options = {"region": "eu-west-1"}
                config = AdapterConfig(endpoint=self.upstream.url, api_key=bedrock.KEY, timeout=10, options=options)
                yield BedrockConverseAdapter(config, http)
        finally:
            await http.close()

    async def released(self) -> None:
        await self.upstream.closed(1)

    def tools_sent(self) -> Any:
        specs = [tool["toolSpec"] for tool in self.upstream.requests[-1].json["toolConfig"]["tools"]]
        functions = [{"name": spec["name"], "parameters": spec["inputSchema"]["json"]} for spec in specs]
        return [{"type": "function", "function": function} for function in functions]

    def images_sent(self) -> list[str] | None:
        images = [block["image"] for block in self._blocks() if "image" in block]
        return [f"data:image/{image['format']};base64,{image['source']['bytes']}" for image in images]

    def results_sent(self) -> list[tuple[str, str]] | None:
        results = [block["toolResult"] for block in self._blocks() if "toolResult" in block]
        return [(result["toolUseId"], result["content"][0]["text"]) for result in results]

    def _blocks(self) -> list[Any]:
        turns = self.upstream.requests[-1].json["messages"] if self.upstream.requests else []
        return [block for turn in turns for block in turn["content"]]


RECORDED = b"".join(
    [
        bedrock.STARTED,
        *bedrock.thought(0, "hm — ", "北京"),
        bedrock.delta(1, reasoningContent={"redactedContent": "ZGF0YQ=="}),
        bedrock.closed(1),
        *bedrock.text(2, "Grüße ", "北京 😀"),
        *bedrock.tool(3, "s", "nova_grounding", '{"query": "é"}', type="server_tool_use"),
        bedrock.event("contentBlockStart", contentBlockIndex=4, start={"toolResult": {"toolUseId": "s"}}),
        bedrock.delta(4, toolResult=[{"text": "not for you"}]),
        bedrock.closed(4),
        *bedrock.tool(5, "tooluse_1", "weather", '{"city": "K', 'öln"}'),
        *bedrock.tool(6, "tooluse_2", "now"),
        *bedrock.ended("tool_use", cacheReadInputTokens=3),
    ]
)


class TestBedrockWireConformance(WireConformance):
    def reading(self, *pieces: bytes) -> BaseModelAdapter:
        config = AdapterConfig(endpoint="http://h", api_key="bedrock-api-key")
        return BedrockConverseAdapter(config, ReplayClient(*pieces, content_type=bedrock.EVENTS))

    def recorded(self) -> bytes:
        return RECORDED


A = bedrock.STARTED + bedrock.text(0, "a")[0]
BAD_SUM = A[:-1] + bytes([A[-1] ^ 1])


class TestBedrockGarbage(GarbageConformance):
    content_type = bedrock.EVENTS
    garbage = {
        "a beginning only": bedrock.streamed([bedrock.STARTED]),
        "a wrong checksum": bedrock.streamed([bedrock.STARTED[:-1] + b"\0"]),
        "lengths of nothing": bedrock.streamed([b"\0" * 64]),
        "a header of no type": bedrock.streamed([bedrock.packed({"a\x07": "b"}, b"{}")]),
        "an exception first": bedrock.streamed([bedrock.exception("internalServerException", "sk-secret")]),
        "an exception nobody knows": bedrock.streamed([bedrock.exception("newException", "sk-secret")]),
        "an event of no JSON": bedrock.streamed([bedrock.packed({":message-type": "event"}, b"hello")]),
        "a call without a name": bedrock.streamed(
            [bedrock.event("contentBlockStart", contentBlockIndex=0, start={"toolUse": {"toolUseId": "a"}})]
        ),
        "malformed": bedrock.streamed([bedrock.STARTED, *bedrock.ended("malformed_model_output")]),
        "content of nothing": wire.answer(200, {"output": {"message": {"content": [None]}}, "stopReason": "end_turn"}),
    }
    after = {
        "an exception": [bedrock.exception("modelStreamErrorException", "sk-secret"), CUT],
        "a rejection": [bedrock.exception("validationException", "sk-secret"), CUT],
        "a wrong checksum": [BAD_SUM, CUT],
        "half a message": [A[:40], CUT],
        "a large message without end": [b"\0\x80\0\0\0\0\0\0\x2e\x8f\x6c\x5e", *forever(b"x" * 65536, 0.0, times=400)],
        "beginnings": [step for _ in range(400) for step in (bedrock.STARTED, 0.01)],
        "arguments of no text": [
            bedrock.delta(1, toolUse={"input": 1}),
            CUT,
        ],
    }

    def adapter(self, upstream: Upstream, http: HttpClient, timeout: float) -> BaseModelAdapter:
        options = {"region": "eu-west-1"}
        config = AdapterConfig(endpoint=upstream.url, api_key="AK:sk-secret", timeout=timeout, options=options)
        return BedrockConverseAdapter(config, http)

    def whole(self, text: str, stream: bool) -> list[Any]:
        return bedrock.scripts(Answer(pieces=(text,)))[stream]

    def begun(self, text: str) -> bytes:
        return bedrock.STARTED + bedrock.text(0, text)[0]
