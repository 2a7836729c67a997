"""Peers that break the rules of HTTP/2 are told so and left, and nobody else notices."""

import asyncio
import gc

import pytest

from access.edges.grpc.wire import line
from access.edges.grpc.wire.connection import DROWNED
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
from access.edges.grpc.wire.hpack import literals
from access.edges.grpc.wire.streams import Stream
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
    "a window made too wide by a setting": (
        frame(HEADERS, END_HEADERS, 1, block("Wait"))
        + frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x0a")
        + frame(SETTINGS, 0, 0, settings(((4, 2**31 - 1),))),
        FLOW_CONTROL_ERROR,
    ),
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


NO_CALLS = {
    "grpc-web": ((b"content-type", b"application/grpc-web"),),
    "no type": ((b"te", b"trailers"),),
    "an upper-case name": ((b"content-type", b"application/grpc"), (b"X-Own", b"1")),
    "a name that is no ASCII": ((b"content-type", b"application/grpc"), (b"x\xff", b"1")),
    "a name with a space": ((b"content-type", b"application/grpc"), (b"x y", b"1")),
    "no name": ((b"content-type", b"application/grpc"), (b"", b"1")),
    "a line's end in a value": ((b"content-type", b"application/grpc"), (b"x-own", b"1\r\nx: 2")),
    "a zero in a value": ((b"content-type", b"application/grpc"), (b"x-own", b"1\0")),
}


@pytest.mark.parametrize("name", NO_CALLS)
async def test_what_is_no_call_of_grpc_is_reset(name):
    fields = literals([(b":method", b"POST"), (b":path", b"/S/Echo"), *NO_CALLS[name]])
    async with served() as (server, methods, connect):
        peer = await connect()
        peer.say(HEADERS, END_HEADERS | END_STREAM, 1, fields)
        assert await peer.hear() == (RST_STREAM, 0, 1, PROTOCOL_ERROR.to_bytes(4, "big"))
        peer.call(3, "Echo", b"next")
        assert (await peer.answer(3))[0] == [b"next"]
        assert not methods.seen[1:] and not server._calls


async def test_a_block_that_unpacks_to_much_is_refused():
    """An entry of 4,000 bytes, and 10,000 times its place."""
    name = b"\x40\x01a\x7f" + bytes((0xA1, 0x1E)) + b"v" * 4000
    async with served() as (_, methods, connect):
        peer = await connect()
        peer.say(HEADERS, END_HEADERS | END_STREAM, 1, block("Echo") + name + b"\xbe" * 10_000)
        assert (await peer.answer(1))[1][b"grpc-status"] == b"8"
        peer.call(3, "Echo", b"next")
        assert (await peer.answer(3))[0] == [b"next"]
        assert len(methods.seen) == 1


async def test_a_peer_that_reads_no_answers_is_left_with_little_kept(monkeypatch):
    """Calls of a method that is none, each a few bytes that are answered with thousands."""
    path = b"/S/" + b"x" * 3000
    first = literals([(b":method", b"POST"), (b"content-type", b"application/grpc")])
    named = b"\x44\x7f" + bytes(((len(path) - 127) & 0x7F | 0x80, (len(path) - 127) >> 7)) + path
    async with served() as (server, _, connect):
        peer = await connect()
        peer.say(HEADERS, END_HEADERS | END_STREAM, 1, first + named)
        assert (await peer.answer(1))[1][b"grpc-status"] == b"12"
        (connection,) = server._connections
        kept = []
        monkeypatch.setattr(peer.reader, "_limit", 1)  # nothing more is read than is on its way
        peer.writer.transport.pause_reading()
        for number in range(3, 40_000, 2):
            peer.say(HEADERS, END_HEADERS | END_STREAM, number, first + b"\xbe")
            if number % 2000 == 3:
                await asyncio.sleep(0)
                kept.append(connection.transport.get_write_buffer_size())
        await within(5, lambda: not server._connections)
        assert max(kept) < 2 * DROWNED


async def test_a_connection_that_ended_by_a_fault_leaves_no_call_and_waits_for_no_reader(monkeypatch):
    monkeypatch.setattr(line, "GOODBYE", 0.1)
    async with served() as (server, methods, connect):
        peer = await connect(settings(((4, 2**31 - 1),)))
        peer.say(WINDOW_UPDATE, 0, 0, (2**30).to_bytes(4, "big"))
        peer.call(1, "Wait")
        peer.call(3, "Flood")
        await within(5, lambda: methods.running == 1)
        peer.writer.transport.pause_reading()
        (connection,) = server._connections
        await within(5, lambda: not connection.room)
        peer.say(PING, 0, 0, b"short")
        await within(5, lambda: methods.running == 0 and not server._calls)
        await within(5, lambda: not server._connections)


async def test_two_timeouts_leave_no_timer_behind():
    async with served() as (_, methods, connect):
        peer = await connect()
        peer.say(
            HEADERS, END_HEADERS, 1, block("Echo", grpc_timeout="99999999H") + literals([(b"grpc-timeout", b"9S")])
        )
        peer.say(DATA, END_STREAM, 1)
        assert (await peer.answer(1))[1][b"grpc-status"] == b"0"
        made = id(methods.seen.pop())
        await asyncio.sleep(0)
        gc.collect()
        assert not any(type(each) is Stream and id(each) == made for each in gc.get_objects())


async def test_what_is_no_http_2_is_left():
    async with served() as (server, _, connect):
        reader, writer = await asyncio.open_connection("127.0.0.1", server._sockets[0][0].getsockname()[1])
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await Peer(reader, writer).ended() == PROTOCOL_ERROR
        writer.close()
