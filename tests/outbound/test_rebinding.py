"""Names that change what they mean, and answers that send elsewhere. A real name server says one thing and then
another; whoever looked twice would connect into our network."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from access.people import provider_calls
from engine import addresses
from engine.addresses import AddressRefused
from engine.aiohttp_client import AiohttpClient
from engine.errors import UpstreamError, UpstreamTimeout
from engine.http1 import DirectClient
from engine.outbound import NOT_ALLOWED, UNREACHED, Timeouts
from tenants import webhooks
from tests.outbound.network import NameServer, Trap, forbidden, listening, told, watched

TRIES = int(os.environ.get("REBINDING_TRIES", "100"))
PUBLIC, SECOND, PUBLIC_V6 = "1.1.1.1", "8.8.8.8", "2606:4700::1111"
TIMEOUTS = Timeouts(connect=5, read=5)


class Outside(BaseHTTPRequestHandler):
    """A public service, which would like us to go on inside. Every answer ends its connection."""

    protocol_version = "HTTP/1.1"
    location = ""
    heard: list[str] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.heard.append(self.headers["Host"])
        self.send_response(302 if self.location else 200)
        if self.location:
            self.send_header("Location", self.location)
        self.send_header("Content-Length", "2")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def outside(monkeypatch: Any) -> Iterator[tuple[str, int]]:
    """The way to public addresses ends at a service of this machine; who reached it is told the public address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Outside)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    there = ("127.0.0.1", server.server_port)
    Outside.location, Outside.heard = "", []

    class Routed(socket.socket):
        reached: Any = None

        def connect(self, place: Any) -> None:
            if place[0] in (PUBLIC, SECOND):
                self.reached = place
                super().connect(there)
            elif place[0] == PUBLIC_V6:
                self.reached = place
                raise OSError("no way to IPv6 here")
            else:
                super().connect(place)

        def getpeername(self) -> Any:
            return self.reached or super().getpeername()

    def routed(address: addresses.Address) -> socket.socket:
        return Routed(address.family, socket.SOCK_STREAM)

    monkeypatch.setattr(addresses, "_socket", routed)
    yield there
    server.shutdown()
    server.server_close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    with listening() as found:
        yield found


def served(monkeypatch: Any, answer: Any, *, ttl: int = 0) -> NameServer:
    server = NameServer(answer, ttl=ttl)
    system = socket.getaddrinfo

    def getaddrinfo(name: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return system(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            return told(server.look_up(name), int(port))

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return server


async def by_direct(url: str) -> int:
    client = DirectClient()
    try:
        response = await client.post(url, headers={}, body=b"{}", timeouts=TIMEOUTS)
        await response.close()
        return response.status
    finally:
        await client.close()


async def by_aiohttp(url: str) -> int:
    client = AiohttpClient()
    try:
        response = await client.post(url, headers={}, body=b"{}", timeouts=TIMEOUTS)
        await response.close()
        return response.status
    finally:
        await client.close()


async def by_webhook(url: str) -> int:
    return await asyncio.to_thread(webhooks.call, url, b"{}", {}, private=False)


async def by_provider(url: str) -> int:
    return (await asyncio.to_thread(provider_calls.session().get, url)).status_code


# The connections of aiohttp are made from sockets of its own, which know nothing of `outside`.
ROUTED = [by_direct, by_webhook, by_provider]
REFUSALS = (UpstreamError, AddressRefused, OSError)


@pytest.mark.parametrize("call", ROUTED)
async def test_a_name_that_alternates_never_leads_inside(call, outside, trap, monkeypatch):
    """Every connection is one look-up: what was looked at is what is connected to."""
    names = served(monkeypatch, lambda name, asked: [PUBLIC if asked % 2 else "127.0.0.1"])
    answered = refused = 0
    try:
        with watched() as places:
            for _ in range(TRIES):
                try:
                    assert await call(f"http://rebind.example:{trap.port}/") == 200
                    answered += 1
                except REFUSALS:
                    refused += 1
        assert names.asked["rebind.example"] == TRIES
    finally:
        names.stop()
    assert (answered, refused) == (TRIES - TRIES // 2, TRIES // 2)
    assert (trap.heard, set(forbidden(places)) - {outside}) == ([], set())
    assert set(Outside.heard) == {f"rebind.example:{trap.port}"}


async def test_a_name_that_alternates_never_leads_inside_by_aiohttp(trap, monkeypatch):
    names = served(monkeypatch, lambda name, asked: [PUBLIC if asked % 2 else "127.0.0.1"])
    looked: list[list[addresses.Address]] = []
    resolve = addresses.resolve

    async def looking(*args: Any, **kwargs: Any) -> Any:
        looked.append(await resolve(*args, **kwargs))
        raise OSError("no way there")  # what it would connect to is known

    monkeypatch.setattr(addresses, "resolve", looking)
    try:
        for _ in range(TRIES):
            with pytest.raises(UpstreamError):
                await by_aiohttp(f"http://rebind.example:{trap.port}/")
        assert names.asked["rebind.example"] == TRIES
    finally:
        names.stop()
    assert {each.host for found in looked for each in found} == {PUBLIC}
    assert trap.heard == []


ANSWERS = {
    "two addresses, one inside": lambda name, asked: [PUBLIC, "10.0.0.5"],
    "two addresses, the first inside": lambda name, asked: ["127.0.0.1", PUBLIC],
    "IPv6 inside beside IPv4": lambda name, asked: [PUBLIC, "::1"],
    "only IPv6, inside": lambda name, asked: ["fd12::1"],
    "only IPv6, mapped": lambda name, asked: ["::ffff:7f00:1"],
    "a chain of names": lambda name, asked: {
        "start.example": ["one.example"], "one.example": ["two.example"], "two.example": ["169.254.169.254"]
    }[name],
    "a chain that ends inside and outside": lambda name, asked: {
        "start.example": ["one.example"], "one.example": [PUBLIC, "192.168.0.1"]
    }[name],
}  # fmt: skip


@pytest.mark.parametrize("call", [by_direct, by_aiohttp, by_webhook, by_provider])
@pytest.mark.parametrize("what", ANSWERS)
async def test_no_answer_with_an_address_inside_is_good(call, what, trap, monkeypatch):
    names = served(monkeypatch, ANSWERS[what], ttl=2**31 - 1)
    try:
        with watched() as places, pytest.raises(REFUSALS):
            await call(f"http://start.example:{trap.port}/")
    finally:
        names.stop()
    assert (trap.heard, places) == ([], [])


async def test_a_long_life_of_an_answer_is_not_believed(outside, trap, monkeypatch):
    """Nothing is kept of names: the next connection asks again, and obeys."""
    names = served(monkeypatch, lambda name, asked: [PUBLIC] if asked == 1 else ["127.0.0.1"], ttl=2**31 - 1)
    try:
        assert await by_direct(f"http://start.example:{trap.port}/") == 200
        with pytest.raises(UpstreamError, match=NOT_ALLOWED):
            await by_direct(f"http://start.example:{trap.port}/")
    finally:
        names.stop()
    assert trap.heard == []


async def test_the_next_address_is_tried_where_one_cannot_be_reached(outside, monkeypatch):
    names = served(monkeypatch, lambda name, asked: [PUBLIC_V6, SECOND])
    try:
        assert await by_direct("http://start.example:80/") == 200
        assert await by_webhook("http://start.example:80/") == 200
    finally:
        names.stop()


@pytest.mark.parametrize("call", ROUTED)
@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost"])
async def test_no_redirect_is_followed_inside(call, host, outside, trap, monkeypatch):
    """Open WebUI CVE-2026-45401 and CVE-2026-54008: an address that was checked sent on to one that was not."""
    names = served(monkeypatch, lambda name, asked: [PUBLIC])
    Outside.location = f"http://{host}:{trap.port}/latest/meta-data/"
    try:
        try:
            assert await call("http://start.example:80/") == 302
        except OSError as error:  # the identity provider's client says so in its own way
            assert "redirect" in str(error).lower()
    finally:
        names.stop()
    assert (trap.heard, len(Outside.heard)) == ([], 1)


@pytest.mark.parametrize("client", [DirectClient, AiohttpClient])
async def test_a_name_that_is_slow_counts_in_the_time_to_connect(client, monkeypatch):
    over = threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        over.wait(60)
        return told([PUBLIC], 80)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    http = client()
    try:
        with watched() as places, pytest.raises(UpstreamTimeout, match=UNREACHED):
            await http.post("http://slow.example/", headers={}, body=b"", timeouts=Timeouts(connect=0.1, read=5))
    finally:
        over.set()
        await http.close()
    assert places == []


async def test_connections_of_one_permission_are_none_of_the_other(trap):
    """A kept connection into our network is not for who may not go there."""
    allowed, other = DirectClient(private=True), DirectClient()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kept)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    try:
        response = await allowed.post(url, headers={}, body=b"", timeouts=TIMEOUTS)
        assert await response.read() == b"{}"
        with pytest.raises(UpstreamError, match=NOT_ALLOWED):
            await other.post(url, headers={}, body=b"", timeouts=TIMEOUTS)
    finally:
        await allowed.close()
        server.shutdown()
        server.server_close()


class Kept(Outside):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
