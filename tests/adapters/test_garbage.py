"""A service gone mad: before the first token a failure that another instance can make good, after it an honest error.

Either HTTP client, streams and plain calls. Whatever is sent, it ends in time and in little memory."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from contextlib import aclosing
from typing import Any

import pytest

from adapters.base import AdapterConfig
from adapters.openai_compatible import OpenAICompatibleAdapter
from engine.errors import UpstreamError
from engine.outbound import HttpClient
from engine.types import Delta
from tests.adapters import upstream as wire
from tests.adapters.upstream import CUT, RESET, Upstream
from tests.conformance.adapters import call, listen

MEBIBYTE = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\n"
STREAM = b"content-type: text/event-stream\r\n"
GOOD = wire.message_object("Hello")


def with_length(body: bytes, length: int, *more: bytes) -> list[Any]:
    return [OK + STREAM + b"".join(more) + b"content-length: %d\r\n\r\n" % length + body, CUT]


def forever(*steps: Any, times: int = 20_000) -> list[Any]:
    return [*steps * times]


EVENTS = b"".join(wire.events("Hel", "lo"))
PACKED = gzip.compress(EVENTS)
GARBAGE: dict[str, list[Any]] = {
    "no HTTP": [b"SSH-2.0-OpenSSH_9.2\r\n", CUT],
    "TLS": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), CUT],
    "random bytes": [bytes(index * 73 % 256 for index in range(4096)), CUT],
    "nothing": [CUT],
    "a reset": [RESET],
    "half a head": [OK + STREAM, CUT],
    "an unknown version": [b"HTTP/9.9 200 OK\r\n\r\n", CUT],
    "a status of letters": [b"HTTP/1.1 abc OK\r\n\r\n", CUT],
    "another protocol": [b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n" + b"x" * 99, CUT],
    "heads without end": [OK, *forever(b"x-%b: y\r\n" % (b"n" * 400), 0.0)],
    "one header without end": [OK + b"x: ", *forever(b"y" * 4096, 0.0)],
    "interim answers without end": forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, 0.0),
    "early hints without end": forever(b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n" * 20, 0.0),
    "only a head": [OK + STREAM + b"content-length: 0\r\n\r\n"],
    "no content": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "a page": wire.answer(200, b"<html><body>It works!</body></html>", content_type="text/html"),
    "a page as a stream": wire.answer(200, b"<html>\n\n<body>data: x</body>\n\n</html>\n\n", content_type="text/html"),
    "a page as JSON": wire.answer(200, b"<html></html>"),
    "a redirect": wire.answer(302, b"", location="http://127.0.0.1:1/"),
    "no length that is one": [OK + STREAM + b"content-length: many\r\n\r\n" + EVENTS, CUT],
    "a negative length": [OK + STREAM + b"content-length: -5\r\n\r\n" + EVENTS, CUT],
    "two lengths": [OK + STREAM + b"content-length: 5\r\ncontent-length: 6\r\n\r\n123456", CUT],
    "chunks of no size": [OK + STREAM + b"transfer-encoding: chunked\r\n\r\nzz\r\nab\r\n", CUT],
    "a chunk too large to be": [OK + STREAM + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\nab\r\n", CUT],
    "packed, but not": with_length(b"hello", 5, b"content-encoding: gzip\r\n"),
    "packed and cut off at once": with_length(PACKED[:12], len(PACKED), b"content-encoding: gzip\r\n"),
    "packed in an unknown way": with_length(b"hello", 5, b"content-encoding: br\r\n"),
    "a wrong shape": wire.answer(200, {"result": {"text": "Hello"}}),
    "a list": wire.answer(200, [GOOD]),
    "no choices": wire.answer(200, {**GOOD, "choices": []}),
    "choices of nothing": wire.answer(200, {**GOOD, "choices": [None]}),
    "an error with 200": wire.answer(200, {"error": {"message": "out of memory", "type": "server_error"}}),
    "JSON cut off": wire.answer(200, b'{"id": "chatcmpl-1", "choices": [{"mess'),
    "JSON nested without end": wire.answer(200, b'{"choices": ' + b"[" * 200_000),
    "half of what was promised": [wire.whole()[0][:-20], CUT],
    "comments without end": [wire.head_of_stream(), *forever(b": ping\n\n", 0.001, times=900)],
    "empty events without end": [wire.head_of_stream(), *forever(b"data:\n\n", 0.001, times=900)],
    "a byte a while": [OK + STREAM + b"\r\n", *forever(b":", 0.02, times=50)],
    "a head of a byte a while": [step for byte in OK * 3 for step in (bytes([byte]), 0.02)],
    "an error first": wire.streamed([wire.event({"error": {"message": "overloaded", "code": 500}})]),
    "a named error first": wire.streamed([b'event: error\ndata: {"error": "overloaded"}\n\n']),
    "a role and an error": wire.streamed([wire.chunk({"role": "assistant"}), wire.event({"object": "error"})]),
    "a role and a reset": [*wire.streamed([wire.chunk({"role": "assistant", "content": ""})])[:-1], RESET],
    "only the end": wire.streamed([wire.DONE]),
    "only usage": wire.streamed([wire.chunk(None, usage=wire.USAGE), wire.DONE]),
    "an event of no JSON": wire.streamed([b"data: hello\n\n", wire.DONE]),
    "events of other bytes": wire.streamed(["data: \u00fc\n\n".encode("latin-1")]),
    "the answer of another interface": wire.streamed([wire.event({"type": "message_start", "message": {}})]),
}
AFTER: dict[str, list[Any]] = {
    "a cut": [CUT],
    "a reset": [RESET],
    "half an event": [b'data: {"choi', CUT],
    "an error": [wire.event({"error": {"message": "sk-secret"}}), CUT],
    "no JSON": [wire.event(b"{"), CUT],
    "a page": [b"<html>502</html>\n\n", CUT],
    "silence": [5.0],
    "comments": forever(b": ping\n\n", 0.01, times=400),
    "an event without end": forever(b"x" * 65536, 0.0, times=400),
    "a line without end": [b"data: ", *forever(b"x" * 65536, 0.0, times=400)],
    "a comment without end": [b": ", *forever(b"x" * 65536, 0.0, times=400)],
}


def adapter_for(upstream: Upstream, http: HttpClient, timeout: float = 0.5) -> OpenAICompatibleAdapter:
    return OpenAICompatibleAdapter(AdapterConfig(endpoint=upstream.url, api_key="sk-secret", timeout=timeout), http)


async def heard_of(adapter: OpenAICompatibleAdapter, stream: bool = True) -> tuple[list[Any], UpstreamError]:
    said: list[Any] = []
    with pytest.raises(UpstreamError) as caught:
        async with asyncio.timeout(30), aclosing(adapter.stream(call(stream=stream))) as deltas:
            async for delta in deltas:
                said.append(delta)
    assert caught.value.retryable
    assert "secret" not in caught.value.message
    return said, caught.value


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=list(GARBAGE))
async def test_it_fails_before_the_first_token(
    garbage: list[Any], stream: bool, http: HttpClient, upstream: Upstream
) -> None:
    upstream.answers(garbage)
    said, _ = await heard_of(adapter_for(upstream, http), stream)
    assert said == []
    upstream.answers(wire.streamed(wire.events("a")) if stream else wire.whole("a"))
    assert (await listen(adapter_for(upstream, http, 5), call(stream=stream))).choices[0].message.content == "a"


@pytest.mark.parametrize("after", AFTER.values(), ids=list(AFTER))
async def test_it_breaks_off_after_the_first_token(after: list[Any], http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([wire.head_of_stream(), wire.chunk({"content": "a"}), 0.01, *after])
    said, _ = await heard_of(adapter_for(upstream, http, 0.7))
    assert said == [Delta(content="a")]


@pytest.mark.parametrize("missing", [1, 9, 40])
async def test_it_never_takes_a_packed_stream_that_breaks_off_for_whole(
    missing: int, http: HttpClient, upstream: Upstream
) -> None:
    packed = gzip.compress(b"".join(wire.chunk({"content": "a"}, id=f"chatcmpl-{part}") for part in range(99)))
    packed = packed[:-missing]
    upstream.answers(with_length(packed, len(packed), b"content-encoding: gzip\r\n"))
    said, _ = await heard_of(adapter_for(upstream, http))
    assert {delta.content for delta in said} <= {"a"}


@pytest.mark.parametrize("stream", [True, False])
async def test_it_needs_little_memory_for_an_answer_without_end(
    stream: bool, http: HttpClient, upstream: Upstream
) -> None:
    head = wire.head_of_stream("text/event-stream" if stream else "application/json")
    upstream.answers([head, *forever(b"x" * 65536, 0.0, times=4000)])
    tracemalloc.start()
    await heard_of(adapter_for(upstream, http, 60), stream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * MEBIBYTE
    await upstream.closed(1)


async def test_it_takes_finish_reasons_for_the_end(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([*wire.streamed(wire.events("a", usage=None)[:-1])[:-1], CUT])
    async with asyncio.timeout(30):
        with pytest.raises(UpstreamError):  # the transfer itself was cut off
            await listen(adapter_for(upstream, http, 60), call())
        upstream.answers([wire.head_of_stream(), *wire.events("a", usage=None)[:-1], CUT])
        assert (await listen(adapter_for(upstream, http, 60), call())).ends[0].finish_reasons == {0: "stop"}
