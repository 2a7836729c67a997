"""Our server of HTTP/2 against a peer that writes its own frames, well and badly."""

import asyncio
import zlib
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import grpc
import pytest

from access.edges.grpc.wire import line
from access.edges.grpc.wire.frames import (
    ACK,
    CALM,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITISED,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    settings,
)  # fmt: skip
from access.edges.grpc.wire.hpack import Decoder, literals
from access.edges.grpc.wire.line import Bounds
from access.edges.grpc.wire.server import WireServer
from access.edges.grpc.wire.streams import EOF, WINDOW
from tests.conformance.edges import within

BOUNDS = Bounds(message=300_000, streams=8, calls=100)
EVERY = Exception


class Methods:
    """`Echo` gives back what it is sent, `Wait` reads nothing until it is let go, `Pour` says 20 messages of 10,000
    bytes, `Fail` raises."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.running = self.cancelled = 0
        self.seen: list[object] = []

    async def echo(self, _, context):
        self.seen.append(context)
        while (message := await context.read()) is not EOF:
            await context.write(message)

    async def wait(self, _, context):
        self.running += 1
        try:
            await self.go.wait()
            return b"".join([message async for message in _])
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def pour(self, _, context):
        for number in range(20):
            await context.write(b"%05d" % number * 2000)

    async def fail(self, _, context):
        raise EVERY("private")

    def handlers(self):
        return {
            "Echo": grpc.stream_stream_rpc_method_handler(self.echo),
            "Wait": grpc.stream_unary_rpc_method_handler(self.wait),
            "Pour": grpc.stream_stream_rpc_method_handler(self.pour),
            "Fail": grpc.stream_stream_rpc_method_handler(self.fail),
        }


class Peer:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.headers = Decoder()

    def say(self, kind, flags=0, stream=0, payload=b""):
        self.writer.write(frame(kind, flags, stream, payload))

    def call(self, stream, method, *messages, end=True, flags=END_HEADERS, **fields):
        self.say(HEADERS, flags, stream, block(method, **fields))
        for message in messages:
            self.say(DATA, 0, stream, enveloped(message))
        if end:
            self.say(DATA, END_STREAM, stream)

    async def hear(self):
        """The next frame that is not of the connection's beginning: kind, flags, stream, payload."""
        while True:
            async with asyncio.timeout(10):
                head = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind != SETTINGS and not (kind == WINDOW_UPDATE and not stream):
                return kind, flags, stream, payload

    async def answer(self, stream):
        """Messages and trailers of a call."""
        said, told = b"", {}
        while True:
            kind, flags, number, payload = await self.hear()
            assert number == stream
            if kind == DATA:
                said += payload
            elif kind == HEADERS:
                told |= dict(self.headers.decode(payload))
                if flags & END_STREAM:
                    return opened(said), told

    async def ended(self):
        """The code of the GOAWAY after which the connection is closed."""
        code = None
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, _, _, payload = await self.hear()
                if kind == GOAWAY:
                    code = int.from_bytes(payload[4:8], "big")
        return code


def block(method, **fields):
    more = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    path = (b":path", b"/S/" + method.encode())
    return literals([(b":method", b"POST"), path, (b"content-type", b"application/grpc"), *more])


def enveloped(message, compressed=0):
    return bytes((compressed,)) + len(message).to_bytes(4, "big") + message


def opened(said):
    found = []
    while said:
        end = 5 + int.from_bytes(said[1:5], "big")
        found.append(said[5:end])
        said = said[end:]
    return found


@asynccontextmanager
async def served(bounds=BOUNDS):
    methods = Methods()
    server = WireServer(bounds)
    server.add_registered_method_handlers("S", methods.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    writers = []

    async def connect(*first):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b"".join(first)))
        return Peer(reader, writer)

    try:
        yield server, methods, connect
    finally:
        for writer in writers:
            writer.close()
        await server.stop(0)


async def test_it_answers():
    async with served() as (_, methods, connect):
        peer = await connect()
        peer.call(1, "Echo", b"one", b"two", x_own="mine", te="trailers", grpc_timeout="5S")
        said, told = await peer.answer(1)
    assert said == [b"one", b"two"]
    assert told == {b":status": b"200", b"content-type": b"application/grpc", b"grpc-status": b"0"}
    (context,) = methods.seen
    assert context.invocation_metadata() == (("x-own", "mine"),)
    assert context.peer().startswith("ipv4:127.0.0.1:") and 0 < context.time_remaining() <= 5


async def test_bytes_may_come_one_at_a_time():
    async with served() as (_, _, connect):
        peer = await connect()
        whole = frame(HEADERS, 0, 1, block("Echo")[:10]) + frame(CONTINUATION, END_HEADERS, 1, block("Echo")[10:])
        padded = b"\x03" + enveloped(b"hello") + b"\0\0\0"
        for byte in whole + frame(DATA, PADDED | END_STREAM, 1, padded):
            peer.writer.write(bytes((byte,)))
            await peer.writer.drain()
            await asyncio.sleep(0)
        assert (await peer.answer(1))[0] == [b"hello"]


async def test_headers_may_be_padded_and_have_a_priority():
    async with served() as (_, _, connect):
        peer = await connect()
        flags = END_HEADERS | PADDED | PRIORITISED | END_STREAM
        peer.say(HEADERS, flags, 1, b"\x02" + bytes(5) + block("Echo") + b"\0\0")
        assert await peer.answer(1) == ([], (await answer_of(connect, "Echo"))[1])


async def answer_of(connect, method, *messages, **fields):
    peer = await connect()
    peer.call(1, method, *messages, **fields)
    return await peer.answer(1)


async def test_what_goes_wrong_is_a_status_and_no_more():
    async with served() as (_, _, connect):
        assert (await answer_of(connect, "Fail"))[1][b"grpc-status"] == b"2"
        told = (await answer_of(connect, "Nothing"))[1]
        assert (told[b"grpc-status"], told[b"grpc-message"]) == (b"12", b"There is no method /S/Nothing.")
        assert (await answer_of(connect, "Echo", grpc_timeout="soon"))[1][b"grpc-status"] == b"13"
        assert (await answer_of(connect, "Echo", grpc_encoding="br"))[1][b"grpc-status"] == b"12"
        peer = await connect()
        peer.call(1, "Echo", end=False)
        peer.say(DATA, 0, 1, enveloped(b"x" * 300_001)[:5])
        assert (await peer.answer(1))[1][b"grpc-status"] == b"8"
        assert (await answer_of(connect, "Wait", grpc_timeout="1m"))[1][b"grpc-status"] == b"4"


@pytest.mark.parametrize(("encoding", "window"), [("gzip", 31), ("deflate", 15)])
async def test_compressed_messages_are_read_within_the_limit(encoding, window):
    async with served() as (_, _, connect):
        for text, status in ((b"y" * 1000, b"0"), (b"y" * 300_001, b"8")):
            packing = zlib.compressobj(wbits=window)
            peer = await connect()
            peer.call(1, "Echo", end=False, grpc_encoding=encoding)
            peer.say(DATA, END_STREAM, 1, enveloped(packing.compress(text) + packing.flush(), 1))
            said, told = await peer.answer(1)
            assert told[b"grpc-status"] == status and said == ([text] if status == b"0" else [])
        assert (await answer_of(connect, "Echo"))[1][b"grpc-status"] == b"0"


async def test_it_sends_no_more_than_its_client_has_room_for():
    async with served() as (_, _, connect):
        peer = await connect(settings(((4, 25_000),)))
        peer.call(1, "Pour")
        got = 0
        while got < 25_000:
            kind, _, _, payload = await peer.hear()
            got += len(payload) if kind == DATA else 0
        assert got == 25_000  # and now nothing, not even when the connection has room
        peer.say(WINDOW_UPDATE, 0, 0, (10**6).to_bytes(4, "big"))
        peer.say(PING, 0, 0, b"12345678")
        assert (await peer.hear())[:2] == (PING, ACK)
        peer.say(WINDOW_UPDATE, 0, 1, (10**6).to_bytes(4, "big"))
        while True:
            kind, flags, _, payload = await peer.hear()
            got += len(payload) if kind == DATA else 0
            if kind == HEADERS and flags & END_STREAM:
                break
        assert got == 20 * 10_005


async def test_a_client_may_send_what_is_read_and_little_more():
    async with served() as (_, methods, connect):
        peer = await connect()
        peer.call(1, "Echo", end=False)
        peer.writer.write(frame(DATA, 0, 1, enveloped(b"z" * 250_000)[:FRAME]) * 3)
        assert (await peer.hear())[0] in (HEADERS, WINDOW_UPDATE)  # what is being read makes room
        other = await connect()
        other.call(1, "Wait", end=False)
        await within(5, lambda: methods.running == 1)
        for _ in range(WINDOW // FRAME + 1):
            other.say(DATA, 0, 1, b"\0" * FRAME)
        assert await other.ended() == FLOW_CONTROL_ERROR
        await within(5, lambda: methods.cancelled == 1)


async def test_who_leaves_has_its_calls_cancelled():
    async with served() as (_, methods, connect):
        peer = await connect()
        peer.call(1, "Wait")
        peer.call(3, "Wait")
        await within(5, lambda: methods.running == 2)
        peer.say(RST_STREAM, 0, 1, (8).to_bytes(4, "big"))
        await within(5, lambda: methods.cancelled == 1)
        peer.writer.close()
        await within(5, lambda: methods.cancelled == 2)


async def test_calls_are_counted():
    async with served(replace(BOUNDS, calls=9)) as (_, methods, connect):
        peer, other = await connect(), await connect()
        for number in range(9):
            peer.call(2 * number + 1, "Wait")
        assert await peer.hear() == (RST_STREAM, 0, 17, REFUSED_STREAM.to_bytes(4, "big"))
        other.call(1, "Wait")
        await within(5, lambda: methods.running == 9)
        other.call(3, "Echo")
        assert (await other.answer(3))[1][b"grpc-status"] == b"8"
        methods.go.set()
        await within(5, lambda: methods.running == 0)
        assert (await answer_of(connect, "Echo", b"again"))[0] == [b"again"]


BAD = {
    "no frame": (b"GET / HTTP/1.1\r\n\r\n", FRAME_SIZE_ERROR),
    "too large": (frame(DATA, 0, 1, b"x" * (FRAME + 1)), FRAME_SIZE_ERROR),
    "data of no stream": (frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
    "an even number": (frame(HEADERS, END_HEADERS, 2, block("Echo")), PROTOCOL_ERROR),
    "no headers": (frame(HEADERS, END_HEADERS, 1, b"\x80"), COMPRESSION_ERROR),
    "headers interrupted": (frame(HEADERS, 0, 1, block("Echo")) + frame(PING, 0, 0, bytes(8)), PROTOCOL_ERROR),
    "headers that go on": (frame(CONTINUATION, 0, 1, b""), PROTOCOL_ERROR),
    "endless headers": (frame(HEADERS, 0, 1, b"\0") + frame(CONTINUATION, 0, 1, b"x" * FRAME) * 3, CALM),
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


async def test_frames_nobody_knows_and_calls_that_are_over_do_no_harm():
    async with served() as (_, _, connect):
        peer = await connect()
        peer.say(0x42, 0, 0, b"grease")
        peer.call(1, "Nothing", b"was under way")
        assert (await peer.answer(1))[1][b"grpc-status"] == b"12"
        peer.say(RST_STREAM, 0, 1, bytes(4))
        peer.say(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")
        peer.call(3, "Echo", b"next")
        while (heard := await peer.hear())[2] != 3:
            assert heard[0] == RST_STREAM
        assert heard[0] == HEADERS


async def test_who_is_not_there_any_more_is_noticed():
    async with served(replace(BOUNDS, ping_after=0.05, pong_within=0.05)) as (server, _, connect):
        silent = await connect()
        assert (await silent.hear())[:2] == (PING, 0)
        await within(5, lambda: not server._connections)


async def test_an_idle_connection_is_ended_in_good_order(monkeypatch):
    monkeypatch.setattr(line, "ROUND", 0.05)
    async with served(replace(BOUNDS, idle=0.05, pong_within=0.02)) as (_, _, connect):
        peer = await connect()
        assert await peer.ended() == NO_ERROR


async def test_an_old_connection_ends_with_its_last_call(monkeypatch):
    monkeypatch.setattr(line, "ROUND", 0.05)
    async with served(replace(BOUNDS, age=0.05, pong_within=0.02)) as (_, methods, connect):
        peer = await connect()
        peer.call(1, "Wait", b"done")
        first = await peer.hear()
        assert first[0] == GOAWAY and first[3][:4] == b"\x7f\xff\xff\xff"
        second = await peer.hear()
        assert second[0] == GOAWAY and second[3][:4] == b"\0\0\0\x01"
        methods.go.set()
        assert (await peer.answer(1))[0] == [b"done"]
        assert await peer.reader.read() == b""


async def test_a_stop_waits_for_calls_and_then_no_longer():
    async with served() as (server, methods, connect):
        peer = await connect()
        peer.call(1, "Wait")
        await within(5, lambda: methods.running == 1)
        stopping = asyncio.ensure_future(server.stop(0.05))
        assert (await peer.hear())[0] == GOAWAY
        assert (await peer.answer(1))[1][b"grpc-status"] == b"14"
        await stopping
        assert methods.cancelled == 1
