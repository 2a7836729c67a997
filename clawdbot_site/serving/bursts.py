"""Fewer, larger writes: uvloop makes a system call of every write, and an answer is a head and a body, a stream many
events that often come together."""

from __future__ import annotations

import asyncio
from typing import Any

MAX_BYTES = 64 * 1024  # more is not kept back


class Burst:
    """A transport that sends at once what one step of the event loop writes. Everything else is the transport's own.

    `flush` may be called where it is known that nothing more will come in this step."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0
        self._due = False
        self.is_closing = transport.is_closing
        self.get_protocol = transport.get_protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_BYTES:
            self.flush()
        elif not self._due:
            self._due = True
            self._loop.call_soon(self._end_of_step)

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def flush(self) -> None:
        parts = self._parts
        if parts:
            self._parts, self._size = [], 0
            if not self._transport.is_closing():
                self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def _end_of_step(self) -> None:
        self._due = False
        self.flush()

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self._parts, self._size = [], 0
        self._transport.abort()
