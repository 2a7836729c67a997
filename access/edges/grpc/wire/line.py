"""A connection as its calls see it: what is sent, how much of it waits, and when the connection is to end."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any, Final, Protocol

from access.edges.grpc.wire import hpack
from access.edges.grpc.wire.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME,
    GOAWAY,
    HEADERS,
    INITIAL,
    PING,
    RST_STREAM,
    SETTINGS,
    WIDEST,
    WINDOW_UPDATE,
    frame,
    peer_named,
    settings,
)  # fmt: skip
from access.edges.grpc.wire.streams import WINDOW, Stream

CONNECTION_WINDOW: Final = 1 << 20  # bytes that may wait for all handlers together
BLOCK: Final = 16 * 1024  # bytes of headers
HELD_UP: Final = 64 * 1024  # bytes the transport may have to send before calls wait
NOISE: Final = 1000  # frames that bring nothing, at once; and half as many again a second
GOODBYE: Final = 20.0  # seconds for the last bytes of a connection to be read
ROUND: Final = 1.0  # seconds between announcing that no call is taken and taking none


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds; `message` in bytes, `beside` for methods with types of their own; `streams` of a connection, `calls` and
    `connections` of the process at once."""

    message: int
    streams: int
    calls: int
    connections: int = 5000
    beside: int = 64 * 1024
    ping_after: float = 60.0
    pong_within: float = 20.0
    age: float = 3600.0
    idle: float = 600.0
    patience: float = 35.0  # of one message to be read


class Owner(Protocol):
    """The server. `handlers` by path, and where their messages may have less than others' the bytes of these."""

    handlers: dict[bytes, Any]
    smaller: dict[bytes, int]
    limits: Bounds

    def take(self) -> bool:
        """Whether another call may begin."""

    def gave_back(self) -> None: ...
    def opened(self, connection: Any) -> bool:
        """Whether there is a place for it."""

    def closed(self, connection: Any) -> None: ...


class Line(asyncio.Protocol):
    """Without what comes, which is `access.edges.grpc.wire.connection`."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.loop = asyncio.get_running_loop()
        self.window = INITIAL
        self.largest = FRAME
        self.room = True
        self.peer = ""
        self._stream_window = INITIAL
        self._streams: dict[int, Stream] = {}
        self._last = 0  # the number of the last stream that was begun
        self._buffer = b""
        self._greeted = False
        self._headers = hpack.Decoder()
        self._block: tuple[int, int, bytes] | None = None  # headers that go on in the next frame: stream, flags, so far
        self._free = CONNECTION_WINDOW  # bytes the client may still send,
        self._owed = 0  # and those taken that it was not told of
        self.patience = owner.limits.patience
        self._held: dict[int, Stream] = {}  # those that wait for the connection's room, in their turn
        self._out: list[bytes] = []
        self._size = 0
        self._due = False
        self._noise = float(NOISE)
        self._began = self._heard = self._noise_at = self._called = self.loop.time()
        self._pinged = False
        self.known = False  # a credential was shown
        self._cut_soon = False  # unless one is
        self._leaving = self._left = False  # it was told that no call is taken; and none is
        self._age = owner.limits.age * random.uniform(0.9, 1.1)  # noqa: S311  # so that not all come again at once
        self._watch: asyncio.TimerHandle | None = None

    # The transport -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(HELD_UP)
        if not self._owner.opened(self):
            self.transport.abort()
            return
        self._began = self._heard = self._called = self.loop.time()  # of TLS the handshake does not count
        self.peer = peer_named(transport.get_extra_info("peername"))
        said = ((3, self._owner.limits.streams), (4, WINDOW), (5, FRAME), (6, BLOCK))
        self._send(SETTINGS, 0, 0, settings(said))
        self._send(WINDOW_UPDATE, 0, 0, (CONNECTION_WINDOW - INITIAL).to_bytes(4, "big"))
        self._look()

    def connection_lost(self, error: Exception | None) -> None:
        self._left = True
        for stream in list(self._streams.values()):
            stream.gone()
        if self._watch is not None:
            self._watch.cancel()
        self._owner.closed(self)

    def pause_writing(self) -> None:
        self.room = False

    def resume_writing(self) -> None:
        self.room = True
        self._pump()

    def eof_received(self) -> bool:
        return False

    # What streams ask --------------------------------------------------------------------------------------------

    def headers(self, stream: int, block: bytes, *, last: bool) -> None:
        flags, kind = END_STREAM if last else 0, HEADERS
        while len(block) > FRAME:
            self._send(kind, flags, stream, block[:FRAME])
            block, flags, kind = block[FRAME:], 0, CONTINUATION
        self._send(kind, flags | END_HEADERS, stream, block)

    def data(self, stream: int, payload: bytes, *, worth: bool = True) -> None:
        self.window -= len(payload)
        if worth:
            self._noise += 2.0  # who is sent much makes room for more, and measures the line
        self._send(DATA, 0, stream, payload)

    def reset(self, stream: int, code: int) -> None:
        self._send(RST_STREAM, 0, stream, code.to_bytes(4, "big"))

    def taken(self, stream: int, size: int, owed: int) -> None:
        """`size` bytes were read; the stream's client may send `owed` more."""
        self._owed += size
        if self._owed >= CONNECTION_WINDOW // 2:
            self._free += self._owed
            self._send(WINDOW_UPDATE, 0, 0, self._owed.to_bytes(4, "big"))
            self._owed = 0
        if owed:
            self._send(WINDOW_UPDATE, 0, stream, owed.to_bytes(4, "big"))

    def hold(self, stream: Stream) -> None:
        """Has it send when there is room, a frame in each turn."""
        self._held[stream.number] = stream
        self._pump()

    def _pump(self) -> None:
        held = self._held
        while held and self.room and self.window > 0:
            number = next(iter(held))
            stream = held.pop(number)
            if stream.push():
                held[number] = stream

    def forget(self, stream: Stream) -> None:
        if self._streams.pop(stream.number, None) is not None:
            self._held.pop(stream.number, None)
            self._owner.gave_back()
            self._called = self.loop.time()
            if self._left:
                self._end_if_idle()

    # Sending -----------------------------------------------------------------------------------------------------

    def _send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self._out.append(frame(kind, flags, stream, payload))
        self._size += len(payload)
        if self._size > HELD_UP:  # what is sent in one step is held up too
            self.flush()
        elif not self._due:
            self._due = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """One write of what a step of the loop said: every write is a system call."""
        self._due = False
        out, self._out, self._size = self._out, [], 0
        if out and not self.transport.is_closing():
            self.transport.write(b"".join(out))

    # Its life ----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """From time to time: is anybody there, and is it time to go?"""
        limits, now = self._owner.limits, self.loop.time()
        heard = self._heard if self._greeted else self._began
        if (self._pinged or not self._greeted) and now - heard >= limits.pong_within:
            self.transport.abort()
            return
        if now - self._heard >= limits.ping_after:
            self._heard, self._pinged = now, True
            self._send(PING, 0, 0, b"clawdbot")
        idle = not self._streams and now - self._called >= limits.idle
        if not self._leaving and (idle or now - self._began >= self._age):
            self.leave()
        self._watch = self.loop.call_later(limits.pong_within, self._look)

    def leave(self) -> None:
        """Tells the client to make its next call elsewhere; what runs goes on."""
        if not self._leaving:
            self._leaving = True
            self._send(GOAWAY, 0, 0, WIDEST.to_bytes(4, "big") + bytes(4))
            self.loop.call_later(ROUND if self._streams else ROUND / 10, self.refuse)

    def refuse(self) -> None:
        """From now on no call is taken."""
        if not self._left:
            self._leaving = self._left = True
            self._send(GOAWAY, 0, 0, self._last.to_bytes(4, "big") + bytes(4))
            self._end_if_idle()

    @property
    def going(self) -> bool:
        """As `silent_since`. One that left by its age may have calls that go on for long."""
        return self._leaving and not self._streams if self.known else self._cut_soon

    @property
    def silent_since(self) -> float | None:
        """As `access.connection_places` asks for it: of who is not known nothing counts that they do."""
        if not self.known:
            return self._began
        return None if self._streams else self._called

    def make_way(self) -> None:
        """Leaves, and waits for no calls of nobody's, as watching the health is."""
        self.leave()
        self._cut_soon = True
        self.loop.call_later(2 * ROUND, self._cut)

    def _cut(self) -> None:
        if not self.known:
            self.end_calls()
            self.loop.call_later(ROUND, self.transport.abort)

    def _end_if_idle(self) -> None:
        if not self._streams:
            self.close()

    def end_calls(self) -> None:
        for stream in list(self._streams.values()):
            stream.cancel()

    def close(self) -> None:
        """Once what was said is read, and soon in any case."""
        self.flush()
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self.loop.call_later(GOODBYE, self.transport.abort)
        self.transport.close()
