"""Peers that break the rules of HTTP/2 are told so and left, and nobody else notices."""

import asyncio

import pytest

from access.edges.grpc.wire.frames import (
    CALM,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME,
    FRAME_SIZE_ERROR,
    HEADERS,
    PADDED,
    PING,
    PROTOCOL_ERROR,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    settings,
)  # fmt: skip
from tests.access.grpc.peer import Peer, block, served
from tests.conformance.edges import within

BAD = {
    "no frame": (b"GET / HTTP/1.1\r\n\r\n", FRAME_SIZE_ERROR),
    "too large": (frame(DATA, 0, 1, b"x" * (FRAME + 1)), FRAME_SIZE_ERROR),
    "data of no stream": (frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
    "an even number": (frame(HEADERS, END_HEADERS, 2, block("Echo")), PROTOCOL_ERROR),
    "no headers": (frame(HEADERS, END_HEADERS, 1, b"\x80"), COMPRESSION_ERROR),
    "headers interrupted": (frame(HEADERS, 0, 1, block("Echo")) + frame(PING, 0, 0, bytes(8)), PROTOCOL_ERROR),
    "headers that go on": (frame(CONTINUATION, 0, 1, b""), PROTOCOL_ERROR),
    "endless headers": (frame(HEADERS, 0, 1, b"\0") + frame(CONTINUATION, 0, 1, b"x" * FRAME) * 20, CALM),
    "empty continuations": (frame(HEADERS, 0, 1, b"\0") + frame(CONTINUATION, 0, 1, b"") * 1100, CALM),
    "too much padding": (frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff\0"), PROTOCOL_ERROR),
    "a short ping": (frame(PING, 0, 0, b"1"), FRAME_SIZE_ERROR),
    "pings": (frame(PING, 0, 0, bytes(8)) * 1100, CALM),
    "settings": (frame(SETTINGS, 0, 0, b"") * 1100, CALM),
    "a wrong setting": (frame(SETTINGS, 0, 0, settings(((4, 2**31),))), FLOW_CONTROL_ERROR),
    "half a setting": (frame(SETTINGS, 0, 0, b"123"), FRAME_SIZE_ERROR),
    "a window that does not grow": (frame(WINDOW_UPDATE, 0, 0, bytes(4)), PROTOCOL_ERROR),
    "a window too wide": (frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), FLOW_CONTROL_ERROR),
    "a push": (frame(5, 0, 1, bytes(4)), PROTOCOL_ERROR),
    "a reset of nothing": (frame(RST_STREAM, 0, 1, bytes(4)), PROTOCOL_ERROR),
    "calls taken back": (
        b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, number, block("Wait")) + frame(RST_STREAM, 0, number, bytes(4))
            for number in range(1, 2400, 2)
        ),
        CALM,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_whoever_breaks_the_rules_is_told_and_left(name):
    said, code = BAD[name]
    async with served() as (server, methods, connect):
        peer, other = await connect(), await connect()
        peer.writer.write(said)
        assert await peer.ended() == code
        await within(5, lambda: methods.running == 0)
        other.call(1, "Echo", b"still")
        assert (await other.answer(1))[0] == [b"still"]
        await within(5, lambda: len(server._connections) == 1)


async def test_what_is_no_http_2_is_left():
    async with served() as (server, _, connect):
        reader, writer = await asyncio.open_connection("127.0.0.1", server._sockets[0][0].getsockname()[1])
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await Peer(reader, writer).ended() == PROTOCOL_ERROR
        writer.close()
