"""What both HTTP clients hold to against servers that are slow, odd or hostile: framing, reuse, bounds, cancellation.
What they do for their callers is in `test_outbound.py`, TLS in `test_client_tls.py`, and what only the own client holds
to in `test_http1.py`."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Iterator

import pytest

from engine.errors import UpstreamError
from engine.outbound import HttpClient, Timeouts
from tests.adapters import upstream as wire
from tests.adapters.upstream import CUT, HANG, Upstream

PATIENT = Timeouts(connect=5, read=5)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-T: 1\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SIZED

BARE_LINES = SIZED.replace(b"Content-Length: ", b"X-Empty:\r\ncONTENT-lENGTH:\t").replace(b"11\r\n", b"11 \t\r\n")
CODED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


async def post(http: HttpClient, url: str, timeouts: Timeouts = PATIENT, body: bytes = b"x") -> bytes:
    response = await http.post(url, headers={}, body=body, timeouts=timeouts)
    try:
        return await response.read()
    finally:
        await response.close()


@pytest.mark.parametrize("answer", [CHUNKED, SIZED, INTERIM, BARE_LINES])
async def test_it_reads_answers_torn_anywhere(answer: bytes, http: HttpClient, upstream: Upstream) -> None:
    for cut in range(1, len(answer)):
        upstream.answers([answer[:cut], 0.0, answer[cut:]])
        assert await post(http, upstream.url) == b"hello world"
    assert upstream.connections == 1


async def test_it_reads_answers_byte_by_byte(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([step for byte in CHUNKED for step in (bytes([byte]), 0.0)])
    assert await post(http, upstream.url) == b"hello world"


async def test_it_reads_to_the_end_of_the_connection(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([b"HTTP/1.0 200 OK\r\n\r\nhello", 0.0, b" world", CUT])
    assert await post(http, upstream.url) == b"hello world"


@pytest.mark.parametrize("cut", [CHUNKED[:-5], SIZED[:-1], SIZED[:20]])
async def test_it_never_takes_a_cut_answer_for_a_whole_one(cut: bytes, http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([cut, CUT])
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
async def test_it_calls_what_makes_no_sense_an_upstream_error(
    garbage: bytes, http: HttpClient, upstream: Upstream
) -> None:
    upstream.answers([garbage, CUT])
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)


@pytest.mark.parametrize(
    "forged", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", SIZED[:20], b"HTTP/1.1 2", b"\r\n"]
)
async def test_it_never_takes_unasked_bytes_for_the_next_answer(
    forged: bytes, http: HttpClient, upstream: Upstream
) -> None:
    upstream.answers([SIZED + forged], [SIZED])
    assert await post(http, upstream.url) == b"hello world"
    await asyncio.sleep(0.01)
    assert await post(http, upstream.url) == b"hello world"


async def test_it_gives_no_answer_to_a_wrong_caller(http: HttpClient) -> None:
    """Every answer repeats its question; half the callers are cancelled at every stage of theirs."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                question = await reader.readexactly(length)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
                await asyncio.sleep(0)
                writer.write(question)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

    async def ask(number: int) -> int:
        task = asyncio.ensure_future(post(http, url, body=b"%d" % number))
        if number % 2:
            await asyncio.sleep((number % 13) / 5000)
            task.cancel()
        try:
            assert await task == b"%d" % number
        except asyncio.CancelledError:
            return 0
        return 1

    for start in range(0, 2000, 50):
        answered = await asyncio.gather(*(ask(number) for number in range(start, start + 50)))
        assert sum(answered) >= 25
    server.close()


async def test_it_reads_no_further_than_its_caller(http: HttpClient, upstream: Upstream) -> None:
    size = 64 * 1024
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size * 400)
        for _ in range(400):
            sent += size
            yield b"x" * size

    upstream.answers(pieces())  # type: ignore[arg-type]
    response = await http.post(upstream.url, headers={}, body=b"", timeouts=PATIENT)
    before = -1
    while before != sent:  # until the server is held up
        before = sent
        await asyncio.sleep(0.1)
    assert sent < size * 300  # what the kernel's buffers and the client's own hold
    first = await anext(response.chunks())
    assert len(first) < 4 * 1024 * 1024  # the rest waits in the kernel and at the server
    assert len(first) + sum([len(chunk) async for chunk in response.chunks()]) == size * 400


async def test_it_forgets_connections_that_were_closed_meanwhile(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([SIZED, CUT], [SIZED])
    assert await post(http, upstream.url) == b"hello world"
    await asyncio.sleep(0.02)
    assert await post(http, upstream.url) == b"hello world"
    assert upstream.connections == 2


@pytest.mark.parametrize("header", ["a\r\nX-Evil: 1", "a\nb", "\x00"])
async def test_it_sends_no_header_that_holds_another(header: str, http: HttpClient, upstream: Upstream) -> None:
    with pytest.raises(UpstreamError):
        await http.post(upstream.url, headers={"Authorization": header}, body=b"", timeouts=PATIENT)
    assert upstream.requests == []


async def test_it_leaves_a_hanging_answer_when_its_caller_does(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([*wire.streamed([b"one"])[:-1], HANG])
    response = await http.post(upstream.url, headers={}, body=b"", timeouts=PATIENT)
    assert await anext(response.chunks()) == b"one"
    waiting = asyncio.ensure_future(anext(response.chunks()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await upstream.closed(1)


@pytest.mark.parametrize("size", [100_000, 200_000, 900_000])
async def test_it_asks_once_for_a_large_answer_on_a_kept_connection(
    size: int, http: HttpClient, upstream: Upstream
) -> None:
    upstream.answers([SIZED], [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size])
    await post(http, upstream.url)
    assert len(await post(http, upstream.url)) == size
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("begun", [b"garbage\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_it_asks_no_second_time_when_a_kept_connection_began_to_answer(
    begun: bytes, http: HttpClient, upstream: Upstream
) -> None:
    upstream.answers([SIZED], [begun, CUT])
    await post(http, upstream.url)
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)
    assert len(upstream.requests) == 2


async def test_it_unpacks_no_more_than_is_asked_for(http: HttpClient, upstream: Upstream) -> None:
    packed = gzip.compress(bytes(200 * 1024 * 1024), 1)
    upstream.answers(wire.answer(200, packed, content_encoding="gzip"))
    response = await http.post(upstream.url, headers={}, body=b"", timeouts=PATIENT)
    tracemalloc.start()
    with pytest.raises(UpstreamError, match="too much"):
        await response.read(limit=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


# Framing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "smuggled",
    [
        CODED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + SIZED,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\nhello",
        CODED + b"\r\n-5\r\nhello\r\n0\r\n\r\n",
        CODED + b"\r\n5\r\nhelloX0\r\n\r\n",
        CODED + b"\r\nFFFFFFFFFFFFFFFFFF\r\nhello",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/3.7 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX\x00: a\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
async def test_an_answer_that_could_be_read_in_two_ways_is_none(
    smuggled: bytes, http: HttpClient, upstream: Upstream
) -> None:
    upstream.answers([smuggled, CUT])
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)


@pytest.mark.parametrize(
    "empty",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 11\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        CODED + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ],
)
async def test_what_has_no_body_ends_with_its_head(empty: bytes, http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([empty], [SIZED])
    assert await post(http, upstream.url) == b""
    assert await post(http, upstream.url) == b"hello world"
    assert upstream.connections == 1


async def test_a_trailer_is_no_field_of_the_head(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([CODED + b"X-A: head\r\n\r\n", 0.01, b"0\r\nX-A: trailer\r\nX-B: 7\r\n\r\n"])
    response = await http.post(upstream.url, headers={}, body=b"", timeouts=PATIENT)
    assert await response.read() == b""
    assert (response.headers["x-a"], "x-b" in response.headers) == ("head", False)
    await response.close()


async def test_fields_are_found_in_any_case_and_may_be_many(http: HttpClient, upstream: Upstream) -> None:
    many = b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(90))
    upstream.answers([b"HTTP/1.1 200 OK\r\ncOnTeNt-TyPe: a/b\r\n" + many + SIZED.partition(b"\r\n")[2]])
    response = await http.post(upstream.url, headers={}, body=b"", timeouts=PATIENT)
    found = {name.lower(): value for name, value in response.headers.items()}
    assert (response.headers["Content-Type"], response.headers.get("X-89")) == ("a/b", "89")
    assert (found["content-type"], found["x-0"], len(found)) == ("a/b", "0", 92)
    assert response.headers.get("x-90") is None
    await response.close()


# Servers without an end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 1000),
        (b"HTTP/1.1 200 ", b"O" * 1000),
    ],
)
async def test_a_head_without_end_is_given_up(begin: bytes, again: bytes, http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([begin, *[again] * 4000])
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)
    await upstream.closed(1)


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (CODED + b"\r\n", b"5\r\nhello\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"hello" * 1000),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"hello" * 1000),
    ],
)
async def test_a_body_without_end_is_read_up_to_the_limit(
    begin: bytes, again: bytes, http: HttpClient, upstream: Upstream
) -> None:
    upstream.answers([begin, *[again] * 1000, HANG])
    response = await http.post(upstream.url, headers={}, body=b"", timeouts=PATIENT)
    with pytest.raises(UpstreamError, match="too much"):
        await response.read(limit=1_000_000)
    await upstream.closed(1)


async def test_trailers_without_end_are_given_up(http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([CODED + b"\r\n5\r\nhello\r\n0\r\n", *[b"X-A: " + b"a" * 1000 + b"\r\n"] * 4000])
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)
    await upstream.closed(1)


# Requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
async def test_a_request_arrives_as_it_is(size: int, http: HttpClient, upstream: Upstream) -> None:
    upstream.answers([SIZED])
    body = bytes(range(256)) * (size // 256 + 1)
    await post(http, upstream.url, body=body[:size])
    assert upstream.requests[0].body == body[:size]
    assert upstream.requests[0].headers["content-length"] == str(size)


async def test_an_answer_may_come_before_the_request_was_read(http: HttpClient) -> None:
    """And what was not read of it is nobody else's."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.sleep(10)

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for _ in range(2):
        response = await http.post(url, headers={}, body=bytes(20_000_000), timeouts=PATIENT)
        assert (response.status, await response.read()) == (413, b"no")
        await response.close()
    assert len(asked) == 2
    server.close()


async def test_a_caller_that_leaves_while_it_is_sent_closes_the_connection(http: HttpClient) -> None:
    closed = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await left.wait()
        try:
            while await reader.read(1 << 20):
                pass
        except ConnectionError:
            pass
        closed.set()
        writer.close()

    asked, left = asyncio.Event(), asyncio.Event()
    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    task = asyncio.ensure_future(post(http, url, body=bytes(20_000_000)))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left.set()
    async with asyncio.timeout(30):
        await closed.wait()
    server.close()
