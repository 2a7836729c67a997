"""What only the own client can get wrong: framing, reuse, cancellation, TLS. The rest is in `test_outbound.py`."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ipaddress
import ssl
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.errors import UpstreamError
from engine.http1 import DirectClient
from engine.outbound import Timeouts
from tests.adapters import upstream as wire
from tests.adapters.upstream import CUT, HANG, Upstream

PATIENT = Timeouts(connect=5, read=5)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-T: 1\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SIZED


@pytest.fixture
async def http() -> Any:
    client = DirectClient(private=True)
    yield client
    await client.close()


@pytest.fixture
async def upstream() -> Any:
    async with Upstream() as server:
        yield server


async def post(http: DirectClient, url: str, timeouts: Timeouts = PATIENT, body: bytes = b"x") -> bytes:
    response = await http.post(url, headers={}, body=body, timeouts=timeouts)
    try:
        return await response.read()
    finally:
        await response.close()


@pytest.mark.parametrize("answer", [CHUNKED, SIZED, INTERIM])
async def test_it_reads_answers_torn_anywhere(answer: bytes, http: DirectClient, upstream: Upstream) -> None:
    for cut in range(1, len(answer)):
        upstream.answers([answer[:cut], 0.0, answer[cut:]])
        assert await post(http, upstream.url) == b"hello world"
    assert upstream.connections == 1


async def test_it_reads_answers_byte_by_byte(http: DirectClient, upstream: Upstream) -> None:
    upstream.answers([step for byte in CHUNKED for step in (bytes([byte]), 0.0)])
    assert await post(http, upstream.url) == b"hello world"


async def test_it_reads_to_the_end_of_the_connection(http: DirectClient, upstream: Upstream) -> None:
    upstream.answers([b"HTTP/1.0 200 OK\r\n\r\nhello", 0.0, b" world", CUT])
    assert await post(http, upstream.url) == b"hello world"


@pytest.mark.parametrize("cut", [CHUNKED[:-5], SIZED[:-1], SIZED[:20]])
async def test_it_never_takes_a_cut_answer_for_a_whole_one(cut: bytes, http: DirectClient, upstream: Upstream) -> None:
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
    garbage: bytes, http: DirectClient, upstream: Upstream
) -> None:
    upstream.answers([garbage, CUT])
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)


@pytest.mark.parametrize(
    "forged", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", SIZED[:20], b"HTTP/1.1 2", b"\r\n"]
)
async def test_it_never_takes_unasked_bytes_for_the_next_answer(
    forged: bytes, http: DirectClient, upstream: Upstream
) -> None:
    upstream.answers([SIZED + forged], [SIZED])
    assert await post(http, upstream.url) == b"hello world"
    await asyncio.sleep(0.01)
    assert await post(http, upstream.url) == b"hello world"


async def test_it_gives_no_answer_to_a_wrong_caller(http: DirectClient) -> None:
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


async def test_it_reads_no_further_than_its_caller(http: DirectClient, upstream: Upstream) -> None:
    size = 64 * 1024
    upstream.answers([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size * 400), *[b"x" * size] * 400])
    response = await http.post(upstream.url, headers={}, body=b"", timeouts=PATIENT)
    await asyncio.sleep(0.3)
    first = await anext(response.chunks())
    assert len(first) < 4 * 1024 * 1024  # the rest waits in the kernel and at the server
    assert len(first) + sum([len(chunk) async for chunk in response.chunks()]) == size * 400


async def test_it_forgets_connections_that_were_closed_meanwhile(http: DirectClient, upstream: Upstream) -> None:
    upstream.answers([SIZED, CUT], [SIZED])
    assert await post(http, upstream.url) == b"hello world"
    await asyncio.sleep(0.02)
    assert await post(http, upstream.url) == b"hello world"
    assert upstream.connections == 2


@pytest.mark.parametrize("header", ["a\r\nX-Evil: 1", "a\nb", "\x00"])
async def test_it_sends_no_header_that_holds_another(header: str, http: DirectClient, upstream: Upstream) -> None:
    with pytest.raises(UpstreamError):
        await http.post(upstream.url, headers={"Authorization": header}, body=b"", timeouts=PATIENT)
    assert upstream.requests == []


async def test_it_leaves_a_hanging_answer_when_its_caller_does(http: DirectClient, upstream: Upstream) -> None:
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
    size: int, http: DirectClient, upstream: Upstream
) -> None:
    upstream.answers([SIZED], [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size])
    await post(http, upstream.url)
    assert len(await post(http, upstream.url)) == size
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("begun", [b"garbage\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_it_asks_no_second_time_when_a_kept_connection_began_to_answer(
    begun: bytes, http: DirectClient, upstream: Upstream
) -> None:
    upstream.answers([SIZED], [begun, CUT])
    await post(http, upstream.url)
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)
    assert len(upstream.requests) == 2


async def test_it_unpacks_no_more_than_is_asked_for(http: DirectClient, upstream: Upstream) -> None:
    packed = gzip.compress(bytes(200 * 1024 * 1024), 1)
    upstream.answers(wire.answer(200, packed, content_encoding="gzip"))
    response = await http.post(upstream.url, headers={}, body=b"", timeouts=PATIENT)
    tracemalloc.start()
    with pytest.raises(UpstreamError, match="too much"):
        await response.read(limit=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


async def test_it_never_takes_a_cut_packed_answer_for_a_whole_one(http: DirectClient, upstream: Upstream) -> None:
    packed = gzip.compress(b"hello" * 1000)
    upstream.answers(wire.answer(200, packed[:-12], content_encoding="gzip"))
    with pytest.raises(UpstreamError):
        await post(http, upstream.url)


# TLS --------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, host: str = "127.0.0.1") -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.mark.parametrize(
    ("host", "trusted", "works"), [("127.0.0.1", True, True), ("127.0.0.1", False, False), ("127.0.0.2", True, False)]
)
async def test_it_verifies_certificates(host: str, trusted: bool, works: bool, tmp_path: Path) -> None:
    path = certificate(tmp_path, host)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(path)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SIZED)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=serving)
    http = DirectClient(ssl.create_default_context(cafile=str(path)) if trusted else None, private=True)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    if works:
        assert await post(http, url) == b"hello world"
    else:
        with pytest.raises(UpstreamError, match="cannot be reached"):
            await post(http, url)
    await http.close()
    server.close()
