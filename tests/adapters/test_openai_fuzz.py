"""Whatever a model's service sends, an adapter answers or raises an EngineError, and what it yields can be encoded."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import msgspec
import orjson
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters.base import AdapterConfig
from adapters.openai_compatible import OpenAICompatibleAdapter
from engine.aiohttp_client import AiohttpClient
from engine.errors import EngineError
from engine.http1 import DirectClient
from engine.outbound import HttpClient
from engine.types import Delta, End
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.upstream import CUT, Upstream
from tests.conformance.adapters import call

quick = settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400)
names = st.sampled_from(
    "choices delta message content reasoning reasoning_content refusal tool_calls function arguments name index id type"
    " logprobs token logprob bytes top_logprobs finish_reason usage prompt_tokens completion_tokens object error code"
    " prompt_tokens_details cached_tokens system_fingerprint extra_content".split()
)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4))


def mixed(*good: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(good) | anything


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=fields)


# Nearly right: the shape of the format with anything in any place.
calls = some(
    index=mixed(0, 1), id=mixed("a"), type=mixed("function"), function=some(name=mixed("f"), arguments=mixed("{"))
)
said = some(
    content=mixed("a"), reasoning=mixed("b"), refusal=mixed("c"), tool_calls=st.lists(calls, max_size=2) | anything
)
token = some(token=mixed("t"), logprob=mixed(-1.0), bytes=mixed([1]), top_logprobs=anything)
choice = some(
    index=mixed(0, 1),
    delta=said | anything,
    message=said | anything,
    finish_reason=mixed("stop", None),
    logprobs=some(content=st.lists(token, max_size=2)) | anything,
)
body = some(
    id=mixed("x"),
    choices=st.lists(choice, max_size=2) | anything,
    usage=some(prompt_tokens=mixed(1), completion_tokens=mixed(2), prompt_tokens_details=anything),
    error=anything,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good answer with some bytes replaced, or its end missing."""
    data = bytearray(json.dumps(wire.message_object("Grüße", reasoning="hm"), ensure_ascii=False).encode())
    for at, byte in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=3)):
        data[at] = byte
    return bytes(data[: draw(st.integers(0, len(data)) | st.just(len(data)))])


bodies = (body | anything).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40) | damaged()


async def hear(http: HttpClient, endpoint: str = "http://h/v1", *, stream: bool, timeout: float = 5) -> None:
    adapter = OpenAICompatibleAdapter(AdapterConfig(endpoint=endpoint, timeout=timeout), http)
    items: list[Delta | End] = []
    try:
        async with aclosing(adapter.stream(call(stream=stream))) as answer:
            async for item in answer:
                items.append(item)
    except EngineError as error:
        error.message.encode()
    else:
        assert isinstance(items[-1], End)
    msgspec.json.encode(items)
    orjson.dumps(msgspec.to_builtins(items), option=orjson.OPT_NON_STR_KEYS)


@quick
@example(b'{"id": "\xff"}', 200)
@example(b'{"error": ' + b"[" * 100_000, 400)
@given(bodies, st.sampled_from([200, 200, 200, 400, 500]))
async def test_it_survives_any_whole_answer(data: bytes, status: int) -> None:
    await hear(ReplayClient(data, status=status, content_type="application/json"), stream=False)


@quick
@example([wire.event(b'{"id": "\xff"}')])
@given(st.lists(bodies.map(wire.event) | st.sampled_from([*wire.events("a"), b"\r", b":\n", b"data\n"]), max_size=6))
async def test_it_survives_any_stream(events: list[bytes]) -> None:
    client = ReplayClient(*events)
    await hear(client, stream=True)
    assert client.responses[0].closed


heads = st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"])
fields = st.lists(
    st.sampled_from(
        [
            b"content-length: 5\r\n",
            b"content-length: -1\r\n",
            b"transfer-encoding: chunked\r\n",
            b"content-encoding: gzip\r\n",
            b"content-encoding: deflate\r\n",
            b"content-type: \xff\r\n",
            b"set-cookie: =\x01;;\r\n",
            b"location: http://\xff:99999/\r\n",
            b"retry-after: \xff\r\n",
            b"\x00: \x00\r\n",
            b"x: " + b"y" * 20_000 + b"\r\n",
        ]
    ),
    max_size=3,
)
tails = st.binary(max_size=40) | st.sampled_from(
    [b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"ffffffffffffffffff\r\n", b"hello"]
)


@settings(quick, max_examples=120)
@given(st.sampled_from([DirectClient, AiohttpClient]), heads, fields, tails, st.booleans())
async def test_it_survives_any_bytes_of_a_server(
    kind: Any, head: bytes, lines: list[bytes], tail: bytes, stream: bool
) -> None:
    http = kind(private=True)
    try:
        async with Upstream() as upstream:
            upstream.answers([head + b"".join(lines) + b"\r\n" + tail, CUT])
            await hear(http, upstream.url, stream=stream)
    finally:
        await http.close()
