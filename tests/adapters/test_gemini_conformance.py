"""The adapter of generateContent in the conformance suites, over real sockets and over exact cuts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import AdapterConfig, BaseModelAdapter
from adapters.gemini_generate import GeminiGenerateAdapter
from engine.http1 import DirectClient
from engine.outbound import HttpClient
from tests.adapters import gemini_wire as gemini
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.upstream import CUT, HANG, Upstream
from tests.conformance.adapters import RETRY_AFTER, AdapterConformance, Answer, WireConformance, call, listen
from tests.conformance.garbage import GarbageConformance

FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
FAILURES: dict[str, list[Any]] = {
    "down": gemini.error(503, said="UNAVAILABLE"),
    "busy": gemini.error(429, said="RESOURCE_EXHAUSTED", details=[{}, {"retryDelay": f"{RETRY_AFTER:g}s"}]),
    "late": gemini.error(504, said="DEADLINE_EXCEEDED"),
    "rejected": gemini.error(400, "no such parameter", "INVALID_ARGUMENT"),
    "key": gemini.error(400, "API key not valid.", "INVALID_ARGUMENT", [{"reason": "API_KEY_INVALID"}]),
    "long": gemini.error(400, "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
}


class TestGeminiConformance(AdapterConformance):
    @asynccontextmanager
    async def serving(self, answer: Answer) -> AsyncIterator[BaseModelAdapter]:
        http = DirectClient(private=True)
        try:
            async with Upstream() as self.upstream:
                self.upstream.answers(*_scripts(answer), choose=gemini.by_verb)
                config = AdapterConfig(endpoint=self.upstream.url, api_key="k", timeout=10)
                yield GeminiGenerateAdapter(config, http)
        finally:
            await http.close()

    async def released(self) -> None:
        await self.upstream.closed(1)

    def tools_sent(self) -> Any:
        """Back in the shape they were given in."""
        (declared,) = self.upstream.requests[-1].json["tools"]
        tools = [dict(tool) for tool in declared["functionDeclarations"]]
        for tool in tools:
            tool["parameters"] = tool.pop("parametersJsonSchema")
        return [{"type": "function", "function": tool} for tool in tools]

    def images_sent(self) -> list[str] | None:
        return [_address(part) for part in self._parts() if "text" not in part]

    def results_sent(self) -> list[tuple[str, str]] | None:
        results = [part["functionResponse"] for part in self._parts() if "functionResponse" in part]
        return [(result["id"], result["response"]["result"]) for result in results]

    def _parts(self) -> list[Any]:
        turns = self.upstream.requests[-1].json["contents"] if self.upstream.requests else []
        return [part for turn in turns for part in turn["parts"]]


def _address(part: Any) -> str:
    if "fileData" in part:
        return str(part["fileData"]["fileUri"])
    return f"data:{part['inlineData']['mimeType']};base64,{part['inlineData']['data']}"


def _scripts(answer: Answer) -> list[list[Any]]:
    """What to send to a plain call, and to one that streams."""
    if answer.failure:
        return [FAILURES[answer.failure]] * 2
    parts: list[Any] = [{"text": piece, "thought": True} for piece in answer.reasoning]
    parts += [{"text": piece} for piece in answer.pieces]
    for made in answer.tool_calls:
        args = json.loads(made["function"]["arguments"])
        parts.append({"functionCall": {"id": made["id"], "name": made["function"]["name"], "args": args}})
    counted = answer.usage
    usage = {"promptTokenCount": counted.prompt_tokens, "candidatesTokenCount": counted.completion_tokens}
    last = {"finish": FINISH[answer.finish], "usage": usage}
    said = [gemini.event(part) for part in parts]
    stream = wire.streamed([*said, gemini.event(**last)])
    whole = wire.answer(200, gemini.body(*parts, **last))
    if answer.breaks or answer.hangs:
        stream = [*stream[: 1 + len(said)], HANG if answer.hangs else CUT]
        whole = [HANG] if answer.hangs else [whole[0][:-5], CUT]
    return [whole, stream]


COUNTS = {
    "promptTokenCount": 7,
    "toolUsePromptTokenCount": 4,
    "candidatesTokenCount": 2,
    "thoughtsTokenCount": 5,
    "cachedContentTokenCount": 3,
}
CHOSEN = {"chosenCandidates": [{"token": "é", "logProbability": -0.5}], "topCandidates": [{"candidates": []}]}
RECORDED = b"".join(
    [
        b": keep-alive\n\n",
        gemini.event({"text": "hm — ", "thought": True}, usage={"promptTokenCount": 7}),
        gemini.event({"text": "Grüße 北京 😀"}, more={"logprobsResult": CHOSEN}),
        b"event: message\nid: 4\n" + gemini.event({"text": "other"}, index=1),
        gemini.event({"executableCode": {"code": "é"}}, {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB"}}),
        gemini.event({"functionCall": {"name": "f", "args": {"x": "é"}}, "thoughtSignature": "c2ln"}),
        gemini.event({"functionCall": {"name": "g"}}),
        gemini.event(finish="STOP", usage=COUNTS),
        gemini.event(finish="MAX_TOKENS", index=1),
    ]
)


def reading(*pieces: bytes) -> BaseModelAdapter:
    return GeminiGenerateAdapter(AdapterConfig(endpoint="http://h/v1"), ReplayClient(*pieces))


class TestGeminiWireConformance(WireConformance):
    def reading(self, *pieces: bytes) -> BaseModelAdapter:
        return reading(*pieces)

    def recorded(self) -> bytes:
        return RECORDED


class TestGeminiGarbage(GarbageConformance):
    garbage = {
        "a call without a name": wire.streamed([gemini.event({"functionCall": {"name": ""}})]),
        "arguments of no object": wire.streamed([gemini.event({"functionCall": {"name": "f", "args": [1]}})]),
        "an error in a list": wire.answer(200, [{"error": {"code": 500, "message": "sk-secret"}}]),
        "a spoilt call": wire.answer(200, gemini.body(finish="MALFORMED_FUNCTION_CALL")),
        "a stream with a spoilt call": wire.streamed([gemini.event(finish="MALFORMED_FUNCTION_CALL")]),
    }
    after = {"an error": [gemini.event({}, error={"code": 503, "message": "sk-secret"}), CUT]}

    def adapter(self, upstream: Upstream, http: HttpClient, timeout: float) -> BaseModelAdapter:
        return GeminiGenerateAdapter(AdapterConfig(endpoint=upstream.url, api_key="sk-secret", timeout=timeout), http)

    def whole(self, text: str, stream: bool) -> list[Any]:
        said = gemini.event({"text": text}, finish="STOP")
        return wire.streamed([said]) if stream else wire.answer(200, gemini.body({"text": text}, finish="STOP"))

    def begun(self, text: str) -> bytes:
        return gemini.event({"text": text})


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, len(RECORDED)), max_size=40))
async def test_it_reads_the_same_however_cut(cuts: list[int]) -> None:
    marks = [0, *sorted(cuts), len(RECORDED)]
    pieces = [RECORDED[start:stop] for start, stop in zip(marks, marks[1:], strict=False)]
    assert await listen(reading(*pieces), call()) == await listen(reading(RECORDED), call())
