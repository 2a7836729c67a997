"""One HTTP/1.1 request and its answer as they pass over a connection of `engine.http1`."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final, Protocol

from engine.errors import UpstreamError, UpstreamTimeout
from engine.outbound import MAX_BODY, SILENT, UNBEGUN, UNFINISHED, Timeouts, gathered
from engine.patience import Patience

NO_FIELDS: Final[list[tuple[bytes, bytes]]] = []
HIGH_WATER: Final = 256 * 1024  # bytes of a body nobody has read yet before the socket is left alone
UNPACKED: Final = 64 * 1024  # bytes unpacked at a time
ENCODINGS: Final = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class Line(Protocol):
    """What an exchange asks of its connection. The `patience` is the connection's, so that its timer serves many."""

    patience: Patience

    def resume(self) -> None: ...

    def abort(self) -> None: ...


class Headers(Mapping[str, str]):
    """Header fields by name without regard to case; of a repeated one the last. Read as bytes, since of many one or
    two are ever asked for."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        wanted = name.lower().encode()
        for found, value in reversed(self._fields):
            if len(found) == len(wanted) and found.lower() == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({found.decode("latin-1").lower(): None for found, _ in self._fields})

    def __len__(self) -> int:
        return len({found.lower() for found, _ in self._fields})


class Exchange:
    """One request and its answer, which it is to the caller (`HttpResponse`). Knows its connection until the answer is
    whole; that then serves others."""

    __slots__ = (
        "_buffer", "_connection", "_deadline", "_ends", "_error", "_loop", "_patience", "_silence", "_inflate", "_size",
        "_waiter", "answered", "fields", "headers", "over", "status",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: Line, timeouts: Timeouts, deadline: float | None = None
    ) -> None:
        """`deadline` is when the exchange must be over, by the loop's clock."""
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []  # of its head, as they came
        self.headers: Mapping[str, str] = {}
        self.answered = False
        self.over = False
        self._loop = loop
        self._connection: Line | None = connection
        self._patience: Patience | None = connection.patience  # as long as the connection is its own
        self._silence: float | None = timeouts.read
        self._deadline = deadline
        self._buffer: list[bytes] = []
        self._size = 0
        self._ends: bool | None = None  # what `bounded` was
        self._inflate: zlib._Decompress | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: UpstreamError | None = None

    # For the caller -----------------------------------------------------------------------------------------------

    async def read(self, limit: int = MAX_BODY) -> bytes:
        if self.over and self._error is None and self._inflate is None and self._size <= limit:
            return self._taken() if self._buffer else b""
        fields, headers = self.fields, self.headers
        try:
            return await gathered(self, limit)
        finally:
            self.fields, self.headers = fields, headers

    def expect_by(self, at: float, late: str) -> None:
        self._silence = None
        if self._patience is not None:
            self._patience.until(at, late)

    def chunks(self) -> AsyncIterator[bytes]:
        self._ends = self.bounded
        self.fields, self.headers = NO_FIELDS, {}  # not for as long as a stream lasts
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
        piece = self._buffer[0] if len(self._buffer) == 1 else b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        if self._connection is not None:
            self._connection.resume()
        return piece

    def _unpacked(self) -> bytes:
        """The next piece of a packed body, empty if it takes more of it. A few bytes can hold very many, so no more is
        unpacked than is asked for."""
        assert self._inflate is not None
        packed = self._inflate.unconsumed_tail
        if not packed:
            packed = b"".join(self._buffer)
            self._buffer.clear()
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
        self._let_go()
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def _let_go(self) -> None:
        self.over = True
        if self._patience is not None:
            self._patience.end()
            self._patience = None

    async def wait(self) -> None:
        """Until something has happened. Raises UpstreamTimeout; cancellation closes the connection."""
        self._raise_error()
        patience = self._patience
        assert patience is not None
        if self._silence is not None:
            self._wait_for(patience, self._silence)
        self._waiter = waiter = self._loop.create_future()
        patience.begin()
        try:
            await waiter
        except asyncio.CancelledError:
            self.abandon()
            raise
        finally:
            if self._patience is not None:  # else it is somebody else's by now
                self._patience.end()
            self._waiter = None
        if not self._buffer:
            self._raise_error()

    def _wait_for(self, patience: Patience, silence: float) -> None:
        at = self._loop.time() + silence
        if self._deadline is not None and self._deadline < at:
            patience.until(self._deadline, UNFINISHED)
        else:
            patience.until(at, SILENT if self.answered else UNBEGUN)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    # For the connection -------------------------------------------------------------------------------------------

    def fail(self, error: UpstreamError) -> None:
        if self._error is None and not self.over:
            self._error = error
            if self._patience is not None:
                self._patience.end()
            self._wake()

    def late(self, why: str) -> None:
        """Somebody waited for longer than was agreed."""
        self.fail(UpstreamTimeout(why))
        self.abandon()

    def head(self, status: int) -> None:
        self.status = status
        self.headers = Headers(self.fields)
        self.answered = True
        packed = self._field(b"content-encoding")
        if packed is not None:
            self._unpack(packed.strip().lower())
        self._wake()

    def _unpack(self, encoding: str) -> None:
        if encoding in ENCODINGS:
            self._inflate = zlib.decompressobj(ENCODINGS[encoding])
        elif encoding != "identity":
            self.fail(UpstreamError("The model's service packed its answer in a way nobody asked for."))

    def _field(self, name: bytes) -> str | None:
        for found, value in self.fields:
            if len(found) == len(name) and found.lower() == name:
                return value.decode("latin-1")
        return None

    def forget_head(self) -> None:
        """An interim answer (1xx) was not the answer."""
        self.fields = []

    @property
    def bounded(self) -> bool:
        """Whether the answer says itself where it ends, or ends with the connection."""
        coded = self._field(b"transfer-encoding") or ""
        if self._ends is not None:
            return self._ends
        return self._field(b"content-length") is not None or "chunked" in coded.lower()

    def body(self, data: bytes) -> bool:
        """True: the caller is behind, read no further for now."""
        self._buffer.append(data)
        self._size += len(data)
        self._wake()
        return self._size > HIGH_WATER

    def whole(self) -> None:
        self._let_go()
        self._connection = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
