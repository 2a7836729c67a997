"""Fewer, larger writes: uvloop makes a system call of every write, and an answer is a head and a body, a stream many
events that often come together. And an end to connections whose other end takes nothing: neither uvicorn nor the
kernel gives up on a client that is there and does not read, not even while the connection is being closed."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any

MAX_BYTES = 64 * 1024  # more is not kept back, counting what the transport has
WRITE_IDLE = 30.0  # seconds in which a client may take nothing of what waits for it


class Burst:
    """A transport that sends at once what one step of the event loop writes. Everything else is the transport's own.

    `flush` may be called where it is known that nothing more will come in this step. Its protocol says when it is
    `held_up`, when it has `caught_up`, and when it is `lost`; in between a client that takes nothing for `idle` seconds
    is aborted, or what else was `agreed`."""

    __slots__ = (
        "_agreed", "_due", "_idle", "_loop", "_parts", "_size", "_taken", "_transport", "_watch", "is_closing",
        "written",
    )  # fmt: skip

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, idle: float = WRITE_IDLE) -> None:
        self._transport = transport
        self._loop = loop
        self._idle = idle
        self._agreed: tuple[float, int, Callable[[], None]] | None = None  # else `_idle` holds
        self.written = 0
        self._taken = 0
        self._watch: asyncio.TimerHandle | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._due = False
        self.is_closing = transport.is_closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size + self._transport.get_write_buffer_size() > MAX_BYTES:
            self.flush()
        elif not self._due:
            self._due = True
            self._loop.call_soon(self._end_of_step)

    def write_last(self, data: bytes) -> None:
        """As `write`, where nothing more will come in this step."""
        self._parts.append(data)
        self.flush()

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def flush(self) -> None:
        parts = self._parts
        if parts:
            self._parts, self._size = [], 0
            if not self._transport.is_closing():
                data = parts[0] if len(parts) == 1 else b"".join(parts)
                self.written += len(data)
                self._transport.write(data)

    def _end_of_step(self) -> None:
        self._due = False
        self.flush()

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()
        self.agree(self._idle, 1, self.reset)
        self.held_up()  # what waits is still sent

    def abort(self) -> None:
        self._parts, self._size = [], 0
        self._transport.abort()

    # Clients that do not read ------------------------------------------------------------------------------------

    def agree(self, seconds: float, least: int, late: Callable[[], None]) -> None:
        """From now on: who is held up and takes less than `least` bytes in `seconds` is `late`."""
        self._agreed = seconds, least, late
        if self._watch is not None:
            self.lost()
            self.held_up()

    def held_up(self) -> None:
        """More waits to be sent than should."""
        if self._watch is None and self._transport.get_write_buffer_size():
            self._taken = self.taken()
            self._watch = self._loop.call_later(self._pace[0], self._look)

    @property
    def _pace(self) -> tuple[float, int, Callable[[], None]]:
        return self._agreed or (self._idle, 1, self.reset)

    def caught_up(self) -> None:
        """What waits is little again."""
        if not self._transport.is_closing():
            self.lost()

    def lost(self) -> None:
        """There is no connection any more."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look(self) -> None:
        self._watch = None
        if not self._transport.get_write_buffer_size():
            return
        seconds, least, late = self._pace
        taken = self.taken()
        if taken - self._taken < least:
            late()
            return
        self._taken = taken
        self._watch = self._loop.call_later(seconds, self._look)

    def reset(self) -> None:
        """Throws away what waits, the kernel's part too."""
        connection = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def taken(self) -> int:
        """Bytes the other end has acknowledged: a slow one empties the kernel's buffer long before there is room."""
        waiting = self._transport.get_write_buffer_size()
        connection = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError, ValueError):
            waiting += struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
        return self.written - waiting
