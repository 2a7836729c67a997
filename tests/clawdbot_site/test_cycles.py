from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from typing import Any

import pytest
import uvicorn

from access.disconnects import WHEN_GONE, Watcher
from clawdbot_site.serving.limits import ConnectionState, LimitedHttpProtocol, Limits

GET = b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\n\r\n"
DATE = b"date: Tue, 15 Nov 2022 12:45:26 GMT\r\n"


class Recording(asyncio.Transport):
    """What was written, a piece each, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol | None = None
        self.pieces: list[bytes] = []
        self.closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_protocol(self) -> Any:
        return self.protocol

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


def connected(application: Any, *, keep_alive: float = 60) -> tuple[LimitedHttpProtocol, Recording]:
    config = uvicorn.Config(
        application, http=LimitedHttpProtocol, lifespan="off", log_config=None, access_log=False, proxy_headers=False
    )
    config.load()
    config.timeout_keep_alive = keep_alive  # type: ignore[assignment]
    state = ConnectionState(Limits())
    state.default_headers = [(b"date", b"Tue, 15 Nov 2022 12:45:26 GMT")]
    transport = Recording()
    transport.protocol = protocol = LimitedHttpProtocol(config, state, {})
    protocol.connection_made(transport)
    return protocol, transport


def answering(*events: dict[str, Any]) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        for event in events:
            await send({"type": f"http.response.{event.pop('kind')}", **event})

    return application


async def settled(protocol: LimitedHttpProtocol) -> None:
    while protocol.server_state.tasks:
        await asyncio.sleep(0)
    await asyncio.sleep(0)


async def answer(request: bytes, *events: dict[str, Any]) -> Recording:
    protocol, transport = connected(answering(*events))
    protocol.data_received(request)
    await settled(protocol)
    return transport


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"kind": "start", "status": status, "headers": list(headers)}


def body(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"kind": "body", "body": data, "more_body": more}


async def test_an_answer_of_known_length_is_one_write() -> None:
    transport = await answer(GET, start((b"Content-Length", b"5"), (b"x-a", b"b\tc")), body(b"hello"))
    head = b"HTTP/1.1 200 OK\r\n" + DATE + b"content-length: 5\r\nx-a: b\tc\r\n\r\n"
    assert transport.pieces == [head + b"hello"]
    assert not transport.closed


async def test_the_head_of_a_stream_does_not_wait_for_its_first_piece() -> None:
    waiting = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await waiting.wait()
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    protocol, transport = connected(application)
    protocol.data_received(GET)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert transport.pieces == [b"HTTP/1.1 200 OK\r\n" + DATE + b"transfer-encoding: chunked\r\n\r\n"]
    waiting.set()
    await settled(protocol)
    assert b"".join(transport.pieces[1:]) == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "headers", "wanted"),
    [
        (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 200, [(b"content-length", b"5")], b"content-length: 5\r\n\r\n"),
        (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 200, [], b"\r\n\r\n"),
        (GET, 204, [], b"GMT\r\n\r\n"),
        (GET, 304, [(b"etag", b"x")], b"etag: x\r\n\r\n"),
    ],
)
async def test_what_has_no_body_is_sent_none(
    request_: bytes, status: int, headers: list[tuple[bytes, bytes]], wanted: bytes
) -> None:
    content = b"hello" if request_.startswith(b"HEAD") else b""
    transport = await answer(request_, start(*headers, status=status), body(content))
    assert b"".join(transport.pieces).endswith(wanted)


@pytest.mark.parametrize(
    "field", [(b"x-a", b"b\r\nx-evil: 1"), (b"x-a", b"b\nc"), (b"x-a", b"\0"), (b"x:a", b"b"), (b"x a", b"b")]
)
async def test_no_field_holds_another(field: tuple[bytes, bytes]) -> None:
    for _ in range(2):  # no name that is none is remembered as one
        transport = await answer(GET, start((b"content-length", b"0"), field), body(b""))
        assert b"evil" not in b"".join(transport.pieces)
        assert transport.closed


@pytest.mark.parametrize("content", [b"four", b"sixsix"])
async def test_a_body_of_another_length_than_said_ends_the_connection(content: bytes) -> None:
    transport = await answer(GET, start((b"content-length", b"5")), body(content))
    assert transport.closed


@pytest.mark.parametrize(
    ("request_", "headers"),
    [
        (GET, [(b"connection", b"Close")]),
        (GET, [(b"connection", b"x, close")]),
        (b"GET / HTTP/1.0\r\n\r\n", []),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []),
    ],
)
async def test_it_closes_where_either_side_says_so(request_: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    transport = await answer(request_, start((b"content-length", b"2"), *headers), body(b"ok"))
    assert b"".join(transport.pieces).lower().count(b"close") == 1
    assert transport.closed


async def test_answers_come_in_the_order_of_requests() -> None:
    first = asyncio.Event()
    running: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        running.append(scope["path"])
        if scope["path"] == "/1":
            await first.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    protocol, transport = connected(application)
    protocol.data_received(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in (1, 2, 3)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert (running, transport.pieces, transport.paused) == (["/1"], [], True)
    first.set()
    await settled(protocol)
    assert [piece[-2:] for piece in transport.pieces] == [b"/1", b"/2", b"/3"]
    assert not transport.paused


async def test_a_body_is_read_as_it_comes_and_its_end_is_told() -> None:
    heard: list[tuple[bytes, bool]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while not heard or heard[-1][1]:
            event = await receive()
            heard.append((event["body"], event["more_body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        assert (await receive())["type"] == "http.disconnect"

    protocol, transport = connected(application)
    protocol.data_received(
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % 100_000
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert transport.pieces == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    protocol.data_received(b"x" * 90_000)
    assert transport.paused  # nobody has read it yet
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not transport.paused
    protocol.data_received(b"x" * 10_000)
    await settled(protocol)
    assert heard == [(b"x" * 90_000, True), (b"x" * 10_000, False)]


async def test_a_kept_connection_is_closed_once_it_is_idle_and_not_while_it_is_not() -> None:
    answered, going = asyncio.Event(), asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            answered.set()
            await going.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    protocol, transport = connected(application, keep_alive=0.05)
    protocol.data_received(GET)
    protocol.data_received(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await answered.wait()
    await asyncio.sleep(0.15)
    assert not transport.is_closing()
    going.set()
    await settled(protocol)
    assert not transport.is_closing()
    while not transport.is_closing():
        await asyncio.sleep(0.01)


async def test_what_it_sends_is_not_kept_back_for_more() -> None:
    """Over a real socket: Nagle's delay is off at our end too."""
    protocols: list[LimitedHttpProtocol] = []
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(answering(start(), body(b"hello")), http=LimitedHttpProtocol, log_config=None)
    config.load()

    def protocol() -> LimitedHttpProtocol:
        protocols.append(LimitedHttpProtocol(config, ConnectionState(Limits()), {}, _loop=loop))
        return protocols[-1]

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(GET)
    assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    connection = protocols[0].transport.get_extra_info("socket")
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    writer.close()
    server.close()


async def test_who_watches_is_told_once_the_client_is_gone_and_meanwhile_the_connection_has_no_parser() -> None:
    """The next request on a connection that rests gets its own."""
    going, told, asked = asyncio.Event(), [], []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        assert not scope[WHEN_GONE](lambda: told.append("early"))  # a part of the body is to come
        while (await receive())["more_body"]:
            pass
        assert scope[WHEN_GONE](lambda: told.append(scope["path"]))
        await going.wait()
        scope[WHEN_GONE](None)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    protocol, _ = connected(application)
    post = b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
    for number in (1, 2):
        going.clear()
        protocol.data_received(post % number)
        await asyncio.sleep(0)
        assert protocol.parser is not None
        protocol.data_received(b"ab")
        await asyncio.sleep(0.01)
        assert protocol.parser is None
        if number == 1:
            going.set()
            await settled(protocol)
    assert told == []
    protocol.connection_lost(ConnectionResetError())
    assert (asked, told) == (["/1", "/2"], ["/2"])
    going.set()
    await settled(protocol)


async def test_a_connection_that_ends_with_its_answer_keeps_its_parser() -> None:
    protocol, _ = connected(answering(start(), body(b"x")))
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert protocol.cycle.when_gone(lambda: None)
    assert protocol.parser is not None
    await settled(protocol)


async def test_half_a_head_keeps_its_parser() -> None:
    protocol, _ = connected(answering(start(), body(b"x")))
    protocol.data_received(GET + GET[:9])
    assert protocol.cycle.when_gone(lambda: None)
    assert protocol.parser is not None
    await settled(protocol)


async def test_an_answer_leaves_nothing_for_the_collector() -> None:
    protocol, _ = connected(answering(start(), body(b"x")))
    gc.disable()
    try:
        protocol.data_received(GET)
        left = weakref.ref(protocol.cycle)
        await settled(protocol)
        protocol.data_received(GET)
        assert left() is None
        await settled(protocol)
    finally:
        gc.enable()


GARBAGE = b"\0\r\n\r\n"


@pytest.mark.parametrize(
    ("waiting", "garbage"), [(b"", b""), (GET, b""), (GET * 3000, b""), (GET, GARBAGE), (GET * 3000, GARBAGE)]
)
async def test_who_is_answered_is_told_though_others_wait(waiting: bytes, garbage: bytes) -> None:
    """The connection is lost, or given up for what came on it."""
    ended: list[bool] = []
    begun = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        with Watcher(receive, scope) as watcher:
            watcher._start()
            begun.set()
            await asyncio.Event().wait()
        ended.append(watcher.gone)

    protocol, transport = connected(application)
    protocol.data_received(GET + waiting)
    await begun.wait()
    if garbage:
        protocol.data_received(garbage)
        assert transport.closed
    else:
        protocol.connection_lost(None)
    for _ in range(10):
        await asyncio.sleep(0)
    assert ended == [True]


async def test_whose_turn_it_is_later_is_told_too() -> None:
    """Of three the second."""
    told: list[str] = []
    goes = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["path"] == "/2":
            scope[WHEN_GONE](lambda: told.append(scope["path"]))
            await goes.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    protocol, _ = connected(application)
    protocol.data_received(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in (1, 2, 3)))
    for _ in range(10):
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    assert told == ["/2"]
    goes.set()
    await settled(protocol)
