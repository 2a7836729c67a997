"""OpenAI's Node SDK and the Vercel AI SDK against the running product."""

from __future__ import annotations

import pytest

from tests.adapters.upstream import CUT, Upstream, by_stream, chunk, events, head_of_stream, streamed, whole
from tests.clients.wires import node
from tests.product.running import Product
from tests.product.upstreams import ANSWER

pytestmark = pytest.mark.server

STREAMED = "".join(ANSWER.split(" ", 1))  # as the scripted service cuts it
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
FRAGMENTS = [
    {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]},
]


def test_openais_node_sdk(gateway: Product, upstream: Upstream) -> None:
    said = node("openai.mjs", gateway.url, gateway.key)
    assert said["models"][0] == "auto" and "scripted" in said["models"]
    assert said["whole"] == [ANSWER, "stop", 9]
    assert said["streams"] == [[STREAMED, "stop", 9, 1]] * 3 and said["final"] == STREAMED
    assert said["missing"] == ["NotFoundError", 404, "model_not_found", "model"]
    assert said["wrong"] == ["BadRequestError", 400, "invalid_request", "temperature"]
    assert said["stranger"] == ["AuthenticationError", 401, "unauthenticated", None]
    assert said["reconnected"] == 0  # a connection serves again after a whole answer and after every stream


def test_the_ai_sdk_hears_text_usage_and_reasoning(gateway: Product, upstream: Upstream) -> None:
    stream = streamed(events({"reasoning_content": "hm"}, "Hel", "lo"))
    upstream.answers(whole("Hello"), stream, choose=by_stream)
    said = node("ai_sdk.mjs", gateway.url, gateway.key, "text")
    assert said == {"whole": ["Hello", "stop", 9], "stream": ["Hello", "stop", 9], "reasoning": "hm"}


def test_the_ai_sdk_calls_tools(gateway: Product, upstream: Upstream) -> None:
    called = streamed(events(*FRAGMENTS, finish="tool_calls"))
    upstream.answers(whole(None, "tool_calls", tool_calls=[CALL]), called, choose=by_stream)
    said = node("ai_sdk.mjs", gateway.url, gateway.key, "tools")
    assert said["whole"] == said["stream"] == [[["weather", {"city": "Paris"}]], "tool-calls"]
    assert upstream.requests[-2].json["tool_choice"] == "required"


def test_the_ai_sdk_gets_an_object_by_its_schema(gateway: Product, upstream: Upstream) -> None:
    upstream.answers(whole('{"city": "Paris"}'))
    assert node("ai_sdk.mjs", gateway.url, gateway.key, "schema") == {"made": {"city": "Paris"}}
    assert upstream.requests[-1].json["response_format"]["type"] == "json_schema"


def test_the_ai_sdk_says_what_was_refused_and_what_broke(gateway: Product, upstream: Upstream) -> None:
    upstream.answers([head_of_stream(), chunk({"content": "Hel"}), 0.05, CUT])
    said = node("ai_sdk.mjs", gateway.url, gateway.key, "error")
    assert said["refused"] == ["AI_APICallError", 404, "There is no such model."]
    assert len(said["broken"]) == 1 and "model's service" in said["broken"][0]
