"""One call: what its handler reads and writes, under the names of `grpc.aio.ServicerContext`.

A message that has begun to leave is sent to its end, whatever becomes of the call: what follows a part of one, a client
takes for the rest of it. Its status then waits behind it, and both no longer than a client may take to read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Protocol

import grpc

from access.edges.grpc.wire import hpack, metadata
from access.edges.grpc.wire.frames import CALM, NO_ERROR
from access.edges.grpc.wire.hpack import Fields
from access.edges.grpc.wire.metadata import COMPRESSED, Metadata

log = logging.getLogger(__name__)

EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
WINDOW: Final = 64 * 1024 - 1  # bytes that may wait for a handler which does not read
OWED: Final = WINDOW // 2  # bytes taken after which the client is told that it may send as much again
SCRAP: Final = 1024  # bytes of a part of a message from which on it is worth its frame
LATE: Final = 0.1  # seconds after a deadline in which the handler may say so itself
HEAD: Final = b"\x88" + hpack.literal(b"content-type", b"application/grpc")
STATUSES: Final = {code: str(code.value[0]).encode() for code in grpc.StatusCode}
OURS: Final = frozenset({b"te", b"content-type"})  # headers that are the transport's


class Carrier(Protocol):
    """What a stream needs of its connection. `window`: bytes it may still send; `room`: nothing is held up; `known`:
    a credential was shown; `patience`: seconds a client may take for one message."""

    loop: asyncio.AbstractEventLoop
    window: int
    largest: int
    room: bool
    peer: str
    known: bool
    patience: float

    def headers(self, stream: int, block: bytes, *, last: bool) -> None: ...
    def data(self, stream: int, payload: bytes, *, worth: bool = True) -> None: ...
    def reset(self, stream: int, code: int) -> None: ...
    def taken(self, stream: int, size: int, owed: int) -> None: ...
    def hold(self, stream: Stream) -> None: ...
    def forget(self, stream: Stream) -> None: ...


class Stream:
    """`over`: it has ended for its handler. Its connection forgets it with its last byte."""

    __slots__ = (
        "_buffer", "_carrier", "_deadline", "_deserialize", "_ended", "_headers", "_inflate", "_initial", "_last",
        "_limit", "_opened", "_owed", "_patience", "_reader", "_rest", "_serialize", "_timer", "_trailing", "_unread",
        "_writer", "number", "over", "room", "task", "window",
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
        self._rest = memoryview(b"")  # of the message that has begun to leave,
        self._last: bytes | None = None  # what is said after it and nothing more,
        self._writer: asyncio.Future[None] | None = None  # who waits for its end,
        self._patience: asyncio.TimerHandle | None = None  # and until when
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
        said = dict(self._headers)  # of what is said twice, the last
        timeout, encoding = said.get(b"grpc-timeout"), said.get(b"grpc-encoding", b"identity")
        if timeout is not None:
            seconds = metadata.seconds(timeout)
            if seconds is None:
                self.finish(grpc.StatusCode.INTERNAL, "grpc-timeout is no time.")
                return
            self._deadline = self._carrier.loop.time() + seconds
            self._timer = self._carrier.loop.call_later(seconds + LATE, self._expire)
        if encoding != b"identity":
            self._inflate = COMPRESSED.get(encoding)
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
        except grpc.aio.InternalError:  # it wrote when the call was over
            self.finish(grpc.StatusCode.UNKNOWN, "Something went wrong.")
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
            (name.decode("latin-1"), metadata.binary(value) if name.endswith(b"-bin") else value.decode("latin-1"))
            for name, value in self._headers
            if name not in OURS and not name.startswith((b":", b"grpc-"))
        )

    def peer(self) -> str:
        return self._carrier.peer

    def vouch(self) -> None:
        """Who calls has shown a credential."""
        self._carrier.known = True

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
        plain = metadata.inflated(message, self._inflate, self._limit + 1)
        if plain is None:
            await self.abort(grpc.StatusCode.INTERNAL, "A message cannot be decompressed.")
            return None
        if len(plain) > self._limit:
            await self.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"A message has more than {self._limit} bytes.")
        return plain

    def write_now(self, message: Any) -> bool:
        """`write` where that needs no waiting; False: it does. Raises grpc.aio.InternalError: the call is over."""
        return self._leaves(self._serialized(message))

    async def write(self, message: Any) -> None:
        """One at a time. Raises grpc.aio.InternalError: the call is over. Who is cancelled has written it all the
        same."""
        raw = self._serialized(message)
        while self._rest:  # of a message whose writer was cancelled
            await self._sent()
        if self._leaves(raw):
            return
        if not self._opened:
            self._open()
        self._rest = memoryview(b"\0" + len(raw).to_bytes(4, "big") + raw)
        self._patience = self._carrier.loop.call_later(self._carrier.patience, self._lose_patience)
        if self.window > 0:
            self._carrier.hold(self)
        if self._rest:
            await self._sent()

    def _serialized(self, message: Any) -> bytes:
        if self.over:
            raise grpc.aio.InternalError("The call is over.")
        raw: bytes = message if self._serialize is None else self._serialize(message)
        return raw

    def _leaves(self, raw: bytes) -> bool:
        """At once and whole, if there is room."""
        carrier, size = self._carrier, len(raw) + 5
        if self._rest or not carrier.room or size > self.window or size > carrier.window or size > carrier.largest:
            return False
        if not self._opened:
            self._open()
        self.window -= size
        carrier.data(self.number, b"\0" + len(raw).to_bytes(4, "big") + raw)
        return True

    async def _sent(self) -> None:
        """The message that has begun to leave has left."""
        self._writer = self._carrier.loop.create_future()
        try:
            await self._writer
        finally:
            self._writer = None
        if self.over:
            raise grpc.aio.InternalError("The call is over.")

    async def send_initial_metadata(self, given: Metadata) -> None:
        self._initial = given
        if not self._opened and not self.over:
            self._open()

    def set_trailing_metadata(self, given: Metadata) -> None:
        self._trailing = given

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> Any:
        """Ends the call. Raises AbortError always."""
        self._trailing = trailing_metadata or self._trailing
        self.finish(code, details)
        raise grpc.aio.AbortError

    # The other side ----------------------------------------------------------------------------------------------

    def hear(self, payload: bytes, size: int) -> None:
        """`size` bytes of DATA came, and `payload` in them."""
        if self.over:  # what it says last waits for room
            self._carrier.taken(self.number, size, 0)
            return
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

    def widen(self, more: int) -> bool:
        """It may send so much more. Whether something waited for it."""
        self.window += more
        if self._rest and self.window > 0:
            self._carrier.hold(self)
            return True
        return False

    def push(self) -> bool:
        """Sends what there is room for now. Whether there is more that waits for nothing but the connection."""
        carrier, rest = self._carrier, self._rest
        size = min(len(rest), self.window, carrier.window, carrier.largest)
        if size <= 0:
            return False
        self._rest = rest[size:]
        self.window -= size
        carrier.data(self.number, bytes(rest[:size]), worth=size == len(rest) or size >= SCRAP)
        if self._rest:
            return self.window > 0
        self._forget_rest()
        if self._last is not None:
            self._leave(self._last)
        return False

    def _lose_patience(self) -> None:
        """Too little is read: what is left of the message and what was to follow it are kept no longer."""
        self._carrier.reset(self.number, CALM)
        self.gone()

    def gone(self) -> None:
        """Nobody is there any more."""
        self._stop_hearing()
        self._forget_rest()
        self._carrier.forget(self)
        self.cancel()

    # Its end -----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._opened = True
        self._carrier.headers(self.number, HEAD + metadata.block(self._initial), last=False)

    def finish(self, code: grpc.StatusCode, details: str) -> None:
        """Says how it ended; does nothing a second time."""
        if self.over:
            return
        block = b"" if self._opened else HEAD + metadata.block(self._initial)
        block += hpack.literal(b"grpc-status", STATUSES[code])
        if details:
            block += hpack.literal(b"grpc-message", metadata.percent(details))
        block += metadata.block(self._trailing)
        self._stop_hearing()
        if self._rest:
            self._last = block
            self._wake()
        else:
            self._leave(block)

    def _leave(self, block: bytes) -> None:
        self._carrier.headers(self.number, block, last=True)
        if not self._ended:
            self._carrier.reset(self.number, NO_ERROR)
        self._carrier.forget(self)

    def _stop_hearing(self) -> None:
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unread:
            self._carrier.taken(self.number, self._unread, 0)
            self._unread = 0
        self._buffer.clear()

    def _forget_rest(self) -> None:
        self._rest = memoryview(b"")
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._wake()

    def _wake(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
