"""What the own HTTP client holds to beyond `test_client_conformance.py`, where aiohttp is more lenient."""

from __future__ import annotations

import asyncio
import gzip
from collections import deque
from typing import Any

import pytest

from engine.errors import UpstreamError
from engine.exchange import Exchange
from engine.http1 import Connection, DirectClient
from engine.outbound import Timeouts
from tests.adapters import upstream as wire
from tests.adapters.upstream import CUT, Upstream
from tests.engine.test_client_conformance import post

PATIENT = Timeouts(connect=5, read=5)
CODED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def http() -> Any:
    client = DirectClient(private=True)
    yield client
    await client.close()


async def test_it_never_takes_a_cut_packed_answer_for_a_whole_one(http: DirectClient, upstream: Upstream) -> None:
    packed = gzip.compress(b"hello" * 1000)
    upstream.answers(wire.answer(200, packed[:-12], content_encoding="gzip"))
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)


@pytest.mark.parametrize(
    "lax",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        CODED + b"5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n",
    ],
)
async def test_it_is_not_lenient(lax: bytes, http: DirectClient, upstream: Upstream) -> None:
    upstream.answers([lax, CUT])
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)


async def test_interim_answers_without_end_are_given_up(http: DirectClient, upstream: Upstream) -> None:
    upstream.answers([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 20] * 400)
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)
    await upstream.closed(1)


async def test_a_stream_keeps_its_connection_s_framing_and_not_its_head() -> None:
    loop = asyncio.get_running_loop()
    exchange = Exchange(loop, Connection(deque(), loop), Timeouts(connect=1, read=1))
    exchange.fields = [(b"Transfer-Encoding", b"chunked"), (b"X-A", b"b")]
    exchange.head(200)
    assert exchange.headers["x-a"] == "b"
    exchange.chunks()
    assert (list(exchange.headers), exchange.bounded) == ([], True)
