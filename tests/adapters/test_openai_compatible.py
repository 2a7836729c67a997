"""What the OpenAI-compatible adapter sends and what it makes of answers, beyond the conformance suite."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.base import AdapterConfig, InvalidAdapterConfig
from adapters.openai_compatible import OpenAICompatibleAdapter, url_of
from engine.errors import UpstreamBusy, UpstreamError, UpstreamTimeout
from engine.http1 import DirectClient
from engine.types import Message, Usage
from tests.adapters import upstream as wire
from tests.adapters.upstream import CUT, HANG, RESET, Upstream
from tests.conformance.adapters import TOOL, Heard, call, listen


@pytest.fixture
async def http() -> Any:
    client = DirectClient(private=True)
    yield client
    await client.close()


@pytest.fixture
async def upstream() -> Any:
    async with Upstream() as server:
        server.answers(wire.whole())
        yield server


@pytest.fixture
def adapter(http: DirectClient, upstream: Upstream) -> Any:
    def build(timeout: float = 10, **options: Any) -> OpenAICompatibleAdapter:
        config = AdapterConfig(endpoint=upstream.url, api_key="sk-secret", timeout=timeout, options=options)
        return OpenAICompatibleAdapter(config, http)

    return build


async def hear(adapter: Any, upstream: Upstream, *events: bytes, **fields: Any) -> Heard:
    upstream.answers(wire.streamed(events))
    return await listen(adapter(**fields), call())


@pytest.mark.parametrize(
    "endpoint",
    ["http://h/v1", "http://h/v1/", "http://h/v1/chat", "http://h/v1/chat//", "http://h/v1/chat/completions/"],
)
def test_it_takes_the_base_the_seeds_address_or_the_whole(endpoint: str) -> None:
    assert url_of(endpoint, "chat/completions") == "http://h/v1/chat/completions"


def test_it_keeps_port_path_and_query_of_an_endpoint() -> None:
    assert url_of("https://h:1/a/chat/b?api-version=1", "models") == "https://h:1/a/chat/b/models?api-version=1"
    assert url_of("http://[::1]:8", "chat/completions") == "http://[::1]:8/chat/completions"


@pytest.mark.parametrize("endpoint", ["", "h/v1", "ftp://h", "http://", "http://h:port", "http://[::1", "file:///etc"])
def test_it_refuses_what_is_no_address(endpoint: str) -> None:
    with pytest.raises(InvalidAdapterConfig, match="endpoint"):
        url_of(endpoint, "models")


@pytest.mark.parametrize(
    ("key", "options", "what"),
    [
        ("two\nlines", {}, "api_key"),
        ("schlüssel", {}, "api_key"),
        ("k", {"headers": {"a": "b\r\nc: d"}}, "the header 'a'"),
        ("k", {"headers": {"a": 1}}, "options"),
        ("k", {"headers": {"HOST": "internal"}}, "the header 'HOST'"),
        ("k", {"headers": {"Host: internal\tX": "a"}}, "is not for the options"),
        ("k", {"headers": {"Transfer-Encoding": "chunked"}}, "is not for the options"),
        ("k", {"headers": {"Content-Length": "0"}}, "is not for the options"),
        ("k", {"headers": {"": "a"}}, "is not for the options"),
        ("k", {"max_tokens_field": "tokens"}, "options"),
        ("k", {"unknown": 1}, "options"),
    ],
)
def test_it_refuses_a_configuration_that_cannot_work(key: str, options: Any, what: str) -> None:
    config = AdapterConfig(endpoint="http://h", api_key=key, options=options)
    with pytest.raises(InvalidAdapterConfig, match=what) as caught:
        OpenAICompatibleAdapter(config, DirectClient(private=True))
    assert key not in str(caught.value) or key == "k"


async def test_it_sends_the_request_and_nothing_else(adapter: Any, upstream: Upstream) -> None:
    messages = [
        Message(role="user", content=[{"type": "text", "text": "weather?"}], name="ann"),
        Message(role="assistant", reasoning_content="hm", tool_calls=[{"id": "c", "type": "function", "function": {}}]),
        Message(role="tool", content="sunny", tool_call_id="c"),
    ]
    fields = {"temperature": 0.0, "max_tokens": 9, "tools": [TOOL], "params": {"top_p": 0.5, "seed": 1}}
    hidden = {"metadata": {"a": 1}, "user": "ann", "user_profile": {"b": 2}, "session_id": "s", "language": "de"}
    await listen(adapter(), call(messages=messages, stream=False, **fields, **hidden))
    request = upstream.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-secret"
    assert request.headers["content-type"] == "application/json"
    assert "cookie" not in request.headers
    assert request.json == {
        "model": "upstream-name",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "weather?"}], "name": "ann"},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {}}]},
            {"role": "tool", "content": "sunny", "tool_call_id": "c"},
        ],
        "temperature": 0.0,
        "max_tokens": 9,
        "tools": [TOOL],
        "top_p": 0.5,
        "seed": 1,
    }


async def test_it_asks_for_the_usage_of_a_stream(adapter: Any, upstream: Upstream) -> None:
    await hear(adapter, upstream, *wire.events("a"))
    assert upstream.requests[0].json["stream"] is True
    assert upstream.requests[0].json["stream_options"] == {"include_usage": True}


async def test_it_bends_to_a_vendor_by_options(adapter: Any, upstream: Upstream) -> None:
    messages = [Message(role="assistant", content="a", reasoning_content="hm"), Message(role="user", content="b")]
    options = {
        "max_tokens_field": "max_completion_tokens",
        "send_reasoning": True,
        "stream_usage": False,
        "headers": {"api-key": "k2"},
    }
    upstream.answers(wire.streamed(wire.events("a", usage=None)))
    heard = await listen(adapter(**options), call(messages=messages, max_tokens=5))
    sent = upstream.requests[0]
    assert sent.json["max_completion_tokens"] == 5
    assert not {"max_tokens", "stream_options"} & sent.json.keys()
    assert sent.json["messages"][0]["reasoning_content"] == "hm"
    assert sent.headers["api-key"] == "k2"
    assert heard.ends[0].usage is None


async def test_it_sends_nothing_other_services_vouched_for(adapter: Any, upstream: Upstream) -> None:
    made = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    google = {"google": {"thought_signature": "s"}}
    extra = {**made, "extra_content": {"thinking": {"blocks": []}, **google}}
    other = {**made, "extra_content": {"thinking": {"blocks": []}}}
    part = {"type": "text", "text": "a"}
    messages = [
        Message("user", [{**part, "cache_control": {"type": "ephemeral"}}]),
        Message("assistant", tool_calls=[extra, other]),
    ]
    await listen(adapter(), call(messages=messages, stream=False))
    sent = upstream.requests[0].json["messages"]
    assert sent[0]["content"] == [part]
    assert sent[1]["tool_calls"] == [{**made, "extra_content": google}, made]
    await listen(adapter(cache_control=True, extra_content=[]), call(messages=messages, stream=False))
    sent = upstream.requests[1].json["messages"]
    assert sent[0]["content"] == messages[0].content
    assert sent[1]["tool_calls"] == [made, made]


async def test_it_sends_no_credential_without_a_key(http: DirectClient, upstream: Upstream) -> None:
    await listen(OpenAICompatibleAdapter(AdapterConfig(endpoint=upstream.url), http), call(stream=False))
    assert "authorization" not in upstream.requests[0].headers


async def test_it_reads_everything_of_a_whole_answer(adapter: Any, upstream: Upstream) -> None:
    body = wire.message_object("Hi", reasoning="hm", refusal="no")
    tokens = {
        "content": [{"token": "H", "logprob": -1.0, "top_logprobs": [{"token": "h", "logprob": -2}]}],
        "refusal": None,
    }
    body["choices"][0]["logprobs"] = tokens
    second = {"index": 1, "message": {"role": "assistant", "content": "Ho"}, "finish_reason": None}
    body["choices"].append(second)
    body["usage"] |= {
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    upstream.answers(wire.answer(200, body))
    heard = await listen(adapter(), call(stream=False))
    assert len(heard.deltas) == 2
    first, other = heard.choices
    assert (first.message.content, first.message.reasoning_content, first.message.refusal) == ("Hi", "hm", "no")
    top = [{"token": "h", "logprob": -2.0, "bytes": None}]
    assert first.logprobs == {"content": [{"token": "H", "logprob": -1.0, "bytes": None, "top_logprobs": top}]}
    assert (other.index, other.message.content, other.finish_reason) == (1, "Ho", "stop")
    end = heard.ends[0]
    assert end.usage == Usage(prompt_tokens=7, completion_tokens=2, cached_tokens=4, reasoning_tokens=1)
    assert (end.upstream_id, end.system_fingerprint) == ("chatcmpl-1", "fp_1")


async def test_it_takes_a_whole_answer_to_a_call_that_streams(adapter: Any, upstream: Upstream) -> None:
    assert (await listen(adapter(), call(stream=True))).choices[0].message.content == "Hello"


async def test_it_takes_a_finish_reason_for_the_end(adapter: Any, upstream: Upstream) -> None:
    heard = await hear(adapter, upstream, *wire.events("a")[:-1])
    assert heard.ends[0].finish_reasons == {0: "stop"}
    assert heard.ends[0].usage == Usage(prompt_tokens=7, completion_tokens=2)


async def test_it_takes_done_for_the_end(adapter: Any, upstream: Upstream) -> None:
    heard = await hear(adapter, upstream, wire.chunk({"content": "a"}), wire.DONE)
    assert heard.ends[0].finish_reasons == {0: "stop"}


async def test_it_reads_nothing_after_done(adapter: Any, upstream: Upstream) -> None:
    heard = await hear(adapter, upstream, *wire.events("a"), wire.chunk({"content": "b"}), b"data: {\n\n")
    assert heard.choices[0].message.content == "a"


@pytest.mark.parametrize(("said", "read"), [("function_call", "tool_calls"), ("max_tokens", "length"), ("eos", "stop")])
async def test_it_translates_finish_reasons(said: str, read: str, adapter: Any, upstream: Upstream) -> None:
    heard = await hear(adapter, upstream, *wire.events("a", finish=said))
    assert heard.ends[0].finish_reasons == {0: read}


async def test_it_numbers_tool_calls_that_come_without_index(adapter: Any, upstream: Upstream) -> None:
    extra = {"google": {"thought_signature": "s"}}
    first = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": extra}
    second = {"id": "b", "function": {"name": "g", "arguments": "{"}}
    events = wire.events({"tool_calls": [first, second]}, {"tool_calls": [{"function": {"arguments": "}"}}]})
    heard = await hear(adapter, upstream, *events)
    expected = {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    assert heard.choices[0].message.tool_calls == [first, expected]


@pytest.mark.parametrize(
    "event",
    [
        wire.event({"error": {"message": "sk-secret boom", "code": 500}}),
        wire.event({"object": "error", "message": "sk-secret boom"}),
        wire.chunk({}, "abort"),
        wire.event(b"{"),
        wire.event(b"[]"),
        wire.event(b'{"choices": [{"delta": {"content": 1}}]}'),
        wire.event(b'{"choices": [{"index": -1, "delta": {"content": "a"}}]}'),
        wire.event(b'{"choices": [], "usage": {"prompt_tokens": -1}}'),
        wire.event(b'{"choices": [{"delta": {"content": "\\ud800"}}]}'),
        wire.event(b'{"x": ' + b"[" * 100_000),
        wire.event(b'"\xff"'),
    ],
)
async def test_it_breaks_off_at_what_makes_no_sense(event: bytes, adapter: Any, upstream: Upstream) -> None:
    with pytest.raises(UpstreamError) as caught:
        await hear(adapter, upstream, wire.chunk({"content": "a"}), event, *wire.events("b"))
    assert "secret" not in caught.value.message


async def test_it_knows_a_rate_limit_inside_a_stream(adapter: Any, upstream: Upstream) -> None:
    with pytest.raises(UpstreamBusy):
        await hear(adapter, upstream, wire.event({"error": {"message": "slow", "code": 429}}))


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"<html>busy</html>", b'{"choices": []}', b'{"choices": [{"message": 1}]}', b'{"error": "full"}'],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_it_takes_no_nonsense_for_an_answer(body: bytes, stream: bool, adapter: Any, upstream: Upstream) -> None:
    upstream.answers(wire.answer(200, body))
    with pytest.raises(UpstreamError):
        await listen(adapter(), call(stream=stream))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("where", ["before the head", "in the body"])
@pytest.mark.parametrize(("step", "error"), [(CUT, UpstreamError), (RESET, UpstreamError), (HANG, UpstreamTimeout)])
async def test_it_survives_a_service_that_stops(
    step: Any, error: Any, where: str, stream: bool, adapter: Any, upstream: Upstream
) -> None:
    script = wire.streamed(wire.events("a")) if stream else [wire.whole()[0][:-9]]
    upstream.answers([*(script[:3] if where == "in the body" else []), step])
    with pytest.raises(UpstreamError) as caught:
        await listen(adapter(timeout=0.2), call(stream=stream))
    assert type(caught.value) is error


@pytest.mark.parametrize("stream", [True, False])
async def test_it_uses_one_connection_again_and_again(stream: bool, adapter: Any, upstream: Upstream) -> None:
    upstream.answers(wire.streamed(wire.events("a")) if stream else wire.whole())
    for _ in range(5):
        await listen(adapter(), call(stream=stream))
    assert (upstream.connections, len(upstream.requests)) == (1, 5)


async def test_it_does_not_wait_for_a_stream_that_stays_open_after_done(adapter: Any, upstream: Upstream) -> None:
    upstream.answers([*wire.streamed(wire.events("a"))[:-1], HANG])
    heard = await listen(adapter(timeout=60), call())
    assert heard.choices[0].message.content == "a"
    await upstream.closed(1)
