"""A peer that writes its own frames, and a server of ours with methods for it."""

import asyncio
from contextlib import asynccontextmanager, suppress

import grpc

from access.edges.grpc.wire.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)  # fmt: skip
from access.edges.grpc.wire.hpack import Decoder, literals
from access.edges.grpc.wire.line import Bounds
from access.edges.grpc.wire.server import WireServer
from access.edges.grpc.wire.streams import EOF

BOUNDS = Bounds(message=300_000, streams=8, calls=100)
EVERY = Exception


class Methods:
    """`Echo` gives back what it is sent, `Known` too and vouches for the caller, `Wait` reads nothing until it is let
    go, `Pour` says 20 messages of 10,000 bytes, `Pour_and_fail` too and tires of it, `Whole` answers with one of
    100,000, `Flood` pours without an end, `Fail` raises."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.running = self.cancelled = 0
        self.seen: list[object] = []

    async def echo(self, _, context):
        self.seen.append(context)
        while (message := await context.read()) is not EOF:
            await context.write(message)

    async def known(self, _, context):
        context.vouch()
        await self.echo(_, context)

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
        self.running += 1
        try:
            for number in range(20):
                await context.write(b"%05d" % number * 2000)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def pour_and_fail(self, _, context):
        try:
            async with asyncio.timeout(0.1):
                await self.pour(_, context)
        except TimeoutError:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "What was sent is not read.")

    async def whole(self, _, context):
        return b"w" * 100_000

    async def flood(self, _, context):
        while True:
            await context.write(b"f" * 10_000)

    async def fail(self, _, context):
        raise EVERY("private")

    def handlers(self):
        return {
            "Echo": grpc.stream_stream_rpc_method_handler(self.echo),
            "Known": grpc.stream_stream_rpc_method_handler(self.known),
            "Typed": grpc.stream_stream_rpc_method_handler(self.echo, bytes, bytes),
            "Wait": grpc.stream_unary_rpc_method_handler(self.wait),
            "Pour": grpc.stream_stream_rpc_method_handler(self.pour),
            "Pour_and_fail": grpc.stream_stream_rpc_method_handler(self.pour_and_fail),
            "Whole": grpc.stream_unary_rpc_method_handler(self.whole),
            "Flood": grpc.stream_stream_rpc_method_handler(self.flood),
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
            async with asyncio.timeout(30):
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
async def served(bounds=BOUNDS, **options):
    methods = Methods()
    server = WireServer(bounds, **options)
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


async def answer_of(connect, method, *messages, **fields):
    peer = await connect()
    peer.call(1, method, *messages, **fields)
    return await peer.answer(1)
