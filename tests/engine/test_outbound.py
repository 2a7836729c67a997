from __future__ import annotations

import asyncio
import gzip
import socket
from typing import Any

import pytest

from engine.aiohttp_client import AiohttpClient
from engine.errors import UpstreamError, UpstreamTimeout
from engine.http1 import DirectClient
from engine.outbound import SILENT, UNBEGUN, UNFINISHED, UNREACHED, HttpClient, Timeouts
from tests.adapters import upstream as wire
from tests.adapters.upstream import CUT, HANG, RESET, Upstream

PATIENT = Timeouts(connect=5, read=5)
SHORT = Timeouts(connect=5, read=0.1)


async def post(http: HttpClient, upstream: Upstream, timeouts: Timeouts = PATIENT, **headers: str) -> Any:
    return await http.post(upstream.url, headers=headers, body=b"ping", timeouts=timeouts)


async def test_it_posts_and_reads_the_whole(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers(wire.answer(201, b"pong", x_y="z"))
    response = await post(http, upstream, Authorization="Bearer k")
    assert (response.status, response.headers["X-Y"], await response.read()) == (201, "z", b"pong")
    await response.close()
    request = upstream.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/v1", b"ping")
    assert request.headers["authorization"] == "Bearer k"
    assert request.headers["accept-encoding"] == "identity"


async def test_it_gets(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers(wire.answer(200, b"here"))
    response = await http.get(upstream.url, headers={}, timeouts=PATIENT)
    assert (await response.read(), upstream.requests[0].method) == (b"here", "GET")


async def test_no_space_of_an_address_ends_the_line_it_stands_in(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers(wire.answer(200, b"here"))
    response = await http.get(f"{upstream.url}/a b HTTP/1.1", headers={}, timeouts=PATIENT)
    await response.close()
    assert upstream.requests[0].path == "/v1/a%20b%20HTTP/1.1"


async def test_it_gives_chunks_as_they_arrive(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers(wire.streamed([b"one", b"two", b"three"], pause=0.02))
    response = await post(http, upstream)
    assert [chunk async for chunk in response.chunks()] == [b"one", b"two", b"three"]


async def test_it_keeps_connections_and_never_a_cookie(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers(wire.answer(200, b"pong", set_cookie="a=b; Path=/"))
    for _ in range(3):
        response = await post(http, upstream)
        await response.read()
        await response.close()
    assert upstream.connections == 1
    assert all("cookie" not in request.headers for request in upstream.requests)


async def test_it_opens_as_many_connections_as_calls(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([0.1, *wire.answer(200, b"pong")])
    responses = await asyncio.gather(*(post(http, upstream) for _ in range(150)))
    assert upstream.connections == 150
    for response in responses:
        await response.close()


async def test_it_follows_no_redirect(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers(wire.answer(302, b"", location="/elsewhere"))
    assert (await post(http, upstream)).status == 302
    assert len(upstream.requests) == 1


async def test_it_unpacks_what_was_packed_unasked(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers(wire.answer(200, gzip.compress(b"pong" * 100), content_encoding="gzip"))
    assert await (await post(http, upstream)).read() == b"pong" * 100


async def test_it_refuses_more_than_the_limit(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([*wire.streamed([b"x" * 1000] * 10)[:-1], HANG])
    with pytest.raises(UpstreamError, match="too much"):
        await (await post(http, upstream)).read(limit=5000)
    await upstream.closed(1)


async def test_it_closes_the_connection_of_an_unfinished_answer(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([*wire.streamed([b"one"])[:-1], HANG])
    response = await post(http, upstream)
    assert await anext(response.chunks()) == b"one"
    assert upstream.open == 1
    await response.close()
    await response.close()
    await upstream.closed(1)


async def test_it_closes_the_connection_when_cancelled(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([HANG])
    task = asyncio.create_task(post(http, upstream))
    await upstream.asked(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await upstream.closed(1)


@pytest.mark.parametrize(("step", "kind"), [(CUT, UpstreamError), (RESET, UpstreamError), (HANG, UpstreamTimeout)])
@pytest.mark.parametrize("sent", [0, 1, 2])
async def test_it_maps_every_failure(
    sent: int, step: Any, kind: type[UpstreamError], http: HttpClient, upstream: Upstream
) -> None:
    upstream.answers([*wire.streamed([b"one", b"two"])[:sent], step])
    with pytest.raises(UpstreamError) as caught:
        response = await post(http, upstream, SHORT)
        async for _ in response.chunks():
            pass
    assert type(caught.value) is kind
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(("sent", "why"), [(0, UNBEGUN), (1, SILENT), (2, SILENT)])
async def test_it_says_what_was_late(sent: int, why: str, http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([*wire.streamed([b"one", b"two"])[:sent], HANG])
    with pytest.raises(UpstreamTimeout) as caught:
        await (await post(http, upstream, SHORT)).read()
    assert caught.value.message == why


async def test_it_waits_as_long_as_is_expected(http: HttpClient, upstream: Upstream) -> None:
    """Each limit stands in for the one before, and for what `timeouts` say; one that passes unwaited is none."""
    clock = asyncio.get_running_loop().time
    upstream.answers([*wire.streamed([b"one", b"two", b"three"], pause=0.2)[:-1], HANG])
    response = await post(http, upstream, Timeouts(5, 5))
    chunks = response.chunks()
    response.expect_by(clock() - 1, "never")
    response.expect_by(clock() + 5, "one")
    assert await anext(chunks) == b"one"
    response.expect_by(clock() + 5, "two")
    assert await anext(chunks) == b"two"
    response.expect_by(clock() + 0.05, "sleeping")
    await asyncio.sleep(0.1)
    response.expect_by(clock() + 5, "three")
    assert await anext(chunks) == b"three"
    response.expect_by(clock() + 0.1, "four")
    with pytest.raises(UpstreamTimeout, match="four"):
        await anext(chunks)
    with pytest.raises((UpstreamError, StopAsyncIteration)):
        await anext(chunks)
    await upstream.closed(1)
    await response.close()


async def test_it_expects_a_body_in_one_piece_too(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([*wire.streamed([b"x"] * 100, pause=0.05)])
    response = await post(http, upstream)
    response.expect_by(asyncio.get_running_loop().time() + 0.2, "all of it")
    with pytest.raises(UpstreamTimeout, match="all of it"):
        await response.read()
    await upstream.closed(1)


async def test_it_gives_out_what_is_here_however_late(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers(wire.answer(200, b"pong"))
    response = await post(http, upstream)
    await asyncio.sleep(0.05)
    response.expect_by(asyncio.get_running_loop().time() - 1, "never")
    assert await response.read() == b"pong"


async def test_it_bounds_the_total(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers(wire.streamed([b"x"] * 100, pause=0.05))
    with pytest.raises(UpstreamTimeout) as caught:
        await (await post(http, upstream, Timeouts(5, 5, 0.3))).read()
    assert caught.value.message == UNFINISHED


async def test_it_says_when_nobody_listens(http: HttpClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refuses
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(UpstreamError, match="cannot be reached"):
            await http.post(url, headers={}, body=b"", timeouts=PATIENT)


async def test_it_gives_up_connecting(http: HttpClient) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):  # the queue of one is full: nobody answers the next
            with pytest.raises(UpstreamTimeout, match=UNREACHED):
                url = f"http://127.0.0.1:{full.getsockname()[1]}/"
                async with asyncio.timeout(20):
                    await http.post(url, headers={}, body=b"", timeouts=Timeouts(0.2, 0.2))


@pytest.mark.parametrize(
    "url", ["", "nowhere", "ftp://127.0.0.1/", "http://", "http://[", "http://a..b/", "http://\x00/"]
)
async def test_it_refuses_what_is_no_address(url: str, http: HttpClient) -> None:
    with pytest.raises(UpstreamError):
        await http.post(url, headers={}, body=b"", timeouts=PATIENT)


async def test_it_sends_again_on_a_connection_given_up_while_idle(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers(wire.answer(200, b"one"), [CUT], wire.answer(200, b"two"))
    assert await (await post(http, upstream)).read() == b"one"
    assert await (await post(http, upstream)).read() == b"two"
    assert [request.connection for request in upstream.requests] == [1, 1, 2]


async def test_it_never_sends_again_on_a_new_connection(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([CUT])
    with pytest.raises(UpstreamError):
        await post(http, upstream)
    assert len(upstream.requests) == 1


async def test_it_sends_without_delay(http: HttpClient, upstream: Upstream, monkeypatch: Any) -> None:
    made: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    create = loop.create_connection

    async def watched(*args: Any, **kwargs: Any) -> Any:
        transport, protocol = await create(*args, **kwargs)
        made.append(transport.get_extra_info("socket"))
        return transport, protocol

    monkeypatch.setattr(loop, "create_connection", watched)
    upstream.answers(wire.answer(200, b"pong"))
    await (await post(http, upstream)).read()
    assert [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in made] == [1]


@pytest.mark.parametrize("kind", [DirectClient, AiohttpClient])
def test_it_serves_every_event_loop(kind: Any) -> None:
    client = kind(private=True)

    async def once() -> bytes:
        async with Upstream() as upstream:
            upstream.answers(wire.answer(200, b"pong"))
            response = await post(client, upstream)
            try:
                return await response.read()
            finally:
                await response.close()
                await client.close()

    assert [asyncio.run(once()) for _ in range(2)] == [b"pong", b"pong"]
