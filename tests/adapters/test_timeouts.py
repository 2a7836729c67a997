"""Every phase of a call has its limit, with either HTTP client, and the error says which one passed."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing
from math import inf
from typing import Any

import pytest

from adapters import service
from adapters.base import AdapterConfig, Limits
from adapters.openai_compatible import OpenAICompatibleAdapter
from engine.errors import UpstreamError, UpstreamTimeout
from engine.outbound import SILENT, UNBEGUN, UNFINISHED, UNREACHED, HttpClient
from tests.adapters import upstream as wire
from tests.adapters.upstream import HANG, Upstream
from tests.conformance.adapters import call, listen

HEAD, ROLE, A, *_ = wire.streamed(wire.events("a"))
LIFELESS = {
    "comments": b": still here\n\n",
    "roles": wire.chunk({"role": "assistant", "content": ""}),
    "empty deltas": wire.chunk({}),
}
GOES_ON = 60.0  # seconds


def going_on(data: bytes, pause: float) -> list[wire.Step]:
    return [step for _ in range(round(GOES_ON / pause)) for step in (pause, data)]


@pytest.fixture
def adapter(http: HttpClient, upstream: Upstream) -> Any:
    def build(timeout: float = 10, **limits: float) -> OpenAICompatibleAdapter:
        return OpenAICompatibleAdapter(AdapterConfig(endpoint=upstream.url, timeout=timeout, **limits), http)

    return build


async def late(adapter: OpenAICompatibleAdapter, *, stream: bool = True) -> tuple[str, list[str]]:
    """Why it was given up, and what was said before. What is to be given up goes on for longer than anybody waits here,
    so that it is the limit that ended it, however late."""
    said: list[Any] = []
    with pytest.raises(UpstreamTimeout) as caught:
        async with asyncio.timeout(GOES_ON / 2), aclosing(adapter.stream(call(stream=stream))) as deltas:
            async for delta in deltas:
                said.append(delta)
    return caught.value.message, [delta.content for delta in said]


def test_its_limits_come_of_the_timeout_where_nothing_else_is_said() -> None:
    assert AdapterConfig(timeout=30).limits == Limits(10, 30, 30, inf, 30, 5)
    assert AdapterConfig(timeout=3).limits == Limits(3, 3, 3, inf, 3, 3)
    config = AdapterConfig(
        timeout=30, connect_timeout=20, first_token_timeout=4, idle_timeout=50, total_timeout=600
    )  # fmt: skip
    assert config.limits == Limits(20, 4, 50, 600, 600, 4)


@pytest.mark.parametrize("stream", [True, False])
async def test_it_bounds_the_connecting(stream: bool, http: HttpClient) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):  # the queue of one is full: nobody answers the next
            endpoint = f"http://127.0.0.1:{full.getsockname()[1]}"
            adapter = OpenAICompatibleAdapter(AdapterConfig(endpoint=endpoint, connect_timeout=0.2), http)
            assert await late(adapter, stream=stream) == (UNREACHED, [])


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_it_bounds_the_time_to_the_first_token(kind: str, adapter: Any, upstream: Upstream) -> None:
    upstream.answers([0.4, wire.head_of_stream(kind), *going_on(b" ", 0.4)])
    assert await late(adapter(first_token_timeout=0.5)) == (UNBEGUN, [])
    await upstream.closed(1)


async def test_it_bounds_a_head_that_comes_byte_by_byte(adapter: Any, upstream: Upstream) -> None:
    upstream.answers([HEAD[:-2] + b"x: ", *going_on(b"y", 0.05)])
    assert await late(adapter(first_token_timeout=0.3)) == (UNBEGUN, [])
    assert await late(adapter(total_timeout=0.3), stream=False) == (UNBEGUN, [])


async def test_it_takes_a_first_token_later_than_the_idle_limit(adapter: Any, upstream: Upstream) -> None:
    upstream.answers([0.3, HEAD, ROLE, 0.3, A, HANG])
    assert await late(adapter(idle_timeout=0.2)) == (SILENT, ["a"])


async def test_it_takes_a_pause_longer_than_the_time_to_the_first_token(adapter: Any, upstream: Upstream) -> None:
    upstream.answers([HEAD, ROLE, A, 0.6, *wire.streamed(wire.events("b"))[1:]])
    heard = await listen(adapter(timeout=0.3, idle_timeout=5), call())
    assert heard.choices[0].message.content == "ab"


async def test_it_bounds_the_whole_of_a_stream_only_when_told(adapter: Any, upstream: Upstream) -> None:
    upstream.answers(wire.streamed(wire.events(*"abcdefgh"), pause=0.1))
    heard = await listen(adapter(timeout=0.5), call())
    assert heard.choices[0].message.content == "abcdefgh"
    why, said = await late(adapter(timeout=0.5, total_timeout=0.7))
    assert why == UNFINISHED
    assert len(said) < 8


async def test_it_bounds_the_first_token_by_the_total_too(adapter: Any, upstream: Upstream) -> None:
    upstream.answers([HEAD, HANG])
    assert await late(adapter(total_timeout=0.2)) == (UNBEGUN, [])


async def test_it_waits_longer_for_a_plain_answer_than_for_a_first_token(adapter: Any, upstream: Upstream) -> None:
    upstream.answers([0.3, *wire.whole()])
    heard = await listen(adapter(first_token_timeout=0.1, idle_timeout=0.1), call(stream=False))
    assert heard.choices[0].message.content == "Hello"
    upstream.answers([0.6, *wire.whole()])
    assert (await listen(adapter(timeout=0.3, total_timeout=5), call(stream=False))).ends


async def test_it_bounds_the_whole_of_a_plain_answer(adapter: Any, upstream: Upstream) -> None:
    head, end, body = wire.whole()[0].partition(b"\r\n\r\n")
    upstream.answers([head + end, *(step for at in range(len(body)) for step in (body[at : at + 1], 0.05))])
    assert await late(adapter(timeout=0.5), stream=False) == (UNFINISHED, [])
    upstream.answers([HANG])
    assert await late(adapter(timeout=5, total_timeout=0.2), stream=False) == (UNBEGUN, [])


@pytest.mark.parametrize("begun", [0, 1])
@pytest.mark.parametrize("lifeless", LIFELESS.values(), ids=list(LIFELESS))
async def test_it_takes_nothing_but_a_delta_for_a_sign_of_life(
    lifeless: bytes, begun: int, adapter: Any, upstream: Upstream
) -> None:
    """There is never a silence that would not be allowed."""
    chunk = b"%x\r\n%b\r\n" % (len(lifeless), lifeless)
    upstream.answers([*wire.streamed(wire.events("a")[: 2 * begun])[:-1], *going_on(chunk, 0.1)])
    why, said = await late(adapter(timeout=0.7))
    assert (why, len(said)) == ((UNBEGUN, SILENT)[begun], begun)
    await upstream.closed(1)


@pytest.mark.parametrize("pause", [0.01, 0.0])
async def test_it_breaks_off_a_stream_of_nothing_that_never_pauses(
    pause: float, adapter: Any, upstream: Upstream
) -> None:
    upstream.answers([wire.head_of_stream(), *[step for _ in range(9999) for step in (LIFELESS["comments"], pause)]])
    assert await late(adapter(timeout=0.3)) == (UNBEGUN, [])


async def test_it_waits_for_a_reader_who_is_slow(adapter: Any, upstream: Upstream) -> None:
    upstream.answers(wire.streamed([*wire.events("a")[:2], *[LIFELESS["comments"]] * 3, *wire.events("b")], pause=0.02))
    said = []
    async with aclosing(adapter(timeout=0.3).stream(call())) as turn:
        async for event in turn:
            said.append(event)
            await asyncio.sleep(0.4)
    assert [event.content for event in said[:-1]] == ["a", "b"]


async def test_it_waits_a_moment_only_for_the_words_of_a_refusal(
    adapter: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "COMPLAINT_SECONDS", 0.1)
    upstream.answers([b"HTTP/1.1 503 X\r\nretry-after: 7\r\ncontent-length: 9\r\n\r\n{", HANG])
    with pytest.raises(UpstreamError, match="503") as caught:
        async with asyncio.timeout(GOES_ON):
            await listen(adapter(timeout=2 * GOES_ON), call())
    assert caught.value.retry_after == 7
    await upstream.closed(1)
