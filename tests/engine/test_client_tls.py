"""Both HTTP clients over TLS: whom they believe, what they say to whom, and how long they wait."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.aiohttp_client import AiohttpClient
from engine.errors import UpstreamError, UpstreamTimeout
from engine.http1 import DirectClient
from engine.outbound import UNREACHED, HttpClient, Timeouts
from tests.services import certificates
from tests.services.certificates import DAY

PATIENT = Timeouts(connect=5, read=5)
LARGE = bytes(range(256)) * 8192


def certificate(folder: Path, host: str, *, ends: datetime.timedelta = DAY) -> Path:
    """And its key, in one file."""
    path = folder / f"{host}.pem"
    path.write_bytes(b"".join(certificates.certificate(host, ends=ends)))
    return path


class Server:
    """Answers every request with what it was sent; remembers the names asked for and the protocols agreed on."""

    def __init__(self, path: Path) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(path)
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.context.sni_callback = lambda link, name, context: self.names.append(name)
        self.names: list[str | None] = []
        self.protocols: list[str | None] = []
        self.answered = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
                writer.write(await reader.readexactly(length))
                self.answered += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture(params=[DirectClient, AiohttpClient])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


async def asked(
    kind: Any, path: Path, *, host: str, trusted: bool = True, bodies: tuple[bytes, ...] = (b"x",)
) -> tuple[Server, list[bytes]]:
    serving = Server(path)
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0, ssl=serving.context)
    http: HttpClient = kind(ssl.create_default_context(cafile=str(path)) if trusted else None, private=True)
    url = f"https://{host}:{server.sockets[0].getsockname()[1]}/"
    answers = []
    try:
        for body in bodies:
            response = await http.post(url, headers={}, body=body, timeouts=PATIENT)
            answers.append(await response.read())
            await response.close()
    finally:
        await http.close()
        server.close()
    return serving, answers


@pytest.mark.parametrize(("host", "named"), [("127.0.0.1", None), ("localhost", "localhost")])
async def test_it_names_whom_it_calls_unless_that_is_an_address(
    host: str, named: str | None, kind: Any, tmp_path: Path
) -> None:
    server, answers = await asked(kind, certificate(tmp_path, host), host=host)
    assert (answers, server.names) == ([b"x"], [named])


async def test_a_connection_serves_many_and_carries_any_bytes(kind: Any, tmp_path: Path) -> None:
    bodies = (b"one", LARGE, b"", b"two")
    server, answers = await asked(kind, certificate(tmp_path, "127.0.0.1"), host="127.0.0.1", bodies=bodies)
    assert answers == list(bodies)
    assert len(server.protocols) == 1


async def test_without_a_context_of_ones_own_it_speaks_http_1_1_alone(kind: Any, tmp_path: Path) -> None:
    """What it offers is seen before the certificate, which nobody signed, is refused."""
    offered: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        offered.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    http: HttpClient = kind(private=True)
    with pytest.raises(UpstreamError):
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await http.post(url, headers={}, body=b"", timeouts=PATIENT)
    await http.close()
    server.close()
    assert b"\x00\x09\x08http/1.1" in offered[0]
    assert b"\x02h2" not in offered[0]


@pytest.mark.parametrize(
    ("host", "called", "trusted", "ends"),
    [
        ("127.0.0.1", "127.0.0.1", False, DAY),
        ("127.0.0.2", "127.0.0.1", True, DAY),
        ("elsewhere.test", "localhost", True, DAY),
        ("127.0.0.1", "localhost", True, DAY),
        ("localhost", "127.0.0.1", True, DAY),
        ("127.0.0.1", "127.0.0.1", True, -DAY),
        ("localhost", "localhost", True, -DAY),
    ],
)
async def test_it_sends_nothing_to_whom_it_cannot_believe(
    host: str, called: str, trusted: bool, ends: datetime.timedelta, kind: Any, tmp_path: Path
) -> None:
    """Signed by nobody, for somebody else, too old."""
    path = certificate(tmp_path, host, ends=ends)
    serving = Server(path)
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0, ssl=serving.context)
    http: HttpClient = kind(ssl.create_default_context(cafile=str(path)) if trusted else None, private=True)
    with pytest.raises(UpstreamError, match="cannot be reached"):
        url = f"https://{called}:{server.sockets[0].getsockname()[1]}/"
        await http.post(url, headers={}, body=b"secret", timeouts=PATIENT)
    assert serving.answered == 0
    await http.close()
    server.close()


@pytest.fixture
async def mute() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Takes connections and says nothing: its address, and whether somebody has left it."""
    left = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", left
    server.close()


async def test_a_handshake_without_end_is_given_up(kind: Any, mute: tuple[str, asyncio.Event]) -> None:
    http: HttpClient = kind(private=True)
    with pytest.raises(UpstreamTimeout, match=UNREACHED):
        await http.post(mute[0], headers={}, body=b"", timeouts=Timeouts(connect=0.2, read=5))
    async with asyncio.timeout(30):
        await mute[1].wait()
    await http.close()


async def test_a_caller_that_leaves_a_handshake_closes_the_connection(
    kind: Any, mute: tuple[str, asyncio.Event]
) -> None:
    http: HttpClient = kind(private=True)
    task = asyncio.ensure_future(http.post(mute[0], headers={}, body=b"", timeouts=PATIENT))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(30):
        await mute[1].wait()
    await http.close()


async def test_a_link_cut_without_a_farewell_ends_no_answer(kind: Any, tmp_path: Path) -> None:
    """Whoever can cut a TLS connection must not be able to shorten what came over it."""
    path = certificate(tmp_path, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello")
        await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(cut, "127.0.0.1", 0, ssl=context)
    http: HttpClient = kind(ssl.create_default_context(cafile=str(path)), private=True)
    with pytest.raises(UpstreamError):
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        response = await http.post(url, headers={}, body=b"", timeouts=PATIENT)
        await response.read()
    await http.close()
    server.close()
