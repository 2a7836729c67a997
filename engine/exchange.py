"""One HTTP/1.1 request and its answer as they pass over a connection of `engine.http1`."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final, Protocol

from engine.errors import UpstreamError, UpstreamTimeout
from engine.outbound import MAX_BODY, SILENT, UNBEGUN, UNFINISHED, Timeouts
from engine.patience import Patience

HIGH_WATER: Final = 256 * 1024  # bytes of a body nobody has read yet before the socket is left alone
UNPACKED: Final = 64 * 1024  # bytes unpacked at a time
ENCODINGS: Final = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class Line(Protocol):
    """What an exchange asks of its connection."""

    def resume(self) -> None: ...

    def abort(self) -> None: ...


class Headers(Mapping[str, str]):
    """Header fields by name without regard to case; of a repeated one the last."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Exchange:
    """One request and its answer, which it is to the caller (`HttpResponse`). Knows its connection until the answer is
    whole; that then serves others."""

    __slots__ = (
        "_buffer", "_connection", "_deadline", "_error", "_fields", "_loop", "_patience", "_silence", "_inflate",
        "_size", "_waiter", "answered", "headers", "over", "status",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: Line, timeouts: Timeouts, deadline: float | None = None
    ) -> None:
        """`deadline` is when the exchange must be over, by the loop's clock."""
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.answered = False
        self.over = False
        self._loop = loop
        self._connection: Line | None = connection
        self._patience = Patience(loop, self._too_late)
        self._silence: float | None = timeouts.read
        self._deadline = deadline
        self._fields: dict[str, str] = {}
        self._buffer: deque[bytes] = deque()
        self._size = 0
        self._inflate: zlib._Decompress | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: UpstreamError | None = None

    # For the caller -----------------------------------------------------------------------------------------------

    async def read(self, limit: int = MAX_BODY) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in self.chunks():
            parts.append(part)
            size += len(part)
            if size > limit:
                await self.close()
                raise UpstreamError("The model's service answered with too much.")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def expect_by(self, at: float, late: str) -> None:
        self._silence = None
        self._patience.until(at, late)

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._inflate is not None and (piece := self._unpacked()):
                return piece
            if self._buffer:
                if self._inflate is None:
                    return self._taken()
                continue
            self._raise_error()
            if self.over:
                self._check_end()
                raise StopAsyncIteration
            await self.wait()

    def _check_end(self) -> None:
        if self._inflate is not None and not self._inflate.eof:
            raise UpstreamError("The model's service ended a packed answer before it was whole.")

    def _taken(self) -> bytes:
        piece = self._buffer.popleft() if len(self._buffer) == 1 else b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        if self._connection is not None:
            self._connection.resume()
        return piece

    def _unpacked(self) -> bytes:
        """The next piece of a packed body, empty if it takes more of it. A few bytes can hold very many, so no more is
        unpacked than is asked for."""
        assert self._inflate is not None
        packed = self._inflate.unconsumed_tail or (self._buffer.popleft() if self._buffer else b"")
        try:
            piece = self._inflate.decompress(packed, UNPACKED)
        except zlib.error:
            self.abandon()
            raise UpstreamError from None
        if not self._buffer and not self._inflate.unconsumed_tail:
            self._size = 0
            if self._connection is not None:
                self._connection.resume()
        return piece

    async def close(self) -> None:
        self._buffer.clear()
        self.abandon()

    def abandon(self) -> None:
        """Closes the connection unless the answer was whole."""
        self.over = True
        self._patience.over()
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def wait(self) -> None:
        """Until something has happened. Raises UpstreamTimeout; cancellation closes the connection."""
        self._raise_error()
        if self._silence is not None:
            self._wait_for(self._silence)
        self._waiter = waiter = self._loop.create_future()
        self._patience.begin()
        try:
            await waiter
        except asyncio.CancelledError:
            self.abandon()
            raise
        finally:
            self._patience.end()
            self._waiter = None
        if not self._buffer:
            self._raise_error()

    def _wait_for(self, silence: float) -> None:
        at = self._loop.time() + silence
        if self._deadline is not None and self._deadline < at:
            self._patience.until(self._deadline, UNFINISHED)
        else:
            self._patience.until(at, SILENT if self.answered else UNBEGUN)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _too_late(self) -> None:
        self.fail(UpstreamTimeout(self._patience.why))
        self.abandon()

    # For the connection -------------------------------------------------------------------------------------------

    def fail(self, error: UpstreamError) -> None:
        if self._error is None and not self.over:
            self._error = error
            self._patience.over()
            self._wake()

    def field(self, name: bytes, value: bytes) -> None:
        self._fields[name.decode("latin-1").lower()] = value.decode("latin-1")

    def head(self, status: int) -> None:
        self.status = status
        self.headers = Headers(self._fields)
        self.answered = True
        encoding = self._fields.get("content-encoding", "identity").strip().lower()
        if encoding in ENCODINGS:
            self._inflate = zlib.decompressobj(ENCODINGS[encoding])
        elif encoding != "identity":
            self.fail(UpstreamError("The model's service packed its answer in a way nobody asked for."))
        self._wake()

    def forget_head(self) -> None:
        """An interim answer (1xx) was not the answer."""
        self._fields = {}

    @property
    def bounded(self) -> bool:
        """Whether the answer says itself where it ends, or ends with the connection."""
        return "content-length" in self._fields or "chunked" in self._fields.get("transfer-encoding", "").lower()

    def body(self, data: bytes) -> bool:
        """True: the caller is behind, read no further for now."""
        self._buffer.append(data)
        self._size += len(data)
        self._wake()
        return self._size > HIGH_WATER

    def whole(self) -> None:
        self.over = True
        self._connection = None
        self._patience.over()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
