"""What every adapter over HTTP must bear: a service gone mad. Before the first token a failure that another instance
can make good, after it an honest error; either HTTP client, streams and plain calls; in time and in little memory.

class TestMineGarbage(GarbageConformance):
    def adapter(self, upstream, http, timeout): ...
"""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from abc import ABC, abstractmethod
from contextlib import aclosing
from typing import Any

import pytest

from adapters.base import BaseModelAdapter
from engine.errors import UpstreamError
from engine.outbound import HttpClient
from engine.types import Delta
from tests.adapters import upstream as wire
from tests.adapters.upstream import CUT, RESET, Upstream
from tests.conformance.adapters import call, listen

MEBIBYTE = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\n"
STREAM = b"content-type: text/event-stream\r\n"


def with_length(body: bytes, length: int, *more: bytes) -> list[Any]:
    return [OK + STREAM + b"".join(more) + b"content-length: %d\r\n\r\n" % length + body, CUT]


def forever(*steps: Any, times: int = 20_000) -> list[Any]:
    return [*steps * times]


BODY = b"data: something\n\n"
PACKED = gzip.compress(BODY * 20)
GARBAGE: dict[str, list[Any]] = {
    "no HTTP": [b"SSH-2.0-OpenSSH_9.2\r\n", CUT],
    "random bytes": [bytes(index * 73 % 256 for index in range(4096)), CUT],
    "nothing": [CUT],
    "a reset": [RESET],
    "half a head": [OK + STREAM, CUT],
    "heads without end": [OK, *forever(b"x-%b: y\r\n" % (b"n" * 400), 0.0)],
    "only a head": [OK + STREAM + b"content-length: 0\r\n\r\n"],
    "no content": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "a page": wire.answer(200, b"<html><body>It works!</body></html>", content_type="text/html"),
    "a page as a stream": wire.answer(200, b"<html>\n\n<body>data: x</body>\n\n</html>\n\n", content_type="text/html"),
    "a page as JSON": wire.answer(200, b"<html></html>"),
    "a redirect": wire.answer(302, b"", location="http://127.0.0.1:1/"),
    "two lengths": [OK + STREAM + b"content-length: 5\r\ncontent-length: 6\r\n\r\n123456", CUT],
    "chunks of no size": [OK + STREAM + b"transfer-encoding: chunked\r\n\r\nzz\r\nab\r\n", CUT],
    "packed, but not": with_length(b"hello", 5, b"content-encoding: gzip\r\n"),
    "packed and cut off at once": with_length(PACKED[:12], len(PACKED), b"content-encoding: gzip\r\n"),
    "a wrong shape": wire.answer(200, {"result": {"text": "Hello"}}),
    "an empty object": wire.answer(200, {}),
    "a list": wire.answer(200, [{}]),
    "null": wire.answer(200, b"null"),
    "an error with 200": wire.answer(200, {"error": {"message": "sk-secret", "type": "server_error"}}),
    "JSON cut off": wire.answer(200, b'{"id": "1", "content": [{"mess'),
    "JSON nested without end": wire.answer(200, b'{"content": ' + b"[" * 200_000),
    "comments without end": [wire.head_of_stream(), *forever(b": ping\n\n", 0.001, times=900)],
    "empty events without end": [wire.head_of_stream(), *forever(b"data:\n\n", 0.001, times=900)],
    "a head of a byte a while": [step for byte in OK * 3 for step in (bytes([byte]), 0.02)],
    "an error first": wire.streamed([wire.event({"error": {"message": "sk-secret", "code": 500}})]),
    "an event of no JSON": wire.streamed([b"data: hello\n\n"]),
    "events of other bytes": wire.streamed(["data: \u00fc\n\n".encode("latin-1")]),
}
AFTER: dict[str, list[Any]] = {
    "a cut": [CUT],
    "a reset": [RESET],
    "half an event": [b'data: {"choi', CUT],
    "a page": [b"<html>502</html>\n\n", CUT],
    "silence": [5.0],
    "an event without end": forever(b"x" * 65536, 0.0, times=400),
    "a line without end": [b"data: ", *forever(b"x" * 65536, 0.0, times=400)],
}


class GarbageConformance(ABC):
    """`garbage` and `after` may be added to by what only this format can get wrong. The key is `sk-secret`."""

    content_type = "text/event-stream"
    garbage: dict[str, list[Any]] = {}
    after: dict[str, list[Any]] = {}

    @abstractmethod
    def adapter(self, upstream: Upstream, http: HttpClient, timeout: float) -> BaseModelAdapter: ...

    @abstractmethod
    def whole(self, text: str, stream: bool) -> list[Any]:
        """A good answer, for the upstream."""

    @abstractmethod
    def begun(self, text: str) -> bytes:
        """The body of a stream up to its first delta."""

    async def _fails(self, adapter: BaseModelAdapter, stream: bool) -> list[Any]:
        said: list[Any] = []
        with pytest.raises(UpstreamError) as caught:
            async with asyncio.timeout(30), aclosing(adapter.stream(call(stream=stream))) as deltas:
                async for delta in deltas:
                    said.append(delta)
        assert caught.value.retryable
        assert "secret" not in caught.value.message
        return said

    @pytest.mark.parametrize("stream", [True, False])
    async def test_it_fails_before_the_first_token(self, stream: bool, http: HttpClient, upstream: Upstream) -> None:
        for name, garbage in {**GARBAGE, **self.garbage}.items():
            upstream.answers(garbage)
            assert await self._fails(self.adapter(upstream, http, 0.3), stream) == [], name
            upstream.answers(self.whole("a", stream))
            heard = await listen(self.adapter(upstream, http, 5), call(stream=stream))
            assert heard.choices[0].message.content == "a", name

    async def test_it_breaks_off_after_the_first_token(self, http: HttpClient, upstream: Upstream) -> None:
        for name, after in {**AFTER, **self.after}.items():
            upstream.answers([wire.head_of_stream(self.content_type), self.begun("a"), 0.01, *after])
            assert await self._fails(self.adapter(upstream, http, 0.5), True) == [Delta("a")], name

    @pytest.mark.parametrize("stream", [True, False])
    async def test_it_needs_little_memory_for_an_answer_without_end(
        self, stream: bool, http: HttpClient, upstream: Upstream
    ) -> None:
        head = wire.head_of_stream(self.content_type if stream else "application/json")
        upstream.answers([head, *forever(b"x" * 65536, 0.0, times=4000)])
        tracemalloc.start()
        await self._fails(self.adapter(upstream, http, 60), stream)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 * MEBIBYTE
        await upstream.closed(1)
