"""A gRPC client as cheap as Python allows: frames of HTTP/2 (RFC 9113) written and read by hand, one protocol a
connection. The library's own costs a call about what the server does, and so measures itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 1
END_HEADERS = 4
WIDE = 2**31 - 1  # the largest window there is
SUCCESS = b"grpc-status\x010"  # what trailers hold where nothing is kept in a table


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


PREFACE = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    # No table of headers; a stream may be sent as much as comes.
    + frame(SETTINGS, 0, 0, b"\0\1" + bytes(4) + b"\0\4" + WIDE.to_bytes(4, "big"))
    + frame(WINDOW_UPDATE, 0, 0, (WIDE - 65_535).to_bytes(4, "big"))
)


def head(path: str, metadata: dict[str, str]) -> bytes:
    """The block of headers (RFC 7541) of every call of a method: literals without indexing."""

    def text(value: str) -> bytes:
        raw = value.encode("latin-1")
        if len(raw) < 127:
            return bytes((len(raw),)) + raw
        assert len(raw) < 255
        return bytes((127, len(raw) - 127)) + raw

    block = b"\x83\x86\x04" + text(path) + b"\x01" + text("127.0.0.1")  # POST, http, :path, :authority
    fields = {"te": "trailers", "content-type": "application/grpc", **metadata}
    return block + b"".join(b"\0" + text(name) + text(value) for name, value in fields.items())


class Call:
    """One stream; every message that comes is `heard`."""

    __slots__ = ("_heard", "_rest", "over")

    def __init__(self, heard: Callable[[bytes], None], over: asyncio.Future[None]) -> None:
        self._heard = heard
        self._rest = b""
        self.over = over

    def data(self, payload: bytes) -> None:
        rest = self._rest + payload if self._rest else payload
        while len(rest) >= 5 and len(rest) >= (end := 5 + int.from_bytes(rest[1:5], "big")):
            self._heard(rest[5:end])
            rest = rest[end:]
        self._rest = rest

    def end(self, trailers: bytes) -> None:
        if self.over.done():
            return
        if SUCCESS in trailers:
            self.over.set_result(None)
        else:
            self.over.set_exception(ConnectionError(f"a call failed: {trailers!r}"))


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, Call] = {}
        self._next = 1
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(PREFACE)

    def begin(self, head: bytes, message: bytes, heard: Callable[[bytes], None], *, more: bool = False) -> int:
        """The number of a new stream, which was sent its first message; `more` may follow."""
        number, self._next = self._next, self._next + 2
        self._calls[number] = Call(heard, self._loop.create_future())
        self.transport.write(frame(HEADERS, END_HEADERS, number, head) + _message(number, message, more))
        return number

    def say(self, number: int, message: bytes) -> None:
        self.transport.write(_message(number, message, True))

    def leave(self, number: int) -> None:
        """Half-closes: no message follows."""
        self.transport.write(frame(DATA, END_STREAM, number, b""))

    def over(self, number: int) -> asyncio.Future[None]:
        """Fails with ConnectionError where the call does."""
        return self._calls[number].over

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at, size = 0, len(buffer)
        while size - at >= 9:
            end = at + 9 + int.from_bytes(buffer[at : at + 3], "big")
            if end > size:
                break
            self._frame(
                buffer[at + 3], buffer[at + 4], int.from_bytes(buffer[at + 5 : at + 9], "big"), buffer[at + 9 : end]
            )
            at = end
        self._buffer = buffer[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._calls[stream].data(payload)
        elif kind == HEADERS:
            if flags & END_STREAM:
                self._calls.pop(stream).end(payload)
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self.transport.write(frame(kind, ACK, 0, b"" if kind == SETTINGS else payload))
        elif kind == RST_STREAM and (call := self._calls.pop(stream, None)):
            call.end(b"reset " + payload)
        elif kind == GOAWAY:
            self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        for call in self._calls.values():
            call.end(b"the connection was closed")


def _message(stream: int, message: bytes, more: bool) -> bytes:
    return frame(DATA, 0 if more else END_STREAM, stream, b"\0" + len(message).to_bytes(4, "big") + message)


async def connect(port: int) -> Connection:
    return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port))[1]
