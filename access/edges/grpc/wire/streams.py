"""One call: what its handler reads and writes, under the names of `grpc.aio.ServicerContext`."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final, Protocol

import grpc

from access.edges.grpc.wire import hpack
from access.edges.grpc.wire.frames import NO_ERROR
from access.edges.grpc.wire.hpack import Fields

log = logging.getLogger(__name__)

EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
WINDOW: Final = 64 * 1024 - 1  # bytes that may wait for a handler which does not read
OWED: Final = WINDOW // 2  # bytes taken after which the client is told that it may send as much again
LATE: Final = 0.1  # seconds after a deadline in which the handler may say so itself
HEAD: Final = b"\x88" + hpack.literal(b"content-type", b"application/grpc")
COMPRESSED: Final = {b"gzip": 31, b"deflate": 15}  # zlib's window bits
STATUSES: Final = {code: str(code.value[0]).encode() for code in grpc.StatusCode}
DETAILS: Final = 4096  # bytes of a status's text
UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
OURS: Final = frozenset({b"te", b"content-type"})  # headers that are the transport's

Metadata = Iterable[tuple[str, str | bytes]]


class Carrier(Protocol):
    """What a stream needs of its connection. `window`: bytes it may still send; `room`: nothing is held up."""

    loop: asyncio.AbstractEventLoop
    window: int
    largest: int
    room: bool
    peer: str

    def headers(self, stream: int, block: bytes, *, last: bool) -> None: ...
    def data(self, stream: int, payload: bytes) -> None: ...
    def reset(self, stream: int, code: int) -> None: ...
    def taken(self, stream: int, size: int, owed: int) -> None: ...
    def wait(self) -> asyncio.Future[None]: ...
    def forget(self, stream: Stream) -> None: ...


class Stream:
    """`over`: its last byte is written, or nobody is there to read it."""

    __slots__ = (
        "_buffer", "_carrier", "_deadline", "_deserialize", "_ended", "_headers", "_inflate", "_initial", "_limit",
        "_opened", "_owed", "_reader", "_serialize", "_timer", "_trailing", "_unread", "number", "over", "room", "task",
        "window",
    )  # fmt: skip

    def __init__(self, carrier: Carrier, number: int, headers: Fields, *, window: int, ended: bool, limit: int) -> None:
        self._carrier = carrier
        self._headers = headers
        self._buffer = bytearray()
        self._reader: asyncio.Future[None] | None = None
        self._limit = limit
        self._ended = ended  # by the client: nothing more comes
        self._opened = False
        self._initial: Metadata = ()
        self._trailing: Metadata = ()
        self._unread = self._owed = 0
        self._inflate: int | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deserialize: Callable[[bytes], Any] | None = None
        self._serialize: Callable[[Any], bytes] | None = None
        self.number = number
        self.window = window  # bytes it may still send
        self.room = WINDOW  # bytes its client may still send
        self.over = False
        self.task: asyncio.Task[None] | None = None

    # Its handler -------------------------------------------------------------------------------------------------

    def begin(self, handler: grpc.RpcMethodHandler[Any, Any] | None, path: bytes) -> None:
        """Answers, in a task of its own where there is something to wait for."""
        for name, value in self._headers:
            if name == b"grpc-timeout":
                seconds = _seconds(value)
                if seconds is None:
                    self.finish(grpc.StatusCode.INTERNAL, "grpc-timeout is no time.")
                    return
                self._deadline = self._carrier.loop.time() + seconds
                self._timer = self._carrier.loop.call_later(seconds + LATE, self._expire)
            elif name == b"grpc-encoding" and value != b"identity":
                self._inflate = COMPRESSED.get(value)
                if self._inflate is None:
                    self._initial = (("grpc-accept-encoding", "identity,deflate,gzip"),)
                    self.finish(grpc.StatusCode.UNIMPLEMENTED, "This compression is not supported.")
                    return
        if handler is None:
            self.finish(grpc.StatusCode.UNIMPLEMENTED, f"There is no method {path.decode('latin-1')}.")
            return
        self._deserialize, self._serialize = handler.request_deserializer, handler.response_serializer
        self.task = self._carrier.loop.create_task(self._run(handler))

    async def _run(self, handler: Any) -> None:
        try:
            if handler.response_streaming:
                answers = handler.stream_stream(self._messages(), self)
                if hasattr(answers, "__aiter__"):
                    async for answer in answers:
                        await self.write(answer)
                else:
                    await answers
            else:
                await self.write(await handler.stream_unary(self._messages(), self))
            self.finish(grpc.StatusCode.OK, "")
        except grpc.aio.AbortError:
            pass
        except asyncio.CancelledError:
            self.finish(grpc.StatusCode.UNAVAILABLE, "The server ends.")
            raise
        except Exception:
            log.exception("a method of gRPC failed")
            self.finish(grpc.StatusCode.UNKNOWN, "Something went wrong.")

    async def _messages(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not EOF:
            yield message

    def _expire(self) -> None:
        self._timer = None
        self.finish(grpc.StatusCode.DEADLINE_EXCEEDED, "The deadline has passed.")
        self.cancel()

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    # What handlers are given -------------------------------------------------------------------------------------

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return tuple(
            (name.decode("latin-1"), _binary(value) if name.endswith(b"-bin") else value.decode("latin-1"))
            for name, value in self._headers
            if name not in OURS and not name.startswith((b":", b"grpc-"))
        )

    def peer(self) -> str:
        return self._carrier.peer

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - self._carrier.loop.time())

    async def read(self) -> Any:
        """The next message, or `grpc.aio.EOF`. Raises AbortError: it cannot be taken."""
        while True:
            if self._unread:
                self._take()
            message = await self._next()
            if message is not None:
                return message if self._deserialize is None else self._deserialize(message)
            if self._ended:
                return EOF
            self._reader = self._carrier.loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    async def _next(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 5:
            return None
        size = int.from_bytes(buffer[1:5], "big")
        if size > self._limit:
            await self.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"A message has more than {self._limit} bytes.")
        if len(buffer) < 5 + size:
            return None
        compressed, message = buffer[0], bytes(buffer[5 : 5 + size])
        del buffer[: 5 + size]
        if not compressed:
            return message
        plain = _inflated(message, self._inflate, self._limit + 1)
        if plain is None:
            await self.abort(grpc.StatusCode.INTERNAL, "A message cannot be decompressed.")
            return None
        if len(plain) > self._limit:
            await self.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"A message has more than {self._limit} bytes.")
        return plain

    def write_now(self, message: Any) -> bool:
        """`write` where that needs no waiting; False: it does. Raises grpc.aio.InternalError: the call is over."""
        if self.over:
            raise grpc.aio.InternalError("The call is over.")
        raw = message if self._serialize is None else self._serialize(message)
        carrier, size = self._carrier, len(raw) + 5
        if not carrier.room or size > self.window or size > carrier.window or size > carrier.largest:
            return False
        if not self._opened:
            self._open()
        self.window -= size
        carrier.data(self.number, b"\0" + len(raw).to_bytes(4, "big") + raw)
        return True

    async def write(self, message: Any) -> None:
        """Raises grpc.aio.InternalError: the call is over."""
        if self.write_now(message):
            return
        raw = message if self._serialize is None else self._serialize(message)
        if not self._opened:
            self._open()
        data = b"\0" + len(raw).to_bytes(4, "big") + raw
        carrier = self._carrier
        while data:
            while not (carrier.room and self.window > 0 and carrier.window > 0):
                await carrier.wait()
                if self.over:
                    raise grpc.aio.InternalError("The call is over.")
            size = min(len(data), self.window, carrier.window, carrier.largest)
            self.window -= size
            carrier.data(self.number, data[:size])
            data = data[size:]

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        self._initial = metadata
        if not self._opened and not self.over:
            self._open()

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        self._trailing = metadata

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> Any:
        """Ends the call. Raises AbortError always."""
        self._trailing = trailing_metadata or self._trailing
        self.finish(code, details)
        raise grpc.aio.AbortError

    # The other side ----------------------------------------------------------------------------------------------

    def hear(self, payload: bytes, size: int) -> None:
        """`size` bytes of DATA came, and `payload` in them."""
        self._buffer += payload
        self._unread += size
        reader = self._reader
        if reader is not None:
            self._take()
            if not reader.done():
                reader.set_result(None)

    def _take(self) -> None:
        """What came is being read: as much may be sent again."""
        size, self._unread = self._unread, 0
        self._owed += size
        owed = 0
        if self._owed >= OWED and not self._ended:
            owed, self._owed = self._owed, 0
            self.room += owed
        self._carrier.taken(self.number, size, owed)

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    @property
    def ended(self) -> bool:
        return self._ended

    def gone(self) -> None:
        """Nobody is there any more."""
        self._leave()
        self.cancel()

    # Its end -----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._opened = True
        self._carrier.headers(self.number, HEAD + _block(self._initial), last=False)

    def finish(self, code: grpc.StatusCode, details: str) -> None:
        """Says how it ended; does nothing a second time."""
        if self.over:
            return
        block = b"" if self._opened else HEAD + _block(self._initial)
        block += hpack.literal(b"grpc-status", STATUSES[code])
        if details:
            block += hpack.literal(b"grpc-message", _percent(details))
        self._carrier.headers(self.number, block + _block(self._trailing), last=True)
        if not self._ended:
            self._carrier.reset(self.number, NO_ERROR)
        self._leave()

    def _leave(self) -> None:
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unread:
            self._carrier.taken(self.number, self._unread, 0)
            self._unread = 0
        self._buffer.clear()
        self._carrier.forget(self)


def _inflated(message: bytes, how: int | None, most: int) -> bytes | None:
    """At most `most` bytes. None: nothing says how, or it was done otherwise."""
    try:
        return None if how is None else zlib.decompressobj(how).decompress(message, most)
    except zlib.error:
        return None


def _block(metadata: Metadata) -> bytes:
    return b"".join([hpack.literal(name.encode("ascii"), _value(name, value)) for name, value in metadata])


def _value(name: str, value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
    return base64.b64encode(raw).rstrip(b"=") if name.endswith("-bin") else raw


def _binary(value: bytes) -> bytes:
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4))
    except binascii.Error:
        return value


def _percent(details: str) -> bytes:
    """As gRPC writes texts: what is not printable ASCII, and `%`, in hexadecimal."""
    raw = details.encode()
    if details.isascii() and details.isprintable() and "%" not in details:
        return raw[:DETAILS]
    said = [
        bytes((byte,)) if 0x20 <= byte < 0x7F and byte != 0x25 else b"%%%02X" % byte for byte in raw[: DETAILS // 3]
    ]
    return b"".join(said)


def _seconds(value: bytes) -> float | None:
    """Of a `grpc-timeout`: at most eight digits and a unit."""
    number, unit = value[:-1], value[-1:]
    if not number.isdigit() or len(number) > 8 or unit not in UNITS:
        return None
    return int(number) * UNITS[unit]
